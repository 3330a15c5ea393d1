"""Files per second of the main job beside `cp -r` and a plain pydicom loop, in alternation, on the same files.

python benchmarks/bench_batch.py [--scale 0.1] [--corpus NAME]… [--repeat 3] [--dir DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

if __package__ in {None, ""}:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.corpora import CORPORA, Laid, lay
from benchmarks.peers import COPY, PEERS, PYDICOM_LOOP, CommandFailed, Peer, Used, measured

Round = dict[str, Used]
_BASELINES = (COPY.name, PYDICOM_LOOP.name)


class Figures(NamedTuple):
    """What the rounds say about one peer on one corpus: medians, the range of the rates, times as fast as each peer."""

    corpus: str
    peer: str
    files_per_second: float
    slowest: float
    fastest: float
    mb_per_second: float
    cpu_seconds: float
    peak_mb: float
    ratios: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a peer failed."""
    options = _parser().parse_args(arguments)
    corpora = {}
    try:
        for name in dict.fromkeys(options.corpus or CORPORA):
            _tell(f"{name}: building, or taking what is there")
            laid = lay(CORPORA[name], options.scale, options.dir / "corpora")
            corpora[name] = (laid, _rounds(laid, options.repeat, options.dir))
    except CommandFailed as failure:
        _tell(str(failure))
        return 1
    figures = [line for laid, rounds in corpora.values() for line in _figures(laid, rounds)]
    _show([laid for laid, _ in corpora.values()], figures, options.repeat)
    if options.json:
        document = _document(corpora, figures, options.scale)
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=_positive(float), default=1.0, help="how much of each corpus (default: 1)")
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="only this one; may be repeated")
    parser.add_argument("--repeat", type=_positive(int), default=3, help="rounds (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument("--dir", type=_absolute, default=cache, help="for corpora and outputs (default: %(default)s)")
    return parser


def _positive(kind: type[int] | type[float]) -> Any:
    def number(text: str) -> float:
        if (value := kind(text)) <= 0:
            raise ValueError
        return value

    return number


def _absolute(text: str) -> Path:
    return Path(text).resolve()


def _rounds(laid: Laid, repeat: int, folder: Path) -> list[Round]:
    """All peers in each round, each time in another order."""
    _read_all(laid)
    peers = list(PEERS.values())
    rounds: list[Round] = []
    for number in range(repeat):
        turned = number % len(peers)
        _tell(f"{laid.name}: {laid.files:,} files, round {number + 1} of {repeat}")
        rounds.append({peer.name: _run(peer, laid, folder) for peer in peers[turned:] + peers[:turned]})
    return rounds


def _run(peer: Peer, laid: Laid, folder: Path) -> Used:
    """One run into an OUT that was not there. What others left to write is written before, outputs go away after."""
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as place:
        out = Path(place) / "out"
        os.sync()
        used = measured(peer.command(str(laid.path), str(out)))
        written = sum(len(names) for _, _, names in os.walk(out))
    if written != laid.files:
        raise CommandFailed(f"{peer.name} wrote {written} files of {laid.files}")
    return used


def _read_all(laid: Laid) -> None:
    """Bring a corpus into the page cache, so that the first peer has it no harder than the others."""
    for path in laid.path.rglob("*.dcm"):
        path.read_bytes()


def _figures(laid: Laid, rounds: list[Round]) -> list[Figures]:
    return [_figures_of(peer, laid, rounds) for peer in PEERS]


def _figures_of(peer: str, laid: Laid, rounds: list[Round]) -> Figures:
    used = [each[peer] for each in rounds]
    seconds = statistics.median(run.seconds for run in used)
    return Figures(
        corpus=laid.name,
        peer=peer,
        files_per_second=laid.files / seconds,
        slowest=laid.files / max(run.seconds for run in used),
        fastest=laid.files / min(run.seconds for run in used),
        mb_per_second=laid.size / 1e6 / seconds,
        cpu_seconds=statistics.median(run.cpu_seconds for run in used),
        peak_mb=max(run.peak_bytes for run in used) / 1e6,
        ratios={name: statistics.median(each[name].seconds / each[peer].seconds for each in rounds) for name in PEERS},
    )


def _show(laid: list[Laid], figures: list[Figures], repeat: int) -> None:
    table = Table(title="De-identifying a tree", title_justify="left", title_style="bold", header_style="")
    for heading in ("corpus", "contender"):
        table.add_column(heading, no_wrap=True)
    numbers = ("files/s", "range", "MB/s", "CPU s", "peak MB", *(f"× {name}" for name in _BASELINES))
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in figures:
        table.add_row(*_cells(line), end_section=line.peer == figures[-1].peer)
    console = Console(width=max(120, Console().width), highlight=False)
    console.print(table)
    for line_of_text in (*_notes(laid, repeat), *(f"{name}: {text}" for name, text in machine().items())):
        console.print(line_of_text, markup=False)


def _cells(line: Figures) -> list[str]:
    return [
        line.corpus,
        line.peer,
        f"{line.files_per_second:,.0f}",
        f"{line.slowest:,.0f}–{line.fastest:,.0f}",
        f"{line.mb_per_second:,.1f}",
        f"{line.cpu_seconds:.2f}",
        f"{line.peak_mb:.0f}",
        *(_ratio(line.ratios[name]) for name in _BASELINES),
    ]


def _ratio(number: float) -> str:
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}" if number >= 0.1 else f"{number:.3f}"


def _notes(laid: list[Laid], repeat: int) -> list[str]:
    corpora = [f"{one.name}: {CORPORA[one.name].says}; {one.files:,} files, {one.size / 1e6:,.0f} MB" for one in laid]
    peers = [f"{peer.name}: {peer.does}" for peer in PEERS.values()]
    return [
        f"Medians of {repeat} round(s), all contenders in each, sources in the page cache, a new OUT every time;",
        "ratios of files/s are taken within a round. CPU s: of all processes. Peak MB: of the largest process.",
        *corpora,
        *peers,
    ]


def machine() -> dict[str, str]:
    """What was measured with, and when."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ("deid-batch", "pydicom", "numpy", "cryptography", "joblib")
    return {
        "machine": f"{_processor()}, {usable} usable cores, {platform.platform()}",
        "versions": f"Python {platform.python_version()}, " + ", ".join(filter(None, map(_versioned, packages))),
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
    except ModuleNotFoundError:
        return None


def _commit() -> str:
    """The commit that was measured, with a plus sign where the work tree differs from it."""
    command = ["git", "describe", "--always", "--dirty=+"]
    here = Path(__file__).resolve().parent
    try:
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _document(corpora: dict[str, tuple[Laid, list[Round]]], figures: list[Figures], scale: float) -> dict[str, Any]:
    """Everything that was measured, for other programs."""
    return {
        **machine(),
        "scale": scale,
        "peers": {peer.name: peer.does for peer in PEERS.values()},
        "figures": [line._asdict() for line in figures],
        "rounds": {
            name: {
                "files": laid.files,
                "bytes": laid.size,
                "runs": [{peer: used._asdict() for peer, used in each.items()} for each in rounds],
            }
            for name, (laid, rounds) in corpora.items()
        },
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
