"""The command line: arguments → call → exit code. The only place that prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from deid_batch import __version__
from deid_batch.errors import DeidBatchError, SourceError, StoppedEarly, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="De-identify directory trees of DICOM files by rules, in parallel.",
)
_CONFIG_HELP = "A config file, or the name of a shipped config."
_DEMO_CONFIG = "seed-sample"
_DEFAULT_CONFIG = "basic"
_INTERRUPTED = 130
Backend = Literal["loky", "dask"]
Names = Literal["mirror", "uid"]
_WORK = typer.Option(
    "--work", help="State of the run: ledger, keys, audit log.  [default: OUT.deid]", show_default=False
)
_JOBS = typer.Option("--jobs", "-j", min=1, help="Worker processes.  [default: usable cores]", show_default=False)


def main() -> None:
    """The console script: Ctrl-C, SIGTERM and SIGHUP end it with exit code 130 from the start."""
    _open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    code: str | int | None = _INTERRUPTED
    try:
        app(prog_name="deid-batch")
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        code = end.code
    except OSError as error:  # standard output can't be written to
        with suppress(OSError):
            _tell(f"stopped: {error.strerror}")
        os._exit(StoppedEarly.exit_code)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # what is left is to leave
            signal.signal(number, signal.SIG_IGN)
    _leave(code)


def _leave(code: str | int | None) -> NoReturn:
    """End the process, on Linux at once: to take down what was loaded takes a fourth of a second.

    After an interrupt, threads of libraries may even wait for ever.
    """
    if isinstance(code, int | None) and (sys.platform == "linux" or code == _INTERRUPTED):
        with suppress(OSError):  # which is told when the interpreter ends
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
    sys.exit(code)


def _open_streams() -> None:
    """Put something in the place of closed standard streams: the next file opened would come to stand there."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r+", encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deid-batch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The directory tree (or one file) to de-identify.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the de-identified tree goes.")],
    config: Annotated[str, typer.Option("--config", "-c", help=_CONFIG_HELP)] = _DEFAULT_CONFIG,
    jobs: Annotated[int | None, _JOBS] = None,
    work: Annotated[Path | None, _WORK] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="The audit log (CSV).  [default: audit.csv in the work directory]", show_default=False),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="A file of keys, as keygen makes it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do everything again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but write.")] = False,
    validate_output: Annotated[
        bool, typer.Option("--validate-output", help="Fail files with a result that its VR does not allow.")
    ] = False,
    max_failures: Annotated[
        int | None, typer.Option(min=0, help="Stop once more than this many files have failed.")
    ] = None,
    file_timeout: Annotated[
        float, typer.Option(min=0, help="Give up a file that takes more than this many seconds; 0: never.")
    ] = 1800,
    verify_outputs: Annotated[
        bool, typer.Option("--verify-outputs", help="Read what was written earlier, and do again what has changed.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Let no file appear in which the leak check finds something.")
    ] = False,
    dicomdir: Annotated[
        bool, typer.Option("--dicomdir", help="Write a DICOMDIR of what OUT holds, once everything is done.")
    ] = False,
    names: Annotated[
        Names, typer.Option(help="What outputs are called: as in SOURCE, or by their new identity.")
    ] = "mirror",
    crosswalk: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write which IDs and UIDs became which, as CSV."),
    ] = None,
    crosswalk_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Encrypt the crosswalk to this certificate (PEM, RSA)."),
    ] = None,
    backend: Annotated[Backend, typer.Option(help="Who does the work: processes here, or a Dask cluster.")] = "loky",
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The Dask scheduler, such as tcp://host:8786.")
    ] = "",
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say in the summary what failed where.")] = False,
) -> None:
    """De-identify SOURCE into OUT. A second time it continues: finished files are not done again."""
    from deid_batch.batch import Options, run_batch
    from deid_batch.config import load_config
    from deid_batch.config.keys import with_keys_of
    from deid_batch.crosswalk import read_certificate
    from deid_batch.progress import Progress

    work_path = _work_of(out, work)
    with _errors_told():
        if crosswalk_certificate and not crosswalk:
            raise UsageError("--crosswalk-certificate goes with --crosswalk DIR")
        certificate = read_certificate(str(crosswalk_certificate)) if crosswalk_certificate else b""
    options = Options(
        source=str(source),
        out=str(out),
        jobs=jobs or usable_cores(),
        work=work_path,
        audit=str(audit) if audit else os.path.join(work_path, "audit.csv"),
        overwrite=overwrite,
        dry_run=dry_run,
        strict=validate_output,
        max_failures=max_failures,
        file_timeout=file_timeout,
        verify_outputs=verify_outputs,
        verify=verify,
        dicomdir=dicomdir,
        names=names,
        crosswalk=str(crosswalk) if crosswalk else "",
        certificate=certificate,
        scheduler=scheduler,
    )
    with _errors_told():
        if (backend == "dask") != bool(scheduler):
            raise UsageError("--backend dask and --scheduler ADDRESS go together")
        loaded = load_config(config)
        if keys:
            loaded = with_keys_of(loaded, str(keys))
        if not quiet:
            _tell(*loaded.warnings)
        summary = run_batch(loaded, options, Progress(shown=not (no_progress or quiet), told=not quiet))
        if not quiet:
            from deid_batch.summary import shown_summary

            _print(shown_summary(summary, options, verbose=verbose))
    if summary.stopped:
        _tell(f"stopped: {summary.stopped}; run the same command again to continue")
    elif summary.interrupted:
        _tell("interrupted; run the same command again to continue")
    elif summary.exit_code == SourceError.exit_code:
        _tell("SOURCE holds no DICOM file")
    raise typer.Exit(summary.exit_code)


