"""The marks of a de-identified instance say what was done, and no more. (PS3.15 E.1.1, E.3; PS3.16 CID 7050)"""

from __future__ import annotations

import pytest
from datasets import BIG, EXPLICIT, FIRST_WINDOW, IMPLICIT, Element, Form, encode, identity, part10, sequence
from profiled import instance, output, rules
from pydicom import Dataset

from deid_batch import __version__
from deid_batch.conditions import Condition
from deid_batch.dicomfile import rewrite_bytes
from deid_batch.engine import CompiledRules
from deid_batch.methods import Method
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.methods.perturb import Perturb
from deid_batch.methods.substitute import Substitute
from deid_batch.profiles.profile import Profile
from deid_batch.profiles.tables import OPTIONS
from deid_batch.profiles.weaker import shortfall
from deid_batch.rules import Rule, RuleSet
from deid_batch.selectors import AnyPrivate, PrivateIs, Selector, TagIs, VRIs

CODES = {
    "retain_safe_private": "113111", "retain_uids": "113110", "retain_device_identity": "113109",
    "retain_institution_identity": "113112", "retain_patient_characteristics": "113108",
    "retain_long_full_dates": "113106", "retain_long_modified_dates": "113107", "clean_graphics": "113103",
    "clean_structured_content": "113104", "clean_descriptors": "113105",
}  # fmt: skip
SAID = f"deid_batch {__version__}: PS3.15 Basic Profile"
PATIENT = Element(0x00100020, "LO", b"4711")


def codes(made: Dataset) -> list[str]:
    return [item.CodeValue for item in made.get("DeidentificationMethodCodeSequence", [])]


@pytest.mark.parametrize("option", CODES)
def test_an_option_is_claimed_by_its_code(option: str) -> None:
    made = output(instance(PATIENT), rules(option))
    assert codes(made) == ["113100", CODES[option]]
    (_, item) = made.DeidentificationMethodCodeSequence
    assert (item.CodingSchemeDesignator, item.CodeMeaning) == ("DCM", OPTIONS[option][1])


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT, BIG], ids=["explicit", "implicit", "big"])
def test_the_marks_stand_in_order_in_every_encoding(form: Form) -> None:
    body = encode([*identity(), Element(0x00280010, "US", 3)], form)
    syntax = {EXPLICIT: "1.2.840.10008.1.2.1", IMPLICIT: "1.2.840.10008.1.2", BIG: "1.2.840.10008.1.2.2"}[form]
    made = output(part10(body, syntax))
    assert made.PatientIdentityRemoved == "YES"
    assert made.DeidentificationMethod == SAID
    assert made.LongitudinalTemporalInformationModified == "REMOVED"
    assert list(made.keys()) == sorted(made.keys())


AROUND = {
    "at the end of the data set": [],
    "before long Pixel Data": [Element(0x7FE00010, "OW", bytes(4 * FIRST_WINDOW))],
    "behind a long text": [Element(0x00104000, "LT", b"x" * 10_000), Element(0x00204000, "LT", b"x " * 30_000)],
    "between private elements": [Element(0x00090010, "LO", b"ACME"), Element(0x00290010, "LO", b"ACME")],
}


@pytest.mark.parametrize("case", AROUND)
def test_the_marks_are_there_once_wherever_windows_end(case: str) -> None:
    made = output(instance(*AROUND[case]))
    assert (made.PatientIdentityRemoved, len(codes(made))) == ("YES", 1)
    assert made.LongitudinalTemporalInformationModified == "REMOVED"


EARLIER = [
    Element(0x00120062, "CS", b"NO"),
    Element(0x00120063, "LO", b"Other Tool"),
    sequence(0x00120064, (Element(0x00080100, "SH", b"113101"), Element(0x00080102, "SH", b"DCM "))),
    Element(0x00280303, "CS", b"UNMODIFIED"),
]


@pytest.mark.parametrize("is_undefined", [False, True])
def test_earlier_marks_stay_where_they_are_added_to(is_undefined: bool) -> None:
    items = sequence(0x00120064, (Element(0x00080100, "SH", b"113101"),), is_undefined=is_undefined)
    made = output(instance(*[items if it.tag == items.tag else it for it in EARLIER]))
    assert made.PatientIdentityRemoved == "YES"
    assert list(made.DeidentificationMethod) == ["Other Tool", SAID]
    assert codes(made) == ["113101", "113100"]
    assert made.LongitudinalTemporalInformationModified == "REMOVED"


def test_earlier_marks_that_can_not_be_read_give_way() -> None:
    unreadable = Element(0x00080005, "CS", b"ISO_IR 999"), Element(0x00120063, "LO", b"\xff\xfe")
    made = output(instance(*unreadable, Element(0x00120064, "LO", b"Doe Jane")))
    assert made.DeidentificationMethod == SAID
    assert 0x00120064 not in made


def test_nested_attributes_of_these_names_are_not_marks() -> None:
    nested = output(instance(sequence(0x00081199, (EARLIER[1],)))).ReferencedSOPSequence[0]
    assert nested.DeidentificationMethod == "Other Tool"


def test_contributing_equipment_on_request_behind_what_is_there() -> None:
    theirs = sequence(0x0018A001, (Element(0x00080070, "LO", b"ACME"),))
    made = output(instance(theirs), rules(equipment=True))
    assert [item.Manufacturer for item in made.ContributingEquipmentSequence] == ["ACME", "deid_batch"]
    assert made.ContributingEquipmentSequence[1].PurposeOfReferenceCodeSequence[0].CodeValue == "109104"
    assert [item.Manufacturer for item in output(instance(theirs)).ContributingEquipmentSequence] == ["ACME"]
    assert "ContributingEquipmentSequence" not in output(instance())


