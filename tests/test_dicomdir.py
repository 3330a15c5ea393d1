"""`--dicomdir`: a DICOMDIR of what OUT holds, no more and no less, and none that does not tell the truth."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from conftest import PYDICOM, Place, lay, names, new_place, tree
from pydicom import Dataset, dcmread
from pydicom.fileset import FileInstance, FileSet, RecordNode
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid_batch.dicomdir import Directory
from deid_batch.fileset import is_file_id
from deid_batch.ledger import Found, Ledger

FILES = {
    "PAT1/CT": "CT_small.dcm",
    "PAT1/MR/IM1": "MR_small.dcm",
    "PAT1/MR/IM2": "MR_small_bigendian.dcm",
    "PAT1/MR/IM3": "MR_small_implicit.dcm",
    "PAT2/DEFLATED": "image_dfl.dcm",
    "PAT2/PLAN": "rtplan.dcm",
    "PAT2/STRUCT": "rtstruct.dcm",
    "PAT2/DOSE": "rtdose_1frame.dcm",
    "PAT2/REPORT": "test-SR.dcm",
    "PAT2/ECG": "waveform_ecg.dcm",
    "SERIES/IM1": "dicomdirtests/98892003/MR1/5641",
    "SERIES/IM2": "dicomdirtests/98892003/MR2/6273",
    "SERIES/IM3": "dicomdirtests/98892003/MR2/6935",
}
TYPES = {"PLAN": "RT PLAN", "STRUCT": "RT STRUCTURE SET", "DOSE": "RT DOSE", "REPORT": "SR DOCUMENT", "ECG": "WAVEFORM"}
KEEP = [{"tag": {"VR": "PN"}, "method": "keep"}]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run with a DICOMDIR, to look at only; among the input was a DICOMDIR too."""
    place = new_place(tmp_path_factory.mktemp("dicomdir"))
    lay(place, FILES | {"DICOMDIR": "dicomdirtests/DICOMDIR", "BAD": "MR_truncated.dcm"})
    result = place.run_here("--dicomdir")
    assert result.returncode == 1, result.stderr
    assert f"DICOMDIR of OUT: refers to {len(FILES)} files" in result.stdout
    return place


@pytest.fixture
def ready(place: Place) -> Place:
    """A finished run with a DICOMDIR, to go on with."""
    lay(place, {name: FILES[name] for name in ("PAT1/CT", "PAT1/MR/IM1")})
    assert place.run_here("--dicomdir").returncode == 0
    return place


def records(place: Place) -> list[Dataset]:
    return list(dcmread(place.out / "DICOMDIR").DirectoryRecordSequence)


def complaints(file: Path) -> list[str]:
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not installed")
    said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
    return [line for line in said.splitlines() if line.startswith("Error")]


def test_pydicom_finds_exactly_what_is_written(done: Place) -> None:
    outputs = {
        (row["output"].removeprefix("./"), dcmread(done.out / row["output"]).SOPInstanceUID)
        for row in done.rows().values()
        if row["status"] == "written"
    }
    found = [
        (str(Path(file.path).relative_to(done.out)), file.SOPInstanceUID) for file in FileSet(done.out / "DICOMDIR")
    ]
    assert sorted(found) == sorted(outputs)
    assert len(found) == len(FILES)


def test_a_dicomdir_of_source_is_skipped_as_ever(done: Place) -> None:
    row = done.rows()["./DICOMDIR"]
    assert (row["status"], row["reason"]) == ("skipped", "dicomdir")
    assert len(done.rows()) == len(FILES) + 2


def test_every_record_is_reached_once(done: Place) -> None:
    directory = dcmread(done.out / "DICOMDIR")
    by_offset = {item.seq_item_tell: item for item in directory.DirectoryRecordSequence}

    def reached(offset: int) -> Iterator[int]:
        while offset:
            yield offset
            yield from reached(by_offset[offset].OffsetOfReferencedLowerLevelDirectoryEntity)
            offset = by_offset[offset].OffsetOfTheNextDirectoryRecord

    first = directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    last = directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    assert list(reached(first)) == sorted(by_offset)
    assert by_offset[last].DirectoryRecordType == "PATIENT"
    assert by_offset[last].OffsetOfTheNextDirectoryRecord == 0
    assert sum(record.DirectoryRecordType == "PATIENT" for record in by_offset.values()) > 3


