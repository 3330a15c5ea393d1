"""Real files, broken in every way: each is read whole and written sound, or fails with a reason.

What is whole and sound is judged by a reader of its own, below, which knows nothing of the package. Case N is the same
in every run: `python tests/test_fuzz_files.py N` tells what becomes of it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from conftest import PYDICOM, SCANNERS
from datasets import MEMORY
from pydicom.datadict import dictionary_VR

from deid_batch.config import load_config
from deid_batch.dicomfile import rewrite
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError
from deid_batch.sinks import MemorySink

# ---- a strict reader (PS3.5 7, A; PS3.10 7.1) ----

UNDEFINED, LONGEST = 0xFFFFFFFF, 0xFFFFFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
pytestmark = pytest.mark.slow
TEXT = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
LONG = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VRS = TEXT | LONG | frozenset("AT FD FL SL SS UL US".split())
IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


class Unsound(Exception):
    """Not readable from the first byte to the last, each length within its container."""


class Span(NamedTuple):
    """An element or item: where it begins, where and how wide its length is, and its value."""

    pos: int
    length_at: int
    length_size: int
    start: int
    stop: int
    tag: int
    vr: str


class Reader:
    """Reads a data set: `spans` of all elements and items, those within others first."""

    def __init__(self, data: bytes, syntax: str) -> None:
        self._data = data
        self.spans: list[Span] = []
        guessed = not syntax and data[4:6].decode("latin-1") not in VRS
        explicit = syntax != IMPLICIT and not guessed
        little = syntax != BIG and (bool(syntax) or not explicit or data[1:2] == b"\0")
        self._elements(0, len(data), explicit, "little" if little else "big", 0, delimited=False)

    def _number(self, pos: int, size: int, end: int, order: str) -> int:
        if pos + size > end:
            raise Unsound("a header is cut off")
        return int.from_bytes(self._data[pos : pos + size], order)

    def _tag(self, pos: int, end: int, order: str) -> int:
        return self._number(pos, 2, end, order) << 16 | self._number(pos + 2, 2, end, order)

    def _elements(self, pos: int, end: int, explicit: bool, order: str, depth: int, *, delimited: bool) -> int:
        if depth > 70:
            raise Unsound("too deep")
        last = -1
        while delimited or pos < end:
            if not depth and (end - pos < 8 or not any(self._data[pos:end])):
                return end  # too little for an element, or nothing but zeros
            tag = self._tag(pos, end, order)
            if tag == ITEM_END and delimited:
                if self._number(pos + 4, 4, end, order):
                    raise Unsound("an item delimitation with a length")
                return pos + 8
            if tag <= last or tag >> 16 == 0xFFFE:
                raise Unsound("tags out of order")
            last = tag
            vr, length_at, size = "", pos + 4, 4
            if explicit:
                vr = self._data[pos + 4 : pos + 6].decode("latin-1")
                if vr not in VRS:
                    raise Unsound("no VR")
                length_at, size = (pos + 8, 4) if vr in LONG else (pos + 6, 2)
            start = length_at + size
            length = self._number(length_at, size, end, order)
            stop = start + length
            vr = vr if vr not in ("", "UN") else "SQ" if self._is_sequence(tag) else vr
            hidden = explicit and self._data[pos + 4 : pos + 6] == b"UN"
            if size == 4 and length == UNDEFINED:
                if vr in ("SQ", "UN", ""):
                    stop = self._items(
                        start, end, explicit and not hidden, "little" if hidden else order, depth, delimited=True
                    )
                elif vr in ("OB", "OW"):
                    stop = self._fragments(start, end, order)
                else:
                    raise Unsound("undefined length")
            elif stop > end:
                raise Unsound("a value goes on behind its container")
            elif vr == "SQ":
                self._items(start, stop, explicit and not hidden, "little" if hidden else order, depth, delimited=False)
            self.spans.append(Span(pos, length_at, size, start, stop, tag, vr or self._known(tag)))
            pos = stop
        return pos

    def _items(self, pos: int, end: int, explicit: bool, order: str, depth: int, *, delimited: bool) -> int:
        while delimited or pos < end:
            tag, length = self._tag(pos, end, order), self._number(pos + 4, 4, end, order)
            start = pos + 8
            if tag == SEQUENCE_END and delimited and not length:
                return start
            if tag != ITEM:
                raise Unsound("no item")
            open_end = length == UNDEFINED
            stop = end if open_end else start + length
            if stop > end:
                raise Unsound("an item goes on behind its sequence")
            stop = self._elements(start, stop, explicit, order, depth + 1, delimited=open_end)
            self.spans.append(Span(pos, pos + 4, 4, start, stop, tag, "SQ"))
            pos = stop
        return pos

    def _fragments(self, pos: int, end: int, order: str) -> int:
        while True:
            tag, length = self._tag(pos, end, order), self._number(pos + 4, 4, end, order)
            if tag == SEQUENCE_END and not length:
                return pos + 8
            if tag != ITEM or length == UNDEFINED or pos + 8 + length > end:
                raise Unsound("no fragment")
            self.spans.append(Span(pos, pos + 4, 4, pos + 8, pos + 8 + length, tag, "OB"))
            pos += 8 + length

    @staticmethod
    def _known(tag: int) -> str:
        try:
            return dictionary_VR(tag)
        except KeyError:
            return "LO" if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF else ""

    def _is_sequence(self, tag: int) -> bool:
        return self._known(tag) == "SQ"


class Opened(NamedTuple):
    """What stands before the data set, the data set inflated, and its transfer syntax."""

    head: bytes
    body: bytes
    syntax: str

    def spans(self) -> list[Span]:
        return Reader(self.body, self.syntax).spans


def opened(data: bytes) -> Opened:
    pos = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[pos : pos + 2] == b"\2\0":
        vr = data[pos + 4 : pos + 6].decode("latin-1")
        is_explicit = vr.isalpha() and vr.isascii()
        at, size = (pos + 8, 4) if vr in LONG else (pos + 6, 2) if is_explicit else (pos + 4, 4)
        start = at + size
        stop = start + int.from_bytes(data[at:start], "little")
        if stop > len(data):
            raise Unsound("the File Meta Information is cut off")
        if data[pos + 2 : pos + 4] == b"\x10\0":
            syntax = data[start:stop].rstrip(b"\0 ").decode("latin-1")
        pos = stop
    if syntax != DEFLATED:
        return Opened(data[:pos], data[pos:], syntax)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflate.decompress(data[pos:])
    except zlib.error:
        raise Unsound("not deflated") from None
    if not inflate.eof:
        raise Unsound("the deflated data are cut off")
    return Opened(data[:pos], plain, syntax)


# ---- real files, with a name planted into every text that has room for it ----

PLANTED = b"ZEBULON^"
RULES = [{"tag": {"VR": vr}, "method": "redact"} for vr in sorted(TEXT)]
PLANTED_IN = ("PN", "LO", "SH", "LT", "ST", "UT")
LARGEST = 160_000


class Base(NamedTuple):
    """A sound file: what stands before its data set, and the data set; `is_deflated`: to be deflated again."""

    name: str
    head: bytes
    body: bytes
    spans: list[Span]
    is_deflated: bool

    def file(self, head: bytes | None = None, body: bytes | None = None) -> bytes:
        """The file, or one with another head or data set."""
        head, body = self.head if head is None else head, self.body if body is None else body
        if self.is_deflated:
            compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            body = compress.compress(body) + compress.flush()
        return head + body


def is_treated(span: Span) -> bool:
    """Whether it is text, but no private creator: these stay as long as anything of their block."""
    return span.vr in TEXT and not (span.tag >> 16 & 1 and 0x10 <= span.tag & 0xFFFF <= 0xFF)


@cache
def bases(of_scanners: bool) -> list[Base]:
    """The real files that are sound, by name: pydicom's, or those of scanners where they are at hand."""
    folders = [SCANNERS] if of_scanners else [PYDICOM, PYDICOM.parent / "charset_files"]
    paths = sorted(path for folder in folders for path in folder.glob("*.dcm"))
    read = [base_of(path) for path in paths if path.stat().st_size <= LARGEST]
    return [base for base in read if base is not None]


