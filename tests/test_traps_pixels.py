"""Traps of long values: Pixel Data and what stands behind it, icons, overlays, the window. (PS3.5 8, A.4)"""

from __future__ import annotations

import hashlib

import pytest
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    SYNTAXES,
    Element,
    Form,
    Fragments,
    Item,
    body_of,
    deidentified,
    encode,
    encode_element,
    failure,
    identity,
    part10,
    rewritten,
    sequence,
    with_identity,
)
from datasets import (
    FIRST_WINDOW as WINDOW,
)
from oracle import rule_set

from deid_batch import dicomfile
from deid_batch.rules import RuleSet

FORMS = {"explicit": EXPLICIT, "big endian": BIG, "implicit": IMPLICIT}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def names_and(*rules: str) -> RuleSet:
    """Rules, and behind them one for names."""
    names = '{"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "ANON"}'
    return rule_set(f'{{"dicomTagRules": [{", ".join([*rules, names])}]}}')


RULES = names_and()
KEEPING = names_and('{"tag": {"value": "(7FE0,xxxx)"}, "method": "keep"}')
EMPTYING = names_and('{"tag": {"value": "(7FE0,00xx)"}, "method": "redact", "redactLeaves": "empty"}')
REMOVING = names_and('{"tag": {"value": "(7FE0,00xx)"}, "method": "remove"}')
NAME, ANON = Element(0x00100010, "PN", b"Smith^John"), Element(0x00100010, "PN", b"ANON")


def noise(count: int) -> bytes:
    """Bytes that look like anything."""
    return hashlib.shake_128(b"pixels").digest(count)


def with_names(name: Element, *pixels: Element, head: int = 0, form: Form = EXPLICIT) -> list[Element]:
    """A long or short head, Pixel Data, and behind them elements of every kind, names among them."""
    private = [Element(0x7FE10010, "LO", b"ACME 1.0"), Element(0x7FE11001, "PN", name.value)] if form.explicit else []
    return [
        *with_identity(name, Element(0x00420011, "OB", noise(head))),
        *pixels,
        *private,
        sequence(0xFFFAFFFA, [name, Element(0x0400010F, "OB", noise(40))], is_undefined=True),
        Element(0xFFFCFFFC, "OB", b"Smith^John" * 10_000),
    ]


PIXELS = {
    "native": Element(0x7FE00010, "OW", noise(100_000)),
    "encapsulated": Element(0x7FE00010, "OB", Fragments((b"\0" * 8, noise(80_000), b"", noise(30_000)))),
    "float": Element(0x7FE00008, "OF", noise(100_000)),
    "double": Element(0x7FE00009, "OD", noise(100_000)),
    "short": Element(0x7FE00010, "OW", noise(10)),
}
every_kind = pytest.mark.parametrize("kind", PIXELS)
every_head = pytest.mark.parametrize("head", [0, 3 * WINDOW], ids=["short head", "long head"])


def syntax_of(kind: str, form: Form = EXPLICIT) -> str:
    return JPEG if kind == "encapsulated" else SYNTAXES[form]


@every_head
@every_kind
def test_what_stands_behind_pixel_data_is_never_spliced_unseen(kind: str, head: int) -> None:
    elements, expected = (with_names(name, PIXELS[kind], head=head) for name in (NAME, ANON))
    out, account = rewritten(part10(encode(elements), syntax_of(kind)), RULES)
    assert body_of(out) == encode(expected[:-1])
    assert account.sha256 == hashlib.sha256(out).hexdigest()
    assert account.counts == {"substituted": 3, "kept": 9}


@pytest.mark.parametrize("form", [BIG, IMPLICIT], ids=["big endian", "implicit"])
@every_head
def test_what_stands_behind_native_pixel_data_is_seen_in_every_form(head: int, form: Form) -> None:
    elements, expected = (with_names(name, PIXELS["native"], head=head, form=form) for name in (NAME, ANON))
    assert deidentified(elements, RULES, form) == encode(expected[:-1], form)


