"""Traps of values: padding, backslashes, character sets, private blocks, UN, what implicit VR must look up."""

from __future__ import annotations

import hmac

import pytest
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    Element,
    Form,
    Item,
    deidentified,
    encode,
    failure,
    header,
    part10,
    rewritten,
    sequence,
    with_identity,
)
from oracle import rule_set
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from deid_batch.rules import RuleSet

FORMS = {"explicit": EXPLICIT, "big endian": BIG, "implicit": IMPLICIT}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def by_vr(**methods: str) -> RuleSet:
    """Rules that select by VR: `PN='"remove"'`."""
    rules = [f'{{"tag": {{"VR": "{vr}"}}, "method": {method}}}' for vr, method in methods.items()]
    return rule_set(f'{{"dicomTagRules": [{", ".join(rules)}], "parameters": {{"cryptoHashKey": "secret"}}}}')


HASH = '"cryptohash", "maxLength": 16'
HASHES = by_vr(PN=HASH, LO=HASH, LT=HASH, SH=HASH)
NAMES = by_vr(PN='"substitute", "replaceWith": "ANON"')
NAME, ANON = Element(0x00100010, "PN", b"Smith^John"), Element(0x00100010, "PN", b"ANON")
PATIENT_ID, COMMENTS, CHARSET = 0x00100020, 0x00104000, 0x00080005


def hashed(*texts: str) -> bytes:
    """What HASHES make of these values."""
    digests = [hmac.new(b"secret", text.encode(), "sha256").hexdigest()[:16] if text else "" for text in texts]
    value = "\\".join(digests).encode()
    return value + b" " * (len(value) % 2)


def one(tag: int, vr: str, value: bytes, rules: RuleSet, form: Form = EXPLICIT, charset: bytes = b"") -> bytes:
    """What is written in place of one element's value."""
    others = [Element(CHARSET, "CS", charset)]
    body = deidentified(with_identity(*others, Element(tag, vr, value)), rules, form)
    start = len(encode(with_identity(*others)[:3], form)) + 8
    return body[start : len(body) - len(encode(with_identity()[2:], form))]


PADDED = {b"abc": "abc", b"abc ": "abc", b"abc\0": "abc", b"abc  \0": "abc", b"abc\0\0": "abc", b" abc": " abc"}
BACKSLASHES = {
    b"a\\b": ("a", "b"),
    b"a\\": ("a", ""),
    b"a\\ ": ("a", ""),
    b"\\a": ("", "a"),
    b"a\\\\b": ("a", "", "b"),
    b"a \\b\0": ("a", "b"),
    b"\\\\": ("", "", ""),
}


@every_form
@pytest.mark.parametrize("written", PADDED)
def test_padding_is_no_part_of_the_value(written: bytes, form: Form) -> None:
    assert one(PATIENT_ID, "LO", written, HASHES, form) == hashed(PADDED[written])
    assert one(PATIENT_ID, "LO", written, NAMES, form) == written


@pytest.mark.parametrize(("vr", "tag", "expected"), [("LO", PATIENT_ID, b"1.2 "), ("UI", 0x0008001A, b"1.2\0")])
def test_new_values_have_even_length(vr: str, tag: int, expected: bytes) -> None:
    rules = by_vr(**{vr: '"substitute", "replaceWith": "1.2"'})
    assert expected in deidentified(with_identity(Element(tag, vr, b"1.2.3")), rules)


@pytest.mark.parametrize("written", BACKSLASHES)
def test_positions_of_values_stay_whatever_is_empty(written: bytes) -> None:
    assert one(PATIENT_ID, "LO", written, HASHES) == hashed(*BACKSLASHES[written])
    assert one(PATIENT_ID, "LO", written, NAMES) == written


def test_a_backslash_is_a_letter_where_there_is_one_value() -> None:
    assert one(COMMENTS, "LT", b"a\\b\\", HASHES) == hashed("a\\b\\")


