"""What the profile writes keeps to its IOD, as dciodvfy sees it; and gdcmanon's opinion on which attributes go."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from conftest import PYDICOM, SCANNERS
from profiled import RING
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian
from test_profile_table import ROWS, VALUES

from deid_batch.config import load_config
from deid_batch.dicomfile import rewrite_bytes
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError
from deid_batch.values.uids import DEFINITION_ATTRIBUTES

needs_dciodvfy = pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is not installed (dicom3tools)")
needs_gdcmanon = pytest.mark.skipif(
    not (shutil.which("gdcmanon") and shutil.which("openssl")), reason="gdcmanon or openssl is not installed"
)
CONFIGS = ["basic", "research-longitudinal", "hipaa-safe-harbor", "keep-uids"]
EVERYTHING = """{"profile": "basic", "burnedIn": "allow", "options": ["retain_safe_private", "retain_long_full_dates",
 "retain_device_identity", "retain_institution_identity", "clean_structured_content", "clean_graphics"]}"""
FORCED = {
    # the name must not be empty (D), the approval number that is its condition must go (X)
    "Attribute present when condition unsatisfied (which may not be present otherwise) Type 1C Conditional "
    "Element=<ClinicalTrialProtocolEthicsCommitteeName> Module=<ClinicalTrialSubject>",
}
"""Errors that Table E.1-1 itself leads to."""
LARGEST = 1 << 20


def real_files() -> list[Path]:
    folders = [PYDICOM, *([SCANNERS] if SCANNERS.is_dir() else [])]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in (".dcm", "")]
    return [path for path in files if path.is_file() and path.stat().st_size < LARGEST]


@cache
def compiled(name: str) -> CompiledRules:
    return CompiledRules(load_config(name).settled(RING, date(2026, 1, 31)))


def written(data: bytes, name: str) -> bytes | None:
    try:
        return rewrite_bytes(data, compiled(name))
    except FileError:
        return None


def errors(path: Path) -> Counter[str]:
    """What dciodvfy calls errors, without the values in them."""
    said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False)
    lines = (said.stdout + said.stderr).splitlines()
    plain = [re.sub(r"(UID|\[\d+\] =) \S+", r"\1 …", line) for line in lines if line.startswith("Error - ")]
    return Counter(line.removeprefix("Error - ") for line in plain)


def gained(before: Path, data: bytes, folder: Path) -> set[str]:
    """The errors that what was written has and its input has not."""
    after = folder / "after.dcm"
    after.write_bytes(data)
    return set(errors(after) - errors_before(before))


@cache
def errors_before(path: Path) -> Counter[str]:
    """Those of an input, for which the config does not matter."""
    return errors(path)


def with_every_attribute(name: str) -> bytes:
    """A real instance and, at its top level, all attributes of Table E.1-1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(PYDICOM / f"{name}.dcm")
        for row in ROWS:
            if row.tag >> 16 in (0, 2, 4) or row.tag in dataset or row.tag >> 24 in (0x50, 0x60):
                continue
            value = VALUES.get(row.vr, b"Secret")
            if row.vr == "SQ":
                item = Dataset()
                item.CodeValue = "SECRET"
                dataset.add_new(row.tag, "SQ", Sequence([item]))
            elif row.vr in ("OB", "OW", "UN", "US"):
                dataset.add_new(row.tag, row.vr, 7 if row.vr == "US" else value)
            else:
                dataset.add_new(row.tag, row.vr, "+0100" if row.tag == 0x00080201 else value.decode())
        buffer = BytesIO()
        dataset.save_as(buffer)
    return buffer.getvalue()


@needs_dciodvfy
@pytest.mark.parametrize("name", [*CONFIGS, EVERYTHING], ids=[*CONFIGS, "every option"])
@pytest.mark.slow
def test_no_real_file_gains_an_error(name: str, tmp_path: Path) -> None:
    if name == EVERYTHING:
        (tmp_path / "every.json").write_text(EVERYTHING)
        name = str(tmp_path / "every.json")
    outputs = {path: written(path.read_bytes(), name) for path in real_files()}
    assert sum(data is not None for data in outputs.values()) > 30
    found = {path.name: gained(path, data, tmp_path) for path, data in outputs.items() if data is not None}
    assert {name: new for name, new in found.items() if new} == {}


@needs_dciodvfy
@pytest.mark.parametrize("name", ["CT_small", "MR_small", "rtplan", "rtdose", "reportsi", "liver_1frame"])
def test_no_instance_with_every_attribute_gains_an_error(name: str, tmp_path: Path) -> None:
    data = with_every_attribute(name)
    (tmp_path / "before.dcm").write_bytes(data)
    output = written(data, "basic")
    assert output is not None
    assert gained(tmp_path / "before.dcm", output, tmp_path) <= FORCED


