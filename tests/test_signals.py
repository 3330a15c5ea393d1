"""Interruption: by Ctrl-C, by kill, by a dying worker. Whatever happens, a later run ends with the same tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Place, lay, names, tree, wait_for

from deid_batch import batch, pool, worker
from deid_batch.config import load_config
from deid_batch.errors import StoppedEarly
from deid_batch.plan import Job
from deid_batch.pool import LocalPool, local_pool, run_jobs
from deid_batch.progress import Progress
from deid_batch.rules import RuleSet
from deid_batch.worker import JobResult, Setting

pytestmark = pytest.mark.slow
PROC = Path("/proc")
needs_proc = pytest.mark.skipif(not (PROC / "self/status").exists(), reason="no /proc")
slow = pytest.mark.slow
Undisturbed = dict[str, bytes]


def wait_for_outputs(place: Place, process: subprocess.Popen[str], files: int = 1) -> None:
    wait_for(lambda: process.poll() is not None or (place.out.exists() and len(names(place.out)) >= files))
    assert process.poll() is None, "the run ended too early"


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The process ids of a run's worker processes."""
    found = []
    for status in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"resource_tracker" not in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def nobody_is_left(process: subprocess.Popen[str]) -> bool:
    """Whether the process group of a run has ended."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, stderr) of a run that leaves no process behind."""
    _, stderr = process.communicate(timeout=300)
    wait_for(lambda: nobody_is_left(process))
    return process.returncode, stderr


def holds_finished_files_only(place: Place, undisturbed: Undisturbed) -> bool:
    return all(contents == undisturbed[name] for name, contents in tree(place.out).items())


def test_interrupted_runs_let_files_finish_and_a_later_one_completes(busy: Place, undisturbed: Undisturbed) -> None:
    done = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = busy.start()
        wait_for_outputs(busy, process, done + 1)
        os.killpg(process.pid, number)
        assert ended(process) == (130, "deid-batch: interrupted; run the same command again to continue\n")
        written = tree(busy.out)
        assert done < len(written)
        assert all(contents == undisturbed[name] for name, contents in written.items())
        assert {row["output"] for row in busy.rows().values()} - {""} == {f"./{name}" for name in written}
        assert sorted(os.listdir(busy.work)) == ["audit.csv", "ledger.sqlite", "lock"]
        done = done or len(written)
    assert done < len(undisturbed)
    assert busy.run("-j2").returncode == 1
    assert tree(busy.out) == undisturbed


def test_a_second_signal_stops_at_once(busy: Place, undisturbed: Undisturbed) -> None:
    process = busy.start()
    wait_for_outputs(busy, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    code, stderr = ended(process)
    assert code == 130
    assert stderr.startswith("deid-batch: ")
    assert "Traceback" not in stderr
    assert holds_finished_files_only(busy, undisturbed)
    assert not (busy.work / "tmp").exists()


@needs_proc
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(s, marks=slow) for s in (signal.SIGINT, signal.SIGHUP))]
)
def test_a_signal_before_the_work_begins_writes_nothing(study: Place, number: signal.Signals) -> None:
    process = study.start()
    wait_for(lambda: handles(process, signal.SIGTERM))
    os.killpg(process.pid, number)
    code, stderr = ended(process)
    assert code == 130
    assert "Traceback" not in stderr
    assert not study.out.exists() or not tree(study.out)


