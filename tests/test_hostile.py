"""Files made to do harm: each costs a bounded amount of memory and time and is one row; its neighbour is written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from itertools import islice, product

import pytest
from conftest import Place, lay, names
from datasets import (
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
    with_identity,
)
from measured import costs, sparse, watched

pytestmark = pytest.mark.slow

MOST_MB = {"bomb": 350, "gigabytes": 20, "deep": 250, "endless": 350, "many": 110}
MOST_SECONDS = 15
GIB = 1 << 30
Parts = tuple[bytes | int, ...]
EARLY, LATE = 0x00081110, 0x00400275
"""A sequence before the UIDs by which a file is identified, and one behind them."""


def begun(form: Form = EXPLICIT, syntax: str = "", *, early: bool = False) -> bytes:
    """A file up to its identity; with `early`, up to the sequence EARLY."""
    return part10(encode(identity()[: 2 if early else 4], form), syntax or SYNTAXES[form])


def promise(tag: int, vr: str, length: int, form: Form = EXPLICIT) -> bytes:
    """An element's header."""
    return encode([Element(tag, vr, b"", length=length)], form)


def bomb(before: bytes, unit: bytes, times: int, after: bytes = b"") -> Parts:
    """A deflated data set in which something stands so many times."""
    compress = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    first, again, last = (compress.compress(part) + compress.flush(zlib.Z_FULL_FLUSH) for part in (before, unit, after))
    empty = part10(b"", DEFLATED)
    return empty[: len(empty) - len(body_of(empty))], first, again * times, last, compress.flush()


def nested(depth: int, tag: int, vr: str, form: Form, *, is_undefined: bool) -> bytes:
    """Sequences with one item each, one inside the other."""
    one = len(promise(tag, vr, 0, form)) + 8
    sizes = [(depth - level) * one for level in range(depth)]
    if is_undefined:
        ends = header(0xFFFEE00D, 0, form) + header(0xFFFEE0DD, 0, form)
        return (promise(tag, vr, UNDEFINED, form) + header(0xFFFEE000, UNDEFINED, form)) * depth + ends * depth
    return b"".join(promise(tag, vr, size - one + 8, form) + header(0xFFFEE000, size - one, form) for size in sizes)


def tiny(count: int, form: Form = EXPLICIT, *, private: bool = False) -> bytes:
    """So many empty elements, all of other tags, of the groups behind 0021."""
    tags = (group << 16 | number for group in range(0x23 if private else 0x22, 0x7F, 2) for number in range(1, 1 << 16))
    if not form.explicit:
        return b"".join(header(tag, 0) for tag in islice(tags, count))
    return b"".join(struct.pack("<HH4s", tag >> 16, tag & 0xFFFF, b"LO\0\0") for tag in islice(tags, count))


def items(one: bytes, count: int) -> bytes:
    """A sequence in which an item stands so many times."""
    return promise(LATE, "SQ", UNDEFINED) + one * count + header(0xFFFEE0DD, 0)


ITEM, OPEN_ITEM, ITEM_END = header(0xFFFEE000, 0), header(0xFFFEE000, UNDEFINED), header(0xFFFEE00D, 0)
ACME = encode([Element(0x00410010, "LO", b"ACME")])
BACKWARDS = part10(encode(identity()[::-1]))
PIXELS = promise(0x7FE00010, "OB", UNDEFINED)
MEGABYTE = bytes(1 << 20)

