"""keep, remove, redact: the element stays, goes, or loses its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

from deid_batch.errors import BadValue
from deid_batch.methods.base import Change, Element, Method
from deid_batch.values import ages, dates, text
from deid_batch.wire import VRS


@dataclass(frozen=True)
class Keep(Method):
    """Leave the element as it is; the items of a kept sequence are still processed (PS3.15 action K)."""

    name: ClassVar[str] = "keep"
    column: ClassVar[str] = "kept"
    vrs: ClassVar[frozenset[str]] = VRS

    def apply(self, value: bytes, element: Element) -> Change:
        return Change(value)


@dataclass(frozen=True)
class Remove(Method):
    """Take the element away, a sequence with everything in it (PS3.15 action X)."""

    name: ClassVar[str] = "remove"
    column: ClassVar[str] = "removed"
    vrs: ClassVar[frozenset[str]] = VRS
    erases: ClassVar[bool] = True
    acts_on_empty: ClassVar[bool] = True

    def apply(self, value: bytes, element: Element) -> Change:
        return Change(None)


@dataclass(frozen=True)
class Redact(Method):
    """Take the value away (PS3.15 action Z, or X); of dates the year may stay, of ages those up to 89 years.

    A year more than 89 years before the reference date gives away an age over 89 and goes too.
    """

    name: ClassVar[str] = "redact"
    column: ClassVar[str] = "redacted"
    vrs: ClassVar[frozenset[str]] = VRS
    erases: ClassVar[bool] = True
    acts_on_empty: ClassVar[bool] = True

    enable_partial_ages_for_redact: bool = False
    enable_partial_dates_for_redact: bool = False
    redact_leaves: Literal["nothing", "empty"] = "nothing"
    reference_date: date | None = None

    def apply(self, value: bytes, element: Element) -> Change:
        keep_part = self._partial(element.vr)
        if keep_part is not None and value.strip(b"\0 "):
            parts = [_or_empty(keep_part, one) for one in text.split(value, element.vr, element.charset)]
            if any(parts):
                return Change(text.join(parts, element.vr, element.charset))
        return Change(None if self.redact_leaves == "nothing" else b"")

    def _partial(self, vr: str) -> Callable[[str], str] | None:
        if vr == "AS" and self.enable_partial_ages_for_redact:
            return _age_up_to_cap
        if vr == "DA" and self.enable_partial_dates_for_redact:
            return lambda value: self._year(dates.parse_da(value), dates.year_of_da(value))
        if vr == "DT" and self.enable_partial_dates_for_redact:
            return lambda value: self._year(dates.parse_dt(value), dates.year_of_dt(value))
        return None

    def _year(self, day: date, kept: str) -> str:
        beyond = self.reference_date is not None and dates.is_beyond_age_cap(day, self.reference_date)
        return "" if beyond else kept


def _age_up_to_cap(value: str) -> str:
    return "" if ages.is_over_cap(value) else value


def _or_empty(keep_part: Callable[[str], str], value: str) -> str:
    try:
        return keep_part(value)
    except BadValue:
        return ""
