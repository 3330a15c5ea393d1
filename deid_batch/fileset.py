"""The DICOMDIR of OUT: written after a finished run, taken away as soon as it does not tell the truth. (PS3.10 8.6)"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from deid_batch.ledger import Ledger
from deid_batch.progress import Progress
from deid_batch.worker import sync_folder

if TYPE_CHECKING:
    from deid_batch.dicomdir import Directory

UNFINISHED = "the run is not finished"
NAME = "DICOMDIR"
_STATE = "dicomdir"
_COMPONENT = re.compile(rb"[A-Z0-9_]{1,8}")
_MOST_COMPONENTS = 8
_RULE = "PS3.10 8.2: up to 8 components of 1 to 8 of A-Z, 0-9 and _"


def is_file_id(path: bytes) -> bool:
    """Whether a path may be a File ID. (PS3.10 8.2, 8.5)"""
    components = path.split(b"/")
    return len(components) <= _MOST_COMPONENTS and all(map(_COMPONENT.fullmatch, components))


class FileSet:
    """OUT as a file-set. What the ledger remembers of its DICOMDIR says that it is ours, and of which outputs."""

    def __init__(self, out: bytes, ledger: Ledger) -> None:
        self._out = out
        self._place = os.path.join(self._out, NAME.encode())
        self._ledger = ledger

    def withdraw_stale(self) -> None:
        """Take our DICOMDIR away where it does not refer to the outputs as they are, or an output needs its name."""
        known = self._ledger.remembered(_STATE)
        if known and (self._ledger.claims(NAME) or known[:32] != self._outputs()):
            self._withdraw()

    def _withdraw(self) -> None:
        """Take our DICOMDIR away, if there is one."""
        if not self._ledger.remembered(_STATE):
            return
        if os.path.isfile(self._place):
            os.unlink(self._place)
        self._ledger.remember({_STATE: b""})

    def renew(self, temporary: bytes, progress: Progress, goes_on: Callable[[], bool], *, overwrite: bool) -> str:
        """Write a DICOMDIR of the outputs, unless it stands there already; what became of it.

        `temporary` is a folder on the file system of OUT. What stands there and is not ours stays, but for `overwrite`.
        """
        try:
            files = self._check_names(overwrite=overwrite)
            outputs = self._outputs()
            if self._ledger.remembered(_STATE) != outputs + _digest_of(self._place):
                self._write(os.path.join(temporary, NAME.encode()), outputs, self._directory(files, progress, goes_on))
        except _NoneCanBe as why:
            self._withdraw()
            return f"No DICOMDIR is written: {why}"
        return f"DICOMDIR of OUT: refers to {files:,} files"

    def _check_names(self, *, overwrite: bool) -> int:
        """How many files are to be referred to."""
        names = Counter(is_file_id(name) for _, name, _ in self._ledger.written())
        if not names:
            raise _NoneCanBe("there are no files to refer to")
        if names[False]:
            raise _NoneCanBe(f"{names[False]:,} of {names.total():,} names are no File IDs ({_RULE})")
        if self._ledger.claims(NAME) or os.path.isdir(self._place):
            raise _NoneCanBe("an output, or a folder of outputs, has its name")
        if os.path.lexists(self._place) and not (overwrite or self._ledger.remembered(_STATE)):
            raise _NoneCanBe("in OUT stands a file of that name that no run known here wrote")
        return names[True]

    def _directory(self, files: int, progress: Progress, goes_on: Callable[[], bool]) -> Directory:
        from deid_batch.dicomdir import Directory  # noqa: PLC0415 - takes long to load and is rarely needed

        directory, unread = Directory(), 0
        with progress.phase("DICOMDIR", files) as advance:
            for _, name, size in self._ledger.written():
                if not goes_on():
                    raise _NoneCanBe(UNFINISHED)
                try:
                    directory.add(name, os.path.join(self._out, name))
                except Exception:  # the rim: pydicom raises whatever a file's contents lead to
                    unread += 1
                advance(1, size, 0)
        if unread:
            raise _NoneCanBe(f"{unread:,} of {files:,} outputs can't be read")
        return directory

    def _write(self, temporary: bytes, outputs: bytes, directory: Directory) -> None:
        """Synced, then remembered as ours, then renamed."""
        digest = hashlib.sha256()
        with open(temporary, "xb") as file:
            try:
                for chunk in directory.chunks():
                    digest.update(chunk)
                    file.write(chunk)
            except OverflowError:
                raise _NoneCanBe("it would have more than 4 GB") from None
            file.flush()
            os.fsync(file.fileno())
        self._ledger.remember({_STATE: outputs + digest.digest()})
        os.replace(temporary, self._place)
        sync_folder(self._out)

    def _outputs(self) -> bytes:
        """A digest of all outputs and their names."""
        digest = hashlib.sha256()
        for _, name, output in self._ledger.digests():
            digest.update(b"%d %b %b\0" % (len(name), name, output.encode()))
        return digest.digest()


class _NoneCanBe(Exception):
    """Why there can't be a DICOMDIR."""


def _digest_of(place: bytes) -> bytes:
    try:
        with open(place, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
