"""What a config promises for an element: the expectation that outputs are held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deid_batch.config.ignored import Ignored
from deid_batch.methods import Method
from deid_batch.rules import RuleSet, Variant
from deid_batch.selectors import facts_of
from deid_batch.verify.elements import Judgement, Seen

FREE, KEPT, RETAINED, MOVED, CHANGED = "free", "kept", "retained", "moved", "changed"
"""No rule names it; a rule of the user's keeps it; an option of the profile does; its date moves; its value goes."""
_MOST = 50_000


class Promise(NamedTuple):
    """What is to become of an element, by which method, and the VR that its value is read by."""

    act: str
    method: Method | None = None
    vr: str = ""


_CHARSET = 0x00080005
"""Specific Character Set, the defined terms of which stay under a rule for all of a VR."""


class Promises:
    """The promises of a rule set for files of one variant, each decision made once."""

    def __init__(self, rules: RuleSet, ignored: Sequence[Ignored] = ()) -> None:
        self.rules = rules
        self._ignored = tuple(ignored)
        self._known: dict[tuple[int, str, str | None, tuple[int, ...], Variant], Promise] = {}
        self._ignores: dict[tuple[int, str, str | None, tuple[int, ...]], frozenset[str]] = {}

    @property
    def judgement(self) -> Judgement:
        options = self.rules.profile.options if self.rules.profile else ()
        return Judgement(self.rules.path_inside, options)

    def of(self, seen: Seen, variant: Variant) -> Promise:
        """What is promised for an element of a file whose rules are of this variant."""
        key = (seen.tag, seen.vr, seen.creator, seen.path, variant)
        promise = self._known.get(key)
        if promise is None:
            if len(self._known) > _MOST:
                self._known.clear()
            promise = self._known[key] = self._promise(seen, variant)
        return promise

    def _promise(self, seen: Seen, variant: Variant) -> Promise:
        decision = self.rules.decide(seen.tag, seen.vr, seen.creator, seen.path, variant)
        if decision is None or (seen.tag == _CHARSET and self.rules.is_by_vr(decision.rule)):
            return Promise(FREE)
        method = decision.method
        own = decision.rule < len(self.rules.rules)
        if method.name == "keep":
            if own:
                return Promise(FREE if self.rules.rules[decision.rule].is_default else KEPT, method, decision.vr)
            return Promise(RETAINED, method, decision.vr)
        if method.name == "capAge":
            return Promise(RETAINED, method, decision.vr)
        return Promise(MOVED if method.name == "dateshift" else CHANGED, method, decision.vr)

    def ignored(self, seen: Seen) -> frozenset[str]:
        """The kinds of findings that the config says are false alarms at an element."""
        if not self._ignored:
            return frozenset()
        path = tuple(tag for tag, _ in seen.place[:-1])
        key = (seen.tag, seen.vr, seen.creator, path)
        if key not in self._ignores:
            facts = facts_of(seen.tag, seen.vr, seen.creator, path)
            matching = [it.kinds for it in self._ignored if it.selector.matches(facts)]
            self._ignores[key] = frozenset().union(*matching)
        return self._ignores[key]
