"""Encoded data elements: headers, items, lengths. (PS3.5 7.1, 7.5, A.4)

Positions and lengths are bytes. Nothing here knows what a value means.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from deid_batch.errors import NeedMore, OddEncoding, Unreadable

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
MAX_DEPTH = 64
MAX_SHORT_LENGTH = 0xFFFE

LONG_VRS = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
VRS = LONG_VRS | SHORT_VRS
_LONG_CODES = frozenset(vr.encode() for vr in LONG_VRS)
_SHORT_CODES = frozenset(vr.encode() for vr in SHORT_VRS)
TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
OPAQUE_VRS = frozenset("OB OD OF OL OV OW UN".split())
WORD_SIZE = {
    "AT": 4, "FD": 8, "FL": 4, "OB": 1, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2,
    "SL": 4, "SS": 2, "SV": 8, "UL": 4, "UN": 1, "US": 2, "UV": 8,
}  # fmt: skip
"""Bytes of one word, for the VRs whose values have a fixed size. (PS3.5 6.2)"""


def tag_name(tag: int) -> str:
    """`0x00100010` as `(0010,0010)`."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@dataclass(frozen=True)
class Encoding:
    """How the elements of a data set are written down. (PS3.5 7.1, 7.3)"""

    explicit: bool
    little: bool

    @cached_property
    def tag(self) -> struct.Struct:
        return struct.Struct("<HH" if self.little else ">HH")

    @cached_property
    def u16(self) -> struct.Struct:
        return struct.Struct("<H" if self.little else ">H")

    @cached_property
    def u32(self) -> struct.Struct:
        return struct.Struct("<I" if self.little else ">I")

    @cached_property
    def item_code(self) -> bytes:
        """What an item begins with."""
        return self.write_tag(ITEM)

    def read_tag(self, data: bytes, pos: int) -> int:
        group, element = self.tag.unpack_from(data, pos)
        return int(group << 16 | element)

    def write_tag(self, tag: int) -> bytes:
        return self.tag.pack(tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """One whole element of defined length. What a 2-byte length can't say becomes UN. (PS3.5 6.2.2)"""
        if not self.explicit:
            return self.write_tag(tag) + self.u32.pack(len(value)) + value
        if vr not in LONG_VRS and len(value) > MAX_SHORT_LENGTH:
            vr = "UN"
        if vr in LONG_VRS:
            return self.write_tag(tag) + vr.encode() + b"\0\0" + self.u32.pack(len(value)) + value
        return self.write_tag(tag) + vr.encode() + self.u16.pack(len(value)) + value

    def item(self, content: bytes) -> bytes:
        """One item of defined length. (PS3.5 7.5.1)"""
        return self.write_tag(ITEM) + self.u32.pack(len(content)) + content


class Made(NamedTuple):
    """A data element that is written into a data set: its value, or the items of a sequence."""

    tag: int
    vr: str
    value: bytes | Items


Items = tuple[tuple[Made, ...], ...]


def encode_made(made: Made, encoding: Encoding) -> bytes:
    """The element as bytes."""
    value = made.value if isinstance(made.value, bytes) else encode_items(made.value, encoding)
    return encoding.element(made.tag, made.vr, value)


def encode_items(items: Items, encoding: Encoding) -> bytes:
    """Items as bytes: the value of a sequence."""
    return b"".join(encoding.item(b"".join(encode_made(made, encoding) for made in item)) for item in items)


EXPLICIT_LITTLE = Encoding(explicit=True, little=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)
IMPLICIT_LITTLE = Encoding(explicit=False, little=True)


class Header(NamedTuple):
    """An element's header: `vr` is "" in implicit VR, `start` is where the value begins."""

    tag: int
    vr: str
    length: int
    start: int


def read_header(data: bytes, pos: int, end: int, encoding: Encoding) -> Header:
    """Read the header at `pos`. An unknown VR raises OddEncoding, a header that is cut off NeedMore."""
    if pos + 8 > end:
        raise NeedMore(pos + 8)
    tag = encoding.read_tag(data, pos)
    if not encoding.explicit or tag >> 16 == 0xFFFE:
        return Header(tag, "", encoding.u32.unpack_from(data, pos + 4)[0], pos + 8)
    vr = data[pos + 4 : pos + 6].decode("latin-1")
    if vr in SHORT_VRS:
        return Header(tag, vr, encoding.u16.unpack_from(data, pos + 6)[0], pos + 8)
    if vr not in LONG_VRS:
        raise OddEncoding("unknown-vr", f"the VR of {tag_name(tag)} is none of PS3.5 6.2")
    if pos + 12 > end:
        raise NeedMore
    return Header(tag, vr, encoding.u32.unpack_from(data, pos + 8)[0], pos + 12)


def read_item(data: bytes, pos: int, end: int, encoding: Encoding) -> tuple[int, int]:
    """(tag, length) of the item or delimitation at `pos`; any other tag raises Unreadable. (PS3.5 7.5)"""
    if pos + 8 > end:
        raise NeedMore(pos + 8)
    tag = encoding.read_tag(data, pos)
    if tag not in (ITEM, SEQUENCE_DELIMITATION):
        raise Unreadable("bad-sequence", f"{tag_name(tag)} stands where an item must begin")
    length = encoding.u32.unpack_from(data, pos + 4)[0]
    if tag == SEQUENCE_DELIMITATION and length:
        raise Unreadable("bad-sequence", "a sequence delimitation has a length")
    return tag, length


def end_of_fragments(data: bytes, pos: int, end: int, encoding: Encoding) -> int:
    """Where an encapsulated value ends, behind its sequence delimitation. (PS3.5 A.4)"""
    while True:
        tag, length = read_item(data, pos, end, encoding)
        pos += 8
        if tag == SEQUENCE_DELIMITATION:
            return pos
        if length == UNDEFINED:
            raise Unreadable("bad-sequence", "a fragment of undefined length")
        pos += length


class KnownEnds(Protocol):
    """What is known of where items of undefined length end; a matter of speed alone."""

    def found(self, data: bytes, start: int, end: int, depth: int) -> int:
        """Where the item ends whose content begins at `start`, behind its delimitation; -1 where that is not known."""
        ...

    def learn(self, data: bytes, start: int, stop: int) -> None:
        """Take in an item that was walked."""
        ...


def end_of_value(
    data: bytes, header: Header, end: int, encoding: Encoding, depth: int = 0, ends: KnownEnds | None = None
) -> int:
    """Where the value behind `header` ends, read structurally. (PS3.5 7.5)

    What is known of `ends` must be so of this encoding.
    """
    if header.length != UNDEFINED:
        if header.start + header.length > end:
            raise NeedMore(header.start + header.length)
        return header.start + header.length
    if header.vr in ("OB", "OW"):
        return end_of_fragments(data, header.start, end, encoding)
    if encoding.explicit and header.vr not in ("SQ", "UN"):
        raise Unreadable("bad-length", f"undefined length is not allowed for {tag_name(header.tag)}")
    if header.vr == "UN" and encoding is not IMPLICIT_LITTLE:
        encoding, ends = IMPLICIT_LITTLE, None
    return end_of_items(data, header.start, end, encoding, depth + 1, delimited=True, ends=ends)


def end_of_items(
    data: bytes,
    pos: int,
    end: int,
    encoding: Encoding,
    depth: int,
    *,
    delimited: bool,
    ends: KnownEnds | None = None,
) -> int:
    """Where a sequence's value ends: at `end`, or behind its delimitation. Nesting is bounded by MAX_DEPTH."""
    if depth > MAX_DEPTH:
        raise too_deep()
    while delimited or pos < end:
        tag, length = read_item(data, pos, end, encoding)
        pos += 8
        if tag == SEQUENCE_DELIMITATION:
            if not delimited:
                raise Unreadable("bad-sequence", "a delimitation inside a sequence of defined length")
            return pos
        if length == UNDEFINED:
            if ends is None:
                pos = end_of_item(data, pos, end, encoding, depth, delimited=True)
                continue
            start, pos = pos, ends.found(data, pos, end, depth)
            if pos < 0:
                pos = end_of_item(data, start, end, encoding, depth, delimited=True, ends=ends)
                ends.learn(data, start, pos)
            continue
        if pos + length > end:
            raise NeedMore(pos + length)
        pos += length
    return pos


def end_of_group(data: bytes, pos: int, group: int, encoding: Encoding) -> int:
    """Where the elements of one group end, the first of which stands at `pos`; NeedMore where that is not in `data`."""
    end = len(data)
    while True:
        header = read_header(data, pos, end, encoding)
        if header.tag >> 16 != group:
            return pos
        pos = end_of_value(data, header, end, encoding)


def end_of_item(
    data: bytes,
    pos: int,
    end: int,
    encoding: Encoding,
    depth: int,
    *,
    delimited: bool,
    ends: KnownEnds | None = None,
) -> int:
    """Where the item ends whose content begins at `pos`: at `end`, or behind its delimitation."""
    if not delimited:
        return end
    explicit, length_at = encoding.explicit, 6 if encoding.explicit else 4
    length_of = (encoding.u16 if explicit else encoding.u32).unpack_from
    unusual = encoding.item_code[:2], b"\0\0\0\0"
    while True:
        while pos + 8 <= end and (not explicit or data[pos + 4 : pos + 6] in _SHORT_CODES):  # most elements
            stop = pos + 8 + length_of(data, pos + length_at)[0]
            if stop > end or data.startswith(unusual, pos):
                break
            pos = stop
        header = header_in_item(data, pos, end, encoding, delimited=True)
        if header.tag == ITEM_DELIMITATION:
            return header.start
        pos = end_of_value(data, header, end, encoding, depth, ends)


def too_deep() -> Unreadable:
    """What a file is whose sequences are nested too deep."""
    return Unreadable("too-deep", f"sequences nested more than {MAX_DEPTH} deep")


def header_in_item(data: bytes, pos: int, end: int, encoding: Encoding, *, delimited: bool) -> Header:
    """The header of an element or of an item delimitation; zeros are none where that is what ends the item."""
    header = read_header(data, pos, end, encoding)
    if header.tag == ITEM_DELIMITATION and header.length:
        raise Unreadable("bad-sequence", "an item delimitation has a length")
    if header.tag >> 16 == 0xFFFE and header.tag != ITEM_DELIMITATION:
        raise Unreadable("bad-sequence", f"{tag_name(header.tag)} stands where an element must begin")
    if delimited and not header.tag:
        raise OddEncoding("tag-order", "zeros stand where an element must begin")
    return header


def top_level_values(  # noqa: PLR0912 - a hot loop
    data: bytes, pos: int, encoding: Encoding, wanted: Container[int], last: int, *, partial: bool
) -> dict[int, bytes]:
    """The values of the wanted elements, none behind `last`, of the data set that begins at `pos`.

    `partial` says that the file goes on behind `data`; what would stand there raises NeedMore.
    """
    found: dict[int, bytes] = {}
    end, explicit = len(data), encoding.explicit
    read_tag, u16, u32 = encoding.tag.unpack_from, encoding.u16.unpack_from, encoding.u32.unpack_from
    while partial or end - pos >= 8:
        if end - pos < 8:
            raise NeedMore
        group, element = read_tag(data, pos)
        tag = group << 16 | element
        if group == 0xFFFE or (not tag and not data[pos : pos + 8].strip(b"\0")):
            break
        start = pos + 8
        if not explicit:
            length = u32(data, pos + 4)[0]
        elif (vr := data[pos + 4 : pos + 6]) in _SHORT_CODES:
            length = u16(data, pos + 6)[0]
        elif vr in _LONG_CODES:
            if end - pos < 12:
                raise NeedMore
            start = pos + 12
            length = u32(data, pos + 8)[0]
        else:
            raise OddEncoding("unknown-vr", f"the VR of {tag_name(tag)} is none of PS3.5 6.2")
        if tag > last:
            break
        if length == UNDEFINED:
            pos = end_of_value(data, read_header(data, pos, end, encoding), end, encoding)
        else:
            pos = start + length
            if pos > end:
                raise NeedMore(pos)
        if tag in wanted:
            found[tag] = data[start:pos]
    return found


def looks_like_items(data: bytes, start: int, stop: int) -> bool:
    """Whether a value of VR UN is, from its first to its last byte, a sequence in implicit VR. (PS3.5 6.2.2)

    One nested too deep, or with zeros in the place of an element, raises Unreadable.
    """
    if data[start : start + 4] != b"\xfe\xff\x00\xe0":
        return False
    try:
        return _end_of_strict_items(data, start, stop) == stop
    except Unreadable as error:
        if error.reason in ("too-deep", "tag-order"):
            raise
        return False


def _end_of_strict_items(data: bytes, pos: int, stop: int) -> int:
    """Where items end, if each ends exactly with its last element."""
    while pos < stop:
        tag, length = read_item(data, pos, stop, IMPLICIT_LITTLE)
        pos += 8
        if tag == SEQUENCE_DELIMITATION:
            return pos
        item_end = stop if length == UNDEFINED else pos + length
        delimited = length == UNDEFINED
        while delimited or pos < item_end:
            header = header_in_item(data, pos, item_end, IMPLICIT_LITTLE, delimited=delimited)
            pos = end_of_value(data, header, item_end, IMPLICIT_LITTLE, 1)
            if header.tag == ITEM_DELIMITATION:
                break
        if length != UNDEFINED and pos != item_end:
            raise NeedMore
    return pos
