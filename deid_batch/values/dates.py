"""DA and DT values. (PS3.5 6.2)"""

from __future__ import annotations

import re
from datetime import date, timedelta

from deid_batch.errors import BadValue

_DA = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)", re.ASCII)
_DT = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?P<time>\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?)?)?"
    r"(?P<offset>[+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)
_AGE_CAP_YEARS = 89


def parse_da(text: str) -> date:
    """The day a DA names, `YYYYMMDD` or, as ACR-NEMA wrote it, `YYYY.MM.DD`."""
    match = _DA.fullmatch(text)
    if not match:
        raise BadValue("not a date")
    return _day(int(match[1]), int(match[3]), int(match[4]))


def shift_da(text: str, days: int) -> str:
    """Move a DA by whole days, in the form it is written in. What names no day raises BadValue."""
    match = _DA.fullmatch(text)
    day = _moved(parse_da(text), days)
    dot = match[2] if match else ""
    return f"{day.year:04d}{dot}{day.month:02d}{dot}{day.day:02d}"


def year_of_da(text: str) -> str:
    """The first of January of a DA's year, in the form it is written in."""
    match = _DA.fullmatch(text)
    day = parse_da(text)
    dot = match[2] if match else ""
    return f"{day.year:04d}{dot}01{dot}01"


def parse_dt(text: str) -> date:
    """The day a DT names; where it is partial, the first one it may mean."""
    match = _dt(text)
    return _day(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1))


def shift_dt(text: str, days: int) -> str:
    """Move a DT by whole days. Precision, time of day and UTC offset stay; a partial DT stays partial."""
    match = _dt(text)
    day = _moved(parse_dt(text), days)
    digits = f"{day.year:04d}{day.month:02d}{day.day:02d}"
    return digits[: _date_digits(match)] + (match["time"] or "") + (match["offset"] or "")


def year_of_dt(text: str) -> str:
    """The first moment of a DT's year, with its precision and UTC offset."""
    match = _dt(text)
    parse_dt(text)
    time = re.sub(r"\d", "0", match["time"] or "")
    return f"{match['year']}0101"[: _date_digits(match)] + time + (match["offset"] or "")


def is_beyond_age_cap(day: date, reference: date) -> bool:
    """Whether `day` lies more than 89 years before `reference`, so that it gives away an age over 89."""
    return (reference.year - day.year, reference.month, reference.day) > (_AGE_CAP_YEARS, day.month, day.day)


def _dt(text: str) -> re.Match[str]:
    match = _DT.fullmatch(text)
    if not match or not _is_time(match["time"] or ""):
        raise BadValue("not a date and time")
    return match


def _is_time(digits: str) -> bool:
    hour, minute, second = digits[:2], digits[2:4], digits[4:6]
    return int(hour or 0) < 24 and int(minute or 0) < 60 and int(second or 0) <= 60


def _date_digits(match: re.Match[str]) -> int:
    return 8 if match["day"] else 6 if match["month"] else 4


def _day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise BadValue("not a day of the calendar") from None


def _moved(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise BadValue("the shift leaves the calendar") from None
