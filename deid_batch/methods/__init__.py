"""The methods, one class each, and their registry."""

from __future__ import annotations

from deid_batch.methods.base import SCOPES, Change, Element, Instance, Method, ValueMethod
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

__all__ = ["METHODS", "SCOPES", "Change", "Element", "Instance", "Method", "ValueMethod"]
