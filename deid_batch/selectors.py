"""Selectors: which data elements a rule is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.wire import VRS


class Facts(NamedTuple):
    """What selectors look at: `path` are the tags of the enclosing sequences, the outermost first.

    What became of an item that was judged stands above a tag's 32 bits.
    """

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
        """Whether this matches all that the other one matches, as far as can be told."""
        return self == last_of(other)


@dataclass(frozen=True)
class TagIn:
    """All tags whose digits under `mask` are those of `digits`: `(50xx,xxxx)`."""

    digits: int
    mask: int

    def matches(self, facts: Facts) -> bool:
        return facts.tag & self.mask == self.digits

    def covers(self, other: Selector) -> bool:
        common = _common_digits(last_of(other))
        return common.mask & self.mask == self.mask and common.digits & self.mask == self.digits


@dataclass(frozen=True)
class VRIs:
    """All elements of one VR."""

    vr: str

    def matches(self, facts: Facts) -> bool:
        return self.vr in facts.vrs

    def covers(self, other: Selector) -> bool:
        other = last_of(other)
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
        return _ODD_GROUP.covers(other)


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
            step is None or step.matches(Facts(tag & 0xFFFFFFFF, frozenset()))
            for step, tag in zip(self.sequences, inner, strict=True)
        )

    def covers(self, other: Selector) -> bool:
        depth = len(self.sequences)
        if not self.last.covers(last_of(other)):
            return False
        if not isinstance(other, AtPath):
            return not depth and not self.anchored
        if len(other.sequences) < depth or (self.anchored and not (other.anchored and len(other.sequences) == depth)):
            return False
        inner = other.sequences[len(other.sequences) - depth :]
        return all(
            mine is None or (theirs is not None and mine.covers(theirs))
            for mine, theirs in zip(self.sequences, inner, strict=True)
        )


Selector = TagIs | TagIn | VRIs | PrivateIs | AnyPrivate | Anything | AtPath
_ODD_GROUP = TagIn(1 << 16, 1 << 16)


def last_of(selector: Selector) -> Selector:
    """A selector without its path."""
    return selector.last if isinstance(selector, AtPath) else selector


def _common_digits(selector: Selector) -> TagIn:
    """The digits that all tags have which a selector without a path matches."""
    match selector:
        case TagIs(tag):
            return TagIn(tag, 0xFFFFFFFF)
        case TagIn():
            return selector
        case PrivateIs(_, int(group), element, mask):
            return TagIn(group << 16 | element, 0xFFFF0000 | mask)
        case PrivateIs() | AnyPrivate() | Anything(True):
            return _ODD_GROUP
    return TagIn(0, 0)


def facts_of(tag: int, vr: str, creator: str | None = None, path: tuple[int, ...] = ()) -> Facts:
    """The facts of an element whose effective VR is `vr`.

    A public element has its own VR and the dictionary's, so that a Patient's Name written as LO does not get past a
    rule for PN.
    """
    known = dictionary.vr_of(tag)
    if dictionary.is_private(tag) or known not in VRS or known == "UN":
        known = vr
    return Facts(tag, frozenset((vr, known)), creator, path)
