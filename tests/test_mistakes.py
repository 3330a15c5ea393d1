"""What is wrong with a config: told all at once, sorted by place, each with its line, column and path. (CONTRACT 2.6)

In these tables ▸ stands in front of what a problem is placed at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deid_batch.config import load_config, read_config, shipped_configs
from deid_batch.errors import ConfigError

SECRET = "s3cret-that-no-message-may-show!"
Lines = Callable[[str], tuple[str, ...]]


@pytest.fixture
def lines_of(tmp_path: Path) -> Lines:
    """The problems of a config's text."""
    path = tmp_path / "cfg.json"

    def lines(text: str) -> tuple[str, ...]:
        path.write_text(text.replace("▸", ""), encoding="utf-8")
        return read_config(str(path)).lines

    return lines


def placed(text: str, *problems: str) -> tuple[str, ...]:
    """The problems as they are shown, at the text's marks in their order."""
    shown = []
    for number, mark in enumerate(re.finditer("▸", text)):
        before = text[: mark.start()].replace("▸", "")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        gap = "" if problems[number].startswith(":") else " "
        shown.append(f"cfg.json:{line}:{column}{gap}{problems[number]}")
    assert len(shown) == len(problems)
    return tuple(shown)


def native(rules: str, more: str = "") -> str:
    return f'{{\n  "dicomTagRules": [{rules}]{more}\n}}'


def successor(rules: str, more: str = "") -> str:
    return f'{{\n  "rules": [{rules}]{more}\n}}'


GOOD = '{"tag": {"VR": "PN"}, "method": "remove"}'
GOOD_TOO = '{"tag": "PN", "method": "remove"}'


# keys that nothing knows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (native(GOOD, ', ▸"paramters": {}'), "paramters: unknown key 'paramters', did you mean 'parameters'?"),
        (native(GOOD, ', ▸"rules": []'), "rules: unknown key 'rules'"),
        (native(GOOD, ', ▸"": 1'), ": unknown key ''"),
        (native(GOOD, ', ▸"Default": "remove"'), "Default: unknown key 'Default', did you mean 'default'?"),
        (
            native('{"tag": {"VR": "PN"}, "method": "remove", ▸"comment": "x"}'),
            "dicomTagRules[0].comment: unknown key 'comment'",
        ),
        (
            native('{"tag": {"VR": "PN"}, "method": "remove", ▸"$schema": "x"}'),
            "dicomTagRules[0].$schema: unknown key '$schema'",
        ),
        (
            native('{"tag": {"VR": "DA"}, "method": "dateshift", ▸"dateShiftRnage": 5}'),
            "dicomTagRules[0].dateShiftRnage: unknown key 'dateShiftRnage', did you mean 'dateShiftRange'?",
        ),
        (
            native('{"tag": {"VR": "DA"}, "method": "dateshift", ▸"daterange": 5}'),
            "dicomTagRules[0].daterange: unknown key 'daterange', did you mean 'dateShiftRange'?",
        ),
        (
            native('{"tag": {"VR": "PN"}, "method": "remove", ▸"span": 1}'),
            "dicomTagRules[0].span: unknown key 'span'",
        ),
        (
            native('{"tag": {"VR": "PN"}, "method": "remove", ▸"params": {"span": 1}}'),
            "dicomTagRules[0].params: unknown key 'params'",
        ),
        (
            native('{"tag": {▸"vr": "PN"}, "method": "remove"}'),
            "dicomTagRules[0].tag.vr: unknown key 'vr', did you mean 'VR'?",
        ),
        (
            native('{"tag": {"creator": "X", ▸"values": "(0019,xx01)"}, "method": "remove"}'),
            "dicomTagRules[0].tag.values: unknown key 'values', did you mean 'value'?",
        ),
        (
            native(GOOD, ', "parameters": {▸"dateshiftKey": "0123456789abcdef"}'),
            "parameters.dateshiftKey: unknown key 'dateshiftKey', did you mean 'dateShiftKey'?",
        ),
        (native(GOOD, ', "parameters": {▸"tag": 1}'), "parameters.tag: unknown key 'tag'"),
        (successor(GOOD_TOO, ', ▸"default_settings": {}'), "default_settings: unknown key 'default_settings', did you"),
        (
            successor('{"tag": "PN", "method": "remove", ▸"setings": "x"}'),
            "rules[0].setings: unknown key 'setings', did you mean 'setting'?",
        ),
        (
            successor('{"tag": "DA", "method": "dateshift", ▸"dateShiftRange": 5}'),
            "rules[0].dateShiftRange: unknown key 'dateShiftRange'",
        ),
        (
            successor('{"tag": "DA", "method": "dateshift", "params": {▸"dateShiftRnge": 5}}'),
            "rules[0].params.dateShiftRnge: unknown key 'dateShiftRnge', did you mean 'dateShiftRange'?",
        ),
        (
            successor(
                '{"tag": "DA", "method": "dateshift", "setting": "a"}, {"tag": "DT", "method": "dateshift", '
                '"setting": "a"}',
                ', "customSettings": {"a": {▸"rangeTyp": 5}}',
            ),
            "customSettings.a.rangeTyp: unknown key 'rangeTyp'",
        ),
        (
            successor(GOOD_TOO, ', "defaultSettings": {"perturb": {▸"rangeTyp": 5}}'),
            "defaultSettings.perturb.rangeTyp: unknown key 'rangeTyp', did you mean 'rangeType'?",
        ),
        (
            successor(GOOD_TOO, ', "defaultSettings": {▸"blur": {}}'),
            "defaultSettings.blur: unknown method 'blur'",
        ),
    ],
)
def test_an_unknown_key_is_told_wherever_it_stands(lines_of: Lines, text: str, problem: str) -> None:
    (line,) = lines_of(text)
    assert line.startswith(placed(text, problem)[0])


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            native('▸{"tag": {"VR": "PN"}, ▸"methd": "remove"}'),
            [
                "dicomTagRules[0]: the rule has no 'method'",
                "dicomTagRules[0].methd: unknown key 'methd', did you mean 'method'?",
            ],
        ),
        (
            native('{"tag": {"VR": "PN"}, "method": ▸"remov", ▸"onEror": "fail"}'),
            [
                "dicomTagRules[0].method: unknown method 'remov', did you mean 'remove'?",
                "dicomTagRules[0].onEror: unknown key 'onEror', did you mean 'onError'?",
            ],
        ),
        (
            successor('▸{▸"tga": "PN", "method": "remove"}'),
            ["rules[0]: the rule has no 'tag'", "rules[0].tga: unknown key 'tga', did you mean 'tag'?"],
        ),
        (
            '▸{▸"rulez": [], "customSettings": {}}',
            [": rules must be a list of rules", "rulez: unknown key 'rulez', did you mean 'rules'?"],
        ),
        (
            '▸{▸"dicomTagRule": []}',
            [
                ": dicomTagRules must be a list of rules",
                "dicomTagRule: unknown key 'dicomTagRule', did you mean 'dicomTagRules'?",
            ],
        ),
    ],
)
def test_a_mistyped_key_that_must_be_there_is_told_as_both(lines_of: Lines, text: str, problems: list[str]) -> None:
    assert lines_of(text) == placed(text, *problems)


