"""A small study dump of real files, and the real command to run on it."""

from __future__ import annotations

import csv
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pydicom
import pytest
from typer.testing import CliRunner

from deid_batch import batch, pool, review, verification, worker
from deid_batch.cli import app
from deid_batch.plan import Job
from deid_batch.pool import Tasks

hypothesis.settings.register_profile("here", deadline=None)  # others use the machine too
hypothesis.settings.load_profile("here")

os.environ.pop("COLUMNS", None)  # which pytest-xdist sets, and tables would be as wide
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process that is started would compile the package anew
sys.dont_write_bytecode = False  # and each run the tests

COMMAND = str(Path(sys.executable).with_name("deid-batch"))
PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"
SCANNERS = Path(__file__).parents[2] / "shared" / "data" / "scanners"

INSTANCES = {
    "PAT1/CT/IM1": "CT_small.dcm",
    "PAT1/MR/IM1": "MR_small.dcm",
    "PAT1/MR/IM2": "MR_small_bigendian.dcm",
    "PAT1/MR/IM3.txt": "MR_small_implicit.dcm",
    "PAT2/SC/deflated.dcm": "image_dfl.dcm",
    "PAT2/SC/jpeg.dcm": "SC_rgb_jpeg_dcmtk.dcm",
    "PAT2/RT/plan": "rtplan.dcm",
    "PAT2/SR/report.dcm": "reportsi.dcm",
}
DAMAGED = {"PAT1/MR/IM4": "MR_truncated.dcm"}
NOT_COPIED = {"DICOMDIR": "dicomdirtests/DICOMDIR", "PAT1/notes.dcm": "README.txt"}

KEYS = {"key": "a master key that only the tests use", "referenceDate": "2026-01-31"}
RULES = [
    {"tag": {"value": "(0028,0030)"}, "method": "perturb", "span": 1, "roundTo": 2, "rangeType": "Proportional"},
    {"tag": {"keyword": "PatientID"}, "method": "cryptohash"},
    {"tag": {"VR": "PN"}, "method": "encrypt"},
    {"tag": {"VR": "DA"}, "method": "dateshift"},
    {"tag": {"VR": "DT"}, "method": "dateshift"},
    {"tag": {"VR": "UI"}, "method": "refreshUID"},
    {"tag": {"VR": "LO"}, "method": "redact"},
    {"tag": {"VR": "SH"}, "method": "remove"},
]
CONFIG: dict[str, Any] = {"dicomTagRules": RULES, "parameters": KEYS}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers of pytest-xdist must agree on the order, which that of a set would not let them."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: item.nodeid)


class Place(NamedTuple):
    """A folder in which SOURCE, OUT and the rest of a run stand, and the command run there."""

    folder: Path
    source: Path
    out: Path
    work: Path
    config: Path

    def run(self, *options: object, **environ: str) -> subprocess.CompletedProcess[str]:
        """`deid-batch run SOURCE OUT --config CONFIG -j 1`, and then these options."""
        return deid(*self._command(), "-j1", *options, cwd=self.folder, **environ)

    def run_here(self, *options: object) -> subprocess.CompletedProcess[str]:
        """The same in this process and without workers, in a tenth of the time."""
        return deid_here(*self._command(), "-j1", *options)

    def start(self, *options: object, **more: Any) -> subprocess.Popen[str]:
        """The same, under way in a process group of its own."""
        command = [COMMAND, *self._command(), "-j2", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*map(str, command)], cwd=self.folder, start_new_session=True, **{**pipes, **more})

    def _command(self) -> list[object]:
        return ["run", self.source, self.out, "-c", self.config, "--work", self.work]

    @property
    def audit(self) -> Path:
        return self.work / "audit.csv"

    def rows(self) -> dict[str, dict[str, str]]:
        """The audit log's rows by their source."""
        with open(self.audit, encoding="utf-8", newline="") as log:
            rows = list(csv.DictReader(log))
        assert len({row["source"] for row in rows}) == len(rows), "a file has two rows"
        return {row["source"]: row for row in rows}

    def configure(self, **changes: Any) -> None:
        """Write the config anew, with changed parameters (or `rules`); None takes one out."""
        rules = changes.pop("rules", RULES)
        parameters = {name: value for name, value in {**KEYS, **changes}.items() if value is not None}
        self.config.write_text(json.dumps({"dicomTagRules": rules, "parameters": parameters}))


