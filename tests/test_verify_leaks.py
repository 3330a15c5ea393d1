"""The leak check finds each of these deliberately planted single leaks, and is silent without them."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from datetime import date
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest
from conftest import PYDICOM, SCANNERS
from datasets import Element, encode_element, header
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from deid_batch.config import load_config
from deid_batch.dicomfile import rewrite
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError
from deid_batch.rules import RuleSet
from deid_batch.sinks import MemorySink
from deid_batch.verify.comparison import Checker, Outcome
from deid_batch.verify.findings import Finding
from deid_batch.verify.promises import Promises

OPEN = '{"profile": "basic", "burnedIn": "allow", "encapsulatedDocuments": "keep"}'
MOVING = """{
  "profile": "basic", "options": ["retain_long_modified_dates", "retain_safe_private"], "burnedIn": "allow"
}"""
OWN = """{"dicomTagRules": [
    {"tag": {"VR": "PN"}, "method": "redact"}, {"tag": {"VR": "UI"}, "method": "refreshUID"},
    {"tag": {"VR": "DA"}, "method": "remove"}, {"tag": {"private": true}, "method": "remove"},
    {"tag": {"keyword": "PatientID"}, "method": "cryptohash"},
    {"tag": {"VR": "LO"}, "method": "remove"}, {"tag": {"VR": "SH"}, "method": "remove"},
    {"tag": {"VR": "ST"}, "method": "remove"}, {"tag": {"VR": "TM"}, "method": "remove"},
    {"tag": {"VR": "LT"}, "method": "remove"}, {"tag": {"VR": "AE"}, "method": "remove"},
    {"tag": {"keyword": "LongitudinalTemporalInformationModified"}, "method": "remove"}
]}"""
"""Rules that leave icons and other bytes where they are."""
SECRETS = (
    "Müller-Lüdenscheid", "Muller", "Mueller", "Jörg", "山田", "ﾔﾏﾀﾞ", "Okonkwo", "4711-0815", "47110815", "ACC778812",
    "19500102", "Lindenallee", "Sankt Marien", "5550187", "example.org", "MARIENCT7", "Brandl", "1.2.826.0.1.99",
)  # fmt: skip


def original(folder: Path, name: str) -> Path:
    """One of pydicom's files with a whole identity in it."""
    data_set = pydicom.dcmread(PYDICOM / name)
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.PatientName = "Müller-Lüdenscheid^Jörg^Okonkwo=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ"
    data_set.PatientID = "0004711-0815"
    data_set.AccessionNumber = "ACC778812"
    data_set.PatientBirthDate = "19500102"
    data_set.StudyDate = data_set.SeriesDate = data_set.ContentDate = "20040119"
    data_set.AcquisitionDate = "20040123"
    data_set.PatientAddress = "Lindenallee 12, 99999 Musterfeld"
    data_set.PatientTelephoneNumbers = "+49 (30) 555-0187"
    data_set.PatientTelecomInformation = "mailto:j.mueller@example.org"
    data_set.InstitutionName = "Sankt Marien Klinik"
    data_set.InstitutionalDepartmentName = "Kinderkardiologie Ost"
    data_set.StationName = "MARIENCT7"
    data_set.OperatorsName = "Brandl^Eva"
    data_set.StudyInstanceUID = "1.2.826.0.1.99.4711.1"
    data_set.SeriesInstanceUID = "1.2.826.0.1.99.4711.2"
    data_set.SOPInstanceUID = "1.2.826.0.1.99.4711.3"
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    reference = Dataset()
    reference.ReferencedSOPClassUID = data_set.SOPClassUID
    reference.ReferencedSOPInstanceUID = "1.2.826.0.1.99.4711.4"
    data_set.ReferencedImageSequence = [reference]
    data_set.add_new(0x00090010, "LO", "ACME 1.0")
    data_set.add_new(0x00091001, "LO", "something")
    path = folder / f"source-{name}"
    data_set.save_as(path)
    return path


class Base(NamedTuple):
    """An input, its clean output, and what compares them."""

    source: Path
    clean: bytes
    checker: Checker
    folder: Path

    def check(self, data: bytes, name: str = "") -> Outcome:
        output = self.folder / "output"
        output.write_bytes(data)
        return self.checker.check(str(self.source), str(output), name=name)


