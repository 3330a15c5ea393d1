"""clean: text without what identifies; the rest stays as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, ClassVar, NamedTuple

from annotated_types import Len

from deid_batch.errors import BadValue
from deid_batch.known.patterns import PATTERNS, Form, Pattern, find_forms
from deid_batch.methods.base import Change, Element, Instance, ValueMethod, inner_field, key_field
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.refreshuid import new_uid
from deid_batch.values import dates, text
from deid_batch.values.text import CHARSET_VRS

_SHORTEST = "*"
_OVER_89 = "90+"


class _Edit(NamedTuple):
    """A part of a text and what takes its place; None: a token."""

    start: int
    stop: int
    new: str | None


@dataclass(frozen=True)
class Clean(ValueMethod):
    """Take out of text what is known to identify, and what has the form of it (PS3.15 action C).

    Dates are moved where the config moves dates, and else go; ages over 89 become `90+`, UIDs those that `refreshUID`
    makes of them. What can't be read as text is erased.
    """

    name: ClassVar[str] = "clean"
    column: ClassVar[str] = "cleaned"
    vrs: ClassVar[frozenset[str]] = CHARSET_VRS
    purpose: ClassVar[str] = "uid"
    knows: ClassVar[bool] = True

    clean_patterns: tuple[Pattern, ...] = PATTERNS
    clean_token: Annotated[str, Len(1, 16)] = "[DEID]"  # noqa: S105
    clean_whole: bool = False
    shift: DateShift | None = inner_field()  # noqa: RUF009
    key: bytes = key_field()

    def cache_token(self, instance: Instance) -> str | None:
        token = instance.known.token
        return f"{token} {instance.scope_uid(self.shift.date_shift_scope)}" if self.shift else token

    def apply(self, value: bytes, element: Element) -> Change:
        if element.vr in self.vrs:
            try:
                values = text.split(value, element.vr, element.charset)
            except BadValue as error:
                return self.give_up(element, error.detail)
            cleaned = [self.treat(one, element, 0) for one in values]
            return Change(value) if cleaned == values else self.joined(cleaned, element, 0)
        return super().apply(value, element)

    def treat(self, value: str, element: Element, number: int) -> str:
        if element.vr != "PN":
            return self._cleaned(value, element)
        groups = [[self._cleaned(part, element) for part in group.split("^")] for group in value.split("=")]
        return "=".join("^".join(parts) for parts in groups)

    def _cleaned(self, part: str, element: Element) -> str:
        edits = _merged(sorted(self._edits(part, element.instance), key=itemgetter(0, 1)))
        if not edits:
            return part
        if self.clean_whole and any(edit.new is None for edit in edits):
            return ""
        room = None if element.vr == "PN" else element.vr
        for token, keeps_all in ((self.clean_token, True), (_SHORTEST, True), (_SHORTEST, False)):
            cleaned = _edited(part, edits, token, keeps_all=keeps_all)
            if room is None or text.fits(cleaned, room) or not text.fits(part, room):
                return cleaned
        return ""

    def _edits(self, part: str, instance: Instance) -> Iterator[_Edit]:
        for span in instance.known.find(part):
            yield _Edit(span.start, span.stop, None)
        for form in find_forms(part, self.clean_patterns):
            yield _Edit(form.start, form.stop, self._instead(form, part, instance))

    def _instead(self, form: Form, part: str, instance: Instance) -> str | None:
        """What takes the place of a form, where it is not just taken out."""
        if form.pattern == "ages":
            return _OVER_89 if not part[form.stop :].startswith("Y") or form.stop - form.start != 3 else "090"
        if form.pattern == "uids":
            return new_uid(self.key, part[form.start : form.stop])
        if form.date is None or self.shift is None:
            return None
        reference = self.shift.reference_date
        if reference is not None and dates.is_beyond_age_cap(form.date.readings[0], reference):
            return None
        return form.date.moved(self.shift.days_of(instance)) or None


def _merged(edits: list[_Edit]) -> list[_Edit]:
    """Edits that do not overlap: where some did, one token takes the place of all."""
    merged: list[_Edit] = []
    for edit in edits:
        last = merged[-1] if merged else None
        if last is None or edit.start >= last.stop:
            merged.append(edit)
        elif edit != last:
            new = edit.new if (edit.start, edit.stop) == (last.start, last.stop) and edit.new == last.new else None
            merged[-1] = _Edit(last.start, max(last.stop, edit.stop), new)
    return merged


def _edited(part: str, edits: list[_Edit], token: str, *, keeps_all: bool) -> str:
    """A text with its edits; without `keeps_all` a token stands for what is longer than what it takes the place of."""
    pieces, pos = [], 0
    for start, stop, new in edits:
        is_kept = new is not None and (keeps_all or len(new) <= stop - start)
        pieces += [part[pos:start], new if is_kept and new is not None else token]
        pos = stop
    return "".join([*pieces, part[pos:]])
