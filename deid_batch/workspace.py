"""The places of a run: SOURCE, OUT, the work directory beside it, and the area for temporary files."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from deid_batch.audit import is_audit_log, is_table
from deid_batch.errors import SourceError, StoppedEarly, UsageError

LEDGER_NAME = "ledger.sqlite"
_LOCK_NAME = "lock"
_SETTING = "setting-"
_CHECK = "verify-"
INTENDED = b"names-"
"""What files in an area for temporary files begin with that hold names of outputs, each ended by NUL."""
_RETIRED = "retired-"


def check_places(source: str, out: str, work: str, audit: str) -> None:
    """Raise SourceError where there is nothing to read, UsageError where places lie inside each other."""
    if not os.path.exists(source):
        raise SourceError("SOURCE does not exist")
    if not os.access(source, os.R_OK | (os.X_OK if os.path.isdir(source) else 0)):
        raise SourceError("SOURCE can't be read")
    if os.path.exists(out) and not os.path.isdir(out):
        raise UsageError("OUT is a file; it must be a directory, or not be there yet")
    if is_within(out, source) or is_within(source, out):
        raise UsageError("OUT must not be SOURCE, lie inside it or hold it")
    for name, place in (("the work directory", work), ("the audit log", audit)):
        if place:
            check_outside(name, place, source, out)
    if os.path.exists(work) and not os.path.isdir(work):
        raise UsageError("the work directory is a file; it must be a directory, or not be there yet")
    if os.path.exists(audit) and not is_audit_log(audit):
        raise UsageError("the audit log would take the place of something that is no audit log")
    if not is_within(audit, work) and not os.path.isdir(os.path.dirname(os.path.abspath(audit))):
        raise UsageError("the folder of the audit log does not exist")


def check_report(report: str, source: str, out: str, columns: Sequence[str]) -> None:
    """Raise UsageError where a report can't be written, or would take the place of something else."""
    if is_within(report, out) or is_within(report, source):
        raise UsageError("the report must lie outside SOURCE and OUT: OUT is what gets handed out")
    if os.path.lexists(report) and not is_table(report, columns):
        raise UsageError("the report would take the place of something that is no report")


def check_outside(name: str, place: str, source: str, out: str) -> None:
    """Raise UsageError where a place lies in SOURCE or OUT."""
    if is_within(place, out) or is_within(place, source):
        raise UsageError(f"{name} must lie outside SOURCE and OUT: OUT is what gets handed out")


def prepare_work(work: str, out: str, *, overwrite: bool) -> None:
    """Make the work directory, mode 0700. One that holds something else, or an OUT of unknown origin, is refused."""
    if not os.path.exists(os.path.join(work, LEDGER_NAME)):
        if not _is_empty(work, but=_LOCK_NAME):
            raise UsageError("the work directory holds something else; name an empty one with --work")
        if not _is_empty(out) and not overwrite:
            raise UsageError("OUT holds files that no run known here wrote; choose another OUT, or --overwrite")
    try:
        os.makedirs(work, mode=0o700, exist_ok=True)
        os.chmod(work, 0o700)
    except OSError as error:
        raise StoppedEarly(f"the work directory can't be made ({error.strerror})") from None


def prepare_out(out: str) -> None:
    """Make OUT, if it is not there."""
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise StoppedEarly(f"OUT can't be made ({error.strerror})") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise StoppedEarly("OUT can't be written to")


def _is_empty(folder: str, but: str = "") -> bool:
    """Whether nothing stands in a folder (but perhaps one file), or it is not there."""
    return not os.path.isdir(folder) or set(os.listdir(folder)) <= {but}


_held: set[int] = set()
"""Descriptors of locks. A forked process lets go of them, so that a lock ends with the process that took it."""


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def _lockable(path: str, flags: int) -> Iterator[int]:
    """An open descriptor that only this process has."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    _held.add(descriptor)
    try:
        yield descriptor
    finally:
        _held.remove(descriptor)
        os.close(descriptor)


@contextmanager
def locked(work: str) -> Iterator[None]:
    """Hold the work directory. Another run that holds it raises StoppedEarly; a dead one's lock is void."""
    with _lockable(os.path.join(work, _LOCK_NAME), os.O_RDWR | os.O_CREAT) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 300, 0).decode(errors="replace").strip() or "unknown"
            raise StoppedEarly(f"another run holds OUT ({owner})") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


