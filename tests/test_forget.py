"""A patient is forgotten everywhere, whatever interrupts it, and stays so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, PYDICOM, Place, deid_here, tree
from pydicom import dcmread
from typer.testing import CliRunner

from deid_batch import forget as forgetting
from deid_batch.cli import app
from deid_batch.workspace import locked

JANE, PAUL = "4711-0815", "99-1"


@pytest.fixture
def two(place: Place) -> Place:
    """Two patients, one of whom has files of two issuers, and a folder of theirs in common."""
    for name, number, issuer in [
        ("Doe_Jane/1", JANE, "A"), ("Doe_Jane/2", JANE, "B"), ("both/1", JANE, "A"), ("both/2", PAUL, ""),
        ("Smith/1", PAUL, "A"),
    ]:  # fmt: skip
        instance = dcmread(PYDICOM / "MR_small.dcm")
        instance.PatientID, instance.PatientName = number, {JANE: "Doe^Jane", PAUL: "Smith^Paul"}[number]
        instance.IssuerOfPatientID = issuer
        instance.StudyInstanceUID = f"1.2.840.99.{sum(number.encode())}"
        instance.SOPInstanceUID = f"1.2.840.99.{sum(name.encode())}.7"
        (place.source / name).parent.mkdir(exist_ok=True)
        instance.save_as(place.source / name)
    return place


def forget(place: Place, patient: str, *options: str, stdin: str = "") -> tuple[int, str]:
    """(exit code, what is said)."""
    arguments = ["forget", patient, str(place.out), "--work", str(place.work), *options]
    result = CliRunner().invoke(app, arguments, input=stdin)
    return result.exit_code, result.output


def everything(place: Place) -> bytes:
    """All names and bytes of OUT, the books and the crosswalk."""
    held = b""
    for folder in (place.out, place.work, place.folder / "crosswalk"):
        for path in folder.rglob("*"):
            held += os.fsencode(path.relative_to(folder)) + b"\n" + (path.read_bytes() if path.is_file() else b"")
    return held


def test_nothing_of_a_forgotten_patient_stays_and_all_of_the_others_does(two: Place) -> None:
    crosswalk = ("--crosswalk", str(two.folder / "crosswalk"), "--dicomdir")
    assert two.run_here(*crosswalk).returncode == 0
    outputs = {source: row["output"][2:] for source, row in two.rows().items()}
    stays = {outputs["./both/2"], outputs["./Smith/1"]}
    rest = {name: data for name, data in tree(two.out).items() if name in stays}
    rows = {source: row for source, row in two.rows().items() if source in ("./both/2", "./Smith/1")}
    assert b"4711-0815" in everything(two)
    code, said = forget(two, JANE)
    assert (code, said) == (0, "Forgotten: 3 files, 3 of them outputs\n")
    assert tree(two.out) == rest
    assert two.rows() == rows
    left = everything(two)
    for trace in (b"4711-0815", b"Doe_Jane", b"both/1", outputs["./Doe_Jane/1"].encode()):
        assert trace not in left
    assert b"99-1" in (two.folder / "crosswalk/patid_mapping.csv").read_bytes()


def test_later_runs_set_the_files_aside_even_with_overwrite(two: Place) -> None:
    assert two.run_here().returncode == 0
    before = tree(two.out)
    assert forget(two, JANE)[0] == 0
    rest = tree(two.out)
    assert rest.items() < before.items()
    for options in ((), ("--overwrite",)):
        assert two.run_here(*options).returncode == 1
        assert tree(two.out).keys() == rest.keys()
        reasons = {source: row["reason"] for source, row in two.rows().items() if row["reason"]}
        assert reasons == dict.fromkeys(("./Doe_Jane/1", "./Doe_Jane/2", "./both/1"), "forgotten")
    assert forget(two, JANE) == (0, "Forgotten: 0 files, 0 of them outputs\n")


def test_an_issuer_tells_patients_of_one_id_apart(two: Place) -> None:
    assert two.run_here().returncode == 0
    assert forget(two, JANE, "--issuer", "C")[0] == 2
    assert forget(two, JANE, "--issuer", "B") == (0, "Forgotten: 1 files, 1 of them outputs\n")
    assert two.rows().keys() == {"./Doe_Jane/1", "./both/1", "./both/2", "./Smith/1"}


def test_the_new_id_and_stdin_will_do(two: Place) -> None:
    assert two.run_here().returncode == 0
    new = str(dcmread(two.out / two.rows()["./Smith/1"]["output"]).PatientID)
    assert forget(two, "-", stdin=f"{new}\n") == (0, "Forgotten: 2 files, 2 of them outputs\n")
    assert {Path(source).name for source in two.rows()} == {"1", "2"}
    assert len(two.rows()) == 3
    assert forget(two, new)[0] == 0, "as often as one likes"


@pytest.mark.parametrize("patient", ["nobody", "", "4711"])
def test_who_is_not_known_is_told_and_nothing_changes(two: Place, patient: str) -> None:
    assert two.run_here().returncode == 0
    before = tree(two.out), two.audit.read_bytes()
    code, said = forget(two, patient)
    assert code == 2
    assert "no patient of this ID" in said or "empty" in said
    assert (tree(two.out), two.audit.read_bytes()) == before


def test_a_run_under_way_is_not_disturbed(two: Place) -> None:
    assert two.run_here().returncode == 0
    with locked(str(two.work)):
        done = deid_here("forget", JANE, two.out, "--work", two.work)
    assert done.returncode == 5
    assert "another run holds OUT" in done.stderr
    assert len(two.rows()) == 5


STEPS = ["unlink_in", "withdraw_stale", "rewrite", "_forget_in_crosswalk"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("by_new_id", [False, True])
def test_one_that_was_interrupted_is_completed_by_one_more(
    two: Place, step: str, by_new_id: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two.run_here("--crosswalk", str(two.folder / "crosswalk")).returncode == 0
    outputs = {row["output"] for source, row in two.rows().items() if source in ("./both/2", "./Smith/1")}
    patient = JANE
    if by_new_id:
        patient = str(dcmread(two.out / two.rows()["./both/1"]["output"]).PatientID)
    holder = {"withdraw_stale": forgetting.FileSet, "rewrite": forgetting.AuditLog, "unlink_in": forgetting.workspace}

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(holder.get(step, forgetting), step, interrupted)
        assert forget(two, patient)[0] == 130
    assert forget(two, patient)[0] == 0
    assert {f"./{name}" for name in tree(two.out)} == outputs
    assert two.rows().keys() == {"./both/2", "./Smith/1"}
    assert b"4711-0815" not in everything(two)


def test_the_patient_need_not_be_in_the_process_list(two: Place) -> None:
    assert two.run_here().returncode == 0
    command = [COMMAND, "forget", "-", str(two.out), "--work", str(two.work)]
    done = subprocess.run(command, input=f"{PAUL}\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Forgotten: 2 files, 2 of them outputs\n")
