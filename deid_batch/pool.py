"""Where jobs are done: submit them, take results as they come, learn of a dead worker."""

from __future__ import annotations

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import TracebackType

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from deid_batch.errors import StoppedEarly
from deid_batch.plan import Job
from deid_batch.worker import JobResult, Setting, start

Task = Callable[[Job], JobResult]
warnings.filterwarnings("ignore", category=UserWarning, module=r"joblib\.externals\.loky")  # of a killed worker
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_AHEAD = 2
_STARTS = 3


class LocalPool:
    """joblib's worker processes (loky), used through their executor.

    `joblib.Parallel` drops finished results when a worker dies; the executor keeps them. Even with one job the
    work is done in a process of its own, so that a file that kills its worker does not kill the run.
    """

    def __init__(self, jobs: int, setting: Setting) -> None:
        self._jobs = jobs
        self._setting = setting
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(kill=kind is not None)

    def run(
        self, task: Task, jobs: Iterable[Job], wanted: Callable[[], bool]
    ) -> Iterator[tuple[Job, JobResult | None]]:
        """Each job with its result, in the order they finish; None where a file killed its worker twice.

        Jobs are taken as long as `wanted()`; those under way are always finished. Memory does not grow with them.
        """
        suspects = deque[Job]()
        source = iter(jobs)
        running: dict[Future[JobResult], Job] = {}
        while True:
            while wanted() and len(running) < self._jobs * _AHEAD and (job := next(source, None)) is not None:
                running[self._submitted(task, job, self._jobs)] = job
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED, timeout=0.5)
            for future in finished:
                job = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(job)
                else:
                    yield job, future.result()
            if suspects:
                suspects.extend(running.values())
                running.clear()
                yield from self._one_by_one(task, suspects, wanted)

    def _submitted(self, task: Task, job: Job, workers: int) -> Future[JobResult]:
        executor = self._executor or self._started(workers)
        future: Future[JobResult] = Future()
        try:
            with _signals_blocked():
                future = executor.submit(task, job)
        except BrokenProcessPool as error:  # a worker died since the last look
            future.set_exception(error)
        return future

    def _started(self, workers: int) -> ProcessPoolExecutor:
        """Start worker processes and wait for the first of them: a death from now on is due to a job."""
        with _signals_blocked():  # the trackers first: starting one unblocks signals
            resource_tracker.ensure_running()
            loky_resource_tracker.ensure_running()
        for _ in range(_STARTS):
            common = (self._setting, os.getpid())
            self._executor = ProcessPoolExecutor(workers, initializer=start, initargs=common)
            with _signals_blocked():
                first = self._executor.submit(os.getpid)
            if not isinstance(first.exception(), BrokenProcessPool):
                return self._executor
            self._stop(kill=True)
        raise StoppedEarly("worker processes end as soon as they are started; is there memory for them?")

    def _one_by_one(
        self, task: Task, suspects: deque[Job], wanted: Callable[[], bool]
    ) -> Iterator[tuple[Job, JobResult | None]]:
        """Do the jobs that were under way when a worker died, in smaller pieces, until the guilty file is alone."""
        self._stop(kill=True)
        deaths: dict[Job, int] = {}
        while suspects and wanted():
            job = suspects.popleft()
            future = self._submitted(task, job, 1)
            if not isinstance(future.exception(), BrokenProcessPool):
                yield job, future.result()
                continue
            self._stop(kill=True)
            deaths[job] = deaths.get(job, 0) + 1
            if len(job.paths) > 1:
                suspects.extendleft(reversed(job.halves()))
            elif deaths[job] < 2:
                suspects.appendleft(job)
            else:
                yield job, None
        self._stop(kill=False)

    def _stop(self, *, kill: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kill)
            self._executor = None


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes started meanwhile leave signals to this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
