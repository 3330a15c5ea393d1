"""cryptohash: a keyed digest in place of the value. (FIPS 198-1)"""

import hmac
from dataclasses import replace

import pytest

from deid_batch.errors import BadValue, InvalidOutput
from deid_batch.methods import Element
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.wire import TEXT_VRS

HASH = CryptoHash(key=b"123")
LIMITED = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "SH", "TM", "UI"}


def digest(value: str | bytes, name: str = "sha256") -> bytes:
    message = value.encode("utf-8") if isinstance(value, str) else value
    return hmac.new(b"123", message, name).digest()


@pytest.mark.parametrize("vr", sorted(TEXT_VRS))
def test_text_becomes_64_lower_case_hex_digits_of_pythons_hmac(vr: str) -> None:
    change = HASH.apply(b"1234", Element(0x00100020, vr))
    assert change.value == digest("1234").hex().encode()
    assert change.warnings == (vr in LIMITED)


@pytest.mark.parametrize("value", [b"ID 7", b"ID 7  ", b"ID 7\0", b"ID 7\0 \0"])
def test_padding_at_the_end_does_not_count(value: bytes) -> None:
    assert HASH.apply(value, Element(0x00100020, "LO")).value == digest("ID 7").hex().encode()


@pytest.mark.parametrize("value", [b" ID 7", b"ID  7", b"id 7", b"ID 7."])
def test_every_other_letter_counts(value: bytes) -> None:
    assert HASH.apply(value, Element(0x00100020, "LO")).value != digest("ID 7").hex().encode()


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        ("Müller".encode("latin-1"), b"ISO_IR 100", "Müller"),
        ("Müller".encode(), b"ISO_IR 192", "Müller"),
        (b"\x81\x5c", b"GB18030", "乗"),
        (b"\x1b$B;3ED\x1b(B", b"\\ISO 2022 IR 87", "山田"),
    ],
)
def test_the_utf8_form_is_hashed_whatever_the_character_set(raw: bytes, charset: bytes, text: str) -> None:
    change = HASH.apply(raw, Element(0x00100020, "LO", charset=charset))
    assert change.value == digest(text).hex().encode()


@pytest.mark.parametrize(
    ("before", "parts"), [(b"A\\B", ["A", "B"]), (b"A\\\\B ", ["A", "", "B"]), (b"\\", ["", ""]), (b"A\\A", ["A", "A"])]
)
def test_values_are_hashed_one_by_one_in_their_positions(before: bytes, parts: list[str]) -> None:
    change = HASH.apply(before, Element(0x00100020, "LO"))
    hashed = "\\".join(digest(part).hex() if part else "" for part in parts).encode()
    assert change.value == hashed + b" " * (len(hashed) % 2)


@pytest.mark.parametrize("vr", ["OB", "UN"])
@pytest.mark.parametrize("value", [b"\0\xff", b"text  ", b"\0" * 1000])
def test_ob_and_un_become_32_raw_bytes(vr: str, value: bytes) -> None:
    assert HASH.apply(value, Element(0x00091010, vr)) == (digest(value), 0)


@pytest.mark.parametrize(("name", "size"), [("Sha256", 64), ("Sha384", 96), ("Sha512", 128)])
def test_the_hash_type_may_be_another(name: str, size: int) -> None:
    method = replace(HASH, crypto_hash_type=name)
    change = method.apply(b"1234", Element(0x00100020, "UC"))
    assert change == (digest("1234", name.lower()).hex().encode(), 0)
    assert len(change.value or b"") == size


@pytest.mark.parametrize(("length", "vr"), [(16, "SH"), (64, "LO"), (9, "LO")])
def test_max_length_cuts_the_hex_to_fit(length: int, vr: str) -> None:
    change = replace(HASH, max_length=length).apply(b"1234", Element(0x00100020, vr))
    assert change == (digest("1234").hex()[:length].encode() + b" " * (length % 2), 0)


def test_max_length_does_not_cut_raw_bytes() -> None:
    assert replace(HASH, max_length=8).apply(b"1234", Element(0x00091010, "OB")).value == digest(b"1234")


@pytest.mark.parametrize("vr", sorted(LIMITED))
def test_a_digest_that_its_vr_does_not_allow_is_counted_or_fails(vr: str) -> None:
    assert HASH.apply(b"1234\\1234", Element(0x00100020, vr)).warnings == 2
    with pytest.raises(InvalidOutput):
        HASH.apply(b"1234", Element(0x00100020, vr, strict=True))


@pytest.mark.parametrize(
    ("vr", "value", "charset"),
    [("US", b"12", b""), ("FD", b"12345678", b""), ("OW", b"12", b""), ("AT", b"1234", b""),
     ("LO", b"\xff", b"ISO_IR 192"), ("PN", b"\xe9", b"ISO_IR 4711")],
)  # fmt: skip
def test_what_it_cannot_treat_follows_on_error(vr: str, value: bytes, charset: bytes) -> None:
    assert HASH.apply(value, Element(0x00100020, vr, charset=charset)) == (b"", 1)
    with pytest.raises(BadValue):
        replace(HASH, on_error="fail").apply(value, Element(0x00100020, vr, charset=charset))
