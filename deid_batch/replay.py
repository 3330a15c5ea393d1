"""Replay: consecutive files of a series have most of their top level in common, byte for byte.

An outline is the last file's top level, cut into units: an element of an even group each, or all of an odd group.
What becomes of a unit depends on its bytes, on pinned units before it, and on the file's scope; where these are the
same again, so is the result. Units that keep their bytes are merged into chunks, which a single comparison finds in
the next file; between them stand the units that vary, and are treated anew each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, final

from deid_batch.errors import FileError
from deid_batch.methods import Instance, Method
from deid_batch.wire import UNDEFINED, Encoding, read_header

_MAX_UNIT, _MAX_UNITS = 32 << 10, 4096
"""Bytes of the longest unit that is remembered, and how many units are."""
_STEADY = 3
"""A unit that had the same bytes in so many files on end is merged with its neighbours."""
_LONGEST_PAUSE = 64
_NEVER_REMEMBERED = 0x7FE00000
"""Pixel Data and what stands behind it."""


@dataclass(slots=True)
class Tally:
    """What was done in a part of a data set."""

    kept: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    hits: Counter[int] = field(default_factory=Counter)
    warnings: int = 0

    def add(self, other: Tally) -> None:
        """Take in what was done in another part."""
        self.kept += other.kept
        self.warnings += other.warnings
        if other.hits or other.counts:
            self.hits.update(other.hits)
            self.counts.update(other.counts)


@dataclass(slots=True)
class Treated:
    """What a unit became: its bytes, what was done, and what that depends on besides the bytes it had."""

    out: bytes
    tally: Tally
    scopes: dict[Method, str]
    """The methods that look at the file's scope, and what they saw."""
    is_volatile: bool
    """Whether it comes out otherwise in every file."""


@dataclass(slots=True, eq=False)
class Unit:
    """A unit of the last file's top level."""

    tag: int
    key: bytes
    """The tag and, in explicit VR, the VR of its (first) element, as written."""
    raw: bytes = b""
    """All its bytes; b"" where they need not be compared."""
    same: int = 0
    """In how many files on end it had them."""
    treated: Treated | None = None
    """What they became, once that is worth being remembered."""
    is_volatile: bool = False

    @property
    def is_private(self) -> bool:
        return bool(self.tag >> 16 & 1)


@final
@dataclass(slots=True, eq=False)
class Chunk:
    """Units side by side, all with a result that is remembered."""

    units: list[Unit]
    raw: bytes
    out: bytes
    tally: Tally
    pinned: list[Unit]
    values: dict[int, bytes]


class Walker(Protocol):
    """What an outline needs of the walk over a data set."""

    out: list[bytes]
    """What the data set becomes, piece by piece."""

    def tag_at(self, data: bytes, pos: int) -> int:
        """The tag at `pos`, or -1 where no element that could be remembered begins."""
        ...

    def unit(self, data: bytes, pos: int) -> tuple[bytes | None, int]:
        """Treat the unit at `pos`: (what it becomes, None if nothing changed; where it ends, -1 if not in `data`)."""
        ...

    def unit_told(self, data: bytes, pos: int) -> tuple[Treated, int]:
        """The same, with all that must be known to do it again."""
        ...

    def passed(self, tag: int) -> None:
        """The element or odd group of this tag was passed, without being looked at."""
        ...

    def pinned(self, key: bytes, raw: bytes) -> None:
        """An element was passed that those behind it depend on."""
        ...

    def credit(self, tally: Tally) -> None:
        """Count what was done."""
        ...


