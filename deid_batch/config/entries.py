"""What both dialects have in common: a rule's method, its settings, the config's default; and rules that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
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
from deid_batch.rules import Rule, is_exempt
from deid_batch.selectors import Anything, AtPath, Selector, TagIn, TagIs, VRIs, facts_of, last_of
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS, VRS, tag_name

Given = Callable[[type[Method]], dict[str, Any]]
"""The settings that a config gives for a method in all rules, by field."""


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


def check_keys(node: Node, known: Collection[str], report: Report) -> None:
    """Report the keys of an object that are not among these."""
    for key in node.value:
        if key not in known:
            report(unknown_key(node, key, known))


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
    build: Callable[[type[Method] | None], Method | None],
    report: Report,
) -> Entry | None:
    """A rule from its object, or None with problems reported.

    `read_tag` reads what it selects, `build` its keys and settings, for its method or for no known one.
    """
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"a rule must be an object, not {node.kind}"))
        return None
    for key in ("tag", "method"):
        if key not in node.value:
            report(Problem(node.place, f"the rule has no '{key}'"))
    selector = read_tag(node.value["tag"], report) if "tag" in node.value else None
    method = build(method_class(node.value["method"], report) if "method" in node.value else None)
    when = read_when(node.value.get("when"), report)
    return entry_of(node, selector, method, when) if selector and method else None


def entry_of(node: Node, selector: Selector, method: Method, when: tuple[Any, ...]) -> Entry:
    """A rule and its place."""
    return Entry(Rule(selector, method, shown(selector), f"{node.place.line}:{node.place.column}", when), node)


def read_rules(root: Node, key: str, read: Callable[[Node], Entry | None], report: Report) -> list[Entry]:
    """The rules of a config's list under `key`, and those of its default. With a profile there need be none."""
    node = root.value.get(key)
    has_profile = "profile" in root.value
    if (node is not None or not has_profile) and not isinstance(node and node.value, list):
        report(Problem(root.place if node is None else node.place, f"{key} must be a list of rules"))
        return []
    entries = [entry for item in (node.value if node else ()) if (entry := read(item))]
    entries += _read_default(root.value.get("default"), report)
    if node and not node.value and not entries and not has_profile:
        report(Problem(node.place, f"{key} is empty: nothing would be de-identified"))
    return entries


def _read_default(node: Node | None, report: Report) -> list[Entry]:
    """The rules for every element that no other rule matches: `keep` needs none."""
    if node is None:
        return []
    parts = node.value if isinstance(node.value, dict) else {"public": node, "private": node}
    if not parts:
        report(Problem(node.place, "must hold public, private or both"))
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
    rules = [entry.rule for entry in entries]
    for rule, node, taker in zip(rules, (entry.node for entry in entries), _takers(rules), strict=True):
        _check_pair(rule, node, report)
        why = _doubt_about(last_of(rule.selector))
        if taker:
            why = f"never decides: the rule at {taker.place} takes all that this one would match"
        elif taker := _taker_of_sequence(rule, rules):
            why = f"never decides: the rule at {taker.place} takes a sequence of the path with everything in it"
        if why:
            report(Problem(node.place, why, is_warning=True))


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
        what = name if isinstance(last_of(rule.selector), VRIs) else f"{name} of VR {' or '.join(sorted(vrs))}"
        why = f"{method.name} can't treat {what}; it treats {' '.join(sorted(method.vrs))}"
        report(Problem(node.value.get("method", node).place, why))
        return
    if isinstance(method, Substitute) and all(why := method.unfit_for(vr) for vr in sorted(vrs)):
        report(Problem(_setting_of(node, "replaceWith").place, f"{name}: {why}"))
    vr = min(vrs)
    result, length = _example_of_result(method)
    if result and vr in TEXT_VRS and not text.conforms(result, vr):
        report(Problem(node.place, f"{name}: what {method.name} writes{length} is no valid {vr}", is_warning=True))


