"""The crosswalk: which IDs and UIDs became which, as they were really written, for nobody but who keeps it."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import PYDICOM, RULES, Place, lay, tree
from pydicom import dcmread

PATIENTS, UIDS = "patid_mapping.csv", "uid_mapping.csv"


def read(path: Path) -> list[tuple[str, str]]:
    """A list's pairs, as the README says that they are to be read."""
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["id_old", "id_new"]
    assert len(rows) == len({tuple(row) for row in rows})
    found = [(old.removeprefix("'"), new.removeprefix("'")) for old, new in rows]
    assert found == sorted(found)
    return found


def truth(place: Place) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """The pairs that inputs and outputs have, by pydicom."""
    patients, uids = set(), set()
    for source, row in place.rows().items():
        if row["status"] == "written":
            old, new = dcmread(place.source / source), dcmread(place.out / row["output"])
            if old.get("PatientID") and new.get("PatientID"):
                patients.add((str(old.PatientID).strip(), str(new.PatientID)))
            for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                if old.get(name) and new.get(name):
                    uids.add((str(old[name].value), str(new[name].value)))
    return patients, uids


@pytest.mark.parametrize("names", ["mirror", "uid"])
def test_it_holds_what_was_really_written(study: Place, names: str) -> None:
    rule = {"tag": {"keyword": "PatientID"}, "method": "substitute", "replaceWith": "=X", "when": {"Modality": "MR"}}
    study.configure(rules=[rule, *RULES])
    folder = study.folder / "crosswalk"
    result = study.run("--crosswalk", folder, "--names", names, "-j2")
    assert result.returncode == 0
    assert f"Crosswalk: {folder}" in result.stdout
    patients, uids = truth(study)
    assert set(read(folder / PATIENTS)) == patients
    assert set(read(folder / UIDS)) >= uids
    assert ("4MR1", "=X") in patients
    assert "'=X" in (folder / PATIENTS).read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert sorted(os.listdir(folder)) == [PATIENTS, UIDS]


def test_it_is_complete_after_several_runs_and_says_what_is_missing(study: Place) -> None:
    late = study.folder / "late"
    os.rename(study.source / "PAT1/CT", late)
    assert study.run_here().returncode == 0
    folder = study.folder / "crosswalk"
    os.rename(late, study.source / "PAT1/CT")
    assert study.run_here("--crosswalk", folder).returncode == 0
    lists = tree(folder)
    assert set(read(folder / PATIENTS)) == truth(study)[0]
    shutil.rmtree(folder)
    (study.source / "PAT1/CT/IM1").unlink()
    result = study.run_here("--crosswalk", folder)
    assert "missing" not in result.stdout
    assert tree(folder) == lists, "what is gone from SOURCE was kept"

    fresh = study._replace(out=study.folder / "fresh", work=study.folder / "fresh.deid")
    assert fresh.run_here().returncode == 0
    (fresh.source / "PAT1/MR/IM1").unlink()
    assert "1 files that are gone from SOURCE are missing" in fresh.run_here("--crosswalk", folder).stdout


def test_without_being_asked_for_nothing_of_it_is_kept(study: Place) -> None:
    assert study.run_here().returncode == 0
    ledger = (study.work / "ledger.sqlite").read_bytes()
    for name in tree(study.source):
        assert str(dcmread(study.source / name).SOPInstanceUID).encode() not in ledger


@pytest.mark.parametrize("where", ["out/crosswalk", "dump/crosswalk", "out", "config.json"])
def test_it_lies_outside_source_and_out(study: Place, where: str) -> None:
    result = study.run_here("--crosswalk", study.folder / where)
    assert result.returncode == 2
    assert not study.out.exists()


# ---- encrypted ----


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate for it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("owner")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=owner"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


def opened(sealed: Path, owner: Path) -> str:
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", sealed, "-inkey", owner / "key.pem"]
    done = subprocess.run([*command, "-recip", owner / "cert.pem", "-binary"], capture_output=True, check=True)
    return done.stdout.decode()


def test_it_can_be_sealed_so_that_openssl_opens_it_and_no_plain_text_is_left_anywhere(
    study: Place, owner: Path
) -> None:
    plain, folder = study.folder / "plain", study.folder / "sealed"
    other = study._replace(out=study.folder / "other", work=study.folder / "other.deid")
    assert other.run_here("--crosswalk", plain).returncode == 0
    options = ("--crosswalk", folder, "--crosswalk-certificate", owner / "cert.pem")
    assert study.run_here(*options).returncode == 0
    assert sorted(os.listdir(folder)) == [f"{PATIENTS}.p7m", f"{UIDS}.p7m"]
    for name in (PATIENTS, UIDS):
        assert opened(folder / f"{name}.p7m", owner) == (plain / name).read_bytes().decode()
    for path in [*folder.iterdir(), *study.work.iterdir()]:
        for old, _ in read(plain / UIDS):
            assert old.encode() not in path.read_bytes()
    described = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", folder / f"{UIDS}.p7m"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "aes-256-cbc" in described
    first = tree(folder)
    (study.source / "PAT1/CT/IM1").unlink()
    assert "kept beside it" in " ".join(study.run_here(*options).stdout.split())
    assert first.items() <= tree(folder).items()
    assert len(tree(folder)) == 4


@pytest.mark.parametrize("text", ["no certificate", ""])
def test_what_is_no_certificate_is_told_before_anything_is_done(study: Place, text: str) -> None:
    (study.folder / "cert.pem").write_text(text)
    options = ("--crosswalk", study.folder / "c", "--crosswalk-certificate", study.folder / "cert.pem")
    result = study.run_here(*options)
    assert (result.returncode, study.out.exists()) == (2, False)
    assert "certificate" in result.stderr
    lay(study, {"x": "CT_small.dcm"})
    assert study.run_here(*options[2:]).returncode == 2
    assert PYDICOM.exists()
