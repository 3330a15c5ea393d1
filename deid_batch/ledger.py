"""The run's state: one SQLite file in the work directory, so that a run can be interrupted and go on.

It holds one row per file, the keys drawn at random, and what must not change between one run and the next.
"""

from __future__ import annotations

import os
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from deid_batch.audit import COLUMNS, TIME_FORMAT

Fault = sqlite3.DatabaseError
"""What any method raises where the file can't be read or written."""
_COUNTED = COLUMNS[COLUMNS.index("kept") : -1]
_CLEARED = ", ".join(f'"{column}" = NULL' for column in (*COLUMNS, "crossed"))
_UNKNOWN = "scope = NULL, patient = NULL, study = NULL, person = NULL, lookups = NULL, instance = NULL, is_copy = 0"
_PAGE = 10_000
_EPOCH = "identity epoch"
_FORGOTTEN = "(patient IN (SELECT person FROM forgotten) OR person IN (SELECT person FROM forgotten))"
_TO_DO = "FROM file WHERE status IS NULL AND"
_UNCOLLECTED = (
    "scope IS NOT NULL AND collected IS NOT ?1 AND (status IS NULL OR status IN ('written', 'set-aside')) AND "
    f"(patient IN (SELECT patient {_TO_DO} patient != '') OR study IN (SELECT study {_TO_DO} study != ''))"
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rule (number INTEGER PRIMARY KEY, hits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, run INTEGER NOT NULL,
    name BLOB, instance BLOB, is_copy INTEGER NOT NULL DEFAULT 0, crossed INTEGER,
    scope TEXT, patient TEXT, study TEXT, person TEXT, collected INTEGER, lookups BLOB,
    {", ".join(f'"{column}"' for column in COLUMNS)}
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS identity (
    grp TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, fresh INTEGER NOT NULL, PRIMARY KEY (grp, kind, text)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crosswalk (
    patient TEXT NOT NULL, kind TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
    PRIMARY KEY (kind, old, new, patient)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (person TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS telling (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS todo ON file (scope, path) WHERE status IS NULL;
CREATE INDEX IF NOT EXISTS twins ON file (instance, path) WHERE instance IS NOT NULL;
CREATE INDEX IF NOT EXISTS named ON file (name) WHERE name IS NOT NULL;
"""
"""`name` is the output's path from OUT: NULL where it is that of the file, empty where it is not known yet."""
_NAME = "COALESCE(name, path)"
_ENDINGS = re.compile(r"(?<=[^/])[. ]+(?=/|$)")
_NAMES = """
DROP TABLE IF EXISTS temp.folding;
CREATE TEMP TABLE folding AS SELECT path, folded(COALESCE(name, path)) AS folded FROM file
    WHERE (reason IS NULL OR reason NOT IN ('not-regular', 'link-outside', 'unreadable')) AND name IS NOT x'';
CREATE INDEX temp.by_folded ON folding (folded, path);
"""
"""Files by what a file system that folds names makes of their outputs'; '0' is what comes behind '/'."""


class Found(NamedTuple):
    """A file under SOURCE: its path from there, in bytes, and what tells whether it has changed."""

    path: bytes
    size: int
    mtime_ns: int


class Grouped(NamedTuple):
    """A file that was probed, and its groups, "" where it has none."""

    path: bytes
    patient: str
    study: str


class Scoped(NamedTuple):
    """A file that was probed: its scope, and the groups it shares what identifies with, "" where it has none."""

    path: bytes
    scope: str
    patient: str = ""
    study: str = ""
    person: str = ""
    """The patient again, whoever issued the ID."""


class Todo(NamedTuple):
    """A file that is still to be done, its scope and groups, and what its output is to be called if not the same."""

    scope: str
    path: bytes
    size: int
    name: bytes | None = None
    patient: str = ""
    study: str = ""
    is_copy: bool = False


Said = tuple[str, str, str]
"""What identifies: the group that it was said in, its kind and its text."""


class Coverage(NamedTuple):
    """How many values, and files with them, a list knows and does not know; `new`: how many those become."""

    values: int
    files: int
    missing_values: int
    missing_files: int
    files_without: int
    new: int


class Outcome(NamedTuple):
    """How many files have a status and a reason, and their sizes in bytes."""

    status: str
    reason: str | None
    files: int
    bytes_in: int | None
    bytes_out: int | None


class Ledger:
    """The state of one OUT. Every method that changes something is one transaction."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        if read_only:
            mode = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"  # which leaves no file behind
            self._db = sqlite3.connect(f"{Path(path).absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
            return
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read meanwhile is the state of one moment, whatever another process writes."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def clear(self) -> None:
        """Forget all files; state stays."""
        with self._transaction():
            self._db.execute("DELETE FROM file")
            self._db.execute("DELETE FROM identity")
            self._db.execute("DELETE FROM telling")
            self._db.execute("DELETE FROM crosswalk")
            self._db.execute("DELETE FROM rule")

    def remembered(self, name: str) -> bytes | None:
        """A piece of state, or None."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def remember(self, state: Mapping[str, bytes]) -> None:
        """Keep pieces of state; they are on disk when this returns."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
        self._db.execute("PRAGMA wal_checkpoint(FULL)")

    def begin_run(self) -> int:
        """The number of a new run."""
        number = self._run() + 1
        self.remember({"run": b"%d" % number})
        return number

    def changed(self, files: Iterable[Found]) -> list[Found]:
        """Those of the files that are known, but not as they are now."""
        return [file for file in files if self._has_changed(file)]

    def found(self, run: int, files: Iterable[Found], changed: Iterable[Found] = (), name: bytes | None = None) -> None:
        """Take in files that a scan found; those that have changed are to be done again.

        `name` is what is known of their outputs' names: None, they are those of the files; b"", nothing.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT INTO file (path, size, mtime_ns, run, name) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) "
                "DO UPDATE SET run = excluded.run",
                [(*file, run, name) for file in files],
            )
            self._db.executemany(
                f"UPDATE file SET size = ?2, mtime_ns = ?3, name = ?4, {_UNKNOWN}, {_CLEARED} WHERE path = ?1",
                [(*file, name) for file in changed],
            )

    def _has_changed(self, file: Found) -> bool:
        known = self._db.execute("SELECT size, mtime_ns FROM file WHERE path = ?", (file.path,)).fetchone()
        return known is not None and known != (file.size, file.mtime_ns)

    def finish_scan(self, run: int) -> int:
        """Forget the failures of earlier runs, and files that are gone from SOURCE; how many of these there are.

        Of those that are gone, the ones that were written are kept, as their outputs are.
        """
        with self._transaction():
            gone = int(self._db.execute("SELECT COUNT(*) FROM file WHERE run != ?", (run,)).fetchone()[0])
            self._db.execute("DELETE FROM file WHERE run != ? AND status IS NOT 'written'", (run,))
            self._db.execute(f"UPDATE file SET {_CLEARED} WHERE status = 'failed'")
        return gone

    def forget_lost(self, run: int) -> None:
        """Forget files that are gone from SOURCE and were reopened: their outputs are not there any more, either."""
        with self._transaction():
            self._db.execute("DELETE FROM file WHERE run != ? AND status IS NULL", (run,))

    def written(self) -> Iterator[tuple[bytes, bytes, int]]:
        """(path, its output's, size of that) of all files that were written."""
        query = f"SELECT path, {_NAME}, bytes_out FROM file WHERE status = 'written' AND path > ? ORDER BY path"
        return self._pages(query, 1)

    def is_written(self, path: bytes) -> bool:
        """Whether a file was written."""
        query = "SELECT 1 FROM file WHERE path = ? AND status = 'written'"
        return self._db.execute(query, (path,)).fetchone() is not None

    def output_of(self, path: bytes) -> bytes:
        """Where the output of a file stands, or would stand; b"" where that is not known."""
        row = self._db.execute(f"SELECT {_NAME} FROM file WHERE path = ?", (path,)).fetchone()
        return bytes(row[0]) if row else b""

    def is_output(self, name: bytes) -> bool:
        """Whether the output of a file that was written has this path."""
        query = (
            "SELECT 1 FROM file WHERE path = ?1 AND name IS NULL AND status = 'written' "
            "UNION ALL SELECT 1 FROM file WHERE name = ?1 AND status = 'written'"
        )
        return self._db.execute(query, (name,)).fetchone() is not None

    def claims(self, name: str) -> bool:
        """Whether a file is written under a name, in whatever case, or in a folder of it, or may still be."""
        query = (
            f"SELECT 1 FROM file WHERE substr(upper(CAST({_NAME} AS TEXT)) || '/', 1, ?2) = ?1 "
            "AND (status IS NULL OR status = 'written') LIMIT 1"
        )
        return self._db.execute(query, (f"{name}/".upper(), len(name) + 1)).fetchone() is not None

    def reopen(self, paths: Iterable[bytes]) -> None:
        """Let files be done again."""
        remaining = iter(paths)
        while some := [(path,) for path in islice(remaining, _PAGE)]:
            with self._transaction():
                self._db.executemany(f"UPDATE file SET {_CLEARED} WHERE path = ?", some)

    def unprobed(self) -> Iterator[bytes]:
        """Paths of files whose scope is not known yet."""
        query = "SELECT path FROM file WHERE status IS NULL AND scope IS NULL AND path > ? ORDER BY path"
        return (row[0] for row in self._pages(query, 1))

    def probed(
        self,
        scopes: Iterable[Scoped],
        lookups: Iterable[tuple[bytes, bytes]] = (),
        said: Iterable[Said] = (),
        instances: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Note the scopes and groups of files, what in them identifies, and what lists and twins are told by."""
        collected = self._epoch()
        with self._transaction():
            self._db.executemany(
                "UPDATE file SET scope = ?2, patient = ?3, study = ?4, person = ?5, collected = ?6 WHERE path = ?1",
                [(*scoped, collected) for scoped in scopes],
            )
            self._db.executemany("UPDATE file SET lookups = ?2 WHERE path = ?1", lookups)
            self._db.executemany("UPDATE file SET instance = ?2 WHERE path = ?1", instances)
            self._db.executemany("INSERT OR IGNORE INTO identity VALUES (?, ?, ?, 1)", said)

    def uncollected(self) -> Iterator[bytes]:
        """Files, done or not, of whose groups a file is to be done, and of which is forgotten what they said."""
        query = f"SELECT path FROM file WHERE {_UNCOLLECTED} AND path > ?2 ORDER BY path"
        return (row[0] for row in self._pages(query, 1, self._epoch()))

    def recollected(self, paths: Iterable[bytes], said: Iterable[Said]) -> None:
        """Note again what files say that identifies, which others knew when they were written."""
        collected = self._epoch()
        with self._transaction():
            self._db.executemany("UPDATE file SET collected = ?2 WHERE path = ?1", [(it, collected) for it in paths])
            self._db.executemany(
                "INSERT INTO identity VALUES (?, ?, ?, 0) ON CONFLICT (grp, kind, text) DO UPDATE SET fresh = 0", said
            )

    def reopen_outgrown(self, *, wanted: bool = True) -> int:
        """Let files be done again, if `wanted`, that were written when less was known of their groups; how many."""
        fresh = "SELECT grp FROM identity WHERE fresh"
        with self._transaction():
            outgrown = self._db.execute(
                f"UPDATE file SET {_CLEARED} WHERE ? AND status = 'written' "
                f"AND (patient IN ({fresh}) OR study IN ({fresh}))",
                (wanted,),
            ).rowcount
            self._db.execute("UPDATE identity SET fresh = 0 WHERE fresh")
        return outgrown

    def known_in(self, groups: Sequence[str]) -> list[Said]:
        """What is known in these groups that identifies, in order."""
        query = "SELECT grp, kind, text FROM identity WHERE grp = ? ORDER BY kind, text"
        return [row for group in sorted(groups) for row in self._db.execute(query, (group,))]

    def forget_identity(self) -> None:
        """Forget what identifies; its bytes are overwritten."""
        if self._db.execute("SELECT 1 FROM identity LIMIT 1").fetchone() is None:
            return
        with self._transaction():
            self._db.execute("DELETE FROM identity")
            self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (_EPOCH, b"%d" % (self._epoch() + 1)))
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _epoch(self) -> int:
        """How often what identifies was forgotten."""
        return int(self.remembered(_EPOCH) or b"0")

    def uncrossed(self, *, every: bool) -> Iterator[tuple[bytes, bytes]]:
        """(path, its output's) of files of SOURCE that were written and are not in the crosswalk yet, or of `every`."""
        query = (
            f"SELECT path, {_NAME} FROM file WHERE status = 'written' AND run = ?1 AND (?2 OR crossed IS NULL) "
            "AND path > ?3 ORDER BY path"
        )
        return self._pages(query, 1, self._run(), every)

    def count_uncrossed(self, *, every: bool) -> tuple[int, int]:
        """(how many these are, how many such files are gone from SOURCE)."""
        query = (
            "SELECT COALESCE(SUM(run = ?1), 0), COALESCE(SUM(run != ?1), 0) FROM file "
            "WHERE status = 'written' AND (?2 OR crossed IS NULL)"
        )
        here, gone = self._db.execute(query, (self._run(), every)).fetchone()
        return here, gone

    def crossed(self, paths: Iterable[bytes], pairs: Iterable[Said]) -> None:
        """Take into the crosswalk what became of IDs and UIDs: (patient's group, kind, old NUL new)."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO crosswalk VALUES (?, ?, ?, ?)",
                [(patient, kind, *pair.split("\0")) for patient, kind, pair in pairs],
            )
            self._db.executemany("UPDATE file SET crossed = 1 WHERE path = ?", [(path,) for path in paths])

    def crosswalk(self, kind: str) -> Iterator[tuple[str, str]]:
        """What became of IDs or UIDs, each pair once, in order."""
        query = (
            "SELECT old, new FROM crosswalk WHERE kind = ?1 AND (old, new) > (?2, ?3) "
            f"GROUP BY old, new ORDER BY old, new LIMIT {_PAGE}"
        )
        last = ("", "")
        while rows := self._db.execute(query, (kind, *last)).fetchall():
            yield from rows
            last = rows[-1]

    def _run(self) -> int:
        return int(self.remembered("run") or b"0")

    def forgotten(self) -> frozenset[str]:
        """The patients that are to be forgotten: groups, people and stand-ins."""
        return frozenset(row[0] for row in self._db.execute("SELECT person FROM forgotten"))

    def has_patient(self, person: str) -> bool:
        """Whether there are files of a patient, named as a group or as a person."""
        query = "SELECT 1 FROM file WHERE patient = ?1 OR person = ?1 LIMIT 1"
        return self._db.execute(query, (person,)).fetchone() is not None

    def patient_of(self, path: bytes) -> str:
        """The group of a file's patient."""
        row = self._db.execute("SELECT patient FROM file WHERE path = ?", (path,)).fetchone()
        return str(row[0] or "") if row else ""

    def mark_forgotten(self, people: Iterable[str]) -> None:
        """Note patients that are to be forgotten; that is on disk when this returns."""
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO forgotten VALUES (?)", [(it,) for it in people])
        self._db.execute("PRAGMA wal_checkpoint(FULL)")

    def outputs_to_forget(self) -> Iterator[bytes]:
        """Outputs of patients that are to be forgotten."""
        query = f"SELECT path, {_NAME} FROM file WHERE {_FORGOTTEN} AND path > ? ORDER BY path"
        return (row[1] for row in self._pages(query, 1))

    def forget(self) -> tuple[int, int]:
        """Forget the files of these patients and what became of their IDs; (files, of these outputs).

        Nothing of it stays in the ledger's bytes.
        """
        with self._transaction():
            query = f"SELECT COUNT(*), COALESCE(SUM(status = 'written'), 0) FROM file WHERE {_FORGOTTEN}"
            files, outputs = self._db.execute(query).fetchone()
            patients = f"SELECT patient FROM file WHERE {_FORGOTTEN}"
            self._db.execute(
                f"DELETE FROM crosswalk WHERE patient IN ({patients}) OR patient IN (SELECT person FROM forgotten)"
            )
            self._db.execute(f"DELETE FROM file WHERE {_FORGOTTEN}")
            self._db.execute(
                "DELETE FROM identity WHERE grp NOT IN (SELECT patient FROM file WHERE patient IS NOT NULL "
                "UNION SELECT study FROM file WHERE study IS NOT NULL)"
            )
            self._db.execute(
                "DELETE FROM telling WHERE NOT EXISTS (SELECT 1 FROM file WHERE path = telling.path OR "
                "(path > CAST(telling.path || '/' AS BLOB) AND path < CAST(telling.path || '0' AS BLOB)))"
            )
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return files, outputs

    def grouped(self) -> Iterator[Grouped]:
        """Files that were probed, in the order of their paths."""
        query = (
            "SELECT path, COALESCE(patient, ''), COALESCE(study, '') FROM file "
            "WHERE scope IS NOT NULL AND path > ? ORDER BY path"
        )
        return (Grouped(*row) for row in self._pages(query, 1))

    def tells(self, path: bytes) -> bool:
        """Whether the last part of a path tells who somebody is."""
        return self._db.execute("SELECT 1 FROM telling WHERE path = ?", (path,)).fetchone() is not None

    def note_telling(self, paths: Iterable[bytes]) -> None:
        """Remember paths whose last part tells who somebody is."""
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO telling VALUES (?)", [(path,) for path in paths])

    def telling(self) -> tuple[int, int]:
        """(how many parts of paths tell who somebody is, files with such in their names that were written)."""
        parts = self._db.execute("SELECT COUNT(*) FROM telling").fetchone()[0]
        query = "SELECT COUNT(*) FROM file WHERE name IS NOT NULL AND name != path AND status = 'written'"
        return parts, self._db.execute(query).fetchone()[0]

    def named(self) -> Iterator[tuple[bytes, bytes]]:
        """(path, its output's) of files that were written or are to be."""
        query = (
            f"SELECT path, {_NAME} FROM file WHERE scope IS NOT NULL AND (status IS NULL OR status = 'written') "
            "AND path > ? ORDER BY path"
        )
        return self._pages(query, 1)

    def rename(self, names: Iterable[tuple[bytes, bytes]]) -> None:
        """Let outputs be called otherwise; files that were written are done again."""
        with self._transaction():
            self._db.executemany(f"UPDATE file SET name = ?2, {_CLEARED} WHERE path = ?1", names)

    def clashing(self) -> list[bytes]:
        """Files whose outputs' names were changed, but to those of others."""
        query = (
            "SELECT path FROM file AS this WHERE name > x'' AND (EXISTS (SELECT 1 FROM file WHERE name = this.name "
            "AND path < this.path) OR EXISTS (SELECT 1 FROM file WHERE path = this.name AND name IS NULL)) "
            "ORDER BY path"
        )
        return [row[0] for row in self._db.execute(query)]

    def misjudged_copies(self) -> list[bytes]:
        """Files of which it has changed whether one of their SOP Instance UID comes before them."""
        query = (
            "SELECT path FROM file AS this WHERE instance IS NOT NULL AND is_copy != EXISTS "
            "(SELECT 1 FROM file WHERE instance = this.instance AND path < this.path) ORDER BY path"
        )
        return [row[0] for row in self._db.execute(query)]

    def rejudge_copies(self, paths: Iterable[bytes]) -> None:
        """Let these files be copies if they were none, and the other way round; they are done again."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE file SET is_copy = NOT is_copy, name = x'', {_CLEARED} WHERE path = ?",
                [(path,) for path in paths],
            )

    def coverage(self, start: int) -> Coverage:
        """What a list says of all files, by the marks that begin at this byte."""
        query = (
            "WITH mark AS (SELECT substr(lookups, ?1, 1) AS known, substr(lookups, ?1 + 1, 8) AS old, "
            "substr(lookups, ?1 + 9, 8) AS new FROM file WHERE lookups IS NOT NULL) SELECT "
            "COUNT(DISTINCT CASE known WHEN x'01' THEN old END), SUM(known = x'01'), "
            "COUNT(DISTINCT CASE known WHEN x'00' THEN old END), SUM(known = x'00'), SUM(known = x'02'), "
            "COUNT(DISTINCT CASE known WHEN x'01' THEN new END) FROM mark"
        )
        return Coverage(*(count or 0 for count in self._db.execute(query, (start + 1,)).fetchone()))

    def todo(self) -> Iterator[Todo]:
        """The files to be done, scope by scope."""
        query = (
            "SELECT scope, path, size, name, patient, study, is_copy FROM file "
            "WHERE status IS NULL AND (scope, path) > (?, ?) ORDER BY scope, path"
        )
        return (Todo(*row) for row in self._pages(query, 2))

    def done(
        self,
        rows: Iterable[tuple[bytes, Sequence[object]]],
        hits: Mapping[int, int],
        names: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Note what became of files: their audit rows, how many elements each rule decided, and outputs' names."""
        assigned = ", ".join(f'"{column}" = ?' for column in COLUMNS)
        with self._transaction():
            self._db.executemany(f"UPDATE file SET {assigned} WHERE path = ?", [(*row, path) for path, row in rows])
            self._db.executemany(
                "INSERT INTO rule VALUES (?1, ?2) ON CONFLICT (number) DO UPDATE SET hits = hits + ?2", hits.items()
            )
            self._db.executemany("UPDATE file SET name = ?2 WHERE path = ?1 AND status = 'written'", names)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """The audit rows of all files that are done."""
        columns = ", ".join(f'"{column}"' for column in COLUMNS)
        query = f"SELECT path, {columns} FROM file WHERE status IS NOT NULL AND path > ? ORDER BY path"
        return (row[1:] for row in self._pages(query, 1))

    def done_since(self, moment: datetime) -> tuple[int, float]:
        """(files that were done since then, seconds from the first of them until now)."""
        since = moment.strftime(TIME_FORMAT)
        query = "SELECT COUNT(*), MIN(time_utc) FROM file WHERE time_utc >= ?"
        files, first = self._db.execute(query, (since,)).fetchone()
        if not files:
            return 0, 0.0
        began = datetime.strptime(first, TIME_FORMAT).replace(tzinfo=UTC)
        return files, max((datetime.now(UTC) - began).total_seconds(), 1.0)

    def colliding(self) -> list[bytes]:
        """Paths that can't be told from an earlier one, or from a folder, where names are alike in whatever case.

        It does not depend on what became of files, so that it is the same in every run.
        """
        self._db.create_function("folded", 1, _folded, deterministic=True)
        self._db.executescript(_NAMES)
        query = (
            "SELECT path FROM folding AS this WHERE EXISTS "
            "(SELECT 1 FROM folding WHERE folded = this.folded AND path < this.path) OR EXISTS "
            "(SELECT 1 FROM folding WHERE folded > this.folded || '/' AND folded < this.folded || '0') ORDER BY path"
        )
        return [row[0] for row in self._db.execute(query)]

    def digests(self) -> Iterator[tuple[bytes, bytes, str]]:
        """(path, its output's, digest of that) of all files that were written."""
        query = f"SELECT path, {_NAME}, sha256_out FROM file WHERE status = 'written' AND path > ? ORDER BY path"
        return self._pages(query, 1)

    def outcomes(self) -> list[Outcome]:
        """What is done, by status and reason."""
        query = (
            "SELECT status, reason, COUNT(*), SUM(bytes_in), SUM(bytes_out) FROM file WHERE status IS NOT NULL "
            "GROUP BY status, reason ORDER BY status = 'written' DESC, status, reason"
        )
        return [Outcome(*row) for row in self._db.execute(query)]

    def failures(self, most: int = 20) -> list[tuple[str, str, int]]:
        """(reason, detail, files) of what was not written though it is DICOM, the most frequent first."""
        query = (
            "SELECT reason, detail, COUNT(*) AS files FROM file WHERE status IN ('failed', 'set-aside') "
            "GROUP BY reason, detail ORDER BY files DESC, reason, detail LIMIT ?"
        )
        return self._db.execute(query, (most,)).fetchall()

    def totals(self) -> dict[str, int]:
        """Elements by the column they are counted under."""
        sums = ", ".join(f'COALESCE(SUM("{column}"), 0)' for column in _COUNTED)
        return dict(zip(_COUNTED, self._db.execute(f"SELECT {sums} FROM file").fetchone(), strict=True))

    def hits(self) -> Counter[int]:
        """Elements by the number of the rule that decided."""
        return Counter(dict(self._db.execute("SELECT number, hits FROM rule")))

    def remaining(self, *, unprobed: bool = False) -> int:
        """How many files are still to be done, or to be probed."""
        condition = "status IS NULL AND scope IS NULL" if unprobed else "status IS NULL"
        return int(self._db.execute(f"SELECT COUNT(*) FROM file WHERE {condition}").fetchone()[0])

    def count_uncollected(self) -> int:
        """How many files `uncollected` yields."""
        query = f"SELECT COUNT(*) FROM file WHERE {_UNCOLLECTED}"
        return int(self._db.execute(query, (self._epoch(),)).fetchone()[0])

    def _pages(self, query: str, keys: int, *before: Any) -> Iterator[tuple[Any, ...]]:
        """Rows of a query in portions, so that memory stays flat and the table may be written to meanwhile.

        The first `keys` columns are the order; the query takes the last row's as its parameters, behind those `before`.
        """
        last: tuple[Any, ...] = (b"",) if keys == 1 else ("", b"")
        while rows := self._db.execute(f"{query} LIMIT {_PAGE}", (*before, *last)).fetchall():
            yield from rows
            last = rows[-1][:keys]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _folded(path: bytes) -> str:
    """What names have in common that some file system takes for the same: case, form, dots and blanks at the end."""
    name = unicodedata.normalize("NFC", _ENDINGS.sub("", os.fsdecode(path)).casefold())
    return name.encode("utf-8", "backslashreplace").decode()
