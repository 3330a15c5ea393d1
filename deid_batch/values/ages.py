"""AS values: three digits and a unit. (PS3.5 6.2)"""

from __future__ import annotations

import re
from datetime import date

from deid_batch.errors import BadValue

_AS = re.compile(r"(\d{3})([DWMY])", re.ASCII)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}
AGE_CAP = 89
CAPPED = "090Y"
"""What stands for all ages above the cap."""


def parse_as(text: str) -> tuple[int, str]:
    """(number, unit) of an AS; the unit is one of D W M Y."""
    match = _AS.fullmatch(text)
    if not match:
        raise BadValue("not an age")
    return int(match[1]), match[2]


def format_as(number: int, unit: str) -> str:
    """An AS, with the number held within 000 and 999."""
    return f"{min(max(number, 0), 999):03d}{unit}"


def is_over_cap(text: str) -> bool:
    """Whether an AS says 90 years or more."""
    number, unit = parse_as(text)
    return number / _PER_YEAR[unit] >= AGE_CAP + 1


def is_over_cap_at(birth: date, day: date) -> bool:
    """Whether somebody born on `birth` is 90 years old or more on `day`."""
    had_birthday = (day.month, day.day) >= (birth.month, birth.day)
    return day.year - birth.year - (not had_birthday) > AGE_CAP
