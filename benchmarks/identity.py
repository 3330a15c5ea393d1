"""What tells the files of a corpus apart: made-up patients, studies, series; each value is as long in all files."""

from __future__ import annotations

import os
from datetime import date, timedelta

_SERIES_PER_STUDY = 2
_STUDIES_PER_PATIENT = 2
_UID_ROOT = "1.2.826.0.1.3680043.8.498"
NESTED_TIMES = ("VerificationDateTime", "ObservationDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime")
"""Attributes within items whose first 8 characters, of 14, are the day of the content."""
POSITION = ("SliceLocation", "ImagePositionPatient")
"""Attributes at the top level that only single images have."""


def path(number: int, per_series: int) -> str:
    """Where the file of this number lies."""
    patient, study, series, instance = _ancestry(number, per_series)
    return os.path.join(f"PAT{patient:05}", f"ST{study:05}", f"SE{series:05}", f"IM{instance:05}.dcm")


def values(number: int, per_series: int) -> dict[str, str]:
    """The attributes of a file by keyword, at the top level and wherever items repeat them."""
    patient, study, series, instance = _ancestry(number, per_series)
    day = f"{date(2015, 1, 1) + timedelta(days=study % 3000):%Y%m%d}"
    slice_location = f"{instance * 1.25 + 100:.4f}"
    sop_instance = f"{_UID_ROOT}.4.{series + 100_000}.{instance + 100_000}"
    return {
        "MediaStorageSOPInstanceUID": sop_instance,
        "SOPInstanceUID": sop_instance,
        "StudyInstanceUID": f"{_UID_ROOT}.2.{study + 100_000}",
        "SeriesInstanceUID": f"{_UID_ROOT}.3.{series + 100_000}",
        "FrameOfReferenceUID": f"{_UID_ROOT}.5.{study + 100_000}",
        "PatientName": f"Benchmark{patient:05}^Given{patient * 7919 % 100_000:05}",
        "PatientID": f"BM{patient:06}",
        "PatientBirthDate": f"{date(1945, 1, 1) + timedelta(days=patient * 97 % 20_000):%Y%m%d}",
        "ReferringPhysicianName": f"Referrer{study % 50:02}^Doctor",
        "AccessionNumber": f"ACC{study:07}",
        "StudyID": f"ST{study:06}",
        "InstanceCreationDate": day,
        "StudyDate": day,
        "SeriesDate": day,
        "AcquisitionDate": day,
        "ContentDate": day,
        "StudyTime": f"{8 + series % 10:02}0000",
        "ContentTime": f"{8 + series % 10:02}{instance // 60:02}{instance % 60:02}",
        "SeriesNumber": f"{series % _SERIES_PER_STUDY + 1:04}",
        "InstanceNumber": f"{instance + 1:04}",
        "SliceLocation": slice_location,
        "ImagePositionPatient": f"-83.9063\\-91.2000\\{slice_location}",
    }


def nested_uid(number: int) -> str:
    """How the UIDs begin that stand within items."""
    return f"{_UID_ROOT}.6.{number + 100_000}"


def decimals(number: int) -> str:
    """How the decimal numbers end that stand within items."""
    return f".1357{number:06}"


def _ancestry(number: int, per_series: int) -> tuple[int, int, int, int]:
    series, instance = divmod(number, per_series)
    study = series // _SERIES_PER_STUDY
    return study // _STUDIES_PER_PATIENT, study, series, instance