def base_of(path: Path) -> Base | None:
    try:
        file = opened(path.read_bytes())
        spans = file.spans()
    except Unsound:
        return None
    if not {0x00080016, 0x00080018} <= {span.tag for span in spans if span.stop > span.start}:
        return None
    body = bytearray(file.body)
    for span in spans:
        if is_treated(span) and span.vr in PLANTED_IN and span.stop - span.start >= len(PLANTED):
            body[span.start : span.start + len(PLANTED)] = PLANTED
    return Base(path.name, file.head, bytes(body), spans, file.syntax == DEFLATED)


# ---- breaking them ----


def flip_bytes(rng: Random, base: Base, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(min(len(changed), rng.choice((400, 4_000, len(changed)))))] = rng.randrange(256)
    return bytes(changed)


def flip_bits(rng: Random, base: Base, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def lie(rng: Random, base: Base, body: bytes) -> bytes:
    """A length at the edge of what it may be, or of what is around it."""
    span = rng.choice(base.spans)
    true, left = span.stop - span.start, len(body) - span.start
    edges = (0, 1, 2, 8, true - 1, true + 1, true - 2, true + 2, true + 8, left - 1, left, left + 1, true * 2)
    limits = (0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, LONGEST, UNDEFINED, UNDEFINED)
    order = "little" if rng.random() < 0.9 else "big"
    length = (rng.choice(edges + limits) % (1 << 8 * span.length_size)).to_bytes(span.length_size, order)
    return body[: span.length_at] + length + body[span.length_at + span.length_size :]


def swallow(rng: Random, base: Base, body: bytes) -> bytes:
    """A length that ends where an element behind it ends."""
    span, other = rng.choice(base.spans), rng.choice(base.spans)
    length = max(other.stop - span.start, 0) % (1 << 8 * span.length_size)
    return body[: span.length_at] + length.to_bytes(span.length_size, "little") + body[span.start :]


def truncate(rng: Random, base: Base, body: bytes) -> bytes:
    span = rng.choice(base.spans)
    return body[
        : rng.choice((span.pos, span.length_at, span.start, span.stop, rng.randrange(len(body)))) + rng.randint(-1, 1)
    ]


def splice(rng: Random, base: Base, body: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    other = rng.choice(bases(False))
    here, there = rng.choice(base.spans), rng.choice(other.spans)
    if rng.random() < 0.5:
        return body[: here.pos] + other.body[there.pos :]
    return body[: rng.randrange(len(body))] + other.body[rng.randrange(len(other.body)) :]


def transplant(rng: Random, base: Base, body: bytes) -> bytes:
    """An element of another file in the place of one of this."""
    other = rng.choice(bases(False))
    here, there = rng.choice(base.spans), rng.choice(other.spans)
    return body[: here.pos] + other.body[there.pos : there.stop] + body[here.stop :]


def double(rng: Random, base: Base, body: bytes) -> bytes:
    span, other = rng.choice(base.spans), rng.choice(base.spans)
    at = rng.choice((span.stop, other.pos))
    return body[:at] + body[span.pos : span.stop] + body[at:]


def remove(rng: Random, base: Base, body: bytes) -> bytes:
    span = rng.choice(base.spans)
    start, stop = rng.choice(((span.pos, span.stop), (span.pos, span.start), (span.start, span.stop)))
    return body[:start] + body[stop:]


def swap(rng: Random, base: Base, body: bytes) -> bytes:
    a, b = sorted((rng.choice(base.spans), rng.choice(base.spans)))
    if a.stop > b.pos:
        return body[: a.pos] + body[b.pos : b.stop] + body[a.pos : b.pos] + body[b.stop :]
    return body[: a.pos] + body[b.pos : b.stop] + body[a.stop : b.pos] + body[a.pos : a.stop] + body[b.stop :]


def rename(rng: Random, base: Base, body: bytes) -> bytes:
    """Another VR, or another tag."""
    span, other = rng.choice(base.spans), rng.choice(base.spans)
    if rng.random() < 0.5:
        vr = rng.choice((*sorted(VRS), "  ", "\0\0", "ZZ", "pn")).encode()
        return body[: span.pos + 4] + vr + body[span.pos + 6 :]
    return body[: span.pos] + body[other.pos : other.pos + 4] + body[span.pos + 4 :]


def insert(rng: Random, base: Base, body: bytes) -> bytes:
    span = rng.choice(base.spans)
    at = rng.choice((span.pos, span.start, span.stop, rng.randrange(len(body))))
    delimitations = [tag.to_bytes(4, "big") for tag in (ITEM, ITEM_END, SEQUENCE_END)]
    marks = [bytes((mark[1], mark[0], mark[3], mark[2], 0, 0, 0, 0)) for mark in delimitations]
    return body[:at] + rng.choice((rng.randbytes(rng.randint(1, 40)), bytes(8), *marks)) + body[at:]


def break_head(rng: Random, base: Base, body: bytes) -> bytes:
    """Nothing of the data set: it is the head's turn."""
    return body


BREAKS = (
    flip_bytes, flip_bits, lie, lie, swallow, truncate, splice, transplant, double, remove, swap, rename, insert,
    break_head,
)  # fmt: skip


def case(number: int) -> tuple[str, bytes]:
    """(what was done to which file, the broken file)."""
    rng = Random(number)
    base = rng.choice((number % 8 == 7 and bases(True)) or bases(False))
    body, done = base.body, []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        how = rng.choice(BREAKS)
        done.append(how.__name__)
        body = how(rng, base, body) or b"\0"
    head = base.head
    if "break_head" in done:
        head = rng.choice(
            (b"", head[132:], flip_bits(rng, base, head or b"\0"), head[: rng.randrange(len(head) + 1)], head * 2)
        )
    return f"{' and '.join(done)} of {base.name}", base.file(head, body)


# ---- what becomes of them ----


@cache
def compiled() -> CompiledRules:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"dicomTagRules": RULES, "parameters": {"key": "a key of the tests"}}, file)
        file.flush()
        return CompiledRules(load_config(file.name).settled({}, date(2024, 1, 1)))


