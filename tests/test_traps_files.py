"""Traps of the file around the data set: preamble, File Meta Information, deflate, odd encodings, junk. (PS3.10 7)"""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from datasets import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    SYNTAXES,
    UNDEFINED,
    Element,
    Form,
    Fragments,
    body_of,
    deidentified,
    encode,
    failure,
    header,
    identity,
    part10,
    rewritten,
    sequence,
    with_identity,
)
from oracle import read, rule_set

from deid_batch import dicomfile
from deid_batch.errors import FileError
from deid_batch.methods import Instance

FORMS = {"explicit": EXPLICIT, "big endian": BIG, "implicit": IMPLICIT}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
every_depth = pytest.mark.parametrize("nested", [False, True], ids=["top level", "item"])

RULES = rule_set("""{"dicomTagRules": [{"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "ANON"}]}""")
NAME, ANON = Element(0x00100010, "PN", b"Smith^John"), Element(0x00100010, "PN", b"ANON")
ELEMENTS, EXPECTED = with_identity(NAME), with_identity(ANON)
PREFIX = bytes(128) + b"DICM"


def meta(*elements: Element, form: Form = EXPLICIT) -> bytes:
    """File Meta Information as it may come: in any form, with any of its elements."""
    return encode(elements, form)


def syntax_uid(uid: str) -> Element:
    return Element(0x00020010, "UI", uid.encode() + b"\0" * (len(uid) % 2))


def group_length(value: int) -> Element:
    return Element(0x00020000, "UL", value.to_bytes(4, "little"))


def meta_of(out: bytes) -> dict[str, object]:
    return {element.keyword: element.value for element in read(out).dataset.file_meta}


@pytest.mark.parametrize("behind", [b"", meta(group_length(0)), meta(syntax_uid(SYNTAXES[EXPLICIT])), b"\0" * 200])
def test_a_bare_dicm_fails(behind: bytes) -> None:
    assert failure(PREFIX + behind, RULES) == "no-sop-uid"


@pytest.mark.parametrize("missing", [0x00080016, 0x00080018])
def test_a_data_set_without_sop_class_or_instance_uid_fails(missing: int) -> None:
    kept = [element for element in identity() if element.tag != missing]
    emptied = [element if element.tag != missing else element._replace(value=b"") for element in identity()]
    assert failure(part10(encode(kept)), RULES) == "no-sop-uid"
    assert failure(part10(encode(emptied)), RULES) == "no-sop-uid"
    assert failure(part10(encode(identity())), RULES) == ""


BIG_META = meta(group_length(0), syntax_uid(SYNTAXES[EXPLICIT]), form=BIG)
BEFORE = {
    "a preamble of another format": b"II*\0" + b"\xff" * 124 + b"DICM" + meta(syntax_uid(SYNTAXES[EXPLICIT])),
    "no preamble": meta(group_length(30), syntax_uid(SYNTAXES[EXPLICIT])),
    "no File Meta Information": PREFIX,
    "neither": b"",
    "no group length": PREFIX + meta(syntax_uid(SYNTAXES[EXPLICIT])),
    "group length of zero": PREFIX + meta(group_length(0), syntax_uid(SYNTAXES[EXPLICIT])),
    "group length too short": PREFIX + meta(group_length(4), syntax_uid(SYNTAXES[EXPLICIT])),
    "group length too long": PREFIX + meta(group_length(99), syntax_uid(SYNTAXES[EXPLICIT])),
    "group length beyond the end": PREFIX + meta(group_length(UNDEFINED), syntax_uid(SYNTAXES[EXPLICIT])),
    "implicit VR": PREFIX + meta(group_length(30), syntax_uid(SYNTAXES[EXPLICIT]), form=IMPLICIT),
    "no transfer syntax": PREFIX + meta(group_length(10), Element(0x00020003, "UI", b"9\0")),
    "empty transfer syntax": PREFIX + meta(Element(0x00020010, "UI", b"")),
    "transfer syntax padded with a blank": PREFIX + meta(Element(0x00020010, "UI", b"1.2.840.10008.1.2.1 ")),
}


@pytest.mark.parametrize("what", BEFORE)
def test_whatever_stands_before_the_data_set_the_same_file_is_written(what: str) -> None:
    out, account = rewritten(BEFORE[what] + encode(ELEMENTS), RULES)
    assert out == rewritten(part10(encode(ELEMENTS)), RULES)[0]
    assert (out[:132], body_of(out)) == (PREFIX, encode(EXPECTED))
    assert (account.transfer_syntax_uid, account.detail) == (SYNTAXES[EXPLICIT], "")


