"""100,000 files in one folder: a run ends with all rows in little memory, and a second one has nothing to do."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from conftest import Place
from datasets import Element, encode, part10, with_identity
from measured import watched

pytestmark = pytest.mark.slow

FILES = 100_000
STUDY = b"\x20\0\x0d\0UI\x06\0"
LINKS = 10_000
"""How many names one file has; some file systems allow 65,000."""


@pytest.fixture
def crowded(place: Place) -> Place:
    """A SOURCE of many names in one folder, of small files, one in 1,000 of which is cut off.

    These are of a study of their own: where a file is done again, all of its study are looked at for what identifies.
    """
    for number in range(FILES // LINKS):
        name = Element(0x00100010, "PN", b"Smith^%04d" % number)
        data = part10(encode(with_identity(name, Element(0x00280010, "US", 512))))
        first, broken = place.folder / f"file {number}", place.folder / f"broken {number}"
        first.write_bytes(data)
        other = data.replace(STUDY + b"1.2.3\0", STUDY + b"1.2.9\0")
        assert other != data
        broken.write_bytes(other[:-1])
        for copy in range(LINKS):
            os.link(broken if copy % 1000 == 0 else first, place.source / f"{copy:05}-{number}.dcm")
    return place


def test_a_folder_of_100_000_files_takes_little_memory_and_a_second_run_has_nothing_to_do(crowded: Place) -> None:
    broken = FILES // 1000
    first = watched(crowded.start("--no-progress"))
    print(f"first run: {FILES / first.seconds:.0f} files/s, {first.parent_mb:.0f} MB, {first.others_mb}")
    assert (first.returncode, first.stderr) == (1, "")
    assert Counter(row["reason"] for row in crowded.rows().values()) == {"": FILES - broken, "truncated": broken}
    assert len(os.listdir(crowded.out)) == FILES - broken
    assert first.parent_mb < 200
    assert max(first.others_mb) < 200
    with os.scandir(crowded.out) as outputs:
        written = {entry.name: entry.stat().st_mtime_ns for entry in outputs}

    second = watched(crowded.start("--no-progress"))
    print(f"second run: {FILES / second.seconds:.0f} files/s, {second.parent_mb:.0f} MB, {second.others_mb}")
    assert (second.returncode, second.stderr) == (1, "")
    assert second.parent_mb < 200
    assert second.cpu_seconds < first.cpu_seconds / 3
    with os.scandir(crowded.out) as outputs:
        assert {entry.name: entry.stat().st_mtime_ns for entry in outputs} == written
    assert len(crowded.rows()) == FILES
