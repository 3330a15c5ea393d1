"""perturb: uniform noise on numbers."""

import math
import struct
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deid_batch.errors import BadValue
from deid_batch.methods import Element, Instance
from deid_batch.methods.perturb import Perturb
from deid_batch.values import numbers
from deid_batch.values.text import conforms

INSTANCE = Instance(sop_instance_uid="1.2.3.1", study_instance_uid="1.2.3.2", series_instance_uid="1.2.3.3")
PIXEL_SPACING = 0x00280030
PERTURB = Perturb(key=b"a key of 16 byte")
INTEGERS = ["US", "SS", "UL", "SL", "UV", "SV", "OW", "OL", "OV"]
FLOATS = ["FL", "FD", "OF", "OD"]


def element(vr: str, *, little: bool = True, tag: int = PIXEL_SPACING, instance: Instance = INSTANCE) -> Element:
    return Element(tag, vr, instance, little=little)


def noisy(value: bytes, vr: str = "DS", method: Perturb = PERTURB, instance: Instance = INSTANCE) -> bytes:
    change = method.apply(value, element(vr, instance=instance))
    assert change.warnings == 0
    assert change.value is not None
    return change.value


def noisy_words(words: list[int | float], vr: str, method: Perturb, *, little: bool = True) -> list[int | float]:
    change = method.apply(numbers.pack(words, vr, little), element(vr, little=little))
    assert change.value is not None
    return numbers.unpack(change.value, vr, little)


@pytest.mark.parametrize("series", range(20))
def test_pixel_spacing_proportional_span_1_rounded_to_2(series: int) -> None:
    method = replace(PERTURB, span=Decimal(1), range_type="Proportional", round_to=2)
    instance = Instance(series_instance_uid=f"1.2.{series}")
    first, second = noisy(rb"0.58984375\0.58984375 ", method=method, instance=instance).decode().rstrip().split("\\")
    assert first == second
    assert Decimal("0.29") <= Decimal(first) <= Decimal("0.89")
    assert len(first.partition(".")[2]) == 2


@given(st.decimals(-1000, 1000, places=3), st.decimals(0, 100, places=2), st.integers(0, 6))
def test_fixed_noise_stays_within_half_the_span(number: Decimal, span: Decimal, round_to: int) -> None:
    method = replace(PERTURB, span=span, round_to=round_to)
    result = Decimal(noisy(str(number).encode().ljust(16), method=method).decode())
    assert abs(result - number) <= span / 2 + Decimal(1).scaleb(-round_to) / 2


@given(st.decimals(-1000, 1000, places=3), st.decimals(0, 3, places=2))
def test_proportional_noise_stays_within_half_the_span_of_the_absolute_value(number: Decimal, span: Decimal) -> None:
    method = replace(PERTURB, span=span, range_type="Proportional", round_to=6)
    result = Decimal(noisy(str(number).encode().ljust(16), method=method).decode())
    assert abs(result - number) <= abs(number) * span / 2 + Decimal("0.0000005")


def test_noise_fills_the_range_evenly() -> None:
    drawn = [float(noisy(b"100 ", instance=Instance(series_instance_uid=f"1.{n}"))) - 100 for n in range(1000)]
    assert min(drawn) < -0.49
    assert max(drawn) > 0.49
    quarters = [sum(low <= one < low + 0.25 for one in drawn) for low in (-0.5, -0.25, 0, 0.25)]
    assert all(200 < count < 300 for count in quarters)


def test_no_span_is_no_noise() -> None:
    still = replace(PERTURB, span=Decimal(0), round_to=2)
    assert noisy(rb"0.125\2.5\-1E2 ", method=still) == rb"0.12\2.50\-100.00 "
    assert noisy(b"045Y", "AS", still) == b"045Y"


@pytest.mark.parametrize("same", ["1", "1.0", "1.000", "+1", "1E0", "10E-1", " 1"])
def test_equal_values_get_equal_noise_however_they_are_written(same: str) -> None:
    assert noisy(same.encode()).rstrip() == noisy(b"1.00").rstrip()
    assert noisy(f"{same}\\7\\1".encode()).rstrip().split(b"\\")[0::2] == [noisy(b"1").rstrip()] * 2


