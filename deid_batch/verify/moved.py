"""Dates: whether those that should have moved have, all of a scope by the same number of days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

from deid_batch.methods.dateshift import DateShift
from deid_batch.verify.elements import Seen
from deid_batch.verify.findings import Finding, Place, shown
from deid_batch.verify.identity import DATE, days_of
from deid_batch.verify.original import Original

INTERVAL = "interval"


class Shift(NamedTuple):
    """By how many days the dates of a scope were moved, and by which settings."""

    settings: str
    scope: str
    days: int


class Moves(NamedTuple):
    """What became of an input's dates."""

    shifts: frozenset[Shift]
    findings: tuple[Finding, ...]

    def explain(self, day: date, days: frozenset[date] | set[date]) -> bool:
        """Whether a day is one of these, moved."""
        return any(shift.days and _back(day, shift.days) in days for shift in self.shifts)


def moves_of(original: Original, output: Mapping[Place, Seen]) -> Moves:
    """Compare the dates that were to move with what stands in their places."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    findings: list[Finding] = []
    for place, (seen, promise) in original.elements.items():
        method, moved = promise.method, output.get(place)
        if not isinstance(method, DateShift) or moved is None:
            continue
        key = _settings(method), original.scope(method.date_shift_scope)
        for days in _deltas(seen, moved):
            if days == 0 and method.date_shift_algorithm != "bkdr":
                findings.append(Finding(shown(place), DATE, "has not moved"))
            else:
                found.setdefault(key, {}).setdefault(days, shown(place))
    for by_days in found.values():
        findings += [
            Finding(place, INTERVAL, "moved by another number of days than dates before it")
            for place in list(by_days.values())[1:]
        ]
    shifts = frozenset(Shift(*key, days) for key, by_days in found.items() for days in by_days)
    return Moves(shifts, tuple(findings))


def _settings(method: DateShift) -> str:
    return f"{method.date_shift_scope} {method.date_shift_range} {method.date_shift_algorithm}"


def _deltas(seen: Seen, moved: Seen) -> list[int]:
    """By how many days each value has moved; erased and partial ones are left out."""
    if seen.vr not in ("DA", "DT") or len(seen.values) != len(moved.values):
        return []
    deltas = []
    for before, after in zip(_days(seen), _days(moved), strict=True):
        if before and after:
            deltas.append((after - before).days)
    return deltas


def _days(seen: Seen) -> list[date | None]:
    one_by_one = (
        days_of(Seen(seen.place, seen.tag, seen.vr, None, (), it.encode("latin-1", "replace"))) for it in seen.values
    )
    return [next(iter(days), None) for days in one_by_one]


def _back(day: date, days: int) -> date | None:
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return None
