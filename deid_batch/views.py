"""What a config does, shown to people: its rules, which one decides, and what becomes of a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from deid_batch import dictionary
from deid_batch.conditions import Condition
from deid_batch.config.ignored import KINDS, Ignored
from deid_batch.config.selectors import parse_any, shown
from deid_batch.config.settings import camel, is_setting
from deid_batch.errors import BadValue, UsageError
from deid_batch.frames import Touch
from deid_batch.methods import Method
from deid_batch.methods.base import Place
from deid_batch.profiles.actions import MODIFIED_DATES, option_conflicts
from deid_batch.profiles.profile import Profile
from deid_batch.rules import Rule, RuleSet
from deid_batch.selectors import AtPath, PrivateIs, TagIs
from deid_batch.values import numbers, text
from deid_batch.wire import TEXT_VRS, VRS, tag_name

_HIDDEN = "•••"
_LONGEST = 64


def rules_table(name: str, rules: Sequence[Rule], profile: Profile | None) -> Table:
    """The effective rules in the order in which they are asked; the profile before a config's default."""
    table = Table(title=f"Rules of {name}; the first that matches decides", title_justify="left", header_style="")
    for column in ("#", "selects", "method", "settings", "when", "line:column"):
        table.add_column(column, overflow="fold")
    own = [rule for rule in rules if profile is None or not rule.is_default]
    for number, rule in enumerate(own, 1):
        when = ", ".join(map(shown_condition, rule.when))
        row = (str(number), rule.written, rule.method.name, shown_settings(rule.method), when, rule.place)
        table.add_row(*map(Text, row))
    if profile is not None:
        settings = "".join(f"{setting}\n" for setting in profile_settings(profile)).rstrip()
        table.add_row(*map(Text, (_PROFILE, "what PS3.15 names", "profile basic", settings, "", "")))
        for number, rule in enumerate(rules[len(own) :], len(own) + 1):
            table.add_row(*map(Text, (str(number), rule.written, rule.method.name, "", "", rule.place)))
    return table


_PROFILE = "P"
"""What stands for the profile where rules have numbers."""


def profile_settings(profile: Profile) -> list[str]:
    """A profile's options and how it does what PS3.15 leaves open."""
    settings = list(profile.options)
    settings += [
        f"{other} yields to {option} in {count} attributes" for option, other, count in option_conflicts(settings)
    ]
    settings += [shown_settings(profile.shift)] * (MODIFIED_DATES in profile.options)
    settings += ["capAges"] * profile.cap_ages + ["contributingEquipment"] * profile.equipment
    settings += ["trustDeclaredPrivate"] * profile.trusts_declared
    settings += [f"burned-in text: {_burned_in(profile)}", f"encapsulated documents: {profile.gate.documents}"]
    settings.append(f"already de-identified: {profile.gate.deidentified}")
    return [*settings, f"pseudonyms {profile.patient.prefix}+{profile.patient.length}"]


def _burned_in(profile: Profile) -> str:
    allowed = [" and ".join(map(shown_condition, when)) for when in profile.gate.burned_in_allowed]
    too = [" and ".join(map(shown_condition, when)) for when in profile.gate.burned_in_too]
    return "; ".join([
        profile.gate.burned_in,
        *(f"allow where {when}" for when in allowed),
        *(f"set-aside where {when}" for when in too),
    ])  # fmt: skip


def shown_settings(method: Method) -> str:
    """A method's settings that differ from its defaults; keys are never among them."""
    plain = type(method)()
    changed = [
        (field.name, getattr(method, field.name))
        for field in dataclasses.fields(method)
        if is_setting(field) and getattr(method, field.name) != getattr(plain, field.name)
    ]
    return ", ".join(f"{camel(name)} {str(it).lower() if it is True or it is False else it}" for name, it in changed)


def shown_condition(condition: Condition) -> str:
    """A condition as text."""
    name = dictionary.name_of(condition.tag).rpartition(" ")[2]
    if condition.one_of:
        return f"{name} is {' or '.join(condition.one_of)}"
    if condition.pattern:
        return f"{name} matches {condition.pattern}"
    return f"{name} {'has a value' if condition.exists else 'has no value'}"


def shown_false_alarm(ignored: Ignored) -> str:
    """What is no finding, and where."""
    kinds = [kind for kind in KINDS if kind in ignored.kinds]
    return f"{'everything' if len(kinds) == len(KINDS) else ', '.join(kinds)} in {shown(ignored.selector)}"


def explanation(rules: RuleSet, wanted: str, creator: str | None, vr: str | None) -> str:
    """Which rule decides an element, and which would have if it were not for that one. A wrong name: UsageError."""
    tag, path, named = _element(wanted)
    creator = creator or named
    if vr is not None and vr.upper() not in VRS:
        raise UsageError(f"unknown VR '{vr}'")
    effective = vr.upper() if vr else dictionary.effective_vr(tag, "", creator)
    inside = "".join(f"{dictionary.name_of(sequence)} / " for sequence in path)
    head = f"{inside}{dictionary.name_of(tag)}, VR {effective}" + (f', creator "{creator}"' if creator else "")
    return "\n  ".join([head, *(_always(tag) or _verdicts(rules, tag, effective, creator, path))])


