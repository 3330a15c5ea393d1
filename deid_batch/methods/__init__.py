"""The methods, one class each, and their registry."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import Any

from deid_batch.errors import UsageError
from deid_batch.methods.base import COLUMNS, SCOPES, Change, Element, Instance, Method, ValueMethod
from deid_batch.methods.clean import Clean
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.encrypt import Encrypt
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.methods.perturb import Perturb
from deid_batch.methods.refreshuid import RefreshUID
from deid_batch.methods.substitute import Substitute
from deid_batch.wire import VRS

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
    "clean": Clean,
}

ENTRY_POINTS = "deid_batch.methods"


@cache
def known_methods() -> dict[str, type[Method]]:
    """The methods by name: the package's own, and those that installed packages offer as entry points."""
    known = dict(METHODS)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name.casefold() in {name.casefold() for name in known}:
            raise _unusable(point, "there is a method of that name already")
        known[point.name] = _offered(point)
    return known


def _offered(point: EntryPoint) -> type[Method]:
    """The method of an entry point, if it is one that configs can use."""
    try:
        method = point.load()
    except Exception as error:  # whatever goes wrong in a module that is not ours
        raise _unusable(point, f"loading it ends with {type(error).__name__}") from error
    if not (isinstance(method, type) and issubclass(method, Method)) or isabstract(method):
        raise _unusable(point, "it is no class that completes deid_batch.methods.Method or ValueMethod")
    if "__dataclass_fields__" not in vars(method) or any(map(_needs_value, fields(method))):
        raise _unusable(point, "it must be a frozen dataclass with a default for every field")
    if getattr(method, "name", None) != point.name:
        raise _unusable(point, f"its name must be '{point.name}'")
    if getattr(method, "column", None) not in COLUMNS:
        raise _unusable(point, f"its column must be one of {', '.join(COLUMNS)}")
    if not frozenset(getattr(method, "vrs", ["none"])) <= VRS:
        raise _unusable(point, "its vrs must be a frozenset of VRs")
    return method


def _needs_value(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _unusable(point: EntryPoint, why: str) -> UsageError:
    return UsageError(f"the entry point '{point.name} = {point.value}' of {ENTRY_POINTS} can't be used: {why}")


__all__ = ["METHODS", "SCOPES", "Change", "Element", "Instance", "Method", "ValueMethod", "known_methods"]