@pytest.mark.parametrize(
    "text",
    [
        native(GOOD, ', "$schema": "./schema.json"'),
        successor(GOOD_TOO, ', "$schema": "./schema.json", "defaultSettings": {}, "customSettings": {}'),
        native('{"tag": {"VR": "DA"}, "method": "dateshift", "onError": "fail"}', ', "parameters": {"roundTo": 1}'),
        native(GOOD, ', "default": "keep"'),
        native('{"method": "remove", "tag": {"name": "PatientName"}, "when": {"Modality": "CT"}}'),
    ],
)
def test_a_key_that_may_stand_there_is_no_problem(lines_of: Lines, text: str) -> None:
    assert lines_of(text) == ()


# the same key twice


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (native(GOOD, ', ▸"dicomTagRules": [{"tag": {"VR": "PN"}, "method": "keep"}]'), "dicomTagRules"),
        (native('{"tag": {"VR": "PN"}, "method": "keep", ▸"method": "remove"}'), "dicomTagRules[0].method"),
        (native('{"tag": {"VR": "DA"}, ▸"tag": {"VR": "PN"}, "method": "keep"}'), "dicomTagRules[0].tag"),
        (native('{"tag": {"VR": "DA", ▸"VR": "PN"}, "method": "keep"}'), "dicomTagRules[0].tag.VR"),
        (native(GOOD, ', "parameters": {"span": 1, ▸"span": 2}'), "parameters.span"),
        (native(GOOD, ', "parameters": {"span": 1, ▸"\\u0073pan": 2}'), "parameters.span"),
        (
            native('{"tag": {"VR": "PN"}, "method": "keep", "when": {"Modality": "CT", ▸"Modality": "MR"}}'),
            "dicomTagRules[0].when.Modality",
        ),
        (
            successor(GOOD_TOO, ', "defaultSettings": {"redact": {}, ▸"redact": {}}'),
            "defaultSettings.redact",
        ),
        (
            successor('{"tag": "PN", "method": "remove", "setting": "a"}', ', "customSettings": {"a": {}, ▸"a": {}}'),
            "customSettings.a",
        ),
        (
            successor('{"tag": "DS", "method": "perturb", "params": {"span": 1, ▸"span": 1}}'),
            "rules[0].params.span",
        ),
    ],
)
def test_a_key_that_stands_twice_is_told(lines_of: Lines, text: str, path: str) -> None:
    assert placed(text, f"{path}: this key stands twice")[0] in lines_of(text)


