"""What the machine refuses (room, OUT, open files) stops the run, which goes on later; inputs that change are rows."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import INSTANCES, Place, lay, new_place, tree, wait_for

from deid_batch import batch, dicomfile, worker
from deid_batch.plan import cut_into_jobs

At = Callable[[str, int, Callable[[], object]], None]


pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk)
    yield disk
    subprocess.run(["umount", "-l", disk], check=False)


def mount(disk: Path, *options: str) -> None:
    command = [
        shutil.which("mount") or "false",
        "-t",
        "tmpfs",
        "-o",
        ",".join(["size=3m", *options]),
        "tmpfs",
        str(disk),
    ]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """`at("_prepare", 3, action)`: something happens when the worker of this process does so for the third time.

    Jobs have two files here, so that some are finished before it happens.
    """
    monkeypatch.setattr(batch, "cut_into_jobs", partial(cut_into_jobs, max_files=2))

    def arrange(step: str, number: int, action: Callable[[], object]) -> None:
        original = getattr(worker.Worker, step)
        calls = iter(range(1, 1000))

        def stepped(self: worker.Worker, *arguments: Any) -> Any:
            if next(calls) == number:
                action()
            return original(self, *arguments)

        monkeypatch.setattr(worker.Worker, step, stepped)

    return arrange


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run makes of the study."""
    place = new_place(tmp_path_factory.mktemp("expected"))
    lay(place, INSTANCES)
    assert place.run_here().returncode == 0
    return tree(place.out)


def stopped(result: subprocess.CompletedProcess[str], why: str) -> bool:
    assert result.returncode == 5
    assert "Traceback" not in result.stderr
    message = result.stderr.splitlines()[-1]
    assert re.fullmatch(rf"deid-batch: stopped: ({why}).*; run the same command again to continue", message), message
    return True


def goes_on(place: Place, expected: dict[str, bytes], run: Callable[[], subprocess.CompletedProcess[str]]) -> bool:
    """Whether a later run ends with the right tree and one row per file, and leaves nothing else."""
    assert run().returncode == 0
    assert tree(place.out) == expected
    assert set(place.rows()) == {f"./{name}" for name in expected}
    assert sorted(os.listdir(place.work)) == ["audit.csv", "ledger.sqlite", "lock"]
    return True


@pytest.mark.parametrize("room", [1 << 20, 40 << 10], ids=["OUT does not fit", "the ledger does not fit"])
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(place: Place, small_disk: Path, room: int) -> None:
    lay(place, {f"{number:02}": "examples_palette.dcm" for number in range(7)} | {"small": "CT_small.dcm"})
    place = place._replace(out=small_disk / "out", work=small_disk / "out.deid")
    (small_disk / "ballast").write_bytes(bytes((3 << 20) - room))
    run = place.run if room > 1 << 19 else place.run_here
    assert stopped(run(), "the disk of OUT or the work directory is full, make room|the ledger can't be used")
    before = tree(place.out) if place.out.exists() else {}
    (small_disk / "ballast").unlink()
    assert place.run_here().returncode == 0
    after = tree(place.out)
    assert set(after) == {"small", *(f"{number:02}" for number in range(7))}
    assert before.items() <= after.items()
    assert sorted(os.listdir(small_disk)) == ["out", "out.deid"]


def test_an_out_that_is_a_file_system_of_its_own_is_left_with_outputs_only(study: Place, small_disk: Path) -> None:
    place = study._replace(out=small_disk)
    assert place.run_here().returncode == 0
    assert set(tree(small_disk)) == set(INSTANCES)
    assert sorted(os.listdir(small_disk)) == ["PAT1", "PAT2"]


def test_an_out_that_can_not_be_made_stops_the_run(study: Place) -> None:
    (study.folder / "file").write_text("")
    result = study._replace(out=study.folder / "file/out").run_here()
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith("deid-batch: OUT can't be made")


def test_a_read_only_out_stops_the_run_before_anything_is_read(study: Place, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    result = study._replace(out=small_disk).run_here()
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith("deid-batch: OUT can't be written to")
    assert not study.audit.exists()


def test_an_out_that_becomes_read_only_stops_the_run(
    study: Place, small_disk: Path, at: At, expected: dict[str, bytes]
) -> None:
    place = study._replace(out=small_disk)
    at("deidentify", 3, lambda: subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True))
    assert stopped(place.run_here(), "OUT or the work directory lies on a file system that can't be written to")
    assert 0 < len(tree(small_disk)) < len(INSTANCES)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert goes_on(place, expected, place.run_here)


