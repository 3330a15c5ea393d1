"""Layouts: the items of long sequences are built alike, so that one look at all headers may do for an item.

A layout says where headers stand in an item of which no rule decides anything, and where text does. Another item
with the same headers at the same places is sound if its text is, and stays as it is.
"""

from __future__ import annotations

from struct import Struct

from deid_batch.plans import FIXED, OPAQUE, TEXT, Plans
from deid_batch.values.text import find_control
from deid_batch.wire import (
    ITEM,
    ITEM_DELIMITATION,
    MAX_DEPTH,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    read_header,
    read_item,
)

_MAX_SIZE, _MAX_PARTS = 4 << 10, 500
"""Bytes of an item, and parts of its layout, up to which that is remembered."""
_MAX_KINDS = 64
"""How many layouts a sequence may have."""
_FREE, _WORTH = 8, 8
"""To learn a layout takes as long as to walk some items: so many are learned anyway, others for so many finds each."""


class Layout:
    """Where the headers and the text of an item stand, from its first element to its end."""

    __slots__ = ("_expected", "_heads", "_texts", "depth", "kept", "size")

    def __init__(self, data: bytes, start: int, parts: list[tuple[str, int]], kept: int, depth: int) -> None:
        heads = "".join(f"{size}{'s' if kind == 'head' else 'x'}" for kind, size in parts)
        texts = "".join(f"{size}{'s' if kind == 'text' else 'x'}" for kind, size in parts)
        self._heads, self._texts = Struct(f"={heads}"), Struct(f"={texts}")
        self._expected = self._heads.unpack_from(data, start)
        self.size = self._heads.size
        self.kept = kept
        self.depth = depth

    def is_that_of(self, data: bytes, start: int) -> bool:
        """Whether the bytes from `start` on, as many as the layout has, are an item of this layout and sound."""
        if self._heads.unpack_from(data, start) != self._expected:
            return False
        return find_control(b"".join(self._texts.unpack_from(data, start))) is None


class Layouts:
    """The layouts that items of one sequence had.

    Each is called by the item's size; where that is not told, by the header of the first element.
    """

    __slots__ = ("_finds", "_known", "_learned")

    def __init__(self) -> None:
        self._known: dict[int | bytes, Layout | None] = {}
        self._finds = self._learned = 0

    def found(self, data: bytes, start: int, length: int, end: int, depth: int) -> Layout | None:
        """The layout of the item that begins at `start`; `length` may be UNDEFINED."""
        layout = self._known.get(data[start : start + 8] if length == UNDEFINED else length)
        if layout is None or start + layout.size > end or depth + layout.depth > MAX_DEPTH:
            return None
        if not layout.is_that_of(data, start):
            return None
        self._finds += 1
        return layout

    def learn(self, data: bytes, start: int, stop: int, length: int, plans: Plans) -> None:
        """Take in an item that stayed as it is, and of which no rule decided anything; one like it was seen before."""
        if self._learned > _FREE + self._finds // _WORTH or stop - start > _MAX_SIZE:
            return
        call = data[start : start + 8] if length == UNDEFINED else length
        if call not in self._known:
            if len(self._known) < _MAX_KINDS:
                self._known[call] = None
            return
        self._learned += 1
        self._known[call] = _Reader(data, plans).layout(start, stop, delimited=length == UNDEFINED)


class _Unsuited(Exception):
    """Something that a layout can't speak for."""


class _Reader:
    """Reads the layout of one item."""

    def __init__(self, data: bytes, plans: Plans) -> None:
        self._data, self._plans, self._encoding = data, plans, plans.encoding
        self._key_size = 6 if plans.encoding.explicit else 4
        self._parts: list[tuple[str, int]] = []
        self._kept = self._depth = 0

    def layout(self, start: int, stop: int, *, delimited: bool) -> Layout | None:
        """The layout of the item with this content, or None where it holds what a layout can't speak for."""
        try:
            if self._item(start, stop, 0, delimited=delimited) != stop:
                return None
        except _Unsuited:
            return None
        return Layout(self._data, start, self._parts, self._kept, self._depth)

    def _item(self, pos: int, end: int, depth: int, *, delimited: bool) -> int:
        while pos < end:
            header = read_header(self._data, pos, end, self._encoding)
            self._part("head", header.start - pos)
            if delimited and header.tag == ITEM_DELIMITATION:
                return header.start
            kind, _, _, plan = self._plans[self._data[pos : pos + self._key_size]]
            pos = header.start
            self._kept += 1
            if plan.vr == "SQ" and plan.written_vr != "UN":
                pos = self._items(pos, header.length, end, depth + 1)
                continue
            if kind not in (TEXT, FIXED, OPAQUE) or header.length == UNDEFINED:
                raise _Unsuited
            pos += header.length
            if kind == TEXT:
                padding = int(header.length > 0 and self._data[pos - 1] == 0)
                self._part("text", header.length - padding)
                self._part("head", padding)
            else:
                self._part("other", header.length)
        return pos

    def _items(self, pos: int, length: int, end: int, depth: int) -> int:
        self._depth = max(self._depth, depth)
        delimited = length == UNDEFINED
        end = end if delimited else pos + length
        while delimited or pos < end:
            tag, item_length = read_item(self._data, pos, end, self._encoding)
            self._part("head", 8)
            pos += 8
            if tag == SEQUENCE_DELIMITATION:
                break
            assert tag == ITEM
            is_open = item_length == UNDEFINED
            pos = self._item(pos, end if is_open else pos + item_length, depth, delimited=is_open)
        return pos

    def _part(self, kind: str, size: int) -> None:
        if not size:
            return
        if self._parts and self._parts[-1][0] == kind:
            size += self._parts.pop()[1]
        if len(self._parts) > _MAX_PARTS:
            raise _Unsuited
        self._parts.append((kind, size))