def outcome(path: str) -> tuple[str, bytes]:
    """("" or "re-encoded", what is written) or (the reason why nothing is, b"")."""
    sink = MemorySink()
    try:
        return rewrite(path, sink, compiled()).detail, bytes(sink.data)
    except FileError as error:
        return f"{error.status} {error.reason}", b""


def complaints(data: bytes, detail: str, written: bytes) -> Iterator[str]:
    """What is wrong with something that was written."""
    if detail != "re-encoded":
        try:
            opened(data).spans()
        except Unsound as error:
            yield f"was written, though it can't be read whole: {error}"
    try:
        file = opened(written)
        spans = file.spans()
    except Unsound as error:
        yield f"what was written is not sound: {error}"
        return
    for span in spans:
        if is_treated(span) and PLANTED in file.body[span.start : span.stop]:
            yield f"the name came through in {span.tag:08X} {span.vr}"
    if PLANTED in file.head:
        yield "the name came through in the File Meta Information"


def complaints_about(numbers: range) -> tuple[Counter[str], list[str], float]:
    """(outcomes of these cases, what is wrong, seconds of the slowest)."""
    outcomes, wrong, slowest = Counter[str](), [], 0.0
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        for number in numbers:
            what, data = case(number)
            os.truncate(file.name, 0)
            Path(file.name).write_bytes(data)
            began = time.perf_counter()
            try:
                detail, written = outcome(file.name)
                found = list(complaints(data, detail, written)) if written else []
                if number % 8 == 0:
                    found += others_than(detail, written, file.name)
            except Exception as error:
                detail, found = "", [f"raised {error!r}"]
            slowest = max(slowest, time.perf_counter() - began)
            outcomes[detail or "written"] += 1
            wrong += [f"case {number} ({what}): {complaint}" for complaint in found]
    return outcomes, wrong, slowest


