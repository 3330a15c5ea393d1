"""The main job by the real command: what is written, what is not, what is said, and how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from conftest import COMMAND, DAMAGED, INSTANCES, NOT_COPIED, PYDICOM, RULES, Place, deid, deid_here, lay, mtimes, tree
from pydicom import dcmread

from deid_batch import progress

Finished = tuple[Place, subprocess.CompletedProcess[str]]


def test_every_dicom_file_is_written_under_its_own_name_and_nothing_else(finished: Finished) -> None:
    place, result = finished
    assert result.returncode == 1
    assert set(tree(place.out)) == set(INSTANCES)
    assert set(tree(place.source)) == {*INSTANCES, *DAMAGED, *NOT_COPIED}


def test_sources_are_not_touched(finished: Finished) -> None:
    place, _ = finished
    for name, origin in (INSTANCES | DAMAGED | NOT_COPIED).items():
        assert (place.source / name).read_bytes() == (PYDICOM / origin).read_bytes()


def test_outputs_are_deidentified_by_the_rules(finished: Finished) -> None:
    place, _ = finished
    before, after = (dcmread(folder / "PAT1/CT/IM1") for folder in (place.source, place.out))
    assert len(after.PatientID) == 64
    assert after.PatientName != before.PatientName
    assert after.StudyDate != before.StudyDate
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != before.SOPInstanceUID
    assert "StationName" not in after
    assert after.PixelData == before.PixelData


def test_one_job_and_eight_give_the_same_bytes_and_rows(place: Place, several_run: Place) -> None:
    one, eight = several_run, place._replace(source=several_run.source)
    assert eight.run("-j8").returncode == 1
    assert tree(one.out) == tree(eight.out)
    rows, others = one.rows(), eight.rows()
    assert list(rows) == list(others)
    for source, row in rows.items():
        for column in row.keys() - {"time_utc", "seconds"}:
            assert row[column] == others[source][column], (source, column)


def test_a_single_file_and_relative_paths_and_a_config_by_name(study: Place) -> None:
    study.out.mkdir()
    result = deid("run", "../dump/PAT1/MR/IM1", ".", "-c", "seed-sample", "-j1", cwd=study.out)
    assert result.returncode == 0
    assert list(tree(study.out)) == ["IM1"]
    assert list(study.rows()) == ["./IM1"]


def test_what_is_not_dicom_is_no_failure(place: Place) -> None:
    lay(place, {"sound": "CT_small.dcm"} | NOT_COPIED)
    assert place.run_here().returncode == 0
    assert list(tree(place.out)) == ["sound"]


def test_a_file_that_is_set_aside_is_one(place: Place) -> None:
    lay(place, {"sound": "CT_small.dcm", "no series": "image_dfl.dcm"})
    dataset = dcmread(place.source / "no series")
    dataset.SeriesInstanceUID = ""
    dataset.save_as(place.source / "no series")
    assert place.run_here().returncode == 1
    assert list(tree(place.out)) == ["sound"]
    row = place.rows()["./no series"]
    assert (row["status"], row["reason"], row["output"]) == ("set-aside", "no-scope-uid", "")


BAD_CALLS = {
    "run nowhere out -c seed-sample": 3,
    "run dump out -c no-such-config": 2,
    "run dump out -c bad.json": 2,
    "run dump out -c seed-sample --no-such-option": 2,
    "run dump out -c seed-sample --keys nowhere": 2,
    "run dump file -c seed-sample": 2,
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_a_call_that_can_not_be_meant_writes_nothing(study: Place, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.chdir(study.folder)
    (study.folder / "file").write_text("somebody's")
    (study.folder / "bad.json").write_text('{"dicomTagRules": [{"tag": {"VR": "PN"}, "method": "encript"}]}')
    before = tree(study.folder)
    result = deid_here(*call.split())
    assert result.returncode == BAD_CALLS[call]
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert tree(study.folder) == before
    assert not study.out.exists()


def test_dry_run_comes_to_what_a_run_comes_to_and_writes_nothing(finished: Finished, tmp_path: Path) -> None:
    done, real = finished
    temporary = tmp_path / "TMPDIR"
    temporary.mkdir()
    before = mtimes(done.folder)
    dry = done._replace(out=done.folder / "new").run("--dry-run", TMPDIR=str(temporary))
    assert dry.returncode == 1
    assert mtimes(done.folder) == before
    assert not (done.folder / "new").exists()
    assert not any(temporary.iterdir())
    assert dry.stdout.splitlines()[:-2] == real.stdout.splitlines()[:-2]
    assert dry.stdout.splitlines()[-1] == "Dry run: nothing was written"


def test_a_run_stops_once_more_files_than_allowed_have_failed(place: Place) -> None:
    lay(place, {f"{number}": "MR_truncated.dcm" for number in range(3)} | {"sound": "CT_small.dcm"})
    result = place.run_here("--max-failures", "2")
    assert result.returncode == 5
    assert "more than 2 files failed" in result.stderr
    assert list(tree(place.out)) == ["sound"]


def test_validate_output_fails_what_would_not_fit_its_vr(study: Place) -> None:
    study.configure(rules=[{"tag": {"keyword": "StationName"}, "method": "cryptohash"}])  # 64 digits in an SH of 16
    assert study.run_here("--validate-output").returncode == 1
    row = study.rows()["./PAT1/CT/IM1"]
    assert (row["status"], row["reason"], row["output"]) == ("failed", "invalid-output", "")
    assert "PAT1/CT/IM1" not in tree(study.out)


def test_summary_goes_to_stdout_and_nothing_to_stderr(finished: Finished) -> None:
    place, result = finished
    lines = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    encrypted = sum(int(row["encrypted"] or 0) for row in place.rows().values())
    expected = "written 8", "failed truncated 1", "skipped dicomdir 1", "skipped not-dicom 1", f"encrypted {encrypted}"
    for words in expected:
        assert any(line[: len(words.split())] == words.split() for line in lines), words
    assert "files/s" in result.stdout
    assert "MB/s" in result.stdout
    assert result.stderr == ""


def test_summary_names_unused_rules_drawn_keys_failures_and_the_audit_log(mixed: Place) -> None:
    unused = {"tag": {"keyword": "CountryOfResidence"}, "method": "redact"}
    mixed.configure(key=None, encryptKey="", cryptoHashKey="weak as 123", rules=[*RULES, unused])
    log = mixed.folder / ("[red]" + "a long name " * 8 + ".csv")
    result = mixed.run_here("--verbose", "--audit", log)
    lines = result.stdout.splitlines()
    never = lines[lines.index("Rules that never matched (line:column, rule):") + 1 :]
    assert any("CountryOfResidence redact" in line for line in never)
    assert not any("PatientID" in line for line in never)
    (drawn,) = [line for line in lines if line.startswith("Keys drawn at random")]
    assert set(drawn.split(": ")[1].split(", ")) == {"dateShiftKey", "encryptKey", "uidKey", "perturbKey"}
    assert any("the file ends inside a data element" in line for line in lines)
    assert f"Audit log: {log}" in lines
    assert log.exists()
    assert "cryptoHashKey: warning: a weak key" in result.stderr
    assert "weak as 123" not in result.stdout + result.stderr


def test_quiet_says_nothing_but_why_nothing_was_done(study: Place) -> None:
    study.configure(key="short")
    result = study.run_here("--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    refused = study._replace(source=study.folder / "nowhere").run_here("-q")
    assert (refused.returncode, refused.stdout, refused.stderr) == (3, "", "deid-batch: SOURCE does not exist\n")


def test_overwrite_does_everything_again_and_leaves_nothing_of_what_fails_now(study: Place) -> None:
    assert study.run_here().returncode == 0
    before, contents = mtimes(study.out), tree(study.out)
    shutil.copyfile(PYDICOM / "MR_truncated.dcm", study.source / "PAT1/CT/IM1")
    assert study.run_here("--overwrite").returncode == 1
    del contents["PAT1/CT/IM1"]
    assert tree(study.out) == contents
    assert all(written > before[name] for name, written in mtimes(study.out).items())


def test_out_that_nobody_knows_is_refused_unless_overwrite(study: Place) -> None:
    (study.out / "PAT1/CT/IM1").mkdir(parents=True)
    (study.out / "PAT2").write_text("somebody's")
    assert study.run_here().returncode == 2
    assert tree(study.out) == {"PAT2": b"somebody's"}
    assert not study.work.exists()
    assert study.run_here("--overwrite").returncode == 1
    assert set(tree(study.out)) == {"PAT2", "PAT1/MR/IM1", "PAT1/MR/IM2", "PAT1/MR/IM3.txt"}
    failed = {source for source, row in study.rows().items() if row["reason"] == "name-collision"}
    assert failed == {f"./{name}" for name in INSTANCES if "MR" not in name}
    assert not (study.work / "tmp").exists()


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_run_needs_nobody_who_listens(study: Place, closed: str) -> None:
    command = f'exec "$0" run "$1" "$2" -c seed-sample -j1 {closed}>&-'
    run = subprocess.run(["sh", "-c", command, COMMAND, study.source, study.out], capture_output=True, check=False)
    assert (run.returncode, run.stderr[:9]) == (0, {"1": b"deid-batc", "2": b""}[closed])
    assert set(tree(study.out)) == set(INSTANCES)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_summary_that_can_not_be_written_is_no_traceback(finished: Finished) -> None:
    place, _ = finished
    with open("/dev/full", "wb") as full:
        process = place.start("--dry-run", stdout=full)
        _, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (5, "deid-batch: stopped: No space left on device\n")


def test_version() -> None:
    assert deid("--version").stdout.startswith("deid-batch 0.")


def test_a_terminal_sees_a_bar_with_files_bytes_and_failures(mixed: Place) -> None:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = mixed.start(stderr=follower)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the far end is closed
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    process.communicate(timeout=300)
    assert process.returncode == 1
    last = shown.decode().replace("\r", "\n").strip().splitlines()[-1]
    assert re.match(r"de-identify: 100%\|.*\| 9/9 \[.*files/s, 0 MB, 1 failed\]", last), last
    assert "scan: 100%" in shown.decode()
    assert "IM1" not in shown.decode()


def test_without_a_terminal_there_is_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    with progress.Progress().phase("de-identify", 1000) as advance:
        for second in range(1, 131):
            clock = 1000.0 + second
            advance(2, 1_500_000, int(second == 5))
    assert capsys.readouterr().err.splitlines() == [
        "de-identify: 120 of 1000 files, 90 MB, 1 failed, 2 files/s, about 7 min left",
        "de-identify: 240 of 1000 files, 180 MB, 1 failed, 2 files/s, about 6 min left",
    ]


def test_no_progress_shows_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0)
    with progress.Progress(shown=False).phase("scan", 10) as advance:
        advance(10, 10, 0)
    assert capsys.readouterr().err == ""
