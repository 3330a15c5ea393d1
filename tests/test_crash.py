"""`kill -9` of a whole run, and system calls that fail, at any moment: one more run gives the undisturbed result."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import COMMAND, PYDICOM, Place, killed, lay, new_place, tree, wait_for

from deid_batch.workspace import LEDGER_NAME

Undisturbed = dict[str, bytes]


pytestmark = pytest.mark.slow


def holds_finished_files_only(place: Place, undisturbed: Undisturbed) -> bool:
    return not place.out.exists() or tree(place.out).items() <= undisturbed.items()


def is_as_undisturbed(place: Place, undisturbed: Undisturbed) -> bool:
    """The very same tree, exactly one audit row per file that tells of it, and nothing else left behind."""
    rows = place.rows()
    digests = {f"./{name}": hashlib.sha256(contents).hexdigest() for name, contents in undisturbed.items()}
    assert tree(place.out) == undisturbed
    assert rows.keys() == {f"./{name}" for name in tree(place.source)}
    assert {row["output"]: row["sha256_out"] for row in rows.values() if row["status"] == "written"} == digests
    assert sorted(os.listdir(place.work)) == ["audit.csv", "ledger.sqlite", "lock"]
    assert set(os.listdir(place.folder)) <= {"config.json", "out", "out.deid", "dump"}
    return True


def is_in_the_same_books(place: Place, undisturbed: Place) -> bool:
    """Whether ledger and audit log tell the same as those of another run, but for when, how fast and how often."""
    assert books(place) == books(undisturbed)
    logs = [
        {source: {**row, "time_utc": "", "seconds": ""} for source, row in one.rows().items()}
        for one in (place, undisturbed)
    ]
    assert logs[0] == logs[1]
    return True


def books(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """What a ledger holds, but for when, how fast and how often, and what has a key of its own in each."""
    ledger = sqlite3.connect(place.work / LEDGER_NAME)
    columns = [row[1] for row in ledger.execute("PRAGMA table_info(file)")]
    passing = {"time_utc", "seconds", "run", "patient", "study", "person", "collected"}
    lasting = ", ".join(f'"{column}"' for column in columns if column not in passing)
    queries = {
        "file": f"SELECT {lasting} FROM file ORDER BY path",
        "rule": "SELECT number, hits FROM rule ORDER BY number",
        "state": "SELECT name, value FROM state WHERE name NOT IN ('run', 'group key', 'identity epoch') ORDER BY name",
    }
    held = {table: ledger.execute(query).fetchall() for table, query in queries.items()}
    ledger.close()
    return held


def leftovers(runs: set[int]) -> list[str]:
    """What runs, each the leader of a session and process group, left in shared memory; and their processes."""
    shared = [name for name in os.listdir("/dev/shm") if re.search(r"[-_](\d+)[-_]", name)]
    left = [name for name in shared if {int(number) for number in re.findall(r"\d+", name)} & runs]
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, group, session, *_ = status.read_text().rpartition(")")[2].split()
            left += [f"process {status.parent.name}"] * bool({int(group), int(session)} & runs)
    return left


MOMENTS: dict[str, Callable[[Place], object]] = {
    "the ledger is begun": lambda place: (place.work / "ledger.sqlite").exists(),
    "files are looked at": lambda place: place.audit.exists(),
    "the first temporary file is written": lambda place: any((place.work / "tmp").glob("*/*-1")),
    "the first output is there": lambda place: any(place.out.iterdir()),
    "half of the outputs are there": lambda place: outputs(place) > 250,
    "the audit log is written anew": lambda place: (
        outputs(place) > 540 and place.audit.with_suffix(".csv.new").exists()
    ),
}


def test_a_run_killed_at_chosen_moments_is_completed_by_one_more(busy: Place, undisturbed: Undisturbed) -> None:
    for condition in MOMENTS.values():
        process = busy.start()
        wait_for(lambda process=process, condition=condition: process.poll() is not None or condition(busy))
        killed(process)
        assert holds_finished_files_only(busy, undisturbed)
    last = busy.run("-j2")
    assert last.returncode == 1
    assert is_as_undisturbed(busy, undisturbed)
    assert re.search(rf"│ written +│ +│ +{len(undisturbed):,} │", last.stdout), "the summary speaks of the whole"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Undisturbed]:
    """3,000 different files, some of which fail, and what an undisturbed run makes of them."""
    place = new_place(tmp_path_factory.mktemp("large"))
    templates = [(PYDICOM / name).read_bytes() for name in ("MR_small.dcm", "CT_small.dcm", "rtplan.dcm")]
    for number in range(3000):
        data = templates[number % 3]
        uid = re.search(rb"\x08\x00\x18\x00(?:UI..|....)([0-9.]+)", data, re.DOTALL)
        assert uid is not None
        path = place.source / f"P{number % 7}/S{number % 300}/{number:04}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = data.replace(uid[1], b"%s%04d" % (uid[1][:-4], number))
        path.write_bytes(data[:-1000] if number % 97 == 0 else data)
    assert place.run("-j2").returncode == 1
    return place, tree(place.out)


@pytest.mark.slow
def test_a_long_run_killed_at_ten_random_moments_is_completed_by_one_more(
    large: tuple[Place, Undisturbed], tmp_path: Path
) -> None:
    done, undisturbed = large
    assert 2900 < len(undisturbed) < 3000
    assert len(set(undisturbed.values())) == len(undisturbed)
    place = done._replace(folder=tmp_path, out=tmp_path / "out", work=tmp_path / "out.deid")
    shutil.copyfile(done.config, tmp_path / "config.json")
    seed = time.time_ns()
    print(f"seed {seed}")  # shown where the test fails
    moments = random.Random(seed)
    runs: set[int] = set()
    for _ in range(10):
        before = len(tree(place.out)) if place.out.exists() else 0
        goal = before + moments.randrange(600)
        process = place.start()
        runs.add(process.pid)
        wait_for(place.audit.exists)
        wait_for(lambda goal=goal, process=process: process.poll() is not None or outputs(place) >= goal, 120)
        time.sleep(moments.random() / 10)
        killed(process)
        assert holds_finished_files_only(place, undisturbed)
    last = place.start()
    runs.add(last.pid)
    assert (last.communicate(timeout=300)[1], last.returncode) == ("", 1)
    assert is_as_undisturbed(place, undisturbed)
    assert is_in_the_same_books(place, done)
    wait_for(lambda: not leftovers(runs))  # the tracker of the last one may be a little behind


def outputs(place: Place) -> int:
    return sum(len(names) for _, _, names in os.walk(place.out))


FIVE = {
    "1": "CT_small.dcm",
    "sub/2": "MR_small.dcm",
    "sub/sub/3": "rtplan.dcm",
    "4": "image_dfl.dcm",
    "other/5": "MR_truncated.dcm",
}
FAULTS = [
    ("rename", "error=EIO", 1),
    ("fsync", "error=EIO", 1),
    ("syncfs", "error=EIO", 1),
    ("mkdir", "error=ENOSPC", 1),
    ("fdatasync", "error=EIO", 5),
    ("pwrite64", "error=ENOSPC", 14),
    ("rename", "signal=SIGKILL", 3),
    ("mkdir", "signal=SIGKILL", 3),
    ("fdatasync", "signal=SIGKILL", 5),
]
"""A system call, what becomes of it, and the step from one of its calls to the next that is tried."""


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tool by which system calls can be made to fail."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed")
    command = [path, "--seccomp-bpf", "-f", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO"]
    script = [sys.executable, "-c", "import os; os.fsync(os.open('.', 0))"]
    tried = subprocess.run([*command, *script], capture_output=True, text=True, check=False)
    if "(INJECTED)" not in tried.stderr:
        pytest.skip("strace can't make system calls fail here")
    return path


def stricken(strace: str, place: Place, call: str, fault: str, number: int) -> tuple[int, str] | None:
    """(exit code, stderr) of a run whose processes each meet a fault at their so-manieth call; None: it had none."""
    log = place.folder.with_suffix(".strace")
    filtered = [] if "signal" in fault else ["--seccomp-bpf"]  # which is faster, but sends no signals
    injection = ["-f", "-o", log, "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
    run = [COMMAND, "run", place.source, place.out, "-c", place.config, "-j1", "-q"]
    command = [strace, *filtered, *injection, *run]
    result = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, check=False, timeout=300)
    happened = re.search(r"\(INJECTED\)|killed by SIGKILL", log.read_text(errors="replace"))
    return (result.returncode, result.stderr) if happened else None


@pytest.mark.parametrize(
    ("call", "fault", "numbers"),
    [
        pytest.param("rename", "error=EIO", [3], id="rename error=EIO at the third"),
        *(
            pytest.param(call, fault, range(1, 100, step), id=f"{call} {fault}", marks=pytest.mark.slow)
            for call, fault, step in FAULTS
        ),
    ],
)
def test_a_run_whose_system_calls_fail_or_kill_is_completed_by_one_more(
    strace: str, tmp_path: Path, call: str, fault: str, numbers: Iterable[int]
) -> None:
    undisturbed: Undisturbed = {}
    for number in [0, *numbers]:
        place = new_place(tmp_path / f"{number}")
        lay(place, FIVE)
        if number:
            stopped = stricken(strace, place, call, fault, number)
            if stopped is None:
                assert number > 1, "no run met the fault"
                return
            code, stderr = stopped
            assert holds_finished_files_only(place, undisturbed)
            assert code in ((1, 5) if "error" in fault else (1, -signal.SIGKILL)), stderr
            assert "Traceback" not in stderr
            assert (code == 5) == stderr.startswith("deid-batch: ")
        assert place.run_here().returncode == 1
        undisturbed = undisturbed or tree(place.out)
        assert is_as_undisturbed(place, undisturbed)
