"""Where each value lies in an encoded data set: a plain reading of PS3.5 7, strict, so that a wrong claim shows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.verify.filebytes import Buffer
from deid_batch.verify.findings import Place
from deid_batch.wire import LONG_VRS, PIXEL_DATA, VRS

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 70
_SYNTAXES = {"1.2.840.10008.1.2": (False, True), "1.2.840.10008.1.2.2": (True, False)}


class Region(NamedTuple):
    """A value that is no sequence, and where it lies; of encapsulated Pixel Data with its fragments' items."""

    place: Place
    vr: str
    creator: str | None
    begin: int
    """Where the element itself begins."""
    start: int
    stop: int
    is_encapsulated: bool = False

    @property
    def tag(self) -> int:
        return self.place[-1][0]


class Broken(Exception):
    """The bytes are not encoded as they claim to be."""


class _Form(NamedTuple):
    explicit: bool
    little: bool


def form_of(syntax: str) -> tuple[bool, bool]:
    """(explicit VR, little endian) of a transfer syntax. (PS3.5 A)"""
    return _SYNTAXES.get(syntax, (True, True))


def regions(data: Buffer, start: int, stop: int, syntax: str) -> Iterator[Region]:
    """The regions of a data set, in their order. Broken: it does not end where it should, or has no sound form."""
    yield from _Walk(data, _Form(*form_of(syntax))).elements(start, stop, (), False)


class _Walk:
    def __init__(self, data: Buffer, form: _Form) -> None:
        self._data = data
        self._form = form
        self._order = "<" if form.little else ">"
        self._end = 0

    def elements(self, pos: int, stop: int, steps: Place, is_open: bool) -> Iterator[Region]:
        """The elements up to `stop`, or, of an open item, up to its delimitation; where it ended stays in `_end`."""
        if len(steps) > _MAX_DEPTH:
            raise Broken
        creators: dict[int, str] = {}
        while pos < stop:
            tag, vr, start, length = self._header(pos, stop)
            if tag == _ITEM_END and is_open:
                self._end = start
                return
            if tag >> 16 == 0xFFFE:
                raise Broken
            creator = None
            if dictionary.is_private(tag) and not dictionary.is_private_creator(tag):
                creator = creators.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8)
            known = dictionary.effective_vr(tag, vr, creator)
            if length == _UNDEFINED and tag in PIXEL_DATA:
                end = self._fragments(start, stop)
                yield Region((*steps, (tag, 0)), known, creator, pos, start, end, True)
            elif known == "SQ" or length == _UNDEFINED:
                walk = self if vr != "UN" else _Walk(self._data, _Form(False, True))
                yield from walk.items(tag, start, stop if length == _UNDEFINED else start + length, steps, length)
                end = walk._end
            else:
                end = start + length
                if end > stop:
                    raise Broken
                if dictionary.is_private_creator(tag):
                    creators[tag] = self._data[start:end].strip(b"\0 ").decode("latin-1")
                yield Region((*steps, (tag, 0)), known, creator, pos, start, end)
            pos = end
        if is_open or pos != stop:
            raise Broken
        self._end = pos

    def items(self, tag: int, pos: int, stop: int, steps: Place, length: int) -> Iterator[Region]:
        if stop > len(self._data):
            raise Broken
        number = 0
        while pos < stop:
            item, start, size = self._item(pos, stop)
            if item == _SEQUENCE_END and length == _UNDEFINED:
                self._end = start
                return
            if item != _ITEM:
                raise Broken
            inner = stop if size == _UNDEFINED else start + size
            if inner > stop:
                raise Broken
            yield from self.elements(start, inner, (*steps, (tag, number)), size == _UNDEFINED)
            pos = self._end
            number += 1
        if length == _UNDEFINED:
            raise Broken
        self._end = pos

    def _fragments(self, pos: int, stop: int) -> int:
        while True:
            item, start, size = self._item(pos, stop)
            if item == _SEQUENCE_END:
                return start
            if item != _ITEM or size == _UNDEFINED or start + size > stop:
                raise Broken
            pos = start + size

    def _item(self, pos: int, stop: int) -> tuple[int, int, int]:
        if pos + 8 > stop:
            raise Broken
        group, element, size = struct.unpack(self._order + "HHI", self._data[pos : pos + 8])
        return group << 16 | element, pos + 8, size

    def _header(self, pos: int, stop: int) -> tuple[int, str, int, int]:
        if pos + 8 > stop:
            raise Broken
        head = self._data[pos : pos + 12]
        group, element = struct.unpack_from(self._order + "HH", head)
        tag = group << 16 | element
        if not self._form.explicit or group == 0xFFFE:
            return tag, "", pos + 8, struct.unpack_from(self._order + "I", head, 4)[0]
        vr = head[4:6].decode("latin-1")
        if vr not in VRS:
            raise Broken
        if vr not in LONG_VRS:
            return tag, vr, pos + 8, struct.unpack_from(self._order + "H", head, 6)[0]
        if pos + 12 > stop:
            raise Broken
        return tag, vr, pos + 12, struct.unpack_from(self._order + "I", head, 8)[0]


def fragments(data: Buffer, region: Region) -> Iterator[tuple[int, int]]:
    """(start, stop) of the fragments of encapsulated Pixel Data, the offset table left out. (PS3.5 A.4)"""
    pos, is_table = region.start, True
    while pos + 8 <= region.stop:
        group, element, size = struct.unpack("<HHI", data[pos : pos + 8])
        if (group, element) != (0xFFFE, 0xE000):
            return
        if not is_table:
            yield pos + 8, pos + 8 + size
        is_table = False
        pos += 8 + size
