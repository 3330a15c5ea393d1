"""What a rule's `tag` says: a tag, a mask, a keyword, a VR, private elements, a path."""

from __future__ import annotations

import re
from collections.abc import Callable

from deid_batch import dictionary
from deid_batch.config.jsonc import Node, unknown_key
from deid_batch.config.problems import Problem, Report, did_you_mean
from deid_batch.selectors import AnyPrivate, Anything, AtPath, PrivateIs, Selector, TagIn, TagIs, VRIs
from deid_batch.wire import VRS

_TAG = re.compile(r"\(?\s*([0-9a-fx]{4})\s*,?\s*([0-9a-fx]{4})\s*\)?", re.IGNORECASE)
_PRIVATE = re.compile(r"\(\s*([0-9a-f]{4})\s*,\s*([0-9a-fx]{4})\s*,\s*\"([^\"\\]+)\"\s*\)", re.IGNORECASE)
_KINDS = ("value", "keyword", "name", "VR", "path", "private", "creator")


def read_selector(node: Node, report: Report) -> Selector | None:
    """The selector of a native rule, or None with a problem reported."""
    if not isinstance(node.value, dict):
        report(Problem(node.place, f'tag must be an object, such as {{"VR": "PN"}}, not {node.kind}'))
        return None
    strange = [key for key in node.value if key not in _KINDS]
    for key in strange:
        report(unknown_key(node, key, _KINDS))
    given = [key for key in _KINDS if key in node.value]
    if strange or given == ["private"]:
        return _any_private(node.value["private"], report) if not strange else None
    if not given or (len(given) > 1 and given != ["value", "creator"]):
        report(
            Problem(
                node.place, "tag must hold one of value, keyword, VR, path, private; or creator, alone or with value"
            )
        )
        return None
    texts = [node.value[key] for key in given]
    for text in texts:
        if text.kind != "a string" or not text.value.strip():
            why = "is empty" if text.kind == "a string" else f"must be a string, not {text.kind}"
            report(Problem(text.place, why))
            return None
    if "creator" in given:
        tag = node.value.get("value")
        return _read(lambda: private_of(node.value["creator"].value, tag and tag.value), texts[0], report)
    reader = {"value": parse_tag, "VR": parse_vr, "path": parse_path}.get(given[0], parse_keyword)
    return _read(lambda: reader(texts[0].value.strip()), texts[0], report)


def read_written(node: Node, report: Report) -> Selector | None:
    """The selector that a string says, whichever kind it is; or None with a problem reported."""
    if node.kind != "a string":
        report(Problem(node.place, f'tag must be a string, such as "(0010,0010)", not {node.kind}'))
        return None
    return _read(lambda: parse_any(node.value.strip()), node, report)


def parse_any(text: str) -> Selector:
    """A tag, mask, VR, keyword, private element or path, told apart by its form."""
    if _PRIVATE.fullmatch(text):
        return parse_tag(text)
    if "/" in text:
        return parse_path(text)
    if text.upper() in VRS:
        return parse_vr(text)
    return parse_tag(text) if _TAG.fullmatch(text) or text.startswith("(") else parse_keyword(text)


def parse_tag(text: str) -> TagIs | TagIn | PrivateIs:
    """`(gggg,eeee)`, `gggg,eeee`, `ggggeeee`, with `x` for any digit; `(gggg,xxee,"CREATOR")`."""
    if private := _PRIVATE.fullmatch(text):
        return private_of(private[3], f"({private[1]},{private[2]})")
    match = _TAG.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no tag; write it as (gggg,eeee)")
    digits = (match[1] + match[2]).lower()
    if "x" not in digits:
        return TagIs(int(digits, 16))
    return TagIn(int(digits.replace("x", "0"), 16), _mask(digits))