def built(sop_class: str, modality: str, **attributes: object) -> bytes:
    """A small instance of a SOP Class, with an identity."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    identity = {
        "SOPClassUID": sop_class, "SOPInstanceUID": "1.2.3.4.5.6.1", "StudyInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.4.2", "PatientName": "Doe^Jane", "PatientID": "4711", "PatientSex": "F",
        "PatientBirthDate": "19700101", "StudyDate": "20200101", "StudyTime": "101010", "StudyID": "1",
        "AccessionNumber": "A1", "ReferringPhysicianName": "Roe^Dr", "Modality": modality, "SeriesNumber": 1,
        "InstanceNumber": 1, "Manufacturer": "ACME",
    }  # fmt: skip
    for keyword, value in (identity | attributes).items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def referenced() -> list[Dataset]:
    return [item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.3.4.5.6.9")]


def concept(code: str, meaning: str) -> list[Dataset]:
    return [item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning=meaning)]


def presentation_state() -> bytes:
    text = item(
        AnchorPointAnnotationUnits="PIXEL", AnchorPoint=[1.0, 1.0], AnchorPointVisibility="Y",
        UnformattedTextValue="Jane Doe",
    )  # fmt: skip
    area = item(
        DisplayedAreaTopLeftHandCorner=[1, 1], DisplayedAreaBottomRightHandCorner=[9, 9],
        PresentationSizeMode="SCALE TO FIT", PresentationPixelAspectRatio=[1, 1], ReferencedImageSequence=referenced(),
    )  # fmt: skip
    graphic = item(GraphicLayer="L1", ReferencedImageSequence=referenced(), TextObjectSequence=[text])
    series = item(SeriesInstanceUID="1.2.3.4.7", ReferencedImageSequence=referenced())
    return built(
        "1.2.840.10008.5.1.4.1.1.11.1", "PR", PresentationCreationDate="20200102", PresentationCreationTime="101112",
        ContentLabel="LABEL", ContentDescription="", ContentCreatorName="Roe^Dr", ReferencedSeriesSequence=[series],
        DisplayedAreaSelectionSequence=[area], GraphicAnnotationSequence=[graphic],
        GraphicLayerSequence=[item(GraphicLayer="L1", GraphicLayerOrder=1)], PresentationLUTShape="IDENTITY",
    )  # fmt: skip


def key_objects() -> bytes:
    evidence = item(SeriesInstanceUID="1.2.3.4.7", ReferencedSOPSequence=referenced())
    description = item(
        RelationshipType="CONTAINS", ValueType="TEXT", TextValue="Jane Doe",
        ConceptNameCodeSequence=concept("113012", "Key Object Description"),
    )  # fmt: skip
    image = item(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=referenced())
    return built(
        "1.2.840.10008.5.1.4.1.1.88.59", "KO", ContentDate="20200101", ContentTime="101010", ValueType="CONTAINER",
        ReferencedPerformedProcedureStepSequence=[], ContinuityOfContent="SEPARATE",
        CurrentRequestedProcedureEvidenceSequence=[
            item(StudyInstanceUID="1.2.3.4.1", ReferencedSeriesSequence=[evidence])
        ],
        ConceptNameCodeSequence=concept("113000", "Of Interest"), ContentSequence=[description, image],
        ContentTemplateSequence=[item(MappingResource="DCMR", TemplateIdentifier="2010")],
    )  # fmt: skip


@needs_dciodvfy
@pytest.mark.parametrize("options", ["", "clean_graphics", "clean_structured_content"])
@pytest.mark.parametrize("build", [presentation_state, key_objects])
def test_no_presentation_state_or_key_object_gains_an_error(
    build: Callable[[], bytes], options: str, tmp_path: Path
) -> None:
    (tmp_path / "before.dcm").write_bytes(build())
    (tmp_path / "cfg.json").write_text(json.dumps({"profile": "basic", "options": options.split()}))
    output = written(build(), str(tmp_path / "cfg.json"))
    assert output is not None
    assert b"Jane" not in output
    assert gained(tmp_path / "before.dcm", output, tmp_path) == set()


KEPT_UIDS = ("1.2.840.10008.", "2.16.840.1.113883.")


def instance_uids(dataset: Dataset) -> set[str]:
    """The UIDs of instances that a data set names, at any depth."""
    found: set[str] = set()
    for element in dataset.iterall():
        if element.VR == "UI" and int(element.tag) not in DEFINITION_ATTRIBUTES:
            found |= {str(uid) for uid in ([element.value] if isinstance(element.value, str) else element.value or [])}
    return {uid for uid in found if len(uid) > 8 and not uid.startswith(KEPT_UIDS)}


def names_and_ids(dataset: Dataset) -> set[str]:
    """What names the patient and those who cared for him."""
    elements = [it for it in dataset.iterall() if it.VR == "PN" or it.keyword in ("PatientID", "AccessionNumber")]
    return {str(element.value) for element in elements if len(str(element.value)) > 4}


def test_nothing_that_identifies_is_left_in_the_bytes_of_real_files() -> None:
    found, count = [], 0
    for path in real_files():
        data = path.read_bytes()
        output = written(data, "basic")
        if output is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = dcmread(BytesIO(data), force=True)
            looked_for = (instance_uids(before) | names_and_ids(before)) - {"REMOVED"}  # a word of the marks
        count += len(looked_for)
        found += [
            (path.name, it)
            for it in looked_for
            if re.search(rb"(?<![\d.])%b(?![\d.])" % re.escape(it.encode()), output)
        ]
    assert found == []
    assert count > 200


@needs_gdcmanon
@pytest.mark.parametrize("name", ["CT_small", "MR_small", "rtplan"])
def test_whatever_gdcmanon_changes_the_profile_changes_too(name: str, tmp_path: Path) -> None:
    """gdcmanon knows the profile of 2008; what it protects must not be less protected here."""
    before, theirs = tmp_path / "before.dcm", tmp_path / "theirs.dcm"
    before.write_bytes(with_every_attribute(name))
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2"]
    subprocess.run([*key, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], capture_output=True, check=True)
    subprocess.run(["gdcmanon", "-e", "-c", tmp_path / "cert", before, theirs], capture_output=True, check=True)
    output = written(before.read_bytes(), "basic")
    assert output is not None
    changed_by_them, changed_by_us = (changed(before, it) for it in (theirs, BytesIO(output)))
    assert len(changed_by_them) > 30
    assert changed_by_them - changed_by_us == set()


def changed(before: Path, after: Path | BytesIO) -> set[str]:
    """The attributes of the top level that are gone or have another value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old, new = dcmread(before), dcmread(after)
        return {element.keyword for element in old if element.tag not in new or new[element.tag].value != element.value}