# things of another type


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("▸[]", ": a config is an object, not a list"),
        ('▸"rules"', ": a config is an object, not a string"),
        ("▸null", ": a config is an object, not null"),
        ("▸{}", ": dicomTagRules must be a list of rules"),
        ('{"dicomTagRules": ▸{}}', "dicomTagRules: dicomTagRules must be a list of rules"),
        ('{"dicomTagRules": ▸null}', "dicomTagRules: dicomTagRules must be a list of rules"),
        ('{"dicomTagRules": ▸[]}', "dicomTagRules: dicomTagRules is empty: nothing would be de-identified"),
        ('{"rules": ▸"x"}', "rules: rules must be a list of rules"),
        ('{"rules": ▸[]}', "rules: rules is empty: nothing would be de-identified"),
        (native("▸7"), "dicomTagRules[0]: a rule must be an object, not a number"),
        (native('▸["PN", "remove"]'), "dicomTagRules[0]: a rule must be an object, not a list"),
        (native(GOOD, ', "$schema": ▸{}'), "$schema: $schema must be a string, not an object"),
        (native(GOOD, ', "$schema": ▸1'), "$schema: $schema must be a string, not a number"),
        (native(GOOD, ', "parameters": ▸[]'), "parameters: parameters must be an object, not a list"),
        (native(GOOD, ', "parameters": ▸null'), "parameters: parameters must be an object, not null"),
        (native('{"tag": {"VR": "PN"}, "method": ▸true}'), "dicomTagRules[0].method: method must be a string, not tr"),
        (native('{"tag": {"VR": "PN"}, "method": ▸{}}'), "dicomTagRules[0].method: method must be a string, not an o"),
        (native('{"tag": {"VR": "PN"}, "method": ▸1}'), "dicomTagRules[0].method: unknown method '1'"),
        (
            native('{"tag": ▸"PN", "method": "keep"}'),
            'dicomTagRules[0].tag: tag must be an object, such as {"VR": "PN"}, not a string',
        ),
        (
            native('{"tag": ▸{}, "method": "keep"}'),
            "dicomTagRules[0].tag: tag must hold one of value, keyword, VR, path, private; or creator, alone or with",
        ),
        (
            native('{"tag": ▸{"VR": "PN", "keyword": "PatientName"}, "method": "keep"}'),
            "dicomTagRules[0].tag: tag must hold one of value, keyword, VR, path, private; or creator, alone or with",
        ),
        (
            native('{"tag": ▸{"creator": "X", "VR": "PN"}, "method": "keep"}'),
            "dicomTagRules[0].tag: tag must hold one of value, keyword, VR, path, private; or creator, alone or with",
        ),
        (
            native('{"tag": ▸{"private": true, "creator": "X"}, "method": "keep"}'),
            "dicomTagRules[0].tag: tag must hold one of value, keyword, VR, path, private; or creator, alone or with",
        ),
        (native('{"tag": {"VR": ▸["PN"]}, "method": "keep"}'), "dicomTagRules[0].tag.VR: must be a string, not a list"),
        (native('{"tag": {"VR": ▸null}, "method": "keep"}'), "dicomTagRules[0].tag.VR: must be a string, not null"),
        (native('{"tag": {"VR": ▸""}, "method": "keep"}'), "dicomTagRules[0].tag.VR: is empty"),
        (native('{"tag": {"creator": ▸" "}, "method": "keep"}'), "dicomTagRules[0].tag.creator: is empty"),
        (native('{"tag": {"keyword": ▸""}, "method": "keep"}'), "dicomTagRules[0].tag.keyword: is empty"),
        (native('{"tag": {"VR": ▸"PX"}, "method": "keep"}'), "dicomTagRules[0].tag.VR: unknown VR 'PX'"),
        (
            native('{"tag": {"value": ▸"PatientName"}, "method": "keep"}'),
            "dicomTagRules[0].tag.value: 'PatientName' is no tag; write it as (gggg,eeee)",
        ),
        (
            native('{"tag": {"keyword": ▸"PatientNmae"}, "method": "keep"}'),
            "dicomTagRules[0].tag.keyword: unknown keyword 'PatientNmae', did you mean 'PatientName'?",
        ),
        (
            native('{"tag": {"private": ▸false}, "method": "remove"}'),
            "dicomTagRules[0].tag.private: private must be true; leave it out otherwise",
        ),
        (
            native('{"tag": {"creator": "X", "value": ▸"(0018,xx01)"}, "method": "remove"}'),
            "dicomTagRules[0].tag.value: '(0018,xx01)' is no private tag: its group is even",
        ),
        (
            native('{"tag": {"creator": "X", "value": ▸"(00xx,xx01)"}, "method": "remove"}'),
            "dicomTagRules[0].tag.value: '(00xx,xx01)' is no private tag; write it as (gggg,xxee)",
        ),
        (
            native('{"tag": {"VR": "DS"}, "method": "perturb", "span": ▸{}}'),
            "dicomTagRules[0].span: an object can't stand here",
        ),
        (
            native('{"tag": {"VR": "DS"}, "method": "perturb", "span": ▸true}'),
            "dicomTagRules[0].span: true or false can't stand here",
        ),
        (
            native('{"tag": {"VR": "DS"}, "method": "perturb", "roundTo": ▸2.5}'),
            "dicomTagRules[0].roundTo: input should be a valid integer",
        ),
        (
            native('{"tag": {"VR": "DS"}, "method": "perturb", "span": ▸-1}'),
            "dicomTagRules[0].span: input should be greater than or equal to 0",
        ),
        (
            native('{"tag": {"VR": "DS"}, "method": "perturb", "rangeType": ▸"Relative"}'),
            "dicomTagRules[0].rangeType: input should be 'Fixed' or 'Proportional'",
        ),
        (
            native('{"tag": {"VR": "DA"}, "method": "dateshift", "dateShiftRange": ▸0}'),
            "dicomTagRules[0].dateShiftRange: input should be greater than or equal to 1",
        ),
        (
            native('{"tag": {"VR": "DA"}, "method": "dateshift", "referenceDate": ▸"31.1.2026"}'),
            "dicomTagRules[0].referenceDate: must be a day, such as 2026-01-31",
        ),
        (
            native('{"tag": {"VR": "LO"}, "method": "cryptohash", "maxLength": ▸4}'),
            "dicomTagRules[0].maxLength: input should be greater than or equal to 8",
        ),
        (
            native('{"tag": {"VR": "DA"}, "method": "redact", "redactLeaves": ▸"all"}'),
            "dicomTagRules[0].redactLeaves: input should be 'nothing' or 'empty'",
        ),
        (
            native(GOOD, ', "parameters": {"enablePartialAgesForRedact": ▸"perhaps"}'),
            "parameters.enablePartialAgesForRedact: input should be a valid boolean",
        ),
    ],
)
def test_what_is_of_a_wrong_type_or_out_of_bounds_is_told(lines_of: Lines, text: str, problem: str) -> None:
    (line,) = lines_of(text)
    assert line.startswith(placed(text, problem)[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("▸", ": not valid JSON: the text ends too early"),
        ('{"rules": [▸', ": not valid JSON: the text ends too early"),
        ('{"rules": [],▸,}', ": not valid JSON: this can't stand here"),
        ('{\n\n  "rules" ▸[]}', ": not valid JSON: this can't stand here"),
        ("{▸'rules': []}", ": not valid JSON: this can't stand here"),
    ],
)
def test_what_is_no_json_is_told(lines_of: Lines, text: str, problem: str) -> None:
    assert lines_of(text) == placed(text, problem)


