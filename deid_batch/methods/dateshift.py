"""dateshift: move dates by whole days, the same for all files of a scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from deid_batch import crypto
from deid_batch.methods.base import Element, Instance, ScopeName, ValueMethod, key_field
from deid_batch.values import dates

Days = Annotated[int, Interval(ge=1, le=36_500)]


@dataclass(frozen=True)
class DateShift(ValueMethod):
    """Move DA and DT by a number of days in [-range, +range] that key and scope decide.

    Time of day, precision and UTC offset stay. A day more than 89 years before the reference date is erased.
    """

    name: ClassVar[str] = "dateshift"
    column: ClassVar[str] = "dateshifted"
    vrs: ClassVar[frozenset[str]] = frozenset({"DA", "DT"})
    purpose: ClassVar[str] = "dateshift"

    date_shift_scope: ScopeName = "SeriesInstance"
    date_shift_range: Days = 50
    date_shift_algorithm: Literal["hmac-sha256", "bkdr"] = "hmac-sha256"
    reference_date: date | None = None
    key: bytes = key_field()

    def cache_token(self, instance: Instance) -> str | None:
        return instance.scope_uid(self.date_shift_scope)

    @property
    def needs_scope_uid(self) -> bool:
        """Whether a file without a scope UID can't be treated."""
        return self.date_shift_algorithm != "bkdr"

    def treat(self, value: str, element: Element, number: int) -> str:
        parse, shift = (dates.parse_da, dates.shift_da) if element.vr == "DA" else (dates.parse_dt, dates.shift_dt)
        if self.reference_date is not None and dates.is_beyond_age_cap(parse(value), self.reference_date):
            return ""
        return shift(value, self.days_of(element.instance))

    def days_of(self, instance: Instance) -> int:
        """By how many days the dates of an instance move."""
        scope_uid = instance.scope_uid(self.date_shift_scope)
        return _SHIFTS[self.date_shift_algorithm](self.key, scope_uid, self.date_shift_range)


@lru_cache(maxsize=1024)
def hmac_days(key: bytes, scope_uid: str, limit: int) -> int:
    """Uniform over [-limit, +limit] without 0."""
    number = int.from_bytes(crypto.derive(key, "dateshift", scope_uid.encode()), "big") % (2 * limit)
    return number - limit if number < limit else number - limit + 1


@lru_cache(maxsize=1024)
def bkdr_days(key: bytes, scope_uid: str, limit: int) -> int:
    """The original tool's hash, over [-limit, +limit]."""
    offset = 0
    for byte in scope_uid.encode() + key:
        offset = (offset * 131 + byte) % (2 * limit + 1)
    return offset - limit


_SHIFTS = {"hmac-sha256": hmac_days, "bkdr": bkdr_days}
