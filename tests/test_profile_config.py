"""The profile in a config: its keys, their mistakes, what check and explain say, and the default. (CONTRACT 1, 4)"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import Place, deid, deid_here
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.conditions import Condition
from deid_batch.config import Config, load_config, read_config, shipped_configs
from deid_batch.config.jsonc import Node, read
from deid_batch.config.schema import config_schema
from deid_batch.methods.dateshift import DateShift
from deid_batch.profiles.tables import OPTIONS

SHORTEST = {"profile": "basic"}


def read_text(folder: Path, text: str) -> tuple[Config | None, list[str]]:
    (folder / "cfg.json").write_text(text, encoding="utf-8")
    reading = read_config(str(folder / "cfg.json"))
    return reading.config, list(reading.lines)


def read_config_of(folder: Path, **keys: Any) -> Config:
    config, lines = read_text(folder, json.dumps({**SHORTEST, **keys}))
    assert config is not None, lines
    return config


ALIKE = {
    "basic": [{}, {"dicomTagRules": []}, {"rules": []}, {"profile": " BASIC "}, {"options": []}],
    "options in any case and order": [
        {"options": ["retain_uids", "retain_safe_private"]},
        {"options": ["Retain_Safe_Private", "RETAIN_UIDS"]},
        {"options": ["retain_uids", "retain_safe_private"], "rules": []},
    ],
    "settings as text": [
        {"pseudonymLength": 20, "contributingEquipment": True},
        {"pseudonymLength": "20", "contributingEquipment": "true"},
    ],
}


@pytest.mark.parametrize("case", ALIKE)
def test_these_mean_the_same(case: str, tmp_path: Path) -> None:
    first, *others = [read_config_of(tmp_path, **keys).profile for keys in ALIKE[case]]
    assert first is not None
    assert all(other == first for other in others)


def test_both_dialects_set_the_shift_of_modified_dates(tmp_path: Path) -> None:
    options = {"options": ["retain_long_modified_dates"]}
    native = read_config_of(tmp_path, **options, parameters={"dateShiftRange": 7})
    successor = read_config_of(tmp_path, **options, rules=[], defaultSettings={"dateShift": {"dateShiftRange": "7"}})
    for config in (native, successor):
        assert config.profile
        assert config.profile.shift == DateShift(date_shift_scope="Patient", date_shift_range=7)
        assert config.scope == "Patient"
        assert config.required_scopes == {"Patient"}


def test_without_modified_dates_no_scope_is_needed(tmp_path: Path) -> None:
    config = read_config_of(tmp_path, options=["retain_long_full_dates"])
    assert config.required_scopes == frozenset()
    assert config.missing_keys() == ("uid",)


def test_the_gate_reads_conditions_as_rules_do(tmp_path: Path) -> None:
    config = read_config_of(
        tmp_path, burnedIn={"allow": [{"Modality": ["US", "SC"]}], "setAside": [{"0008,0070": "X"}]}
    )
    assert config.profile
    assert config.profile.gate.burned_in_allowed == ((Condition(0x00080060, ("US", "SC")),),)
    assert config.profile.gate.burned_in_too == ((Condition(0x00080070, ("X",)),),)


MISTAKES = {
    '{"profile": ▸"basics"}': "profile: unknown profile 'basics'; there is 'basic'",
    '{"profile": ▸["basic"]}': "profile: profile must be a string, not a list",
    '{"profile": "basic", "options": ▸"retain_uids"}': "options: options must be a list of names, not a string",
    '{"profile": "basic", "options": [▸"retain_uid"]}':
        "options[0]: unknown option 'retain_uid', did you mean 'retain_uids'?",
    '{"profile": "basic", "options": [▸7]}': "options[0]: an option is a string, not a number",
    '{"profile": "basic", "options": ["retain_uids", ▸"Retain_UIDs"]}': "options[1]: this option stands twice",
    '{"dicomTagRules": [{"tag": {"VR": "PN"}, "method": "redact"}], "options": ▸[]}':
        "options: options belongs to a profile, and the config names none",
    '{"profile": "basic", "burnedIn": ▸"alow"}': "burnedIn: input should be 'set-aside' or 'allow'",
    '{"profile": "basic", "burnedIn": {▸"alow": []}}': "burnedIn.alow: unknown key 'alow', did you mean 'allow'?",
    '{"profile": "basic", "burnedIn": {"allow": [{▸"Modalty": "US"}]}}':
        "burnedIn.allow[0].Modalty: unknown keyword 'Modalty', did you mean 'Modality'?",
    '{"profile": "basic", "burnedIn": {"allow": ▸{"Modality": "US"}}}':
        'burnedIn.allow: must be a list of conditions, such as [{"Modality": "US"}], not an object',
    '{"profile": "basic", "encapsulatedDocuments": ▸"allow"}':
        "encapsulatedDocuments: input should be 'set-aside' or 'keep'",
    '{"profile": "basic", "pseudonymLength": ▸7}': "pseudonymLength: input should be greater than or equal to 8",
    '{"profile": "basic", "pseudonymPrefix": ▸"A^B"}':
        "pseudonymPrefix: must be up to 24 letters, digits, blanks, or some of _ . + -",
    '{"profile": "basic", "pseudonymPrefix": ▸"Zürich"}':
        "pseudonymPrefix: must be up to 24 letters, digits, blanks, or some of _ . + -",
    '{"profile": "basic", ▸"opions": []}': "opions: unknown key 'opions', did you mean 'options'?",
}  # fmt: skip
DOUBTS = {
    '{"profile": "basic", "options": [▸"retain_long_full_dates", "retain_long_modified_dates"]}':
        "options[0]: warning: retain_long_full_dates and retain_long_modified_dates exclude each other: "
        "dates are modified, and only that is claimed",
    '{"profile": "basic", "capAges": ▸true}':
        "capAges: warning: does nothing: without retain_patient_characteristics no age stays",
    '{"profile": "basic", "trustDeclaredPrivate": ▸true}':
        "trustDeclaredPrivate: warning: does nothing: without retain_safe_private no private element stays",
    '{"profile": "basic", "dicomTagRules": [▸{"tag": {"keyword": "PatientBirthDate"}, "method": "keep"}]}':
        "dicomTagRules[0]: warning: leaves more than the profile would: where it holds, the profile is not claimed",
    '{"profile": "basic", "options": ["retain_uids"], "rules": [▸{"tag": "StudyInstanceUID", "method": "refreshUID"}]}':
        "rules[0]: warning: changes what retain_uids would keep: where it holds, that option is not claimed",
}  # fmt: skip


@pytest.mark.parametrize("marked", [*MISTAKES, *DOUBTS])
def test_a_mistake_is_told_with_its_place(marked: str, tmp_path: Path) -> None:
    config, lines = read_text(tmp_path, marked.replace("▸", ""))
    assert lines == [f"cfg.json:1:{marked.index('▸') + 1} {(MISTAKES | DOUBTS)[marked]}"]
    assert (config is None) == (marked in MISTAKES)


def test_of_two_date_options_the_one_that_modifies_is_done(tmp_path: Path) -> None:
    config = read_config_of(tmp_path, options=["retain_long_full_dates", "retain_long_modified_dates"])
    assert config.profile
    assert config.profile.options == ("retain_long_modified_dates",)


def plain(node: Node) -> Any:
    """A config as JSON has it."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(value) for value in node.value]
    return float(node.value) if node.kind == "a number" else node.value


