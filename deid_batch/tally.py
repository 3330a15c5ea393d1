"""Distinct values and where they are, counted on disk: a temporary database that nobody else can open."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from deid_batch import dictionary
from deid_batch.remnants import Attribute, Kind, Remnant, names_of
from deid_batch.values.likeness import likeness, rarity

MOST_PATIENTS = 100
"""Patients of a value beyond which no more are counted."""
UNREAD_POINTS = 1000
_PAGE = 5000
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE value (
    id INTEGER PRIMARY KEY, attribute INTEGER, kind TEXT, text TEXT, low REAL, high REAL,
    files INTEGER, occurrences INTEGER, patients INTEGER DEFAULT 0, points INTEGER DEFAULT 0,
    reasons TEXT DEFAULT '',
    UNIQUE (attribute, kind, text)
);
CREATE TABLE patient_of (value INTEGER, patient BLOB, PRIMARY KEY (value, patient)) WITHOUT ROWID;
CREATE TABLE patient (patient BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE attribute (id INTEGER PRIMARY KEY, place INTEGER);
"""
_ADD = """
INSERT INTO value (attribute, kind, text, low, high, files, occurrences) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET files = files + excluded.files, occurrences = occurrences + excluded.occurrences,
    low = min(low, excluded.low), high = max(high, excluded.high)
RETURNING id, patients
"""


class Distinct(NamedTuple):
    """What tells values apart."""

    attribute: Attribute
    kind: Kind
    value: str


@dataclass
class Seen:
    """How often a value was seen: in files, in all, in the files of which patients."""

    low: float
    high: float
    files: int = 0
    occurrences: int = 0
    patients: set[bytes] = field(default_factory=set)


class Found(NamedTuple):
    """A row of the list: a value, how often it is there, and why it comes where it does."""

    distinct: Distinct
    seen: Seen
    patients: int
    points: int
    reasons: str


def key_of(patient: str) -> bytes:
    """What tells patients apart."""
    return hashlib.sha256(patient.encode("utf-8", "surrogateescape")).digest()[:8]


def see(tally: dict[Distinct, Seen], remnants: Iterable[tuple[Remnant, int]], patient: bytes) -> None:
    """Add what is left in one file of a patient, each with how often it is there."""
    here: dict[Distinct, Seen] = {}
    for remnant, times in remnants:
        distinct = Distinct(remnant.attribute, remnant.kind, remnant.value)
        if distinct not in here:
            here[distinct] = tally.setdefault(distinct, Seen(remnant.low, remnant.high))
            here[distinct].files += 1
            here[distinct].patients.add(patient)
        seen = here[distinct]
        seen.occurrences += times
        seen.low, seen.high = min(seen.low, remnant.low), max(seen.high, remnant.high)


class Tally:
    """All that was seen. It does not depend on the order in which it is added."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a file that has no name any more once it is opened
        self._db.executescript(_SCHEMA)
        self._attributes: dict[Attribute, int] = {}

    def close(self) -> None:
        """Give the room back."""
        self._db.close()

    def add(self, tally: dict[Distinct, Seen]) -> None:
        """Add what some files hold."""
        self._db.execute("BEGIN")
        for (attribute, kind, value), seen in tally.items():
            number = self._attributes.setdefault(attribute, len(self._attributes))
            row = (number, kind, value, seen.low, seen.high, seen.files, seen.occurrences)
            ((identifier, patients),) = self._db.execute(_ADD, row).fetchall()
            if patients < MOST_PATIENTS:
                self._count(identifier, patients, seen.patients)
        self._db.execute("COMMIT")

    def _count(self, identifier: int, patients: int, more: set[bytes]) -> None:
        before = patients
        for patient in more:
            insert = "INSERT OR IGNORE INTO patient_of VALUES (?, ?)"
            patients += self._db.execute(insert, (identifier, patient)).rowcount
        if patients > before:
            counted = min(patients, MOST_PATIENTS)
            self._db.execute("UPDATE value SET patients = ? WHERE id = ?", (counted, identifier))

    def patient(self, patients: Iterable[bytes]) -> None:
        """Take note of patients whose files were looked at."""
        self._db.executemany("INSERT OR IGNORE INTO patient VALUES (?)", ((patient,) for patient in patients))

    def patients(self) -> int:
        """How many patients there are."""
        return int(self._db.execute("SELECT count(*) FROM patient").fetchone()[0])

    def values(self) -> int:
        """How many rows the list has."""
        return int(self._db.execute("SELECT count(*) FROM value").fetchone()[0])

    def ranked(self) -> Iterator[Found]:
        """All rows, those first that look most like identity and are in the fewest patients and files."""
        attributes = list(self._attributes)
        patients = self.patients()
        self._rank(attributes, patients)
        select = """
            SELECT attribute, kind, text, low, high, files, occurrences, patients, points, reasons FROM value
            JOIN attribute ON attribute.id = value.attribute
            ORDER BY points DESC, patients, files, place, text, kind
        """
        for number, kind, value, low, high, files, occurrences, *more in self._db.execute(select):
            yield Found(Distinct(attributes[number], kind, value), Seen(low, high, files, occurrences), *more)

    def _rank(self, attributes: list[Attribute], patients: int) -> None:
        order = sorted(range(len(attributes)), key=lambda number: _place(attributes[number]))
        self._db.executemany("INSERT OR REPLACE INTO attribute VALUES (?, ?)", ((n, at) for at, n in enumerate(order)))
        last = 0
        page = "SELECT id, attribute, kind, text, patients FROM value WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self._db.execute(page, (last, _PAGE)).fetchall():
            self._db.execute("BEGIN")
            for identifier, number, kind, value, of_patients in rows:
                judged = _judged(Distinct(attributes[number], kind, value), of_patients, patients)
                self._db.execute("UPDATE value SET points = ?, reasons = ? WHERE id = ?", (*judged, identifier))
            self._db.execute("COMMIT")
            last = rows[-1][0]


def _place(attribute: Attribute) -> tuple[str, str, str, str]:
    return attribute.tags + names_of(attribute.tag, attribute.creator)[0], *attribute[1:2], *attribute[3:]


def _judged(distinct: Distinct, patients: int, of: int) -> tuple[int, str]:
    """(points, reasons) of a value that so many of all patients have."""
    attribute, kind, value = distinct
    if kind == "unread":
        return UNREAD_POINTS, "the file could not be read"
    if kind != "value":
        return 0, ""
    is_code = dictionary.is_private_creator(attribute.tag)
    points, reasons = likeness(value, "CS" if is_code else attribute.vr)
    rare = ("of one patient only",) if patients == 1 < of else ()
    return points + rarity(patients, min(of, MOST_PATIENTS)), "; ".join((*reasons, *rare))