@app.command()
def status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The OUT of a run.")],
    work: Annotated[Path | None, _WORK] = None,
) -> None:
    """Show how far a run is, while it goes on or afterwards; it is not disturbed."""
    from deid_batch.status import status_of
    from deid_batch.summary import shown_status

    with _errors_told():
        found = status_of(_work_of(out, work))
    _print(shown_status(found))


@app.command()
def forget(
    patient: Annotated[
        str,
        typer.Argument(metavar="PATIENT", help="The patient's original or new Patient ID; - reads it from stdin."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The OUT of a run.")],
    issuer: Annotated[
        str | None, typer.Option(help="The Issuer of Patient ID, if only one issuer's patient is meant.")
    ] = None,
    work: Annotated[Path | None, _WORK] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="The audit log (CSV).  [default: audit.csv in the work directory]", show_default=False),
    ] = None,
) -> None:
    """Remove a patient from OUT, ledger, audit log and crosswalk; later runs set the patient's files aside."""
    from deid_batch.forget import forget as forget_patient
    from deid_batch.verification import REPORT_NAME

    work_path = _work_of(out, work)
    log = str(audit) if audit else os.path.join(work_path, "audit.csv")
    with _errors_told():
        name = sys.stdin.readline() if patient == "-" else patient
        gone = forget_patient(name, issuer, str(out), work_path, log, (os.path.join(work_path, REPORT_NAME),))
    typer.echo(f"Forgotten: {gone.files:,} files, {gone.outputs:,} of them outputs")
    if gone.sealed:
        typer.echo(f"Sealed lists of the crosswalk taken away, to be written anew: {gone.sealed:,}")


@app.command()
def check(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help=_CONFIG_HELP)] = _DEFAULT_CONFIG,
    as_statement: Annotated[
        bool, typer.Option("--statement", help="Print the conformance statement of its profile instead, as Markdown.")
    ] = False,
) -> None:
    """Print every problem of a config with its place, then its rules in order."""
    from deid_batch.config import read_config
    from deid_batch.views import rules_table, shown_false_alarm

    with _errors_told():
        reading = read_config(config)
    for line in reading.lines:
        typer.echo(line, err=as_statement)
    if reading.config is None:
        raise typer.Exit(UsageError.exit_code)
    if as_statement:
        from deid_batch.statement import statement

        with _errors_told():
            typer.echo(statement(reading.config))
        return
    _print(rules_table(reading.name, reading.config.rules, reading.config.profile))
    for false_alarm in reading.config.false_alarms:
        typer.echo(f"The leak check ignores {shown_false_alarm(false_alarm)}")


@app.command()
def explain(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help=_CONFIG_HELP)],
    elements: Annotated[list[str], typer.Argument(metavar="TAG", help="Tags, keywords or paths of elements.")],
    creator: Annotated[str | None, typer.Option(help="The private creator of the elements.")] = None,
    vr: Annotated[str | None, typer.Option(help="The VR that the file gives, if not the dictionary's.")] = None,
) -> None:
    """Say which rule decides an element, and which come too late."""
    from deid_batch.config import load_config
    from deid_batch.rules import RuleSet
    from deid_batch.views import explanation

    with _errors_told():
        loaded = load_config(config)
        rules = RuleSet(loaded.rules, profile=loaded.profile)
        for element in elements:
            typer.echo(explanation(rules, element, creator, vr))