@pytest.mark.parametrize("rules", [RULES, KEEPING], ids=["no rule", "keep"])
@pytest.mark.parametrize("kind", [kind for kind in PIXELS if kind != "short"])
def test_long_pixel_data_are_not_held_in_memory(kind: str, rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomfile, "MAX_HEAD", WINDOW)
    data = part10(encode([*identity(), PIXELS[kind]]), syntax_of(kind))
    out, account = rewritten(data, rules)
    assert body_of(out) == encode([*identity(), PIXELS[kind]])
    assert account.counts == {"kept": 5}
    assert failure(part10(encode([*identity(), Element(0x00720070, "UT", b"x" * 100_000)])), rules) == "too-large"


@every_head
@every_kind
def test_pixel_data_that_go_leave_no_trace(kind: str, head: int) -> None:
    elements, expected = (with_names(name, PIXELS[kind], head=head) for name in (NAME, ANON))
    emptied = [Element(one.tag, one.vr) if one is PIXELS[kind] else one for one in expected[:-1]]
    removed = [one for one in expected[:-1] if one is not PIXELS[kind]]
    assert deidentified(elements, EMPTYING, syntax=syntax_of(kind)) == encode(emptied)
    assert deidentified(elements, REMOVING, syntax=syntax_of(kind)) == encode(removed)


def test_several_long_values_are_spliced_one_after_the_other() -> None:
    def elements(name: Element) -> list[Element]:
        return [
            *with_identity(name, Element(0x00091001, "OB", noise(200_000))),
            Element(0x54001010, "OW", noise(70_000)),
            Element(0x7FE00001, "OV", noise(80_000)),
            Element(0x7FE00002, "OV", noise(80_000)),
            Element(0x7FE00010, "OB", Fragments((b"", noise(300_000)))),
            Element(0x7FE10010, "PN", name.value),
        ]

    assert deidentified(elements(NAME), RULES, syntax=JPEG) == encode(elements(ANON))


@every_form
def test_every_head_length_around_the_first_window_gives_the_same(form: Form) -> None:
    def elements(name: Element, filling: int, *pixels: Element) -> list[Element]:
        filler = Element(0x00420011, "OB", noise(filling))
        return [*with_identity(filler), *pixels, Element(0x7FE10010, "LO", b"ACME"), sequence(0xFFFAFFFA, [name])]

    kinds = ["short", "native", "none", "encapsulated"] if form == EXPLICIT else ["short", "native", "none"]
    for kind in kinds:
        pixels = [] if kind == "none" else [PIXELS[kind]]
        syntax = syntax_of(kind, form)
        head = len(part10(encode(elements(NAME, 0)[:5], form), syntax))
        for delta in range(-16, 17):
            filling = WINDOW + delta - head
            out = deidentified(elements(NAME, filling, *pixels), RULES, form, syntax)
            assert out == encode(elements(ANON, filling, *pixels), form), (kind, delta)


