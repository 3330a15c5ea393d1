"""What outputs are called: `PATIENT/STUDY/SERIES/INSTANCE.dcm`, of the identity that they have themselves."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from typing import Literal

from deid_batch import crypto
from deid_batch.methods import Instance
from deid_batch.rules import RuleSet

Names = Literal["mirror", "uid"]
NOBODY, NOTHING = "NO-ID", "NO-UID"
"""What stands for an empty Patient ID, and for an empty UID."""
_SOP_INSTANCE_UID = 0x00080018
_ONE_TO_ONE = frozenset({"keep", "refreshUID", "remove", "redact"})
"""Methods after which two SOP Instance UIDs are still two. (What is removed gets a new one.)"""
_LONGEST = 64
"""Bytes of a part; names have up to 255 nearly everywhere, whole paths fewer."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$|clock\$)(\..*)?", re.IGNORECASE | re.ASCII)
"""Names that mean devices on Windows, with any ending."""
_DIGITS = 12


def part_of(value: str, otherwise: str = NOBODY) -> str:
    """A value as one part of a path that every file system allows: letters, digits, blanks and some of `-_.+`.

    What had to be changed ends with a digest of what it was, so that different values stay apart.
    """
    value = value.strip("\0 ")
    if not value:
        return otherwise
    composed = unicodedata.normalize("NFC", value)
    part = "".join(letter if letter.isalnum() or letter in "-_.+ " else "_" for letter in composed)
    if part == value and not _is_doubtful(part):
        return part
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    room = _LONGEST - len(digest) - 2
    start = part.strip(". ").encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return f"_{start}-{digest}"


def _is_doubtful(part: str) -> bool:
    """Whether a part of a path is too long, hidden, a device, or loses its end on some file system."""
    return len(part.encode()) > _LONGEST or part[0] in ".-" or part[-1] == "." or bool(_RESERVED.fullmatch(part))


def name_of(instance: Instance, ending: str = "") -> bytes:
    """The path of an output from OUT, by its own identity."""
    patient = part_of(instance.patient.partition("\0")[2])
    uids = (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
    study, series, own = (part_of(uid, NOTHING) for uid in uids)
    return f"{patient}/{study}/{series}/{own}{ending}.dcm".encode()


def ending_of(path: bytes, key: bytes) -> str:
    """What tells a file from others of its SOP Instance UID: by key, and from nothing but its path in SOURCE."""
    return "-" + keyed_digits(key, "copy", path)


def keyed_digits(key: bytes, purpose: str, value: bytes) -> str:
    """12 letters and digits (of 32) for a value, by key."""
    return base64.b32encode(crypto.derive(key, purpose, value))[:_DIGITS].decode().lower()


def mark_of(instance: Instance, key: bytes) -> bytes:
    """What files of one SOP Instance UID have in common, and which tells nothing else."""
    return crypto.derive(key, "instance", instance.sop_instance_uid.encode())[:16]


def may_merge(rules: RuleSet) -> bool:
    """Whether rules may make one SOP Instance UID of two."""
    numbers = rules.matching(_SOP_INSTANCE_UID, "UI", None)
    return any(rules.rules[number].method.name not in _ONE_TO_ONE for number in numbers)