def test_zero_has_no_sign() -> None:
    assert noisy(rb"0\-0\0.0\+0").rstrip() == b"\\".join([noisy(b"0").rstrip()] * 4)
    zeros = noisy_words([0.0, -0.0], "FD", PERTURB)
    assert zeros == noisy_words([-0.0, 0.0], "FD", PERTURB)


@pytest.mark.parametrize(
    ("method", "element_"),
    [
        (PERTURB, element("DS", instance=replace(INSTANCE, series_instance_uid="1.2.3.4"))),
        (PERTURB, element("DS", tag=0x00180050)),
        (replace(PERTURB, key=b"another key"), element("DS")),
    ],
)
def test_another_series_tag_or_key_is_another_noise(method: Perturb, element_: Element) -> None:
    assert method.apply(b"100.0 ", element_).value != noisy(b"100.0 ")


def test_all_slices_of_a_series_get_the_same_noise() -> None:
    slices = [replace(INSTANCE, sop_instance_uid=f"1.2.3.{n}") for n in range(5)]
    assert len({noisy(b"100.0 ", instance=one) for one in slices}) == 1
    assert len({PERTURB.cache_token(one) for one in slices}) == 1


@pytest.mark.parametrize("scope", ["StudyInstance", "SOPInstance", "Patient"])
def test_the_perturb_scope_may_be_another(scope: str) -> None:
    method = replace(PERTURB, perturb_scope=scope)
    attribute = {"StudyInstance": "study_instance_uid", "SOPInstance": "sop_instance_uid", "Patient": "patient"}[scope]
    other_series = replace(INSTANCE, series_instance_uid="9.9")
    other_scope = replace(INSTANCE, **{attribute: "9.9"})
    assert noisy(b"100.0 ", method=method, instance=other_series) == noisy(b"100.0 ", method=method)
    assert noisy(b"100.0 ", method=method, instance=other_scope) != noisy(b"100.0 ", method=method)


def test_scope_none_draws_each_value_afresh_and_yet_runs_agree() -> None:
    fresh = replace(PERTURB, perturb_scope="None", round_to=6)
    values = noisy(rb"1\1\1\1 ", method=fresh).rstrip().split(b"\\")
    assert len(set(values)) == 4
    assert noisy(rb"1\1\1\1 ", method=fresh).rstrip().split(b"\\") == values
    assert noisy(b"1 ", method=fresh, instance=replace(INSTANCE, sop_instance_uid="9")) != noisy(b"1 ", method=fresh)
    assert len(set(noisy_words([1.0] * 4, "FD", fresh))) == 4
    assert fresh.cache_token(INSTANCE) is None


@pytest.mark.parametrize("vr", INTEGERS)
@pytest.mark.parametrize("little", [True, False])
def test_extremes_clamp_and_integers_stay_integers(vr: str, little: bool) -> None:
    signed, bits = vr in ("SS", "SL", "SV"), {"S": 16, "L": 32, "V": 64, "W": 16}[vr[1]]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    wide = replace(PERTURB, span=Decimal(2) ** 80)
    results = {word for n in range(low, low + 20) for word in noisy_words([n, high - n + low], vr, wide, little=little)}
    assert results == {low, high}
    assert noisy_words([low, high], vr, replace(PERTURB, span=Decimal(0)), little=little) == [low, high]


@pytest.mark.parametrize("vr", INTEGERS + FLOATS)
def test_both_byte_orders_get_the_same_noise(vr: str) -> None:
    method = replace(PERTURB, span=Decimal(50))
    assert noisy_words([100, 7, 100], vr, method) == noisy_words([100, 7, 100], vr, method, little=False)