def test_the_marks_are_the_same_whichever_files_came_before() -> None:
    files = [
        instance(PATIENT),
        instance(PATIENT, Element(0x00280010, "US", 3), Element(0x00290010, "LO", b"ACME")),
        instance(PATIENT, *EARLIER),
        instance(PATIENT, EARLIER[1], Element(0x00280010, "US", 3)),
        instance(PATIENT, Element(0x00130010, "LO", b"ACME"), Element(0x00131001, "LO", b"x ")),
    ]
    alone = [rewrite_bytes(file, CompiledRules(rules(equipment=True))) for file in files]
    compiled = CompiledRules(rules(equipment=True))
    order = [0, 0, 0, 0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 0, 1, 2, 3, 4]
    assert [rewrite_bytes(files[it], compiled) for it in order] == [alone[it] for it in order]


# ---- the user's own rules ----


def with_own(selector: Selector, method: Method, *options: str, when: tuple[Condition, ...] = ()) -> RuleSet:
    own = (Rule(selector, method, when=when),)
    return rules(*options, own=own, weaker=(shortfall(own[0], Profile(options)),))


BIRTH_DATE, STUDY_DATE, SEX = TagIs(0x00100030), TagIs(0x00080020), TagIs(0x00100040)
WEAKER = {
    "a birth date that stays": with_own(BIRTH_DATE, Keep()),
    "names that stay": with_own(VRIs("PN"), Keep()),
    "numbers with noise": with_own(VRIs("DS"), Perturb()),
    "years that stay": with_own(VRIs("DA"), Redact(enable_partial_dates_for_redact=True)),
    "shifted dates without the option": with_own(VRIs("DA"), DateShift()),
    "private elements that stay": with_own(AnyPrivate(), Keep()),
    "private elements of a creator": with_own(PrivateIs("ACME"), Keep(), "retain_safe_private"),
    "UIDs that stay": with_own(VRIs("UI"), Keep()),
}
NOT_WEAKER = {
    "an attribute in no table": with_own(TagIs(0x00280030), Perturb()),
    "a value that goes": with_own(SEX, Remove()),
    "another dummy": with_own(TagIs(0x00100010), Substitute()),
    "what an option keeps": with_own(SEX, Keep(), "retain_patient_characteristics"),
    "dates as the option shifts them": with_own(STUDY_DATE, DateShift(), "retain_long_modified_dates"),
    "UIDs that the option keeps": with_own(TagIs(0x0020000D), Keep(), "retain_uids"),
}


@pytest.mark.parametrize("case", WEAKER)
def test_a_rule_that_leaves_more_takes_the_claim_away(case: str) -> None:
    made = output(instance(PATIENT), WEAKER[case])
    assert codes(made) == []
    assert made.DeidentificationMethod == f"{SAID} after own rules"


@pytest.mark.parametrize("case", NOT_WEAKER)
def test_a_rule_that_leaves_no_more_does_not(case: str) -> None:
    made = output(instance(PATIENT), NOT_WEAKER[case])
    assert codes(made)[0] == "113100"
    assert made.DeidentificationMethod == SAID


CHANGES = {
    "a rule removes what the option keeps": with_own(SEX, Remove(), "retain_patient_characteristics", "retain_uids"),
    "a rule for a VR does": with_own(VRIs("CS"), Remove(), "retain_patient_characteristics", "retain_uids"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_an_option_is_not_claimed_where_a_rule_changes_what_it_keeps(case: str) -> None:
    assert codes(output(instance(PATIENT), CHANGES[case])) == ["113100", "113110"]


@pytest.mark.parametrize(("said", "claimed"), [("095Y", ["113100"]), ("045Y", ["113100", "113108"])])
def test_patient_characteristics_are_not_claimed_where_an_age_is_capped(said: str, claimed: list[str]) -> None:
    age = Element(0x00101010, "AS", said.encode())
    assert codes(output(instance(age), rules("retain_patient_characteristics", cap_ages=True))) == claimed


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_rule_weighs_where_it_holds(modality: str) -> None:
    weaker = with_own(BIRTH_DATE, Keep(), when=(Condition(0x00080060, ("CT",)),))
    made = output(instance(Element(0x00080060, "CS", modality.encode())), weaker)
    assert (codes(made) == []) == (modality == "CT")


def test_identity_is_not_said_to_be_removed_where_a_rule_keeps_it() -> None:
    assert "PatientIdentityRemoved" not in output(instance(PATIENT), WEAKER["names that stay"])
    assert output(instance(PATIENT), WEAKER["a birth date that stays"]).PatientIdentityRemoved == "YES"


TEMPORAL = {
    "a rule shifts": (with_own(STUDY_DATE, DateShift()), "MODIFIED"),
    "a rule keeps": (with_own(STUDY_DATE, Keep()), "UNMODIFIED"),
    "a rule keeps what the option would shift": (
        with_own(STUDY_DATE, Keep(), "retain_long_modified_dates"), "UNMODIFIED"),
    "a rule keeps something else": (with_own(SEX, Keep()), "REMOVED"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEMPORAL)
def test_temporal_information_is_said_to_be_what_it_is(case: str) -> None:
    rule_set, said = TEMPORAL[case]
    assert output(instance(PATIENT), rule_set).LongitudinalTemporalInformationModified == said
