"""How much a value looks like something that identifies: points for what can be seen in it, and for being rare.

The same value always gets the same points. They rank values for somebody who reads them; they decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from deid_batch.dictionary import DicomDictionary, pydicom_table

MOST, RARE = 100, 30
"""Points that a value can have for what it looks like, and for being found in one patient of many."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+\.\w")
_WEB = re.compile(r"\b(?:https?|ftp)://|\bwww\.", re.IGNORECASE)
_UID = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:1[89]|20)\d\d"
_DATE = re.compile(
    rf"(?<!\d)(?:{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|{_YEAR}[-./]{_MONTH}[-./]{_DAY}"
    rf"|{_DAY}[-./ ]{_MONTH}[-./ ]{_YEAR}|{_MONTH}[-./]{_DAY}[-./]{_YEAR})(?!\d)"
)
_TELEPHONE = re.compile(r"(?<![\w.,])(?:\+\d[\d ()/-]{5,}\d|\(?0\d{1,5}[ )/-]+\d[\d /-]{3,}\d)(?![\w.,]\d)")
_TITLE = re.compile(
    r"\b(?:dr|prof|mr|mrs|ms|miss|herr|frau|mme|mlle|sig|sra|pt|patient|name|born|geb)\b[.:]? *[^\W\d_]{2}",
    re.IGNORECASE,
)
_COMPONENTS = re.compile(r"\w\^\w|\w\^{2,}\w")
_NUMBER = re.compile(r"\d{5,}")
_TOKEN = re.compile(r"[^\W_]{5,}")
_RANDOM = re.compile(r"[0-9a-f]{32,}|[0-9A-Za-z+/]{21,}={0,2}|DEID-[0-9A-Z]{8,}", re.ASCII)
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+(?![^\W_])")
_POINTS = {
    "an e-mail address": 60,
    "a web address": 30,
    "a UID": 20,
    "a date": 35,
    "a telephone number": 40,
    "a title or a word that goes before names": 35,
    "name components": 40,
    "VR PN": 30,
    "VR DA or DT": 10,
    "looks random": 10,
    "a long number": 20,
    "digits among letters": 20,
}
_CAPITALISED, _UPPER_CASE, _LOWER_CASE = 20, 15, 8
"""Points for each of two words that are not common ones, by how they are written; in a CS they are all codes."""
_MORE = """
adult angio arteriell arterielle aorta avanto axiale body brain calc cardio ciss coil coronal cranio cta ctdi dixon
dwi dyn dynamic ecg einzelne epi essential examination exam flair flash follow fov fse ganz gated gradient haste head
helical hires image kontrast koronar lateral legs locator localiser localizer loc lung medical mip mixed mpr mra mrt
native nativ ohne oblique perfusion pet phase philips plain portal post pre prone protocol quick radiology rapid recon
report resolution resp routine sag sagittal sat scan scanner scout screening sense sequence serie series siemens single
slab slice slim spgr spin spir spine spiral stack standard stir study supine survey survey systems tof tomo topogram
toshiba trace tra trig trufi tse turbo unknown upper vibe view volume wb wip with without anonymous anonymized
deidentified removed none demo test dcm yes unused medcom inc ltd gmbh
"""
"""Words of protocols and makers that the dictionary and the codes of PS3.16 lack."""


class Likeness(NamedTuple):
    """Points up to MOST, and what they are for."""

    points: int
    reasons: tuple[str, ...]


@lru_cache(maxsize=4096)
def likeness(value: str, vr: str = "") -> Likeness:
    """What in a value looks like a name, a number or an address of somebody."""
    if _RANDOM.fullmatch(value) and not value.isalpha():  # a digest, something encrypted, a pseudonym
        return Likeness(_POINTS["looks random"], ("looks random",))
    if vr in ("DA", "DT") and value[:8].isdecimal():
        return Likeness(_POINTS["VR DA or DT"], ("VR DA or DT",))
    found = [(reason, _POINTS[reason]) for reason in _marks(value, vr)]
    words = _unusual_words(value)
    if words:
        points = sorted((_LOWER_CASE if vr == "CS" else _points_of_word(word) for word in words), reverse=True)
        found.append((f"unusual words: {len(words)}", sum(points[:2])))
    return Likeness(min(MOST, sum(points for _, points in found)), tuple(reason for reason, _ in found))


def rarity(patients: int, of: int) -> int:
    """Points for a value that `patients` of all patients have: RARE for one, fewer for some, none for all."""
    return 0 if patients >= of else round(RARE / max(patients, 1))


def _marks(value: str, vr: str) -> Iterator[str]:
    if _EMAIL.search(value):
        yield "an e-mail address"
    if _WEB.search(value):
        yield "a web address"
    is_uid = _UID.search(value) is not None
    if is_uid:
        yield "a UID"
    is_date = not is_uid and _DATE.search(value) is not None
    if is_date:
        yield "a date"
    is_telephone = not is_uid and not is_date and _TELEPHONE.search(value) is not None
    if is_telephone:
        yield "a telephone number"
    if _TITLE.search(value):
        yield "a title or a word that goes before names"
    if _COMPONENTS.search(value):
        yield "name components"
    if vr == "PN" and value.strip():
        yield "VR PN"
    if not (is_uid or is_date or is_telephone) and _NUMBER.search(value):
        yield "a long number"
    if any(2 < sum(map(str.isdigit, token)) < len(token) for token in _TOKEN.findall(value)):
        yield "digits among letters"


def _unusual_words(value: str) -> list[str]:
    """The words of three letters or more (one, in scripts without case) that are not common."""
    words = _WORD.findall(value)
    return [word for word in words if len(word) >= (3 if word.isascii() else 2) and word.casefold() not in common()]


def _points_of_word(word: str) -> int:
    if word.isupper():
        return _UPPER_CASE
    return _LOWER_CASE if word.islower() else _CAPITALISED


@cache
def common() -> frozenset[str]:
    """Words of the data dictionary, and those written in lower case in the codes of PS3.16, which no names are."""
    codes = pydicom_table("sr/_concepts_dict").concepts
    meanings = (code[0] for scheme in codes.values() for codes_of in scheme.values() for code in codes_of.values())
    words = {word for meaning in meanings for word in _LETTERS.findall(meaning) if word.islower()}
    words |= {word.casefold() for entry in DicomDictionary.values() for word in _LETTERS.findall(entry[2])}
    return frozenset(words | set(_MORE.split()))