def settled(config: str, folder: Path) -> RuleSet:
    path = folder / "config.json"
    path.write_text(config)
    loaded = load_config(str(path))
    return loaded.settled(dict.fromkeys(loaded.missing_keys(), b"k" * 32), date(2026, 1, 31))


def cleaned(source: Path, rules: RuleSet) -> bytes:
    sink = MemorySink()
    rewrite(str(source), sink, CompiledRules(rules))
    return bytes(sink.data)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Base]:
    folder = tmp_path_factory.mktemp("leaks")

    @cache
    def made(name: str, config: str) -> Base:
        rules = settled(config, folder)
        source = original(folder, name)
        return Base(source, cleaned(source, rules), Checker(Promises(rules)), folder)

    return made


# ---- ways to plant ----


def edited(data: bytes, change: Callable[[Dataset], None]) -> bytes:
    """A file with a changed data set."""
    data_set = pydicom.dcmread(BytesIO(data))
    change(data_set)
    buffer = BytesIO()
    data_set.save_as(buffer)
    return bytes(128) + buffer.getvalue()[128:]


def put(tag: int, vr: str, value: object) -> Callable[[bytes], bytes]:
    return partial(edited, change=lambda data_set: data_set.add_new(tag, vr, value))


def put_private(element: int, vr: str, value: object) -> Callable[[bytes], bytes]:
    def change(data_set: Dataset) -> None:
        data_set.add_new(0x00290010, "LO", "SOME VENDOR")
        data_set.add_new(0x00291000 | element, vr, value)

    return partial(edited, change=change)


def put_meta(tag: int, vr: str, value: bytes) -> Callable[[bytes], bytes]:
    """An element in File Meta Information, as bytes: pydicom would see to it that all is right."""

    def planted(data: bytes) -> bytes:
        more = encode_element(Element(tag, vr, value))
        length = int.from_bytes(data[140:144], "little")
        body = data[:144] + data[144 : 144 + length] + more + data[144 + length :]
        return body[:140] + (length + len(more)).to_bytes(4, "little") + body[144:]

    return planted


def nested(depth: int, tag: int, vr: str, value: object) -> Callable[[bytes], bytes]:
    """An element in items within items."""

    def change(data_set: Dataset) -> None:
        inner = Dataset()
        inner.add_new(tag, vr, value)
        for _ in range(depth):
            outer = Dataset()
            outer.add_new(0x00081115, "SQ", [inner])
            inner = outer
        data_set.add_new(0x00081115, "SQ", [inner])

    return partial(edited, change=change)


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Other bytes of the same length in the place of some."""
    assert len(old) == len(new)

    def planted(data: bytes) -> bytes:
        assert data.count(old) >= 1
        return data.replace(old, new)

    return planted


def in_preamble(data: bytes) -> bytes:
    return b"Okonkwo".ljust(128, b"\0") + data[128:]


def behind(text: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + text


def trailing_padding(data: bytes) -> bytes:
    return data + struct.pack("<HH2s2xI", 0xFFFC, 0xFFFC, b"OB", 8) + b"Okonkwo\0"


def group_length(data: bytes) -> bytes:
    """A group length of group 0010 that says a word."""
    at = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    return data[:at] + struct.pack("<HH2sH4s", 0x0010, 0, b"UL", 4, b"Joer") + data[at:]


def uid_padding(data: bytes) -> bytes:
    """Bytes behind the padding of a UID."""
    at = data.index(struct.pack("<HH2s", 0x0008, 0x0016, b"UI"))
    length = struct.unpack_from("<H", data, at + 6)[0]
    value = data[at + 8 : at + 8 + length].rstrip(b"\0") + b"\0OKONKWO"
    value += b"\0" * (len(value) % 2)
    return data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :]


def pixel_flipped(data: bytes) -> bytes:
    return data[:-101] + bytes([data[-101] ^ 1]) + data[-100:]


def behind_pixels(data: bytes) -> bytes:
    """An element behind Pixel Data."""
    return data + struct.pack("<HH2sH", 0x7FE1, 0x1001, b"LO", 8) + b"Okonkwo "


def hidden_in_un(data: bytes) -> bytes:
    """A sequence that says it is bytes. (PS3.5 6.2.2)"""
    inner = struct.pack("<HHI", 0x0010, 0x0010, 14) + b"Okonkwo^Joerg "
    items = header(0xFFFEE000, len(inner)) + inner
    return edited(data, lambda data_set: data_set.add_new(0x00291010, "UN", items))


def syntax_lies(data: bytes) -> bytes:
    """Implicit VR is claimed, and VRs are written."""
    return replaced(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")(data)


def other_syntax(data: bytes) -> bytes:
    data_set = pydicom.dcmread(BytesIO(data))
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.decompress() if data_set.is_decompressed is False else None
    buffer = BytesIO()
    data_set.save_as(buffer, implicit_vr=False, little_endian=True)
    return bytes(128) + buffer.getvalue()[128:]


def other_meta_uid(data: bytes) -> bytes:
    length = int.from_bytes(data[140:144], "little")
    meta = data[: 144 + length]
    at = meta.index(struct.pack("<HH2s", 0x0002, 0x0003, b"UI")) + 10
    return data[:at] + (b"3" if data[at : at + 1] != b"3" else b"4") + data[at + 1 :]


def with_frame(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A changed first fragment of Pixel Data."""

    def planted(data: bytes) -> bytes:
        data_set = pydicom.dcmread(BytesIO(data))
        frame = next(generate_frames(data_set.PixelData, number_of_frames=1))
        data_set.PixelData = encapsulate([change(frame)])
        buffer = BytesIO()
        data_set.save_as(buffer)
        return bytes(128) + buffer.getvalue()[128:]

    return planted


