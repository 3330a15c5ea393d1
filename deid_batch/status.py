"""How far a run is, seen from outside and without disturbing it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deid_batch.errors import StoppedEarly, UsageError
from deid_batch.ledger import Fault, Ledger, Outcome
from deid_batch.workspace import LEDGER_NAME, lock_owner, may_live

_RATE_OVER = timedelta(minutes=5)


@dataclass(frozen=True)
class Status:
    """A look at a run: whether it is under way, and how much is done."""

    owner: str
    """Process and host of the run that holds OUT; "" where none does."""
    outcomes: list[Outcome] = field(default_factory=list)
    remaining: int = 0
    unprobed: int = 0
    """Of these, the files whose first look is still to come."""
    files_per_second: float = 0.0
    """Over the last five minutes; 0 as long as files are only looked at."""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None where there is no rate."""
        return self.remaining / self.files_per_second if self.files_per_second else None


def status_of(work: str) -> Status:
    """The status of the run whose state lies in a work directory. Where there is none: UsageError."""
    path = os.path.join(work, LEDGER_NAME)
    if not os.path.exists(path):
        raise UsageError("no run is known for this OUT: its work directory holds no ledger")
    try:
        return _status_in(path, _living_owner(work))
    except Fault as error:
        raise StoppedEarly(f"the ledger can't be read ({error})") from None


def _status_in(path: str, owner: str) -> Status:
    ledger = Ledger(path, read_only=True)
    try:
        with ledger.snapshot():
            unprobed = ledger.remaining(unprobed=True)
            recent, seconds = ledger.done_since(datetime.now(UTC) - _RATE_OVER)
            return Status(
                owner=owner,
                outcomes=ledger.outcomes(),
                remaining=ledger.remaining(),
                unprobed=unprobed,
                files_per_second=recent / seconds if seconds and not unprobed else 0.0,
            )
    finally:
        ledger.close()


def _living_owner(work: str) -> str:
    """The owner of the lock, unless it is a process of this host that is no more."""
    owner = lock_owner(work)
    return f"pid {owner[0]} on {owner[1]}" if owner and may_live(*owner) else ""
