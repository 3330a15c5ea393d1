"""Files that a profile does not let through: text burned into the image, encapsulated documents, foreign marks.

PS3.15 E.1.1 asks that burned-in text be absent, and the profile alone does not touch Pixel Data. What an instance
says of itself is not enough where such text is common: it must be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from deid_batch.conditions import Condition, Values, When, all_hold

SOP_CLASS_UID, IMAGE_TYPE, MODALITY, CONVERSION_TYPE = 0x00080016, 0x00080008, 0x00080060, 0x00080064
MANUFACTURER, PHOTOMETRIC_INTERPRETATION = 0x00080070, 0x00280004
IDENTITY_REMOVED, BURNED_IN_ANNOTATION = 0x00120062, 0x00280301
_STORAGE = "1.2.840.10008.5.1.4.1.1."
DOCUMENT_CLASSES = tuple(f"{_STORAGE}104.{number}" for number in range(1, 6))
"""Encapsulated PDF, CDA, STL, OBJ, MTL Storage. (PS3.4 B.5)"""
_SECONDARY_CAPTURE = tuple(_STORAGE + leaf for leaf in ("7", "7.1", "7.2", "7.3", "7.4"))
_ULTRASOUND = tuple(_STORAGE + leaf for leaf in ("3", "3.1", "6", "6.1", "6.2"))
_VISIBLE_LIGHT = tuple(
    _STORAGE + leaf for leaf in ("77.1.1", "77.1.1.1", "77.1.2.1", "77.1.4", "77.1.4.1", "77.1.5.1", "77.1.5.2")
)  # endoscopy, photographs, video, ophthalmic photography: as their devices' screens show them
_HAS_IMAGE = Condition(PHOTOMETRIC_INTERPRETATION)
_CAPTURED = ("WSD", "DV", "DF", "SI", "SD", "DRW")
_REPORT = r"(?i)(\b|_)DOSE(\b|_)|PATIENT.PROTOCOL|\bREPORT\b"
_NO_RADIOTHERAPY = Condition(SOP_CLASS_UID, pattern=rf"^(?!{re.escape(_STORAGE)}481\.)")
_SIEMENS, _SLIDE = Condition(MANUFACTURER, pattern="(?i)siemens"), Condition(MODALITY, one_of=("SM",))


@dataclass(frozen=True)
class Risk:
    """Why an image may hold text, and how that is seen."""

    why: str
    when: When


RISKS = (
    Risk("Burned In Annotation is YES", (Condition(BURNED_IN_ANNOTATION, pattern="(?i)^YES$"),)),
    Risk("a secondary capture", (Condition(SOP_CLASS_UID, one_of=_SECONDARY_CAPTURE),)),
    Risk("an ultrasound image", (Condition(SOP_CLASS_UID, one_of=_ULTRASOUND),)),
    Risk("an ultrasound image", (Condition(MODALITY, one_of=("US", "IVUS")), _HAS_IMAGE)),
    Risk("a visible light image", (Condition(SOP_CLASS_UID, one_of=_VISIBLE_LIGHT),)),
    Risk("a document, a hard copy or some other image", (Condition(MODALITY, one_of=("DOC", "HC", "OT")), _HAS_IMAGE)),
    Risk("a capture of a screen, video, film or paper", (Condition(CONVERSION_TYPE, one_of=_CAPTURED), _HAS_IMAGE)),
    Risk("a screen save", (Condition(IMAGE_TYPE, pattern=r"(?i)\bSCREEN|VXTL STATE"), _HAS_IMAGE)),
    Risk("a dose report", (Condition(IMAGE_TYPE, pattern=_REPORT), _NO_RADIOTHERAPY, _HAS_IMAGE)),
    Risk("a protocol page", (Condition(IMAGE_TYPE, pattern=r"(?i)\bPROT\b"), _SIEMENS, _HAS_IMAGE)),
    Risk("a slide's label or overview", (Condition(IMAGE_TYPE, one_of=("LABEL", "OVERVIEW")), _SLIDE)),
)
"""Images in which text is likely, from PS3.15 E.1.1, and from what archives learned to look for."""


@dataclass(frozen=True)
class Gate:
    """The policy: what is set aside, and under which conditions it is not."""

    burned_in: Literal["set-aside", "allow"] = "set-aside"
    burned_in_allowed: tuple[When, ...] = ()
    burned_in_too: tuple[When, ...] = ()
    """Images that the user knows to hold text."""
    documents: Literal["set-aside", "keep"] = "set-aside"
    deidentified: Literal["process", "set-aside"] = "process"

    @cached_property
    def condition_tags(self) -> frozenset[int]:
        """The attributes that are looked at."""
        risks = () if self.burned_in == "allow" else tuple(risk.when for risk in RISKS)
        whens = (*risks, *self.burned_in_allowed, *self.burned_in_too)
        return frozenset({SOP_CLASS_UID, IDENTITY_REMOVED, *(it.tag for when in whens for it in when)})

    def refusal(self, values: Mapping[int, Values]) -> tuple[str, str] | None:
        """(reason, detail) where a file with these values is to be set aside."""
        return _refusal(self, tuple((tag, values[tag]) for tag in sorted(self.condition_tags & values.keys())))

    def judged(self, values: Mapping[int, Values]) -> tuple[str, str] | None:
        """The same, thought through."""
        if self.documents == "set-aside" and is_document(values):
            return "encapsulated-document", "the SOP Class holds a whole document"
        if self.deidentified == "set-aside" and "YES" in values.get(IDENTITY_REMOVED, ()):
            return "already-deidentified", "(0012,0062) PatientIdentityRemoved is YES"
        if self.burned_in == "allow" or any(all_hold(when, values) for when in self.burned_in_allowed):
            return None
        if any(all_hold(when, values) for when in self.burned_in_too):
            return "burned-in", "the config says so"
        return next((("burned-in", risk.why) for risk in RISKS if all_hold(risk.when, values)), None)


@lru_cache(maxsize=256)
def _refusal(gate: Gate, values: tuple[tuple[int, Values], ...]) -> tuple[str, str] | None:
    """The answer for values that the next files of a series have too."""
    return gate.judged(dict(values))


def is_document(values: Mapping[int, Values]) -> bool:
    """Whether a file is an encapsulated document."""
    return any(value in DOCUMENT_CLASSES for value in values.get(SOP_CLASS_UID, ()))
