"""What both dialects have in common: a rule's method, its settings, the config's default; and rules that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from deid_batch import crypto, dictionary
from deid_batch.config.conditions import read_when
from deid_batch.config.jsonc import Node, unknown_key
from deid_batch.config.problems import Problem, Report, did_you_mean
from deid_batch.config.selectors import shown
from deid_batch.config.settings import KEY_SETTINGS, convert, convert_key, settings_of
from deid_batch.methods import Method, known_methods
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.methods.encrypt import Encrypt
from deid_batch.methods.erase import Remove
from deid_batch.methods.substitute import Substitute
from deid_batch.rules import Rule
from deid_batch.selectors import Anything, Selector, TagIs, VRIs
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS, VRS


class Entry(NamedTuple):
    """A rule and the part of the config that says it."""

    rule: Rule
    node: Node


def method_class(node: Node, report: Report) -> type[Method] | None:
    """The method of a name, or None with a problem reported."""
    methods = known_methods()
    by_folded = {name.casefold(): method for name, method in methods.items()}
    if isinstance(node.value, str) and (found := by_folded.get(node.value.strip().casefold())):
        return found
    if isinstance(node.value, str):
        report(Problem(node.place, f"unknown method '{node.value}'{did_you_mean(node.value, methods)}"))
    else:
        report(Problem(node.place, f"method must be a string, not {node.kind}"))
    return None


def read_settings(node: Node, method: type[Method], report: Report, besides: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a method in an object that may hold other keys `besides`, by field."""
    settings = settings_of(method)
    key_names = [name for name, purpose in KEY_SETTINGS.items() if purpose == method.purpose]
    values: dict[str, Any] = {}
    for name, value in node.value.items():
        if name in key_names:
            values["key"] = convert_key(value, method.purpose, report)
        elif name in settings:
            field, kind = settings[name]
            converted = convert(value, kind, report)
            if converted is not None:
                values[field] = converted
        elif name not in besides:
            report(unknown_key(node, name, [*besides, *settings, *key_names]))
    return values


def rule_entry(
    node: Node,
    read_tag: Callable[[Node, Report], Selector | None],
    build: Callable[[Node], Method | None],
    report: Report,
) -> Entry | None:
    """A rule from its object: `read_tag` reads what it selects, `build` its method. None with problems reported."""
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"a rule must be an object, not {node.kind}"))
        return None
    for key in ("tag", "method"):
        if key not in node.value:
            report(Problem(node.place, f"the rule has no '{key}'"))
    selector = read_tag(node.value["tag"], report) if "tag" in node.value else None
    method = build(node.value["method"]) if "method" in node.value else None
    when = read_when(node.value.get("when"), report)
    return entry_of(node, selector, method, when) if selector and method else None


def entry_of(node: Node, selector: Selector, method: Method, when: tuple[Any, ...]) -> Entry:
    """A rule and its place."""
    return Entry(Rule(selector, method, shown(selector), f"{node.place.line}:{node.place.column}", when), node)


def read_default(node: Node | None, report: Report) -> list[Entry]:
    """The rules for every element that no other rule matches: `keep` needs none."""
    if node is None:
        return []
    parts = node.value if isinstance(node.value, dict) else {"public": node, "private": node}
    entries = []
    for name, part in parts.items():
        if name not in ("public", "private"):
            report(unknown_key(node, name, ("public", "private")))
        elif not isinstance(part.value, str) or part.value.casefold() not in ("keep", "remove"):
            report(Problem(part.place, "default must be keep or remove"))
        elif part.value.casefold() == "remove":
            entries.append(entry_of(part, Anything(private=name == "private"), Remove(), ()))
    return entries


def check_entries(entries: Sequence[Entry], report: Report) -> None:
    """Report rules that can't do what they say, or never decide."""
    for number, (rule, node) in enumerate(entries):
        _check_pair(rule, node, report)
        _check_private(rule.selector, node, report)
        for earlier, _ in entries[:number]:
            if earlier.when in ((), rule.when) and not rule.is_default and earlier.selector.covers(rule.selector):
                why = f"never decides: the rule at {earlier.place} takes all that this one would match"
                report(Problem(node.place, why, is_warning=True))
                break


def replaced(method: type[Method], values: dict[str, Any]) -> Method:
    """The method with these settings."""
    return replace(method(), **values)


def _check_pair(rule: Rule, node: Node, report: Report) -> None:
    """A method that can't treat what the rule selects, or makes of it what its VR does not allow."""
    method = rule.method
    vrs = _vrs_of(rule.selector)
    if not vrs:
        return
    name = shown(rule.selector)
    if not vrs & method.vrs:
        treated = " ".join(sorted(method.vrs))
        place = node.value.get("method", node).place
        report(
            Problem(place, f"{method.name} can't treat {name} of VR {' or '.join(sorted(vrs))}; it treats {treated}")
        )
        return
    vr = min(vrs)
    if isinstance(method, Substitute) and len(vrs) == 1 and (why := method.unfit_for(vr)):
        report(Problem(node.value.get("replaceWith", node).place, f"{name}: {why}"))
    result = _example_of_result(method)
    if result and vr in TEXT_VRS and not text.conforms(result, vr):
        why = f"{name}: what {method.name} writes ({len(result)} characters or more) is no valid {vr}"
        report(Problem(node.place, why, is_warning=True))


def _check_private(selector: Selector, node: Node, report: Report) -> None:
    if isinstance(selector, TagIs) and dictionary.is_private(selector.tag) and selector.tag & 0xFFFF > 0xFF:
        why = f"{shown(selector)} matches this number whatever its private creator; name the creator to be exact"
        report(Problem(node.place, why, is_warning=True))


def _vrs_of(selector: Selector) -> frozenset[str]:
    """The VRs that selected elements can have, as far as the dictionary knows."""
    if isinstance(selector, VRIs):
        return frozenset({selector.vr})
    if isinstance(selector, TagIs):
        return frozenset(dictionary.vr_of(selector.tag).split(" or ")) & VRS - {"UN"}
    return frozenset()


def _example_of_result(method: Method) -> str:
    if isinstance(method, CryptoHash) and not method.match_input_string_length:
        return "a" * (method.max_length or 2 * crypto.digest_size(method.crypto_hash_type.lower()))
    return "A" * 43 + "=" if isinstance(method, Encrypt) else ""
