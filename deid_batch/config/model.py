"""A config that is right: frozen, typed, without dicts; and the keys that make it a working rule set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from deid_batch import crypto
from deid_batch.config.identifiers import Acquainted
from deid_batch.methods import Method
from deid_batch.methods.clean import Clean
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.mapping import Lookup
from deid_batch.rules import Rule, RuleSet

if TYPE_CHECKING:
    from deid_batch.config.ignored import Ignored
    from deid_batch.profiles.profile import Profile


@dataclass(frozen=True)
class Config:
    """What a config file says."""

    name: str
    rules: tuple[Rule, ...]
    keys: Mapping[str, bytes] = field(repr=False)
    """Given keys by purpose; `master` is the one others are derived from."""
    scope: str = "SeriesInstance"
    warnings: tuple[str, ...] = ()
    profile: Profile | None = None
    """What decides where no rule does."""
    false_alarms: tuple[Ignored, ...] = ()
    """What the leak check is not to tell."""
    lookups: tuple[Lookup, ...] = ()
    """What lists of the user's are asked for."""
    acquainted: Acquainted = field(default=Acquainted(), repr=False)
    """What is known to identify in all files."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those of the rules and of the profile."""
        return tuple(rule.method for rule in self.rules) + (self.profile.methods if self.profile else ())

    @property
    def required_scopes(self) -> frozenset[str]:
        """The scopes whose UID a file must have, or be set aside."""
        shifts = [method for method in self.methods if isinstance(method, DateShift)]
        return frozenset(shift.date_shift_scope for shift in shifts if shift.needs_scope_uid)

    def with_warnings(self, lines: tuple[str, ...]) -> Config:
        """The config with what is to be said about it."""
        return replace(self, warnings=lines)

    @property
    def purposes(self) -> frozenset[str]:
        """What this config's methods need keys for; some have one of their own."""
        return frozenset(it.purpose for it in self.methods if it.purpose and not getattr(it, "key", b"")) | {"uid"}

    def missing_keys(self) -> tuple[str, ...]:
        """The purposes for which neither a key nor a master key is given."""
        if "master" in self.keys:
            return ()
        return tuple(purpose for purpose in sorted(self.purposes) if purpose not in self.keys)

    def settled(self, known: Mapping[str, bytes], first_day: date) -> RuleSet:
        """The rule set, with every key and the reference date in place.

        `known` holds keys that the config neither gives nor derives from its master key, by purpose.
        """
        keys = self.keys if "master" in self.keys else {**known, **self.keys}
        ring = {purpose: _key_for(purpose, keys) for purpose in self.purposes}
        rules = tuple(replace(rule, method=_bound(rule.method, ring, first_day)) for rule in self.rules)
        profile = self.profile and self.profile.bound(ring, first_day)
        own = [rule.method for rule in rules if isinstance(rule.method, DateShift)]
        shift = next(iter([*own, *([profile.moves] if profile and profile.moves else [])]), None)
        rules = tuple(replace(rule, method=_moving(rule.method, shift)) for rule in rules)
        return RuleSet(rules, ring["uid"], self.scope, self.required_scopes, profile, self.lookups, *self.acquainted)


def _moving(method: Method, shift: DateShift | None) -> Method:
    """The method, which moves the dates in text as those elsewhere are moved."""
    return replace(method, shift=shift) if isinstance(method, Clean) else method


def _key_for(purpose: str, keys: Mapping[str, bytes]) -> bytes:
    if purpose in keys:
        return keys[purpose]
    return crypto.derive(keys["master"], "key", purpose.encode())


def _bound(method: Method, ring: Mapping[str, bytes], reference: date) -> Method:
    names = method.__dataclass_fields__
    changes: dict[str, Any] = {}
    if "key" in names and not getattr(method, "key", b""):
        changes["key"] = ring[method.purpose]
    if "reference_date" in names and getattr(method, "reference_date", None) is None:
        changes["reference_date"] = reference
    return replace(method, **changes) if changes else method
