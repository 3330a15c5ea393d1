"""What a command uses: wall clock, CPU time, peak memory.

As a script, `measure.py COMMAND…` runs a command and prints that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Used(NamedTuple):
    """What a command took: wall clock, user + system time of all its processes, peak memory of the largest of them."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class CommandFailed(Exception):
    """A measured command ended badly; its figures mean nothing."""


def measured(command: list[str]) -> Used:
    """Run a command to its end. A failing one raises CommandFailed.

    A small process of its own starts it: the system counts who started a command into the command's peak memory, and
    this process holds pydicom. So a peak below some 15 MB can't be seen.
    """
    starter = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *command]
    done = subprocess.run(starter, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise CommandFailed(f"{os.path.basename(command[0])} ended badly: {said[-1][:200]}")
    return Used(*json.loads(done.stdout))


def main(command: list[str]) -> int:
    """Run a command, print what it and the processes it waited for used, and pass its exit code on."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit]))
    return 0 if status == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
