"""`verify` over whole trees, `run --verify`, and false alarms that a config lists."""

from __future__ import annotations

import csv
import json
import os
import resource
import stat
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import PYDICOM, Place, deid, deid_here, lay, new_place, tree
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.config import read_config
from deid_batch.config.ignored import KINDS
from deid_batch.selectors import TagIs

BASIC = {"profile": "basic", "burnedIn": "allow", "encapsulatedDocuments": "keep"}
MOVING = {**BASIC, "options": ["retain_long_modified_dates"], "parameters": {"dateShiftScope": "Patient"}}
FILES = {
    "PAT1/CT/IM1": "CT_small.dcm",
    "PAT1/MR/IM1": "MR_small.dcm",
    "PAT1/MR/IM2": "MR_small_bigendian.dcm",
    "PAT2/RT/plan": "rtplan.dcm",
    "PAT2/SR/report": "reportsi.dcm",
}


def made(place: Place, config: dict[str, Any] = BASIC, *options: object) -> Place:
    """A finished run by a config."""
    place.config.write_text(json.dumps(config))
    assert place.run_here(*options).returncode == 0
    return place


def verified(place: Place, *options: object) -> tuple[int, str]:
    """(exit code, what is said) of `verify` by the same config, in this process and without workers."""
    return verify_here(place.source, place.out, "-c", place.config, "--work", place.work, *options)


def verify_here(*arguments: object) -> tuple[int, str]:
    result = deid_here("verify", *arguments)
    return result.returncode, result.stdout + result.stderr


