"""check: every problem of a config with its place, then its rules in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.config import shipped_configs

GOOD = """{
  "dicomTagRules": [
    {"tag": {"keyword": "patientName"}, "method": "Substitute", "replaceWith": "X", "when": {"Modality": ["US", "SC"]}},
    {"tag": {"path": "BeamSequence/BeamName"}, "method": "redact", "enablePartialDatesForRedact": "true"},
    {"tag": {"creator": "SIEMENS MR HEADER", "value": "(0019,xx0C)"}, "method": "keep"},
    {"tag": {"value": "50XXxxxx"}, "method": "remove"},
    {"tag": {"VR": "da"}, "method": "dateshift", "dateShiftRange": "20",
     "when": {"PatientID": {"regex": "^T"}, "StudyID": {"exists": false}}},
  ],
  "parameters": {"dateShiftKey": "s3cret-of-date-shift", "encryptKey": "base64:YWVzLXNlY3JldC0xNmJ5dA=="},
  "default": {"private": "remove"}
}"""
GOOD_RULES = """
1 | (0010,0010) PatientName | substitute | replaceWith X | Modality is US or SC | 3:5
2 | (300A,00B0) BeamSequence/(300A,00C2) BeamName | redact | enablePartialDatesForRedact true | | 4:5
3 | (0019,xx0C,"SIEMENS MR HEADER") | keep | | | 5:5
4 | (50xx,xxxx) | remove | | | 6:5
5 | VR DA | dateshift | dateShiftRange 20 | PatientID matches ^T, StudyID has no value | 7:5
6 | every other private element | remove | | | 11:26
"""
SUCCESSOR = """{
  "rules": [
    {"tag": "(0010,1010)", "method": "perturb", "setting": "ages", "params": {"span": 3}},
    {"tag": "(0010,1020)", "method": "perturb", "setting": "ages"},
    {"tag": "DA", "method": "dateShift"},
    {"tag": "50xxxxxx", "method": "redact"}
  ],
  "defaultSettings": {"dateShift": {"dateShiftAlgorithm": "bkdr"}},
  "customSettings": {"ages": {"span": 7, "roundTo": 0, "rangeType": "fixed"}}
}"""
SUCCESSOR_RULES = """
1 | (0010,1010) PatientAge | perturb | span 3, roundTo 0 | | 3:5
2 | (0010,1020) PatientSize | perturb | span 7, roundTo 0 | | 4:5
3 | VR DA | dateshift | dateShiftAlgorithm bkdr | | 5:5
4 | (50xx,xxxx) | redact | redactLeaves empty | | 6:5
"""
BAD = """{
  "dicomTagRules": [
    {"tag": {"VR": "PN"}, "method": "encript"},
    {"tag": {"keyword": "PatientsName"}, "method": "redact"},
    {"tag": {"VR": "DA"}, "method": "dateshift", "dateShiftRage": 50},
    {"tag": {"VR": "PN"}, "method": "redact"}, {"tag": {"VR": "PN"}, "method": "keep"}
  ],
  "parameters": {"encryptKey": "no key for AES at all", "dateShiftKey": "s3cret-of-date-shift", "roundTo": "two"}
}"""
BAD_LINES = """
cfg.json:3:37 dicomTagRules[0].method: unknown method 'encript', did you mean 'encrypt'?
cfg.json:4:25 dicomTagRules[1].tag.keyword: unknown keyword 'PatientsName', did you mean 'PatientName'?
cfg.json:5:50 dicomTagRules[2].dateShiftRage: unknown key 'dateShiftRage', did you mean 'dateShiftRange'?
cfg.json:6:48 dicomTagRules[4]: warning: never decides: the rule at 6:5 takes all that this one would match
cfg.json:8:32 parameters.encryptKey: an AES key has 16, 24 or 32 bytes, this one has 21
cfg.json:8:108 parameters.roundTo: input should be a valid integer, unable to parse string as an integer
"""
DOUBTFUL = """{
  "dicomTagRules": [
    {"tag": {"VR": "PN"}, "method": "redact"},
    {"tag": {"keyword": "PatientName"}, "method": "keep"}
  ],
  "parameters": {"cryptoHashKey": "hex:0badc0de"}
}"""
SECRETS = ("s3cret", "YWVzLXNl", "aes-secret", "no key", "0badc0de", "\\xba", "badc0de")


def check(text: str, folder: Path) -> Any:
    (folder / "cfg.json").write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["check", str(folder / "cfg.json")], env={"COLUMNS": "200"})


def rows_of(shown: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


@pytest.mark.parametrize(("text", "rules"), [(GOOD, GOOD_RULES), (SUCCESSOR, SUCCESSOR_RULES)])
def test_a_good_config_shows_its_rules_in_order_with_settings_conditions_and_places(
    text: str, rules: str, tmp_path: Path
) -> None:
    result = check(text, tmp_path)
    assert result.exit_code == 0
    assert rows_of(result.stdout) == [[cell.strip() for cell in row.split("|")] for row in rules.strip().splitlines()]
    assert "warning" not in result.output


def test_all_problems_are_told_in_the_order_of_their_places_and_no_rules(tmp_path: Path) -> None:
    result = check(BAD, tmp_path)
    assert result.exit_code == 2
    assert result.stdout.splitlines() == BAD_LINES.strip().splitlines()


def test_warnings_come_before_the_rules_and_do_not_make_a_config_bad(tmp_path: Path) -> None:
    result = check(DOUBTFUL, tmp_path)
    first, second, title, *_ = result.stdout.splitlines()
    assert result.exit_code == 0
    assert first.startswith("cfg.json:4:5 dicomTagRules[1]: warning: never decides: the rule at 3:5 takes all")
    assert second == "cfg.json:6:35 parameters.cryptoHashKey: warning: a weak key: fewer than 16 bytes"
    assert title.startswith("Rules of cfg.json; the first that matches decides")
    assert [row[1:3] for row in rows_of(result.stdout)] == [["VR PN", "redact"], ["(0010,0010) PatientName", "keep"]]


@pytest.mark.parametrize("text", [GOOD, BAD, DOUBTFUL])
def test_no_key_is_ever_printed(text: str, tmp_path: Path) -> None:
    result = check(text, tmp_path)
    assert [secret for secret in SECRETS if secret in result.output] == []


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_config_is_checked_by_its_name(name: str) -> None:
    result = CliRunner().invoke(app, ["check", name])
    assert result.exit_code == 0
    assert f"Rules of {name}.json" in result.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("seed-simple", "deid-batch: seed-simple: No such file or directory; the shipped configs are"),
        (".", "deid-batch: .: Is a directory; the shipped configs are"),
    ],
)
def test_a_config_that_can_not_be_read_is_told(name: str, says: str) -> None:
    result = CliRunner().invoke(app, ["check", name])
    assert result.exit_code == 2
    assert says in result.stderr
    assert "seed-sample" in result.stderr


def test_a_config_that_is_no_text_or_no_object_is_told(tmp_path: Path) -> None:
    assert check("[]", tmp_path).stdout == "cfg.json:1:1: a config is an object, not a list\n"
    (tmp_path / "cfg.json").write_bytes(b'{"dicomTagRules": "\xff"}')
    result = CliRunner().invoke(app, ["check", str(tmp_path / "cfg.json")])
    assert (result.exit_code, result.stderr) == (2, "deid-batch: cfg.json:1:1: not UTF-8\n")
