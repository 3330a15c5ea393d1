"""`--names uid`: outputs are called by their own new identity, whatever order they come in and however often."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import PYDICOM, RULES, Place, deid, killed, lay, mtimes, tree, wait_for
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from deid_batch.names import NOBODY, part_of

UID = ("--names", "uid")
PROFILE = {"profile": "basic", "burnedIn": "allow", "parameters": {"key": "a key that only the tests use"}}


def name_in(made: Dataset) -> str:
    uids = (made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID)
    return "/".join((part_of(made.get("PatientID") or ""), *(part_of(uid, "NO-UID") for uid in uids))) + ".dcm"


def holds_what_its_audit_log_says(place: Place) -> bool:
    written = [row for row in place.rows().values() if row["status"] == "written"]
    assert sorted(row["output"] for row in written) == sorted(f"./{name}" for name in tree(place.out))
    return True


def test_each_output_is_called_by_its_own_identity(study: Place) -> None:
    assert study.run_here(*UID).returncode == 0
    for name in tree(study.out):
        assert re.sub("-[a-z2-7]{12}.dcm$", ".dcm", name) == name_in(dcmread(study.out / name))
    assert holds_what_its_audit_log_says(study)
    assert len(tree(study.out)) == len(tree(study.source))


def test_names_tell_nothing_of_those_in_source(study: Place) -> None:
    study.config.write_text(json.dumps(PROFILE))
    assert study.run_here(*UID).returncode == 0
    shipped = " ".join(tree(study.out))
    assert not re.search("PAT|IM|CT1|MR|report|plan", shipped)


@pytest.fixture
def twins(place: Place) -> Place:
    """Files with one SOP Instance UID: byte-identical ones, different ones, and another in their folder."""
    lay(place, {"b/1": "CT_small.dcm", "a/2": "CT_small.dcm", "c/3": "CT_small.dcm", "c/4": "MR_small.dcm"})
    changed = dcmread(place.source / "c/3")
    changed.ImageComments = "the same instance with other text"
    changed.save_as(place.source / "c/3")
    return place


def test_of_files_with_one_identity_the_first_by_path_has_the_plain_name(twins: Place) -> None:
    assert twins.run(*UID, "-j2").returncode == 0
    outputs = {source: row["output"] for source, row in twins.rows().items()}
    stem = outputs["./a/2"].removesuffix(".dcm")
    assert {name for name in outputs.values() if name.startswith(stem)} == {
        outputs["./a/2"], outputs["./b/1"], outputs["./c/3"],
    }  # fmt: skip
    for copy in ("./b/1", "./c/3"):
        assert re.fullmatch(re.escape(stem) + r"-[a-z2-7]{12}\.dcm", outputs[copy])
    assert holds_what_its_audit_log_says(twins)
    assert len(tree(twins.out)) == 4


@pytest.mark.parametrize("later", ["a/2", "b/1", "c/3"])
def test_a_twin_that_comes_later_changes_nothing(twins: Place, later: str) -> None:
    assert twins.run_here(*UID).returncode == 0
    rest = twins._replace(out=twins.folder / "rest", work=twins.folder / "rest.deid")
    os.rename(twins.source / later, twins.folder / "late")
    assert rest.run_here(*UID).returncode == 0
    os.rename(twins.folder / "late", twins.source / later)
    assert rest.run_here(*UID).returncode == 0
    assert tree(rest.out) == tree(twins.out)
    assert {s: r["output"] for s, r in rest.rows().items()} == {s: r["output"] for s, r in twins.rows().items()}


def test_a_second_run_redoes_nothing_and_lost_and_changed_files_are_done_again(twins: Place) -> None:
    assert twins.run_here(*UID).returncode == 0
    first, times = tree(twins.out), mtimes(twins.out)
    assert "\n0 files in" in twins.run_here(*UID).stdout
    assert mtimes(twins.out) == times
    (twins.out / twins.rows()["./b/1"]["output"]).unlink()
    assert twins.run_here(*UID).returncode == 0
    assert tree(twins.out) == first
    shutil.copyfile(PYDICOM / "rtplan.dcm", twins.source / "b/1")
    assert twins.run_here(*UID).returncode == 0
    assert first.keys() - tree(twins.out).keys() == {name for name in first if name not in tree(twins.out)}
    assert len(tree(twins.out)) == 4
    assert holds_what_its_audit_log_says(twins)


def test_an_input_that_can_not_be_done_any_more_leaves_no_output_and_no_other_goes(twins: Place) -> None:
    assert twins.run_here(*UID).returncode == 0
    before = tree(twins.out)
    gone = twins.rows()["./b/1"]["output"][2:]
    damaged = (twins.source / "b/1").read_bytes()
    (twins.source / "b/1").write_bytes(damaged[:-1000])
    assert twins.run_here(*UID).returncode == 1
    assert tree(twins.out) == {name: data for name, data in before.items() if name != gone}


def test_another_way_to_name_for_the_same_out_is_refused_and_overwrite_leaves_nothing_of_the_first(
    study: Place,
) -> None:
    assert study.run_here().returncode == 0
    assert "a different names" in study.run_here(*UID).stderr
    assert study.run_here(*UID, "--overwrite").returncode == 0
    assert {name.count("/") for name in tree(study.out)} == {3}
    assert not any((study.out / name).exists() for name in ("PAT1", "PAT2"))


def test_a_rule_that_makes_all_instances_one_does_not_make_them_one_file(study: Place) -> None:
    rule = {"tag": {"keyword": "SOPInstanceUID"}, "method": "substitute", "replaceWith": "1.2.3"}
    study.configure(rules=[rule, *RULES])
    assert study.run_here(*UID).returncode == 0
    assert len(tree(study.out)) == len(tree(study.source))
    assert holds_what_its_audit_log_says(study)


def test_what_has_no_patient_id_is_told_apart_by_its_uids(study: Place) -> None:
    study.configure(rules=[{"tag": {"keyword": "PatientID"}, "method": "remove"}, *RULES])
    assert study.run_here(*UID).returncode == 0
    assert {name.partition("/")[0] for name in tree(study.out)} == {NOBODY}


def test_a_dicomdir_can_not_be_and_the_summary_says_why(study: Place) -> None:
    result = study.run_here(*UID, "--dicomdir")
    assert "No DICOMDIR is written: 8 of 8 names are no File IDs" in " ".join(result.stdout.split())


def test_a_dry_run_says_the_same_and_writes_nothing(study: Place) -> None:
    assert study.run_here(*UID, "--dry-run").returncode == 0
    assert not study.out.exists()


# ---- parts of paths ----

PLAIN = ["DEID-0042", "4711", "Österreich", "a b", "1.2.840.10008", "x_y+z", "患者"]
CHANGED = [
    "a/b", "..", ".", ".hidden", "a.", "con", "NUL.txt", "COM1", "a\\b", 'a"b', "a:b", "a*b?", "x" * 65, "-rf", "a\nb",
    "e\u0301", "\udcff", "~", "<>", "é" * 40,
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN)
def test_what_every_file_system_allows_stays(value: str) -> None:
    assert part_of(value) == part_of(f"  {value}\0") == value


@pytest.mark.parametrize("value", CHANGED)
def test_what_some_file_system_does_not_allow_is_changed_and_stays_apart(value: str) -> None:
    assert part_of(value) != value
    assert len({part_of(other) for other in CHANGED}) == len(CHANGED)


@pytest.mark.parametrize("value", ["", "  ", "\0", " \0"])
def test_nothing_has_a_name_of_its_own(value: str) -> None:
    assert part_of(value) == NOBODY


@given(st.text(max_size=100))
def test_a_part_is_never_dangerous(value: str) -> None:
    part = part_of(value)
    assert 0 < len(part.encode()) <= 64
    assert not set(part) & set('/\\:*?"<>|\0\n\r\t')
    assert part[0] not in "-. "
    assert part[-1] not in ". "
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part)
    assert part_of(part) == part


@given(st.text(max_size=80), st.text(max_size=80))
def test_different_values_have_different_parts(one: str, other: str) -> None:
    if one.strip("\0 ") != other.strip("\0 "):
        assert part_of(one) != part_of(other)


# ---- kills ----


@pytest.mark.slow
def test_runs_killed_at_any_moment_are_completed_by_one_more(place: Place, tmp_path: Path) -> None:
    origins = ["MR_small.dcm", "rtplan.dcm", "image_dfl.dcm", "MR_truncated.dcm", "CT_small.dcm", "rtdose.dcm"]
    lay(place, {f"P{number % 7}/{number:03}": origins[number % 6] for number in range(300)})
    whole = place._replace(out=tmp_path / "whole", work=tmp_path / "whole.deid")
    assert whole.run(*UID, "-j2").returncode == 1
    undisturbed = tree(whole.out)

    def outputs() -> int:
        return sum(len(names) for _, _, names in os.walk(place.out))

    for goal in (1, 60, 150):
        process = place.start(*UID)
        wait_for(lambda process=process, goal=goal: process.poll() is not None or outputs() >= goal)
        killed(process)
        assert tree(place.out).items() <= undisturbed.items()
    assert place.run(*UID).returncode == 1
    assert tree(place.out) == undisturbed
    assert {s: r["output"] for s, r in place.rows().items()} == {s: r["output"] for s, r in whole.rows().items()}
    assert deid("status", place.out, "--work", place.work).returncode == 0


@pytest.mark.slow
def test_what_a_killed_run_did_not_note_does_not_ship_beside_what_its_input_became(place: Place) -> None:
    data = (PYDICOM / "MR_small.dcm").read_bytes()
    uid = dcmread(PYDICOM / "MR_small.dcm").SOPInstanceUID.encode()

    def lay_generation(generation: bytes) -> None:
        for number in range(200):
            new = uid[:-6] + b"%s.%04d" % (generation, number)
            (place.source / f"{number:03}").write_bytes(data.replace(uid, new))

    lay_generation(b"1")
    process = place.start(*UID)
    wait_for(lambda: place.out.exists() and any(place.out.rglob("*.dcm")))
    killed(process)
    lay_generation(b"2")
    assert place.run(*UID).returncode == 0
    assert len(tree(place.out)) == 200
    assert holds_what_its_audit_log_says(place)
