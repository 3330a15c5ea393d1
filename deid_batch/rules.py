"""Selectors, and which rule decides: the first one that matches, in file order."""

from __future__ import annotations

from dataclasses import dataclass, field

from deid_batch import dictionary
from deid_batch.methods import Method
from deid_batch.wire import TEXT_VRS, VRS


@dataclass(frozen=True)
class TagIs:
    """One tag."""

    tag: int

    def matches(self, tag: int, vrs: frozenset[str]) -> bool:
        return tag == self.tag


@dataclass(frozen=True)
class TagIn:
    """All tags whose digits under `mask` are those of `digits`: `(50xx,xxxx)`."""

    digits: int
    mask: int

    def matches(self, tag: int, vrs: frozenset[str]) -> bool:
        return tag & self.mask == self.digits


@dataclass(frozen=True)
class VRIs:
    """All elements of one VR."""

    vr: str

    def matches(self, tag: int, vrs: frozenset[str]) -> bool:
        return self.vr in vrs


Selector = TagIs | TagIn | VRIs


@dataclass(frozen=True)
class Rule:
    """A selector and the method for what it matches; `written` and `place` say where it stands in the config."""

    selector: Selector
    method: Method
    written: str = ""
    place: str = ""


@dataclass(frozen=True)
class Decision:
    """What happens to an element: the method, by which rule, and the VR its value is read by."""

    rule: int
    method: Method
    vr: str


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order, with their keys; and what the whole run has in common."""

    rules: tuple[Rule, ...]
    uid_key: bytes = field(default=b"", repr=False)
    scope: str = "SeriesInstance"
    """The date-shift scope, by which files are grouped."""
    required_scopes: frozenset[str] = frozenset()
    """Scopes whose UID a file must have, or be set aside."""

    def decide(self, tag: int, vr: str, creator: str | None) -> Decision | None:
        """The first rule that matches the element, or None: it stays as it is. `vr` is its effective VR.

        A public element matches a VR selector by its own VR and by the dictionary's, so that a Patient's Name
        written as LO does not get past a rule for PN.
        """
        known = dictionary.vr_of(tag)
        if dictionary.is_private(tag) or known not in VRS or known == "UN":
            known = vr
        vrs = frozenset((vr, known))
        treated_as = known if {vr, known} <= TEXT_VRS else vr
        for number, rule in enumerate(self.rules):
            if rule.selector.matches(tag, vrs):
                return Decision(number, rule.method, treated_as)
        return None
