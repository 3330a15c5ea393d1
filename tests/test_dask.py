"""A run by a real Dask cluster on loopback: the same results as with local processes, whatever happens to it."""

from __future__ import annotations

import base64
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

import pytest
from conftest import KEYS, Place, lay, mtimes, names, tree, wait_for
from dask_cluster import Cluster, started

from deid_batch import __version__
from deid_batch.config import load_config
from deid_batch.plan import Job
from deid_batch.worker import JobResult, Setting

pytestmark = pytest.mark.slow
AGAIN = "run the same command again to continue\n"
DEATHS_OF_ONE_FILE = 4
"""Its job's among others and alone, then its own two."""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("dask") / "cluster") as cluster:
        cluster.add_workers(2)
        yield cluster


@pytest.fixture
def cluster(lasting: Cluster) -> Cluster:
    """The cluster of all tests that leave it whole: its two workers are there, or there again."""
    lasting.wait_for_workers(2)
    return lasting


@pytest.fixture
def several(place: Place, several_run: Place) -> Place:
    """A place for a run of several jobs."""
    return place._replace(source=several_run.source)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of this test alone, without workers yet."""
    with started(tmp_path / "cluster") as cluster:
        yield cluster


def on(cluster: Cluster) -> list[str]:
    """The options by which a run uses a cluster."""
    return ["--backend", "dask", "--scheduler", cluster.address]


def wait_for_outputs(place: Place, process: subprocess.Popen[str], files: int = 1) -> None:
    wait_for(lambda: process.poll() is not None or (place.out.exists() and len(names(place.out)) >= files))
    assert process.poll() is None, process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, stderr) of a run."""
    _, stderr = process.communicate(timeout=300)
    return process.returncode, stderr


