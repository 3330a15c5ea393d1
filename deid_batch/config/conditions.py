"""What a rule's `when` says about the file."""

from __future__ import annotations

import re
import warnings

from deid_batch import dictionary
from deid_batch.conditions import Condition
from deid_batch.config.jsonc import Node, unknown_key
from deid_batch.config.problems import Problem, Report
from deid_batch.config.selectors import parse_keyword, parse_tag
from deid_batch.selectors import TagIs
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS

KINDS = ("regex", "exists")
_FILE_META = 0x0002


def read_when(node: Node | None, report: Report) -> tuple[Condition, ...]:
    """The conditions of a rule: all of them must hold. An attribute is named by keyword or tag."""
    if node is None:
        return ()
    if not isinstance(node.value, dict) or not node.value:
        report(Problem(node.place, 'when must be an object, such as {"Modality": ["US", "SC"]}'))
        return ()
    read = [_condition(node, name, value, report) for name, value in node.value.items()]
    return tuple(condition for condition in read if condition is not None)


def _condition(when: Node, name: str, node: Node, report: Report) -> Condition | None:
    try:
        selector = parse_tag(name) if name[:1].isdigit() or name.startswith("(") else parse_keyword(name)
    except ValueError as error:
        report(Problem(when.keys[name], str(error)))
        return None
    vr = dictionary.effective_vr(selector.tag, "", None) if isinstance(selector, TagIs) else ""
    if not isinstance(selector, TagIs) or vr not in TEXT_VRS or selector.tag >> 16 == _FILE_META:
        report(Problem(when.keys[name], "a condition must be on one public attribute of the data set that holds text"))
        return None
    if isinstance(node.value, dict):
        return _by_kind(selector.tag, node, report)
    listed = node.value if isinstance(node.value, list) else [node]
    if not listed or not all(isinstance(item.value, str) for item in listed):
        report(Problem(node.place, "must be a string, a list of strings, or an object with regex or exists"))
        return None
    for item in listed:
        if not item.value.strip():
            report(Problem(item.place, 'is empty; {"exists": false} is for attributes without a value'))
        elif not text.conforms(item.value.strip(), vr):
            report(Problem(item.place, f"no valid {vr}, so the condition may never hold", is_warning=True))
    return Condition(selector.tag, one_of=tuple(str(item.value).strip() for item in listed))


def _by_kind(tag: int, node: Node, report: Report) -> Condition | None:
    for key in node.value:
        if key not in KINDS:
            report(unknown_key(node, key, KINDS))
    if len(node.value) != 1:
        report(Problem(node.place, "must hold one of regex, exists"))
        return None
    ((kind, value),) = node.value.items()
    if kind == "regex" and value.kind == "a string" and value.value:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                re.compile(value.value)
        except (re.error, OverflowError, RecursionError, Warning):
            report(Problem(value.place, "not a regular expression, or one of doubtful meaning"))
            return None
        return Condition(tag, pattern=str(value.value))
    if kind == "exists" and str(value.value).casefold() in ("true", "false"):
        return Condition(tag, exists=str(value.value).casefold() == "true")
    if kind in KINDS:
        report(Problem(value.place, "must be a regular expression" if kind == "regex" else "must be true or false"))
    return None