def _setting_of(node: Node, name: str) -> Node:
    """Where a rule says a setting, or the rule if it says it by way of others."""
    for holder in (node, node.value.get("params")):
        if holder and isinstance(holder.value, dict) and name in holder.value:
            found: Node = holder.value[name]
            return found
    return node


def _doubt_about(selector: Selector) -> str:
    """Why a rule may not do what was meant; "" if there is no doubt."""
    tag = selector.tag if isinstance(selector, TagIs) else selector.digits if isinstance(selector, TagIn) else 0
    group_is_known = not isinstance(selector, TagIn) or selector.mask >> 16 == 0xFFFF
    if tag >> 16 == 0x0002 and group_is_known:
        return "never decides: File Meta Information is always built anew"
    if not isinstance(selector, TagIs):
        return ""
    if not tag & 0xFFFF or tag == 0xFFFCFFFC:
        return "never decides: group lengths and Data Set Trailing Padding always go"
    if not dictionary.is_private(tag):
        return "" if dictionary.is_known(tag) else f"{tag_name(tag)} is not in the data dictionary; check the number"
    if tag & 0xFFFF > 0xFF:
        return f"{tag_name(tag)} matches this number whatever its private creator; name the creator to be exact"
    return ""


def _takers(rules: Sequence[Rule]) -> Iterator[Rule | None]:
    """For each rule the first one that leaves nothing to it. A rule for one tag can only do so to others for that."""
    wide: list[tuple[int, Rule]] = []
    of_tag: dict[Selector, list[tuple[int, Rule]]] = {}
    for number, rule in enumerate(rules):
        rivals = sorted([*wide, *of_tag.get(last_of(rule.selector), ())], key=itemgetter(0))
        yield next((earlier for _, earlier in rivals if _takes_all_of(earlier, rule)), None)
        same = of_tag.setdefault(rule.selector, []) if isinstance(rule.selector, TagIs) else wide
        same.append((number, rule))


def _takes_all_of(earlier: Rule, rule: Rule) -> bool:
    """Whether a rule leaves nothing to one behind it."""
    if rule.is_default or not set(earlier.when) <= set(rule.when) or not earlier.selector.covers(rule.selector):
        return False
    selector = last_of(rule.selector)
    return not isinstance(selector, TagIs) or not is_exempt(selector.tag, earlier)


def _taker_of_sequence(rule: Rule, rules: Sequence[Rule]) -> Rule | None:
    """The rule that always erases a sequence which a rule's path leads through."""
    steps = rule.selector.sequences if isinstance(rule.selector, AtPath) else ()
    for tag in [step.tag for step in steps if isinstance(step, TagIs)]:
        first = next((it for it in rules if last_of(it.selector).matches(facts_of(tag, "SQ"))), None)
        if first is None or isinstance(first.selector, AtPath) or not set(first.when) <= set(rule.when):
            continue
        if first.method.name != "keep":
            return first
    return None


def _vrs_of(selector: Selector) -> frozenset[str]:
    """The VRs that selected elements can have, as far as the dictionary knows."""
    selector = last_of(selector)
    if isinstance(selector, VRIs):
        return frozenset({selector.vr})
    if isinstance(selector, TagIs):
        return frozenset(dictionary.vr_of(selector.tag).split(" or ")) & VRS - {"UN"}
    return frozenset()


def _example_of_result(method: Method) -> tuple[str, str]:
    """(as short a result as there can be, its length for people); "" where nothing can be said."""
    if isinstance(method, CryptoHash) and method.match_input_string_length:
        return "a", ""
    if isinstance(method, CryptoHash):
        length = method.max_length or 2 * crypto.digest_size(method.crypto_hash_type.lower())
        return "a" * length, f" ({length} characters)"
    return ("A" * 43 + "=", " (44 characters or more)") if isinstance(method, Encrypt) else ("", "")
