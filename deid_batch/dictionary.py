"""The data dictionary: VR, VM and keyword of a tag. (PS3.6; PS3.5 6.2.2, 7.8)"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from deid_batch.wire import VRS, tag_name


def pydicom_table(name: str) -> ModuleType:
    """A module of pydicom that holds nothing but a table, without the rest of it: that takes longer than a start-up."""
    package = importlib.util.find_spec("pydicom")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0], f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_tables: Any = pydicom_table("_dicom_dict")
DicomDictionary: dict[int, tuple[str, str, str, str, str]] = _tables.DicomDictionary
RepeatersDictionary: dict[str, tuple[str, str, str, str, str]] = _tables.RepeatersDictionary

_AMBIGUOUS = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW", "OB/OW": "OW"}
UNLIMITED = 1 << 30
_NEWER = {
    0x00081301: "SQ 1 PrincipalDiagnosisCodeSequence",
    0x00081302: "SQ 1 PrimaryDiagnosisCodeSequence",
    0x00081303: "SQ 1 SecondaryDiagnosesCodeSequence",
    0x00081304: "SQ 1 HistologicalDiagnosesCodeSequence",
    0x00100011: "SQ 1 PersonNamesToUseSequence",
    0x00100012: "LT 1 NameToUse",
    0x00100013: "UT 1 NameToUseComment",
    0x00100014: "SQ 1 ThirdPersonPronounsSequence",
    0x00100015: "SQ 1 PronounCodeSequence",
    0x00100016: "UT 1 PronounComment",
    0x00100041: "SQ 1 GenderIdentitySequence",
    0x00100042: "UT 1 SexParametersForClinicalUseCategoryComment",
    0x00100043: "SQ 1 SexParametersForClinicalUseCategorySequence",
    0x00100044: "SQ 1 GenderIdentityCodeSequence",
    0x00100045: "UT 1 GenderIdentityComment",
    0x00100046: "SQ 1 SexParametersForClinicalUseCategoryCodeSequence",
    0x00100047: "UR 1-n SexParametersForClinicalUseCategoryReference",
    0x00102162: "UC 1-n EthnicGroups",
    0x0040A034: "DT 1 EffectiveStartDateTime",
    0x0040A035: "DT 1 EffectiveStopDateTime",
    0x0040B034: "DT 1 AnnotationDateTime",
    0x0040B036: "DT 1 SegmentDefinitionDateTime",
    0x0040B03B: "LT 1 MontageName",
    0x0040B03F: "LO 1 MontageChannelLabel",
    0x0040E012: "UR 1 DisplayURI",
    0x3004007F: "LO 1 DoseCalculationModelName",
}
"""Attributes of PS3.6 2026d that pydicom's dictionary (2024c) lacks: VR, VM, keyword."""


def is_private(tag: int) -> bool:
    """Whether the tag's group is odd. (PS3.5 7.8)"""
    return bool(tag >> 16 & 1)


def is_private_creator(tag: int) -> bool:
    """Whether the element reserves a block of private elements. (PS3.5 7.8.1)"""
    return is_private(tag) and 0x10 <= tag & 0xFFFF <= 0xFF


def vr_of(tag: int, creator: str | None = None) -> str:
    """The VR that the dictionary gives, e.g. `PN` or `US or SS`; `UN` where it knows none."""
    if is_private_creator(tag):
        return "LO"
    if not is_private(tag):
        entry = _entry(tag)
        return entry.vr if entry else "UN"
    return _private_vr(tag, creator) if creator and tag & 0xFF00 else "UN"


def _private_vr(tag: int, creator: str) -> str:
    """The VR of a private element in pydicom's private dictionary, wherever its block was placed; else UN."""
    entries = _private_entries().get(creator, {})
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    keys = group + element, f"{group}xx{element[2:]}", f"{group[:2]}xxxx{element[2:]}"
    return next((str(entries[key][0]) for key in keys if key in entries), "UN")


@cache
def _private_entries() -> dict[str, dict[str, tuple[str, ...]]]:
    table: Any = pydicom_table("_private_dict")
    entries: dict[str, dict[str, tuple[str, ...]]] = table.private_dictionaries
    return entries


def effective_vr(tag: int, written_vr: str, creator: str | None, *, signed: bool = False) -> str:
    """The VR a value is to be read by: the written one, or for UN and implicit VR the dictionary's.

    `signed` says how Pixel Representation decides between US and SS. (PS3.5 6.2.2, A.1)
    """
    if written_vr not in ("", "UN"):
        return written_vr
    known = vr_of(tag, creator)
    if known in _AMBIGUOUS:
        return "SS" if signed and known == "US or SS" else _AMBIGUOUS[known]
    return known if known in VRS else "UN"


def max_vm(tag: int) -> int:
    """How many values a public element may have; UNLIMITED where the dictionary knows no bound."""
    entry = _entry(tag)
    most = entry.vm.rpartition("-")[2] if entry else ""
    return int(most) if most.isdecimal() else UNLIMITED


def name_of(tag: int) -> str:
    """`(0010,0010) PatientName`, for messages."""
    entry = _entry(tag)
    return f"{tag_name(tag)} {entry.keyword if entry else ''}".rstrip()


class _Entry(NamedTuple):
    """What pydicom's dictionary says of a public attribute."""

    vr: str
    vm: str
    name: str
    retired: str
    keyword: str


def _entry(tag: int) -> _Entry | None:
    """The entry of a public attribute, which may be one of a repeating group. (PS3.5 7.6)"""
    if is_private(tag):
        return None
    repeaters = (entries[tag & mask] for mask, entries in _repeaters().items() if tag & mask in entries)
    if found := DicomDictionary.get(tag) or next(repeaters, None):
        return _Entry(*found)
    vr, vm, keyword = _NEWER[tag].split() if tag in _NEWER else ("", "", "")
    return _Entry(vr, vm, "", "", keyword) if vr else None


@cache
def _repeaters() -> Mapping[int, dict[int, tuple[str, ...]]]:
    """The entries of repeating groups: by the digits that count, and then by these."""
    repeaters: dict[int, dict[int, tuple[str, ...]]] = {}
    for written, entry in RepeatersDictionary.items():
        mask = int("".join("0" if digit == "x" else "F" for digit in written), 16)
        repeaters.setdefault(mask, {})[int(written.replace("x", "0"), 16)] = entry
    return repeaters


@cache
def _tags_by_folded_keyword() -> dict[str, int]:
    by_keyword = {entry[4].casefold(): tag for tag, entry in DicomDictionary.items() if entry[4]}
    return by_keyword | {entry.split()[2].casefold(): tag for tag, entry in _NEWER.items()}


def is_known(tag: int) -> bool:
    """Whether the dictionary has a public attribute of this tag."""
    return vr_of(tag) != "UN" or name_of(tag) != tag_name(tag)


def known_keywords() -> list[str]:
    """All keywords of the dictionary, for the nearest name to a mistyped one."""
    entries = [*DicomDictionary.values(), *RepeatersDictionary.values()]
    return [*(entry[4] for entry in entries if entry[4]), *(entry.split()[2] for entry in _NEWER.values())]


def mask_of_keyword(keyword: str) -> str | None:
    """The mask of a repeating group's keyword, such as `60xx3000`. (PS3.5 7.6)"""
    folded = keyword.casefold()
    return next((mask for mask, entry in RepeatersDictionary.items() if entry[4].casefold() == folded), None)


def tag_of_keyword(keyword: str) -> int | None:
    """The tag of a keyword, written in any case."""
    return _tags_by_folded_keyword().get(keyword.casefold())
