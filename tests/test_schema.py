"""schema: an independent validator accepts what the tool reads, and not what an editor can see to be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.config import read_config, shipped_configs
from deid_batch.config.jsonc import Node, Number, read
from deid_batch.methods import METHODS

jsonschema = pytest.importorskip("jsonschema", reason="the jsonschema package is not installed")


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(CliRunner().invoke(app, ["schema"]).stdout)


def plain(node: Node) -> Any:
    """A config as a JSON reader gives it: comments, trailing commas and places gone."""
    if isinstance(node.value, dict):
        return {name: plain(value) for name, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(value) for value in node.value]
    return json.loads(node.value) if isinstance(node.value, Number) else node.value


def problems_of(text: str, schema: Any) -> list[str]:
    node, problems = read(text)
    assert node is not None
    assert problems == []
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(plain(node))]


def native(rule: str = "", more: str = "") -> str:
    return f'{{"dicomTagRules": [{{"tag": {{"VR": "DA"}}, "method": "dateshift"{rule}}}]{more}}}'


def tagged(tag: str, method: str = "remove") -> str:
    return f'{{"dicomTagRules": [{{"tag": {tag}, "method": "{method}"}}]}}'


def successor(rule: str = "", more: str = "") -> str:
    return f'{{"rules": [{{"tag": "DA", "method": "dateShift"{rule}}}]{more}}}'


GOOD = [
    native(),
    native(
        ', "dateShiftRange": "50", "dateShiftScope": "studyinstance", "onError": "fail", "referenceDate": "2026-01-31"'
    ),
    native(', "dateShiftRange": 50, "dateShiftKey": "env:PATH", "dateShiftAlgorithm": "BKDR"'),
    native(', "when": {"Modality": "US"}'),
    native(', "when": {"SeriesNumber": [1, "2"]}'),
    native(', "when": {"Modality": ["US", "SC"], "(0008,1010)": {"regex": "^A"}, "StudyID": {"exists": false}}'),
    native("", ', "parameters": {}, "default": "keep"'),
    native("", ', "parameters": {"key": "a long master key", "roundTo": "2", "span": 1.5, "maxLength": 16}'),
    native("", ', "default": {"public": "Remove", "private": "keep"}, "$schema": "deid-batch.schema.json"'),
    native(", // a comment, and a trailing comma\n"),
    '{"dicomTagRules": [], "default": "remove"}',
    tagged('{"value": "(0010,0010)"}', "REDACT"),
    tagged('{"value": "50xxxxxx"}'),
    tagged('{"keyword": "PatientName"}', "Encrypt"),
    tagged('{"name": "PatientName"}', "cryptoHash"),
    tagged('{"VR": "ui"}', "refreshuid"),
    tagged('{"path": "*/PatientName"}'),
    tagged('{"private": true}'),
    tagged('{"private": "True"}'),
    tagged('{"creator": "SIEMENS MR HEADER"}'),
    tagged('{"creator": "SIEMENS MR HEADER", "value": "(0019,xx0C)"}'),
    *(tagged('{"private": true}', method) for method in METHODS),
    successor(),
    successor(', "params": {"dateShiftRange": 3, "dateShiftScope": "Patient", "dateShiftKey": "a key of one rule"}'),
    successor(', "setting": "short"', ', "customSettings": {"short": {"dateShiftRange": "3"}}'),
    successor(
        "",
        """, "defaultSettings": {
            "perturb": {"span": "1", "roundTo": 2, "rangeType": "Proportional", "distribution": "uniform"},
            "substitute": {"replaceWith": "ANONYMOUS"},
            "dateShift": {"dateShiftKey": "123", "dateShiftScope": "SeriesInstance", "dateShiftRange": "50"},
            "encrypt": {"encryptKey": "0123456789abcdef"},
            "cryptoHash": {"cryptoHashKey": "123", "cryptoHashType": "sha512", "matchInputStringLength": false},
            "redact": {"enablePartialAgesForRedact": "true", "enablePartialDatesForRedact": true}
        }, "default": {"private": "remove"}""",
    ),
    '{"rules": [{"tag": "(0019,xx0C,\\"SIEMENS MR HEADER\\")", "method": "keep", "when": {"Modality": "MR"}}]}',
]
BAD = [
    "[]",
    "{}",
    '{"dicomTagRule": []}',
    '{"dicomTagRules": {}}',
    '{"dicomTagRules": [], "rules": []}',
    '{"dicomTagRules": ["PatientName"]}',
    native("", ', "parameter": {}'),
    native("", ', "parameters": []'),
    native("", ', "parameters": {"dateShiftRage": 50}'),
    native("", ', "parameters": {"dateShiftKey": 123}'),
    native("", ', "default": "redact"'),
    native("", ', "default": {}'),
    native("", ', "default": {"privat": "remove"}'),
    native("", ', "$schema": 1'),
    native(', "dateShiftRage": 50'),
    native(', "dateShiftRange": 0'),
    native(', "dateShiftRange": 1.5'),
    native(', "dateShiftRange": true'),
    native(', "dateShiftRange": [50]'),
    native(', "dateShiftScope": "Series"'),
    native(', "dateShiftAlgorithm": "hmac"'),
    native(', "span": 1'),
    native(', "encryptKey": "0123456789abcdef"'),
    native(', "onError": "ignore"'),
    native(', "$schema": "x"'),
    native(', "setting": "x"'),
    native(', "when": {}'),
    native(', "when": "US"'),
    native(', "when": {"Modality": []}'),
    native(', "when": {"Modality": {"regex": 1}}'),
    native(', "when": {"Modality": {"is": "US"}}'),
    native(', "when": {"Modality": {"regex": "U", "exists": true}}'),
    tagged('"(0010,0010)"'),
    tagged("{}"),
    tagged('{"value": ""}'),
    tagged('{"value": 60003000}'),
    tagged('{"VR": "PM"}'),
    tagged('{"VR": "PN", "keyword": "PatientName"}'),
    tagged('{"private": false}'),
    tagged('{"tag": "(0010,0010)"}'),
    tagged('{"VR": "PN"}', "encript"),
    '{"dicomTagRules": [{"tag": {"VR": "PN"}}]}',
    '{"dicomTagRules": [{"method": "redact"}]}',
    '{"rules": [{"tag": {"VR": "PN"}, "method": "redact"}]}',
    '{"rules": [{"tag": 60003000, "method": "redact"}]}',
    successor(', "dateShiftRange": 50'),
    successor(', "params": {"dateShiftRage": 50}'),
    successor(', "params": "short"'),
    successor("", ', "defaultSettings": {"dateshifts": {}}'),
    successor("", ', "defaultSettings": {"dateShift": {"span": 1}}'),
    successor("", ', "customSettings": {"short": 3}'),
    successor("", ', "parameters": {}'),
]


def test_the_schema_is_one(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_are_valid(name: str, schema: Any) -> None:
    assert problems_of(shipped_configs()[name].read_text(encoding="utf-8"), schema) == []


@pytest.mark.parametrize("text", GOOD)
def test_what_the_tool_reads_is_valid(text: str, schema: Any, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(text, encoding="utf-8")
    assert problems_of(text, schema) == []
    errors = [problem.text for problem in read_config(str(tmp_path / "cfg.json")).problems if not problem.is_warning]
    assert errors == []


@pytest.mark.parametrize("text", BAD)
def test_what_an_editor_can_see_to_be_wrong_is_invalid(text: str, schema: Any, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(text, encoding="utf-8")
    assert problems_of(text, schema) != []
    assert read_config(str(tmp_path / "cfg.json")).config is None


@pytest.mark.parametrize("method", METHODS)
def test_an_editor_is_offered_every_method_by_its_name(method: str, schema: Any) -> None:
    kinds = [kind["properties"] for kind in schema["anyOf"]]
    for rules in (kinds[0]["dicomTagRules"], kinds[1]["rules"]):
        offered = [
            name for rule in rules["items"]["anyOf"] for name in rule["properties"]["method"]["anyOf"][0]["enum"]
        ]
        assert method in offered
