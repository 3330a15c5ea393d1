"""Files that kill or hang their worker process: each costs itself, a bounded number of workers, and nothing else."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import pytest
from conftest import Place, lay, tree

from deid_batch import batch, pool, worker
from deid_batch.config import load_config
from deid_batch.plan import Job
from deid_batch.pool import local_pool, run_jobs
from deid_batch.progress import Progress
from deid_batch.rules import RuleSet
from deid_batch.worker import JobResult, Setting

pytestmark = pytest.mark.slow
TIMEOUT = 0.2
SETTING = Setting(b"", b"", b"", RuleSet((), b"key", "SeriesInstance", frozenset()), file_timeout=TIMEOUT)
DEATHS_OF_ONE_FILE = 4
"""Its job's among others and alone, then its own two."""


def killed_for_want_of_memory() -> None:
    """What the kernel does to a process when memory has run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def segmentation_fault() -> None:
    """What a defect of a codec does."""
    ctypes.string_at(0)


def end_of_process() -> None:
    os._exit(3)


def endless_loop() -> None:
    while True:
        pass


def hanging_library() -> None:
    """A call into C that does not come back and lets no other Python code run."""
    ctypes.PyDLL(None).pause()


POISONS = {
    function.__name__.encode(): function
    for function in (
        killed_for_want_of_memory,
        segmentation_fault,
        end_of_process,
        endless_loop,
        hanging_library,
    )
}


def meet(job: Job) -> JobResult:
    """A task that takes what the names of files say: `<poison> <where to count>` is deadly, `once …` the first time."""
    assert worker._worker is not None
    for path in job.paths:
        kind, _, place = path.partition(b" ")
        poison = POISONS.get(kind.removeprefix(b"once-"))
        if poison and not (kind.startswith(b"once-") and os.path.exists(place)):
            with open(place, "ab") as deaths:
                deaths.write(b"x")
            with worker._worker._timed():
                poison()
    return JobResult([(path, ("done",)) for path in job.paths])


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pool._TASKS, "meet", meet)


def met(paths: list[bytes], size: int, workers: int = 2) -> tuple[list[bytes], list[bytes]]:
    """(files done, files lost) when jobs of so many files are done."""
    jobs = [Job(tuple(paths[start : start + size])) for start in range(0, len(paths), size)]
    done, lost = [], []
    with local_pool(workers, SETTING) as local:
        for job, result in run_jobs(local, "meet", iter(jobs), lambda: True):
            if result is None:
                lost += job.paths
            else:
                done += [path for path, _ in result.rows]
    return done, lost


def among(poisons: list[bytes], files: int) -> list[bytes]:
    """So many files, with deadly ones spread among them."""
    paths = [b"file %d" % number for number in range(files)]
    for number, poison in enumerate(poisons, 1):
        paths[number * files // (len(poisons) + 1)] = poison
    return paths


def deaths(poison: bytes) -> int:
    return os.path.getsize(poison.partition(b" ")[2])


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind.startswith((b"killed", b"hanging")) else pytest.param(kind, marks=pytest.mark.slow)
        for kind in POISONS
    ],
    ids=bytes.decode,
)
def test_a_file_that_ends_its_worker_is_the_only_one_of_200_lost(
    tmp_path: Path, kind: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    poison = kind + b" " + os.fsencode(tmp_path / "deaths")
    paths = among([poison], 200)
    done, lost = met(paths, size=16)
    assert lost == [poison]
    assert sorted(done) == sorted(set(paths) - {poison})
    assert deaths(poison) == DEATHS_OF_ONE_FILE
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_several_deadly_files_cost_a_bounded_number_of_workers_each(tmp_path: Path) -> None:
    poisons = [kind + b" " + os.fsencode(tmp_path / kind.decode()) for kind in POISONS]
    paths = among(poisons, 300)
    done, lost = met(paths, size=64)
    assert sorted(lost) == sorted(poisons)
    assert sorted(done) == sorted(set(paths) - set(poisons))
    assert all(2 <= deaths(poison) <= DEATHS_OF_ONE_FILE for poison in poisons)


def test_a_file_whose_worker_was_killed_for_other_reasons_is_done_after_all(tmp_path: Path) -> None:
    unlucky = b"once-killed_for_want_of_memory " + os.fsencode(tmp_path / "deaths")
    paths = among([unlucky], 40)
    done, lost = met(paths, size=8)
    assert (sorted(done), lost) == (sorted(paths), [])
    assert deaths(unlucky) == 1


def deidentify_or_die(job: Job) -> JobResult:
    if any(path.startswith(b"deadly") for path in job.paths):
        segmentation_fault()
    return worker.deidentify(job)


def test_a_file_that_ends_its_worker_is_a_row_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(place, {"deadly": "CT_small.dcm", "a": "CT_small.dcm", "sub/z": "MR_small.dcm"})
    monkeypatch.setitem(pool._TASKS, "deidentify", deidentify_or_die)
    options = batch.Options(str(place.source), str(place.out), 1, str(place.work), str(place.audit))
    summary = batch.run_batch(load_config(str(place.config)), options, Progress(shown=False))
    assert (summary.exit_code, summary.stopped) == (1, "")
    assert {name: (row["status"], row["reason"]) for name, row in place.rows().items()} == {
        "./a": ("written", ""),
        "./deadly": ("failed", "worker-died"),
        "./sub/z": ("written", ""),
    }
    assert sorted(tree(place.out)) == ["a", "sub/z"]
    assert not (place.work / "tmp").exists()


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_given_up_and_the_run_goes_on(place: Place) -> None:
    lay(place, {"sound": "CT_small.dcm", "z": "MR_small.dcm"})
    sound = (place.source / "sound").read_bytes()
    items = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * (1 << 20)
    sequence = b"\xe1\x7f\x10\x10SQ\x00\x00" + len(items).to_bytes(4, "little") + items
    (place.source / "endless").write_bytes(sound[: sound.index(b"\xfc\xff\xfc\xff")] + sequence)
    result = place.run("--file-timeout", "0.5", "-j2")
    assert (result.returncode, result.stderr) == (1, "")
    assert {name: row["reason"] for name, row in place.rows().items()} == {
        "./endless": "worker-died", "./sound": "", "./z": "",
    }  # fmt: skip
    assert sorted(tree(place.out)) == ["sound", "z"]
    assert place.run_here("--file-timeout", "0").returncode == 0
    assert sorted(tree(place.out)) == ["endless", "sound", "z"]