BOMBS: dict[str, tuple[str, Callable[[], Parts]]] = {
    "deflated Pixel Data of 1 GB": (
        "too-large",
        lambda: bomb(encode(identity()) + promise(0x7FE00010, "OW", GIB), MEGABYTE, 1024),
    ),
    "a deflated text of 1 GB": (
        "too-large",
        lambda: bomb(encode(identity()) + promise(0x0040A160, "UT", GIB), MEGABYTE, 1024),
    ),
    "deflated items, 1 GB": (
        "too-large",
        lambda: bomb(encode(identity()) + promise(LATE, "SQ", UNDEFINED), ITEM * (1 << 17), 1024),
    ),
    "a deflated nothing of 1 GB": ("too-large", lambda: bomb(encode(identity()), MEGABYTE, 1024)),
}
GIGABYTES: dict[str, tuple[str, Callable[[], Parts]]] = {
    "a text": ("too-large", lambda: (begun(), promise(0x0040A160, "UT", GIB), GIB)),
    "a text before the identity": ("too-large", lambda: (begun(early=True), promise(0x00080119, "UC", GIB), GIB)),
    "a name": ("too-large", lambda: (begun(IMPLICIT, early=True), header(0x00100010, GIB), GIB)),
    "a character set": ("too-large", lambda: (part10(header(0x00080005, GIB), SYNTAXES[IMPLICIT]), GIB)),
    "a sequence": ("too-large", lambda: (begun(), promise(LATE, "SQ", 3 * GIB), 3 * GIB)),
    "a UN": ("too-large", lambda: (begun(), ACME, promise(0x00411001, "UN", 3 * GIB), 3 * GIB)),
    "a private OB before the identity": (
        "too-large",
        lambda: (begun(early=True), encode([Element(0x00090010, "LO", b"A")]), promise(0x00091001, "OB", GIB), GIB),
    ),
    "a promised text": ("truncated", lambda: (begun(), promise(0x0040A160, "UT", UNDEFINED - 1), GIB)),
    "a promised sequence": ("truncated", lambda: (begun(), promise(LATE, "SQ", UNDEFINED - 1), GIB)),
    "a promised OB": ("truncated", lambda: (begun(), ACME, promise(0x00411001, "OB", UNDEFINED - 1), GIB)),
    "a promised fragment": ("truncated", lambda: (begun(syntax=JPEG), PIXELS, header(0xFFFEE000, UNDEFINED - 1), GIB)),
    "zeros behind DICM": ("no-sop-uid", lambda: (bytes(128) + b"DICM", 5 * GIB)),
    "zeros alone": ("not-dicom", lambda: (5 * GIB,)),
    "File Meta Information": ("bad-file-meta", lambda: (bytes(128) + b"DICM", header(0x00020016, 0) * (GIB >> 5))),
    "an element of File Meta Information": ("too-large", lambda: (bytes(128) + b"DICM", header(0x00020102, GIB), GIB)),
}
DEEP: dict[str, tuple[str, Callable[[], Parts]]] = {
    f"{name}, {length}": ("too-deep", lambda args=args, length=length: deep(*args, length == "undefined"))
    for (name, args), length in product(
        {
            "explicit": (EXPLICIT, LATE, "SQ", b""),
            "implicit": (IMPLICIT, LATE, "SQ", b""),
            "UN": (EXPLICIT, 0x00411001, "UN", ACME),
            "before the identity": (EXPLICIT, EARLY, "SQ", None),
            "out of order": (EXPLICIT, LATE, "SQ", BACKWARDS),
        }.items(),
        ("defined", "undefined"),
    )
}


def deep(form: Form, tag: int, vr: str, before: bytes | None, is_undefined: bool) -> Parts:
    inside = nested(10_000, tag, vr, IMPLICIT if vr == "UN" else form, is_undefined=is_undefined)
    if vr == "UN":
        length = UNDEFINED if is_undefined else len(inside) - 8
        return begun(), ACME, promise(tag, vr, length), inside[8:]
    if before is None:
        return begun(early=True), inside, encode(identity()[2:])
    return (before, inside) if before else (begun(form), inside)


