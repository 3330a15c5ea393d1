"""Which rule decides: the first one in file order that matches, whatever its kind."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.methods import METHODS
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.rules import Decision, Rule, RuleSet
from deid_batch.selectors import Facts, Selector, TagIn, TagIs, VRIs
from deid_batch.wire import VRS

PATIENT_NAME, PATIENT_ID, BIRTH_DATE, OVERLAY, PRIVATE = 0x00100010, 0x00100020, 0x00100030, 0x60023000, 0x00091010
OVERLAYS = TagIn(0x60003000, 0xFF00FFFF)
KEEP, REDACT, REMOVE = Keep(), Redact(), Remove()


def rule_set(*selectors: Selector) -> RuleSet:
    methods = [KEEP, REDACT, REMOVE]
    return RuleSet(tuple(Rule(selector, methods[n % 3]) for n, selector in enumerate(selectors)))


def deciding(rules: RuleSet, tag: int, vr: str, creator: str | None = None) -> int | None:
    decision = rules.decide(tag, vr, creator)
    return None if decision is None else decision.rule


@pytest.mark.parametrize(
    ("selectors", "tag", "vr", "rule"),
    [
        ([TagIs(PATIENT_NAME), VRIs("PN")], PATIENT_NAME, "PN", 0),
        ([VRIs("PN"), TagIs(PATIENT_NAME)], PATIENT_NAME, "PN", 0),
        ([TagIn(0x00100000, 0xFFFF0000), TagIs(PATIENT_NAME)], PATIENT_NAME, "PN", 0),
        ([TagIs(PATIENT_ID), VRIs("DA"), VRIs("PN")], PATIENT_NAME, "PN", 2),
        ([TagIs(PATIENT_NAME), TagIs(PATIENT_NAME)], PATIENT_NAME, "PN", 0),
        ([VRIs("DA"), TagIn(0, 0)], PATIENT_ID, "LO", 1),
        ([OVERLAYS], OVERLAY, "OW", 0),
        ([OVERLAYS], 0x60FF3000, "OB", 0),
        ([TagIn(0x00090000, 0xFFFF0000)], PRIVATE, "LO", 0),
        ([TagIs(PRIVATE)], PRIVATE, "UN", 0),
        ([VRIs("SQ")], 0x00400275, "SQ", 0),
    ],
)
def test_the_first_rule_that_matches_decides(selectors: list[Selector], tag: int, vr: str, rule: int) -> None:
    assert deciding(rule_set(*selectors), tag, vr) == rule


@pytest.mark.parametrize(
    ("selector", "tag", "vr"),
    [
        (TagIs(PATIENT_NAME), PATIENT_ID, "LO"),
        (VRIs("PN"), PATIENT_ID, "LO"),
        (OVERLAYS, 0x60023001, "OW"),
        (OVERLAYS, 0x50023000, "OW"),
        (TagIn(0x00100000, 0xFFFF0000), 0x00110010, "LO"),
        (VRIs("PN"), PRIVATE, "LO"),
        (VRIs("UN"), PATIENT_ID, "LO"),
    ],
)
def test_an_element_that_no_rule_matches_is_not_decided(selector: Selector, tag: int, vr: str) -> None:
    assert rule_set(selector).decide(tag, vr, None) is None


def test_no_rules_decide_nothing() -> None:
    assert RuleSet(()).decide(PATIENT_NAME, "PN", None) is None


@pytest.mark.parametrize(
    ("tag", "written", "selected", "treated_as"),
    [
        (PATIENT_NAME, "LO", "PN", "PN"),
        (PATIENT_NAME, "LO", "LO", "PN"),
        (BIRTH_DATE, "LO", "DA", "DA"),
        (PATIENT_NAME, "OB", "PN", "OB"),
        (0x00280030, "FD", "DS", "FD"),
        (0x00280106, "SS", "SS", "SS"),
        (0x7FE00010, "OB", "OB", "OB"),
        (0x00080018, "UI", "UI", "UI"),
        (0x0010BEEF, "PN", "PN", "PN"),
        (PRIVATE, "PN", "PN", "PN"),
    ],
)
def test_a_public_element_matches_by_its_own_vr_and_by_the_dictionarys(
    tag: int, written: str, selected: str, treated_as: str
) -> None:
    assert rule_set(VRIs(selected)).decide(tag, written, None) == Decision(0, KEEP, treated_as)


@pytest.mark.parametrize(
    ("tag", "written", "selected"),
    [(PATIENT_NAME, "LO", "SH"), (PRIVATE, "LO", "PN"), (0x00280106, "SS", "US"), (0x7FE00010, "OB", "OW")],
)
def test_an_element_matches_by_no_third_vr(tag: int, written: str, selected: str) -> None:
    assert rule_set(VRIs(selected)).decide(tag, written, None) is None


SELECTORS = st.one_of(
    st.sampled_from([PATIENT_NAME, PATIENT_ID, OVERLAY, PRIVATE]).map(TagIs),
    st.sampled_from(["PN", "LO", "OW"]).map(VRIs),
    st.sampled_from([OVERLAYS, TagIn(0x00100000, 0xFFFF0000)]),
)


@given(st.lists(SELECTORS, max_size=6), st.sampled_from([(PATIENT_NAME, "PN"), (PATIENT_ID, "LO"), (OVERLAY, "OW")]))
def test_rules_behind_the_deciding_one_change_nothing(selectors: list[Selector], element: tuple[int, str]) -> None:
    tag, vr = element
    first = deciding(rule_set(*selectors), tag, vr)
    matching = [n for n, one in enumerate(selectors) if one.matches(Facts(tag, frozenset({vr})))]
    assert first == (matching[0] if matching else None)


@pytest.mark.parametrize("vr", sorted(VRS))
def test_an_unknown_element_goes_by_its_written_vr(vr: str) -> None:
    assert deciding(rule_set(VRIs(vr)), 0x0009BEEF, vr) == 0


def test_a_rule_set_goes_to_a_worker_and_never_shows_its_key() -> None:
    rules = RuleSet(tuple(Rule(VRIs("UI"), method()) for method in METHODS.values()), uid_key=b"s3cret of 16 b..")
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert "s3cret" not in repr(rules)
