"""The way of one file, inside a worker process: read, de-identify, sync, rename. Never raises for a file's sake."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import gc
import json
import os
import re
import resource
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from deid_batch import crosswalk, crypto, dicomfile, dictionary, names
from deid_batch.audit import COLUMNS, TIME_FORMAT, shown_path
from deid_batch.digests import Hasher
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError, OutputError, SetAside, Unreadable
from deid_batch.identity import Groups, groups_of, person_of
from deid_batch.known import Identity, Known
from deid_batch.ledger import Said, Scoped
from deid_batch.methods import Instance
from deid_batch.methods.base import COLUMNS as COUNT_COLUMNS
from deid_batch.plan import Job
from deid_batch.rules import RuleSet
from deid_batch.sinks import FileSink
from deid_batch.workspace import INTENDED

if TYPE_CHECKING:
    from deid_batch.config.ignored import Ignored
    from deid_batch.verify.comparison import Checker

Row = tuple[object, ...]


class Prepared(NamedTuple):
    """A file that is written but has not its final name yet: `name` is that, from OUT."""

    path: bytes
    name: bytes
    temporary: bytes
    rewritten: dicomfile.Rewritten
    seconds: float


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
    group_key: bytes = field(default=b"", repr=False)
    """What names groups of files, and seals what is known in them: another one in each work directory."""
    strict: bool = False
    dry_run: bool = False
    file_timeout: float = 0.0
    """Seconds that one file may take; 0: any time."""
    forgotten: frozenset[str] = frozenset()
    """Patients whose files are not to be done any more: groups, or people."""
    verify: bool = False
    """Whether each output is looked through for leaks before it appears."""
    false_alarms: tuple[Ignored, ...] = ()
    names: names.Names = "mirror"
    """What outputs are called: as their files in SOURCE, or as their own identity says."""

    def file(self, path: bytes) -> bytes:
        """Where a file of SOURCE stands; SOURCE may be the file itself."""
        return os.path.join(self.source, path) if self._is_folder else self.source

    @cached_property
    def _is_folder(self) -> bool:
        return os.path.isdir(self.source)


@dataclass
class JobResult:
    """What became of the files of a job: for each its path and audit row; `fault` says why the machine gave up."""

    rows: list[tuple[bytes, Row]] = field(default_factory=list)
    scopes: list[Scoped] = field(default_factory=list)
    lookups: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What lists say of each file."""
    instances: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Marks of SOP Instance UIDs, where names are made of these."""
    names: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Paths of outputs that are not known from the job."""
    said: bytes = field(default=b"", repr=False)
    """What the files say that identifies, sealed."""
    hits: Counter[int] = field(default_factory=Counter)
    size: int = 0
    fault: str = ""


def _checker(setting: Setting) -> Checker | None:
    """The leak check, which takes pydicom along; None where it is not wanted."""
    if not setting.verify:
        return None
    from deid_batch.verify.comparison import Checker  # noqa: PLC0415 - takes long to load
    from deid_batch.verify.promises import Promises  # noqa: PLC0415

    return Checker(Promises(setting.rules, setting.false_alarms))


class Acquaintance:
    """What a job knows of the patients and studies of its files."""

    def __init__(self, known: bytes, key: bytes, compiled: CompiledRules) -> None:
        self._key, self._compiled = key, compiled
        self._said: dict[str, set[Identity]] = {}
        for group, kind, text in unsealed(key, known):
            self._said.setdefault(group, set()).add(Identity(kind, text))  # type: ignore[arg-type]
        self._known: dict[Groups, Known] = {}

    def __call__(self, instance: Instance) -> Known | None:
        """What is known of an instance; None where it can't tell its groups, or has others than it had before."""
        groups = groups_of(instance, self._key)
        names = [group for group in groups if group]
        if not names or not self._said.keys() >= set(names):
            return None
        known = self._known.get(groups)
        if known is None:
            known = self._known[groups] = self._compiled.known(set().union(*(self._said[name] for name in names)))
        return known


