"""`default`: what happens to every element that no rule matches, private ones apart. (CONTRACT 4)"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from deid_batch import Deidentifier
from deid_batch.config import load_config, read_config

STRUCTURAL = {0x00080005, 0x00080016, 0x00080018}
FILES = ["CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "reportsi.dcm", "JPEG2000.dcm", "image_dfl.dcm"]
Apply = Callable[..., Dataset]


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Apply:
    path = tmp_path_factory.mktemp("default") / "cfg.json"

    def deidentified(instance: Dataset, default: Any, *rules: dict[str, Any]) -> Dataset:
        path.write_text(json.dumps({"dicomTagRules": list(rules), "default": default}))
        return Deidentifier.from_config(str(path), first_day=date(2026, 7, 31)).apply(instance)

    return deidentified


@cache
def real(name: str) -> Dataset:
    return dcmread(get_testdata_file(name))


def keep(*keywords: str) -> list[dict[str, Any]]:
    return [{"tag": {"keyword": keyword}, "method": "keep"} for keyword in keywords]


def tags_of(instance: Dataset) -> set[int]:
    return {int(element.tag) for element in instance}


REDACT_ID = {"tag": {"keyword": "PatientID"}, "method": "redact"}


@pytest.mark.parametrize("default", ["keep", "KEEP", {"public": "keep", "private": "keep"}, {"public": "keep"}])
@pytest.mark.parametrize("name", FILES)
def test_keep_leaves_all_else_as_it_is(apply: Apply, name: str, default: Any) -> None:
    """As without a `default`; group lengths and Data Set Trailing Padding always go."""
    after = apply(real(name), default, REDACT_ID)
    dropped = {tag for tag in tags_of(real(name)) if not tag & 0xFFFF or tag == 0xFFFCFFFC}
    assert tags_of(after) == tags_of(real(name)) - {0x00100020} - dropped


@pytest.mark.parametrize("default", ["remove", "Remove", {"public": "remove", "private": "remove"}])
@pytest.mark.parametrize("name", FILES)
def test_remove_leaves_what_the_rules_keep_and_what_a_data_set_needs(apply: Apply, name: str, default: Any) -> None:
    rules = keep("StudyDate", "Modality", "PixelData", "BitsAllocated")
    after, before = apply(real(name), default, *rules), real(name)
    kept = STRUCTURAL | {0x00080020, 0x00080060, 0x7FE00010, 0x00280100}
    assert tags_of(after) == tags_of(before) & kept
    assert [after[tag] for tag in tags_of(after)] == [before[tag] for tag in tags_of(after)]


@pytest.mark.parametrize(
    ("default", "public_stays", "private_stays"),
    [
        ("remove", False, False),
        ({"public": "remove"}, False, True),
        ({"public": "remove", "private": "keep"}, False, True),
        ({"private": "remove"}, True, False),
        ({"public": "keep", "private": "remove"}, True, False),
        ("keep", True, True),
    ],
)
def test_public_and_private_elements_have_defaults_apart(
    apply: Apply, default: Any, public_stays: bool, private_stays: bool
) -> None:
    before = real("CT_small.dcm")
    after = apply(before, default, *keep("PatientSex"))
    always = STRUCTURAL | {0x00100040, 0xFFFCFFFC}
    for is_private, stays in ((False, public_stays), (True, private_stays)):
        were, are = (
            {tag for tag in tags_of(it) - always if bool(tag >> 16 & 1) is is_private} for it in (before, after)
        )
        assert are == (were if stays else set())
    assert after.PatientSex == before.PatientSex


def test_a_kept_sequence_keeps_of_its_items_what_the_rules_keep(apply: Apply) -> None:
    after = apply(real("CT_small.dcm"), "remove", *keep("OtherPatientIDsSequence", "TypeOfPatientID"))
    assert [tags_of(item) for item in after.OtherPatientIDsSequence] == [{0x00100022}, {0x00100022}]
    path = {"tag": {"path": "OtherPatientIDsSequence/PatientID"}, "method": "keep"}
    after = apply(real("CT_small.dcm"), "remove", path, *keep("OtherPatientIDsSequence"))
    assert [tags_of(item) for item in after.OtherPatientIDsSequence] == [{0x00100020}, {0x00100020}]
    assert "PatientID" not in after


def test_what_a_data_set_needs_stays_in_items_too_but_goes_where_a_rule_says_so(apply: Apply) -> None:
    item = Dataset()
    item.SpecificCharacterSet, item.SOPInstanceUID, item.PatientID = "ISO_IR 192", "1.2.3", "4711"
    before = real("MR_small.dcm").copy()
    before.ReferencedStudySequence = [item]
    after = apply(before, "remove", *keep("ReferencedStudySequence"))
    assert tags_of(after.ReferencedStudySequence[0]) == {0x00080005, 0x00080018}
    gone = {"tag": {"path": "*/SOPInstanceUID"}, "method": "remove"}
    after = apply(before, "remove", *keep("ReferencedStudySequence"), gone)
    assert tags_of(after.ReferencedStudySequence[0]) == {0x00080005}


def test_every_rule_comes_before_the_default_whatever_its_kind(apply: Apply) -> None:
    rules = [
        {"tag": {"VR": "DA"}, "method": "keep"},
        {"tag": {"value": "(0028,xxxx)"}, "method": "keep"},
        {"tag": {"creator": "GEMS_PATI_01"}, "method": "keep"},
        {"tag": {"path": "/PatientID"}, "method": "keep"},
        {"tag": {"keyword": "PatientName"}, "method": "substitute"},
    ]
    before = real("CT_small.dcm")
    after = apply(before, "remove", *rules)
    stays = {tag for tag in tags_of(before) if tag >> 16 == 0x0028 or before[tag].VR == "DA"}
    stays |= STRUCTURAL | {0x00110010, 0x00111010, 0x00100020, 0x00100010}
    assert tags_of(after) == stays
    assert after.PatientName == "ANONYMOUS"


def test_default_alone_makes_a_config(apply: Apply) -> None:
    assert tags_of(apply(real("CT_small.dcm"), "remove")) == STRUCTURAL


def test_both_dialects_say_a_default_alike(tmp_path: Any) -> None:
    default = {"public": "remove", "private": "remove"}
    for name, rule in (("dicomTagRules", keep("PatientID")[0]), ("rules", {"tag": "PatientID", "method": "keep"})):
        (tmp_path / f"{name}.json").write_text(json.dumps({name: [rule], "default": default}))
    native, successor = (load_config(str(tmp_path / f"{name}.json")).rules for name in ("dicomTagRules", "rules"))
    assert [(rule.selector, rule.method) for rule in native] == [(rule.selector, rule.method) for rule in successor]
    assert [rule.is_default for rule in native] == [False, True, True]


CHOICE = "default must be keep or remove"


@pytest.mark.parametrize(
    ("default", "problem"),
    [
        ('▸"delete"', f": {CHOICE}"),
        ('▸"redact"', f": {CHOICE}"),
        ("▸null", f": {CHOICE}"),
        ("▸true", f": {CHOICE}"),
        ('▸["keep"]', f": {CHOICE}"),
        ("▸{}", ": must hold public, private or both"),
        ('{"public": ▸"drop"}', f".public: {CHOICE}"),
        ('{"private": ▸{"creator": "X"}}', f".private: {CHOICE}"),
        ('{▸"privat": "remove"}', ".privat: unknown key 'privat', did you mean 'private'?"),
        ('{"public": "keep", ▸"public": "remove"}', ".public: this key stands twice"),
    ],
)
def test_a_default_that_is_wrong_is_told_where_it_stands(tmp_path: Any, default: str, problem: str) -> None:
    text = f'{{"dicomTagRules": [{{"tag": {{"VR": "PN"}}, "method": "remove"}}], "default": {default}}}'
    (tmp_path / "cfg.json").write_text(text.replace("▸", ""))
    assert read_config(str(tmp_path / "cfg.json")).lines == (f"cfg.json:1:{text.index('▸') + 1} default{problem}",)


@pytest.mark.parametrize(
    ("rules", "is_told"),
    [
        ([], True),
        ([{"tag": {"keyword": "OtherPatientIDsSequence"}, "method": "remove"}], True),
        ([{"tag": {"keyword": "OtherPatientIDsSequence"}, "method": "keep"}], False),
        ([{"tag": {"VR": "SQ"}, "method": "keep"}], False),
        ([{"tag": {"path": "/OtherPatientIDsSequence"}, "method": "keep"}], False),
        ([{"tag": {"VR": "SQ"}, "method": "keep", "when": {"Modality": "CT"}}], False),
    ],
)
def test_a_path_through_a_sequence_that_goes_is_told(tmp_path: Any, rules: list[Any], is_told: bool) -> None:
    path = {"tag": {"path": "OtherPatientIDsSequence/PatientID"}, "method": "keep"}
    (tmp_path / "cfg.json").write_text(json.dumps({"dicomTagRules": [*rules, path], "default": "remove"}))
    told = [line for line in read_config(str(tmp_path / "cfg.json")).lines if "never decides" in line]
    assert len(told) == is_told


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.sets(st.sampled_from(["CS", "DA", "DS", "IS", "LO", "OW", "PN", "SQ", "UI", "US"])))
def test_an_allow_list_leaves_nothing_but_what_is_on_it(apply: Apply, name: str, vrs: set[str]) -> None:
    rules = [{"tag": {"VR": vr}, "method": "keep"} for vr in sorted(vrs)]
    after = apply(real(name), {"public": "remove", "private": "remove"}, *rules)
    assert tree_of(after) == tree_of(real(name), vrs)


def tree_of(instance: Dataset, vrs: set[str] | None = None) -> dict[int, Any]:
    """The elements; or, by a plain reading, what an allow-list of VRs leaves of them."""
    left: dict[int, Any] = {}
    for element in instance:
        if vrs is None or element.VR in vrs or element.tag in STRUCTURAL:
            is_sequence = element.VR == "SQ"
            left[int(element.tag)] = [tree_of(item, vrs) for item in element.value] if is_sequence else element.value
    blocks = {tag & 0xFFFF0000 | tag >> 8 & 0xFF for tag in left if tag >> 16 & 1}
    creators = {int(element.tag): element.value for element in instance if element.tag.is_private_creator}
    left = {tag: value for tag, value in left.items() if tag & 0xFFFF and tag not in creators}
    return left | {tag: value for tag, value in creators.items() if tag in blocks}
