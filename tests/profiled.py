"""The profile at work on small generated instances."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from datasets import CT_IMAGE_STORAGE, EXPLICIT, Element, Form, encode, failure, part10, rewritten
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from deid_batch.profiles.profile import Profile
from deid_batch.rules import Rule, RuleSet

RING = {"uid": b"the profile's key of the tests..", "dateshift": b"another key of the tests, as long"}


def rules(*options: str, own: tuple[Rule, ...] = (), **settings: Any) -> RuleSet:
    """The profile with these options and settings, behind a user's own rules."""
    profile = Profile(options, **settings).bound(RING, date(2026, 1, 31))
    return RuleSet(own, RING["uid"], "Patient", frozenset(), profile)


def instance(*elements: Element, sop_class: bytes = CT_IMAGE_STORAGE, form: Form = EXPLICIT) -> bytes:
    """A file of an instance that has these elements."""
    identity = [
        Element(0x00080016, "UI", sop_class + b"\0" * (len(sop_class) % 2)),
        Element(0x00080018, "UI", b"1.2.3.4\0"),
    ]
    found = {element.tag: element for element in [*identity, *elements]}
    syntax = "1.2.840.10008.1.2.1" if form.explicit else "1.2.840.10008.1.2"
    return part10(encode([found[tag] for tag in sorted(found)], form), syntax)


def output(data: bytes, rule_set: RuleSet | None = None) -> Dataset:
    """What pydicom reads of what is written in place of a file."""
    return dcmread(DicomBytesIO(rewritten(data, rule_set or rules())[0]))


def refusal(data: bytes, rule_set: RuleSet | None = None) -> str:
    """Why a file is not written; "" where it is."""
    return failure(data, rule_set or rules())


def texts(*pairs: tuple[int, str, str]) -> Iterable[Element]:
    """Elements from tag, VR and text."""
    for tag, vr, text in pairs:
        value = text.encode()
        yield Element(tag, vr, value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2))
