"""The walk: an encoded data set is read once, element by element, and only what a rule touches is written anew.

This is the only code that changes the bytes of a data set. What it does not touch stays bit-identical.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from deid_batch import dictionary
from deid_batch.crypto import derive
from deid_batch.errors import FileError, NeedMore, OddEncoding, Unreadable
from deid_batch.frames import NEVER, Blocks, Frame, Tail, Touch, block_of
from deid_batch.identity import CHARSET, IDENTITY, SOP_CLASS_UID, SOP_INSTANCE_UID, plain_text
from deid_batch.known import Identity, Known, known
from deid_batch.layouts import Layout, Layouts
from deid_batch.methods import Change, Element, Instance, Method
from deid_batch.methods.base import Place
from deid_batch.methods.refreshuid import new_uid
from deid_batch.plans import (
    FIXED,
    LONG_FORM,
    PLAIN_FORM,
    PRIVATE,
    SHORT_FORM,
    SPECIAL,
    TEXT,
    Ground,
    Plan,
    Plans,
    Untouched,
)
from deid_batch.replay import Outline, Tally, Treated
from deid_batch.rules import Decision, RuleSet, Variant
from deid_batch.values import text, uids
from deid_batch.values.text import LONG, find_control, has_foreign_bytes
from deid_batch.wire import (
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    MAX_DEPTH,
    MAX_SHORT_LENGTH,
    OPAQUE_VRS,
    PIXEL_DATA,
    TEXT_VRS,
    UNDEFINED,
    Encoding,
    encode_items,
    end_of_fragments,
    end_of_group,
    end_of_item,
    end_of_items,
    looks_like_items,
    read_item,
    tag_name,
    too_deep,
)

_PIXEL_REPRESENTATION, _TRAILING_PADDING = 0x00280103, 0xFFFCFFFC
_PINNED = frozenset({CHARSET, _PIXEL_REPRESENTATION})
_NAME = 48
"""By so many of its first bytes is a sequence of undefined length remembered."""
_MAX_CACHED_VALUE, _MAX_CACHED, _MAX_GROUNDS, _MAX_REMEMBERED, _MAX_LAYOUTS = 1024, 4096, 1024, 2048, 256


class CompiledRules:
    """A rule set made ready for the work of one process."""

    def __init__(self, rules: RuleSet, *, strict: bool = False) -> None:
        self.rules = rules
        self.strict = strict
        self.window = 64 << 10
        """How many bytes of a file to begin with; a matter of speed alone."""
        self._plans: dict[Ground, Plans] = {}
        self._outline: tuple[Encoding, Variant, Outline] | None = None

    def outline(self, encoding: Encoding, variant: Variant | None = None) -> Outline | None:
        """The last file's outline if it was of this encoding and variant; where a variant is given, else a new one."""
        if self._outline is not None:
            last_encoding, last_variant, outline = self._outline
            if last_encoding is encoding and variant in (None, last_variant):
                return outline
        if variant is None:
            return None
        outline = Outline(encoding, IDENTITY | self.rules.condition_tags, _PINNED)
        self._outline = encoding, variant, outline
        return outline

    def plans(self, ground: Ground) -> Plans:
        """The compiled decisions on this ground."""
        plans = self._plans.get(ground)
        if plans is None:
            if len(self._plans) >= _MAX_GROUNDS:
                self._plans.clear()
            plans = self._plans[ground] = Plans(self.rules, ground)
        return plans

    def layouts(self, plans: Plans, tag: int) -> Layouts:
        """What is known of the items of the sequence `tag`, in which these plans hold."""
        layouts: Layouts | None = plans.layouts.get(tag)
        if layouts is None:
            if len(plans.layouts) >= _MAX_LAYOUTS:
                plans.layouts.clear()
            layouts = plans.layouts[tag] = Layouts(plans, self._plans_inside)
        return layouts

    def _plans_inside(self, plans: Plans, tag: int) -> Plans:
        """The plans in the items of the sequence `tag` where these plans hold."""
        path = self.rules.path_inside(plans.ground.path, tag)
        return plans if path == plans.ground.path else self.plans(plans.ground._replace(path=path))

    def known(self, identities: Iterable[Identity]) -> Known:
        """What is known where these identify, and what the config names."""
        return known({*identities, *self.rules.identifiers}, always=self.rules.takes_common_words)

    def scope_id(self, instance: Instance) -> str:
        """16 hex digits that files of one scope have in common and that tell nothing else; "" without a scope UID."""
        uid = instance.scope_uid(self.rules.scope)
        return _scope_id(self.rules.uid_key, uid) if uid else ""


