"""Values that identify inside sequences, at any depth: found by a walk, and in items built alike by one comparison."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from deid_batch.errors import NeedMore
from deid_batch.shapes import Reader, Remembered, Shape, Unsuited
from deid_batch.wire import (
    ITEM_DELIMITATION,
    MAX_DEPTH,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Encoding,
    Header,
    end_of_value,
    header_in_item,
    read_item,
    too_deep,
)

Values = list[tuple[int, bytes]]
"""Tags and values of wanted elements; those of others that may hide more are called by `HIDING`."""
HIDING = 0
_HIDING_VRS = frozenset({"OB", "UN"})


class _Form(NamedTuple):
    """The shape of an item, and (tag, start, stop) of the values in it that are looked at."""

    shape: Shape
    values: tuple[tuple[int, int, int], ...]


class Nested(Remembered[_Form]):
    """What is known of the items of sequences in one encoding, and of the wanted values in them."""

    __slots__ = ("_sequences", "_wanted")

    def __init__(self, encoding: Encoding, wanted: Container[int], sequences: Container[int]) -> None:
        super().__init__(encoding)
        self._wanted, self._sequences = wanted, sequences

    def found(self, data: bytes, start: int, end: int, depth: int) -> int:
        """Where an item of undefined length ends whose content begins at `start`; -1 where that is not known."""
        form = self._form(data, start, UNDEFINED, end, depth)
        return start + form.shape.size if form else -1

    def read(self, data: bytes, start: int, stop: int, *, delimited: bool) -> _Form | None:
        reader = _Reader(data, start, self)
        shape = reader.shape(stop, delimited=delimited)
        return shape and _Form(shape, tuple(reader.values))

    def look(self, data: bytes, pos: int, end: int, values: Values, depth: int = 1, *, delimited: bool) -> int:
        """Look through the items of a sequence; where its value ends. FileError where they can't be read."""
        if depth > MAX_DEPTH:
            raise too_deep()
        item_code, u32 = self.encoding.item_code, self.encoding.u32.unpack_from
        while delimited or pos < end:
            if pos + 8 <= end and data.startswith(item_code, pos):
                length = u32(data, pos + 4)[0]
            elif read_item(data, pos, end, self.encoding)[0] == SEQUENCE_DELIMITATION:
                return pos + 8
            pos += 8
            form = self._form(data, pos, length, end, depth)
            if form is not None:
                values += [(tag, data[pos + start : pos + stop]) for tag, start, stop in form.values]
                pos += form.shape.size
                continue
            start, pos = pos, self._look_into(data, pos, end, length, values, depth)
            self.learn(data, start, pos, length)
        return pos

    def called(self, header: Header) -> int:
        """What the value of an element is called if it is looked at, -1 if not."""
        if header.tag in self._wanted or header.vr == "PN":
            return header.tag
        is_hiding = header.vr in _HIDING_VRS or (not header.vr and header.tag >> 16 & 1)
        return HIDING if is_hiding and header.length > 8 else -1

    def is_sequence(self, header: Header) -> bool:
        """Whether an element is one that is looked into."""
        if header.vr:
            return header.vr == "SQ"
        return header.tag in self._sequences or header.length == UNDEFINED

    def _form(self, data: bytes, start: int, length: int, end: int, depth: int) -> _Form | None:
        for form in self.forms(data, start, length):
            heads, expected, size, deeper = form.shape
            fits = start + size <= end and depth + deeper <= MAX_DEPTH
            if fits and heads.unpack_from(data, start) == expected:
                self.passed += size
                return form
        return None

    def _look_into(self, data: bytes, pos: int, end: int, length: int, values: Values, depth: int) -> int:
        """Look through one item; where it ends."""
        delimited = length == UNDEFINED
        if not delimited:
            if pos + length > end:
                raise NeedMore(pos + length)
            end = pos + length
        while delimited or pos < end:
            header = header_in_item(data, pos, end, self.encoding, delimited=delimited)
            if header.tag == ITEM_DELIMITATION:
                return header.start
            if self.is_sequence(header):
                is_open = header.length == UNDEFINED
                stop = end if is_open else header.start + header.length
                if stop > end:
                    raise NeedMore(stop)
                pos = self.look(data, header.start, stop, values, depth + 1, delimited=is_open)
                continue
            pos = end_of_value(data, header, end, self.encoding, depth)
            called = self.called(header)
            if called >= 0:
                values.append((called, data[header.start : pos]))
        return pos


class _Reader(Reader):
    """Reads the form of one item."""

    def __init__(self, data: bytes, start: int, nested: Nested) -> None:
        super().__init__(data, start, nested.encoding)
        self._nested = nested
        self.values: list[tuple[int, int, int]] = []

    def holds_items(self, header: Header, pos: int) -> bool:
        return self._nested.is_sequence(header)

    def value(self, header: Header, pos: int) -> None:
        if header.length == UNDEFINED:
            raise Unsuited
        called = self._nested.called(header)
        if called >= 0:
            start = header.start - self.start
            self.values.append((called, start, start + header.length))
        self.part("other", header.length)
