"""Lists in two columns: encodings, separators, quotes, blanks. (RFC 4180)"""

from __future__ import annotations

import codecs
import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.config.columns import ColumnsUnreadable, decode, read_pairs

WRITTEN = {
    "comma": "007,A\n8,B\n",
    "semicolon": "007;A\n8;B\n",
    "tab": "007\tA\n8\tB\n",
    "carriage returns": "007,A\r\n8,B\r\n",
    "no end of line at the end": "007,A\n8,B",
    "blanks around": " 007 , A\n8 , B \n",
    "quotes": '"007","A"\n"8",B\n',
    "a line that says the separator": "sep=;\n007;A\n8;B\n",
    "empty lines": "\n007,A\n\n ,\n8,B\n\n",
    "empty cells behind": "007,A,\n8,B,,\n",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_the_same_list_however_it_is_written(how: str) -> None:
    assert [pair[1:] for pair in read_pairs(WRITTEN[how])] == [("007", "A"), ("8", "B")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Meier, Hans",P1\n', ("Meier, Hans", "P1")),
        ('"Meier; Hans, Dr.";P1\n', ("Meier; Hans, Dr.", "P1")),
        ('"say ""x""",P1\n', ('say "x"', "P1")),
        ("000,00\n", ("000", "00")),
    ],
)
def test_what_stands_in_a_cell_stays(text: str, expected: tuple[str, str]) -> None:
    assert [pair[1:] for pair in read_pairs(text)] == [expected]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\nb\n", "line 1 has no two columns"),
        ("a,b\n\nc\n", "line 3 has no two columns"),
        ("a,b,c\n", "line 1 has 3 columns"),
        ("a,b\n,c\n", "line 2 has an empty cell"),
        ("a,b\nc, \n", "line 2 has an empty cell"),
        ('a,"b\nc,d\n', "not closed"),
    ],
)
def test_what_is_no_list_of_pairs_is_told_by_its_line(text: str, why: str) -> None:
    with pytest.raises(ColumnsUnreadable, match=why):
        read_pairs(text)


ENCODINGS = {
    "utf-8": b"", "utf-8-sig": b"", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ["007;A\r\nÄrger;Übel\r\n", "a;b\n", "患者;P1\n甲;P2\n"])
def test_utf_8_and_utf_16_are_told_by_their_first_bytes(encoding: str, text: str) -> None:
    assert decode(ENCODINGS[encoding] + text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told_by_its_nuls(encoding: str) -> None:
    assert decode("007;A\r\nÄ;Ü\r\n".encode(encoding)) == "007;A\r\nÄ;Ü\r\n"


@pytest.mark.parametrize("data", [b"a;\xe4\n", b"\xff\xfea", b"a\0\0\0;\0\0\0"])
def test_other_bytes_are_no_list(data: bytes) -> None:
    with pytest.raises(ColumnsUnreadable):
        decode(data)


cells = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(cells, cells), min_size=1), st.sampled_from(",;\t"), st.sampled_from(sorted(ENCODINGS)))
def test_what_a_spreadsheet_writes_is_read_back(pairs: list[tuple[str, str]], separator: str, encoding: str) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(pairs)
    text = decode(ENCODINGS[encoding] + buffer.getvalue().encode(encoding))
    assert [pair[1:] for pair in read_pairs(text)] == [(old.strip(), new.strip()) for old, new in pairs]


@given(st.binary(max_size=200) | st.text(',;\t"\n\rab', max_size=40).map(str.encode))
def test_no_bytes_lead_to_another_error(data: bytes) -> None:
    with suppress(ColumnsUnreadable):
        assert all(pair.left and pair.right for pair in read_pairs(decode(data)))
