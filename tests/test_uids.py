"""Which UIDs stay, and the form of new ones. (PS3.5 9, B.2; RFC 9562 5.8)"""

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, UID_dictionary

from deid_batch.values import uids
from deid_batch.values.text import conforms

DEFINITIONS = [
    "SOPClassUID", "RelatedGeneralSOPClassUID", "OriginalSpecializedSOPClassUID", "SOPClassesInStudy",
    "CodingSchemeUID", "ContextUID", "MappingResourceUID", "StoredInstanceTransferSyntaxUID", "ReferencedSOPClassUID",
    "SOPClassesSupported", "AvailableTransferSyntaxUID", "FlowTransferSyntaxUID", "MACCalculationTransferSyntaxUID",
    "EncryptedContentTransferSyntaxUID", "PertinentSOPClassesInStudy", "PertinentSOPClassesInSeries",
]  # fmt: skip
INSTANCES = [
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID",
    "DeviceUID", "UID", "InstanceCreatorUID", "IrradiationEventUID",
    "DigitalSignatureUID", "ContextGroupExtensionCreatorUID",
]  # fmt: skip


@given(st.binary(min_size=16, max_size=32))
def test_a_new_uid_holds_a_version_8_uuid_and_all_other_bits_of_the_digest(digest: bytes) -> None:
    uid = uids.from_digest(digest)
    assert conforms(uid, "UI")
    assert UID(uid).is_valid
    assert uid.startswith("2.25.")
    made = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    fixed = 0xF << 76 | 0x3 << 62
    assert made.int & ~fixed == int.from_bytes(digest[:16], "big") & ~fixed


def test_a_new_uid_has_39_to_44_characters_however_small_the_digest() -> None:
    sizes = {len(uids.from_digest(hashlib.sha256(bytes([n])).digest())) for n in range(256)}
    assert sizes <= set(range(39, 45))
    assert len(uids.from_digest(b"\xff" * 16)) == 44


@pytest.mark.parametrize("keyword", DEFINITIONS)
def test_attributes_that_name_definitions(keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    assert dictionary_VR(tag) == "UI"
    assert tag in uids.DEFINITION_ATTRIBUTES


@pytest.mark.parametrize("keyword", INSTANCES)
def test_attributes_that_name_instances(keyword: str) -> None:
    assert tag_for_keyword(keyword) not in uids.DEFINITION_ATTRIBUTES


def test_the_table_of_definitions_is_complete() -> None:
    assert {tag_for_keyword(keyword) for keyword in DEFINITIONS} == uids.DEFINITION_ATTRIBUTES


@pytest.mark.parametrize(
    "uid", [CTImageStorage, ExplicitVRLittleEndian, "1.2.840.10008.1.4.1.1", "1.2.840.10008.2.16.4"]
)
def test_uids_of_annex_a_are_registered(uid: str) -> None:
    assert uid in uids.registered()


@pytest.mark.parametrize("uid", ["", "1.2.840.10008", "1.2.840.10008.5.1.4.1.1.2.99999", "1.2.840.10008.1.2.1.4711.1"])
def test_the_prefix_alone_registers_nothing(uid: str) -> None:
    assert uid not in uids.registered()


def test_every_registered_uid_is_one() -> None:
    assert len(uids.registered()) == len(UID_dictionary)
    assert all(UID(uid).is_valid for uid in uids.registered())


@pytest.mark.parametrize(
    ("raw", "uid"),
    [(b"1.2.3\0", "1.2.3"), (b"1.2.3 ", "1.2.3"), (b" 1.2.3\0\0", "1.2.3"), (b"", ""), (b"1.2.34", "1.2.34")],
)
def test_a_uid_is_read_without_its_padding(raw: bytes, uid: str) -> None:
    assert uids.text_of(raw) == uid
