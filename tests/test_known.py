"""Known identity: what is found in text, and what stays."""

from __future__ import annotations

import pytest

from deid_batch.known import Identity, known

PATIENT = known(
    [
        Identity("person", "MÜLLER^HANS^PETER^^DR."),
        Identity("person", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        Identity("person", "Big^Ben"),
        Identity("id", "0012345"),
        Identity("day", "19500102"),
        Identity("telephone", "+49 89 1234567"),
    ]
)
FOUND = {
    "Hans Müller": ["Hans Müller"],
    "Müller, Hans": ["Müller, Hans"],
    "H. P. Mueller": ["H. P. Mueller"],
    "Hans-Peter MUELLER": ["Hans-Peter MUELLER"],
    "Mr Müller": ["Müller"],
    "seen: müller today": ["müller"],
    "Ben Big": ["Ben Big"],
    "MUELLER_HANS_19500102 CT": ["MUELLER_HANS", "19500102"],
    "HansMueller": ["HansMueller"],
    "id 12345": ["12345"],
    "012-345": ["012-345"],
    "born 2 Jan 1950, 2/1/50": ["2 Jan 1950", "2/1/50"],
    "02.01.1950": ["02.01.1950"],
    "call 089 1234-567 now": ["089 1234-567"],
    "ヤマダ タロウ": ["ヤマダ タロウ"],
    "ﾔﾏﾀﾞ": ["ﾔﾏﾀﾞ"],
    "山田太郎様": ["山田太郎"],
}
NOT_FOUND = ["Big Bore", "Bigger", "Mulleriana", "12.345 mm", "T2 3mm 12.5 ms", "L4/5", "Series 12", "2024-quality", ""]


@pytest.mark.parametrize(("text", "parts"), FOUND.items(), ids=FOUND)
def test_what_is_known_is_found_however_it_is_written(text: str, parts: list[str]) -> None:
    assert [text[span.start : span.stop] for span in PATIENT.find(text)] == parts


@pytest.mark.parametrize("text", NOT_FOUND)
def test_other_text_stays(text: str) -> None:
    assert PATIENT.find(text) == []


def test_the_token_tells_what_is_known_apart_and_depends_on_nothing_else() -> None:
    one, other = Identity("person", "A^B"), Identity("id", "12345")
    assert known([one, other]) is known([other, one])
    assert len({known([one]).token, known([other]).token, known([one, other]).token, known([]).token}) == 4
    assert not known([])
    assert known([one])
