"""Numbers: DS and IS as text, the binary VRs as words. (PS3.5 6.2)"""

from __future__ import annotations

import math
import re
import struct
import sys
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import chain

from deid_batch.errors import BadValue

EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)
"""Wide enough for any double written out, so that nothing rounds by accident."""

_FORMATS = {
    "AT": "H", "FD": "d", "FL": "f", "OD": "d", "OF": "f", "OL": "I", "OV": "Q", "OW": "H",
    "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q",
}  # fmt: skip
_FLOATS = frozenset({"FD", "FL", "OD", "OF"})
BINARY_VRS = frozenset(_FORMATS) - {"AT"}
_DS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_IS = re.compile(r"[+-]?\d+", re.ASCII)
_MAX_DS = 16
_FLOAT_MAX = {"f": Decimal(struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]), "d": Decimal(sys.float_info.max)}


def parse_ds(text: str) -> Decimal:
    """The number a DS or IS writes."""
    if not _DS.fullmatch(text):
        raise BadValue("not a decimal number")
    try:
        return EXACT.create_decimal(text)
    except ArithmeticError:
        raise BadValue("not a decimal number") from None


def parse_is(text: str) -> Decimal:
    """The whole number an IS writes."""
    if not _IS.fullmatch(text):
        raise BadValue("not a whole number")
    return Decimal(text)


def rounded(number: Decimal, decimals: int) -> Decimal:
    """`number` half-even at so many decimals; one too large to have any is itself."""
    if number.adjusted() + decimals > 300:
        return number
    return number.quantize(Decimal(1).scaleb(-decimals), context=EXACT)


def format_ds(number: Decimal) -> str:
    """A DS of at most 16 characters, with as many of the number's digits as fit."""
    forms = "fE" if abs(number.adjusted()) < 40 else "E"
    shorter = (Context(digits, ROUND_HALF_EVEN).plus(number) for digits in range(_MAX_DS, 0, -1))
    written = (format(one, form) for one in chain([number], shorter) for form in forms)
    return next(text for text in written if len(text) <= _MAX_DS)


def format_is(number: Decimal) -> str:
    """An IS, held within 32 bits."""
    return str(int(min(max(rounded(number, 0), Decimal(-(2**31))), Decimal(2**31 - 1))))


def unpack(raw: bytes, vr: str, little: bool) -> list[int | float]:
    """The words of a binary value."""
    code = _FORMATS[vr]
    size = struct.calcsize("<" + code)
    if len(raw) % size:
        raise BadValue("not a whole number of words")
    return list(struct.unpack(f"{'<' if little else '>'}{len(raw) // size}{code}", raw))


def pack(words: list[int | float], vr: str, little: bool) -> bytes:
    """The binary value of words that the VR can hold."""
    return struct.pack(f"{'<' if little else '>'}{len(words)}{_FORMATS[vr]}", *words)


def as_decimal(word: int | float) -> Decimal:
    """A word as an exact number; infinities and NaN raise BadValue."""
    if isinstance(word, float) and not math.isfinite(word):
        raise BadValue("not a finite number")
    return Decimal(word)


def as_word(number: Decimal, vr: str) -> int | float:
    """The word of a binary VR nearest to `number`, held within what the VR can hold."""
    code = _FORMATS[vr]
    if vr in _FLOATS:
        limit = _FLOAT_MAX[code]
        return float(min(max(number, limit.copy_negate()), limit))
    bits = 8 * struct.calcsize("<" + code)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code.islower() else (0, 2**bits - 1)
    return int(min(max(rounded(number, 0), Decimal(low)), Decimal(high)))
