"""clean: what identifies goes, and what does not stays as it is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deid_batch.errors import BadValue
from deid_batch.known import Identity, known
from deid_batch.known.folding import _Folding, fold, letters_of
from deid_batch.methods import Element, Instance
from deid_batch.methods.clean import Clean
from deid_batch.methods.dateshift import DateShift
from deid_batch.methods.refreshuid import new_uid
from deid_batch.values import written

MUELLER = known(
    [
        Identity("person", "MÜLLER^HANS^PETER^^DR."),
        Identity("id", "00123456"),
        Identity("day", "19500102"),
        Identity("place", "Klinikum Waldesruh"),
        Identity("place", "Radiology"),
        Identity("address", "Ahornallee 5, 80331 Musterstadt"),
        Identity("email", "h.mueller@example.org"),
    ]
)
INSTANCE = Instance("1.2", "1.2.3", "1.2.4", "1.2.5", "\x004711", known=MUELLER)
LATIN = b"ISO_IR 100"
PLAIN = Clean(key=b"k")


def cleaned(text: str, vr: str = "LT", charset: bytes = b"ISO_IR 192", method: Clean = PLAIN) -> str:
    encoded = text.encode({b"ISO_IR 192": "utf-8", LATIN: "latin-1"}[charset])
    change = method.apply(encoded, Element(0x00081030, vr, INSTANCE, charset=charset))
    assert change.value is not None
    return change.value.decode({b"ISO_IR 192": "utf-8", LATIN: "latin-1"}[charset]).rstrip()


GOES = {
    "CT Thorax Hans Müller": "CT Thorax [DEID]",
    "MUELLER, H. P.: control": "[DEID]: control",
    "Müllers Knie": "[DEID] Knie",
    "Pat. 123456 seen": "Pat. [DEID] seen",
    "ID 0012-3456": "ID [DEID]",
    "born 2.1.1950": "born [DEID]",
    "from Klinikum Waldesruh": "from [DEID]",
    "lives in Musterstadt": "lives in [DEID]",
    "Dr. Smith, T2w": "Dr. [DEID], T2w",
    "PT: Doe John": "PT: [DEID]",
    "tel +49 89 7654321 ok": "tel [DEID] ok",
    "see https://pacs.example.org/x?id=4": "see [DEID]",
    "mail a.b@example.com": "mail [DEID]",
    "seen 12.03.2024": "seen [DEID]",
    "92 y old, 45 y": "90+ y old, 45 y",
    "aged 092Y": "aged 090Y",
    "SSN 123-45-6789": "SSN [DEID]",
    "12 Oak Street": "[DEID]",
}
STAYS = [
    "T2 3mm 12.5 ms", "1.5T", "L4/5", "Series 12", "2024-quality", "Radiology", "Big Bore", "TE 12 TR 3000 FA 90",
    "MR Brain w/o contrast", "DR Chest PA", "PT CT Head", "kV 120 mAs 250", "512x512", "12:30:00", "syngo v3.1.12",
    "Mulleriana", "via femoral artery 4", "slices 1/2/3", "1.2.840.10008.5.1.4.1.1.2", "Atemweg 3", "b=1000 s/mm2",
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), GOES.items(), ids=GOES)
def test_what_identifies_goes(before: str, after: str) -> None:
    assert cleaned(before) == after
    assert cleaned(after) == after


@pytest.mark.parametrize("text", STAYS)
def test_what_does_not_stays(text: str) -> None:
    assert cleaned(text) == text


SHIFT = DateShift(date_shift_scope="Patient", date_shift_range=1, reference_date=date(2026, 1, 1), key=b"k")
MOVED = SHIFT.days_of(INSTANCE)
DATES = {
    "seen 2024-03-12": ("seen 2024-03-11", "seen 2024-03-13"),
    "seen 12.03.2024 08:15": ("seen 11.03.2024 08:15", "seen 13.03.2024 08:15"),
    "20240312": ("20240311", "20240313"),
    "Mar 12, 2024": ("Mar 11, 2024", "Mar 13, 2024"),
    "12 MARCH 2024": ("11 MARCH 2024", "13 MARCH 2024"),
    "31. März 2024": ("30. März 2024", "1. April 2024"),
    "1er mars 2024": ("29 février 2024", "2 mars 2024"),
    "3/12/24": ("3/11/24", "3/13/24"),
    "2 de enero de 2024": ("1 de enero de 2024", "3 de enero de 2024"),
}


@pytest.mark.parametrize("text", DATES)
def test_dates_move_in_the_form_they_are_written_in(text: str) -> None:
    assert cleaned(text, method=Clean(key=b"k", shift=SHIFT)) == DATES[text][MOVED > 0]


def test_birth_dates_and_days_that_give_away_a_great_age_do_not_move_but_go() -> None:
    moving = Clean(key=b"k", shift=SHIFT)
    assert cleaned("born 02.01.1950, first seen 1.1.1930", method=moving) == "born [DEID], first seen [DEID]"
    assert cleaned("Mutter geb. am 3.4.1985, DOB: 3/4/85", method=moving) == "Mutter geb. am [DEID], DOB: [DEID]"


def test_uids_become_those_that_refresh_uid_makes() -> None:
    uid = "1.2.276.0.7230010.3.1.4.8323329"
    assert cleaned(f"see {uid}.") == f"see {new_uid(b'k', uid)}."
    assert cleaned(f"see {uid}.", method=Clean(key=b"k", clean_patterns=("dates",))) == f"see {uid}."


def test_a_name_keeps_its_structure_and_values_their_number() -> None:
    assert cleaned("MÜLLER^HANS=x\\Meier^Eva", "PN") == "[DEID]^[DEID]=x\\Meier^Eva"
    assert cleaned("Müller\\\\T2w", "LO") == "[DEID]\\\\T2w"


def test_what_gets_too_long_for_its_vr_gets_shorter_tokens() -> None:
    assert cleaned("Hans ABCDEFGHIJK", "SH") == "* ABCDEFGHIJK"
    uid = "1.2.276.0.7230010.3.1.4.8323329"
    assert cleaned(f"{uid} " + "x" * 30, "LO") == "* " + "x" * 30


def test_the_whole_value_goes_if_asked() -> None:
    whole = Clean(key=b"k", clean_whole=True)
    assert cleaned("CT Müller\\T2w", "LO", method=whole) == "\\T2w"
    assert cleaned("92 y", method=whole) == "92 y".replace("92", "90+")


def test_what_is_no_text_is_erased_or_fails() -> None:
    element = Element(0x00081030, "LO", INSTANCE, charset=b"ISO_IR 192")
    change = Clean().apply(b"M\xfcller", element)
    assert change == (b"", 1)
    with pytest.raises(BadValue):
        replace(Clean(), on_error="fail").apply(b"M\xfcller", element)


def test_results_for_one_patient_are_not_remembered_for_another() -> None:
    other = replace(INSTANCE, known=known([Identity("person", "Meier^Eva")]))
    assert Clean().cache_token(INSTANCE) != Clean().cache_token(other)
    moving = Clean(shift=SHIFT)
    assert moving.cache_token(INSTANCE) != moving.cache_token(replace(INSTANCE, patient="\x004712"))


LETTERS = st.sampled_from("hHaAnNsSmMüÜuUeElLrRpP 0123456.,-_^/\n山田ä́ﾔ@:")


@settings(max_examples=300, deadline=None)
@given(st.text(LETTERS, max_size=80))
def test_nothing_known_is_left_whatever_the_text(text: str) -> None:
    spans = MUELLER.find(text)
    assert all(0 <= span.start < span.stop <= len(text) for span in spans)
    assert all(first.stop <= second.start for first, second in pairwise(spans))
    text = text.replace("\n", " ")
    after = cleaned(text)
    assert MUELLER.find(after) == []
    assert cleaned(after) == after


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_folding_maps_back_to_the_text(text: str) -> None:
    folded = fold(text)
    assert len(folded.letters) == len(folded.starts) == len(folded.stops) == len(folded.begins) == len(folded.ends)
    assert folded.starts == sorted(folded.starts)
    assert all(0 <= start < stop <= len(text) for start, stop in zip(folded.starts, folded.stops, strict=True))
    assert not folded.letters or (folded.begins[0] and folded.ends[-1])
    assert letters_of(text) == folded.letters


@settings(max_examples=300, deadline=None)
@given(st.text("aeouAEOUxyZ19 -.'^\näßé\u0301山", max_size=20))
def test_text_is_folded_the_same_part_by_part_and_as_a_whole(text: str) -> None:
    whole = _Folding()
    whole.add(text, 0)
    assert fold(text) == whole.folded()
    assert letters_of(text) == whole.folded().letters


DATE_PARTS = "12|3|2024|04|1.|-|/|.|, |jan|March|mär|Dez|dıc|août|st|of |de |19991231|_|May|x| ".split("|")


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(DATE_PARTS), max_size=9).map("".join))
def test_no_date_is_overlooked(text: str) -> None:
    found, all_of_them = ([it[:3] for it in dates] for dates in (written.find_dates(text), written._dates_in(text)))
    assert found == all_of_them