def handles(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    lines = (PROC / str(process.pid) / "status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


@slow
@needs_proc
def test_a_run_under_nohup_goes_on_without_its_terminal(study: Place) -> None:
    process = study.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(lambda: handles(process, signal.SIGTERM))
    os.killpg(process.pid, signal.SIGHUP)
    assert ended(process)[0] == 0


@needs_proc
def test_workers_that_are_killed_are_replaced(busy: Place, undisturbed: Undisturbed) -> None:
    process = busy.start(env={**os.environ, "PATH": ""})  # nor is pgrep needed
    for files in (1, 200):
        wait_for_outputs(busy, process, files)
        wait_for(lambda: workers_of(process) or process.poll() is not None)
        for worker_pid in workers_of(process)[:1]:
            os.kill(worker_pid, signal.SIGKILL)
    assert ended(process) == (1, "")
    assert tree(busy.out) == undisturbed
    assert not any(row["reason"] == "worker-died" for row in busy.rows().values())


@needs_proc
def test_workers_do_not_outlive_a_run_that_is_killed_alone(busy: Place, undisturbed: Undisturbed) -> None:
    process = busy.start(stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for_outputs(busy, process)
    process.kill()
    process.wait()
    wait_for(lambda: nobody_is_left(process))
    assert holds_finished_files_only(busy, undisturbed)


TWO, THIRTY = [0.6, 1.0], [n / 20 for n in range(30)]


@pytest.mark.parametrize("moments", [TWO, pytest.param(THIRTY, marks=slow)], ids=len)
def test_a_run_killed_at_any_moment_is_completed_by_a_later_one(
    busy: Place, undisturbed: Undisturbed, moments: list[float]
) -> None:
    for moment in moments:
        process = busy.start()
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not busy.out.exists() or holds_finished_files_only(busy, undisturbed)
        left = {name: data for name, data in tree(busy.work).items() if not name.startswith("ledger.sqlite")}
        assert b"CompressedSamples" not in b"".join(left.values())  # the patient's name: the ledger alone needs it
    assert busy.run("-j2").returncode == 1
    assert tree(busy.out) == undisturbed
    assert not (busy.work / "tmp").exists()


SETTING = Setting(b"", b"", b"", RuleSet((), b"key", "SeriesInstance", frozenset()))


def fatal(job: Job) -> JobResult:
    """A task that dies of files named deadly, and counts its deaths in them."""
    for path in job.paths:
        if b"deadly" in path:
            with open(path, "ab") as deaths:
                deaths.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
    return JobResult([(path, ("done",)) for path in job.paths])


@pytest.fixture
def fatal_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers do that for `probe`."""
    monkeypatch.setitem(pool._TASKS, "probe", fatal)


def paths_in(folder: Path, *deadly: int) -> list[bytes]:
    return [os.fsencode(folder / (f"deadly {n}" if n in deadly else f"file {n}")) for n in range(40)]


@pytest.mark.usefixtures("fatal_task")
@pytest.mark.parametrize(("size", "deadly"), [(8, (13,)), pytest.param(1, (0, 39), marks=slow)])
def test_a_file_that_kills_its_worker_is_the_only_one_lost(tmp_path: Path, size: int, deadly: tuple[int, ...]) -> None:
    paths = paths_in(tmp_path, *deadly)
    jobs = [Job(tuple(paths[start : start + size])) for start in range(0, len(paths), size)]
    with local_pool(2, SETTING) as workers:
        results = list(run_jobs(workers, "probe", jobs, lambda: True))
    lost = [path for job, result in results if result is None for path in job.paths]
    done = [path for _, result in results if result for path, _ in result.rows]
    assert sorted(lost) == sorted(path for path in paths if b"deadly" in path)
    assert sorted(done) == sorted(path for path in paths if b"deadly" not in path)
    assert all(os.path.getsize(path) >= 2 for path in lost)


@pytest.mark.usefixtures("fatal_task")
def test_workers_that_die_while_nobody_looks_are_replaced(tmp_path: Path) -> None:
    jobs = [Job((path,)) for path in paths_in(tmp_path)]
    done = []
    with local_pool(2, SETTING) as workers:
        assert isinstance(workers, LocalPool)
        for job, result in run_jobs(workers, "probe", jobs, lambda: True):
            assert result is not None
            done += job.paths
            if len(done) == 1:
                executor = workers._executor
                for pid in list(executor._processes):
                    os.kill(pid, signal.SIGKILL)
                wait_for(lambda executor=executor: executor._flags.broken)
    assert sorted(done) == sorted(path for job in jobs for path in job.paths)


def test_workers_that_can_not_be_started_stop_the_run() -> None:
    with local_pool(1, SETTING, lambda *_: os._exit(1)) as workers, pytest.raises(StoppedEarly):
        list(run_jobs(workers, "probe", [Job((b"file",))], lambda: True))


@slow
@pytest.mark.usefixtures("fatal_task")
def test_no_more_jobs_are_begun_than_are_wanted(tmp_path: Path) -> None:
    jobs = [Job((path,)) for path in paths_in(tmp_path, 0)]
    done = []
    with local_pool(1, SETTING) as workers:
        for job, _ in run_jobs(workers, "probe", iter(jobs), lambda: len(done) < 5):
            done.append(job)
    assert 5 <= len(done) <= 7


def deidentify_or_die(job: Job) -> JobResult:
    if b"deadly" in job.paths:
        os.kill(os.getpid(), signal.SIGKILL)
    return worker.deidentify(job)


def test_a_file_that_kills_its_worker_is_a_row(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(place, {"deadly": "CT_small.dcm", "a": "CT_small.dcm", "z": "MR_small.dcm"})
    monkeypatch.setitem(pool._TASKS, "deidentify", deidentify_or_die)
    options = batch.Options(str(place.source), str(place.out), 1, str(place.work), str(place.audit))
    summary = batch.run_batch(load_config(str(place.config)), options, Progress(shown=False))
    assert summary.exit_code == 1
    assert sorted(tree(place.out)) == ["a", "z"]
    assert {name: (row["status"], row["reason"]) for name, row in place.rows().items()} == {
        "./a": ("written", ""),
        "./deadly": ("failed", "worker-died"),
        "./z": ("written", ""),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_worker_whose_parent_is_gone_already_ends() -> None:
    script = "import os; from deid_batch.worker import start; start(None, os.getpid())"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 1