class Outline:
    """The top level of the last file of one encoding and rule variant."""

    def __init__(self, encoding: Encoding, wanted: frozenset[int], pinned: frozenset[int]) -> None:
        self._encoding = encoding
        self._key_size = 6 if encoding.explicit else 4
        self._wanted = wanted
        self._last_wanted = max(wanted)
        self._pinned = pinned
        self._units: list[Unit] = []
        self._steps: list[Chunk | Unit] = []
        self._chunks, self._total = 0, Tally()
        self._is_merged = True
        self._scopes: dict[Method, str] = {}
        self._pause = self._next_pause = 0

    def values(self, data: bytes, pos: int) -> dict[int, bytes] | None:
        """The values of the wanted elements, as `wire.top_level_values` finds them; None: look for yourself."""
        found: dict[int, bytes] = {}
        for step in self._merged():
            if type(step) is Chunk:
                if not data.startswith(step.raw, pos):
                    return None
                found.update(step.values)
                pos += len(step.raw)
                last = step.units[-1].tag
            else:
                last = step.tag
                if not data.startswith(step.key, pos):
                    return None
                if last > self._last_wanted:
                    return found
                if step.is_private:
                    return None
                header = read_header(data, pos, len(data), self._encoding)
                pos = header.start + header.length
                if header.length == UNDEFINED or pos > len(data):
                    return None
                if last in self._wanted:
                    found[last] = data[header.start : pos]
            if last > self._last_wanted:
                return found
            if last == self._last_wanted:
                return found if self._goes_on_behind(last, data, pos) else None
        return None

    def _goes_on_behind(self, tag: int, data: bytes, pos: int) -> bool:
        """Whether the element at `pos` stands behind that tag, as it should."""
        return pos + 4 <= len(data) and self._encoding.read_tag(data, pos) > tag

    def replay(self, walker: Walker, instance: Instance, data: bytes, pos: int) -> int:
        """Walk what is known, and get to know what follows it; where the ordinary walk has to go on."""
        if self._pause:
            self._pause -= 1
            return pos
        self._look_at_scopes(instance)
        passed: list[Chunk] = []
        for step in self._merged():
            if type(step) is Chunk:
                stop = pos + len(step.raw)
                if data.startswith(step.raw, pos) and self._ends(step.units[-1], data, stop):
                    walker.out.append(step.out)
                    passed.append(step)
                    for unit in step.pinned:
                        walker.pinned(unit.key, unit.raw)
                    walker.passed(step.units[-1].tag)
                    pos = stop
                    continue
                units = step.units
            else:
                units = [step]
            for unit in units:
                stop = self._unit(walker, unit, data, pos)
                if stop < 0:
                    self._credit(walker, passed)
                    return self._missed(walker, unit, data, pos)
                walker.passed(unit.tag)
                pos = stop
        self._credit(walker, passed)
        self._next_pause = 0
        return self._learn(walker, data, pos)

    def _credit(self, walker: Walker, passed: list[Chunk]) -> None:
        """Count what was done in chunks: mostly in all of them."""
        if len(passed) == self._chunks:
            walker.credit(self._total)
        else:
            for chunk in passed:
                walker.credit(chunk.tally)

    def _look_at_scopes(self, instance: Instance) -> None:
        """Let go of what holds for another scope than this file's."""
        scopes = {method: method.cache_token(instance) or "" for method in self._scopes}
        if scopes != self._scopes:
            self._scopes = scopes
            for unit in self._units:
                if unit.treated is not None and unit.treated.scopes:
                    unit.treated, unit.same = None, 0
                    self._is_merged = False

    def _unit(self, walker: Walker, unit: Unit, data: bytes, pos: int) -> int:
        """Pass one unit; where it ends, -1 where the file has another one there."""
        stop = pos + len(unit.raw)
        if unit.raw and data.startswith(unit.raw, pos) and self._ends(unit, data, stop):
            unit.same += 1
            if unit.treated is None and unit.same >= _STEADY:
                self._remember(walker, unit, data, pos)
                return stop
            if unit.treated is not None:
                walker.out.append(unit.treated.out)
                walker.credit(unit.treated.tally)
                if unit.tag in self._pinned:
                    walker.pinned(unit.key, unit.raw)
                return stop
        elif unit.tag in self._pinned or not data.startswith(unit.key, pos):
            return -1
        else:
            unit.same = 0
        replacement, stop = walker.unit(data, pos)
        if stop >= 0:
            if unit.treated is not None:
                unit.treated = None
                self._is_merged = False
            raw = data[pos:stop]
            walker.out.append(raw if replacement is None else replacement)
            unit.raw = b"" if unit.is_volatile or len(raw) > _MAX_UNIT else raw
        return stop

    def _missed(self, walker: Walker, unit: Unit, data: bytes, pos: int) -> int:
        """The file has another structure; where that happens again and again, outlines are not worth the trouble."""
        del self._units[self._units.index(unit) :]
        self._is_merged = False
        self._pause, self._next_pause = self._next_pause, min(2 * self._next_pause + 1, _LONGEST_PAUSE)
        return pos if self._pause else self._learn(walker, data, pos)

    def _learn(self, walker: Walker, data: bytes, pos: int) -> int:
        """Add what stands from `pos` on to the outline; where that ended."""
        while 0 <= (tag := walker.tag_at(data, pos)) < _NEVER_REMEMBERED and len(self._units) < _MAX_UNITS:
            unit = Unit(tag, data[pos : pos + self._key_size])
            stop = self._remember(walker, unit, data, pos)
            if stop < 0:
                break
            self._units.append(unit)
            self._is_merged = False
            walker.passed(tag)
            pos = stop
        return pos

    def _remember(self, walker: Walker, unit: Unit, data: bytes, pos: int) -> int:
        """Treat a unit, and keep what became of it; where it ends."""
        treated, stop = walker.unit_told(data, pos)
        if stop < 0:
            return stop
        walker.out.append(treated.out)
        unit.is_volatile = treated.is_volatile
        if unit.is_volatile or stop - pos > _MAX_UNIT:
            unit.raw, unit.same = b"", 0
        else:
            unit.raw, unit.treated = data[pos:stop], treated
            self._scopes |= treated.scopes
            self._is_merged = False
        return stop

    def _ends(self, unit: Unit, data: bytes, stop: int) -> bool:
        """Whether a unit ends where its bytes do: behind an odd group, that another group begins."""
        return not unit.is_private or (stop + 2 <= len(data) and data[stop : stop + 2] != unit.key[:2])

    def _merged(self) -> list[Chunk | Unit]:
        """Chunks, and between them the units that vary."""
        if not self._is_merged:
            self._steps = list(self._steps_of_units())
            chunks = [step for step in self._steps if isinstance(step, Chunk)]
            self._chunks, self._total = len(chunks), Tally()
            for chunk in chunks:
                self._total.add(chunk.tally)
            self._is_merged = True
        return self._steps

    def _steps_of_units(self) -> Iterator[Chunk | Unit]:
        run: list[Unit] = []
        for unit in self._units:
            if unit.treated is not None:
                run.append(unit)
                continue
            if run:
                yield self._chunk(run)
                run = []
            yield unit
        if run:
            yield self._chunk(run)

    def _chunk(self, units: list[Unit]) -> Chunk:
        tally = Tally()
        for unit in units:
            assert unit.treated is not None
            tally.add(unit.treated.tally)
        return Chunk(
            units,
            b"".join(unit.raw for unit in units),
            b"".join(unit.treated.out for unit in units if unit.treated),
            tally,
            [unit for unit in units if unit.tag in self._pinned],
            {unit.tag: self._value(unit.raw) for unit in units if unit.tag in self._wanted},
        )

    def _value(self, raw: bytes) -> bytes:
        try:
            return raw[read_header(raw, 0, len(raw), self._encoding).start :]
        except FileError:
            return b""
