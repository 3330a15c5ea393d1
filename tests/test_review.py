"""The list of what is left in OUT: every value wherever it stands, the suspicious first, and nothing is lost."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from conftest import INSTANCES, PYDICOM, Place, deid, deid_here, lay, tree
from datasets import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MEMORY,
    SYNTAXES,
    Element,
    Form,
    Fragments,
    Generated,
    encode,
    files,
    identity,
    part10,
    sequence,
    with_identity,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.multival import MultiValue

from deid_batch.errors import FileError
from deid_batch.remains import Wanted, remains_of
from deid_batch.remnants import LONGEST, names_of, text_runs

Row = dict[str, str]
COLUMNS = ["points", "value", "kind", "patients", "files", "occurrences", "tag", "keyword", "vr", "creator", "reasons"]


def listed(*arguments: object, code: int = 0) -> list[Row]:
    """The rows of `deid-batch review`."""
    result = deid_here("review", *arguments, "--no-progress", "-j1")
    assert result.returncode == code, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout, newline="")))


def found(rows: list[Row], value: str) -> Row:
    """The one row of a value."""
    (row,) = [row for row in rows if row["value"] == value]
    return row


def write(
    folder: Path, name: str, *elements: Element, form: Form = EXPLICIT, syntax: str = "", end: bytes = b""
) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    body = encode(with_identity(*elements), form) + end
    (folder / name).write_bytes(part10(body, syntax or SYNTAXES[form]))


def patient(number: int) -> Element:
    return Element(0x00100020, "LO", b"%06d" % number)


# ---- what is listed ----

NAME = b"Kowalczyk"
TEXT = Element(0x00081030, "LO", NAME)
PLACES: dict[str, tuple[list[Element], str, str]] = {
    "the top level": ([TEXT], "(0008,1030)", "StudyDescription"),
    "an item three deep": (
        [sequence(0x00081110, [sequence(0x00081140, [sequence(0x00400275, [TEXT])])])],
        "(0008,1110)/(0008,1140)/(0040,0275)/(0008,1030)",
        "ReferencedStudySequence/ReferencedImageSequence/RequestAttributesSequence/StudyDescription",
    ),
    "sequences of undefined length": (
        [sequence(0x00400275, [TEXT], is_undefined=True)],
        "(0040,0275)/(0008,1030)",
        "RequestAttributesSequence/StudyDescription",
    ),
    "an unknown private element": (
        [Element(0x00410010, "LO", b"ACME 1.0"), Element(0x00411001, "LO", NAME)],
        "(0041,xx01)",
        "[ACME 1.0]",
    ),
    "text in an OB": (
        [Element(0x00410010, "LO", b"ACME 1.0"), Element(0x00411001, "OB", NAME)],
        "(0041,xx01)",
        "[ACME 1.0]",
    ),
    "text among the bytes of an OB": (
        [Element(0x00410010, "LO", b"ACME 1.0"), Element(0x00411001, "OB", b"\1\0\xff" + NAME + b"\0\2")],
        "(0041,xx01)",
        "[ACME 1.0]",
    ),
    "UTF-16 in an OB": (
        [Element(0x00410010, "LO", b"ACME 1.0"), Element(0x00411001, "OB", b"\1\0" + "Kowalczyk".encode("utf-16-le"))],
        "(0041,xx01)",
        "[ACME 1.0]",
    ),
    "a bad UID": ([Element(0x00081155, "UI", NAME)], "(0008,1155)", "ReferencedSOPInstanceUID"),
    "a bad number": ([Element(0x00101030, "DS", NAME)], "(0010,1030)", "PatientWeight"),
    "a bad time": ([Element(0x00080030, "TM", NAME)], "(0008,0030)", "StudyTime"),
    "an overlay's label": ([Element(0x60001500, "LO", NAME)], "(6000,1500)", "OverlayLabel"),
}  # fmt: skip


@pytest.mark.parametrize("form", [EXPLICIT, BIG, IMPLICIT], ids=["explicit", "big endian", "implicit"])
@pytest.mark.parametrize("place", PLACES)
def test_a_value_is_listed_wherever_it_stands(tmp_path: Path, place: str, form: Form) -> None:
    elements, tag, keyword = PLACES[place]
    write(tmp_path, "file", *elements, form=form)
    row = found(listed(tmp_path), "Kowalczyk")
    assert (row["tag"], row["keyword"], row["kind"]) == (tag, keyword, "value")
    assert (row["patients"], row["files"], row["occurrences"]) == ("1", "1", "1")
    assert int(row["points"]) >= 20


def test_a_value_hidden_in_un_is_listed(tmp_path: Path) -> None:
    hidden = sequence(0x00400275, [TEXT])._replace(is_wrapped=True)
    private = Element(0x00411001, "UN", encode([sequence(0x00411001, [TEXT])], IMPLICIT)[8:])
    write(tmp_path, "file", hidden, Element(0x00410010, "LO", b"ACME 1.0"), private)
    tags = {row["tag"] for row in listed(tmp_path) if row["value"] == "Kowalczyk"}
    assert tags == {"(0040,0275)/(0008,1030)", "(0041,xx01)/(0008,1030)"}


def jpeg(comment: bytes) -> bytes:
    return b"\xff\xd8\xff\xe0\0\4ab\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + b"\xff\xda\0\2\xff\xd9"


def test_what_stands_outside_the_data_set_is_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "Kowalczyk/Ms Nowak.dcm",
        Element(0x7FE00010, "OB", Fragments((b"", jpeg(b"by Zielinski")))),
        syntax=JPEG,
    )
    path = tmp_path / "Kowalczyk/Ms Nowak.dcm"
    whole = path.read_bytes()
    path.write_bytes(b"PREAMBLE of Lewandowski".ljust(128, b"\0") + whole[128:])
    rows = listed(tmp_path)
    assert found(rows, "Kowalczyk")["keyword"] == "(folder name)"
    assert found(rows, "Ms Nowak.dcm")["keyword"] == "(file name)"
    assert found(rows, "by Zielinski")["keyword"] == "PixelData"
    assert found(rows, "PREAMBLE of Lewandowski")["keyword"] == "(preamble)"
    assert found(rows, "SOURCE")["keyword"] == "SourceApplicationEntityTitle"


def test_bytes_behind_the_data_set_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "file", end=bytes(8) + b"left by Kowalczyk")
    assert found(listed(tmp_path), "left by Kowalczyk")["keyword"] == "(behind the data set)"


def test_what_can_not_identify_is_told_in_sum(tmp_path: Path) -> None:
    def more(number: int) -> list[Element]:
        return [
            Element(0x00080030, "TM", b"10111%d.5" % number), Element(0x0008002A, "DT", b"2024022911121%d" % number),
            Element(0x00201041, "DS", b"%d.5 " % number), Element(0x00280010, "US", 512),
            Element(0x00411001, "OB", bytes(range(1, 11)) * (number + 1)), Element(0x00410010, "LO", b"ACME"),
        ]  # fmt: skip

    for number in range(3):
        write(tmp_path, f"1.2.3.{number}.dcm", *more(number))
    rows = {row["keyword"]: (row["kind"], row["value"], row["files"]) for row in listed(tmp_path)}
    assert rows["StudyInstanceUID"] == ("UIDs", "", "3")
    assert rows["StudyTime"] == ("times", "", "3")
    assert rows["SliceLocation"] == ("numbers", "0.5 to 2.5", "3")
    assert rows["[ACME]"] == ("bytes", "10 to 30", "3")
    assert rows["AcquisitionDateTime"] == ("value", "20240229…", "3")
    assert rows["(file name)"] == ("UIDs", "", "3")
    assert "Rows" not in rows
    every = listed(tmp_path, "--all")
    assert found(every, "1.5")["keyword"] == "SliceLocation"
    assert found(every, "512")["keyword"] == "Rows"
    assert found(every, "1.2.3")["keyword"] == "StudyInstanceUID"
    assert {row["value"] for row in every if row["keyword"] == "StudyTime"} == {f"10111{n}.5" for n in range(3)}


# ---- nothing is lost: against pydicom ----


def texts(dataset: pydicom.Dataset) -> Iterator[str]:
    """All values that pydicom reads as text, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from texts(item)
        elif element.VR in ("LO", "SH", "PN", "CS", "AE", "LT", "ST", "UT", "UC", "DA"):
            values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
            yield from (str(value).strip() for value in values if value is not None and str(value).strip(" \0"))


