"""The crosswalk of a run: which IDs and UIDs became which, as two lists for who keeps the originals."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator

from deid_batch import crypto, workspace
from deid_batch.errors import StoppedEarly, UsageError

COLUMNS = ("id_old", "id_new")
FILES = {"patient": "patid_mapping.csv", "uid": "uid_mapping.csv"}
"""The lists by what they hold."""
PATIENT_ID = 0x00100020
TAGS = frozenset({PATIENT_ID, 0x00080018, 0x00083010, 0x0020000D, 0x0020000E, 0x00200052, 0x00200200, 0x00209161})
"""Patient ID; the UIDs of instance, irradiation events, study, series, frames of reference, concatenation."""
_MARKED = ("=", "+", "-", "@", "\t", "\r", "'")
SEALED = ".p7m"
STATE = "crosswalk"
"""What the ledger remembers of the folder."""
Pair = tuple[str, str]


def kind_of(tag: int) -> str:
    """Which list an attribute's values belong to."""
    return "patient" if tag == PATIENT_ID else "uid"


def check_folder(folder: str, source: str, out: str) -> None:
    """Raise UsageError where the crosswalk would lie in SOURCE or OUT, or can't be written."""
    workspace.check_outside("the crosswalk", folder, source, out)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError("the place of the crosswalk is a file; it must be a directory, or not be there yet")


def read_certificate(path: str) -> bytes:
    """A certificate that data can be sealed to; one that can't be read or used raises UsageError."""
    try:
        with open(path, "rb") as file:
            certificate = file.read()
        crypto.seal_to(certificate, b"")
    except OSError as error:
        raise UsageError(f"the certificate can't be read ({error.strerror})") from None
    except crypto.KeyUnusable as error:
        raise UsageError(str(error)) from None
    return certificate


def lines(pairs: Iterable[Pair]) -> Iterator[str]:
    """A list as CSV. What a spreadsheet could take for a formula, or begins with ', gets one more ' in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for pair in pairs:
        writer.writerow([f"'{cell}" if cell.startswith(_MARKED) else cell for cell in pair])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def write(folder: str, kind: str, pairs: Iterable[Pair]) -> None:
    """Write a list, mode 0600, in the place of an earlier one."""
    _put(folder, FILES[kind], (line.encode("utf-8", "backslashreplace") for line in lines(pairs)))


def write_sealed(folder: str, kind: str, pairs: Iterable[Pair], certificate: bytes, *, keep: bool) -> str:
    """Write a list as CMS that only the certificate's owner can open; its name. `keep` leaves others. (RFC 5652)"""
    plain = "".join(lines(sorted(pairs))).encode("utf-8", "backslashreplace")
    stem, number = FILES[kind].removesuffix(".csv"), 1
    name = f"{stem}.csv{SEALED}"
    while keep and os.path.exists(os.path.join(folder, name)):
        number += 1
        name = f"{stem}-{number}.csv{SEALED}"
    _put(folder, name, [crypto.seal_to(certificate, plain)])
    return name


def _put(folder: str, name: str, chunks: Iterable[bytes]) -> None:
    fresh = os.path.join(folder, f"{name}.new")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, os.path.join(folder, name))
    except OSError as error:
        raise StoppedEarly(f"the crosswalk can't be written ({error.strerror})") from None
