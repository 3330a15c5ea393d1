"""dateshift: DA and DT move by days that key and scope decide."""

from collections import Counter
from datetime import date, timedelta

import pytest

from deid_batch.errors import BadValue
from deid_batch.methods import Element, Instance
from deid_batch.methods.dateshift import DateShift, bkdr_days, hmac_days
from deid_batch.values import dates

INSTANCE = Instance("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1", "1.2.3.2", "1.2.3.3", "hospital\0patient")
SLOTS = Instance.__slots__
BKDR = DateShift(date_shift_algorithm="bkdr", date_shift_range=50, key=b"123")
HMAC = DateShift(date_shift_range=50, key=b"a key of 16 byte")


def shifted(value: bytes, vr: str = "DA", method: DateShift = HMAC, instance: Instance = INSTANCE) -> bytes:
    change = method.apply(value, Element(0x00080020, vr, instance))
    assert change.warnings == 0
    assert change.value is not None
    return change.value


def days_of(instance: Instance, method: DateShift = HMAC) -> int:
    moved = dates.parse_da(shifted(b"20161012", method=method, instance=instance).decode())
    return (moved - date(2016, 10, 12)).days


def reference_bkdr(scope_uid: str, key: str, limit: int) -> int:
    offset = 0
    for byte in (scope_uid + key).encode("utf-8"):
        offset = (offset * 131 + byte) % (2 * limit + 1)
    return offset - limit


def test_bkdr_with_key_123_range_50_and_no_scope_uid() -> None:
    assert shifted(b"20061012", method=BKDR, instance=Instance()) == b"20061201"


@pytest.mark.parametrize("uid", ["", "1.2.3", "1.2.840.113619.2.5.1762583153.215519.978957063.78", "2.25." + "9" * 39])
@pytest.mark.parametrize(("key", "limit"), [("123", 50), ("schlüssel", 365), ("", 1)])
def test_bkdr_is_the_original_tools_hash(uid: str, key: str, limit: int) -> None:
    assert bkdr_days(key.encode(), uid, limit) == reference_bkdr(uid, key, limit)


def test_bkdr_goes_by_the_series_instance_uid() -> None:
    instance = Instance(series_instance_uid="1.3.12.2.1107.5.2")
    expected = date(2006, 10, 12) + timedelta(days=reference_bkdr("1.3.12.2.1107.5.2", "123", 50))
    assert shifted(b"20061012", method=BKDR, instance=instance) == f"{expected:%Y%m%d}".encode()


@pytest.mark.parametrize("limit", [1, 5, 50])
def test_hmac_is_uniform_over_the_range_and_never_0_days(limit: int) -> None:
    draws = 200 * 2 * limit
    counts = Counter(hmac_days(b"a key of 16 byte", f"1.2.3.{n}", limit) for n in range(draws))
    assert set(counts) == {*range(-limit, 0), *range(1, limit + 1)}
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_square < 2 * limit + 6 * (4 * limit) ** 0.5


@pytest.mark.parametrize(
    ("scope", "attribute"),
    [
        ("SeriesInstance", "series_instance_uid"),
        ("StudyInstance", "study_instance_uid"),
        ("SOPInstance", "sop_instance_uid"),
        ("Patient", "patient"),
    ],
)
def test_the_scope_alone_decides(scope: str, attribute: str) -> None:
    method = DateShift(date_shift_scope=scope, date_shift_range=36_500, key=b"key")  # type: ignore[arg-type]
    same = Instance(**{attribute: getattr(INSTANCE, attribute)})
    other = Instance(**{slot: f"other {slot}" if slot == attribute else getattr(INSTANCE, slot) for slot in SLOTS})
    assert days_of(same, method) == days_of(INSTANCE, method)
    assert days_of(other, method) != days_of(INSTANCE, method)
    assert method.cache_token(INSTANCE) == getattr(INSTANCE, attribute)


def test_another_key_is_another_shift() -> None:
    keys = {days_of(INSTANCE, DateShift(date_shift_range=36_500, key=bytes([n]))) for n in range(10)}
    assert len(keys) == 10


