"""Character sets, padding, the backslash, and what a VR may hold. (PS3.5 6.1, 6.2, annexes H to K)"""

import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.charset import python_encoding
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset

from deid_batch.errors import BadValue
from deid_batch.methods import Element
from deid_batch.methods.cryptohash import CryptoHash
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS

KEY = b"k" * 32
YAMADA = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
PATIENT_NAMES = {
    "chrArab": "قباني^لنزار",
    "chrFren": "Buc^Jérôme",
    "chrFrenMulti": "Buc^Jérôme",
    "chrGerm": "Äneas^Rüdiger",
    "chrGreek": "Διονυσιος",
    "chrH31": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32": YAMADA,
    "chrHbrw": "שרון^דבורה",
    "chrI2": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrJapMulti": "やまだ^たろう",
    "chrJapMultiExplicitIR6": "やまだ^たろう",
    "chrKoreanMulti": "김희중",
    "chrRuss": "Люкceмбypг",
    "chrSQEncoding": YAMADA,
    "chrSQEncoding1": YAMADA,
    "chrX1": "Wang^XiaoDong=王^小東=",
    "chrX2": "Wang^XiaoDong=王^小东=",
}


def charset_file(stem: str) -> Dataset:
    return dcmread(next(path for path in get_charset_files() if Path(path).name == f"{stem}.dcm"))


