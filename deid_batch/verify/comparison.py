"""One output against its input: what is left of the identity, and what is not as it should be."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.errors import FileError, Unreadable
from deid_batch.methods.dummy import DUMMIES, TEXT_DUMMY
from deid_batch.values import uids
from deid_batch.verify.blobs import around_image, inflated_in, texts_in
from deid_batch.verify.days import days_in
from deid_batch.verify.elements import Reading, Seen, elements, reading
from deid_batch.verify.encoded import Encoded, encoded
from deid_batch.verify.findings import Finding, Place, shown
from deid_batch.verify.form import STRUCTURE, altered_pixels, faults_of_form, foreign_padding
from deid_batch.verify.identity import DATE, ID, UID, UNCHANGED, Identity, days_of, kind_of
from deid_batch.verify.marks import false_marks
from deid_batch.verify.matcher import ALL_KINDS, Matcher
from deid_batch.verify.moved import Moves, Shift, moves_of
from deid_batch.verify.original import Original, original_of
from deid_batch.verify.promises import CHANGED, KEPT, MOVED, RETAINED, Promise, Promises
from deid_batch.verify.regions import Region, fragments
from deid_batch.verify.words import folded
from deid_batch.wire import PIXEL_DATA

UNREADABLE = "unreadable"
_NUMBERS = frozenset("DS IS TM DA DT AS UI".split())
_QUANTITIES = _NUMBERS - {"UI"}
_ERASERS = frozenset({
    "remove", "redact", "substitute", "cryptohash", "encrypt", "refreshUID", "pseudonym", "dummy",
})  # fmt: skip
_UID = re.compile(r"(?<![0-9.])[0-9]+(?:\.[0-9]+){3,}")
_UID_BYTES = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}|(?:[0-9.]\x00){9,}")
_DAY_BYTES = re.compile(rb"(?<![0-9])[12][0-9]{7}(?![0-9])")
_SHORTEST_UID = 10
_MOST_TOLD = 5
_PRODUCTS = frozenset({0x00080070, 0x00081090})
"""Manufacturer and its model name: what stands there is the product's, though stations are called so too."""
_NEUTRAL = frozenset({TEXT_DUMMY, "", "0", *DUMMIES.values()})
_HEAD = 1 << 20
"""Bytes of a fragment of Pixel Data that are looked at from either end, besides what its image format tells."""
_IN_DATA_SET: dict[Place, Place] = {((0x00020003, 0),): ((0x00080018, 0),), ((0x00020002, 0),): ((0x00080016, 0),)}
"""Elements of File Meta Information that say what elements of the data set say."""
_WHERE_BYTES = {True: "between the elements", False: "File Meta Information or preamble"}


class Outcome(NamedTuple):
    """What a comparison came to: findings, and what is to be compared with other files."""

    findings: tuple[Finding, ...]
    uids: tuple[tuple[str, str, str], ...] = ()
    """(original UID, what stands in its place, place)."""
    shifts: frozenset[Shift] = frozenset()
    instance: tuple[str, str] = ("", "")
    """SOP Instance UID, before and after."""


