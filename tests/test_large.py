"""Files of gigabytes: their long values are spliced, what stands behind these is treated, and memory stays flat."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Place, names
from datasets import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    SYNTAXES,
    UNDEFINED,
    Element,
    Form,
    body_of,
    encode,
    header,
    identity,
    part10,
    sequence,
)
from measured import costs, sparse, watched

pytestmark = pytest.mark.slow

MIB, GIB = 1 << 20, 1 << 30
MOST_MB = 150
RULES = [{"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "ANON"}]
Parts = tuple[bytes | int, ...]


class Large(NamedTuple):
    """A file: what is before the long value, the value (numbers are zeros), and what is behind it, before and after."""

    before: bytes
    value: Parts
    behind: bytes
    left: bytes


def marked(size: int, marks: int = 20) -> Parts:
    """So many bytes: zeros, and among them and at the end marks that tell where they stand."""
    marked = [hashlib.sha256(b"%d" % number).digest() for number in range(marks)]
    gaps = [(size - 32 * marks) // marks] * (marks - 1)
    gaps.append(size - 32 * marks - sum(gaps))
    return tuple(part for gap, mark in zip(gaps, marked, strict=True) for part in (gap, mark))


def large(element: Element, value: Parts, form: Form = EXPLICIT, syntax: str = "") -> Large:
    """A file with names before and behind a long value, in sequences too."""

    def behind(name: bytes) -> bytes:
        patient = Element(0x00100010, "PN", name)
        private = [Element(0x7FE10010, "LO", b"ACME 1.0"), Element(0x7FE11001, "PN", name)] if form.explicit else []
        return encode([*private, sequence(0xFFFAFFFA, [patient], is_undefined=True)], form)

    head = [*identity()[:2], Element(0x00100010, "PN", b"Smith^John"), *identity()[2:]]
    if element.tag >> 16 & 1:
        head.append(Element(element.tag & 0xFFFF0000 | 0x10, "LO", b"ACME 1.0"))
    before = part10(encode([*head, element], form), syntax or SYNTAXES[form])
    return Large(before, value, behind(b"Smith^John"), behind(b"ANON"))


def native(size: int, form: Form = EXPLICIT) -> Large:
    return large(Element(0x7FE00010, "OW", b"", length=size), marked(size), form)


def encapsulated(*fragments: int) -> Large:
    parts = (part for size in fragments for part in (header(0xFFFEE000, size), *(marked(size) if size else ())))
    value = (*parts, header(0xFFFEE0DD, 0))
    return large(Element(0x7FE00010, "OB", b"", length=UNDEFINED), value, syntax=JPEG)


LARGE = {
    "a multi-frame file of 2 GB": native(2 * GIB),
    "the longest fragment and others": encapsulated(0, UNDEFINED - 1, 1000),
    "a private OB of 3 GB": large(Element(0x00411001, "OB", b"", length=3 * GIB), marked(3 * GIB)),
    "big endian": native(300 * MIB, BIG),
    "implicit VR": native(300 * MIB, IMPLICIT),
}


@pytest.fixture
def room(place: Place) -> Iterator[Place]:
    """A place with room for what is written, which is given back at once."""
    if shutil.disk_usage(place.folder).free < 12 * GIB:
        pytest.skip("too little room on the disk")
    place.configure(rules=RULES)
    yield place
    shutil.rmtree(place.out, ignore_errors=True)


def is_spliced(source: Path, out: Path, file: Large) -> bool:
    """Whether the long value is the same byte for byte, and no name is left before or behind it."""
    size = sum(part if isinstance(part, int) else len(part) for part in file.value)
    with open(source, "rb") as old, open(out, "rb") as new:
        old.seek(len(file.before))
        before = new.read(os.path.getsize(out) - size - len(file.left))
        assert before.endswith(file.before[-12:])
        assert (b"ANON" in before, b"Smith" in before) == (True, False)
        one, other = bytearray(MIB), bytearray(MIB)
        while size:
            length = min(size, MIB)
            old.readinto(memoryview(one)[:length])
            new.readinto(memoryview(other)[:length])
            assert one == other
            size -= length
        assert (old.read(), new.read()) == (file.behind, file.left)
    return True


@pytest.mark.parametrize("what", LARGE)
def test_a_large_file_takes_little_memory_and_nothing_but_its_names_is_changed(room: Place, what: str) -> None:
    file = LARGE[what]
    source, out = room.source / "file", room.out / "file"
    sparse(source, file.before, *file.value, file.behind)
    cost = costs(room, "file")[0]
    speed = source.stat().st_size / cost.seconds / 1e6
    print(f"{what}: {cost}, {speed:.0f} MB/s, {out.stat().st_blocks * 512 / 1e9:.2f} GB of disk")
    assert cost.outcome == ""
    assert cost.mb < MOST_MB
    assert is_spliced(source, out, file)


def test_a_run_over_a_large_file_is_no_larger(room: Place) -> None:
    file = native(600 * MIB)
    sparse(room.source / "file", file.before, *file.value, file.behind)
    run = watched(room.start("--no-progress"))
    print(f"{run.seconds:.1f} s, MB of the parent {run.parent_mb:.0f}, of the others {run.others_mb}")
    assert (run.returncode, run.stderr) == (0, "")
    assert is_spliced(room.source / "file", room.out / "file", file)
    assert max(run.parent_mb, *run.others_mb) < MOST_MB
    row = room.rows()["./file"]
    with open(room.out / "file", "rb") as out:
        assert row["sha256_out"] == hashlib.file_digest(out, "sha256").hexdigest()
    written = (room.out / "file").stat().st_mtime_ns
    assert room.run().returncode == 0
    assert (room.out / "file").stat().st_mtime_ns == written, "it was done again"


def test_a_large_file_that_is_cut_off_at_its_very_end_leaves_nothing(room: Place) -> None:
    for what, file in LARGE.items():
        sparse(room.source / what, file.before, *file.value, file.behind)
        os.truncate(room.source / what, (room.source / what).stat().st_size - len(file.behind) - 1)
    assert {(cost.outcome, cost.mb < MOST_MB) for cost in costs(room, *LARGE)} == {("truncated", True)}
    assert names(room.out) == set()


def test_a_deflated_file_takes_memory_in_proportion_to_what_it_inflates_to(room: Place) -> None:
    file = native(100 * MIB)
    plain = file.before[len(file.before) - len(body_of(file.before)) :]
    plain += b"".join(bytes(part) if isinstance(part, int) else part for part in file.value) + file.behind
    data = part10(plain, DEFLATED)
    sparse(room.source / "file", data)
    cost = costs(room, "file")[0]
    print(cost)  # shown where the test fails
    assert (cost.outcome, cost.mb < 400) == ("", True)
    inflated = zlib.decompress(body_of((room.out / "file").read_bytes()), -zlib.MAX_WBITS)
    assert len(inflated) == len(plain) - (len(file.behind) - len(file.left)) - 6
    assert inflated.endswith(plain[-100 * MIB - len(file.behind) : -len(file.behind)] + file.left)
    assert b"Smith" not in inflated