IN_CHARSET = {
    "default": (b"", b"M\xfcller", ("Müller",)),
    "Latin-1": (b"ISO_IR 100", b"M\xfcller\\\xe9", ("Müller", "é")),
    "UTF-8": (b"ISO_IR 192", "Müller\\山".encode(), ("Müller", "山")),
    "GB18030 with a trail byte 5C": (b"GB18030", b"\x81\x5c\\b\x81\x5c", ("乗", "b乗")),
    "GBK with a trail byte 5C": (b"GBK", b"a\x81\x5c\\", ("a乗", "")),
    "Japanese with a second byte 5C": (b"\\ISO 2022 IR 87", b"\x1b$B0\\\x1b(B\\b", ("移", "b")),
    "Japanese name": (b"\\ISO 2022 IR 87", b"Y^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ("Y^T=山田^太郎",)),
    "half-width Japanese": (b"ISO_IR 13", b"\xd4\xcf\xc0\xde^a", ("ﾔﾏﾀﾞ^a",)),
    "Korean name": (b"\\ISO 2022 IR 149", b"H=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\\b", ("H=洪^吉", "b")),
    "Chinese name": (b"\\ISO 2022 IR 58", b"W=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1", ("W=王^小",)),
    "Cyrillic and Latin": (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\xfc^\x1b-L\xbb\xee", ("ü^Лю",)),
}


@pytest.mark.parametrize(("charset", "written", "texts"), IN_CHARSET.values(), ids=IN_CHARSET)
def test_values_are_read_in_their_character_set(charset: bytes, written: bytes, texts: tuple[str, ...]) -> None:
    assert one(NAME.tag, "PN", written, HASHES, charset=charset) == hashed(*texts)
    assert one(NAME.tag, "PN", written, by_vr(LT=HASH), charset=charset) == written


@pytest.mark.parametrize(("charset", "written"), [(b"ISO_IR 999", b"M\xfcller"), (b"ISO_IR 192", b"M\xfcller")])
def test_what_is_no_text_in_its_character_set_is_erased_with_a_warning(charset: bytes, written: bytes) -> None:
    assert one(NAME.tag, "PN", written, HASHES, charset=charset) == b""
    assert one(NAME.tag, "PN", b"Muller", HASHES, charset=charset) == hashed("Muller")
    elements = with_identity(Element(CHARSET, "CS", charset), Element(NAME.tag, "PN", written))
    assert rewritten(part10(encode(elements)), HASHES)[1].warnings == 1


NEW_NAMES = {
    "UTF-8": (b"ISO_IR 192", "홍^길동=山"),
    "Japanese": (b"\\ISO 2022 IR 87", "Y^T=山田^太郎"),
    "Korean": (b"\\ISO 2022 IR 149", "Hong^G=洪^吉洞=홍^길동"),
    "Latin-1": (b"ISO_IR 100", "Müller^Jörg"),
}


@pytest.mark.parametrize(("charset", "name"), NEW_NAMES.values(), ids=NEW_NAMES)
def test_new_names_are_written_in_the_character_set_component_by_component(charset: bytes, name: str) -> None:
    rules = by_vr(PN=f'"substitute", "replaceWith": "{name}"')
    encodings = convert_encodings(charset.decode().split("\\"))
    written = one(NAME.tag, "PN", b"a^b", rules, charset=charset).rstrip(b" ")
    assert written == PersonName(name).encode(encodings)
    assert str(PersonName(written, encodings).decode()) == name


@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_an_item_has_its_own_character_set_or_that_around_it(is_undefined: bool) -> None:
    own, reset = Element(CHARSET, "CS", b"ISO_IR 100"), Element(CHARSET, "CS")
    latin, utf8 = (Element(PATIENT_ID, "LO", "Müller".encode(codec)) for codec in ("latin-1", "utf-8"))

    def elements(in_latin: Element, in_utf8: Element) -> list[Element]:
        deeper = sequence(0x00081140, [in_latin], is_undefined=is_undefined)
        items = ([own, deeper, in_latin], [in_utf8], [reset, in_latin])
        outer = sequence(0x00081110, *items, is_undefined=is_undefined)
        return with_identity(Element(CHARSET, "CS", b"ISO_IR 192"), outer, in_utf8)

    new = Element(PATIENT_ID, "LO", hashed("Müller"))
    assert deidentified(elements(latin, utf8), HASHES) == encode(elements(new, new))


MITRA, ACME = b"MITRA OBJECT UTF8 ATTRIBUTES 1.0", b"ACME 1.0"
"""A private creator whose (0033,xx02) pydicom knows to be a name, and an unknown one."""


def private(block: int, creator: bytes, value: bytes) -> list[Element]:
    return [
        Element(0x00330000 | block, "LO", creator),
        Element(0x00330002 | block << 8, "UN", value),
    ]


BLOCKS = {
    "one block": ([(0x10, MITRA, True)]),
    "padded creator": ([(0x10, MITRA + b"  ", True)]),
    "block number moved": ([(0xE7, MITRA, True)]),
    "last block": ([(0xFF, MITRA, True)]),
    "two creators": ([(0x10, ACME, False), (0x11, MITRA, True)]),
    "the same creator twice": ([(0x10, MITRA, True), (0x20, ACME, False), (0x30, MITRA, True)]),
    "unknown creator": ([(0x10, ACME, False)]),
}


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["UN", "implicit"])
@pytest.mark.parametrize("nested", [False, True], ids=["top level", "item"])
@pytest.mark.parametrize("what", BLOCKS)
def test_private_elements_are_known_by_the_creator_of_their_block(what: str, nested: bool, form: Form) -> None:
    def elements(name: bytes) -> list[Element]:
        blocks = [private(block, creator, name if known else b"Smith") for block, creator, known in BLOCKS[what]]
        found = sorted(element for block in blocks for element in block)
        return with_identity(sequence(0x00081110, found)) if nested else with_identity(*found)

    assert deidentified(elements(b"Smith"), NAMES, form) == encode(elements(b"ANON"), form)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["UN", "implicit"])
