"""Which action a profile with its options asks for, and which row of which table says so. (PS3.15 E.1.1, E.3)"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.profiles import content, tables
from deid_batch.profiles.freetext import NO_FREE_TEXT
from deid_batch.profiles.tables import Row, Types
from deid_batch.values import uids
from deid_batch.values.text import CHARSET_VRS
from deid_batch.wire import tag_name

FULL_DATES, MODIFIED_DATES = "retain_long_full_dates", "retain_long_modified_dates"
CLEAN_CONTENT, CLEAN_DESCRIPTORS = "clean_structured_content", "clean_descriptors"
SAFE_PRIVATE, RETAIN_UIDS = "retain_safe_private", "retain_uids"
_PRIVATE_CHARACTERISTICS = 0x00080300
_LETTERS = "XZD"
"""From the least that an IOD may need to the most."""
_GO_TOO = {
    0x04000500: "an Encrypted Attributes Sequence that others wrote can be opened by their keys",
    0x4FFE0001: "MAC Parameters go with the Digital Signatures",
}
_FOREIGN_GROUPS = {0x0000, 0x0002, 0x0004}
_TIMES = {"DA", "DT", "TM"}
Declared = frozenset[tuple[int, str, int | None]]
"""Private elements that a file says are safe: group, creator, and the element's low byte or None for all. (E.3.10)"""


class Verdict(NamedTuple):
    """An action (one of X Z D K C U), why, and the option that asked for it if one did."""

    action: str
    why: str
    option: str = ""


class Around(NamedTuple):
    """What an action depends on besides the element: `parent` is the enclosing sequence, 0 at the top level."""

    options: frozenset[str]
    types: Types | None = None
    parent: int | None = None
    item: int = 0
    """What becomes of the content item at hand: `content.KEPT`, `content.NEUTRAL`, or 0 outside of one."""
    declared: Declared = frozenset()


def verdict_on(tag: int, vr: str, creator: str | None, around: Around) -> Verdict | None:
    """What happens to an element of effective VR `vr`; None: it stays as it is, as no table names it."""
    if dictionary.is_private(tag):
        return _on_private(tag, vr, creator, around)
    if around.item == content.KEPT and tag in content.VALUES:
        return Verdict("K", "Table E.3.4-1: the content item is kept")
    if around.item == content.CLEANED and tag == content.TEXT_VALUE:
        return Verdict("C", f"Table E.3.4-1: C by {CLEAN_DESCRIPTORS}", CLEAN_DESCRIPTORS)
    if tag >> 16 in _FOREIGN_GROUPS:
        return Verdict("X", "E.1.1: the group has no place in a data set")
    if (row := tables.row_of(tag)) is not None:
        return _on_row(row, around)
    if tag >> 24 in (0x50, 0x60):
        return Verdict("X", "goes with its curve or overlay")
    if (verdict := _beyond_the_table(tag, around)) is not None:
        return verdict
    if not dictionary.is_known(tag):
        return Verdict("X", "no attribute of the data dictionary")
    known = dictionary.vr_of(tag)
    if known == "SQ" and vr != "SQ":
        return Verdict("X", "not the sequence that it should be")
    return _by_vr(tag, known, around)


def _beyond_the_table(tag: int, around: Around) -> Verdict | None:
    """Attributes that no row names, but that other clauses or the rows for others speak of."""
    if tag == content.TEXT_VALUE:
        return Verdict("D", "E.3.4: the text of a content item")
    if tag == content.SPECIMEN_PREPARATION_ITEMS and CLEAN_CONTENT in around.options:
        return Verdict("C", "E.3.4: content items", CLEAN_CONTENT)
    if tag == _PRIVATE_CHARACTERISTICS and SAFE_PRIVATE not in around.options:
        return Verdict("X", "goes with the private elements that it describes")
    return Verdict("X", _GO_TOO[tag]) if tag in _GO_TOO else None