def segment(marker: int, text: bytes) -> Callable[[bytes], bytes]:
    """A marker segment behind the start of a JPEG image."""
    return with_frame(
        lambda frame: frame[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(text) + 2) + text + frame[2:]
    )


def boxed(kind: bytes, text: bytes) -> Callable[[bytes], bytes]:
    """A JPEG 2000 code stream in a JP2 file, with a box before it. (ISO 15444-1 I)"""
    signature = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 "

    def change(frame: bytes) -> bytes:
        box = struct.pack(">I4s", 8 + len(text), kind) + text
        return signature + box + struct.pack(">I4s", 8 + len(frame), b"jp2c") + frame

    return with_frame(change)


def codestream_comment(text: bytes) -> Callable[[bytes], bytes]:
    at = 2 + 2

    def change(frame: bytes) -> bytes:
        stop = at + int.from_bytes(frame[at : at + 2], "big")
        return frame[:stop] + b"\xff\x64" + struct.pack(">HH", len(text) + 4, 1) + text + frame[stop:]

    return with_frame(change)


def pdf(text: bytes) -> bytes:
    stream = zlib.compress(b"BT (" + text + b") Tj ET " * 20)
    return b"%PDF-1.4\n1 0 obj\n<</Filter /FlateDecode>>\nstream\n" + stream + b"\nendstream\nendobj\n"


def icon(data: bytes) -> bytes:
    """An icon in JPEG whose comment tells a name."""
    jpeg = b"\xff\xd8\xff\xfe" + struct.pack(">H", 9) + b"Okonkwo" + b"\xff\xd9"
    item = Dataset()
    item.Rows = item.Columns = 1
    item.add_new(0x7FE00010, "OB", jpeg + b"\0" * (len(jpeg) % 2))
    return edited(data, lambda data_set: data_set.add_new(0x00880200, "SQ", [item]))


def icon_uid(data: bytes) -> bytes:
    item = Dataset()
    item.Rows = item.Columns = 1
    item.IrradiationEventUID = "1.2.826.0.1.99.4711.3"
    return edited(data, lambda data_set: data_set.add_new(0x00880200, "SQ", [item]))


def mark(keyword: str, value: str) -> Callable[[bytes], bytes]:
    return partial(edited, change=lambda data_set: setattr(data_set, keyword, value))


