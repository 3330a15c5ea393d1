"""The leak check inside a worker process: learn from inputs, compare outputs with them. A bad file is a finding."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass, field

from deid_batch.config.ignored import Ignored
from deid_batch.errors import Unreadable
from deid_batch.rules import RuleSet
from deid_batch.verify.comparison import UNREADABLE, Checker, Outcome
from deid_batch.verify.facts import DIGEST, Facts
from deid_batch.verify.findings import Finding
from deid_batch.verify.identity import Identity
from deid_batch.verify.promises import Promises


@dataclass(frozen=True)
class Places:
    """What all tasks of a check have in common."""

    source: bytes
    out: bytes
    facts: str
    """The path of the books."""
    rules: RuleSet = field(repr=False)
    ignored: tuple[Ignored, ...] = ()


@dataclass
class Learned:
    """What inputs tell: (output, patient, identity)."""

    found: list[tuple[bytes, str, Identity]] = field(default_factory=list)


@dataclass
class Compared:
    """What comparisons came to, by output; and their inputs' sizes in all."""

    outcomes: list[tuple[bytes, Outcome]] = field(default_factory=list)
    size: int = 0


class Examiner:
    """What one process needs for the check."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._checker = Checker(Promises(places.rules, places.ignored))
        self._facts = Facts(places.facts, read_only=True)
        self._patient: tuple[str, Identity] = ("", frozenset())

    def learn(self, names: tuple[bytes, ...]) -> Learned:
        """What the inputs of outputs tell. One that can't be read tells nothing here, and is a finding later."""
        learned = Learned()
        for name in names:
            try:
                learned.found.append((name, *self._checker.identity(self._source(self._facts.pair(name).source))))
            except (Unreadable, OSError, MemoryError):
                continue
        return learned

    def compare(self, names: tuple[bytes, ...]) -> Compared:
        """Compare outputs with their inputs."""
        compared = Compared()
        for name in names:
            pair = self._facts.pair(name)
            output, source = os.path.join(self._places.out, name), self._source(pair.source)
            try:
                compared.size += os.stat(output).st_size
                outcome = self._checker.check(source, output, self._known_of(pair.patient), os.fsdecode(name))
                if pair.digest and _digest(output) != pair.digest:
                    changed = Finding("the file", DIGEST, "is not what the run wrote")
                    outcome = outcome._replace(findings=(*outcome.findings, changed))
            except OSError as error:
                outcome = unreadable(f"it or its original can't be read ({os.strerror(error.errno or errno.EIO)})")
            except MemoryError:
                outcome = unreadable("memory ran out")
            except Exception as error:
                outcome = unreadable(f"a defect of this tool ({type(error).__name__})")
            compared.outcomes.append((name, outcome))
        return compared

    def compare_directory(self, name: bytes) -> Compared:
        """Look through the DICOMDIR of OUT, once everything is compared that it refers to."""
        path = os.path.join(self._places.out, name)
        try:
            outcome = self._checker.check_directory(path, self._facts.identities(), self._facts.is_original)
        except (Unreadable, OSError) as error:
            outcome = unreadable(type(error).__name__)
        return Compared([(name, outcome)])

    def _source(self, path: bytes) -> bytes:
        root = self._places.source
        return os.path.join(root, path) if os.path.isdir(root) else root

    def _known_of(self, patient: str) -> Identity:
        if self._patient[0] != patient:
            self._patient = patient, self._facts.identity(patient)
        return self._patient[1]


def unreadable(why: str) -> Outcome:
    """The outcome for a file that can't be compared."""
    return Outcome((Finding("the file", UNREADABLE, why),))


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
