"""`when`: rules for some files only, by what the file's own data set says. (CONTRACT 4)"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from deid_batch import Deidentifier
from deid_batch.conditions import Condition
from deid_batch.config import load_config, read_config
from deid_batch.rules import RuleSet

Ready = Callable[..., Deidentifier]
REMOVE = {"tag": {"keyword": "PatientName"}, "method": "remove"}


@pytest.fixture
def ready(tmp_path: Any) -> Ready:
    def from_rules(*rules: dict[str, Any], **others: Any) -> Deidentifier:
        path = tmp_path / "cfg.json"
        path.write_text(json.dumps({"dicomTagRules": list(rules), **others}))
        return Deidentifier.from_config(str(path), first_day=date(2026, 7, 31))

    return from_rules


def instance_with(syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.PatientName = CTImageStorage, "1.2.3", "Smith^John"
    for keyword, value in attributes.items():
        setattr(found, keyword, value)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    return found


def is_removed(ready: Ready, when: Any, instance: Dataset) -> bool:
    return "PatientName" not in ready(REMOVE | {"when": when}).apply(instance)


CT = {"Modality": "CT", "StudyDescription": "Thorax, low dose", "ImageType": ["ORIGINAL", "PRIMARY"]}


@pytest.mark.parametrize(
    "when",
    [
        {"Modality": "CT"},
        {"modality": " CT "},
        {"(0008,0060)": "CT"},
        {"0008,0060": "CT"},
        {"00080060": ["CT"]},
        {"Modality": ["US", "CT"]},
        {"Modality": {"regex": "^C"}},
        {"Modality": {"regex": "T"}},
        {"Modality": {"exists": True}},
        {"Modality": {"exists": "TRUE"}},
        {"StationName": {"exists": False}},
        {"AccessionNumber": {"exists": False}},
        {"ImageType": "ORIGINAL"},
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"ImageType": {"regex": "^PRIM"}},
        {"StudyDescription": {"regex": "(?i)LOW dose$"}},
        {"InstanceNumber": 7},
        {"InstanceNumber": "7"},
        {"Modality": "CT", "ImageType": "PRIMARY", "StationName": {"exists": False}},
        {"Modality": {"exists": True}, "(0008,0060)": {"regex": "CT"}},
        {"PatientName": {"regex": "Smith"}},
    ],
)
def test_a_rule_holds_where_its_condition_does(ready: Ready, when: Any) -> None:
    assert is_removed(ready, when, instance_with(**CT, AccessionNumber="", InstanceNumber="7"))


@pytest.mark.parametrize(
    "when",
    [
        {"Modality": "C"},
        {"Modality": "MR"},
        {"Modality": ["US", "SC"]},
        {"Modality": {"regex": "^T"}},
        {"Modality": {"regex": "ct"}},
        {"Modality": {"exists": False}},
        {"Modality": {"exists": "false"}},
        {"StationName": {"exists": True}},
        {"StationName": "CT"},
        {"StationName": {"regex": ".*"}},
        {"AccessionNumber": {"exists": True}},
        {"AccessionNumber": {"regex": "^$"}},
        {"ImageType": "ORIGINAL\\PRIMARY"},
        {"ImageType": {"regex": "ORIGINAL.PRIMARY"}},
        {"StudyDescription": "thorax, low dose"},
        {"InstanceNumber": "07"},
        {"Modality": "CT", "ImageType": "DERIVED"},
        {"Modality": "CT", "StationName": {"exists": True}},
    ],
)
def test_a_rule_does_not_hold_where_its_condition_does_not(ready: Ready, when: Any) -> None:
    assert not is_removed(ready, when, instance_with(**CT, AccessionNumber="", InstanceNumber="7"))


def test_where_a_rule_does_not_hold_the_next_one_decides(ready: Ready) -> None:
    rules = [
        REMOVE | {"when": {"Modality": ["US", "SC"]}},
        {**REMOVE, "method": "keep", "when": {"Modality": "MR"}},
        {**REMOVE, "method": "substitute"},
    ]
    deidentifier = ready(*rules)
    for _ in range(2):  # what is compiled for one file does not reach another
        names = [
            deidentifier.apply(instance_with(Modality=modality)).get("PatientName")
            for modality in ("US", "MR", "CT", "SC", "US")
        ]
        assert names == [None, "Smith^John", "ANONYMOUS", None, None]


def test_the_original_value_counts_whatever_becomes_of_it(ready: Ready) -> None:
    change = {"tag": {"keyword": "Modality"}, "method": "substitute", "replaceWith": "OT"}
    for rules in ([change, REMOVE | {"when": {"Modality": "CT"}}], [REMOVE | {"when": {"Modality": "CT"}}, change]):
        after = ready(*rules).apply(instance_with(Modality="CT"))
        assert (after.Modality, "PatientName" in after) == ("OT", False)


def test_only_the_top_level_counts_but_the_rule_reaches_every_depth(ready: Ready) -> None:
    item = Dataset()
    item.Modality, item.PatientName = "US", "Smith^John"
    instance = instance_with(Modality="CT", ReferencedStudySequence=[item])
    assert not is_removed(ready, {"Modality": "US"}, instance)
    after = ready(REMOVE | {"when": {"Modality": "CT"}}).apply(instance)
    assert "PatientName" not in after.ReferencedStudySequence[0]


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Müller"), ("ISO_IR 192", "山田"), ("ISO_IR 192", "Müller")]
)
def test_text_is_compared_in_the_files_character_set(ready: Ready, charset: str, name: str) -> None:
    for when in ({"StudyDescription": name}, {"StudyDescription": {"regex": name[-2:]}}):
        assert is_removed(ready, when, instance_with(SpecificCharacterSet=charset, StudyDescription=name))
        assert not is_removed(ready, when, instance_with(SpecificCharacterSet=charset, StudyDescription="x" + name[0]))


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
@pytest.mark.parametrize("size", [0, 100_000, 1_000_000])
def test_the_encoding_makes_no_difference_nor_does_what_stands_before(ready: Ready, syntax: str, size: int) -> None:
    instance = instance_with(syntax, EncapsulatedDocument=bytes(size), PresentationLUTShape="IDENTITY")
    assert is_removed(ready, {"PresentationLUTShape": "IDENTITY"}, instance)
    assert not is_removed(ready, {"PresentationLUTShape": "INVERSE"}, instance)


def test_a_value_in_a_file_with_tags_out_of_order_counts(ready: Ready) -> None:
    file = BytesIO()
    dcmwrite(file, instance_with(InstanceNumber="7"), enforce_file_format=True)
    behind = bytes.fromhex("08006000") + b"CS\2\0CT"
    after = ready(REMOVE | {"when": {"Modality": "CT"}}).apply_to_bytes(file.getvalue() + behind)
    assert "PatientName" not in dcmread(BytesIO(after))


def test_a_condition_goes_with_a_path_a_private_creator_and_the_default(ready: Ready) -> None:
    instance = dcmread(get_testdata_file("CT_small.dcm"))
    path = {"tag": {"path": "OtherPatientIDsSequence/PatientID"}, "method": "remove"}
    private = {"tag": {"creator": "GEMS_IDEN_01"}, "method": "remove"}
    for modality, holds in (("CT", True), ("MR", False)):
        when = {"when": {"Modality": modality}}
        after = ready(path | when, private | when).apply(instance)
        assert ("PatientID" in after.OtherPatientIDsSequence[0]) is not holds
        assert ((0x0009, 0x0010) in after) is not holds
        kept = ready({"tag": {"keyword": "PatientID"}, "method": "keep"} | when, default="remove").apply(instance)
        assert ("PatientID" in kept) is holds
        assert "PatientName" not in kept


def test_both_dialects_say_a_condition_alike(tmp_path: Any) -> None:
    when = {"Modality": ["US"], "StationName": {"exists": False}, "StudyDescription": {"regex": "x"}}
    native = {"dicomTagRules": [REMOVE | {"when": when}]}
    successor = {"rules": [{"tag": "PatientName", "method": "remove", "when": when}]}
    for number, config in enumerate((native, successor)):
        (tmp_path / f"{number}.json").write_text(json.dumps(config))
        (rule,) = load_config(str(tmp_path / f"{number}.json")).rules
        assert rule.when == (
            Condition(0x00080060, one_of=("US",)),
            Condition(0x00081010, exists=False),
            Condition(0x00081030, pattern="x"),
        )


def test_files_are_looked_at_only_where_a_rule_has_a_condition(tmp_path: Any) -> None:
    for when, tags in (({}, set()), ({"when": {"Modality": "CT"}}, {0x00080060})):
        (tmp_path / "cfg.json").write_text(json.dumps({"dicomTagRules": [REMOVE | when]}))
        rules = RuleSet(load_config(str(tmp_path / "cfg.json")).rules)
        assert rules.condition_tags == tags
        assert rules.variant({}) == (() if not tags else (False,))


OBJECT = 'when must be an object, such as {"Modality": ["US", "SC"]}'
TEXT = "a condition must be on one public attribute of the data set that holds text"
FORM = "must be a string, a list of strings, or an object with regex or exists"
REGEX = "must be a regular expression"
NO_REGEX = "not a regular expression, or one of doubtful meaning"
EMPTY = 'is empty; {"exists": false} is for attributes without a value'


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("▸[]", f": {OBJECT}"),
        ("▸{}", f": {OBJECT}"),
        ("▸null", f": {OBJECT}"),
        ('{▸"Modalty": "CT"}', ".Modalty: unknown keyword 'Modalty', did you mean 'Modality'?"),
        ('{▸"": "CT"}', ".: unknown keyword ''"),
        ('{▸"(0008,006)": "CT"}', ".(0008,006): '(0008,006)' is no tag; write it as (gggg,eeee)"),
        ('{▸"(0008,00xx)": "CT"}', f".(0008,00xx): {TEXT}"),
        ('{▸"(0009,1001)": "CT"}', f".(0009,1001): {TEXT}"),
        ('{▸"Rows": "512"}', f".Rows: {TEXT}"),
        ('{▸"ReferencedStudySequence": "1"}', f".ReferencedStudySequence: {TEXT}"),
        ('{▸"TransferSyntaxUID": "1.2"}', f".TransferSyntaxUID: {TEXT}"),
        ('{"Modality": ▸null}', f".Modality: {FORM}"),
        ('{"Modality": ▸true}', f".Modality: {FORM}"),
        ('{"Modality": ▸[]}', f".Modality: {FORM}"),
        ('{"Modality": ▸["CT", ["US"]]}', f".Modality: {FORM}"),
        ('{"Modality": ▸""}', f".Modality: {EMPTY}"),
        ('{"Modality": ["CT", ▸" "]}', f".Modality[1]: {EMPTY}"),
        ('{"Modality": ▸{}}', ".Modality: must hold one of regex, exists"),
        ('{"Modality": ▸{"regex": "x", "exists": true}}', ".Modality: must hold one of regex, exists"),
        ('{"Modality": {▸"exist": true}}', ".Modality.exist: unknown key 'exist', did you mean 'exists'?"),
        ('{"Modality": {"regex": ▸"("}}', f".Modality.regex: {NO_REGEX}"),
        ('{"Modality": {"regex": ▸"a{99999999999999999999}"}}', f".Modality.regex: {NO_REGEX}"),
        ('{"Modality": {"regex": ▸"[[a]"}}', f".Modality.regex: {NO_REGEX}"),
        ('{"Modality": {"regex": ▸""}}', f".Modality.regex: {REGEX}"),
        ('{"Modality": {"regex": ▸["a"]}}', f".Modality.regex: {REGEX}"),
        ('{"Modality": {"exists": ▸"maybe"}}', ".Modality.exists: must be true or false"),
        ('{"Modality": {"exists": ▸1}}', ".Modality.exists: must be true or false"),
        ('{"Modality": ▸"us"}', ".Modality: warning: no valid CS, so the condition may never hold"),
        (
            '{"StudyDate": ["20200101", ▸"2020-01-02"]}',
            ".StudyDate[1]: warning: no valid DA, so the condition may never hold",
        ),
    ],
)
def test_a_condition_that_is_wrong_or_never_holds_is_told_where_it_stands(
    tmp_path: Any, when: str, problem: str
) -> None:
    text = f'{{"dicomTagRules": [{{"tag": {{"VR": "PN"}}, "method": "remove", "when": {when}}}]}}'
    (tmp_path / "cfg.json").write_text(text.replace("▸", ""))
    lines = read_config(str(tmp_path / "cfg.json")).lines
    assert lines == (f"cfg.json:1:{text.index('▸') + 1} dicomTagRules[0].when{problem}",)
