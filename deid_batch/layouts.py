"""Layouts: the items of long sequences are built alike, so that one look at all headers may do for an item.

A layout says where headers stand in an item of which no rule decides anything, and where text does. Another item
with the same headers at the same places is sound if its text is, and stays as it is.
"""

from __future__ import annotations

from struct import Struct

from deid_batch.plans import FIXED, OPAQUE, TEXT, Plans
from deid_batch.shapes import Call, Reader, Remembered, Shape, Start, Unsuited
from deid_batch.values.text import NO_CONTROL
from deid_batch.wire import MAX_DEPTH, UNDEFINED, Encoding, Header


class Layout:
    """Where the headers and the text of an item stand, from its first element to its end."""

    __slots__ = ("_expected", "_heads", "_texts", "depth", "kept", "size")

    def __init__(self, shape: Shape, texts: Struct, kept: int) -> None:
        self._heads, self._expected, self.size, self.depth = shape
        self._texts = texts
        self.kept = kept

    def is_that_of(self, data: bytes, start: int) -> bool:
        """Whether the bytes from `start` on, as many as the layout has, are an item of this layout and sound."""
        if self._heads.unpack_from(data, start) != self._expected:
            return False
        return not b"".join(self._texts.unpack_from(data, start)).translate(None, NO_CONTROL)


class Layouts(Remembered[Layout, int | Start]):
    """The layouts that items of one sequence had.

    Each is called by the item's size; where that is not told, by how it begins and where the first item in it ends.
    """

    __slots__ = ("_call",)

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self._call = Call(encoding)

    def found(self, data: bytes, start: int, length: int, end: int, depth: int) -> Layout | None:
        """The layout of the item that begins at `start`; `length` may be UNDEFINED."""
        layout = self._known.get(self._call(data, start) if length == UNDEFINED else length)
        if layout is None or start + layout.size > end or depth + layout.depth > MAX_DEPTH:
            return None
        if not layout.is_that_of(data, start):
            return None
        self._passed += layout.size
        return layout

    def learn(self, data: bytes, start: int, stop: int, length: int, plans: Plans) -> None:
        """Take in an item that stayed as it is, and of which no rule decided anything; one like it was seen before."""
        name = self._call(data, start) if length == UNDEFINED else length
        if self.is_worth(name, stop - start):
            self._known[name] = _Reader(data, plans).layout(start, stop, delimited=length == UNDEFINED)


class _Reader(Reader):
    """Reads the layout of one item."""

    def __init__(self, data: bytes, plans: Plans) -> None:
        super().__init__(data, plans.encoding)
        self._plans = plans
        self._key_size = 6 if plans.encoding.explicit else 4

    def layout(self, start: int, stop: int, *, delimited: bool) -> Layout | None:
        """The layout of the item with this content, or None where it holds what a layout can't speak for."""
        shape = self.shape(start, stop, delimited=delimited)
        return shape and Layout(shape, self.struct("text"), self.elements)

    def holds_items(self, header: Header, pos: int) -> bool:
        plan = self._plans[self.data[pos : pos + self._key_size]][3]
        return plan.vr == "SQ" and plan.written_vr != "UN"

    def value(self, header: Header, pos: int) -> None:
        kind = self._plans[self.data[pos : pos + self._key_size]][0]
        if kind not in (TEXT, FIXED, OPAQUE) or header.length == UNDEFINED:
            raise Unsuited
        if kind == TEXT:
            padding = int(header.length > 0 and self.data[header.start + header.length - 1] == 0)
            self.part("text", header.length - padding)
            self.part("head", padding)
        else:
            self.part("other", header.length)
