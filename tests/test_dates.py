"""DA and DT values. (PS3.5 6.2)"""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.errors import BadValue
from deid_batch.values import dates
from deid_batch.values.text import conforms

DAYS = st.dates(date(101, 1, 1), date(9899, 12, 31))
SHIFTS = st.integers(-36_500, 36_500)
_TIME = re.compile(r"(([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?)?([+-](0\d|1[0-4])[0-5]\d)?", re.ASCII)
TIMES = st.from_regex(_TIME, fullmatch=True)


@pytest.mark.parametrize(
    ("before", "days", "after"),
    [
        ("20061012", 50, "20061201"),
        ("20161012", -1, "20161011"),
        ("20201231", 1, "20210101"),
        ("20200101", -1, "20191231"),
        ("20200228", 1, "20200229"),
        ("20200301", -1, "20200229"),
        ("20190228", 1, "20190301"),
        ("19000228", 1, "19000301"),
        ("20000228", 1, "20000229"),
        ("20200229", 366, "20210301"),
        ("2016.10.12", 50, "2016.12.01"),
        ("99991230", 1, "99991231"),
        ("00010102", -1, "00010101"),
    ],
)
def test_da_moves_by_whole_days_in_the_form_it_is_written_in(before: str, days: int, after: str) -> None:
    assert dates.shift_da(before, days) == after


@pytest.mark.parametrize(
    "text",
    ["", "2016", "201610", "2016-10-12", "2016.10.1", "2016.1012", "201610.12", "20161312", "20161000", "20190229",
     "19000229", "00000101", "20161012 ", " 20161012", "２０１６１０１２", "20161012\n", "20161012-20161013", "x"],
)  # fmt: skip
def test_what_names_no_day_is_a_bad_value(text: str) -> None:
    for treat in (dates.parse_da, dates.year_of_da, lambda value: dates.shift_da(value, 1)):
        with pytest.raises(BadValue):
            treat(text)


@pytest.mark.parametrize(
    ("before", "days", "after"),
    [
        ("20210320202020.00654", 12, "20210401202020.00654"),
        ("20210320202020.006540+0230", -80, "20201230202020.006540+0230"),
        ("2021", 5, "2021"),
        ("2021", -1, "2020"),
        ("2021", 366, "2022"),
        ("202103", -1, "202102"),
        ("202101", -1, "202012"),
        ("202103", 5, "202103"),
        ("2021-0500", -1, "2020-0500"),
        ("202103+1400", 31, "202104+1400"),
        ("20210320", 1, "20210321"),
        ("2021032023", 1, "2021032123"),
        ("202103202359", 1, "202103212359"),
        ("20161231235960", 1, "20170101235960"),
    ],
)
def test_dt_moves_by_whole_days_and_keeps_precision_time_and_utc_offset(before: str, days: int, after: str) -> None:
    assert dates.shift_dt(before, days) == after


@pytest.mark.parametrize(
    "text",
    ["", "202", "20211", "202113", "20210230", "2021032024", "202103202060", "20210320202061", "202103202020.5",
     "20210320202020.", "20210320202020.1234567", "2021+1", "2021+9900", "2021+0160", "2021-1500", "20210320Z",
     "2021.03.20", "20210320 202020", "0000"],
)  # fmt: skip
def test_what_is_no_date_and_time_is_a_bad_value(text: str) -> None:
    for treat in (dates.parse_dt, dates.year_of_dt, lambda value: dates.shift_dt(value, 1)):
        with pytest.raises(BadValue):
            treat(text)


@pytest.mark.parametrize(("text", "days"), [("99991231", 1), ("00010101", -1), ("9999", 365), ("0001", -1)])
def test_a_shift_over_the_calendars_end_is_a_bad_value(text: str, days: int) -> None:
    with pytest.raises(BadValue):
        dates.shift_dt(text, days)
    if len(text) == 8:
        with pytest.raises(BadValue):
            dates.shift_da(text, days)


@pytest.mark.parametrize(
    ("before", "after"), [("20161012", "20160101"), ("2016.10.12", "2016.01.01"), ("20160101", "20160101")]
)
def test_the_year_of_a_da_is_its_first_day(before: str, after: str) -> None:
    assert dates.year_of_da(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("20161012", "20160101"),
        ("2016", "2016"),
        ("201610", "201601"),
        ("20210320202020.00654", "20210101000000.00000"),
        ("2021032020", "2021010100"),
        ("202103202020+0230", "202101010000+0230"),
    ],
)
def test_the_year_of_a_dt_is_its_first_moment_with_its_precision_and_utc_offset(before: str, after: str) -> None:
    assert dates.year_of_dt(before) == after


@pytest.mark.parametrize(
    ("day", "reference", "is_beyond"),
    [
        (date(1931, 6, 14), date(2020, 6, 15), True),
        (date(1931, 6, 15), date(2020, 6, 15), False),
        (date(1930, 12, 31), date(2020, 1, 1), True),
        (date(1931, 1, 1), date(2020, 1, 1), False),
        (date(1932, 2, 29), date(2021, 3, 1), True),
        (date(1932, 2, 29), date(2021, 2, 28), False),
        (date(2030, 1, 1), date(2020, 1, 1), False),
    ],
)
def test_the_age_cap_lies_89_years_before_the_reference_date(day: date, reference: date, is_beyond: bool) -> None:
    assert dates.is_beyond_age_cap(day, reference) is is_beyond


@given(DAYS, SHIFTS)
def test_a_moved_da_is_a_da_and_moves_back(day: date, days: int) -> None:
    before = f"{day.year:04d}{day:%m%d}"
    after = dates.shift_da(before, days)
    assert conforms(after, "DA")
    assert (dates.parse_da(after) - day).days == days
    assert dates.shift_da(after, -days) == before


@given(DAYS, SHIFTS, st.sampled_from([4, 6, 8]), TIMES)
def test_a_moved_dt_is_a_dt_of_the_same_length_and_time(day: date, days: int, digits: int, time: str) -> None:
    offset = time if digits == 8 else time[-5:] if time[-5:-4] in ("+", "-") else ""
    before = f"{day.year:04d}{day:%m%d}"[:digits] + offset
    after = dates.shift_dt(before, days)
    assert conforms(after, "DT")
    assert len(after) == len(before)
    assert after[digits:] == offset
    dates.parse_dt(after)