def test_records_have_the_types_of_their_sop_classes(done: Place) -> None:
    found = {
        record.ReferencedFileID[-1]: record.DirectoryRecordType
        for record in records(done)
        if "ReferencedFileID" in record
    }
    assert found == {path.split("/")[-1]: TYPES.get(path.split("/")[-1], "IMAGE") for path in FILES}


def test_a_study_has_one_record_and_its_series_stand_below(done: Place) -> None:
    tail = [(record.DirectoryRecordType, record.get("ReferencedFileID")) for record in records(done)]
    start = tail.index(("IMAGE", ["SERIES", "IM1"])) - 3
    assert [(kind, file and file[-1]) for kind, file in tail[start : start + 7]] == [
        ("PATIENT", None), ("STUDY", None), ("SERIES", None), ("IMAGE", "IM1"), ("SERIES", None), ("IMAGE", "IM3"),
        ("IMAGE", "IM2"),
    ]  # fmt: skip


def test_keys_are_those_of_the_outputs(done: Place) -> None:
    for file in FileSet(done.out / "DICOMDIR"):
        output = dcmread(file.path)
        meta = output.file_meta
        leaf = file.node._record
        assert leaf.ReferencedSOPClassUIDInFile == meta.MediaStorageSOPClassUID
        assert leaf.ReferencedSOPInstanceUIDInFile == meta.MediaStorageSOPInstanceUID
        assert leaf.ReferencedTransferSyntaxUIDInFile == meta.TransferSyntaxUID
        assert_same(leaf, [output])
        for node in file.node.ancestors:
            below = [dcmread(instance.path) for instance in FileSet(done.out / "DICOMDIR") if is_below(instance, node)]
            assert_same(node._record, below)


def is_below(instance: FileInstance, node: RecordNode) -> bool:
    return node._record.seq_item_tell in [ancestor._record.seq_item_tell for ancestor in instance.node.ancestors]


def assert_same(record: Dataset, outputs: list[Dataset]) -> None:
    """Each key is that of one of the outputs."""
    for key in record:
        if key.tag.group > 4:
            assert (key.value or "") in [output.get(key.keyword) or "" for output in outputs], key.keyword


def test_nothing_of_the_originals_is_in_it(done: Place) -> None:
    written = (done.out / "DICOMDIR").read_bytes()
    for origin in FILES.values():
        original = dcmread(PYDICOM / origin, force=True)
        for keyword in (
            "PatientName",
            "PatientID",
            "SOPInstanceUID",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "StudyDate",
        ):
            value = str(original.get(keyword) or "")
            assert not value or value.encode() not in written, keyword


