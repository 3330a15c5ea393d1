"""Days in running text, in the forms in which people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero gennaio ene gen",
            "feb february februar fevrier fev febrero febbraio",
            "mar march marz maerz mars marzo mrz",
            "apr april avril avr abril aprile abr",
            "may mai mayo maggio mag",
            "jun june juni juin junio giugno giu",
            "jul july juli juillet julio luglio lug",
            "aug august aout agosto ago",
            "sep sept september septembre septiembre settembre set",
            "oct october oktober okt octobre octubre ottobre ott",
            "nov november novembre noviembre",
            "dec december dezember dez decembre diciembre dicembre dic",
        ),
        1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DIGITS = re.compile(r"\d{4}|\d[-./]\s?\d")
_COMPACT = re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)(?=\d{4,6}(?:\.\d+)?(?:[+-]\d{4})?(?!\d)|(?!\d))")
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s?[-./年 ]\s?(\d{1,2})\s?[-./月 ]\s?(\d{1,2})(?!\d)")
_YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})\s?[-./ ]\s?(\d{1,2})\s?[-./ ]\s?(\d{4})(?!\d)")
_SHORT_YEAR = re.compile(r"(?<!\d)(\d{1,2})([./-])(\d{1,2})\2(\d\d)(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?[-. ]{{0,2}}(?:of |de )?({_MONTH})[-., ]{{0,3}}(?:de )?(\d{{4}})"
)
_MONTH_DAY = re.compile(rf"\b({_MONTH})[-. ]{{0,2}}(\d{{1,2}})(?:st|nd|rd|th)?,?[-. ]{{1,2}}(\d{{4}})(?!\d)")
_YEAR_MONTH = re.compile(rf"(?<!\d)(\d{{4}})[-. ]{{0,2}}({_MONTH})[-. ]{{0,2}}(\d{{1,2}})(?!\d)")


def days_in(text: str) -> set[date]:
    """The days that a folded text may name; where day and month can't be told apart, both."""
    if not _DIGITS.search(text):
        return set()
    return {day for year, month, number in _candidates(text) if (day := _day(year, month, number)) is not None}


def _candidates(text: str) -> Iterator[tuple[int, int, int]]:
    for pattern in (_COMPACT, _YEAR_FIRST):
        for match in pattern.finditer(text):
            yield int(match[1]), int(match[2]), int(match[3])
    for match in _YEAR_LAST.finditer(text):
        yield int(match[3]), int(match[2]), int(match[1])
        yield int(match[3]), int(match[1]), int(match[2])
    for match in _SHORT_YEAR.finditer(text):
        for century in (1900, 2000):
            yield century + int(match[4]), int(match[3]), int(match[1])
            yield century + int(match[4]), int(match[1]), int(match[3])
    for match in _DAY_MONTH.finditer(text):
        yield int(match[3]), _MONTHS[match[2]], int(match[1])
    for match in _MONTH_DAY.finditer(text):
        yield int(match[3]), _MONTHS[match[1]], int(match[2])
    for match in _YEAR_MONTH.finditer(text):
        yield int(match[1]), _MONTHS[match[2]], int(match[3])


def _day(year: int, month: int, number: int) -> date | None:
    try:
        return date(year, month, number)
    except ValueError:
        return None
