"""What the leak check knows of all files at once: one SQLite file, mode 0600, gone when the check ends."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from deid_batch.verify.comparison import Outcome
from deid_batch.verify.findings import Finding, shown
from deid_batch.verify.identity import Identity, Known
from deid_batch.verify.moved import INTERVAL

REFERENCE, MISSING, UNACCOUNTED, DIGEST = "reference", "missing", "unaccounted", "digest"
_PAGE = 1000
_OWN = frozenset(shown(((tag, 0),)) for tag in (0x00080018, 0x0020000D, 0x0020000E))
"""Where an instance says its own UID, and those of its series and study: what references are held against."""
_AGAIN = "ON CONFLICT DO UPDATE SET files = files + 1, name = MIN(name, excluded.name)"
_OTHER_UIDS = """
INSERT OR IGNORE INTO finding SELECT name, ?, place, ? FROM (
    SELECT name, place, new, FIRST_VALUE(new) OVER (PARTITION BY old ORDER BY is_own DESC, files DESC, new) AS first
    FROM uid
) WHERE new != first
"""
_OTHER_SHIFTS = """
INSERT OR IGNORE INTO finding SELECT name, ?, 'dates', ? FROM (
    SELECT name, ROW_NUMBER() OVER (PARTITION BY settings, scope ORDER BY files DESC, days) AS rank FROM shift
) WHERE rank > 1
"""
_SCHEMA = """
CREATE TABLE pair (name BLOB PRIMARY KEY, source BLOB, digest TEXT, patient TEXT, is_there INTEGER) WITHOUT ROWID;
CREATE TABLE person (patient TEXT, kind TEXT, text TEXT, PRIMARY KEY (patient, kind, text)) WITHOUT ROWID;
CREATE TABLE uid (
    old TEXT, new TEXT, is_own INTEGER, name BLOB, place TEXT, files INTEGER, PRIMARY KEY (old, new, is_own)
) WITHOUT ROWID;
CREATE TABLE shift (
    settings TEXT, scope TEXT, days INTEGER, name BLOB, files INTEGER, PRIMARY KEY (settings, scope, days)
) WITHOUT ROWID;
CREATE TABLE instance (new TEXT, old TEXT, name BLOB, PRIMARY KEY (new, old)) WITHOUT ROWID;
CREATE TABLE finding (
    name BLOB, kind TEXT, place TEXT, how TEXT, PRIMARY KEY (name, kind, place, how)
) WITHOUT ROWID;
"""


class Pair(NamedTuple):
    """An output's path from OUT, that of its input from SOURCE, the digest it must have, and its patient."""

    name: bytes
    source: bytes
    digest: str
    patient: str