def report(place: Place) -> list[dict[str, str]]:
    with open(place.work / "verify.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def found(place: Place) -> set[tuple[str, str]]:
    return {(row["output"], row["finding"]) for row in report(place)}


def change(path: Path, **values: object) -> None:
    """Set attributes of a file."""
    data_set = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    data_set.save_as(path)
    data = path.read_bytes()
    path.write_bytes(bytes(128) + data[128:])


@pytest.fixture
def patient(place: Place) -> Place:
    """Two files of one patient, of which one refers to the other."""
    lay(place, {"CT/IM1": "CT_small.dcm", "CT/IM2": "CT_small.dcm"})
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = "1.2.826.0.1.99.4711.2"
    for name, uid, more in (("CT/IM1", "1.2.826.0.1.99.4711.1", [reference]), ("CT/IM2", "1.2.826.0.1.99.4711.2", [])):
        path = place.source / name
        change(path, PatientName="Okonkwo^Ada", PatientID="4711-0815", SOPInstanceUID=uid, ReferencedImageSequence=more)
        change(path, StudyDate="20040119", ContentDate="20040123")
    change(place.source / "CT/IM2", OtherPatientNames="Lindqvist^Ada")
    return place


def test_a_clean_run_is_passed_over_in_silence(place: Place) -> None:
    lay(place, FILES)
    made(place)
    code, said = verified(place)
    assert (code, report(place)) == (0, [])
    assert "5 files compared, paired by the ledger: nothing was found" in said
    assert stat.S_IMODE((place.work / "verify.csv").stat().st_mode) == 0o600
    assert not list(place.work.glob("verify-*"))


def test_a_dicomdir_of_a_clean_run_is_clean_too(place: Place) -> None:
    lay(place, {"CT1": "CT_small.dcm", "MR1": "MR_small.dcm"})
    made(place, BASIC, "--dicomdir")
    assert (place.out / "DICOMDIR").exists()
    assert verified(place)[0] == 0
    directory = pydicom.dcmread(place.out / "DICOMDIR")
    directory.DirectoryRecordSequence[0].PatientName = "CompressedSamples^CT1"
    directory.save_as(place.out / "DICOMDIR")
    assert verified(place)[0] == 4
    assert found(place) == {("./DICOMDIR", "person")}


def test_what_another_file_tells_of_the_patient_is_looked_for(patient: Place) -> None:
    made(patient)
    change(patient.out / "CT/IM1", ImageComments="Lindqvist")
    code, said = verified(patient)
    assert code == 4
    assert ("./CT/IM1", "person") in found(patient)
    assert "Lindqvist" not in said + (patient.work / "verify.csv").read_text()


def test_a_file_that_was_changed_is_told_by_its_digest(patient: Place) -> None:
    made(patient)
    change(patient.out / "CT/IM1", ImageComments="nothing")
    assert verified(patient)[0] == 4
    assert ("./CT/IM1", "digest") in found(patient)


def test_files_that_are_missing_or_that_nothing_accounts_for(patient: Place) -> None:
    made(patient)
    (patient.out / "CT/IM2").unlink()
    (patient.out / "notes.txt").write_text("x")
    assert verified(patient)[0] == 4
    assert found(patient) == {("./CT/IM2", "missing"), ("./notes.txt", "unaccounted")}


def test_a_reference_that_leads_nowhere(patient: Place) -> None:
    made(patient, {**BASIC, "dicomTagRules": [{"tag": {"keyword": "ReferencedImageSequence"}, "method": "keep"}]})
    assert verified(patient)[0] == 0
    output = patient.out / "CT/IM1"
    data_set = pydicom.dcmread(output)
    data_set.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "2.25.1234"
    data_set.save_as(output)
    assert verified(patient)[0] == 4
    assert ("./CT/IM1", "reference") in found(patient)


def test_two_instances_under_one_uid(patient: Place) -> None:
    made(patient)
    uid = pydicom.dcmread(patient.out / "CT/IM1").SOPInstanceUID
    change(patient.out / "CT/IM2", SOPInstanceUID=uid)
    assert verified(patient)[0] == 4
    assert ("./CT/IM2", "reference") in found(patient)


def test_files_of_a_patient_that_were_moved_by_different_days(patient: Place) -> None:
    made(patient, MOVING)
    assert verified(patient)[0] == 0
    moved = pydicom.dcmread(patient.out / "CT/IM2")
    for element in moved.iterall():
        if element.VR == "DA" and element.value:
            element.value = f"{int(element.value[:4]) + 4}{element.value[4:]}"
    moved.save_as(patient.out / "CT/IM2")
    assert verified(patient)[0] == 4
    assert "interval" in {kind for _, kind in found(patient)}


def test_what_no_rule_mentions_and_identifies_is_a_finding(patient: Place) -> None:
    made(patient, {"dicomTagRules": [{"tag": {"keyword": "PatientName"}, "method": "remove"}]})
    assert verified(patient)[0] == 4
    assert {"id", "person", "uid"} <= {kind for _, kind in found(patient)}


def test_what_a_rule_keeps_is_none(patient: Place) -> None:
    kept = [{"tag": {"keyword": word}, "method": "keep"} for word in ("PatientID", "OtherPatientNames")]
    rules = [*kept, {"tag": {"VR": "PN"}, "method": "redact"}]
    made(patient, {"dicomTagRules": rules})
    assert verified(patient)[0] == 4
    places = {row["place"] for row in report(patient)}
    assert not any("PatientID" in place or "OtherPatientNames" in place for place in places)
    assert any("StudyInstanceUID" in place for place in places)


def test_outputs_of_others_are_paired_by_their_names(patient: Place, tmp_path: Path) -> None:
    made(patient)
    other = tmp_path / "other"
    patient.out.rename(other)
    code, said = verify_here(patient.source, other, "-c", patient.config)
    assert code == 0
    assert "2 files compared, paired by their names" in said
    change(other / "CT/IM1", ImageComments="Okonkwo")
    assert verify_here(patient.source, other, "-c", patient.config, "-q") == (4, "")


def test_the_report_does_not_depend_on_the_number_of_jobs(place: Place) -> None:
    lay(place, FILES)
    made(place)
    reports = []
    change(place.out / "PAT1/CT/IM1", ImageComments="CompressedSamples")
    for run, jobs in ((deid_here, 1), (deid, 2)):
        result = run("verify", place.source, place.out, "-c", place.config, "--work", place.work, f"-j{jobs}")
        assert result.returncode == 4, result.stderr
        reports.append((place.work / "verify.csv").read_bytes())
    assert reports[0] == reports[1]


def test_it_leaves_out_and_ledger_as_they_are(patient: Place) -> None:
    made(patient)
    before = tree(patient.out), patient.audit.read_bytes()
    assert verified(patient)[0] == 0
    assert (tree(patient.out), patient.audit.read_bytes()) == before
    assert patient.run_here().returncode == 0


# ---- wrong calls ----


def test_another_config_than_the_run_s_is_refused(patient: Place) -> None:
    made(patient)
    code, said = verify_here(patient.source, patient.out, "--work", patient.work, "-c", "keep-uids")
    assert code == 2
    assert "OUT was made with a different config" in said


@pytest.mark.parametrize("where", ["out", "source"])
def test_a_report_within_source_or_out_is_refused(where: str, patient: Place) -> None:
    made(patient)
    code, said = verified(patient, "--report", getattr(patient, where) / "report.csv")
    assert code == 2
    assert "the report must lie outside SOURCE and OUT" in said


def test_a_report_takes_the_place_of_a_report_only(patient: Place) -> None:
    made(patient)
    precious = patient.folder / "precious.csv"
    precious.write_text("a,b\n")
    assert verified(patient, "--report", precious)[0] == 2
    assert precious.read_text() == "a,b\n"
    assert verified(patient, "--report", patient.folder / "report.csv")[0] == 0
    assert verified(patient, "--report", patient.folder / "report.csv")[0] == 0


def test_no_source_and_no_out(patient: Place) -> None:
    assert verify_here(patient.folder / "none", patient.out)[0] == 3
    assert verify_here(patient.source, patient.folder / "none")[0] == 2


def test_a_file_that_can_t_be_read_is_a_finding(patient: Place) -> None:
    made(patient)
    output = patient.out / "CT/IM1"
    output.write_bytes(output.read_bytes()[:700])
    output.chmod(0o600)
    assert verified(patient)[0] == 4
    assert ("./CT/IM1", "transfer-syntax") in found(patient)
    output.unlink()
    output.symlink_to("nowhere")
    assert verified(patient)[0] == 4
    assert ("./CT/IM1", "unreadable") in found(patient)


def test_a_ledger_that_is_none(patient: Place) -> None:
    made(patient)
    (patient.work / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    code, said = verified(patient)
    assert code == 5
    assert "the ledger can't be used" in said


@pytest.mark.parametrize("command", ["run", "verify"])
def test_what_a_killed_check_knew_is_taken_away(command: str, patient: Place) -> None:
    made(patient)
    left = patient.work / "verify-xyz"
    left.mkdir()
    (left / "facts.sqlite").write_text("Okonkwo")
    assert (patient.run_here().returncode if command == "run" else verified(patient)[0]) == 0
    assert not left.exists()


# ---- run --verify ----

RULE = {"tag": {"keyword": "ContentDescription"}, "method": "substitute", "replaceWith": "an Okonkwo sign, 4711-0815"}
LEAKY = {**BASIC, "dicomTagRules": [RULE]}
"""A rule of the user's that tells what is known."""


def test_run_verify_lets_clean_files_pass(patient: Place) -> None:
    made(patient, BASIC, "--verify")
    assert len(tree(patient.out)) == 2


def test_a_file_in_which_something_is_found_never_appears(patient: Place) -> None:
    change(patient.source / "CT/IM1", ContentDescription="something")
    patient.config.write_text(json.dumps(LEAKY))
    result = patient.run_here("--verify")
    assert result.returncode == 4
    row = patient.rows()["./CT/IM1"]
    assert (row["status"], row["reason"], row["output"]) == ("failed", "leak-found", "")
    assert "person at (0070,0081) ContentDescription" in row["detail"]
    assert "Okonkwo" not in patient.audit.read_text() + result.stdout + result.stderr
    assert set(tree(patient.out)) == {"CT/IM2"}
    assert not any((patient.work / "tmp").rglob("*")) if (patient.work / "tmp").exists() else True


def test_a_run_with_it_is_not_continued_without(patient: Place) -> None:
    made(patient, BASIC, "--verify")
    result = patient.run_here()
    assert result.returncode == 2
    assert "OUT was begun with a different verify" in result.stderr


# ---- false alarms ----


def test_false_alarms_are_listed_by_tag_and_kind(patient: Place) -> None:
    change(patient.source / "CT/IM1", ContentDescription="something")
    made(patient, LEAKY)
    assert verified(patient)[0] == 4
    assert found(patient) == {("./CT/IM1", kind) for kind in ("person", "id", "mark")}
    for ignored, left in (
        (["(0070,0081)"], set()),
        (["contentdescription"], set()),
        ([{"tag": "ContentDescription", "kinds": ["person"]}], {"id", "mark"}),
        ([{"tag": "ContentDescription", "kinds": ["Person", "ID"]}], set()),
        (["ImageComments"], {"person", "id", "mark"}),
    ):
        patient.config.write_text(json.dumps({**LEAKY, "verify": {"ignore": ignored}}))
        verified(patient)
        assert {kind for _, kind in found(patient)} == left, ignored


WRONG = {
    '{"verify": 1}': "verify must be an object",
    '{"verify": {"ignor": []}}': "did you mean 'ignore'",
    '{"verify": {"ignore": "x"}}': "ignore must be a list",
    '{"verify": {"ignore": ["BodyPartExamind"]}}': "did you mean 'BodyPartExamined'",
    '{"verify": {"ignore": [3]}}': "must be a string",
    '{"verify": {"ignore": [{"kinds": ["id"]}]}}': "has no 'tag'",
    '{"verify": {"ignore": [{"tag": "PatientID", "kind": ["id"]}]}}': "did you mean 'kinds'",
    '{"verify": {"ignore": [{"tag": "PatientID", "kinds": []}]}}': "kinds must be a list",
    '{"verify": {"ignore": [{"tag": "PatientID", "kinds": ["persons"]}]}}': "did you mean 'person'",
}


@pytest.mark.parametrize("written", WRONG)
def test_mistakes_among_false_alarms_have_their_places(written: str, tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text(written.replace("{", '{"profile": "basic", ', 1))
    lines = [line for line in read_config(str(path)).lines if "warning" not in line]
    assert len(lines) == 1
    assert WRONG[written] in lines[0]
    assert lines[0].startswith("cfg.json:1:")


DIALECTS = ['"dicomTagRules": [{"tag": {"VR": "PN"}, "method": "keep"}]', '"rules": [{"tag": "PN", "method": "keep"}]']


@pytest.mark.parametrize("dialect", [*DIALECTS, '"profile": "basic"'])
def test_false_alarms_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text("{" + dialect + ', "verify": {"ignore": ["PatientID", {"tag": "LO", "kinds": ["uid"]}]}}')
    config = read_config(str(path)).config
    assert config is not None
    first, second = config.false_alarms
    assert (first.selector, first.kinds) == (TagIs(0x00100020), frozenset(KINDS))
    assert second.kinds == {"uid"}


def test_check_shows_false_alarms(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    ignored = ["(0070,0081)", {"tag": "LO", "kinds": ["uid", "id"]}]
    path.write_text(json.dumps({"profile": "basic", "verify": {"ignore": ignored}}))
    said = CliRunner().invoke(app, ["check", str(path)]).stdout
    assert "The leak check ignores everything in (0070,0081) ContentDescription\n" in said
    assert "The leak check ignores id, uid in VR LO\n" in said


# ---- memory ----


@pytest.mark.slow
def test_memory_is_flat_for_large_files(tmp_path: Path) -> None:
    place = new_place(tmp_path)
    data_set = pydicom.dcmread(PYDICOM / "CT_small.dcm")
    size = 400 << 20
    data_set.NumberOfFrames = size // (128 * 128 * 2)
    data_set.PixelData = b"\0\0"
    del data_set[0xFFFCFFFC]
    data_set.save_as(place.source / "large")
    with open(place.source / "large", "r+b") as file:
        file.seek(-6, os.SEEK_END)
        file.write(size.to_bytes(4, "little"))
        file.truncate(file.tell() + size)
    made(place)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code, said = verified(place)
    assert (code, report(place)) == (0, []), said
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < size // 4
