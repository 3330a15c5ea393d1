"""The way of one file, inside a worker process: read, de-identify, sync, rename. Never raises for a file's sake."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import gc
import os
import re
import resource
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from deid_batch import dicomfile, dictionary
from deid_batch.audit import COLUMNS, TIME_FORMAT, shown_path
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError, OutputError, Unreadable
from deid_batch.methods.base import COLUMNS as COUNT_COLUMNS
from deid_batch.plan import Job
from deid_batch.rules import RuleSet

Row = tuple[object, ...]
Prepared = tuple[bytes, bytes, Row]
"""Path, temporary file and row of a file that is written but has not its final name yet."""
_BAD_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOENT})
"""What file systems say of a name they can't hold, ENOENT too where a letter is not allowed."""
_TAKEN_NAME = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY})
_FEWEST_SYNCED, _LEAST_SYNCED = 16, 32 << 20
"""So many files, or bytes, are synced together; more, where the disk is slow."""
MACHINE_FAULTS = {
    errno.ENOSPC: "the disk of OUT or the work directory is full, make room",
    errno.EDQUOT: "the disk quota of OUT or the work directory is used up, make room or have it raised",
    errno.EROFS: "OUT or the work directory lies on a file system that can't be written to",
    errno.EMFILE: "too many open files, raise the limit (ulimit -n) or lower --jobs",
    errno.ENFILE: "too many open files on this machine",
}
"""Faults that are not a file's: the run stops and may be continued."""
_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """What all jobs of a run have in common."""

    source: bytes
    out: bytes
    temporary: bytes
    rules: RuleSet = field(repr=False)
    out_identity: tuple[int, int] = (0, 0)
    """Device and inode of OUT, by which one that has vanished, or was put in its place, is told."""
    strict: bool = False
    dry_run: bool = False
    file_timeout: float = 0.0
    """Seconds that one file may take; 0: any time."""

    def file(self, path: bytes) -> bytes:
        """Where a file of SOURCE stands; SOURCE may be the file itself."""
        return os.path.join(self.source, path) if os.path.isdir(self.source) else self.source


@dataclass
class JobResult:
    """What became of the files of a job: for each its path and audit row; `fault` says why the machine gave up."""

    rows: list[tuple[bytes, Row]] = field(default_factory=list)
    scopes: list[tuple[bytes, str]] = field(default_factory=list)
    hits: Counter[int] = field(default_factory=Counter)
    size: int = 0
    fault: str = ""