def private_of(creator: str, text: str | None) -> PrivateIs:
    """Elements of a creator: all, or those of a tag such as `(0019,xx0C)`; its block digits do not matter."""
    if text is None:
        return PrivateIs(creator.strip())
    match = _TAG.fullmatch(text.strip())
    if not match or "x" in match[1].lower():
        raise ValueError(f"'{text}' is no private tag; write it as (gggg,xxee)")
    if not int(match[1], 16) & 1:
        raise ValueError(f"'{text}' is no private tag: its group is even")
    low = match[2][2:].lower()
    return PrivateIs(creator.strip(), int(match[1], 16), int(low.replace("x", "0"), 16), _mask(low))


def parse_vr(text: str) -> VRIs:
    """A VR of PS3.5 6.2, in any case."""
    if text.upper() not in VRS:
        raise ValueError(f"unknown VR '{text}'{did_you_mean(text, VRS)}")
    return VRIs(text.upper())


def parse_keyword(text: str) -> TagIs | TagIn:
    """A keyword of PS3.6, in any case; that of a repeating group selects all its repetitions."""
    tag = dictionary.tag_of_keyword(text)
    if tag is None and (mask := dictionary.mask_of_keyword(text)):
        return TagIn(int(mask.replace("x", "0"), 16), _mask(mask))
    if tag is None:
        raise ValueError(f"unknown keyword '{text}'{did_you_mean(text, dictionary.known_keywords())}")
    return TagIs(tag)


def parse_path(text: str) -> AtPath:
    """`Sequence/Element`, each a tag, mask or keyword, `*` for any sequence; a leading `/` means the top level."""
    *outer, last = text.removeprefix("/").split("/")
    sequences = tuple(None if step.strip() == "*" else _step(step.strip()) for step in outer)
    for sequence in sequences:
        if isinstance(sequence, TagIs) and dictionary.vr_of(sequence.tag) not in ("SQ", "UN"):
            raise ValueError(f"{dictionary.name_of(sequence.tag)} is no sequence")
    return AtPath(sequences, _last_step(last.strip()), text.startswith("/"))


def shown(selector: Selector) -> str:
    """A selector as text."""
    match selector:
        case TagIs(tag):
            return dictionary.name_of(tag)
        case TagIn(digits, mask):
            return _shown_mask(digits, mask)
        case VRIs(vr):
            return f"VR {vr}"
        case PrivateIs(creator, None):
            return f'private "{creator}"'
        case PrivateIs(creator, int(group), element, mask):
            return f'({group:04X},xx{_masked(element, mask, 2)},"{creator}")'
        case AtPath(sequences, last, anchored):
            steps = ["*" if step is None else shown(step) for step in sequences]
            return ("/" if anchored else "") + "/".join([*steps, shown(last)])
        case Anything(private):
            return f"every other {'private' if private else 'public'} element"
        case AnyPrivate():
            return "every private element"
    raise TypeError(selector)


def _any_private(node: Node, report: Report) -> AnyPrivate | None:
    if node.value is True or (isinstance(node.value, str) and node.value.casefold() == "true"):
        return AnyPrivate()
    report(Problem(node.place, "private must be true; leave it out otherwise"))
    return None


def _read(reader: Callable[[], Selector], node: Node, report: Report) -> Selector | None:
    try:
        return reader()
    except ValueError as error:
        report(Problem(node.place, str(error)))
        return None


def _step(text: str) -> TagIs | TagIn:
    parsed = parse_tag(text) if _TAG.fullmatch(text) else parse_keyword(text)
    if isinstance(parsed, PrivateIs):
        raise ValueError("a private creator can't stand in a path")
    return parsed


def _last_step(text: str) -> TagIs | TagIn | VRIs:
    return parse_vr(text) if text.upper() in VRS else _step(text)


def _mask(digits: str) -> int:
    return int("".join("0" if digit == "x" else "f" for digit in digits.lower()), 16)


def _masked(digits: int, mask: int, count: int) -> str:
    return "".join(
        digit if known == "f" else "x" for digit, known in zip(f"{digits:0{count}X}", f"{mask:0{count}x}", strict=True)
    )


def _shown_mask(digits: int, mask: int) -> str:
    written = _masked(digits, mask, 8)
    return f"({written[:4]},{written[4:]})"
