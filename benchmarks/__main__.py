"""How fast the main job is beside its peers: every one that is installed, in alternation, on the same files.

Builds the corpora from pydicom's bundled files, prints tables, and says which goals are reached. deid-batch -j1 and -j2
are always measured. Peers written in Python may live in an environment of their own (pip install '.[peers]'), so that
what they bring along does not weigh on deid-batch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.corpora import CORPORA, MANY, lay
from benchmarks.extras import first_file_seconds, help_seconds
from benchmarks.figures import Measured, Session
from benchmarks.measure import CommandFailed
from benchmarks.peers import OURS, PEERS, Peer, certificate, installed
from benchmarks.plot import svg
from benchmarks.rounds import Peaks, Setting, alternate, peaks


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or take what was measured, and tell; 1 if one of our own runs failed."""
    options = _parser().parse_args(arguments)
    try:
        session = Session.from_json(options.take.read_text(encoding="utf-8")) if options.take else _measured(options)
    except CommandFailed as failure:
        _tell(str(failure))
        return 1
    report.show(session)
    if options.json:
        options.json.write_text(session.to_json(), encoding="utf-8")
    if options.plot:
        options.plot.write_text(svg(session), encoding="utf-8")
    if options.readme:
        report.write_readme(session)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=_positive(float), default=1.0, help="how much of each corpus (default: 1)")
    parser.add_argument("--corpus", nargs="+", choices=CORPORA, default=[*CORPORA], help="only these")
    others = [key for key in PEERS if key not in OURS]
    parser.add_argument("--peers", nargs="*", choices=others, help="only these (default: all that are installed)")
    parser.add_argument("--peers-python", default=sys.executable, metavar="PYTHON", help="what has the Python peers")
    parser.add_argument("--repeat", type=_positive(int), default=3, help="rounds (default: 3)")
    parser.add_argument(
        "--budget", type=_positive(float), default=30.0, metavar="SECONDS",
        help="Python peers that would take longer over all files get a share of them (default: 30)",
    )  # fmt: skip
    parser.add_argument("--no-extras", action="store_true", help="not the help page and the tree of 100,000 files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="take", help="show such a file, measure nothing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the rates (SVG)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md, between its markers")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument("--dir", type=Path, default=cache, help="for corpora and outputs (default: %(default)s)")
    return parser


def _positive(kind: type[int] | type[float]) -> Any:
    def number(text: str) -> float:
        if (value := kind(text)) <= 0:
            raise ValueError
        return value

    return number


def _measured(options: argparse.Namespace) -> Session:
    folder = options.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found = installed(options.peers, options.peers_python)
    told = {
        key: {"label": peer.label, "version": peer.version(options.peers_python) or "", "does": peer.does}
        for key, peer in found.items()
    }
    session = Session(report.machine(), options.scale, options.repeat, told)
    with tempfile.TemporaryDirectory(prefix="certificate-", dir=folder) as place:
        setting = Setting(folder, certificate(Path(place)), options.peers_python, options.budget, _tell)
        for name in dict.fromkeys(options.corpus):
            session.corpora.append(_one_corpus(name, found, options, setting))
    if not options.no_extras:
        _tell("the help page, and the first file of a large tree")
        session.help_seconds = help_seconds()
        many = lay(MANY, options.scale, folder / "corpora")
        session.first_file_of = many.files
        try:
            session.first_file_seconds = first_file_seconds(many, folder)
        except CommandFailed as failure:
            _tell(str(failure))
    return session


def _one_corpus(name: str, found: Mapping[str, Peer], options: argparse.Namespace, setting: Setting) -> Measured:
    _tell(f"{name}: building, or taking what is there")
    laid = lay(CORPORA[name], options.scale, setting.folder / "corpora")
    rounds, left_out = alternate(laid, found, options.repeat, setting)
    memory = peaks(found["j2"], laid, setting) or Peaks(0, 0)
    return Measured(name, CORPORA[name].says, laid.files, laid.size, rounds, left_out, memory.worker, memory.parent)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
