"""Configs: forms, selectors, settings, keys, and all problems at once, each with its place. (CONTRACT 4)"""

import json
import os
import pickle
import re
import stat
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deid_batch import crypto
from deid_batch.config import Config, load_config, shipped_configs
from deid_batch.config.jsonc import Node, read
from deid_batch.config.keys import with_keys_of, write_new_keys
from deid_batch.config.settings import KEY_SETTINGS
from deid_batch.errors import ConfigError, UsageError
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.encrypt import Encrypt
from deid_batch.methods.erase import Keep, Redact
from deid_batch.methods.perturb import Perturb
from deid_batch.methods.substitute import Substitute
from deid_batch.selectors import TagIn, TagIs, VRIs

SECRET = "s3cret-that-no-message-may-show!"
CONTRACT_SAMPLE = """
{
  "dicomTagRules": [
    {"tag": {"value": "(0028,0030)"}, "method": "perturb", "span": "1", "roundTo": 2, "rangeType": "Proportional"},
    {"tag": {"value": "(0040,1001)"}, "method": "redact"},
    {"tag": {"value": "(0010,0020)"}, "method": "cryptohash"},
    {"tag": {"VR": "PN"}, "method": "encrypt"},
    {"tag": {"VR": "DA"}, "method": "dateshift"},
    {"tag": {"VR": "DT"}, "method": "dateshift"},
  ],
  "parameters": {
    "dateShiftKey": "123", "dateShiftScope": "SeriesInstance", "dateShiftRange": "50",
    "cryptoHashKey": "123",
    "encryptKey": "",                      // empty: a random key, kept in the work directory
    "enablePartialAgesForRedact": true, "enablePartialDatesForRedact": true
  }
}
"""

Load = Callable[[str], Config]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    path = tmp_path_factory.mktemp("config") / "cfg.json"

    def load_text(text: str) -> Config:
        path.write_bytes(text.encode())
        return load_config(str(path))

    return load_text


ANY_TAG = '{"value": "(0018,xxxx)"}'
NOT_ONE_SELECTOR = (
    "28 dicomTagRules[0].tag: tag must hold one of value, keyword, VR, path, private; or creator, alone or with value"
)


def one_rule(rule: str = "", parameters: str = "", tag: str = '{"VR": "DA"}', method: str = "dateshift") -> str:
    written = f'{{"tag": {tag}, "method": "{method}"{", " if rule else ""}{rule}}}'
    return f'{{"dicomTagRules": [{written}], "parameters": {{{parameters}}}}}'


def problems_of(load: Load, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return caught.value.problems


def plain(node: Node) -> Any:
    """A node without its places."""
    if isinstance(node.value, dict):
        return {name: plain(value) for name, value in node.value.items()}
    return [plain(value) for value in node.value] if isinstance(node.value, list) else node.value


# forms


def test_the_seed_sample_is_the_sample_of_the_contract() -> None:
    shipped, _ = read(shipped_configs()["seed-sample"].read_text(encoding="utf-8"))
    sample, problems = read(CONTRACT_SAMPLE)
    assert shipped is not None
    assert sample is not None
    assert problems == []
    assert plain(shipped) == plain(sample)


def test_the_seed_sample_says_these_rules() -> None:
    config = load_config("seed-sample")
    partial = {"enable_partial_ages_for_redact": True, "enable_partial_dates_for_redact": True}
    assert [(rule.selector, rule.method) for rule in config.rules] == [
        (TagIs(0x00280030), Perturb(span=Decimal(1), round_to=2, range_type="Proportional")),
        (TagIs(0x00401001), Redact(**partial)),
        (TagIs(0x00100020), CryptoHash()),
        (VRIs("PN"), Encrypt()),
        (VRIs("DA"), DateShift(date_shift_scope="SeriesInstance", date_shift_range=50)),
        (VRIs("DT"), DateShift(date_shift_scope="SeriesInstance", date_shift_range=50)),
    ]
    assert config.keys == {"dateshift": b"123", "cryptohash": b"123"}
    assert config.missing_keys() == ("encrypt", "perturb", "uid")
    assert config.required_scopes == {"SeriesInstance"}
    assert ["weak key" in warning for warning in config.warnings] == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, {"b": null}]}',
        '\ufeff{"a": [1, {"b": null}]}',
        '// first\n{"a": /* in /* between ** */ [1, {"b": null}]} // last',
        '{"a": [1, {"b": null,},],}\n',
        '\r\n{\t"a"\r\n:\n[1,\n\n{"b":null}]}',
        r'{"\u0061": [1, {"b": null}]}',
    ],
)
def test_comments_trailing_commas_a_bom_and_blanks_are_allowed(text: str) -> None:
    node, problems = read(text)
    assert node is not None
    assert plain(node) == {"a": ["1", {"b": None}]}
    assert problems == []