def books(place: Place) -> tuple[dict[str, dict[str, str]], list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What the audit log, the ledger's files and its rules say, but for times."""
    rows = place.rows()
    for row in rows.values():
        del row["time_utc"], row["seconds"]
    with closing(sqlite3.connect(place.work / "ledger.sqlite")) as ledger:
        columns = {str(column) for _, column, *_ in ledger.execute("PRAGMA table_info(file)")}
        columns -= {"time_utc", "seconds", "patient", "study", "person"}  # whose key is another in each work directory
        files = ledger.execute(f"SELECT {', '.join(sorted(columns))} FROM file ORDER BY path").fetchall()
        return rows, files, ledger.execute("SELECT * FROM rule ORDER BY number").fetchall()


def settings(place: Place) -> list[Path]:
    """The files that hold keys."""
    return list(place.work.glob("setting-*"))


def holds_finished_files_only(place: Place, undisturbed: dict[str, bytes]) -> bool:
    return all(contents == undisturbed[name] for name, contents in tree(place.out).items())


def test_a_cluster_makes_the_same_as_local_processes(several: Place, several_run: Place, cluster: Cluster) -> None:
    result = several.run(*on(cluster))
    assert (result.returncode, result.stderr) == (1, "")
    assert tree(several.out) == tree(several_run.out)
    assert books(several) == books(several_run)
    assert names(several.work) == names(several_run.work)


def test_names_and_crosswalk_are_the_same_on_a_cluster(study: Place, cluster: Cluster) -> None:
    options = ("--names", "uid", "--crosswalk")
    assert study.run(*options, study.folder / "lists").returncode == 0
    other = study._replace(out=study.folder / "other", work=study.folder / "other.deid")
    assert other.run(*options, study.folder / "other lists", *on(cluster)).returncode == 0
    assert tree(other.out) == tree(study.out)
    assert tree(study.folder / "other lists") == tree(study.folder / "lists")


def test_a_dry_run_on_a_cluster_is_done_beside_out_and_leaves_nothing(study: Place, cluster: Cluster) -> None:
    before = names(study.folder)
    process = study.start(*on(cluster), "--dry-run")
    wait_for(lambda: list(study.folder.glob("deid_batch-*/setting-*")))
    assert ended(process) == (0, "")
    assert names(study.folder) == before


@pytest.mark.parametrize("number", [1, 2])
def test_killed_workers_cost_nothing(several: Place, several_run: Place, cluster: Cluster, number: int) -> None:
    process = several.start(*on(cluster))
    wait_for_outputs(several, process, 100)
    for pid in cluster.workers()[:number]:
        os.kill(pid, signal.SIGKILL)
    assert ended(process) == (1, "")
    assert tree(several.out) == tree(several_run.out)
    assert books(several) == books(several_run)


def test_a_run_goes_on_with_the_workers_that_are_left(several: Place, several_run: Place, own_cluster: Cluster) -> None:
    own_cluster.add_workers(1)
    lost = own_cluster.add_workers(1)
    process = several.start(*on(own_cluster))
    wait_for_outputs(several, process, 100)
    os.killpg(lost.pid, signal.SIGKILL)
    assert ended(process) == (1, "")
    assert len(own_cluster.workers()) == 1
    assert tree(several.out) == tree(several_run.out)
    assert books(several) == books(several_run)


@pytest.mark.parametrize("kind", ["poison", "hanging", "stuck"])
def test_a_deadly_file_costs_itself_and_few_workers(study: Place, cluster: Cluster, kind: str) -> None:
    lay(study, {f"PAT1/MR/{kind}": "MR_small.dcm"})
    sound = names(study.source) - {f"PAT1/MR/{kind}"}
    process = study.start(*on(cluster), "--file-timeout", "0.5")
    assert ended(process) == (1, "")
    assert names(study.out) == sound
    rows = {name: (row["status"], row["reason"]) for name, row in study.rows().items()}
    assert rows == {f"./PAT1/MR/{kind}": ("failed", "worker-died")} | {f"./{n}": ("written", "") for n in sound}
    assert cluster.meetings(kind) == DEATHS_OF_ONE_FILE
    assert names(study.work) == {"audit.csv", "ledger.sqlite", "lock"}


def test_files_that_vanish_are_rows_even_when_they_are_all_of_a_job(place: Place, cluster: Cluster) -> None:
    lay(place, {"vanishing-1": "CT_small.dcm", "vanishing-2": "CT_small.dcm"})
    result = place.run(*on(cluster))
    assert (result.returncode, result.stderr) == (1, "")
    assert {name: row["reason"] for name, row in place.rows().items()} == dict.fromkeys(
        ["./vanishing-1", "./vanishing-2"], "vanished"
    )


class Wire(threading.Thread):
    """A way to a scheduler that keeps all that goes along it."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        host, _, port = address.removeprefix("tcp://").partition(":")
        self._end = host, int(port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self.sent: list[bytes] = []

    def run(self) -> None:
        while True:
            here, _ = self._door.accept()
            there = socket.create_connection(self._end)
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self.sent.append(data)
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def test_keys_do_not_travel(study: Place, cluster: Cluster) -> None:
    rules = load_config(str(study.config)).settled({}, None).rules
    keys = [KEYS["key"].encode(), *(rule.method.key for rule in rules if getattr(rule.method, "key", b""))]
    assert len(set(keys)) > 3
    forms: list[Callable[[bytes], bytes]] = [bytes, base64.b64encode, lambda key: key.hex().encode()]
    wire = Wire(cluster.address)
    wire.start()
    environ = {"DASK_DISTRIBUTED__COMM__COMPRESSION": "False"}
    result = study.run("--backend", "dask", "--scheduler", wire.address, **environ)
    assert (result.returncode, result.stderr) == (0, "")
    sent = b"".join(wire.sent)
    assert all(name.encode() in sent for name in names(study.source)), "this shows that what travels can be read"
    assert not [form(key) for key in keys for form in forms if form(key) in sent]


def test_keys_lie_in_a_private_file_while_the_run_goes_on(several: Place, cluster: Cluster) -> None:
    process = several.start(*on(cluster))
    wait_for_outputs(several, process)
    assert [path.stat().st_mode & 0o7777 for path in settings(several)] == [0o600]
    assert ended(process)[0] == 1
    assert settings(several) == []


def test_keys_that_a_killed_run_has_left_are_taken_away(several: Place, several_run: Place, cluster: Cluster) -> None:
    process = several.start(*on(cluster))
    wait_for_outputs(several, process, 50)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(settings(several)) == 1
    assert several.run_here().returncode == 1
    assert settings(several) == []
    assert tree(several.out) == tree(several_run.out)


def test_a_signal_lets_the_jobs_under_way_finish_and_leaves_none(
    busy: Place, undisturbed: dict[str, bytes], cluster: Cluster
) -> None:
    process = busy.start(*on(cluster))
    wait_for_outputs(busy, process, 100)
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process) == (130, f"deid-batch: interrupted; {AGAIN}")
    assert settings(busy) == []
    with cluster.client() as client:
        assert not any(client.processing().values())
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0
    before = mtimes(busy.out)
    assert 100 <= len(before) < len(undisturbed)
    assert holds_finished_files_only(busy, undisturbed)
    assert busy.run(*on(cluster)).returncode == 1
    assert tree(busy.out) == undisturbed
    assert before.items() <= mtimes(busy.out).items()


def test_a_second_signal_stops_at_once(busy: Place, undisturbed: dict[str, bytes], cluster: Cluster) -> None:
    lay_hanging = busy.folder / "dump" / "hanging"
    shutil.copyfile(next(path for path in busy.source.rglob("*") if path.is_file()), lay_hanging)
    process = busy._replace(source=lay_hanging.parent).start(*on(cluster), "--file-timeout", "5")
    wait_for(lambda: (cluster.folder / "hanging").exists() and busy.work.exists())
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process) == (130, f"deid-batch: stopped at once; {AGAIN}")
    assert settings(busy) == []
    assert not names(busy.out)


def test_a_scheduler_that_ends_stops_the_run_and_another_goes_on(
    busy: Place, undisturbed_run: Place, own_cluster: Cluster
) -> None:
    own_cluster.add_workers(2)
    process = busy.start(*on(own_cluster))
    wait_for_outputs(busy, process, 600)
    began = time.monotonic()
    own_cluster.scheduler.kill()
    code, stderr = ended(process)
    assert (code, stderr) == (5, f"deid-batch: stopped: the Dask scheduler is gone, or has dropped the jobs; {AGAIN}")
    assert time.monotonic() - began < 60
    assert settings(busy) == []
    before = mtimes(busy.out)
    assert busy.run("-j2").returncode == 1
    assert tree(busy.out) == tree(undisturbed_run.out)
    assert len(before.items() & mtimes(busy.out).items()) >= 64, "of what was written, a few jobs at most are redone"


IMPATIENT = """
from deid_batch import cli, daskpool
daskpool._PATIENCE_SECONDS = 1.0
cli.main()
"""


def test_a_cluster_without_workers_stops_the_run(study: Place, own_cluster: Cluster) -> None:
    command = [sys.executable, "-c", IMPATIENT, *map(str, study._command()), *on(own_cluster)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    told = f"deid-batch: stopped: the Dask cluster has had no workers for two minutes; {AGAIN}"
    assert (result.returncode, result.stderr) == (5, told)
    assert not names(study.out)


def test_workers_may_come_later(study: Place, own_cluster: Cluster) -> None:
    process = study.start(*on(own_cluster))
    wait_for(study.out.exists)
    own_cluster.add_workers(1)
    assert ended(process) == (0, "")
    assert names(study.out) == names(study.source)


def certificates(folder: Path) -> dict[str, str]:
    """The environment of processes that talk by TLS."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=deid-batch"]
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    settings = {"REQUIRE_ENCRYPTION": "True", "TLS__CA_FILE": str(certificate)}
    for who in ("CLIENT", "SCHEDULER", "WORKER"):
        settings |= {f"TLS__{who}__KEY": str(key), f"TLS__{who}__CERT": str(certificate)}
    return {f"DASK_DISTRIBUTED__COMM__{name}": value for name, value in settings.items()}


