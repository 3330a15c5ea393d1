"""Finding known identity in text: all forms at once, in time linear in the text's length."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import ahocorasick

from deid_batch.errors import BadValue
from deid_batch.known.folding import Folded, fold, letters_of, plain
from deid_batch.known.identity import Identity, Kind, Span
from deid_batch.known.variants import Form, forms_of, initials_of
from deid_batch.known.words import common_words
from deid_batch.values.dates import parse_da
from deid_batch.values.written import find_dates

_MAX_SETS = 256
_WIDEST_GAP = 3
_TITLE = re.compile(
    r"(?:^|[^\w])(?:dr|prof|mr|mrs|ms|miss|mister|herrn?|frau|hr|fr|pt|pat|patient(?:in|en)?|name|mme|mlle|monsieur|"
    r"madame|sr|sra|señora?|don|doña|sig|signora?|dott|dottoressa)(?:[.:,\s_^-]|\b){1,3}$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:^|[^\w])(?:id|mrn|pid|no|nr|nummer|number|num|pt|pat|patient(?:in)?|case|fall|acc|accession|#|№)[.:#=\s_-]{0,3}$",
    re.IGNORECASE,
)
_LOOK_BACK = 24
_LEAST_WITH_S = 4


class _Entry(NamedTuple):
    """What is known of a form: all that may be written so."""

    size: int
    kind: Kind
    needs_evidence: bool
    gaps: frozenset[int]
    is_free: bool
    is_particle: bool
    is_suffix: bool
    people: frozenset[int]


class _Hit(NamedTuple):
    """Where a form was found among a text's letters."""

    start: int
    stop: int
    entry: _Entry
    genitive: int = 0
    """How many letters at its end are none of the form's."""


class Known:
    """What is known to identify the patient, the study and the places of a file, made ready to be found in text.

    Its `token` is the same for the same identity and tells nothing of it.
    """

    __slots__ = ("_automaton", "_days", "_initials", "always", "token")

    def __init__(self, identities: Iterable[Identity] = (), *, always: bool = False) -> None:
        known = sorted(set(identities))
        self.always = always
        """Whether short and common words are names without other evidence."""
        self._days = frozenset(_days(known))
        people = sorted({it.text for it in known if it.kind == "person" or (it.kind == "other" and "^" in it.text)})
        self._initials = [initials_of(name) for name in people]
        self._automaton: Any = _automaton(known, {name: number for number, name in enumerate(people)})
        written = repr((always, known)).encode() if known else b""
        self.token = hashlib.sha256(written).hexdigest() if written else ""

    def __bool__(self) -> bool:
        return bool(self.token)

    def find(self, text: str) -> list[Span]:
        """Where known identity stands in a text: parts of it that do not overlap, in their order."""
        if not self.token or not text:
            return []
        spans = [Span(it.start, it.stop, "day") for it in self._known_days(text)]
        folded = None if text.isascii() else fold(text)
        letters = folded.letters if folded else letters_of(text)
        if self._automaton is not None and next(self._automaton.iter(letters), None) is not None:
            folded = folded or fold(text)
            hits = list(_hits(self._automaton, folded, text))
            if hits:
                spans += _Evidence(self, text, folded, hits).spans()
        return _merged(spans, text)

    def initials(self, people: Iterable[int]) -> frozenset[str]:
        """The first letters of the names of these people."""
        return frozenset().union(*(self._initials[number] for number in people))

    def _known_days(self, text: str) -> Iterator[Any]:
        if self._days:
            for written in find_dates(text):
                if not self._days.isdisjoint(written.readings):
                    yield written


def _days(identities: Iterable[Identity]) -> Iterator[date]:
    for identity in identities:
        if identity.kind == "day":
            try:
                yield parse_da(identity.text.strip())
            except BadValue:
                for written in find_dates(identity.text):
                    yield from written.readings


def _automaton(identities: Iterable[Identity], people: dict[str, int]) -> Any:
    entries: dict[str, _Entry] = {}
    for identity in identities:
        person = (
            frozenset({people[identity.text]}) if identity.text in people and identity.kind != "id" else frozenset()
        )
        for form in forms_of(identity):
            entries[form.letters] = _with(entries.get(form.letters), form, person)
    if not entries:
        return None
    automaton = ahocorasick.Automaton()
    for letters, entry in entries.items():
        automaton.add_word(letters, entry)
    automaton.make_automaton()
    return automaton


def _with(entry: _Entry | None, form: Form, person: frozenset[int]) -> _Entry:
    if entry is None:
        return _Entry(len(form.letters), form.kind, *form[2:], person)
    return _Entry(
        entry.size,
        entry.kind if not entry.needs_evidence or form.needs_evidence else form.kind,
        entry.needs_evidence and form.needs_evidence,
        entry.gaps | form.gaps,
        entry.is_free or form.is_free,
        entry.is_particle and form.is_particle,
        entry.is_suffix or form.is_suffix,
        entry.people | person,
    )