def test_dcmdump_reads_it(done: Place) -> None:
    if not shutil.which("dcmdump"):
        pytest.skip("dcmdump is not installed")
    result = subprocess.run(["dcmdump", done.out / "DICOMDIR"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("ReferencedFileID") == len(FILES)


def test_dciodvfy_misses_nothing_in_it_that_the_files_have(place: Place) -> None:
    sound = ["SERIES/IM1", "SERIES/IM2", "SERIES/IM3", "PAT1/CT", "PAT1/MR/IM1"]
    lay(place, {name: FILES[name] for name in sound})
    place.configure(rules=KEEP)
    assert place.run_here("--dicomdir").returncode == 0
    assert complaints(place.out / "DICOMDIR") == []


def test_dciodvfy_complains_of_keys_only_that_the_outputs_lack(done: Place) -> None:
    told = complaints(done.out / "DICOMDIR")
    lacking = re.compile(r"Error - (Empty|Missing) attribute .*Type 1C? (Required|Conditional) Element=<(\w+)>")
    matches = [lacking.match(line) for line in told]
    assert all(matches), told
    outputs = [dcmread(file.path) for file in FileSet(done.out / "DICOMDIR")]
    assert all(any(not output.get(match[3]) for output in outputs) for match in matches if match)
    assert len(told) <= 40


@pytest.mark.parametrize(
    ("path", "lawful"),
    [
        ("A", True), ("IMG_0001", True), ("A/B/C/D/E/F/G/H", True), ("IM000001/1", True),
        ("A/B/C/D/E/F/G/H/I", False), ("IMG000001", False), ("im1", False), ("IM1.DCM", False), ("IM 1", False),
        ("A//B", False), ("IM1\n", False), ("ÄB", False), ("", False),
    ],
)  # fmt: skip
def test_file_ids_are_told_from_other_names(path: str, lawful: bool) -> None:
    assert is_file_id(path.encode()) == lawful


def test_names_that_break_the_rule_are_told_and_none_is_written(ready: Place) -> None:
    lay(ready, {"PAT1/MR/IM2.dcm": "MR_small_implicit.dcm", "a name": "MR_small.dcm"})
    result = ready.run_here("--dicomdir")
    assert result.returncode == 0
    assert "No DICOMDIR is written: 2 of 4 names are no File IDs" in result.stdout
    assert "DICOMDIR" not in names(ready.out)


def test_it_stays_untouched_where_nothing_changes(ready: Place) -> None:
    lay(ready, {"BAD": "MR_truncated.dcm"})
    before = (ready.out / "DICOMDIR").stat()
    result = ready.run_here("--dicomdir")
    assert result.returncode == 1
    assert "refers to 2 files" in result.stdout
    after = (ready.out / "DICOMDIR").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("harm", [lambda file: file.unlink(), lambda file: file.write_bytes(b"other")])
def test_it_comes_back_to_the_byte(ready: Place, harm: object) -> None:
    before = (ready.out / "DICOMDIR").read_bytes()
    harm(ready.out / "DICOMDIR")  # type: ignore[operator]
    assert ready.run_here("--dicomdir").returncode == 0
    assert (ready.out / "DICOMDIR").read_bytes() == before
    assert ready.run_here("--dicomdir", "--overwrite").returncode == 0
    assert (ready.out / "DICOMDIR").read_bytes() == before


def test_another_run_with_other_workers_writes_the_same(done: Place, tmp_path: Path) -> None:
    other = new_place(tmp_path)
    lay(other, dict(reversed(FILES.items())))
    result = other.run("--dicomdir", "-j2")
    assert result.returncode == 0, result.stderr
    assert (other.out / "DICOMDIR").read_bytes() == (done.out / "DICOMDIR").read_bytes()


def test_it_is_written_anew_where_something_changes(ready: Place) -> None:
    before = (ready.out / "DICOMDIR").read_bytes()
    lay(ready, {"PAT1/MR/IM2": "MR_small_implicit.dcm"})
    assert ready.run_here("--dicomdir").returncode == 0
    assert (ready.out / "DICOMDIR").read_bytes() != before
    assert len(FileSet(ready.out / "DICOMDIR")) == 3


def test_files_gone_from_source_are_referred_to_as_long_as_their_outputs_are_kept(ready: Place) -> None:
    before = (ready.out / "DICOMDIR").read_bytes()
    (ready.source / "PAT1/MR/IM1").unlink()
    assert ready.run_here("--dicomdir").returncode == 0
    assert (ready.out / "DICOMDIR").read_bytes() == before


@pytest.mark.parametrize("options", [(), ("--dicomdir", "--max-failures", 0)], ids=["not-asked-for", "not-finished"])
def test_none_stays_that_is_not_true_any_more(ready: Place, options: tuple[object, ...]) -> None:
    lay(ready, {"PAT1/CT": "MR_truncated.dcm"})
    ready.run_here(*options)
    assert names(ready.out) == {"PAT1/MR/IM1"}


def test_without_the_option_one_that_lacks_new_files_goes(ready: Place) -> None:
    lay(ready, {"NEW": "MR_small_implicit.dcm"})
    assert ready.run_here().returncode == 0
    assert names(ready.out) == {"PAT1/CT", "PAT1/MR/IM1", "NEW"}


def test_without_the_option_one_that_is_true_stays(ready: Place) -> None:
    before = tree(ready.out)
    assert ready.run_here().returncode == 0
    assert tree(ready.out) == before


def test_the_work_that_is_not_finished_gets_none(place: Place) -> None:
    lay(place, {"A": "CT_small.dcm", "BAD": "MR_truncated.dcm"})
    result = place.run_here("--dicomdir", "--max-failures", 0)
    assert result.returncode == 5
    assert "No DICOMDIR is written: the run is not finished" in result.stdout
    assert "DICOMDIR" not in names(place.out)


def test_one_that_is_true_stays_though_more_is_to_be_done(ready: Place) -> None:
    lay(ready, {"A": "MR_truncated.dcm"})
    before = tree(ready.out)
    result = ready.run_here("--dicomdir", "--max-failures", 0)
    assert "No DICOMDIR is written: the run is not finished" in result.stdout
    assert tree(ready.out) == before


def test_outputs_that_pydicom_cannot_read_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(place, {"A": "CT_small.dcm"})

    def refuse(*_: object) -> None:
        raise ValueError("a value")

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "add", refuse)
        result = place.run_here("--dicomdir")
    assert result.returncode == 0
    assert "No DICOMDIR is written: 1 of 1 outputs can't be read" in result.stdout
    assert "a value" not in result.stdout + result.stderr
    assert names(place.out) == {"A"}


def test_interrupted_while_it_is_made_it_is_made_by_the_next_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(place, {"A": "CT_small.dcm", "B": "MR_small.dcm"})
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "add", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        result = place.run_here("--dicomdir")
    assert result.returncode == 130
    assert "No DICOMDIR is written: the run is not finished" in result.stdout
    assert names(place.out) == {"A", "B"}
    assert place.run_here("--dicomdir").returncode == 0
    assert len(FileSet(place.out / "DICOMDIR")) == 2


def test_with_overwrite_an_earlier_one_goes(ready: Place) -> None:
    assert ready.run_here("--overwrite").returncode == 0
    assert names(ready.out) == {"PAT1/CT", "PAT1/MR/IM1"}


def test_a_dry_run_writes_none(place: Place) -> None:
    lay(place, {"A": "CT_small.dcm"})
    assert "DICOMDIR" not in place.run_here("--dicomdir", "--dry-run").stdout
    assert not place.out.exists()


def test_nothing_written_nothing_to_refer_to(place: Place) -> None:
    lay(place, {"BAD": "MR_truncated.dcm"})
    assert "No DICOMDIR is written: there are no files" in place.run_here("--dicomdir").stdout
    assert names(place.out) == set()


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR/IM1"])
def test_an_output_of_its_name_goes_first(ready: Place, name: str) -> None:
    lay(ready, {name: "MR_small_implicit.dcm"})
    for _ in range(2):
        result = ready.run_here("--dicomdir")
        assert result.returncode == 0
        assert "No DICOMDIR is written: an output, or a folder of outputs, has its name" in result.stdout
        assert dcmread(ready.out / name).Modality == "MR"
        assert names(ready.out) == {"PAT1/CT", "PAT1/MR/IM1", name}


@pytest.mark.parametrize(
    ("path", "claimed"), [("DICOMDIR", True), ("dicomdir/a/b", True), ("DICOMDIR2", False), ("A/DICOMDIR", False)]
)
def test_its_name_is_taken_in_whatever_case(tmp_path: Path, path: str, claimed: bool) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger.found(1, [Found(b"A/B", 1, 1), Found(path.encode(), 1, 1)], [])
    assert ledger.claims("DICOMDIR") == claimed
    ledger.close()


def test_a_file_of_its_name_that_is_not_ours_stays(place: Place) -> None:
    lay(place, {"A": "CT_small.dcm"})
    place.run_here()
    (place.out / "DICOMDIR").write_text("somebody's")
    result = place.run_here("--dicomdir")
    assert "No DICOMDIR is written: in OUT stands a file of that name that no run known here wrote" in result.stdout
    assert (place.out / "DICOMDIR").read_text() == "somebody's"
    place.run_here("--dicomdir", "--overwrite")
    assert len(FileSet(place.out / "DICOMDIR")) == 1


def test_no_temporary_file_is_left(done: Place) -> None:
    assert names(done.out) == {*FILES, "DICOMDIR"}
    assert {path for path in names(done.work) if path.startswith("tmp")} == set()


def instance(sop_class: str, **values: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "2.25.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "2.25.2", "2.25.3", "P"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    return dataset


def read_back(folder: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> list[Dataset]:
    """The records of a file-set with this instance alone."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(folder / "IM", enforce_file_format=True)
    directory = Directory()
    directory.add(b"IM", str(folder / "IM"))
    (folder / "DICOMDIR").write_bytes(b"".join(directory.chunks()))
    assert len(FileSet(folder / "DICOMDIR")) == 1
    return list(dcmread(folder / "DICOMDIR").DirectoryRecordSequence)


def test_records_are_in_the_order_of_their_numbers_and_ids(tmp_path: Path) -> None:
    directory = Directory()
    for name, patient, series, number in [("A", "Q", 10, 1), ("B", "P", 10, 2), ("C", "P", 10, 1), ("D", "P", 9, 3)]:
        file = instance("1.2.840.10008.5.1.4.1.1.2", PatientID=patient, SeriesNumber=series, InstanceNumber=number)
        file.SeriesInstanceUID = f"2.25.{series}"
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.save_as(tmp_path / name, enforce_file_format=True)
        directory.add(name.encode(), str(tmp_path / name))
    (tmp_path / "DICOMDIR").write_bytes(b"".join(directory.chunks()))
    found = dcmread(tmp_path / "DICOMDIR").DirectoryRecordSequence
    assert [record.ReferencedFileID for record in found if "ReferencedFileID" in record] == ["D", "C", "B", "A"]
    assert [record.PatientID for record in found if "PatientID" in record] == ["P", "Q"]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_numbers_are_right_whatever_the_byte_order(tmp_path: Path, syntax: str) -> None:
    spectroscopy = instance(
        "1.2.840.10008.5.1.4.1.1.4.2", Rows=3, Columns=258, DataPointRows=66_000, DataPointColumns=7
    )
    leaf = read_back(tmp_path, spectroscopy, syntax)[-1]
    assert leaf.DirectoryRecordType == "SPECTROSCOPY"
    assert (leaf.Rows, leaf.Columns, leaf.DataPointRows, leaf.DataPointColumns) == (3, 258, 66_000, 7)


@pytest.mark.parametrize("charset", ["ISO_IR 192", ["", "ISO 2022 IR 87"]])
def test_names_are_in_the_charset_of_their_files(tmp_path: Path, charset: str | list[str]) -> None:
    named = instance("1.2.840.10008.5.1.4.1.1.2", SpecificCharacterSet=charset, PatientName="Yamada^Tarou=山田^太郎")
    assert read_back(tmp_path, named)[0].PatientName == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_of_a_content_tree_only_what_qualifies_the_title_is_taken(tmp_path: Path, syntax: str) -> None:
    qualifier, text = Dataset(), Dataset()
    qualifier.RelationshipType, qualifier.ValueType = "HAS CONCEPT MOD", "CODE"
    text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", "a finding"
    report = instance("1.2.840.10008.5.1.4.1.1.88.59", ContentSequence=[text, qualifier])
    leaf = read_back(tmp_path, report, syntax)[-1]
    assert leaf.DirectoryRecordType == "KEY OBJECT DOC"
    assert [item.ValueType for item in leaf.ContentSequence] == ["CODE"]


@pytest.mark.parametrize(
    ("sop_class", "modality", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.104.1", "DOC", "ENCAP DOC"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR", "PRESENTATION"),
        ("1.2.840.10008.5.1.4.1.1.11.12", "PR", "PRESENTATION"),
        ("1.2.840.10008.5.1.4.1.1.9.100.2", "EEG", "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.88.99", "SR", "SR DOCUMENT"),
        ("1.2.840.10008.5.1.4.1.1.481.8", "RTPLAN", "RT PLAN"),
        ("1.2.840.10008.5.1.4.1.1.481.4", "RTRECORD", "RT TREAT RECORD"),
        ("1.2.840.10008.5.1.4.1.1.481.10", "RTINTENT", "RADIOTHERAPY"),
        ("1.2.840.10008.5.1.4.1.1.66.1", "REG", "REGISTRATION"),
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "IMAGE"),
        ("1.2.3", "", "IMAGE"),
    ],
)
def test_record_types_by_sop_class(tmp_path: Path, sop_class: str, modality: str, expected: str) -> None:
    found = [record.DirectoryRecordType for record in read_back(tmp_path, instance(sop_class, Modality=modality))]
    assert found == ["PATIENT", "STUDY", "SERIES", expected]


def test_instances_of_no_patient_stand_at_the_root(tmp_path: Path) -> None:
    (record,) = read_back(tmp_path, instance("1.2.840.10008.5.1.4.38.1", HangingProtocolCreator="Somebody"))
    assert (record.DirectoryRecordType, record.HangingProtocolCreator) == ("HANGING PROTOCOL", "Somebody")


def test_a_file_costs_little_memory() -> None:
    directory = Directory()
    source = str(PYDICOM / "CT_small.dcm")
    directory.add(b"FIRST", source)
    tracemalloc.start()
    for number in range(60):
        directory.add(b"DIR/IM%d" % number, source)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / 60 < 1500  # 100,000 files: 150 MB at most
