"""What a config says about the leak check: false alarms by element."""

from __future__ import annotations

from dataclasses import dataclass

from deid_batch.config.entries import check_keys
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, Report, did_you_mean
from deid_batch.config.selectors import read_written
from deid_batch.selectors import Selector

VERIFY_KEY = "verify"
KEYS = ("ignore",)
ENTRY_KEYS = ("tag", "kinds")
KINDS = ("person", "id", "birth-date", "address", "telephone", "email", "institution", "uid", "date", "unchanged")
"""What may be found in an element's value; the other kinds of findings are no false alarms."""


@dataclass(frozen=True)
class Ignored:
    """Kinds of findings that are false alarms in the elements that are selected."""

    selector: Selector
    kinds: frozenset[str] = frozenset(KINDS)


def read_ignored(root: Node, report: Report) -> tuple[Ignored, ...]:
    """The false alarms under `verify`; problems go to `report`."""
    node = root.value.get(VERIFY_KEY)
    if node is None:
        return ()
    if not isinstance(node.value, dict):
        report(Problem(node.place, f"{VERIFY_KEY} must be an object, not {node.kind}"))
        return ()
    check_keys(node, KEYS, report)
    listed = node.value.get("ignore")
    if listed is None:
        return ()
    if not isinstance(listed.value, list):
        report(Problem(listed.place, f"ignore must be a list, not {listed.kind}"))
        return ()
    return tuple(entry for item in listed.value if (entry := _entry(item, report)) is not None)


def _entry(node: Node, report: Report) -> Ignored | None:
    """A tag, mask, keyword, VR or path as a string; or an object with it and the kinds."""
    if not isinstance(node.value, dict):
        selector = read_written(node, report)
        return Ignored(selector) if selector else None
    check_keys(node, ENTRY_KEYS, report)
    if "tag" not in node.value:
        report(Problem(node.place, "the entry has no 'tag'"))
        return None
    selector = read_written(node.value["tag"], report)
    kinds = _kinds(node.value["kinds"], report) if "kinds" in node.value else frozenset(KINDS)
    return Ignored(selector, kinds) if selector else None


def _kinds(node: Node, report: Report) -> frozenset[str]:
    if not isinstance(node.value, list) or not node.value:
        report(Problem(node.place, "kinds must be a list of kinds of findings"))
        return frozenset()
    found = set()
    for item in node.value:
        kind = item.value.strip().casefold() if isinstance(item.value, str) else ""
        if kind in KINDS:
            found.add(kind)
        else:
            why = f"no kind of finding{did_you_mean(str(item.value), KINDS)}; these are {', '.join(KINDS)}"
            report(Problem(item.place, why))
    return frozenset(found)