@pytest.mark.parametrize(
    ("step", "replaced"),
    [(step, False) for step in ("deidentify", "_prepare", "published", "_make_folder")]
    + [(step, True) for step in ("deidentify", "_prepare", "published")],
)
def test_an_out_that_vanishes_stops_the_run_and_is_not_made_anew(
    study: Place, at: At, expected: dict[str, bytes], step: str, replaced: bool
) -> None:
    elsewhere = study.folder / "elsewhere"

    def vanish() -> None:
        study.out.rename(elsewhere)
        if replaced:
            study.out.mkdir()

    at(step, 3 if step != "published" else 2, vanish)
    assert stopped(study.run_here(), "OUT (can't be written to|is not there any more)")
    assert [*study.out.rglob("*")] == [] if replaced else not study.out.exists()
    assert 0 < len(tree(elsewhere)) < len(INSTANCES)
    shutil.rmtree(study.out, ignore_errors=True)
    elsewhere.rename(study.out)
    assert goes_on(study, expected, study.run_here)


def test_an_out_that_is_unmounted_stops_the_run_and_nothing_is_written_below(
    study: Place, small_disk: Path, at: At, expected: dict[str, bytes]
) -> None:
    place = study._replace(out=small_disk)
    at("deidentify", 3, lambda: subprocess.run(["umount", "-l", small_disk], check=True))
    assert stopped(place.run_here(), "OUT (can't be written to|is not there any more)")
    assert os.listdir(small_disk) == []
    mount(small_disk)
    assert goes_on(place, expected, place.run_here)


def test_an_out_that_vanishes_under_working_processes_is_not_made_anew(
    busy: Place, undisturbed: dict[str, bytes]
) -> None:
    process = busy.start()
    wait_for(lambda: len([*busy.out.glob("*/*/*")]) > 10 or process.poll() is not None)
    elsewhere = busy.folder / "elsewhere"
    busy.out.rename(elsewhere)
    stdout, stderr = process.communicate(timeout=300)
    assert stopped(subprocess.CompletedProcess("", process.returncode, stdout, stderr), "OUT can't be written to")
    assert not busy.out.exists()
    assert tree(elsewhere).items() < undisturbed.items()
    elsewhere.rename(busy.out)
    assert busy.run_here().returncode == 1
    assert tree(busy.out) == undisturbed


@pytest.mark.parametrize("files", [8, 12, *range(17, 22)])
def test_too_few_open_files_stop_the_run(study: Place, expected: dict[str, bytes], files: int) -> None:
    limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (files, files))
    process = study.start(preexec_fn=limit)
    stdout, stderr = process.communicate(timeout=300)
    if files > 17 and process.returncode == 0:
        return  # they are enough, if only just
    result = subprocess.CompletedProcess("", process.returncode, stdout, stderr)
    assert stopped(result, "too many open files, raise the limit|the ledger can't be used")
    assert goes_on(study, expected, study.run_here)


@pytest.mark.parametrize("step", ["probe", "deidentify"])
def test_workers_that_come_to_have_too_many_open_files_condemn_no_file(
    study: Place, at: At, expected: dict[str, bytes], step: str
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    at(step, 1, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1])))
    try:
        result = study.run_here()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert stopped(result, "too many open files")
    assert not any(row["status"] == "failed" for row in study.rows().values())
    assert goes_on(study, expected, study.run_here)


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(bytes(100))


def overwrite(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-4] + b"1234")
    os.utime(path, ns=(0, 0))


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


WHILE_READ = {"grows": append, "changes": overwrite, "shrinks": partial(os.truncate, length=2000)}
BEFORE_READ = {
    "vanishes": (Path.unlink, "failed", "vanished"),
    "becomes a pipe": (become_a_pipe, "skipped", "not-regular"),
    "becomes a folder": (become_a_folder, "skipped", "not-regular"),
    "becomes text": (partial(Path.write_text, data="text"), "skipped", "not-dicom"),
    "is cut off": (partial(os.truncate, length=2000), "failed", "truncated"),
}
VICTIM = "PAT2/SC/jpeg.dcm"


