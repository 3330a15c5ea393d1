"""What identifies inside sequences is found at any depth, and what is known of earlier items changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from datasets import BIG, EXPLICIT, IMPLICIT, Element, Item, encode, encode_item, sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from deid_batch.errors import FileError
from deid_batch.known import collect
from deid_batch.known.nested import Nested
from deid_batch.wire import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, MAX_DEPTH, Encoding, end_of_items

FORMS = {
    "explicit": (EXPLICIT, EXPLICIT_LITTLE),
    "big endian": (BIG, EXPLICIT_BIG),
    "implicit": (IMPLICIT, IMPLICIT_LITTLE),
}
PHYSICIAN = 0x00080090


def forget() -> None:
    for remembering in (collect._nested, collect._in_sequence, collect._identities):
        remembering.cache_clear()


@contextmanager
def without_memory() -> Iterator[None]:
    """No item is ever found to be like an earlier one."""
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Nested, "_form", lambda *_: None)
        yield
    forget()


def found_in(data: bytes, encoding: Encoding) -> tuple[collect.Identities, object]:
    """(what a data set says that identifies, where the skim ended or why it did not)."""
    found: dict[int, bytes] = {}
    try:
        end: object = collect.skim(data, 0, encoding, found)
    except FileError as error:
        end = (type(error), error.reason, error.detail)
    return collect.identities_of(found, encoding), end


def an_item(number: int, *, is_undefined: bool, nested: int = 0) -> Item:
    """An item with a name, and so many levels of others in it."""
    elements = [
        Element(0x00080100, "SH", b"%04d" % number),
        Element(PHYSICIAN, "PN", b"Doe%03d^J" % (number % 7) + b"a" * (number % 3) + b" " * ((2 - number % 3) % 2)),
        Element(0x00280010, "US", number % 9),
    ]
    if nested:
        below = an_item(number + 1, is_undefined=is_undefined, nested=nested - 1)
        elements.insert(2, Element(0x00081199, "SQ", (below, below), is_undefined))
    return Item(tuple(elements), is_undefined)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    order=st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 3)), min_size=3, max_size=30),
    form=st.sampled_from(sorted(FORMS)),
    is_undefined=st.booleans(),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=2),
)
def test_what_is_remembered_changes_nothing_damaged_or_not(
    order: list[tuple[int, bool, int]], form: str, is_undefined: bool, flips: list[tuple[int, int]]
) -> None:
    written, encoding = FORMS[form]
    items = tuple(an_item(number, is_undefined=is_open, nested=levels) for number, is_open, levels in order)
    sound = encode([Element(0x00081115, "SQ", items, is_undefined), Element(0x00100010, "PN", b"Top^Name")], written)
    data = bytearray(sound)
    for place, bits in flips:
        data[place % len(data)] ^= bits
    with without_memory():
        expected = found_in(bytes(data), encoding)
    for known in (sound, sound, bytes(data)):
        found = found_in(known, encoding)
    assert found == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    order=st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 3)), min_size=3, max_size=20),
    form=st.sampled_from(sorted(FORMS)),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=2),
)
def test_the_end_of_a_sequence_is_where_a_walk_finds_it(
    order: list[tuple[int, bool, int]], form: str, flips: list[tuple[int, int]]
) -> None:
    written, encoding = FORMS[form]
    items = [an_item(number, is_undefined=is_open, nested=levels) for number, is_open, levels in order]
    sound = b"".join(encode_item(item, written) for item in items) + encoding.write_tag(0xFFFEE0DD) + bytes(4)
    data = bytearray(sound)
    for place, bits in flips:
        data[place % len(data)] ^= bits
    ends = Nested(encoding, frozenset(), frozenset())
    for _ in range(2):
        end_of_items(sound, 0, len(sound), encoding, 1, delimited=True, ends=ends)

    def outcome(known: Nested | None) -> object:
        try:
            return end_of_items(bytes(data), 0, len(data), encoding, 1, delimited=True, ends=known)
        except FileError as error:
            return type(error), error.reason, error.detail

    assert outcome(ends) == outcome(None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_every_name_is_found_at_every_depth(form: str, is_undefined: bool) -> None:
    written, encoding = FORMS[form]
    draw = random.Random(3)
    numbers = [draw.randrange(1000) for _ in range(300)]
    items = tuple(an_item(n, is_undefined=draw.random() < 0.5, nested=n % 4) for n in numbers)
    forget()
    said, _ = found_in(encode([Element(0x00081115, "SQ", items, is_undefined)], written), encoding)
    expected = {f"Doe{(n + level) % 7:03}^J" + "a" * ((n + level) % 3) for n in numbers for level in range(n % 4 + 1)}
    assert {it.text for it in said if it.kind == "person"} == expected


@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_most_items_are_known_after_a_while(is_undefined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = Nested._form
    finds: list[object] = []
    monkeypatch.setattr(Nested, "_form", lambda *args: finds.append(looked_at(*args)) or finds[-1])
    items = tuple(an_item(number, is_undefined=is_undefined, nested=1) for number in range(400))
    nested, values = Nested(EXPLICIT_LITTLE, {PHYSICIAN}, frozenset()), []
    data = b"".join(map(encode_item, items))
    assert nested.look(data, 0, len(data), values, delimited=False) == len(data)
    assert sum(form is not None for form in finds) > 350
    assert len(values) == 3 * 400


HIDDEN = encode([Element(PHYSICIAN, "PN", b"Hidden^Harry")], IMPLICIT)


@pytest.mark.parametrize(
    "element",
    [
        Element(0x00091001, "UN", HIDDEN + b"\0\0\0\0"),
        Element(0x00091001, "OB", encode([Element(PHYSICIAN, "PN", b"Hidden^Harry")])),
        Element(0x00091001, "PN", b"Hidden^Harry"),
        Element(PHYSICIAN, "LO", b"Hidden^Harry"),
        Element(PHYSICIAN, "UN", b"Hidden^Harry"),
    ],
    ids=lambda element: f"{element.tag:08X} {element.vr}",
)
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_names_that_hide_in_items_are_found(element: Element, is_undefined: bool) -> None:
    plain = [an_item(number, is_undefined=is_undefined) for number in range(20)]
    hiding = Item((Element(0x00080100, "SH", b"0001"), element), is_undefined)
    whole = Element(0x00081115, "SQ", (*plain, hiding, hiding, hiding), is_undefined)
    forget()
    for _ in range(2):
        said, _ = found_in(encode([whole]), EXPLICIT_LITTLE)
        assert "Hidden^Harry" in {it.text for it in said}


def test_a_sequence_that_can_not_be_read_is_searched() -> None:
    broken = sequence(0x00081115, [Element(PHYSICIAN, "PN", b"Lost^Larry")])
    value = encode([broken])[12:] + b"\xfe\xff\x00\xe0\xff\xff\xff\x0fjunk"
    data = EXPLICIT_LITTLE.element(0x00081115, "SQ", value)
    assert "Lost^Larry" in {it.text for it in found_in(data, EXPLICIT_LITTLE)[0]}


def test_items_are_not_taken_for_known_ones_where_they_are_nested_too_deep() -> None:
    nested = Nested(EXPLICIT_LITTLE, {PHYSICIAN}, frozenset())
    data = encode_item(an_item(1, is_undefined=True, nested=2))[8:]
    for _ in range(2):
        nested.learn(data, 0, len(data))
    assert nested.found(data, 0, len(data), MAX_DEPTH - 2) == len(data)
    assert nested.found(data, 0, len(data), MAX_DEPTH - 1) == -1
    assert nested.found(data, 0, len(data) - 1, 1) == -1


def test_items_that_can_not_be_known_again_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, tries = Nested.read, []
    monkeypatch.setattr(Nested, "read", lambda *args, **more: tries.append(args) or read(*args, **more))
    hiding = Element(0x00091001, "SQ", (an_item(1, is_undefined=True),), is_undefined=True, is_wrapped=True)
    items = [Item((Element(PHYSICIAN, "PN", b"A^B "), hiding), is_undefined=True)] * 50
    data = b"".join(map(encode_item, items))
    nested, values = Nested(EXPLICIT_LITTLE, {PHYSICIAN}, frozenset()), []
    assert nested.look(data, 0, len(data), values, delimited=False) == len(data)
    assert len(tries) == 1
    assert [value for tag, value in values if tag == PHYSICIAN] == [b"A^B "] * 50