def _hits(automaton: Any, folded: Folded, text: str) -> Iterator[_Hit]:
    """Forms that begin and end with words and hold no separators where these can't be."""
    begins, ends, letters = folded.begins, folded.ends, folded.letters
    for last, entry in automaton.iter(letters):
        genitive = 0 if ends[last] else _genitive(folded, last, entry)
        if not (ends[last] or genitive) or (entry.people and _is_code(folded, last)):
            continue
        start = last + 1 - entry.size
        if entry.is_suffix or letters[start].isdigit():
            start = _with_digits(folded, start, every=entry.is_suffix)
        if letters[start].isdigit() and _is_part_of_number(text, folded.starts[start], folded.stops[last]):
            continue
        if begins[start] and _is_whole(folded, text, last + 1 - entry.size, last, entry):
            yield _Hit(start, last + 1 + genitive, entry, genitive)


def _is_code(folded: Folded, last: int) -> bool:
    """Whether a letter stands alone but for a digit behind it, as in T1: no initial."""
    letter, behind = folded.letters[last], folded.letters[last + 1 : last + 2]
    is_single = bool(folded.begins[last]) and letter.isascii() and letter.isalpha()
    return is_single and behind.isdigit() and folded.starts[last + 1] == folded.stops[last]


def _genitive(folded: Folded, last: int, entry: _Entry) -> int:
    """1 where the word ends with an s behind a name of some length, else 0."""
    behind = last + 1
    is_one = bool(entry.people) and entry.size >= _LEAST_WITH_S and folded.letters[behind : behind + 1] == "s"
    return int(is_one and bool(folded.ends[behind]) and folded.starts[behind] == folded.stops[last])


def _is_part_of_number(text: str, start: int, stop: int) -> bool:
    """Whether a point or comma, and digits behind that, stand beside a number."""
    before, behind = text[max(0, start - 2) : start], text[stop : stop + 2]
    is_behind_point = before[-1:] in (".", ",") and before[:1].isdigit() and len(before) == 2
    return is_behind_point or (behind[:1] in (".", ",") and behind[1:].isdigit())


def _with_digits(folded: Folded, start: int, *, every: bool) -> int:
    """Where a number begins: before leading zeros, or before all digits of a telephone number."""
    letters = folded.letters
    first = max(0, start - 12)
    while start > first and (letters[start - 1] == "0" or (every and letters[start - 1].isdigit())):
        gap = folded.starts[start] - folded.stops[start - 1]
        if gap > (_WIDEST_GAP if every else 0):
            break
        start -= 1
    return start


def _is_whole(folded: Folded, text: str, start: int, last: int, entry: _Entry) -> bool:
    """Whether separators within a form stand only where they may."""
    starts, stops = folded.starts, folded.stops
    for at in range(start, last):
        gap = starts[at + 1] - stops[at]
        if not gap:
            continue
        size = at + 1 - start
        if size not in entry.gaps and not (entry.is_free or (size > 2 and entry.size - size > 2)):
            return False
        if gap > (_WIDEST_GAP if size in entry.gaps or entry.is_suffix else 1):
            return False
        if size not in entry.gaps and not entry.is_suffix and text[stops[at]] in ".,;:\n":
            return False
    return True


