"""refreshUID: the same UID becomes the same new one. (PS3.15 E.1, action U)"""

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from deid_batch.errors import BadValue
from deid_batch.methods import Element, Instance
from deid_batch.methods.refreshuid import RefreshUID, new_uid
from deid_batch.values.text import conforms
from deid_batch.values.uids import DEFINITION_ATTRIBUTES

REFRESH = RefreshUID(key=b"a key of 16 byte")
SERIES, FRAME_OF_REFERENCE, REFERENCED_INSTANCE = 0x0020000E, 0x00200052, 0x00081155


def refreshed(value: bytes, tag: int = SERIES, instance: Instance = Instance()) -> bytes:  # noqa: B008 - frozen
    change = REFRESH.apply(value, Element(tag, "UI", instance))
    assert change.warnings == 0
    assert change.value is not None
    return change.value


@given(st.lists(st.integers(1, 999_999), min_size=2, max_size=9).map(lambda parts: f"1.{'.'.join(map(str, parts))}"))
def test_a_new_uid_is_a_legal_one_under_2_25(uid: str) -> None:
    fresh = refreshed(uid.encode()).rstrip(b"\0").decode()
    assert conforms(fresh, "UI")
    assert uuid.UUID(int=int(fresh.removeprefix("2.25."))).version == 8
    assert 39 <= len(fresh) <= 44


def test_the_same_uid_becomes_the_same_new_one_everywhere() -> None:
    here = refreshed(b"1.2.3\0")
    assert refreshed(b"1.2.3") == here
    assert refreshed(b" 1.2.3") == here
    assert refreshed(b"1.2.3 ", REFERENCED_INSTANCE) == here
    assert refreshed(b"1.2.3\0", instance=Instance(sop_instance_uid="7")) == here
    assert refreshed(b"1.2.4\\1.2.3\0").rstrip(b"\0").split(b"\\")[1] == here.rstrip(b"\0")
    assert new_uid(b"a key of 16 byte", "1.2.3").encode() == here.rstrip(b"\0")


def test_other_uids_and_other_keys_become_other_ones() -> None:
    fresh = {new_uid(key, uid) for key in (b"one", b"other") for uid in ("1.2.3", "1.2.33", "1.2.3.0", "2.25.1")}
    assert len(fresh) == 8


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.4.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.15.1.1"])
def test_registered_uids_stay_in_any_attribute(uid: str) -> None:
    assert refreshed(uid.encode(), FRAME_OF_REFERENCE) == uid.encode() + b"\0" * (len(uid) % 2)


@pytest.mark.parametrize("tag", sorted(DEFINITION_ATTRIBUTES))
@pytest.mark.parametrize(
    "uid", [CTImageStorage, ExplicitVRLittleEndian, "1.3.12.2.1107.5.9.1", "2.16.840.1.113883.6.1"]
)
def test_attributes_that_name_definitions_stay_whatever_they_hold(tag: int, uid: str) -> None:
    assert refreshed(uid.encode(), tag).rstrip(b"\0").decode() == uid


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.4.1.1.77", "1.2.840.10008.5.1.4.1.1.2.9999", "1.2.840.10008.3.1.2"])
def test_a_uid_that_only_begins_like_a_registered_one_is_refreshed(uid: str) -> None:
    assert refreshed(uid.encode()).startswith(b"2.25.")


@pytest.mark.parametrize(
    ("value", "fresh"),
    [(b"1.2.3\\1.2.4", (1, 1)), (b"1.2.3\\\\1.2.4\0", (1, 0, 1)), (b"\\1.2.3\0", (0, 1)), (b"\\", (0, 0))],
)
def test_values_keep_their_number_and_positions(value: bytes, fresh: tuple[int, ...]) -> None:
    assert tuple(one.startswith(b"2.25.") for one in refreshed(value).rstrip(b"\0").split(b"\\")) == fresh


@pytest.mark.parametrize("value", [b"no UID", b"1..2", b"1.02", b"9" * 70])
def test_a_malformed_uid_is_replaced_too(value: bytes) -> None:
    assert conforms(refreshed(value).rstrip(b"\0").decode(), "UI")
    assert value not in refreshed(value)


@pytest.mark.parametrize("vr", ["LO", "UN", "OB", "UT", "US"])
def test_what_it_cannot_treat_follows_on_error(vr: str) -> None:
    assert REFRESH.apply(b"1.2.34", Element(SERIES, vr)) == (b"", 1)
    with pytest.raises(BadValue):
        replace(REFRESH, on_error="fail").apply(b"1.2.34", Element(SERIES, vr))
