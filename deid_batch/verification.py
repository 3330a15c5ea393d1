"""The leak check of a whole OUT: pair outputs with inputs, compare them in parallel, report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from deid_batch import workspace
from deid_batch.audit import shown_path, write_table
from deid_batch.batch import config_mark, first_day, machine_heeded, source_mark
from deid_batch.config import Config
from deid_batch.errors import SourceError, StoppedEarly, UsageError
from deid_batch.fileset import NAME as DICOMDIR
from deid_batch.ledger import Ledger
from deid_batch.plan import Job, portions
from deid_batch.pool import Pool, local_pool, run_jobs
from deid_batch.progress import Progress
from deid_batch.rules import RuleSet
from deid_batch.scan import Passed, find_files
from deid_batch.verify.facts import Facts
from deid_batch.verify.process import Compared, Examiner, Learned, Places, unreadable
from deid_batch.worker import settle_in

COLUMNS = ("output", "place", "finding", "how")
REPORT_NAME = "verify.csv"
_FILES_A_JOB = 64
_FOUND_A_TRANSACTION = 4096
_LOST = "it ended the process that looked at it"
_KEY = bytes(32)
"""Stands for keys: what a config promises does not depend on them."""


@dataclass(frozen=True)
class VerifyOptions:
    """What is to be compared, and where the report goes; paths are as the user wrote them."""

    source: str
    out: str
    work: str
    report: str
    jobs: int


@dataclass
class Verification:
    """What a check came to. `counts`: (kind, places, files)."""

    files: int = 0
    files_with_findings: int = 0
    counts: list[tuple[str, int, int]] = field(default_factory=list)
    by_place: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(kind, place, how, files), the most frequent first."""
    has_ledger: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code that tells of it."""
        return 4 if self.counts else 0


def verify(config: Config, options: VerifyOptions, progress: Progress) -> Verification:
    """Compare OUT with SOURCE. Raises UsageError, SourceError or StoppedEarly where nothing can be done."""
    workspace.check_places(options.source, options.out, options.work, os.path.join(options.work, "audit.csv"))
    workspace.check_report(options.report, options.source, options.out, COLUMNS)
    if not os.path.isdir(options.out):
        raise UsageError("OUT does not exist")
    with machine_heeded(), ExitStack() as stack:
        has_ledger = os.path.exists(os.path.join(options.work, workspace.LEDGER_NAME))
        _make_work(options.work)
        stack.enter_context(workspace.locked(options.work))
        folder = stack.enter_context(workspace.folder_of_check(options.work))
        facts = Facts(os.path.join(folder, "facts.sqlite"))
        stack.callback(facts.close)
        rules = _expect_by_ledger(config, options, facts) if has_ledger else _expect_by_names(config, options, facts)
        files = _scan(options, facts)
        if not files and not facts.counts():
            raise SourceError("OUT holds no file")
        places = Places(
            os.fsencode(os.path.abspath(options.source)),
            os.fsencode(os.path.abspath(options.out)),
            os.path.join(folder, "facts.sqlite"),
            rules,
            config.false_alarms,
        )
        with local_pool(options.jobs, places, start, _TASKS) as pool:
            _work_through(pool, facts, files, progress)
            if os.path.isfile(os.path.join(options.out, DICOMDIR)):
                for _, compared in run_jobs(pool, "compare_directory", [Job((DICOMDIR.encode(),))], _always):
                    facts.compared(compared.outcomes if compared else [(DICOMDIR.encode(), unreadable(_LOST))])
        facts.compare_all()
        write_table(options.report, COLUMNS, _rows(facts))
        return Verification(files, facts.files_with_findings(), facts.counts(), facts.by_place(), has_ledger)


def _make_work(work: str) -> None:
    try:
        os.makedirs(work, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoppedEarly(f"the work directory can't be made ({error.strerror})") from None


def _expect_by_ledger(config: Config, options: VerifyOptions, facts: Facts) -> RuleSet:
    """Take in what the run wrote by its ledger. Another config or SOURCE than the run's: UsageError."""
    ledger = Ledger(os.path.join(options.work, workspace.LEDGER_NAME), read_only=True)
    try:
        rules = _settled(config, ledger)
        marks = {"source": source_mark(options.source), "config": config_mark(rules)}
        if differing := [name for name, mark in marks.items() if ledger.remembered(name) not in (None, mark)]:
            raise UsageError(f"OUT was made with a different {', '.join(differing)}; name the same as for the run")
        rows = ((name, path, digest) for path, name, digest in ledger.digests())
        for portion in portions(rows, _FOUND_A_TRANSACTION):
            facts.expect(portion)
        return rules
    finally:
        ledger.close()