def _by_vr(tag: int, vr: str, around: Around) -> Verdict | None:
    """Attributes that the table does not name, but that refer to instances, persons, places or days."""
    if vr == "UI" and tag not in uids.DEFINITION_ATTRIBUTES:
        if RETAIN_UIDS in around.options:
            return Verdict("K", "E.3.9: UIDs are retained", RETAIN_UIDS)
        return Verdict("U", "E.1.1: all references to instances")
    if vr == "UR" and tag not in _DEFINITION_URLS:
        return Verdict("X", "a URL may lead to the original")
    if vr == "PN":
        return Verdict("D", "a person's name")
    if vr in _TIMES:
        return _on_time(around)
    if vr in CHARSET_VRS and tag not in NO_FREE_TEXT:
        return Verdict("C", "free text that no table names")
    return None


_DEFINITION_URLS = frozenset({0x0008010E, 0x00080120})
"""Coding Scheme URL, URN Code Value."""


def _on_time(around: Around) -> Verdict:
    if MODIFIED_DATES in around.options:
        return Verdict("C", "E.3.6: a date or time", MODIFIED_DATES)
    if FULL_DATES in around.options:
        return Verdict("K", "E.3.6: a date or time", FULL_DATES)
    return Verdict("X", "a date or time")


def _on_row(row: Row, around: Around) -> Verdict:
    """By the options first: what one cleans no other keeps. (PS3.15 E.3)"""
    said = {option: code for option, code in row.options.items() if option in around.options}
    for code in "CK":
        for option in (option for option, its_code in said.items() if its_code == code):
            return Verdict(code, f"Table E.1-1 {row.name}: {code} by {option}", option)
    action = _resolved(row, around)
    as_written = f"{row.basic}, here {action}" if action != row.basic else action
    return Verdict(action, f"Table E.1-1 {row.name}: {as_written}")


def _resolved(row: Row, around: Around) -> str:
    """One letter for a code: by the attribute's Type where that is known, else what no IOD can object to."""
    if row.vr == "UI" and "D" in row.basic:
        return "U"
    if around.parent is not None and (around.parent, row.tag) in tables.NESTED_TYPES:
        return _by_type(row.basic, tables.NESTED_TYPES[around.parent, row.tag])
    if around.parent is None and around.types is not None and row.basic != "U":
        return _by_type(row.basic, around.types.of(row.tag))
    if row.basic == "X/Z/U*":
        return "K"
    return row.basic[-1]


def _by_type(code: str, attribute_type: int) -> str:
    """The letter of a code for a Type; a plain X or Z gives way where the IOD needs more than that."""
    wanted = {1: "D", 2: "Z", 3: "X"}[attribute_type]
    if code == "X/Z/U*":
        return "K" if wanted == "D" else wanted
    offered = [letter for letter in code.split("/") if _LETTERS.index(letter) >= _LETTERS.index(wanted)]
    return min(offered, key=_LETTERS.index) if offered else wanted


def _on_private(tag: int, vr: str, creator: str | None, around: Around) -> Verdict:
    if dictionary.is_private_creator(tag):
        return Verdict("X", "a private creator goes with the last element of its block")
    if SAFE_PRIVATE not in around.options or creator is None:
        return Verdict("X", "Table E.1-1 private attributes: X")
    group, element = tag >> 16, tag & 0xFF
    row = tables.safe_private().get((group, creator, element))
    if row is not None and (is_listed_vr(vr, row.vr) or vr == dictionary.vr_of(tag, creator)):
        return Verdict("K", f"Table E.3.10-1 ({group:04X},xx{element:02X}) {row.meaning}", SAFE_PRIVATE)
    if _is_declared(group, creator, element, around.declared):
        return Verdict("K", "declared to be safe by (0008,0300)", SAFE_PRIVATE)
    return Verdict("X", f"{tag_name(tag)} is not in Table E.3.10-1")


def is_listed_vr(vr: str, listed: str) -> bool:
    """Whether an element of effective VR `vr` may be the one that the table lists; UN tells nothing."""
    return not listed or vr == "UN" or vr in listed.split("/")


def _is_declared(group: int, creator: str, element: int, declared: Declared) -> bool:
    return (group, creator, None) in declared or (group, creator, element) in declared


def option_conflicts(options: Collection[str]) -> list[tuple[str, str, int]]:
    """(option that cleans, option that keeps, in how many attributes) where selected options contradict each other."""
    return [
        (option, other, count)
        for option in options
        for other in options
        if (count := sum(row.options.get(option) == "C" and row.options.get(other) == "K" for row in tables.rows()))
    ]
