"""Does the number of rules matter? The main job with 5 rules and with 700, in alternation, on the same files.

python -m benchmarks.bench_rules [--scale 0.2] [--corpus mr] [--repeat 5] [--jobs 1] [--rules 700] [--dir DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import DicomDictionary

from benchmarks.corpora import CORPORA, Laid, lay
from benchmarks.measure import CommandFailed, Used, measured

FIVE_RULES: list[dict[str, Any]] = [
    {"tag": {"value": "(0028,0030)"}, "method": "perturb", "rangeType": "Proportional"},
    {"tag": {"value": "(0040,1001)"}, "method": "redact"},
    {"tag": {"value": "(0010,0020)"}, "method": "cryptohash"},
    {"tag": {"VR": "PN"}, "method": "encrypt"},
    {"tag": {"VR": "DA"}, "method": "dateshift"},
]
PARAMETERS = {"key": "the same keys for both", "referenceDate": "2026-01-31"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a run failed, or if the two configs did not make the same of the corpus."""
    options = _parser().parse_args(arguments)
    laid = lay(CORPORA[options.corpus], options.scale, options.dir / "corpora")
    used: dict[str, list[Used]] = {"5 rules": [], f"{options.rules} rules": []}
    few, many = used
    with tempfile.TemporaryDirectory(prefix="rules-", dir=options.dir) as place:
        folder = Path(place)
        configs = {few: FIVE_RULES, many: [*_rules_that_never_match(laid, options.rules - 5), *FIVE_RULES]}
        paths = {name: _written(folder / f"{len(rules)}.json", rules) for name, rules in configs.items()}
        try:
            for number in range(options.repeat):
                for name in (few, many)[:: -1 if number % 2 else 1]:
                    used[name].append(_run(laid, paths[name], folder / name, options.jobs))
                _check_alike(folder / few, folder / many)
        except CommandFailed as failure:
            print(failure, file=sys.stderr)
            return 1
    _show(laid, used, options.jobs)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.2, help="how much of the corpus (default: 0.2)")
    parser.add_argument("--corpus", choices=CORPORA, default="mr", help="default: mr, which has the most files")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default: 1)")
    parser.add_argument("--rules", type=int, default=700, help="rules of the larger config (default: 700)")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument(
        "--dir",
        type=lambda text: Path(text).resolve(),
        default=cache,
        help="for corpora and outputs (default: %(default)s)",
    )
    return parser


def _rules_that_never_match(laid: Laid, count: int) -> list[dict[str, Any]]:
    """Rules for attributes that the corpus does not have, from all over the dictionary."""
    dataset = dcmread(next(laid.folder.rglob("*.dcm")), stop_before_pixels=True)
    present = {int(element.tag) for element in dataset.iterall()} | {0x7FE00010}
    absent = [
        tag for tag in sorted(DicomDictionary) if tag not in present and 0x00080000 < tag < 0xFFFC0000 and tag & 0xFFFF
    ]
    spread = absent[:: len(absent) // count][:count]
    return [{"tag": {"value": f"({tag >> 16:04X},{tag & 0xFFFF:04X})"}, "method": "redact"} for tag in spread]


def _written(path: Path, rules: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"dicomTagRules": rules, "parameters": PARAMETERS}), encoding="utf-8")
    return path


def _run(laid: Laid, config: Path, out: Path, jobs: int) -> Used:
    """One run of the whole command that does everything again; what others left to write is written before."""
    os.sync()
    command = [sys.executable, "-m", "deid_batch", "run", str(laid.folder), str(out), "--config", str(config)]
    return measured([*command, "--jobs", str(jobs), "--overwrite", "--no-progress", "-q"])


def _check_alike(one: Path, other: Path) -> None:
    """Both wrote the same bytes."""
    if list(_files(one)) != list(_files(other)):
        raise CommandFailed(f"{one.name} and {other.name} made different files")


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder), path.read_bytes()


def _show(laid: Laid, used: dict[str, list[Used]], jobs: int) -> None:
    print(f"{laid.folder.name}, {laid.files:,} files, --jobs {jobs}, the whole command, both in each of the rounds:\n")
    print(f"{'':>12} {'files/s':>9} {'range':>15} {'CPU s':>8}")
    for name, runs in used.items():
        rates = sorted(laid.files / run.seconds for run in runs)
        cpu = statistics.median(run.cpu_seconds for run in runs)
        print(f"{name:>12} {statistics.median(rates):>9,.0f} {f'{rates[0]:,.0f}–{rates[-1]:,.0f}':>15} {cpu:>8.2f}")
    few, many = used.values()
    for what in ("seconds", "cpu_seconds"):
        ratios = sorted(getattr(b, what) / getattr(a, what) for a, b in zip(few, many, strict=True))
        print(
            f"{what.replace('_', ' ')}, many : few  {statistics.median(ratios):.3f}  ({ratios[0]:.3f}–{ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    sys.exit(main())
