"""What ledger, audit log and syncs cost: the same files done with and without them, in this process, in alternation.

python -m benchmarks.bench_overhead [--corpus NAME] [--scale 0.4] [--repeat 5] [--dir DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA, Laid, lay
from deid_batch import batch, worker
from deid_batch.config import Config, load_config
from deid_batch.ledger import Found, Todo
from deid_batch.plan import Job, cut_into_jobs, portions
from deid_batch.progress import Progress
from deid_batch.scan import find_files
from deid_batch.worker import JobResult, Setting, Worker

_CONFIG = "seed-sample"
_PROBES_A_JOB = 256
Way = Callable[[Config, str, str], None]


class _ThisProcess:
    """A pool without processes, so that nothing but the books differs."""

    deaths_allowed = 1
    shares_fate = False

    def __init__(self, setting: Setting) -> None:
        self._worker = Worker(setting)

    def capacity(self) -> int:
        return 1

    def submit(self, task: str, job: Job) -> Future[JobResult]:
        future: Future[JobResult] = Future()
        future.set_result(getattr(self._worker, task)(job))
        return future

    def is_death(self, error: BaseException | None) -> bool:
        return False

    def renew(self, *, alone: bool) -> None:
        """Nothing: nobody dies."""


@contextmanager
def _this_process(_options: batch.Options, setting: Setting, _work: str) -> Iterator[_ThisProcess]:
    yield _ThisProcess(setting)


def _whole(config: Config, source: str, out: str) -> None:
    """A whole run: ledger, audit log, syncs."""
    work = f"{out}.deid"
    options = batch.Options(source, out, 1, work, os.path.join(work, "audit.csv"))
    with patch.object(batch, "_pool", _this_process):
        batch.run_batch(config, options, Progress(shown=False))


def _without_books(config: Config, source: str, out: str, *, synced: bool) -> None:
    """The same scan, plan and work, with a list in memory in place of the ledger, and no audit log."""
    area = f"{out}.tmp"
    for folder in (out, area):
        os.mkdir(folder)
    status = os.stat(out)
    keys = {purpose: bytes(32) for purpose in config.missing_keys()}
    rules = config.settled(keys, date.today())
    setting = Setting(os.fsencode(source), os.fsencode(out), os.fsencode(area), rules, (status.st_dev, status.st_ino))
    doer = Worker(setting)
    files = [entry for entry in find_files(setting.source) if isinstance(entry, Found)]
    scopes: dict[bytes, str] = {}
    for paths in portions((file.path for file in files), _PROBES_A_JOB):
        scopes.update((found.path, found.scope) for found in doer.probe(Job(paths)).scopes)
    todo = sorted(Todo(scopes[file.path], file.path, file.size) for file in files)
    sync = {} if synced else {"sync_files": _nothing}
    with patch.multiple(worker, **sync) if sync else patch.dict({}):
        for job in cut_into_jobs(todo):
            doer.deidentify(job)


def _nothing(*_: object) -> None:
    pass


WAYS: dict[str, Way] = {
    "without": partial(_without_books, synced=False),
    "syncs": partial(_without_books, synced=True),
    "syncs, ledger, audit log": _whole,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=CORPORA, default="mr")
    parser.add_argument("--scale", type=float, default=0.4, help="how much of the corpus (default: 0.4)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument("--dir", type=Path, default=cache, help="for corpora and outputs (default: %(default)s)")
    options = parser.parse_args(arguments)
    laid = lay(CORPORA[options.corpus], options.scale, options.dir / "corpora")
    config = load_config(_CONFIG)
    rounds = [
        {name: _seconds(WAYS[name], config, laid, options.dir) for name in _turned(list(WAYS), number)}
        for number in range(options.repeat)
    ]
    _show(laid, rounds)
    return 0


def _turned(names: list[str], number: int) -> list[str]:
    """The same names, another one first each time."""
    first = number % len(names)
    return names[first:] + names[:first]


def _seconds(way: Way, config: Config, laid: Laid, folder: Path) -> float:
    """How long one way takes into a new OUT; what others left to write is written before."""
    with tempfile.TemporaryDirectory(prefix="overhead-", dir=folder) as place:
        out = Path(place) / "out"
        os.sync()
        began = time.perf_counter()
        way(config, str(laid.folder), str(out))
        seconds = time.perf_counter() - began
        written = sum(len(names) for _, _, names in os.walk(out))
    if written != laid.files:
        raise SystemExit(f"{written} files of {laid.files} were written")
    return seconds


def _show(laid: Laid, rounds: list[dict[str, float]]) -> None:
    table = Table(title=f"{laid.files:,} files, {laid.size / 1e6:,.0f} MB, one process", title_justify="left")
    for heading in ("with", "files/s", "seconds", "ratio", "range"):
        table.add_column(heading, justify="left" if heading == "with" else "right")
    for name in WAYS:
        seconds = statistics.median(each[name] for each in rounds)
        ratios = [each[name] / each["without"] for each in rounds]
        shown = f"{min(ratios):.2f}–{max(ratios):.2f}"
        table.add_row(name, f"{laid.files / seconds:,.0f}", f"{seconds:.2f}", f"{statistics.median(ratios):.2f}", shown)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
