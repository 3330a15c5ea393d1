"""Known identity: what is found in text, and what stays."""

from __future__ import annotations

import time

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


WRITTEN = {
    # what is said of a patient, and texts in which it stands
    "Иванов^Пётр": ["пациент ИВАНОВ Петр", "Иванов П."],
    "Παπαδόπουλος^Γιώργος": ["ΠΑΠΑΔΟΠΟΥΛΟΣ, Γιωργος"],
    "محمد^أحمد": ["المريض احمد محمد"],
    "כהן^דוד": ["דוד כהן"],
    "สมชาย^ใจดี": ["คุณสมชายใจดี"],
    "Hong^Gildong=洪^吉洞=홍^길동": ["환자 홍길동님", "洪吉洞さん", "Hong Gil-dong"],
    "Yamada^Tarou=山田^太郎=やまだ^たろう": ["ﾔﾏﾀﾞ ﾀﾛｳ", "患者山田太郎様", "ＹＡＭＡＤＡ"],
    "Wang^XiaoDong=王^小东": ["王小东", "王小東"[:2] + "东"],
    "Łukasiewicz^Jan": ["lukasiewicz"],
    "Sørensen^Åse": ["SOERENSEN Ase"],
    "Groß^Jürgen": ["GROSS, Juergen"],
    "van der Berg^Anna-Maria": ["Anna Maria van der Berg", "Annamaria", "VanDerBerg"],
    "O'Neill^Siobhán": ["ONEILL", "O Neill, Siobhan"],
    "MacDonald^Fiona": ["Mac Donald"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRITTEN.items() for text in texts])
def test_names_are_found_in_every_script(name: str, text: str) -> None:
    assert known([Identity("person", name)]).find(text)


WHOLE = {
    # what is said of a patient, a text, and all of it that tells
    "MÜLLER^HANS": [
        ("Müllers Knie", ["Müllers"]),
        ("muellers", ["muellers"]),
        ("MULLERSS", []),
        ("Müller s. Bericht", ["Müller"]),
    ],
    "Long^Eve": [("Longs axis", []), ("Long scan", []), ("E. Long", ["E. Long"]), ("L. Long", []), ("E Long axis", [])],
    "Smith^Betty^T": [("Betty: t1_tse_cor", ["Betty"]), ("Betty T, T2", ["Betty T"])],
    "Lee^Jo": [("J. Lee", ["J. Lee"]), ("Lee J.", ["Lee J."]), ("Lee method", [])],
    "O'Brien^Mary": [("O Brien, Mary", ["O Brien, Mary"]), ("O'BRIEN", ["O'BRIEN"]), ("no brie", [])],
}


@pytest.mark.parametrize(("name", "text", "parts"), [(name, *it) for name, texts in WHOLE.items() for it in texts])
def test_all_of_a_name_is_found_and_nothing_else(name: str, text: str, parts: list[str]) -> None:
    assert [text[span.start : span.stop] for span in known([Identity("person", name)]).find(text)] == parts


OTHERS = {
    ("id", "0012-345"): (["12345", "0012345", "PID 12 345"], ["123456", "112345", "0.12345"]),
    ("id", "AB-0123"): (["ab123", "AB 0123"], ["0123", "AB1234"]),
    ("id", "1"): ([], ["1", "Series 1", "ID 1"]),
    ("id", "4711"): (["4711", "ID 4711", "MRN: 4711"], ["TR 4711", "4711 ms"]),
    ("day", "19500102"): (
        ["2.1.50", "January 2nd, 1950", "2 janvier 1950", "1950-01-02", "01/02/1950"],
        ["1950", "2.1.51"],
    ),
    ("place", "Radiology"): ([], ["Radiology", "interventional radiology"]),
    ("place", "Nuclear Medicine"): ([], ["Nuclear Medicine"]),
    ("place", "St. Elswhere Hospital"): (["St Elswhere Hospital", "ST-ELSWHERE HOSPITAL"], ["hospital"]),
    ("place", "CT01"): ([], ["CT 01"]),
    ("address", "Hauptstr. 12, 80331 Musterstadt"): (
        ["Hauptstraße 12", "hauptstrasse 12", "80331 Musterstadt"],
        ["12"],
    ),
    ("telephone", "+49 (89) 1234567"): (["089/1234567", "0049 89 123 45 67", "1234-567"], ["12345678", "234567"]),
    ("email", "h.mueller@x.org"): (["H.Mueller@X.org"], ["x.org"]),
    ("other", "Project Blue"): (["PROJECT-BLUE", "project blue"], ["project", "blue"]),
    ("person", "Head^May"): (["May Head", "Mr. Head", "Head", "PT: May"], ["Head CT", "in May", "head and neck"]),
    ("person", "Li^An"): (["Li, An", "Frau Li", "Li"], ["An MR", "Li-Ion"]),
    ("person", "de la Cruz^Ana"): (["Ana de la Cruz", "Cruz"], ["imagen de la columna"]),
}


@pytest.mark.parametrize("said", OTHERS, ids=[f"{kind} {text}" for kind, text in OTHERS])
def test_each_kind_is_found_in_its_forms_and_nothing_else_is(said: tuple[str, str]) -> None:
    made = known([Identity(*said)])  # type: ignore[arg-type]
    found, other = OTHERS[said]
    assert [text for text in found if not made.find(text)] == []
    assert [text for text in other if made.find(text)] == []


def test_common_words_are_taken_everywhere_if_asked() -> None:
    assert known([Identity("person", "Big^Ben")], always=True).find("Big Bore")


@pytest.mark.parametrize("unit", ["a", "an ", "1 ", "1.", "Müller ", "山", "@", "Hauptstr. 1 ", "19500102 "])
def test_time_is_linear_in_the_length_of_the_text(unit: str) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        PATIENT.find((unit * size)[:size])
        return time.process_time() - began

    seconds(1000)
    assert seconds(160_000) < 40 * seconds(20_000) + 0.5