class _Evidence:
    """Which of the forms found in a text count."""

    def __init__(self, known: Known, text: str, folded: Folded, hits: list[_Hit]) -> None:
        self._known, self._text, self._folded = known, text, folded
        self._accepted: list[_Hit] = []
        self._doubtful: list[_Hit] = []
        for hit in hits:
            (self._doubtful if self._is_doubtful(hit) else self._accepted).append(hit)

    def spans(self) -> Iterator[Span]:
        self._spread()
        for hit in self._accepted:
            start, stop = self._with_initials(hit) if hit.entry.people else (hit.start, hit.stop)
            end = self._folded.stops[stop - 1]
            end += stop > hit.stop and self._text.startswith(".", end)
            yield Span(self._folded.starts[start], end, hit.entry.kind)

    def _is_doubtful(self, hit: _Hit) -> bool:
        entry = hit.entry
        if self._known.always and hit.stop - hit.start > 1:
            return False
        is_common = entry.kind in ("person", "place", "address") and self._surface(hit) in common_words()
        if not entry.needs_evidence and not is_common:
            return False
        if entry.kind in ("place", "address"):
            return True
        return not (self._is_all(hit) or self._is_announced(hit) or self._is_beside_initial(hit))

    def _surface(self, hit: _Hit) -> str:
        return plain(self._text[self._folded.starts[hit.start] : self._folded.stops[hit.stop - 1 - hit.genitive]])

    def _is_all(self, hit: _Hit) -> bool:
        return hit.start == 0 and hit.stop == len(self._folded.letters)

    def _is_announced(self, hit: _Hit) -> bool:
        """Whether a title or a label stands before it."""
        start = self._folded.starts[hit.start]
        before = self._text[max(0, start - _LOOK_BACK) : start]
        return bool((_TITLE if hit.entry.kind == "person" else _LABEL).search(before))

    def _is_beside_initial(self, hit: _Hit) -> bool:
        """Whether a letter with a dot stands beside a part of a name, and another part begins with that."""
        if not hit.entry.people or not _is_evidence(hit):
            return False
        initials = self._known.initials(hit.entry.people) - {self._folded.letters[hit.start]}
        sides = ((hit.start - 1, hit.start), (hit.stop, hit.stop - 1))
        return any(
            0 <= at < len(self._folded.letters)
            and self._is_initial(at, beside, initials)
            and self._text[self._folded.stops[at] : self._folded.stops[at] + 1] == "."
            for at, beside in sides
        )

    def _spread(self) -> None:
        """Parts of a name beside others of the same name count, if not all of them are particles."""
        waiting = {hit for hit in self._doubtful if hit.entry.people}
        begin: dict[int, list[_Hit]] = defaultdict(list)
        end: dict[int, list[_Hit]] = defaultdict(list)
        for hit in waiting:
            begin[hit.start].append(hit)
            end[hit.stop].append(hit)
        sure = [hit for hit in self._accepted if hit.entry.people]
        for hit in [hit for hit in waiting if _is_evidence(hit)]:
            if any(_is_evidence(other) and self._are_beside(hit, other) for other in begin[hit.stop]):
                sure.append(hit)
                self._accepted.append(hit)
                waiting.discard(hit)
        while sure:
            hit = sure.pop()
            for other in [*begin[hit.stop], *end[hit.start]]:
                first, second = (hit, other) if other.start == hit.stop else (other, hit)
                if other in waiting and self._are_beside(first, second):
                    waiting.discard(other)
                    sure.append(other)
                    self._accepted.append(other)

    def _are_beside(self, first: _Hit, second: _Hit) -> bool:
        """Whether two parts of one name stand side by side, the second not the same as the first."""
        if first.entry.people.isdisjoint(second.entry.people) or first.entry is second.entry:
            return False
        between = self._text[self._folded.stops[first.stop - 1] : self._folded.starts[second.start]]
        return len(between) <= _WIDEST_GAP

    def _with_initials(self, hit: _Hit) -> tuple[int, int]:
        """The name with single letters beside it that are its initials."""
        initials = self._known.initials(hit.entry.people)
        start, stop = hit.start, hit.stop
        while start and start > hit.start - 3 and self._is_initial(start - 1, start, initials):
            start -= 1
        while stop < len(self._folded.letters) and stop < hit.stop + 3 and self._is_initial(stop, stop - 1, initials):
            stop += 1
        return start, stop

    def _is_initial(self, at: int, beside: int, initials: frozenset[str]) -> bool:
        folded = self._folded
        if not (folded.begins[at] and folded.ends[at]) or folded.letters[at] not in initials:
            return False
        first, second = sorted((at, beside))
        if folded.starts[second] - folded.stops[first] > _WIDEST_GAP:
            return False
        around = (
            self._text[max(0, folded.starts[at] - 1) : folded.starts[at]],
            self._text[folded.stops[at] : folded.stops[at] + 1],
        )
        return not any(it.isalnum() for it in around)


def _is_evidence(hit: _Hit) -> bool:
    """Whether a part of a name is more than a particle or an initial."""
    return not hit.entry.is_particle and hit.stop - hit.start > 1


def _merged(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans without overlaps; parts of one name are one."""
    merged: list[Span] = []
    for span in sorted(spans):
        last = merged[-1] if merged else None
        if last is not None and (span.start <= last.stop or _are_one(last, span, text)):
            merged[-1] = Span(last.start, max(last.stop, span.stop), last.kind)
        else:
            merged.append(span)
    return merged


def _are_one(first: Span, second: Span, text: str) -> bool:
    if first.kind != "person" or second.kind != "person" or second.start - first.stop > _WIDEST_GAP:
        return False
    return "\n" not in text[first.stop : second.start] and "=" not in text[first.stop : second.start]


NOBODY = Known()
"""Nothing is known."""


def known(identities: Iterable[Identity], *, always: bool = False) -> Known:
    """The same object for the same identity, as long as it is remembered."""
    return _known(frozenset(identities), always)


@lru_cache(maxsize=_MAX_SETS)
def _known(identities: frozenset[Identity], always: bool) -> Known:
    return Known(identities, always=always) if identities else NOBODY
