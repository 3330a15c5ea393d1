"""The forms in which known identity may be written, as they are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import NamedTuple

from deid_batch.known.folding import ALONE, kind_of, letters_of, plain
from deid_batch.known.identity import Identity, Kind
from deid_batch.known.words import common_words

TITLES = frozenset(
    "dr drs med prof professor dipl ing mag bsc msc ba ma phd md do rn rt pa frcr frcp facs fracr dds"
    "dmd mba jr sr ii iii iv "
    "mr mrs ms miss mister herr hr frau fr madame mme mlle monsieur mm senor senora sr sra srta don dona sig signor "
    "signora sigra dott dottssa dottore dottoressa pd priv doz oa aa ca pt pat patient patientin sir lady".split()
)
"""Words beside names that are none, without diacritics."""
PARTICLES = frozenset(
    "van von vom zu zum zur der den dem des de del della dello degli dei di da das do dos du la le les lo los las "
    "el al "
    "bin ibn ben abu bint y e und and et ter ten te op af av".split()
)
"""Words in names that are no evidence of a name."""
_WORDS = re.compile(r"[^\W_]+(?:['’`´][^\W_]+)*", re.UNICODE)
_APOSTROPHE = re.compile("['’`´]")
_GLUED = 6
"""Parts of a name written as one word are looked for from so many letters on."""
_PHONE_DIGITS = 7
_STREET = re.compile(r"(?:strasse|straße|str\.)(?=\W|$)", re.IGNORECASE)
_LEADING = re.compile(r"^([^\W\d_]*)0+(?=\d)")


class Form(NamedTuple):
    """A form as it is compared, and what must hold where it is found."""

    letters: str
    kind: Kind
    needs_evidence: bool = False
    gaps: frozenset[int] = frozenset()
    """Behind how many letters separators may stand."""
    is_free: bool = False
    """Whether single separators may stand anywhere."""
    is_particle: bool = False
    is_suffix: bool = False
    """Whether digits before it belong to it."""


def forms_of(identity: Identity) -> Iterator[Form]:
    """All forms of an identity but those of days, which are told by being read."""
    match identity.kind:
        case "person":
            yield from _person(identity.text)
        case "id":
            yield from _identifier(identity.text)
        case "telephone":
            yield from _telephone(identity.text)
        case "address":
            yield from _address(identity.text)
        case "place":
            yield from _place(identity.text)
        case "email":
            yield from _phrase(identity.text, "email")
        case "other":
            yield from _other(identity.text)


def initials_of(name: str) -> frozenset[str]:
    """The first letters of the parts of a name."""
    return frozenset(word[0] for parts in _groups(name) for part in parts for word in part if word[:1].isalpha())


def _person(name: str) -> Iterator[Form]:
    for parts in _groups(name):
        yield from _of_parts(parts)
    for word in _WORDS.findall(name):
        pieces = _APOSTROPHE.split(word)
        if len(pieces) > 1 and len(letters := letters_of(word)) >= _GLUED - 1:
            yield Form(letters, "person", gaps=_gaps(pieces))


def _groups(name: str) -> Iterator[list[list[str]]]:
    """The parts of a name in each component group, as folded words, without prefix and suffix. (PS3.5 6.2.1)"""
    for group in name.split("="):
        components = group.split("^")[:3]
        if len(components) == 1 and "," in group:
            components = group.split(",")
        parts = [_words(component) for component in components]
        if len(components) == 1 and parts[0]:
            parts = [[word] for word in parts[0]] if len(parts[0]) <= 4 else parts  # family and given name unmarked
        if kept := [part for part in parts if part]:
            yield kept


def _words(component: str) -> list[str]:
    found = [(plain(word), letters_of(word)) for word in _WORDS.findall(component)]
    return [folded for surface, folded in found if folded and surface not in TITLES]


def _of_parts(parts: list[list[str]]) -> Iterator[Form]:
    words = [word for part in parts for word in part]
    for word in words:
        if len(word) > 1 or _is_alone(word):
            yield Form(word, "person", _is_short(word), is_particle=word in PARTICLES)
    whole = [Form("".join(part), "person", gaps=_gaps(part)) for part in parts]
    for form in whole:
        if not _is_short(form.letters):
            yield form
    for count in (2, 3):
        for chosen in permutations(whole[:4], count):
            yield _glued(chosen)
    initials = "".join(word[0] for word in words if word[0].isalpha())
    if 2 <= len(initials) <= 4 and not _is_alone(initials):
        for text in {initials, initials[1:] + initials[0], initials[1:]}:
            if len(text) > 1:
                yield Form(text, "person", needs_evidence=True)
    for one, other in permutations(whole, 2):
        if other.letters[0].isalpha() and len(one.letters) >= _GLUED - 1 and not _is_alone(one.letters):
            yield Form(other.letters[0] + one.letters, "person", gaps=frozenset({1}))
            yield Form(one.letters + other.letters[0], "person", gaps=frozenset({len(one.letters)}))


def _glued(forms: Iterable[Form]) -> Form:
    letters, gaps = "", set[int]()
    for form in forms:
        gaps |= {len(letters), *(len(letters) + gap for gap in form.gaps)}
        letters += form.letters
    is_weak = len(letters) < _GLUED and not _is_alone(letters)
    return Form(letters, "person", is_weak, frozenset(gaps - {0}))


def _identifier(text: str) -> Iterator[Form]:
    folded = letters_of(text)
    if not any(letter.isdigit() for letter in folded):
        yield from _phrase(text, "id", needs_evidence=len(folded) < 4)
        return
    bare = _LEADING.sub(r"\1", folded)
    gaps = _gaps(re.findall(r"[^\W_]+", text))
    for letters in {folded, bare}:
        if len(letters) >= 3:
            yield Form(letters, "id", len(letters) < 5, gaps if letters == folded else frozenset(), len(letters) >= 5)
    digits = re.sub(r"\D", "", folded).lstrip("0")
    if len(digits) >= 6 and digits != bare:
        yield Form(digits, "id", is_free=True)


def _telephone(text: str) -> Iterator[Form]:
    digits = re.sub(r"\D", "", text)
    if len(digits) >= 5:
        yield Form(digits[-_PHONE_DIGITS:], "telephone", is_free=True, is_suffix=True)


def _address(text: str) -> Iterator[Form]:
    for line in re.split(r"[\\^\r\n;,|]+", text):
        words = line.split()
        if len(words) > 1:
            yield from _phrase(line, "address")
            short = _STREET.sub("str ", line)
            if short != line:
                yield from _phrase(short, "address")
            if (long := _STREET.sub("strasse ", line)) != line:
                yield from _phrase(long, "address")
        for word in words:
            if word.isalpha() and len(word) > 3:
                yield Form(letters_of(word), "address", needs_evidence=False)


def _place(text: str) -> Iterator[Form]:
    """Places whose names say more than what is done there: `Chest CT` and `Radiology` are none to be looked for."""
    for line in re.split(r"[\\^\r\n;,|]+", text):
        words = re.findall(r"[^\W_]+", line)
        telling = [word for word in words if not word.isdigit() and len(word) > 1 and plain(word) not in common_words()]
        letters = letters_of(line)
        if len(letters) > 3 and (len(words) > 2 or any(len(word) > 3 for word in telling) or _is_code(letters)):
            yield from _phrase(line, "place")


def _is_code(letters: str) -> bool:
    """Whether a station is called by letters and digits that hardly stand anywhere else."""
    return len(letters) > 4 and letters.isalnum() and not letters.isalpha()


def _other(text: str) -> Iterator[Form]:
    if "^" in text:
        yield from _person(text)
    elif any(letter.isdigit() for letter in text):
        yield from _identifier(text)
    yield from _phrase(text, "other")


def _phrase(text: str, kind: Kind, *, needs_evidence: bool = False) -> Iterator[Form]:
    words = [folded for word in re.findall(r"[^\W_]+", text) if (folded := letters_of(word))]
    letters = "".join(words)
    if len(letters) > 1:
        yield Form(letters, kind, needs_evidence, _gaps(words))


def _gaps(words: Iterable[str]) -> frozenset[int]:
    """Behind how many letters separators stand."""
    gaps, size = set[int](), 0
    for word in words:
        gaps.add(size)
        size += len(letters_of(word))
    return frozenset(gaps - {0})


def _is_short(word: str) -> bool:
    """Whether a part of a name is too short to be looked for without evidence."""
    return len(word) < 2 or (len(word) <= 3 and not _is_alone(word))


def _is_alone(letters: str) -> bool:
    return bool(letters) and kind_of(letters[0]) == ALONE
