"""Items that are built alike are passed by one look at their headers, and come out as if each had been walked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    SYNTAXES,
    Element,
    Form,
    Item,
    encode,
    encode_item,
    identity,
    part10,
    sequence,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_oracle import CONFIGS, rule_set
from test_replay import PROFILE, Outcome, outcome

from deid_batch.engine import CompiledRules
from deid_batch.layouts import Layout, Layouts
from deid_batch.plans import Ground
from deid_batch.rules import RuleSet
from deid_batch.wire import EXPLICIT_LITTLE, MAX_DEPTH

PATHS = """{"dicomTagRules": [
    {"tag": {"path": "ReferencedSeriesSequence/ReferencedSOPSequence/CodeMeaning"}, "method": "remove"},
    {"tag": {"VR": "PN"}, "method": "redact"}]}"""
RULE_SETS = {name: rule_set(text) for name, text in {**CONFIGS, "paths": PATHS, "profile": PROFILE}.items()}
FORMS = {"explicit": EXPLICIT, "big endian": BIG, "implicit": IMPLICIT}


@contextmanager
def without_layouts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layouts, "found", lambda *_: None)
        yield


def both(data: bytes, rules: RuleSet) -> tuple[Outcome, Outcome]:
    """(what becomes of a file, what does where no layout is ever found)."""
    found = outcome(data, CompiledRules(rules))
    with without_layouts():
        return found, outcome(data, CompiledRules(rules))


def a_file(items: list[Item], form: Form, *, is_undefined: bool) -> bytes:
    whole = Element(0x00081115, "SQ", tuple(items), is_undefined)
    elements = sorted([*identity(), whole], key=lambda element: element.tag)
    return part10(encode(elements, form), SYNTAXES[form])


def an_item(number: int, *, is_undefined: bool, is_nested: bool, is_decided: bool = False) -> Item:
    """An item of which few rules decide anything, or many."""
    code = [Element(0x00080100, "SH", b"%04d" % number), Element(0x00080104, "LO", b"meaning ")]
    if is_decided:
        day = b"2015%02d%02d" % (number % 12 + 1, number % 28 + 1) if number % 11 else b"no day  "
        code = [Element(0x00080022, "DA", day), *code, Element(0x00081050, "PN", b"Doe^John%04d" % (number % 50))]
    uid = Element(0x00081155, "UI", b"1.2.%d\0" % (number % 10 + 10) if number % 5 else b"1.2.3.4\0")
    nested = [sequence(0x00081199, code, code, is_undefined=is_undefined)] if is_nested else []
    return Item((*code, uid, *nested, Element(0x00280010, "US", number % 9)), is_undefined)


ITEMS = st.tuples(st.integers(10, 9999), st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    kinds=st.lists(ITEMS, min_size=1, max_size=4),
    order=st.lists(st.integers(0, 3), min_size=5, max_size=40),
    form=st.sampled_from(sorted(FORMS)),
    rules=st.sampled_from(sorted(RULE_SETS)),
    is_undefined=st.booleans(),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=2),
)
def test_a_sequence_comes_out_the_same_damaged_or_not(
    kinds: list[tuple[int, bool, bool, bool]],
    order: list[int],
    form: str,
    rules: str,
    is_undefined: bool,
    flips: list[tuple[int, int]],
) -> None:
    items = []
    for place, kind in enumerate(order):
        number, open_end, nested, decided = kinds[kind % len(kinds)]
        items.append(an_item(number + place, is_undefined=open_end, is_nested=nested, is_decided=decided))
    data = bytearray(a_file(items, FORMS[form], is_undefined=is_undefined))
    begin = data.find(b"meaning")
    for place, bits in flips:
        data[begin + place % (len(data) - begin)] ^= bits
    found, walked = both(bytes(data), RULE_SETS[rules])
    assert found == walked


def damaged(item: Item, what: str) -> Item:
    """The item with something in it that a walk would see."""
    code, meaning, uid, *rest = item.elements
    changed = {
        "a control byte": (code, meaning._replace(value=b"mea\x02ing "), uid, *rest),
        "a swallowed neighbour": (code, meaning._replace(value=b"m\x10\0\x10\0PN"), uid, *rest),
        "a NUL at the end": (code, meaning._replace(value=b"meaning\0"), uid, *rest),
        "a control byte at the end": (code, meaning._replace(value=b"meaning\x01"), uid, *rest),
        "another VR": (code, meaning._replace(vr="ST"), uid, *rest),
        "another tag": (code, meaning._replace(tag=0x00080105), uid, *rest),
        "a name": (code, meaning._replace(tag=0x00081050, vr="PN"), uid, *rest),
        "disorder": (meaning, code, uid, *rest),
        "a private element": (code, meaning, uid._replace(tag=0x00090010, vr="LO"), *rest),
        "a word too many": (code, meaning, uid, rest[0]._replace(value=b"\1\0\2\0\3")),
        "no UID padding": (code, meaning, uid._replace(value=b"1.2.3456"), *rest),
    }
    return item._replace(elements=changed[what])


@pytest.mark.parametrize("rules", RULE_SETS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_what_rules_decide_in_items_is_done_in_each_in_its_place(is_undefined: bool, form: str, rules: str) -> None:
    items = [
        an_item(n, is_undefined=is_undefined, is_nested=n % 3 == 0, is_decided=n % 4 > 0) for n in range(1000, 1090)
    ]
    found, walked = both(a_file(items, FORMS[form], is_undefined=is_undefined), RULE_SETS[rules])
    assert found == walked
    assert walked[0] or walked[2]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize(
    "what",
    [
        "a control byte", "a swallowed neighbour", "a NUL at the end", "a control byte at the end", "another VR",
        "another tag", "a name", "disorder", "a private element", "a word too many", "no UID padding",
    ],
)  # fmt: skip
def test_what_a_walk_would_see_is_seen(what: str, is_undefined: bool, form: str) -> None:
    sound = [an_item(5 * number, is_undefined=is_undefined, is_nested=False) for number in range(20, 40)]
    items = [*sound, damaged(sound[-1], what), *sound]
    for rules in RULE_SETS.values():
        found, walked = both(a_file(items, FORMS[form], is_undefined=is_undefined), rules)
        assert found == walked


@pytest.mark.parametrize("is_decided", [False, True], ids=["untouched", "decided"])
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_most_items_of_a_long_sequence_are_found(
    is_undefined: bool, is_decided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = Layout.is_that_of
    finds = []
    monkeypatch.setattr(Layout, "is_that_of", lambda *args: finds.append(looked_at(*args)) or finds[-1])
    draw = random.Random(1)
    items = [
        an_item(
            draw.randrange(1000, 9999),
            is_undefined=is_undefined,
            is_nested=is_undefined or not is_decided,
            is_decided=is_decided,
        )
        for _ in range(500)
    ]
    assert outcome(a_file(items, EXPLICIT, is_undefined=is_undefined), CompiledRules(RULE_SETS["seed-sample"]))[1]
    assert sum(finds) > 300


@pytest.mark.parametrize("form", FORMS)
def test_items_of_defined_and_undefined_length_are_not_taken_for_one_another(form: str) -> None:
    swapped = [an_item(20 + 5 * (n % 3), is_undefined=n % 2 == 0, is_nested=False) for n in range(30)]
    found, walked = both(a_file(swapped, FORMS[form], is_undefined=False), RULE_SETS["seed-sample"])
    assert found == walked


def test_an_item_nested_too_deep_is_not_found_however_well_its_layout_is_known() -> None:
    item = an_item(25, is_undefined=False, is_nested=True)
    data = encode_item(item)[8:]
    plans = CompiledRules(RULE_SETS["seed-sample"]).plans(Ground(EXPLICIT_LITTLE))
    layouts = Layouts(plans, lambda plans, _: plans)
    for _ in range(2):
        layouts.learn(data, 0, len(data), len(data))
    assert layouts.found(data, 0, len(data), len(data), MAX_DEPTH - 1)
    assert not layouts.found(data, 0, len(data), len(data), MAX_DEPTH)
