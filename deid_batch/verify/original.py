"""What an input tells: its elements with what is promised for each, and what of it must not be found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from deid_batch.conditions import Values
from deid_batch.errors import BadValue
from deid_batch.rules import RuleSet, Variant
from deid_batch.values import text
from deid_batch.verify.elements import Reading, Seen, elements
from deid_batch.verify.findings import Place
from deid_batch.verify.identity import Known, days_of, identity_of, uids_of
from deid_batch.verify.promises import CHANGED, MOVED, Promise, Promises

_SCOPES = {
    "SOPInstance": 0x00080018, "StudyInstance": 0x0020000D, "SeriesInstance": 0x0020000E,
}  # fmt: skip
_PATIENT = (0x00100021, 0x00100020)
_DUMMY_DAY = date(1900, 1, 1)


@dataclass
class Original:
    """An input."""

    patient: str = ""
    """Issuer and Patient ID; "" without an ID."""
    variant: Variant = ()
    elements: dict[Place, tuple[Seen, Promise]] = field(default_factory=dict)
    identity: frozenset[Known] = frozenset()
    codecs: frozenset[str] = frozenset()
    uids: frozenset[str] = frozenset()
    days: frozenset[date] = frozenset()
    """Days that were to move or to go, and that stand nowhere else."""

    def value(self, tag: int) -> str:
        """The first value of an attribute of the top level; "" without one."""
        seen, _ = self.elements.get(((tag, 0),), (None, None))
        return next(iter(seen.values), "").strip() if seen else ""

    def scope(self, name: str) -> str:
        """The UID, or the patient, that files of one date shift have in common."""
        return self.patient if name == "Patient" else self.value(_SCOPES[name])


def original_of(reading: Reading, promises: Promises) -> Original:
    """What a file tells. What pydicom can't read raises Unreadable."""
    seen = list(elements(reading.data_set, promises.judgement))
    top = {it.tag: it for it in seen if len(it.place) == 1}
    variant = _variant(promises.rules, top)
    known: set[Known] = set()
    uids: set[str] = set()
    gone: set[date] = set()
    stay: set[date] = {_DUMMY_DAY}
    codecs: set[str] = set()
    original = Original(_patient(top), variant)
    for it in seen:
        promise = promises.of(it, variant)
        original.elements[it.place] = it, promise
        known.update(identity_of(it, promise))
        uids.update(uids_of(it, promise))
        (gone if promise.act in (MOVED, CHANGED) else stay).update(days_of(it))
        if it.tag == 0x00080005:
            codecs |= _codecs(it.raw or b"")
    original.identity, original.uids = frozenset(known), frozenset(uids)
    original.codecs, original.days = frozenset(codecs), frozenset(gone - stay)
    return original


def _variant(rules: RuleSet, top: Mapping[int, Seen]) -> Variant:
    values: dict[int, Values] = {}
    for tag in rules.condition_tags:
        if tag not in top:
            continue
        seen = top[tag]
        found = tuple(value.strip("\0 ") for value in seen.values) if seen.is_text else ("",)
        values[tag] = tuple(value for value in found if value) if seen.is_text else ("items",) * (seen.count > 0)
    return rules.variant(values)


def _patient(top: Mapping[int, Seen]) -> str:
    issuer, its_id = (next(iter(top[tag].values), "").strip() if tag in top else "" for tag in _PATIENT)
    return f"{issuer}\0{its_id}" if its_id else ""


def _codecs(charset: bytes) -> set[str]:
    try:
        return set(text.encodings_of(charset.strip(b"\0 ")))
    except BadValue:
        return set()