def test_a_cluster_is_reached_by_tls(study: Place, tmp_path: Path) -> None:
    environ = certificates(tmp_path)
    with started(tmp_path / "cluster", "tls", **environ) as cluster:
        assert cluster.address.startswith("tls://")
        cluster.add_workers(1)
        result = study.run(*on(cluster), **environ)
    assert (result.returncode, result.stderr) == (0, "")
    assert names(study.out) == names(study.source)


def test_no_scheduler_is_told_soon_and_nothing_is_written(study: Place) -> None:
    pytest.importorskip("distributed")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    began = time.monotonic()
    result = study.run("--backend", "dask", "--scheduler", address)
    assert (result.returncode, result.stderr) == (5, f"deid-batch: no Dask scheduler answers at {address}\n")
    assert time.monotonic() - began < 60
    assert not study.out.exists()
    assert not study.work.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--backend", "dask"], "--backend dask and --scheduler ADDRESS go together"),
        (["--scheduler", "tcp://127.0.0.1:8786"], "--backend dask and --scheduler ADDRESS go together"),
        (["--backend", "dask", "--scheduler", "tcp://127.0.0.1"], "not an address such as tcp://host:8786"),
        (["--backend", "dask", "--scheduler", "dicom://127.0.0.1:104"], "not an address such as tcp://host:8786"),
        (["--backend", "dask", "--scheduler", "tls://127.0.0.1:8786"], "needs certificates"),
    ],
)
def test_a_wrong_call_writes_nothing(study: Place, options: list[str], told: str) -> None:
    pytest.importorskip("distributed")
    result = study.run_here(*options)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith("deid-batch: ")
    assert told in result.stderr
    assert not study.out.exists()
    assert not study.work.exists()


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Blocked())
"""


def without(folder: Path, name: str) -> str:
    """A PYTHONPATH by which processes lack a package."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKED.format(name=name))
    return str(folder)


