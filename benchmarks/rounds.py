"""All peers on one corpus, in alternation."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.corpora import Laid
from benchmarks.measure import ROOT, CommandFailed, measured
from benchmarks.peers import OURS, Peer, Task

_LOOK_EVERY = 0.05
_ROOM_FOR = 30
"""Outputs are left lying as long as there is room for so many more."""


class Run(NamedTuple):
    """What one run of a peer took, and over how many files and bytes."""

    peer: str
    files: int
    size: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


Round = dict[str, Run]


@dataclass(frozen=True)
class Setting:
    """What all runs have in common.

    `folder` is where trees and outputs go; a run of a slow peer may take about `budget` seconds.
    """

    folder: Path
    certificate: Path
    python: str
    budget: float
    tell: Callable[[str], None]


def alternate(
    laid: Laid, peers: Mapping[str, Peer], repeat: int, setting: Setting
) -> tuple[list[Round], dict[str, str]]:
    """All rounds, each with all peers in another order, and why some are left out: they fail on the first file."""
    for path in laid.paths:
        (laid.folder / path).read_bytes()  # so that the first peer has it no harder than the others
    rounds: list[Round] = []
    with (
        _outs_cleared(setting.folder),
        tempfile.TemporaryDirectory(prefix="trees-", dir=setting.folder) as folder,
    ):
        trees: dict[str, _Tree] = {}
        left_out: dict[str, str] = {}
        for key, peer in peers.items():
            try:
                trees[key] = _fitting(key, peer, laid, Path(folder), setting)
            except CommandFailed as failure:
                left_out[key] = str(failure)
                setting.tell(f"{peer.label} is left out: {failure}")
        for number in range(repeat):
            turned = number % len(trees)
            order = [*trees][turned:] + [*trees][:turned]
            setting.tell(f"round {number + 1} of {repeat}")
            rounds.append({key: _run(key, peers[key], trees[key], setting) for key in order})
    return rounds, left_out


class _Tree(NamedTuple):
    """The files that a peer gets, and the same in two halves if it asks for them."""

    laid: Laid
    halves: tuple[Path, Path]


def _fitting(key: str, peer: Peer, laid: Laid, folder: Path, setting: Setting) -> _Tree:
    """The files that a peer gets: all, or as many as it can do in time."""
    folder = folder / key
    files = laid.files
    if key not in OURS:
        one = _run(key, peer, _tree(peer, laid, 2 if peer.halved else 1, folder / "one"), setting)
    if peer.slow and files > 1:
        few = _run(key, peer, _tree(peer, laid, max(2, files // 50), folder / "few"), setting)
        each = max(few.seconds - one.seconds, 1e-6) / (few.files - one.files)
        files = _round_share(files, setting.budget / each)
    return _tree(peer, laid, files, folder / "all")


def _round_share(files: int, affordable: float) -> int:
    """All files, or a round share of them: the largest that can be afforded."""
    shares = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    return next((max(1, files // share) for share in shares if files / share <= affordable), 1)


def _tree(peer: Peer, laid: Laid, files: int, folder: Path) -> _Tree:
    part = laid if files >= laid.files else laid.part(0, files, folder / "whole")
    halves = (folder / "first", folder / "second")
    if peer.halved:
        middle = part.files // 2
        for half in halves:
            half.mkdir(parents=True)
        part.part(0, middle, halves[0])
        part.part(middle, part.files, halves[1])
    return _Tree(part, halves)


def _run(key: str, peer: Peer, tree: _Tree, setting: Setting) -> Run:
    """One run into an OUT that was not there. What others left to write is written before."""
    with _new_out(setting.folder, tree.laid.size) as out:
        task = Task(tree.laid.folder, out, tree.halves, setting.certificate, setting.python)
        os.sync()
        used = measured(peer.command(task))
        _check_all_written(out, tree.laid.files)
    return Run(key, tree.laid.files, tree.laid.size, *used)


@contextmanager
def _new_out(folder: Path, size: int) -> Iterator[Path]:
    """A place for so many bytes. It goes away at the end of the rounds, where there is room, and else at once.

    ext4 is slow to make new files for minutes after many were removed: whoever comes next would have to wait.
    """
    place = Path(tempfile.mkdtemp(prefix="out-", dir=folder))
    try:
        yield place / "out"
    finally:
        if shutil.disk_usage(folder).free < _ROOM_FOR * size:
            shutil.rmtree(place)


@contextmanager
def _outs_cleared(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for place in folder.glob("out-*"):
            shutil.rmtree(place)


def _check_all_written(out: Path, files: int) -> None:
    written = sum(len(names) for _, _, names in os.walk(out))
    if written != files:
        raise CommandFailed(f"{written} files of {files} were written")


class Peaks(NamedTuple):
    """Peak memory in bytes: of the process that was started, and of the largest of those that it started."""

    parent: int
    worker: int


def peaks(peer: Peer, laid: Laid, setting: Setting) -> Peaks | None:
    """The peak memory of a peer's processes, by looking at them all the time; None where the system does not tell."""
    if not os.path.exists("/proc/self/status"):
        return None
    seen: dict[int, int] = {}
    with _outs_cleared(setting.folder), _new_out(setting.folder, laid.size) as out:
        task = Task(laid.folder, out, (out, out), setting.certificate, setting.python)
        process = subprocess.Popen(peer.command(task), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            for pid in (process.pid, *_descendants(watched)):
                seen[pid] = max(seen.get(pid, 0), _high_water(pid))
            time.sleep(_LOOK_EVERY)
        if process.returncode:
            raise CommandFailed(f"{peer.label} ended with {process.returncode}")
    parent = seen.pop(process.pid, 0)
    return Peaks(parent, max(seen.values(), default=0))


def _descendants(process: psutil.Process) -> list[int]:
    try:
        return [child.pid for child in process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _high_water(pid: int) -> int:
    """The most memory that a process has had so far, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
