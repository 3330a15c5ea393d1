"""The successor dialect: what a config of that tool means here, rule by rule and over a real file. (CONTRACT 4)"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from deid_batch import Deidentifier
from deid_batch.config import Reading, read_config
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.methods.dateshift import DateShift, bkdr_days
from deid_batch.methods.encrypt import Encrypt
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.methods.perturb import Perturb
from deid_batch.methods.refreshuid import RefreshUID
from deid_batch.methods.substitute import Substitute
from deid_batch.selectors import AtPath, PrivateIs, TagIn, TagIs, VRIs

FIRST_DAY = date(2026, 7, 31)
AES_KEY = "123456781234567812345678"
Read = Callable[..., Reading]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("successor") / "cfg.json"

    def read_rules(*rules: dict[str, Any], **others: Any) -> Reading:
        path.write_text(json.dumps({"rules": list(rules), **others}))
        return read_config(str(path))

    return read_rules


def methods_of(reading: Reading) -> list[Any]:
    assert reading.config is not None, reading.lines
    return [rule.method for rule in reading.config.rules]


def rule(tag: str = "DA", method: str = "dateshift", **others: Any) -> dict[str, Any]:
    return {"tag": tag, "method": method, **others}


# what a rule selects


@pytest.mark.parametrize(
    ("tag", "selector"),
    [
        ("(0010,0010)", TagIs(0x00100010)),
        ("(0010, 0010)", TagIs(0x00100010)),
        ("0010,0010", TagIs(0x00100010)),
        ("0010, 0010", TagIs(0x00100010)),
        ("00100010", TagIs(0x00100010)),
        (" (7fE0,0010) ", TagIs(0x7FE00010)),
        ("PatientName", TagIs(0x00100010)),
        ("patientNAME", TagIs(0x00100010)),
        ("(50xx,xxxx)", TagIn(0x50000000, 0xFF000000)),
        ("50XX, xxxx", TagIn(0x50000000, 0xFF000000)),
        ("50xxxxxx", TagIn(0x50000000, 0xFF000000)),
        ("xxx1,xxxx", TagIn(0x00010000, 0x000F0000)),
        ("PN", VRIs("PN")),
        ("da", VRIs("DA")),
        ("(0019,100C)", TagIs(0x0019100C)),
        ('(0019,xx0C,"SIEMENS MR HEADER")', PrivateIs("SIEMENS MR HEADER", 0x0019, 0x0C, 0xFF)),
        ('(0021, xx5x, "A/B: C, D")', PrivateIs("A/B: C, D", 0x0021, 0x50, 0xF0)),
        ("RequestAttributesSequence/PN", AtPath((TagIs(0x00400275),), VRIs("PN"))),
    ],
)
def test_a_tag_is_written_in_any_of_these_forms(read: Read, tag: str, selector: object) -> None:
    config = read(rule(tag, "keep")).config
    assert config is not None
    assert [it.selector for it in config.rules] == [selector]


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("(0010,001)", "'(0010,001)' is no tag; write it as (gggg,eeee)"),
        ("(00g0,0010)", "'(00g0,0010)' is no tag; write it as (gggg,eeee)"),
        ("001000100", "unknown keyword '001000100'"),
        ("PatientsName", "unknown keyword 'PatientsName', did you mean 'PatientName'?"),
        ("PX", "unknown keyword 'PX'"),
        ("", "unknown keyword ''"),
        ("*", "unknown keyword '*'"),
        ('(0018,xx0C,"X")', "'(0018,xx0C)' is no private tag: its group is even"),
        (["PN"], 'tag must be a string, such as "(0010,0010)", not a list'),
        ({"VR": "PN"}, 'tag must be a string, such as "(0010,0010)", not an object'),
        (None, 'tag must be a string, such as "(0010,0010)", not null'),
    ],
)
def test_a_tag_in_no_such_form_is_a_problem(read: Read, tag: Any, problem: str) -> None:
    assert read(rule(tag, "keep")).lines == (f"cfg.json:1:20 rules[0].tag: {problem}",)


@pytest.mark.parametrize(
    ("written", "method"),
    [
        ("keep", Keep()),
        ("Remove", Remove()),
        ("redact", Redact(redact_leaves="empty")),
        ("dateShift", DateShift()),
        ("DATESHIFT", DateShift()),
        ("perturb", Perturb(range_type="Proportional")),
        ("cryptoHash", CryptoHash()),
        ("encrypt", Encrypt()),
        ("Substitute", Substitute()),
        ("refreshuid", RefreshUID()),
    ],
)
def test_a_method_without_settings_has_that_tools_defaults(read: Read, written: str, method: object) -> None:
    assert methods_of(read(rule("(60xx,xxxx)", written))) == [method]


# settings: params before setting before defaultSettings, copied

DAYS = {"defaultSettings": {"dateShift": {"dateShiftRange": 1}}, "customSettings": {"far": {"dateShiftRange": 2}}}


@pytest.mark.parametrize(
    ("others", "days"),
    [
        ({}, 1),
        ({"setting": "far"}, 2),
        ({"params": {"dateShiftRange": 3}}, 3),
        ({"setting": "far", "params": {"dateShiftRange": 3}}, 3),
        ({"setting": "far", "params": {}}, 2),
        ({"setting": "far", "params": {"dateShiftScope": "Patient"}}, 2),
        ({"params": {"dateShiftScope": "Patient"}}, 1),
    ],
)
def test_params_go_before_the_setting_and_that_before_the_default_settings(
    read: Read, others: dict[str, Any], days: int
) -> None:
    (method,) = methods_of(read(rule(**others), **DAYS))
    assert method.date_shift_range == days


def test_without_default_settings_a_setting_and_params_stand_on_the_methods_own(read: Read) -> None:
    custom = {"some": {"span": 5}}
    reading = read(rule("DS", "perturb", setting="some", params={"roundTo": 0}), customSettings=custom)
    assert methods_of(reading) == [Perturb(span=Decimal(5), round_to=0, range_type="Proportional")]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_rules_params_never_reach_another_rule(read: Read, order: tuple[int, ...]) -> None:
    rules = [
        rule("DA", setting="far", params={"dateShiftRange": 7, "dateShiftScope": "Patient"}),
        rule("DT", setting="far"),
        rule("StudyDate"),
    ]
    methods = dict(zip(order, methods_of(read(*(rules[number] for number in order), **DAYS)), strict=True))
    assert [methods[number] for number in range(3)] == [
        DateShift(date_shift_range=7, date_shift_scope="Patient"),
        DateShift(date_shift_range=2),
        DateShift(date_shift_range=1),
    ]


def test_default_settings_of_one_method_never_reach_another(read: Read) -> None:
    defaults = {"redact": {"onError": "fail"}, "perturb": {"span": 9}}
    reading = read(rule("DA", "redact"), rule("DS", "perturb"), rule("LO", "substitute"), defaultSettings=defaults)
    assert [method.on_error for method in methods_of(reading)] == ["fail", "redact", "redact"]


SETTINGS = [
    ("AS", "redact", "enablePartialAgesForRedact", True, "enable_partial_ages_for_redact", True),
    ("AS", "redact", "enablePartialAgesForRedact", "true", "enable_partial_ages_for_redact", True),
    ("DA", "redact", "enablePartialDatesForRedact", "True", "enable_partial_dates_for_redact", True),
    ("DA", "redact", "redactLeaves", "nothing", "redact_leaves", "nothing"),
    ("DS", "perturb", "span", 10, "span", Decimal(10)),
    ("DS", "perturb", "span", "0.5", "span", Decimal("0.5")),
    ("DS", "perturb", "rangeType", "fixed", "range_type", "Fixed"),
    ("DS", "perturb", "roundTo", "0", "round_to", 0),
    ("DA", "dateshift", "dateShiftScope", "SopInstance", "date_shift_scope", "SOPInstance"),
    ("DA", "dateshift", "dateShiftScope", "StudyInstance", "date_shift_scope", "StudyInstance"),
    ("DA", "dateshift", "dateShiftRange", "100", "date_shift_range", 100),
    ("DA", "dateshift", "dateShiftAlgorithm", "bkdr", "date_shift_algorithm", "bkdr"),
    ("LO", "cryptohash", "cryptoHashType", "sha512", "crypto_hash_type", "Sha512"),
    ("LO", "cryptohash", "matchInputStringLength", "true", "match_input_string_length", True),
    ("LO", "substitute", "replaceWith", "nobody", "replace_with", "nobody"),
    ("PN", "encrypt", "onError", "fail", "on_error", "fail"),
]


@pytest.mark.parametrize("where", ["defaultSettings", "customSettings", "params"])
@pytest.mark.parametrize(("vr", "method", "name", "written", "field", "value"), SETTINGS)
def test_every_setting_is_read_wherever_it_stands(
    read: Read, where: str, vr: str, method: str, name: str, written: object, field: str, value: object
) -> None:
    by_place = {
        "defaultSettings": (rule(vr, method), {"defaultSettings": {method: {name: written}}}),
        "customSettings": (rule(vr, method, setting="mine"), {"customSettings": {"mine": {name: written}}}),
        "params": (rule(vr, method, params={name: written}), {}),
    }
    one_rule, others = by_place[where]
    (found,) = methods_of(read(one_rule, **others))
    assert getattr(found, field) == value != getattr(methods_of(read(rule(vr, method)))[0], field)


@pytest.mark.parametrize(
    ("vr", "method", "name", "purpose"),
    [
        ("DA", "dateshift", "dateShiftKey", "dateshift"),
        ("LO", "cryptohash", "cryptoHashKey", "cryptohash"),
        ("PN", "encrypt", "encryptKey", "encrypt"),
        ("DS", "perturb", "perturbKey", "perturb"),
        ("UI", "refreshUID", "uidKey", "uid"),
    ],
)
def test_a_key_of_the_default_settings_is_the_configs_and_one_of_a_rule_its_own(
    read: Read, vr: str, method: str, name: str, purpose: str
) -> None:
    default, own = AES_KEY, AES_KEY[::-1]
    reading = read(
        rule(vr, method, params={name: own}),
        rule("(60xx,xxxx)", method),
        defaultSettings={method: {name: default}},
    )
    assert reading.config is not None
    assert reading.config.keys == {purpose: default.encode()}
    others = {"uid": b"u", "dateshift": b"d", "cryptohash": b"c", "encrypt": b"e" * 16, "perturb": b"p"}
    settled = reading.config.settled(others, FIRST_DAY)
    assert [it.method.key for it in settled.rules] == [own.encode(), default.encode()]  # type: ignore[attr-defined]
    assert set(reading.config.missing_keys()) == {"uid"} - {purpose}


def test_no_key_is_drawn_for_rules_that_bring_their_own(read: Read) -> None:
    config = read(rule(params={"dateShiftKey": AES_KEY}), rule("PN", "encrypt", params={"encryptKey": ""})).config
    assert config is not None
    assert config.missing_keys() == ("encrypt", "uid")


@pytest.mark.parametrize(
    ("rules", "others", "problem"),
    [
        ([rule(setting="near")], DAYS, "rules[0].setting: no such setting under customSettings"),
        ([rule(setting="fra")], DAYS, "rules[0].setting: no such setting under customSettings, did you mean 'far'?"),
        ([rule(setting={})], {}, "rules[0].setting: no such setting under customSettings"),
        ([rule(settings="far")], {}, "rules[0].settings: unknown key 'settings', did you mean 'setting'?"),
        ([rule(span=1)], {}, "rules[0].span: unknown key 'span'"),
        ([rule(params={"span": 1})], {}, "rules[0].params.span: unknown key 'span'"),
        ([rule(params=[])], {}, "rules[0].params: must be an object of settings, not a list"),
        ([rule()], {"customSettings": []}, "customSettings: customSettings must be an object, not a list"),
        ([rule()], {"defaultSettings": []}, "defaultSettings: defaultSettings must be an object, not a list"),
        (
            [rule()],
            {"defaultSettings": {"dateShfit": {}}},
            "defaultSettings.dateShfit: unknown method 'dateShfit', did you mean 'dateshift'?",
        ),
        (
            [rule()],
            {"defaultSettings": {"dateshift": {}, "dateShift": {}}},
            "defaultSettings.dateShift: dateshift stands twice",
        ),
        (
            [rule()],
            {"defaultSettings": {"dateshift": 50}},
            "defaultSettings.dateshift: must be an object of settings, not a number",
        ),
        ([rule()], {"customSettings": {"far": {}}}, "customSettings.far: warning: no rule uses this setting"),
        ([rule()], {"parameters": {}}, "parameters: unknown key 'parameters'"),
        ([], {}, "rules: rules is empty: nothing would be de-identified"),
    ],
)
def test_a_setting_that_is_not_there_or_not_its_methods_is_a_problem(
    read: Read, rules: list[dict[str, Any]], others: dict[str, Any], problem: str
) -> None:
    assert read(*rules, **others).lines[0].partition(" ")[2] == problem


# where that tool shifts to


def original_shift(scope_uid: str, key: str, limit: int) -> int:
    """The original tool's days, from its published form."""
    offset = 0
    for byte in (scope_uid + key).encode():
        offset = (offset * 131 + byte) % (2 * limit + 1)
    return offset - limit