ENDLESS: dict[str, tuple[str, Callable[[], Parts]]] = {
    "zeros behind the data set": ("too-large", lambda: (begun(), 5 * GIB)),
    "an item of zeros, implicit": ("too-large", lambda: (begun(IMPLICIT), header(LATE, UNDEFINED), OPEN_ITEM, 5 * GIB)),
    "an early item of zeros, implicit": (
        "too-large",
        lambda: (begun(IMPLICIT, early=True), header(EARLY, UNDEFINED), OPEN_ITEM, 5 * GIB),
    ),
    "an item of zeros": ("too-large", lambda: (begun(), promise(LATE, "SQ", UNDEFINED), OPEN_ITEM, 5 * GIB)),
    "a sequence of zeros": ("bad-sequence", lambda: (begun(), promise(LATE, "SQ", UNDEFINED), 5 * GIB)),
    "a UN of zeros": ("bad-sequence", lambda: (begun(), ACME, promise(0x00411001, "UN", UNDEFINED), 5 * GIB)),
    "items": ("truncated", lambda: (begun(), promise(LATE, "SQ", UNDEFINED), ITEM * (1 << 20))),
    "open items": ("truncated", lambda: (begun(), promise(LATE, "SQ", UNDEFINED), (OPEN_ITEM + ITEM_END) * (1 << 20))),
    "elements of an item": (
        "truncated",
        lambda: (begun(), promise(LATE, "SQ", UNDEFINED), OPEN_ITEM, tiny(100_000)),
    ),
    "fragments": ("truncated", lambda: (begun(syntax=JPEG), PIXELS, ITEM * (1 << 20))),
    "fragments of zeros": ("bad-sequence", lambda: (begun(syntax=JPEG), PIXELS, 5 * GIB)),
}
MANY: dict[str, tuple[str, Callable[[], Parts]]] = {
    "elements": ("", lambda: (begun(), tiny(100_000))),
    "elements, implicit": ("", lambda: (begun(IMPLICIT), tiny(100_000, IMPLICIT))),
    "private elements": ("", lambda: (begun(), tiny(100_000, private=True))),
    "elements of the same tag": ("", lambda: (begun(), encode([Element(0x00204000, "LT")]) * 100_000)),
    "elements behind some out of order": ("", lambda: (BACKWARDS, tiny(100_000))),
    "empty items": ("", lambda: (begun(), items(ITEM, 100_000))),
    "open empty items": ("", lambda: (begun(), items(OPEN_ITEM + ITEM_END, 100_000))),
    "empty items behind elements out of order": ("", lambda: (BACKWARDS, items(ITEM, 100_000))),
    "items of one element": (
        "",
        lambda: (begun(), items(header(0xFFFEE000, 8) + encode([Element(0x00400007, "LO")]), 100_000)),
    ),
    "items, each with a character set that is none": (
        "",
        lambda: (begun(), items(_FOREIGN, 300)),
    ),
    "many fragments": (
        "",
        lambda: (
            begun(syntax=JPEG),
            PIXELS,
            (header(0xFFFEE000, 2) + b"ab") * 300_000,
            header(0xFFFEE0DD, 0),
        ),
    ),
    "values": ("", lambda: (begun(IMPLICIT, early=True), header(0x00100010, 200_000), b"a\\" * 100_000, _UIDS)),
}
_UIDS = encode(identity()[2:], IMPLICIT)
_ITEM_OF_FOREIGN = encode([
    Element(0x00080005, "CS", b"\\" * 60_000),
    *(Element(0x00400000 | number, "LO", b"\xe9" * 2) for number in range(0x100, 0x200)),
])  # fmt: skip
_FOREIGN = header(0xFFFEE000, len(_ITEM_OF_FOREIGN)) + _ITEM_OF_FOREIGN
HOSTILE = {
    f"{kind} {what}": case
    for kind, cases in {"bomb": BOMBS, "gigabytes": GIGABYTES, "deep": DEEP, "endless": ENDLESS, "many": MANY}.items()
    for what, case in cases.items()
}
INNOCENT = {"a": "CT_small.dcm", "z": "MR_small.dcm"}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_costs_little_memory_and_time_and_its_neighbour_nothing(place: Place, what: str) -> None:
    reason, parts = HOSTILE[what]
    lay(place, INNOCENT)
    sparse(place.source / "hostile", *parts())
    _, cost, neighbour = costs(place, "a", "hostile", "z")
    print(cost)  # shown where the test fails
    assert (cost.outcome, neighbour.outcome) == (reason, "")
    assert cost.mb < MOST_MB[what.partition(" ")[0]]
    assert cost.seconds < MOST_SECONDS
    assert names(place.out) == {*INNOCENT, *([] if reason else ["hostile"])}


