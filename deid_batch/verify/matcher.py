"""Finding what is known in text and in bytes, in whatever spelling, character set or order of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from deid_batch.verify.days import days_in
from deid_batch.verify.identity import ADDRESS, BIRTH, EMAIL, ID, INSTITUTION, PERSON, TELEPHONE, Identity, Known
from deid_batch.verify.words import COMMON, folded, is_telling, is_unspaced, spellings, words_of

_SEPARATORS = r"[\s._/\\-]?"
_NOT_ALNUM = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"[+(]?\d[\d\s()./\\-]{4,}\d")
_TITLES = frozenset(
    "mr mrs ms miss dr prof doctor patient pat pt herr frau monsieur madame mme sr sra dott med nurse name".split()
)
_ID_MARK = re.compile(r"\b(?:id|mrn|pid|nr|no|acc|accession|patient id|pat id)\W{0,3}$")
_SHORTEST_ID, _SHORTEST_PHONE = 5, 7
_SHORTEST_RAW = 5
"""Letters or digits of what is looked for in bytes: shorter ones occur by chance."""
_MOST_CACHED = 20_000
_MOST_HITS = 10_000
_PLAIN_CODECS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
ALL_KINDS = frozenset((PERSON, ID, BIRTH, ADDRESS, TELEPHONE, EMAIL, INSTITUTION))


class Pattern(NamedTuple):
    """Bytes to look for, in lower case as far as they are ASCII; `step` is the width of a letter."""

    needle: bytes
    step: int
    kind: str
    how: str


class Matcher:
    """Looks for one identity."""

    def __init__(self, identity: Identity, codecs: Iterable[str] = ()) -> None:
        self._words: dict[str, str] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._weak: list[frozenset[str]] = []
        self._weak_words: set[str] = set()
        self._unspaced: list[tuple[str, str]] = []
        self._ids: dict[str, re.Pattern[str]] = {}
        self._short_ids: set[str] = set()
        self._phones: set[str] = set()
        self._emails: set[str] = set()
        self.births: set[date] = set()
        self._raw: dict[str, str] = {}
        self._codecs = tuple(dict.fromkeys([*_PLAIN_CODECS, *codecs]))
        self._cache: dict[tuple[str, bool], frozenset[str]] = {}
        for known in sorted(identity):
            self._learn(known)
        self.patterns = tuple(self._patterns())

    def _learn(self, known: Known) -> None:
        match known.kind:
            case "person":
                self._learn_person(known.text)
            case "id":
                self._learn_id(known.text)
            case "birth-date":
                self.births.add(date.fromisoformat(known.text))
                self._raw[known.text.replace("-", "")] = BIRTH
                self._raw[known.text] = BIRTH
            case "telephone":
                self._learn_phone(known.text)
            case "email":
                self._emails.add(folded(known.text))
                self._raw[known.text] = EMAIL
            case _:
                for piece in re.split(r"[\^\r\n,;=\\]+", known.text):
                    self._learn_phrase(piece, known.kind)

    def _learn_person(self, name: str) -> None:
        weak: set[str] = set()
        for group in name.split("="):
            components = [words for part in group.split("^")[:3] for words in self._spelled(part)]
            for words in components:
                self._learn_name(words, weak)
            self._learn_joined(group)
            if is_unspaced(group):
                parts = [folded(part).replace(" ", "") for part in group.split("^")[:3]]
                for form in {"".join(parts), "".join(reversed(parts)), *parts}:
                    if len(form) >= 2:
                        self._unspaced.append((form, PERSON))
            self._raw_name(group)
        if len(weak) > 1:
            self._weak.append(frozenset(weak))
        self._weak_words |= {word for word in weak if len(word) > 1 and not word.isdigit()}

    @staticmethod
    def _spelled(part: str) -> list[tuple[str, ...]]:
        return [words for form in spellings(part.strip()) if (words := words_of(form))]

    def _learn_name(self, words: tuple[str, ...], weak: set[str]) -> None:
        """One component of a name: each of its words that tells something, all of them together, or as evidence."""
        for word in words:
            if is_telling(word):
                self._words[word] = PERSON
            elif not word.isdigit():
                weak.add(word)
        if len(words) > 1 and sum(map(len, words)) > 5 and not all(word.isdigit() for word in words):
            self._add_phrase(words, PERSON)
            self._words["".join(words)] = PERSON

    def _learn_joined(self, group: str) -> None:
        """Names written without a blank, and with an initial: JohnSmith, SmithJohn, jsmith, smithj."""
        parts = [folded(part).replace(" ", "") for part in group.split("^")[:2]]
        if len(parts) == 2 and all(part.isalpha() for part in parts):
            family, given = parts
            for form in (family + given, given + family):
                if len(form) >= 6 and form not in COMMON:
                    self._words[form] = PERSON
            for form in (given[0] + family, family + given[0]):
                if len(family) >= 5 and form not in COMMON:
                    self._words[form] = PERSON

    def _raw_name(self, group: str) -> None:
        for part in group.split("^")[:3]:
            words = words_of(folded(part))
            if any(is_telling(word) for word in words) or is_unspaced(part):
                self._raw[part.strip()] = PERSON
            for word in re.split(r"[\s-]+", part):
                if is_telling(folded(word)):
                    self._raw[word] = PERSON
        whole = [part for part in group.split("^")[:2] if part]
        if len(whole) > 1:
            self._raw["^".join(whole)] = PERSON
            self._raw[" ".join(reversed(whole))] = PERSON

    def _learn_id(self, text: str) -> None:
        squeezed = _NOT_ALNUM.sub("", folded(text))
        core = squeezed.lstrip("0")
        if not core:
            return
        has_digit = any(letter.isdigit() for letter in core)
        if not has_digit:
            words = words_of(folded(text))
            if len(core) >= _SHORTEST_ID and not all(word in COMMON for word in words) and is_telling(core):
                self._add_phrase(words, ID)
                self._raw[text] = ID
            return
        if len(core) < _SHORTEST_ID:
            self._short_ids.add(core)
            return
        letters = _SEPARATORS.join(map(re.escape, core))
        self._ids[core] = re.compile(rf"(?<![^\W_])0*{_SEPARATORS}{letters}(?![^\W_])")
        for form in (text, squeezed, core):
            self._raw[form] = ID

    def _learn_phone(self, text: str) -> None:
        for piece in re.split(r"[\\,;]|(?<=\d)\s*(?:ext|x)\b", text.casefold()):
            digits = re.sub(r"\D", "", piece).lstrip("0")
            if len(digits) >= _SHORTEST_PHONE:
                self._phones.add(digits[-9:])
                self._raw[piece.strip()] = TELEPHONE
                self._raw[re.sub(r"\D", "", piece)] = TELEPHONE

    def _learn_phrase(self, piece: str, kind: str) -> None:
        for words in self._spelled(piece):
            size = sum(map(len, words))
            number_and_word = any(it.isdigit() for it in words) and any(len(it) >= 4 and it.isalpha() for it in words)
            telling = any(map(is_telling, words))
            if (len(words) > 1 and size >= 6 and (telling or (kind == ADDRESS and number_and_word))) or (
                len(words) == 1 and telling and size >= _SHORTEST_ID
            ):
                self._add_phrase(words, kind)
                self._raw.setdefault(piece.strip(), kind)
        if is_unspaced(piece) and len(piece.strip()) > 2:
            self._unspaced.append((folded(piece).replace(" ", ""), kind))
            self._raw.setdefault(piece.strip(), kind)

    def _add_phrase(self, words: tuple[str, ...], kind: str) -> None:
        if len(words) == 1:
            self._words.setdefault(words[0], kind)
        else:
            self._phrases.setdefault(words[0], []).append((words, kind))

    def _patterns(self) -> Iterator[Pattern]:
        made: dict[tuple[bytes, int], Pattern] = {}
        for text, kind in self._raw.items():
            for form in {text} if text.isascii() else {text, text.upper(), text.lower(), text.title()}:
                for codec in self._codecs:
                    try:
                        needle = form.encode(codec)
                    except (UnicodeError, LookupError):
                        continue
                    step = 2 if codec.startswith("utf-16") else 1
                    if len(needle) < _SHORTEST_RAW * step and not (
                        step == 2 and not form.isascii() and len(needle) > 5
                    ):
                        continue
                    how = "in its bytes" if step == 1 else "in its bytes, as UTF-16"
                    made.setdefault((needle.lower(), step), Pattern(needle.lower(), step, kind, how))
        yield from made.values()

    def kinds_in(self, text: str, *, is_number: bool = False) -> frozenset[str]:
        """The kinds of what a text holds of the identity. Of one that is a number or time, only words count."""
        found = self._cache.get((text, is_number))
        if found is None:
            if len(self._cache) > _MOST_CACHED:
                self._cache.clear()
            found = frozenset(self._kinds_in(folded(text), is_number))
            if len(text) < 512:
                self._cache[text, is_number] = found
        return found

    def _kinds_in(self, text: str, is_number: bool) -> Iterator[str]:
        words = words_of(text)
        yield from self._in_words(words)
        if self._unspaced and not text.isascii():
            dense = text.replace(" ", "").replace("^", "").replace("\u3000", "")
            yield from (kind for form, kind in self._unspaced if form in dense)
        if is_number or not any(letter.isdigit() for letter in text):
            if "@" in text and any(email in text for email in self._emails):
                yield EMAIL
            return
        yield from self._in_numbers(text)

    def _in_words(self, words: tuple[str, ...]) -> Iterator[str]:
        before = ""
        for number, word in enumerate(words):
            if (kind := self._words.get(word)) is not None:
                yield kind
            for phrase, kind in self._phrases.get(word, ()):
                if words[number : number + len(phrase)] == phrase:
                    yield kind
            if word in self._weak_words:
                if before in _TITLES or any(word in weak and before in weak and before != word for weak in self._weak):
                    yield PERSON
            elif before in self._weak_words and any(word in weak and before in weak for weak in self._weak):
                yield PERSON
            before = word

    def _in_numbers(self, text: str) -> Iterator[str]:
        squeezed = _NOT_ALNUM.sub("", text)
        if any(core in squeezed and pattern.search(text) for core, pattern in self._ids.items()):
            yield ID
        for core in self._short_ids:
            if core in squeezed:
                for match in re.finditer(rf"(?<![^\W_])0*{re.escape(core)}(?![^\W_])", text):
                    if _ID_MARK.search(text[: match.start()]):
                        yield ID
        if self._phones and any(self._is_phone(match[0]) for match in _DIGITS.finditer(text)):
            yield TELEPHONE
        if "@" in text and any(email in text for email in self._emails):
            yield EMAIL
        if self.births and not self.births.isdisjoint(days_in(text)):
            yield BIRTH

    def _is_phone(self, written: str) -> bool:
        digits = re.sub(r"\D", "", written)
        return any(digits.endswith(phone) or phone in digits for phone in self._phones)

    def in_bytes(self, data: bytes) -> Iterator[tuple[int, Pattern]]:
        """Where known strings stand in bytes, of which letters are in lower case; each up to a bound."""
        for pattern in self.patterns:
            position, times = data.find(pattern.needle), 0
            while position >= 0 and times < _MOST_HITS:
                if _stands_alone(data, position, pattern):
                    yield position, pattern
                    times += 1
                position = data.find(pattern.needle, position + 1)


def _stands_alone(data: bytes, position: int, pattern: Pattern) -> bool:
    """Whether no letter or digit of ASCII joins a find on either side."""
    stop = position + len(pattern.needle)
    if not pattern.needle.isascii() and pattern.step == 1:
        return True
    before = data[position - pattern.step : position] if position >= pattern.step else b""
    behind = data[stop : stop + pattern.step]
    return not (before.replace(b"\0", b"").isalnum() or behind.replace(b"\0", b"").isalnum())
