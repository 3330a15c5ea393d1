"""The successor dialect: `rules`, `defaultSettings` and `customSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deid_batch.config.entries import (
    Entry,
    Given,
    check_keys,
    method_class,
    read_rules,
    read_settings,
    replaced,
    rule_entry,
)
from deid_batch.config.identifiers import KNOWN_KEYS
from deid_batch.config.ignored import VERIFY_KEY
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, Report, did_you_mean
from deid_batch.config.selectors import read_written
from deid_batch.config.settings import PROFILE_KEYS
from deid_batch.methods import Method
from deid_batch.methods.erase import Redact
from deid_batch.methods.perturb import Perturb

KEYS = (
    "$schema",
    *PROFILE_KEYS,
    "mapping",
    *KNOWN_KEYS,
    "rules",
    "defaultSettings",
    "customSettings",
    "default",
    VERIFY_KEY,
)
OWN_KEYS = frozenset({"rules", "defaultSettings", "customSettings"})
"""Keys that tell the dialect."""
_RULE_KEYS = ("tag", "method", "setting", "params", "when")
_MEANINGS: Mapping[type[Method], dict[str, Any]] = {
    Redact: {"redact_leaves": "empty"},
    Perturb: {"range_type": "Proportional"},
}
"""Where a method's defaults differ from the native dialect's."""


def read_successor(root: Node, report: Report) -> tuple[list[Entry], dict[str, bytes], Given]:
    """(rules, keys by purpose, settings of methods) of a successor config's root object; problems go to `report`."""
    check_keys(root, KEYS, report)
    defaults, keys = _read_defaults(_object(root, "defaultSettings", report), report)
    custom = _object(root, "customSettings", report)
    used: set[str] = set()
    entries = read_rules(root, "rules", lambda item: _read_rule(item, defaults, custom, used, report), report)
    for name, settings in custom.value.items() if custom else ():
        if not isinstance(settings.value, dict):
            report(Problem(settings.place, f"must be an object of settings, not {settings.kind}"))
        if custom and name not in used:
            report(Problem(custom.keys[name], "no rule uses this setting", is_warning=True))
    return entries, keys, lambda method: defaults.get(method, {})


def _object(root: Node, key: str, report: Report) -> Node | None:
    """An object of objects under `key`, or None."""
    node: Node | None = root.value.get(key)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"{key} must be an object, not {node.kind}"))
        return None
    return node


def _read_defaults(node: Node | None, report: Report) -> tuple[dict[type[Method], dict[str, Any]], dict[str, bytes]]:
    """(the default settings of each method, the keys among them by purpose)."""
    defaults: dict[type[Method], dict[str, Any]] = {}
    keys: dict[str, bytes] = {}
    if node is None:
        return defaults, keys
    for name, settings in node.value.items():
        found = method_class(Node(name, node.keys[name], {}), report)
        if found is None:
            continue
        if found in defaults:
            report(Problem(node.keys[name], f"{found.name} stands twice"))
        if not isinstance(settings.value, dict):
            report(Problem(settings.place, f"must be an object of settings, not {settings.kind}"))
            continue
        defaults[found] = read_settings(settings, found, report)
        key = defaults[found].pop("key", b"")
        if key and keys.setdefault(found.purpose, key) != key:
            defaults[found]["key"] = key
    return defaults, keys


def _read_rule(
    node: Node,
    defaults: Mapping[type[Method], dict[str, Any]],
    custom: Node | None,
    used: set[str],
    report: Report,
) -> Entry | None:
    """A rule; its `params` go before its `setting`, and that before the method's default settings."""

    def build(found: type[Method] | None) -> Method | None:
        check_keys(node, _RULE_KEYS, report)
        setting = _custom(node.value.get("setting"), custom, used, report)
        if found is None:
            return None
        values = {**_MEANINGS.get(found, {}), **defaults.get(found, {})}
        for part in (setting, node.value.get("params")):
            if part is not None and not isinstance(part.value, dict):
                report(Problem(part.place, f"must be an object of settings, not {part.kind}"))
            elif part is not None:
                values |= read_settings(part, found, report)
        return replaced(found, values)

    return rule_entry(node, read_written, build, report)


def _custom(node: Node | None, custom: Node | None, used: set[str], report: Report) -> Node | None:
    """The custom settings that a rule names."""
    if node is None:
        return None
    known: dict[str, Node] = custom.value if custom else {}
    found = known.get(node.value) if isinstance(node.value, str) else None
    if found is None:
        report(Problem(node.place, f"no such setting under customSettings{did_you_mean(str(node.value), known)}"))
    else:
        used.add(node.value)
    return found
