"""The list of all distinct values that are left in a tree of DICOM files, for somebody to look through."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

from deid_batch import remains, worker
from deid_batch.audit import csv_line, shown_path
from deid_batch.config.selectors import parse_any, parse_vr
from deid_batch.errors import FileError, SourceError, StoppedEarly, UsageError
from deid_batch.plan import Job, portions
from deid_batch.pool import local_pool, run_jobs
from deid_batch.progress import Progress
from deid_batch.remains import Wanted
from deid_batch.remnants import Attribute, Remnant, names_of
from deid_batch.scan import Passed, find_files
from deid_batch.tally import MOST_PATIENTS, Distinct, Found, Seen, Tally, key_of, see
from deid_batch.values import uids
from deid_batch.workspace import is_within

COLUMNS = (
    "points", "value", "kind", "patients", "files", "occurrences", "tag", "keyword", "vr", "creator", "reasons",
)  # fmt: skip
_FILES_OF_A_JOB = 64
_FILE_NAME, _FOLDER_NAME, _NOT_READ = (
    Attribute("", f"({what})", 0, "") for what in ("file name", "folder name", "file that was not read")
)


class Reviewed(NamedTuple):
    """What was looked at."""

    files: int
    unread: int
    patients: int
    rows: int


@dataclass(frozen=True)
class Setting:
    """What all jobs of a review have in common."""

    root: bytes
    wanted: Wanted


@dataclass
class Part:
    """What a job saw."""

    tally: dict[Distinct, Seen] = field(default_factory=dict)
    patients: set[bytes] = field(default_factory=set)
    unread: int = 0


_setting: Setting | None = None


def start(setting: Setting, parent: int) -> None:
    """Make this process a worker of a review."""
    global _setting  # noqa: PLW0603 - a worker process has one setting for life
    worker.settle_in(parent)
    _setting = setting


def look(job: Job) -> Part:
    """What is left in some files. One that can't be read is told, and its name is."""
    assert _setting is not None
    root, wanted = _setting.root, _setting.wanted
    part = Part()
    for path in job.paths:
        counts: list[tuple[Remnant, int]] = []
        try:
            place = os.path.join(root, path) if os.path.isdir(root) else root
            left = remains.remains_of(place, wanted)
        except (FileError, OSError) as error:
            reason = error.reason if isinstance(error, FileError) else "unreadable"
            patient = key_of(f"\0{shown_path(path)}")
            counts.append((Remnant(_NOT_READ, "unread", f"{shown_path(path)}: {reason}"), 1))
            part.unread += 1
        else:
            patient = key_of(left.patient or f"\0{shown_path(path)}")
            part.patients.add(patient)
            counts += left.counts.items()
        if wanted.is_all:
            counts += ((remnant, 1) for remnant in _names(path, every=wanted.every))
        see(part.tally, counts, patient)
    return part


def _names(path: bytes, *, every: bool) -> Iterator[Remnant]:
    """The names of a file and of the folders it is in."""
    *folders, name = shown_path(path).split("/")[1:]
    stem = name.rpartition(".")[0] if name.endswith(".dcm") else name
    if uids.is_uid(stem) and "." in stem and not every:
        yield Remnant(_FILE_NAME, "UIDs")
    else:
        yield Remnant(_FILE_NAME, "value", name)
    for folder in folders:
        is_uid = uids.is_uid(folder) and "." in folder and not every
        yield Remnant(_FOLDER_NAME, "UIDs") if is_uid else Remnant(_FOLDER_NAME, "value", folder)


def review(out: str, output: str, jobs: int, wanted: Wanted, progress: Progress) -> Reviewed:
    """Write the list of what is left under OUT to a file that is not there yet, or to stdout where `output` is ""."""
    if not os.path.exists(out):
        raise SourceError("OUT does not exist")
    if output and is_within(output, out):
        raise UsageError("the list must lie outside OUT: OUT is what gets handed out")
    with _opened(output) as file, closing(Tally()) as tally:
        reviewed = _looked_at(os.fsencode(out), jobs, wanted, tally, progress)
        file.write(csv_line(COLUMNS))
        file.writelines(csv_line(_cells(found)) for found in tally.ranked())
    return reviewed


def _looked_at(root: bytes, jobs: int, wanted: Wanted, tally: Tally, progress: Progress) -> Reviewed:
    """Have all files looked at."""
    files = passed = unread = 0
    for entry in find_files(root):
        files += 1
        if isinstance(entry, Passed):
            tally.add(_unread(entry.path, entry.reason))
            passed += 1
    found = (entry.path for entry in find_files(root) if not isinstance(entry, Passed))
    cut = (Job(paths) for paths in portions(found, _FILES_OF_A_JOB))
    with local_pool(jobs, Setting(root, wanted), start, {"look": look}) as pool, progress.phase("Review", files) as on:
        for job, answer in run_jobs(pool, "look", cut, lambda: True):
            part = answer or Part(_unread(job.paths[0], "worker-died"), unread=1)
            tally.add(part.tally)
            tally.patient(part.patients)
            unread += part.unread
            on(len(job.paths), job.size, part.unread)
    if unread + passed == files:
        raise SourceError("OUT holds no DICOM file that can be read")
    return Reviewed(files, passed + unread, tally.patients(), tally.values())


def _unread(path: bytes, reason: str) -> dict[Distinct, Seen]:
    shown = shown_path(path)
    return {Distinct(_NOT_READ, "unread", f"{shown}: {reason}"): Seen(0, 0, 1, 1, {key_of(f"\0{shown}")})}


@contextmanager
def _opened(output: str) -> Iterator[TextIO]:
    """A new file of mode 0600, which does not stay unless all goes well; or stdout."""
    if not output:
        yield sys.stdout
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError("the file for the list is there already") from None
    except OSError as error:
        raise StoppedEarly(f"the list can't be written ({error.strerror})") from None
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
    except BaseException:
        os.unlink(output)
        raise


def _cells(found: Found) -> Iterable[object]:
    (attribute, kind, value), seen = found.distinct, found.seen
    tag, keyword = names_of(attribute.tag, attribute.creator) if attribute.tag else ("", "")
    patients = f"{found.patients} or more" if found.patients == MOST_PATIENTS else found.patients
    return (
        found.points,
        value or _sum(kind, seen.low, seen.high),
        kind,
        patients,
        seen.files,
        seen.occurrences,
        attribute.tags + tag,
        attribute.keywords + keyword,
        attribute.vr,
        attribute.creator,
        found.reasons,
    )


def _sum(kind: str, low: float, high: float) -> str:
    if kind not in ("numbers", "bytes"):
        return ""
    return f"{low:,.12g}" if low == high else f"{low:,.12g} to {high:,.12g}"


def wanted_of(elements: Iterable[str], vrs: Iterable[str], *, every: bool) -> Wanted:
    """What is asked for on the command line; what is no element or no VR raises UsageError."""
    try:
        selectors = tuple(parse_any(element.strip()) for element in elements)
        return Wanted(selectors, frozenset(parse_vr(vr.strip()).vr for vr in vrs), every)
    except ValueError as error:
        raise UsageError(str(error)) from None
