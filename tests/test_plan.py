"""The plan: jobs hold every file once, keep small scopes together and stay within their limits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.ledger import Todo
from deid_batch.plan import MAX_BYTES, MAX_FILES, Job, cut_into_jobs, portions

MAX_FILES_HERE, MAX_BYTES_HERE = 4, 100


def todo(*scopes: Iterable[int]) -> list[Todo]:
    """Files of these sizes, scope by scope."""
    return [
        Todo(f"{number:03}", f"{number:03}/{place}".encode(), size)
        for number, sizes in enumerate(scopes)
        for place, size in enumerate(sizes)
    ]


def cut(files: Iterable[Todo]) -> list[Job]:
    return list(cut_into_jobs(files, MAX_FILES_HERE, MAX_BYTES_HERE))


def shape(jobs: Iterable[Job]) -> list[int]:
    return [len(job.paths) for job in jobs]


scopes = st.lists(st.lists(st.integers(0, 130), min_size=1, max_size=12), max_size=12)


@given(scopes)
def test_every_file_is_in_one_job_and_in_order(sizes: list[list[int]]) -> None:
    files = todo(*sizes)
    jobs = cut(files)
    assert [path for job in jobs for path in job.paths] == [file.path for file in files]
    assert sum(job.size for job in jobs) == sum(file.size for file in files)


@given(scopes)
def test_no_job_goes_beyond_the_limits_but_for_a_single_file(sizes: list[list[int]]) -> None:
    for job in cut(todo(*sizes)):
        assert 1 <= len(job.paths) <= MAX_FILES_HERE
        assert job.size <= MAX_BYTES_HERE or len(job.paths) == 1


@given(scopes)
def test_a_scope_that_fits_into_a_job_is_not_divided(sizes: list[list[int]]) -> None:
    files = todo(*sizes)
    job_of = {path: number for number, job in enumerate(cut(files)) for path in job.paths}
    for _, group in groupby(files, key=lambda file: file.scope):
        members = list(group)
        if len(members) <= MAX_FILES_HERE and sum(file.size for file in members) <= MAX_BYTES_HERE:
            assert len({job_of[file.path] for file in members}) == 1


@pytest.mark.parametrize(
    ("sizes", "jobs"),
    [
        ([], []),
        ([[1]], [1]),
        ([[1], [1], [1], [1], [1]], [4, 1]),
        ([[1, 1, 1], [1, 1]], [3, 2]),
        ([[60], [60], [60]], [1, 1, 1]),
        ([[1] * 9], [4, 4, 1]),
        ([[500], [1], [1]], [1, 2]),
        ([[1, 500, 1]], [1, 1, 1]),
        ([[0] * 3, [0]], [4]),
    ],
)
def test_small_scopes_share_a_job_and_large_ones_are_divided(sizes: list[list[int]], jobs: list[int]) -> None:
    assert shape(cut(todo(*sizes))) == jobs


def test_files_without_a_scope_are_planned_too() -> None:
    assert shape(cut([Todo("", b"a", 1), Todo("", b"b", 1)])) == [2]


def test_files_are_taken_as_they_are_needed() -> None:
    taken = []

    def endless() -> Iterable[Todo]:
        for number in range(10**9):
            taken.append(number)
            yield Todo(str(number), b"%d" % number, 1)

    jobs = cut_into_jobs(endless())
    assert next(jobs).size == MAX_FILES
    assert len(taken) <= 2 * MAX_FILES
    assert MAX_BYTES > 0


@given(st.lists(st.integers(), max_size=20), st.integers(1, 7))
def test_portions_are_the_items_so_many_at_a_time(items: list[int], size: int) -> None:
    parts = list(portions(items, size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)
