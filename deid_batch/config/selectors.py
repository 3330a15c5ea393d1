"""What a rule's `tag` says: a tag, a keyword, a mask, a VR."""

from __future__ import annotations

import re

from deid_batch import dictionary
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, did_you_mean
from deid_batch.config.settings import Report, unknown_key
from deid_batch.rules import Selector, TagIn, TagIs, VRIs
from deid_batch.wire import VRS

_TAG = re.compile(r"\(?\s*([0-9a-fx]{4})\s*,?\s*([0-9a-fx]{4})\s*\)?", re.IGNORECASE)
_KINDS = ("value", "keyword", "name", "VR")


def read_selector(node: Node, report: Report) -> tuple[Selector, str] | None:
    """The selector and how it is written for people, or None with a problem reported."""
    if not isinstance(node.value, dict):
        report(Problem(node.place, f'tag must be an object, such as {{"VR": "PN"}}, not {node.kind}'))
        return None
    known = True
    for key in node.value:
        if key not in _KINDS:
            report(unknown_key(node, key, _KINDS))
            known = False
    given = [key for key in _KINDS if key in node.value]
    if len(given) != 1:
        if known:
            report(Problem(node.place, "tag must hold exactly one of value, keyword, VR"))
        return None
    what = node.value[given[0]]
    if not isinstance(what.value, str):
        report(Problem(what.place, f"must be a string, not {what.kind}"))
        return None
    read = {"value": parse_tag, "VR": parse_vr}.get(given[0], parse_keyword)
    try:
        selector = read(what.value.strip())
    except ValueError as error:
        report(Problem(what.place, str(error)))
        return None
    return (selector, shown(selector)) if known else None


def parse_tag(text: str) -> TagIs | TagIn:
    """`(gggg,eeee)`, `gggg,eeee`, `ggggeeee`, with `x` for any digit."""
    match = _TAG.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no tag; write it as (gggg,eeee)")
    digits = (match[1] + match[2]).lower()
    if "x" not in digits:
        return TagIs(int(digits, 16))
    mask = int("".join("0" if digit == "x" else "f" for digit in digits), 16)
    return TagIn(int(digits.replace("x", "0"), 16), mask)


def parse_vr(text: str) -> VRIs:
    """A VR of PS3.5 6.2, in any case."""
    if text.upper() not in VRS:
        raise ValueError(f"unknown VR '{text}'{did_you_mean(text, VRS)}")
    return VRIs(text.upper())


def parse_keyword(text: str) -> TagIs | TagIn:
    """A keyword of PS3.6, in any case."""
    tag = dictionary.tag_of_keyword(text)
    if tag is None:
        raise ValueError(f"unknown keyword '{text}'{did_you_mean(text, dictionary.known_keywords())}")
    return TagIs(tag)


def shown(selector: Selector) -> str:
    """A selector as text."""
    if isinstance(selector, VRIs):
        return f"VR {selector.vr}"
    if isinstance(selector, TagIs):
        return dictionary.name_of(selector.tag)
    digits = "".join(f"{selector.digits:08x}"[i] if f"{selector.mask:08x}"[i] == "f" else "x" for i in range(8))
    return f"({digits[:4]},{digits[4:]})"