def only_the_victim_is_missing(place: Place, expected: dict[str, bytes], *outcome: str) -> bool:
    assert tree(place.out) == {name: data for name, data in expected.items() if name != VICTIM}
    rows = place.rows()
    assert set(rows) == {f"./{name}" for name in expected}
    row = rows[f"./{VICTIM}"]
    assert (row["status"], row["reason"]) == outcome
    assert all(row["status"] == "written" for source, row in rows.items() if source != f"./{VICTIM}")
    return True


@pytest.mark.parametrize("how", WHILE_READ)
def test_an_input_that_is_written_to_while_it_is_read_is_one_row(
    study: Place, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    original, sound = dicomfile._deidentified, (study.source / VICTIM).read_bytes()

    def disturbed(source: dicomfile.Source, *arguments: Any) -> Any:
        if source.size == len(sound):
            WHILE_READ[how](study.source / VICTIM)
        return original(source, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(dicomfile, "_deidentified", disturbed)
        assert study.run_here().returncode == 1
    assert only_the_victim_is_missing(study, expected, "failed", "changed")
    (study.source / VICTIM).write_bytes(sound)
    assert goes_on(study, expected, study.run_here)


@pytest.mark.parametrize("how", BEFORE_READ)
def test_an_input_that_is_not_what_the_scan_found_is_one_row(
    study: Place, expected: dict[str, bytes], at: At, how: str
) -> None:
    change, *outcome = BEFORE_READ[how]
    at("deidentify", 1, lambda: change(study.source / VICTIM))
    assert study.run_here().returncode == (1 if "failed" in outcome else 0)
    assert only_the_victim_is_missing(study, expected, *outcome)
    if (study.source / VICTIM).is_dir():
        (study.source / VICTIM).rmdir()
    (study.source / VICTIM).unlink(missing_ok=True)
    lay(study, {VICTIM: INSTANCES[VICTIM]})
    assert goes_on(study, expected, study.run_here)


def test_an_input_that_was_replaced_between_scan_and_turn_is_done_as_it_is_and_once_more(
    study: Place, expected: dict[str, bytes], at: At
) -> None:
    at("deidentify", 1, lambda: lay(study, {VICTIM: "SC_rgb_jpeg_gdcm.dcm"}))
    assert study.run_here().returncode == 0
    other = tree(study.out)[VICTIM]
    assert other != expected[VICTIM]
    again = study.run_here()
    assert (again.returncode, "\n1 files in" in again.stdout) == (0, True)
    assert tree(study.out) == expected | {VICTIM: other}


def without_privileges() -> None:
    """Let what is closed be closed to root too."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if os.getuid() == 0 and ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            raise OSError


@pytest.fixture
def start_unprivileged(study: Place) -> Callable[[], subprocess.CompletedProcess[str]]:
    def run() -> subprocess.CompletedProcess[str]:
        process = study.start(preexec_fn=without_privileges)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess("", process.returncode, stdout, stderr)

    try:
        subprocess.run(["true"], preexec_fn=without_privileges, check=True)
    except subprocess.SubprocessError:
        pytest.skip("root's privileges can't be given up here")
    return run


def test_inputs_that_may_not_be_read_are_rows_and_are_tried_again(
    study: Place, expected: dict[str, bytes], start_unprivileged: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    (study.source / VICTIM).chmod(0)
    (study.source / "PAT1/MR").chmod(0)
    result = start_unprivileged()
    assert (result.returncode, result.stderr) == (1, "")
    rows = study.rows()
    assert {source for source, row in rows.items() if row["reason"] == "unreadable"} == {f"./{VICTIM}", "./PAT1/MR"}
    assert set(tree(study.out)) == {name for name in INSTANCES if name != VICTIM and "MR" not in name}
    (study.source / VICTIM).chmod(0o644)
    (study.source / "PAT1/MR").chmod(0o755)
    assert goes_on(study, expected, study.run_here)


def test_an_out_that_may_not_be_written_to_stops_the_run_before_anything_is_read(
    study: Place, start_unprivileged: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    study.out.mkdir(mode=0o555)
    result = start_unprivileged()
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr == "deid-batch: OUT can't be written to\n"
    assert not study.audit.exists()