def sealed(key: bytes, said: Iterable[Said]) -> bytes:
    """What identifies, for the way between processes: only who has the key can read it."""
    return crypto.seal(key, json.dumps(sorted(said)).encode()) if said else b""


def unsealed(key: bytes, known: bytes) -> list[Said]:
    """What `sealed` was given."""
    return [(group, kind, text) for group, kind, text in json.loads(crypto.opened(key, known))] if known else []


class Worker:
    """What one process needs to do jobs."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._compiled = CompiledRules(setting.rules, strict=setting.strict)
        self._checker = _checker(setting)
        self._all_copies = names.may_merge(setting.rules)
        self._hasher = Hasher()
        self._alike = dicomfile.alike()
        self._number = 0
        self._prefix = secrets.token_hex(8).encode()

    def probe(self, job: Job) -> JobResult:
        """Take a first look at files: the scope of each, or the row of one that can't be done."""
        result = JobResult(size=job.size)
        said: set[Said] = set()
        for path in job.paths:
            began = time.monotonic()
            try:
                with self._timed():
                    found = dicomfile.probe(self._setting.file(path), self._setting.rules, self._alike)
                groups = groups_of(found.instance, self._setting.group_key)
                person = person_of(found.instance.patient.partition("\0")[2], self._setting.group_key)
                if self._setting.forgotten & {groups.patient, person}:
                    raise SetAside("forgotten")
            except Exception as error:  # the rim: whatever goes wrong with a file is a row
                result.fault = _machine_fault(error)
                if result.fault:
                    break
                result.rows.append((path, failure_row(path, error, time.monotonic() - began)))
            else:
                instance = found.instance
                result.scopes.append(Scoped(path, self._compiled.scope_id(instance), *groups, person))
                said.update((group, *identity) for group in groups if group for identity in found.said)
                if self._setting.names == "uid":
                    result.instances.append((path, names.mark_of(instance, self._setting.rules.uid_key)))
                if instance.origins:
                    result.lookups.append((path, self._marked(instance.origins)))
        result.said = sealed(self._setting.group_key, said)
        return result

    def cross(self, job: Job) -> JobResult:
        """What IDs and UIDs of files became: (patient's group, kind, old NUL new), sealed; rows of unreadable ones."""
        result = JobResult(size=job.size)
        pairs: set[Said] = set()
        given = dict(job.names)
        for path in job.paths:
            try:
                with self._timed():
                    instance = dicomfile.identity_of(self._setting.file(path))
                    old = dicomfile.values_of(self._setting.file(path), crosswalk.TAGS)
                    new = dicomfile.values_of(self._final(given.get(path, path)), crosswalk.TAGS)
            except Exception as error:  # the rim: whatever goes wrong with a file is a row
                result.fault = _machine_fault(error)
                if result.fault:
                    break
                result.rows.append((path, failure_row(path, error)))
                continue
            patient = groups_of(instance, self._setting.group_key).patient
            for tag in old.keys() & new.keys():
                if len(old[tag]) == len(new[tag]):
                    found = zip(old[tag], new[tag], strict=True)
                    pairs.update((patient, crosswalk.kind_of(tag), "\0".join(pair)) for pair in found)
        result.said = sealed(self._setting.group_key, pairs)
        return result

    def _marked(self, origins: tuple[str, ...]) -> bytes:
        """What lists say of a file's values, without them."""
        rules = self._setting.rules
        pairs = zip(rules.lookups, origins, strict=True)
        return b"".join(lookup.mark(origin, rules.uid_key) for lookup, origin in pairs)

    def deidentify(self, job: Job) -> JobResult:
        """De-identify files: written one by one; synced together while the next ones are written, then renamed."""
        result = JobResult(size=job.size)
        acquaintance = Acquaintance(job.known, self._setting.group_key, self._compiled)
        given, copies = dict(job.names), frozenset(job.copies)
        with ThreadPoolExecutor(1) as syncer:
            publication = _Publication(self, syncer, result)
            for path in job.paths:
                began = time.monotonic()
                try:
                    with self._timed():
                        name = given.get(path, path)
                        temporary, rewritten, name = self._prepare(path, name, path in copies, acquaintance)
                except Exception as error:  # the rim: whatever goes wrong with a file is a row
                    result.fault = _machine_fault(error)
                    if result.fault:
                        break
                    result.rows.append((path, failure_row(path, error, time.monotonic() - began)))
                    continue
                result.hits.update(rewritten.hits)
                if self._setting.names == "uid":
                    result.names.append((path, name))
                publication.add(Prepared(path, name, temporary, rewritten, time.monotonic() - began))
                if result.fault:
                    break
            publication.finish()
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

    def _prepare(
        self, path: bytes, name: bytes, is_copy: bool, acquaintance: Acquaintance
    ) -> tuple[bytes, dicomfile.Rewritten, bytes]:
        """Write the de-identified form of a file to a temporary one; and the name of its output.

        If asked to, it is looked through for leaks.
        """
        self._number += 1
        temporary = os.path.join(self._setting.temporary, b"%s-%d" % (self._prefix, self._number))
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(error.errno, os.strerror(error.errno or 0)) from None
        try:
            sink = FileSink(descriptor, self._hasher)
            file = self._setting.file(path)
            rewritten = dicomfile.rewrite(file, sink, self._compiled, acquaintance=acquaintance)
            if self._setting.names == "uid":
                name = self._own_name(path, temporary, rewritten, is_copy)
            if self._checker is not None:
                self._checker.refuse_leaks(file, temporary, os.fsdecode(name))
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
        return temporary, rewritten, name

    def _own_name(self, path: bytes, temporary: bytes, rewritten: dicomfile.Rewritten, is_copy: bool) -> bytes:
        """The name that an output's own identity gives it."""
        instance = replace(dicomfile.identity_of(temporary), sop_instance_uid=rewritten.sop_instance_uid)
        is_copy = is_copy or self._all_copies
        return names.name_of(instance, names.ending_of(path, self._setting.rules.uid_key) if is_copy else "")

    def begin_sync(self, prepared: Sequence[Prepared], syncer: ThreadPoolExecutor) -> Future[None]:
        """Bring temporary files, and where they are to go, onto the disk; it also takes to have their digests."""
        digested = self._hasher.flush()
        if self._setting.dry_run:
            return digested
        self._check_out()
        for folder in {os.path.dirname(file.name) for file in prepared}:
            self._make_folder(folder)
        intended = self._intended(file.name for file in prepared)
        paths = [*(file.temporary for file in prepared), intended]
        return syncer.submit(self._synced, paths, digested)

    def _synced(self, paths: Sequence[bytes], digested: Future[None]) -> None:
        sync_files(paths, self._setting.temporary)
        digested.result()

    def published(self, prepared: Sequence[Prepared]) -> list[tuple[bytes, Row]]:
        """Give files that are on the disk their final names; the rows of all."""
        if self._setting.dry_run:
            for file in prepared:
                os.unlink(file.temporary)
            return [(file.path, _written_row(file)) for file in prepared]
        self._check_out()
        return [(file.path, self._renamed(file)) for file in prepared]

    def sync_names(self, folders: Iterable[bytes]) -> None:
        """Bring the final names of files in folders of OUT onto the disk."""
        if not self._setting.dry_run:
            sync_files([*filter(os.path.isdir, map(self._final, folders))], self._setting.temporary)

    def _intended(self, names: Iterable[bytes]) -> bytes:
        """Note names under which files will stand in OUT, for the next run if this one ends before it knows of them."""
        noted = os.path.join(self._setting.temporary, INTENDED + self._prefix)
        with open(noted, "ab") as file:
            file.write(b"".join(name + b"\0" for name in names))
        return noted

    def _final(self, name: bytes) -> bytes:
        return os.path.join(self._setting.out, name)

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

    def _renamed(self, file: Prepared) -> Row:
        """Give a file its final name: its row, or another one where it can't have that name."""
        try:
            os.replace(file.temporary, self._final(file.name))
        except OSError as error:
            os.unlink(file.temporary)
            return self._bad_name_row(file.path, error)
        return _written_row(file)

    def _bad_name_row(self, path: bytes, error: OSError) -> Row:
        """The row of a file that OUT has no room for under its name; any other fault is raised again."""
        if error.errno not in _BAD_NAME | _TAKEN_NAME:
            raise error
        self._check_out()
        if error.errno in _TAKEN_NAME:
            return failure_row(path, FileError("name-collision", "a file and a folder of OUT would have the same name"))
        return failure_row(path, FileError("bad-name", os.strerror(error.errno or 0)))