@pytest.mark.parametrize("folder", ["test_files", "charset_files"])
def test_every_text_that_pydicom_reads_in_a_real_file_is_listed(folder: str) -> None:
    read = 0
    for path in sorted((PYDICOM.parent / folder).glob("*.dcm")):
        try:
            counts = remains_of(str(path), Wanted(every=True)).counts
        except FileError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, force=True)
            expected = {" ".join(text.strip("=").split()) for text in texts(dataset)}
        told = {" ".join(remnant.value.strip("=").split()) for remnant in counts if remnant.kind == "value"}
        assert {text for text in expected - told if len(text) < LONGEST and "�" not in text} == set(), path.name
        read += 1
    assert read > (12 if folder == "charset_files" else 70)


@settings(max_examples=60)
@given(files(), st.data())
def test_any_file_is_read_or_told_and_always_the_same(file: Generated, data: st.DataObject) -> None:
    path = Path(MEMORY or ".", f"review-{os.getpid()}")
    changed = bytearray(file.data)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        path.write_bytes(changed)
        outcomes = set()
        for _ in range(2):
            try:
                outcomes.add(repr(sorted(remains_of(str(path), Wanted(every=True)).counts.items())))
            except FileError as error:
                outcomes.add(error.reason)
    finally:
        path.unlink()
    assert len(outcomes) == 1
    assert outcomes != {"internal-error"}