def _always(tag: int) -> list[str]:
    """What happens to an element whatever the rules say."""
    if tag >> 16 == 0x0002:
        return ["no rule decides: File Meta Information is always built anew"]
    if not tag & 0xFFFF or tag == 0xFFFCFFFC:
        return ["no rule decides: group lengths and Data Set Trailing Padding always go"]
    return []


def _verdicts(rules: RuleSet, tag: int, vr: str, creator: str | None, path: tuple[int, ...]) -> list[str]:
    """One line for each rule that may decide an element, or would if it came first."""
    lines, decided = _taken_with_sequence(rules, path)
    by_profile = _profile_says(rules, tag, vr, creator, path)
    for number in rules.matching(tag, vr, creator, path):
        if by_profile and rules.rules[number].is_default:
            break
        when = _where(rules.rules[number])
        lines.append(_says(rules, number, "comes too late" if decided else f"decides{when}"))
        decided = decided or not when
    if by_profile:
        lines.append(f"{by_profile} – {'comes too late' if decided else 'decides'}")
        decided = True
    if not decided:
        lines.append("otherwise no rule: stays as it is" if lines else "no rule: stays as it is")
    if dictionary.is_private_creator(tag):
        lines.append("a private creator stays while an element of its block does, and goes with the last one")
    return lines


def _profile_says(rules: RuleSet, tag: int, vr: str, creator: str | None, path: tuple[int, ...]) -> str:
    """What the profile does with an element and why; "" where it has nothing to say."""
    treatment = rules.profile and rules.profile.treatment(tag, vr, creator, path)
    return f"profile basic, {treatment.verdict.why}: {treatment.method.name}" if treatment else ""


def _taken_with_sequence(rules: RuleSet, path: tuple[int, ...]) -> tuple[list[str], bool]:
    """The rules by which an enclosing sequence goes with all it holds, and whether it always does."""
    lines = []
    for depth, sequence in enumerate(path):
        is_certain = True
        for number in rules.matching(sequence, "SQ", None, path[:depth]):
            rule = rules.rules[number]
            if rule.method.name != "keep":
                name = dictionary.name_of(sequence)
                lines.append(_says(rules, number, f"takes {name} with all that is in it{_where(rule)}"))
                if is_certain and not rule.when:
                    return lines, True
            if not rule.when:
                break
            is_certain = False
        else:
            treatment = rules.profile and rules.profile.treatment(sequence, "SQ", None, path[:depth])
            if treatment and treatment.method.erases:
                name = dictionary.name_of(sequence)
                lines.append(f"profile basic, {treatment.verdict.why}: takes {name} with all that is in it")
                if is_certain:
                    return lines, True
    return lines, False


def _says(rules: RuleSet, number: int, verdict: str) -> str:
    rule = rules.rules[number]
    settings = shown_settings(rule.method)
    treated = f"{rule.method.name} ({settings})" if settings else rule.method.name
    return f"rule {number + 1} at {rule.place}, {rule.written}: {treated} – {verdict}"


def _where(rule: Rule) -> str:
    return f" where {' and '.join(map(shown_condition, rule.when))}" if rule.when else ""


def changes_table(changes: Sequence[Touch], rules: RuleSet, *, show_values: bool) -> Table:
    """Before and after of the elements that change, nested ones with their path."""
    table = Table(title="Changes", title_justify="left", header_style="")
    for column in ("element", "VR", "before", "after", "rule"):
        table.add_column(column, overflow="fold")
    for change in changes:
        row = _change(change, rules, show_values=show_values)
        shown_as = {"before": _HIDDEN, "after": "(removed)"}
        cells = (shown_as[name] if cell is None else cell or "(empty)" for name, cell in row.items())
        table.add_row(*map(Text, cells))
    return table


def changes_json(changes: Sequence[Touch], rules: RuleSet, *, show_values: bool) -> str:
    """The same as a JSON list; null for a value that is not shown before, and for what was removed after."""
    rows = [_change(change, rules, show_values=show_values) for change in changes]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _change(change: Touch, rules: RuleSet, *, show_values: bool) -> dict[str, str | None]:
    is_shown = change.before is not None and (show_values or not change.before)
    return {
        "element": f"{_shown_place(change.place)}{dictionary.name_of(change.tag)}",
        "vr": change.vr,
        "before": _shown_value(change, change.before or b"") if is_shown else None,
        "after": None if change.after is None else _shown_value(change, change.after),
        "rule": _shown_rule(change, rules),
    }


def _shown_rule(change: Touch, rules: RuleSet) -> str:
    if change.rule is None:
        return "goes with its block"
    if change.rule < len(rules.rules):
        return f"{change.rule + 1}: {rules.rules[change.rule].method.name}"
    treatment = rules.profile and rules.profile.treatment(change.tag, change.vr, None, change.place)
    return f"{_PROFILE}: {treatment.method.name}" if treatment else _PROFILE


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
