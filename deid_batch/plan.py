"""Cut the files to be done into jobs: pure functions over rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import TypeVar

from deid_batch.ledger import Todo

T = TypeVar("T")
MAX_FILES = 256
MAX_BYTES = 512 << 20


@dataclass(frozen=True)
class Job:
    """Files that one worker does in one go; `names` are (path, its output's) where these differ.

    `copies` are those paths whose SOP Instance UID another file has too.
    """

    paths: tuple[bytes, ...]
    size: int = 0
    names: tuple[tuple[bytes, bytes], ...] = ()
    copies: tuple[bytes, ...] = ()
    groups: tuple[str, ...] = ()
    """The groups of patients and studies that the files belong to."""
    known: bytes = field(default=b"", repr=False)
    """What is known in these groups that identifies, sealed."""


def cut_into_jobs(files: Iterable[Todo], max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> Iterator[Job]:
    """Jobs of at most so many files and, but for single files, so many bytes; `files` come scope by scope.

    A scope that fits into a job is not divided; small scopes share one.
    """
    gathered: list[Todo] = []
    size = 0
    for _, group in groupby(files, key=lambda todo: todo.scope):
        for part in _portions(group, max_files, max_bytes):
            part_size = sum(todo.size for todo in part)
            if gathered and (len(gathered) + len(part) > max_files or size + part_size > max_bytes):
                yield _job(gathered, size)
                gathered, size = [], 0
            gathered.extend(part)
            size += part_size
    if gathered:
        yield _job(gathered, size)


def _job(files: Sequence[Todo], size: int) -> Job:
    names = tuple((todo.path, todo.name) for todo in files if todo.name)
    copies = tuple(todo.path for todo in files if todo.is_copy)
    groups = {group for todo in files for group in (todo.patient, todo.study) if group}
    return Job(tuple(todo.path for todo in files), size, names, copies, tuple(sorted(groups)))


def single_jobs(job: Job) -> Iterator[Job]:
    """A job's files, each in a job of its own."""
    for path in job.paths:
        names = tuple(pair for pair in job.names if pair[0] == path)
        copies = tuple(copy for copy in job.copies if copy == path)
        yield replace(job, paths=(path,), size=0, names=names, copies=copies)


def portions(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items, so many at a time."""
    iterator = iter(items)
    while portion := tuple(islice(iterator, size)):
        yield portion


def _portions(group: Iterable[Todo], max_files: int, max_bytes: int) -> Iterator[list[Todo]]:
    part: list[Todo] = []
    size = 0
    for todo in group:
        if part and (len(part) == max_files or size + todo.size > max_bytes):
            yield part
            part, size = [], 0
        part.append(todo)
        size += todo.size
    if part:
        yield part