# methods that can't do what a rule asks of them


@pytest.mark.parametrize(
    ("tag", "method", "problem"),
    [
        (
            '{"VR": "SQ"}',
            "encrypt",
            "VR SQ; it treats AE AS CS DA DS DT IS LO LT OB PN SH ST TM UC UI UN UR UT",
        ),
        ('{"VR": "PN"}', "dateshift", "VR PN; it treats DA DT"),
        ('{"VR": "TM"}', "dateshift", "VR TM; it treats DA DT"),
        ('{"VR": "LO"}', "refreshUID", "VR LO; it treats UI"),
        ('{"keyword": "PatientName"}', "perturb", "(0010,0010) PatientName of VR PN; it treats AS DS FD"),
        ('{"value": "(0028,0010)"}', "cryptohash", "(0028,0010) Rows of VR US; it treats AE AS"),
        ('{"value": "(0040,0275)"}', "substitute", "(0040,0275) RequestAttributesSequence of VR SQ; it treats AE"),
        ('{"keyword": "SmallestImagePixelValue"}', "encrypt", "(0028,0106) SmallestImagePixelValue of VR SS or US; it"),
        ('{"path": "*/PN"}', "perturb", "*/VR PN; it treats AS"),
        (
            '{"path": "RequestAttributesSequence/ScheduledProcedureStepID"}',
            "dateshift",
            "(0040,0275) RequestAttributesSequence/(0040,0009) ScheduledProcedureStepID of VR SH; it treats DA DT",
        ),
    ],
)
def test_methods_and_vrs_that_do_not_go_together_are_told(lines_of: Lines, tag: str, method: str, problem: str) -> None:
    text = native(f'{{"tag": {tag}, "method": ▸"{method}"}}')
    (line,) = lines_of(text)
    assert line.startswith(placed(text, f"dicomTagRules[0].method: {method} can't treat {problem}")[0])


@pytest.mark.parametrize(
    ("tag", "method"),
    [
        ('{"VR": "SQ"}', "redact"),
        ('{"VR": "SQ"}', "remove"),
        ('{"VR": "SQ"}', "keep"),
        ('{"VR": "DA"}', "dateshift"),
        ('{"keyword": "AcquisitionDateTime"}', "dateshift"),
        ('{"keyword": "PixelData"}', "perturb"),
        ('{"keyword": "SmallestImagePixelValue"}', "perturb"),
        ('{"value": "(50xx,xxxx)"}', "dateshift"),
        ('{"private": true}', "encrypt"),
        ('{"creator": "X", "value": "(0019,xx01)"}', "dateshift"),
        ('{"VR": "UN"}', "cryptohash"),
        ('{"path": "RequestAttributesSequence/UI"}', "refreshUID"),
    ],
)
def test_methods_and_vrs_that_go_together_are_no_problem(lines_of: Lines, tag: str, method: str) -> None:
    assert lines_of(native(f'{{"tag": {tag}, "method": "{method}"}}')) == ()


@pytest.mark.parametrize(
    ("tag", "replacement", "problem"),
    [
        ('{"VR": "DA"}', "ANONYMOUS", "VR DA: the replacement is no valid value of VR DA"),
        ('{"VR": "DA"}', "2000-01-01", "VR DA: the replacement is no valid value of VR DA"),
        ('{"VR": "CS"}', "lower case", "VR CS: the replacement is no valid value of VR CS"),
        ('{"VR": "SH"}', "more than 16 characters", "VR SH: the replacement is no valid value of VR SH"),
        ('{"VR": "UI"}', "1.02", "VR UI: the replacement is no valid value of VR UI"),
        ('{"VR": "LO"}', "two\\\\values", "VR LO: the replacement is no valid value of VR LO"),
        ('{"VR": "LO"}', "a\\u0000b", "VR LO: the replacement is no valid value of VR LO"),
        ('{"keyword": "Rows"}', "many", "(0028,0010) Rows: the replacement is no number, VR US holds numbers"),
        ('{"keyword": "Rows"}', "70000", "(0028,0010) Rows: VR US can't hold the replacement"),
        (
            '{"keyword": "SmallestImagePixelValue"}',
            "many",
            "(0028,0106) SmallestImagePixelValue: the replacement is no number, VR US holds numbers",
        ),
        ('{"path": "*/StudyDate"}', "x", "*/(0008,0020) StudyDate: the replacement is no valid value of VR DA"),
    ],
)
def test_a_replacement_that_breaks_the_vr_is_told(lines_of: Lines, tag: str, replacement: str, problem: str) -> None:
    rule = f'{{"tag": {tag}, "method": "substitute", "replaceWith": ▸"{replacement}"}}'
    assert lines_of(native(rule)) == placed(native(rule), f"dicomTagRules[0].replaceWith: {problem}")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (native('▸{"tag": {"VR": "DA"}, "method": "substitute"}'), "dicomTagRules[0]"),
        (
            native('▸{"tag": {"VR": "DA"}, "method": "substitute"}', ', "parameters": {"replaceWith": "x"}'),
            "dicomTagRules[0]",
        ),
        (successor('▸{"tag": "DA", "method": "substitute"}'), "rules[0]"),
        (
            successor('{"tag": "DA", "method": "substitute", "params": {"replaceWith": ▸"x"}}'),
            "rules[0].params.replaceWith",
        ),
        (
            successor('▸{"tag": "DA", "method": "substitute", "setting": "a"}', ', "customSettings": {"a": {}}'),
            "rules[0]",
        ),
    ],
)
def test_a_replacement_is_checked_wherever_it_comes_from(lines_of: Lines, text: str, path: str) -> None:
    assert lines_of(text) == placed(text, f"{path}: VR DA: the replacement is no valid value of VR DA")


