"""Memory does not grow with the number of files: what a run holds of them lies in the ledger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import MEMORY

from deid_batch.plan import MAX_FILES

SCRIPT = """
import json, os, sys
from datetime import datetime, UTC
from deid_batch import worker
from deid_batch.audit import AuditLog
from deid_batch.ledger import Found, Ledger, Scoped
from deid_batch.plan import cut_into_jobs, portions

files, folder = int(sys.argv[1]), sys.argv[2]
def peak():  # of this process alone: what getrusage tells began with the one that started it
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
start = peak()

def path(number):
    return b"PAT%05d/ST%06d/SE%06d/1.2.826.0.1.3680043.8.498.%012d.dcm" % (
        number // 1000, number // 500, number // 100, number)

ledger = Ledger(os.path.join(folder, "ledger.sqlite"))
run = ledger.begin_run()
for portion in portions((Found(path(n), 500_000, n) for n in range(files)), 4096):
    ledger.found(run, portion, ledger.changed(portion))
ledger.finish_scan(run)
scanned = peak()
for portion in portions(ledger.unprobed(), 256):
    ledger.probed([Scoped(name, "%016x" % (int(name[-16:-4]) // 100)) for name in portion])
jobs = planned_files = 0
for job in cut_into_jobs(ledger.todo()):
    jobs, planned_files = jobs + 1, planned_files + len(job.paths)
planned = peak()
for portion in portions(ledger.unprobed(), 1):
    raise SystemExit("something is left to be probed")
ledger.reopen(path(n) for n in range(files))
rows = 0
def noted(portion):
    global rows
    rows += len(portion)
    ledger.done([(todo.path, worker.audit_row(todo.path, status="written", bytes_out=1, seconds=0.0))
                 for todo in portion], {})
for portion in portions(ledger.todo(), 64):
    noted(portion)
written = sum(1 for _ in ledger.written())
AuditLog(os.path.join(folder, "audit.csv")).rewrite(ledger.rows())
print(json.dumps(dict(start=start, scanned=scanned, planned=planned, done=peak(), jobs=jobs, rows=rows,
                      planned_files=planned_files, written=written)))
"""


def used(files: int, folder: Path) -> dict[str, float]:
    """Peak memory in MB after each part of a run over so many files, and what it came to."""
    command = [sys.executable, "-c", SCRIPT, str(files), os.fspath(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    figures: dict[str, float] = json.loads(result.stdout)
    print(figures)  # shown where the test fails
    return figures


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder where it costs little that a ledger is synced, if there is room."""
    if MEMORY is None or shutil.disk_usage(MEMORY).free < 4 << 30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
@pytest.mark.parametrize(
    ("files", "most"), [(5_000, 30), pytest.param(1_000_000, 40, marks=pytest.mark.slow)], ids=["5,000", "1,000,000"]
)
def test_a_ledger_of_many_files_is_planned_and_kept_in_little_memory(folder: Path, files: int, most: int) -> None:
    figures = used(files, folder)
    assert figures["planned_files"] == figures["written"] == figures["rows"] == files
    assert figures["jobs"] >= files / MAX_FILES
    assert figures["planned"] < 300
    assert figures["done"] < 300
    assert figures["done"] - figures["start"] < most
