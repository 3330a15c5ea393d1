"""The command line: arguments → call → exit code. The only place that prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from deid_batch import __version__
from deid_batch.errors import DeidBatchError, SourceError, StoppedEarly, UsageError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="De-identify directory trees of DICOM files by rules, in parallel.",
)
_DEMO_CONFIG = "seed-sample"
_JOBS = typer.Option("--jobs", "-j", min=1, help="Worker processes.  [default: usable cores]", show_default=False)


def main() -> None:
    """The console script: Ctrl-C, SIGTERM and SIGHUP end it with exit code 130 from the start."""
    _open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        app(prog_name="deid-batch")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # what is left is to leave
            signal.signal(number, signal.SIG_IGN)


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
    config: Annotated[str, typer.Option("--config", "-c", help="A config file, or the name of a shipped config.")],
    jobs: Annotated[int | None, _JOBS] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="State of the run: ledger, keys, audit log.  [default: OUT.deid]", show_default=False),
    ] = None,
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
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say in the summary what failed where.")] = False,
) -> None:
    """De-identify SOURCE into OUT. A second time it continues: finished files are not done again."""
    from rich.console import Console

    from deid_batch.batch import Options, run_batch
    from deid_batch.config import load_config
    from deid_batch.config.keys import with_keys_of
    from deid_batch.progress import Progress
    from deid_batch.summary import shown_summary

    work_path = str(work) if work else f"{_named(out)}.deid"
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
    )
    with _errors_told():
        loaded = load_config(config)
        if keys:
            loaded = with_keys_of(loaded, str(keys))
        if not quiet:
            _tell(*loaded.warnings)
        summary = run_batch(loaded, options, Progress(shown=not (no_progress or quiet)))
        if not quiet:
            Console().print(shown_summary(summary, options, verbose=verbose), crop=False)
    if summary.stopped:
        _tell(f"stopped: {summary.stopped}; run the same command again to continue")
    elif summary.interrupted:
        _tell("interrupted; run the same command again to continue")
    elif summary.exit_code == SourceError.exit_code:
        _tell("SOURCE holds no DICOM file")
    raise typer.Exit(summary.exit_code)


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


def _named(out: Path) -> str:
    """OUT by its own name, even where it was written as `.`."""
    path = os.path.normpath(out)
    return os.path.abspath(path) if os.path.basename(path) in (".", "..") else path


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
        raise typer.Exit(130) from None


def _tell(*lines: str) -> None:
    for line in lines:
        typer.echo(f"deid-batch: {line}", err=True)
