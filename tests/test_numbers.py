"""DS and IS as text, binary VRs as words. (PS3.5 6.2)"""

import math
import struct
import sys
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deid_batch.errors import BadValue
from deid_batch.values import numbers
from deid_batch.values.text import conforms

FLT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
DBL_MAX = sys.float_info.max
INTEGER_LIMITS = {
    "US": (0, 2**16 - 1), "OW": (0, 2**16 - 1), "SS": (-(2**15), 2**15 - 1),
    "UL": (0, 2**32 - 1), "OL": (0, 2**32 - 1), "SL": (-(2**31), 2**31 - 1),
    "UV": (0, 2**64 - 1), "OV": (0, 2**64 - 1), "SV": (-(2**63), 2**63 - 1),
}  # fmt: skip
BYTES = {"US": 2, "OW": 2, "SS": 2, "UL": 4, "OL": 4, "SL": 4, "UV": 8, "OV": 8, "SV": 8, "FL": 4, "FD": 8}


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.58984375", "0.58984375"), ("-1.5E-3", "-0.0015"), ("+7", "7"), (".5", "0.5"), ("5.", "5"), ("1e5", "100000")],
)
def test_a_ds_writes_an_exact_number(text: str, number: str) -> None:
    assert numbers.parse_ds(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", ".", "1,5", "0x10", "NaN", "Infinity", "1E", "--1", "1 2", "1E9999999", "١", "1_0", "abc"]
)
def test_what_is_no_decimal_number_is_a_bad_value(text: str) -> None:
    with pytest.raises(BadValue):
        numbers.parse_ds(text)


@pytest.mark.parametrize("text", ["", "1.0", "1E3", "NaN", "+", "1 2", "0x1", "١", "1_0"])
def test_what_is_no_whole_number_is_a_bad_value(text: str) -> None:
    with pytest.raises(BadValue):
        numbers.parse_is(text)


@pytest.mark.parametrize(
    ("number", "decimals", "result"),
    [("0.125", 2, "0.12"), ("0.135", 2, "0.14"), ("-0.125", 2, "-0.12"), ("2.5", 0, "2"), ("3.5", 0, "4"),
     ("7", 2, "7.00"), ("1E+305", 2, "1E+305")],
)  # fmt: skip
def test_rounding_is_half_even_to_as_many_decimals(number: str, decimals: int, result: str) -> None:
    assert str(numbers.rounded(Decimal(number), decimals)) == result


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.50", "0.50"),
        ("1234567890123456", "1234567890123456"),
        ("0.12345678901234567", "0.12345678901235"),
        ("9.999999999999999999", "10.0000000000000"),
        ("-99999999999999.96", "-100000000000000"),
        ("12345678901234567", "1.2345678901E+16"),
        ("-1E+300", "-1E+300"),
        ("1E-40", "1E-40"),
    ],
)
def test_a_ds_holds_as_many_digits_as_fit(number: str, text: str) -> None:
    written = numbers.format_ds(Decimal(number))
    assert len(written) <= 16
    assert Decimal(written) == Decimal(text)


@given(st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("9.999999999999999999"))
@example(Decimal("9999999999999999.9"))
@example(Decimal("-0.00099999999999999999"))
@example(Decimal("-9.999999999999999999E-999999"))
@example(Decimal("0E-28"))
def test_a_ds_never_exceeds_16_characters_and_stays_near(number: Decimal) -> None:
    text = numbers.format_ds(number)
    assert len(text) <= 16
    assert conforms(text, "DS")
    assert abs(numbers.parse_ds(text) - number) <= abs(number) * Decimal("1E-6")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("2147483648", "2147483647"),
        ("1E+400", "2147483647"),
        ("-2147483649", "-2147483648"),
        ("2.5", "2"),
        ("-0.4", "0"),
    ],
)
def test_an_is_keeps_within_32_bits(number: str, text: str) -> None:
    assert numbers.format_is(Decimal(number)) == text


@pytest.mark.parametrize("vr", INTEGER_LIMITS)
@pytest.mark.parametrize("little", [True, False])
def test_integers_clamp_to_what_the_vr_can_hold(vr: str, little: bool) -> None:
    low, high = INTEGER_LIMITS[vr]
    beyond = [low - 1, high + 1, -(10**400), 10**400]
    words = [numbers.as_word(Decimal(number), vr) for number in beyond]
    assert words == [low, high, low, high]
    raw = numbers.pack(words, vr, little)
    order, signed = ("little" if little else "big"), low < 0
    assert raw == b"".join(int(word).to_bytes(BYTES[vr], order, signed=signed) for word in words)
    assert numbers.unpack(raw, vr, little) == words


@pytest.mark.parametrize("vr", INTEGER_LIMITS)
def test_integers_within_the_limits_stay(vr: str) -> None:
    for number in (*INTEGER_LIMITS[vr], 0, 1, INTEGER_LIMITS[vr][1] - 1):
        assert numbers.as_word(numbers.as_decimal(number), vr) == number


@pytest.mark.parametrize(("vr", "largest"), [("FL", FLT_MAX), ("OF", FLT_MAX), ("FD", DBL_MAX), ("OD", DBL_MAX)])
def test_floats_clamp_to_the_largest_finite_one(vr: str, largest: float) -> None:
    for sign in (1, -1):
        word = numbers.as_word(sign * Decimal(10) ** 400, vr)
        assert word == sign * largest
        assert numbers.unpack(numbers.pack([word], vr, little=True), vr, little=True) == [sign * largest]


@pytest.mark.parametrize("word", [math.inf, -math.inf, math.nan])
def test_infinities_and_nan_are_bad_values(word: float) -> None:
    with pytest.raises(BadValue):
        numbers.as_decimal(word)


@pytest.mark.parametrize("vr", BYTES)
def test_half_a_word_is_a_bad_value(vr: str) -> None:
    with pytest.raises(BadValue):
        numbers.unpack(b"\0" * (BYTES[vr] + 1), vr, little=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_taken_exactly(word: float) -> None:
    assert numbers.as_word(numbers.as_decimal(word), "FD") == word