def patient_names(data_set: Dataset, charset: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """(Specific Character Set, value field) of each Patient's Name and Other Patient Names, as they are encoded."""
    if "SpecificCharacterSet" in data_set:
        terms = data_set.SpecificCharacterSet
        charset = (terms if isinstance(terms, str) else "\\".join(terms)).encode()
    yield from ((charset, data_set.get_item(tag).value) for tag in (0x00100010, 0x00101001) if tag in data_set)
    for item in data_set.get("RequestedProcedureCodeSequence", ()):
        yield from patient_names(item, charset)


def test_every_charset_file_is_in_the_table() -> None:
    assert {Path(path).stem for path in get_charset_files() if path.endswith(".dcm")} == set(PATIENT_NAMES)


@pytest.mark.parametrize("stem", PATIENT_NAMES)
def test_every_charset_file_decodes_and_hashes_equal_to_its_utf8_text(stem: str) -> None:
    found = list(patient_names(charset_file(stem)))
    assert found
    for charset, raw in found:
        names = text.split(raw, "PN", charset)
        assert set(names) == {PATIENT_NAMES[stem]}
        digest = hmac.digest(KEY, PATIENT_NAMES[stem].encode("utf-8"), "sha256").hex()
        hashed = CryptoHash(key=KEY).apply(raw, Element(0x00100010, "PN", charset=charset)).value
        assert hashed is not None
        assert hashed.rstrip() == "\\".join([digest] * len(names)).encode()


@pytest.mark.parametrize("stem", PATIENT_NAMES)
def test_what_a_charset_file_holds_can_be_written_again(stem: str) -> None:
    for charset, raw in patient_names(charset_file(stem)):
        names = text.split(raw, "PN", charset)
        assert text.split(text.join(names, "PN", charset), "PN", charset) == names


@pytest.mark.parametrize(
    ("raw", "vr", "charset", "values"),
    [
        (b"\x81\x5c\\A", "LO", b"GB18030", ["乗", "A"]),
        (b"\x81\x5c\\A", "PN", b"GB18030", ["乗", "A"]),
        (b"A\\\x81\x5c", "SH", b"GBK", ["A", "乗"]),
        (b"\x95\x5c\\A", "LO", b"ISO_IR 13", ["表", "A"]),
        (b"\x1b$B\x21\x5c\x1b(B\\A", "LO", b"\\ISO 2022 IR 87", ["＋", "A"]),
        (b"\x81\x5c", "LT", b"GB18030", ["乗"]),
    ],
)
def test_a_trail_byte_5c_is_no_backslash(raw: bytes, vr: str, charset: bytes, values: list[str]) -> None:
    assert text.split(raw, vr, charset) == values


@pytest.mark.parametrize(
    ("raw", "charset", "decoded"),
    [
        (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", b"\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东="),
        (b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", b"\\ISO 2022 IR 149", "洪^吉洞"),
        (b"\x1b-F\xc4\x1b-L\xbb", b"ISO 2022 IR 6\\ISO 2022 IR 126\\ISO 2022 IR 144", "ΔЛ"),
        (b"\x1b$(D\x30\x21\x1b(B", b"\\ISO 2022 IR 159", "丂"),
        (b"\xc5\x81", b"ISO_IR 192 ", "Ł"),
    ],
)
def test_code_extensions_leave_no_escape_sequence_in_the_text(raw: bytes, charset: bytes, decoded: str) -> None:
    assert text.decode(raw, "PN", charset) == decoded


@pytest.mark.parametrize(
    ("value", "charset"),
    [("김^희", b"\\ISO 2022 IR 149"), ("山田^太郎", b"\\ISO 2022 IR 87"),
     ("Люк^é", b"ISO 2022 IR 100\\ISO 2022 IR 144"), (YAMADA, b"ISO 2022 IR 13\\ISO 2022 IR 87"),
     ("Ωλ", b"ISO_IR 126"), ("乗", b"GB18030"), ("😀", b"ISO_IR 192")],
)  # fmt: skip
def test_what_is_encoded_reads_back(value: str, charset: bytes) -> None:
    assert text.decode(text.encode(value, "PN", charset), "PN", charset) == value


@pytest.mark.parametrize(
    ("value", "vr", "charset"),
    [("Ω", "PN", b""), ("é", "PN", b""), ("é", "PN", b"ISO_IR 6"), ("é^山", "PN", b"\\ISO 2022 IR 87"),
     ("Ω", "PN", b"ISO_IR 100"), ("山", "LO", b"\\ISO 2022 IR 100"),
     ("é", "CS", b"ISO_IR 192"), ("é", "UI", b"ISO_IR 100"), ("é", "LO", b"ISO_IR 1234")],
)  # fmt: skip
def test_letters_that_the_character_set_lacks_are_a_bad_value(value: str, vr: str, charset: bytes) -> None:
    with pytest.raises(BadValue):
        text.encode(value, vr, charset)


@pytest.mark.parametrize(
    ("raw", "charset"),
    [(b"\xff\xfe", b"ISO_IR 192"), (b"\x81", b"GB18030"), (b"\xe9", b"ISO_IR 9999"),
     (b"\x1b$)Z\xe9", b"\\ISO 2022 IR 149")],
)  # fmt: skip
def test_bytes_that_the_character_set_has_no_letter_for_are_a_bad_value(raw: bytes, charset: bytes) -> None:
    with pytest.raises(BadValue):
        text.decode(raw, "LO", charset)


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 192", b"ISO_IR 9999", b"\\ISO 2022 IR 87"])
def test_ascii_needs_no_character_set(charset: bytes) -> None:
    assert text.decode(b"Doe^Jane ", "PN", charset) == "Doe^Jane "
    assert text.encode("Doe^Jane", "PN", charset) == b"Doe^Jane"


@pytest.mark.parametrize(
    ("raw", "vr", "values"),
    [
        (b"A\\B ", "LO", ["A", "B"]),
        (b"A \\ B", "LO", ["A", " B"]),
        (b"\\\\", "LO", ["", "", ""]),
        (b"A\\", "LO", ["A", ""]),
        (b"1.2\0", "UI", ["1.2"]),
        (b"A\\B ", "LT", ["A\\B"]),
        (b"A\\B ", "ST", ["A\\B"]),
        (b"A\\B ", "UT", ["A\\B"]),
        (b"A\\B ", "UR", ["A\\B"]),
        (b"A\\B ", "UC", ["A", "B"]),
        (b"", "LO", [""]),
    ],
)
def test_values_are_split_without_the_padding_at_their_ends(raw: bytes, vr: str, values: list[str]) -> None:
    assert text.split(raw, vr, b"") == values


@pytest.mark.parametrize(
    ("values", "vr", "raw"),
    [(["A", "B"], "LO", b"A\\B "), (["1.2"], "UI", b"1.2\0"), (["", ""], "PN", b"\\ "),
     (["AB"], "CS", b"AB"), ([""], "LO", b"")],
)  # fmt: skip
def test_a_joined_value_field_has_an_even_length(values: list[str], vr: str, raw: bytes) -> None:
    assert text.join(values, vr, b"") == raw


@given(
    st.lists(st.text("AZaz09 ÄéßŁ山乗희", max_size=6).map(str.rstrip), min_size=1, max_size=5),
    st.sampled_from(sorted(text.CHARSET_VRS - text.SINGLE_VALUED)),
    st.sampled_from([b"ISO_IR 192", b"GB18030"]),
)
def test_split_undoes_join(values: list[str], vr: str, charset: bytes) -> None:
    joined = text.join(values, vr, charset)
    assert len(joined) % 2 == 0
    assert text.split(joined, vr, charset) == values


@given(st.binary(max_size=24), st.sampled_from(sorted(TEXT_VRS)), st.sampled_from(sorted(python_encoding)))
def test_any_bytes_are_text_or_a_bad_value(raw: bytes, vr: str, term: str) -> None:
    for charset in (term.encode(), f"\\{term}".encode()):
        try:
            values = text.split(raw, vr, charset)
        except BadValue:
            continue
        assert len(values) == 1 or vr not in text.SINGLE_VALUED


@pytest.mark.parametrize("raw", [b"CT\x10\0\x10\0PN", b"A\0B", b"\0A", b"A\x08", b"A\0 \0B", b"\x7f\x01"])
def test_control_bytes_within_text_are_foreign(raw: bytes) -> None:
    assert text.has_foreign_bytes(b"\x01" + raw + b"\x01", 1, 1 + len(raw))


@pytest.mark.parametrize(
    "raw", [b"", b"CT", b"CT\0\0", b"CT \0 ", b"\0\0", b"\x1b$B\x21\x5c\x1b(B", b"a\tb\r\n\f", b"\xe9\xff"]
)
def test_padding_escape_sequences_and_line_ends_are_not_foreign(raw: bytes) -> None:
    assert not text.has_foreign_bytes(b"\x01" + raw + b"\x01", 1, 1 + len(raw))


CONFORMING = [
    ("AE", "STORE_SCP 1"), ("AS", "045Y"), ("CS", "ORIGINAL_1 2"), ("DA", "20161012"), ("DA", "2016.10.12"),
    ("DS", "-1.5E-3"), ("DS", "1" * 16), ("DT", "20210320202020.00654+0230"), ("DT", "2021"), ("IS", "-2147483648"),
    ("LO", "L" * 64), ("LT", "L" * 10240), ("LT", "two\r\nlines\\"), ("PN", "=".join(["山" * 64] * 3)),
    ("SH", "S" * 16), ("ST", "S" * 1024), ("TM", "235959.123456"), ("TM", "23"), ("TM", "23:59:59"),
    ("UC", "U" * 70000), ("UI", "2.25.0"), ("UI", "1." * 31 + "11"), ("UR", "https://example.org/?a=b"),
    ("UT", "U" * 70000),
]  # fmt: skip
NOT_CONFORMING = [
    ("AE", "A" * 17), ("AE", "A\\B"), ("AS", "45Y"), ("AS", "045"), ("CS", "lower"), ("CS", "C" * 17), ("DA", "201610"),
    ("DA", "2016-10-12"), ("DS", "1" * 17), ("DS", "1,5"), ("DS", "NaN"), ("DT", "20211"), ("DT", "2021032020+25"),
    ("IS", "1.0"), ("IS", "1" * 13), ("LO", "L" * 65), ("LO", "A\\B"), ("LO", "A\nB"), ("LT", "L" * 10241),
    ("LT", "A\0B"), ("PN", "P" * 65), ("PN", "A\\B"), ("PN", "A\x01"), ("SH", "S" * 17), ("ST", "S" * 1025),
    ("ST", "\x1b$B"), ("TM", "2"), ("UC", "A\\B"), ("UI", "1..2"), ("UI", "1.02"), ("UI", "ANONYMOUS"),
    ("UI", "1." * 32 + "1"), ("UR", "a b"),
]  # fmt: skip


@pytest.mark.parametrize(("vr", "value"), CONFORMING)
def test_a_value_within_length_and_form_of_its_vr_conforms(vr: str, value: str) -> None:
    assert text.conforms(value, vr)


@pytest.mark.parametrize(("vr", "value"), NOT_CONFORMING)
def test_a_value_too_long_or_malformed_for_its_vr_does_not_conform(vr: str, value: str) -> None:
    assert not text.conforms(value, vr)


@pytest.mark.parametrize("vr", sorted(TEXT_VRS))
def test_the_empty_value_conforms_to_every_text_vr(vr: str) -> None:
    assert text.conforms("", vr)