def claim(data: bytes) -> bytes:
    """A code for an option that the config does not have."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113109", "DCM", "Retain Device Identity Option"
    return edited(data, lambda data_set: data_set[0x00120064].value.append(item))


def unmoved(data: bytes) -> bytes:
    return edited(data, lambda data_set: setattr(data_set, "StudyDate", "20040119"))


def other_interval(data: bytes) -> bytes:
    def change(data_set: Dataset) -> None:
        day = date.fromisoformat(data_set.AcquisitionDate)
        data_set.AcquisitionDate = day.replace(day=day.day % 28 + 1).strftime("%Y%m%d")

    return edited(data, change)


CT, JPEG, J2K, DEFLATED = "CT_small.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm", "image_dfl.dcm"
DESCRIPTION, COMMENTS, LABEL = 0x00181400, 0x00204000, 0x00700080
"""Acquisition Device Processing Description, Image Comments, Content Label."""
UNKNOWN_TEXT = 0x00081080
"""Admitting Diagnoses Description: any free text would do, for no element of the output tells its rule."""


class Leak(NamedTuple):
    """A leak: how it is planted, what is to be found, and where."""

    plant: Callable[[bytes], bytes]
    kind: str
    place: str
    file: str = CT
    config: str = OPEN


LEAKS = {
    "a name in the preamble": Leak(in_preamble, "preamble", "preamble"),
    "an AE title in File Meta Information": Leak(
        put_meta(0x00020016, "AE", b"SCANNER9"), "file-meta", "SourceApplicationEntityTitle"
    ),
    "private information in File Meta Information": Leak(
        put_meta(0x00020102, "OB", b"Okonkwo "), "file-meta", "PrivateInformation"
    ),
    "another UID in File Meta Information": Leak(other_meta_uid, "file-meta", "MediaStorageSOPInstanceUID"),
    "bytes behind the data set": Leak(behind(b"Okonkwo "), "transfer-syntax", "the data set"),
    "a name behind the data set": Leak(behind(b" Okonkwo "), "person", "between the elements"),
    "Data Set Trailing Padding": Leak(trailing_padding, "trailing-bytes", "(FFFC,FFFC)"),
    "bytes behind deflated data": Leak(behind(b" Okonkwo "), "trailing-bytes", "behind the data set", DEFLATED),
    "an element behind Pixel Data": Leak(behind_pixels, "person", "(7FE1,1001)"),
    "a group length that says a word": Leak(group_length, "structure", "(0010,0000)"),
    "bytes behind the padding of a UID": Leak(uid_padding, "structure", "SOPClassUID"),
    "a private element": Leak(put_private(1, "LO", "seen by Dr. Okonkwo"), "person", "(0029,1001)"),
    "three items deep": Leak(nested(2, 0x0008103E, "LO", "Thorax Okonkwo"), "person", "[1] / (0008,1115)[1] / "),
    "a sequence hidden in UN": Leak(hidden_in_un, "person", "(0029,1010)[1] / (0010,0010)"),
    "the Patient's Name as it was": Leak(
        put(0x00100010, "PN", "Müller-Lüdenscheid^Jörg^Okonkwo"), "person", "PatientName"
    ),
    "a name in another order": Leak(put(COMMENTS, "LT", "Joerg Okonkwo Mueller-L."), "person", "ImageComments"),
    "a name without diacritics": Leak(put(DESCRIPTION, "LO", "MULLER"), "person", "(0018,1400)"),
    "an umlaut as two letters": Leak(put(DESCRIPTION, "LO", "für H. MUELLER"), "person", "(0018,1400)"),
    "a name within a word of two": Leak(put(DESCRIPTION, "LO", "OKONKWO_JOERG_CT"), "person", "(0018,1400)"),
    "an ideographic name": Leak(put(COMMENTS, "LT", "患者山田太郎様"), "person", "ImageComments"),
    "half-width kana": Leak(put(COMMENTS, "LT", "カルテ: ヤマダ"), "person", "ImageComments"),
    "an operator": Leak(put(COMMENTS, "LT", "done by E. Brandl"), "person", "ImageComments"),
    "UTF-16 in bytes": Leak(put_private(2, "OB", "xx Okonkwo xx".encode("utf-16-le")), "person", "(0029,1002)"),
    "UTF-16, big endian": Leak(put_private(2, "OB", "xx Okonkwo xx".encode("utf-16-be")), "person", "(0029,1002)"),
    "Latin-1 in bytes": Leak(put_private(2, "OB", "\x01\x02Lüdenscheid!".encode("latin-1")), "person", "(0029,1002)"),
    "an ID without zeros and separators": Leak(put(COMMENTS, "LT", "see 47110815"), "id", "ImageComments"),
    "an ID with other separators": Leak(put(COMMENTS, "LT", "see 4711.0815"), "id", "ImageComments"),
    "an accession number": Leak(put(COMMENTS, "LT", "order acc-778812"), "id", "ImageComments"),
    "a birth date in words": Leak(put(COMMENTS, "LT", "born 2 Jan 1950"), "birth-date", "ImageComments"),
    "a birth date with dots": Leak(put(COMMENTS, "LT", "geb. 02.01.1950"), "birth-date", "ImageComments"),
    "a birth date in US order": Leak(put(COMMENTS, "LT", "DOB 01/02/1950"), "birth-date", "ImageComments"),
    "a telephone number": Leak(put(COMMENTS, "LT", "call 030 5550187"), "telephone", "ImageComments"),
    "an e-mail address": Leak(put(COMMENTS, "LT", "J.Mueller@example.org"), "email", "ImageComments"),
    "an address": Leak(put(COMMENTS, "LT", "Lindenallee 12"), "address", "ImageComments"),
    "an institution": Leak(put(DESCRIPTION, "LO", "SANKT MARIEN KLINIK CT"), "institution", "(0018,1400)"),
    "a department": Leak(put(DESCRIPTION, "LO", "Kinderkardiologie Ost"), "institution", "(0018,1400)"),
    "a station": Leak(put(DESCRIPTION, "LO", "from MARIENCT7"), "institution", "(0018,1400)"),
    "an original UID in a reference": Leak(
        nested(0, 0x00081155, "UI", "1.2.826.0.1.99.4711.4"), "uid", "ReferencedSOPInstanceUID", config=OWN
    ),
    "an original UID in text": Leak(put(COMMENTS, "LT", "see 1.2.826.0.1.99.4711.1."), "uid", "ImageComments"),
    "an original UID in bytes": Leak(
        put_private(3, "OB", b"\x03\x04(1.2.826.0.1.99.4711.1)\x05\x06 "), "uid", "(0029,1003)"
    ),
    "an original UID in an icon": Leak(icon_uid, "uid", "(0088,0200)[1]"),
    "a JPEG comment in an icon": Leak(icon, "person", "(0088,0200)[1] / (7FE0,0010)", config=OWN),
    "gzip in bytes": Leak(put_private(4, "OB", gzip.compress(b"patient: Okonkwo ")), "person", "(0029,1004)"),
    "zlib in UN": Leak(put_private(4, "UN", b"\1\2" + zlib.compress(b"patient: Okonkwo ")), "person", "(0029,1004)"),
    "deflated text of a PDF": Leak(put(0x00420011, "OB", pdf(b"Okonkwo, Joerg")), "person", "EncapsulatedDocument"),
    "text of a deflated data set": Leak(put(COMMENTS, "LT", "Okonkwo"), "person", "ImageComments", DEFLATED),
    "a JPEG COM segment": Leak(segment(0xFE, b"Okonkwo"), "person", "PixelData", JPEG),
    "a JPEG APP1 segment": Leak(segment(0xE1, b"Exif\0\0MM\0*Artist Okonkwo\0"), "person", "PixelData", JPEG),
    "bytes behind a JPEG image": Leak(with_frame(lambda it: it + b"\0\0Okonkwo!"), "person", "PixelData", JPEG),
    "a JP2 uuid box": Leak(boxed(b"uuid", bytes(16) + b"Okonkwo"), "person", "PixelData", J2K),
    "a JP2 xml box": Leak(boxed(b"xml ", b"<name>Okonkwo</name>"), "person", "PixelData", J2K),
    "a JPEG 2000 comment": Leak(codestream_comment(b"by Okonkwo"), "person", "PixelData", J2K),
    "the data of an overlay": Leak(put(0x60003000, "OW", b"\0\0 Okonkwo\0\0\0"), "person", "(6000,3000)"),
    "the data of a curve": Leak(put(0x50003000, "OW", b"\0\0 Okonkwo\0\0\0"), "person", "(5000,3000)"),
    "the description of an overlay": Leak(put(0x60000022, "LO", "ROI Okonkwo"), "person", "(6000,0022)"),
    "a pixel of another value": Leak(pixel_flipped, "pixel-data", "PixelData"),
    "Pixel Data that is gone": Leak(partial(edited, change=lambda it: it.pop(0x7FE00010)), "pixel-data", "PixelData"),
    "a transfer syntax that lies": Leak(syntax_lies, "transfer-syntax", "the data set"),
    "another transfer syntax": Leak(
        replaced(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"), "transfer-syntax", "TransferSyntaxUID"
    ),
    "a private date that has not moved": Leak(put_private(5, "DA", "20040119"), "date", "(0029,1005)", config=MOVING),
    "a public date that has not moved": Leak(unmoved, "date", "StudyDate", config=MOVING),
    "a date in text": Leak(put(COMMENTS, "LT", "scan of 19 Jan 2004"), "date", "ImageComments", config=MOVING),
    "a date that should be gone": Leak(put(0x00080022, "DA", "20040123"), "date", "AcquisitionDate"),
    "another interval": Leak(other_interval, "interval", "Date", config=MOVING),
    "no word of the identity that is gone": Leak(
        partial(edited, change=lambda it: it.pop(0x00120062)), "mark", "PatientIdentityRemoved"
    ),
    "a claim that is not so": Leak(claim, "mark", "DeidentificationMethodCodeSequence"),
    "dates are said to be unmodified": Leak(
        mark("LongitudinalTemporalInformationModified", "UNMODIFIED"), "mark", "(0028,0303)", config=MOVING
    ),
    "burned-in text is denied": Leak(mark("BurnedInAnnotation", "NO"), "mark", "BurnedInAnnotation"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found_in_its_place_and_not_repeated(name: str, base: Callable[[str, str], Base]) -> None:
    leak = LEAKS[name]
    it = base(leak.file, leak.config)
    findings = it.check(leak.plant(it.clean)).findings
    assert any(finding.kind == leak.kind and leak.place in finding.place for finding in findings), findings
    assert not any(secret.casefold() in repr(findings).casefold() for secret in SECRETS)


@pytest.mark.parametrize(("file", "config"), sorted({(leak.file, leak.config) for leak in LEAKS.values()}))
def test_nothing_is_found_without_it(file: str, config: str, base: Callable[[str, str], Base]) -> None:
    it = base(file, config)
    assert it.check(it.clean).findings == ()
    assert [found for found in it.check(edited(it.clean, lambda _: None)).findings if found.kind != "file-meta"] == []


NAMES = {
    "okonkwo/CT/1": ("a folder's name", "person"),
    "CT/Joerg_Okonkwo.dcm": ("the file's name", "person"),
    "4711-0815/1": ("a folder's name", "id"),
    "x/1.2.826.0.1.99.4711.3.dcm": ("the file's name", "uid"),
    "1950-01-02/1": ("a folder's name", "birth-date"),
    "20040119/1": ("a folder's name", "date"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_tells_is_found(name: str, base: Callable[[str, str], Base]) -> None:
    it = base(CT, OPEN)
    place, kind = NAMES[name]
    assert it.check(it.clean, name).findings[0] == Finding(place, kind, "in the name")


HARMLESS = {
    "a common word that is also a name": put(COMMENTS, "LT", "the ost of the list, klinik and joe"),
    "part of a longer number": put(COMMENTS, "LT", "94711081577"),
    "part of a longer word": put(DESCRIPTION, "LO", "Brandlhof Okonkwoa"),
    "another day": put(COMMENTS, "LT", "3 Jan 1950, 2 Feb 1950"),
    "another UID": put(COMMENTS, "LT", "1.2.826.0.1.99.4711.33"),
    "a word of a phrase": put(COMMENTS, "LT", "Klinik, Sankt"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_like_it_is_no_finding(name: str, base: Callable[[str, str], Base]) -> None:
    it = base(CT, OWN)
    found = [finding for finding in it.check(HARMLESS[name](it.clean)).findings if finding.kind != "file-meta"]
    assert found == []


def real_files() -> list[Path]:
    folders = [PYDICOM, PYDICOM.parent / "charset_files", *([SCANNERS] if SCANNERS.is_dir() else [])]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("config", ["basic", "research-longitudinal", "hipaa-safe-harbor", "keep-uids"])
def test_clean_outputs_of_real_files_are_passed_over_in_silence(config: str, tmp_path: Path) -> None:
    loaded = load_config(config)
    rules = loaded.settled(dict.fromkeys(loaded.missing_keys(), b"k" * 32), date(2026, 1, 31))
    checker, compared, output = Checker(Promises(rules)), 0, tmp_path / "output"
    for path in real_files():
        try:
            output.write_bytes(cleaned(path, rules))
        except FileError:
            continue
        assert checker.check(str(path), str(output)).findings == (), path.name
        compared += 1
    assert compared > 80
