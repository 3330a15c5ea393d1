"""Layouts: the items of long sequences are built alike, so that one look at all headers may do for an item.

A layout says where headers stand in an item, where text does, and where values of which a rule decides something.
Another item with the same headers at the same places is sound if its text is, and stays as it is but for those values.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from deid_batch.plans import FIXED, OPAQUE, SPECIAL, TEXT, Entry, Plan, Plans
from deid_batch.shapes import Reader, Remembered, Shape, Unsuited
from deid_batch.values.text import NO_CONTROL
from deid_batch.wire import MAX_DEPTH, UNDEFINED, Header

PlansInside = Callable[[Plans, int], Plans]
"""The plans that hold in the items of a sequence with this tag, where these plans hold."""


class Slot(NamedTuple):
    """An element that a rule decides something of: where it begins, its value does, and it ends.

    `path` are the sequences' tags and item numbers between it and the item that has the layout.
    """

    head: int
    start: int
    stop: int
    plan: Plan
    plans: Plans
    path: tuple[tuple[int, int], ...]


class Layout:
    """Where the headers, the text and the slots of an item stand, from its first element to its end."""

    __slots__ = ("_expected", "_heads", "_texts", "depth", "kept", "size", "slots")

    def __init__(self, shape: Shape, texts: Struct, kept: int, slots: tuple[Slot, ...]) -> None:
        self._heads, self._expected, self.size, self.depth = shape
        self._texts = texts
        self.kept = kept
        self.slots = slots

    def is_that_of(self, data: bytes, start: int) -> bool:
        """Whether the bytes from `start` on, as many as the layout has, are an item of this layout and sound."""
        if self._heads.unpack_from(data, start) != self._expected:
            return False
        return not b"".join(self._texts.unpack_from(data, start)).translate(None, NO_CONTROL)


class Layouts(Remembered[Layout]):
    """The layouts that items of one sequence had, in which these plans hold."""

    __slots__ = ("_inside", "_plans")

    def __init__(self, plans: Plans, inside: PlansInside) -> None:
        super().__init__(plans.encoding)
        self._plans, self._inside = plans, inside

    def found(self, data: bytes, start: int, length: int, end: int, depth: int) -> Layout | None:
        """The layout of the item that begins at `start`; `length` may be UNDEFINED."""
        for layout in self.forms(data, start, length):
            fits = start + layout.size <= end and depth + layout.depth <= MAX_DEPTH
            if fits and layout.is_that_of(data, start):
                self.passed += layout.size
                return layout
        return None

    def read(self, data: bytes, start: int, stop: int, *, delimited: bool) -> Layout | None:
        return _Reader(data, start, self._plans, self._inside).layout(stop, delimited=delimited)


class _Reader(Reader):
    """Reads the layout of one item."""

    def __init__(self, data: bytes, start: int, plans: Plans, inside: PlansInside) -> None:
        super().__init__(data, start, plans.encoding)
        self._inside = inside
        self._key_size = 6 if plans.encoding.explicit else 4
        self._plans = [plans]
        self._path: list[tuple[int, int]] = []
        self._told: list[tuple[bool, bool]] = []
        """Of each sequence that was entered, whether its length is told, and its last item's."""
        self._slots: list[Slot] = []

    def layout(self, stop: int, *, delimited: bool) -> Layout | None:
        """The layout of the item that ends there, or None where it holds what a layout can't speak for."""
        shape = self.shape(stop, delimited=delimited)
        slots = tuple(self._slots)
        return shape and Layout(shape, self.struct("text"), self.elements - len(slots), slots)

    def holds_items(self, header: Header, pos: int) -> bool:
        plan = self._entry(pos)[3]
        if plan.vr == "SQ" and plan.decision is not None:
            raise Unsuited
        return plan.vr == "SQ" and plan.written_vr != "UN"

    def enter(self, header: Header) -> None:
        self._plans.append(self._inside(self._plans[-1], header.tag))
        self._path.append((header.tag, -1))
        self._told.append((header.length != UNDEFINED, False))

    def next_item(self, *, is_open: bool) -> None:
        tag, number = self._path[-1]
        self._path[-1] = tag, number + 1
        self._told[-1] = self._told[-1][0], not is_open

    def leave(self) -> None:
        for stack in (self._plans, self._path, self._told):
            stack.pop()

    def value(self, header: Header, pos: int) -> None:
        kind, _, _, plan = self._entry(pos)
        if header.length == UNDEFINED:
            raise Unsuited
        if kind == SPECIAL and plan.is_lone and not any(map(any, self._told)):
            start = header.start - self.start
            path = tuple(self._path)
            self._slots.append(Slot(pos - self.start, start, start + header.length, plan, self._plans[-1], path))
            self.part("other", header.length)
        elif kind == TEXT:
            padding = int(header.length > 0 and self.data[header.start + header.length - 1] == 0)
            self.part("text", header.length - padding)
            self.part("head", padding)
        elif kind in (FIXED, OPAQUE):
            self.part("other", header.length)
        else:
            raise Unsuited

    def _entry(self, pos: int) -> Entry:
        return self._plans[-1][self.data[pos : pos + self._key_size]]