def test_comment_marks_within_strings_are_text() -> None:
    node, _ = read('{"a": "// no /* comment */", "b": "\\\\"}')
    assert node is not None
    assert plain(node) == {"a": "// no /* comment */", "b": "\\"}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("\ufeff{", 1, 2),
        ('{"a": 1', 1, 8),
        ('{\n  "a": 1,,\n}', 2, 10),
        ('{"a" 1}', 1, 6),
        ("{'a': 1}", 1, 2),
        ('{"a": 01}', 1, 8),
        ('{"a": NaN}', 1, 7),
        ('{"a": "\t"}', 1, 7),
        ('{"a": "\\x"}', 1, 7),
        ('{"a": 1} {', 1, 10),
        ('{"a": 1} /* open', 1, 10),
        ('{"a": # 1\n}', 1, 7),
        ("{,}", 1, 2),
        ('{"a":\n 1}}', 2, 4),
    ],
)
def test_what_is_no_json_is_placed(text: str, line: int, column: int) -> None:
    node, problems = read(text)
    assert node is None
    assert [(problem.place.line, problem.place.column) for problem in problems] == [(line, column)]


@pytest.mark.parametrize("text", ["[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000])
def test_json_nested_too_deeply_is_a_problem(text: str) -> None:
    assert "nested too deeply" in read(text)[1][0].text


# where a config comes from


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_every_shipped_config_is_read_by_its_name(name: str) -> None:
    config = load_config(name)
    assert config.rules or config.profile


@pytest.mark.parametrize("path", ["no-such-config", "no/such/cfg.json", ".", "x" * 5000, "new\nline", "\udcff"])
def test_a_config_that_is_not_there_is_an_error_that_names_the_shipped_ones(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "seed-sample" in caught.value.problems[0]
    assert caught.value.problems[0].isprintable()


def test_a_folder_of_that_name_does_not_hide_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed-sample").mkdir()
    assert load_config("seed-sample").rules


def test_a_file_of_that_name_goes_before_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed-sample").write_text(one_rule())
    assert len(load_config("seed-sample").rules) == 1


def test_a_config_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_bytes(one_rule().encode("utf-16"))
    with pytest.raises(ConfigError, match=r"^cfg\.json:1:1: not UTF-8$"):
        load_config(str(tmp_path / "cfg.json"))


# selectors


@pytest.mark.parametrize(
    ("tag", "selector"),
    [
        ('{"value": "(0010,0010)"}', TagIs(0x00100010)),
        ('{"value": "0010,0010"}', TagIs(0x00100010)),
        ('{"value": "00100010"}', TagIs(0x00100010)),
        ('{"value": " ( 0010 , 0010 ) "}', TagIs(0x00100010)),
        ('{"value": "(7fe0,0010)"}', TagIs(0x7FE00010)),
        ('{"value": "(7FE0,0010)"}', TagIs(0x7FE00010)),
        ('{"value": "(50xx,xxxx)"}', TagIn(0x50000000, 0xFF000000)),
        ('{"value": "60XX3000"}', TagIn(0x60003000, 0xFF00FFFF)),
        ('{"value": "(xxxx,xxxx)"}', TagIn(0, 0)),
        ('{"keyword": "PatientName"}', TagIs(0x00100010)),
        ('{"keyword": "patientname"}', TagIs(0x00100010)),
        ('{"name": "PatientName"}', TagIs(0x00100010)),
        ('{"VR": "PN"}', VRIs("PN")),
        ('{"VR": "pn"}', VRIs("PN")),
    ],
)
def test_selectors(load: Load, tag: str, selector: object) -> None:
    assert load(one_rule(tag=tag, method="keep")).rules[0].selector == selector


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ('{"value": "(0010,001)"}', "38 dicomTagRules[0].tag.value: '(0010,001)' is no tag; write it as (gggg,eeee)"),
        ('{"value": "(00g0,0010)"}', "38 dicomTagRules[0].tag.value: '(00g0,0010)' is no tag; write it as (gggg,eeee)"),
        ('{"value": ""}', "38 dicomTagRules[0].tag.value: is empty"),
        ('{"value": 100010}', "38 dicomTagRules[0].tag.value: must be a string, not a number"),
        ('{"value": null}', "38 dicomTagRules[0].tag.value: must be a string, not null"),
        ('{"keyword": "Rowss"}', "40 dicomTagRules[0].tag.keyword: unknown keyword 'Rowss', did you mean 'Rows'?"),
        ('{"VR": "PX"}', "35 dicomTagRules[0].tag.VR: unknown VR 'PX'"),
        ('{"VR": "PN", "value": "1"}', NOT_ONE_SELECTOR),
        ("{}", NOT_ONE_SELECTOR),
        ('{"vr": "PN"}', "29 dicomTagRules[0].tag.vr: unknown key 'vr', did you mean 'VR'?"),
        ('"PN"', '28 dicomTagRules[0].tag: tag must be an object, such as {"VR": "PN"}, not a string'),
    ],
)
def test_a_selector_that_selects_nothing_is_a_problem(load: Load, tag: str, problem: str) -> None:
    assert problems_of(load, one_rule(tag=tag, method="keep")) == [f"cfg.json:1:{problem}"]


# settings


@pytest.mark.parametrize("word", ["dateshift", "DATESHIFT", "DateShift"])
def test_method_names_are_read_in_any_case(load: Load, word: str) -> None:
    assert isinstance(load(one_rule(method=word)).rules[0].method, DateShift)


@pytest.mark.parametrize(
    ("method", "setting", "field", "value"),
    [
        ("dateshift", '"dateShiftRange": "7"', "date_shift_range", 7),
        ("dateshift", '"dateShiftRange": 7', "date_shift_range", 7),
        ("dateshift", '"dateShiftScope": "STUDYINSTANCE"', "date_shift_scope", "StudyInstance"),
        ("dateshift", '"dateShiftScope": "sopinstance"', "date_shift_scope", "SOPInstance"),
        ("dateshift", '"dateShiftScope": "Patient"', "date_shift_scope", "Patient"),
        ("dateshift", '"dateShiftAlgorithm": "BKDR"', "date_shift_algorithm", "bkdr"),
        ("dateshift", '"referenceDate": "2026-07-31"', "reference_date", date(2026, 7, 31)),
        ("dateshift", '"referenceDate": "20260731"', "reference_date", date(2026, 7, 31)),
        ("dateshift", '"onError": "FAIL"', "on_error", "fail"),
        ("perturb", '"span": "0.5"', "span", Decimal("0.5")),
        ("perturb", '"span": 0.1', "span", Decimal("0.1")),
        ("perturb", '"roundTo": "0"', "round_to", 0),
        ("perturb", '"rangeType": "proportional"', "range_type", "Proportional"),
        ("perturb", '"perturbScope": "none"', "perturb_scope", "None"),
        ("redact", '"enablePartialDatesForRedact": "true"', "enable_partial_dates_for_redact", True),
        ("redact", '"enablePartialDatesForRedact": "False"', "enable_partial_dates_for_redact", False),
        ("redact", '"redactLeaves": "Empty"', "redact_leaves", "empty"),
        ("cryptohash", '"cryptoHashType": "sha512"', "crypto_hash_type", "Sha512"),
        ("cryptohash", '"maxLength": "16"', "max_length", 16),
        ("substitute", '"replaceWith": "20000101"', "replace_with", "20000101"),
        ("substitute", '"replaceWith": 20000101', "replace_with", "20000101"),
    ],
)
def test_numbers_booleans_and_choices_may_be_strings_in_any_case_here_and_in_parameters(
    load: Load, method: str, setting: str, field: str, value: object
) -> None:
    for places in ({"rule": setting}, {"parameters": setting}):
        text = one_rule(**places, tag=ANY_TAG, method=method)
        assert getattr(load(text).rules[0].method, field) == value


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("dateshift", '"dateShiftRange": 0'),
        ("dateshift", '"dateShiftRange": 36501'),
        ("dateshift", '"dateShiftRange": 2.5'),
        ("dateshift", '"dateShiftRange": true'),
        ("dateshift", '"dateShiftRange": null'),
        ("dateshift", '"dateShiftRange": "many"'),
        ("dateshift", '"dateShiftRange": [50]'),
        ("dateshift", '"dateShiftRange": {}'),
        ("dateshift", '"dateShiftScope": "Series"'),
        ("dateshift", '"dateShiftScope": 1'),
        ("dateshift", '"dateShiftAlgorithm": "md5"'),
        ("dateshift", '"referenceDate": "2026-02-30"'),
        ("dateshift", '"referenceDate": "86400"'),
        ("dateshift", '"referenceDate": 0'),
        ("dateshift", '"onError": "ignore"'),
        ("perturb", '"span": -1'),
        ("perturb", '"span": "NaN"'),
        ("perturb", '"span": "Infinity"'),
        ("perturb", '"span": 1e9999999999999999999'),
        ("perturb", '"roundTo": -1'),
        ("perturb", '"roundTo": 29'),
        ("perturb", '"rangeType": "Relative"'),
        ("redact", '"enablePartialAgesForRedact": "perhaps"'),
        ("redact", '"redactLeaves": "something"'),
        ("cryptohash", '"cryptoHashType": "Sha1"'),
        ("cryptohash", '"maxLength": 7'),
        ("substitute", '"replaceWith": true'),
        ("substitute", '"replaceWith": null'),
    ],
)
def test_a_setting_out_of_its_bounds_is_a_placed_problem(load: Load, method: str, setting: str) -> None:
    name, value = re.fullmatch(r'"(\w+)": (.*)', setting).groups()  # type: ignore[union-attr]
    for text, path in (
        (one_rule(setting, tag=ANY_TAG, method=method), f"dicomTagRules[0].{name}"),
        (one_rule(parameters=setting, tag=ANY_TAG, method=method), f"parameters.{name}"),
    ):
        (problem,) = problems_of(load, text)
        assert problem.startswith(f"cfg.json:1:{text.index(setting) + len(setting) - len(value) + 1} {path}: ")


