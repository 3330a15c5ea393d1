"""Words that are common, and so no evidence of a name on their own."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def common_words() -> frozenset[str]:
    """Frequent words of five languages that are also names, and those of radiology; small letters, no diacritics."""
    text = (Path(__file__).parent / "common_words.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split())
