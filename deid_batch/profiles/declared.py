"""Private elements that a file itself declares to be safe, in (0008,0300). (PS3.3 C.12.1.1.7, PS3.15 E.3.10)"""

from __future__ import annotations

from collections.abc import Iterator

from deid_batch.errors import Unreadable
from deid_batch.profiles.actions import Declared
from deid_batch.wire import (
    ITEM_DELIMITATION,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Encoding,
    end_of_value,
    read_header,
    read_item,
)

CHARACTERISTICS = 0x00080300
_GROUP, _CREATOR, _STATUS, _SAFE_ELEMENTS = 0x00080301, 0x00080302, 0x00080303, 0x00080304


def declared_safe(value: bytes) -> Declared:
    """What a Private Data Element Characteristics Sequence with this value declares; nothing if it can't be read."""
    found: set[tuple[int, str, int | None]] = set()
    if len(value) < 16:
        return frozenset()
    encoding = Encoding(explicit=value[12:14].isalpha(), little=value[:2] == b"\xfe\xff")
    try:
        for item in _items(value, encoding):
            found |= _said(item, encoding)
    except (Unreadable, ValueError):
        return frozenset()
    return frozenset(found)


def _said(item: dict[int, bytes], encoding: Encoding) -> set[tuple[int, str, int | None]]:
    group = encoding.u16.unpack(item.get(_GROUP, b"\0\0")[:2].ljust(2, b"\0"))[0]
    creator = item.get(_CREATOR, b"").decode("latin-1").strip("\0 ")
    if not group & 1 or not creator:
        return set()
    if item.get(_STATUS, b"").strip(b"\0 ") == b"SAFE":
        return {(group, creator, None)}
    words = item.get(_SAFE_ELEMENTS, b"")
    elements = [encoding.u16.unpack_from(words, start)[0] for start in range(0, len(words) - 1, 2)]
    return {(group, creator, element & 0xFF) for element in elements}


def _items(value: bytes, encoding: Encoding) -> Iterator[dict[int, bytes]]:
    pos = 0
    while pos < len(value):
        tag, length = read_item(value, pos, len(value), encoding)
        pos += 8
        if tag == SEQUENCE_DELIMITATION:
            return
        item: dict[int, bytes] = {}
        end = len(value) if length == UNDEFINED else pos + length
        while pos < end:
            header = read_header(value, pos, end, encoding)
            if header.tag == ITEM_DELIMITATION:
                pos = header.start
                break
            pos = end_of_value(value, header, end, encoding)
            item[header.tag] = value[header.start : pos]
        yield item