@given(st.text(max_size=64), st.text(min_size=1, max_size=40), st.integers(1, 36_500))
def test_bkdr_gives_the_original_tools_days(scope_uid: str, key: str, limit: int) -> None:
    assert bkdr_days(key.encode(), scope_uid, limit) == original_shift(scope_uid, key, limit)


@pytest.mark.parametrize(
    ("scope", "keyword"),
    [("SeriesInstance", "SeriesInstanceUID"), ("StudyInstance", "StudyInstanceUID"), ("SOPInstance", "SOPInstanceUID")],
)
def test_bkdr_shifts_a_file_by_the_uid_of_its_scope(read: Read, scope: str, keyword: str, tmp_path: Any) -> None:
    instance = dcmread(get_testdata_file("CT_small.dcm"))
    params = {"dateShiftKey": "123", "dateShiftScope": scope, "dateShiftRange": "50", "dateShiftAlgorithm": "bkdr"}
    moved = deidentified({"rules": [rule(params=params)]}, instance, tmp_path)
    days = original_shift(instance[keyword].value, "123", 50)
    assert moved.StudyDate == shifted("20040119", days)
    assert moved.ContentDate == shifted("19970430", days)


@pytest.mark.parametrize(("key", "limit", "after"), [("123", 50, "20061201")])
def test_bkdr_shifts_a_file_without_a_scope_uid_by_the_key_alone(
    key: str, limit: int, after: str, tmp_path: Any
) -> None:
    instance = dcmread(get_testdata_file("CT_small.dcm"))
    instance.StudyDate = "20061012"
    del instance.SeriesInstanceUID
    params = {"dateShiftKey": key, "dateShiftRange": limit, "dateShiftAlgorithm": "bkdr"}
    assert deidentified({"rules": [rule(params=params)]}, instance, tmp_path).StudyDate == after


