"""Text made comparable: case, diacritics, width and Kana folded, separators left out; and the way back to the text.

`ae`, `oe` and `ue` within a word become `a`, `o` and `u`, as the letters with diacritics do that they may stand for.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

SEPARATOR, MARK, LOWER, UPPER, DIGIT, ALONE = range(6)
"""Kinds of characters; those that are ALONE belong to scripts without blanks between words."""
_ASCII_WORD = re.compile(r"[A-Z]+[a-z]*|[a-z]+|[0-9]+")
_DIGRAPH = re.compile("([aou])e")
_NO_BLANKS = re.compile("[^ ]+")
_SMALL_LETTERS = bytes(range(256)).lower()
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())
_SPECIAL = {
    "æ": "a", "œ": "o", "ø": "o", "ß": "ss", "þ": "th", "ð": "d", "đ": "d", "ł": "l", "ħ": "h", "ı": "i",
    "ŋ": "n", "ŧ": "t",
}  # fmt: skip
_ALONE = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x318F),
    (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
"""Thai, Lao, Burmese, Khmer, Hangul, Kana, Bopomofo, ideographs."""
_KATAKANA = range(0x30A1, 0x30F7)
_TATWEEL = "\u0640"


class Folded(NamedTuple):
    """The letters and digits of a text, and for each where it begins and ends there, and whether a word does."""

    letters: str
    starts: list[int]
    stops: list[int]
    begins: bytearray
    ends: bytearray


def fold(text: str) -> Folded:
    """A text as it is compared. Words begin also where digits or, behind a small letter, a capital one does."""
    folding, pos = _Folding(), 0
    for match in () if text.isascii() else _NO_BLANKS.finditer(text):
        if not match[0].isascii():
            folding.add_ascii(text[pos : match.start()], pos)
            folding.add(match[0], match.start())
            pos = match.end()
    folding.add_ascii(text[pos:], pos)
    return folding.folded()


def letters_of(text: str) -> str:
    """The letters and digits of a text as they are compared, without the way back."""
    if not text.isascii():
        return fold(text).letters
    small = text.encode("ascii").translate(_SMALL_LETTERS, _NO_LETTERS).decode("ascii")
    if _DIGRAPH.search(small) is None:
        return small
    words = _ASCII_WORD.findall(text)
    return "".join([_DIGRAPH.sub(r"\1", word.lower()) for word in words])


def plain(text: str) -> str:
    """The letters and digits of a text in small letters without diacritics, digraphs as they are written."""
    return text.lower() if text.isascii() and text.isalnum() else "".join(_CHARACTERS[char][0] for char in text)


def kind_of(char: str) -> int:
    """The kind of a character."""
    return _CHARACTERS[char][1]


class _Folding:
    """A text that is folded part by part; between the parts stand blanks."""

    def __init__(self) -> None:
        self._letters: list[str] = []
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._begins = bytearray()

    def folded(self) -> Folded:
        """What the parts became together."""
        ends = self._begins[1:] + b"\1" if self._begins else bytearray()
        return Folded("".join(self._letters), self._starts, self._stops, self._begins, ends)

    def add_ascii(self, part: str, offset: int) -> None:
        """Fold a part that stands `offset` letters behind the beginning and is ASCII."""
        for match in _ASCII_WORD.finditer(part):
            start, stop = offset + match.start(), offset + match.end()
            word = match[0].lower()
            if "e" in word and _DIGRAPH.search(word):
                dropped = {it.end() - 1 for it in _DIGRAPH.finditer(word)}
                kept = [at for at in range(len(word)) if at not in dropped]
                self._starts.extend(start + at for at in kept)
                self._stops.extend(start + at for at in kept[1:])
                self._stops.append(stop)
                word = "".join(word[at] for at in kept)
            else:
                self._starts.extend(range(start, stop))
                self._stops.extend(range(start + 1, stop + 1))
            self._letters.append(word)
            self._begins += b"\1" + bytes(len(word) - 1)

    def add(self, part: str, offset: int) -> None:
        """Fold any part that stands `offset` letters behind the beginning."""
        before, may_drop = SEPARATOR, False
        for at, char in enumerate(part, offset):
            folded, kind = _CHARACTERS[char]
            if kind == SEPARATOR:
                before = SEPARATOR
                continue
            is_new = before == SEPARATOR or (kind != before and (kind, before) != (LOWER, UPPER)) or kind == ALONE
            if not self._letters and kind == MARK:
                continue
            if kind == MARK or (folded == "e" and may_drop and not is_new):
                self._stops[-1] = at + 1
                if kind != MARK:
                    before, may_drop = kind, False
                continue
            for number, letter in enumerate(folded):
                self._letters.append(letter)
                self._starts.append(at)
                self._stops.append(at + 1)
                self._begins.append(is_new and not number)
            before, may_drop = kind, folded[-1:] in ("a", "o", "u")


class _Characters(dict[str, tuple[str, int]]):
    """What each character becomes, and its kind; found when first asked for."""

    def __missing__(self, char: str) -> tuple[str, int]:
        found = self[char] = _folded(char)
        return found


_CHARACTERS = _Characters()


def _folded(char: str) -> tuple[str, int]:
    if _is_mark(char):
        return "", MARK
    base = "".join(it for it in unicodedata.normalize("NFKD", char) if not _is_mark(it))
    base = unicodedata.normalize("NFC", base).casefold()
    folded = "".join(_small(it) for it in base if unicodedata.category(it)[0] in "LNM")
    if not folded:
        return "", MARK if all(map(_is_mark, unicodedata.normalize("NFKD", char))) else SEPARATOR
    code = ord(folded[0])
    if any(low <= code <= high for low, high in _ALONE):
        return folded, ALONE
    if folded[0].isdigit():
        return folded, DIGIT
    return folded, UPPER if char.isupper() or char.istitle() else LOWER


def _small(char: str) -> str:
    if ord(char) in _KATAKANA:
        return chr(ord(char) - 0x60)
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return _SPECIAL.get(char, char)


def _is_mark(char: str) -> bool:
    """Whether a character only modifies the one before it; Thai and Lao vowels are letters."""
    if char == _TATWEEL:
        return True
    return unicodedata.combining(char) not in (0, 9) and not 0x0E00 <= ord(char) <= 0x0EFF
