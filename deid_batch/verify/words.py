"""Text as the leak check compares it: folded, in words; and words that identify nobody by themselves."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from deid_batch.known.words import common_words

_LETTERS = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i", "ħ": "h",
    **{chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)},
})  # fmt: skip
"""Letters without a decomposition; katakana as hiragana."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_WORD = re.compile(r"[^\W\d_]+|\d+")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\uff66-\uff9f\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
"""Thai, kana, Han, Hangul: scripts in which a name need not stand between blanks."""
SHORTEST = 4
"""Letters of a word that may identify by itself."""
COMMON = common_words() | frozenset(
    """
    abroad anonym anonymised anonymized anonymous ante bowel bronze carpal christmas clinic company corp daily demo
    derived dept eight even exam example february december fifth five flair hips hour infant inter lava legs lima
    localizer mental named neuro nine none null office orbit original oval paediatric pilot primary redacted retro
    rear research scout secondary seven spiral supine survey tested tester thick tiny university xray
    """.split()
)
"""Words that are also names, or that stand for no name: the list that `clean` goes by, and some more."""


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Text without case, width, diacritics and the kind of kana: what spellings of one name have in common."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", text).casefold()
    letters = unicodedata.normalize("NFD", plain)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)


def spellings(text: str) -> set[str]:
    """The folded forms in which a text may be written: `Müller` as muller and mueller, `Mueller` also as muller."""
    plain = folded(text)
    spelled = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_UMLAUTS)
    collapsed = plain.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return {plain, folded(spelled), collapsed if len(collapsed) >= SHORTEST else plain}


def words_of(text: str) -> tuple[str, ...]:
    """The words of a folded text: runs of letters, and runs of digits."""
    return tuple(_WORD.findall(text))


def is_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no blanks between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def is_telling(word: str) -> bool:
    """Whether a folded word may identify by itself."""
    return len(word) >= SHORTEST and not word.isdigit() and word not in COMMON and word.rstrip("s") not in COMMON
