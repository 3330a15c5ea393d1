"""Marks: whether what an output says of its own de-identification is true. (PS3.15 E.1.1, E.3)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deid_batch.rules import RuleSet
from deid_batch.verify.elements import Seen
from deid_batch.verify.findings import Finding, Place, shown
from deid_batch.verify.identity import days_of
from deid_batch.verify.original import Original

MARK = "mark"
IDENTITY_REMOVED, METHOD_CODES, TEMPORAL, BURNED_IN = 0x00120062, 0x00120064, 0x00280303, 0x00280301
_CODE_VALUE, _SCHEME = 0x00080100, 0x00080102
_DEIDENTIFICATION = frozenset(str(code) for code in range(113100, 113113))
"""Codes of CID 7050 that say what was carried out."""


def false_marks(
    original: Original, output: Mapping[Place, Seen], rules: RuleSet, findings: list[Finding]
) -> Iterator[Finding]:
    """Marks that don't fit the config or what was found."""
    expected = {made.tag: made.value for made in rules.additions(original.variant)}
    yield from _identity_removed(output, expected, findings)
    yield from _temporal(original, output, expected)
    before, after = original.value(BURNED_IN), _value(output, BURNED_IN)
    if after and after != before:
        yield _finding(BURNED_IN, "is not what the original says")
    yield from _codes(original, output, expected.get(METHOD_CODES))


def _identity_removed(
    output: Mapping[Place, Seen], expected: Mapping[int, object], findings: list[Finding]
) -> Iterator[Finding]:
    said = _value(output, IDENTITY_REMOVED).upper()
    if said == "YES" and any(it.kind in IDENTIFYING for it in findings):
        yield _finding(IDENTITY_REMOVED, "says YES, and identity is left")
    elif IDENTITY_REMOVED in expected and said != "YES":
        yield _finding(IDENTITY_REMOVED, "does not say YES")


IDENTIFYING = frozenset({"person", "id", "birth-date", "address", "telephone", "email", "institution"})


def _temporal(original: Original, output: Mapping[Place, Seen], expected: Mapping[int, object]) -> Iterator[Finding]:
    said = _value(output, TEMPORAL).upper()
    wanted = expected.get(TEMPORAL)
    if isinstance(wanted, bytes):
        if said != wanted.decode().strip():
            yield _finding(TEMPORAL, "does not say what the config does to dates")
        return
    pairs = [
        (days_of(seen), days_of(output[place]) if place in output else set())
        for place, (seen, _) in original.elements.items()
        if seen.vr in ("DA", "DT") and days_of(seen)
    ]
    same = [before == after for before, after in pairs]
    if (said == "UNMODIFIED" and not all(same)) or (said in ("REMOVED", "MODIFIED") and same and all(same)):
        yield _finding(TEMPORAL, f"says {said}, and that is not so")


def _codes(original: Original, output: Mapping[Place, Seen], expected: object) -> Iterator[Finding]:
    had = _codes_in({place: seen for place, (seen, _) in original.elements.items()})
    said = _codes_in(output)
    wanted = set()
    for item in expected if isinstance(expected, tuple) else ():
        wanted |= {made.value.decode().strip() for made in item if made.tag == _CODE_VALUE}
    if said - had - wanted:
        yield _finding(METHOD_CODES, "claims what the config does not carry out")
    if wanted - said:
        yield _finding(METHOD_CODES, "does not say what the config carries out")


def _codes_in(elements: Mapping[Place, Seen]) -> set[str]:
    found = set()
    for place, seen in elements.items():
        if len(place) == 2 and place[0][0] == METHOD_CODES and seen.tag == _CODE_VALUE:
            found |= {value.strip() for value in seen.values} & _DEIDENTIFICATION
    return found


def _value(output: Mapping[Place, Seen], tag: int) -> str:
    seen = output.get(((tag, 0),))
    return next(iter(seen.values), "").strip() if seen else ""


def _finding(tag: int, how: str) -> Finding:
    return Finding(shown(((tag, 0),)), MARK, how)
