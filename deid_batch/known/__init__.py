"""What is known to identify: collected from files, given by the user, and found again in text in whatever spelling."""

from deid_batch.known.identity import KINDS, Identity, Kind, Span
from deid_batch.known.matching import NOBODY, Known, known

__all__ = ["KINDS", "NOBODY", "Identity", "Kind", "Known", "Span", "known"]
