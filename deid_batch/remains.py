"""What is left in one DICOM file: everything that its elements, at every depth, and the bytes around them tell."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.dicomfile import look_at, truncated
from deid_batch.errors import NeedMore, Unreadable
from deid_batch.identity import plain_text
from deid_batch.remnants import Attribute, Remnant, jpeg_segments, names_of, remnants, text_runs
from deid_batch.selectors import Selector, facts_of
from deid_batch.sinks import Source
from deid_batch.wire import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM_DELIMITATION,
    MAX_DEPTH,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Encoding,
    Header,
    looks_like_items,
    read_header,
    read_item,
)

_WINDOW = 64 << 10
_MOST_READ = 1 << 20
"""Bytes of a value that are looked at."""
_effective_vr = lru_cache(maxsize=4096)(dictionary.effective_vr)
_CHARSET, _PATIENT_ID, _ISSUER, _STUDY = 0x00080005, 0x00100020, 0x00100021, 0x0020000D


class Wanted(NamedTuple):
    """What is to be told: of elements that one of `selectors` matches (none: of all), and that have one of these VRs
    (none: any); `every`: nothing in sum but bytes.
    """

    selectors: tuple[Selector, ...] = ()
    vrs: frozenset[str] = frozenset()
    every: bool = False

    @property
    def is_all(self) -> bool:
        return not (self.selectors or self.vrs)

    def holds(self, attribute: Attribute, path: tuple[int, ...]) -> bool:
        if self.vrs and attribute.vr not in self.vrs:
            return False
        facts = facts_of(attribute.tag, attribute.vr, attribute.creator or None, path) if self.selectors else None
        return facts is None or any(selector.matches(facts) for selector in self.selectors)


class Remains(NamedTuple):
    """What is left in a file, how often; `patient` is the same for the files of one patient (or, without ID, study)."""

    counts: Counter[Remnant]
    patient: str


def remains_of(path: str | bytes, wanted: Wanted) -> Remains:
    """Everything that is left in a file. What can't be read to its end raises FileError."""

    def look(file: Source, plain: Source, start: int, encoding: Encoding) -> Remains:
        counts = Counter[Remnant]()
        _Reading(file, wanted, counts).head()
        reading = _Reading(plain, wanted, counts)
        reading.body(start, encoding)
        return Remains(counts, reading.patient())

    return look_at(path, look)


class _Place(NamedTuple):
    """Where elements stand: the sequences around them."""

    path: tuple[int, ...] = ()
    tags: str = ""
    keywords: str = ""

    def inside(self, tag: int, creator: str) -> _Place:
        if len(self.path) == MAX_DEPTH:
            raise Unreadable("too-deep", f"sequences nested more than {MAX_DEPTH} deep")
        shown, keyword = names_of(tag, creator)
        return _Place((*self.path, tag), f"{self.tags}{shown}/", f"{self.keywords}{keyword}/")


