"""The native dialect: `dicomTagRules` and `parameters`."""

from __future__ import annotations

from typing import Any

from deid_batch.config.entries import Entry, Given, check_keys, read_rules, read_settings, replaced, rule_entry
from deid_batch.config.identifiers import KNOWN_KEYS
from deid_batch.config.ignored import VERIFY_KEY
from deid_batch.config.jsonc import Node, unknown_key
from deid_batch.config.problems import Problem, Report
from deid_batch.config.selectors import read_selector
from deid_batch.config.settings import (
    KEY_SETTINGS,
    MASTER_KEY,
    PROFILE_KEYS,
    all_settings,
    convert,
    convert_key,
    settings_of,
)
from deid_batch.methods import Method

KEYS = ("$schema", *PROFILE_KEYS, "mapping", *KNOWN_KEYS, "dicomTagRules", "parameters", "default", VERIFY_KEY)
_RULE_KEYS = ("tag", "method", "when")


def read_native(root: Node, report: Report) -> tuple[list[Entry], dict[str, bytes], Given]:
    """(rules, keys by purpose, settings of methods) of a native config's root object; problems go to `report`."""
    check_keys(root, KEYS, report)
    parameters, keys = _read_parameters(root.value.get("parameters"), report)
    entries = read_rules(root, "dicomTagRules", lambda item: _read_rule(item, parameters, report), report)
    return entries, keys, lambda method: _given(method, parameters)


def _read_parameters(node: Node | None, report: Report) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(settings by name, given keys by purpose) of `parameters`."""
    settings: dict[str, Any] = {}
    keys: dict[str, bytes] = {}
    if node is None:
        return settings, keys
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"parameters must be an object, not {node.kind}"))
        return settings, keys
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
            report(unknown_key(node, name, [*KEY_SETTINGS, MASTER_KEY, *all_settings()]))
    return settings, keys


def _read_rule(node: Node, parameters: dict[str, Any], report: Report) -> Entry | None:
    """A rule; the parameters are its method's defaults."""

    def build(found: type[Method] | None) -> Method | None:
        if found is None:
            check_keys(node, [*_RULE_KEYS, *KEY_SETTINGS, *all_settings()], report)
            return None
        return replaced(found, {**_given(found, parameters), **read_settings(node, found, report, _RULE_KEYS)})

    return rule_entry(node, read_selector, build, report)


def _given(method: type[Method], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are a method's settings, by field."""
    return {field: parameters[name] for name, (field, _) in settings_of(method).items() if name in parameters}
