"""The native dialect: `dicomTagRules` and `parameters`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from deid_batch import dictionary
from deid_batch.config.jsonc import Node
from deid_batch.config.model import Config
from deid_batch.config.problems import Problem, did_you_mean
from deid_batch.config.selectors import read_selector
from deid_batch.config.settings import (
    KEY_SETTINGS,
    MASTER_KEY,
    Report,
    all_settings,
    convert,
    convert_key,
    settings_of,
    unknown_key,
)
from deid_batch.methods import METHODS, Method
from deid_batch.methods.substitute import Substitute
from deid_batch.rules import Rule, Selector, TagIs, VRIs

_TOP = ("dicomTagRules", "parameters")


def read_native(root: Node, name: str, report: Report) -> Config:
    """The config that the root object of a native config says; problems go to `report`."""
    for key in root.value:
        if key not in _TOP:
            report(unknown_key(root, key, _TOP))
    parameters, keys = _read_parameters(root.value.get("parameters"), report)
    rules = _read_rules(root, parameters, report)
    reference_date: date | None = parameters.get("referenceDate")
    return Config(name, rules, keys, parameters.get("dateShiftScope", "SeriesInstance"), reference_date)


def _read_parameters(node: Node | None, report: Report) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(settings by name, given keys by purpose) of `parameters`."""
    settings: dict[str, Any] = {}
    keys: dict[str, bytes] = {}
    if node is None:
        return settings, keys
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"parameters must be an object, not {node.kind}"))
        return settings, keys
    known = [*KEY_SETTINGS, MASTER_KEY, *all_settings()]
    for name, value in node.value.items():
        if name in KEY_SETTINGS or name == MASTER_KEY:
            purpose = KEY_SETTINGS.get(name, "master")
            if key := convert_key(value, purpose, report):
                keys[purpose] = key
        elif name in all_settings():
            converted = convert(value, all_settings()[name], report)
            if converted is not None:
                settings[name] = converted
        else:
            report(unknown_key(node, name, known))
    return settings, keys


def _read_rules(root: Node, parameters: dict[str, Any], report: Report) -> tuple[Rule, ...]:
    node = root.value.get("dicomTagRules")
    if node is None or not isinstance(node.value, list):
        place = root.place if node is None else node.place
        report(Problem(place, "dicomTagRules must be a list of rules"))
        return ()
    if not node.value:
        report(Problem(node.place, "dicomTagRules is empty: nothing would be de-identified"))
    rules = [_read_rule(item, parameters, report) for item in node.value]
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, parameters: dict[str, Any], report: Report) -> Rule | None:
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"a rule must be an object, not {node.kind}"))
        return None
    missing = [key for key in ("tag", "method") if key not in node.value]
    for key in missing:
        report(Problem(node.place, f"the rule has no '{key}'"))
    selected = None if "tag" in missing else read_selector(node.value["tag"], report)
    method_class = None if "method" in missing else _method_class(node.value["method"], report)
    if method_class is None:
        return None
    method = _read_method(node, method_class, parameters, report)
    if selected is None:
        return None
    selector, written = selected
    _check_pair(node, selector, method, report)
    return Rule(selector, method, f"{written} {method.name}", f"{node.place.line}:{node.place.column}")


def _method_class(node: Node, report: Report) -> type[Method] | None:
    by_folded = {name.casefold(): method for name, method in METHODS.items()}
    word = node.value
    if isinstance(word, str) and word.casefold() in by_folded:
        return by_folded[word.casefold()]
    shown = f"unknown method '{word}'{did_you_mean(word, METHODS)}" if isinstance(word, str) else "no method's name"
    report(Problem(node.place, shown))
    return None


def _read_method(node: Node, method_class: type[Method], parameters: dict[str, Any], report: Report) -> Method:
    """The rule's method, with the parameters as its defaults."""
    settings = settings_of(method_class)
    values = {field: parameters[name] for name, (field, _) in settings.items() if name in parameters}
    key_names = [name for name, purpose in KEY_SETTINGS.items() if purpose == method_class.purpose]
    for name, value in node.value.items():
        if name in key_names:
            values["key"] = convert_key(value, method_class.purpose, report)
        elif name in settings:
            field, kind = settings[name]
            converted = convert(value, kind, report)
            if converted is not None:
                values[field] = converted
        elif name not in ("tag", "method"):
            report(unknown_key(node, name, ["tag", "method", *settings, *key_names]))
    return replace(method_class(), **values)


def _check_pair(node: Node, selector: Selector, method: Method, report: Report) -> None:
    """Report a replacement that is no value of what the rule selects."""
    if not isinstance(method, Substitute):
        return
    if isinstance(selector, VRIs):
        vr = selector.vr
    elif not isinstance(selector, TagIs) or (vr := dictionary.effective_vr(selector.tag, "", None)) == "UN":
        return  # several VRs, or one that the dictionary does not know
    if why := method.unfit_for(vr):
        report(Problem(node.value.get("replaceWith", node).place, why))
