"""A value that a list of the user's gives: one attribute of the file looks it up, others get it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from deid_batch import crypto, dictionary
from deid_batch.errors import BadValue
from deid_batch.methods.base import Change, Element, Instance, Method, key_field
from deid_batch.methods.dummy import PATIENT_ID, PatientPseudonym, Pseudonym
from deid_batch.values import text

OnMissing = Literal["set-aside", "pseudonym", "remove"]
TARGET_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs of attributes that may get a value from a list."""


class Table:
    """New values by old ones. It is shown, and told from others, by a digest."""

    def __init__(self, name: str, rows: Mapping[str, str]) -> None:
        self.name = name
        self.rows = rows
        written = "".join(f"{len(old)} {old}{len(new)} {new}" for old, new in sorted(rows.items()))
        self._digest = hashlib.sha256(written.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Table({self._digest})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __str__(self) -> str:
        return f"{self.name} ({len(self.rows):,} rows)"


@dataclass(frozen=True)
class Lookup:
    """What a list is asked for: the value of the attribute `origin` of the file's top level."""

    number: int
    origin: int
    table: Table
    on_missing: OnMissing = "set-aside"
    pseudonym: Pseudonym = field(default_factory=Pseudonym)
    """What stands for values that the list lacks, where pseudonyms do."""

    def __str__(self) -> str:
        name = dictionary.name_of(self.origin).rpartition(" ")[2]
        return f"of {name} by {self.table}, onMissing {self.on_missing}"

    MARK: ClassVar[int] = 17

    def mark(self, value: str, key: bytes) -> bytes:
        """17 bytes: whether a value is unknown (0), known (1) or none (2); digests by key of it and of the new one."""
        new = self.table.rows.get(value)
        known = 2 if not value else int(new is not None)
        digests = (
            crypto.derive(key, f"lookup-{what}", it.encode()) for what, it in (("old", value), ("new", new or ""))
        )
        return bytes([known]) + b"".join(digest[:8] for digest in digests)


@dataclass(frozen=True)
class Mapped(Method):
    """Put the list's value for the file in place of an attribute's.

    In the attribute that is looked up itself, each value is looked up, at any depth. What the list lacks becomes a
    pseudonym, or goes.
    """

    name: ClassVar[str] = "mapping"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = TARGET_VRS
    purpose: ClassVar[str] = "uid"
    acts_on_empty: ClassVar[bool] = True

    lookup: Lookup = field(default_factory=lambda: Lookup(0, PATIENT_ID, Table("", {})))
    key: bytes = key_field()

    def cache_token(self, instance: Instance) -> str | None:
        return f"{instance.origins[self.lookup.number]}\0{instance.patient}"

    def apply(self, value: bytes, element: Element) -> Change:
        origin = element.instance.origins[self.lookup.number]
        if element.tag == self.lookup.origin:
            try:
                values = text.split(value, element.vr, element.charset)
            except BadValue:
                return Change(b"", 1)
            origin = "\\".join(one.strip() for one in values if one.strip())
        if not origin:
            return Change(b"")
        new = self.lookup.table.rows.get(origin)
        if new is None:
            new = self._missing(origin, element)
        encoded = text.encode(new, element.vr, element.charset)  # a value that can't be written fails the file
        return Change(text.padded(encoded, element.vr))

    def _missing(self, origin: str, element: Element) -> str:
        if self.lookup.on_missing != "pseudonym":
            return ""
        pseudonym = replace(self.lookup.pseudonym, key=self.key)
        return pseudonym.treat(origin, element._replace(tag=self.lookup.origin), 0)


def pseudonym_of(origin: int) -> Pseudonym:
    """What stands for values of an attribute that a list lacks: for Patient ID the profile's own."""
    if origin == PATIENT_ID:
        return PatientPseudonym(prefix="DEID-", length=12, domain="patient-id")
    return Pseudonym(domain="mapping")
