"""What a value, or bytes that are none, tell to somebody who reads them: text as it stands, all else in sum."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from deid_batch import dictionary
from deid_batch.errors import BadValue
from deid_batch.values import text, uids
from deid_batch.wire import PIXEL_DATA, TEXT_VRS, WORD_SIZE, Encoding, tag_name

Kind = Literal["value", "UIDs", "numbers", "times", "bytes", "unread"]
LONGEST = 32_000
"""Letters of a value that are shown: a cell of a spreadsheet holds 32,767."""
_RUN = re.compile(rb"(?:[ -~]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){5,}|(?:[ -~]\0){4,}|(?:\0[ -~]){4,}")
_WORTH = re.compile(r"[^\W\d_]{4}|\d{5}")
_MOST_RUNS = 200
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_TIME = re.compile(r"[\d:]{2,8}(?:\.\d{1,6})?", re.ASCII)
_DAY_TIME = re.compile(r"(\d{8})\d{2,6}(?:\.\d{1,6})?([+-]\d{4})?", re.ASCII)
_FORMATS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_LONGEST_NUMBERS = 512
_SEARCHED = frozenset({"OB", "UN"})


class Attribute(NamedTuple):
    """Where a value stands: the sequences around it, its tag, VR and private creator; tag 0: in none."""

    tags: str
    keywords: str
    tag: int
    vr: str
    creator: str = ""


class Remnant(NamedTuple):
    """Something that is left; `low` and `high` are the range of what is told in sum (of `bytes`: how many)."""

    attribute: Attribute
    kind: Kind
    value: str = ""
    low: float = 0
    high: float = 0


@lru_cache(maxsize=4096)
def names_of(tag: int, creator: str) -> tuple[str, str]:
    """(tag, keyword) as they are shown: those of a private element are the same whatever its block."""
    shown = tag_name(tag)
    if dictionary.is_private(tag) and tag & 0xFF00:
        shown = f"{shown[:6]}xx{shown[8:]}"
    return shown, dictionary.name_of(tag)[len(shown) + 1 :] or (f"[{creator}]" if creator else "[private]")


def remnants(
    attribute: Attribute, raw: bytes, length: int, charset: bytes, encoding: Encoding, *, every: bool
) -> Iterator[Remnant]:
    """What is left in the value field of an element, of whose `length` bytes the first are `raw`.

    Without `every`, numbers of a fixed size are nothing, and UIDs, numbers in text and times of day are told in sum.
    """
    vr = attribute.vr
    if vr in TEXT_VRS:
        for value in _texts(raw, vr, charset):
            yield _of_text(attribute, value, every=every)
    elif vr in _FORMATS or vr == "AT":
        if every and 0 < length <= _LONGEST_NUMBERS and length % WORD_SIZE[vr] == 0:
            yield Remnant(attribute, "value", _shown_numbers(raw, vr, encoding))
        elif every and length:
            yield Remnant(attribute, "bytes", "", length, length)
    elif length:
        yield from _of_bytes(attribute, raw, length, charset)


def _of_text(attribute: Attribute, value: str, *, every: bool) -> Remnant:
    vr = attribute.vr
    if not every:
        if vr == "UI" and uids.is_uid(value):
            return Remnant(attribute, "UIDs")
        if vr in ("DS", "IS") and _NUMBER.fullmatch(value):
            return Remnant(attribute, "numbers", "", float(value), float(value))
        if vr == "TM" and _TIME.fullmatch(value):
            return Remnant(attribute, "times")
        if vr == "DT" and (match := _DAY_TIME.fullmatch(value)):
            return Remnant(attribute, "value", f"{match[1]}…{match[2] or ''}")
    return Remnant(attribute, "value", value if len(value) <= LONGEST else f"{value[:LONGEST]}…")


def _of_bytes(attribute: Attribute, raw: bytes, length: int, charset: bytes) -> Iterator[Remnant]:
    """A value of bytes that is nothing but text, or else the number of its bytes and the text among them."""
    is_searched = attribute.vr in _SEARCHED and attribute.tag not in PIXEL_DATA
    plain = raw.rstrip(b"\0 ")
    if is_searched and len(plain) > 1 and not text.has_foreign_bytes(plain, 0, len(plain)):
        try:
            value = text.decode(plain, "UT", charset)
        except BadValue:
            value = ""
        if value.isprintable() and value:
            yield Remnant(attribute, "value", value if len(value) <= LONGEST else f"{value[:LONGEST]}…")
            return
    yield Remnant(attribute, "bytes", "", length, length)
    if is_searched:
        for run in text_runs(raw):
            yield Remnant(attribute, "value", run)


def _texts(raw: bytes, vr: str, charset: bytes) -> list[str]:
    """The values of an element; what is no text in its character set is shown as Latin-1."""
    try:
        values = text.split(raw, vr, charset)
    except BadValue:
        values = [raw.decode("latin-1").rstrip("\0 ")]
    return [value.strip() for value in values if value.strip()]


def _shown_numbers(raw: bytes, vr: str, encoding: Encoding) -> str:
    order = "<" if encoding.little else ">"
    if vr == "AT":
        return "\\".join(tag_name(encoding.read_tag(raw, pos)) for pos in range(0, len(raw), 4))
    return "\\".join(map(str, struct.unpack(f"{order}{len(raw) // WORD_SIZE[vr]}{_FORMATS[vr]}", raw)))


def text_runs(data: bytes) -> list[str]:
    """What looks like text among bytes, in ASCII, UTF-8 or UTF-16: runs with a word of four letters or five digits."""
    runs: list[str] = []
    for match in _RUN.finditer(data):
        run = match[0].replace(b"\0", b"").decode("utf-8", "replace").strip()
        if _WORTH.search(run):
            runs.append(run[:LONGEST])
            if len(runs) == _MOST_RUNS:
                break
    return runs


def jpeg_segments(data: bytes) -> Iterator[bytes]:
    """The application and comment segments of a JPEG stream that begins with `data`. (ISO/IEC 10918-1 B.2.4)"""
    pos = 2 if data[:2] == b"\xff\xd8" else len(data)
    while pos + 4 <= len(data) and data[pos] == 0xFF and data[pos + 1] != 0xDA:
        length = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if data[pos + 1] == 0xFE or 0xE0 <= data[pos + 1] <= 0xEF:
            yield data[pos + 4 : pos + 2 + length]
        pos += 2 + max(length, 2)
