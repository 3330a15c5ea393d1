"""Traps of lengths: those that lie, that are undefined, that grow, that are zero; and of depth. (PS3.5 7.1, 7.5)"""

from __future__ import annotations

import base64
from itertools import product

import pytest
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    LONG_VRS,
    PUBLIC,
    SYNTAXES,
    UNDEFINED,
    Element,
    Form,
    Fragments,
    Item,
    body_of,
    deidentified,
    encode,
    encode_element,
    encode_item,
    failure,
    header,
    identity,
    part10,
    rewritten,
    sequence,
    with_identity,
)
from oracle import rule_set

from deid_batch import dicomfile
from deid_batch.crypto import decrypt_cbc
from deid_batch.errors import FileError

FORMS = {"explicit": EXPLICIT, "big endian": BIG, "implicit": IMPLICIT}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)

RULES = rule_set("""{"dicomTagRules": [
    {"tag": {"keyword": "ReferencedImageSequence"}, "method": "remove"},
    {"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "ANON"}]}""")
NAME, ANON = Element(0x00100010, "PN", b"Smith^John"), Element(0x00100010, "PN", b"ANON")
MODALITY = Element(0x00080060, "CS", b"CT")


def name_or_failure(data: bytes) -> str:
    """Why a file fails; "leaked" where its name comes through."""
    try:
        return "leaked" if b"Smith" in rewritten(data, RULES)[0] else "written"
    except FileError as error:
        return error.reason


LIARS = {
    "text": MODALITY,
    "one number": Element(0x00080301, "US", 5),
    "two numbers": Element(0x00081163, "FD", bytes(16)),
}


@every_form
@pytest.mark.parametrize("nested", [False, True], ids=["top level", "item"])
@pytest.mark.parametrize("what", LIARS)
def test_a_length_that_swallows_the_name_fails(what: str, nested: bool, form: Form) -> None:
    def file(first: Element) -> bytes:
        elements = with_identity(sequence(0x00082112, [first, NAME])) if nested else with_identity(first, NAME)
        return part10(encode(elements, form), SYNTAXES[form])

    true = 2 if what != "two numbers" else 16
    assert name_or_failure(file(LIARS[what])) == "written"
    assert name_or_failure(file(LIARS[what]._replace(length=true + len(encode([NAME], form))))) == "lying-length"


STUDY = with_identity(
    MODALITY,
    sequence(0x00081110, [MODALITY, NAME], is_undefined=True),
    NAME,
    Element(0x00280010, "US", 5),
    sequence(0x00400275, [NAME, Element(0x00400007, "LO", b"scan")]),
    sequence(0xFFFAFFFA, [NAME]),
)


@every_form
def test_no_length_that_lies_lets_the_name_through(form: Form) -> None:
    for number, liar in enumerate(STUDY):
        true = len(encode_element(liar, form)) - (12 if form.explicit and liar.vr in LONG_VRS else 8)
        for length in {*range(0, 130, 3), UNDEFINED if liar.vr == "SQ" else 0} - {true}:
            lying = [*STUDY[:number], liar._replace(length=length), *STUDY[number + 1 :]]
            assert name_or_failure(part10(encode(lying, form), SYNTAXES[form])) != "leaked", (hex(liar.tag), length)


def test_no_damaged_byte_lets_the_name_through_or_ends_in_anything_but_a_reason() -> None:
    body = encode(STUDY)
    assert name_or_failure(part10(body)) == "written"
    for position, byte in enumerate(body):
        for damaged in {byte ^ 1, byte ^ 0x80, 0, 0xFF} - {byte}:
            data = part10(body[:position] + bytes([damaged]) + body[position + 1 :])
            assert name_or_failure(data) != "leaked", (position, damaged)


