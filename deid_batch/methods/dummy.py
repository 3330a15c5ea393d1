"""Values that stand for others and tell nothing: PS3.15 actions D and Z of the built-in profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deid_batch import crypto
from deid_batch.errors import BadValue, SetAside
from deid_batch.methods.base import Change, Element, Instance, Method, ValueMethod, key_field
from deid_batch.methods.erase import Keep, Remove
from deid_batch.values import ages, text
from deid_batch.wire import TEXT_VRS, VRS, Items, tag_name

TEXT_DUMMY = "ANONYMIZED"
DUMMIES = {
    "AS": "000Y", "DA": "19000101", "DS": "0", "DT": "19000101000000", "IS": "0", "TM": "000000", "UR": "about:blank",
}  # fmt: skip
_BY_TAG = {0x00080201: "+0000", 0x04000565: "CORRECT"}
"""Timezone Offset From UTC has a form of its own, Reason for the Attribute Modification defined terms."""
_BLOBS = frozenset("OB OD OF OL OV OW UN".split())
PSEUDONYM_DIGITS = 16
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATIENT_ID = 0x00100020


@dataclass(frozen=True)
class Dummy(ValueMethod):
    """The same value of its VR for all: text, day, number (PS3.15 action D). UI is for `refreshUID`."""

    name: ClassVar[str] = "dummy"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = VRS - {"SQ", "UI"}

    def treat(self, value: str, element: Element, number: int) -> str:
        return _BY_TAG.get(element.tag) or DUMMIES.get(element.vr, TEXT_DUMMY)

    def apply_binary(self, value: bytes, element: Element) -> Change:
        return Change(bytes(8) if element.vr in _BLOBS else bytes(len(value)))


@dataclass(frozen=True)
class DummyItems(Method):
    """Other items in place of a sequence's own (PS3.15 action D)."""

    name: ClassVar[str] = "dummy"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = VRS
    erases: ClassVar[bool] = True

    replacement: Items = ()

    @property
    def items(self) -> Items:
        return self.replacement

    def apply(self, value: bytes, element: Element) -> Change:
        return Change(b"")


@dataclass(frozen=True)
class Pseudonym(ValueMethod):
    """`prefix` and so many digits (of 32) in place of every value, by key; what does not fit the VR is cut."""

    name: ClassVar[str] = "pseudonym"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = TEXT_VRS
    purpose: ClassVar[str] = "uid"

    prefix: str = ""
    length: int = PSEUDONYM_DIGITS
    domain: str = "pseudonym"
    """Attributes of one domain get the same pseudonym for the same value."""
    key: bytes = key_field()

    def treat(self, value: str, element: Element, number: int) -> str:
        return self.of(value.strip())

    def of(self, identity: str) -> str:
        """The pseudonym of an identity."""
        number = int.from_bytes(crypto.derive(self.key, self.domain, identity.encode()), "big")
        digits = []
        for _ in range(self.length):
            number, digit = divmod(number, 32)
            digits.append(_DIGITS[digit])
        return self.prefix + "".join(digits)


@dataclass(frozen=True)
class PatientPseudonym(Pseudonym):
    """One text for Patient ID and Patient's Name: that of the issuer and ID of the patient."""

    def cache_token(self, instance: Instance) -> str | None:
        return instance.patient

    def treat(self, value: str, element: Element, number: int) -> str:
        patient = element.instance.patient
        its_id = patient.partition("\0")[2]
        if its_id and (element.tag != PATIENT_ID or value.strip() == its_id):
            return self.of(patient)
        return self.of(f"\0{value.strip()}" if element.tag == PATIENT_ID else f"name\0{value.strip()}")


@dataclass(frozen=True)
class CapAge(ValueMethod):
    """Ages of 90 years and more become `090Y`; so do all where `is_over` says that the patient is that old."""

    name: ClassVar[str] = "capAge"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = frozenset({"AS"})

    is_over: bool = False

    def treat(self, value: str, element: Element, number: int) -> str:
        return ages.CAPPED if ages.is_over_cap(value.strip()) or self.is_over else value


@dataclass(frozen=True)
class Say(Method):
    """One fixed value (or, `behind`, one more value) in place of whatever stands there."""

    name: ClassVar[str] = "mark"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = TEXT_VRS
    acts_on_empty: ClassVar[bool] = True

    said: str = ""
    behind: bool = False

    def apply(self, value: bytes, element: Element) -> Change:
        try:
            said_before = text.split(value, element.vr, element.charset) if self.behind else []
            values = [one for one in said_before if one.strip() and one != self.said]
            return Change(text.join([*values, self.said], element.vr, element.charset))
        except BadValue:  # what can't be read gives way
            return Change(text.join([self.said], element.vr, element.charset), 1)


@dataclass(frozen=True)
class AddItems(Keep):
    """Items behind those of a sequence, which stay and are still processed."""

    added: Items = ()

    @property
    def items(self) -> Items:
        return self.added


@dataclass(frozen=True)
class OverlayBits(Remove):
    """Overlay Bit Position goes; but other than 0, an overlay lies in unused bits of Pixel Data. (PS3.3 C.9.2)"""

    def apply(self, value: bytes, element: Element) -> Change:
        if any(value):
            raise SetAside("burned-in", f"{tag_name(element.tag)} says that Pixel Data holds an overlay")
        return Change(None)


@dataclass(frozen=True)
class KeepItems(Keep):
    """A sequence stays; what should be one and can't be read as such goes."""

    def apply(self, value: bytes, element: Element) -> Change:
        return Change(None)