@pytest.mark.parametrize(
    "value", [b"20210320202020.00654", b"20210320202020.00654+0230 ", b"20210320", b"2021032023", b"20210320235960"]
)
def test_dt_keeps_precision_time_and_utc_offset(value: bytes) -> None:
    moved = shifted(value, "DT")
    assert moved[:8] == shifted(b"20210320")
    assert moved[8:] == value[8:]
    assert len(moved) == len(value)


@pytest.mark.parametrize("value", [b"2021", b"202103"])
@pytest.mark.parametrize("series", range(5))
def test_partial_dt_stays_partial_and_legal(value: bytes, series: int) -> None:
    moved = shifted(value, "DT", instance=Instance(series_instance_uid=f"1.2.{series}"))
    assert len(moved) == len(value)
    assert abs((dates.parse_dt(moved.decode()) - dates.parse_dt(value.decode())).days) <= 50 + 31 + 334


@pytest.mark.parametrize(
    ("value", "positions"),
    [
        (b"20161012\\20170304 ", (1, 1)),
        (b"\\20161012 ", (0, 1)),
        (b"20161012\\\\20170304", (1, 0, 1)),
        (b"\\ ", (0, 0)),
    ],
)
def test_values_keep_their_number_and_positions(value: bytes, positions: tuple[int, ...]) -> None:
    moved = shifted(value).rstrip().split(b"\\")
    assert [len(one) // 8 for one in moved] == list(positions)


@pytest.mark.parametrize(
    ("vr", "value", "erased"),
    [
        ("DA", b"unknown ", b""),
        ("DA", b"201610", b""),
        ("DA", b"\\x", b"\\ "),
        ("DT", b"20211", b""),
        ("DT", b"20210320+9900 ", b""),
        ("TM", b"202020", b""),
        ("LO", b"20161012", b""),
        ("UN", b"20161012", b""),
    ],
)
def test_what_it_cannot_treat_follows_on_error(vr: str, value: bytes, erased: bytes) -> None:
    element = Element(0x00080020, vr, INSTANCE)
    assert HMAC.apply(value, element) == (erased, 1)
    with pytest.raises(BadValue, match=rf"^bad-value: \(0008,0020\) {vr}: [a-z A-Z']+$"):
        DateShift(key=b"key", on_error="fail").apply(value, element)


def test_only_the_malformed_value_is_erased() -> None:
    change = HMAC.apply(b"20161012\\unknown\\20161012 ", Element(0x00080020, "DA", INSTANCE))
    assert change == (shifted(b"20161012") + b"\\\\" + shifted(b"20161012"), 1)


@pytest.mark.parametrize("text", [b"99991231", b"00010101"])
def test_a_shift_that_leaves_the_calendar_follows_on_error(text: bytes) -> None:
    days = days_of(INSTANCE)
    instance = INSTANCE if (days > 0) == (text[:1] == b"9") else _mirrored(days)
    assert HMAC.apply(text, Element(0x00080020, "DA", instance)) == (b"", 1)


def _mirrored(days: int) -> Instance:
    """An instance whose shift has the other sign."""
    others = (Instance(series_instance_uid=f"1.2.3.{n}") for n in range(100))
    return next(other for other in others if days_of(other) * days < 0)


def test_dates_more_than_89_years_before_the_reference_date_are_erased() -> None:
    method = DateShift(key=b"key", reference_date=date(2026, 7, 31))
    assert shifted(b"19370730", method=method) == b""
    assert shifted(b"1936", "DT", method) == b""
    assert shifted(b"19370730\\20200101 ", method=method) == b"\\" + shifted(b"20200101", method=method) + b" "


def test_dates_up_to_89_years_before_the_reference_date_move() -> None:
    method = DateShift(key=b"key", reference_date=date(2026, 7, 31))
    assert len(shifted(b"19370731", method=method)) == 8
    assert len(shifted(b"1938", "DT", method)) == 4


@pytest.mark.parametrize(("method", "needs"), [(HMAC, True), (BKDR, False)])
def test_all_but_bkdr_need_a_scope_uid(method: DateShift, needs: bool) -> None:
    assert method.needs_scope_uid is needs