@every_form
def test_a_file_cut_off_inside_an_element_fails(form: Form) -> None:
    elements = with_identity(
        NAME,
        sequence(0x00400275, [NAME], [], is_undefined=True),
        sequence(0x00720080, [MODALITY]),
        Element(0x7FE00010, "OW", bytes(20)),
    )
    whole = part10(encode(elements, form), SYNTAXES[form])
    begin = len(whole) - len(encode(elements, form))
    boundaries = [begin + len(encode(elements[:count], form)) for count in range(len(elements) + 1)]
    for cut in range(begin, len(whole)):
        behind = whole[max(boundary for boundary in boundaries if boundary <= cut) : cut]
        is_whole = cut >= begin + len(encode(elements[:2], form)) and not behind.strip(b"\0")
        assert (failure(whole[:cut], RULES) == "") == is_whole, cut - begin


def test_encapsulated_pixel_data_that_is_cut_off_fails() -> None:
    pixels = Element(0x7FE00010, "OB", Fragments((b"", b"abcdefgh")))
    whole = part10(encode([*identity(), pixels]), JPEG)
    reasons = [failure(whole[: len(whole) - cut], RULES) for cut in range(len(encode_element(pixels)) - 7)]
    assert reasons == ["", *["truncated"] * (len(reasons) - 1)]


ITEM_END, SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
UNDELIMITED = {
    "item": lambda form: header(0xFFFEE000, UNDEFINED, form) + encode([NAME], form) + header(SEQUENCE_END, 0, form),
    "sequence": lambda form: header(0xFFFEE000, UNDEFINED, form) + encode([NAME], form) + header(ITEM_END, 0, form),
    "both": lambda form: header(0xFFFEE000, UNDEFINED, form) + encode([NAME], form),
    "item with a length": lambda form: header(0xFFFEE000, len(encode([NAME], form)), form) + encode([NAME], form),
    "no item": lambda form: encode([NAME], form) + header(SEQUENCE_END, 0, form),
    "sequence delimitation with a length": lambda form: header(SEQUENCE_END, 2, form) + b"\0\0",
    "item delimitation with a length": lambda form: (
        header(0xFFFEE000, UNDEFINED, form)
        + encode([NAME], form)
        + header(ITEM_END, 8, form)
        + header(SEQUENCE_END, 0, form)
    ),
    "nothing": lambda form: b"",
}


@every_form
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("tag", [0x00081110, 0x00081140, 0x00400275], ids=["kept", "removed", "kept and late"])
@pytest.mark.parametrize("missing", UNDELIMITED)
def test_a_missing_or_odd_delimitation_fails(missing: str, tag: int, is_last: bool, form: Form) -> None:
    undelimited = Element(tag, "SQ", UNDELIMITED[missing](form), length=UNDEFINED)
    behind = [] if is_last else [Element(0x00880904, "LO", b"topic")]
    body = encode([*identity()[:2], undelimited, *behind], form)
    assert failure(part10(body, SYNTAXES[form]), RULES) != ""


@every_form
@pytest.mark.parametrize("more", [0, 1, 8, None], ids=["true", "one byte", "a header", "the next element"])
def test_what_is_longer_than_what_holds_it_fails(more: int | None, form: Form) -> None:
    following = Element(0x00100020, "LO", b"4711")
    more = len(encode([following], form)) if more is None else more
    plain, item = encode([NAME], form), header(0xFFFEE000, len(encode([NAME], form)), form)
    lying = {
        "item in its sequence": header(0xFFFEE000, len(plain) + more, form) + plain,
        "element in its item": item + encode([NAME._replace(length=10 + more)], form),
        "sequence in its item": encode_item(
            Item((Element(0x00081140, "SQ", item + plain, length=len(item + plain) + more),)), form
        ),
    }
    for what, items in lying.items():
        body = encode(
            [*identity()[:2], Element(0x00081110, "SQ", items), following, NAME._replace(tag=0x00101001)], form
        )
        assert failure(part10(body, SYNTAXES[form]), RULES) == ("bad-length" if more else ""), what


@every_form
@pytest.mark.parametrize("behind", [b"\0", b"Smith", b"Smith^John"], ids=repr)
def test_bytes_behind_the_last_element_of_an_item_fail(behind: bytes, form: Form) -> None:
    items = header(0xFFFEE000, len(encode([MODALITY], form)) + len(behind), form) + encode([MODALITY], form) + behind
    for following in ([], [Element(0x00100020, "LO", b"4711")]):
        body = encode([*identity()[:2], Element(0x00081110, "SQ", items), *following], form)
        assert failure(part10(body, SYNTAXES[form]), RULES) != ""