@contextmanager
def out_locked(out: str) -> Iterator[None]:
    """Hold OUT itself, where its file system can: a run with another work directory raises StoppedEarly."""
    with _lockable(out, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        with suppress(OSError):  # as NFS says of directories
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoppedEarly("another run holds OUT, with another work directory") from None
        yield


def lock_owner(work: str) -> tuple[int, str] | None:
    """(process id, host) of the run that holds a work directory, or was killed when it did; None: nobody."""
    try:
        with open(os.path.join(work, _LOCK_NAME), encoding="utf-8", errors="replace") as file:
            match = re.fullmatch(r"pid (\d+) on (\S+)", file.read(300).strip())
    except OSError:
        return None
    return (int(match[1]), match[2]) if match else None


def may_live(pid: int, host: str) -> bool:
    """Whether a process may still be there, as one of another host may."""
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return True


@contextmanager
def setting_file(work: str, contents: bytes) -> Iterator[str]:
    """A file of mode 0600 in the work directory, of a name that no earlier one had; gone at the end."""
    path = os.path.join(work, _SETTING + secrets.token_hex(8))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(contents)
        yield path
    finally:
        os.unlink(path)


def remove_setting_files(work: str) -> None:
    """Take away what runs that were killed have left of these."""
    for name in os.listdir(work):
        if name.startswith(_SETTING):
            os.unlink(os.path.join(work, name))


@contextmanager
def folder_of_check(work: str) -> Iterator[str]:
    """A folder of mode 0700 in the work directory for what a leak check knows; gone at the end.

    What checks that were killed have left goes first.
    """
    remove_folders_of_checks(work)
    with tempfile.TemporaryDirectory(prefix=_CHECK, dir=work) as folder:
        yield folder


def remove_folders_of_checks(work: str) -> None:
    """Take away what leak checks that were killed have left."""
    for name in os.listdir(work):
        if name.startswith(_CHECK):
            _remove_tree(os.path.join(work, name))


def folds_names(area: str) -> bool:
    """Whether the file system takes names for the same that differ in case only."""
    probe = os.path.join(area, "case-probe")
    with open(probe, "xb"):
        pass
    try:
        return os.path.exists(os.path.join(area, "CASE-PROBE"))
    finally:
        os.unlink(probe)


@contextmanager
def temporary_area(work: str, out: str) -> Iterator[str]:
    """An empty folder on the file system of OUT, and outside it where that can be; gone at the end.

    No two runs have the same: workers that have lost their run can't bring anything under OUT any more.
    """
    place = _place_for_temporary_files(work, out)
    _remove_tree(place)
    area = os.path.join(place, secrets.token_hex(8))
    try:
        try:
            for folder in (place, area):
                os.mkdir(folder, 0o700)
        except OSError as error:
            raise StoppedEarly(f"OUT can't be written to ({error.strerror})") from None
        yield area
    finally:
        _remove_tree(place)


def intended_names(work: str, out: str) -> Iterator[bytes]:
    """The outputs that runs which did not end well were about to bring under OUT, or have brought there.

    Their areas get other names first, so that workers that are left can't bring anything there any more.
    """
    place = _place_for_temporary_files(work, out)
    if not os.path.isdir(place):
        return
    for name in os.listdir(place):
        area = os.path.join(place, name)
        if not name.startswith(_RETIRED):
            area = os.path.join(place, _RETIRED + name)
            os.rename(os.path.join(place, name), area)
        for noted in os.listdir(os.fsencode(area)):
            if noted.startswith(INTENDED):
                yield from _ended_by_nul(os.path.join(os.fsencode(area), noted))


def _ended_by_nul(path: bytes) -> Iterator[bytes]:
    """The parts of a file; what is behind the last NUL was never completed."""
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(1 << 16):
            *parts, rest = (rest + chunk).split(b"\0")
            yield from parts


def unlink_in(out: bytes, names: Iterable[bytes], *, prune: bool = False) -> None:
    """Take files of OUT away, if they are there; with `prune` also folders of theirs that are empty then."""
    for name in names:
        output = os.path.join(out, name)
        if name and os.path.isfile(output):
            os.unlink(output)
        while prune and (name := os.path.dirname(name)):
            try:
                os.rmdir(os.path.join(out, name))
            except OSError:
                break


def _remove_tree(folder: str) -> None:
    """Take a folder away, though others may be adding files to it."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            break


def _place_for_temporary_files(work: str, out: str) -> str:
    device = os.stat(out).st_dev
    if os.stat(work).st_dev == device:
        return os.path.join(work, "tmp")
    parent, name = os.path.split(os.path.realpath(out))
    if os.stat(parent).st_dev == device:
        return os.path.join(parent, f".{name}.deid-tmp")
    return os.path.join(out, ".deid-tmp")


def is_within(inner: str, outer: str) -> bool:
    """Whether `inner` is `outer` or lies below it, by whatever names they are called."""
    place, goal = os.path.realpath(inner), os.path.realpath(outer)
    while True:
        if place == goal or (os.path.exists(place) and os.path.exists(goal) and os.path.samefile(place, goal)):
            return True
        parent = os.path.dirname(place)
        if parent == place:
            return False
        place = parent
