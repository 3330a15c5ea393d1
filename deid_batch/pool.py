"""Where jobs are done: submit them, take results as they come, learn of a dead worker."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from typing import Any, Protocol, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from deid_batch.errors import StoppedEarly
from deid_batch.plan import Job, single_jobs
from deid_batch.worker import cross, deidentify, probe, start

Answer = tuple[Job, Any]
"""A job and its result; None where its one file ended its worker again and again."""
Tasks = Mapping[str, Callable[[Job], object]]
_TASKS: Tasks = {"probe": probe, "deidentify": deidentify, "cross": cross}
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_AHEAD = 2
_CONTEXT = get_context("fork") if sys.platform == "linux" else None
"""Workers are forked where that is safe, before any thread is started: to start Python anew takes half a second."""
Result = TypeVar("Result")
_STARTS = 3

warnings.filterwarnings("ignore", category=UserWarning, module=r"joblib\.externals\.loky")  # of a killed worker


class Pool(Protocol):
    """Workers that do tasks (`probe`, `deidentify`, or others) on jobs."""

    deaths_allowed: int
    """How often a single file may end its worker before it is given up."""
    shares_fate: bool
    """Whether everything under way is lost when one worker dies."""

    def capacity(self) -> int:
        """How many jobs can be under way at the same time."""
        ...

    def submit(self, task: str, job: Job) -> Future[Any]:
        """Have a job done."""
        ...

    def is_death(self, error: BaseException | None) -> bool:
        """Whether a job ended with this error because a worker died."""
        ...

    def renew(self, *, alone: bool) -> None:
        """Make sure that there are workers again after a death: one, if a job is to be `alone`."""
        ...


def run_jobs(pool: Pool, task: str, jobs: Iterable[Job], wanted: Callable[[], bool]) -> Iterator[Answer]:
    """Each job with its result, in the order they finish.

    Jobs are taken as long as `wanted()`; those under way are always finished. Memory does not grow with them.
    """
    suspects = deque[Job]()
    source = iter(jobs)
    running: dict[Future[Any], Job] = {}
    while True:
        while wanted() and len(running) < pool.capacity() * _AHEAD and (job := next(source, None)) is not None:
            running[pool.submit(task, job)] = job
        if not running:
            break
        finished, _ = wait(running, return_when=FIRST_COMPLETED, timeout=0.5)
        for future in finished:
            job = running.pop(future)
            if pool.is_death(future.exception()):
                suspects.append(job)
            else:
                yield job, future.result()
        if suspects:
            if pool.shares_fate:
                suspects.extend(running.values())
                running.clear()
            yield from _one_by_one(pool, task, suspects, wanted)


def _one_by_one(pool: Pool, task: str, suspects: deque[Job], wanted: Callable[[], bool]) -> Iterator[Answer]:
    """Do the jobs that were under way when a worker died one by one; file by file where that is not enough."""
    pool.renew(alone=True)
    deaths: dict[Job, int] = {}
    while suspects and wanted():
        job = suspects.popleft()
        future = pool.submit(task, job)
        if not pool.is_death(future.exception()):
            yield job, future.result()
            continue
        pool.renew(alone=True)
        deaths[job] = deaths.get(job, 0) + 1
        if len(job.paths) > 1:
            suspects.extendleft(reversed(list(single_jobs(job))))
        elif deaths[job] < pool.deaths_allowed:
            suspects.appendleft(job)
        else:
            yield job, None
    pool.renew(alone=False)


class LocalPool:
    """joblib's worker processes (loky), used through their executor.

    `joblib.Parallel` drops finished results when a worker dies; the executor keeps them. Even with one job the
    work is done in a process of its own, so that a file that kills its worker does not kill the run.
    """

    deaths_allowed = 2
    shares_fate = True

    def __init__(self, jobs: int, initializer: Callable[[Any, int], None], setting: object, tasks: Tasks) -> None:
        self._jobs = self._workers = jobs
        self._initializer = initializer
        self._setting = setting
        self._tasks = tasks
        self._executor: ProcessPoolExecutor | None = None

    def capacity(self) -> int:
        return self._jobs

    def submit(self, task: str, job: Job) -> Future[Any]:
        executor = self._executor or self._started()
        try:
            return _submitted(executor, self._tasks[task], job)
        except BrokenProcessPool as error:  # a worker died since the last look
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def _started(self) -> ProcessPoolExecutor:
        """New worker processes, of which one has begun: a death from now on is due to a job."""
        if _CONTEXT is None:
            with _signals_blocked():  # the trackers first: starting one unblocks signals
                resource_tracker.ensure_running()
                loky_resource_tracker.ensure_running()
        for _ in range(_STARTS):
            common = (self._setting, os.getpid())
            self._executor = ProcessPoolExecutor(
                self._workers, context=_CONTEXT, initializer=self._initializer, initargs=common
            )
            first = _submitted(self._executor, os.getpid)
            if not isinstance(first.exception(), BrokenProcessPool):
                return self._executor
            self.close(kill=True)
        raise StoppedEarly("worker processes end as soon as they are started; is there memory for them?")

    def is_death(self, error: BaseException | None) -> bool:
        return isinstance(error, BrokenProcessPool)

    def renew(self, *, alone: bool) -> None:
        self.close(kill=True)
        self._workers = 1 if alone else self._jobs

    def close(self, *, kill: bool) -> None:
        """End the workers: at once, or when they have done what they do."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            started = list(executor._processes.values()) if kill else []
            executor.shutdown(wait=True, kill_workers=kill)
            for process in started:  # which loky forgets where it could not start them all
                process.kill()
                process.join()


@contextmanager
def local_pool(
    jobs: int, setting: object, initializer: Callable[[Any, int], None] = start, tasks: Tasks = _TASKS
) -> Iterator[Pool]:
    """Worker processes on this machine; an error ends them at once.

    Each is given the setting and this process's id before it does a task.
    """
    pool = LocalPool(jobs, initializer, setting, tasks)
    try:
        yield pool
    except BaseException:
        pool.close(kill=True)
        raise
    pool.close(kill=False)


def _submitted(executor: ProcessPoolExecutor, task: Callable[..., Result], *arguments: Job) -> Future[Result]:
    """Hand a task over; processes that are started for it leave signals to this one."""
    with _signals_blocked():
        try:
            future: Future[Result] = executor.submit(task, *arguments)
        except UnboundLocalError as error:  # loky hides why it can't start a process
            raise error.__context__ or error from None
        return future


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes started meanwhile leave signals to this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
