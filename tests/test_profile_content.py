"""Structured content: replaced as a whole, or judged item by item by Table E.3.4-1. (PS3.15 E.3.3, E.3.4)"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from datasets import EXPLICIT, IMPLICIT, Element, Form, Item, sequence
from profiled import instance, output, rules, texts
from pydicom import Dataset
from typer.testing import CliRunner

import deid_batch
from deid_batch.cli import app
from deid_batch.preview import changes_of

COMPREHENSIVE_SR = b"1.2.840.10008.5.1.4.1.1.88.33"
CLEAN = "clean_structured_content"
SEQUENCES = {"Content": 0x0040A730, "Acquisition Context": 0x00400555, "Waveform Annotation": 0x0040B020}


class Row(NamedTuple):
    code: str
    scheme: str
    value_type: str
    basic: str
    options: dict[str, str]


def rows() -> list[Row]:
    path = Path(deid_batch.__file__).parent / "profiles" / "sr_content_items.txt"
    found = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            code, scheme, value_type, _, basic, *options = line.split("\t")
            found.append(Row(code, scheme, value_type, basic, dict(c.split("=") for c in "".join(options).split())))
    return found


ROWS = rows()
VALUE = {
    "TEXT": (0x0040A160, "UT", "Jane Doe"), "PNAME": (0x0040A123, "PN", "Doe^Jane"),
    "DATE": (0x0040A121, "DA", "20061012"), "TIME": (0x0040A122, "TM", "131415"),
    "DATETIME": (0x0040A120, "DT", "20061012131415"), "UIDREF": (0x0040A124, "UI", "1.2.3.4.5"),
}  # fmt: skip


def item(value_type: str, code: str = "1", scheme: str = "99X", *more: Element) -> tuple[Element, ...]:
    """A content item with a value that tells."""
    concept = sequence(0x0040A043, tuple(texts((0x00080100, "SH", code), (0x00080102, "SH", scheme))))
    if len(code) > 16:
        concept = sequence(0x0040A043, tuple(texts((0x00080102, "SH", scheme), (0x00080119, "UC", code))))
    elements = [*texts((0x0040A010, "CS", "CONTAINS"), (0x0040A040, "CS", value_type)), concept, *more]
    if value_type in VALUE:
        elements += texts(VALUE[value_type])
    if value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        elements.append(sequence(0x00081199, tuple(texts((0x00081155, "UI", "1.2.3.4.5")))))
    return tuple(sorted(elements, key=lambda element: element.tag))


def report(*items: tuple[Element, ...], tag: int = SEQUENCES["Content"], form: Form = EXPLICIT, **how: bool) -> bytes:
    patient = Element(0x00100020, "LO", b"4711")
    return instance(patient, sequence(tag, *items, **how), sop_class=COMPREHENSIVE_SR, form=form)


def value_of(made: Dataset) -> str:
    """A content item's value as text."""
    found = [str(made[tag].value) for tag, _, _ in VALUE.values() if tag in made]
    if "ReferencedSOPSequence" in made:
        found.append(str(made.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
    return "".join(found)


def fault(row: Row, options: tuple[str, ...]) -> str:
    """What is wrong with what became of an item of this row."""
    made = output(report(item(row.value_type, row.code, row.scheme), item("CONTAINER")), rules(CLEAN, *options))
    first, *rest = made.ContentSequence
    said = {code for option, code in row.options.items() if option in options}
    letter = min(said, default="X" if row.basic == "X" else "D")
    if letter == "X":
        return "" if not rest else "it is there"
    if not rest:
        return "it is gone"
    before = "1.2.3.4.5" if row.value_type in ("UIDREF", "IMAGE", "COMPOSITE", "WAVEFORM") else VALUE[row.value_type][2]
    after = value_of(first)
    if letter == "K" or (row.value_type == "TIME" and letter == "C"):
        return "" if after == before else "its value changed"
    return "" if after and after != before and "Doe" not in after else "its value stays"


OPTIONS = sorted({option for row in ROWS for option in row.options} - {"clean_descriptors"})


@pytest.mark.parametrize("option", ["", *OPTIONS])
def test_every_content_item_of_the_table(option: str) -> None:
    assert len(ROWS) == 214
    options = (option,) if option else ()
    rated = [row for row in ROWS if row.value_type in VALUE or row.value_type in ("IMAGE", "COMPOSITE", "WAVEFORM")]
    assert len(rated) == 210  # the others are containers, codes and numbers, of which some are X
    assert [f"{row}: {fault(row, options)}" for row in rated if fault(row, options)] == []


def test_descriptions_are_cleaned_where_the_table_says_so() -> None:
    row = next(row for row in ROWS if row.options.get("clean_descriptors") == "C")
    items = [item("TEXT", row.code, row.scheme), item("PNAME"), item("TEXT")]  # a name anywhere makes it known
    made = output(report(*items), rules(CLEAN, "clean_descriptors")).ContentSequence
    assert [value_of(it) for it in made] == ["[DEID]", "ANONYMIZED", "ANONYMIZED"]


UNLISTED = {"TEXT": "ANONYMIZED", "PNAME": "ANONYMIZED", "DATE": "19000101"}


@pytest.mark.parametrize("value_type", UNLISTED)
def test_an_item_in_no_row_stays_and_says_nothing(value_type: str) -> None:
    made = output(report(item(value_type)), rules(CLEAN))
    assert value_of(made.ContentSequence[0]) == UNLISTED[value_type]


def test_codes_numbers_and_containers_stay() -> None:
    code = sequence(0x0040A168, tuple(texts((0x00080100, "SH", "R-102B6"))))
    number = sequence(0x0040A300, tuple(texts((0x0040A30A, "DS", "3.25"))))
    items = [item("CODE", "1", "99X", code), item("NUM", "1", "99X", number), item("CONTAINER")]
    made = output(report(*items), rules(CLEAN)).ContentSequence
    assert made[0].ConceptCodeSequence[0].CodeValue == "R-102B6"
    assert made[1].MeasuredValueSequence[0].NumericValue == 3.25
    assert len(made) == 3


GONE, TEXT = item("TEXT", "121022", "DCM"), item("TEXT")  # Accession Number: X


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_items_go_at_any_depth_and_in_any_form(form: Form, is_undefined: bool) -> None:
    inner = Element(SEQUENCES["Content"], "SQ", (Item(GONE, is_undefined), Item(TEXT, is_undefined)), is_undefined)
    outer = item("CONTAINER", "1", "99X", inner)
    made = output(report(GONE, outer, GONE, form=form, is_undefined=is_undefined), rules(CLEAN))
    (kept,) = made.ContentSequence
    assert [value_of(it) for it in kept.ContentSequence] == ["ANONYMIZED"]


def test_preview_shows_the_items_that_go(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text('{"profile": "basic", "options": ["clean_structured_content"]}')
    (tmp_path / "report.dcm").write_bytes(report(GONE, TEXT))
    changes, _, _ = changes_of(str(tmp_path / "report.dcm"), str(tmp_path / "cfg.json"))
    assert [(it.tag, it.place) for it in changes if it.tag == 0xFFFEE000] == [
        (0xFFFEE000, ((), SEQUENCES["Content"], 0)),
    ]  # fmt: skip
    said = CliRunner().invoke(app, ["preview", str(tmp_path / "report.dcm"), "-c", str(tmp_path / "cfg.json")]).stdout
    assert "(0040,A730)[1] / (FFFE,E000)" in said.replace("\n", "")
    assert "Doe" not in said


def test_what_lies_in_an_item_that_goes_goes_with_it() -> None:
    inside = item("TEXT", "121022", "DCM", sequence(SEQUENCES["Content"], TEXT))
    assert "ContentSequence" not in output(report(inside), rules(CLEAN))


EMPTIED = {"Content": False, "Waveform Annotation": False, "Acquisition Context": True}


@pytest.mark.parametrize("name", EMPTIED)
def test_a_sequence_without_items_left_goes_unless_it_may_be_empty(name: str) -> None:
    made = output(report(GONE, tag=SEQUENCES[name]), rules(CLEAN))
    assert (SEQUENCES[name] in made) == EMPTIED[name]


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_sequence_of_content_items_is_judged(name: str) -> None:
    made = output(report(GONE, TEXT, tag=SEQUENCES[name]), rules(CLEAN))
    assert [value_of(it) for it in made[SEQUENCES[name]].value] == ["ANONYMIZED"]


def test_the_steps_of_a_specimens_preparation_are_judged() -> None:
    step = (sequence(0x00400612, GONE, TEXT),)
    made = output(report(step, tag=0x00400610), rules(CLEAN))
    (kept,) = made.SpecimenPreparationSequence
    assert [value_of(it) for it in kept.SpecimenPreparationStepContentItemSequence] == ["ANONYMIZED"]


def test_a_long_code_value_is_a_code_value() -> None:
    assert value_of(output(report(item("TEXT", "1" * 20)), rules(CLEAN)).ContentSequence[0]) == "ANONYMIZED"


def test_modified_dates_move_the_dates_of_items() -> None:
    made = output(report(item("DATE"), item("DATETIME")), rules(CLEAN, "retain_long_modified_dates"))
    day, moment = made.ContentSequence
    assert day.Date != "20061012"
    assert moment.DateTime == f"{day.Date}131415"


def test_text_of_content_items_elsewhere_is_replaced_too() -> None:
    made = output(report(TEXT, tag=0x00400440))  # Protocol Context Sequence
    assert value_of(made.ProtocolContextSequence[0]) == "ANONYMIZED"


# ---- without the option ----


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_without_the_option_the_tree_becomes_the_least_there_can_be(form: Form) -> None:
    (made,) = output(report(item("PNAME"), item("CONTAINER"), TEXT, form=form)).ContentSequence
    assert (made.ValueType, made.RelationshipType, made.TextValue) == ("TEXT", "CONTAINS", "ANONYMIZED")
    assert made.ConceptNameCodeSequence[0].CodeValue == "121106"
    assert len(made) == 4


def test_persons_become_one_code() -> None:
    persons = sequence(0x00401101, *[tuple(texts((0x00080100, "SH", code))) for code in ("4711", "4712")])
    (made,) = output(instance(persons)).PersonIdentificationCodeSequence
    assert (made.CodeValue, made.CodingSchemeDesignator) == ("ANON", "99ANON")


GRAPHICS = (
    sequence(0x00700008, tuple(texts((0x00700006, "ST", "Jane Doe")))),
    sequence(0x00700009, tuple(texts((0x00700023, "CS", "POLYLINE")))),
)


def test_graphics_go_or_are_left_without_text() -> None:
    drawn = instance(sequence(0x00700001, GRAPHICS), Element(0x60000010, "US", 5))
    assert 0x00700001 not in output(drawn)
    made = output(drawn, rules("clean_graphics"))
    assert made.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue == "ANONYMIZED"
    assert made.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicType == "POLYLINE"
    assert 0x60000010 not in made
