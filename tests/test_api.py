"""Library use: the same engine as the command's, on data sets and on bytes."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from base64 import b64decode
from collections.abc import Mapping
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid_batch import Deidentifier
from deid_batch.config.keys import write_new_keys
from deid_batch.errors import ConfigError, FileError, UsageError

ORIGINS = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "examples_palette.dcm",
]
RULES = [
    {"tag": {"keyword": "PatientID"}, "method": "cryptohash"},
    {"tag": {"value": "(0028,0030)"}, "method": "perturb"},
    {"tag": {"keyword": "PatientBirthDate"}, "method": "redact", "enablePartialDatesForRedact": True},
    {"tag": {"VR": "PN"}, "method": "encrypt"},
    {"tag": {"VR": "DA"}, "method": "dateshift"},
    {"tag": {"VR": "UI"}, "method": "refreshUID"},
    {"tag": {"path": "*/CodeMeaning"}, "method": "redact", "redactLeaves": "empty"},
    {"tag": {"private": True}, "method": "remove"},
]
PURPOSES = {
    "dateShiftKey": "dateshift",
    "cryptoHashKey": "cryptohash",
    "encryptKey": "encrypt",
    "uidKey": "uid",
    "perturbKey": "perturb",
}
FIRST_DAY = date(2026, 1, 31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config without keys, a key file, SOURCE, and the OUT that the command made of it."""
    folder = tmp_path_factory.mktemp("api")
    parameters = {"referenceDate": FIRST_DAY.isoformat()}
    (folder / "cfg.json").write_text(json.dumps({"dicomTagRules": RULES}), encoding="utf-8")
    (folder / "dated.json").write_text(json.dumps({"dicomTagRules": RULES, "parameters": parameters}), encoding="utf-8")
    write_new_keys(str(folder / "keys.json"))
    (folder / "dump").mkdir()
    for origin in ORIGINS:
        (folder / "dump" / origin).write_bytes(Path(str(get_testdata_file(origin))).read_bytes())
    command = [
        sys.executable,
        "-m",
        "deid_batch",
        "run",
        "dump",
        "out",
        "-c",
        "dated.json",
        "--keys",
        "keys.json",
        "-j2",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def deidentifier(folder: Path) -> Deidentifier:
    """The same config, keys and first day."""
    return Deidentifier.from_config(str(folder / "cfg.json"), keys=str(folder / "keys.json"), first_day=FIRST_DAY)


def keys_in(file: Path) -> dict[str, bytes]:
    written = json.loads(file.read_text(encoding="utf-8"))
    return {PURPOSES[name]: b64decode(key.removeprefix("base64:")) for name, key in written.items()}


def instance(**more: Any) -> Dataset:
    """A small data set that never was a file, with these attributes."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.SeriesInstanceUID = "1.2.3"
    dataset.PatientName = "Müller^Änne"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name, value in more.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("origin", ORIGINS)
def test_bytes_become_what_the_command_writes(origin: str, folder: Path, deidentifier: Deidentifier) -> None:
    data = (folder / "dump" / origin).read_bytes()
    assert deidentifier.apply_to_bytes(data) == (folder / "out" / origin).read_bytes()


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_data_set_becomes_what_the_command_writes(origin: str, folder: Path, deidentifier: Deidentifier) -> None:
    result = deidentifier.apply(dcmread(folder / "dump" / origin))
    written = dcmread(folder / "out" / origin)
    assert result == written
    assert result.file_meta == written.file_meta
    assert result != dcmread(folder / "dump" / origin)


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_given_data_set_stays_as_it_is(origin: str, folder: Path, deidentifier: Deidentifier) -> None:
    given = dcmread(folder / "dump" / origin)
    raw, meta = dict(given._dict), copy.deepcopy(given.file_meta)
    deidentifier.apply(given)
    assert all(given._dict[tag] is element for tag, element in raw.items())
    assert given._dict.keys() == raw.keys()
    assert given.file_meta == meta


def test_keys_may_be_given_by_purpose(folder: Path) -> None:
    keys = keys_in(folder / "keys.json")
    deidentifier = Deidentifier.from_config(str(folder / "cfg.json"), keys=keys, first_day=FIRST_DAY)
    data = (folder / "dump/rtplan.dcm").read_bytes()
    assert deidentifier.apply_to_bytes(data) == (folder / "out/rtplan.dcm").read_bytes()


def test_a_master_key_stands_for_all_others(folder: Path) -> None:
    data = (folder / "dump/rtplan.dcm").read_bytes()
    results = [
        Deidentifier.from_config(str(folder / "cfg.json"), keys={"master": key}).apply_to_bytes(data)
        for key in (b"one master key of many", b"one master key of many", b"another master key")
    ]
    assert results[0] == results[1] != results[2]


def test_keys_that_nobody_gives_are_drawn_for_one_object(folder: Path) -> None:
    data = (folder / "dump/rtplan.dcm").read_bytes()
    one, other = (Deidentifier.from_config(str(folder / "cfg.json")) for _ in range(2))
    assert one.apply_to_bytes(data) == one.apply_to_bytes(data) != other.apply_to_bytes(data)


@pytest.mark.parametrize(("first_day", "kept"), [(date(1992, 1, 1), "19030101"), (date(1993, 1, 1), "")])
def test_ages_over_89_years_are_reckoned_from_the_first_day(first_day: date, kept: str, folder: Path) -> None:
    deidentifier = Deidentifier.from_config(str(folder / "cfg.json"), first_day=first_day)
    result = deidentifier.apply(instance(PatientBirthDate="19030630"))
    assert result.get("PatientBirthDate", "") == kept


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian])
def test_a_data_set_that_never_was_a_file_is_deidentified(syntax: UID | None, deidentifier: Deidentifier) -> None:
    item = Dataset()
    item.CodeMeaning = "what identifies"
    given = instance(ProcedureCodeSequence=Sequence([item]), Rows=512)
    if syntax is not None:
        given.file_meta = FileMetaDataset()
        given.file_meta.TransferSyntaxUID = syntax
    result = deidentifier.apply(given)
    assert result.file_meta.TransferSyntaxUID == (syntax or ExplicitVRLittleEndian)
    assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID != "1.2.3.4"
    assert str(result.PatientName) != "Müller^Änne"
    assert result.ProcedureCodeSequence[0].CodeMeaning == ""
    assert result.Rows == 512
    assert str(given.PatientName) == "Müller^Änne"
    assert "file_meta" not in vars(given) or len(given.file_meta) == 1


def test_a_data_set_read_without_file_meta_keeps_its_encoding(deidentifier: Deidentifier) -> None:
    for implicit, little, syntax in [(True, True, ImplicitVRLittleEndian), (False, False, ExplicitVRBigEndian)]:
        buffer = BytesIO()
        instance(Rows=512).save_as(buffer, implicit_vr=implicit, little_endian=little)
        result = deidentifier.apply(dcmread(BytesIO(buffer.getvalue()), force=True))
        assert result.file_meta.TransferSyntaxUID == syntax
        assert result.Rows == 512


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SOPInstanceUID": ""}, "no-sop-uid"),
        ({"SeriesInstanceUID": ""}, "no-scope-uid"),
        ({"Rows": "Müller"}, "unreadable"),
    ],
)
def test_what_can_not_be_done_says_why_and_shows_no_value(
    changes: Mapping[str, Any], reason: str, deidentifier: Deidentifier
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = instance(**changes)
    with pytest.raises(FileError) as caught:
        deidentifier.apply(given)
    assert caught.value.reason == reason
    assert "Müller" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-dicom"),
        (b"no DICOM file", "not-dicom"),
        (Path(str(get_testdata_file("MR_truncated.dcm"))).read_bytes(), "truncated"),
    ],
)
def test_bytes_that_can_not_be_done_say_why(data: bytes, reason: str, deidentifier: Deidentifier) -> None:
    with pytest.raises(FileError) as caught:
        deidentifier.apply_to_bytes(data)
    assert caught.value.reason == reason


def test_validate_output_fails_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text('{"rules": [{"tag": "StudyDate", "method": "cryptoHash"}]}', encoding="utf-8")
    dated = instance(StudyDate="20260131")
    assert len(Deidentifier.from_config(str(path)).apply(dated)["StudyDate"].value) == 64
    with pytest.raises(FileError) as caught:
        Deidentifier.from_config(str(path), validate_output=True).apply(dated)
    assert caught.value.reason == "invalid-output"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"datshift": b"a key of sixteen"}, "no keys are for 'datshift', did you mean 'dateshift'?"),
        ({"encryptKey": b"a key of sixteen"}, "no keys are for 'encryptKey', did you mean 'encrypt'?"),
        ({"encrypt": b"short"}, "an AES key has 16, 24 or 32 bytes, this one has 5"),
        ("nowhere.json", "the key file can't be read (No such file or directory)"),
    ],
)
def test_wrong_keys_are_told(keys: dict[str, bytes] | str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Deidentifier.from_config("seed-sample", keys=keys)
    assert str(caught.value) == says


def test_all_problems_of_a_config_are_told(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text('{"rules": [{"tag": "PM", "method": "encript"}]}', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Deidentifier.from_config(str(path))
    assert len(caught.value.problems) == 2
    assert isinstance(caught.value, UsageError)


def test_no_key_is_in_what_is_shown_of_it() -> None:
    deidentifier = Deidentifier.from_config("seed-sample", keys={"encrypt": b"a key of sixteen"})
    assert "sixteen" not in repr(deidentifier)
    assert "sixteen" not in repr(vars(deidentifier)["_rules"].rules)


def started_with(modules: str) -> set[str]:
    """What Python loads along with these modules."""
    program = f"import sys, {modules}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


def test_the_command_starts_without_it() -> None:
    assert "deid_batch.api" not in started_with("deid_batch.cli")


def test_a_run_starts_without_what_takes_long_to_load_and_it_may_not_need() -> None:
    loaded = started_with("deid_batch.cli, deid_batch.batch, deid_batch.summary, deid_batch.config")
    assert {"deid_batch.worker", "deid_batch.pool"} <= loaded
    assert not {"pydicom", "numpy", "deid_batch.verification", "deid_batch.verify.comparison"} & loaded
