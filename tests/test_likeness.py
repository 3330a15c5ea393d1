"""Points for what looks like identity: a name, number or address however it is written, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.values.likeness import MOST, RARE, common, likeness, rarity

SUSPICIOUS = [
    ("Müller^Jörg", "PN", "name components"),
    ("Kowalczyk", "LO", "unusual words: 1"),
    ("T2 sag Kowalczyk 3mm", "LO", "unusual words: 1"),
    ("PT: KOWALCZYK", "LO", "a title or a word that goes before names"),
    ("seen by Dr. Kowalczyk", "LT", "a title or a word that goes before names"),
    ("山田太郎", "LO", "unusual words: 1"),
    ("Ковальчук", "LO", "unusual words: 1"),
    ("jk@example.org", "LT", "an e-mail address"),
    ("see https://example.org/x", "LT", "a web address"),
    ("call +49 30 1234567", "LT", "a telephone number"),
    ("call (030) 123-4567", "LT", "a telephone number"),
    ("born 1961-02-03", "LT", "a date"),
    ("on 3.2.1961", "LT", "a date"),
    ("19610203", "LO", "a date"),
    ("0012345", "SH", "a long number"),
    ("QX77311", "LO", "digits among letters"),
    ("was 1.2.840.99.1.7.8", "LO", "a UID"),
    ("Smith", "PN", "VR PN"),
]
HARMLESS = [
    ("ORIGINAL", "CS"), ("AXIAL", "CS"), ("T2 3mm", "LO"), ("1.5 T", "LO"), ("Chest with contrast", "LO"),
    ("head and neck", "LO"), ("t1 tse sag", "LO"), ("ABDOMEN ROUTINE", "LO"), ("Series 3", "LO"), ("", "PN"),
    ("0.5\\0.5", "DS"), ("5/5", "SH"), ("W:350 L:40", "LO"),
]  # fmt: skip
IN_ORDER = [
    [("Kowalczyk^Jan", "PN"), ("Jan Kowalczyk", "LO"), ("Kowalczyk", "LO"), ("kowalczyk", "LO"), ("chest", "LO")],
    [("Kowalczyk, Jan", "LO"), ("KOWALCZYK", "LO"), ("YBR_FULL", "CS"), ("MONOCHROME", "CS")],
    [("Jan Kowalczyk", "LO"), ("9f" * 32, "LO"), ("chest", "LO")],
    [("born 19610203", "LO"), ("19610203", "DA"), ("AXIAL", "CS")],
]


@pytest.mark.parametrize(("value", "vr", "reason"), SUSPICIOUS)
def test_what_identifies_has_points_and_says_why(value: str, vr: str, reason: str) -> None:
    found = likeness(value, vr)
    assert reason in found.reasons
    assert found.points > 0


@pytest.mark.parametrize(("value", "vr"), HARMLESS)
def test_what_everybody_has_has_none(value: str, vr: str) -> None:
    assert likeness(value, vr) == (0, ())


@pytest.mark.parametrize("values", IN_ORDER)
def test_the_more_like_a_name_the_more_points(values: list[tuple[str, str]]) -> None:
    points = [likeness(*value).points for value in values]
    assert points == sorted(points, reverse=True)
    assert len(set(points)) == len(points)


@given(st.text(), st.sampled_from(["", "PN", "LO", "CS", "DA"]))
def test_any_text_has_points_within_bounds_and_always_the_same(value: str, vr: str) -> None:
    found = likeness.__wrapped__(value, vr)
    assert 0 <= found.points <= MOST
    assert bool(found.points) == bool(found.reasons)
    assert likeness(value, vr) == found


def test_the_fewer_patients_have_a_value_the_rarer_it_is() -> None:
    assert [rarity(patients, 10) for patients in (1, 2, 3, 9, 10)] == [RARE, 15, 10, 3, 0]
    assert rarity(1, 1) == 0, "where there is but one patient, nothing tells rare from common"


def test_common_words_are_those_of_the_standard_and_no_names() -> None:
    words = common()
    assert words > {"axial", "contrast", "thorax", "referring", "physician", "with"}
    assert not words & {"smith", "jones", "müller", "kowalczyk", "schmidt", "garcia", "nguyen"}