@lru_cache(maxsize=1024)
def _scope_id(key: bytes, uid: str) -> str:
    return derive(key, "scope", uid.encode()).hex()[:16]


class Walk:
    """The walk over one data set, and what was done: `counts` by column, `hits` by rule."""

    def __init__(
        self,
        compiled: CompiledRules,
        instance: Instance,
        encoding: Encoding,
        variant: Variant = (),
        trace: list[Touch] | None = None,
    ) -> None:
        self._trace = trace
        self._compiled = compiled
        self._instance = instance
        self._outline = None if trace is not None else compiled.outline(encoding, variant)
        self._scopes: dict[Method, str] = {}
        self._is_volatile = False
        ground = Ground(encoding, variant=variant)
        self._top = Frame(ground, compiled.plans(ground), delimited=False)
        self._partial = False
        self._tail: Tail | None = None
        self.out: list[bytes] = []
        self.is_encapsulated = False
        self._kept = self._decided = 0
        self._counts: Counter[str] = Counter()
        self.hits: Counter[int] = Counter()
        self.warnings = 0
        self.sop_class_uid = instance.sop_class_uid
        self.sop_instance_uid = instance.sop_instance_uid

    def feed(self, data: bytes, pos: int, *, partial: bool) -> Tail | None:
        """Walk the elements from `pos` on; `partial` says that the file goes on behind `data`.

        Stops at a long value that need not be looked at, to be fed what comes behind it. Raises NeedMore where
        anything else goes on behind `data`; the walk is then as before and may be fed more.
        """
        self._partial = partial
        self._tail = None
        before = self._top.copy() if partial else self._top
        counted = (self._kept, self._counts.copy(), self.hits.copy(), self.warnings) if partial else None
        touched, written = len(self._trace or ()), len(self.out)
        try:
            if self._outline is not None and not self._top.last_tag:
                pos = self._outline.replay(self, self._instance, data, pos)
                self._top.written = len(self.out)
            chunks, _ = self._data_set(data, pos, len(data), self._top)
            if partial and self._tail is None:  # the bytes at hand end with an element, but the file goes on
                raise NeedMore
        except NeedMore:
            self._top = before
            del self.out[written:]
            if counted:
                self._kept, self._counts, self.hits, self.warnings = counted
            if self._trace is not None:
                del self._trace[touched:]
            raise
        self.out.extend([data[pos:]] if chunks is None else chunks)
        if not partial and self._tail is None:
            self.out.append(self._added(self._top, NEVER))
        if self._top.blocks:
            self._settle_creators(self.out, self._top.blocks, self._top)
        self._top.written = len(self.out)
        return self._tail

    @property
    def counts(self) -> Counter[str]:
        """Elements by the column that they are counted under."""
        return self._counts + Counter(kept=self._kept)

    def taken(self, before: bytes = b"") -> bytes:
        """`before`, and what is to be written since this was last asked. Ask before a kept tail, and at the end."""
        taken = b"".join((before, *self.out))
        self.out.clear()
        self._top.written = 0
        return taken

    def tag_at(self, data: bytes, pos: int) -> int:
        """The tag at `pos`, or -1 where no element begins that could be remembered."""
        frame = self._top
        if len(data) - pos < 12:
            return -1
        tag = frame.encoding.read_tag(data, pos)
        return tag if tag > frame.last_tag else -1

    def unit(self, data: bytes, pos: int) -> tuple[bytes | None, int]:
        """Treat an element of an even group, or a whole odd group: (what it becomes, None if unchanged; its end).

        The end is -1 where it does not lie in `data`. What is to be added before the unit becomes a part of it.
        """
        replacement, stop = self._unit(data, pos)
        if stop >= 0 and (tag := self._top.encoding.read_tag(data, pos)) >= self._top.due:
            replacement = self._added(self._top, tag) + (data[pos:stop] if replacement is None else replacement)
        return replacement, stop

    def _unit(self, data: bytes, pos: int) -> tuple[bytes | None, int]:
        frame, end = self._top, len(data)
        if end - pos < 12:
            return None, -1
        encoding = frame.encoding
        kind, form, tag, plan = frame.plans[data[pos : pos + (6 if encoding.explicit else 4)]]
        if tag >> 16 & 1:
            return self._odd_group(data, pos, tag >> 16)
        start = pos + 8
        if form == SHORT_FORM:
            length = encoding.u16.unpack_from(data, pos + 6)[0]
        elif form == PLAIN_FORM:
            length = encoding.u32.unpack_from(data, pos + 4)[0]
        else:
            start = pos + 12
            length = encoding.u32.unpack_from(data, pos + 8)[0]
        stop = start + length
        if stop > end and length != UNDEFINED:
            return None, -1
        if kind < SPECIAL and length != UNDEFINED:
            if plan.is_swallowing(data, start, stop):
                raise _swallowing(tag)
            self._kept += 1
            return None, stop
        return self._element(data, pos, start, length, end, plan, frame)

    def _odd_group(self, data: bytes, pos: int, group: int) -> tuple[bytes | None, int]:
        """All elements of an odd group, whose private blocks concern nobody else. (PS3.5 7.8.1)"""
        top = self._top
        try:
            end = end_of_group(data, pos, group, top.encoding)
        except (NeedMore, FileError):
            return None, -1
        frame = Frame(top.ground, top.plans, top.charset, delimited=False)
        frame.due = NEVER
        chunks, _ = self._data_set(data, pos, end, frame)
        if chunks is None:
            return None, end
        if frame.blocks:
            self._settle_creators(chunks, frame.blocks, frame)
        return b"".join(chunks), end

    def unit_told(self, data: bytes, pos: int) -> tuple[Treated, int]:
        """The same, with all that must be known to do it again."""
        before = self._kept, self._counts, self.hits, self.warnings
        self._kept, self._counts, self.hits, self.warnings = 0, Counter(), Counter(), 0
        self._scopes, self._is_volatile = {}, False
        replacement, stop = self.unit(data, pos)
        tally = Tally(self._kept, self._counts, self.hits, self.warnings)
        self._kept, self._counts, self.hits, self.warnings = before
        self.credit(tally)
        out = data[pos:stop] if replacement is None else replacement
        return Treated(out, tally, self._scopes, self._is_volatile), stop

    def passed(self, tag: int) -> None:
        """The element or odd group of this tag was passed."""
        self._top.last_tag = tag
        if tag >= self._top.due:
            self._top.due = next((made.tag for made, _ in self._top.plans.additions if made.tag > tag), NEVER)

    def pinned(self, key: bytes, raw: bytes) -> None:
        """An element was passed that those behind it depend on."""
        _, form, _, plan = self._top.plans[key]
        self._note(plan, raw[12 if form == LONG_FORM else 8 :], self._top)

    def credit(self, tally: Tally) -> None:
        """Count what was done."""
        self._kept += tally.kept
        self.warnings += tally.warnings
        if tally.counts or tally.hits:
            self._counts.update(tally.counts)
            self.hits.update(tally.hits)

    def _data_set(  # noqa: C901, PLR0912, PLR0915 - the hot loop
        self, data: bytes, pos: int, end: int, frame: Frame
    ) -> tuple[list[bytes] | None, int]:
        """Walk a data set or an item: (what it becomes, or None where nothing changed; where it ends)."""
        encoding, plans = frame.encoding, frame.plans
        u16, u32 = encoding.u16.unpack_from, encoding.u32.unpack_from
        key_size = 6 if encoding.explicit else 4
        out: list[bytes] = []
        run, kept, last_tag = pos, 0, frame.last_tag
        while pos < end or frame.delimited:
            if end - pos < 8:
                if not frame.depth and not self._partial and not data[pos:end].strip(b"\0"):
                    out.append(data[run:pos])  # a few zeros behind the data set
                    run = pos = end
                    break
                raise self._cut_off(data, end, pos + 8, "a data element")
            header = data[pos : pos + key_size]
            kind, form, tag, plan = plans[header]
            if form == SHORT_FORM:
                start = pos + 8
                length = u16(data, pos + 6)[0]
            elif form == PLAIN_FORM:
                start = pos + 8
                length = u32(data, pos + 4)[0]
            else:
                if end - pos < 12:
                    raise self._cut_off(data, end, pos + 12, tag_name(tag))
                start = pos + 12
                length = u32(data, pos + 8)[0]
            if tag <= last_tag:
                if tag or frame.depth or data.count(0, pos, end) < end - pos:
                    raise OddEncoding("tag-order", f"{tag_name(tag)} stands behind {tag_name(last_tag)}")
                if self._partial:
                    raise NeedMore
                out.append(data[run:pos])  # zeros behind the data set
                run = pos = end
                break
            last_tag = tag
            if tag >= frame.due:
                out.append(data[run:pos] + self._added(frame, tag))
                run = pos
            if kind == PRIVATE:
                block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
                blocks = frame.blocks or frame.private_blocks()
                kind, _, _, plan = plans.private(header, tag, blocks.creators.get(block))
                blocks.met[block] += 1
            stop = start + length
            if stop <= end and kind < SPECIAL:
                if kind == TEXT:
                    if (length >= LONG or find_control(data, start, stop)) and has_foreign_bytes(data, start, stop):
                        raise _swallowing(tag)
                elif kind == FIXED and plan.is_swallowing(data, start, stop):
                    raise _swallowing(tag)
                kept += 1
                pos = stop
                continue
            if frame.delimited and tag == ITEM_DELIMITATION:
                if length:
                    raise Unreadable("bad-sequence", "an item delimitation has a length")
                pos = start
                break
            if stop > end and self._is_tail(plan, frame, length):
                out.append(data[run:pos])
                out.append(self._before_tail(data[pos:start], plan, start, length))
                run = pos = end
                break
            replacement, stop = self._element(data, pos, start, length, end, plan, frame)
            plans = frame.plans
            if frame.blocks and tag in frame.blocks.slots:
                out.append(data[run:pos])
                frame.blocks.slots[tag] = frame.written + len(out), plan
                out.append(data[pos:stop] if replacement is None else replacement)
                run = stop
            elif replacement is not None:
                if not replacement and tag >> 16 & 1:
                    frame.private_blocks().gone[block_of(tag)] += 1
                out.append(data[run:pos])
                out.append(replacement)
                run = stop
            pos = stop
        frame.last_tag = last_tag
        self._kept += kept
        if frame.depth and frame.blocks:
            self._settle_creators(out, frame.blocks, frame)
        if not out:
            return None, pos
        out.append(data[run:pos])
        return out, pos

    def _added(self, frame: Frame, tag: int) -> bytes:
        """The elements to be added that stand before `tag`; one that is there already is treated there."""
        added = b""
        left = [(made, encoded) for made, encoded in frame.plans.additions if made.tag >= frame.due]
        for made, encoded in left:
            if made.tag >= tag:
                continue
            if isinstance(encoded, Plan):
                added += self._given(encoded, frame)
            else:
                added += encoded
                if self._trace is not None and isinstance(made.value, bytes):
                    rule, little = len(self._compiled.rules.rules), frame.encoding.little
                    self._trace.append(Touch((), made.tag, made.vr, rule, b"", little, b"", made.value))
        frame.due = next((made.tag for made, _ in left if made.tag > tag), NEVER)
        return added

    def _given(self, plan: Plan, frame: Frame) -> bytes:
        """An element whose value a list gives; none where the list has none for the file."""
        assert plan.decision is not None
        value = self._change(b"", plan, frame).value
        if not value:
            return b""
        self.hits[plan.decision.rule] += 1
        self._counts[plan.decision.method.column] += 1
        self._touch(plan, frame, b"", value, plan.decision.rule)
        return self._written(plan, value, frame)

    def _cut_off(self, data: bytes, end: int, stop: int, what: str) -> Unreadable:
        """The error for what goes on behind `end`, to `stop`."""
        if end == len(data):
            return NeedMore(stop)
        return Unreadable("bad-length", f"{what} goes on behind the end of its item")

    def _is_tail(self, plan: Plan, frame: Frame, length: int) -> bool:
        """Whether a value that goes on behind the bytes at hand need not be looked at."""
        if frame.depth or not self._partial or plan.vr == "UN" or plan.vr not in OPAQUE_VRS:
            return False
        if length == UNDEFINED and not _may_be_encapsulated(plan):
            return False
        if _is_kept(plan) and frame.blocks:  # a creator can't be waited with once its neighbour is spliced
            block = block_of(plan.tag)
            return not any(tag > block for tag in frame.blocks.slots if tag >> 16 == plan.tag >> 16)
        return _is_kept(plan) or _erases(plan)

    def _before_tail(self, header: bytes, plan: Plan, start: int, length: int) -> bytes:
        """Mark the tail; what is to be written before it."""
        is_dropped = _is_dropped(plan.tag)
        self._tail = Tail(plan.tag, start, length, _is_kept(plan) and not is_dropped)
        self.is_encapsulated |= length == UNDEFINED
        if is_dropped:
            return b""
        if self._keeps(plan):
            return header
        erased = self._erased(plan, self._top, plan.vr)
        self._top.private_blocks().gone[block_of(plan.tag)] += not erased
        return erased

    def _element(
        self, data: bytes, pos: int, start: int, length: int, end: int, plan: Plan, frame: Frame
    ) -> tuple[bytes | None, int]:
        """Treat an element that needs more than a check: (what it becomes, None if nothing changed; where it ends)."""
        tag, stop = plan.tag, start + length
        if tag >> 16 == 0xFFFE:
            raise Unreadable("bad-sequence", f"{tag_name(tag)} stands where an element must begin")
        if length == UNDEFINED:
            if plan.vr in ("SQ", "UN") or plan.written_vr == "UN":
                return self._sequence(data, pos, start, length, end, plan, frame)
            return self._encapsulated(data, start, end, plan, frame)
        if stop > end:
            raise self._cut_off(data, end, stop, tag_name(tag))
        if _is_dropped(tag):
            return b"", stop
        if plan.vr == "SQ" or (plan.vr == "UN" and _is_kept(plan) and looks_like_items(data, start, stop)):
            return self._sequence(data, pos, start, length, end, plan, frame)
        value = data[start:stop]
        self._note(plan, value, frame)
        if dictionary.is_private_creator(tag) and self._compiled.rules.erases_private:
            frame.private_blocks().slots[tag] = 0, plan
            if _erases(plan):
                return None, stop
        return self._value(value, plan, frame), stop

    def _settle_creators(self, out: list[bytes], blocks: Blocks, frame: Frame) -> None:
        """A creator stays while an element of its block does, and goes with the last one. (PS3.5 7.8.1)

        Those whose block may go on behind the tail stay open.
        """
        behind = self._tail.tag if self._tail else 0
        for tag in [tag for tag in blocks.slots if tag >> 16 != behind >> 16 or tag < block_of(behind)]:
            slot, plan = blocks.slots.pop(tag)
            stays = blocks.met[tag] > blocks.gone[tag]
            if _erases(plan) and not stays:
                out[slot] = self._erased(plan, frame, plan.vr)
            elif _erases(plan):
                self._kept += 1
            elif blocks.met[tag] and not stays:
                out[slot] = b""
                self._counts["removed"] += 1
                self._touch(plan, frame, None, None, None)
                self._kept -= _is_kept(plan)

    def _note(self, plan: Plan, value: bytes, frame: Frame) -> None:
        """Take in what an element says about those behind it."""
        tag = plan.tag
        if tag == CHARSET:
            frame.charset = value
        elif tag == _PIXEL_REPRESENTATION:
            signed = value[:1] == b"\1" if frame.encoding.little else value[1:2] == b"\1"
            frame.ground = frame.ground._replace(signed=signed)
            frame.plans = self._compiled.plans(frame.ground)
        elif dictionary.is_private_creator(tag):
            frame.private_blocks().creators[tag] = plain_text(value, frame.charset)

    def _value(self, value: bytes, plan: Plan, frame: Frame) -> bytes | None:
        """What an element of this value becomes; b"" where it goes, None where nothing changed."""
        vr, decision = plan.vr, plan.decision
        is_text = vr in TEXT_VRS
        if plan.is_swallowing(value, 0, len(value)):
            raise _swallowing(plan.tag)
        if decision is None or (plan.tag == CHARSET and self._stays_readable(value, decision)):
            self._kept += 1
            return None
        method = decision.method
        self.hits[decision.rule] += 1
        self._decided += 1
        is_empty = not value.strip(b"\0 ") if is_text else not value
        if is_empty and not method.acts_on_empty:
            self._kept += 1
            return None
        change = self._change(value, plan, frame)
        self._counts[method.column] += 1
        self.warnings += change.warnings
        self._touch(plan, frame, value, change.value, decision.rule)
        if frame.depth == 0 and plan.tag in (SOP_CLASS_UID, SOP_INSTANCE_UID):
            self._is_volatile = True
            self._note_identity(plan.tag, change.value)
        if change.value is None:
            return b""
        return None if change.value == value else self._written(plan, change.value, frame)

    def _stays_readable(self, value: bytes, decision: Decision) -> bool:
        """Whether defined terms of Specific Character Set are met by a rule that only means all of its VR."""
        return self._compiled.rules.is_by_vr(decision.rule) and text.is_charset(value)

    def _change(self, value: bytes, plan: Plan, frame: Frame) -> Change:
        """The method's answer, remembered for as long as it may hold for other elements too."""
        assert plan.decision is not None
        method = plan.decision.method
        little = frame.encoding.little or plan.written_vr == "UN"
        token = method.cache_token(self._instance)
        if token is None:
            self._is_volatile = True
        elif plan.is_scoped:
            self._scopes[method] = token
        key = (value, frame.charset, little, token or "")
        if token is not None and (known := plan.cache.get(key)) is not None:
            return known
        element = Element(
            plan.tag, plan.decision.vr, self._instance, frame.place, frame.charset, little, self._compiled.strict
        )
        change = method.apply(value, element)
        if token is not None and len(value) + len(frame.charset) <= _MAX_CACHED_VALUE:
            if len(plan.cache) >= _MAX_CACHED:
                plan.cache.clear()
            plan.cache[key] = change
        return change

    def _written(self, plan: Plan, value: bytes, frame: Frame) -> bytes:
        """The element with another value."""
        if frame.encoding.explicit and len(value) > MAX_SHORT_LENGTH and plan.written_vr not in LONG_VRS:
            self.warnings += 1
        return frame.encoding.element(plan.tag, plan.written_vr, value)

    def _note_identity(self, tag: int, value: bytes | None) -> None:
        """Keep the File Meta Information in step with a data set whose identity changes."""
        uid = uids.text_of(value) if value else ""
        if tag == SOP_INSTANCE_UID:
            key = self._compiled.rules.uid_key
            self.sop_instance_uid = uid or new_uid(key, self._instance.sop_instance_uid)
        elif uid:
            self.sop_class_uid = uid

    def _erased(self, plan: Plan, frame: Frame, vr: str) -> bytes:
        """What a sequence or an encapsulated value becomes under a rule that does not keep it."""
        assert plan.decision is not None
        method = plan.decision.method
        self.hits[plan.decision.rule] += 1
        self._decided += 1
        self._counts[method.column] += 1
        self._is_volatile |= plan.is_scoped
        element = Element(plan.tag, vr, self._instance, frame.place, frame.charset, frame.encoding.little)
        change = method.apply(b"", element) if method.erases else method.give_up(element, "no value to treat")
        self.warnings += change.warnings
        self._touch(plan, frame, None, change.value, plan.decision.rule)
        if change.value is None:
            return b""
        encoding = IMPLICIT_LITTLE if plan.written_vr == "UN" else frame.encoding
        return frame.encoding.element(plan.tag, plan.written_vr, encode_items(method.items, encoding))

    def _touch(self, plan: Plan, frame: Frame, before: bytes | None, after: bytes | None, rule: int | None) -> None:
        """Note what was done, where somebody wants to see it."""
        if self._trace is not None:
            little = frame.encoding.little or plan.written_vr == "UN"
            self._trace.append(Touch(frame.place, plan.tag, plan.vr, rule, frame.charset, little, before, after))

    def _keeps(self, plan: Plan) -> bool:
        """Whether a sequence or an encapsulated value stays; a rule that keeps it is counted."""
        if not _is_kept(plan):
            return False
        if plan.decision is not None:
            self.hits[plan.decision.rule] += 1
            self._decided += 1
        self._kept += 1
        return True

    def _encapsulated(self, data: bytes, start: int, end: int, plan: Plan, frame: Frame) -> tuple[bytes | None, int]:
        """An encapsulated value: fragments, kept or erased as a whole. (PS3.5 A.4)"""
        if not _may_be_encapsulated(plan):
            raise Unreadable("bad-length", f"undefined length is not allowed for {tag_name(plan.tag)}")
        stop = end_of_fragments(data, start, end, frame.encoding)
        self.is_encapsulated |= not frame.depth
        if self._keeps(plan):
            return None, stop
        return self._erased(plan, frame, plan.vr), stop

    def _sequence(
        self, data: bytes, pos: int, start: int, length: int, end: int, plan: Plan, frame: Frame
    ) -> tuple[bytes | None, int]:
        """A sequence: its items first, then the rule for itself. (PS3.5 7.5)"""
        delimited = length == UNDEFINED
        end = end if delimited else start + length
        encoding = IMPLICIT_LITTLE if plan.written_vr == "UN" else frame.encoding
        if not self._keeps(plan):
            stop = end_of_items(data, start, end, encoding, frame.depth + 1, delimited=delimited)
            return self._erased(plan, frame, "SQ"), stop
        added = plan.decision.method.items if plan.decision else ()
        if added:
            name = b""
        elif delimited:
            name = data[start : start + _NAME]
        else:
            name = data[start:end] if length <= _MAX_REMEMBERED else b""
        if (known := plan.untouched.get(name)) is not None and frame.depth <= known.depth:
            stop = start + len(known.value)
            if stop <= end and data.startswith(known.value, start):
                self._kept += known.kept
                return None, stop
        kept, decided = self._kept, self._decided
        content, stop = self._items(data, start, end, delimited, encoding, plan, frame)
        if plan.decision and plan.decision.method.goes_when_empty and content == data[stop - 8 * delimited : stop]:
            return b"", stop
        if added:
            content = data[start:stop] if content is None else content
            behind = len(content) - 8 * delimited
            content = content[:behind] + encode_items(added, encoding) + content[behind:]
        if content is None:
            if name and stop - start <= _MAX_REMEMBERED and decided == self._decided:
                if len(plan.untouched) >= _MAX_CACHED:
                    plan.untouched.clear()
                value = data[start:stop] if delimited else name
                plan.untouched[name] = Untouched(value, self._kept - kept, frame.depth)
            return None, stop
        if delimited:
            return data[pos:start] + content, stop
        return frame.encoding.element(plan.tag, plan.written_vr, content), stop

    def _items(  # noqa: C901, PLR0912, PLR0915 - a hot loop
        self, data: bytes, pos: int, end: int, delimited: bool, encoding: Encoding, plan: Plan, frame: Frame
    ) -> tuple[bytes | None, int]:
        """The items of a sequence: (what its value becomes, None if nothing changed; where it ends).

        A method may judge them: some go, and what is decided in the others depends on its judgement.
        """
        tag = plan.tag
        judging = plan.decision.method if plan.decision is not None and plan.decision.method.judges else None
        if frame.depth >= MAX_DEPTH:
            raise too_deep()
        out: list[bytes] = []
        run, number = pos, 0
        ground = frame.ground
        if encoding is not ground.encoding:
            ground = ground._replace(encoding=encoding)
        path = self._compiled.rules.path_inside(ground.path, tag)
        if path != ground.path:
            ground = ground._replace(path=path)
        plans = frame.plans if ground is frame.ground else self._compiled.plans(ground)
        layouts = self._compiled.layouts(plans, tag) if self._trace is None and judging is None else None
        item_code, u32, depth, charset = encoding.item_code, encoding.u32.unpack_from, frame.depth + 1, frame.charset
        while delimited or pos < end:
            start = pos + 8
            if start <= end and data.startswith(item_code, pos):
                length = u32(data, pos + 4)[0]
            else:
                read_item(data, pos, end, encoding)  # which raises but for a delimitation
                if not delimited:
                    raise Unreadable("bad-sequence", "a delimitation inside a sequence of defined length")
                pos = start
                break
            open_end = length == UNDEFINED
            item_end = end if open_end else start + length
            if item_end > end:
                raise self._cut_off(data, end, item_end, f"an item of {tag_name(tag)}")
            if layouts is not None and (layout := layouts.found(data, start, length, item_end, depth)):
                stop = start + layout.size
                if layout.slots:
                    content = self._filled(data, start, layout, charset, (frame.place, tag, number), depth)
                    if content is not None:
                        out += (data[run:pos], data[pos:start] + content if open_end else encoding.item(content))
                        run = stop
                self._kept += layout.kept
                pos = stop
                number += 1
                continue
            place = (frame.place, tag, number)
            if judging is not None:
                judged, at = (data, start) if open_end else (data[start:item_end], 0)
                fate = judging.judge(judged, at, encoding)
                if fate < 0:
                    out.append(data[run:pos])
                    pos = run = end_of_item(data, start, item_end, encoding, depth, delimited=open_end)
                    self._item_gone(plan, place, frame)
                    number += 1
                    continue
                ground = ground._replace(path=(*path[:-1], path[-1] | fate << 32))
                plans = self._compiled.plans(ground)
            item = Frame(ground, plans, charset, place, depth, delimited=open_end)
            chunks, stop = self._data_set(data, start, item_end, item)
            if chunks is not None:
                out.append(data[run:pos])
                content = b"".join(chunks)
                out.append(data[pos:start] + content if open_end else encoding.item(content))
                run = stop
            if layouts is not None:
                layouts.learn(data, start, stop, length)
            pos = stop
            number += 1
        if not out:
            return None, pos
        out.append(data[run:pos])
        return b"".join(out), pos

    def _filled(
        self, data: bytes, start: int, layout: Layout, charset: bytes, place: Place, depth: int
    ) -> bytes | None:
        """What an item of this layout becomes, None if nothing changed."""
        out: list[bytes] = []
        run = start
        for head, begin, stop, plan, plans, path in layout.slots:
            inner = place
            for tag, number in path:
                inner = (inner, tag, number)
            frame = Frame(plans.ground, plans, charset, inner, depth + len(path), delimited=False)
            replacement = self._value(data[start + begin : start + stop], plan, frame)
            if replacement is not None:
                out += (data[run : start + head], replacement)
                run = start + stop
        if not out:
            return None
        out.append(data[run : start + layout.size])
        return b"".join(out)

    def _item_gone(self, plan: Plan, place: Place, frame: Frame) -> None:
        """Note that an item went by the judgement of a method."""
        assert plan.decision is not None
        self._counts["removed"] += 1
        if self._trace is not None:
            little = frame.encoding.little or plan.written_vr == "UN"
            self._trace.append(Touch(place, ITEM, "", plan.decision.rule, frame.charset, little, None, None))


def _is_kept(plan: Plan) -> bool:
    return plan.decision is None or plan.decision.method.name == "keep"


def _erases(plan: Plan) -> bool:
    return plan.decision is not None and plan.decision.method.erases


def _is_dropped(tag: int) -> bool:
    """Whether an element goes whatever the rules say: a group length, Data Set Trailing Padding."""
    return not tag & 0xFFFF or tag == _TRAILING_PADDING


def _may_be_encapsulated(plan: Plan) -> bool:
    return plan.tag in PIXEL_DATA and plan.vr in ("OB", "OW") and plan.written_vr != "UN"


def _swallowing(tag: int) -> Unreadable:
    return Unreadable("lying-length", f"{dictionary.name_of(tag)} holds bytes that its VR does not allow")
