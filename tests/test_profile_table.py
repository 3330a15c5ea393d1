"""Table E.1-1, row by row: what becomes of each attribute at the top level and in items, under every option.

The table is read here by the test's own few lines, and each action is judged by what it must leave.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from datasets import EXPLICIT, IMPLICIT, Element, Form, Item, encode, part10, rewritten
from profiled import rules
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO

import deid_batch
from deid_batch.profiles.tables import OPTIONS

DATA = Path(deid_batch.__file__).parent / "profiles"
FACTS = Path(__file__).parents[2] / "shared" / "facts" / "table_e1_1.csv"
CT = b"1.2.840.10008.5.1.4.1.1.2\0"
UNKNOWN_CLASS = b"1.2.3.4.5.6.7\0"
OUTER, INNER = 0x00081115, 0x00081199  # Referenced Series Sequence, Referenced SOP Sequence: in no row, so they stay
MARKS = {0x00120062, 0x00120063, 0x00120064, 0x00280303}


class Row(NamedTuple):
    tag: int
    vr: str
    basic: str
    options: dict[str, str]


def rows() -> list[Row]:
    """The rows, `x` being 0 in repeating groups."""
    found = []
    for line in (DATA / "table_e1_1.txt").read_text().splitlines():
        if not line.startswith("#"):
            tag, _, vr, basic, *options = line.split("\t")
            codes = dict(cell.split("=") for cell in "".join(options).split())
            vr = {"-": "UN", "OB or OW": "OW"}.get(vr, vr)
            found.append(Row(int(tag.replace("x", "0"), 16), vr, basic, codes))
    return found


ROWS = rows()
VALUES = {
    "AE": b"RADIOLOGY1", "AS": b"045Y", "CS": b"SECRET", "DA": b"20061012", "DS": b"3.25", "DT": b"20061012131415",
    "IS": b"77", "OB": b"secret", "OW": b"secret", "TM": b"131415", "UI": b"1.2.3.4.5.6.7.8", "UN": b"secret",
    "UR": b"http://secret.org", "US": b"\x07\0",
}  # fmt: skip


def value_of(row: Row) -> bytes | tuple[Item, ...]:
    if row.vr == "SQ":
        return (Item((Element(0x00080100, "SH", b"SECRET"), Element(0x0040A170, "SQ", ()))),)
    value = b"+0100 " if row.tag == 0x00080201 else VALUES.get(row.vr, b"Secret")
    return value + (b"\0" if row.vr == "UI" else b" ") * (len(value) % 2)


def every_attribute(*, is_top: bool) -> list[Element]:
    """Each attribute of the table, once; File Meta Information has no place at the top level."""
    mine = {0x00080018} | ({row.tag for row in ROWS if row.tag >> 16 == 2} if is_top else set())
    return [Element(row.tag, row.vr, value_of(row)) for row in ROWS if row.tag not in mine]


def generated(sop_class: bytes, form: Form) -> bytes:
    """A file that holds every attribute at its top level and two levels deep."""
    deep = sorted(every_attribute(is_top=False), key=lambda element: element.tag)
    inner = Element(INNER, "SQ", (Item(tuple(deep)),))
    outer = Element(OUTER, "SQ", (Item((inner,)),))
    needed = [Element(0x00080016, "UI", sop_class), Element(0x00080018, "UI", b"1.2.3.4.5.6.7.8\0"), outer]
    found = {element.tag: element for element in [*every_attribute(is_top=True), *needed]}
    body = encode([found[tag] for tag in sorted(found)], form)
    return part10(body, {EXPLICIT: "1.2.840.10008.1.2.1", IMPLICIT: "1.2.840.10008.1.2"}[form])


def result(options: tuple[str, ...], sop_class: bytes = UNKNOWN_CLASS, form: Form = EXPLICIT) -> Dataset:
    return dcmread(DicomBytesIO(rewritten(generated(sop_class, form), rules(*options))[0]))


def code_of(row: Row, options: tuple[str, ...]) -> str:
    """The code that the table gives, one that cleans before one that keeps."""
    said = [code for option, code in row.options.items() if option in options]
    return min(said, default=row.basic)  # C < K


WITHOUT_IOD = {"Z/D": "D", "X/D": "D", "X/Z/D": "D", "X/Z": "Z", "X/Z/U*": "K"}
"""What a code comes to where no IOD is known: more neutral elements than needed, none that an IOD misses."""
GO_WITH_THEIR_MODULE = {0x00700001, 0x0040B020}  # Graphic Annotation Sequence, Waveform Annotation Sequence


def judged(row: Row, code: str, element: DataElement | None) -> str:
    """What is wrong with what became of an attribute; "" if nothing is."""
    letter = WITHOUT_IOD.get(code, code)
    if row.vr == "UI" and letter == "D":
        letter = "U"
    if letter == "X" or (letter == "D" and row.tag in GO_WITH_THEIR_MODULE):
        return "" if element is None else "is there"
    if element is None:
        return "is gone"
    before = value_of(row)
    after = raw(element)
    if letter == "K":
        return "" if after == before or row.vr == "SQ" else "changed"
    if letter == "C":
        return cleaned(row, element)
    if letter == "U":
        return "" if after.startswith(b"2.25.") else "is no new UID"
    if row.vr == "SQ":
        return neutral_sequence(element, letter)
    if before == after or (letter == "D" and not after):
        return "keeps its value" if after else "is empty"
    return "" if b"ecret" not in after and b"SECRET" not in after else "keeps a part"


def raw(element: DataElement) -> bytes:
    """The value as bytes."""
    if isinstance(element.value, bytes) or element.VR == "SQ":
        return element.value if isinstance(element.value, bytes) else b""
    if element.VR == "US":
        return int(element.value).to_bytes(2, "little")
    text = str(element.value if element.value is not None else "")
    return text.encode() + (b"\0" if element.VR == "UI" else b" ") * (len(text) % 2)


def cleaned(row: Row, element: DataElement) -> str:
    after = raw(element)
    if row.vr == "SQ":
        return ""
    if row.vr == "TM" or row.tag == 0x00080201:  # times of day stay: only days move
        return "" if after == value_of(row) else "a time changed"
    if row.vr in ("DA", "DT"):
        moved = date.fromisoformat(after.decode()[:8]) - date(2006, 10, 12)
        return "" if moved and abs(moved) <= timedelta(50) and after[8:] == value_of(row)[8:] else "is not shifted"
    return "" if after != value_of(row) and after.strip() else "is not cleaned"


def neutral_sequence(element: DataElement, letter: str) -> str:
    if letter == "Z":
        return "" if not element.value else "has items"
    codes = {item.get("CodeValue") for item in element.value}
    return "" if element.value else f"has no items {codes}"


EXCEPTIONS = {
    # clean_graphics: overlays and curves can't be cleaned without seeing them, so they go
    0x50000000: {"clean_graphics": "X"}, 0x60003000: {"clean_graphics": "X"}, 0x60004000: {"clean_graphics": "X"},
}  # fmt: skip


def wrong(options: tuple[str, ...], form: Form = EXPLICIT) -> Iterator[str]:
    output = result(options, form=form)
    deep = output[OUTER].value[0][INNER].value[0]
    for row in ROWS:
        code = code_of(row, options)
        if code == "C":
            by = next(option for option in options if row.options.get(option) == "C")
            code = EXCEPTIONS.get(row.tag, {}).get(by, code)
            if row.vr == "OB":
                code = "X"
            if row.tag == 0x04000565:  # Reason for the Attribute Modification: a defined term
                code = "D"
        for name, dataset in (("top", output), ("deep", deep)):
            if (name == "top" and row.tag >> 16 == 2) or row.tag == 0x00080018:
                continue
            its_code = "X" if row.tag >> 16 in (0, 2, 4) else code
            fault = judged(row, its_code, dataset.get(row.tag))
            if fault:
                yield f"{row.tag:08X} {row.vr} {its_code} {name}: {fault}"


OFFERED = list(OPTIONS)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_every_attribute_under_the_basic_profile(form: Form) -> None:
    assert list(wrong((), form)) == []


@pytest.mark.parametrize("option", OFFERED)
def test_every_attribute_under_each_option(option: str) -> None:
    assert list(wrong((option,))) == []


def test_every_attribute_where_options_conflict() -> None:
    assert list(wrong(("retain_device_identity", "retain_long_modified_dates"))) == []


def test_the_table_is_that_of_the_facts() -> None:
    if not FACTS.exists():
        pytest.skip("the facts are not here")
    facts = list(csv.DictReader(FACTS.open()))
    named = [row for row in facts if row["tag"] != "private"]
    assert len(facts) == 657
    assert [(row["tag"].replace("x", "0"), row["basic"]) for row in named] == [
        (f"{row.tag:08X}", row.basic) for row in ROWS
    ]
    assert [{option: row[option] for option in OPTIONS if row[option]} for row in named] == [
        row.options for row in ROWS
    ]


IOD_CASES = {
    # attribute: what an image of CT Image Storage keeps of it, by its Type there
    "Type 3 with X/D: Series Date": (0x00080021, "X"),
    "Type 2 with Z/D: Content Date": (0x00080023, "Z"),
    "Type 3 with X/Z/D: Institution Name": (0x00080080, "X"),
    "Type 3 with X/Z: Acquisition Date": (0x00080022, "X"),
    "Type 2 with X/Z: Patient's Sex Neutered": (0x00102203, "Z"),
    "Type 3 with X/Z/U*: Referenced Image Sequence": (0x00081140, "X"),
    "Type 2C with X: Responsible Person": (0x00102297, "Z"),
}


@pytest.mark.parametrize("case", IOD_CASES)
def test_a_compound_code_follows_the_type_in_the_iod(case: str) -> None:
    tag, letter = IOD_CASES[case]
    row = next(row for row in ROWS if row.tag == tag)
    output = result((), CT)
    assert judged(row, letter, output.get(tag)) == ""
    in_an_item = output[OUTER].value[0][INNER].value[0].get(tag)
    assert judged(row, "X" if row.basic == "X" else WITHOUT_IOD[row.basic], in_an_item) == ""


def test_attributes_in_no_table_stay() -> None:
    kept = Element(0x00080060, "CS", b"CT"), Element(0x00280010, "US", 128), Element(0x00080005, "CS", b"ISO_IR 100")
    body = encode(sorted([*kept, Element(0x00080016, "UI", CT), Element(0x00080018, "UI", b"1.2.3\0")]))
    output = dcmread(DicomBytesIO(rewritten(part10(body), rules())[0]))
    assert {int(element.tag) for element in output} - MARKS == {element.tag for element in kept} | {
        0x00080016, 0x00080018,
    }  # fmt: skip
    assert (output.Modality, output.Rows) == ("CT", 128)
