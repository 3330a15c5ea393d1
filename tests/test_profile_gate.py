"""What a profile does not let through, and what it does. (PS3.15 E.1.1)"""

from __future__ import annotations

import pytest
from datasets import Element
from profiled import instance, output, refusal, rules, texts

from deid_batch.conditions import Condition
from deid_batch.profiles.gate import Gate

CT, MR, SC = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"
US, US_VOLUME, PHOTOGRAPH = (
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.6.2",
    "1.2.840.10008.5.1.4.1.1.77.1.4",
)
SLIDE, PDF, STL = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.104.3"
RT_DOSE, SR = "1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.88.11"
TAGS = {
    "image_type": (0x00080008, "CS"), "modality": (0x00080060, "CS"), "conversion": (0x00080064, "CS"),
    "maker": (0x00080070, "LO"), "removed": (0x00120062, "CS"), "model": (0x00081090, "LO"),
    "photometric": (0x00280004, "CS"), "burned_in": (0x00280301, "CS"),
}  # fmt: skip


def file(sop_class: str = CT, *, photometric: str = "MONOCHROME2", **values: str) -> bytes:
    pairs = [(*TAGS[name], value) for name, value in {**values, "photometric": photometric}.items() if value]
    return instance(*texts(*pairs), Element(0x00420011, "OB", b"%PDF"), sop_class=sop_class.encode())


LIKELY = {
    "it says so": file(burned_in="YES"),
    "it says so in other letters": file(burned_in="Yes"),
    "secondary capture": file(SC),
    "secondary capture that denies it": file(SC, burned_in="NO"),
    "ultrasound": file(US),
    "ultrasound volume": file(US_VOLUME),
    "ultrasound that denies it": file(US, burned_in="NO", modality="US"),
    "ultrasound by its modality": file("1.2.3.4", modality="US"),
    "photograph": file(PHOTOGRAPH),
    "other modality": file(modality="OT"),
    "digitized film": file(conversion="DF"),
    "workstation": file(conversion="WSD"),
    "screen save": file(image_type="DERIVED\\SECONDARY\\SCREEN SAVE"),
    "dose report": file(image_type="DERIVED\\SECONDARY\\DOSE_INFO"),
    "protocol page of a Siemens CT": file(image_type="DERIVED\\SECONDARY\\OTHER\\CT_SOM5 PROT", maker="SIEMENS"),
    "label of a slide": file(SLIDE, image_type="ORIGINAL\\PRIMARY\\LABEL\\NONE", modality="SM"),
}
UNLIKELY = {
    "CT": file(),
    "CT that denies it": file(burned_in="NO"),
    "MR": file(MR, image_type="ORIGINAL\\PRIMARY\\M\\ND", modality="MR"),
    "proton density": file(MR, image_type="ORIGINAL\\PRIMARY\\PROTON_DENSITY", maker="SIEMENS"),
    "dose distribution": file(RT_DOSE, image_type="ORIGINAL\\PRIMARY\\DOSE", modality="RTDOSE"),
    "slide": file(SLIDE, image_type="ORIGINAL\\PRIMARY\\VOLUME\\NONE", modality="SM"),
    "report without an image": file(SR, photometric="", modality="SR"),
    "protocol of another maker": file(image_type="DERIVED\\SECONDARY\\PROT", maker="ACME"),
}


@pytest.mark.parametrize("case", LIKELY)
def test_an_image_with_likely_burned_in_text_is_set_aside(case: str) -> None:
    assert refusal(LIKELY[case]) == "burned-in"


@pytest.mark.parametrize("case", UNLIKELY)
def test_another_image_is_not(case: str) -> None:
    assert refusal(UNLIKELY[case]) == ""


@pytest.mark.parametrize("case", LIKELY)
def test_an_image_passes_where_burned_in_text_is_allowed(case: str) -> None:
    assert refusal(LIKELY[case], rules(gate=Gate(burned_in="allow"))) == ""


def hidden_overlay(position: int, tag: int = 0x60000102) -> bytes:
    return instance(Element(0x60000100, "US", 16), Element(tag, "US", position))


def test_an_overlay_in_unused_bits_of_pixel_data_is_burned_in() -> None:
    assert refusal(hidden_overlay(12)) == "burned-in"
    assert refusal(hidden_overlay(15, 0x60020102)) == "burned-in"
    assert refusal(hidden_overlay(0)) == ""
    assert refusal(hidden_overlay(12), rules(gate=Gate(burned_in="allow"))) == ""


CHECKED = Gate(burned_in_allowed=((Condition(0x00080060, ("US",)), Condition(0x00081090, ("MODEL 7",))),))
KNOWN = Gate(burned_in_too=((Condition(0x00080070, pattern="ACME"),),))


def test_what_is_allowed_passes_and_nothing_else() -> None:
    allowed = rules(gate=CHECKED)
    assert refusal(file(US, modality="US", model="MODEL 7"), allowed) == ""
    assert refusal(file(US, modality="US", model="MODEL 8"), allowed) == "burned-in"
    assert refusal(file(US, model="MODEL 7"), allowed) == "burned-in"


def test_what_the_config_knows_of_is_set_aside_too() -> None:
    assert refusal(file(maker="ACME CT"), rules(gate=KNOWN)) == "burned-in"
    assert refusal(file(maker="OTHER CT"), rules(gate=KNOWN)) == ""


@pytest.mark.parametrize("sop_class", [PDF, STL])
def test_an_encapsulated_document_is_set_aside(sop_class: str) -> None:
    assert refusal(file(sop_class, photometric="")) == "encapsulated-document"


def test_a_kept_document_is_whole_and_nothing_is_claimed() -> None:
    made = output(file(PDF, photometric=""), rules(gate=Gate(documents="keep")))
    assert made.EncapsulatedDocument == b"%PDF"
    assert "DeidentificationMethodCodeSequence" not in made
    assert "PatientIdentityRemoved" not in made


def test_a_document_in_another_class_is_replaced() -> None:
    for gate in (Gate(), Gate(documents="keep")):
        assert output(file(CT), rules(gate=gate)).EncapsulatedDocument.strip(b"\0") == b""


def test_a_de_identified_instance_is_processed_again_or_set_aside() -> None:
    assert refusal(file(removed="YES")) == ""
    policy = rules(gate=Gate(deidentified="set-aside"))
    assert refusal(file(removed="YES"), policy) == "already-deidentified"
    assert refusal(file(removed="NO"), policy) == ""