def test_all_hostile_files_in_one_run_are_rows_and_their_neighbours_are_written(place: Place) -> None:
    lay(place, {f"{what}/{name}": origin for what in HOSTILE for name, origin in INNOCENT.items()})
    for what, (_, parts) in HOSTILE.items():
        sparse(place.source / what / "hostile", *parts())
    run = watched(place.start("--no-progress"))
    print(f"{run.seconds:.0f} s, MB of the parent and each worker: {run.parent_mb:.0f}, {run.others_mb}")
    assert (run.returncode, run.stderr) == (1, "")
    expected = {f"./{what}/hostile": reason for what, (reason, _) in HOSTILE.items()}
    expected |= {f"./{what}/{name}": "" for what in HOSTILE for name in INNOCENT}
    assert {source: row["reason"] for source, row in place.rows().items()} == expected
    assert names(place.out) == {source[2:] for source, reason in expected.items() if not reason}
    assert max(run.others_mb) < 500
    assert run.parent_mb < 200
    assert not (place.work / "tmp").exists()


def of_study(form: Form) -> list[Element]:
    """A data set with all that has a length of four bytes."""
    name = Element(0x00100010, "PN", b"Smith^John")
    return with_identity(
        sequence(0x00081110, [name], [name], is_undefined=True),
        Element(0x00080119, "UC", b"a "),
        name,
        Element(0x00410010, "LO", b"ACME"),
        Element(0x00411001, "UN", b"abcd"),
        Element(0x00411002, "OB", b"abcd"),
        sequence(0x00400275, [name, sequence(0x00400008, [name])]),
        Element(0x7FE00010, "OW", bytes(1 << 17)),
    )


LENGTHS = (UNDEFINED, UNDEFINED - 1, 0x80000000, 0x7FFFFFFE)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_no_length_of_4_gb_costs_anything_wherever_it_stands(place: Place, form: Form) -> None:
    """Each four bytes are taken for a length once, with what that makes of a header."""
    sound = part10(encode(of_study(form), form), SYNTAXES[form])
    head = len(sound) - (1 << 17)
    for position, length in product(range(132, head, 2), LENGTHS):
        data = sound[:position] + length.to_bytes(4, "little") + sound[position + 4 :]
        sparse(place.source / f"{position}-{length:08X}", data[:head], 1 << 17)
    lying = sorted(names(place.source))
    lay(place, INNOCENT)
    _, *outcomes, neighbour = costs(place, "a", *lying, "z")
    assert neighbour.outcome == ""
    assert {cost.outcome for cost in outcomes} >= {"truncated", "lying-length", "bad-length"}
    assert "internal-error" not in {cost.outcome for cost in outcomes}
    assert max(cost.mb for cost in outcomes) < 20
    assert max(cost.seconds for cost in outcomes) < 2


def test_a_group_length_of_4_gb_in_the_file_meta_information_is_not_believed(place: Place) -> None:
    lay(place, INNOCENT)
    sound = bytearray(part10(encode(identity())))
    sparse(place.source / "sound", bytes(sound))
    sound[140:144] = UNDEFINED.to_bytes(4, "little")
    sparse(place.source / "lying", bytes(sound))
    results = costs(place, "a", "sound", "lying")
    assert [cost.outcome for cost in results] == ["", "", ""]
    assert results[-1].mb < 5
    assert (place.out / "sound").read_bytes() == (place.out / "lying").read_bytes()
