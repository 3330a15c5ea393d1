"""What a file's own data set must say, at its top level, for something to hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Values = tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """On one attribute: one of `one_of`, or a value in which `pattern` is found; or, with `exists`, a value or none."""

    tag: int
    one_of: tuple[str, ...] = ()
    pattern: str = ""
    exists: bool = True

    def holds(self, values: Values) -> bool:
        """Whether an element with these values, none if it is absent or empty, meets the condition."""
        if self.one_of:
            return any(value in self.one_of for value in values)
        if self.pattern:
            return any(re.search(self.pattern, value) for value in values)
        return bool(values) is self.exists


When = tuple[Condition, ...]


def all_hold(when: When, values: Mapping[int, Values]) -> bool:
    """Whether attributes with these values meet all conditions."""
    return all(condition.holds(values.get(condition.tag, ())) for condition in when)
