"""The Basic Profile with options, as it is set for a run: which method treats an element. (PS3.15 E.1, E.3)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from deid_batch import dictionary
from deid_batch.conditions import Values
from deid_batch.errors import BadValue
from deid_batch.known.patterns import Pattern
from deid_batch.methods.base import Method
from deid_batch.methods.clean import Clean
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.dummy import (
    PATIENT_ID,
    CapAge,
    Dummy,
    DummyItems,
    KeepItems,
    OverlayBits,
    PatientPseudonym,
    Pseudonym,
)
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.methods.refreshuid import RefreshUID
from deid_batch.profiles import tables
from deid_batch.profiles.actions import (
    CLEAN_CONTENT,
    FULL_DATES,
    MODIFIED_DATES,
    RETAIN_UIDS,
    Around,
    Declared,
    Verdict,
    verdict_on,
)
from deid_batch.profiles.content import CONTENT, WAVEFORM_ANNOTATION, JudgeItems
from deid_batch.profiles.declared import CHARACTERISTICS, declared_safe
from deid_batch.profiles.gate import SOP_CLASS_UID, Gate, is_document
from deid_batch.profiles.markers import Weaker, additions, marks
from deid_batch.values import ages, dates
from deid_batch.values.text import CHARSET_VRS
from deid_batch.wire import Made

ENCAPSULATED_DOCUMENT, OVERLAY_BIT_POSITION = 0x00420011, 0x60000102
REASON_FOR_MODIFICATION = 0x04000565
PATIENT_NAME, PATIENT_AGE, PATIENT_BIRTH_DATE = 0x00100010, 0x00101010, 0x00100030
KEYED = {
    0x00080050: "accession-number",
    0x00120040: "pseudonym",  # Clinical Trial Subject ID
    0x00120042: "pseudonym",  # Clinical Trial Subject Reading ID
    0x00200010: "study-id",
    0x00400512: "pseudonym",  # Container Identifier
    0x00400551: "pseudonym",  # Specimen Identifier
    0x00402016: "order-number",  # Placer Order Number / Imaging Service Request
    0x00402017: "order-number",  # Filler Order Number / Imaging Service Request
}
"""Identifiers whose values must stay apart (D, Z): each becomes a pseudonym of its own, by this domain."""
_CODE_SEQUENCES = frozenset({0x00080082, 0x00401101})
"""Institution Code Sequence, Person Identification Code Sequence."""
_ANONYMOUS_CODE = (
    Made(0x00080100, "SH", b"ANON"), Made(0x00080102, "SH", b"99ANON"), Made(0x00080104, "LO", b"Anonymized"),
)  # fmt: skip
_TEXT_ITEM = (
    Made(0x0040A010, "CS", b"CONTAINS"),
    Made(0x0040A040, "CS", b"TEXT"),
    Made(0x0040A043, "SQ", ((
        Made(0x00080100, "SH", b"121106"), Made(0x00080102, "SH", b"DCM "), Made(0x00080104, "LO", b"Comment "),
    ),)),
    Made(0x0040A160, "UT", b"ANONYMIZED"),
)  # fmt: skip
"""The least that a content tree can hold. (PS3.3 C.17.3)"""
PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
GRAPHIC_ANNOTATION = 0x00700001
_CAN_GO = frozenset({GRAPHIC_ANNOTATION, WAVEFORM_ANNOTATION})
"""Sequences of modules that are conditional: with them the module goes, and the IOD stays whole."""


class Treatment(NamedTuple):
    """The method for an element, why, and the VR to read it by; "" for its own."""

    method: Method
    verdict: Verdict
    vr: str = ""


class File(NamedTuple):
    """What a profile's decisions depend on besides element and place: the file's SOP Class, and what it says."""

    types: int | None = None
    is_over_89: bool = False
    declared: Declared = frozenset()
    weaker: Weaker = Weaker()
    keeps_document: bool = False


@dataclass(frozen=True)
class Profile:
    """PS3.15's Basic Profile with these options, and how what it leaves open is done."""

    options: tuple[str, ...] = ()
    cap_ages: bool = False
    """Ages over 89 years become 090Y where ages stay. (45 CFR 164.514(b)(2)(i)(C))"""
    equipment: bool = False
    """Whether an item of Contributing Equipment Sequence tells of this tool."""
    trusts_declared: bool = False
    """Whether private elements are safe that a file itself declares so, in (0008,0300)."""
    gate: Gate = field(default_factory=Gate)
    weaker: tuple[Weaker, ...] = ()
    """How each of the user's own rules falls short of the profile."""
    shift: DateShift = field(default_factory=lambda: DateShift(date_shift_scope="Patient"))
    refresh: RefreshUID = field(default_factory=RefreshUID)
    patient: PatientPseudonym = field(
        default_factory=lambda: PatientPseudonym(prefix="DEID-", length=12, domain="patient-id")
    )
    identifier: Pseudonym = field(default_factory=Pseudonym)
    clean: Clean = field(default_factory=Clean)

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those of its methods that a run's keys are for."""
        found: list[Method] = [self.refresh, self.patient, self.identifier, self.clean]
        return (*found, self.shift) if MODIFIED_DATES in self.options else tuple(found)

    @property
    def moves(self) -> DateShift | None:
        """How dates are moved, if they are."""
        return self.shift if MODIFIED_DATES in self.options else None

    @property
    def condition_tags(self) -> frozenset[int]:
        """The attributes of the top level that decisions look at."""
        ages_by = _AGE_TAGS if self._caps_ages else ()
        return self.gate.condition_tags | {*ages_by, *([CHARACTERISTICS] if self.trusts_declared else ())}

    def file(self, values: Mapping[int, Values], holds: Sequence[bool] = ()) -> File:
        """What a file's own values say about its decisions; `holds`: which of the user's rules are for it."""
        types = tables.types_of(next(iter(values.get(SOP_CLASS_UID, ())), ""))
        weaker = reduce(or_, (it for it, does_hold in zip(self.weaker, holds, strict=True) if does_hold), Weaker())
        keeps_document = self.gate.documents == "keep" and is_document(values)
        if keeps_document:
            weaker |= Weaker(does=True, keeps_identity=True)
        is_over = self._caps_ages and is_over_89(values)
        if is_over:
            weaker |= Weaker(changes=frozenset({PATIENT_CHARACTERISTICS}))
        said = "".join(values.get(CHARACTERISTICS, ())) if self.trusts_declared else ""
        return File(
            types and types.number,
            is_over,
            declared_safe(said.encode("latin-1")),
            weaker,
            keeps_document,
        )

    def additions(self, file: File) -> tuple[Made, ...]:
        """The elements that a data set is to have at its top level, if it has not. (PS3.15 E.1.1)"""
        return additions(self._marks(file))

    def _marks(self, file: File) -> dict[int, Method]:
        return marks(self.options, file.weaker, equipment=self.equipment)

    def inside(self, tag: int) -> tuple[int, ...]:
        """How much of an element's path counts for its decision, in the items of the sequence `tag`."""
        return (tag,) if tag in _PARENTS else (0,)

    def treatment(
        self, tag: int, vr: str, creator: str | None, path: tuple[int, ...] = (), file: File | None = None
    ) -> Treatment | None:
        """What is done with an element, or None where the profile has nothing to say. Without `file`: with any."""
        file = file or File()
        types = None if file.types is None else tables.types_by_number(file.types)
        item, parent = divmod(path[-1], 1 << 32) if path else (0, None)
        around = Around(frozenset(self.options), types, parent, item, file.declared)
        if not path and (mark := self._marks(file).get(tag)) is not None:
            mark = mark if vr == "SQ" or not mark.items else Remove()
            return Treatment(mark, Verdict("C", "E.1.1: the instance says that it is de-identified"))
        if tag == ENCAPSULATED_DOCUMENT and not path and file.keeps_document:
            return Treatment(Keep(), Verdict("K", "the config keeps encapsulated documents"))
        verdict = verdict_on(tag, vr, creator, around)
        if verdict is None:
            return None
        known = known_vr(tag, vr, creator)
        return Treatment(self._method(verdict, tag, vr, known, file), verdict, known if known != vr else "")

    def _method(self, verdict: Verdict, tag: int, vr: str, known: str, file: File) -> Method:
        match verdict.action:
            case "X":
                return OverlayBits() if self._looks_for_bits(tag) else Remove()
            case "U":
                return self.refresh
            case "K":
                return self._keeping(tag, vr, known, file)
            case "C":
                return self._cleaning(tag, vr, verdict)
        if tag in (PATIENT_ID, PATIENT_NAME):
            return self.patient
        if tag in KEYED:
            return replace(self.identifier, domain=KEYED[tag])
        return Redact(redact_leaves="empty") if verdict.action == "Z" else _dummy(tag, vr)

    def _keeping(self, tag: int, vr: str, known: str, file: File) -> Method:
        if dictionary.is_private(tag):
            if known == "UI" and "retain_uids" not in self.options:
                return self.refresh
            if known in CHARSET_VRS:
                return self.clean
            return _neutral_items(vr) if known == "SQ" else Keep()
        if "AS" in (vr, dictionary.vr_of(tag)) and self._caps_ages:
            return CapAge(is_over=file.is_over_89 and tag == PATIENT_AGE)
        return _neutral_items(vr) if dictionary.vr_of(tag) == "SQ" else Keep()

    def _cleaning(self, tag: int, vr: str, verdict: Verdict) -> Method:
        if verdict.option == MODIFIED_DATES:
            row = tables.row_of(tag)
            known = row.vr if row else vr
            if "DA" in (vr, known) or "DT" in (vr, known):
                return self.shift
            return Remove() if known == "OB" else Keep()
        if verdict.option == CLEAN_CONTENT:
            is_needed = tag in (CONTENT, WAVEFORM_ANNOTATION)
            return JudgeItems(options=self.options, is_needed=is_needed) if vr == "SQ" else KeepItems()
        if verdict.option == "retain_device_identity":
            return replace(self.identifier, domain="ae-title")
        if verdict.option == "clean_graphics":
            return Keep() if tag == GRAPHIC_ANNOTATION else Remove()
        known = dictionary.vr_of(tag)
        if known == "SQ":
            return _neutral_items(vr)
        if tag == REASON_FOR_MODIFICATION:
            return _dummy(tag, vr)
        return self.clean if known in CHARSET_VRS else Remove()

    def _looks_for_bits(self, tag: int) -> bool:
        """Whether an overlay may be hidden in Pixel Data, and such files do not pass."""
        return tag & 0xFF00FFFF == OVERLAY_BIT_POSITION and self.gate.burned_in == "set-aside"

    @property
    def _caps_ages(self) -> bool:
        return self.cap_ages and PATIENT_CHARACTERISTICS in self.options

    def bound(self, ring: Mapping[str, bytes], reference: date) -> Profile:
        """The same with the run's keys by purpose and its reference date in place."""
        changes: dict[str, Any] = {}
        for name in ("shift", "refresh", "patient", "identifier", "clean"):
            method = getattr(self, name)
            if not method.key and method.purpose in ring:
                changes[name] = replace(method, key=ring[method.purpose])
        shift = changes.get("shift", self.shift)
        if shift.reference_date is None:
            changes["shift"] = replace(shift, reference_date=reference)
        bound = replace(self, **changes)
        return replace(bound, clean=replace(bound.clean, shift=bound.moves, clean_patterns=self._patterns()))

    def _patterns(self) -> tuple[Pattern, ...]:
        """What is cleaned by its form: not what an option keeps."""
        kept = {"dates": FULL_DATES, "uids": RETAIN_UIDS}
        return tuple(it for it in self.clean.clean_patterns if kept.get(it) not in self.options)