@pytest.mark.parametrize(
    ("vr", "before", "days", "after"),
    [
        ("DT", "20210320202020.00654", 1, "20210321202020.00654"),
        ("DT", "20210320202020+0230", 1, "20210321202020+0230"),
        ("DT", "2021032008", 1, "2021032108"),
        ("DT", "202103", 1, "202103"),
        ("DT", "2021", 1, "2021"),
        ("DT", ["20210320", "", "20210321235959"], 1, ["20210321", "", "20210322235959"]),
        ("DA", ["20210320", "20210321"], 1, ["20210321", "20210322"]),
        ("DA", ["20210320", "no date", "20210321"], 1, ["20210321", "", "20210322"]),
        ("DA", "no date", 1, ""),
    ],
)
def test_times_partial_and_malformed_values_and_positions_survive_a_shift(
    vr: str, before: str | list[str], days: int, after: str | list[str], tmp_path: Any
) -> None:
    instance = dcmread(get_testdata_file("CT_small.dcm"))
    tag = {"DA": 0x00181200, "DT": 0x00181078}[vr]
    written = before if isinstance(before, str) else "\\".join(before)
    instance.add_new(tag, "LO", written)  # read back by the dictionary's VR
    key = next(str(n) for n in range(10_000) if original_shift(instance.SeriesInstanceUID, str(n), 50) == days)
    params = {"dateShiftKey": key, "dateShiftAlgorithm": "bkdr"}
    moved = deidentified({"rules": [rule(vr, params=params)]}, instance, tmp_path)
    found = moved[tag].value
    assert (found if isinstance(found, str) else list(found)) == after


