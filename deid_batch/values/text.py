"""Text values: character sets, padding, the backslash, and what a VR may hold. (PS3.5 6.1, 6.2)"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from deid_batch.errors import BadValue

SINGLE_VALUED = frozenset({"LT", "ST", "UT", "UR"})
"""VRs in which a backslash is a letter."""
CHARSET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that Specific Character Set (0008,0005) rules."""

_DELIMITERS = {"PN": {0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x3D, 0x5E}}
_TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C}
_TO_GB2312 = "\x1b$)A"
"""The one escape sequence that pydicom leaves in what it decodes. (PS3.3 C.12.1.1.2)"""
_MAX_LENGTH = {
    "AE": 16, "AS": 4, "CS": 16, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "PN": 64,
    "SH": 16, "ST": 1024, "TM": 16, "UI": 64,
}  # fmt: skip
_IN_DEFAULT = re.compile(rb"(?:^|[\t\n\f\r^=]|\x1b\(B)[^\x1b\t\n\f\r^=]*[\x80-\xff]")
"""A byte beyond ASCII with no escape sequence before it. (PS3.5 6.1.2.5.3)"""
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\\]*")
_LINES = re.compile(r"[^\x00-\x08\x0b\x0e-\x1f\x7f]*")
_FORM = {
    "AE": re.compile(r"[ -\[\]-~]*", re.ASCII),
    "AS": re.compile(r"\d{3}[DWMY]", re.ASCII),
    "CS": re.compile(r"[A-Z0-9 _]*", re.ASCII),
    "DA": re.compile(r"\d{8}|\d{4}\.\d\d\.\d\d", re.ASCII),
    "DS": re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", re.ASCII),
    "DT": re.compile(r"\d{4}(\d\d){0,5}(\.\d{1,6})?([+-]\d{4})?", re.ASCII),
    "IS": re.compile(r" *[+-]?\d+ *", re.ASCII),
    "LO": _ONE_LINE,
    "LT": _LINES,
    "PN": _ONE_LINE,
    "SH": _ONE_LINE,
    "ST": _LINES,
    "TM": re.compile(r"\d\d(\d\d(\d\d(\.\d{1,6})?)?)?|\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII),
    "UC": _ONE_LINE,
    "UI": re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII),
    "UR": re.compile(r"[!-~]*"),
    "UT": _LINES,
}
_LONGEST_CHARSET = 1024
"""Bytes; all terms that are defined have less. (PS3.3 C.12.1.1.2)"""
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
NO_CONTROL = bytes(code for code in range(256) if not _CONTROL.match(bytes([code])))
"""All bytes that may stand in text."""
LONG = 64
"""Bytes from which on it is faster to take `NO_CONTROL` away from text than to search for others."""


@lru_cache(maxsize=256)
def encodings_of(charset: bytes) -> tuple[str, ...]:
    """The Python codecs for a value of Specific Character Set; an unknown term raises BadValue."""
    if len(charset) > _LONGEST_CHARSET:
        raise BadValue("Specific Character Set is too long")
    from pydicom.charset import convert_encodings, python_encoding  # noqa: PLC0415 - only where it is needed

    terms = [term.strip() for term in charset.rstrip(b"\0 ").decode("latin-1").split("\\")]
    if any(term and term not in python_encoding for term in terms):
        raise BadValue("unknown Specific Character Set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(convert_encodings(terms if len(terms) > 1 else terms[0]))


def is_charset(charset: bytes) -> bool:
    """Whether all terms of a value of Specific Character Set are defined. (PS3.3 C.12.1.1.2)"""
    try:
        return bool(encodings_of(charset))
    except BadValue:
        return False


def decode(raw: bytes, vr: str, charset: bytes) -> str:
    """The text of a value, padding included; bytes that the character set has no letter for raise BadValue."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if vr not in CHARSET_VRS:
        return raw.decode("latin-1")
    from pydicom.charset import decode_bytes  # noqa: PLC0415

    encodings = encodings_of(charset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            decoded = str(decode_bytes(raw, list(encodings), _DELIMITERS.get(vr, _TEXT_DELIMITERS)))
            return decoded.replace(_TO_GB2312, "")
        except (UserWarning, UnicodeError, LookupError):
            raise BadValue("not text in its character set") from None


def encode(text: str, vr: str, charset: bytes) -> bytes:
    """The bytes of a text, without padding; letters that the character set lacks raise BadValue."""
    if text.isascii():
        return text.encode("ascii")
    if vr not in CHARSET_VRS:
        raise BadValue("letters outside the default repertoire")
    from pydicom.charset import default_encoding, encode_string  # noqa: PLC0415

    encodings = list(encodings_of(charset))
    # a delimiter ends what an escape sequence has set (PS3.5 6.1.2.5.3)
    pieces = [piece for piece in re.split(r"([\t\n\f\r^=])", text) if piece]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            encoded = b"".join(encode_string(piece, encodings) for piece in pieces)
        except (UserWarning, UnicodeError, LookupError):
            raise BadValue("letters that the character set lacks") from None
    # pydicom takes the default repertoire, which is ASCII, for Latin-1
    is_outside = encodings[0] == default_encoding and _IN_DEFAULT.search(encoded)
    if is_outside or decode(encoded, vr, charset) != text:
        raise BadValue("letters that the character set lacks")
    return encoded


def split(raw: bytes, vr: str, charset: bytes) -> list[str]:
    """The values of a text element, each without its padding at the end. (PS3.5 6.4)"""
    text = decode(raw, vr, charset)
    values = [text] if vr in SINGLE_VALUED else text.split("\\")
    return [value.rstrip("\0 ") for value in values]


def join(values: list[str], vr: str, charset: bytes) -> bytes:
    """The value field of a text element, padded to an even length."""
    return padded(b"\\".join(encode(value, vr, charset) for value in values), vr)


def padded(value: bytes, vr: str) -> bytes:
    """`value` at even length: UI and the byte strings are padded with NUL, text with a blank. (PS3.5 6.2)"""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ")


find_control = _CONTROL.search
"""`(data, start, stop)` → a match where there are control bytes that no text VR may hold, but as padding."""


def has_foreign_bytes(data: bytes, start: int, stop: int) -> bool:
    """Whether text holds control bytes that no text VR may hold: other elements swallowed by a lying length.

    NUL and blanks at the end are padding.
    """
    if stop - start >= LONG and not data[start:stop].translate(None, NO_CONTROL):
        return False
    found = _CONTROL.search(data, start, stop)
    return found is not None and data[found.start() : stop].strip(b"\0 ") != b""


def fits(value: str, vr: str) -> bool:
    """Whether one text value is no longer than its VR allows."""
    limit = _MAX_LENGTH.get(vr)
    return limit is None or len(value) <= limit


def conforms(value: str, vr: str) -> bool:
    """Whether one text value keeps to the length and form of its VR. (PS3.5 table 6.2-1)"""
    if not value:
        return True
    limit = _MAX_LENGTH.get(vr)
    if limit is not None and any(len(part) > limit for part in (value.split("=") if vr == "PN" else (value,))):
        return False
    form = _FORM.get(vr)
    return form is None or form.fullmatch(value) is not None
