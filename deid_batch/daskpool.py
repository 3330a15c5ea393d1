"""Jobs on an existing Dask cluster over a shared file system.

It goes through `distributed`'s own futures: joblib's Dask backend waits for ever once a file has killed its workers.
Keys never travel: a task names a file of mode 0600 in the work directory, from which the workers read what they need.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from deid_batch.errors import StoppedEarly, UsageError
from deid_batch.plan import Job
from deid_batch.pool import Pool
from deid_batch.worker import JobResult, Setting, Worker

_PATIENCE_SECONDS = 120.0
"""How long a cluster may be without workers."""
_local = threading.local()


@contextmanager
def dask_pool(address: str, setting: Setting, work: str) -> Iterator[Pool]:
    """The workers of the scheduler at `address`."""
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("--backend dask needs more packages: pip install 'deid-batch[dask]'") from None
    path = os.path.join(work, "setting")
    _write_setting(path, setting)
    try:
        try:
            client = Client(address, timeout="30s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise StoppedEarly(f"no Dask scheduler answers there ({type(error).__name__})") from None
        try:
            yield DaskPool(client, path)
        finally:
            client.close(timeout="10s")
    finally:
        os.unlink(path)


class DaskPool:
    """A cluster. It tries a task on several workers itself before it says that the task kills them."""

    deaths_allowed = 1
    shares_fate = False

    def __init__(self, client: object, setting_path: str) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)  # type: ignore[attr-defined]
        self._setting_path = setting_path

    def capacity(self) -> int:
        return max(1, sum(self._client.nthreads().values()))  # type: ignore[attr-defined]

    def submit(self, task: str, job: Job) -> Future[JobResult]:
        self._await_workers()
        future: Future[JobResult] = self._executor.submit(do_task, self._setting_path, task, job)
        return future

    def is_death(self, error: BaseException | None) -> bool:
        return type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError")

    def renew(self, *, alone: bool) -> None:
        """Nothing: the cluster's own keepers start workers anew."""

    def _await_workers(self) -> None:
        """Wait for the cluster's keepers to start workers, though not for ever."""
        patience = time.monotonic() + _PATIENCE_SECONDS
        while not self._client.nthreads():  # type: ignore[attr-defined]
            if time.monotonic() > patience:
                raise StoppedEarly("the Dask cluster has had no workers for two minutes")
            time.sleep(0.5)


def do_task(setting_path: str, task: str, job: Job) -> JobResult:
    """Do a job on a cluster's worker, in one of its threads."""
    worker = _worker_for(setting_path)
    return worker.probe(job) if task == "probe" else worker.deidentify(job)


def _worker_for(setting_path: str) -> Worker:
    """This thread's worker, made anew where the run is another one."""
    stamp = setting_path, os.stat(setting_path).st_mtime_ns
    if getattr(_local, "stamp", None) != stamp:
        with open(setting_path, "rb") as file:
            _local.worker = Worker(pickle.load(file))  # noqa: S301 - our own, mode 0600
        _local.stamp = stamp
    worker: Worker = _local.worker
    return worker


def _write_setting(path: str, setting: Setting) -> None:
    if os.path.exists(path):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        pickle.dump(setting, file)
