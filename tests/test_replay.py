"""What was learned from the last file never changes what becomes of the next one. (PS3.5 7.1, 7.8.1)"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import PYDICOM
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    SCRATCH,
    SYNTAXES,
    Element,
    Form,
    data_sets,
    encode,
    identity,
    part10,
    sequence,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_oracle import CONFIGS, rule_set

from deid_batch.dicomfile import Rewritten, rewrite
from deid_batch.engine import CompiledRules, Walk
from deid_batch.errors import FileError
from deid_batch.rules import RuleSet
from deid_batch.sinks import MemorySink

PRIVATE = """{"dicomTagRules": [
    {"tag": {"creator": "ACME 1.0", "value": "(0029,xx02)"}, "method": "keep"},
    {"tag": {"creator": "ACME 1.0", "value": "(0029,xx01)"}, "method": "cryptohash"},
    {"tag": {"value": "(0029,xxxx)"}, "method": "remove"},
    {"tag": {"VR": "PN"}, "method": "cryptohash"}], "parameters": {"key": "a key"}}"""
PROFILE = """{"profile": "basic", "burnedIn": "allow", "contributingEquipment": true, "capAges": true,
    "options": ["retain_patient_characteristics", "clean_structured_content"], "parameters": {"key": "a key"}}"""
RULE_SETS = {name: rule_set(text) for name, text in {**CONFIGS, "private": PRIVATE, "profile": PROFILE}.items()}
Outcome = tuple[bytes, Rewritten | None, str]


def outcome(data: bytes, compiled: CompiledRules) -> Outcome:
    """(what is written, the account of it, the reason why nothing is)."""
    source, sink = Path(SCRATCH.name, "source"), MemorySink()
    source.write_bytes(data)
    try:
        account = rewrite(str(source), sink, compiled)
    except FileError as error:
        return b"", None, f"{error.reason} {error.detail}"
    return bytes(sink.data), account, ""


def assert_each_is_as_if_it_were_alone(series: list[bytes], rules: RuleSet) -> None:
    compiled = CompiledRules(rules)
    alone = {data: outcome(data, CompiledRules(rules)) for data in set(series)}
    for number, data in enumerate(series):
        assert outcome(data, compiled) == alone[data], f"file {number}"


def a_file(elements: list[Element], form: Form = EXPLICIT) -> bytes:
    return part10(encode(sorted(elements, key=lambda element: element.tag), form), SYNTAXES[form])


@st.composite
def series(draw: st.DrawFn) -> list[bytes]:
    """Files that are alike but for a few elements, each three to five times, and then another one."""
    form = draw(st.sampled_from((EXPLICIT, EXPLICIT, BIG, IMPLICIT)))
    elements = list(draw(data_sets(form)))
    found = []
    for _ in range(draw(st.integers(3, 6))):
        found += [a_file(elements, form)] * draw(st.sampled_from((1, 1, 3, 5)))
        for _ in range(draw(st.integers(1, 3))):
            elements = draw(altered(elements, form))
    return found


@st.composite
def altered(draw: st.DrawFn, elements: list[Element], form: Form) -> list[Element]:
    """The elements with another value, one less, one more, or cut short."""
    others = list(draw(data_sets(form)))
    what = draw(st.sampled_from(("value", "gone", "more", "another", "uid")))
    number = draw(st.integers(0, len(elements) - 1))
    one = elements[number]
    if what == "uid":
        uid = draw(st.sampled_from((b"1.2.3.5\0", b"1.2.3.9\0", b"1.2.840.7\0")))
        return [replace_value(each, uid) if each.tag in (0x00080018, 0x0020000E) else each for each in elements]
    if what == "gone" and len(elements) > 1:
        return elements[:number] + elements[number + 1 :]
    if what == "value" and isinstance(one.value, bytes) and one.vr not in ("SQ", "UI"):
        longer = one.value + (b"20" if one.vr not in ("OB", "UN") else b"\0\0")
        return [*elements[:number], replace_value(one, longer), *elements[number + 1 :]]
    known = {each.tag for each in elements}
    added = [each for each in others if each.tag not in known]
    return sorted([*elements, *added[: 1 if what == "more" else 4]], key=lambda each: each.tag)


def replace_value(element: Element, value: bytes) -> Element:
    return element._replace(value=value)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(found=series(), rule_set_name=st.sampled_from(sorted(RULE_SETS)))
def test_a_generated_series_comes_out_as_its_files_do_alone(found: list[bytes], rule_set_name: str) -> None:
    assert_each_is_as_if_it_were_alone(found, RULE_SETS[rule_set_name])


@pytest.mark.parametrize("rule_set_name", RULE_SETS)
def test_real_files_come_out_as_they_do_alone_in_whatever_order(rule_set_name: str) -> None:
    draw = random.Random(rule_set_name)
    real = [path.read_bytes() for path in sorted(PYDICOM.glob("*.dcm")) if path.stat().st_size < 100_000]
    some = [data for data in draw.sample(real, 12) for _ in range(3)]
    draw.shuffle(some)
    assert_each_is_as_if_it_were_alone([*some, *sorted(some)], RULE_SETS[rule_set_name])


NAME, OTHER_NAME = b"Doe^John", b"Doe^Jane"
LATIN, CYRILLIC = b"ISO_IR 100", b"ISO_IR 144"


def name(value: bytes = NAME) -> Element:
    return Element(0x00100010, "PN", value)


def charset(value: bytes) -> Element:
    return Element(0x00080005, "CS", value)


def private(creator: bytes, *numbers: int) -> list[Element]:
    block = Element(0x00290010, "LO", creator)
    return [block, *(Element(0x00291000 | number, "LO", b"text") for number in numbers)]


def uid(tag: int, value: bytes) -> list[Element]:
    return [element._replace(value=value) if element.tag == tag else element for element in identity()]


CHANGES = {
    "the character set": ([charset(LATIN), name(b"D\xf6")], [charset(CYRILLIC), name(b"D\xf6")]),
    "a name in the same character set": ([charset(CYRILLIC), name(b"D\xd6")], [charset(CYRILLIC), name(b"D\xd7")]),
    "no character set any more": ([charset(LATIN), name(b"D\xf6")], [name(b"D\xf6")]),
    "the creator of a block": (private(b"ACME 1.0", 1, 2), private(b"SIEMENS CSA HEADER", 1, 2)),
    "a block has one element more": (private(b"ACME 1.0", 1), private(b"ACME 1.0", 1, 2)),
    "a block has one element less": (private(b"ACME 1.0", 1, 2), private(b"ACME 1.0", 1)),
    "a creator without a block": (private(b"ACME 1.0", 1), private(b"ACME 1.0")),
    "a block without a creator": (private(b"ACME 1.0", 1), private(b"ACME 1.0", 1)[1:]),
    "signed pixels": (
        [Element(0x00280103, "US", 0), Element(0x00280106, "US", b"\xff\xff")],
        [Element(0x00280103, "US", 1), Element(0x00280106, "US", b"\xff\xff")],
    ),
    "a sequence": ([sequence(0x00081110, [name()])], [sequence(0x00081110, [name(OTHER_NAME)])]),
    "a sequence of undefined length": (
        [sequence(0x00081110, [name()], is_undefined=True)],
        [sequence(0x00081110, [name(OTHER_NAME)], is_undefined=True)],
    ),
    "the length of a value": ([name()], [name(b"Doe^Johnathan ")]),
    "what follows": ([name()], [name(), Element(0x00200010, "SH", b"study")]),
    "what goes before": ([name()], [Element(0x00080008, "CS", b"ORIGINAL"), name()]),
}
SERIES = [identity(), uid(0x0020000E, b"1.2.3.77")]


@pytest.mark.parametrize("form", [EXPLICIT, BIG, IMPLICIT], ids=["explicit", "big endian", "implicit"])
@pytest.mark.parametrize("rule_set_name", RULE_SETS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_files_is_seen(change: str, rule_set_name: str, form: Form) -> None:
    behind = Element(0x00380010, "LO", b"admission ")
    first, second = [a_file([*identity(), *elements, behind], form) for elements in CHANGES[change]]
    found = [first] * 5 + [second] * 5 + [first, second, first, first]
    assert_each_is_as_if_it_were_alone(found, RULE_SETS[rule_set_name])


@pytest.mark.parametrize("rule_set_name", RULE_SETS)
def test_another_scope_changes_what_equal_bytes_become(rule_set_name: str) -> None:
    dated = [
        Element(0x00080020, "DA", b"20240229"),
        name(),
        sequence(0x00081110, [Element(0x00080020, "DA", b"20200101")]),
    ]
    first, second = (a_file([*its_identity, *dated]) for its_identity in SERIES)
    assert_each_is_as_if_it_were_alone([first] * 5 + [second] * 5 + [first] * 2, RULE_SETS[rule_set_name])


def test_disorder_behind_what_is_known_is_seen() -> None:
    whole = encode(sorted([*identity(), name()], key=lambda element: element.tag))
    doubled = whole + encode([Element(0x0020000E, "UI", b"1.2.3.6\0")])
    assert_each_is_as_if_it_were_alone(
        [part10(whole)] * 4 + [part10(doubled)] * 2,
        RULE_SETS["seed"] if "seed" in RULE_SETS else next(iter(RULE_SETS.values())),
    )


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_file_that_ends_too_early_is_seen(cut: int) -> None:
    whole = a_file([*identity(), name(), *private(b"ACME 1.0", 1, 2)])
    for rules in RULE_SETS.values():
        assert_each_is_as_if_it_were_alone([whole] * 4 + [whole[:-cut], whole], rules)


def test_most_of_a_series_is_passed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    treated = 0
    compiled = CompiledRules(next(iter(RULE_SETS.values())))
    texts = [Element(0x00180010 + 2 * number, "LO", b"text") for number in range(100)]
    unit = Walk.unit

    def counted(self: Walk, data: bytes, pos: int) -> tuple[bytes | None, int]:
        nonlocal treated
        treated += 1
        return unit(self, data, pos)

    monkeypatch.setattr(Walk, "unit", counted)
    for number in range(20):
        before = treated
        outcome(a_file([*uid(0x00080018, b"1.2.%d" % (1000 + number)), *texts]), compiled)
        assert number < 2 or treated - before <= 4


BURNED_IN, WINDOW_CENTER = 0x00280301, 0x00281050
IF_BURNED_IN = """{"dicomTagRules": [
    {"tag": {"keyword": "PatientName"}, "method": "remove", "when": {"BurnedInAnnotation": "YES"}}]}"""
BY_SERIES = """{"dicomTagRules": [
    {"tag": {"value": "(0028,1050)"}, "method": "perturb", "span": 9, "perturbScope": "SeriesInstance"}],
    "parameters": {"key": "a key"}}"""


@pytest.mark.parametrize("form", [EXPLICIT, BIG, IMPLICIT], ids=["explicit", "big endian", "implicit"])
@pytest.mark.parametrize(
    ("text", "tag", "vr", "value"),
    [(IF_BURNED_IN, BURNED_IN, "CS", b"YES "), (BY_SERIES, 0x0020000E, "UI", b"1.2.3.5\0")],
    ids=["condition", "scope"],
)
def test_what_decides_is_seen_though_files_before_had_none_and_go_on_with_what_varies(
    text: str, tag: int, vr: str, value: bytes, form: Form
) -> None:
    def file(number: int, *more: Element) -> bytes:
        varying = Element(WINDOW_CENTER, "DS", b"%4d" % number)
        return a_file([*identity()[:3], Element(0x00100010, "PN", b"Smith^John"), varying, *more], form)

    for before in range(8):
        found = [*map(file, range(before)), file(before, Element(tag, vr, value)), file(before + 1)]
        assert_each_is_as_if_it_were_alone(found, rule_set(text))


@pytest.mark.parametrize("form", [EXPLICIT, BIG, IMPLICIT], ids=["explicit", "big endian", "implicit"])
def test_files_whose_elements_are_out_of_order_all_end_alike(form: Form) -> None:
    for start in range(1, 4):
        order = [*identity()[start:], *identity()[:start], Element(WINDOW_CENTER, "DS", b"40")]
        assert_each_is_as_if_it_were_alone([part10(encode(order, form), SYNTAXES[form])] * 3, rule_set(BY_SERIES))
