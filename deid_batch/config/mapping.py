"""What a config says about lists of the user's that give new values: `mapping`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from deid_batch import dictionary
from deid_batch.config.columns import ColumnsUnreadable, Pair, decode, read_file, read_pairs
from deid_batch.config.entries import Entry, check_keys, entry_of
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, Report
from deid_batch.config.selectors import parse_keyword, parse_tag
from deid_batch.config.settings import convert
from deid_batch.methods.dummy import PATIENT_ID
from deid_batch.methods.mapping import TARGET_VRS, Lookup, Mapped, OnMissing, Table, pseudonym_of
from deid_batch.rules import STRUCTURAL, Rule
from deid_batch.selectors import TagIs
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS

if TYPE_CHECKING:
    from deid_batch.profiles.profile import Profile

KEYS = ("csv", "from", "to", "onMissing")
_FILE = "file:"
_DEFAULT: OnMissing = "set-aside"
_MOST_TOLD = 5
_TITLES = frozenset("id idold old oldid original originalid source from".split())
"""What the first cell of a row of titles may be, besides the attribute's name; case, blanks, _ and - do not count."""


class Mappings(NamedTuple):
    """What lists are asked for, and the rules that put their answers in place."""

    lookups: tuple[Lookup, ...]
    entries: list[Entry]


def read_mappings(node: Node | None, folder: str, report: Report) -> Mappings:
    """What a config's `mapping` says; paths are from `folder`."""
    lookups: list[Lookup] = []
    entries: list[Entry] = []
    for item in () if node is None else node.value if isinstance(node.value, list) else (node,):
        if not isinstance(item.value, dict):
            report(Problem(item.place, f"a mapping is an object with csv, from and to, not {item.kind}"))
            continue
        check_keys(item, KEYS, report)
        for key in ("csv", "from", "to"):
            if key not in item.value:
                report(Problem(item.place, f"the mapping has no '{key}'"))
        origin = _attribute(item.value.get("from"), report)
        targets = _targets(item.value.get("to"), report)
        table = _read_table(item.value.get("csv"), origin, targets, folder, report)
        on_missing = convert(item.value["onMissing"], OnMissing, report) if "onMissing" in item.value else None
        if origin is None or table is None:
            continue
        lookup = Lookup(len(lookups), origin, table, on_missing or _DEFAULT, pseudonym_of(origin))
        lookups.append(lookup)
        for target, where in targets:
            if any(entry.rule.selector == TagIs(target) for entry in entries):
                report(Problem(where.place, f"{dictionary.name_of(target)} is given a value twice"))
            entries.append(entry_of(item, TagIs(target), Mapped(lookup=lookup), ()))
    return Mappings(tuple(lookups), entries)


def with_pseudonyms_of(profile: Profile | None, entries: Iterable[Entry]) -> list[Entry]:
    """The rules, with the profile's form of pseudonyms for patients that a list lacks."""
    return [entry._replace(rule=_with_pseudonym_of(profile, entry.rule)) for entry in entries]


def _with_pseudonym_of(profile: Profile | None, rule: Rule) -> Rule:
    method = rule.method
    if profile is None or not isinstance(method, Mapped) or method.lookup.origin != PATIENT_ID:
        return rule
    return replace(rule, method=replace(method, lookup=replace(method.lookup, pseudonym=profile.patient)))


def _attribute(node: Node | None, report: Report) -> int | None:
    """The tag of a public attribute of the data set that holds text, named by keyword or tag."""
    if node is None:
        return None
    if node.kind != "a string":
        report(Problem(node.place, f"must be the name of an attribute, not {node.kind}"))
        return None
    name = node.value.strip()
    try:
        selector = parse_tag(name) if name[:1].isdigit() or name.startswith("(") else parse_keyword(name)
    except ValueError as error:
        report(Problem(node.place, str(error)))
        return None
    if not isinstance(selector, TagIs) or selector.tag >> 16 == 0x0002 or selector.tag in STRUCTURAL:
        report(Problem(node.place, "must be one public attribute of the data set, such as PatientID"))
        return None
    if dictionary.effective_vr(selector.tag, "", None) not in TEXT_VRS:
        report(Problem(node.place, f"{dictionary.name_of(selector.tag)} holds no text"))
        return None
    return selector.tag


