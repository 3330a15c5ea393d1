"""Planted identities in six scripts and everywhere in a file: none is left, and harmless words beside them stay.

`pytest tests/test_planted.py -rP` shows both figures.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import Place
from planted import Planted, corpus, folded, people, with_comment
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

CONFIG = {
    "profile": "basic",
    "options": ["clean_descriptors", "clean_structured_content", "retain_safe_private", "retain_long_modified_dates"],
    "burnedIn": "allow",
    "parameters": {"key": "a key that only these tests use"},
}
CODECS = ["utf-8", "utf-16-le", "utf-16-be", "latin-1", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8",
          "cp1252", "iso2022_jp", "shift_jis", "euc_jp", "euc_kr", "iso2022_kr", "gb18030"]  # fmt: skip
FEWEST_KEPT = 0.98


def told(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """(keyword, value) of everything that pydicom reads as text, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from told(item)
        elif isinstance(element.value, bytes):
            yield element.keyword, element.value.decode("latin-1")
        elif element.VR not in ("UI", "US", "UL"):
            values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
            yield from ((element.keyword, str(value)) for value in values if value is not None)


@cache
def forms(secret: str) -> tuple[str, ...]:
    """A secret as it may be left in text: folded, with Ä as AE, as digits, as a date."""
    german = secret.casefold().translate(str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}))
    found = {folded(secret), folded(german)}
    if secret.isdecimal() and len(secret) == 8 and secret.startswith("19"):
        year, month, day = secret[:4], secret[4:6], secret[6:]
        found |= {f"{day}.{month}.{year}", f"{year}-{month}-{day}", f"{day}/{month}/{year}"}
    if re.fullmatch(r"0\d \d{7}|0\d\d \d{7}", secret):
        found |= {secret.replace(" ", ""), secret.replace(" ", "-"), secret.partition(" ")[2]}
    return tuple(found)


def says(value: str, secret: str) -> bool:
    """Whether a folded text says a secret; a number stands alone."""
    return any(
        form in value and (not form.isdecimal() or re.search(rf"(?<!\d){form}(?!\d)", value)) for form in forms(secret)
    )


@cache
def encoded(secret: str) -> re.Pattern[bytes]:
    """The bytes of a secret in any of the character sets, as it is, in capitals and small; a number stands alone."""
    found = set()
    for codec in CODECS:
        for written in (secret, secret.upper(), secret.lower()):
            try:
                found.add(written.encode(codec))
            except UnicodeError:
                continue
    if secret.isdecimal():
        return re.compile(rb"(?<!\d)%b(?!\d)" % secret.encode())
    return re.compile(b"|".join(re.escape(code) for code in sorted(found) if len(code) > 3))


def left(plant: Planted, path: Path, name: str) -> Iterator[str]:
    """Where something is left in an output that must be gone: the place and the secret."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts = [(keyword, folded(value)) for keyword, value in told(dcmread(path))]
    for secret in plant.gone:
        for keyword, value in texts:
            if says(value, secret):
                yield f"{plant.path}: {keyword} holds {secret!r}"
        if encoded(secret).search(data):
            yield f"{plant.path}: its bytes hold {secret!r}"
        if says(folded(name), secret):
            yield f"{plant.path}: its name {name!r} holds {secret!r}"


def lost(plant: Planted, path: Path) -> Iterator[tuple[str, str, str]]:
    """(attribute, word, value) of the harmless words that are gone."""
    values: dict[str, list[str]] = {}
    for keyword, value in told(dcmread(path)):
        values.setdefault(keyword, []).append(value)
    for keyword, words in plant.kept:
        value = " ".join(values.get(keyword, []))
        yield from ((keyword, word, value) for word in words if word not in value)


def cleaned(place: Place, plants: list[Planted], *options: str) -> dict[str, str]:
    """Run the main job over planted files; the outputs by their sources."""
    for plant in plants:
        (place.source / plant.path).parent.mkdir(parents=True, exist_ok=True)
        (place.source / plant.path).write_bytes(plant.data)
    place.config.write_text(json.dumps(CONFIG), encoding="utf-8")
    result = place.run_here(*options)
    assert result.returncode == 0, result.stdout + result.stderr
    return {source[2:]: row["output"][2:] for source, row in place.rows().items()}


def judge(place: Place, plants: list[Planted]) -> None:
    """Assert both claims, and print both figures."""
    outputs = cleaned(place, plants)
    assert len(outputs) == len(plants)
    leaks, gone, words, secrets = list[str](), Counter[tuple[str, str, str]](), 0, 0
    for plant in plants:
        output = place.out / outputs[plant.path]
        leaks += left(plant, output, outputs[plant.path])
        gone.update(lost(plant, output))
        words += sum(len(some) for _, some in plant.kept)
        secrets += len(plant.gone)
    kept = 1 - gone.total() / words
    print(f"{len(plants)} files: {secrets:,} planted secrets, {len(leaks)} found again in OUT")
    print(f"{words:,} harmless words in the texts around them, {100 * kept:.2f} % kept")
    print(*(f"  lost: {keyword} {word!r} of {value!r}" for keyword, word, value in gone), sep="\n")
    assert leaks == []
    assert kept >= FEWEST_KEPT


@pytest.fixture(scope="module")
def plants() -> list[Planted]:
    return list(corpus())


def test_the_key_knows_what_is_planted(plants: list[Planted], tmp_path: Path) -> None:
    """What is planted is found before the run by the means that find nothing behind it, and no word is missing."""
    assert len(plants) == len({plant.path for plant in plants}) == 120
    assert sum(len(words) for plant in plants for _, words in plant.kept) > 1000
    found = Counter[str]()
    for number, plant in enumerate(plants):
        path = tmp_path / f"{number}"
        path.write_bytes(plant.data)
        found[plant.path.rpartition("/")[2].rpartition("_")[2]] += len(list(left(plant, path, plant.path)))
        assert not list(lost(plant, path)), plant.path
    assert min(found.values()) > 100, found


def test_no_planted_identity_is_left_and_harmless_words_stay(plants: list[Planted], place: Place) -> None:
    judge(place, plants)


@pytest.mark.slow
def test_none_is_left_of_a_larger_corpus(place: Place) -> None:
    judge(place, list(corpus(rounds=8)))


def test_the_leak_check_is_silent_on_what_was_made_of_them(plants: list[Planted], place: Place) -> None:
    outputs = cleaned(place, plants, "--verify")
    assert all((place.out / output).is_file() for output in outputs.values())


@pytest.mark.parametrize(("tells", "code"), [(True, 4), (False, 0)], ids=["tells", "does not tell"])
def test_an_image_gets_past_the_leak_check_only_if_its_jpeg_stream_does_not_tell(
    place: Place, tells: bool, code: int
) -> None:
    for script, person in people():
        comment = f"{person.latin[0]} {person.identifier}" if tells else "lossy, quality 90"
        (place.source / f"{script}.dcm").write_bytes(with_comment(person, comment.encode()))
    place.config.write_text(json.dumps(CONFIG), encoding="utf-8")
    result = place.run_here("--verify")
    assert result.returncode == code, result.stdout
    assert {row["reason"] for row in place.rows().values()} == ({"leak-found"} if tells else {""})
    assert any(path.is_file() for path in place.out.rglob("*")) is not tells