class Worker:
    """What one process needs to do jobs."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._compiled = CompiledRules(setting.rules, strict=setting.strict)
        self._number = 0
        self._prefix = secrets.token_hex(8).encode()

    def probe(self, job: Job) -> JobResult:
        """Take a first look at files: the scope of each, or the row of one that can't be done."""
        result = JobResult(size=job.size)
        for path in job.paths:
            began = time.monotonic()
            try:
                with self._timed():
                    instance = dicomfile.probe(self._setting.file(path))
            except Exception as error:  # the rim: whatever goes wrong with a file is a row
                result.fault = _machine_fault(error)
                if result.fault:
                    break
                result.rows.append((path, failure_row(path, error, time.monotonic() - began)))
            else:
                result.scopes.append((path, self._compiled.scope_id(instance)))
        return result

    def deidentify(self, job: Job) -> JobResult:
        """De-identify files: written one by one; synced together and renamed while the next ones are written."""
        result = JobResult(size=job.size)
        prepared: list[Prepared] = []
        waiting = 0
        published: list[Future[list[tuple[bytes, Row]]]] = []
        with ThreadPoolExecutor(1) as publisher:
            for path in job.paths:
                began = time.monotonic()
                try:
                    with self._timed():
                        temporary, rewritten = self._prepare(path)
                except Exception as error:  # the rim: whatever goes wrong with a file is a row
                    result.fault = _machine_fault(error)
                    if result.fault:
                        break
                    result.rows.append((path, failure_row(path, error, time.monotonic() - began)))
                    continue
                result.hits.update(rewritten.hits)
                prepared.append((path, temporary, _written_row(path, rewritten, time.monotonic() - began)))
                waiting += rewritten.bytes_out
                is_enough = len(prepared) >= _FEWEST_SYNCED or waiting >= _LEAST_SYNCED
                if is_enough and all(earlier.done() for earlier in published):
                    published.append(publisher.submit(self._published, prepared))
                    prepared, waiting = [], 0
            published.append(publisher.submit(self._published, prepared))
        for earlier in published:
            try:
                result.rows.extend(earlier.result())
            except OSError as error:
                fault = _machine_fault(error) or f"OUT can't be written to ({os.strerror(error.errno or errno.EIO)})"
                result.fault = result.fault or fault
        return result

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """A file that takes too long ends this process, even in the midst of a library's code; the run goes on."""
        if not self._setting.file_timeout:
            yield
            return
        signal.setitimer(signal.ITIMER_REAL, self._setting.file_timeout)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _prepare(self, path: bytes) -> tuple[bytes, dicomfile.Rewritten]:
        """Write the de-identified form of a file to a temporary one."""
        self._number += 1
        temporary = os.path.join(self._setting.temporary, b"%s-%d" % (self._prefix, self._number))
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(error.errno, os.strerror(error.errno or 0)) from None
        try:
            return temporary, dicomfile.rewrite(
                self._setting.file(path), dicomfile.FileSink(descriptor), self._compiled
            )
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)

    def _published(self, prepared: Sequence[Prepared]) -> list[tuple[bytes, Row]]:
        """Bring temporary files onto the disk, and then under their final names; the rows of all."""
        if self._setting.dry_run:
            for _, temporary, _ in prepared:
                os.unlink(temporary)
            return [(path, row) for path, _, row in prepared]
        if not prepared:
            return []
        self._check_out()
        folders = {os.path.dirname(path) for path, _, _ in prepared}
        for folder in folders:
            self._make_folder(folder)
        sync_files([temporary for _, temporary, _ in prepared], self._setting.temporary)
        rows = [(path, self._renamed(path, temporary, row)) for path, temporary, row in prepared]
        for folder in filter(os.path.isdir, map(self._final, folders)):
            sync_folder(folder)
        return rows

    def _final(self, path: bytes) -> bytes:
        return os.path.join(self._setting.out, path)

    def _check_out(self) -> None:
        """Raise OSError where OUT is not what it was when the run began, as when its disk was taken away."""
        status = os.stat(self._setting.out)
        if (status.st_dev, status.st_ino) != self._setting.out_identity:
            raise OutputError(errno.ENOENT, "OUT is not there any more")

    def _make_folder(self, folder: bytes) -> None:
        """Make a folder of OUT and those it lies in, though never OUT itself: it may have vanished.

        Where it can't have its name, that is told of each of its files.
        """
        missing = []
        while folder and not os.path.isdir(self._final(folder)):
            missing.append(self._final(folder))
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            try:
                os.mkdir(path)
            except OSError as error:
                if error.errno not in _BAD_NAME | _TAKEN_NAME:
                    raise

    def _renamed(self, path: bytes, temporary: bytes, row: Row) -> Row:
        """Give a file its final name: its row, or another one where it can't have that name."""
        try:
            os.replace(temporary, self._final(path))
        except OSError as error:
            os.unlink(temporary)
            return self._bad_name_row(path, error)
        return row

    def _bad_name_row(self, path: bytes, error: OSError) -> Row:
        """The row of a file that OUT has no room for under its name; any other fault is raised again."""
        if error.errno not in _BAD_NAME | _TAKEN_NAME:
            raise error
        self._check_out()
        if error.errno in _TAKEN_NAME:
            return failure_row(path, FileError("name-collision", "a file and a folder of OUT would have the same name"))
        return failure_row(path, FileError("bad-name", os.strerror(error.errno or 0)))


