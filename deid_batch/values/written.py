"""Dates as people write them: found in a text, read, and moved in the form they are written in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

_MONTHS = (
    "jan januar january janvier janv enero ene gennaio gen jänner",
    "feb februar february février fevrier févr fevr febrero febbraio",
    "mar mrz mär märz maerz march mars marzo",
    "apr april avril avr abril abr aprile",
    "may mai mayo maggio mag",
    "jun juni june juin junio giugno giu",
    "jul juli july juillet juil julio luglio lug",
    "aug august août aout agosto ago",
    "sep sept september septembre septiembre setiembre settembre set",
    "oct okt oktober october octobre octubre ottobre ott",
    "nov november novembre noviembre",
    "dec dez dezember december décembre decembre déc diciembre dic dicembre",
)
_NUMBER_OF = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_NAME = "|".join(sorted(_NUMBER_OF, key=len, reverse=True))
_FORMS = re.compile(
    r"(?<![\d.])(?:"
    r"(?P<y1>\d{4})(?P<s1>[-./_ ])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<a2>\d{1,2})(?P<s2>[-./_ ])(?P<b2>\d{1,2})(?P=s2)(?P<y2>\d{4}|\d\d)"
    r"|(?P<run>\d{8})"
    rf"|(?P<d3>\d{{1,2}})(?P<o3>st|nd|rd|th|er)?\.?[ ._-]{{0,3}}(?:de |of )?"
    rf"(?P<m3>{_NAME})\b\.?,?[ ._-]{{0,3}}(?:de )?(?P<y3>\d{{4}}|\d\d)"
    rf"|(?P<y4>\d{{4}})[ ._-]?(?P<m4>{_NAME})[ ._-]?(?P<d4>\d{{1,2}})"
    r")(?![\d]|\.\d)"
    rf"|(?<![^\W\d_])(?P<m5>{_NAME})\b\.?[ ._-]{{0,3}}(?P<d5>\d{{1,2}})(?P<o5>st|nd|rd|th)?,?[ ._-]{{1,3}}"
    r"(?P<y5>\d{4})(?![\d]|\.\d)",
    re.IGNORECASE,
)
_NUMERIC = re.compile(r"\d[-./_ ]\d{1,2}[-./_ ]\d|\d{8}")
_STEMS = tuple({name[:3] for name in _NUMBER_OF if name.isascii()})
_DIGITS = re.compile("[0-9]+")
_WORD_BEFORE = re.compile(r"([^\W\d_]{3,12})\.?[ ._-]{0,3}$")
_LONGEST_NAME = 16
_NAMES = tuple(_NUMBER_OF)
_YEARS = range(1850, 2100)
_PIVOT = 40
"""Years of two digits below this may be of this century as well."""


class Written(NamedTuple):
    """A date in a text: where it stands, and the days that it may mean, the likeliest first."""

    start: int
    stop: int
    readings: tuple[date, ...]
    match: re.Match[str]
    orders: tuple[str, ...]
    """For each reading which parts stand one behind the other: `ymd`, `dmy`, `mdy`."""

    @property
    def is_sure(self) -> bool:
        """Whether it can hardly be anything but a date."""
        if self.match["run"]:
            return self.orders[0] == "ymd" and self.readings[0].year >= 1900
        if self.match["a2"]:
            is_short = len(self.match["y2"]) == 2
            return self.match["s2"] in "./-" and not (is_short and len(self.match["b2"]) + len(self.match["a2"]) < 3)
        return True

    def moved(self, days: int) -> str:
        """The same date so many days later, written in the same form; a day out of the calendar is ""."""
        try:
            day = self.readings[0] + timedelta(days=days)
        except OverflowError:
            return ""
        text = self.match[0]
        parts = sorted(self._parts(self.orders[0]), reverse=True)
        for start, stop, part in parts:
            before = text[start - self.start : stop - self.start]
            text = text[: start - self.start] + _in_form_of(before, part, day) + text[stop - self.start :]
        return text

    def _parts(self, order: str) -> list[tuple[int, int, str]]:
        """(start, stop, one of y m d) of the date's parts in the whole text."""
        match = self.match
        if match["run"]:
            at, sizes = match.start("run"), {"y": 4, "m": 2, "d": 2}
            found = []
            for part in order:
                found.append((at, at + sizes[part], part))
                at += sizes[part]
            return found
        if match["a2"]:
            return [(*match.span("a2"), order[0]), (*match.span("b2"), order[1]), (*match.span("y2"), "y")]
        form = next(number for number in "1345" if match[f"y{number}"])
        ordinal = [(*match.span(f"o{form}"), "o")] if form in "35" and match[f"o{form}"] else []
        return [*((*match.span(f"{part}{form}"), part) for part in "ymd"), *ordinal]


