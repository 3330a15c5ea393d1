"""The audit log: CSV, one row per file. (RFC 4180)"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from deid_batch.methods.base import COLUMNS as COUNT_COLUMNS

COLUMNS = (
    "time_utc", "status", "reason", "detail", "source", "output", "scope_id", "sop_class_uid",
    "transfer_syntax_uid", "bytes_in", "bytes_out", "sha256_out", *COUNT_COLUMNS, "warnings", "seconds",
)  # fmt: skip
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_LIKE_A_BYTE = re.compile(r"\\x[0-9a-f]{2}")


class AuditLog:
    """A log that rows are appended to, each on disk's way as soon as it is written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: TextIO | None = None

    def rewrite(self, rows: Iterable[Sequence[object]]) -> None:
        """Put exactly these rows into the log, in the place of what it held."""
        self.close()
        write_table(self._path, COLUMNS, rows)

    def append(self, rows: Iterable[Sequence[object]]) -> None:
        """Add rows at the end and flush them."""
        if self._file is None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._file = open(descriptor, "w", encoding="utf-8", newline="")  # noqa: SIM115
        buffer = io.StringIO()
        csv.writer(buffer).writerows(map(_cells, rows))
        self._file.write(buffer.getvalue())
        self._file.flush()

    def close(self) -> None:
        """Bring the log onto the disk and leave it as it is."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def write_table(path: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file of mode 0600, in the place of what was there, when all of it is on disk."""
    fresh = f"{path}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(csv_line(columns))
        csv.writer(file).writerows(map(_cells, rows))
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def is_audit_log(path: str) -> bool:
    """Whether a file is an audit log, as far as its first line tells, or has nothing in it."""
    return is_table(path, COLUMNS)


def is_table(path: str, columns: Sequence[str]) -> bool:
    """Whether a file begins with a line of these columns, or has nothing in it."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.readline(len(csv_line(columns))) in (b"", csv_line(columns).encode())


def shown_path(path: bytes) -> str:
    """A relative path as the log writes it: it begins with `./`; bytes that are no UTF-8 are written as `\\xff`.

    In a name with such bytes, or one that could be taken for such, backslashes are doubled: no two look the same.
    """
    shown = path.decode("utf-8", "backslashreplace")
    if _LIKE_A_BYTE.search(shown):
        shown = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return f"./{shown}"


def csv_line(row: Iterable[object]) -> str:
    """A row as text, without cells that a spreadsheet would take for formulas. (RFC 4180)"""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(_cells(row))
    return buffer.getvalue()


def _cells(row: Iterable[object]) -> list[object]:
    """Cells that no spreadsheet takes for formulas."""
    return [f"'{value}" if type(value) is str and value.startswith(_DANGEROUS) else value for value in row]