class _Publication:
    """The files of a job on their way from the temporary area to OUT, in groups: one is synced, the next one grows."""

    def __init__(self, worker: Worker, syncer: ThreadPoolExecutor, result: JobResult) -> None:
        self._worker, self._syncer, self._result = worker, syncer, result
        self._growing: list[Prepared] = []
        self._size = 0
        self._syncing: list[Prepared] = []
        self._synced: Future[None] | None = None
        self._folders: set[bytes] = set()

    def add(self, file: Prepared) -> None:
        """Take in a file that is written."""
        self._growing.append(file)
        self._size += file.rewritten.bytes_out
        is_enough = len(self._growing) >= _FEWEST_SYNCED or self._size >= _LEAST_SYNCED
        if is_enough and (self._synced is None or self._synced.done()):
            self._step()

    def finish(self) -> None:
        """Have all files in OUT, and on the disk there."""
        self._step()
        self._step()
        with self._faults_told():
            self._worker.sync_names(self._folders)

    def _step(self) -> None:
        """Publish the group that is synced, and sync the one that grew."""
        synced, self._synced = self._synced, None
        syncing, self._syncing, self._growing, self._size = self._syncing, self._growing, [], 0
        with self._faults_told():
            if synced is not None:
                synced.result()
                self._result.rows.extend(self._worker.published(syncing))
                self._folders.update(os.path.dirname(file.name) for file in syncing)
        with self._faults_told():
            if self._syncing:
                self._synced = self._worker.begin_sync(self._syncing, self._syncer)

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        """What OUT can't take is the machine's fault: the job ends."""
        try:
            yield
        except OSError as error:
            fault = _machine_fault(error) or f"OUT can't be written to ({os.strerror(error.errno or errno.EIO)})"
            self._result.fault = self._result.fault or fault


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


def _written_row(file: Prepared) -> Row:
    shown, rewritten = shown_path(file.path), file.rewritten
    sop_class_uid = rewritten.sop_class_uid
    return (
        _now(),
        "written",
        None,
        rewritten.detail or None,
        shown,
        shown if file.name == file.path else shown_path(file.name),
        rewritten.scope_id,
        sop_class_uid if _UID.fullmatch(sop_class_uid) else None,
        rewritten.transfer_syntax_uid,
        rewritten.bytes_in,
        rewritten.bytes_out,
        rewritten.sha256,
        *[rewritten.counts[column] for column in COUNT_COLUMNS],
        rewritten.warnings,
        f"{file.seconds:.4f}",
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
    """Make this process a worker."""
    global _worker  # noqa: PLW0603 - a worker process has one setting for life
    settle_in(parent)
    _worker = Worker(setting)
    gc.freeze()  # what is there now stays: let no search for garbage go through it


def settle_in(parent: int) -> None:
    """Let this process leave signals to its parent, a process id, and not outlive it nor take all memory."""
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


def cross(job: Job) -> JobResult:
    """`Worker.cross` of this process's worker."""
    assert _worker is not None
    return _worker.cross(job)