def others_than(detail: str, written: bytes, path: str) -> list[str]:
    """What comes to another end where the file is looked at through a narrow window."""
    before = compiled().window
    compiled().window = 1024
    narrow = outcome(path)
    compiled().window = before
    return [] if narrow == (detail, written) else [f"through a narrow window: {narrow[0] or 'written'}, not {detail}"]


def fuzz(numbers: range, processes: int) -> None:
    """Try these cases; print how they ended."""
    size = -(-len(numbers) // (processes * 8))
    parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    outcomes, wrong, slowest = Counter[str](), [], 0.0
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for some, complaints, seconds in pool.map(complaints_about, parts):
            outcomes += some
            wrong += complaints
            slowest = max(slowest, seconds)
    of_what = f"{len(bases(False))} files and {len(bases(True))} of scanners"
    print(f"\n{len(numbers)} cases of {of_what}, the slowest {slowest:.2f} s: {dict(outcomes.most_common())}")
    assert wrong == []
    assert outcomes["written"] > len(numbers) / 20
    assert outcomes.total() == len(numbers)


def test_the_files_themselves_are_sound_and_lose_the_planted_name(tmp_path: Path) -> None:
    assert len(bases(False)) > 50
    for base in bases(False) + bases(True):
        (tmp_path / "file").write_bytes(base.file())
        detail, written = outcome(str(tmp_path / "file"))
        assert (base.name, detail) == (base.name, "")
        assert list(complaints(base.file(), detail, written)) == []


def test_the_reader_finds_what_is_not_sound() -> None:
    base = next(base for base in bases(False) if base.name == "CT_small.dcm")
    whole = base.file()
    first, *_, last = base.spans
    longer = bytearray(whole)
    longer[len(base.head) + last.length_at] += 2
    for broken in (whole[:-1], whole[: len(base.head) + first.start + 1], bytes(longer), whole + b"\1" * 8):
        with pytest.raises(Unsound):
            opened(broken).spans()


def test_broken_files_are_read_whole_and_written_sound_or_fail() -> None:
    fuzz(range(1_500), 2)


@pytest.mark.slow
def test_many_broken_files_are_read_whole_and_written_sound_or_fail() -> None:
    fuzz(range(1_500, 20_000), 2)


if __name__ == "__main__":
    print(case(int(sys.argv[1]))[0], *complaints_about(range(int(sys.argv[1]), int(sys.argv[1]) + 1)))