# ---- in which order, and how often ----


def test_a_name_left_in_one_file_of_a_deidentified_tree_comes_first(place: Place) -> None:
    lay(place, INSTANCES)
    place.config.write_text('{"profile": "basic", "burnedIn": "allow", "options": ["clean_descriptors"]}')
    assert place.run_here().returncode == 0
    before = listed(place.out)
    dataset = pydicom.dcmread(place.out / "PAT1/MR/IM2")
    dataset.SeriesDescription = "T2 sag 3mm Kowalczyk Jan"
    dataset.save_as(place.out / "PAT1/MR/IM2")
    rows = listed(place.out)
    assert len(rows) > 50
    assert len(rows) in (len(before), len(before) + 1)
    assert "T2 sag 3mm Kowalczyk Jan" in [row["value"] for row in rows[:5]]
    assert [int(row["points"]) for row in rows] == sorted((int(row["points"]) for row in rows), reverse=True)


def test_what_one_patient_has_comes_before_what_all_have(tmp_path: Path) -> None:
    for number in range(6):
        name = b"Zielinski" if number == 3 else b"Kowalczyk"
        write(tmp_path, f"{number}/a", patient(number), Element(0x00081030, "LO", name))
        write(tmp_path, f"{number}/b", patient(number), Element(0x00081030, "LO", name + b"\\" + name))
    rows = listed(tmp_path, "--tag", "StudyDescription")
    assert [(row["value"], row["patients"], row["files"], row["occurrences"]) for row in rows] == [
        ("Zielinski", "1", "2", "3"), ("Kowalczyk", "5", "10", "15"),
    ]  # fmt: skip
    assert "of one patient only" in rows[0]["reasons"]
    assert "of one patient only" not in rows[1]["reasons"]


def test_more_patients_than_are_counted_are_told_as_such(tmp_path: Path) -> None:
    for number in range(130):
        write(tmp_path, f"{number}", patient(number), TEXT)
    assert found(listed(tmp_path), "Kowalczyk")["patients"] == "100 or more"


def test_files_without_patient_id_are_told_apart_by_their_study(tmp_path: Path) -> None:
    for number in range(4):
        uids = [element for element in identity() if element.tag != 0x0020000D]
        study = Element(0x0020000D, "UI", b"1.2.%d" % (number // 2))
        body = encode(sorted([*uids, study, TEXT], key=lambda element: element.tag))
        (tmp_path / f"{number}").write_bytes(part10(body))
    assert found(listed(tmp_path), "Kowalczyk")["patients"] == "2"


def test_jobs_and_backwards_order_do_not_matter(study: Place) -> None:
    one, two = (run("review", study.source, "-j", jobs).stdout for run, jobs in ((deid_here, 1), (deid, 2)))
    assert one == two
    assert one.splitlines()[0] == ",".join(COLUMNS)


# ---- what is asked for ----


@pytest.mark.parametrize(
    ("options", "tags"),
    [
        (["--tag", "PatientID"], {"(0010,0020)"}),
        (["--tag", "(0010,xxxx)"], {"(0010,0010)", "(0010,0020)", "(0040,0275)/(0010,0010)"}),
        (["--tag", "RequestAttributesSequence/PatientName"], {"(0040,0275)/(0010,0010)"}),
        (["--vr", "pn"], {"(0010,0010)", "(0040,0275)/(0010,0010)"}),
        (["--tag", "PatientID", "--tag", '(0041,xx01,"ACME")'], {"(0010,0020)", "(0041,xx01)"}),
        (["--tag", "(0010,xxxx)", "--vr", "LO"], {"(0010,0020)"}),
    ],
)
def test_filters_leave_what_is_asked_for(tmp_path: Path, options: list[str], tags: set[str]) -> None:
    name = Element(0x00100010, "PN", b"Kowalczyk^Jan")
    private = [Element(0x00410010, "LO", b"ACME"), Element(0x00411001, "LO", b"text")]
    write(tmp_path, "file", name, patient(1), sequence(0x00400275, [name]), *private)
    assert {row["tag"] for row in listed(tmp_path, *options)} == tags


def test_the_list_is_csv_that_no_spreadsheet_takes_for_formulas(tmp_path: Path) -> None:
    values = ['=HYPERLINK("x")', "+49 30 123", "-1", "@SUM(1)", 'say "hi", there', "two\r\nlines", "Ünï 山田 \u202e"]
    for number, value in enumerate(values):
        elements = [Element(0x00080005, "CS", b"ISO_IR 192"), Element(0x00104000, "LT", value.encode())]
        write(tmp_path / "out", f"{number}", *elements)
    result = deid_here("review", tmp_path / "out", "-o", tmp_path / "list.csv", "--tag", "PatientComments")
    assert (result.returncode, result.stdout) == (0, "")
    data = (tmp_path / "list.csv").read_bytes()
    assert data.count(b"\r\n") == len(values) + 2
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    shown = {f"'{value}" if value[0] in "=+-@" else value for value in values}
    assert {row["value"] for row in rows} == shown
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o600


def test_a_name_of_bytes_that_are_no_utf_8_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "file")
    os.rename(tmp_path / "file", os.fsencode(tmp_path) + b"/M\xfcller")
    assert "M\\xfcller" in {row["value"] for row in listed(tmp_path)}


# ---- how it ends ----


def test_files_that_can_not_be_read_are_told_first_and_others_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "sound", TEXT)
    whole = (tmp_path / "sound").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-3])
    (tmp_path / "text").write_bytes(b"nothing but text")
    (tmp_path / "link").symlink_to("/etc/hostname")
    rows = listed(tmp_path, code=1)
    assert [(row["value"], row["kind"]) for row in rows[:3]] == [
        ("./cut: truncated", "unread"), ("./link: link-outside", "unread"), ("./text: not-dicom", "unread"),
    ]  # fmt: skip
    assert found(rows, "Kowalczyk")["files"] == "1"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere"], 3, "OUT does not exist"),
        (["empty"], 3, "OUT holds no DICOM file that can be read"),
        (["out", "-o", "out/list.csv"], 2, "OUT is what gets handed out"),
        (["out", "-o", "out/sub/../list.csv"], 2, "OUT is what gets handed out"),
        (["out", "-o", "there.csv"], 2, "is there already"),
        (["out", "-o", "nowhere/list.csv"], 5, "the list can't be written"),
        (["out", "--tag", "PatientNam"], 2, "did you mean"),
        (["out", "--vr", "XX"], 2, "unknown VR"),
    ],
)
def test_a_wrong_call_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "out/sub/file", TEXT)
    (tmp_path / "there.csv").write_text("somebody's")
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    result = deid_here("review", *arguments, "-j1")
    assert (result.returncode, result.stdout) == (code, "")
    assert told in result.stderr
    assert tree(tmp_path) == before


