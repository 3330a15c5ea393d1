"""Compiled decisions: what the walk does with an element, known by the first bytes of its header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deid_batch import dictionary
from deid_batch.errors import OddEncoding
from deid_batch.methods import Change, Method
from deid_batch.methods.mapping import Mapped
from deid_batch.rules import Decision, RuleSet, Variant
from deid_batch.values import text
from deid_batch.wire import LONG_VRS, TEXT_VRS, VRS, WORD_SIZE, Encoding, Made, encode_made, tag_name

MAX_PLANS = 20_000
_FIXED_SIZE_VRS = frozenset("AT FD FL SL SS SV UL US UV".split())


TEXT, FIXED, OPAQUE, SPECIAL, PRIVATE = range(5)
"""How an element is passed; those below SPECIAL stay as they are once they are checked."""
SHORT_FORM, LONG_FORM, PLAIN_FORM = range(3)
"""Where an element's length stands: 2 bytes behind the VR, 4 bytes behind that, or 4 bytes behind the tag."""


class Untouched(NamedTuple):
    """The value of a sequence in which no rule decides anything, how many elements it holds, how deep it stood."""

    value: bytes
    kept: int
    depth: int


@dataclass(slots=True)
class Plan:
    """What to do with the elements of one tag and VR."""

    tag: int
    written_vr: str
    vr: str
    decision: Decision | None
    word: int = 1
    longest: int = dictionary.UNLIMITED
    """The size of one value and of all, where the VR has a fixed size."""
    untouched: dict[bytes, Untouched] = field(default_factory=dict)
    """For a sequence: values in which no rule decides anything; where their length is not told, by how they begin."""
    cache: dict[tuple[bytes, bytes, bool, str], Change] = field(default_factory=dict)

    @property
    def is_scoped(self) -> bool:
        """Whether the result may depend on the file's scope."""
        return self.decision is not None and type(self.decision.method).cache_token is not Method.cache_token

    @property
    def is_lone(self) -> bool:
        """Whether what a rule does with an element concerns no other one."""
        is_plain = self.vr not in ("SQ", "UN") and self.written_vr != "UN" and self.tag not in _STATEFUL
        return self.decision is not None and is_plain and not _is_structure(self.tag)

    def is_swallowing(self, data: bytes, start: int, stop: int) -> bool:
        """Whether a value can't be one of this VR, as when its length lies and it holds its neighbours."""
        if self.vr in TEXT_VRS:
            return text.has_foreign_bytes(data, start, stop)
        return (stop - start) % self.word != 0 or stop - start > self.longest


Entry = tuple[int, int, int, Plan]
"""(kind, form of the length, tag, plan): what the loop needs first."""

_UNDECIDED = Plan(0, "", "", None)
"""In the place of a private element's plan, which depends on its creator."""
_STATEFUL = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00280103, 0xFFFCFFFC})


class Ground(NamedTuple):
    """What decisions depend on besides the element: an item's own and its file's."""

    encoding: Encoding
    signed: bool = False
    path: tuple[int, ...] = ()
    variant: Variant = ()


class Plans(dict[bytes, Entry]):
    """The plans for one encoding, by the header's tag and VR as they are written; made when first asked for."""

    def __init__(self, rules: RuleSet, ground: Ground) -> None:
        super().__init__()
        self._rules = rules
        self.ground = ground
        self.encoding = ground.encoding
        self.layouts: dict[int, Any] = {}
        """What the walk knows of the items of each sequence."""
        self._private: dict[tuple[bytes, str | None], Entry] = {}
        additions = () if ground.path else rules.additions(ground.variant)
        self.additions = tuple((made, self._addition(made)) for made in additions)
        """What the top level is to have if it has it not, by tag: the element, or the plan for its value."""

    def _addition(self, made: Made) -> bytes | Plan:
        decision = self._rules.decide(made.tag, made.vr, None, *self.ground[2:])
        is_given = decision is not None and isinstance(decision.method, Mapped)
        return Plan(made.tag, made.vr, made.vr, decision) if is_given else encode_made(made, self.encoding)

    def __missing__(self, header: bytes) -> Entry:
        if len(self) > MAX_PLANS:
            self.clear()
        tag = self.encoding.read_tag(header, 0)
        if dictionary.is_private(tag) and not dictionary.is_private_creator(tag):
            entry: Entry = (PRIVATE, _form(tag, self._written_vr(header, tag)), tag, _UNDECIDED)
        else:
            entry = self._entry(header, tag, None)
        self[header] = entry
        return entry

    def private(self, header: bytes, tag: int, creator: str | None) -> Entry:
        """The plan for a private element of this creator."""
        entry = self._private.get((header, creator))
        if entry is None:
            if len(self._private) > MAX_PLANS:
                self._private.clear()
            entry = self._private[header, creator] = self._entry(header, tag, creator)
        return entry

    def _written_vr(self, header: bytes, tag: int) -> str:
        if not self.encoding.explicit or tag >> 16 == 0xFFFE or not any(header):
            return ""  # items have no VR, nor have zeros behind the data set
        vr = header[4:6].decode("latin-1")
        if vr not in VRS:
            raise OddEncoding("unknown-vr", f"the VR of {tag_name(tag)} is none of PS3.5 6.2")
        return vr

    def _entry(self, header: bytes, tag: int, creator: str | None) -> Entry:
        written = self._written_vr(header, tag)
        vr = dictionary.effective_vr(tag, written, creator, signed=self.ground.signed)
        decision = None if tag >> 16 == 0xFFFE else self._rules.decide(tag, vr, creator, *self.ground[2:])
        plan = Plan(tag, written, vr, decision)
        if vr in _FIXED_SIZE_VRS:
            plan.word = WORD_SIZE[vr]
            plan.longest = plan.word * dictionary.max_vm(tag)
        return _kind(plan), _form(tag, written), tag, plan


def _form(tag: int, written_vr: str) -> int:
    if not written_vr or tag >> 16 == 0xFFFE:
        return PLAIN_FORM
    return LONG_FORM if written_vr in LONG_VRS else SHORT_FORM


def _is_structure(tag: int) -> bool:
    return not tag & 0xFFFF or tag >> 16 == 0xFFFE or dictionary.is_private_creator(tag)


def _kind(plan: Plan) -> int:
    if plan.decision is not None or _is_structure(plan.tag) or plan.vr in ("SQ", "UN") or plan.tag in _STATEFUL:
        return SPECIAL
    if plan.vr in TEXT_VRS:
        return TEXT
    return FIXED if plan.vr in _FIXED_SIZE_VRS else OPAQUE
