"""Heads: the top levels of consecutive files are built alike, so that most headers are found by one comparison.

Between elements whose headers are the same in file after file stand those whose lengths vary, which are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from struct import Struct
from typing import NamedTuple

from deid_batch.errors import FileError
from deid_batch.wire import PIXEL_DATA, UNDEFINED, Encoding, end_of_value, read_header

_MOST_ELEMENTS = 1000
_LONGEST_PAUSE = 32
_MOST_CLASSES = 64


class Alike:
    """What is known of files of each SOP Class."""

    def __init__(self, wanted: frozenset[int], searched: frozenset[bytes]) -> None:
        self._common = wanted, searched
        self._heads: dict[str, Heads] = {}

    def of(self, sop_class_uid: str) -> Heads:
        """What is known of files of this one."""
        heads = self._heads.get(sop_class_uid)
        if heads is None:
            if len(self._heads) >= _MOST_CLASSES:
                self._heads.clear()
            heads = self._heads[sop_class_uid] = Heads(*self._common)
        return heads


class _Seen(NamedTuple):
    """An element of the last file: its header, how many bytes follow, whether its length varies."""

    tag: int
    head: bytes
    length: int
    varies: bool


class _Run(NamedTuple):
    """Elements side by side whose headers stay the same; where the wanted ones have their values."""

    heads: Struct
    expected: tuple[bytes, ...]
    size: int
    values: tuple[tuple[int, int, int], ...]


class _Single(NamedTuple):
    """An element whose length varies."""

    tag: int
    key: bytes


class Heads:
    """What is known of how the last file's top level was built."""

    def __init__(self, wanted: frozenset[int], searched: frozenset[bytes]) -> None:
        self._wanted, self._searched = wanted, searched
        self._encoding: Encoding | None = None
        self._seen: list[_Seen] = []
        self._steps: list[_Run | _Single] = []
        self._pause = self._next_pause = 0

    def found(self, data: bytes, start: int, encoding: Encoding) -> tuple[dict[int, bytes], int] | None:
        """(the values that are looked at, where Pixel Data begins), if the file is built like the last one."""
        if encoding is not self._encoding or not self._steps:
            return None
        pos, found = start, dict[int, bytes]()
        try:
            for step in self._steps:
                if type(step) is _Run:
                    if pos + step.size > len(data) or step.heads.unpack_from(data, pos) != step.expected:
                        return None
                    for tag, begin, end in step.values:
                        found[tag] = data[pos + begin : pos + end]
                    pos += step.size
                    continue
                if not data.startswith(step[1], pos):
                    return None
                header = read_header(data, pos, len(data), encoding)
                pos = end_of_value(data, header, len(data), encoding)
                if self._is_wanted(header.tag, header.vr):
                    found[header.tag] = data[header.start : pos]
        except FileError:
            return None
        if pos + 12 > len(data) or encoding.read_tag(data, pos) not in PIXEL_DATA:
            return None
        self._next_pause = 0
        return found, pos

    def learn(self, data: bytes, start: int, encoding: Encoding) -> None:
        """Take in a file that is built in another way than the last one."""
        if self._pause:
            self._pause -= 1
            return
        try:
            seen = list(self._elements(data, start, encoding))
        except FileError:
            self._rest()
            return
        keys = [it.head[: 6 if encoding.explicit else 4] for it in seen]
        if encoding is self._encoding and keys == [it.head[: len(keys[0])] for it in self._seen]:
            pairs = zip(seen, self._seen, strict=True)
            seen = [it._replace(varies=last.varies or it.head != last.head) for it, last in pairs]
        else:
            self._rest()
        self._encoding, self._seen = encoding, seen
        self._steps = list(self._steps_of(seen, encoding))

    def _rest(self) -> None:
        """Learn nothing for a while, where that was in vain before."""
        self._pause, self._next_pause = self._next_pause, min(2 * self._next_pause + 1, _LONGEST_PAUSE)

    def _elements(self, data: bytes, pos: int, encoding: Encoding) -> Iterator[_Seen]:
        """The elements before Pixel Data; FileError where there is none at hand."""
        for _ in range(_MOST_ELEMENTS):
            header = read_header(data, pos, len(data), encoding)
            if header.tag in PIXEL_DATA:
                return
            stop = end_of_value(data, header, len(data), encoding)
            yield _Seen(header.tag, data[pos : header.start], stop - header.start, header.length == UNDEFINED)
            pos = stop
        raise FileError("too-large")

    def _steps_of(self, seen: list[_Seen], encoding: Encoding) -> Iterator[_Run | _Single]:
        key_size = 6 if encoding.explicit else 4
        for varies, elements in groupby(seen, key=lambda it: it.varies):
            if varies:
                yield from (_Single(it.tag, it.head[:key_size]) for it in elements)
            else:
                yield self._run(list(elements))

    def _run(self, elements: list[_Seen]) -> _Run:
        heads = "".join(f"{len(it.head)}s{it.length}x" for it in elements)
        values, pos = [], 0
        for it in elements:
            begin = pos + len(it.head)
            pos = begin + it.length
            if self._is_wanted(it.tag, it.head[4:6].decode("latin-1")):
                values.append((it.tag, begin, pos))
        return _Run(Struct(f"={heads}"), tuple(it.head for it in elements), pos, tuple(values))

    def _is_wanted(self, tag: int, vr: str) -> bool:
        if tag in self._wanted:
            return True
        if self._encoding is not None and not self._encoding.explicit:
            return bool(tag >> 16 & 1) and tag & 0xFFFF > 0xFF
        return vr.encode("latin-1") in self._searched
