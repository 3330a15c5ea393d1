"""Selectors: which data elements a rule is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.wire import VRS


class Facts(NamedTuple):
    """What selectors look at: `path` are the tags of the enclosing sequences, the outermost first."""

    tag: int
    vrs: frozenset[str]
    creator: str | None = None
    path: tuple[int, ...] = ()


@dataclass(frozen=True)
class TagIs:
    """One tag."""

    tag: int

    def matches(self, facts: Facts) -> bool:
        return facts.tag == self.tag

    def covers(self, other: Selector) -> bool:
        return self == other


@dataclass(frozen=True)
class TagIn:
    """All tags whose digits under `mask` are those of `digits`: `(50xx,xxxx)`."""

    digits: int
    mask: int

    def matches(self, facts: Facts) -> bool:
        return facts.tag & self.mask == self.digits

    def covers(self, other: Selector) -> bool:
        if isinstance(other, TagIs):
            return other.tag & self.mask == self.digits
        return (
            isinstance(other, TagIn) and other.mask & self.mask == self.mask and other.digits & self.mask == self.digits
        )


@dataclass(frozen=True)
class VRIs:
    """All elements of one VR."""

    vr: str

    def matches(self, facts: Facts) -> bool:
        return self.vr in facts.vrs

    def covers(self, other: Selector) -> bool:
        if isinstance(other, TagIs):
            return not dictionary.is_private(other.tag) and dictionary.vr_of(other.tag) == self.vr
        return self == other


@dataclass(frozen=True)
class PrivateIs:
    """Elements of one private creator, wherever its block was placed: any tag where `group` is None. (PS3.5 7.8.1)"""

    creator: str
    group: int | None = None
    element: int = 0
    mask: int = 0
    """Which of the element number's low eight bits count."""

    def matches(self, facts: Facts) -> bool:
        if facts.creator != self.creator or not dictionary.is_private(facts.tag):
            return False
        return self.group in (None, facts.tag >> 16) and facts.tag & self.mask == self.element

    def covers(self, other: Selector) -> bool:
        if not isinstance(other, PrivateIs) or other.creator != self.creator:
            return False
        return (
            self.group in (None, other.group)
            and other.mask & self.mask == self.mask
            and other.element & self.mask == self.element
        )


@dataclass(frozen=True)
class AnyPrivate:
    """Every private element; a creator goes only when nothing of its block stays."""

    def matches(self, facts: Facts) -> bool:
        return dictionary.is_private(facts.tag)

    def covers(self, other: Selector) -> bool:
        if isinstance(other, TagIs):
            return dictionary.is_private(other.tag)
        return isinstance(other, (AnyPrivate, PrivateIs)) or (
            isinstance(other, TagIn) and bool(other.mask >> 16 & 1) and bool(other.digits >> 16 & 1)
        )


@dataclass(frozen=True)
class Anything:
    """All public or all private elements: what a config's `default` is for."""

    private: bool

    def matches(self, facts: Facts) -> bool:
        return dictionary.is_private(facts.tag) is self.private

    def covers(self, other: Selector) -> bool:
        return self == other


@dataclass(frozen=True)
class AtPath:
    """Elements inside sequences: `sequences` are the innermost ones, each a tag or None for any.

    The path is matched from its end, so the outermost named sequence may itself be nested, unless `anchored`.
    """

    sequences: tuple[TagIs | TagIn | None, ...]
    last: TagIs | TagIn | VRIs
    anchored: bool = False

    def matches(self, facts: Facts) -> bool:
        depth = len(self.sequences)
        if not self.last.matches(facts) or len(facts.path) < depth or (self.anchored and len(facts.path) != depth):
            return False
        inner = facts.path[len(facts.path) - depth :]
        return all(
            step is None or step.matches(Facts(tag, frozenset()))
            for step, tag in zip(self.sequences, inner, strict=True)
        )

    def covers(self, other: Selector) -> bool:
        return self == other


Selector = TagIs | TagIn | VRIs | PrivateIs | AnyPrivate | Anything | AtPath


def facts_of(tag: int, vr: str, creator: str | None = None, path: tuple[int, ...] = ()) -> Facts:
    """The facts of an element whose effective VR is `vr`.

    A public element has its own VR and the dictionary's, so that a Patient's Name written as LO does not get past a
    rule for PN.
    """
    known = dictionary.vr_of(tag)
    if dictionary.is_private(tag) or known not in VRS or known == "UN":
        known = vr
    return Facts(tag, frozenset((vr, known)), creator, path)