def _targets(node: Node | None, report: Report) -> list[tuple[int, Node]]:
    found = []
    items = () if node is None else node.value if isinstance(node.value, list) else (node,)
    if node is not None and not items:
        report(Problem(node.place, "names no attribute"))
    for item in items:
        tag = _attribute(item, report)
        if tag is None:
            continue
        vr = dictionary.effective_vr(tag, "", None)
        if vr in TARGET_VRS:
            found.append((tag, item))
        else:
            why = f"{dictionary.name_of(tag)} is of VR {vr}; a list gives values of {' '.join(sorted(TARGET_VRS))}"
            report(Problem(item.place, why))
    return found


def _read_table(
    node: Node | None, origin: int | None, targets: Sequence[tuple[int, Node]], folder: str, report: Report
) -> Table | None:
    if node is None:
        return None
    if node.kind != "a string" or not node.value.startswith(_FILE) or len(node.value) == len(_FILE):
        report(Problem(node.place, "must be file:PATH, the path of a list from the config's folder"))
        return None
    path = node.value[len(_FILE) :]
    try:
        data, is_open = read_file(os.path.join(folder, path))
        pairs = read_pairs(decode(data))
    except ColumnsUnreadable as error:
        report(Problem(node.place, str(error)))
        return None
    if is_open:
        report(Problem(node.place, "the list can be read by group or others (chmod 600 it)", is_warning=True))
    if pairs and _is_title(pairs[0].left, origin):
        pairs = pairs[1:]
    if not pairs:
        report(Problem(node.place, "the list has no rows"))
        return None
    rows = _rows(pairs, node, report)
    _check_values(pairs, targets, node, report)
    return Table(os.path.basename(path), rows)


def _is_title(cell: str, origin: int | None) -> bool:
    """Whether the first row holds the columns' names."""
    plain = re.sub(r"[\s_-]", "", cell).casefold()
    return plain in _TITLES or (origin is not None and plain == dictionary.name_of(origin).split()[-1].casefold())


def _rows(pairs: Sequence[Pair], node: Node, report: Report) -> dict[str, str]:
    rows: dict[str, str] = {}
    lines: dict[str, int] = {}
    conflicts = []
    for line, old, new in pairs:
        if rows.setdefault(old, new) != new:
            conflicts.append(f"{lines[old]} and {line}")
        lines.setdefault(old, line)
    if conflicts:
        report(Problem(node.place, f"rows give different new values for one old value: lines {_few(conflicts)}"))
    shared = len(rows) - len(set(rows.values()))
    if shared and not conflicts:
        why = f"{shared:,} rows give a new value that another old value gets too: these become one"
        report(Problem(node.place, why, is_warning=True))
    if same := sum(old == new for old, new in rows.items()):
        report(Problem(node.place, f"{same:,} rows give the old value itself: it stays", is_warning=True))
    return rows


def _check_values(pairs: Sequence[Pair], targets: Sequence[tuple[int, Node]], node: Node, report: Report) -> None:
    """Report new values that an attribute can't hold."""
    for tag, _ in targets:
        vr = dictionary.effective_vr(tag, "", None)
        if bad := [str(line) for line, _, new in pairs if not _fits(new, vr)]:
            why = f"new values are no valid {vr}, which {dictionary.name_of(tag)} needs: lines {_few(bad)}"
            report(Problem(node.place, why))
    if any(not new.isascii() for _, _, new in pairs):
        why = "new values hold letters that not every file's character set has: such files fail"
        report(Problem(node.place, why, is_warning=True))


def _fits(value: str, vr: str) -> bool:
    return text.conforms(value, vr) and "\\" not in value and (value.isascii() or vr in text.CHARSET_VRS)


def _few(told: Sequence[str]) -> str:
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return ", ".join(told[:_MOST_TOLD]) + more