@pytest.mark.parametrize(
    ("tag", "replacement"),
    [
        ('{"VR": "DA"}', '"20000101"'),
        ('{"VR": "DA"}', "20000101"),
        ('{"VR": "LT"}', '"two\\\\lines\\n"'),
        ('{"VR": "PN"}', '"山田^太郎"'),
        ('{"keyword": "Rows"}', "512"),
        ('{"keyword": "SmallestImagePixelValue"}', "-5"),
        ('{"keyword": "SmallestImagePixelValue"}', "65535"),
        ('{"value": "(60xx,3000)"}', '"anything"'),
        ('{"private": true}', '"anything"'),
    ],
)
def test_a_replacement_that_fits_or_may_fit_is_no_problem(lines_of: Lines, tag: str, replacement: str) -> None:
    assert lines_of(native(f'{{"tag": {tag}, "method": "substitute", "replaceWith": {replacement}}}')) == ()


@pytest.mark.parametrize(
    ("tag", "method", "settings", "problem"),
    [
        ('{"VR": "SH"}', "encrypt", "", "VR SH: what encrypt writes (44 characters or more) is no valid SH"),
        ('{"VR": "UI"}', "encrypt", "", "VR UI: what encrypt writes (44 characters or more) is no valid UI"),
        ('{"VR": "SH"}', "cryptohash", "", "VR SH: what cryptohash writes (64 characters) is no valid SH"),
        ('{"VR": "CS"}', "cryptohash", "", "VR CS: what cryptohash writes (64 characters) is no valid CS"),
        (
            '{"VR": "LO"}',
            "cryptohash",
            ', "cryptoHashType": "Sha512"',
            "VR LO: what cryptohash writes (128 characters) is no valid LO",
        ),
        (
            '{"VR": "SH"}',
            "cryptohash",
            ', "maxLength": 17',
            "VR SH: what cryptohash writes (17 characters) is no valid SH",
        ),
        (
            '{"VR": "CS"}',
            "cryptohash",
            ', "maxLength": 16',
            "VR CS: what cryptohash writes (16 characters) is no valid CS",
        ),
        (
            '{"VR": "DA"}',
            "cryptohash",
            ', "matchInputStringLength": true',
            "VR DA: what cryptohash writes is no valid DA",
        ),
        (
            '{"keyword": "AccessionNumber"}',
            "encrypt",
            "",
            "(0008,0050) AccessionNumber: what encrypt writes (44 characters or more) is no valid SH",
        ),
        (
            '{"path": "RequestAttributesSequence/RequestedProcedureID"}',
            "cryptohash",
            "",
            "(0040,0275) RequestAttributesSequence/(0040,1001) RequestedProcedureID: what cryptohash writes "
            "(64 characters) is no valid SH",
        ),
    ],
)
def test_a_result_that_its_vr_can_not_hold_is_told(
    lines_of: Lines, tag: str, method: str, settings: str, problem: str
) -> None:
    text = native(f'▸{{"tag": {tag}, "method": "{method}"{settings}}}')
    assert lines_of(text) == placed(text, f"dicomTagRules[0]: warning: {problem}")


@pytest.mark.parametrize(
    ("tag", "method", "settings"),
    [
        ('{"VR": "LO"}', "encrypt", ""),
        ('{"VR": "PN"}', "encrypt", ""),
        ('{"VR": "UT"}', "encrypt", ""),
        ('{"VR": "OB"}', "encrypt", ""),
        ('{"VR": "LO"}', "cryptohash", ""),
        ('{"VR": "LT"}', "cryptohash", ', "cryptoHashType": "Sha512"'),
        ('{"VR": "SH"}', "cryptohash", ', "maxLength": 16'),
        ('{"VR": "SH"}', "cryptohash", ', "matchInputStringLength": true'),
        ('{"VR": "UN"}', "cryptohash", ""),
        ('{"value": "(50xx,xxxx)"}', "cryptohash", ""),
    ],
)
def test_a_result_that_its_vr_can_hold_is_no_problem(lines_of: Lines, tag: str, method: str, settings: str) -> None:
    assert lines_of(native(f'{{"tag": {tag}, "method": "{method}"{settings}}}')) == ()


# rules that never decide


NAME, STUDY_DATE, CREATOR = '{"keyword": "PatientName"}', '{"keyword": "StudyDate"}', '{"creator": "X"}'
CREATOR_ELEMENT = '{"creator": "X", "value": "(0019,xx0C)"}'
CT = ', "when": {"Modality": "CT"}'


