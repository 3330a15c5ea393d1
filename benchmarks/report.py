"""A session for people: tables on the terminal, and the README's."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Goal, Measured, Session, Spread, goals
from benchmarks.measure import ROOT

_README = ROOT / "README.md"
_MARKED = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_PACKAGES = ("deid-batch", "pydicom", "numpy", "cryptography", "joblib")


def show(session: Session) -> None:
    """Print everything."""
    console = Console(highlight=False)
    console = Console(highlight=False, width=max(110, console.width))
    for measured in session.corpora:
        console.print(_table(session, measured))
    console.print(_goal_table(goals(session)))
    for line in notes(session):
        console.print(line, markup=False)


def _table(session: Session, measured: Measured) -> Table:
    title = f"{measured.name}: {measured.files:,} files, {measured.size / 1e6:,.0f} MB; {measured.says}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    table.add_column("", no_wrap=True)
    for heading in ("files", "files/s", "range", "MB/s", "CPU s", "peak MB", "-j1 is", "-j2 is"):
        table.add_column(heading, justify="right", no_wrap=True)
    for peer in session.peers:
        if peer in measured.peers():
            table.add_row(session.peers[peer]["label"], *_cells(measured, peer))
        elif peer in measured.left_out:
            table.add_row(session.peers[peer]["label"], "fails")
    return table


def _cells(measured: Measured, peer: str) -> Iterator[str]:
    runs = measured.runs(peer)
    rate = measured.rate(peer)
    yield f"{runs[0].files:,}" if runs[0].files == measured.files else f"{runs[0].files:,} of {measured.files:,}"
    yield _number(rate.median)
    yield f"{_number(rate.least)}–{_number(rate.most)}"
    yield _number(rate.median * runs[0].size / runs[0].files / 1e6)
    yield f"{statistics.median(run.cpu_seconds for run in runs):.2f}"
    yield f"{max(run.peak_bytes for run in runs) / 1e6:.0f}"
    for ours in ("j1", "j2"):
        yield _times(measured.ratio(ours, peer))


def _times(ratio: Spread | None) -> str:
    return f"{_number(ratio.median)} ×" if ratio else ""


def _number(number: float) -> str:
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if number >= 0.1 else f"{number:.3f}"


def _goal_table(found: list[Goal]) -> Table:
    table = Table(title="Goals, meant for --scale 1", title_justify="left", title_style="bold", header_style="")
    for heading in ("goal", "wanted", "found", ""):
        table.add_column(heading)
    for goal in found:
        reached = "reached" if goal.reached else "MISSED" if goal.found else "not measured"
        table.add_row(goal.what, goal.wanted, goal.found or "", reached)
    return table


def notes(session: Session) -> Iterator[str]:
    """What the figures mean, who was measured, and with what."""
    yield (
        f"Medians of {session.repeat} round(s), all in each round in another order; sources in the page cache, a new "
        "OUT every time, sync before each run. Whole commands, start-up included. Ratios are taken within a round. "
        "CPU s: of all processes. Peak MB: of the largest process; what is below 15 can't be seen."
    )
    for peer in session.peers.values():
        yield f"{peer['label']} ({peer['version']}): {peer['does']}"
    for measured in session.corpora:
        for key, why in measured.left_out.items():
            yield f"{session.peers[key]['label']} fails on {measured.name}: {why}"
    for name, told in session.machine.items():
        yield f"{name}: {told}"


def write_readme(session: Session) -> None:
    """Put the figures between the README's markers."""
    before = _README.read_text(encoding="utf-8")
    if not _MARKED.search(before):
        raise SystemExit("the README has no markers for the figures")
    _README.write_text(_MARKED.sub(lambda _: markdown(session), before), encoding="utf-8")


def markdown(session: Session) -> str:
    """The figures as the README has them: a row for each peer, a column for each corpus."""
    corpora = session.corpora
    rows = [["files/s", *(measured.name for measured in corpora)], ["---", *("--:" for _ in corpora)]]
    rows += [[peer["label"], *(_cell(measured, key) for measured in corpora)] for key, peer in session.peers.items()]
    rows.append(["a worker's peak memory", *(_megabytes(measured.worker_bytes) for measured in corpora)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    said = [f"`{one.name}`: {one.files:,} files, {one.size / 1e6:,.0f} MB, {one.says}." for one in corpora]
    others = [("time for `deid-batch --help`", session.help_seconds)]
    others += [(f"first of {session.first_file_of:,} files, after the scan", session.first_file_seconds)]
    said += [f"{what}: {seconds:.2f} s." for what, seconds in others if seconds is not None]
    return "\n".join([table, "", *_listed([*said, *notes(session)]), ""])


def _listed(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _cell(measured: Measured, peer: str) -> str:
    if peer not in measured.peers():
        return "fails" if peer in measured.left_out else "–"
    ratio = measured.ratio("j2" if peer == "gdcmanon-2" else "j1", peer)
    told = _number(measured.rate(peer).median)
    return f"{told} ({_times(ratio)})" if ratio and peer not in ("j1", "j2") else told


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size else "–"


def machine() -> dict[str, str]:
    """What is measured with, and when."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(filter(None, map(_versioned, _PACKAGES)))
    return {
        "machine": f"{_processor()}, {usable} usable cores, {platform.platform()}",
        "versions": f"Python {platform.python_version()}, {packages}",
        "commit": _commit(),
        "date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _versioned(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit that was measured, with a plus sign where the work tree differs from it."""
    command = ["git", "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