class _Reading:
    """One file being read, through a window that follows."""

    def __init__(self, source: Source, wanted: Wanted, counts: Counter[Remnant]) -> None:
        self._source, self._wanted, self._counts = source, wanted, counts
        self._base, self._data = 0, b""
        self._identity: dict[int, str] = {}

    def patient(self) -> str:
        patient = [self._identity.get(tag, "") for tag in (_ISSUER, _PATIENT_ID)]
        return "\0".join(patient) if patient[1] else self._identity.get(_STUDY, "")

    def head(self) -> None:
        """Take in the preamble and the File Meta Information. (PS3.10 7.1)"""
        has_preamble = self._bytes(128, 4) == b"DICM"
        if has_preamble:
            self._stray("preamble", self._bytes(0, 128).rstrip(b"\0"))
        start = 132 if has_preamble else 0
        if self._bytes(start, 2) == b"\2\0":
            explicit = self._bytes(start + 4, 2).isalpha()
            self._elements(start, self._source.size, EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE, group=2)

    def body(self, start: int, encoding: Encoding) -> None:
        """Take in the data set, and what stands behind it."""
        size = self._source.size
        stop = self._elements(start, size, encoding)
        self._stray("behind the data set", self._bytes(stop, min(size - stop, _MOST_READ)).strip(b"\0"))

    def _elements(
        self,
        pos: int,
        end: int,
        encoding: Encoding,
        place: _Place = _Place(),  # noqa: B008 - frozen
        charset: bytes = b"",
        *,
        group: int = 0,
        delimited: bool = False,
    ) -> int:
        """Take in the elements of a data set, an item, or one group; where they end."""
        creators: dict[int, str] = {}
        while delimited or end - pos >= 8:
            if not delimited and self._bytes(pos, 4) == b"\0\0\0\0":
                break
            header = self._header(pos, end, encoding)
            tag = header.tag
            if tag == ITEM_DELIMITATION and delimited:
                return header.start
            if tag >> 16 == 0xFFFE or (group and tag >> 16 != group):
                break  # what is behind the data set or the group
            creator = creators.get(tag >> 8, "") if tag & 0x10000 else ""
            vr = _effective_vr(tag, header.vr, creator or None)
            if self._is_sequence(header, vr, encoding):
                inside = IMPLICIT_LITTLE if header.vr == "UN" else encoding
                pos = self._items(header, end, inside, place.inside(tag, creator), charset)
                continue
            attribute = Attribute(place.tags, place.keywords, tag, vr, creator)
            if header.length == UNDEFINED:
                pos = self._fragments(header, end, encoding, attribute, place.path)
                continue
            pos = header.start + header.length
            if pos > end:
                raise truncated()
            raw = self._bytes(header.start, min(header.length, _MOST_READ))
            if tag == _CHARSET:
                charset = raw
            elif dictionary.is_private_creator(tag):
                creators[tag >> 8 & 0xFFFF00 | tag & 0xFF] = plain_text(raw, charset)
            elif not place.path and tag in (_PATIENT_ID, _ISSUER, _STUDY):
                self._identity[tag] = plain_text(raw, charset)
            if self._wanted.holds(attribute, place.path):
                told = remnants(attribute, raw, header.length, charset, encoding, every=self._wanted.every)
                self._counts.update(told)
        return pos

    def _is_sequence(self, header: Header, vr: str, encoding: Encoding) -> bool:
        """Whether a value is made of items, whatever its header says. (PS3.5 6.2.2)"""
        if vr == "SQ" or header.vr == "SQ":
            return True
        if header.length == UNDEFINED:
            return header.vr == "UN" or not encoding.explicit
        if vr != "UN" or not 8 <= header.length <= _MOST_READ:
            return False
        raw = self._bytes(header.start, header.length)
        return looks_like_items(raw, 0, len(raw))

    def _items(self, header: Header, end: int, encoding: Encoding, place: _Place, charset: bytes) -> int:
        """Take in the items of a sequence; where it ends. (PS3.5 7.5)"""
        pos = header.start
        delimited = header.length == UNDEFINED
        stop = end if delimited else pos + header.length
        if stop > end:
            raise truncated()
        while delimited or pos < stop:
            tag, length = self._item(pos, stop, encoding)
            pos += 8
            if tag == SEQUENCE_DELIMITATION:
                return pos
            is_open = length == UNDEFINED
            item_end = stop if is_open else pos + length
            if item_end > stop:
                raise truncated()
            pos = self._elements(pos, item_end, encoding, place, charset, delimited=is_open)
            if not is_open and pos != item_end:
                raise Unreadable("bad-sequence", "an item ends inside an element")
        return pos

    def _fragments(
        self, header: Header, end: int, encoding: Encoding, attribute: Attribute, path: tuple[int, ...]
    ) -> int:
        """Take in an encapsulated value, of which text in JPEG segments is told; where it ends. (PS3.5 A.4)"""
        pos, size = header.start, 0
        is_wanted = self._wanted.holds(attribute, path)
        while True:
            tag, length = self._item(pos, end, encoding)
            pos += 8
            if tag == SEQUENCE_DELIMITATION:
                break
            if length == UNDEFINED or pos + length > end:
                raise truncated()
            if is_wanted:
                for segment in jpeg_segments(self._bytes(pos, min(length, _WINDOW))):
                    self._counts.update(Remnant(attribute, "value", run) for run in text_runs(segment))
            pos += length
            size += length
        if is_wanted:
            self._counts[Remnant(attribute, "bytes", "", size, size)] += 1
        return pos

    def _stray(self, what: str, raw: bytes) -> None:
        """Take in bytes that belong to no element."""
        if raw and self._wanted.is_all:
            attribute = Attribute("", f"({what})", 0, "")
            self._counts[Remnant(attribute, "bytes", "", len(raw), len(raw))] += 1
            self._counts.update(Remnant(attribute, "value", run) for run in text_runs(raw))

    def _header(self, pos: int, end: int, encoding: Encoding) -> Header:
        self._bytes(pos, 12)
        try:
            header = read_header(self._data, pos - self._base, min(len(self._data), end - self._base), encoding)
        except NeedMore:
            raise truncated() from None
        return Header(header.tag, header.vr, header.length, header.start + self._base)

    def _item(self, pos: int, end: int, encoding: Encoding) -> tuple[int, int]:
        if pos + 8 > end:
            raise truncated()
        return read_item(self._bytes(pos, 8), 0, 8, encoding)

    def _bytes(self, start: int, count: int) -> bytes:
        """Bytes of the file, fewer at its end."""
        at = start - self._base
        if at < 0 or at + count > len(self._data):
            self._base, at = start, 0
            self._data = self._source.read(start, max(count, _WINDOW))
        return self._data[at : at + count]