UNLIMITED = {
    **{vr: Element(PUBLIC[vr][0], vr, b"", length=UNDEFINED) for vr in LONG_VRS - {"SQ", "UN"}},
    "private OB": Element(0x00091001, "OB", b"", length=UNDEFINED),
    "float Pixel Data": Element(0x7FE00008, "OF", b"", length=UNDEFINED),
}


@pytest.mark.parametrize("behind", [0, 100_000], ids=["small", "beyond the first window"])
@pytest.mark.parametrize("what", UNLIMITED)
def test_undefined_length_fails_where_it_is_not_allowed(what: str, behind: int) -> None:
    items = header(0xFFFEE000, len(encode([NAME]))) + encode([NAME]) + header(SEQUENCE_END, 0)
    element = UNLIMITED[what]._replace(value=items)
    body = encode([*with_identity(element), Element(0x7FE00010, "OW", bytes(behind))])
    assert failure(part10(body), RULES) in ("bad-length", "tag-order")
    assert failure(part10(encode(with_identity(element._replace(value=b"", length=None)))), RULES) == ""


@pytest.mark.parametrize("vr", ["PN", "US", "DA"])
def test_undefined_length_fails_for_what_implicit_vr_knows_as_no_sequence(vr: str) -> None:
    element = Element(PUBLIC[vr][0], vr, header(SEQUENCE_END, 0), length=UNDEFINED)
    assert failure(part10(encode(with_identity(element), IMPLICIT), SYNTAXES[IMPLICIT]), RULES) == "bad-length"


def test_a_fragment_of_undefined_length_fails() -> None:
    for size in (8, 100_000):
        fragments = header(0xFFFEE000, UNDEFINED) + bytes(size) + header(SEQUENCE_END, 0)
        pixels = Element(0x7FE00010, "OB", fragments, length=UNDEFINED)
        assert failure(part10(encode([*identity(), pixels]), JPEG), RULES) == "bad-sequence"


@every_form
def test_empty_values_items_and_sequences_stay_as_they_are(form: Form) -> None:
    empty = [Element(tag, vr) for vr, tags in PUBLIC.items() for tag in tags if vr != "SQ"]
    inside = sorted((element for element in empty if element.tag >> 16 == 0x0072), key=lambda element: element.tag)
    sequences = [
        Element(0x00081110, "SQ", ()),
        Element(0x00081115, "SQ", (), is_undefined=True),
        sequence(0x00400275, [], [], is_undefined=True),
        sequence(0x00720080, [], inside),
    ]
    elements = with_identity(*empty, *sequences)
    assert deidentified(elements, RULES, form) == encode(elements, form)


@every_form
@pytest.mark.parametrize(("outer", "inner", "item"), [*product([False, True], repeat=3)])
def test_lengths_of_parents_follow_a_change_inside(outer: bool, inner: bool, item: bool, form: Form) -> None:
    def nested(name: Element) -> list[Element]:
        innermost = Element(0x00400275, "SQ", (Item((MODALITY, name), item), Item((name,))), inner)
        return with_identity(Element(0x00081110, "SQ", (Item((MODALITY, innermost)), Item((innermost,), item)), outer))

    assert deidentified(nested(NAME), RULES, form) == encode(nested(ANON), form)


@pytest.mark.parametrize(("count", "length", "vr"), [(13107, 65534, "PN"), (13108, 65536, "UN"), (13109, 65540, "UN")])
def test_a_short_vr_that_grows_beyond_65534_bytes_becomes_un(count: int, length: int, vr: str) -> None:
    def names(name: bytes) -> bytes:
        return b"\\".join([*[name] * 13107, *[b""] * (count == 13108), *[name] * (count == 13109)])

    out, account = rewritten(part10(encode(with_identity(NAME._replace(value=names(b"a"))))), RULES)
    grown = Element(NAME.tag, vr, names(b"ANON").ljust(length))
    assert body_of(out) == encode(with_identity(grown))
    assert account.warnings == (vr == "UN")


