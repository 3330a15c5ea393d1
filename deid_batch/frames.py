"""What holds in the data set or item that is being walked, and what the walk tells of it. (PS3.5 7.5, 7.8)"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from deid_batch.methods.base import Place
from deid_batch.plans import Ground, Plan, Plans

NEVER = 1 << 32
"""Behind every tag."""


def block_of(tag: int) -> int:
    """The tag of the creator that a private element's block belongs to. (PS3.5 7.8.1)"""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


class Tail(NamedTuple):
    """A long value that stays as it is (or goes whole) and need not be looked at: `length` may be UNDEFINED."""

    tag: int
    start: int
    length: int
    is_kept: bool


class Touch(NamedTuple):
    """An element that was treated: `before` and `after` are its value, None for a sequence and for what went.

    `rule` is None for a private creator that went with its block.
    """

    place: Place
    tag: int
    vr: str
    rule: int | None
    charset: bytes
    little: bool
    before: bytes | None
    after: bytes | None


class Blocks:
    """The private blocks of a data set or item, each called by the tag of its creator. (PS3.5 7.8.1)"""

    __slots__ = ("creators", "gone", "met", "slots")

    def __init__(self) -> None:
        self.creators: dict[int, str] = {}
        self.met: Counter[int] = Counter()
        self.gone: Counter[int] = Counter()
        """How many elements there were, and how many went."""
        self.slots: dict[int, tuple[int, Plan]] = {}
        """Creators whose fate depends on their block: where they stand in what is written."""

    def copy(self) -> Blocks:
        """The same, beyond the reach of later changes."""
        copied = Blocks()
        copied.creators = dict(self.creators)
        copied.met, copied.gone, copied.slots = self.met.copy(), self.gone.copy(), dict(self.slots)
        return copied


class Frame:
    """The data set or item that is being walked, and what holds in it."""

    __slots__ = (
        "blocks", "charset", "delimited", "depth", "due", "encoding", "ground", "last_tag", "place", "plans", "written",
    )  # fmt: skip

    def __init__(
        self, ground: Ground, plans: Plans, charset: bytes = b"", place: Place = (), depth: int = 0, *, delimited: bool
    ) -> None:
        self.ground = ground
        self.encoding = ground.encoding
        self.plans = plans
        self.charset = charset
        self.place = place
        self.depth = depth
        self.delimited = delimited
        self.last_tag = 0
        self.written = 0
        """How many pieces had been written, and wait, when the walk came here."""
        self.blocks: Blocks | None = None
        self.due = NEVER if depth or not plans.additions else plans.additions[0][0].tag
        """The tag of the next element to add: all are behind the elements with lower tags."""

    def private_blocks(self) -> Blocks:
        """Its private blocks."""
        if self.blocks is None:
            self.blocks = Blocks()
        return self.blocks

    def copy(self) -> Frame:
        """The same, beyond the reach of later changes."""
        copied = Frame(self.ground, self.plans, self.charset, self.place, self.depth, delimited=self.delimited)
        copied.last_tag, copied.written, copied.due = self.last_tag, self.written, self.due
        copied.blocks = self.blocks and self.blocks.copy()
        return copied
