"""The methods, one class each, and their registry."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from deid_batch.errors import UsageError
from deid_batch.methods.base import COLUMNS, SCOPES, Change, Element, Instance, Method, ValueMethod
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.encrypt import Encrypt
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.methods.perturb import Perturb
from deid_batch.methods.refreshuid import RefreshUID
from deid_batch.methods.substitute import Substitute

METHODS: dict[str, type[Method]] = {
    "keep": Keep,
    "remove": Remove,
    "redact": Redact,
    "dateshift": DateShift,
    "perturb": Perturb,
    "cryptohash": CryptoHash,
    "encrypt": Encrypt,
    "substitute": Substitute,
    "refreshUID": RefreshUID,
}

ENTRY_POINTS = "deid_batch.methods"


@cache
def known_methods() -> dict[str, type[Method]]:
    """The methods by name: the package's own, and those that installed packages offer as entry points."""
    offered = {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}
    for name, method in offered.items():
        if name in METHODS or not (isinstance(method, type) and issubclass(method, Method)):
            raise UsageError(f"the entry point '{name}' of {ENTRY_POINTS} is no new method")
        if method.name != name or method.column not in COLUMNS:
            raise UsageError(f"the method '{name}' must have that name and count under one of {', '.join(COLUMNS)}")
    return METHODS | offered


__all__ = ["METHODS", "SCOPES", "Change", "Element", "Instance", "Method", "ValueMethod", "known_methods"]
