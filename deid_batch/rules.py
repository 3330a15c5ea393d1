"""Which rule decides: the first one that matches, in file order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from deid_batch import dictionary
from deid_batch.conditions import Condition, Values, all_hold
from deid_batch.known import Identity
from deid_batch.methods import Instance, Method
from deid_batch.methods.mapping import Lookup, Mapped
from deid_batch.selectors import (
    AnyPrivate,
    Anything,
    AtPath,
    Facts,
    Selector,
    TagIn,
    TagIs,
    VRIs,
    facts_of,
    last_of,
)
from deid_batch.wire import TEXT_VRS, Made

if TYPE_CHECKING:
    from deid_batch.profiles.profile import Profile

STRUCTURAL = frozenset({0x00080005, 0x00080016, 0x00080018})
"""Specific Character Set, SOP Class UID and SOP Instance UID: a config's `default` leaves them alone."""


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


Variant = tuple[Any, ...]
"""Which of the rules hold for a file, and behind them what its profile must know; () where nothing depends on it."""


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order, with their keys; and what the whole run has in common."""

    rules: tuple[Rule, ...]
    uid_key: bytes = field(default=b"", repr=False)
    scope: str = "SeriesInstance"
    """The date-shift scope, by which files are grouped."""
    required_scopes: frozenset[str] = frozenset()
    """Scopes whose UID a file must have, or be set aside."""
    profile: Profile | None = None
    """Decides what no rule but a default one matches."""
    lookups: tuple[Lookup, ...] = ()
    """What the lists of the user's are asked for; rules with `Mapped` put their answers in place."""
    identifiers: frozenset[Identity] = field(default=frozenset(), repr=False)
    """What the user says that identifies, in all files."""
    takes_common_words: bool = False
    """Whether short and common words are names without other evidence."""

    hides_names: bool = False
    """Whether names of files are looked through for what identifies."""

    def decide(
        self, tag: int, vr: str, creator: str | None, path: tuple[int, ...] = (), variant: Variant = ()
    ) -> Decision | None:
        """The first rule that matches the element, or None: it stays as it is. `vr` is its effective VR.

        What the profile decides has the number behind the last rule's.
        """
        facts = facts_of(tag, vr, creator, path)
        known = next(iter(facts.vrs - {vr}), vr)
        treated_as = known if {vr, known} <= TEXT_VRS else vr
        number = self._first(facts, variant)
        if self.profile is not None and (number is None or self.rules[number].is_default):
            treatment = self.profile.treatment(tag, vr, creator, path, variant[-1] if variant else None)
            if treatment is not None:
                return Decision(len(self.rules), treatment.method, treatment.vr or treated_as)
        return None if number is None else Decision(number, self.rules[number].method, treated_as)

    def _first(self, facts: Facts, variant: Variant) -> int | None:
        """The number of the first rule that matches."""
        for number, rule in enumerate(self.rules):
            if (not variant or variant[number]) and rule.selector.matches(facts) and not is_exempt(facts.tag, rule):
                return number
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
        """The attributes that conditions and the profile look at."""
        asked = frozenset(condition.tag for rule in self.rules for condition in rule.when)
        asked |= self.origins
        return asked | self.profile.condition_tags if self.profile else asked

    @property
    def origins(self) -> frozenset[int]:
        """The attributes by which lists are looked up."""
        return frozenset(lookup.origin for lookup in self.lookups)

    def variant(self, values: Mapping[int, Values]) -> Variant:
        """Which rules hold for a file whose attributes have these values."""
        if not self.condition_tags:
            return ()
        holds = tuple(all_hold(rule.when, values) for rule in self.rules)
        return (*holds, self.profile.file(values, holds)) if self.profile else holds

    def refusal(self, values: Mapping[int, Values]) -> tuple[str, str] | None:
        """(reason, detail) where the profile, or a list that must know the file, does not let it pass."""
        for lookup in self.lookups:
            if lookup.on_missing == "set-aside" and origin_of(lookup, values) not in lookup.table.rows:
                return "not-in-mapping", f"{dictionary.name_of(lookup.origin)} is not in the list of the mapping"
        return self.profile.gate.refusal(values) if self.profile else None

    def with_origins(self, instance: Instance, values: Mapping[int, Values]) -> Instance:
        """The identity of a file and the values by which lists are looked up."""
        if not self.lookups:
            return instance
        return replace(instance, origins=tuple(origin_of(lookup, values) for lookup in self.lookups))

    @cached_property
    def looks_at_paths(self) -> bool:
        """Whether a decision may depend on the enclosing sequences."""
        return any(isinstance(rule.selector, AtPath) for rule in self.rules)

    def is_by_vr(self, number: int) -> bool:
        """Whether a rule takes all elements of a VR, none by its tag."""
        return number < len(self.rules) and isinstance(last_of(self.rules[number].selector), VRIs)

    def path_inside(self, path: tuple[int, ...], tag: int) -> tuple[int, ...]:
        """What a decision may look at of the path to the items of the sequence `tag`, which lies at `path`."""
        if self.looks_at_paths:
            return (*path, tag)
        return self.profile.inside(tag) if self.profile else ()

    def additions(self, variant: Variant) -> tuple[Made, ...]:
        """Elements that the top level is to have if it has them not, by tag; what lists give has no value yet."""
        found = self.profile.additions(variant[-1]) if self.profile and variant else ()
        mapped = [rule.selector for rule in self.rules if isinstance(rule.method, Mapped)]
        tags = [selector.tag for selector in mapped if isinstance(selector, TagIs)]
        given = [Made(tag, dictionary.effective_vr(tag, "", None), b"") for tag in tags]
        return tuple(sorted([*found, *given], key=attrgetter("tag"))) if given else found

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those of the rules and of the profile."""
        return tuple(rule.method for rule in self.rules) + (self.profile.methods if self.profile else ())

    @cached_property
    def knows(self) -> bool:
        """Whether a method looks at what is known of an instance; one of a profile's does."""
        return any(method.knows for method in self.methods)

    @property
    def collects(self) -> bool:
        """Whether what identifies is to be collected."""
        return self.knows or self.hides_names

    @cached_property
    def erases_private(self) -> bool:
        """Whether private elements may go, so that their creators may have to go too."""
        return self.profile is not None or any(
            rule.method.erases and _may_be_private(rule.selector) for rule in self.rules
        )


def origin_of(lookup: Lookup, values: Mapping[int, Values]) -> str:
    """The value by which a list is looked up; "" where the file has none."""
    return "\\".join(values.get(lookup.origin, ()))


def is_exempt(tag: int, rule: Rule) -> bool:
    """Whether a rule for many passes by: what a data set can't be read without, and creators that stay."""
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
