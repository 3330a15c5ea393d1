"""Content items of structured reports and their like, judged one by one by their concepts. (PS3.15 E.3.4)"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from deid_batch.errors import Unreadable
from deid_batch.methods.erase import Keep
from deid_batch.profiles import tables
from deid_batch.profiles.tables import ContentRow
from deid_batch.values import uids
from deid_batch.wire import Encoding, read_item, top_level_values

CONTENT, ACQUISITION_CONTEXT, WAVEFORM_ANNOTATION = 0x0040A730, 0x00400555, 0x0040B020
SPECIMEN_PREPARATION, SPECIMEN_PREPARATION_ITEMS = 0x00400610, 0x00400612
ITEM_SEQUENCES = frozenset({CONTENT, ACQUISITION_CONTEXT, WAVEFORM_ANNOTATION, SPECIMEN_PREPARATION_ITEMS})
"""Sequences whose items are judged."""
TEXT_VALUE, UID = 0x0040A160, 0x0040A124
VALUES = frozenset({TEXT_VALUE, 0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, UID, 0x00700006})
"""Attributes that hold a content item's value, and that a kept item keeps."""
_VALUE_TYPE, _CONCEPT_NAME = 0x0040A040, 0x0040A043
_CODE_VALUE, _SCHEME, _LONG_CODE_VALUE = 0x00080100, 0x00080102, 0x00080119
ASKED = frozenset({_VALUE_TYPE, _CONCEPT_NAME})
_CODE = frozenset({_CODE_VALUE, _SCHEME, _LONG_CODE_VALUE})
GOES, NEUTRAL, KEPT, CLEANED = -1, 1, 2, 3
"""What becomes of an item: it goes; its text and names become dummies; its value stays; its text is cleaned."""


class Concept(NamedTuple):
    """What an item is about."""

    code: str
    scheme: str
    value_type: str


def concept_of(found: Mapping[int, bytes], encoding: Encoding) -> Concept:
    """The concept of an item from the values of the `ASKED` attributes."""
    code: Mapping[int, bytes] = {}
    names = found.get(_CONCEPT_NAME, b"")
    try:
        if names:
            read_item(names, 0, len(names), encoding)
            code = top_level_values(names, 8, encoding, _CODE, _LONG_CODE_VALUE, partial=False)
    except Unreadable:
        code = {}
    text = {tag: uids.text_of(value) for tag, value in code.items()}
    value_type = uids.text_of(found.get(_VALUE_TYPE, b""))
    return Concept(text.get(_CODE_VALUE) or text.get(_LONG_CODE_VALUE, ""), text.get(_SCHEME, ""), value_type)


@dataclass(frozen=True)
class JudgeItems(Keep):
    """The sequence stays, of its items those that their concepts let stay."""

    judges: ClassVar[bool] = True

    options: tuple[str, ...] = ()
    is_needed: bool = False
    """Whether the IOD has it with items or not at all."""

    @property
    def goes_when_empty(self) -> bool:
        return self.is_needed

    def judge(self, data: bytes, start: int, encoding: Encoding) -> int:
        found = top_level_values(data, start, encoding, ASKED, max(ASKED), partial=False)
        return fate(concept_of(found, encoding), self.options)


def fate(concept: Concept, options: Collection[str]) -> int:
    """GOES, NEUTRAL, KEPT or CLEANED. What the table does not list stays with its text and names made neutral."""
    row = tables.content_row(concept.code, concept.scheme, concept.value_type)
    if row is None:
        return NEUTRAL
    said = {code for option, code in row.options.items() if option in options}
    if row.options.get("clean_descriptors") == "C" and "clean_descriptors" in options:
        return CLEANED
    if "C" in said:
        return NEUTRAL  # dates: the attributes' own rows move them
    return KEPT if "K" in said else _by_code(row)


def _by_code(row: ContentRow) -> int:
    """X/D stays: whether a template needs the item is not known."""
    return GOES if row.basic == "X" else NEUTRAL