def test_without_distributed_the_extra_is_named(study: Place, tmp_path: Path) -> None:
    path = without(tmp_path / "blocked", "distributed")
    result = study.run("--backend", "dask", "--scheduler", "tcp://127.0.0.1:8786", PYTHONPATH=path)
    assert result.returncode == 2
    assert result.stderr == "deid-batch: --backend dask needs more packages: pip install 'deid-batch[dask]'\n"
    assert not study.out.exists()
    assert not study.work.exists()
    assert study.run(PYTHONPATH=path).returncode == 0


def assert_stopped_by(result: subprocess.CompletedProcess[str], place: Place, told: str) -> None:
    """One clear message, and not a row for each file."""
    assert (result.returncode, len(result.stderr.splitlines())) == (5, 1), result.stderr
    assert result.stderr.startswith("deid-batch: stopped: ")
    assert told in result.stderr
    assert place.rows() == {}
    assert not names(place.out)
    assert settings(place) == []


def test_workers_of_another_version_stop_the_run(study: Place, tmp_path: Path) -> None:
    with started(tmp_path / "cluster", OTHER_VERSION="0.0.7") as cluster:
        cluster.add_workers(1)
        result = study.run(*on(cluster))
    assert_stopped_by(result, study, "has deid-batch 0.0.7, not ")


def test_a_cluster_without_the_package_stops_the_run(study: Place, tmp_path: Path) -> None:
    path = without(tmp_path / "blocked", "deid_batch")
    with started(tmp_path / "cluster", PYTHONPATH=path, DASK_DISTRIBUTED__WORKER__PRELOAD="[]") as cluster:
        cluster.add_workers(1)
        result = study.run(*on(cluster))
    assert_stopped_by(result, study, "must be installed on all its machines")


@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ("", "can't use SOURCE, OUT or the work directory"),
        ("dump", "does not find the files of SOURCE"),
        ("out", "OUT can't be written to"),
    ],
    ids=["all", "SOURCE", "OUT"],
)
def test_workers_that_do_not_share_the_file_system_stop_the_run(
    study: Place, tmp_path_factory: pytest.TempPathFactory, hidden: str, told: str
) -> None:
    study.out.mkdir()
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', study.folder / hidden]
    if shutil.which("unshare") is None or subprocess.run([*hide, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts of one's own are permitted here")
    with started(tmp_path_factory.mktemp("elsewhere") / "cluster") as cluster:
        cluster.add_workers(1, *hide)
        result = study.run(*on(cluster))
    assert_stopped_by(result, study, told)


def test_another_machine_may_number_its_devices_otherwise(study: Place) -> None:
    pytest.importorskip("distributed")
    study.out.mkdir()
    inode = study.out.stat().st_ino
    rules = load_config(str(study.config)).settled({}, None)
    area = os.fsencode(study.folder)
    setting = Setting(os.fsencode(study.source), os.fsencode(study.out), area, rules, out_identity=(-1, inode))
    path = study.folder / "setting"
    path.write_bytes(pickle.dumps(setting))
    do_task = import_module("deid_batch.daskpool").do_task
    result = do_task("deidentify", Job((b"PAT1/CT/IM1",)), str(path), __version__, "attempt")
    assert (result.fault, names(study.out)) == ("", {"PAT1/CT/IM1"})


def test_a_process_does_one_job_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    daskpool = import_module("deid_batch.daskpool")
    busy, most = 0, 0

    class Slow:
        def probe(self, job: Job) -> JobResult:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            time.sleep(0.02)
            busy -= 1
            return JobResult()

        deidentify = cross = probe

    monkeypatch.setattr(daskpool, "_worker_for", lambda _path: (Slow(), os.fsencode(tmp_path)))
    calls = [("probe", Job(()), "", __version__, str(number)) for number in range(4)]
    threads = [threading.Thread(target=daskpool.do_task, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
