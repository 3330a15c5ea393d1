"""substitute: one text or number in place of every value."""

import struct

import pytest

from deid_batch.errors import BadValue
from deid_batch.methods import Element
from deid_batch.methods.substitute import Substitute
from deid_batch.values import numbers
from deid_batch.wire import TEXT_VRS


def substituted(value: bytes, vr: str, replacement: str, charset: bytes = b"") -> tuple[bytes | None, int]:
    return Substitute(replace_with=replacement).apply(value, Element(0x00100020, vr, charset=charset))


@pytest.mark.parametrize(
    ("vr", "before", "replacement", "after"),
    [
        ("LO", b"12345678", "ANONYMOUS", b"ANONYMOUS "),
        ("LO", b"A\\B ", "X", b"X\\X "),
        ("LO", b"A\\\\B", "X", b"X\\\\X"),
        ("LO", b"A ", "", b""),
        ("UI", b"1.2.3\0", "2.25.1", b"2.25.1"),
        ("UI", b"1.2.34", "2.25.12", b"2.25.12\0"),
        ("LT", b"A\\B ", "C\\D", b"C\\D "),
        ("DA", b"20161012", "19000101", b"19000101"),
        ("US", b"\1\0\2\0", "7", b"\7\0\7\0"),
        ("SS", b"\1\0", "-1", b"\xff\xff"),
        ("FD", b"\0" * 8, "0.5", struct.pack("<d", 0.5)),
        ("FL", b"\0" * 4, "0.1", struct.pack("<f", 0.1)),
        ("OW", b"\1\0\2\0", "65535", b"\xff\xff\xff\xff"),
    ],
)
def test_every_value_that_is_not_empty_becomes_the_replacement(
    vr: str, before: bytes, replacement: str, after: bytes
) -> None:
    assert substituted(before, vr, replacement) == (after, 0)


def test_the_replacement_is_encoded_in_the_character_set_of_the_element() -> None:
    assert substituted(b"A ", "PN", "Ä^Ö", b"ISO_IR 100") == (b"\xc4^\xd6 ", 0)
    assert substituted(b"A ", "PN", "Ä^Ö", b"ISO_IR 192") == ("Ä^Ö ".encode(), 0)
    assert substituted(b"A ", "PN", "김^희", b"\\ISO 2022 IR 149") == (b"\x1b$)C\xb1\xe8^\x1b$)C\xc8\xf1 ", 0)


def test_both_byte_orders() -> None:
    big = Element(0x00100020, "UL", little=False)
    assert Substitute(replace_with="258").apply(b"\0" * 8, big).value == b"\0\0\1\2" * 2


@pytest.mark.parametrize(
    ("vr", "value", "replacement", "charset"),
    [
        ("PN", b"A ", "Ä", b""),
        ("CS", b"A ", "Ä", b"ISO_IR 192"),
        ("LO", b"A ", "B\\C", b""),
        ("US", b"\1\0", "text", b""),
        ("US", b"\1\0", "-1", b""),
        ("US", b"\1\0", "0.5", b""),
        ("SV", b"\0" * 8, str(2**63), b""),
        ("OB", b"\1\0", "1", b""),
        ("UN", b"\1\0", "1", b""),
        ("AT", b"\1\0\1\0", "1", b""),
    ],
)
def test_what_it_cannot_treat_follows_on_error(vr: str, value: bytes, replacement: str, charset: bytes) -> None:
    assert substituted(value, vr, replacement, charset) == (b"", 1)
    failing = Substitute(replace_with=replacement, on_error="fail")
    with pytest.raises(BadValue):
        failing.apply(value, Element(0x00100020, vr, charset=charset))


@pytest.mark.parametrize(
    ("vr", "replacement"),
    [("PN", "ANONYMOUS"), ("DA", "19000101"), ("AS", "000Y"), ("UI", "2.25.0"), ("DS", "-1.5E3"), ("IS", "0"),
     ("LT", "A\\B"), ("US", "65535"), ("SS", "-32768"), ("SV", str(-(2**63))), ("FL", "0.1"), ("FD", "0.5"),
     ("OF", "1E10"), ("LO", "")],
)  # fmt: skip
def test_replacements_that_fit(vr: str, replacement: str) -> None:
    assert Substitute(replace_with=replacement).unfit_for(vr) == ""


@pytest.mark.parametrize(
    ("vr", "replacement"),
    [("DA", "ANONYMOUS"), ("AS", "45"), ("UI", "ANONYMOUS"), ("DS", "1,5"), ("IS", "1.5"), ("LO", "A\\B"),
     ("LO", "A" * 65), ("LO", "A\0B"), ("CS", "lower"), ("US", "65536"), ("US", "-1"), ("US", "0.5"),
     ("US", "ANONYMOUS"), ("SS", "32768"), ("SV", str(2**63)), ("FD", "1E999"), ("SQ", "X"),
     ("OB", "1"), ("AT", "1"), ("UN", "X")],
)  # fmt: skip
def test_replacements_that_do_not_fit_say_why(vr: str, replacement: str) -> None:
    why = Substitute(replace_with=replacement).unfit_for(vr)
    assert vr in why


def test_every_text_and_number_vr_has_a_replacement_that_fits() -> None:
    candidates = ["1", "19000101", "000Y", "12"]
    for vr in TEXT_VRS | numbers.BINARY_VRS:
        assert any(not Substitute(replace_with=one).unfit_for(vr) for one in candidates), vr