@every_form
@pytest.mark.parametrize("before", [b"", PREFIX], ids=["bare", "preamble"])
def test_a_data_set_alone_is_written_in_the_encoding_it_has(before: bytes, form: Form) -> None:
    out, account = rewritten(before + encode(ELEMENTS, form), RULES)
    assert (body_of(out), account.transfer_syntax_uid) == (encode(EXPECTED, form), SYNTAXES[form])
    assert read(out).dataset.file_meta.TransferSyntaxUID == SYNTAXES[form]


def test_file_meta_information_tells_of_nothing_but_the_instance_and_this_tool() -> None:
    private = [
        Element(0x00020012, "UI", b"1.2.99"),
        Element(0x00020013, "SH", b"SCANNER1"),
        Element(0x00020016, "AE", b"SMITHS"),
        Element(0x00020100, "UI", b"1.2.98"),
        Element(0x00020102, "OB", b"Smith^John"),
    ]
    stored = [
        Element(0x00020002, "UI", b"1.2.1\0"),
        Element(0x00020003, "UI", b"1.2.97"),
        syntax_uid(SYNTAXES[EXPLICIT]),
    ]
    data = b"Smith^John".ljust(128) + b"DICM" + meta(*stored, *private) + encode(identity())
    out, _ = rewritten(data, RULES)
    assert out[:132] == PREFIX
    assert sorted(meta_of(out)) == [
        "FileMetaInformationGroupLength", "FileMetaInformationVersion", "ImplementationClassUID",
        "ImplementationVersionName", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID",
    ]  # fmt: skip
    assert not [word for word in (b"SMITH", b"Smith", b"SCANNER", b"1.2.97", b"1.2.98", b"1.2.99") if word in out]


def test_file_meta_information_that_is_cut_off_fails() -> None:
    whole = part10(b"")
    assert {failure(whole[:cut], RULES) for cut in range(140, len(whole))} == {
        "bad-file-meta",
        "truncated",
        "no-sop-uid",
    }


@pytest.mark.parametrize("window", [200, 8 << 10, 64 << 10])
@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_file_meta_information_longer_than_the_first_window_is_read_on(form: Form, window: int, tmp_path: Path) -> None:
    private = Element(0x00020102, "OB", b"Smith^John" * 6000)
    for behind in ([], [private], [private] * 10):
        before = meta(Element(0x00020016, "AE", b"SMITHS"), *behind, syntax_uid(SYNTAXES[EXPLICIT]), form=form)
        data = PREFIX + before + encode(ELEMENTS)
        assert rewritten(data, RULES, window=window)[0] == rewritten(part10(encode(ELEMENTS)), RULES)[0]
        (tmp_path / "file").write_bytes(data)
        assert dicomfile.probe(str(tmp_path / "file")).instance.sop_instance_uid == "1.2.3.4"


def test_file_meta_information_of_more_than_a_megabyte_fails() -> None:
    private = Element(0x00020102, "OB", bytes(60_000))
    data = [PREFIX + meta(*[private] * count, syntax_uid(SYNTAXES[EXPLICIT])) + encode(ELEMENTS) for count in (17, 18)]
    assert [failure(one, RULES) for one in data] == ["", "bad-file-meta"]


CHANGES_OF_IDENTITY = {
    "refreshUID": '"method": "refreshUID"',
    "remove": '"method": "remove"',
    "redact": '"method": "redact", "redactLeaves": "empty"',
    "substitute": '"method": "substitute", "replaceWith": "1.2.9"',
}


@pytest.mark.parametrize("method", CHANGES_OF_IDENTITY)
def test_media_storage_sop_instance_uid_follows_the_data_set(method: str) -> None:
    rules = rule_set(
        f'{{"dicomTagRules": [{{"tag": {{"keyword": "SOPInstanceUID"}}, {CHANGES_OF_IDENTITY[method]}}}]}}'
    )
    out, _ = rewritten(part10(encode(identity(b"1.2.3.4\0"))), rules)
    dataset = read(out).dataset
    new = str(dataset.file_meta.MediaStorageSOPInstanceUID)
    assert new
    assert new != "1.2.3.4"
    assert dataset.get("SOPInstanceUID", "") in (new, "", None)


SYNTAXES_THAT_FAIL = ["1.2.3.4.5", "1.2.840.10008.1.2.x", "1.2.840.10008.1.20", "1.2.840.113619.5.2"]


@pytest.mark.parametrize("uid", SYNTAXES_THAT_FAIL)
def test_an_unknown_transfer_syntax_fails(uid: str) -> None:
    assert failure(part10(encode(ELEMENTS), uid), RULES) == "unknown-transfer-syntax"


