"""How far a run is, seen from outside and without disturbing it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deid_batch.errors import UsageError
from deid_batch.ledger import Ledger, Outcome
from deid_batch.workspace import LEDGER_NAME, lock_owner

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
    """Over the last five minutes."""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None where there is no rate."""
        return self.remaining / self.files_per_second if self.files_per_second else None


def status_of(work: str) -> Status:
    """The status of the run whose state lies in a work directory. Where there is none: UsageError."""
    path = os.path.join(work, LEDGER_NAME)
    if not os.path.exists(path):
        raise UsageError("no run is known for this OUT: its work directory holds no ledger")
    since = datetime.now(UTC) - _RATE_OVER
    ledger = Ledger(path, read_only=True)
    try:
        recent, seconds = ledger.done_since(since)
        return Status(
            owner=_living_owner(work),
            outcomes=ledger.outcomes(),
            remaining=ledger.remaining(),
            unprobed=ledger.remaining(unprobed=True),
            files_per_second=recent / seconds if seconds else 0.0,
        )
    finally:
        ledger.close()


def _living_owner(work: str) -> str:
    """The owner of the lock, unless it is a process of this host that is no more."""
    owner = lock_owner(work)
    if owner is None:
        return ""
    pid, host = owner
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
    return f"pid {pid} on {host}"