@lru_cache(maxsize=16)
def find_dates(text: str) -> tuple[Written, ...]:
    """The dates in a text, in their order. What is asked for by two in turn is found once."""
    return tuple(_dates_in(text)) if _may_hold_some(text) else ()


def _may_hold_some(text: str) -> bool:
    """Whether a text has what every date has: three numbers, eight digits, or a number and a month's name."""
    if not text.isascii() or _NUMERIC.search(text):
        return True
    small = text.lower()
    for stem in _STEMS:  # noqa: SIM110 - any() takes three times as long
        if stem in small:
            return True
    return False


def _dates_in(text: str) -> Iterator[Written]:
    stop = 0
    for digits in _DIGITS.finditer(text):
        if digits.start() < stop:
            continue
        match = _FORMS.match(text, digits.start()) or _month_first(text, digits.start(), stop)
        if match is None:
            continue
        found = dict(_readings(match))
        if found:
            stop = match.end()
            yield Written(match.start(), stop, tuple(found.values()), match, tuple(found))


def _month_first(text: str, start: int, after: int) -> re.Match[str] | None:
    """The date whose month's name stands before the number at `start`, and not before `after`."""
    first = max(after, start - _LONGEST_NAME)
    if not text[first:start].rstrip(" ._-").casefold().endswith(_NAMES):
        return None
    word = _WORD_BEFORE.search(text[first:start])
    if word is None:
        return None
    return _FORMS.match(text, first + word.start(1))


def _readings(match: re.Match[str]) -> Iterator[tuple[str, date]]:
    if run := match["run"]:
        candidates = [("ymd", run[:4], run[4:6], run[6:]), ("dmy", run[4:], run[2:4], run[:2])]
        candidates.append(("mdy", run[4:], run[:2], run[2:4]))
    elif match["a2"]:
        first, second, year = match["a2"], match["b2"], match["y2"]
        candidates = [("dmy", year, second, first), ("mdy", year, first, second)]
        if match["s2"] == "/":
            candidates.reverse()
        if len(year) == 2:
            candidates.append(("ymd", first, second, year))
    else:
        form = next(number for number in "1345" if match[f"y{number}"])
        month = match[f"m{form}"]
        candidates = [("ymd", match[f"y{form}"], str(_NUMBER_OF.get(month.casefold(), month)), match[f"d{form}"])]
    for order, year, month, day in candidates:
        for full in _full_years(year):
            try:
                found = date(full, int(month), int(day))
            except ValueError:
                continue
            if found.year in _YEARS:
                yield order if full == _full_years(year)[0] else f"{order}-", found


def _full_years(year: str) -> list[int]:
    if len(year) == 4:
        return [int(year)]
    if len(year) != 2:
        return []
    short = int(year)
    return [2000 + short, 1900 + short] if short < _PIVOT else [1900 + short]


def _in_form_of(before: str, part: str, day: date) -> str:
    """A part of a day as that of another is written."""
    if part == "o":
        return _ordinal(before, day.day)
    if part == "y":
        return f"{day.year % 100:02d}" if len(before) == 2 else f"{day.year:04d}"
    number = day.month if part == "m" else day.day
    if before.isdigit():
        return f"{number:02d}" if len(before) == 2 or number > 9 else str(number)
    name = _alike(before.casefold(), number)
    if before.isupper():
        return name.upper()
    return name.capitalize() if before[0].isupper() else name


def _ordinal(before: str, day: int) -> str:
    """What stands behind a day's number: English on every day, French on the first."""
    if before.casefold() == "er":
        return before if day == 1 else ""
    last = 0 if 10 < day < 20 else day % 10
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return ending.upper() if before.isupper() else ending


_LANGUAGES = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
}


def _alike(before: str, number: int) -> str:
    """Another month's name in the language of this one, and as short."""
    languages = [names.split() for names in _LANGUAGES.values()]
    earlier = _NUMBER_OF[before] - 1
    for names in languages:
        if names[earlier] == before:
            return names[number - 1]
    for names in languages:
        if names[earlier].startswith(before):
            return names[number - 1][: max(3, len(before))]
    return _MONTHS[number - 1].split()[0]