def two_rules(first: str, second: str, first_more: str = "", second_more: str = "", mark: str = "▸") -> str:
    return native(
        f'\n    {{"tag": {first}, "method": "keep"{first_more}}},'
        f'\n    {mark}{{"tag": {second}, "method": "remove"{second_more}}}'
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NAME, NAME),
        (NAME, '{"value": "0010,0010"}'),
        ('{"value": "(0010,xxxx)"}', NAME),
        ('{"value": "(0010,xxxx)"}', '{"value": "(0010,00xx)"}'),
        ('{"value": "(xxxx,xxxx)"}', '{"VR": "PN"}'),
        ('{"value": "(xxxx,xxxx)"}', CREATOR),
        ('{"value": "(xxxx,xxxx)"}', '{"private": true}'),
        ('{"VR": "DA"}', STUDY_DATE),
        ('{"VR": "DA"}', '{"VR": "da"}'),
        ('{"VR": "DA"}', '{"path": "*/StudyDate"}'),
        ('{"VR": "DA"}', '{"path": "*/DA"}'),
        (STUDY_DATE, '{"path": "RequestAttributesSequence/StudyDate"}'),
        ('{"value": "(0008,00xx)"}', '{"path": "*/StudyDate"}'),
        (CREATOR, CREATOR),
        (CREATOR, CREATOR_ELEMENT),
        (CREATOR_ELEMENT, '{"value": "(0019,110C,\\"X\\")"}'),
        ('{"creator": "X", "value": "(0019,xx0x)"}', CREATOR_ELEMENT),
        ('{"private": true}', CREATOR),
        ('{"private": true}', CREATOR_ELEMENT),
        ('{"private": true}', '{"value": "(0019,xxxx)"}'),
        ('{"private": true}', '{"value": "(xxx9,10xx)"}'),
        ('{"value": "(0019,xxxx)"}', CREATOR_ELEMENT),
        ('{"value": "(xxx9,xxxx)"}', CREATOR_ELEMENT),
        ('{"path": "PatientName"}', NAME),
        ('{"path": "PN"}', '{"VR": "PN"}'),
        ('{"path": "*/PatientName"}', '{"path": "RequestAttributesSequence/PatientName"}'),
        ('{"path": "*/PatientName"}', '{"path": "*/*/PatientName"}'),
        ('{"path": "*/PN"}', '{"path": "*/PatientName"}'),
        ('{"path": "*/PatientName"}', '{"path": "/*/PatientName"}'),
        ('{"path": "/*/PatientName"}', '{"path": "/RequestAttributesSequence/PatientName"}'),
        ('{"path": "(0040,xxxx)/PN"}', '{"path": "RequestAttributesSequence/PN"}'),
    ],
)
def test_a_rule_behind_one_that_takes_all_it_matches_is_told(lines_of: Lines, first: str, second: str) -> None:
    for first_more, second_more in (
        ("", ""),
        ("", CT),
        (CT, CT),
        (CT, ', "when": {"StationName": "A", "Modality": "CT"}'),
    ):
        text = two_rules(first, second, first_more, second_more)
        why = "never decides: the rule at 3:5 takes all that this one would match"
        assert placed(text, f"dicomTagRules[1]: warning: {why}")[0] in lines_of(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NAME, '{"VR": "PN"}'),
        (NAME, '{"value": "(0010,00xx)"}'),
        (NAME, '{"keyword": "PatientID"}'),
        ('{"value": "(0010,00xx)"}', '{"value": "(0010,xxxx)"}'),
        ('{"value": "(0010,00xx)"}', '{"keyword": "PatientWeight"}'),
        ('{"VR": "DA"}', NAME),
        ('{"VR": "DA"}', '{"VR": "DT"}'),
        ('{"VR": "LO"}', CREATOR),
        ('{"VR": "US"}', '{"keyword": "SmallestImagePixelValue"}'),
        ('{"VR": "OW"}', '{"keyword": "PixelData"}'),
        (CREATOR_ELEMENT, CREATOR),
        (CREATOR, '{"creator": "Y"}'),
        (CREATOR_ELEMENT, '{"value": "(0019,xx0C)"}'),
        (CREATOR_ELEMENT, '{"creator": "X", "value": "(0019,xx0D)"}'),
        (CREATOR_ELEMENT, '{"creator": "X", "value": "(0029,xx0C)"}'),
        (CREATOR, '{"private": true}'),
        ('{"private": true}', '{"value": "(xxxx,0010)"}'),
        ('{"private": true}', '{"value": "(0018,xxxx)"}'),
        ('{"private": true}', '{"VR": "LO"}'),
        ('{"value": "(0019,xx0D)"}', CREATOR_ELEMENT),
        ('{"path": "/PatientName"}', NAME),
        ('{"path": "/*/PatientName"}', '{"path": "*/PatientName"}'),
        ('{"path": "*/PatientName"}', NAME),
        ('{"path": "*/*/PatientName"}', '{"path": "*/PatientName"}'),
        ('{"path": "*/*/PatientName"}', '{"path": "/*/PatientName"}'),
        ('{"path": "RequestAttributesSequence/PN"}', '{"path": "*/PN"}'),
        ('{"path": "RequestAttributesSequence/PN"}', '{"path": "(0040,xxxx)/PN"}'),
        ('{"path": "RequestAttributesSequence/PN"}', '{"path": "ReferencedStudySequence/PN"}'),
        ('{"path": "*/PatientName"}', '{"path": "*/PN"}'),
    ],
)
def test_a_rule_behind_one_that_leaves_it_something_is_no_problem(lines_of: Lines, first: str, second: str) -> None:
    assert lines_of(two_rules(first, second, mark="")) == ()


@pytest.mark.parametrize(
    ("first_more", "second_more"),
    [(CT, ""), (CT, ', "when": {"Modality": "MR"}'), (CT, ', "when": {"StationName": "A"}')],
)
def test_a_rule_behind_one_that_holds_for_other_files_is_no_problem(
    lines_of: Lines, first_more: str, second_more: str
) -> None:
    assert lines_of(two_rules(NAME, NAME, first_more, second_more, mark="")) == ()


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ('{"keyword": "MediaStorageSOPInstanceUID"}', "never decides: File Meta Information is always built anew"),
        ('{"value": "(0002,xxxx)"}', "never decides: File Meta Information is always built anew"),
        ('{"value": "(0008,0000)"}', "never decides: group lengths and Data Set Trailing Padding always go"),
        ('{"value": "(FFFC,FFFC)"}', "never decides: group lengths and Data Set Trailing Padding always go"),
        ('{"value": "(0010,0299)"}', "(0010,0299) is not in the data dictionary; check the number"),
        ('{"path": "*/(0010,0299)"}', "(0010,0299) is not in the data dictionary; check the number"),
        (
            '{"value": "(0019,100C)"}',
            "(0019,100C) matches this number whatever its private creator; name the creator to be exact",
        ),
        (
            '{"path": "*/(0019,100C)"}',
            "(0019,100C) matches this number whatever its private creator; name the creator to be exact",
        ),
        (
            '{"path": "RequestAttributesSequence/PN"}',
            "never decides: the rule at 3:5 takes a sequence of the path with everything in it",
        ),
        (
            '{"path": "ReferencedStudySequence/RequestAttributesSequence/*/PN"}',
            "never decides: the rule at 3:5 takes a sequence of the path with everything in it",
        ),
    ],
)
def test_a_rule_that_may_do_nothing_or_too_much_is_told(lines_of: Lines, tag: str, why: str) -> None:
    text = native(
        '\n    {"tag": {"keyword": "RequestAttributesSequence"}, "method": "redact"},'
        f'\n    ▸{{"tag": {tag}, "method": "remove"}}'
    )
    assert lines_of(text) == placed(text, f"dicomTagRules[1]: warning: {why}")


