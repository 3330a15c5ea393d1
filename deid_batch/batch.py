"""A whole run: scan, de-identify in parallel, keep the books."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from types import FrameType

from deid_batch import __version__, crosswalk, crypto, workspace
from deid_batch.audit import AuditLog
from deid_batch.config import Config
from deid_batch.errors import FileError, Skipped, StoppedEarly, UsageError
from deid_batch.fileset import UNFINISHED, FileSet
from deid_batch.ledger import Fault, Found, Ledger, Outcome
from deid_batch.mirror import Mirror
from deid_batch.names import Names
from deid_batch.plan import Job, cut_into_jobs, portions
from deid_batch.pool import Pool, local_pool, run_jobs
from deid_batch.progress import Progress
from deid_batch.rules import RuleSet
from deid_batch.scan import Passed, find_files
from deid_batch.worker import MACHINE_FAULTS, JobResult, Setting, failure_row, sealed, unsealed
from deid_batch.workspace import unlink_in

_PROBES_A_JOB = 256
_FOUND_A_TRANSACTION = 4096
_AGAIN = "run the same command again to continue"
_KEY_STATE, _DATE_STATE, _GROUP_STATE = "key ", "reference date", "group key"


@dataclass(frozen=True)
class Options:
    """How a run is to be done; paths are as the user wrote them."""

    source: str
    out: str
    jobs: int
    work: str
    audit: str
    overwrite: bool = False
    dry_run: bool = False
    strict: bool = False
    max_failures: int | None = None
    file_timeout: float = 0.0
    verify_outputs: bool = False
    verify: bool = False
    """Whether each output is looked through for leaks before it appears."""
    dicomdir: bool = False
    names: Names = "mirror"
    crosswalk: str = ""
    """The folder for the crosswalk; "" for none."""
    certificate: bytes = field(default=b"", repr=False)
    """The certificate that the crosswalk is sealed to; b"" for none."""
    scheduler: str = ""
    """The address of a Dask scheduler whose workers do the jobs; "" for processes of this machine."""


@dataclass
class Summary:
    """What a run came to; of a continued one, the whole.

    `outcomes`: (status, reason, files, bytes in, bytes out). `failures`: (reason, detail, files).
    """

    outcomes: list[Outcome] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    generated_keys: list[str] = field(default_factory=list)
    failures: list[tuple[str, str, int]] = field(default_factory=list)
    files_now: int = 0
    bytes_now: int = 0
    gone: int = 0
    remaining: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    stopped: str = ""
    dicomdir: str = ""
    """What became of the DICOMDIR; "" where none was asked for."""
    crosswalk: str = ""
    """What became of the crosswalk; "" where none was asked for."""
    telling: tuple[int, int] = (0, 0)
    """How many parts of names were replaced because they tell who somebody is, and in how many outputs'."""

    def files(self, *statuses: str) -> int:
        """How many files have one of these statuses."""
        return sum(files for status, _, files, _, _ in self.outcomes if status in statuses)

    @property
    def exit_code(self) -> int:
        """The exit code that tells of this run."""
        if self.interrupted:
            return 130
        if self.stopped:
            return 5
        if not self.files("written", "set-aside", "failed"):
            return 3
        if any(outcome.reason == "leak-found" for outcome in self.outcomes):
            return 4
        return 1 if self.files("failed", "set-aside") else 0


