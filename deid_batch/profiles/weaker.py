"""Whether a user's own rule leaves more than the profile would, so that the profile can't be claimed."""

from __future__ import annotations

from collections.abc import Iterator

from deid_batch import dictionary
from deid_batch.methods import Method
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.dummy import PATIENT_ID
from deid_batch.methods.erase import Redact
from deid_batch.profiles import tables
from deid_batch.profiles.markers import Weaker
from deid_batch.profiles.profile import PATIENT_NAME, Profile
from deid_batch.rules import Rule
from deid_batch.selectors import PrivateIs, Selector, TagIs, facts_of, last_of

_HIDES = frozenset({"remove", "redact", "substitute", "cryptohash", "encrypt", "refreshUID", "mapping"})
"""Methods that leave nothing of a value to who has no key."""
_SAMPLE_PRIVATE = 0x00091001
_DATES = frozenset({"DA", "DT", "TM"})


def shortfall(rule: Rule, profile: Profile) -> Weaker:
    """How a rule, where it decides, falls short of the profile."""
    found = Weaker()
    for tag, vr, creator in _covered(last_of(rule.selector)):
        treatment = profile.treatment(tag, vr, creator, (0,))
        if treatment is None or (treatment.verdict.action == "C" and not treatment.verdict.option):
            continue  # which no table asks for
        if treatment.verdict.action == "K" and treatment.verdict.option and rule.method.name != "keep":
            found |= Weaker(changes=frozenset({treatment.verdict.option}))
        if _is_enough(rule.method, vr, treatment.verdict.action):
            continue
        dates = ("MODIFIED" if rule.method.name != "keep" else "UNMODIFIED") if vr in _DATES else ""
        found |= Weaker(does=True, keeps_identity=tag in (PATIENT_NAME, PATIENT_ID), dates=dates)
    return found


def _covered(selector: Selector) -> Iterator[tuple[int, str, str | None]]:
    """(tag, VR, creator) of attributes that the profile knows of and the selector matches."""
    if isinstance(selector, TagIs):
        yield selector.tag, dictionary.effective_vr(selector.tag, "", None), None
        return
    if isinstance(selector, PrivateIs):
        group = selector.group or _SAMPLE_PRIVATE >> 16
        is_exact = selector.group is not None and selector.mask == 0xFF
        yield group << 16 | 0x1000 | selector.element, "UN", selector.creator if is_exact else None
        return
    for row in tables.rows():
        if selector.matches(facts_of(row.tag, row.vr or "UN")):
            yield row.tag, row.vr or "UN", None
    if selector.matches(facts_of(_SAMPLE_PRIVATE, "LO", "NOBODY KNOWS")):
        yield _SAMPLE_PRIVATE, "LO", None


def _is_enough(method: Method, vr: str, action: str) -> bool:
    """Whether a method does at least what an action asks for."""
    if isinstance(method, Redact) and (
        (vr in ("DA", "DT") and method.enable_partial_dates_for_redact)
        or (vr == "AS" and method.enable_partial_ages_for_redact)
    ):
        return action == "K"
    if isinstance(method, DateShift):
        return vr not in ("DA", "DT") or action in ("C", "K")
    return method.name in _HIDES or action == "K" or (method.name == "clean" and action == "C")