def failure_row(path: bytes, error: Exception, seconds: float = 0.0) -> Row:
    """The audit row of a file that was not written."""
    if isinstance(error, FileError):
        status, reason, detail = error.status, error.reason, _told(error)
    elif isinstance(error, FileNotFoundError):
        status, reason, detail = "failed", "vanished", ""
    elif isinstance(error, OSError):
        status, reason, detail = "failed", "unreadable", os.strerror(error.errno or errno.EIO)
    elif isinstance(error, MemoryError):
        status, reason, detail = "failed", "too-large", "memory ran out"
    else:
        status, reason, detail = "failed", "internal-error", type(error).__name__
    return audit_row(path, status=status, reason=reason, detail=detail or None, seconds=seconds)


def _told(error: FileError) -> str:
    """The detail of an error. Where the structure is in doubt, an unknown tag may be four bytes of a value."""
    return _TAG.sub(_known_tag, error.detail) if isinstance(error, Unreadable) else error.detail


def _known_tag(match: re.Match[str]) -> str:
    tag = int(match[1] + match[2], 16)
    known = tag & 0xFFFF and not dictionary.is_private(tag) and dictionary.vr_of(tag) != "UN"
    return match[0] if known else "an unknown tag"


def audit_row(path: bytes, *, seconds: float, **values: object) -> Row:
    """An audit row; what is not given is None."""
    return (
        _now(),
        *map(values.get, _BEFORE_SOURCE),
        shown_path(path),
        *map(values.get, _BEHIND_SOURCE),
        f"{seconds:.4f}",
    )


_SOURCE = COLUMNS.index("source")
_BEFORE_SOURCE, _BEHIND_SOURCE = COLUMNS[1:_SOURCE], COLUMNS[_SOURCE + 1 : -1]
assert (COLUMNS[0], COLUMNS[-1]) == ("time_utc", "seconds")


def _now() -> str:
    return time.strftime(TIME_FORMAT, time.gmtime())


def _written_row(path: bytes, rewritten: dicomfile.Rewritten, seconds: float) -> Row:
    shown = shown_path(path)
    sop_class_uid = rewritten.sop_class_uid
    return (
        _now(),
        "written",
        None,
        rewritten.detail or None,
        shown,
        shown,
        rewritten.scope_id,
        sop_class_uid if _UID.fullmatch(sop_class_uid) else None,
        rewritten.transfer_syntax_uid,
        rewritten.bytes_in,
        rewritten.bytes_out,
        rewritten.sha256,
        *[rewritten.counts[column] for column in COUNT_COLUMNS],
        rewritten.warnings,
        f"{seconds:.4f}",
    )


def _machine_fault(error: Exception) -> str:
    """Why the run can't go on; "" where the fault is the file's."""
    if not isinstance(error, OSError):
        return ""
    known = MACHINE_FAULTS.get(error.errno or 0, "")
    return known or ("OUT can't be written to" if isinstance(error, OutputError) else "")


def sync_files(paths: Sequence[bytes], folder: bytes) -> None:
    """Bring files onto the disk: where the system can, all at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _SYNCFS is not None and _SYNCFS(descriptor) == 0:
            return
    finally:
        os.close(descriptor)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: bytes) -> None:
    """Bring a folder's entries onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_SYNCFS = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_MAX_MEMORY = 4 << 30
"""Bytes of address space of a worker process: a file that needs more than that fails, and the machine goes on."""
_worker: Worker | None = None


def start(setting: Setting, parent: int) -> None:
    """Make this process a worker of a run."""
    global _worker  # noqa: PLW0603 - a worker process has one setting for life
    become_worker(parent)
    _worker = Worker(setting)
    gc.freeze()  # what is there now stays: let no search for garbage go through it


def become_worker(parent: int) -> None:
    """Leave signals to the parent, a process id; do not outlive it, nor take more memory than a file may need."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if not os.environ.get("PYTHONFAULTHANDLER"):  # where nobody asked for tracebacks of crashes, loky would
        os.environ["PYTHONFAULTHANDLER"] = ""
        faulthandler.disable()
    bound, most = resource.getrlimit(resource.RLIMIT_AS)
    if not 0 <= bound <= _MAX_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def probe(job: Job) -> JobResult:
    """`Worker.probe` of this process's worker."""
    assert _worker is not None
    return _worker.probe(job)


def deidentify(job: Job) -> JobResult:
    """`Worker.deidentify` of this process's worker."""
    assert _worker is not None
    return _worker.deidentify(job)
