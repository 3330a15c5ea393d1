"""What identifies, as an input says it: names, IDs, places, ways to reach people, birth dates, UIDs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.errors import BadValue
from deid_batch.values import dates, uids
from deid_batch.verify.elements import Seen
from deid_batch.verify.promises import KEPT, RETAINED, Promise

PERSON, ID, BIRTH, ADDRESS, TELEPHONE, EMAIL, INSTITUTION, UID, DATE, UNCHANGED = (
    "person", "id", "birth-date", "address", "telephone", "email", "institution", "uid", "date", "unchanged",
)  # fmt: skip


class Known(NamedTuple):
    """One thing that identifies: its kind and how it is written."""

    kind: str
    text: str


Identity = frozenset[Known]

_KEYWORDS = {
    ID: """
        PatientID OtherPatientIDs MedicalRecordLocator AccessionNumber StudyID AdmissionID
        ServiceEpisodeID PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
        PlacerOrderNumberProcedure FillerOrderNumberProcedure RequestedProcedureID ScheduledProcedureStepID
        PerformedProcedureStepID ImagingServiceRequestID ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
        SpecimenIdentifier SpecimenAccessionNumber ContainerIdentifier DeviceSerialNumber DetectorID PlateID CassetteID
        GantryID GeneratorID InsurancePlanIdentification SourceSerialNumber DeviceID
    """,
    PERSON: """
        PatientBirthName PatientMotherBirthName OtherPatientNames NameToUse ResponsiblePerson PhysiciansOfRecord
        ReferringPhysicianName OperatorsName PerformingPhysicianName RequestingPhysician
        ScheduledPerformingPhysicianName HumanPerformerName PersonName ContentCreatorName
        ReviewerName VerifyingObserverName OrderEnteredBy
    """,
    ADDRESS: """
        PatientAddress InstitutionAddress ReferringPhysicianAddress PersonAddress RegionOfResidence
        CountryOfResidence
    """,
    TELEPHONE: """
        PatientTelephoneNumbers ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers OrderCallbackPhoneNumber
        PatientTelecomInformation PersonTelecomInformation OrderCallbackTelecomInformation
    """,
    INSTITUTION: """
        InstitutionName InstitutionalDepartmentName StationName ScheduledStationName PerformedStationName
        ScheduledStationAETitle PerformedStationAETitle RetrieveAETitle StationAETitle IssuerOfPatientID
        ResponsibleOrganization HumanPerformerOrganization RequestingService CurrentPatientLocation
        PatientInstitutionResidence PerformedLocation ScheduledProcedureStepLocation VerifyingOrganization
        ClinicalTrialSiteName ClinicalTrialSiteID SourceApplicationEntityTitle
    """,
    BIRTH: "PatientBirthDate PatientBirthDateInAlternativeCalendar",
}  # fmt: skip
_KIND_OF = {
    tag: kind
    for kind, keywords in _KEYWORDS.items()
    for keyword in keywords.split()
    if (tag := dictionary.tag_of_keyword(keyword)) is not None
}
_IN_CODES = {0x00080082: INSTITUTION, 0x00081041: INSTITUTION, 0x00401101: PERSON, 0x00401012: INSTITUTION}
"""Sequences of codes whose meanings are names: of institutions, departments and persons."""
_CODE_MEANING = 0x00080104
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_NO_UID_OF = uids.DEFINITION_ATTRIBUTES
_WHOLE_DAY = re.compile(r"\d{8}", re.ASCII)
_LONGEST = 4096


def kind_of(seen: Seen) -> str:
    """What an element's value identifies; "" for none of it."""
    if seen.vr == "PN" or dictionary.vr_of(seen.tag) == "PN":
        return PERSON
    if seen.vr == "UI":
        return UID
    if seen.tag == _CODE_MEANING:
        return next((_IN_CODES[tag] for tag, _ in seen.place[-2:-1] if tag in _IN_CODES), "")
    return _KIND_OF.get(seen.tag, "")


def identity_of(seen: Seen, promise: Promise) -> Iterable[Known]:
    """What an input's element tells of persons and places, but for what the config means to stay."""
    if not seen.is_text or promise.act in (KEPT, RETAINED):
        return
    kind = kind_of(seen)
    for value in _stripped(seen):
        if len(value) > _LONGEST:
            continue
        if "@" in value:
            yield from (Known(EMAIL, found) for found in _EMAIL.findall(value))
        if kind == BIRTH:
            yield from _birth(value)
        elif kind and kind != UID:
            yield Known(kind, value)


def _birth(value: str) -> Iterable[Known]:
    try:
        yield Known(BIRTH, dates.parse_da(value).isoformat())
    except BadValue:
        return


def uids_of(seen: Seen, promise: Promise) -> Iterable[str]:
    """The UIDs of instances that an input's element names, but for those that the config means to stay."""
    if seen.vr != "UI" or seen.tag in _NO_UID_OF or promise.act in (KEPT, RETAINED):
        return
    yield from (value for value in _stripped(seen) if value not in uids.registered())


def _stripped(seen: Seen) -> Iterator[str]:
    return (value for it in seen.values if (value := it.strip(" \0")))


def days_of(seen: Seen) -> set[date]:
    """The whole days that an element's dates name."""
    found = set()
    if seen.vr in ("DA", "DT"):
        for value in _stripped(seen):
            if seen.vr == "DT" and not _WHOLE_DAY.match(value):
                continue
            try:
                found.add(dates.parse_da(value) if seen.vr == "DA" else dates.parse_dt(value))
            except BadValue:
                continue
    return found