class Checker:
    """Compares files of a run."""

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._matcher = lru_cache(maxsize=32)(Matcher)

    def identity(self, source: str | bytes) -> tuple[str, Identity]:
        """(patient, identity) of an input. Unreadable: pydicom can't read it."""
        with reading(source) as read:
            original = original_of(read, self._promises)
        return original.patient, original.identity

    def check(self, source: str | bytes, output: str | bytes, more: Identity = frozenset(), name: str = "") -> Outcome:
        """Compare an output with its input; `more` is known of its patient, `name` its path under OUT."""
        try:
            with reading(source) as before:
                original = original_of(before, self._promises)
                try:
                    with reading(output) as after:
                        return self._compared(before, original, source, after, output, more, name)
                except Unreadable as error:
                    return Outcome((Finding("the file", UNREADABLE, error.detail or error.reason),))
        except Unreadable as error:
            return Outcome((Finding("the original", UNREADABLE, error.detail or error.reason),))

    def check_directory(
        self, path: str | bytes, identities: Iterable[Identity], is_original: Callable[[str], bool]
    ) -> Outcome:
        """Look through a DICOMDIR for what is known of patients, some at a time."""
        with reading(path) as read:
            seen = [it for it in elements(read.data_set, self._promises.judgement) if it.is_text and it.raw]
        findings = [
            Finding(shown(it.place), UID, "in its value")
            for it in seen
            if it.tag not in uids.DEFINITION_ATTRIBUTES and any(is_original(value.strip()) for value in it.values)
        ]
        for identity in identities:
            matcher = Matcher(identity)
            findings += [
                Finding(shown(it.place), kind, "in its value")
                for it in seen
                for value in it.values
                for kind in matcher.kinds_in(value, is_number=it.vr in _NUMBERS)
            ]
        return Outcome(tuple(dict.fromkeys(findings)))

    def refuse_leaks(self, source: str | bytes, output: str | bytes, name: str) -> None:
        """Raise FileError where an output that is to be called `name` is not as it should be."""
        findings = self.check(source, output, name=name).findings
        if findings:
            told = [f"{it.kind} at {it.place}" for it in findings[:_MOST_TOLD]]
            more = f"; and {len(findings) - len(told)} more" if len(findings) > len(told) else ""
            raise FileError("leak-found", "; ".join(told) + more)

    def _compared(
        self,
        before: Reading,
        original: Original,
        source: str | bytes,
        after: Reading,
        output: str | bytes,
        more: Identity,
        name: str,
    ) -> Outcome:
        found = {it.place: it for it in elements(after.data_set, self._promises.judgement)}
        matcher = self._matcher(original.identity | more, original.codecs)
        moves = moves_of(original, found)
        with encoded(source, before.syntax) as theirs, encoded(output, after.syntax) as ours:
            check = _Check(self._promises, original, matcher, moves, found, ours)
            findings = [
                *moves.findings,
                *check.in_elements(),
                *check.in_bytes(),
                *check.in_pixels(),
            ]
            findings += faults_of_form(after, ours, before, theirs)
            findings += altered_pixels(original, theirs, found, ours)
        findings += false_marks(original, found, self._promises.rules, findings)
        findings += check.in_name(name)
        pairs = tuple(_uid_pairs(original, found))
        instance = original.value(0x00080018), after.element(0x00080018)
        return Outcome(tuple(dict.fromkeys(findings)), pairs, moves.shifts, instance)