# a migrated config over a real file

MIGRATED: dict[str, Any] = {
    "rules": [
        {"tag": "(0008,0018)", "method": "refreshUID"},
        {"tag": "0020,000D", "method": "refreshUID"},
        {"tag": "SeriesInstanceUID", "method": "refreshUID"},
        {"tag": "(0008, 0050)", "method": "redact"},
        {"tag": "StudyTime", "method": "redact"},
        {"tag": "(0008,0080)", "method": "remove"},
        {"tag": "00081010", "method": "remove"},
        {"tag": "StudyDescription", "method": "substitute", "params": {"replaceWith": "study"}},
        {"tag": "SeriesDate", "method": "redact", "setting": "yearStays"},
        {"tag": "ContentDate", "method": "redact"},
        {"tag": "(0010,0020)", "method": "cryptoHash"},
        {"tag": "(0010,0040)", "method": "keep"},
        {"tag": "PatientAge", "method": "redact", "setting": "yearStays"},
        {"tag": "PatientWeight", "method": "perturb", "params": {"span": "10", "rangeType": "Fixed", "roundTo": 0}},
        {"tag": "(0018,0050)", "method": "perturb"},
        {"tag": "0019,xxxx", "method": "keep"},
        {"tag": "xxx1,xxxx", "method": "remove"},
        {"tag": "xxx3,xxxx", "method": "remove"},
        {"tag": "xxx9,xxxx", "method": "remove"},
        {"tag": "SH", "method": "cryptoHash", "params": {"matchInputStringLength": True}},
        {"tag": "PN", "method": "encrypt"},
        {"tag": "DA", "method": "dateshift"},
        {"tag": "DT", "method": "dateShift"},
    ],
    "defaultSettings": {
        "perturb": {"span": 1, "roundTo": 2, "rangeType": "Proportional", "distribution": "Uniform"},
        "dateShift": {
            "dateShiftKey": "123",
            "dateShiftScope": "SeriesInstance",
            "dateShiftRange": "50",
            "dateShiftAlgorithm": "bkdr",
        },
        "cryptoHash": {"cryptoHashKey": "123"},
        "redact": {"enablePartialAgesForRedact": False, "enablePartialDatesForRedact": False},
        "encrypt": {"encryptKey": AES_KEY},
        "substitute": {"replaceWith": "ANONYMOUS"},
    },
    "customSettings": {"yearStays": {"enablePartialAgesForRedact": True, "enablePartialDatesForRedact": True}},
}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """A real file before and after the migrated config."""
    before = dcmread(get_testdata_file("CT_small.dcm"))
    return before, deidentified(MIGRATED, before, tmp_path_factory.mktemp("migrated"))