_DAY_TAGS = (0x00080020, 0x00080021, 0x00080022, 0x00080023)
_AGE_TAGS = (PATIENT_BIRTH_DATE, PATIENT_AGE, *_DAY_TAGS)
_PARENTS = frozenset(parent for parent, _ in tables.NESTED_TYPES)


def known_vr(tag: int, vr: str, creator: str | None) -> str:
    """The VR of an element: of a private one of VR UN what Table E.3.10-1 says if it lists it."""
    row = tables.safe_private().get((tag >> 16, creator or "", tag & 0xFF)) if vr == "UN" else None
    return row.vr.partition("/")[0] or vr if row else vr


def _dummy(tag: int, vr: str) -> Method:
    """What stands in place of an element that must have a value."""
    row = tables.row_of(tag)
    if row is None or row.vr != "SQ":
        return Dummy()
    if tag in _CAN_GO:
        return Remove()
    if tag in _CODE_SEQUENCES:
        return DummyItems(replacement=(_ANONYMOUS_CODE,))
    return DummyItems(replacement=(_TEXT_ITEM,)) if tag == CONTENT else _neutral_items(vr)


def _neutral_items(vr: str) -> Method:
    """The items stay, for all in them that tells something is treated; what should hold items and does not goes."""
    return Keep() if vr == "SQ" else KeepItems()


def is_over_89(values: Mapping[int, Values]) -> bool:
    """Whether a patient is 90 years old or more, by what is said or by birth date and the days of the study."""
    if any(_is_over_cap(age) for age in values.get(PATIENT_AGE, ())):
        return True
    births = _days(values.get(PATIENT_BIRTH_DATE, ()))
    days = [day for tag in _DAY_TAGS for day in _days(values.get(tag, ()))]
    return any(ages.is_over_cap_at(birth, day) for birth in births for day in days)


def _is_over_cap(age: str) -> bool:
    try:
        return ages.is_over_cap(age)
    except BadValue:
        return False


def _days(values: Values) -> list[date]:
    found = []
    for value in values:
        with suppress(BadValue):
            found.append(dates.parse_da(value))
    return found
