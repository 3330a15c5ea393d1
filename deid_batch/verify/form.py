"""What surrounds the data set, and how it is encoded: preamble, File Meta Information, lengths, Pixel Data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from deid_batch import dictionary
from deid_batch.verify.elements import Reading, Seen
from deid_batch.verify.encoded import Encoded, have_same_bytes
from deid_batch.verify.findings import Finding, Place, shown
from deid_batch.verify.original import Original
from deid_batch.verify.promises import CHANGED, FREE, KEPT, MOVED
from deid_batch.verify.regions import Region, form_of
from deid_batch.wire import PIXEL_DATA, tag_name

PREAMBLE, FILE_META, TRAILING, SYNTAX, PIXELS, STRUCTURE = (
    "preamble", "file-meta", "trailing-bytes", "transfer-syntax", "pixel-data", "structure",
)  # fmt: skip
_ALLOWED_META = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})
_TRAILING_PADDING = 0xFFFCFFFC
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_DATA_SET = "the data set"
_ABOUT = 4096
"""Bytes by which a group length may be out: what ends sequences, and empty ones, are no values. Letters are more."""


def faults_of_form(read: Reading, output: Encoded, source: Reading, original: Encoded) -> Iterator[Finding]:
    """Faults of preamble, File Meta Information, transfer syntax and what stands behind the data set."""
    if not output.has_preamble:
        yield Finding("preamble", PREAMBLE, "is not there")
    elif any(output.preamble):
        yield Finding("preamble", PREAMBLE, "is not zero")
    yield from _meta(read)
    if output.trailing.strip(b"\0") or len(output.trailing) > 1:
        yield Finding("behind the data set", TRAILING, "bytes")
    if _TRAILING_PADDING in read.data_set:
        yield Finding(tag_name(_TRAILING_PADDING), TRAILING, "Data Set Trailing Padding")
    yield from _syntax(read, output, source, original)
    yield from _group_lengths(output, read.syntax)


def _meta(read: Reading) -> Iterator[Finding]:
    for tag in sorted(read.meta.keys() - _ALLOWED_META):
        yield Finding(dictionary.name_of(tag), FILE_META, "has no place in the output")
    pairs = ((0x00020003, 0x00080018), (0x00020002, 0x00080016))
    for tag, own in pairs:
        said = str(getattr(read.meta.get(tag), "value", "") or "").strip("\0 ")
        if said != read.element(own):
            yield Finding(dictionary.name_of(tag), FILE_META, f"is not {dictionary.name_of(own)}")


def _syntax(read: Reading, output: Encoded, source: Reading, original: Encoded) -> Iterator[Finding]:
    place = dictionary.name_of(0x00020010)
    is_odd = not original.is_sound or not source.syntax
    if read.syntax != source.syntax and not (is_odd and (read.syntax == _EXPLICIT_LITTLE or not source.syntax)):
        yield Finding(place, SYNTAX, "is not the original's")
    if not output.is_sound:
        yield Finding(_DATA_SET, SYNTAX, "is not encoded as its transfer syntax says, or bytes follow it")
        return
    encapsulated = [region.is_encapsulated for region in output.pixels.values()]
    before = [region.is_encapsulated for region in original.pixels.values()]
    if original.is_sound and encapsulated and before and encapsulated != before:
        yield Finding(place, SYNTAX, "Pixel Data is encapsulated in one of both only")


def _group_lengths(output: Encoded, syntax: str) -> Iterator[Finding]:
    """Group lengths that are none, so that they may say something else. (PS3.5 7.2)"""
    order = "little" if form_of(syntax)[1] else "big"
    for number, region in enumerate(output.regions):
        if region.tag & 0xFFFF or region.tag >> 16 == 0xFFFE:
            continue
        value = output.body[region.start : region.stop]
        end = _end_of_group(output.regions, number)
        if len(value) != 4 or abs(int.from_bytes(value, order) - (end - region.stop)) > _ABOUT:  # type: ignore[arg-type]
            yield Finding(shown(region.place), STRUCTURE, "a group length that is none")


def _end_of_group(regions: Sequence[Region], number: int) -> int:
    """Where the last element ends that follows a group length in its item and has its group."""
    region = regions[number]
    depth = len(region.place) - 1
    end = region.stop
    for at in range(number + 1, len(regions)):
        following = regions[at]
        step = following.place[depth : depth + 1]
        if following.place[:depth] != region.place[:depth] or step[0][0] >> 16 != region.tag >> 16:
            break
        end = following.stop
    return end


def altered_pixels(
    original: Original, before: Encoded, output: Mapping[Place, Seen], after: Encoded
) -> Iterator[Finding]:
    """Pixel Data that no rule touches, and that is not the original's."""
    for tag in sorted(PIXEL_DATA):
        place = ((tag, 0),)
        seen, promise = original.elements.get(place, (None, None))
        if seen is None or promise is None or promise.act not in (FREE, KEPT):
            if seen is None and place in output:
                yield Finding(shown(place), PIXELS, "the original has none")
            continue
        one, other = before.pixels.get(tag), after.pixels.get(tag)
        if place not in output:
            yield Finding(shown(place), PIXELS, "is gone")
        elif one is not None and other is not None:
            if not have_same_bytes(before.body, one, after.body, other):
                yield Finding(shown(place), PIXELS, "is not the original's")
        elif seen.raw is not None and seen.raw != output[place].raw:
            yield Finding(shown(place), PIXELS, "is not the original's")


def foreign_padding(seen: Seen) -> bool:
    """Whether bytes follow the padding of a text value."""
    raw = seen.raw or b""
    end = raw.find(b"\0")
    return seen.is_text and end >= 0 and bool(raw[end:].strip(b"\0 "))


def is_touched(act: str) -> bool:
    """Whether a rule changes values of this promise."""
    return act in (CHANGED, MOVED)