class _Check:
    """One comparison."""

    def __init__(
        self,
        promises: Promises,
        original: Original,
        matcher: Matcher,
        moves: Moves,
        output: dict[Place, Seen],
        bytes_: Encoded,
    ) -> None:
        self._promises = promises
        self._original = original
        self._matcher = matcher
        self._moves = moves
        self._output = output
        self._bytes = bytes_
        self._told: set[tuple[Place, str]] = set()

    def in_elements(self) -> Iterator[Finding]:
        """What decoded values hold, at every depth."""
        for place, seen in self._output.items():
            promise = self._promises.of(seen, self._original.variant)
            kinds = self._kinds(seen, promise)
            for kind, how in self._in_element(seen, promise):
                if kind in kinds or kind == STRUCTURE:
                    self._told.add((place, kind))
                    yield Finding(shown(place), kind, how)

    def _kinds(self, seen: Seen, promise: Promise) -> frozenset[str]:
        """The kinds of findings that an element may not have; what an option retains is meant to be there."""
        if promise.act == KEPT or (promise.act == RETAINED and seen.vr == "UI"):
            return frozenset()
        kinds = ALL_KINDS | {UID, DATE, UNCHANGED}
        if promise.act == RETAINED:
            kinds -= {kind_of(seen), UID, DATE, UNCHANGED, "institution"}
        if seen.tag in _PRODUCTS and self._is_as_before(seen):
            kinds -= {"institution"}
        return kinds - self._promises.ignored(seen)

    def _is_as_before(self, seen: Seen) -> bool:
        before, _ = self._original.elements.get(seen.place, (None, None))
        return before is not None and before.raw == seen.raw

    def _in_element(self, seen: Seen, promise: Promise) -> Iterator[tuple[str, str]]:
        if self._is_unchanged(seen):
            yield kind_of(seen) or UNCHANGED, "is the original's"
        if seen.is_text:
            if foreign_padding(seen):
                yield STRUCTURE, "bytes behind the padding"
            yield from ((kind, "in its value") for kind in self._in_text_element(seen, promise))
        elif seen.raw and seen.vr in ("OB", "OW", "UN", "OF", "OD", "OL", "OV") and not _is_pixels(seen):
            yield from self._in_blob(seen.raw, seen)

    def _is_unchanged(self, seen: Seen) -> bool:
        """Whether a value that was to go is still there."""
        before, promise = self._original.elements.get(seen.place, (None, None))
        if before is None or promise is None or promise.act != CHANGED or promise.method is None:
            return False
        method = promise.method
        if method.name not in _ERASERS or before.count != seen.count or dictionary.is_private_creator(seen.tag):
            return False
        if seen.count >= 0:
            return seen.count > 0 and method.erases and not method.items
        value = (seen.raw or b"").strip(b"\0 ")
        if not value or before.raw is None or value != before.raw.strip(b"\0 ") or _is_neutral(seen, value):
            return False
        if method.name == "refreshUID":
            return seen.tag not in uids.DEFINITION_ATTRIBUTES and not set(seen.values) <= uids.registered()
        return not _may_stay(method, seen)

    def _in_text_element(self, seen: Seen, promise: Promise) -> Iterator[str]:
        values = seen.values
        for value in values:
            yield from self._matcher.kinds_in(value, is_number=seen.vr in _NUMBERS)
        if seen.vr == "UI":
            if seen.tag not in uids.DEFINITION_ATTRIBUTES and any(it.strip() in self._original.uids for it in values):
                yield UID
        elif seen.vr in ("DA", "DT"):
            if any(self._is_left(day, seen.place) for day in days_of(seen)):
                yield DATE
        else:
            yield from self._in_text(values, seen)

    def _in_text(self, values: Iterable[str], seen: Seen) -> Iterator[str]:
        for value in values:
            if self._has_uid(value):
                yield UID
            if seen.vr not in _NUMBERS and self._original.days and self._has_day(value, seen.place):
                yield DATE

    def _has_uid(self, text: str) -> bool:
        return text.count(".") > 2 and any(
            len(it) >= _SHORTEST_UID and it in self._original.uids for it in _UID.findall(text)
        )

    def _has_day(self, text: str, place: Place) -> bool:
        """Whether text names a day that was to move or go, and that is no other one, moved."""
        found = days_in(folded(text)) & self._original.days
        if not found:
            return False
        before, _ = self._original.elements.get(place, (None, None))
        there = (
            {day for value in before.values for day in days_in(folded(value))} if before and before.is_text else set()
        )
        return any(not self._moves.explain(day, there) for day in found)

    def _is_left(self, day: date, place: Place) -> bool:
        """Whether a day was to move or go, and stands in a place where no date was moved to."""
        if day not in self._original.days:
            return False
        before, promise = self._original.elements.get(place, (None, None))
        if before is not None and promise is not None and promise.act == MOVED:
            return False  # they are compared one by one
        return not self._moves.explain(day, self._original.days)

    def _in_blob(self, raw: bytes, seen: Seen) -> Iterator[tuple[str, str]]:
        """What bytes hold: as text, packed, or around an image."""
        for how, text in self._texts(raw):
            for kind in [*self._matcher.kinds_in(text), *self._in_text([text], seen)]:
                yield kind, how

    def _texts(self, raw: bytes) -> Iterator[tuple[str, str]]:
        yield from texts_in(raw)
        for plain in inflated_in(raw):
            yield from (("in inflated data", text) for text in self._all_texts(plain))
        for how, part in around_image(raw):
            yield from ((how, text) for text in self._all_texts(part))
        for start in _images_in(raw):
            for how, part in around_image(raw[start:]):
                yield from ((how, text) for text in self._all_texts(part))

    def _all_texts(self, data: bytes) -> Iterator[str]:
        yield from (text for _, text in texts_in(data))
        if not data.isascii():
            for codec in ("utf-8", *sorted(self._original.codecs)):
                yield data.decode(codec, "replace")

    def in_bytes(self) -> Iterator[Finding]:
        """What the bytes hold that are no Pixel Data, wherever they belong."""
        for piece in self._bytes.pieces():
            for at, kind, how in self._in_piece(piece.data):
                position = piece.base + at
                within = self._bytes.regions if piece.in_data_set else ()
                region = _region_at(position, within)
                if region is None and (not piece.in_data_set or self._bytes.body is self._bytes.file):
                    region = _region_at(position, self._bytes.meta)
                yield from self._finding_at(region, position, kind, how, piece.in_data_set)

    def _in_piece(self, data: bytes) -> Iterator[tuple[int, str, str]]:
        lowered = data.lower()
        for at, pattern in self._matcher.in_bytes(lowered):
            yield at, pattern.kind, pattern.how
        for match in _UID_BYTES.finditer(data):
            text = match[0].replace(b"\0", b"").decode("ascii")
            if len(text) >= _SHORTEST_UID and text.strip(".") in self._original.uids:
                yield match.start(), UID, "in its bytes"
        if self._original.days:
            for match in _DAY_BYTES.finditer(data):
                for day in days_in(match[0].decode("ascii")) & self._original.days:
                    if not self._moves.explain(day, self._original.days):
                        yield match.start(), DATE, "in its bytes"

    def _finding_at(
        self, region: Region | None, position: int, kind: str, how: str, in_data_set: bool
    ) -> Iterator[Finding]:
        if region is None:
            is_before = not in_data_set or (position < self._bytes.start and self._bytes.body is self._bytes.file)
            yield Finding(_WHERE_BYTES[not is_before], kind, how)
            return
        place = region.place
        seen = self._output.get(_IN_DATA_SET.get(place, place))
        if seen is None:  # in what pydicom does not see as an element
            seen = Seen(place, region.tag, region.vr, region.creator, (), b"")
        elif (kind in (UID, DATE) and seen.is_text) or (seen.place, UID) in self._told:
            return  # its values were looked at one by one
        elif kind == ID and seen.vr in _QUANTITIES:
            return  # a number, or a day, that happens to have these digits
        promise = self._promises.of(seen, self._original.variant)
        if (place, kind) not in self._told and kind in self._kinds(seen, promise):
            self._told.add((place, kind))
            yield Finding(shown(place), kind, how)

    def in_pixels(self) -> Iterator[Finding]:
        """What compressed frames hold besides the image, and what follows the last one of others."""
        told: set[tuple[str, str]] = set()
        for region in self._bytes.pixels.values():
            for how, part in self._around_frames(region):
                for text in self._all_texts(part):
                    seen = Seen(region.place, region.tag, "OB", None, (), b"")
                    for kind in [*self._matcher.kinds_in(text), *self._in_text([text], seen)]:
                        if (kind, how) not in told:
                            told.add((kind, how))
                            yield Finding(shown(region.place), kind, how)

    def _around_frames(self, region: Region) -> Iterator[tuple[str, bytes]]:
        body = self._bytes.body
        if not region.is_encapsulated:
            stop = region.start + self._frames_size()
            if region.start < stop < region.stop - 1:
                yield "behind the last frame", body[stop : min(region.stop, stop + _HEAD)]
            return
        for start, stop in fragments(body, region):
            image = body[start:stop] if stop - start <= 2 * _HEAD else body[start : start + _HEAD]
            yield from around_image(image)
            if stop - start > 2 * _HEAD:
                tail = body[stop - _HEAD : stop]
                end = tail.rfind(b"\xff\xd9")
                if end >= 0 and tail[end + 2 :].strip(b"\0"):
                    yield "behind the end of a JPEG image", tail[end + 2 :]

    def _frames_size(self) -> int:
        """How many bytes the frames of native Pixel Data have; 0 where that is not said. (PS3.3 C.7.6.3)"""
        numbers = [self._number(tag) for tag in (0x00280010, 0x00280011, 0x00280100, 0x00280002)]
        frames = self._output.get(((0x00280008, 0),))
        count = int(frames.values[0]) if frames and frames.values and frames.values[0].strip().isdigit() else 1
        rows, columns, bits, samples = numbers
        return (rows * columns * bits * (samples or 1) * count + 7) // 8

    def _number(self, tag: int) -> int:
        seen = self._output.get(((tag, 0),))
        return int.from_bytes((seen.raw or b"")[:2], "little" if seen.little else "big") if seen else 0

    def in_name(self, name: str) -> Iterator[Finding]:
        """What the name of a file and of its folders hold."""
        for number, part in enumerate(reversed([it for it in name.split("/") if it not in ("", ".")])):
            where = "a folder's name" if number else "the file's name"
            kinds = set(self._matcher.kinds_in(part))
            if self._has_uid(part) or part in self._original.uids:
                kinds.add(UID)
            if not {it for it in days_in(folded(part)) if it in self._original.days} <= set():
                kinds.add(DATE)
            yield from (Finding(where, kind, "in the name") for kind in sorted(kinds))


