"""What a config does, shown to people: its rules, which one decides, and what becomes of a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from deid_batch import dictionary
from deid_batch.config.selectors import parse_any, shown
from deid_batch.config.settings import camel
from deid_batch.engine import Touch
from deid_batch.errors import BadValue, UsageError
from deid_batch.methods import Method
from deid_batch.methods.base import Place
from deid_batch.rules import Condition, Rule, RuleSet
from deid_batch.selectors import AtPath, PrivateIs, TagIs
from deid_batch.values import numbers, text
from deid_batch.wire import TEXT_VRS, VRS, tag_name

_HIDDEN = "•••"
_LONGEST = 64


def rules_table(name: str, rules: Sequence[Rule]) -> Table:
    """The effective rules in the order in which they are asked."""
    table = Table(title=f"Rules of {name}; the first that matches decides", title_justify="left", header_style="")
    for column in ("#", "selects", "method", "settings", "when", "line:column"):
        table.add_column(column, overflow="fold")
    for number, rule in enumerate(rules, 1):
        when = ", ".join(map(shown_condition, rule.when))
        row = (str(number), rule.written, rule.method.name, shown_settings(rule.method), when, rule.place)
        table.add_row(*map(Text, row))
    return table


def shown_settings(method: Method) -> str:
    """A method's settings that differ from its defaults; keys are never among them."""
    plain = type(method)()
    names = [field.name for field in dataclasses.fields(method) if field.name != "key"]
    return ", ".join(
        f"{camel(name)} {getattr(method, name)}" for name in names if getattr(method, name) != getattr(plain, name)
    )


def shown_condition(condition: Condition) -> str:
    """A condition as text."""
    name = dictionary.name_of(condition.tag).rpartition(" ")[2]
    if condition.one_of:
        return f"{name} is {' or '.join(condition.one_of)}"
    if condition.pattern:
        return f"{name} matches {condition.pattern}"
    return f"{name} {'has a value' if condition.exists else 'has no value'}"


def explanation(rules: RuleSet, wanted: str, creator: str | None, vr: str | None) -> str:
    """Which rule decides an element, and which would have if it were not for that one. A wrong name: UsageError."""
    tag, path, named = _element(wanted)
    creator = creator or named
    if vr is not None and vr.upper() not in VRS:
        raise UsageError(f"unknown VR '{vr}'")
    effective = vr.upper() if vr else dictionary.effective_vr(tag, "", creator)
    inside = "".join(f"{dictionary.name_of(sequence)} / " for sequence in path)
    lines = [f"{inside}{dictionary.name_of(tag)}, VR {effective}" + (f', creator "{creator}"' if creator else "")]
    decided = False
    for number in rules.matching(tag, effective, creator, path):
        rule = rules.rules[number]
        when = " and ".join(map(shown_condition, rule.when))
        verdict = "comes too late" if decided else f"decides where {when}" if when else "decides"
        decided = decided or not when
        settings = shown_settings(rule.method)
        treated = f"{rule.method.name} ({settings})" if settings else rule.method.name
        lines.append(f"  rule {number + 1} at {rule.place}, {rule.written}: {treated} – {verdict}")
    if not decided:
        lines.append("  no rule: stays as it is" if len(lines) == 1 else "  otherwise no rule: stays as it is")
    return "\n".join(lines)


def changes_table(changes: Sequence[Touch], rules: RuleSet, *, show_values: bool) -> Table:
    """Before and after of the elements that change, nested ones with their path."""
    table = Table(title="Changes", title_justify="left", header_style="")
    for column in ("element", "VR", "before", "after", "rule"):
        table.add_column(column, overflow="fold")
    for change in changes:
        table.add_row(*map(Text, _change(change, rules, show_values=show_values).values()))
    return table


def changes_json(changes: Sequence[Touch], rules: RuleSet, *, show_values: bool) -> str:
    """The same as a JSON list."""
    rows = [_change(change, rules, show_values=show_values) for change in changes]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _change(change: Touch, rules: RuleSet, *, show_values: bool) -> dict[str, str]:
    rule = rules.rules[change.rule]
    before = "(sequence or encapsulated)"
    if change.before is not None:
        before = _shown_value(change, change.before) if show_values or not change.before else _HIDDEN
    after = "(removed)" if change.after is None else _shown_value(change, change.after)
    return {
        "element": f"{_shown_place(change.place)}{dictionary.name_of(change.tag)}",
        "vr": change.vr,
        "before": before,
        "after": after,
        "rule": f"{change.rule + 1}: {rule.method.name}",
    }


def _shown_place(place: Place) -> str:
    if not place:
        return ""
    outer, tag, number = place
    return f"{_shown_place(outer)}{tag_name(tag)}[{number + 1}] / "


def _shown_value(change: Touch, value: bytes) -> str:
    if change.vr in TEXT_VRS:
        try:
            written = "\\".join(text.split(value, change.vr, change.charset))
        except BadValue:
            written = repr(value)
    elif change.vr in numbers.BINARY_VRS and len(value) <= _LONGEST:
        written = "\\".join(map(str, numbers.unpack(value, change.vr, change.little)))
    else:
        written = value.hex() if len(value) <= _LONGEST else f"{len(value)} bytes"
    printable = "".join(letter if letter.isprintable() else "·" for letter in written)
    return printable if len(printable) <= 2 * _LONGEST else printable[: 2 * _LONGEST] + "…"


def _element(wanted: str) -> tuple[int, tuple[int, ...], str | None]:
    """(tag, path, creator) of an element as it is written on the command line."""
    try:
        selector = parse_any(wanted)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if isinstance(selector, TagIs):
        return selector.tag, (), None
    if isinstance(selector, PrivateIs) and selector.group is not None and selector.mask == 0xFF:
        return selector.group << 16 | 0x1000 | selector.element, (), selector.creator
    if isinstance(selector, AtPath) and isinstance(selector.last, TagIs):
        path = tuple(step.tag for step in selector.sequences if isinstance(step, TagIs))
        if len(path) == len(selector.sequences):
            return selector.last.tag, path, None
    raise UsageError(f"'{wanted}' ({shown(selector)}) is not one element")