def test_a_rules_setting_goes_before_the_parameters_and_touches_no_other_rule(load: Load) -> None:
    rule: dict[str, object] = {"tag": {"VR": "DA"}, "method": "dateshift"}
    both = {"dicomTagRules": [rule | {"dateShiftRange": 7}, rule], "parameters": {"dateShiftRange": 9}}
    config = load(json.dumps(both))
    assert [rule.method.date_shift_range for rule in config.rules] == [7, 9]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tag", "replacement", "fits"),
    [
        ('{"VR": "DA"}', "19000101", True),
        ('{"VR": "DA"}', "ANONYMOUS", False),
        ('{"keyword": "PatientID"}', "ANONYMOUS", True),
        ('{"value": "(0008,0018)"}', "ANONYMOUS", False),
        ('{"keyword": "Rows"}', "512", True),
        ('{"keyword": "Rows"}', "70000", False),
        ('{"VR": "LO"}', "two\\\\values", False),
        ('{"VR": "LO"}', "control\\u0000byte", False),
        ('{"VR": "SQ"}', "X", False),
        ('{"VR": "UN"}', "X", False),
        ('{"value": "(50xx,xxxx)"}', "anything", True),
        ('{"value": "(0009,1001)"}', "anything", True),
    ],
)
def test_a_replacement_is_checked_against_the_vr(load: Load, tag: str, replacement: str, fits: bool) -> None:
    text = one_rule(f'"replaceWith": "{replacement}"', tag=tag, method="substitute")
    if fits:
        assert isinstance(load(text).rules[0].method, Substitute)
    else:
        (problem,) = problems_of(load, text)
        assert re.search(r"dicomTagRules\[0\]\.(replaceWith|method): ", problem)


