"""What was measured, what the rounds say, and which goals are reached. All of it can be kept as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from benchmarks.rounds import Round, Run

_RATIO_GOALS = {"mr": (2, 2, 12), "ct": (1.5, 1.5, 6), "nested": (2.5, 2.5, 12), "multi-frame": (4, 4, 6)}
_PAIRS = (("j1", "gdcmanon"), ("j2", "gdcmanon-2"), ("j1", "pydicom-loop"))
_TWO_TO_ONE = 1.7
_DISK_IS_NEAR = 0.5
_MAX_WORKER_MB, _MAX_FIRST_FILE, _MAX_HELP = 80, 5.0, 0.3


class Spread(NamedTuple):
    """A median and what it lies between."""

    median: float
    least: float
    most: float


@dataclass
class Measured:
    """One corpus: what it is, all runs, and the peak memory of the processes of -j2."""

    name: str
    says: str
    files: int
    size: int
    rounds: list[Round]
    left_out: dict[str, str] = field(default_factory=dict)
    """Peers that fail on this corpus, and how."""
    worker_bytes: int = 0
    parent_bytes: int = 0

    def peers(self) -> list[str]:
        """Who was measured, in no particular order."""
        return [*self.rounds[0]]

    def runs(self, peer: str) -> list[Run]:
        """All runs of a peer."""
        return [each[peer] for each in self.rounds]

    def rate(self, peer: str) -> Spread:
        """Files per second."""
        return _spread(run.files / run.seconds for run in self.runs(peer))

    def ratio(self, ours: str, peer: str) -> Spread | None:
        """How many times as many files per second we do, round by round."""
        if ours not in self.rounds[0] or peer not in self.rounds[0]:
            return None
        pairs = ((each[ours], each[peer]) for each in self.rounds)
        return _spread(one.files / one.seconds / (other.files / other.seconds) for one, other in pairs)


@dataclass
class Session:
    """Everything that was measured in one go, and with what."""

    machine: dict[str, str]
    scale: float
    repeat: int
    peers: dict[str, dict[str, str]]
    """`label`, `version` and `does` of each, in the order to be shown."""
    corpora: list[Measured] = field(default_factory=list)
    help_seconds: float | None = None
    first_file_seconds: float | None = None
    """From the end of the scan to the first file in OUT, of a tree of `first_file_of` files."""
    first_file_of: int = 0

    def to_json(self) -> str:
        """The session, with figures and goals for those who read nothing else."""
        document = asdict(self)
        for corpus, measured in zip(document["corpora"], self.corpora, strict=True):
            corpus["rounds"] = [{key: run._asdict() for key, run in each.items()} for each in measured.rounds]
            corpus["figures"] = {peer: _figures(measured, peer) for peer in self.peers if peer in measured.peers()}
        document["goals"] = [goal._asdict() for goal in goals(self)]
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Session:
        """A session as `to_json` wrote it."""
        document = json.loads(text)
        del document["goals"]
        for corpus in document["corpora"]:
            del corpus["figures"]
            corpus["rounds"] = [{key: Run(**run) for key, run in each.items()} for each in corpus["rounds"]]
        document["corpora"] = [Measured(**corpus) for corpus in document["corpora"]]
        return cls(**document)


class Goal(NamedTuple):
    """What is to be reached, what was found (None: not measured), and whether that is enough."""

    what: str
    wanted: str
    found: str | None
    reached: bool


def goals(session: Session) -> list[Goal]:
    """All goals, corpus by corpus."""
    return [goal for measured in session.corpora for goal in _goals_of(measured)] + [
        _at_most(
            f"first finished file of {session.first_file_of or 100_000:,} after the scan",
            _MAX_FIRST_FILE,
            session.first_file_seconds,
            "s",
        ),
        _at_most("deid-batch --help", _MAX_HELP, session.help_seconds, "s"),
    ]


def _goals_of(measured: Measured) -> Iterator[Goal]:
    for (ours, peer), wanted in zip(_PAIRS, _RATIO_GOALS.get(measured.name, ()), strict=False):
        yield _at_least(f"{measured.name}: {ours} against {peer}", wanted, measured.ratio(ours, peer))
    two_to_one = _at_least(f"{measured.name}: j2 against j1", _TWO_TO_ONE, measured.ratio("j2", "j1"))
    copied = measured.ratio("j2", "cp-sync")
    if copied and not two_to_one.reached and copied.median >= _DISK_IS_NEAR:
        two_to_one = two_to_one._replace(
            found=f"{two_to_one.found}; the disk limits: {copied.median:.2f} of cp -r, sync"
        )
    yield two_to_one
    worker_mb = measured.worker_bytes / 1e6 or None
    yield _at_most(f"{measured.name}: peak memory of a worker", _MAX_WORKER_MB, worker_mb, "MB")


def _at_least(what: str, wanted: float, found: Spread | None) -> Goal:
    told = f"{found.median:.2f} × ({found.least:.2f}–{found.most:.2f})" if found else None
    return Goal(what, f"≥ {wanted:g} ×", told, found is not None and found.median >= wanted)


def _at_most(what: str, wanted: float, found: float | None, unit: str) -> Goal:
    told = None if found is None else f"{found:.2f} {unit}"
    return Goal(what, f"≤ {wanted:g} {unit}", told, found is not None and found <= wanted)


def _figures(measured: Measured, peer: str) -> dict[str, Any]:
    runs = measured.runs(peer)
    rate = measured.rate(peer)
    return {
        "files": runs[0].files,
        "share": runs[0].files / measured.files,
        "files_per_second": rate._asdict(),
        "mb_per_second": rate.median * runs[0].size / runs[0].files / 1e6,
        "cpu_seconds": statistics.median(run.cpu_seconds for run in runs),
        "peak_mb": max(run.peak_bytes for run in runs) / 1e6,
        **{f"{ours}_times_as_fast": ratio and ratio._asdict() for ours, ratio in _ratios(measured, peer)},
    }


def _ratios(measured: Measured, peer: str) -> list[tuple[str, Spread | None]]:
    return [(ours, measured.ratio(ours, peer)) for ours in ("j1", "j2")]


def _spread(values: Iterator[float]) -> Spread:
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])
