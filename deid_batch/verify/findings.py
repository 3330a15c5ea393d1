"""What the leak check finds: a kind, a place and how; never a value."""

from __future__ import annotations

from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.wire import tag_name

Place = tuple[tuple[int, int], ...]
"""The steps to an element: each a tag and the number of an item in it; the last one's number is 0."""


class Finding(NamedTuple):
    """Something that is left, or not as it should be."""

    place: str
    kind: str
    how: str


def place_of(path: Place, tag: int) -> Place:
    """The place of an element in the items that `path` leads to."""
    return (*path, (tag, 0))


def shown(place: Place) -> str:
    """`(300A,00B0)[1] / (300A,00C2) BeamName`."""
    *outer, (tag, _) = place
    return "".join(f"{tag_name(step)}[{number + 1}] / " for step, number in outer) + dictionary.name_of(tag)