# problems


def test_all_problems_come_at_once_in_the_order_of_their_places(load: Load) -> None:
    text = """{
  // a comment
  "dicomTagRules": [
    {"tag": {"value": "(0028,0030)"}, "method": "perturb", "spam": "1"},
    {"tag": {"VR": "ZZ"}, "method": "dateshft"},
    {"tag": {"keyword": "PatientNane"}},
    {"method": "redact", "method": "keep"},
    7,
  ],
  "parameters": {"dateShiftKey": "123", "dateShiftRnage": 50, "cryptoHashKey": 5, "encryptKey": "short"},
  "prameters": {}
}"""
    assert problems_of(load, text) == [
        "cfg.json:4:60 dicomTagRules[0].spam: unknown key 'spam', did you mean 'span'?",
        "cfg.json:5:20 dicomTagRules[1].tag.VR: unknown VR 'ZZ'",
        "cfg.json:5:37 dicomTagRules[1].method: unknown method 'dateshft', did you mean 'dateshift'?",
        "cfg.json:6:5 dicomTagRules[2]: the rule has no 'method'",
        "cfg.json:6:25 dicomTagRules[2].tag.keyword: unknown keyword 'PatientNane', did you mean 'PatientName'?",
        "cfg.json:7:5 dicomTagRules[3]: the rule has no 'tag'",
        "cfg.json:7:26 dicomTagRules[3].method: this key stands twice",
        "cfg.json:8:5 dicomTagRules[4]: a rule must be an object, not a number",
        "cfg.json:10:34 parameters.dateShiftKey: warning: a weak key: fewer than 16 bytes",
        "cfg.json:10:41 parameters.dateShiftRnage: unknown key 'dateShiftRnage', did you mean 'dateShiftRange'?",
        "cfg.json:10:80 parameters.cryptoHashKey: a key is a string, not a number",
        "cfg.json:10:97 parameters.encryptKey: an AES key has 16, 24 or 32 bytes, this one has 5",
        "cfg.json:11:3 prameters: unknown key 'prameters', did you mean 'parameters'?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "1:1: a config is an object, not a list"),
        ("null", "1:1: a config is an object, not null"),
        ("{}", "1:1: dicomTagRules must be a list of rules"),
        ('{"dicomTagRules": {}}', "1:19 dicomTagRules: dicomTagRules must be a list of rules"),
        ('{"dicomTagRules": []}', "1:19 dicomTagRules: dicomTagRules is empty: nothing would be de-identified"),
        (one_rule().replace("{}", "5"), "1:81 parameters: parameters must be an object, not a number"),
        (one_rule('"tga": 1'), "1:65 dicomTagRules[0].tga: unknown key 'tga', did you mean 'tag'?"),
        (one_rule('"cryptoHashKey": "x"'), "1:65 dicomTagRules[0].cryptoHashKey: unknown key 'cryptoHashKey'"),
    ],
)
def test_problems_of_the_whole(load: Load, text: str, problem: str) -> None:
    assert problems_of(load, text) == [f"cfg.json:{problem}"]