def _region_at(position: int, regions: Sequence[Region]) -> Region | None:
    number = bisect_right(regions, position, key=_start_of) - 1
    return regions[number] if number >= 0 and position < regions[number].stop else None


_start_of = attrgetter("start")


def _is_pixels(seen: Seen) -> bool:
    return len(seen.place) == 1 and seen.tag in PIXEL_DATA


def _is_neutral(seen: Seen, value: bytes) -> bool:
    """Whether a value tells nothing: a dummy, zeros."""
    if not value.strip(b"\0"):
        return True
    return seen.is_text and all(one.strip() in _NEUTRAL or not one.strip() for one in seen.values)


def _may_stay(method: object, seen: Seen) -> bool:
    """Whether a method may leave a value as it is."""
    if getattr(method, "replace_with", None) in seen.values:
        return True
    is_partial = (getattr(method, "enable_partial_ages_for_redact", False) and seen.vr == "AS") or (
        getattr(method, "enable_partial_dates_for_redact", False)
        and seen.vr in ("DA", "DT")
        and all(day.month == day.day == 1 for day in days_of(seen))
    )
    return bool(is_partial)


_IMAGE = re.compile(rb"\xff\xd8\xff|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51")


def _images_in(raw: bytes) -> Iterator[int]:
    """Where compressed images begin within bytes, such as those of an icon or a document."""
    for number, match in enumerate(_IMAGE.finditer(raw)):
        if number < 100 and match.start():
            yield match.start()


def _uid_pairs(original: Original, output: dict[Place, Seen]) -> Iterator[tuple[str, str, str]]:
    """What stands in the place of each UID of an instance."""
    for place, (seen, promise) in original.elements.items():
        after = output.get(place)
        if seen.vr != "UI" or after is None or seen.tag in uids.DEFINITION_ATTRIBUTES or promise.act == KEPT:
            continue
        if len(seen.values) == len(after.values):
            for old, new in zip(seen.values, after.values, strict=True):
                if old.strip() and new.strip() and old.strip() not in uids.registered():
                    yield old.strip(), new.strip(), shown(place)
