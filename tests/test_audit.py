"""The audit log: one row for each file, in the contract's columns, that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import INSTANCES, PYDICOM, Place, lay
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from deid_batch.audit import COLUMNS, AuditLog, is_audit_log, shown_path

CONTRACT_3 = (
    "time_utc, status, reason, detail, source, output, scope_id, sop_class_uid, transfer_syntax_uid, bytes_in, "
    "bytes_out, sha256_out, kept, redacted, removed, dateshifted, cryptohashed, encrypted, perturbed, substituted, "
    "uids_refreshed, cleaned, warnings, seconds"
).split(", ")
COUNTS = CONTRACT_3[CONTRACT_3.index("kept") : -1]
Finished = tuple[Place, subprocess.CompletedProcess[str]]


def row_of(cell: object) -> list[object]:
    return [cell] * len(COLUMNS)


def read(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_columns_and_their_order_are_those_of_the_contract(finished: Finished) -> None:
    assert read(finished[0].audit)[0] == CONTRACT_3 == list(COLUMNS)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@cmd", "\tx", "\rx", "=cmd|' /C calc'!A0"])
def test_what_a_spreadsheet_would_run_is_written_as_text(tmp_path: Path, cell: str) -> None:
    AuditLog(str(tmp_path / "log")).append([row_of(cell)])
    assert read(tmp_path / "log") == [row_of("'" + cell)]


@pytest.mark.parametrize(
    "cell", ["./=1", "a=b", "", "'quoted'", 'a "word"', "a,b", "line\nbreak", "line\r\nbreak", "é\u2028"]
)
def test_other_text_is_written_as_it_is(tmp_path: Path, cell: str) -> None:
    AuditLog(str(tmp_path / "log")).append([row_of(cell)])
    assert read(tmp_path / "log") == [row_of(cell)]


NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & {*name})
LOOK_ALIKES = st.lists(st.sampled_from([b"\xff", b"\\xff", b"\\", b"x", b"\xc3\xbc"]), max_size=4).map(b"".join)


@given(NAMES)
def test_a_path_is_written_so_that_it_begins_with_a_dot_and_is_utf_8(name: bytes) -> None:
    shown = shown_path(name)
    assert shown.startswith("./")
    assert shown.encode().decode() == shown


@given(LOOK_ALIKES, LOOK_ALIKES)
def test_no_two_paths_are_written_the_same_way(one: bytes, other: bytes) -> None:
    assert (shown_path(one) == shown_path(other)) == (one == other)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\\0/")))
def test_a_path_in_utf_8_is_written_as_it_is(name: str) -> None:
    assert shown_path(name.encode()) == f"./{name}"


def test_lines_end_as_rfc_4180_says_and_numbers_stay_numbers(tmp_path: Path) -> None:
    AuditLog(str(tmp_path / "log")).append([[-1, None, "a"]])
    assert (tmp_path / "log").read_bytes() == b"-1,,a\r\n"


def test_rows_can_be_read_while_the_log_is_open_and_are_kept_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog(str(path))
    log.rewrite([row_of("1")])
    log.append([row_of("2")])
    assert read(path)[1:] == [row_of("1"), row_of("2")]
    log.close()
    AuditLog(str(path)).append([row_of("3")])
    assert read(path)[1:] == [row_of("1"), row_of("2"), row_of("3")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rewriting_leaves_the_new_rows_only(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "log"))
    log.append([row_of("1")])
    log.rewrite([row_of("2")])
    log.append([row_of("3")])
    assert read(tmp_path / "log") == [CONTRACT_3, row_of("2"), row_of("3")]
    assert os.listdir(tmp_path) == ["log"]


def test_only_an_audit_log_or_an_empty_file_passes_for_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    AuditLog(str(path)).rewrite([])
    assert is_audit_log(str(path))
    path.write_text("")
    assert is_audit_log(str(path))
    for other in ("name,value\n", "time_utc\n", "{}"):
        path.write_text(other)
        assert not is_audit_log(str(path))
    assert not is_audit_log(str(tmp_path))


def test_log_is_for_its_owner_only(finished: Finished) -> None:
    assert stat.S_IMODE(finished[0].audit.stat().st_mode) == 0o600


def test_row_of_a_written_file_says_what_was_written(finished: Finished) -> None:
    place, _ = finished
    for name in INSTANCES:
        row = place.rows()["./" + name]
        output = (place.out / name).read_bytes()
        assert (row["status"], row["reason"], row["output"]) == ("written", "", "./" + name)
        assert row["bytes_in"] == str((place.source / name).stat().st_size)
        assert row["bytes_out"] == str(len(output))
        assert row["sha256_out"] == hashlib.sha256(output).hexdigest()
        dataset = dcmread(place.out / name)
        assert row["sop_class_uid"] == dataset.SOPClassUID
        assert row["transfer_syntax_uid"] == dataset.file_meta.TransferSyntaxUID
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["time_utc"])
        assert float(row["seconds"]) >= 0
        assert all(row[column].isdigit() for column in COUNTS)


def test_row_of_another_file_says_why_and_names_no_output(finished: Finished) -> None:
    place, _ = finished
    others = {source: row for source, row in place.rows().items() if row["status"] != "written"}
    assert {source: (row["status"], row["reason"]) for source, row in others.items()} == {
        "./PAT1/MR/IM4": ("failed", "truncated"),
        "./DICOMDIR": ("skipped", "dicomdir"),
        "./PAT1/notes.dcm": ("skipped", "not-dicom"),
    }
    for row in others.values():
        assert not any(row[column] for column in CONTRACT_3[5:-1])


def test_scope_id_is_that_of_the_series_and_no_uid(finished: Finished) -> None:
    place, _ = finished
    series = {name: dcmread(place.source / name).SeriesInstanceUID for name in INSTANCES}
    scopes = {name: place.rows()["./" + name]["scope_id"] for name in INSTANCES}
    assert all(re.fullmatch(r"[0-9a-f]{16}", scope) for scope in scopes.values())
    assert (
        len({*series.values()}) == len({*scopes.values()}) == len({*zip(series.values(), scopes.values(), strict=True)})
    )


STRANGE_NAMES = [
    b"=cmd", b"+1", b"-rf", b"@home", b"\ttab", b" blank ", b"new\nline", b"cr\rlf\r\n", b'quo"te', b"com,ma",
    b"semi;colon", b"not utf-8 \xff\xfe", "Grüße 山田".encode(), b"x" * 255, b"\\xff", b"$(touch x)", b"[red]",
    b".hidden", b"a\x1b[31mb",
]  # fmt: skip


def test_any_name_a_file_system_takes_is_kept_and_has_its_row(place: Place) -> None:
    instance = (PYDICOM / "MR_small_RLE.dcm").read_bytes()
    folder = os.fsencode(place.source)
    for name in STRANGE_NAMES:
        os.mkdir(os.path.join(folder, name))
        with open(os.path.join(folder, name, name), "wb") as file:
            file.write(instance)
    assert place.run_here("-v").returncode == 0
    for name in STRANGE_NAMES:
        assert os.listdir(os.path.join(os.fsencode(place.out), name)) == [name]
    assert place.rows().keys() == {shown_path(name + b"/" + name) for name in STRANGE_NAMES}
    assert sum(1 for row in read(place.audit) for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))) == 0


def test_every_entry_under_source_has_one_row_with_its_reason(place: Place) -> None:
    lay(place, {"sound": "CT_small.dcm", "truncated": "rtplan_truncated.dcm", "text": "README.txt"})
    whole = (place.source / "sound").read_bytes()
    (place.source / "empty").write_bytes(b"")
    (place.source / "bare").write_bytes(bytes(128) + b"DICM")
    (place.source / "cut").write_bytes(whole[:1000])
    (place.source / "no uid").write_bytes(whole.replace(b"\x08\0\x18\0UI", b"\x08\0\x17\0UI"))
    (place.source / "bad deflate").write_bytes((PYDICOM / "image_dfl.dcm").read_bytes()[:2000])
    (place.folder / "outside").write_bytes(whole)
    os.symlink("sound", place.source / "link")
    os.symlink("../outside", place.source / "link out")
    os.symlink("nowhere", place.source / "dangling")
    os.symlink(".", place.source / "loop")
    os.mkfifo(place.source / "pipe")
    result = place.run_here()
    assert result.returncode == 1
    assert {source[2:]: (row["status"], row["reason"]) for source, row in place.rows().items()} == {
        "sound": ("written", ""),
        "link": ("written", ""),
        "truncated": ("failed", "truncated"),
        "cut": ("failed", "truncated"),
        "bad deflate": ("failed", "truncated"),
        "no uid": ("failed", "no-sop-uid"),
        "bare": ("failed", "no-sop-uid"),
        "dangling": ("failed", "unreadable"),
        "text": ("skipped", "not-dicom"),
        "empty": ("skipped", "not-dicom"),
        "link out": ("skipped", "link-outside"),
        "loop": ("skipped", "not-regular"),
        "pipe": ("skipped", "not-regular"),
    }
    assert sorted(os.listdir(place.out)) == ["link", "sound"]
    assert not (place.out / "link").is_symlink()