@pytest.mark.parametrize("letters", ["\\u0007", "\\u001b[2J", "\\ud800", "\\n", "\\u202e"])
def test_a_problem_is_one_printable_line_whatever_letters_the_config_holds(load: Load, letters: str) -> None:
    text = one_rule(f'"{letters}": 1', parameters=f'"{letters}": 1', tag=f'{{"keyword": "{letters}x"}}')
    for line in problems_of(load, text):
        assert line.isprintable()


# keys


def keys_of(load: Load, key: str, name: str = "dateShiftKey") -> dict[str, bytes]:
    return dict(load(one_rule(parameters=f'"{name}": {json.dumps(key)}')).keys)


def test_keys_may_be_literal_or_coded_or_stand_in_the_environment_or_a_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEID_TEST_KEY", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\nsecond line\n")
    (tmp_path / "key").chmod(0o600)
    for written in (SECRET, "env:DEID_TEST_KEY", f"file:{tmp_path / 'key'}", f"hex:{SECRET.encode().hex()}"):
        assert keys_of(load, written) == {"dateshift": SECRET.encode()}
    assert keys_of(load, "base64:AAECAwQFBgcICQoLDA0ODw==", "encryptKey") == {"encrypt": bytes(range(16))}
    assert keys_of(load, SECRET, "key") == {"master": SECRET.encode()}


def test_an_empty_key_is_not_given(load: Load) -> None:
    assert keys_of(load, "") == {}
    assert load(one_rule()).missing_keys() == ("dateshift", "uid")
    assert load(one_rule(parameters=f'"key": "{SECRET}"')).missing_keys() == ()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_key_file_that_others_can_read_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "key").chmod(0o644)
    (problem,) = problems_of(load, one_rule(parameters=f'"dateShiftKey": "file:{tmp_path / "key"}"'))
    assert "chmod 600" in problem


