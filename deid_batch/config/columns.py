"""Lists in two columns, as spreadsheets write them. (RFC 4180)"""

from __future__ import annotations

import codecs
import csv
import io
import os
import stat
from typing import NamedTuple

_SEPARATORS = "\t;,"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class ColumnsUnreadable(ValueError):
    """A list can't be read. The message names lines, never what stands there."""


class Pair(NamedTuple):
    """Two cells without blanks around them, and the line where they end."""

    line: int
    left: str
    right: str


def read_file(path: str) -> tuple[bytes, bool]:
    """(a file's bytes, whether group or others can read it)."""
    try:
        with open(path, "rb") as file:
            is_open = os.name == "posix" and bool(stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077)
            return file.read(), is_open
    except OSError as error:
        raise ColumnsUnreadable(f"the list can't be read ({error.strerror})") from None
    except ValueError:
        raise ColumnsUnreadable("the list's name is no path") from None


def decode(data: bytes) -> str:
    """The text of a list: UTF-8, or UTF-16 with a BOM, or as one that has NULs beside its letters."""
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "")
    if not encoding:
        encoding = "utf-8"
        if b"\0" in data[:4096]:
            encoding = "utf-16-le" if data[1:4096:2].count(0) >= data[:4096:2].count(0) else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ColumnsUnreadable("the list is neither UTF-8 nor UTF-16") from None
    if "\0" in text:
        raise ColumnsUnreadable("the list holds NUL bytes")
    return text


def read_pairs(text: str) -> list[Pair]:
    """The rows of two columns; empty ones are passed over, and empty cells behind the second."""
    separator, text, before = _separated(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    pairs = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            line = before + reader.line_num
            if len(cells) == 1 and len(row) < 2:
                raise ColumnsUnreadable(f"line {line} has no two columns, separated by comma, semicolon or tab")
            if len(cells) > 2:
                raise ColumnsUnreadable(f"line {line} has {len(cells)} columns; two are expected: old, new")
            if cells and (len(cells) < 2 or not cells[0]):
                raise ColumnsUnreadable(f"line {line} has an empty cell")
            if cells:
                pairs.append(Pair(line, cells[0], cells[1]))
    except csv.Error:
        raise ColumnsUnreadable(f"line {before + reader.line_num}: a quoted cell is not closed, or too long") from None
    return pairs


def _separated(text: str) -> tuple[str, str, int]:
    """(separator, text behind a line that only says it, how many lines were passed)."""
    first, end, rest = text.partition("\n")
    said = first.strip()
    if said[:4].casefold() == "sep=" and len(said.rstrip("\r")) <= 5 and end:
        return (said[4:] or "\t"), rest, 1
    outside = "".join(text.split('"')[::2])
    line = next((it for it in outside.splitlines() if it.strip()), "")
    return max(_SEPARATORS, key=line.count), text, 0
