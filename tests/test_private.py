"""Private elements: matched by their creator wherever the block was placed, and never orphaned. (PS3.5 7.8)"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid_batch import Deidentifier
from deid_batch.config import read_config

SIEMENS, GE, ACME = "SIEMENS MR HEADER", "GEMS_ACQU_01", "ACME 1.0"
LONG = 200_000
"""Bytes of a value that goes on behind the first window."""
Elements = dict[int, Any]
Apply = Callable[..., Any]


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Apply:
    path = tmp_path_factory.mktemp("private") / "cfg.json"

    def deidentified(instance: Dataset, *rules: dict[str, Any], **others: Any) -> Dataset:
        path.write_text(json.dumps({"dicomTagRules": list(rules), **others}))
        return Deidentifier.from_config(str(path), first_day=date(2026, 7, 31)).apply(instance)

    return deidentified


def instance_of(elements: Elements, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """An instance with these elements: a text is an LO (a creator, for one), bytes an OB, a list a sequence."""
    instance = data_set(elements)
    instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, "1.2.3"
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = syntax
    return instance


def data_set(elements: Elements) -> Dataset:
    found = Dataset()
    for tag, value in elements.items():
        vr = {str: "LO", bytes: "OB", list: "SQ"}[type(value)]
        found.add_new(tag, vr, [data_set(item) for item in value] if vr == "SQ" else value)
    return found


def private_of(instance: Dataset) -> Elements:
    """The private elements, and the sequences that hold some, in the form they were built from."""
    return {
        int(element.tag): [private_of(item) for item in element.value] if element.VR == "SQ" else element.value or b""
        for element in instance
        if element.tag.is_private or element.VR == "SQ"
    }


def remove(**tag: Any) -> dict[str, Any]:
    return {"tag": tag, "method": "remove"}


REMOVE_ALL, ALL_GO = remove(private=True), {"private": "remove"}
KEEP_0C = {"tag": {"creator": SIEMENS, "value": "(0019,xx0C)"}, "method": "keep"}
IS_0C = (
    {"creator": SIEMENS, "value": "(0019,xx0C)"},
    {"creator": f" {SIEMENS} ", "value": "0019,xx0c"},
    {"creator": SIEMENS, "value": "(0019,420C)"},
    {"value": f'(0019,xx0C,"{SIEMENS}")'},
    {"creator": SIEMENS, "value": "(0019,xxxC)"},
)


# which elements


@pytest.mark.parametrize("tag", IS_0C)
@pytest.mark.parametrize("block", [0x10, 0x11, 0x42, 0xFF])
def test_an_element_is_found_wherever_its_block_was_placed(apply: Apply, tag: dict[str, str], block: int) -> None:
    creator, first, second = 0x00190000 | block, 0x0019000C | block << 8, 0x0019001D | block << 8
    after = apply(instance_of({creator: SIEMENS, first: "one", second: "two"}), remove(**tag))
    assert private_of(after) == {creator: SIEMENS, second: "two"}


@pytest.mark.parametrize("tag", IS_0C)
@pytest.mark.parametrize(
    "elements",
    [
        {0x00190010: GE, 0x0019100C: "another creator"},
        {0x00190010: SIEMENS.lower(), 0x0019100C: "creators are told apart by case"},
        {0x00190010: SIEMENS + " 2", 0x0019100C: "a longer name"},
        {0x00290010: SIEMENS, 0x0029100C: "another group"},
        {0x00190010: SIEMENS, 0x0019101D: "another element"},
        {0x00190010: SIEMENS, 0x0019110C: "another block, without a creator"},
        {0x00190010: SIEMENS, 0x00190011: GE, 0x0019110C: "another block, with another creator"},
        {0x00190010: SIEMENS, 0x00191001: "kept", 0x00081140: [{0x0019100C: "no creator in the item"}]},
        {0x00190010: SIEMENS, 0x00191001: "kept", 0x00081140: [{0x00190010: GE, 0x0019100C: "another in the item"}]},
        {0x00081140: [{0x00190010: SIEMENS}, {0x0019100C: "the creator stands in the item before"}]},
    ],
)
def test_no_other_element_is_found(apply: Apply, tag: dict[str, str], elements: Elements) -> None:
    assert private_of(apply(instance_of(elements), remove(**tag))) == elements


@pytest.mark.parametrize("tag", IS_0C)
def test_in_an_item_the_creator_of_the_item_counts(apply: Apply, tag: dict[str, str]) -> None:
    item = {0x00190010: GE, 0x00190011: SIEMENS, 0x0019100C: "stays", 0x0019110C: "goes", 0x0019110D: "stays"}
    elements = {0x00081140: [item, {0x00190010: SIEMENS, 0x0019100C: "goes", 0x00191001: "stays"}]}
    after = apply(instance_of(elements), remove(**tag))
    assert private_of(after) == {
        0x00081140: [
            {tag: value for tag, value in item.items() if value != "goes"},
            {0x00190010: SIEMENS, 0x00191001: "stays"},
        ]
    }


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_encoding_makes_no_difference(apply: Apply, syntax: str) -> None:
    """In implicit VR the private dictionary tells that (0019,xx0B) of this creator is DS, and so on."""
    elements = {0x00190010: SIEMENS, 0x0019100B: b"12", 0x0019100C: b"34", 0x00191100: b"no creator"}
    for tag, gone in (({"creator": SIEMENS}, {0x00190010, 0x0019100B, 0x0019100C}), (IS_0C[0], {0x0019100C})):
        after = apply(instance_of(elements, syntax), remove(**tag))
        assert private_of(after).keys() == elements.keys() - gone


def test_a_creator_alone_means_all_its_elements_in_every_group_block_and_item(apply: Apply) -> None:
    elements = {
        0x00190010: ACME, 0x00190011: GE, 0x00191001: "a", 0x00191101: "stays",
        0x00290020: ACME, 0x00290021: ACME, 0x00292001: "b", 0x00292102: "c", 0x00292199: "d",
        0x00081140: [{0x00090010: ACME, 0x00091001: "e"}, {0x00090010: GE, 0x00091001: "stays"}],
    }  # fmt: skip
    after = apply(instance_of(elements), remove(creator=ACME))
    assert private_of(after) == {
        0x00190011: GE,
        0x00191101: "stays",
        0x00081140: [{}, {0x00090010: GE, 0x00091001: "stays"}],
    }


def test_a_creator_beyond_ascii_is_read_in_the_files_character_set(apply: Apply) -> None:
    for charset in ("ISO_IR 100", "ISO_IR 192"):
        instance = instance_of({0x00190010: "MÜLLER", 0x00191001: "goes"})
        instance.SpecificCharacterSet = charset
        assert private_of(apply(instance, remove(creator="MÜLLER"))) == {}


@pytest.mark.parametrize("value", ["(0019,100C)", "0019100c", "(0019,xx0C)", "(0019,1xxx)", "(0019,xxxx)"])
def test_a_number_without_a_creator_matches_whatever_the_creator(apply: Apply, value: str) -> None:
    elements = {0x00190010: GE, 0x0019100C: "goes", 0x00290010: GE, 0x0029100C: "stays"}
    for creator in (GE, SIEMENS, "", "another"):
        after = apply(instance_of({**elements, 0x00190010: creator}), remove(value=value))
        assert private_of(after) == {0x00290010: GE, 0x0029100C: "stays"}
    del elements[0x00190010]
    assert 0x0019100C not in apply(instance_of(elements), remove(value=value))


@pytest.mark.parametrize(
    ("value", "is_told"), [("(0019,100C)", True), ("(0019,xx0C)", False), (f'(0019,100C,"{GE}")', False)]
)
def test_check_says_that_a_number_without_a_creator_matches_any(tmp_path: Path, value: str, is_told: bool) -> None:
    path = tmp_path / "cfg.json"
    path.write_text(json.dumps({"dicomTagRules": [remove(value=value)]}))
    said = "(0019,100C) matches this number whatever its private creator; name the creator to be exact"
    expected = [f"cfg.json:1:20 dicomTagRules[0]: warning: {said}"] if is_told else []
    assert list(read_config(str(path)).lines) == expected


# what becomes of the creators

BLOCKS = {
    0x00090010: GE, 0x00091001: "a", 0x00091002: "b",
    0x00190010: SIEMENS, 0x00190011: ACME, 0x0019100B: "c", 0x0019100C: "d", 0x00191101: "e",
    0x0029100C: "an orphan",
    0x00310010: "a creator without a block",
    0x00081140: [{0x00190012: SIEMENS, 0x0019120B: "f", 0x0019120C: "g"}, {0x00090010: GE, 0x00091001: "h"}],
    0x00950010: SIEMENS, 0x00951001: [{0x00190010: SIEMENS, 0x0019100C: "i"}, {}],
}  # fmt: skip
SAFE_ONES = {
    0x00190010: SIEMENS,
    0x0019100C: "d",
    0x00081140: [{0x00190012: SIEMENS, 0x0019120C: "g"}, {}],
}


def test_private_true_takes_every_private_element_and_nothing_else(apply: Apply) -> None:
    before = instance_of({**BLOCKS, 0x00100020: "4711"})
    after = apply(before, REMOVE_ALL)
    assert private_of(after) == {0x00081140: [{}, {}]}
    assert after.PatientID == "4711"
    assert private_of(before) == BLOCKS


@pytest.mark.parametrize("rules", [(KEEP_0C, REMOVE_ALL), (KEEP_0C,)], ids=["private: true", "default"])
@pytest.mark.parametrize("default", [ALL_GO, {"public": "keep", "private": "remove"}])
def test_one_element_of_a_block_is_kept_with_its_creator_where_all_others_go(
    apply: Apply, rules: tuple[dict[str, Any], ...], default: dict[str, str]
) -> None:
    assert private_of(apply(instance_of(BLOCKS), *rules, default=default)) == SAFE_ONES


@pytest.mark.parametrize("elements", [{0x00191001}, {0x00191002}, {0x00191001, 0x00191002}])
def test_removing_some_of_a_block_leaves_its_creator_to_the_others(apply: Apply, elements: set[int]) -> None:
    block = {0x00190010: GE, 0x00191001: "a", 0x00191002: "b", 0x00191003: "c"}
    rules = [remove(creator=GE, value=f"0019,{tag & 0xFFFF:04x}") for tag in elements]
    after = apply(instance_of(block), *rules)
    assert private_of(after) == {tag: value for tag, value in block.items() if tag not in elements}


@pytest.mark.parametrize(
    "rules",
    [
        [remove(creator=GE)],
        [remove(creator=GE, value="(0019,xx01)"), remove(creator=GE, value="(0019,xx02)")],
        [remove(value="(0019,1001)"), remove(value="(0019,1002)")],
        [remove(value="(0019,10xx)")],
        [remove(value="(0019,xxxx)")],
        [remove(VR="LO")],
        [REMOVE_ALL],
        [{"tag": {"private": True}, "method": "redact"}],
        [{"tag": {"value": "(0019,0010)"}, "method": "keep"}, remove(creator=GE)],
    ],
)
def test_a_creator_goes_with_the_last_element_of_its_block(apply: Apply, rules: list[dict[str, Any]]) -> None:
    block = {0x00190010: GE, 0x00191001: "a", 0x00191002: "b"}
    nested = {0x00081140: [block, block]}
    after = apply(instance_of({**block, **nested}), *rules)
    assert private_of(after) == {0x00081140: [{}, {}]}


@pytest.mark.parametrize(
    "rule",
    [
        remove(value="(0019,0010)"),
        remove(VR="LO"),
        {"tag": {"VR": "LO"}, "method": "redact"},
        {"tag": {"private": True}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"private": True}, "method": "substitute", "onError": "redact"},
        {"tag": {"private": True}, "method": "cryptohash"},
    ],
)
def test_no_rule_takes_or_changes_the_creator_of_what_stays(apply: Apply, rule: dict[str, Any]) -> None:
    for block in ({0x00190010: GE, 0x00191001: b"ab"}, {0x00190010: GE, 0x00191001: "text", 0x00191002: b"ab"}):
        after = apply(instance_of(block), rule)
        assert after[0x00190010].value == GE
        assert 0x00191001 in after or 0x00191002 in after


def test_a_block_of_which_the_values_go_stays_with_its_creator(apply: Apply) -> None:
    rule = {"tag": {"creator": GE}, "method": "redact", "redactLeaves": "empty"}
    after = apply(instance_of({0x00190010: GE, 0x00191001: "a"}), rule)
    assert private_of(after) == {0x00190010: GE, 0x00191001: b""}


@pytest.mark.parametrize("rules", [[], [remove(creator=ACME)], [remove(VR="OB")], [remove(keyword="PatientID")]])
def test_creators_without_a_block_and_elements_without_a_creator_are_left_to_their_rules(
    apply: Apply, rules: list[dict[str, Any]]
) -> None:
    odd = {0x00190010: GE, 0x0029100C: "an orphan"}
    rules = rules or [remove(value="(0051,1001)")]
    assert private_of(apply(instance_of(odd), *rules)) == odd


def test_blocks_of_one_creator_are_told_apart(apply: Apply) -> None:
    elements = {0x00190010: GE, 0x00190011: GE, 0x00191001: "goes", 0x00191101: "goes", 0x00191102: "stays"}
    after = apply(instance_of(elements), remove(creator=GE, value="(0019,xx01)"))
    assert private_of(after) == {0x00190011: GE, 0x00191102: "stays"}


# long values, which the walk does not hold in memory


@pytest.mark.parametrize("size", [8, 60_000, LONG, 600_000])
@pytest.mark.parametrize(
    ("rules", "stays"),
    [
        ([remove(creator=GE)], {0x00190011, 0x00191101, 0x00290010, 0x00291001}),
        ([remove(creator=ACME)], {0x00190010, 0x00191001, 0x00191002, 0x00290010, 0x00291001}),
        ([remove(VR="OB")], {0x00190010, 0x00191002}),
        ([remove(VR="LO")], {0x00190010, 0x00190011, 0x00191001, 0x00191101, 0x00290010, 0x00291001}),
        ([remove(value="(0019,1001)")], {0x00190010, 0x00190011, 0x00191002, 0x00191101, 0x00290010, 0x00291001}),
        ([remove(value="(0019,1002)")], {0x00190010, 0x00190011, 0x00191001, 0x00191101, 0x00290010, 0x00291001}),
        ([remove(value="(0019,1101)")], {0x00190010, 0x00191001, 0x00191002, 0x00290010, 0x00291001}),
        ([remove(value="(0019,xxxx)")], {0x00290010, 0x00291001}),
        ([remove(value="(0029,xxxx)")], {0x00190010, 0x00190011, 0x00191001, 0x00191002, 0x00191101}),
        ([{"tag": {"creator": GE, "value": "(0019,xx01)"}, "method": "keep"}, REMOVE_ALL], {0x00190010, 0x00191001}),
        ([{"tag": {"creator": ACME}, "method": "keep"}, REMOVE_ALL], {0x00190011, 0x00191101}),
        ([REMOVE_ALL], set()),
    ],
)
def test_the_size_of_a_value_makes_no_difference(
    apply: Apply, size: int, rules: list[dict[str, Any]], stays: set[int]
) -> None:
    elements = {
        0x00190010: GE, 0x00190011: ACME, 0x00191001: bytes(size), 0x00191002: "b", 0x00191101: bytes(size),
        0x00290010: SIEMENS, 0x00291001: bytes(size),
    }  # fmt: skip
    before = instance_of({**elements, 0x00420011: bytes(size)})
    before.NumberOfEnergyWindows = 2  # the last element
    after = apply(before, *rules)
    assert private_of(after) == {tag: value for tag, value in elements.items() if tag in stays}
    assert after.NumberOfEnergyWindows == 2


@pytest.mark.parametrize("size", [8, LONG])
def test_a_long_block_of_which_the_values_go_stays_with_its_creator(apply: Apply, size: int) -> None:
    rule = {"tag": {"private": True}, "method": "redact", "redactLeaves": "empty"}
    after = apply(instance_of({0x00190010: GE, 0x00191001: bytes(size), 0x00191002: bytes(size)}), rule)
    assert private_of(after) == {0x00190010: GE, 0x00191001: b"", 0x00191002: b""}


# any blocks, any rules


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> Elements:
    """Private elements of several creators at any place, orphans among them, some in items and some long."""
    found: Elements = {}
    for group in draw(st.lists(st.sampled_from([0x0009, 0x0019, 0x7FE1, 0xFFFF]), max_size=2, unique=True)):
        for block in draw(st.lists(st.integers(0x10, 0xFF), max_size=3, unique=True)):
            if creator := draw(st.sampled_from([GE, SIEMENS, ACME, None])):
                found[group << 16 | block] = creator
            for number in draw(st.lists(st.sampled_from([0x01, 0x0C, 0x0D]), max_size=3, unique=True)):
                value = draw(st.sampled_from(["text", b"ab", bytes(LONG), "items" if depth < 2 else "deep"]))
                value = draw(st.lists(blocks(depth + 1), max_size=2)) if value == "items" else value
                found[group << 16 | block << 8 | number] = value
    if depth < 2 and draw(st.booleans()):
        found[0x00081140] = draw(st.lists(blocks(depth + 1), max_size=2))
    return found


TAGS = st.sampled_from([
    {"private": True}, {"creator": GE}, {"creator": SIEMENS, "value": "(0019,xx0C)"}, {"VR": "LO"}, {"VR": "OB"},
    {"value": "(0009,xxxx)"}, {"value": "(xxxx,xx01)"}, {"creator": ACME, "value": "(7FE1,xx0x)"}, {"VR": "SQ"},
])  # fmt: skip
RULES = st.lists(
    st.fixed_dictionaries({"tag": TAGS, "method": st.sampled_from(["keep", "remove"])}), min_size=1, max_size=3
)


def is_creator(tag: int) -> bool:
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def creator_tag(tag: int) -> int:
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


def matches(tag: dict[str, Any], number: int, value: Any, creator: str | None) -> bool:
    """A plain reading of the selectors above, for elements that are no creators."""
    if "VR" in tag:
        return {str: "LO", bytes: "OB", list: "SQ"}[type(value)] == tag["VR"]
    if "private" in tag:
        return bool(number >> 16 & 1)
    digits = tag.get("value", "(xxxx,xxxx)")[1:-1].replace(",", "").lower()
    if "creator" in tag:
        digits = digits[:4] + "xx" + digits[6:]
    fits = all(want in ("x", has) for want, has in zip(digits, f"{number:08x}", strict=True))
    return fits and bool(number >> 16 & 1 or "creator" not in tag) and tag.get("creator", creator) == creator


def expected(elements: Elements, rules: list[dict[str, Any]]) -> Elements:
    """What stays: elements by the first rule that matches, creators as long as their block does."""
    kept: Elements = {}
    for number, value in sorted(elements.items()):
        creator = elements.get(creator_tag(number)) if number >> 16 & 1 else None
        deciding = next((rule for rule in rules if matches(rule["tag"], number, value, creator)), {"method": "keep"})
        if is_creator(number) or deciding["method"] == "keep":
            kept[number] = [expected(item, rules) for item in value] if isinstance(value, list) else value
    for number in [number for number in kept if is_creator(number)]:
        block_was, block_is = (
            any(not is_creator(tag) and tag >> 16 & 1 and creator_tag(tag) == number for tag in some)
            for some in (elements, kept)
        )
        erased = next((rule for rule in rules if matches(rule["tag"], number, "", None)), {"method": "keep"})
        if not block_is and (block_was or erased["method"] == "remove"):
            del kept[number]
    return kept


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blocks(), RULES, st.sampled_from([ExplicitVRLittleEndian, ExplicitVRBigEndian]))
def test_whatever_the_blocks_and_rules_no_element_is_orphaned(
    apply: Apply, elements: Elements, rules: list[dict[str, Any]], syntax: str
) -> None:
    assert private_of(apply(instance_of(elements, syntax), *rules)) == expected(elements, rules)
