"""The tables: PS3.15 Annex E (edition 2026d), and the Types of PS3.3 (2026b) that they depend on.

Each is read when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

OPTIONS = {
    "retain_safe_private": ("113111", "Retain Safe Private Option"),
    "retain_uids": ("113110", "Retain UIDs Option"),
    "retain_device_identity": ("113109", "Retain Device Identity Option"),
    "retain_institution_identity": ("113112", "Retain Institution Identity Option"),
    "retain_patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain_long_full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "retain_long_modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "clean_descriptors": ("113105", "Clean Descriptors Option"),
    "clean_structured_content": ("113104", "Clean Structured Content Option"),
    "clean_graphics": ("113103", "Clean Graphics Option"),
}
"""The options that Table E.1-1 has columns for: their code and meaning. (PS3.16 CID 7050)"""
BASIC = ("113100", "Basic Application Confidentiality Profile")


class Row(NamedTuple):
    """A row of Table E.1-1: the Basic Profile's code, and those of the options that have another one."""

    tag: int
    keyword: str
    vr: str
    basic: str
    options: dict[str, str]
    mask: int = 0xFFFFFFFF

    @property
    def name(self) -> str:
        """`(0008,0020) StudyDate`, with `x` for the digits of a repeating group that do not count."""
        digits = f"{self.tag:08X}"
        shown = "".join(digit if known == "F" else "x" for digit, known in zip(digits, f"{self.mask:08X}", strict=True))
        return f"({shown[:4]},{shown[4:]}) {self.keyword}"


class SafePrivate(NamedTuple):
    """A row of Table E.3.10-1; `vr` is "" where the table gives none."""

    group: int
    creator: str
    element: int
    vr: str
    meaning: str


class ContentRow(NamedTuple):
    """A row of Table E.3.4-1."""

    value_type: str
    meaning: str
    basic: str
    options: dict[str, str]


class Types(NamedTuple):
    """Which attributes of an IOD are, at its top level, Type 1 or 1C, and which are Type 2 or 2C. (PS3.5 7.4)"""

    number: int
    one: frozenset[int]
    two: frozenset[int]

    def of(self, tag: int) -> int:
        """The Type; 3 for what the IOD leaves open, or does not know."""
        return 1 if tag in self.one else 2 if tag in self.two else 3


@cache
def rows() -> tuple[Row, ...]:
    """All rows of Table E.1-1 that name attributes, in its order."""
    return tuple(map(_row, _lines("table_e1_1")))


def row_of(tag: int) -> Row | None:
    """The row for an attribute, repeating groups included."""
    return _rows_by_tag().get(tag) or next((row for row in _repeating() if tag & row.mask == row.tag), None)


@cache
def safe_private() -> dict[tuple[int, str, int], SafePrivate]:
    """Safe private attributes by group, creator and the element's low byte. (PS3.15 Table E.3.10-1)"""
    found = {}
    for group, creator, element, vr, _, meaning in _lines("safe_private"):
        row = SafePrivate(int(group, 16), creator, int(element, 16), vr.replace("-", ""), meaning)
        found[row.group, row.creator, row.element] = row
    return found


def content_row(code: str, scheme: str, value_type: str) -> ContentRow | None:
    """The row for a concept: that of the value type if there is one. (PS3.15 Table E.3.4-1)"""
    found = _content_rows().get((code, scheme), ())
    return next((row for row in found if row.value_type == value_type), found[0] if found else None)


@cache
def _content_rows() -> dict[tuple[str, str], tuple[ContentRow, ...]]:
    found: dict[tuple[str, str], tuple[ContentRow, ...]] = {}
    for code, scheme, value_type, meaning, basic, *options in _lines("sr_content_items"):
        row = ContentRow(value_type, meaning, basic, _codes(options))
        found[code, scheme] = (*found.get((code, scheme), ()), row)
    return found


def types_of(sop_class_uid: str) -> Types | None:
    """The Types in the IOD of a SOP Class; None where it is unknown."""
    return _types().get(sop_class_uid)


def types_by_number(number: int) -> Types | None:
    """The Types that `types_of` gave under this number."""
    return next((types for types in _types().values() if types.number == number), None)


NESTED_TYPES = {
    (0x00080400, 0x00080201): 1,  # Scope of Inventory: Timezone Offset From UTC
    (0x00080423, 0x00080054): 1,  # Inventoried Studies: Retrieve AE Title
    (0x00080423, 0x00081030): 2,  # Inventoried Studies: Study Description
    (0x0040A370, 0x00401001): 2,  # Referenced Request: Requested Procedure ID
    (0x0040E021, 0x00080054): 1,  # DICOM Retrieval: Retrieve AE Title
    (0x00540016, 0x00181078): 1,  # Radiopharmaceutical Information: Radiopharmaceutical Start DateTime
    (0x0072000C, 0x0040100A): 2,  # Hanging Protocol Definition: Reason for Requested Procedure Code Sequence
    (0x3002011F, 0x30020121): 1,  # Position Acquisition Template Identification: Name
    (0x3002011F, 0x30020123): 2,  # Position Acquisition Template Identification: Description
    (0x3006004C, 0x0008103E): 1,  # Source Series Information: Series Description
    (0x30080100, 0x300A0216): 2,  # Recorded Source: Source Manufacturer
    (0x300A0610, 0x300A0611): 1,  # RT Accessory Holder Slot: RT Accessory Holder Slot ID
    (0x300A078C, 0x300A0794): 2,  # Referenced Patient Setup Photo: Description
    (0x300A0790, 0x300A078E): 2,  # Patient Treatment Preparation Procedure: Parameter Description
    (0x3010006B, 0x30100061): 2,  # RT Prescription: Prior Treatment Dose Description
}
"""Sequence and attribute: the Type in its items, where Table E.1-1 says X or Z and that would not do. (PS3.3)"""


@cache
def _rows_by_tag() -> dict[int, Row]:
    return {row.tag: row for row in rows() if row.mask == 0xFFFFFFFF}


@cache
def _repeating() -> tuple[Row, ...]:
    return tuple(row for row in rows() if row.mask != 0xFFFFFFFF)


@cache
def _types() -> dict[str, Types]:
    found: dict[str, Types] = {}
    for number, (sop_classes, one, two) in enumerate(_lines("iod_types")):
        types = Types(number, _tags(one), _tags(two))
        found |= dict.fromkeys(sop_classes.split(), types)
    return found


def _row(cells: list[str]) -> Row:
    tag, keyword, vr, basic, *options = cells
    mask = "".join("0" if digit == "x" else "F" for digit in tag)
    return Row(int(tag.replace("x", "0"), 16), keyword, vr.replace("-", ""), basic, _codes(options), int(mask, 16))


def _codes(cells: list[str]) -> dict[str, str]:
    """The options' codes of a row, from a last cell that may be missing."""
    return dict(cell.split("=") for cell in cells[0].split()) if cells else {}


def _tags(cell: str) -> frozenset[int]:
    return frozenset(int(tag, 16) for tag in cell.replace("-", "").split())


def _lines(name: str) -> Iterator[list[str]]:
    """The cells of a data file's lines."""
    text = (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8")
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