def run_batch(config: Config, options: Options, progress: Progress) -> Summary:
    """De-identify SOURCE into OUT. Raises UsageError, SourceError or StoppedEarly where nothing can be done."""
    began = time.monotonic()
    workspace.check_places(options.source, options.out, options.work, options.audit)
    if options.crosswalk:
        crosswalk.check_folder(options.crosswalk, options.source, options.out)
    if options.scheduler:
        _check_scheduler(options.scheduler)
    with machine_heeded(), ExitStack() as stack:
        work = options.work
        if options.dry_run:
            shared = os.path.dirname(os.path.abspath(work)) if options.scheduler else None
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="deid_batch-", dir=shared))
        else:
            workspace.prepare_work(work, options.out, overwrite=options.overwrite)
            stack.enter_context(workspace.locked(work))
            workspace.remove_setting_files(work)
            workspace.remove_folders_of_checks(work)
        ledger = Ledger(os.path.join(work, workspace.LEDGER_NAME))
        stack.callback(ledger.close)
        summary = Summary()
        rules = _settled(config, options, ledger, summary)
        area, out_identity = work, (0, 0)
        if not options.dry_run:
            workspace.prepare_out(options.out)
            stack.enter_context(workspace.out_locked(options.out))
            area = stack.enter_context(_area(work, options.out, ledger, summary))
            status = os.stat(options.out)
            out_identity = status.st_dev, status.st_ino
        audit = AuditLog(os.path.join(work, "audit.csv") if options.dry_run else options.audit)
        stack.callback(audit.close)
        setting = Setting(
            source=os.fsencode(os.path.abspath(options.source)),
            out=os.fsencode(os.path.abspath(options.out)),
            temporary=os.fsencode(os.path.abspath(area)),
            rules=replace(rules, hides_names=options.names == "mirror"),
            out_identity=out_identity,
            group_key=group_key(ledger),
            forgotten=ledger.forgotten(),
            strict=options.strict,
            dry_run=options.dry_run,
            file_timeout=options.file_timeout,
            verify=options.verify,
            false_alarms=config.false_alarms,
            names=options.names,
        )
        run = _Run(options, setting, ledger, audit, progress, summary)
        with run.signals_heeded(), _pool(options, setting, work) as pool:
            run.do(pool)
        _sum_up(ledger, rules, summary)
    summary.seconds = time.monotonic() - began
    return summary


