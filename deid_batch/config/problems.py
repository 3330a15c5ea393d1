"""What is wrong with a config: all of it at once, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, order=True)
class Place:
    """A place in a config: 1-based line and column, and the path of keys, e.g. `dicomTagRules[2].method`."""

    line: int
    column: int
    path: str = ""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to put right. The text never holds a key."""

    place: Place
    text: str
    is_warning: bool = False

    def shown(self, name: str) -> str:
        """`cfg.json:12:17 dicomTagRules[2].method: unknown method …`."""
        where = f"{name}:{self.place.line}:{self.place.column}"
        text = f"warning: {self.text}" if self.is_warning else self.text
        return printable(f"{where} {self.place.path}: {text}" if self.place.path else f"{where}: {text}")


def printable(line: str) -> str:
    """A line for the terminal, whatever letters a config or a path puts into it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


Report = Callable[[Problem], None]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'dateshift'?` where there is a near name, else ""."""
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f", did you mean '{by_folded[near[0]]}'?" if near else ""