def deidentified(config: dict[str, Any], instance: Dataset, folder: Any) -> Dataset:
    path = folder / "cfg.json"
    path.write_text(json.dumps(config))
    keys = {"uid": b"u" * 16, "perturb": b"p" * 16}
    return Deidentifier.from_config(str(path), keys=keys, first_day=FIRST_DAY).apply(instance)


def shifted(da: str, days: int) -> str:
    return f"{datetime.strptime(da, '%Y%m%d') + timedelta(days):%Y%m%d}"


def hashed(value: str) -> str:
    return hmac.new(b"123", value.encode(), hashlib.sha256).hexdigest()


def opened(sealed: str) -> str:
    iv, body = (raw := base64.b64decode(sealed))[:16], raw[16:]
    decryptor = Cipher(algorithms.AES(AES_KEY.encode()), modes.CBC(iv)).decryptor()
    plain = decryptor.update(body) + decryptor.finalize()
    return plain[: -plain[-1]].decode()


def test_a_migrated_config_needs_nothing_but_stronger_keys(read: Read) -> None:
    reading = read(*MIGRATED["rules"], **{name: part for name, part in MIGRATED.items() if name != "rules"})
    assert reading.config is not None
    assert {line.partition("warning: ")[2] for line in reading.lines} == {"a weak key: fewer than 16 bytes"}


