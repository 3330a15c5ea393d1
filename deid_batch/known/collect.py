"""What an encoded data set says that identifies: names of persons at every depth, IDs, birth dates, places, addresses.

The top level is read structurally. Sequences, and what may hide some, are searched for what looks like an element:
too much is no harm here, as long as it is text in its character set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache

from deid_batch import dictionary
from deid_batch.errors import BadValue, FileError, NeedMore
from deid_batch.known.identity import Identity, Kind
from deid_batch.known.nested import HIDING, Nested, Values
from deid_batch.values import text
from deid_batch.wire import IMPLICIT_LITTLE, LONG_VRS, UNDEFINED, VRS, Encoding, end_of_value, read_header

_CHARSET = 0x00080005
KIND_OF: Mapping[int, Kind] = {
    0x00100020: "id",  # Patient ID
    0x00101000: "id",  # Other Patient IDs
    0x00080050: "id",  # Accession Number
    0x00200010: "id",  # Study ID
    0x00380010: "id",  # Admission ID
    0x00380060: "id",  # Service Episode ID
    0x00401001: "id",  # Requested Procedure ID
    0x00400009: "id",  # Scheduled Procedure Step ID
    0x00400253: "id",  # Performed Procedure Step ID
    0x00402016: "id",  # Placer Order Number / Imaging Service Request
    0x00402017: "id",  # Filler Order Number / Imaging Service Request
    0x00120040: "id",  # Clinical Trial Subject ID
    0x00101050: "id",  # Insurance Plan Identification
    0x00101090: "id",  # Medical Record Locator
    0x00400512: "id",  # Container Identifier
    0x00400551: "id",  # Specimen Identifier
    0x00181000: "id",  # Device Serial Number
    0x00100030: "day",  # Patient's Birth Date
    0x00100033: "day",  # Patient's Birth Date in Alternative Calendar
    0x00080080: "place",  # Institution Name
    0x00081040: "place",  # Institutional Department Name
    0x00081010: "place",  # Station Name
    0x00400010: "place",  # Scheduled Station Name
    0x00400242: "place",  # Performed Station Name
    0x00400243: "place",  # Performed Location
    0x00400011: "place",  # Scheduled Procedure Step Location
    0x00321033: "place",  # Requesting Service
    0x00401005: "place",  # Requested Procedure Location
    0x00380300: "place",  # Current Patient Location
    0x00380400: "address",  # Patient's Institution Residence
    0x00102152: "place",  # Region of Residence
    0x00080081: "address",  # Institution Address
    0x00101040: "address",  # Patient's Address
    0x00080092: "address",  # Referring Physician's Address
    0x00401102: "address",  # Person's Address
    0x00102154: "telephone",  # Patient's Telephone Numbers
    0x00080094: "telephone",  # Referring Physician's Telephone Numbers
    0x00401103: "telephone",  # Person's Telephone Numbers
    0x00402010: "telephone",  # Order Callback Phone Number
    0x00102155: "other",  # Patient's Telecom Information
    0x00401104: "other",  # Person's Telecom Information
    0x00402011: "other",  # Order Callback Telecom Information
}
"""Attributes that identify, wherever they stand, besides names of persons."""
_PERSONS = frozenset(tag for tag, entry in dictionary.DicomDictionary.items() if entry[0] == "PN")
_SEQUENCES = frozenset(tag for tag, entry in dictionary.DicomDictionary.items() if entry[0] == "SQ")
WANTED = _PERSONS | _SEQUENCES | KIND_OF.keys() | {_CHARSET}
SEARCHED_VRS = frozenset({b"PN", b"SQ", b"UN"})
_LONG_CODES = frozenset(vr.encode() for vr in LONG_VRS)
_SHORT_CODES = frozenset(vr.encode() for vr in VRS - LONG_VRS)
_PIXELS, _PIXEL_ELEMENTS = 0x7FE0, frozenset({0x0008, 0x0009, 0x0010})
_LONGEST = 10_240
"""Bytes of a value, up to which it may be one that identifies."""
_MAX_REMEMBERED = 8 << 10
_UIDS = frozenset({0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00100021})
"""What others may ask for in the same look; it identifies nobody."""
_ITEM_CODES = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
_NOT_SAID = frozenset(
    "anonymous anonymized anonymised anonym anon unknown none null na n/a nil test phantom patient name unbekannt "
    "deidentified de-identified removed".split()
)
Identities = frozenset[Identity]


def skim(data: bytes, pos: int, encoding: Encoding, found: dict[int, bytes]) -> int:
    """Put the top-level values that are looked at into `found`; where it ended.

    That is before Pixel Data, or at or behind the end of `data`. What is wanted and goes on there raises NeedMore.
    """
    end, explicit, wanted = len(data), encoding.explicit, WANTED
    read_tag, u16, u32 = encoding.tag.unpack_from, encoding.u16.unpack_from, encoding.u32.unpack_from
    while end - pos >= 12:
        group, element = read_tag(data, pos)
        tag = group << 16 | element
        if group == 0xFFFE or not tag:
            return end
        if group == _PIXELS and element in _PIXEL_ELEMENTS:
            return pos
        start = pos + 8
        vr = data[pos + 4 : pos + 6]
        if not explicit:
            length = u32(data, pos + 4)[0]
            is_wanted = tag in wanted or (group & 1 == 1 and element > 0xFF)
        elif vr in _SHORT_CODES:
            length = u16(data, pos + 6)[0]
            is_wanted = tag in wanted or vr == b"PN"
        else:
            start = pos + 12
            length = u32(data, pos + 8)[0]
            is_wanted = tag in wanted or vr in SEARCHED_VRS
            if vr not in _LONG_CODES:
                read_header(data, pos, end, encoding)  # which raises
        if length == UNDEFINED:
            stop = end_of_value(data, read_header(data, pos, end, encoding), end, encoding, ends=_nested(encoding))
        else:
            stop = start + length
            if is_wanted and stop > end and (explicit or not group & 1 or _looks_like_items(data, start)):
                raise NeedMore(stop)
        if is_wanted:
            found[tag] = data[start:stop]
        pos = stop
    return pos


def _looks_like_items(data: bytes, start: int) -> bool:
    return data[start : start + 4] in (*_ITEM_CODES, b"")


def identities_of(found: Mapping[int, bytes], encoding: Encoding) -> Identities:
    """What the values of a data set's top level, as `skim` finds them, say that identifies."""
    said_in = tuple([item for item in found.items() if item[0] not in _UIDS])
    is_short = sum([len(raw) for _, raw in said_in]) <= _MAX_REMEMBERED
    return (_identities if is_short else _identities.__wrapped__)(said_in, encoding)