def test_out_is_not_touched_and_nothing_is_left_elsewhere(study: Place, tmp_path: Path) -> None:
    before = tree(study.folder)
    temporary = tmp_path / "TMPDIR"
    temporary.mkdir()
    result = deid("review", study.source, TMPDIR=str(temporary), cwd=study.folder)
    assert result.returncode == 0
    assert tree(study.folder) == before
    assert not any(temporary.iterdir())
    assert "CompressedSamples" not in result.stderr


# ---- pieces ----


def test_names_of_private_elements_do_not_tell_their_block() -> None:
    assert names_of(0x00291008, "SIEMENS CSA HEADER") == ("(0029,xx08)", "[SIEMENS CSA HEADER]")
    assert names_of(0x00290010, "") == ("(0029,0010)", "[private]")
    assert names_of(0x00100010, "") == ("(0010,0010)", "PatientName")


@pytest.mark.parametrize(
    ("data", "runs"),
    [
        (b"\0\1Kowalczyk\0", ["Kowalczyk"]),
        (b"\xff\xfeK\0o\0w\0a\0l\0", ["Kowal"]),
        ("\0Müller\0".encode(), ["Müller"]),
        (b"\x0012345\0", ["12345"]),
        (b"\0a1b2c3d4\0", []),
        (b"\0ab\0cd\0\xff\x80\x81", []),
        (b"", []),
    ],
)
def test_text_among_bytes_is_what_has_words(data: bytes, runs: list[str]) -> None:
    assert text_runs(data) == runs


MEMORY_OF = """
import sys
from deid_batch.remnants import Attribute, Remnant
from deid_batch.tally import Tally, see
from deid_batch.values.likeness import common
def peak():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
common()
tally, start = Tally(), peak()
study = Attribute("", "", 0x00081030, "LO")
for job in range(150):
    part = {}
    for number in range(400):
        see(part, [(Remnant(study, "value", f"value {job} {number} " + "x" * 100), 1)], b"p%d" % job)
    tally.add(part)
    tally.patient([b"p%d" % job])
print(tally.values(), sum(1 for _ in tally.ranked()), peak() - start)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_many_distinct_values_take_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY_OF], capture_output=True, text=True, check=True)
    values, listed_values, megabytes = done.stdout.split()
    print(done.stdout)  # shown where the test fails
    assert values == listed_values == "60000"
    assert float(megabytes) < 48, "a third of that is the database's cache; objects of all values would take 40"