def _settled(config: Config, ledger: Ledger | None) -> RuleSet:
    day = (ledger and first_day(ledger)) or datetime.now(UTC).date()
    return config.settled(dict.fromkeys(config.missing_keys(), _KEY), day)


def _expect_by_names(config: Config, options: VerifyOptions, facts: Facts) -> RuleSet:
    """Take in files that have the same names under SOURCE and OUT."""
    source, out = os.fsencode(options.source), os.fsencode(options.out)
    if os.path.isdir(source):
        pairs: Iterable[bytes] = (it for it in _names(out) if os.path.isfile(os.path.join(source, it)))
    else:
        pairs = [os.path.basename(source)]
    for portion in portions(((name, name, "") for name in pairs), _FOUND_A_TRANSACTION):
        facts.expect(portion)
    return _settled(config, None)


def _scan(options: VerifyOptions, facts: Facts) -> int:
    """Look which files are there; how many of them have an input."""
    out = os.fsencode(options.out)
    for portion in portions(_names(out), _FOUND_A_TRANSACTION):
        facts.there(name for name in portion if name != DICOMDIR.encode())
    return facts.close_scan()


def _names(out: bytes) -> Iterator[bytes]:
    """The paths of everything that stands in OUT and is no folder."""
    for entry in find_files(out):
        if not (isinstance(entry, Passed) and os.path.isdir(os.path.join(out, entry.path))):
            yield entry.path


def _work_through(pool: Pool, facts: Facts, files: int, progress: Progress) -> None:
    """First learn from all inputs what identifies each patient, then look for it."""
    with progress.phase("learn", files) as advance:
        for job, learned in run_jobs(pool, "learn", _jobs(facts), _always):
            facts.learned(learned.found if learned else ())
            advance(len(job.paths), 0, 0)
    facts.index_patients()
    with progress.phase("compare", files) as advance:
        for job, compared in run_jobs(pool, "compare", _jobs(facts), _always):
            lost = [(name, unreadable(_LOST)) for name in job.paths]
            outcomes = compared.outcomes if compared else lost
            facts.compared(outcomes)
            found = sum(bool(outcome.findings) for _, outcome in outcomes)
            advance(len(job.paths), compared.size if compared else 0, found)


def _jobs(facts: Facts) -> Iterator[Job]:
    return map(Job, portions(facts.names(), _FILES_A_JOB))


def _always() -> bool:
    return True


def _rows(facts: Facts) -> Iterator[tuple[str, str, str, str]]:
    return ((shown_path(name), place, kind, how) for name, kind, place, how in facts.findings())


_examiner: Examiner | None = None


def start(places: Places, parent: int) -> None:
    """Make this process a worker of the check."""
    global _examiner  # noqa: PLW0603 - a worker process has one setting for life
    settle_in(parent)
    _examiner = Examiner(places)


def learn(job: Job) -> Learned:
    """`Examiner.learn` of this process."""
    assert _examiner is not None
    return _examiner.learn(job.paths)


def compare(job: Job) -> Compared:
    """`Examiner.compare` of this process."""
    assert _examiner is not None
    return _examiner.compare(job.paths)


def compare_directory(job: Job) -> Compared:
    """`Examiner.compare_directory` of this process."""
    assert _examiner is not None
    return _examiner.compare_directory(job.paths[0])


_TASKS = {"learn": learn, "compare": compare, "compare_directory": compare_directory}