@lru_cache(maxsize=256)
def _identities(found: tuple[tuple[int, bytes], ...], encoding: Encoding) -> Identities:
    charset = next((raw for tag, raw in found if tag == _CHARSET), b"")
    said: set[Identity] = set()
    for tag, raw in found:
        if tag in KIND_OF or tag in _PERSONS:
            said.update(_said(raw, KIND_OF.get(tag, "person"), charset))
        elif tag != _CHARSET and len(raw) > 8:
            said |= _searched(raw, encoding, charset, tag)
    return frozenset(said)


def _searched(raw: bytes, encoding: Encoding, charset: bytes, tag: int) -> Identities:
    search = _in_sequence if len(raw) <= _MAX_REMEMBERED else _in_sequence.__wrapped__
    if tag in _SEQUENCES or raw[:4] in _ITEM_CODES:
        return search(raw, encoding, charset)
    return frozenset(_said(raw, "person", charset)) if dictionary.is_private(tag) and encoding.explicit else frozenset()


@lru_cache(maxsize=1024)
def _in_sequence(raw: bytes, encoding: Encoding, charset: bytes) -> Identities:
    """What elements in these bytes say: in the items of a sequence, else anywhere in them."""
    said: set[Identity] = set()
    values: Values = []
    try:
        is_read = _nested(encoding).look(raw, 0, len(raw), values, delimited=False) == len(raw)
    except FileError:
        is_read = False
    if is_read:
        for _, hiding in [it for it in values if it[0] == HIDING]:
            values += _anywhere(hiding, encoding)
    else:
        values = _anywhere(raw, encoding)
    charsets = {charset, *(value for tag, value in values if tag == _CHARSET)}
    for kind, value in {(KIND_OF.get(tag, "person"), value) for tag, value in values if tag not in (_CHARSET, HIDING)}:
        if len(value) <= _LONGEST:
            for one in charsets:
                said.update(_said(value, kind, one))
    return frozenset(said)