class Facts:
    """The books of one check. Every method that changes something is one transaction."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        if not read_only:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        if not read_only:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def expect(self, pairs: Iterable[tuple[bytes, bytes, str]]) -> None:
        """Take in (output, input, digest) of what is to be there."""
        with self._transaction():
            self._db.executemany("INSERT INTO pair VALUES (?, ?, ?, '', 0)", pairs)

    def there(self, names: Iterable[bytes]) -> None:
        """Note the files that are under OUT; one that nothing accounts for is a finding."""
        with self._transaction():
            for name in names:
                if not self._db.execute("UPDATE pair SET is_there = 1 WHERE name = ?", (name,)).rowcount:
                    self._note(name, [Finding("the file", UNACCOUNTED, "no input accounts for it")])

    def close_scan(self) -> int:
        """Note what is missing; how many pairs are left."""
        with self._transaction():
            missing = self._db.execute("SELECT name FROM pair WHERE NOT is_there").fetchall()
            for (name,) in missing:
                self._note(name, [Finding("the file", MISSING, "it was written, and is not there")])
            self._db.execute("DELETE FROM pair WHERE NOT is_there")
        return int(self._db.execute("SELECT COUNT(*) FROM pair").fetchone()[0])

    def names(self) -> Iterator[bytes]:
        """The outputs, patient by patient, as far as these are known."""
        last = ("", b"")
        query = "SELECT patient, name FROM pair WHERE (patient, name) > (?, ?) ORDER BY patient, name LIMIT ?"
        while rows := self._db.execute(query, (*last, _PAGE)).fetchall():
            yield from (name for _, name in rows)
            last = rows[-1]

    def pair(self, name: bytes) -> Pair:
        """What belongs to an output."""
        row = self._db.execute("SELECT name, source, digest, patient FROM pair WHERE name = ?", (name,)).fetchone()
        return Pair(*row)

    def learned(self, found: Iterable[tuple[bytes, str, Identity]]) -> None:
        """Note patients and identities of files: (output, patient, identity)."""
        with self._transaction():
            for name, patient, identity in found:
                self._db.execute("UPDATE pair SET patient = ? WHERE name = ?", (patient, name))
                if patient:
                    rows = [(patient, *known) for known in identity]
                    self._db.executemany("INSERT OR IGNORE INTO person VALUES (?, ?, ?)", rows)

    def index_patients(self) -> None:
        """Make it fast to go through the files patient by patient."""
        self._db.execute("CREATE INDEX by_patient ON pair (patient, name)")

    def identity(self, patient: str) -> Identity:
        """All that is known of a patient."""
        rows = self._db.execute("SELECT kind, text FROM person WHERE patient = ?", (patient,)) if patient else ()
        return frozenset(Known(*row) for row in rows)

    def identities(self, patients: int = 100) -> Iterator[Identity]:
        """All that is known, so many patients at a time."""
        last = ""
        query = "SELECT DISTINCT patient FROM person WHERE patient > ? ORDER BY patient LIMIT ?"
        while rows := self._db.execute(query, (last, patients)).fetchall():
            yield frozenset().union(*(self.identity(patient) for (patient,) in rows))
            last = rows[-1][0]

    def is_original(self, uid: str) -> bool:
        """Whether a UID is one that another one stands for in OUT."""
        query = "SELECT 1 FROM uid WHERE old = ?1 AND new != ?1"
        return self._db.execute(query, (uid,)).fetchone() is not None

    def compared(self, outcomes: Iterable[tuple[bytes, Outcome]]) -> None:
        """Note what comparisons came to."""
        with self._transaction():
            for name, outcome in outcomes:
                self._note(name, outcome.findings)
                self._db.executemany(
                    f"INSERT INTO uid VALUES (?, ?, ?, ?, ?, 1) {_AGAIN}, "
                    "place = CASE WHEN excluded.name < name THEN excluded.place ELSE place END",
                    [(old, new, place in _OWN, name, place) for old, new, place in outcome.uids],
                )
                self._db.executemany(
                    f"INSERT INTO shift VALUES (?, ?, ?, ?, 1) {_AGAIN}",
                    [(*shift, name) for shift in outcome.shifts],
                )
                if all(outcome.instance):
                    old, new = outcome.instance
                    again = "ON CONFLICT DO UPDATE SET name = MIN(name, excluded.name)"
                    self._db.execute(f"INSERT INTO instance VALUES (?, ?, ?) {again}", (new, old, name))

    def _note(self, name: bytes, findings: Iterable[Finding]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO finding VALUES (?, ?, ?, ?)",
            [(name, finding.kind, finding.place, finding.how) for finding in findings],
        )

    def compare_all(self) -> None:
        """Note what only many files together tell: UIDs and shifts that are not the same in all of them."""
        with self._transaction():
            self._db.execute(_OTHER_UIDS, (REFERENCE, "is another UID than elsewhere"))
            self._db.execute(_OTHER_SHIFTS, (INTERVAL, "moved by another number of days than elsewhere"))
            query = "SELECT name FROM instance WHERE new IN (SELECT new FROM instance GROUP BY new HAVING COUNT(*) > 1)"
            for (name,) in self._db.execute(query).fetchall():
                self._note(name, [Finding("SOP Instance UID", REFERENCE, "is that of another instance too")])

    def findings(self) -> Iterator[tuple[bytes, str, str, str]]:
        """(output, kind, place, how) of all findings, in the order of outputs."""
        last: tuple[object, ...] = (b"", "", "", "")
        query = (
            "SELECT name, kind, place, how FROM finding WHERE (name, kind, place, how) > (?, ?, ?, ?) "
            "ORDER BY name, kind, place, how LIMIT ?"
        )
        while rows := self._db.execute(query, (*last, _PAGE)).fetchall():
            yield from rows
            last = rows[-1]

    def counts(self) -> list[tuple[str, int, int]]:
        """(kind, findings, files), the most frequent first."""
        query = (
            "SELECT kind, COUNT(*) AS findings, COUNT(DISTINCT name) AS files FROM finding GROUP BY kind "
            "ORDER BY files DESC, findings DESC, kind"
        )
        return self._db.execute(query).fetchall()

    def by_place(self, most: int = 30) -> list[tuple[str, str, str, int]]:
        """(kind, place, how, files), the most frequent first."""
        query = (
            "SELECT kind, place, how, COUNT(*) AS files FROM finding GROUP BY kind, place, how "
            "ORDER BY files DESC, kind, place, how LIMIT ?"
        )
        return self._db.execute(query, (most,)).fetchall()

    def files_with_findings(self) -> int:
        """How many outputs something was found in."""
        return int(self._db.execute("SELECT COUNT(DISTINCT name) FROM finding").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
