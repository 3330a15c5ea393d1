"""What identifies somebody or something: a kind and the text that says it."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Kind = Literal["person", "id", "day", "place", "address", "telephone", "email", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Identity(NamedTuple):
    """One thing that identifies: a person's name in any form, an ID, a day (`19500102`), the name of a place …"""

    kind: Kind
    text: str


class Span(NamedTuple):
    """Where something that identifies stands in a text."""

    start: int
    stop: int
    kind: Kind