def test_a_creator_counts_in_its_own_item_alone(form: Form) -> None:
    orphan = Element(0x00331002, "UN", b"Smith")
    inside = sequence(0x00400275, [orphan], private(0x10, MITRA, b"ANON"), [orphan])
    elements = with_identity(*private(0x10, MITRA, b"ANON"), inside, Element(0x00351002, "UN", b"Smith"))
    assert deidentified(elements, NAMES, form) == encode(elements, form)
    assert deidentified(with_identity(orphan), NAMES, form) == encode(with_identity(orphan), form)


def test_private_elements_stay_known_for_their_creator_stays_with_them() -> None:
    rules = by_vr(LO='"remove"', PN='"substitute", "replaceWith": "ANON"')
    expected = with_identity(*private(0x10, MITRA, b"ANON"))
    assert deidentified(with_identity(*private(0x10, MITRA, b"Smith")), rules) == encode(expected)


def un(tag: int, value: bytes | tuple[Item, ...], is_undefined: bool = False) -> Element:
    """An element that is written as UN, its value in implicit VR."""
    return Element(tag, "SQ" if isinstance(value, tuple) else "UN", value, is_undefined, is_wrapped=True)


@pytest.mark.parametrize("form", [EXPLICIT, BIG], ids=["explicit", "big endian"])
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize("tag", [0x00081110, 0x00091001], ids=["public", "private"])
def test_a_sequence_hidden_as_un_is_walked(tag: int, is_undefined: bool, form: Form) -> None:
    def elements(name: Element) -> list[Element]:
        inner = Element(0x00400275, "SQ", (Item((name,)),), is_undefined)
        return with_identity(un(tag, (Item((name, inner), is_undefined), Item((name,))), is_undefined))

    assert deidentified(elements(NAME), NAMES, form) == encode(elements(ANON), form)


@pytest.mark.parametrize("form", [EXPLICIT, BIG], ids=["explicit", "big endian"])
def test_a_public_element_hidden_as_un_is_treated_and_stays_un(form: Form) -> None:
    rules = by_vr(PN='"substitute", "replaceWith": "ANON"', US='"substitute", "replaceWith": "7"')
    before = with_identity(un(NAME.tag, b"Smith^John"), un(0x00280010, b"\5\0"), Element(0x00280011, "US", 5))
    after = with_identity(un(NAME.tag, b"ANON"), un(0x00280010, b"\7\0"), Element(0x00280011, "US", 7))
    assert deidentified(before, rules, form) == encode(after, form)


ITEM_OF_NAME = header(0xFFFEE000, len(encode([NAME], IMPLICIT))) + encode([NAME], IMPLICIT)
NO_ITEMS = {
    "a byte behind the items": ITEM_OF_NAME + b"\0",
    "an item that goes on": ITEM_OF_NAME[:-1],
    "an item longer than its elements": header(0xFFFEE000, 3) + b"abc",
    "a delimitation first": header(0xFFFEE0DD, 0) + ITEM_OF_NAME,
    "another tag first": encode([NAME], IMPLICIT),
    "explicit VR": header(0xFFFEE000, len(encode([NAME]))) + encode([NAME]),
}


@pytest.mark.parametrize("what", NO_ITEMS)
def test_un_that_only_looks_like_a_sequence_stays_bit_identical(what: str) -> None:
    elements = with_identity(Element(0x00091001, "UN", NO_ITEMS[what]))
    assert deidentified(elements, NAMES) == encode(elements)
    hidden = with_identity(Element(0x00091001, "UN", ITEM_OF_NAME))
    assert b"Smith" not in deidentified(hidden, NAMES)