def test_what_has_four_bytes_for_its_length_keeps_its_vr_when_it_grows() -> None:
    rules = rule_set('{"dicomTagRules": [{"tag": {"VR": "UT"}, "method": "encrypt"}]}')
    out, account = rewritten(part10(encode(with_identity(Element(0x00720070, "UT", b"x" * 60_000)))), rules)
    at = out.index(b"r\0p\0UT\0\0") + 12
    sealed = base64.b64decode(out[at : at + int.from_bytes(out[at - 4 : at], "little")])
    assert decrypt_cbc(rules.rules[0].method.key, sealed) == b"x" * 60_000
    assert account.warnings == 0


def nest(depth: int, tag: int, vr: str, form: Form, *, is_undefined: bool) -> bytes:
    """A name within so many sequences."""
    inside = IMPLICIT if vr == "UN" else form
    value = encode([NAME], inside)
    for level in range(depth):
        value = header(0xFFFEE000, UNDEFINED if is_undefined else len(value), inside) + value
        value += header(ITEM_END, 0, inside) + header(SEQUENCE_END, 0, inside) if is_undefined else b""
        outermost = level == depth - 1
        length = UNDEFINED if is_undefined else None
        value = encode([Element(tag, vr, value, length=length)], form if outermost else inside)
    return value


@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize(
    ("tag", "vr", "form"),
    [
        (0x00081110, "SQ", EXPLICIT), (0x00081110, "SQ", BIG), (0x00081110, "SQ", IMPLICIT),
        (0x00081110, "UN", EXPLICIT), (0x00091001, "UN", EXPLICIT), (0x00091001, "UN", IMPLICIT),
    ],
)  # fmt: skip
def test_sequences_may_be_nested_64_deep_and_no_deeper(tag: int, vr: str, form: Form, is_undefined: bool) -> None:
    for depth, expected in ((64, "written"), (65, "too-deep"), (1000, "too-deep")):
        body = encode(identity()[:2], form) + nest(depth, tag, vr, form, is_undefined=is_undefined)
        assert name_or_failure(part10(body, SYNTAXES[form])) == expected, depth


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_what_is_nested_too_deep_inside_a_un_of_defined_length_is_not_taken_for_plain_bytes(form: Form) -> None:
    for depth, expected in ((63, "written"), (64, "too-deep"), (200, "too-deep")):
        items = nest(depth, 0x00081110, "SQ", IMPLICIT, is_undefined=True)
        hidden = Element(0x00091001, "UN", header(0xFFFEE000, len(items)) + items)
        assert name_or_failure(part10(encode([*identity()[:2], hidden], form), SYNTAXES[form])) == expected, depth


@pytest.mark.parametrize("tag", [0x00081110, 0x00081140], ids=["kept", "removed"])
def test_nesting_of_10000_fails_without_a_recursion_error(tag: int) -> None:
    def file(depth: int, length: int) -> bytes:
        one = encode([Element(tag, "SQ", b"", length=length)]) + header(0xFFFEE000, length)
        return part10(encode(identity()[:2]) + one * depth)

    assert failure(file(10_000, UNDEFINED), RULES) == "too-deep"
    assert failure(file(10_000, 0x7FFFFFFF), RULES) == "truncated"
    assert failure(file(2, UNDEFINED), RULES) == "truncated"


@pytest.mark.parametrize("window", [64 << 10, 1 << 20])
def test_what_must_be_looked_at_has_one_limit_whatever_the_first_window(
    monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    def reason(room: int) -> str:
        monkeypatch.setattr(dicomfile, "MAX_HEAD", len(data) + room)
        try:
            rewritten(data, RULES, window=window)
        except FileError as error:
            return error.reason
        return ""

    items = [[Element(0x00400007, "LO", b"x" * 60_000)]] * 50
    data = part10(encode(with_identity(NAME, sequence(0x00400275, *items, is_undefined=True))))
    assert (reason(0), reason(-1)) == ("", "too-large")
