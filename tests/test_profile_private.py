"""Safe private attributes stay on request, exactly those; all others go, at every depth. (PS3.15 E.3.10)"""

from __future__ import annotations

import pytest
from datasets import EXPLICIT, IMPLICIT, Element, Form, sequence
from profiled import instance, output, rules
from pydicom import Dataset

from deid_batch.dictionary import vr_of
from deid_batch.profiles.tables import SafePrivate, safe_private

SAFE = rules("retain_safe_private")
BYTES = {"DS": b"3.25", "IS": b"77", "CS": b"ON", "LO": b"Text", "SH": b"Text", "LT": b"Text", "ST": b"Text"}
ROW = safe_private()[0x7053, "Philips PET Private Group", 0x00]


def element_of(row: SafePrivate, block: int = 0x10, vr: str = "", form: Form = EXPLICIT) -> Element:
    vr = vr or row.vr.partition("/")[0] or "LO"
    tag = row.group << 16 | block << 8 | row.element
    if form == IMPLICIT and (known := vr_of(tag, row.creator)) != "UN":
        vr = known  # pydicom's dictionary, which readers of implicit VR go by, and the table disagree on three
    if vr == "SQ":
        return sequence(tag, (Element(0x00080060, "CS", b"CT"), Element(0x00100010, "PN", b"Doe^Jane")))
    return Element(tag, vr, b"1.2.3.4\0" if vr == "UI" else BYTES.get(vr, b"\1\0\0\0\0\0\0\0"))


def creator_of(row: SafePrivate, block: int = 0x10) -> Element:
    name = row.creator.encode()
    return Element(row.group << 16 | block, "LO", name + b" " * (len(name) % 2))


def lost(form: Form) -> list[str]:
    """Safe private attributes of which something is wrong, each in a file of its own and in an item."""
    found = []
    for row in safe_private().values():
        pair = creator_of(row), element_of(row, form=form)
        made = output(instance(*pair, sequence(0x00081115, pair), form=form), SAFE)
        for dataset in (made, made.ReferencedSeriesSequence[0]):
            if pair[0].tag not in dataset or pair[1].tag not in dataset:
                found.append(f"{row} is gone")
            elif pair[1].vr == "SQ":
                if "Doe^Jane" in str(dataset[pair[1].tag].value):
                    found.append(f"{row} was not looked into")
            elif pair[1].vr == "UI" and "1.2.3.4" in str(dataset[pair[1].tag].value):
                found.append(f"{row} leads to another instance")
    return found


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_every_safe_private_attribute_stays_and_sequences_are_looked_into(form: Form) -> None:
    assert len(safe_private()) == 479
    assert lost(form) == []


def test_without_the_option_none_stays() -> None:
    for row in safe_private().values():
        made = output(instance(creator_of(row), element_of(row)))
        assert not [element for element in made if element.tag.is_private], row


def private_of(*elements: Element) -> Dataset:
    return Dataset({element.tag: element for element in output(instance(*elements), SAFE) if element.tag.is_private})


STAYS = {
    "in another block": (creator_of(ROW, 0x42), element_of(ROW, 0x42)),
    "beside others": (creator_of(ROW), element_of(ROW), Element(0x70530011, "LO", b"ACME"),
                      Element(0x70531101, "LO", b"Doe Jane")),
}  # fmt: skip
GOES = {
    "another creator": (Element(0x70530010, "LO", b"ACME"), element_of(ROW)),
    "a creator in other letters": (Element(0x70530010, "LO", b"PHILIPS PET PRIVATE GROUP "), element_of(ROW)),
    "no creator": (element_of(ROW),),
    "the creator of another block": (creator_of(ROW, 0x11), element_of(ROW)),
    "another VR": (creator_of(ROW), element_of(ROW, vr="LO")),
    "a creator alone": (creator_of(ROW),),
    "another element of the creator": (creator_of(ROW), Element(0x705310EE, "DS", b"3.25")),
    "another group": (Element(0x70510010, "LO", b"Philips PET Private Group "), Element(0x70511000, "DS", b"3.25")),
}


@pytest.mark.parametrize("case", STAYS)
def test_a_safe_one_stays_with_its_creator(case: str) -> None:
    creator, element = STAYS[case][:2]
    assert set(private_of(*STAYS[case]).keys()) == {creator.tag, element.tag}


@pytest.mark.parametrize("case", GOES)
def test_one_that_is_not_exactly_listed_goes_with_its_creator(case: str) -> None:
    assert len(private_of(*GOES[case])) == 0


def test_a_creator_is_not_inherited_by_items() -> None:
    made = output(instance(creator_of(ROW), element_of(ROW), sequence(0x00081115, (element_of(ROW),))), SAFE)
    assert len(made.ReferencedSeriesSequence[0]) == 0


# ---- declared by the file itself ----

ACME = Element(0x00090010, "LO", b"ACME"), Element(0x00091001, "LO", b"Safe"), Element(0x00091002, "LO", b"Also")


def declaring(status: bytes, elements: bytes = b"", form: Form = EXPLICIT) -> bytes:
    item = [
        Element(0x00080301, "US", 0x0009), Element(0x00080302, "LO", b"ACME"), Element(0x00080303, "CS", status),
        *([Element(0x00080304, "US", elements)] if elements else []),
    ]  # fmt: skip
    return instance(*ACME, sequence(0x00080300, tuple(item)), form=form)


TRUSTED = rules("retain_safe_private", trusts_declared=True)
DECLARED = {
    "the block is safe": (b"SAFE", b"", {0x00091001, 0x00091002}),
    "one element is safe": (b"MIXED ", b"\2\0", {0x00091002}),
    "the block is unsafe": (b"UNSAFE", b"", set()),
}


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
@pytest.mark.parametrize("case", DECLARED)
def test_what_a_file_declares_safe_stays_on_request(case: str, form: Form) -> None:
    status, elements, kept = DECLARED[case]
    made = output(declaring(status, elements, form), TRUSTED)
    assert {element.tag for element in made if element.tag.is_private and element.tag.element > 0xFF} == kept


def test_a_files_own_word_is_not_taken_otherwise() -> None:
    made = output(declaring(b"SAFE"), SAFE)
    assert not [element for element in made if element.tag.is_private]


def test_what_one_file_declares_is_not_taken_for_the_next() -> None:
    output(declaring(b"SAFE"), TRUSTED)
    assert not [element for element in output(instance(*ACME), TRUSTED) if element.tag.is_private]
