"""Jobs on an existing Dask cluster over a shared file system.

It goes through `distributed`'s own futures: joblib's Dask backend waits for ever once a file has killed its workers.
Keys never travel: a task names a file of mode 0600 in the work directory, from which the workers read what they need.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache

import dask
from distributed import Client, KilledWorker, Security
from distributed import Future as Remote

from deid_batch import __version__
from deid_batch.audit import COLUMNS
from deid_batch.errors import StoppedEarly, UsageError
from deid_batch.plan import Job
from deid_batch.pool import Pool
from deid_batch.worker import JobResult, Setting, Worker
from deid_batch.workspace import setting_file

_PATIENCE_SECONDS = 120.0
"""How long a cluster may be without workers."""
_LOOK_SECONDS = 1.0
_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:[0-9]{1,5}")
_NO_WORKERS = "the Dask cluster has had no workers for two minutes"
_GONE = "the Dask scheduler is gone, or has dropped the jobs"
_UNLIKE = f"the Dask cluster can't do the jobs ({{}}); deid-batch {__version__} must be installed on all its machines"
_BLIND = "a Dask worker does not find the files of SOURCE; all machines must share it"
_REASON = COLUMNS.index("reason")
_turn = threading.Lock()
"""A process does one job at a time: the alarm and the filters of warnings are the process's, not a thread's."""


def check_scheduler(address: str) -> None:
    """Raise UsageError for what is no address or lacks its certificates, StoppedEarly where nobody answers."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError("--scheduler is not an address such as tcp://host:8786 or tls://host:8786")
    try:
        has_certificates = Security().get_connection_args("client").get("ssl_context")
    except OSError as error:
        raise UsageError(f"the certificates in Dask's configuration can't be read ({error.strerror})") from None
    loads_them = dask.config.get("distributed.client.security-loader", None)
    if address.startswith(("tls", "wss")) and not has_certificates and not loads_them:
        raise UsageError("--scheduler tls://… needs certificates: set distributed.comm.tls in Dask's configuration")
    with _connected(address):
        pass


@contextmanager
def dask_pool(address: str, setting: Setting, work: str) -> Iterator[Pool]:
    """The workers of the scheduler at `address`."""
    with setting_file(work, pickle.dumps(setting)) as path, _connected(address) as client:
        pool = DaskPool(client, setting, path)
        try:
            yield pool
        finally:
            pool.close()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    """A client, whose messages for developers are not shown."""
    shown = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        try:
            client = Client(address, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError):
            raise StoppedEarly(f"no Dask scheduler answers at {address}") from None
        try:
            yield client
        finally:
            client.close(timeout="10s")
    finally:
        logging.disable(shown)


class _WorkerDied(Exception):
    """A job's worker died, perhaps of it."""


class DaskPool:
    """A cluster. Its keepers ("nannies") start workers anew."""

    deaths_allowed = 2
    shares_fate = False

    def __init__(self, client: Client, setting: Setting, setting_path: str) -> None:
        self._client = client
        self._setting = setting
        self._setting_path = setting_path
        self._under_way: set[Future[JobResult]] = set()
        self._threads = 0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look_for_workers, daemon=True)
        self._watch.start()

    def capacity(self) -> int:
        return max(1, self._threads)

    def submit(self, task: str, job: Job) -> Future[JobResult]:
        future: Future[JobResult] = Future()
        self._under_way.add(future)
        call = (task, job, self._setting_path, __version__, secrets.token_hex(8))
        try:
            remote = self._client.submit(do_task, *call, pure=False)
            remote.add_done_callback(lambda remote: self._settle(future, self._result_of(job, remote)))
        except Exception:  # as `distributed` has no common one for a client that was closed by its scheduler's end
            self._settle(future, JobResult(fault=_GONE))
        return future

    def is_death(self, error: BaseException | None) -> bool:
        return isinstance(error, _WorkerDied)

    def renew(self, *, alone: bool) -> None:
        """Nothing: the cluster does it."""

    def close(self) -> None:
        """Look after the workers no more."""
        self._ended.set()
        self._watch.join()

    def _settle(self, future: Future[JobResult], result: JobResult | None) -> None:
        """Let a job end with its result; None: its worker died."""
        self._under_way.discard(future)
        with suppress(InvalidStateError):  # given up meanwhile
            if result is None:
                future.set_exception(_WorkerDied())
            else:
                future.set_result(result)

    def _result_of(self, job: Job, remote: Remote) -> JobResult | None:
        try:
            result: JobResult | None = remote.result()
        except KilledWorker:
            return None
        except Exception as error:
            return JobResult(fault=_UNLIKE.format(type(error).__name__) if remote.status == "error" else _GONE)
        return JobResult(fault=_BLIND) if result and self._are_here(job, result) else result

    def _are_here(self, job: Job, result: JobResult) -> bool:
        """Whether all files of a job have vanished for the worker, but not for this process."""
        vanished = sum(row[_REASON] == "vanished" for _, row in result.rows)
        return vanished == len(job.paths) and all(map(os.path.lexists, map(self._setting.file, job.paths)))

    def _look_for_workers(self) -> None:
        """Give up what is under way once there have been no workers for too long."""
        seen = time.monotonic()
        while not self._ended.is_set():
            try:
                self._threads = sum(self._client.nthreads().values())
            except Exception:  # as above; what is under way learns of it
                self._threads = 0
            if self._threads:
                seen = time.monotonic()
            elif time.monotonic() - seen > _PATIENCE_SECONDS:
                for future in list(self._under_way):
                    self._settle(future, JobResult(fault=_NO_WORKERS))
            self._ended.wait(_LOOK_SECONDS)


def do_task(task: str, job: Job, setting_path: str, version: str, attempt: str) -> JobResult | None:
    """Do a job on a cluster's worker. None: this attempt was begun before, and its process has died.

    Left to itself the cluster would bring a deadly job to four workers before it says so. Nothing is raised, as the
    cluster would log it together with the job.
    """
    if version != __version__:
        return _fault(f"has deid-batch {__version__}, not {version}")
    with _turn:
        try:
            worker, area = _worker_for(setting_path)
            begun = os.path.join(area, os.fsencode(attempt))
            os.close(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return None
        except OSError as error:
            return _fault(f"can't use SOURCE, OUT or the work directory ({os.strerror(error.errno or 0)})")
        except Exception as error:
            return _fault(f"lacks what the config needs ({type(error).__name__})")
        try:
            tasks = {"probe": worker.probe, "deidentify": worker.deidentify, "cross": worker.cross}
            return tasks[task](job)
        except Exception as error:
            return _fault(f"failed ({type(error).__name__})")
        finally:
            with suppress(OSError):  # the run has ended meanwhile
                os.unlink(begun)


def _fault(what: str) -> JobResult:
    return JobResult(fault=f"the Dask worker on {socket.gethostname()} {what}")


@lru_cache(maxsize=4)
def _worker_for(setting_path: str) -> tuple[Worker, bytes]:
    """This process's worker for a run, and the run's folder for temporary files."""
    with open(setting_path, "rb") as file:
        setting: Setting = pickle.load(file)  # noqa: S301 - our own, mode 0600
    os.stat(setting.source)
    if not setting.dry_run:
        out = os.stat(setting.out)
        setting = replace(setting, out_identity=(out.st_dev, out.st_ino))  # each machine numbers its devices
    return Worker(setting), setting.temporary
