"""What a config says about the built-in profile: `profile`, `options` and what goes with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from annotated_types import Interval

from deid_batch.conditions import When
from deid_batch.config.conditions import read_when
from deid_batch.config.entries import Entry, Given
from deid_batch.config.jsonc import Node, unknown_key
from deid_batch.config.model import Config
from deid_batch.config.problems import Problem, Report, did_you_mean
from deid_batch.config.settings import PROFILE_KEYS, convert
from deid_batch.methods.clean import Clean
from deid_batch.methods.dateshift import DateShift
from deid_batch.profiles.actions import FULL_DATES, MODIFIED_DATES
from deid_batch.profiles.gate import Gate
from deid_batch.profiles.profile import Profile
from deid_batch.profiles.tables import OPTIONS
from deid_batch.profiles.weaker import shortfall

PROFILE = "basic"
SETTINGS: dict[str, Any] = {
    "pseudonymPrefix": str,
    "pseudonymLength": Annotated[int, Interval(ge=8, le=32)],
    "capAges": bool,
    "contributingEquipment": bool,
    "trustDeclaredPrivate": bool,
    "encapsulatedDocuments": Literal["set-aside", "keep"],
    "alreadyDeidentified": Literal["process", "set-aside"],
}
"""Keys whose values are plain, and their types."""
BURNED_IN = Literal["set-aside", "allow"]
_PREFIX = re.compile(r"[\w .+-]{0,24}", re.ASCII)


def read_profile(config: Config, entries: Sequence[Entry], root: Node, given: Given, report: Report) -> Config:
    """The config with the profile that it asks for, its methods with the settings that are given for all rules.

    Rules of the config's own by which it falls short of the profile are told.
    """
    profile = _read(root, given, report)
    if profile is None:
        return config
    weaker = tuple(shortfall(rule, profile) for rule in config.rules)
    for entry, lack in zip(entries, weaker, strict=True):
        if entry.rule.is_default:
            continue
        if lack.does:
            why = "leaves more than the profile would: where it holds, the profile is not claimed"
            report(Problem(entry.node.place, why, is_warning=True))
        for option in sorted(lack.changes):
            why = f"changes what {option} would keep: where it holds, that option is not claimed"
            report(Problem(entry.node.place, why, is_warning=True))
    return replace(config, profile=replace(profile, weaker=weaker))


def _read(root: Node, given: Given, report: Report) -> Profile | None:
    node = root.value.get("profile")
    if node is None:
        for key in (key for key in root.value if key in PROFILE_KEYS):
            report(Problem(root.value[key].place, f"{key} belongs to a profile, and the config names none"))
        return None
    if node.kind != "a string":
        report(Problem(node.place, f"profile must be a string, not {node.kind}"))
    elif node.value.strip().casefold() != PROFILE:
        report(Problem(node.place, f"unknown profile '{node.value}'; there is '{PROFILE}'"))
    settings = {key: convert(root.value[key], kind, report) for key, kind in SETTINGS.items() if key in root.value}
    options = _read_options(root.value.get("options"), report)
    profile = Profile(
        options, shift=DateShift(**{"date_shift_scope": "Patient", **given(DateShift)}), clean=Clean(**given(Clean))
    )
    patient = profile.patient
    if (length := settings.get("pseudonymLength")) is not None:
        patient = replace(patient, length=length)
    if (prefix := settings.get("pseudonymPrefix")) is not None:
        patient = replace(patient, prefix=prefix)
        if not _PREFIX.fullmatch(prefix):
            why = "must be up to 24 letters, digits, blanks, or some of _ . + -"
            report(Problem(root.value["pseudonymPrefix"].place, why))
    if settings.get("trustDeclaredPrivate") and "retain_safe_private" not in options:
        why = "does nothing: without retain_safe_private no private element stays"
        report(Problem(root.value["trustDeclaredPrivate"].place, why, is_warning=True))
    if settings.get("capAges") and "retain_patient_characteristics" not in options:
        why = "does nothing: without retain_patient_characteristics no age stays"
        report(Problem(root.value["capAges"].place, why, is_warning=True))
    return replace(
        profile,
        patient=patient,
        cap_ages=bool(settings.get("capAges")),
        equipment=bool(settings.get("contributingEquipment")),
        trusts_declared=bool(settings.get("trustDeclaredPrivate")),
        gate=_read_gate(root, settings, report),
    )


def _read_gate(root: Node, settings: Mapping[str, Any], report: Report) -> Gate:
    gate = Gate(
        documents=settings.get("encapsulatedDocuments") or "set-aside",
        deidentified=settings.get("alreadyDeidentified") or "process",
    )
    node = root.value.get("burnedIn")
    if node is None:
        return gate
    if not isinstance(node.value, dict):
        return replace(gate, burned_in=convert(node, BURNED_IN, report) or "set-aside")
    for key in node.value:
        if key not in ("allow", "setAside"):
            report(unknown_key(node, key, ("allow", "setAside")))
    return replace(
        gate,
        burned_in_allowed=_read_whens(node.value.get("allow"), report),
        burned_in_too=_read_whens(node.value.get("setAside"), report),
    )


def _read_whens(node: Node | None, report: Report) -> tuple[When, ...]:
    """A list of conditions, each as a rule's `when`."""
    if node is None:
        return ()
    if not isinstance(node.value, list):
        report(Problem(node.place, f'must be a list of conditions, such as [{{"Modality": "US"}}], not {node.kind}'))
        return ()
    return tuple(when for item in node.value if (when := read_when(item, report)))


def _read_options(node: Node | None, report: Report) -> tuple[str, ...]:
    """The options, in the order of Table E.1-1's columns."""
    if node is None:
        return ()
    if not isinstance(node.value, list):
        report(Problem(node.place, f"options must be a list of names, not {node.kind}"))
        return ()
    places: dict[str, Node] = {}
    for item in node.value:
        name = item.value.strip().casefold() if item.kind == "a string" else None
        if name is None:
            report(Problem(item.place, f"an option is a string, not {item.kind}"))
        elif name not in OPTIONS:
            report(Problem(item.place, f"unknown option '{item.value}'{did_you_mean(item.value, OPTIONS)}"))
        elif name in places:
            report(Problem(item.place, "this option stands twice"))
        else:
            places[name] = item
    if {FULL_DATES, MODIFIED_DATES} <= places.keys():
        why = f"{FULL_DATES} and {MODIFIED_DATES} exclude each other: dates are modified, and only that is claimed"
        report(Problem(places[FULL_DATES].place, why, is_warning=True))
        del places[FULL_DATES]
    return tuple(option for option in OPTIONS if option in places)
