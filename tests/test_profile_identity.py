"""Identity stays whole under the profile: pseudonyms, UIDs, dates, ages. (PS3.15 E.1.1, E.3.6, E.3.9)"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from datasets import EXPLICIT, IMPLICIT, Element, Form, rewritten, sequence
from profiled import RING, instance, output, rules, texts
from pydicom import Dataset

from deid_batch import dictionary
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.dummy import PatientPseudonym
from deid_batch.methods.erase import Keep, Redact
from deid_batch.rules import Rule, RuleSet
from deid_batch.selectors import TagIs

PATIENT = 0x00100020, "LO"
CHARACTERISTICS = "retain_patient_characteristics"


def treated(*pairs: tuple[int, str, str], rule_set: RuleSet | None = None) -> Dataset:
    return output(instance(*texts(*pairs)), rule_set)


def patient(number: str, name: str = "Doe^Jane", issuer: str = "") -> tuple[str, str]:
    pairs = [(0x00100010, "PN", name), (*PATIENT, number), (0x00100021, "LO", issuer)]
    made = treated(*(pair for pair in pairs if pair[2]))
    return str(made.PatientID), str(made.PatientName)


SAME_PATIENT = {
    "the same again": (("4711", "Doe^Jane"), ("4711", "Doe^Jane")),
    "a name written otherwise": (("4711", "Doe^Jane"), ("4711", "DOE^JANE")),
    "blanks around the ID": (("4711", "Doe^Jane"), (" 4711 ", "Doe^Jane")),
}
OTHER_PATIENT = {
    "another ID": (("4711", "Doe^Jane"), ("4712", "Doe^Jane")),
    "another issuer": (("4711", "Doe^Jane"), ("4711", "Doe^Jane", "HOSPITAL B")),
    "leading zeros": (("4711", "Doe^Jane"), ("04711", "Doe^Jane")),
}


@pytest.mark.parametrize("case", SAME_PATIENT)
def test_one_patient_stays_one(case: str) -> None:
    one, other = SAME_PATIENT[case]
    assert patient(*one) == patient(*other)


@pytest.mark.parametrize("case", OTHER_PATIENT)
def test_patients_do_not_merge(case: str) -> None:
    one, other = OTHER_PATIENT[case]
    assert not set(patient(*one)) & set(patient(*other))


def test_patient_id_and_name_are_one_text_that_fits_both() -> None:
    number, name = patient("4711")
    assert number == name
    assert number.startswith("DEID-")
    assert len(number) == len("DEID-") + 12


def test_without_an_id_patients_are_told_by_their_name_and_an_empty_id_stays_empty() -> None:
    one, other = (treated((0x00100010, "PN", name), (*PATIENT, "")) for name in ("Doe^Jane", "Roe^Jane"))
    assert one.PatientName != other.PatientName
    assert one.PatientID == other.PatientID == ""


def test_prefix_and_length_are_the_configs() -> None:
    pseudonym = PatientPseudonym(prefix="TRIAL7-", length=20, domain="patient-id")
    made = treated((*PATIENT, "4711"), rule_set=rules(patient=pseudonym))
    assert str(made.PatientID).startswith("TRIAL7-")
    assert len(made.PatientID) == 27


STUDY_KEYS = {
    "AccessionNumber": (0x00080050, "SH"),
    "StudyID": (0x00200010, "SH"),
    "FillerOrderNumberImagingServiceRequest": (0x00402017, "LO"),
    "SpecimenIdentifier": (0x00400551, "LO"),
}


@pytest.mark.parametrize("keyword", STUDY_KEYS)
def test_what_tells_studies_apart_still_does(keyword: str) -> None:
    made = [str(treated((*STUDY_KEYS[keyword], value)).get(keyword)) for value in ("A1", "A1", "A2")]
    assert made[0] == made[1] != made[2]
    assert "A1" not in made[0]
    assert len(made[0]) == 16


OLD = "1.2.826.0.1.3680043.8.498.1"
INSTANCE_UIDS = {
    "in the table": 0x0020000E,
    "not in the table: Volume Frame of Reference UID": 0x00209312,
    "not in the table: Referenced Color Palette Instance UID": 0x00280304,
    "not in the table: Selector UI Value": 0x0072007F,
    "in SR content: UID": 0x0040A124,
    "a dummy by the table: Annotation Group UID": 0x006A0003,
}
DEFINITION_UIDS = {"Coding Scheme UID": 0x0008010C, "Referenced SOP Class UID": 0x00081150, "Context UID": 0x00080117}


@pytest.mark.parametrize("case", INSTANCE_UIDS)
def test_an_instance_uid_becomes_the_same_new_one_at_any_depth(case: str) -> None:
    tag = INSTANCE_UIDS[case]
    uid = next(iter(texts((tag, "UI", OLD))))
    made = output(instance(uid, sequence(0x00081115, (uid,)), Element(0x00200052, "UI", OLD.encode() + b"\0")))
    assert made[tag].value == made.FrameOfReferenceUID == made.ReferencedSeriesSequence[0][tag].value
    assert made.FrameOfReferenceUID.startswith("2.25.")


@pytest.mark.parametrize("case", DEFINITION_UIDS)
def test_a_definition_uid_stays(case: str) -> None:
    tag = DEFINITION_UIDS[case]
    assert treated((tag, "UI", OLD))[tag].value == OLD


@pytest.mark.parametrize("case", INSTANCE_UIDS)
def test_retained_uids_stay_but_the_one_the_option_lacks(case: str) -> None:
    tag = INSTANCE_UIDS[case]
    kept = treated((tag, "UI", OLD), rule_set=rules("retain_uids"))[tag].value
    assert (kept == OLD) == (tag != 0x0040A124)


URLS = {"Retrieve URL": 0x00081190, "Retrieve URI": 0x0040E010, "Storage URL": 0x00404073}


@pytest.mark.parametrize("case", URLS)
def test_a_url_goes(case: str) -> None:
    assert URLS[case] not in treated((URLS[case], "UR", "http://pacs.hospital.org/4711"))


def test_the_url_of_a_coding_scheme_stays() -> None:
    assert treated((0x0008010E, "UR", "http://loinc.org"))[0x0008010E].value == "http://loinc.org"


GOES_ANYWAY = {
    "Encrypted Attributes Sequence": sequence(0x04000500, (Element(0x04000520, "OB", b"secret"),)),
    "Digital Signatures Sequence": sequence(0xFFFAFFFA, (Element(0x04000120, "OB", b"secret"),)),
    "MAC Parameters Sequence": sequence(0x4FFE0001, (Element(0x04000005, "US", 1),)),
    "Original Attributes Sequence": sequence(0x04000561, (Element(0x00100010, "PN", b"Doe^Jane"),)),
    "a directory record's element": Element(0x00041500, "CS", b"DIR001"),
    "what is said of private elements": sequence(0x00080300, (Element(0x00080302, "LO", b"DOE LABS"),)),
    "an overlay's label": Element(0x60001500, "LO", b"Doe Jane"),
    "an overlay's rows": Element(0x60020010, "US", 5),
    "a curve": Element(0x50000010, "US", 5),
    "an element of an unknown group": Element(0x01000010, "LO", b"Doe Jane"),
    "an unknown element of a known group": Element(0x001000EE, "LO", b"Doe Jane"),
    "a private element": Element(0x00091001, "LO", b"Doe Jane"),
    "an illegal odd group": Element(0x00030010, "LO", b"Doe Jane"),
    "a sequence that is none": Element(0x00081115, "LO", b"Doe Jane"),
}


@pytest.mark.parametrize("case", GOES_ANYWAY)
def test_what_has_no_place_in_a_de_identified_instance_goes_at_any_depth(case: str) -> None:
    element = GOES_ANYWAY[case]
    made = output(instance(element, sequence(0x00081199, (element,))))
    assert element.tag not in made
    assert element.tag not in made.ReferencedSOPSequence[0]


# ---- dates ----


def shifted(*options: str, shift: DateShift | None = None, number: str = "4711") -> Dataset:
    settings = {"shift": shift} if shift else {}
    pairs = [
        (0x00080020, "DA", "20240229"), (0x0008002A, "DT", "20240301120000.5+0100"), (0x00080030, "TM", "235959"),
        (*PATIENT, number), (0x00100030, "DA", "19700101"), (0x00080201, "SH", "+0100"), (0x0020000E, "UI", number),
    ]  # fmt: skip
    nested = sequence(0x00081199, tuple(texts((0x00080022, "DA", "20240302"))))
    return output(instance(*texts(*pairs), nested), rules(*options, **settings))


def test_without_an_option_no_date_stays() -> None:
    made = shifted()
    assert [made.get(tag).value if tag in made else None for tag in (0x00080020, 0x0008002A, 0x00080030)] == [
        "", None, "",
    ]  # fmt: skip
    assert made.PatientBirthDate == ""
    assert made[0x00280303].value == "REMOVED"


def test_full_dates_stay_but_for_the_birth_date() -> None:
    made = shifted("retain_long_full_dates")
    assert (made.StudyDate, made.AcquisitionDateTime, made.StudyTime) == (
        "20240229", "20240301120000.5+0100", "235959",
    )  # fmt: skip
    assert made.PatientBirthDate == ""
    assert made[0x00280303].value == "UNMODIFIED"


def test_modified_dates_keep_intervals_times_and_the_offset() -> None:
    made = shifted("retain_long_modified_dates")
    day = date.fromisoformat(made.StudyDate)
    assert day != date(2024, 2, 29)
    assert date.fromisoformat(made.AcquisitionDateTime[:8]) - day == timedelta(1)
    assert date.fromisoformat(made.ReferencedSOPSequence[0].AcquisitionDate) - day == timedelta(2)
    assert made.AcquisitionDateTime[8:] == "120000.5+0100"
    assert (made.StudyTime, made.TimezoneOffsetFromUTC) == ("235959", "+0100")
    assert made.PatientBirthDate == ""
    assert made[0x00280303].value == "MODIFIED"


def test_the_shift_is_the_patients() -> None:
    shift = DateShift(date_shift_scope="Patient", date_shift_range=3650)
    days = [shifted("retain_long_modified_dates", shift=shift, number=it).StudyDate for it in ("4711", "4711", "4712")]
    assert days[0] == days[1] != days[2]


def test_a_date_that_is_none_goes() -> None:
    made = treated((0x00080020, "DA", "Feb 29"), (*PATIENT, "1"), rule_set=rules("retain_long_modified_dates"))
    assert made.StudyDate == ""


# ---- ages ----

OVER = {
    "by years": ("090Y", "", ""),
    "by far": ("105Y", "", ""),
    "by birth and study": ("050Y", "19300101", "20240101"),
    "by birth and study, on the birthday": ("089Y", "19340301", "20240301"),
}
NOT_OVER = {
    "by years": ("089Y", "", ""),
    "by months": ("999M", "", ""),
    "the day before the birthday": ("089Y", "19340302", "20240301"),
    "no dates that can be read": ("045Y", "around 1920", "20240301"),
}


def age(case: tuple[str, str, str], *, cap_ages: bool = True) -> str:
    said, birth, day = case
    pairs = [(0x00101010, "AS", said), (0x00100030, "DA", birth), (0x00080020, "DA", day)]
    made = treated(*(pair for pair in pairs if pair[2]), rule_set=rules(CHARACTERISTICS, cap_ages=cap_ages))
    return str(made.PatientAge)


@pytest.mark.parametrize("case", OVER)
def test_an_age_over_89_is_capped(case: str) -> None:
    assert age(OVER[case]) == "090Y"


@pytest.mark.parametrize("case", NOT_OVER)
def test_another_age_stays(case: str) -> None:
    assert age(NOT_OVER[case]) == NOT_OVER[case][0]


def test_other_ages_that_stay_are_capped_too() -> None:
    capped = rules(CHARACTERISTICS, cap_ages=True)
    assert treated((0x0072005F, "AS", "095Y"), rule_set=capped)[0x0072005F].value == "090Y"
    assert treated((0x0072005F, "AS", "005Y"), rule_set=capped)[0x0072005F].value == "005Y"


def test_ages_are_capped_on_request_only() -> None:
    assert age(OVER["by birth and study"], cap_ages=False) == "050Y"


def test_the_key_decides() -> None:
    other = rules()
    assert other.profile
    rekeyed = RuleSet((), b"k" * 32, profile=other.profile.__class__().bound({"uid": b"k" * 32}, date(2026, 1, 31)))
    assert treated((*PATIENT, "1")).PatientID != treated((*PATIENT, "1"), rule_set=rekeyed).PatientID
    assert RING["uid"] != b"k" * 32


# ---- attributes younger than pydicom's dictionary ----

YOUNGER = {"NameToUse": 0x00100012, "PronounComment": 0x00100016, "EthnicGroups": 0x00102162, "DisplayURI": 0x0040E012}


@pytest.mark.parametrize("keyword", YOUNGER)
@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_a_younger_attribute_is_known_by_name_and_goes(keyword: str, form: Form) -> None:
    tag = YOUNGER[keyword]
    assert dictionary.tag_of_keyword(keyword.upper()) == tag
    assert dictionary.name_of(tag).endswith(f" {keyword}")
    assert tag not in output(instance(Element(tag, dictionary.vr_of(tag), b"Doe Jane"), form=form))


def test_the_items_of_a_younger_sequence_are_walked_in_implicit_vr() -> None:
    names = sequence(0x00100011, (Element(0x00100010, "PN", b"Doe^Jane"),))
    kept = RuleSet((Rule(TagIs(0x00100011), Keep()), Rule(TagIs(0x00100010), Redact(redact_leaves="empty"))))
    assert b"Doe" not in rewritten(instance(names, form=IMPLICIT), kept)[0]