@pytest.mark.parametrize("size", [1, 15])
def test_a_weak_key_works_with_a_warning(load: Load, size: int) -> None:
    config = load(one_rule(parameters=f'"dateShiftKey": "{"k" * size}"'))
    assert config.keys == {"dateshift": b"k" * size}
    assert [warning.rpartition(": ")[2] for warning in config.warnings] == ["fewer than 16 bytes"]


def test_a_key_of_16_bytes_works_without_a_warning(load: Load) -> None:
    assert load(one_rule(parameters=f'"dateShiftKey": "{"k" * 16}"')).warnings == ()


@pytest.mark.parametrize("written", ["[1]", "true", "null", '"base64:?"', '"hex:"', '"env:NO_SUCH_NAME"', '"\\ud800"'])
def test_an_unusable_key_is_a_problem(load: Load, written: str) -> None:
    assert problems_of(load, one_rule(parameters=f'"dateShiftKey": {written}'))


@pytest.mark.parametrize(
    "wrong",
    [
        f'"dateShiftKye": "{SECRET}"',
        f'"dateShiftKey": "{SECRET}", "dateShiftKey": "{SECRET}"',
        f'"dateShiftKey": "\\ud800{SECRET}"',
        f'"dateShiftKey": "hex:{SECRET}"',
        f'"dateShiftKey": "base64:{SECRET}"',
        f'"dateShiftKey": ["{SECRET}"]',
        f'"dateShiftKey": {{"{SECRET[:3]}": "{SECRET}"}}',
        f'"encryptKey": "{SECRET}{SECRET}"',
        f'"dateShiftKey": "{SECRET}" "x"',
        f'"dateShiftKey": "{SECRET}',
        f'"dateShiftKey": "{SECRET}", "x": 1',
    ],
)
def test_no_message_shows_a_key(load: Load, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(one_rule(parameters=wrong))
    for shown in (*caught.value.problems, str(caught.value), repr(caught.value)):
        assert SECRET not in shown
    assert caught.value.__cause__ is None


def test_no_config_and_no_rule_set_shows_a_key_and_both_pickle(load: Load) -> None:
    names = ["dateShiftKey", "cryptoHashKey", "encryptKey", "uidKey", "perturbKey", "key"]
    parameters = ", ".join(f'"{name}": "{SECRET}"' for name in names)
    config = load(one_rule(f'"dateShiftKey": "{SECRET}"', parameters=parameters))
    rules = config.settled({}, date(2026, 7, 31))
    for made in (config, rules):
        assert pickle.loads(pickle.dumps(made)) == made
        for shown in (repr(made), str(made)):
            assert SECRET not in shown
    assert len(config.keys) == 6


# files of keys


def test_a_new_key_file_is_for_its_owner_alone_and_gives_every_key(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_new_keys(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = with_keys_of(load(one_rule(parameters='"dateShiftKey": "123"')), str(path))
    assert set(config.keys) == set(KEY_SETTINGS.values())
    assert all(len(key) == 32 for key in config.keys.values())
    assert len(set(config.keys.values())) == len(KEY_SETTINGS)
    assert config.keys["dateshift"] != b"123"


def test_a_key_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(SECRET)
    with pytest.raises(UsageError):
        write_new_keys(str(path))
    assert path.read_text() == SECRET


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (f'{{"dateShiftKey": "{SECRET}"}}', 0o644),
        (f'{{"dateShiftKye": "{SECRET}"}}', 0o600),
        (f'{{"encryptKey": "{SECRET}1"}}', 0o600),
        (f'["{SECRET}"]', 0o600),
        (SECRET, 0o600),
        ("", 0o600),
    ],
)
def test_a_key_file_that_is_wrong_is_refused_and_not_shown(load: Load, tmp_path: Path, content: str, mode: int) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(UsageError) as caught:
        with_keys_of(load(one_rule()), str(path))
    assert SECRET not in str(caught.value)


# settled keys


def settled_key(load: Load, parameters: str, known: dict[str, bytes], rule: str = "") -> bytes:
    method = load(one_rule(rule, parameters)).settled(known, date(2026, 7, 31)).rules[0].method
    assert isinstance(method, DateShift)
    return method.key


def test_a_given_key_goes_before_the_master_and_that_before_a_known_one(load: Load) -> None:
    known = {"dateshift": b"known", "uid": b"known"}
    given, master = '"dateShiftKey": "given"', '"key": "master"'
    assert settled_key(load, given, known, '"dateShiftKey": "rule"') == b"rule"
    assert settled_key(load, f"{given}, {master}", known) == b"given"
    assert settled_key(load, master, known) == crypto.derive(b"master", "key", b"dateshift")
    assert settled_key(load, "", known) == b"known"


def test_keys_derived_from_a_master_differ_by_purpose(load: Load) -> None:
    rules = load(one_rule(parameters='"key": "master"')).settled({}, date(2026, 7, 31))
    assert rules.uid_key != rules.rules[0].method.key  # type: ignore[attr-defined]


def test_the_reference_date_is_the_configs_or_the_first_day(load: Load) -> None:
    known = {"dateshift": b"known", "uid": b"known"}
    for parameters, day in (("", date(2026, 7, 31)), ('"referenceDate": "2020-01-01"', date(2020, 1, 1))):
        settled = load(one_rule(parameters=parameters)).settled(known, date(2026, 7, 31))
        assert settled.rules[0].method.reference_date == day  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("parameters", "required"),
    [
        ("", {"SeriesInstance"}),
        ('"dateShiftScope": "Patient"', {"Patient"}),
        ('"dateShiftAlgorithm": "bkdr"', set()),
    ],
)
def test_a_scope_uid_is_required_but_for_bkdr(load: Load, parameters: str, required: set[str]) -> None:
    assert load(one_rule(parameters=parameters)).required_scopes == required
    assert load(one_rule(parameters=parameters, tag=ANY_TAG, method="perturb")).required_scopes == set()