class Here:
    """A pool that does each job at once, in this process."""

    deaths_allowed = 1
    shares_fate = False

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def capacity(self) -> int:
        return 1

    def submit(self, task: str, job: Job) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._tasks[task](job))
        return future

    def is_death(self, error: BaseException | None) -> bool:
        return False

    def renew(self, *, alone: bool) -> None:
        raise AssertionError("nobody can have died")


@contextmanager
def pool_here(
    _jobs: int, setting: object, initializer: Callable[[Any, int], None] = worker.start, tasks: Tasks = pool._TASKS
) -> Iterator[Here]:
    """`local_pool` without processes."""
    with pytest.MonkeyPatch.context() as patch:
        for module, settling in ((worker, "settle_in"), (verification, "settle_in"), (gc, "freeze")):
            patch.setattr(module, settling, lambda *_: None)  # what is for a process of its own only
        initializer(setting, os.getpid())
    yield Here(tasks)


def deid(*arguments: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the console command as a user would."""
    command = [COMMAND, *(os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments)]
    env = {**os.environ, **environ}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300, check=False)


def deid_here(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """The same in this process and without workers."""
    command = [*map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (batch, verification, review):
            patch.setattr(module, "local_pool", pool_here)
        result = CliRunner().invoke(app, command, env=environ, prog_name="deid-batch")
    assert isinstance(result.exception, SystemExit | None), result.exception
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)


def tree(folder: Path) -> dict[str, bytes]:
    """All files under a folder, with what they hold."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    """The names of all files under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def mtimes(folder: Path) -> dict[str, int]:
    """When the files under a folder were last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)


def killed(process: subprocess.Popen[str]) -> None:
    """End a run and all its workers at once, as if the machine had been switched off."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)


def new_place(folder: Path) -> Place:
    place = Place(folder, folder / "dump", folder / "out", folder / "out.deid", folder / "config.json")
    place.source.mkdir(parents=True)
    place.configure()
    return place


def lay(place: Place, files: dict[str, str]) -> None:
    """Copy pydicom's files into SOURCE under other names."""
    for name, origin in files.items():
        target = place.source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PYDICOM / origin, target)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty SOURCE, and a config with fixed keys."""
    return new_place(tmp_path)


@pytest.fixture
def study(place: Place) -> Place:
    """A SOURCE with real instances of several modalities and transfer syntaxes, all sound."""
    lay(place, INSTANCES)
    return place


@pytest.fixture
def mixed(study: Place) -> Place:
    """The same with a damaged file, a DICOMDIR and a text file among them."""
    lay(study, DAMAGED | NOT_COPIED)
    return study


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SOURCE that a run is busy with for seconds, with damaged files in it. Not to be changed."""
    return _many_files(tmp_path_factory.mktemp("many"), MANY_FILES)


def _many_files(folder: Path, count: int) -> Path:
    place = new_place(folder)
    for number in range(count):
        lay(place, {f"P{number % 7}/S{number % 31}/{number:04}": _MANY[number % len(_MANY)]})
    return place.source


@pytest.fixture(scope="session")
def several_run(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run with one job over files enough for several jobs."""
    source = _many_files(tmp_path_factory.mktemp("several"), SEVERAL_FILES)
    place = new_place(tmp_path_factory.mktemp("several_run"))._replace(source=source)
    assert place.run().returncode == 1
    return place


MANY_FILES, SEVERAL_FILES = 1500, 400
_MANY = [
    "MR_small.dcm", "rtplan.dcm", "image_dfl.dcm", "MR_truncated.dcm", "CT_small.dcm", "rtdose.dcm", "reportsi.dcm",
    "JPEG2000.dcm", "MR_small_bigendian.dcm", "test-SR.dcm",
]  # fmt: skip


@pytest.fixture
def busy(place: Place, many: Path) -> Place:
    """A place for a run that takes seconds."""
    return place._replace(source=many)


@pytest.fixture(scope="session")
def undisturbed_run(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run with one job over the `many` files, that nothing disturbed."""
    place = new_place(tmp_path_factory.mktemp("undisturbed"))._replace(source=many)
    assert place.run().returncode == 1
    return place


@pytest.fixture(scope="session")
def undisturbed(undisturbed_run: Place) -> dict[str, bytes]:
    """What it wrote."""
    return tree(undisturbed_run.out)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, subprocess.CompletedProcess[str]]:
    """A finished run over the mixed study dump, to look at only."""
    place = new_place(tmp_path_factory.mktemp("finished"))
    lay(place, INSTANCES | DAMAGED | NOT_COPIED)
    return place, place.run()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo's folder after its run, to look at only."""
    folder = tmp_path_factory.mktemp("demo")
    return folder / "new", deid("demo", "new", cwd=folder)