def test_a_name_with_another_text_vr_is_a_name_and_what_is_not_public_is_what_it_says() -> None:
    before = with_identity(
        Element(0x00091001, "LO", b"Smith"), Element(0x00091002, "PN", b"Smith"), NAME._replace(vr="LO"),
        Element(0x00100020, "PN", b"Smith"), Element(0x00100021, "LO", b"Smith"), Element(0x00100024, "OB", b"PN"),
    )  # fmt: skip
    after = [one._replace(value=b"ANON") if one.tag in (0x00091002, 0x00100010, 0x00100020) else one for one in before]
    assert deidentified(before, NAMES) == encode(after)


SIGNS = {
    "signed": (1, None, True, True),
    "unsigned": (0, None, False, False),
    "unsaid": (None, None, False, False),
    "unsigned item": (1, 0, True, False),
    "signed item": (0, 1, False, True),
    "signed item alone": (None, 1, False, True),
}
"""Pixel Representation around and in an item, and whether numbers there have a sign."""


@pytest.mark.parametrize(("around", "inside", "is_signed", "is_signed_inside"), SIGNS.values(), ids=SIGNS)
def test_pixel_representation_decides_between_us_and_ss(
    around: int | None, inside: int | None, is_signed: bool, is_signed_inside: bool
) -> None:
    def elements(number: int, number_inside: int) -> list[Element]:
        sign, sign_inside = ([] if one is None else [Element(0x00280103, "US", one)] for one in (around, inside))
        inner = sequence(0x00283000, [*sign_inside, Element(0x00280106, "US", number_inside)])
        return with_identity(*sign, *(Element(tag, "US", number) for tag in (0x00280106, 0x00409216)), inner)

    rules = by_vr(SS='"substitute", "replaceWith": "-7"')
    new = {True: 65536 - 7, False: 5}
    expected = elements(new[is_signed], new[is_signed_inside])
    assert deidentified(elements(5, 5), rules, IMPLICIT) == encode(expected, IMPLICIT)


@pytest.mark.parametrize("sign", [0, 1])
def test_pixel_representation_counts_down_to_sequences_hidden_as_un(sign: int) -> None:
    def elements(number: int) -> list[Element]:
        hidden = un(0x00283010, (Item((Element(0x00280106, "US", number),)),))
        return with_identity(Element(0x00280103, "US", sign), hidden, sequence(0x00283000, [hidden]))

    rules = by_vr(SS='"substitute", "replaceWith": "-7"')
    assert deidentified(elements(5), rules) == encode(elements(65536 - 7 if sign else 5))


def test_attributes_younger_than_pydicoms_dictionary_are_known() -> None:
    rules = by_vr(PN='"substitute", "replaceWith": "ANON"', LT=HASH)

    def elements(name: Element, comment: bytes) -> list[Element]:
        return with_identity(sequence(0x00100011, [name]), Element(0x00100012, "LT", comment))

    expected = elements(ANON, hashed("note"))
    assert deidentified(elements(NAME, b"note"), rules, IMPLICIT) == encode(expected, IMPLICIT)


@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_sequences_that_implicit_vr_can_not_know_are_walked(is_undefined: bool) -> None:
    def elements(name: Element) -> list[Element]:
        unknown = [sequence(tag, [name], [name], is_undefined=is_undefined) for tag in (0x00091001, 0x000A0010)]
        return with_identity(*unknown)

    assert deidentified(elements(NAME), NAMES, IMPLICIT) == encode(elements(ANON), IMPLICIT)


@pytest.mark.parametrize("byte", range(32))
def test_kept_text_may_hold_the_control_characters_of_text_and_no_others(byte: int) -> None:
    data = part10(encode(with_identity(Element(COMMENTS, "LT", b"a%cb" % byte))))
    allowed = byte in b"\t\n\f\r\x1b"
    assert failure(data, NAMES) == ("" if allowed else "lying-length")


@every_form
@pytest.mark.parametrize(
    ("charset", "left"), [(b"ISO_IR 100", b"ISO_IR 100"), (b"\\ISO 2022 IR 87 ", None), (b"SMITH", b"")]
)
def test_a_rule_for_a_vr_leaves_defined_terms_of_specific_character_set(
    charset: bytes, left: bytes | None, form: Form
) -> None:
    elements = with_identity(Element(CHARSET, "CS", charset), NAME)
    expected = with_identity(Element(CHARSET, "CS", charset if left is None else left), NAME)
    assert deidentified(elements, by_vr(CS='"redact", "redactLeaves": "empty"'), form) == encode(expected, form)


def test_a_rule_that_names_specific_character_set_changes_it() -> None:
    rules = rule_set('{"dicomTagRules": [{"tag": {"value": "(0008,0005)"}, "method": "remove"}]}')
    assert deidentified(with_identity(Element(CHARSET, "CS", b"ISO_IR 100"), NAME), rules) == encode(
        with_identity(NAME)
    )