def test_keep_needs_no_key_but_that_for_uids(load: Load) -> None:
    config = load(one_rule(method="keep"))
    assert config.missing_keys() == ("uid",)
    assert isinstance(config.rules[0].method, Keep)


# fuzz

SAMPLE = shipped_configs()["seed-sample"].read_text(encoding="utf-8")
PARSED = json.loads(re.sub(r"//.*|,(?=\s*[\]}])", "", SAMPLE))
PIECES = st.sampled_from(
    ['"', "\\", "{", "}", "[", "]", ",", ":", "//", "/*", "*/", "\n", "\r", "\t", "\0", "\ufeff", "\\ud800", "\\u0000",
     "null", "true", "1e999", "-", "env:", "file:", "hex:", "base64:", "x", "(", "tag", "VR", "SQ", "substitute"]
) | st.text(max_size=3)  # fmt: skip
EDITS = st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 40), PIECES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["keep", "refreshUID", "PN", "env:X", "hex:0g", "(50xx,0010)", "123", "2026-01-01", "1e400"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, one in inside for path in paths(one, (*here, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def assert_read_or_placed(load: Load, text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n")
    try:
        config = load(text)
        shown = list(config.warnings)
        assert config.rules
    except ConfigError as error:
        shown = error.problems
        assert shown
    places = []
    for line in shown:
        assert line.isprintable()
        placed = re.match(r"cfg\.json:(\d+):(\d+)(?: .+)?: .", line)
        assert placed, line
        places.append((int(placed[1]), int(placed[2])))
        assert 1 <= places[-1][0] <= len(lines)
        assert 1 <= places[-1][1] <= len(lines[places[-1][0] - 1]) + 1
    assert places == sorted(places)


@settings(deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=4))
def test_any_change_of_the_text_gives_a_config_or_placed_problems(
    load: Load, edits: list[tuple[int, int, str]]
) -> None:
    text = SAMPLE
    for position, deleted, inserted in edits:
        text = text[:position] + inserted + text[position + deleted :]
    assert_read_or_placed(load, text)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(PARSED)[1:]), VALUES), min_size=1, max_size=3))
def test_any_change_of_the_values_gives_a_config_or_placed_problems(
    load: Load, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    changed = PARSED
    for path, value in changes:
        if path in paths(changed):
            changed = replaced(changed, path, value)
    for ensure_ascii in (True, False):
        assert_read_or_placed(load, json.dumps(changed, ensure_ascii=ensure_ascii, indent=1))
