"""Valid configs of both dialects, changed in every way: no change is ever passed over, and none ends in a traceback.

What a config means are its rules, keys and scope, wherever they stand in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deid_batch.config import Reading, read_config

Path = tuple[str | int, ...]
Meaning = tuple[Any, ...]
Read = Callable[[str], Reading]

# no setting in these has its default value, so that each of them means something
NATIVE: dict[str, Any] = {
    "$schema": "./schema.json",
    "dicomTagRules": [
        {"tag": {"path": "/RequestAttributesSequence/LO"}, "method": "cryptohash", "maxLength": 12,
         "cryptoHashType": "Sha512", "cryptoHashKey": "a key of its own, and long"},
        {"tag": {"creator": "SIEMENS MR HEADER", "value": "(0019,xx0C)"}, "method": "keep", "onError": "redact"},
        {"tag": {"creator": "GEMS_ACQU_01"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"value": "(0028,0030)"}, "method": "perturb", "span": "5", "roundTo": 3,
         "rangeType": "Proportional", "perturbScope": "Patient", "perturbKey": "hex:000102030405060708090a0b0c0d0e0f"},
        {"tag": {"keyword": "StudyDate"}, "method": "dateshift", "dateShiftRange": "7",
         "dateShiftAlgorithm": "bkdr", "referenceDate": "2026-01-31", "dateShiftKey": "another, and long as well",
         "when": {"Modality": ["US", "SC"], "StationName": {"exists": False}, "InstanceNumber": 7,
                  "(0008,1030)": {"regex": "^x"}, "PatientSex": "O"}},
        {"tag": {"name": "PatientComments"}, "method": "substitute", "replaceWith": "none"},
        {"tag": {"value": "(50xx,xxxx)"}, "method": "remove"},
        {"tag": {"private": True}, "method": "remove"},
        {"tag": {"VR": "SQ"}, "method": "keep"},
        {"tag": {"VR": "LO"}, "method": "cryptohash", "matchInputStringLength": True},
        {"tag": {"VR": "UI"}, "method": "refreshUID"},
        {"tag": {"VR": "PN"}, "method": "encrypt"},
        {"tag": {"VR": "DA"}, "method": "dateshift"},
        {"tag": {"VR": "AS"}, "method": "redact"},
    ],
    "parameters": {
        "key": "the key of all keys, and long", "encryptKey": "0123456789abcdef", "uidKey": "for UIDs alone, and long",
        "enablePartialAgesForRedact": "true", "enablePartialDatesForRedact": True, "onError": "fail",
        "dateShiftScope": "StudyInstance",
    },
    "default": {"public": "remove"},
}  # fmt: skip
SUCCESSOR: dict[str, Any] = {
    "$schema": "./schema.json",
    "rules": [
        {"tag": "(0010,0030)", "method": "redact", "setting": "partial"},
        {"tag": "0010,0020", "method": "cryptoHash", "params": {"cryptoHashType": "Sha384", "maxLength": "64"}},
        {"tag": "PatientWeight", "method": "perturb", "setting": "wide", "params": {"roundTo": "0"}},
        {"tag": '(0019,xx0C,"SIEMENS MR HEADER")', "method": "keep", "when": {"Modality": "MR"}},
        {"tag": "*/PatientName", "method": "substitute", "params": {"replaceWith": "nobody"}},
        {"tag": "60xx3000", "method": "remove"},
        {"tag": "xxx9,xxxx", "method": "remove"},
        {"tag": "StudyID", "method": "substitute"},
        {"tag": "PN", "method": "encrypt", "params": {"encryptKey": "fedcba9876543210"}},
        {"tag": "DS", "method": "perturb"},
        {"tag": "DA", "method": "dateShift"},
        {"tag": "DT", "method": "dateshift", "params": {"dateShiftRange": "100"}},
        {"tag": "UI", "method": "refreshUID", "params": {"onError": "fail"}},
    ],
    "defaultSettings": {
        "perturb": {"span": 3, "perturbScope": "SOPInstance"},
        "dateShift": {"dateShiftKey": "for days alone, and long", "dateShiftScope": "SopInstance",
                      "dateShiftRange": 25, "dateShiftAlgorithm": "bkdr"},
        "cryptoHash": {"cryptoHashKey": "for hashes alone, and long", "onError": "fail"},
        "substitute": {"replaceWith": "ANON"},
    },
    "customSettings": {
        "partial": {"enablePartialDatesForRedact": "true", "redactLeaves": "nothing"},
        "wide": {"span": "10", "rangeType": "fixed"},
    },
    "default": {"private": "remove"},
}  # fmt: skip
CONFIGS = {"native": NATIVE, "successor": SUCCESSOR}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("fuzz") / "cfg.json"

    @lru_cache(maxsize=8)
    def read_text(text: str) -> Reading:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        reading = read_config(str(path))
        assert_is_sound(reading, text)
        return reading

    return read_text


def assert_is_sound(reading: Reading, text: str) -> None:
    """Problems are printable and lie in the text in their order; there is a config if none of them is an error."""
    lines = re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))
    places = []
    for line in reading.lines:
        placed = re.match(r"cfg\.json:(\d+):(\d+)(?: .+)?: .", line)
        assert line.isprintable()
        assert placed, line
        places.append((int(placed[1]), int(placed[2])))
        assert 1 <= places[-1][1] <= len(lines[places[-1][0] - 1]) + 1
    assert places == sorted(places)
    assert (reading.config is None) is any(not problem.is_warning for problem in reading.problems)


def meaning_of(reading: Reading) -> Meaning | None:
    config = reading.config
    if config is None:
        return None
    rules = [(rule.selector, rule.method, frozenset(rule.when)) for rule in config.rules if not rule.is_default]
    defaults = {(rule.selector, rule.method) for rule in config.rules if rule.is_default}
    return rules, defaults, dict(config.keys), config.scope


def is_told_or_means_another(read: Read, before: Any, after: Any) -> bool:
    reading = read(json.dumps(after))
    return bool(reading.lines) or meaning_of(reading) != meaning_of(read(json.dumps(before)))


# trees


def paths_of(tree: Any, here: Path = ()) -> Iterator[Path]:
    yield here
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, inner in inside:
        yield from paths_of(inner, (*here, name))


def at(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def changed(tree: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """The tree with what stands at `path` changed."""
    if not path:
        return change(tree)
    copy = tree.copy()
    copy[path[0]] = changed(tree[path[0]], path[1:], change)
    return copy


def keys_of(tree: Any) -> list[Path]:
    return [path for path in paths_of(tree) if path and isinstance(path[-1], str) and path != ("$schema",)]


def without(tree: Any, path: Path) -> Any:
    return changed(tree, path[:-1], lambda inner: {name: it for name, it in inner.items() if name != path[-1]})


def renamed(tree: Any, path: Path, name: str) -> Any:
    return changed(tree, path[:-1], lambda inner: {name if it == path[-1] else it: inner[it] for it in inner})


EVERY_KEY = [
    pytest.param(tree, path, id=".".join(map(str, path))) for tree in CONFIGS.values() for path in keys_of(tree)
]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configs_are_valid_and_without_a_doubt(read: Read, name: str) -> None:
    reading = read(json.dumps(CONFIGS[name]))
    assert reading.lines == ()
    assert reading.config is not None


@pytest.mark.parametrize("name", CONFIGS)
def test_layout_order_and_comments_change_nothing(read: Read, name: str) -> None:
    def turned(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: turned(tree[key]) for key in reversed(tree)}
        return [turned(inner) for inner in tree] if isinstance(tree, list) else tree

    meaning = meaning_of(read(json.dumps(CONFIGS[name])))
    commented = json.dumps(CONFIGS[name], indent=1).replace("{\n", "{ // what follows\n").replace("}", ", /* all */ }")
    for text in (
        json.dumps(turned(CONFIGS[name])),
        json.dumps(CONFIGS[name], indent="\t", ensure_ascii=False).replace("\n", "\r\n"),
        "\ufeff" + commented,
    ):
        reading = read(text)
        assert (meaning_of(reading), reading.lines) == (meaning, ())


@pytest.mark.parametrize(("tree", "path"), EVERY_KEY)
def test_a_key_that_is_missing_is_told_or_changes_the_meaning(read: Read, tree: Any, path: Path) -> None:
    assert is_told_or_means_another(read, tree, without(tree, path))


@pytest.mark.parametrize(("tree", "path"), EVERY_KEY)
def test_a_key_that_is_mistyped_is_told(read: Read, tree: Any, path: Path) -> None:
    name = str(path[-1])
    for wrong in (name + "s", name[:1] + name[2:]):
        reading = read(json.dumps(renamed(tree, path, wrong)))
        assert reading.config is None, wrong
        assert reading.lines


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        pytest.param(tree, path)
        for tree in CONFIGS.values()
        for path in paths_of(tree)
        if isinstance(at(tree, path), dict)
    ],
)
def test_a_key_too_much_is_told(read: Read, tree: Any, path: Path) -> None:
    reading = read(json.dumps(changed(tree, path, lambda inner: {**inner, "remark": "x"})))
    assert [line for line in reading.lines if "remark" in line]


@pytest.mark.parametrize("tree", CONFIGS.values(), ids=CONFIGS)
def test_a_rule_that_is_missing_moved_or_doubled_is_told_or_changes_the_meaning(read: Read, tree: Any) -> None:
    key = "rules" if "rules" in tree else "dicomTagRules"
    for number, rule in enumerate(tree[key]):
        others = [*tree[key][:number], *tree[key][number + 1 :]]
        for rules in (others, [rule, *others], [*tree[key], rule]):
            assert rules == tree[key] or is_told_or_means_another(read, tree, {**tree, key: rules})


# any values, any structure

VALUES = st.sampled_from([
    None, True, False, 0, -1, 7, 7.5, 1e300, "", " ", "zz", "true", "x" * 70, "\u202e", "\0", "\ud800", [], {}, ["US"],
    ["zz", 5], [[]], {"exists": True}, {"VR": "PN"}, {"": {}}, "env:DEID_BATCH_NO_SUCH_NAME", "file:.", "hex:00",
    "(0010,0010)", "(0019,1001)", "PN", "SQ", "keep", "dateshift", "perturb", "substitute", "encrypt", "Fixed",
    "2020-02-30", "100", "[", "*/*", "(0010,0010)/PN", '(0019,xx0C,"X")', "PatientName", "Modality",
])  # fmt: skip
TRUE, FALSE = frozenset({"true", "1", "yes", "on", "t", "y"}), frozenset({"false", "0", "no", "off", "f", "n"})


def are_equivalent(one: Any, other: Any) -> bool:
    """Whether two trees are spellings of the same: names in any case, numbers and booleans as strings, one of one."""
    one, other = (it[0] if isinstance(it, list) and len(it) == 1 else it for it in (one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_equivalent(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_equivalent, one, other))
    if isinstance(one, (dict, list)) or isinstance(other, (dict, list)):
        return False
    words = {str(value).strip().casefold() for value in (one, other)}
    return len(words) == 1 or words <= TRUE or words <= FALSE


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([*CONFIGS]), st.data())
def test_another_value_is_told_or_changes_the_meaning(read: Read, name: str, data: st.DataObject) -> None:
    tree = CONFIGS[name]
    path = data.draw(st.sampled_from([path for path in paths_of(tree) if path and path[0] != "$schema"]))
    value = data.draw(VALUES)
    if not are_equivalent(at(tree, path), value):
        assert is_told_or_means_another(read, tree, changed(tree, path, lambda _: value))


@st.composite
def changes(draw: st.DrawFn, tree: Any) -> Any:
    """The tree after a change of its structure."""
    path = draw(st.sampled_from([*paths_of(tree)]))
    kind = draw(st.sampled_from(["value", "delete", "rename", "wrap", "insert", "double", "swap"]))
    inner = at(tree, path)
    if kind == "delete" and path:
        rest = list if isinstance(path[-1], int) else dict
        if rest is dict:
            return without(tree, path)
        return changed(tree, path[:-1], lambda items: [*items[: path[-1]], *items[path[-1] + 1 :]])
    if kind == "rename" and path and isinstance(path[-1], str):
        return renamed(tree, path, draw(st.sampled_from(["tag", "method", "key", "value", "span", "PN", "", "rules"])))
    if kind == "wrap":
        return changed(tree, path, lambda it: [it] if draw(st.booleans()) else {"value": it})
    if kind == "insert" and isinstance(inner, dict):
        return changed(tree, path, lambda it: {**it, "remark": draw(VALUES)})
    if kind == "double" and isinstance(inner, list):
        return changed(tree, path, lambda it: it + it)
    if kind == "swap":
        other = draw(st.sampled_from([*paths_of(tree)]))
        return changed(tree, path, lambda _: at(tree, other))
    return changed(tree, path, lambda _: draw(VALUES))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*CONFIGS]), st.data())
def test_any_change_of_the_structure_is_told_or_changes_the_meaning(read: Read, name: str, data: st.DataObject) -> None:
    tree = CONFIGS[name]
    for _ in range(data.draw(st.integers(1, 3))):
        tree = data.draw(changes(tree))
    if isinstance(tree, dict) and are_equivalent({**tree, "$schema": ""}, {**CONFIGS[name], "$schema": ""}):
        return
    assert is_told_or_means_another(read, CONFIGS[name], tree)


PIECES = st.sampled_from(
    ['"', "\\", "{", "}", "[", "]", ",", ":", "//", "/*", "*/", "\n", "\r", "\t", "\0", "\ufeff", "\\ud800", "\\u0000",
     "null", "true", "1e999", "-", "env:", "file:", "hex:", "base64:", "x", "(", "/", "tag", "VR", "SQ", "substitute"]
) | st.text(max_size=3)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*CONFIGS]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=4),
)
def test_any_change_of_the_text_gives_a_config_or_placed_problems(
    read: Read, name: str, edits: list[tuple[float, int, str]]
) -> None:
    text = json.dumps(CONFIGS[name], indent=1)
    for place, deleted, inserted in edits:
        position = int(place * len(text))
        text = text[:position] + inserted + text[position + deleted :]
    read(text)