@app.command()
def preview(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The DICOM file to look at.")],
    config: Annotated[str, typer.Option("--config", "-c", help=_CONFIG_HELP)] = _DEFAULT_CONFIG,
    keys: Annotated[Path | None, typer.Option(help="A file of keys, as keygen makes it.")] = None,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show the original values too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show before and after of each element of one file that changes; nothing is written."""
    from deid_batch.preview import changes_of
    from deid_batch.views import changes_json, changes_table

    with _errors_told():
        changes, rules, drawn = changes_of(str(file), config, str(keys) if keys else None)
    if as_json:
        typer.echo(changes_json(changes, rules, show_values=show_values))
    else:
        _print(changes_table(changes, rules, show_values=show_values))
    if drawn:
        _tell(f"keys drawn at random for this preview: {', '.join(drawn)}")


@app.command()
def review(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The OUT of a run, or any tree of DICOM files.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A new file for the list.  [default: stdout]"),
    ] = None,
    elements: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only elements of this tag, keyword, mask or path; repeatable."),
    ] = None,
    vrs: Annotated[
        list[str] | None, typer.Option("--vr", metavar="VR", help="Only elements of this VR; repeatable.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every UID, number and time too, which are else told in sum.")
    ] = False,
    jobs: Annotated[int | None, _JOBS] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
) -> None:
    """List the distinct values that are left in OUT as CSV, what looks most like identity first.

    The list shows values: it is for whoever signs OUT off, and not to be handed out.
    """
    from deid_batch.progress import Progress
    from deid_batch.review import review as review_tree
    from deid_batch.review import wanted_of

    with _errors_told():
        wanted = wanted_of(elements or (), vrs or (), every=every)
        progress = Progress(shown=not no_progress)
        done = review_tree(str(out), str(output) if output else "", jobs or usable_cores(), wanted, progress)
    _tell(f"{done.rows:,} rows from {done.files:,} files of {done.patients:,} patients")
    if done.unread:
        _tell(f"{done.unread:,} files could not be read; the list begins with them")
        raise typer.Exit(DeidBatchError.exit_code)


@app.command()
def verify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The originals.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="What was made of them.")],
    config: Annotated[str, typer.Option("--config", "-c", help=_CONFIG_HELP)] = _DEFAULT_CONFIG,
    jobs: Annotated[int | None, _JOBS] = None,
    work: Annotated[Path | None, _WORK] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="What was found (CSV).  [default: verify.csv in the work directory]", show_default=False),
    ] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say in the summary what was found where.")] = False,
) -> None:
    """Look for anything of the originals' identity that is left in OUT, and for what is not as it should be."""
    from deid_batch.config import load_config
    from deid_batch.progress import Progress
    from deid_batch.summary import shown_verification
    from deid_batch.verification import REPORT_NAME, VerifyOptions
    from deid_batch.verification import verify as verify_all

    work_path = _work_of(out, work)
    options = VerifyOptions(
        source=str(source),
        out=str(out),
        work=work_path,
        report=str(report) if report else os.path.join(work_path, REPORT_NAME),
        jobs=jobs or usable_cores(),
    )
    with _errors_told():
        loaded = load_config(config)
        if not quiet:
            _tell(*loaded.warnings)
        found = verify_all(loaded, options, Progress(shown=not (no_progress or quiet)))
        if not quiet:
            _print(shown_verification(found, options, verbose=verbose))
    raise typer.Exit(found.exit_code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the config, for editors."""
    import json

    from deid_batch.config.schema import config_schema

    with _errors_told():
        typer.echo(json.dumps(config_schema(), indent=2, ensure_ascii=False))


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file to make; it must not exist.")],
) -> None:
    """Write new random keys to FILE, mode 0600."""
    from deid_batch.config.keys import write_new_keys

    with _errors_told():
        write_new_keys(str(file))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the demo.")],
    jobs: Annotated[int | None, _JOBS] = None,
) -> None:
    """Build a small study dump from real public files and run the main job on it."""
    from deid_batch.demo import build_study_dump

    source, out = folder / "study_dump", folder / "out"
    with _errors_told():
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError("the folder for the demo is a file, or not empty")
        try:
            build_study_dump(source)
        except OSError as error:
            raise StoppedEarly(f"the demo's files can't be written ({error.strerror})") from None
    typer.echo(f"$ deid-batch run {source} {out} --config {_DEMO_CONFIG}\n")
    try:
        run(source, out, _DEMO_CONFIG, jobs)
    except typer.Exit as done:
        code = done.exit_code
    if code != DeidBatchError.exit_code:
        raise typer.Exit(code)
    typer.echo(f"\nThe run's exit code was {code}: one of the demo's files is damaged.")
    typer.echo(f"The first lines of {folder / 'out.deid' / 'audit.csv'}:\n")
    with open(folder / "out.deid" / "audit.csv", encoding="utf-8") as log:
        typer.echo("".join(islice(log, 4)), nl=False)


def _work_of(out: Path, work: Path | None) -> str:
    """The work directory: beside OUT by its own name, even where it was written as `.`, if nothing else is said."""
    path = os.path.normpath(out)
    named = os.path.abspath(path) if os.path.basename(path) in (".", "..") else path
    return str(work) if work else f"{named}.deid"


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _errors_told() -> Iterator[None]:
    """Foreseeable errors become a message and an exit code, never a traceback."""
    try:
        yield
    except DeidBatchError as error:
        _tell(str(error))
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # nobody listens any more
        raise
    except OSError as error:
        _tell(f"stopped: {error.strerror}")
        raise typer.Exit(StoppedEarly.exit_code) from None
    except KeyboardInterrupt:
        _tell("stopped at once; run the same command again to continue")
        raise typer.Exit(_INTERRUPTED) from None


def _print(what: RenderableType) -> None:
    from rich.console import Console

    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if wide else 120).print(what, crop=False)


def _tell(*lines: str) -> None:
    for line in lines:
        typer.echo(f"deid-batch: {line}", err=True)