def test_encapsulated_pixel_data_without_a_transfer_syntax_fails() -> None:
    pixels = Element(0x7FE00010, "OB", Fragments((b"", b"abcd")))
    body = encode([*identity(), pixels])
    assert failure(PREFIX + body, RULES) == "unknown-transfer-syntax"
    assert failure(part10(body, JPEG), RULES) == ""


def test_deflated_data_are_inflated_treated_and_deflated_again_to_even_length() -> None:
    for size in range(8):
        comments, pixels = Element(0x00204000, "LT", b"abcdefgh"[:size]), Element(0x7FE00010, "OW", bytes(200_000))
        data = part10(encode([*ELEMENTS, comments, pixels, Element(0xFFFCFFFC, "OB", bytes(8))]), DEFLATED)
        out, account = rewritten(data + b"\0" * (size % 2), RULES)
        assert zlib.decompress(body_of(out), -zlib.MAX_WBITS) == encode([*EXPECTED, comments, pixels])
        assert (len(out) % 2, account.transfer_syntax_uid) == (0, DEFLATED)


def test_a_deflate_bomb_fails_and_what_just_fits_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = part10(encode([*identity(), Element(0x7FE00010, "OW", bytes(1 << 20))]), DEFLATED)
    assert failure(bomb, RULES) == ""
    monkeypatch.setattr(dicomfile, "MAX_HEAD", 1 << 20)
    assert failure(bomb, RULES) == "too-large"
    fits = part10(encode([*identity(), Element(0x7FE00010, "OW", bytes((1 << 20) - 200))]), DEFLATED)
    assert failure(fits, RULES) == ""


def test_damaged_deflated_data_fail() -> None:
    whole = part10(encode(ELEMENTS), DEFLATED)
    begin = len(whole) - len(zlib.compress(encode(ELEMENTS), wbits=-zlib.MAX_WBITS))
    assert {failure(whole[:cut], RULES) for cut in range(begin, len(whole))} == {"truncated"}
    assert failure(whole[:begin] + b"\xff" * 40, RULES) == "bad-deflate"


@every_form
@pytest.mark.parametrize("behind", [b"\0", b"\0" * 7, b"\0" * 8, b"\0" * 13, b"\0" * 70_000], ids=len)
def test_zeros_behind_the_data_set_are_dropped(behind: bytes, form: Form) -> None:
    for elements in (ELEMENTS, [*ELEMENTS, Element(0x7FE00010, "OW", bytes(100_000))]):
        expected = encode([ANON if element is NAME else element for element in elements], form)
        out, account = rewritten(part10(encode(elements, form) + behind, SYNTAXES[form]), RULES)
        assert (body_of(out), account.detail) == (expected, "")


@every_form
@pytest.mark.parametrize(
    "behind",
    [b"Smith^John", b"\x10", b"1234567", b"\0" * 20 + b"Smith^John" + b"\0" * 20],
    ids=["junk", "a byte", "less than a header", "after zeros"],
)
def test_other_bytes_behind_the_data_set_fail(behind: bytes, form: Form) -> None:
    assert failure(part10(encode(ELEMENTS, form) + behind, SYNTAXES[form]), RULES) != ""


@every_form
def test_group_lengths_and_trailing_padding_are_dropped_everywhere(form: Form) -> None:
    padding = Element(0xFFFCFFFC, "OB", b"Smith^John")
    lengths = [Element(tag, "UL", b"\0\0\0\1") for tag in (0x00080000, 0x00100000, 0x00110000)]
    inside = [*lengths, NAME, padding]
    elements = with_identity(*lengths, *sorted([NAME, sequence(0x00081110, sorted(inside))]), padding)
    expected = with_identity(ANON, sequence(0x00081110, [ANON]))
    assert deidentified(elements, RULES, form) == encode(expected, form)


def odd(*elements: Element, nested: bool) -> bytes:
    """A file of these elements in this order, at the top level or in an item."""
    if nested:
        return part10(encode(with_identity(sequence(0x00081110, list(elements)))))
    return part10(encode([*identity()[:2], *elements]))


@every_depth
def test_tags_out_of_order_are_put_in_order(nested: bool) -> None:
    date = Element(0x00100030, "DA", b"19500101")
    out, account = rewritten(odd(date, NAME, nested=nested), RULES)
    assert (body_of(out), account.detail) == (
        body_of(rewritten(odd(ANON, date, nested=nested), RULES)[0]),
        "re-encoded",
    )


