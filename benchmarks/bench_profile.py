"""What the built-in profile costs: the main job with it and with the five rules of seed-sample, in alternation.

python -m benchmarks.bench_profile [--scale 0.2] [--corpus mr] [--repeat 5] [--jobs 1] [--profile basic] [--dir DIR]

Encapsulated documents and images with likely burned-in text are set aside under a profile, so a corpus of these says
nothing; the run fails then.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.corpora import CORPORA, Laid, lay
from benchmarks.measure import CommandFailed, Used, measured

SAMPLE = "seed-sample"
GOAL = 1.25
"""How many times the time of the sample the profile may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a run failed, or if the profile takes longer than the goal says."""
    options = _parser().parse_args(arguments)
    laid = lay(CORPORA[options.corpus], options.scale, options.dir / "corpora")
    used: dict[str, list[Used]] = {SAMPLE: [], options.profile: []}
    names = list(used)
    with tempfile.TemporaryDirectory(prefix="profile-", dir=options.dir) as place:
        try:
            for number in range(options.repeat):
                for name in names[:: -1 if number % 2 else 1]:
                    used[name].append(_run(laid, name, Path(place) / name, options.jobs))
        except CommandFailed as failure:
            print(failure, file=sys.stderr)
            return 1
    return _show(laid, used, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.2, help="how much of the corpus (default: 0.2)")
    parser.add_argument("--corpus", choices=CORPORA, default="mr", help="default: mr, which has the most files")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default: 1)")
    parser.add_argument("--profile", default="basic", help="the config to compare (default: basic)")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument(
        "--dir",
        type=lambda text: Path(text).resolve(),
        default=cache,
        help="for corpora and outputs (default: %(default)s)",
    )
    return parser


def _run(laid: Laid, config: str, out: Path, jobs: int) -> Used:
    """One run of the whole command that does everything again; what others left to write is written before."""
    os.sync()
    command = [sys.executable, "-m", "deid_batch", "run", str(laid.folder), str(out), "--config", config]
    return measured([*command, "--jobs", str(jobs), "--overwrite", "--no-progress", "-q"])


def _show(laid: Laid, used: dict[str, list[Used]], jobs: int) -> int:
    print(f"{laid.folder.name}, {laid.files:,} files, --jobs {jobs}, the whole command, both in each of the rounds:\n")
    print(f"{'':>24} {'files/s':>9} {'range':>15} {'CPU s':>8}")
    for name, runs in used.items():
        rates = sorted(laid.files / run.seconds for run in runs)
        cpu = statistics.median(run.cpu_seconds for run in runs)
        print(f"{name:>24} {statistics.median(rates):>9,.0f} {f'{rates[0]:,.0f}–{rates[-1]:,.0f}':>15} {cpu:>8.2f}")
    sample, profile = used.values()
    ratios = sorted(b.cpu_seconds / a.cpu_seconds for a, b in zip(sample, profile, strict=True))
    median = statistics.median(ratios)
    verdict = "within" if median <= GOAL else "beyond"
    print(f"CPU seconds, profile : sample  {median:.3f}  ({ratios[0]:.3f}–{ratios[-1]:.3f}), {verdict} {GOAL}")
    return 0 if median <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
