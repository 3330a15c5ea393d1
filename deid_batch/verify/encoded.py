"""An output, and its input, as bytes: what stands where, whether it is encoded as it claims, and equal Pixel Data."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from deid_batch.verify.elements import DEFLATED
from deid_batch.verify.filebytes import Buffer, FileBytes
from deid_batch.verify.regions import Broken, Region, regions
from deid_batch.wire import PIXEL_DATA

_PREFIX, _PREAMBLE = b"DICM", 128
MAX_INFLATED = 256 << 20
_BLOCK = 1 << 20


class Piece(NamedTuple):
    """Bytes that are no Pixel Data; `base` is where they begin in what the regions count from."""

    data: bytes
    base: int
    in_data_set: bool


@dataclass(frozen=True)
class Encoded:
    """A file as bytes."""

    file: Buffer
    start: int
    """Where the data set begins in the file."""
    body: Buffer
    """What the data set's regions lie in: the file itself, or what was inflated."""
    meta: tuple[Region, ...]
    """The regions of File Meta Information."""
    regions: tuple[Region, ...]
    is_sound: bool
    """Whether all of it is encoded as the transfer syntax says."""
    trailing: bytes = b""
    """What stands behind deflated data."""

    @property
    def preamble(self) -> bytes:
        """The preamble; b"" where there is none."""
        return self.file[:_PREAMBLE] if self.has_preamble else b""

    @property
    def has_preamble(self) -> bool:
        return self.file[_PREAMBLE : _PREAMBLE + 4] == _PREFIX

    @property
    def pixels(self) -> dict[int, Region]:
        """The top level's Pixel Data of whatever kind, by tag."""
        return {it.tag: it for it in self.regions if len(it.place) == 1 and it.tag in PIXEL_DATA}

    def pieces(self) -> Iterator[Piece]:
        """Everything but the top level's Pixel Data."""
        is_own = self.body is not self.file
        if is_own:
            yield Piece(self.file[: self.start], 0, False)
            if self.trailing:
                yield Piece(self.trailing, 0, False)
        position = 0
        for region in self.pixels.values():
            yield Piece(self.body[position : region.start], position, True)
            position = region.stop
        yield Piece(self.body[position:], position, True)


@contextmanager
def encoded(path: str | bytes, syntax: str) -> Iterator[Encoded]:
    """A file as bytes, open as long as they are looked at."""
    with open(path, "rb") as file:
        yield _encoded(FileBytes(file.fileno()), syntax)


def _encoded(data: Buffer, syntax: str) -> Encoded:
    start = _end_of_meta(data)
    body, begin, trailing, is_sound = data, start, b"", True
    if syntax in DEFLATED:
        body, trailing, is_sound = _inflated(data, start)
        begin = 0
    found: list[Region] = []
    try:
        found.extend(regions(body, begin, len(body), syntax))
    except (Broken, ValueError, RecursionError):
        is_sound = False
    return Encoded(data, start, body, tuple(_meta_regions(data, start)), tuple(found), is_sound, trailing)


def _meta_regions(data: Buffer, stop: int) -> list[Region]:
    found: list[Region] = []
    start = _PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == _PREFIX else 0
    with suppress(Broken):
        found.extend(regions(data, start, stop, ""))
    return found


def _end_of_meta(data: Buffer) -> int:
    """Where File Meta Information ends, by its elements."""
    has_prefix = data[_PREAMBLE : _PREAMBLE + 4] == _PREFIX
    pos = _PREAMBLE + 4 if has_prefix else 0
    while data[pos : pos + 2] == b"\x02\x00" and pos + 8 <= len(data):
        is_long = data[pos + 4 : pos + 6] in (b"OB", b"UN", b"OW", b"UT", b"SQ", b"UC", b"UR")
        size = data[pos + 8 : pos + 12] if is_long else data[pos + 6 : pos + 8]
        pos += (12 if is_long else 8) + int.from_bytes(size, "little")
    return min(pos, len(data))


def _inflated(data: Buffer, start: int) -> tuple[bytes, bytes, bool]:
    """(what is inflated, what stands behind, whether it is sound). (PS3.5 A.5)"""
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        plain = inflate.decompress(data[start:], MAX_INFLATED)
    except zlib.error:
        return b"", b"", False
    return plain, inflate.unused_data, inflate.eof


def have_same_bytes(first: Buffer, one: Region, second: Buffer, other: Region) -> bool:
    """Whether two values are equal, block by block."""
    if one.stop - one.start != other.stop - other.start:
        return False
    return all(
        first[one.start + at : min(one.start + at + _BLOCK, one.stop)]
        == second[other.start + at : min(other.start + at + _BLOCK, other.stop)]
        for at in range(0, one.stop - one.start, _BLOCK)
    )
