"""What a run came to, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deid_batch.batch import Options, Summary
from deid_batch.config.problems import printable
from deid_batch.config.settings import KEY_SETTINGS
from deid_batch.ledger import Outcome
from deid_batch.status import Status

if TYPE_CHECKING:  # which takes long to load
    from deid_batch.verification import Verification, VerifyOptions


def shown_summary(summary: Summary, options: Options, *, verbose: bool = False) -> Group:
    """The summary of a run: files by status and reason, elements by method, and what to look at."""
    parts: list[RenderableType] = [_outcomes(summary.outcomes, summary.remaining)]
    if any(summary.totals.values()):
        parts.append(_elements(summary))
    if verbose and summary.failures:
        parts.append(_failures(summary))
    parts.extend(Text(printable(line), no_wrap=True, overflow="ignore") for line in _remarks(summary, options))
    return Group(*parts)


def shown_status(status: Status) -> Group:
    """How far a run is."""
    under_way = f"A run is under way ({status.owner})." if status.owner else "No run is under way."
    lines: list[RenderableType] = [_outcomes(status.outcomes, status.remaining), under_way]
    if status.remaining:
        phase = f", {status.unprobed:,} of them to be looked at first" if status.unprobed else ""
        lines.append(f"Not done yet: {status.remaining:,} files{phase}")
    if status.owner and status.files_per_second:
        left = (status.seconds_left or 0) / 60
        lines.append(f"{status.files_per_second:,.0f} files/s over the last minutes; about {left:,.0f} min left")
    return Group(*lines)


def shown_verification(found: Verification, options: VerifyOptions, *, verbose: bool = False) -> Group:
    """What a leak check came to: findings by kind, and with `verbose` by place."""
    parts: list[RenderableType] = []
    if found.counts:
        table = _table("Found", ("finding", "left"), ("places", "right"), ("files", "right"))
        for kind, places, files in found.counts:
            table.add_row(kind, f"{places:,}", f"{files:,}")
        parts.append(table)
    if verbose and found.by_place:
        table = _table("Where", ("finding", "left"), ("place", "left"), ("how", "left"), ("files", "right"))
        for kind, place, how, files in found.by_place:
            table.add_row(kind, place, how, f"{files:,}")
        parts.append(table)
    paired = "by the ledger" if found.has_ledger else "by their names"
    said = f"{found.files_with_findings:,} of them" if found.counts else "nothing was found"
    lines = [f"{found.files:,} files compared, paired {paired}: {said}", f"Report: {options.report}"]
    parts.extend(Text(printable(line), no_wrap=True, overflow="ignore") for line in lines)
    return Group(*parts)


def _outcomes(outcomes: Sequence[Outcome], remaining: int) -> Table:
    table = _table("Files", ("status", "left"), ("reason", "left"), ("files", "right"), ("MB in", "right"))
    table.add_column("MB out", justify="right")
    for status, reason, files, bytes_in, bytes_out in outcomes:
        table.add_row(status, reason or "", f"{files:,}", _megabytes(bytes_in), _megabytes(bytes_out))
    if remaining:
        table.add_row("not done yet", "", f"{remaining:,}", "", "")
    return table


def _elements(summary: Summary) -> Table:
    table = _table("Data elements", ("treated as", "left"), ("elements", "right"))
    for column, elements in summary.totals.items():
        if elements:
            table.add_row(column.replace("_", " "), f"{elements:,}")
    return table


def _failures(summary: Summary) -> Table:
    table = _table("Not written", ("reason", "left"), ("detail", "left"), ("files", "right"))
    for reason, detail, files in summary.failures:
        table.add_row(reason, detail or "", f"{files:,}")
    return table


def _remarks(summary: Summary, options: Options) -> list[str]:
    remarks = []
    if summary.unmatched:
        remarks.append("Rules that never matched (line:column, rule):")
        remarks += [f"  {rule}" for rule in summary.unmatched]
    if summary.generated_keys:
        names = {purpose: name for name, purpose in KEY_SETTINGS.items()}
        drawn = ", ".join(names[purpose] for purpose in summary.generated_keys)
        where = "for this dry run" if options.dry_run else f"and kept in {options.work}"
        remarks.append(f"Keys drawn at random {where}: {drawn}")
    if summary.gone:
        remarks.append(f"Files that were there in an earlier run and are gone from SOURCE: {summary.gone:,}")
    if summary.telling[0]:
        parts, files = summary.telling
        remarks.append(f"Names that tell who somebody is: {parts:,}, replaced in the paths of {files:,} outputs")
    if summary.crosswalk:
        remarks.append(summary.crosswalk)
    if summary.dicomdir:
        remarks.append(summary.dicomdir)
    seconds = max(summary.seconds, 1e-9)
    rate = f"{summary.files_now / seconds:,.0f} files/s, {summary.bytes_now / 1e6 / seconds:,.1f} MB/s"
    remarks.append(f"{summary.files_now:,} files in {seconds:,.1f} s: {rate}")
    remarks.append("Dry run: nothing was written" if options.dry_run else f"Audit log: {options.audit}")
    return remarks


def _table(title: str, *columns: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left")
    return table


def _megabytes(size: int | str | None) -> str:
    return f"{int(size) / 1e6:,.1f}" if size else ""
