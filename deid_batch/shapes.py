"""Shapes: items that are built alike have the same headers at the same places, which one comparison tells.

Only what stands between headers may differ, and that does not change where things stand; so nothing is taken on trust.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct
from typing import Generic, NamedTuple, TypeVar

from deid_batch.errors import FileError
from deid_batch.wire import (
    ITEM,
    ITEM_DELIMITATION,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Encoding,
    Header,
    read_header,
    read_item,
)

_MAX_ITEM = 4 << 10
"""Bytes of an item up to which it is remembered how it is built."""
_MAX_PARTS, _MAX_NAMES, _MAX_HELD = 500, 1024, 256 << 10
"""Parts of an item, names, and bytes of items up to which that is remembered: it takes some five times their room."""
_MOST_FORMS = 4
"""How many forms items may have that are called the same."""
_FREE, _WORTH = 128 << 10, 64
"""So many bytes of items are learned anyway, and one more for so many that were passed: learning takes its time."""

Form = TypeVar("Form")
Name = int | tuple[bytes, int, int]
"""How items are called at first sight: by their length; where that is undefined, by their first bytes and how far it is
to the first ends of items behind these."""


class Unsuited(Exception):
    """Something of which its headers alone do not tell enough."""


class Shape(NamedTuple):
    """Which headers an item has, and where; `depth` is how many levels of items lie in it."""

    heads: Struct
    expected: tuple[bytes, ...]
    size: int
    depth: int


class Remembered(ABC, Generic[Form]):
    """The forms that items in one encoding had, as far as it is worth while to learn them."""

    __slots__ = ("_delimitation", "_held", "_known", "_spent", "encoding", "passed")

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.passed = 0
        """Bytes of items that were passed by what is known."""
        self._delimitation = encoding.write_tag(ITEM_DELIMITATION)
        self._known: dict[Name, list[Form] | None] = {}
        self._spent = self._held = 0

    def forms(self, data: bytes, start: int, length: int) -> Sequence[Form]:
        """The forms that the item may have whose content begins at `start`; `length` may be UNDEFINED."""
        return self._known.get(self._name(data, start) if length == UNDEFINED else length) or ()

    def learn(self, data: bytes, start: int, stop: int, length: int = UNDEFINED) -> None:
        """Take in an item that was walked, if one that is called the same was seen before and few were learned."""
        size = stop - start
        if size > _MAX_ITEM or self._spent > _FREE + self.passed // _WORTH:
            return
        name = self._name(data, start) if length == UNDEFINED else length
        if name not in self._known:
            if len(self._known) >= _MAX_NAMES or self._held > _MAX_HELD:
                self._known.clear()
                self._held = 0
            self._known[name] = []
            return
        forms = self._known[name]
        if forms is not None and len(forms) < _MOST_FORMS:
            self._spent += size
            self._held += size
            form = self.read(data, start, stop, delimited=length == UNDEFINED)
            if form is None:
                self._known[name] = None  # which is not tried again
            else:
                forms.append(form)

    @abstractmethod
    def read(self, data: bytes, start: int, stop: int, *, delimited: bool) -> Form | None:
        """The form of an item, or None where it has none that would be enough to know another one by."""

    def _name(self, data: bytes, start: int) -> Name:
        last = start + _MAX_ITEM
        first = data.find(self._delimitation, start, last)
        if first < 0:
            return data[start : start + 8], -1, -1
        second = data.find(self._delimitation, first + 8, last)
        return data[start : start + 8], first - start, second - start if second >= 0 else -1


class Reader(ABC):
    """Reads the headers of the item whose content begins at `start`, and of those in it."""

    def __init__(self, data: bytes, start: int, encoding: Encoding) -> None:
        self.data = data
        self.start = start
        self.elements = 0
        self._encoding = encoding
        self._parts: list[tuple[str, int]] = []
        self._depth = 0

    def shape(self, stop: int, *, delimited: bool) -> Shape | None:
        """The shape of the item up to `stop`, or None where it is too intricate, or its headers are not enough."""
        try:
            if self._item(self.start, stop, 0, delimited=delimited) != stop:
                return None
        except (Unsuited, FileError):
            return None
        heads = self.struct("head")
        return Shape(heads, heads.unpack_from(self.data, self.start), heads.size, self._depth)

    def struct(self, kind: str) -> Struct:
        """All parts of one kind, and the places between them."""
        return Struct("=" + "".join(f"{size}{'s' if of_kind == kind else 'x'}" for of_kind, size in self._parts))

    @abstractmethod
    def holds_items(self, header: Header, pos: int) -> bool:
        """Whether the element at `pos` is a sequence that must be looked into."""

    @abstractmethod
    def value(self, header: Header, pos: int) -> None:
        """Pass, by `part`, the value of an element that is none; Unsuited where it can't be passed unseen."""

    def enter(self, header: Header) -> None:  # noqa: B027 - nothing, if that does not matter
        """The items of a sequence begin."""

    def next_item(self, *, is_open: bool) -> None:  # noqa: B027
        """An item begins, of undefined length or not."""

    def leave(self) -> None:  # noqa: B027
        """The sequence that was entered last ends."""

    def part(self, kind: str, size: int) -> None:
        """Pass some bytes of one kind."""
        if not size:
            return
        if self._parts and self._parts[-1][0] == kind:
            size += self._parts.pop()[1]
        if len(self._parts) > _MAX_PARTS:
            raise Unsuited
        self._parts.append((kind, size))

    def _item(self, pos: int, end: int, depth: int, *, delimited: bool) -> int:
        while pos < end:
            header = read_header(self.data, pos, end, self._encoding)
            self.part("head", header.start - pos)
            if delimited and header.tag == ITEM_DELIMITATION:
                return header.start
            self.elements += 1
            if self.holds_items(header, pos):
                pos = self._items(header, end, depth + 1)
            else:
                self.value(header, pos)
                pos = header.start + header.length
        return pos

    def _items(self, header: Header, end: int, depth: int) -> int:
        self._depth = max(self._depth, depth)
        pos, delimited = header.start, header.length == UNDEFINED
        end = end if delimited else pos + header.length
        self.enter(header)
        while delimited or pos < end:
            tag, length = read_item(self.data, pos, end, self._encoding)
            self.part("head", 8)
            pos += 8
            if tag == SEQUENCE_DELIMITATION:
                break
            assert tag == ITEM
            is_open = length == UNDEFINED
            self.next_item(is_open=is_open)
            pos = self._item(pos, end if is_open else pos + length, depth, delimited=is_open)
        self.leave()
        return pos
