"""The attributes by which a de-identified instance says so, and what can be said truthfully. (PS3.15 E.1.1, E.3)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deid_batch import __version__
from deid_batch.methods.base import Method
from deid_batch.methods.dummy import AddItems, Say
from deid_batch.profiles import tables
from deid_batch.profiles.actions import FULL_DATES, MODIFIED_DATES
from deid_batch.values.text import padded
from deid_batch.wire import Items, Made

CONTRIBUTING_EQUIPMENT = 0x0018A001
IDENTITY_REMOVED, METHOD, METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
TEMPORAL_INFORMATION = 0x00280303


class Weaker(NamedTuple):
    """How the user's own rules fall short of the profile and its options."""

    does: bool = False
    """Something stays that the profile would not leave."""
    keeps_identity: bool = False
    """Patient's Name or Patient ID stay."""
    dates: str = ""
    """What became of dates: MODIFIED or UNMODIFIED where the profile would have done more."""
    changes: frozenset[str] = frozenset()
    """The options that would have kept what was changed."""

    def __or__(self, other: Weaker) -> Weaker:
        return Weaker(
            self.does or other.does,
            self.keeps_identity or other.keeps_identity,
            max(self.dates, other.dates),
            self.changes | other.changes,
        )


def claims(options: Sequence[str], weaker: Weaker) -> list[tuple[str, str]]:
    """(code, meaning) of what was carried out: nothing by name where rules leave more than the profile does."""
    if weaker.does:
        return []
    return [tables.BASIC, *(tables.OPTIONS[it] for it in options if it not in weaker.changes)]


def marks(options: Sequence[str], weaker: Weaker, *, equipment: bool) -> dict[int, Method]:
    """The methods for attributes that are there already."""
    codes = [code_item(code, "DCM", meaning) for code, meaning in claims(options, weaker)]
    found: dict[int, Method] = {
        METHOD: Say(said=_method(weaker), behind=True),
        TEMPORAL_INFORMATION: Say(said=_temporal_information(options, weaker)),
    }
    if not weaker.keeps_identity:
        found[IDENTITY_REMOVED] = Say(said="YES")
    if codes:
        found[METHOD_CODES] = AddItems(added=tuple(codes))
    if equipment:
        found[CONTRIBUTING_EQUIPMENT] = AddItems(added=_equipment())
    return found


def additions(found: dict[int, Method]) -> tuple[Made, ...]:
    """The same as elements for a data set that has none of them, by tag."""
    return tuple(
        Made(tag, "SQ", method.items)
        if isinstance(method, AddItems)
        else _text(tag, "LO" if tag == METHOD else "CS", getattr(method, "said", ""))
        for tag, method in sorted(found.items())
    )


def code_item(value: str, scheme: str, meaning: str) -> tuple[Made, ...]:
    """An item of the Code Sequence Macro. (PS3.3 8.8)"""
    return (
        _text(0x00080100, "SH", value) if len(value) <= 16 else _text(0x00080119, "UC", value),
        _text(0x00080102, "SH", scheme),
        _text(0x00080104, "LO", meaning[:64]),
    )


def _method(weaker: Weaker) -> str:
    return f"deid_batch {__version__}: PS3.15 Basic Profile" + (" after own rules" if weaker.does else "")


def _temporal_information(options: Sequence[str], weaker: Weaker) -> str:
    by_option = "MODIFIED" if MODIFIED_DATES in options else "UNMODIFIED" if FULL_DATES in options else "REMOVED"
    return {"MODIFIED": by_option if by_option == "UNMODIFIED" else "MODIFIED", "": by_option}.get(
        weaker.dates, weaker.dates
    )


def _equipment() -> Items:
    purpose = code_item("109104", "DCM", "De-identifying Equipment")
    return ((
        _text(0x00080070, "LO", "deid_batch"),
        _text(0x00081090, "LO", "deid_batch"),
        _text(0x00181020, "LO", __version__),
        Made(0x0040A170, "SQ", (purpose,)),
    ),)  # fmt: skip


def _text(tag: int, vr: str, value: str) -> Made:
    return Made(tag, vr, padded(value.encode("ascii"), vr))