class _Run:
    """The work of one run, between the opening and the closing of the books."""

    def __init__(
        self, options: Options, setting: Setting, ledger: Ledger, audit: AuditLog, progress: Progress, summary: Summary
    ) -> None:
        self._options = options
        self._setting = setting
        self._ledger = ledger
        self._audit = audit
        self._progress = progress
        self._summary = summary
        self._file_set = FileSet(setting.out, ledger)
        self._failures = 0

    def do(self, pool: Pool) -> None:
        """Scan, then de-identify what is not done yet."""
        self._note(JobResult(self._find()))
        self._give_up_colliding()
        self._file_set.withdraw_stale()
        self._audit.rewrite(self._ledger.rows())
        unprobed = map(Job, portions(self._ledger.unprobed(), _PROBES_A_JOB))
        self._work_through(pool, "scan", "probe", unprobed, self._ledger.remaining(unprobed=True))
        if self._goes_on():
            self._judge_copies()
            self._progress.tell(*self._coverage())
        self._get_acquainted(pool)
        if self._goes_on() and self._options.names == "mirror":
            self._hide_telling_names()
        todo = map(self._informed, cut_into_jobs(self._ledger.todo()))
        self._work_through(pool, "de-identify", "deidentify", todo, self._ledger.remaining())
        if self._goes_on() and not self._ledger.remaining():
            self._ledger.forget_identity()
        self._audit.rewrite(self._ledger.rows())
        self._file_set.withdraw_stale()
        if self._options.crosswalk and not self._options.dry_run:
            self._summary.crosswalk = self._cross(pool)
        if self._options.dicomdir and not self._options.dry_run:
            self._summary.dicomdir = self._renew_dicomdir()

    def _judge_copies(self) -> None:
        """Of files with one SOP Instance UID the first by path has the plain name, whenever the others came."""
        copies = self._ledger.misjudged_copies()
        if copies:
            self._remove_outputs(map(self._ledger.output_of, filter(self._ledger.is_written, copies)), prune=True)
            self._ledger.rejudge_copies(copies)

    def _coverage(self) -> Iterator[str]:
        """What each list of the config's knows of the files, as lines without values."""
        for lookup in self._setting.rules.lookups:
            found = self._ledger.coverage(lookup.number * lookup.MARK)
            yield f"mapping {lookup}: {found.values:,} values in {found.files:,} files"
            if found.missing_values:
                yield f"  not in the list: {found.missing_values:,} values in {found.missing_files:,} files"
            if found.files_without:
                yield f"  files without a value: {found.files_without:,}"
            if found.values > found.new:
                yield f"  values that become one with another: {found.values - found.new:,}"

    def _get_acquainted(self, pool: Pool) -> None:
        """Have all at hand that identifies in the groups of files to be done.

        What finished runs have forgotten is collected again. Files that were written when less was known of their
        groups are done again, and so may need what is known in others.
        """
        while self._setting.rules.collects and self._goes_on():
            again = map(Job, portions(self._ledger.uncollected(), _PROBES_A_JOB))
            with self._progress.phase("scan again", self._ledger.count_uncollected()) as advance:
                for job, answer in run_jobs(pool, "probe", again, self._goes_on):
                    result = answer or JobResult()
                    self._ledger.recollected(job.paths, unsealed(self._setting.group_key, result.said))
                    self._summary.stopped = self._summary.stopped or result.fault
                    advance(len(job.paths), 0, 0)
            knows = self._setting.rules.knows
            if not self._goes_on() or not self._ledger.reopen_outgrown(wanted=knows):
                break

    def _hide_telling_names(self) -> None:
        """Have other names for what tells who somebody is, for the outputs of earlier runs too."""
        if not self._ledger.remaining():
            return
        mirror = Mirror(self._ledger, self._setting.rules)
        for some in portions(mirror.telling(), _FOUND_A_TRANSACTION):
            self._ledger.note_telling(some)
        if not any(self._ledger.telling()):
            return
        for renamed in portions(mirror.renamed(), _FOUND_A_TRANSACTION):
            stale = filter(self._ledger.is_written, (path for path, _ in renamed))
            self._remove_outputs(map(self._ledger.output_of, stale), prune=True)
            self._ledger.rename(renamed)
        self._give_up_clashing()

    def _give_up_clashing(self) -> None:
        """Give up files whose outputs' new names are those of others."""
        clashing = [] if self._options.dry_run else self._ledger.clashing()
        if clashing and not self._options.dry_run and workspace.folds_names(os.fsdecode(self._setting.temporary)):
            clashing += self._ledger.colliding()
        rows = [(path, failure_row(path, _COLLIDING)) for path in dict.fromkeys(clashing)]
        self._note(JobResult(rows))

    def _informed(self, job: Job) -> Job:
        """The job with what is known in the groups of its files, where a method looks at it."""
        if not self._setting.rules.knows:
            return job
        return replace(job, known=sealed(self._setting.group_key, self._ledger.known_in(job.groups)))

    def _cross(self, pool: Pool) -> str:
        """Write the crosswalk, by the inputs and outputs themselves, if all is done that it is to tell of.

        One that is sealed is never kept in the ledger.
        """
        sealed_pairs: dict[str, set[crosswalk.Pair]] = {kind: set() for kind in crosswalk.FILES}
        is_sealed = bool(self._options.certificate)
        files, gone = self._ledger.count_uncrossed(every=is_sealed)
        unread = 0
        if not self._goes_on() or self._ledger.remaining():
            return f"No crosswalk is written: {UNFINISHED}"
        jobs = (
            Job(tuple(path for path, _ in some), names=some)
            for some in portions(self._ledger.uncrossed(every=is_sealed), _PROBES_A_JOB)
        )
        with self._progress.phase("crosswalk", files) as advance:
            for job, answer in run_jobs(pool, "cross", jobs, self._goes_on):
                result = answer or JobResult([(path, failure_row(path, _KILLED)) for path in job.paths])
                self._summary.stopped = self._summary.stopped or result.fault
                unread += len(result.rows)
                pairs = unsealed(self._setting.group_key, result.said)
                if is_sealed:
                    for _, kind, pair in pairs:
                        sealed_pairs[kind].add((pair.partition("\0")[0], pair.partition("\0")[2]))
                elif not result.fault:
                    self._ledger.crossed({*job.paths} - {path for path, _ in result.rows}, pairs)
                advance(len(job.paths), 0, 0)
        if not self._goes_on():
            return f"No crosswalk is written: {UNFINISHED}"
        return self._write_crosswalk(sealed_pairs, gone, unread)

    def _write_crosswalk(self, sealed_pairs: Mapping[str, set[crosswalk.Pair]], gone: int, unread: int) -> str:
        """Write the lists; what is missing in them."""
        folder, certificate = self._options.crosswalk, self._options.certificate
        self._ledger.remember({crosswalk.STATE: os.fsencode(os.path.abspath(folder))})
        for kind in crosswalk.FILES:
            if certificate:
                crosswalk.write_sealed(folder, kind, sealed_pairs[kind], certificate, keep=bool(gone))
            else:
                crosswalk.write(folder, kind, self._ledger.crosswalk(kind))
        said = f"Crosswalk: {folder}"
        if gone:
            where = "; what earlier ones say of them is kept beside it" if certificate else ""
            said += f"; {gone:,} files that are gone from SOURCE are missing{where}"
        return said + (f"; {unread:,} files that can't be read are missing" if unread else "")

    def _renew_dicomdir(self) -> str:
        """Write a DICOMDIR, if everything is done that it is to refer to."""
        if not self._goes_on() or self._ledger.remaining():
            return f"No DICOMDIR is written: {UNFINISHED}"
        overwrite = self._options.overwrite
        return self._file_set.renew(self._setting.temporary, self._progress, self._goes_on, overwrite=overwrite)

    def _give_up_colliding(self) -> None:
        """Give up files whose names OUT can't tell from others'. Only what was made of these goes, not of those."""
        if self._options.dry_run or not workspace.folds_names(os.fsdecode(self._setting.temporary)):
            return
        colliding = dict.fromkeys(self._ledger.colliding(), _COLLIDING)
        self._remove_outputs(map(self._ledger.output_of, filter(self._ledger.is_written, colliding)))
        self._note(JobResult([(path, failure_row(path, error)) for path, error in colliding.items()]))

    def _find(self) -> list[tuple[bytes, tuple[object, ...]]]:
        """Take all files under SOURCE into the ledger; the rows of what is not looked into."""
        run = self._ledger.begin_run()
        passed: list[tuple[bytes, tuple[object, ...]]] = []
        for portion in portions(find_files(self._setting.source), _FOUND_A_TRANSACTION):
            if not self._goes_on():
                return passed
            found = [entry if isinstance(entry, Found) else Found(entry.path, 0, 0) for entry in portion]
            changed = self._ledger.changed(found)
            stale = filter(self._ledger.is_written, (file.path for file in changed))
            self._remove_outputs(map(self._ledger.output_of, stale))
            self._ledger.found(run, found, changed, b"" if self._options.names == "uid" else None)
            passed += [(e.path, failure_row(e.path, _reason_of(e))) for e in portion if isinstance(e, Passed)]
        self._summary.gone = self._ledger.finish_scan(run)
        self._ledger.reopen(path for path, name, size in self._ledger.written() if self._size_in_out(name) != size)
        if self._options.verify_outputs:
            self._ledger.reopen(self._altered())
        self._ledger.forget_lost(run)
        return passed

    def _altered(self) -> Iterator[bytes]:
        """Files whose outputs are not what was written."""
        with ThreadPoolExecutor(self._options.jobs) as threads:
            for portion in portions(self._ledger.digests(), _FOUND_A_TRANSACTION):
                digests = threads.map(self._digest_in_out, (name for _, name, _ in portion))
                pairs = zip(portion, digests, strict=True)
                yield from (path for (path, _, written), found in pairs if found != written)

    def _digest_in_out(self, name: bytes) -> str:
        try:
            with open(os.path.join(self._setting.out, name), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""

    def _size_in_out(self, name: bytes) -> int:
        try:
            return os.stat(os.path.join(self._setting.out, name)).st_size
        except OSError:
            return -1

    def _remove_outputs(self, names: Iterable[bytes], *, prune: bool = False) -> None:
        """Take away what was made of inputs that are not what they were, or can't be de-identified any more.

        `prune`: folders that are empty then go as well, as they may while no worker needs them.
        """
        if not self._options.dry_run:
            unlink_in(self._setting.out, names, prune=prune)

    def _work_through(self, pool: Pool, name: str, task: str, jobs: Iterable[Job], files: int) -> None:
        """Have jobs over so many files done, and note their results as they come."""
        with self._progress.phase(name, files) as advance:
            for job, answer in run_jobs(pool, task, jobs, self._goes_on):
                result = answer or JobResult([(path, failure_row(path, _KILLED)) for path in job.paths])
                said = unsealed(self._setting.group_key, result.said)
                self._ledger.probed(result.scopes, result.lookups, said, result.instances)
                failures = self._record(result)
                advance(len(job.paths), result.size, failures)
                if task == "deidentify":
                    self._summary.files_now += len(result.rows)
                    self._summary.bytes_now += result.size

    def _record(self, result: JobResult) -> int:
        """Note what became of files, in the audit log too; how many failed."""
        self._remove_outputs(self._ledger.output_of(path) for path, row in result.rows if row[1] != "written")
        given = {name for _, name in result.names}
        outgrown = {self._ledger.output_of(path) for path, _ in result.names} - given
        self._remove_outputs(name for name in outgrown if not self._ledger.is_output(name))
        failures = self._note(result)
        self._audit.append(row for _, row in result.rows)
        return failures

    def _note(self, result: JobResult) -> int:
        """Note what became of files; how many failed. Too many failures, or a fault of the machine, end the run."""
        self._ledger.done(result.rows, result.hits, result.names)
        failures = sum(row[1] == "failed" for _, row in result.rows)
        self._failures += failures
        limit = self._options.max_failures
        if limit is not None and self._failures > limit:
            self._summary.stopped = self._summary.stopped or f"more than {limit} files failed"
        self._summary.stopped = self._summary.stopped or result.fault
        return failures

    def _goes_on(self) -> bool:
        return not self._summary.interrupted and not self._summary.stopped

    @contextmanager
    def signals_heeded(self) -> Iterator[None]:
        """The first signal lets the jobs under way finish, the second stops at once."""

        def heed(_number: int, _frame: FrameType | None) -> None:
            if self._summary.interrupted:
                raise KeyboardInterrupt
            self._summary.interrupted = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
        before = {number: signal.signal(number, heed) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_KILLED = FileError("worker-died", "the file ended its worker process again and again, or took too long")
_COLLIDING = FileError("name-collision", "OUT takes its name for that of another file")


def _check_scheduler(address: str) -> None:
    """Raise UsageError or StoppedEarly where there is no Dask cluster to be used."""
    try:
        from deid_batch.daskpool import check_scheduler  # noqa: PLC0415 - needs an extra
    except ImportError:
        raise UsageError("--backend dask needs more packages: pip install 'deid-batch[dask]'") from None
    check_scheduler(address)


@contextmanager
def _pool(options: Options, setting: Setting, work: str) -> Iterator[Pool]:
    """The workers that the run was asked to use."""
    if not options.scheduler:
        with local_pool(options.jobs, setting) as pool:
            yield pool
        return
    from deid_batch.daskpool import dask_pool  # noqa: PLC0415 - needs an extra

    with dask_pool(options.scheduler, setting, os.path.abspath(work)) as pool:
        yield pool


def _reason_of(entry: Passed) -> FileError:
    return FileError("unreadable") if entry.reason == "unreadable" else Skipped(entry.reason)


def _settled(config: Config, options: Options, ledger: Ledger, summary: Summary) -> RuleSet:
    """The rule set with its keys; those that nobody gave are drawn at random once per work directory."""
    missing = config.missing_keys()
    kept = {purpose: ledger.remembered(_KEY_STATE + purpose) for purpose in missing}
    keys = {purpose: key or secrets.token_bytes(32) for purpose, key in kept.items()}
    day = first_day(ledger) or datetime.now(UTC).date()
    rules = config.settled(keys, day)
    _check_agreement(_marks(options, rules), options, ledger)
    drawn = {_KEY_STATE + purpose: keys[purpose] for purpose in missing}
    ledger.remember({**drawn, **_marks(options, rules), _DATE_STATE: day.isoformat().encode()})
    used = {method.purpose for method in rules.methods}
    summary.generated_keys = [purpose for purpose in missing if purpose in used]
    return rules


def group_key(ledger: Ledger) -> bytes:
    """The key of this work directory that names groups of files."""
    key = ledger.remembered(_GROUP_STATE) or secrets.token_bytes(32)
    ledger.remember({_GROUP_STATE: key})
    return key


def _marks(options: Options, rules: RuleSet) -> dict[str, bytes]:
    """What must be the same in all runs into one OUT, in forms that give no key away."""
    keys = [crypto.fingerprint(rules.uid_key)]
    keys += [crypto.fingerprint(key) for method in rules.methods if (key := getattr(method, "key", b""))]
    return {
        "source": source_mark(options.source),
        "config": config_mark(rules),
        "list of identifiers": _list_mark(rules),
        "keys": " ".join(keys).encode(),
        "version": __version__.encode(),
        "validate-output": str(options.strict).encode(),
        "verify": str(options.verify).encode(),
        "names": options.names.encode(),
    }


def source_mark(source: str) -> bytes:
    """By what a ledger knows SOURCE."""
    return os.fsencode(os.path.realpath(source))


def config_mark(rules: RuleSet) -> bytes:
    """By what a ledger knows a config, whatever its keys."""
    written = repr([(rule.selector, rule.method, rule.when) for rule in rules.rules]) + repr(rules.profile or "")
    return hashlib.sha256(f"{written} {rules.takes_common_words}".encode()).digest()


def _list_mark(rules: RuleSet) -> bytes:
    """By what a ledger knows a list of identifiers: by key, as their digest alone could be guessed at."""
    listed = repr(sorted(rules.identifiers)).encode()
    return crypto.derive(rules.uid_key, "identifiers", listed) if rules.identifiers else b""


def first_day(ledger: Ledger) -> date | None:
    """The day on which the first run of an OUT began."""
    day = ledger.remembered(_DATE_STATE)
    return date.fromisoformat(day.decode()) if day else None


def _check_agreement(marks: Mapping[str, bytes], options: Options, ledger: Ledger) -> None:
    """Refuse to mix two runs in one OUT; with `overwrite`, clear away what the earlier one wrote."""
    earlier = {name: ledger.remembered(name) for name in marks}
    if options.overwrite:
        unlink_in(os.fsencode(options.out), (name for _, name, _ in ledger.written()), prune=True)
        ledger.clear()
    elif differing := [name for name, mark in marks.items() if earlier[name] not in (None, mark)]:
        what = ", ".join(differing)
        raise UsageError(f"OUT was begun with a different {what}; use the same again, another OUT, or --overwrite")


@contextmanager
def _area(work: str, out: str, ledger: Ledger, summary: Summary) -> Iterator[str]:
    """The area for temporary files. What runs that did not end well have brought under OUT without noting it goes."""
    take_back_unnoted(work, out, ledger)
    with workspace.temporary_area(work, out) as area:
        try:
            yield area
        except BaseException:
            with suppress(OSError, Fault):
                take_back_unnoted(work, out, ledger)
            raise
        if summary.stopped:
            with suppress(OSError):  # what stopped the run may be in the way; the next one tries again
                take_back_unnoted(work, out, ledger)


def take_back_unnoted(work: str, out: str, ledger: Ledger) -> None:
    """Take what runs that did not end well have brought under OUT without noting it."""
    unnoted = (name for name in workspace.intended_names(work, out) if not ledger.is_output(name))
    unlink_in(os.fsencode(out), unnoted, prune=True)


@contextmanager
def machine_heeded() -> Iterator[None]:
    """Where the machine does not let the books be kept, the run stops early."""
    try:
        yield
    except OSError as error:
        unknown = f"OUT or the work directory: {error.strerror or type(error).__name__}"
        raise StoppedEarly(f"stopped: {MACHINE_FAULTS.get(error.errno or 0, unknown)}; {_AGAIN}") from None
    except Fault as error:
        raise StoppedEarly(f"stopped: the ledger can't be used ({error}; is its disk full?); {_AGAIN}") from None


def _sum_up(ledger: Ledger, rules: RuleSet, summary: Summary) -> None:
    hits = ledger.hits()
    summary.outcomes = ledger.outcomes()
    summary.totals = ledger.totals()
    summary.remaining = ledger.remaining()
    summary.failures = ledger.failures()
    summary.telling = ledger.telling()
    never = [rule for number, rule in enumerate(rules.rules) if not hits[number]]
    summary.unmatched = [f"{rule.place} {rule.written} {rule.method.name}" for rule in never]