def test_a_migrated_config_does_what_it_says(migrated: tuple[Dataset, Dataset]) -> None:
    before, after = migrated
    days = original_shift(before.SeriesInstanceUID, "123", 50)
    assert after.PatientID == hashed("1CT1")
    assert [item.PatientID for item in after.OtherPatientIDsSequence] == [hashed("ABCD1234"), hashed("1234ABCD")]
    assert opened(str(after.PatientName)) == "CompressedSamples^CT1"
    assert after.ReferringPhysicianName == ""
    assert after.StudyDate == shifted("20040119", days)
    assert after.AcquisitionDate == shifted("19970430", days)
    assert after.SeriesDate == "19970101"
    assert (after.ContentDate, after.StudyTime, after.AccessionNumber) == ("", "", "")
    assert after.PatientAge == "000Y"
    assert after.StudyDescription == "study"
    assert after.StudyID == hashed("1CT1")[: len("1CT1")]
    assert abs(after.PatientWeight) <= 5
    assert float(after.PatientWeight).is_integer()
    assert 2.5 <= after.SliceThickness <= 7.5
    assert after.PatientSex == before.PatientSex
    assert "InstitutionName" not in after
    assert "StationName" not in after
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert after[keyword].value.startswith("2.25.")
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID


def test_a_migrated_config_keeps_and_removes_private_groups_by_their_masks(migrated: tuple[Dataset, Dataset]) -> None:
    before, after = migrated
    assert {element.tag.group for element in before if element.tag.is_private} > {0x0009, 0x0011, 0x0019}
    kept = {element.tag.group for element in after if element.tag.is_private}
    assert 0x0019 in kept
    assert not {group for group in kept if group & 0xF in (1, 3, 9)} - {0x0019}
    assert after.group_dataset(0x0019) == before.group_dataset(0x0019)


def test_a_migrated_config_leaves_all_else_as_it_is(migrated: tuple[Dataset, Dataset]) -> None:
    before, after = migrated
    untouched = [
        element
        for element in before
        if element.VR not in ("DA", "PN", "SH", "SQ") and element.tag.group in (0x0018, 0x0020, 0x0028, 0x7FE0)
    ]
    changed = [element.tag for element in untouched if after.get(element.tag) != element]
    assert changed == [0x00180050, 0x0020000D, 0x0020000E]


@pytest.mark.parametrize(("dialect", "stays"), [("rules", True), ("dicomTagRules", False)], ids=["successor", "native"])
def test_redact_leaves_an_empty_element_here_and_none_in_the_native_dialect(
    dialect: str, stays: bool, tmp_path: Any
) -> None:
    tag = "StudyTime" if dialect == "rules" else {"keyword": "StudyTime"}
    before = dcmread(get_testdata_file("CT_small.dcm"))
    after = deidentified({dialect: [{"tag": tag, "method": "redact"}]}, before, tmp_path)
    assert ("StudyTime" in after) is stays
    assert after.get("StudyTime", "") == ""
