"""A real Dask cluster on loopback, whose processes can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_for

PRELOAD = Path(__file__).with_name("dask_preload.py")


class Cluster:
    """A scheduler and its workers, each command in a process group of its own."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.address = ""
        self._environ = {"MET": str(folder), "DASK_DISTRIBUTED__WORKER__PRELOAD": str(PRELOAD)} | environ
        self._groups: list[subprocess.Popen[bytes]] = []

    def add_scheduler(self, protocol: str) -> None:
        file = self.folder / "scheduler.json"
        options = ["--protocol", protocol, "--host", "127.0.0.1", "--port", 0, "--no-dashboard"]
        self.scheduler = self._start("scheduler", *options, "--scheduler-file", file)
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def add_workers(self, number: int, *prefix: object) -> subprocess.Popen[bytes]:
        """Start workers and wait for them; the command may stand behind another one."""
        known = len(self.workers())
        options = ["--nworkers", number, "--nthreads", 1, "--no-dashboard", "--host", "127.0.0.1", "--memory-limit", 0]
        group = self._start("worker", self.address, *options, "--local-directory", self.folder, prefix=prefix)
        self.wait_for_workers(known + number)
        return group

    def _start(self, *command: object, prefix: tuple[object, ...] = ()) -> subprocess.Popen[bytes]:
        words = [*prefix, sys.executable, "-m", "dask", *command]
        environ = {**os.environ, **self._environ}
        with open(self.folder / "log", "ab") as log:
            group = subprocess.Popen(
                [*map(str, words)], stdout=log, stderr=log, env=environ, cwd=self.folder, start_new_session=True
            )
        self._groups.append(group)
        return group

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        found: list[int] = []
        for group in self._groups:
            with suppress(psutil.NoSuchProcess):
                below = psutil.Process(group.pid).children(recursive=True)
                found += [process.pid for process in below if "spawn_main" in " ".join(process.cmdline())]
        return found

    def wait_for_workers(self, number: int) -> None:
        with self.client() as client:
            wait_for(lambda: len(client.nthreads()) == number)

    @contextmanager
    def client(self) -> Iterator[Any]:
        dask, distributed = import_module("dask"), import_module("distributed")
        with (
            dask.config.set(dask.config.merge(dask.config.config, dask.config.collect_env(self._environ))),
            distributed.Client(self.address, set_as_default=False) as client,
        ):
            yield client

    def meetings(self, name: str) -> int:
        """How often workers have met a file."""
        return (self.folder / name).stat().st_size

    def end(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group.pid, signal.SIGKILL)
            group.wait(timeout=300)


@contextmanager
def started(folder: Path, protocol: str = "tcp", **environ: str) -> Iterator[Cluster]:
    """A cluster without workers yet, in a new folder."""
    pytest.importorskip("distributed")
    folder.mkdir()
    cluster = Cluster(folder, environ)
    try:
        cluster.add_scheduler(protocol)
        yield cluster
    finally:
        cluster.end()
