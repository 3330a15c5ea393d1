"""What identifies by its form alone: dates, telephone numbers, addresses, official numbers, names behind titles …"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, get_args

from deid_batch.known.folding import plain
from deid_batch.known.variants import TITLES
from deid_batch.known.words import common_words
from deid_batch.values import uids
from deid_batch.values.written import Written, find_dates

Pattern = Literal["dates", "ages", "telephone", "email", "url", "address", "identifiers", "titles", "uids"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
_LONGEST = 64
_OLDEST = 90


class Form(NamedTuple):
    """Where a text has the form of something that identifies, and for a date what it says."""

    start: int
    stop: int
    pattern: Pattern
    date: Written | None = None


def find_forms(text: str, patterns: Iterable[Pattern]) -> Iterator[Form]:
    """All forms in a text that one of these patterns asks for, in any order; they may overlap."""
    has_digits = _DIGIT.search(text) is not None
    small = text.lower()
    for pattern in patterns:
        hints = _HINTS.get(pattern, ())
        if (has_digits or pattern not in _WITH_DIGITS) and (not hints or _holds_one(small, hints)):
            yield from _FINDERS[pattern](text)


_DIGIT, _DIGITS = re.compile(r"[0-9]"), re.compile(r"[0-9]+")
_HINTS: dict[Pattern, tuple[str, ...]] = {
    "email": ("@",),
    "url": ("//", "www.", "\\\\"),
    "uids": (".",),
    "ages": ("y", "jahr", "ans", "año", "ano", "anni"),
    "titles": (
        "dr", "prof", "mr", "ms", "miss", "herr", "frau", "mme", "mlle", "monsieur", "madame", "sr", "señor", "sig",
        "dott", "hr", "fr", ":",
    ),
}  # fmt: skip
"""What a text must hold in small letters, some of it, for a pattern to be worth a search."""
_STREET_HINTS = (
    *"str gasse allee platz weg damm ufer rue avenue av. chemin impasse allée quai calle avenida avda plaza".split(),
    *"paseo carrer via piazza corso largo rua ave road drive lane blvd court square terrace crescent".split(),
    *(
        " st ",
        " st.",
        " st,",
        " rd ",
        " rd.",
        " rd,",
        " ln ",
        " ln,",
        " sq ",
        " sq.",
        " sq,",
        "boul",
        "highway",
        "parkway",
    ),
)
_PHONE_HINTS = ("tel", "ph", "fax", "mobil", "handy", "cell", "call", "page", "beep", "ext")
_MANY_DIGITS = re.compile(r"(?:[0-9][ ()/.-]{0,3}){7}")
_CODE_LIKE = re.compile(r"[0-9]{4}|[A-Z][0-9][A-Z0-9]? [0-9][A-Z]")
_WITH_DIGITS = frozenset({"dates", "ages", "telephone", "address", "identifiers", "uids"})


def _holds_one(small: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110 - any() takes three times as long
        if hint in small:
            return True
    return False


_BIRTH = re.compile(
    r"(?:\b(?:dob|d\.o\.b|born|birth(?: ?dat[eum]*)?|geb|geboren|geburtsdatum|n[ée]e?|date de naissance|nacid[oa]|"
    r"nat[oa]|fecha de nacimiento|data di nascita)\.?(?: (?:on|am|le|el|il))?|\*)[.: ]{0,3}$",
    re.IGNORECASE,
)
_BEFORE = 32


def _dates(text: str) -> Iterator[Form]:
    """Days; those of births tell no date that could be moved."""
    for written in find_dates(text):
        is_birth = _BIRTH.search(text[max(0, written.start - _BEFORE) : written.start])
        if written.is_sure or is_birth:
            yield Form(written.start, written.stop, "dates", None if is_birth else written)


_AGE = re.compile(
    r"([0-9]{2,3})(?=[ -]{0,2}"
    r"(?:years?|yrs?|yo|y/o|y\.o\.|y|jahre?|jährig|jaehrig|ans|años|anos|anni)(?:e[nrs]?)?(?![a-z]))",
    re.IGNORECASE,
)


def _ages(text: str) -> Iterator[Form]:
    for match in _AGE.finditer(text):
        before = text[match.start() - 1 : match.start()]
        if _OLDEST <= int(match[1]) < 140 and not (before.isalnum() or before in (".", ",", "_")):
            yield Form(*match.span(), "ages")


_PHONE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}[ ()/.-]{0,2}\d[\d ()/.-]{5,18}\d"
    r"|\(?[2-9]\d{2}\)?[ .-]{1,2}\d{3}[ .-]\d{4}"
    r"|\(?0\d{1,5}\)?[ /-]{1,3}\d{3}[\d /-]{1,12}\d"
    r")(?![\w]|[.,]\d)"
)
_LABELLED_PHONE = re.compile(
    r"\b(?:tel|telephone|telefon|téléphone|teléfono|telefono|phone|ph|fax|mobil|mobile|handy|cell|call|pager|beeper|ext)"
    r"[.: ]{1,3}(\+?[\d(][\d ()/.-]{2,20}\d)",
    re.IGNORECASE,
)


def _telephone(text: str) -> Iterator[Form]:
    for match in _PHONE.finditer(text) if _MANY_DIGITS.search(text) else ():
        if 8 <= sum(letter.isdigit() for letter in match[0]) <= 15:
            yield Form(*match.span(), "telephone")
    for match in _LABELLED_PHONE.finditer(text) if _holds_one(text.lower(), _PHONE_HINTS) else ():
        yield Form(*match.span(1), "telephone")


_DOMAIN = re.compile(r"@[^\W_](?:[\w-]{0,62}\.){1,8}[^\W\d_]{2,24}(?!\w)")
_LOCAL = re.compile(r"[\w.+%'-]{1,64}$")


def _email(text: str) -> Iterator[Form]:
    for match in _DOMAIN.finditer(text):
        local = _LOCAL.search(text[max(0, match.start() - _LONGEST) : match.start()])
        if local:
            yield Form(match.start() - len(local[0]), match.end(), "email")


_URL = re.compile(r"(?:\b[a-z][a-z0-9+]{1,8}://|\bwww\.)[^\s\\^<>\"]+|\\\\[\w.$-]+(?:\\[\w.$ -]+)+", re.IGNORECASE)


def _url(text: str) -> Iterator[Form]:
    for match in _URL.finditer(text):
        yield Form(*match.span(), "url")


_WORD = r"[A-ZÀ-ÖØ-ÞŠŽ][\w'’.-]{0,30}"
_AIRWAYS = "(?!Atem|Gallen|Harn|Luft|Um|Zugang|Gefäß|Nerven)"
_STREETS = re.compile(
    rf"(?<!\w)(?:"
    rf"\d{{1,5}}[a-z]?,? (?:{_WORD} ){{1,3}}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Drive|Lane|Ln|Boulevard|Blvd|Court|Square|Sq|Terrace|Crescent|Highway|Parkway|"
    r"STREET|ST|AVENUE|AVE|ROAD|RD|DRIVE|LANE|LN|BOULEVARD|BLVD|COURT|SQUARE)\b\.?"
    rf"|(?:(?:Am|An|Im|Zum|Zur|Alte|Neue|Große|Kleine|Sankt|St\.) )?{_AIRWAYS}[A-ZÄÖÜ][\w-]{{0,30}}?"
    r"(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|gasse|allee|platz|weg|damm|ufer|STRASSE|STR\.|PLATZ|WEG|GASSE) ?\d{1,4} ?[a-z]?\b"
    r"|\d{1,4}(?: ?bis| ?ter)?,? (?:[Rr]ue|[Aa]venue|[Aa]v\.|[Bb]oulevard|[Cc]hemin|[Ii]mpasse|[Aa]llée|[Qq]uai|RUE)"
    rf" (?:(?:de|du|des|la|le|les|d') ?){{0,2}}{_WORD}(?: {_WORD}){{0,2}}"
    r"|(?:[Cc]alle|[Aa]venida|[Aa]vda\.?|[Pp]laza|[Pp]aseo|[Cc]arrer|Via|VIA|Viale|Piazza|Corso|Largo|Rua|CALLE)"
    rf" (?:(?:de|del|della|dei|la|las|los) ){{0,2}}{_WORD}(?: {_WORD}){{0,2}},? (?:[nN][.ºo°]* ?)?\d{{1,4}}\b"
    r")"
)
_POSTAL = re.compile(
    rf"(?:(?<=, )|(?<=\n)|\b(?:D|A|CH|F|E|I|B|NL|L)-)\d{{4,5}} {_WORD}"
    r"|\b(?:AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|"
    r"OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC),? \d{5}(?:-\d{4})?(?!\d)"
    r"|\b[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}\b"
    r"|\b[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d\b"
)


def _address(text: str) -> Iterator[Form]:
    small = f"{text.lower()} "
    searches = [_STREETS] if _holds_one(small, _STREET_HINTS) else []
    searches += [_POSTAL] if _CODE_LIKE.search(text) else []
    for search in searches:
        for match in search.finditer(text):
            yield Form(match.start(), match.start() + len(match[0].rstrip()), "address")


_LABELLED = re.compile(
    r"\b(?:mrn|pid|patid|pat(?:ient)?[ .-]?(?:id|nr|no)|acc(?:ession)?[ .-]?(?:no|nr|number|num)?|"
    r"fall[ .-]?(?:nr|nummer)|case[ .-]?(?:no|id|number)|kv(?:nr|-nummer)|versicherten(?:nr|nummer)|ssn|"
    r"nhs(?:[ .-]?(?:no|number))?|bsn|nir|dni|nie|insee|ipp|nip|nhc|svnr|ahv|ssin|cpr|personnummer|"
    r"pass(?:port)?(?:[ .-]?(?:no|nr))?|insurance[ .-]?(?:no|id))"
    r"[ .:#=-]{1,4}([A-Z]{0,4}[ /-]?\d[\dA-Z /.-]{2,20}(?<=\w))",
    re.IGNORECASE,
)
_LABELS = tuple(
    "mrn pid id nr no num number nummer acc accession ssn nhs bsn nir dni nie insee ipp nip nhc svnr ahv ssin cpr pass "
    "passport".split()
)
"""What labels end with."""
_BESIDE = " .:#=/-"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST_LABEL = 48
_FISCAL = re.compile(r"[A-Z]{6}[0-9]{2}")
_NUMBERS = re.compile(
    r"(?<![\w.,-])(?:"
    r"(?P<ssn>(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4})"
    r"|(?P<nhs>\d{3}[ -]\d{3}[ -]\d{4})"
    r"|(?P<kvnr>[A-Z]\d{9})"
    r"|(?P<nir>[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d)"
    r"|(?P<dni>\d{8}[ -]?[A-HJ-NP-TV-Z])"
    r"|(?P<cf>[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z])"
    r"|(?P<ahv>756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d)"
    r")(?![\w]|[.,]\d)"
)


def _identifiers(text: str) -> Iterator[Form]:
    stop = 0
    for digits in _DIGITS.finditer(text):
        first = max(stop, digits.start() - _LONGEST_LABEL)
        before = text[first : digits.start()].rstrip(_BESIDE)
        without = before.rstrip(_CAPITALS)
        is_labelled = before.casefold().endswith(_LABELS)
        if not is_labelled and (without == before or not without.rstrip(_BESIDE).casefold().endswith(_LABELS)):
            continue
        for match in _LABELLED.finditer(text, first, digits.end() + _LONGEST_LABEL):
            number = _up_to_word(match[1].split("  ")[0])
            if match.start(1) >= stop and sum(letter.isdigit() for letter in number) >= 3:
                stop = match.start(1) + len(number)
                yield Form(match.start(1), stop, "identifiers")
    for match in _NUMBERS.finditer(text) if _MANY_DIGITS.search(text) or _FISCAL.search(text) else ():
        if _CHECKS[str(match.lastgroup)](re.sub(r"[ .-]", "", match[0])):
            yield Form(*match.span(), "identifiers")


def _up_to_word(number: str) -> str:
    """A number without words that stand behind it."""
    kept = ""
    for part in re.split(r"( )", number):
        if part.isalpha() and kept.strip():
            break
        kept += part
    return kept.rstrip()


def _is_nhs(number: str) -> bool:
    check = 11 - sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(number[9]) and check != 10


def _is_kvnr(number: str) -> bool:
    digits = f"{ord(number[0]) - 64:02d}{number[1:9]}"
    products = [int(digit) * (1 + at % 2) for at, digit in enumerate(digits)]
    return sum(product // 10 + product % 10 for product in products) % 10 == int(number[9])


def _is_nir(number: str) -> bool:
    department = number[5:7]
    body = number[:13].replace("2A", "19").replace("2B", "18") if department in ("2A", "2B") else number[:13]
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


def _is_dni(number: str) -> bool:
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number[:8]) % 23] == number[8]


_CHECKS: dict[str, Callable[[str], bool]] = {
    "ssn": lambda _: True, "nhs": _is_nhs, "kvnr": _is_kvnr, "nir": _is_nir, "dni": _is_dni, "cf": lambda _: True,
    "ahv": lambda _: True,
}  # fmt: skip
_TITLED = re.compile(
    r"(?<!\w)(?:(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Sr|Sra|Srta|Señora?|Sig|Signora?|Dott|Hr|Fr)"
    r"\b\.?|(?:DR|PROF|MRS|HERR|FRAU|SRA|SIG|DOTT)\.|(?:MRS|HERR|FRAU)\b"
    r"|(?:PT|Pt|pt|Pat|PAT|Patient(?:in)?|PATIENT|Name|NAME|Nom|Nombre|Cognome|Nachname|Vorname|Referrer|Operator|"
    r"Technologist|Radiologist)\s?:)"
)
_NAME_WORD = re.compile(r"[\s,_^-]{0,3}([^\W\d_][^\W\d_'’]*(?:['’-][^\W\d_]+)*\.?)(?!\w)")
_SMALL = frozenset("von van de del della di da den der ten ter la le el al bin ben ibn zu dos das do y e".split())
_MOST_WORDS = 5


def _titles(text: str) -> Iterator[Form]:
    for match in _TITLED.finditer(text):
        start = stop = -1
        pos, names = match.end(), 0
        for _ in range(_MOST_WORDS):
            word = _NAME_WORD.match(text, pos)
            if word is None:
                break
            pos = word.end()
            kind = _kind_of_word(word[1])
            if kind == "name":
                start = word.start(1) if start < 0 else start
                stop = word.end(1) - (word[1].endswith(".") and len(word[1]) > 2)
                names += 1
            elif kind == "other" or names > 3:
                break
        if start >= 0:
            yield Form(start, stop, "titles")


def _kind_of_word(word: str) -> str:
    """Whether a word behind a title may be a part of a name, is a small word in one or another title, or ends it."""
    bare = word.rstrip(".")
    if plain(bare) in TITLES or bare.casefold() in _SMALL:
        return "between"
    if bare.islower() or plain(bare) in common_words():
        return "other"
    return "name"


_UID = re.compile(r"(?<![\w.])\d{1,30}(?:\.\d{1,40}){4,}(?![\w])")
_SHORTEST_UID = 12


def _uids(text: str) -> Iterator[Form]:
    for match in _UID.finditer(text):
        if len(match[0]) >= _SHORTEST_UID and match[0] not in uids.registered():
            yield Form(*match.span(), "uids")


_FINDERS: dict[Pattern, Callable[[str], Iterator[Form]]] = {
    "dates": _dates, "ages": _ages, "telephone": _telephone, "email": _email, "url": _url, "address": _address,
    "identifiers": _identifiers, "titles": _titles, "uids": _uids,
}  # fmt: skip