@cache
def _nested(encoding: Encoding) -> Nested:
    """What this process knows of items; a matter of speed alone."""
    return Nested(encoding, _PERSONS | KIND_OF.keys() | {_CHARSET}, _SEQUENCES)


def _anywhere(raw: bytes, encoding: Encoding) -> Values:
    """(tag, value) of what looks like an element that is wanted."""
    elements = list(_elements_in(raw, encoding))
    is_implicit = raw[12:14] not in _SHORT_CODES and raw[12:14] not in _LONG_CODES
    if encoding.explicit and (is_implicit or b"UN\0\0" in raw):
        elements += _elements_in(raw, IMPLICIT_LITTLE)
    return [(tag, raw[start:stop]) for tag, start, stop in elements]


def _elements_in(raw: bytes, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """(tag, start, stop) of the values of what looks like an element that is wanted."""
    explicit, end = encoding.explicit, len(raw)
    for match in _search_for(encoding).finditer(raw):
        pos = match.start()
        tag = encoding.read_tag(raw, pos)
        start = pos + 8
        if not explicit:
            length = encoding.u32.unpack_from(raw, pos + 4)[0] if start <= end else 0
        elif (vr := raw[pos + 4 : pos + 6]) in _SHORT_CODES and start <= end:
            length = encoding.u16.unpack_from(raw, pos + 6)[0]
        elif vr in _LONG_CODES and start + 4 <= end:
            length = encoding.u32.unpack_from(raw, pos + 8)[0]
            start += 4
        else:
            continue
        if 0 < length <= _LONGEST and start + length <= end:
            yield tag, start, start + length
    if explicit:
        yield from _persons_in(raw, encoding)


def _persons_in(raw: bytes, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """The same of elements of VR PN that are private, or younger than the dictionary."""
    pos = raw.find(b"PN", 4)
    while pos >= 0 and pos + 4 <= len(raw):
        tag = encoding.read_tag(raw, pos - 4)
        start = pos + 4
        stop = start + encoding.u16.unpack_from(raw, pos + 2)[0]
        if tag not in _PERSONS and not raw[pos - 4 : pos].isalnum() and start < stop <= len(raw):
            yield tag, start, stop
        pos = raw.find(b"PN", pos + 1)


@cache
def _search_for(encoding: Encoding) -> re.Pattern[bytes]:
    """A search for the tags that are wanted in sequences. It overlaps with nothing, as it looks ahead only."""
    by_group: dict[bytes, list[bytes]] = {}
    for tag in sorted(_PERSONS | KIND_OF.keys() | {_CHARSET}):
        code = encoding.write_tag(tag)
        by_group.setdefault(code[:2], []).append(re.escape(code[2:]))
    groups = (re.escape(group) + b"(?:" + b"|".join(elements) + b")" for group, elements in by_group.items())
    return re.compile(b"(?:" + b"|".join(groups) + b")", re.DOTALL)


def _said(raw: bytes, kind: Kind, charset: bytes) -> Iterator[Identity]:
    """The values of an element, but for those that say nothing; none where it is no text."""
    vr = "PN" if kind == "person" else "ST" if kind == "address" else "LO"
    if text.has_foreign_bytes(raw, 0, len(raw)):
        return
    try:
        values = text.split(raw, vr, charset)
    except BadValue:
        return
    for value in values:
        stripped = value.strip("\0 ")
        if stripped.strip("^= ") and stripped.casefold() not in _NOT_SAID:
            yield Identity(_kind_of(stripped) if kind == "other" else kind, stripped)


def _kind_of(value: str) -> Kind:
    """The kind of a piece of telecom information."""
    if "@" in value:
        return "email"
    return "telephone" if sum(letter.isdigit() for letter in value) >= 5 else "other"


def sorted_identities(identities: Iterable[Identity]) -> list[Identity]:
    """The same in an order that does not depend on anything else."""
    return sorted(identities)
