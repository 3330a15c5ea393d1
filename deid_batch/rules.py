"""Which rule decides: the first one that matches, in file order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from deid_batch import dictionary
from deid_batch.methods import Method
from deid_batch.selectors import AnyPrivate, Anything, AtPath, Selector, TagIn, TagIs, facts_of
from deid_batch.wire import TEXT_VRS

Values = tuple[str, ...]
STRUCTURAL = frozenset({0x00080005, 0x00080016, 0x00080018})
"""Specific Character Set, SOP Class UID and SOP Instance UID: a config's `default` leaves them alone."""


@dataclass(frozen=True)
class Condition:
    """What a file's own data set must say, at its top level, for a rule to hold.

    One of `one_of`, or a value in which `pattern` is found; or, with `exists`, that there is a value or none.
    """

    tag: int
    one_of: tuple[str, ...] = ()
    pattern: str = ""
    exists: bool = True

    def holds(self, values: Values) -> bool:
        """Whether an element with these values, none if it is absent or empty, meets the condition."""
        if self.one_of:
            return any(value in self.one_of for value in values)
        if self.pattern:
            return any(re.search(self.pattern, value) for value in values)
        return bool(values) is self.exists


@dataclass(frozen=True)
class Rule:
    """A selector and the method for what it matches; `written` and `place` say where it stands in the config."""

    selector: Selector
    method: Method
    written: str = ""
    place: str = ""
    when: tuple[Condition, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether this is a config's `default`."""
        return isinstance(self.selector, Anything)


@dataclass(frozen=True)
class Decision:
    """What happens to an element: the method, by which rule, and the VR its value is read by."""

    rule: int
    method: Method
    vr: str


Variant = tuple[bool, ...]
"""Which of the rules hold for a file; () where no rule has a condition."""


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order, with their keys; and what the whole run has in common."""

    rules: tuple[Rule, ...]
    uid_key: bytes = field(default=b"", repr=False)
    scope: str = "SeriesInstance"
    """The date-shift scope, by which files are grouped."""
    required_scopes: frozenset[str] = frozenset()
    """Scopes whose UID a file must have, or be set aside."""

    def decide(
        self, tag: int, vr: str, creator: str | None, path: tuple[int, ...] = (), variant: Variant = ()
    ) -> Decision | None:
        """The first rule that matches the element, or None: it stays as it is. `vr` is its effective VR."""
        facts = facts_of(tag, vr, creator, path)
        known = next(iter(facts.vrs - {vr}), vr)
        treated_as = known if {vr, known} <= TEXT_VRS else vr
        for number, rule in enumerate(self.rules):
            if (not variant or variant[number]) and rule.selector.matches(facts) and not is_exempt(tag, rule):
                return Decision(number, rule.method, treated_as)
        return None

    def matching(self, tag: int, vr: str, creator: str | None, path: tuple[int, ...] = ()) -> list[int]:
        """The numbers of all rules that match the element if their conditions hold, in order."""
        facts = facts_of(tag, vr, creator, path)
        return [
            number
            for number, rule in enumerate(self.rules)
            if rule.selector.matches(facts) and not is_exempt(tag, rule)
        ]

    @cached_property
    def condition_tags(self) -> frozenset[int]:
        """The attributes that conditions look at."""
        return frozenset(condition.tag for rule in self.rules for condition in rule.when)

    def variant(self, values: Mapping[int, Values]) -> Variant:
        """Which rules hold for a file whose attributes have these values."""
        if not self.condition_tags:
            return ()
        return tuple(all(it.holds(values.get(it.tag, ())) for it in rule.when) for rule in self.rules)

    @cached_property
    def looks_at_paths(self) -> bool:
        """Whether a decision may depend on the enclosing sequences."""
        return any(isinstance(rule.selector, AtPath) for rule in self.rules)

    @cached_property
    def erases_private(self) -> bool:
        """Whether private elements may go, so that their creators may have to go too."""
        return any(rule.method.erases and _may_be_private(rule.selector) for rule in self.rules)


def is_exempt(tag: int, rule: Rule) -> bool:
    """Whether a rule for everything passes by: what a data set can't be read without, and creators that stay."""
    if rule.is_default and tag in STRUCTURAL:
        return True
    sweeping = isinstance(rule.selector, (AnyPrivate, Anything))
    would_change_it = not rule.method.erases and rule.method.name != "keep"
    return sweeping and would_change_it and dictionary.is_private_creator(tag)


def _may_be_private(selector: Selector) -> bool:
    if isinstance(selector, AtPath):
        return _may_be_private(selector.last)
    if isinstance(selector, TagIs):
        return dictionary.is_private(selector.tag)
    if isinstance(selector, TagIn):
        return not selector.mask >> 16 & 1 or bool(selector.digits >> 16 & 1)
    return not isinstance(selector, Anything) or selector.private