VALID = [
    *DOUBTS,
    *(json.dumps({**SHORTEST, **keys}) for group in ALIKE.values() for keys in group if "profile" not in keys),
]


@pytest.mark.parametrize("text", [*VALID, *MISTAKES])
def test_the_schema_agrees(text: str) -> None:
    root, _ = read(text.replace("▸", ""))
    assert root is not None
    can_tell = not re.search(r"stands|Modalty|pseudonymPrefix|Retain_UIDs", text)
    is_valid = jsonschema.Draft202012Validator(config_schema()).is_valid(plain(root))
    assert is_valid or text in MISTAKES
    assert is_valid == (text not in MISTAKES) or not can_tell


# ---- shown ----


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_check_without_a_config_shows_the_default_profile() -> None:
    shown = said("check")
    assert "Rules of basic.json" in shown
    assert "profile basic" in shown
    assert "burned-in text: set-aside" in shown


def test_check_shows_which_option_yields(tmp_path: Path) -> None:
    shown = said("check", "research-longitudinal")
    assert "retain_device_identity yields to retain_long_modified_dates in 11 attributes" in shown


EXPLAINED = {
    ("basic", "StudyDate"): "profile basic, Table E.1-1 (0008,0020) StudyDate: Z: redact – decides",
    ("basic", "PatientID"): "profile basic, Table E.1-1 (0010,0020) PatientID: Z/D, here D: pseudonym – decides",
    ("keep-uids", "SeriesInstanceUID"):
        "profile basic, Table E.1-1 (0020,000E) SeriesInstanceUID: K by retain_uids: keep – decides",
    ("research-longitudinal", "StudyDate"):
        "profile basic, Table E.1-1 (0008,0020) StudyDate: C by retain_long_modified_dates: dateshift – decides",
    ("research-longitudinal", '(7053,xx00,"Philips PET Private Group")'): "Table E.3.10-1 (7053,xx00) SUV Factor",
    ("basic", "RequestAttributesSequence/ScheduledProcedureStepID"): "takes (0040,0275) RequestAttributesSequence",
    ("basic", "60023000"): "profile basic, Table E.1-1 (60xx,3000) OverlayData: X: remove – decides",
    ("basic", "Modality"): "no rule: stays as it is",
    ("seed-sample", "StudyDate"): "VR DA: dateshift",
}  # fmt: skip