@every_form
def test_every_file_length_around_the_first_window_gives_the_same(form: Form) -> None:
    head = len(part10(encode(with_identity(Element(0x00104000, "LT")), form), SYNTAXES[form]))
    for delta in range(-16, 17):
        filling = b" " * ((WINDOW + delta - head) // 2)
        halves = [Element(0x00104000, "LT", filling), Element(0x00204000, "LT", filling)]
        elements = with_identity(*halves)
        assert deidentified(elements, RULES, form) == encode(elements, form), delta
        assert failure(part10(encode(elements, form)[:-9], SYNTAXES[form]), RULES) == "truncated", delta


ICONS = {
    "native": Element(0x7FE00010, "OW", noise(64)),
    "encapsulated": Element(0x7FE00010, "OB", Fragments((b"", b"\xff\xd8icon\xff\xd9"))),
}


@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize("kind", ICONS)
def test_an_icon_is_walked_through_and_its_pixel_data_stay(kind: str, is_undefined: bool) -> None:
    def elements(name: Element) -> list[Element]:
        icon = Item(
            (name, Element(0x00280010, "US", 8), ICONS[kind], Element(0x7FE11001, "PN", name.value)), is_undefined
        )
        icons = Element(0x00880200, "SQ", (icon, icon), is_undefined)
        return [*with_identity(icons, Element(0x00880904, "LO", b"topic")), PIXELS["native"]]

    assert deidentified(elements(NAME), RULES) == encode(elements(ANON))
    assert deidentified(elements(NAME)[:-1], RULES, syntax=JPEG) == encode(elements(ANON)[:-1])


@pytest.mark.parametrize("kind", ICONS)
def test_a_rule_for_pixel_data_reaches_icons_too(kind: str) -> None:
    elements = [*with_identity(sequence(0x00880200, [NAME, ICONS[kind]])), PIXELS["native"]]
    assert deidentified(elements, REMOVING) == encode(with_identity(sequence(0x00880200, [ANON])))


def test_icons_alone_do_not_make_a_file_encapsulated() -> None:
    body = encode([*with_identity(sequence(0x00880200, [ICONS["encapsulated"]])), PIXELS["short"]])
    assert failure(bytes(128) + b"DICM" + body, RULES) == ""


def test_an_encapsulated_value_that_no_method_can_treat_is_erased() -> None:
    rules = rule_set('{"dicomTagRules": [{"tag": {"VR": "OB"}, "method": "cryptohash"}]}')
    for pixels in (PIXELS["encapsulated"], ICONS["encapsulated"]):
        out, account = rewritten(part10(encode([*identity(), pixels]), JPEG), rules)
        assert (body_of(out), account.warnings) == (encode([*identity(), Element(0x7FE00010, "OB")]), 1)


REPEATING = {
    "(60xx,3000)": [0x60003000, 0x60023000, 0x60FE3000],
    "(50xx,xxxx)": [0x50000005, 0x50003000, 0x501E3000],
    "(60xx,40xx)": [0x60004000, 0x60FE4000],
}
NEIGHBOURS = [0x51003000, 0x5FFE3000, 0x60000010, 0x60FE0045, 0x61003000, 0x64003000]


@every_form
def test_masks_reach_every_overlay_and_curve_and_nothing_else(form: Form) -> None:
    masks = ", ".join(f'{{"tag": {{"value": "{mask}"}}, "method": "remove"}}' for mask in REPEATING)
    rules = rule_set(f'{{"dicomTagRules": [{masks}]}}')
    repeating = [Element(tag, "OW", b"ab") for tags in REPEATING.values() for tag in tags]
    neighbours = [Element(tag, "OW", b"ab") for tag in NEIGHBOURS]
    inside = sequence(0x00081140, sorted([*repeating, *neighbours]))
    expected = with_identity(sequence(0x00081140, neighbours), *neighbours)
    assert deidentified(with_identity(inside, *repeating, *neighbours), rules, form) == encode(expected, form)


@every_form
def test_pixel_data_whose_length_lies_fail(form: Form) -> None:
    for size in (20, 100_000):
        pixels = Element(0x7FE00010, "OW", bytes(size))
        for length in (size + 1, size + 100, 0xFFFFFFFE):
            body = encode([*identity(), pixels._replace(length=length)], form)
            assert failure(part10(body, SYNTAXES[form]), RULES) == "truncated"
        assert failure(part10(encode([*identity(), pixels], form), SYNTAXES[form]), RULES) == ""


def test_encapsulated_pixel_data_hidden_as_un_fail() -> None:
    fragments = encode_element(PIXELS["encapsulated"])[12:]
    hidden = Element(0x7FE00010, "UN", fragments, length=0xFFFFFFFF)
    assert failure(part10(encode([*identity(), hidden]), JPEG), RULES) != ""


def test_items_in_the_place_of_pixel_data_hidden_as_un_are_walked_through() -> None:
    long = Element(0x00281201, "OW", noise(100_000))
    hidden = sequence(0x7FE00010, [NAME, long], is_undefined=True)._replace(is_wrapped=True)
    anonymous = sequence(0x7FE00010, [ANON, long], is_undefined=True)._replace(is_wrapped=True)
    assert deidentified([*identity(), hidden], RULES) == encode([*identity(), anonymous])