@pytest.mark.parametrize("vr", FLOATS)
def test_floats_stay_finite(vr: str) -> None:
    largest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0] if vr in ("FL", "OF") else 1.7976931348623157e308
    doubled = replace(PERTURB, span=Decimal(4), range_type="Proportional")
    for sign in (1, -1):
        words = [sign * largest * fraction for fraction in (1, 0.99, 0.98, 0.97, 0.96, 0.95)]
        results = noisy_words(words, vr, doubled)
        assert all(math.isfinite(word) for word in results)
        assert any(abs(word) == largest for word in results)


@pytest.mark.parametrize("vr", FLOATS)
@pytest.mark.parametrize("word", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("little", [True, False])
def test_infinities_and_nan_follow_on_error(vr: str, word: float, little: bool) -> None:
    value = numbers.pack([1.0, word], vr, little)
    assert PERTURB.apply(value, element(vr, little=little)) == (b"", 1)
    with pytest.raises(BadValue):
        replace(PERTURB, on_error="fail").apply(value, element(vr, little=little))


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DS", b"1,5 "),
        ("DS", b"NaN "),
        ("DS", b"1E9999999 "),
        ("IS", b"1.5 "),
        ("AS", b"45Y "),
        ("US", b"\1\0\2"),
        ("FD", b"\0" * 12),
        ("LO", b"12"),
        ("DA", b"20161012"),
        ("UI", b"1.2\0"),
        ("OB", b"\1\0"),
        ("UN", b"12"),
        ("AT", b"\x10\0\x10\0"),
        ("SQ", b""),
    ],
)
def test_what_it_cannot_treat_follows_on_error(vr: str, value: bytes) -> None:
    assert PERTURB.apply(value, element(vr)) == (b"", 1)
    with pytest.raises(BadValue, match=rf"^bad-value: \(0028,0030\) {vr}: [a-zA-Z ']+$"):
        replace(PERTURB, on_error="fail").apply(value, element(vr))


def test_only_the_malformed_value_is_erased() -> None:
    change = PERTURB.apply(rb"1\x\1 ", element("DS"))
    assert change.value is not None
    first, second, third = change.value.rstrip().split(b"\\")
    assert (second, change.warnings) == (b"", 1)
    assert first == third == noisy(b"1 ").rstrip()


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number.adjusted()) < 10**6)
SPANS = st.decimals(0, 10**6, places=3) | st.sampled_from([Decimal("1E+400"), Decimal("9E+999999")])


@given(NUMBERS, SPANS, st.integers(0, 28), st.sampled_from(["Fixed", "Proportional"]))
@example(Decimal("9.99999E+999999"), Decimal(1), 2, "Proportional")
@example(Decimal(-99999999999999), Decimal("0.5"), 28, "Proportional")
def test_a_ds_stays_a_ds_of_at_most_16_characters(number: Decimal, span: Decimal, round_to: int, kind: str) -> None:
    method = replace(PERTURB, span=span, round_to=round_to, range_type=kind)
    written = format(number, "E")
    change = method.apply(written.encode(), element("DS"))
    assert change.value is not None
    assert conforms(change.value.decode().rstrip(), "DS")
    assert bool(change.value) == (change.warnings == 0)


@given(st.integers(-(2**31), 2**31 - 1), SPANS)
@example(2**31 - 1, Decimal(2**40))
@example(-(2**31), Decimal(2**40))
def test_an_is_stays_within_32_bits(number: int, span: Decimal) -> None:
    result = noisy(str(number).encode(), "IS", replace(PERTURB, span=span)).decode().rstrip()
    assert -(2**31) <= int(result) <= 2**31 - 1
    assert str(int(result)) == result


@pytest.mark.parametrize("value", [b"000D", b"001D", b"999Y", b"045Y", b"018M"])
def test_an_age_keeps_its_unit_and_three_digits(value: bytes) -> None:
    result = noisy(value, "AS", replace(PERTURB, span=Decimal(60)))
    assert conforms(result.decode(), "AS")
    assert result[3:] == value[3:]


def test_ages_change() -> None:
    ages = {noisy(f"{n:03d}Y".encode(), "AS", replace(PERTURB, span=Decimal(60)))[:3] for n in range(100, 120)}
    assert len(ages) > 10