@pytest.mark.parametrize(("config", "element"), EXPLAINED)
def test_explain_names_the_table_row_and_the_option(config: str, element: str) -> None:
    assert EXPLAINED[config, element] in said("explain", config, element)


def test_the_users_rules_come_first_and_a_default_last(tmp_path: Path) -> None:
    own = {"dicomTagRules": [{"tag": {"keyword": "StudyDate"}, "method": "remove"}], "default": "remove"}
    (tmp_path / "cfg.json").write_text(json.dumps({**SHORTEST, **own}))
    shown = said("explain", str(tmp_path / "cfg.json"), "StudyDate", "SeriesDate", "Modality")
    date_of_study, date_of_series, modality = shown.split("\n(")
    assert "remove – decides" in date_of_study
    assert "profile basic, Table E.1-1 (0008,0020) StudyDate: Z: redact – comes too late" in date_of_study
    assert "every other" not in date_of_series
    assert "every other public element: remove – decides" in modality


# ---- run ----


def test_a_run_without_a_config_does_the_basic_profile(study: Place) -> None:
    done = deid("run", study.source, study.out, "-j1", "--work", study.work, cwd=study.folder)
    rows = study.rows()
    assert done.returncode == 1, done.stderr
    assert {row["reason"] for row in rows.values() if row["status"] == "set-aside"} == {"burned-in"}
    assert rows["./PAT1/CT/IM1"]["status"] == "written"
    assert int(rows["./PAT1/CT/IM1"]["uids_refreshed"]) > 3


def test_another_profile_for_the_same_out_is_refused(study: Place) -> None:
    for config, code in (("basic", 1), ("basic", 1), ("keep-uids", 2)):
        done = deid_here("run", study.source, study.out, "-j1", "-c", config, "--work", study.work)
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize("name", ["basic", "research-longitudinal", "hipaa-safe-harbor", "keep-uids"])
def test_a_shipped_profile_settles_with_one_key(name: str) -> None:
    assert name in shipped_configs()
    config = load_config(name)
    assert config.profile
    assert set(config.profile.options) <= set(OPTIONS)
    rules = config.settled({"uid": b"u" * 32, "dateshift": b"d" * 32}, date(2026, 1, 31))
    assert all(getattr(method, "key", b"x") for method in rules.methods)


def test_a_config_without_a_profile_loads_nothing_of_it() -> None:
    code = (
        "import sys; from deid_batch.config import load_config; import deid_batch.worker; load_config('seed-sample'); "
        "sys.exit(any(name.startswith('deid_batch.profiles') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
