"""What one file costs a worker process: a child does the job as in a run, and tells its memory and CPU seconds."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from conftest import Place

from deid_batch.worker import INTENDED

SCRIPT = """
import json, os, re, sys, time
from datetime import date
from deid_batch import worker
from deid_batch.audit import COLUMNS
from deid_batch.config import load_config
from deid_batch.plan import Job

source, out, temporary, config, *names = sys.argv[1:]
status = os.stat(out)
rules = load_config(config).settled({}, date(2024, 1, 1))
setting = worker.Setting(*map(os.fsencode, (source, out, temporary)), rules, (status.st_dev, status.st_ino))
worker.start(setting, os.getppid())

def memory(kind):
    with open("/proc/self/status") as file:
        return int(re.search(kind + r":\\s+(\\d+) kB", file.read())[1]) / 1024

def done(name):
    job = Job((os.fsencode(name),))
    result = worker.probe(job)
    if result.rows:
        return result.rows[0][1]
    return worker.deidentify(job).rows[0][1]

for name in names:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    start, began = memory("VmRSS"), time.process_time()
    row = dict(zip(COLUMNS, done(name)))
    cost = dict(mb=memory("VmHWM") - start, seconds=time.process_time() - began)
    print(json.dumps({key: row[key] for key in ("status", "reason", "detail", "bytes_out")} | cost))
"""


class Cost(NamedTuple):
    """What became of a file, the most memory it took (MB above what the process had), and the CPU time."""

    outcome: str
    """The reason why there is no output; "" where there is one."""
    detail: str
    mb: float
    seconds: float


def costs(place: Place, *names: str) -> list[Cost]:
    """What these files of SOURCE cost one worker process, one after the other."""
    temporary = place.folder / "temporary"
    for folder in (place.out, temporary):
        folder.mkdir(exist_ok=True)
    places = [place.source, place.out, temporary, place.config]
    command = [sys.executable, "-c", SCRIPT, *map(os.fspath, places), *names]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [name for name in os.listdir(temporary) if not name.startswith(os.fsdecode(INTENDED))] == []
    return [Cost(row["reason"] or "", row["detail"] or "", row["mb"], row["seconds"]) for row in rows]


def sparse(path: Path, *parts: bytes | int) -> None:
    """A file of these bytes and, where a number stands, of so many zeros that take no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for part in parts:
            if isinstance(part, int):
                file.seek(part, os.SEEK_CUR)
            else:
                file.write(part)
        file.truncate()


class Watched(NamedTuple):
    """How a run ended, how long it took, by the clock and of CPUs, and the most memory of its processes in MB."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    parent_mb: float
    others_mb: list[int]


def watched(process: subprocess.Popen[str]) -> Watched:
    """Let a run that leads its process group come to its end, and look at all processes of the group meanwhile."""
    began, cpu_before, peaks = time.monotonic(), cpu_seconds(), dict[int, float]()
    with ThreadPoolExecutor(1) as threads:
        output = threads.submit(process.communicate, timeout=900)
        while not output.done():
            for status in Path("/proc").glob("[0-9]*/stat"):
                with suppress(OSError, ValueError):
                    if int(status.read_text().rpartition(")")[2].split()[2]) == process.pid:
                        peaks[int(status.parent.name)] = peak_mb(status.parent)
            time.sleep(0.1)
    seconds = time.monotonic() - began
    parent = peaks.pop(process.pid)
    cpu = cpu_seconds() - cpu_before
    return Watched(process.returncode, *output.result(), seconds, cpu, parent, sorted(map(int, peaks.values())))


def cpu_seconds() -> float:
    """What all processes have taken that this one started, and theirs, and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_mb(process: Path) -> float:
    """The most memory that a process, a folder of /proc, has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    if found is None:
        raise ValueError("the process has ended")
    return int(found[1]) / 1024
