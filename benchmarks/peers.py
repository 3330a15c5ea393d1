"""Who is measured, and how.

As a script, `peers.py measure COMMAND…` runs a command and prints what it used, and `peers.py pydicom-loop SOURCE OUT`
is the plain loop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

ROOT = Path(__file__).resolve().parent.parent
_CONFIG = ROOT / "configs" / "seed-sample.json"
_THIS = str(Path(__file__).resolve())


class Peer(NamedTuple):
    """One way to make OUT from SOURCE, and what it really does."""

    name: str
    command: Callable[[str, str], list[str]]
    does: str


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
    starter = [sys.executable, "-I", "-S", _THIS, "measure", *command]
    done = subprocess.run(starter, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}\nended with {done.returncode}\n{done.stderr[-2000:]}")
    return Used(*json.loads(done.stdout))


def _ours(jobs: int, source: str, out: str) -> list[str]:
    roots_and_config = ["run", source, out, "--config", str(_CONFIG)]
    return [sys.executable, "-m", "deid_batch", *roots_and_config, "--jobs", str(jobs), "--no-progress", "-q"]


def _jobs(jobs: int) -> Peer:
    does = "whole command: start-up, scan, seed-sample's rules, atomic writes, ledger, audit log"
    return Peer(f"deid-batch --jobs {jobs}", lambda source, out: _ours(jobs, source, out), does)


COPY = Peer("cp -r", lambda source, out: ["cp", "-r", source, out], "copies bytes: no rules, no sync")
PYDICOM_LOOP = Peer(
    "pydicom loop",
    lambda source, out: [sys.executable, _THIS, "pydicom-loop", source, out],
    "whole command, one process: dcmread, seed-sample's rules on a walk of all elements (names hashed, no AES), "
    "save_as; no scan, ledger, audit log or sync",
)
PEERS = {peer.name: peer for peer in (_jobs(1), _jobs(2), PYDICOM_LOOP, COPY)}


def _measure(command: list[str]) -> int:
    """Run a command, print what it and the processes it waited for used, and pass its exit code on."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit]))
    return 0 if status == 0 else 1


def _pydicom_loop(source: str, out: str) -> int:
    """What a short script does: read each file whole, change it by the sample's rules, save it."""
    from pydicom import dcmread  # noqa: PLC0415 - what starts the measured commands stays small without it

    for folder, _, names in os.walk(source):
        target = os.path.join(out, os.path.relpath(folder, source))
        os.makedirs(target, exist_ok=True)
        for name in names:
            dataset = dcmread(os.path.join(folder, name))
            dataset.walk(_rules_of(dataset))
            dataset.save_as(os.path.join(target, name))
    return 0


def _rules_of(dataset: Dataset) -> Callable[[Dataset, DataElement], None]:
    """The rules of seed-sample for the elements of one file."""

    def digest(text: str) -> bytes:
        return hmac.digest(b"123", text.encode(), hashlib.sha256)

    series = str(dataset.SeriesInstanceUID)
    shift = timedelta(days=int.from_bytes(digest(series)[:8], "big") % 101 - 50)

    def shifted(value: object) -> str:
        text = str(value)
        return f"{date.fromisoformat(text[:8]) + shift:%Y%m%d}{text[8:]}"

    def perturbed(value: object) -> float:
        number = float(str(value))
        noise = int.from_bytes(digest(f"{series}{value}")[:8], "big") / 2**64 - 0.5
        return round(number + noise * abs(number), 2)

    def hashed(value: object) -> str:
        return digest(str(value)).hex()

    def apply(items: Dataset, element: DataElement) -> None:
        if element.tag == 0x00280030:
            _each(element, perturbed)
        elif element.tag == 0x00401001:
            del items[element.tag]
        elif element.tag == 0x00100020 or element.VR == "PN":
            _each(element, hashed)
        elif element.VR in {"DA", "DT"}:
            _each(element, shifted)

    return apply


def _each(element: DataElement, change: Callable[[object], object]) -> None:
    """Change the values of an element one by one; what is empty stays empty."""
    if not element.is_empty:
        values = element.value if element.VM > 1 else [element.value]
        changed = [change(value) for value in values]
        element.value = changed if element.VM > 1 else changed[0]


def main(mode: str, *arguments: str) -> int:
    """One of the two things this file does as a script."""
    return _measure(list(arguments)) if mode == "measure" else _pydicom_loop(*arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