def test_tags_out_of_order_behind_spliced_pixel_data_are_put_in_order() -> None:
    pixels = Element(0x7FE00010, "OW", bytes(100_000))
    for behind in ([NAME], [Element(0x7FE10010, "LO", b"ACME 1.0"), NAME]):
        out, account = rewritten(part10(encode([*identity(), pixels, *behind])), RULES)
        assert body_of(out) == encode([*EXPECTED, pixels, *behind[:-1]])
        assert account.detail == "re-encoded"


@every_depth
def test_of_a_tag_that_stands_twice_the_last_one_stays_and_is_treated(nested: bool) -> None:
    twice = odd(NAME._replace(value=b"Smith^Jane"), NAME, Element(0x00100020, "LO", b"4711"), nested=nested)
    out, account = rewritten(twice, RULES)
    once, _ = rewritten(odd(NAME, Element(0x00100020, "LO", b"4711"), nested=nested), RULES)
    assert (body_of(out), account.detail) == (body_of(once), "re-encoded")
    assert b"Smith" not in out


@pytest.mark.parametrize("uid", [SYNTAXES[EXPLICIT], "1.2.840.10008.1.2.4.70"])
def test_implicit_vr_where_explicit_was_promised_is_written_as_explicit_vr(uid: str) -> None:
    out, account = rewritten(part10(encode(ELEMENTS, IMPLICIT), uid), RULES)
    assert (body_of(out), account.detail) == (encode(EXPECTED), "re-encoded")


@pytest.mark.parametrize("vr", [b"??", b"PQ", b"pn", b"\0\0"])
def test_a_vr_that_nobody_knows_fails(vr: bytes) -> None:
    assert failure(part10(encode(ELEMENTS).replace(b"PN\x0a\0", vr + b"\x0a\0")), RULES) == "unknown-vr"


@pytest.mark.parametrize("form", [*FORMS.values(), None], ids=[*FORMS, "implicit where explicit was promised"])
def test_a_first_look_finds_the_identity_in_every_form_and_size(form: Form | None, tmp_path: Path) -> None:
    comments = Element(0x00104000, "LT", b"x" * 10_000)
    for elements in (ELEMENTS, with_identity(NAME, comments), with_identity(Element(0x00100020, "LO", b"4711"))):
        path = tmp_path / "file"
        path.write_bytes(part10(encode(elements, form or IMPLICIT), SYNTAXES[form or EXPLICIT]))
        patient = "\x004711" if elements[2].tag == 0x00100020 else ""
        found = Instance("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.3", "1.2.3.5", patient)
        assert dicomfile.probe(str(path)).instance == found


def test_odd_encodings_that_pydicom_reads_with_doubt_fail() -> None:
    backwards = [NAME, *identity()]
    assert failure(part10(encode(backwards, BIG), SYNTAXES[BIG]), RULES) == "tag-order"
    cut_off = [*backwards, Element(0x00280010, "US", 5, length=20)]
    assert failure(part10(encode(cut_off)), RULES) == "tag-order"
    ends_early = encode(backwards) + header(0xFFFEE00D, 0) + encode([Element(0x00204000, "LT", b"lost")])
    assert failure(part10(ends_early), RULES) in ("tag-order", "unknown-vr")
    deep = encode([sequence(0x00081110)._replace(value=b"", length=UNDEFINED)]) + header(0xFFFEE000, UNDEFINED)
    assert failure(part10(encode(backwards) + deep * 5000), RULES) in ("tag-order", "too-deep")


def test_what_is_no_dicom_is_skipped() -> None:
    for data in (b"", b"x", b"\0" * 200, PREFIX[:-1], b"Smith^John" * 100, encode([Element(0x00080005, "CS", b"")])):
        assert failure(data, RULES) == "not-dicom"
    media = meta(group_length(0), Element(0x00020002, "UI", b"1.2.840.10008.1.3.10"))
    assert failure(PREFIX + media + encode(identity()), RULES) == "dicomdir"
    assert failure(PREFIX + media.replace(b"1.3.10", b"1.3.1\0") + encode(identity()), RULES) == ""


def test_a_file_that_is_odd_even_when_re_encoded_fails_at_the_first_look_too(tmp_path: Path) -> None:
    whole = part10(encode(ELEMENTS))
    (tmp_path / "odd").write_bytes(whole[:148] + b"\0\0\0\x80" + whole[152:] + bytes(1 << 17))
    with pytest.raises(FileError) as raised:
        dicomfile.probe(str(tmp_path / "odd"))
    assert raised.value.reason == "bad-file-meta"
