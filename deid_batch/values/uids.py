"""UIDs: which stay, and how new ones are made. (PS3.5 9, B.2; PS3.6 annex A)"""

from __future__ import annotations

import re
from functools import cache

from deid_batch import dictionary

DEFINITION_ATTRIBUTES = frozenset({
    0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x00080117, 0x00080118, 0x0008040E,
    0x00081150, 0x0008115A, 0x00083002, 0x00340003, 0x04000010, 0x04000510, 0x30100052, 0x30100053,
})  # fmt: skip
"""UI attributes that name definitions (SOP Classes, transfer syntaxes, coding schemes), not instances."""


def text_of(raw: bytes) -> str:
    """A UI value without its padding."""
    return raw.rstrip(b"\0 ").decode("latin-1").strip()


def is_uid(text: str) -> bool:
    """Whether a text could be a UID: digits and dots. Many that are in use break other rules of PS3.5 9.1."""
    return re.fullmatch(r"[0-9.]+", text) is not None


def from_digest(digest: bytes) -> str:
    """`2.25.` and the decimal of 128 bits in the form of a version 8 UUID. (RFC 9562 5.8, PS3.5 B.2)"""
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return f"2.25.{number}"


@cache
def registered() -> frozenset[str]:
    """The values of PS3.6 annex A, as pydicom lists them."""
    return frozenset(dictionary.pydicom_table("_uid_dict").UID_dictionary)