@pytest.mark.parametrize(
    "tag",
    [
        '{"value": "(0010,0020)"}',
        '{"value": "(0010,0011)"}',
        '{"value": "(5002,2500)"}',
        '{"value": "(xxxx,0000)"}',
        '{"value": "(000x,0016)"}',
        '{"value": "(0019,0010)"}',
        '{"value": "(0019,xx0C)"}',
        '{"value": "(0019,100C,\\"X\\")"}',
        '{"path": "ReferencedStudySequence/PN"}',
        '{"path": "*/PN"}',
    ],
)
def test_a_rule_that_does_what_it_says_is_no_problem(lines_of: Lines, tag: str) -> None:
    rule = '{"tag": {"keyword": "RequestAttributesSequence"}, "method": "redact"}'
    assert lines_of(native(f'{rule}, {{"tag": {tag}, "method": "remove"}}')) == ()


# keys


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("dateShiftKey", "123", "warning: a weak key: fewer than 16 bytes"),
        ("key", "k" * 15, "warning: a weak key: fewer than 16 bytes"),
        ("cryptoHashKey", "hex:00ff", "warning: a weak key: fewer than 16 bytes"),
        ("encryptKey", "k" * 15, "an AES key has 16, 24 or 32 bytes, this one has 15"),
        ("encryptKey", "k" * 31, "an AES key has 16, 24 or 32 bytes, this one has 31"),
        ("encryptKey", "ü" * 16 + "k", "an AES key has 16, 24 or 32 bytes, this one has 33"),
        ("encryptKey", "hex:" + "00" * 17, "an AES key has 16, 24 or 32 bytes, this one has 17"),
        ("encryptKey", "base64:AAECAwQFBgcICQoLDA0ODxA=", "an AES key has 16, 24 or 32 bytes, this one has 17"),
        ("uidKey", "hex:0g", "the key is not valid hex"),
        ("uidKey", "hex:", "the key is empty"),
        ("perturbKey", "base64:?", "the key is not valid base64"),
        ("perturbKey", "env:DEID_BATCH_NO_SUCH_NAME", "the environment variable DEID_BATCH_NO_SUCH_NAME is not set"),
        ("perturbKey", "env:", "the environment variable  is not set"),
        ("dateShiftKey", "file:no/such/file", "the key file can't be read (No such file or directory)"),
        ("dateShiftKey", "file:.", "the key file can't be read (Is a directory)"),
        ("dateShiftKey", "file:{empty}", "the key file's first line is empty"),
        ("dateShiftKey", "file:{short}", "warning: a weak key: fewer than 16 bytes"),
        ("encryptKey", "file:{short}", "an AES key has 16, 24 or 32 bytes, this one has 5"),
        ("dateShiftKey", "file:{open}", "the key file can be read by group or others (chmod 600 it)"),
        ("dateShiftKey", "file:{binary}", "the key file is not UTF-8"),
        ("dateShiftKey", 5, "a key is a string, not a number"),
        ("dateShiftKey", None, "a key is a string, not null"),
        ("dateShiftKey", [SECRET], "a key is a string, not a list"),
        ("dateShiftKey", True, "a key is a string, not true or false"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_key_that_is_weak_or_unusable_is_told(
    lines_of: Lines, tmp_path: Path, name: str, key: Any, problem: str
) -> None:
    files = {"empty": b"\n" + SECRET.encode(), "short": b"short\n", "open": SECRET.encode(), "binary": b"\xff" * 20}
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
        (tmp_path / file).chmod(0o644 if file == "open" else 0o600)
    if isinstance(key, str) and "{" in key:
        key = key.format(**{file: tmp_path / file for file in files})
    text = native(GOOD, f', "parameters": {{"{name}": ▸{json.dumps(key)}}}')
    assert lines_of(text) == placed(text, f"parameters.{name}: {problem}")


@pytest.mark.parametrize("key", ["k" * 16, "", "hex:" + "0" * 32, "env:DEID_BATCH_TEST_KEY", "file:{file}"])
def test_a_key_that_is_strong_or_to_be_drawn_is_no_problem(
    lines_of: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("DEID_BATCH_TEST_KEY", SECRET)
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "key").chmod(0o600)
    written = key.format(file=tmp_path / "key")
    for name in ("key", "encryptKey", "dateShiftKey"):
        assert lines_of(native(GOOD, f', "parameters": {{"{name}": "{written}"}}')) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        '"dateShiftKye": "{}"',
        '"dateShiftKey": "{}", "dateShiftKey": "{}"',
        '"dateShiftKey": "hex:{}"',
        '"dateShiftKey": "base64:{}"',
        '"dateShiftKey": "file:{}"',
        '"dateShiftKey": ["{}"]',
        '"dateShiftKey": {{"k": "{}"}}',
        '"dateShiftKey": "\\ud800{}"',
        '"dateShiftKey": "{}" "x"',
        '"dateShiftKey": "{}',
        '"encryptKey": "{}{}"',
        '"span": "{}"',
        '"rangeType": "{}"',
        '"referenceDate": "{}"',
        '"dateShiftRange": "{}"',
        '"maxLength": "{}"',
        '"onError": "{}"',
        '"enablePartialDatesForRedact": "{}"',
    ],
)
def test_no_message_ever_shows_a_key_or_what_stands_in_its_place(lines_of: Lines, tmp_path: Path, wrong: str) -> None:
    settings = wrong.format(SECRET, SECRET)
    rule = f'{{"tag": "DA", "method": "dateshift", "setting": "a", "params": {{{settings}}}}}'
    for text in (
        native(GOOD, f', "parameters": {{{settings}}}'),
        native(f'{{"tag": {{"VR": "DA"}}, "method": "dateshift", {settings}}}'),
        successor(
            rule, f', "defaultSettings": {{"dateshift": {{{settings}}}}}, "customSettings": {{"a": {{{settings}}}}}'
        ),
    ):
        assert lines_of(text)
        with pytest.raises(ConfigError) as caught:
            load_config(str(tmp_path / "cfg.json"))
        told = (*lines_of(text), str(caught.value), repr(caught.value), repr(read_config(str(tmp_path / "cfg.json"))))
        assert not [line for line in told if SECRET in line]


# all at once


def test_all_problems_of_a_config_come_in_one_run_sorted_by_place(lines_of: Lines) -> None:
    text = """// a config with a mistake of each kind
{
  ▸"Profile": "basic",
  "dicomTagRules": [
    {"tag": {"VR": "PN"}, "method": ▸"dateshft", ▸"dateShiftRnage": 5},
    {"tag": {"keyword": ▸"PatientNmae"}, "method": "cryptohash", "maxLength": ▸"short"},
    ▸{"method": "redact", ▸"method": "remove"},
    ▸{"tag": {"VR": ▸"XX"}, ▸"methods": "keep", "when": {▸"Modalty": "CT"}},
    ▸17,
    {"tag": {"VR": "SQ"}, "method": ▸"encrypt"},
    {"tag": {"VR": "DA"}, "method": "substitute", "replaceWith": ▸"never"},
    ▸{"tag": {"VR": "SH"}, "method": "encrypt"},
    {"tag": {"keyword": "StudyID"}, "method": "keep", ▸"span": 1},  /* and it never decides */
    ▸{"tag": {"value": "(0019,100C)"}, "method": "remove"},
  ],
  "parameters": {"dateShiftKey": ▸"123", "encryptKey": ▸"short", "uidKey": ▸"env:DEID_BATCH_NO_SUCH_NAME", ▸"sapn": 1},
  "default": {"private": ▸"delete"},
}
"""
    never = "warning: never decides: the rule at 12:5 takes all that this one would match"
    exact = "(0019,100C) matches this number whatever its private creator; name the creator to be exact"
    treats = "AE AS CS DA DS DT IS LO LT OB PN SH ST TM UC UI UN UR UT"
    expected = placed(
        text.replace('    {"tag": {"keyword": "StudyID"}', '    ▸{"tag": {"keyword": "StudyID"}'),
        "Profile: unknown key 'Profile', did you mean 'profile'?",
        "dicomTagRules[0].method: unknown method 'dateshft', did you mean 'dateshift'?",
        "dicomTagRules[0].dateShiftRnage: unknown key 'dateShiftRnage', did you mean 'dateShiftRange'?",
        "dicomTagRules[1].tag.keyword: unknown keyword 'PatientNmae', did you mean 'PatientName'?",
        "dicomTagRules[1].maxLength: input should be a valid integer, unable to parse string as an integer",
        "dicomTagRules[2]: the rule has no 'tag'",
        "dicomTagRules[2].method: this key stands twice",
        "dicomTagRules[3]: the rule has no 'method'",
        "dicomTagRules[3].tag.VR: unknown VR 'XX'",
        "dicomTagRules[3].methods: unknown key 'methods', did you mean 'method'?",
        "dicomTagRules[3].when.Modalty: unknown keyword 'Modalty', did you mean 'Modality'?",
        "dicomTagRules[4]: a rule must be an object, not a number",
        f"dicomTagRules[5].method: encrypt can't treat VR SQ; it treats {treats}",
        "dicomTagRules[6].replaceWith: VR DA: the replacement is no valid value of VR DA",
        "dicomTagRules[7]: warning: VR SH: what encrypt writes (44 characters or more) is no valid SH",
        f"dicomTagRules[8]: {never}",
        "dicomTagRules[8].span: unknown key 'span'",
        f"dicomTagRules[9]: warning: {exact}",
        "parameters.dateShiftKey: warning: a weak key: fewer than 16 bytes",
        "parameters.encryptKey: an AES key has 16, 24 or 32 bytes, this one has 5",
        "parameters.uidKey: the environment variable DEID_BATCH_NO_SUCH_NAME is not set",
        "parameters.sapn: unknown key 'sapn', did you mean 'span'?",
        "default.private: default must be keep or remove",
    )
    assert lines_of(text) == expected


def test_warnings_alone_leave_a_config_usable_and_errors_do_not(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text(native(f"{GOOD}, {GOOD}", ', "parameters": {"key": "123"}'))
    config = load_config(str(path))
    assert len(config.rules) == 2
    assert len(config.warnings) == 2
    path.write_text(native(f"{GOOD}, {GOOD}", ', "parameters": {"key": "123", "kye": "123"}'))
    reading = read_config(str(path))
    assert reading.config is None
    assert [problem.is_warning for problem in reading.problems] == [True, True, False]


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_a_shipped_config_has_no_mistakes_but_its_weak_keys(name: str) -> None:
    known = {"seed-sample": {"a weak key: fewer than 16 bytes"}}
    assert {line.partition("warning: ")[2] for line in read_config(name).lines} == known.get(name, set())
