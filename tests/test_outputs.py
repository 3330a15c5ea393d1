"""What a run leaves behind: outputs that other tools read as well as the inputs, and nothing identifying elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import PYDICOM, Place, tree
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

Demo = tuple[Path, subprocess.CompletedProcess[str]]


def complaints(tool: str, path: Path) -> set[str]:
    """What a tool says of a file, without the values it quotes."""
    result = subprocess.run([tool, path], capture_output=True, check=False)
    said = (result.stderr + result.stdout).decode(errors="replace").replace(str(path), "")
    lines = {
        re.sub(r"<.*?>", "", line) for line in said.splitlines() if line.startswith(("Error", "Warning", "E:", "W:"))
    }
    return {line for line in lines if "Retired Person Name form" not in line}  # encrypted names have no ^


@pytest.mark.parametrize("tool", ["dciodvfy", "dcmdump"])
def test_other_tools_have_no_complaint_that_the_input_did_not_have(demo: Demo, tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not there")
    folder, _ = demo
    outputs = tree(folder / "out")
    assert len(outputs) == 15
    for name in outputs:
        assert complaints(tool, folder / "out" / name) <= complaints(tool, folder / "study_dump" / name), name


def test_pixel_data_and_transfer_syntax_are_those_of_the_input(demo: Demo) -> None:
    folder, _ = demo
    for name in tree(folder / "out"):
        before, after = (dcmread(folder / root / name, force=True) for root in ("study_dump", "out"))
        assert before.get("PixelData") == after.get("PixelData"), name
        assert before.original_encoding == after.original_encoding, name
        assert after.file_meta.TransferSyntaxUID == before.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)


PLANTED = [
    "Zyxwvut", "Qwertzui", "QX-77311", "1.2.826.0.1.3680043.8.498.77777123", "19610203", "Klinikum Xyz", "PREAMBLE-XQ",
    "AETITLE-XQ", "PRIVATE-XQ", "BROKE-XQ", "TEXTFILE-XQ", "BEHIND-XQ", "CHARSET_XQ", "SYNTAX-XQ",
]  # fmt: skip
KEYS = {"dateShiftKey": "XQ date shift key of 32 bytes ---", "encryptKey": "XQ encryption key of 32 bytes --"}
ALL_TEXT = ["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT", "DS", "IS", "OB", "UN"]
RULES: list[dict[str, Any]] = [
    {"tag": {"keyword": "PixelData"}, "method": "keep"},
    {"tag": {"keyword": "PatientName"}, "method": "encrypt"},
    {"tag": {"VR": "DA"}, "method": "dateshift", "onError": "fail"},
    {"tag": {"VR": "UI"}, "method": "refreshUID"},
    *({"tag": {"VR": vr}, "method": "redact"} for vr in ALL_TEXT),
]


def planted() -> Dataset:
    """A real instance with unusual values at every place that has room for one."""
    dataset = dcmread(PYDICOM / "CT_small.dcm")
    dataset.PatientName = "Zyxwvut^Qwertzui"
    dataset.PatientID = "QX-77311"
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.77777123"
    dataset.PatientBirthDate = "19610203"
    dataset.InstitutionName = "Klinikum Xyz"
    dataset.RequestAttributesSequence = [Dataset()]
    dataset.RequestAttributesSequence[0].ScheduledProcedureStepID = "QX-77311"
    dataset.private_block(0x0009, "PRIVATE-XQ", create=True).add_new(1, "LO", "PRIVATE-XQ")
    dataset.preamble = b"PREAMBLE-XQ".ljust(128)
    dataset.file_meta.SourceApplicationEntityTitle = "AETITLE-XQ"
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.826.0.1.3680043.8.498.77777123"
    dataset.file_meta.PrivateInformation = b"PRIVATE-XQ"
    return dataset


def plant(source: Path) -> dict[str, str]:
    """Files with planted values, sound and broken in many ways; their statuses."""
    planted().save_as(source / "sound")
    whole = (source / "sound").read_bytes()
    start = whole.index(b"\x10\0\x10\0PN")
    broken = {
        "sound": (whole, "written"),
        "behind": (whole + b"BEHIND-XQ", "failed"),
        "bad date": (whole.replace(b"19610203", b"BROKE-XQ"), "failed"),
        "bad charset": (whole.replace(b"ISO_IR 100", b"CHARSET_XQ"), "written"),
        "bad VR": (whole.replace(b"\x08\0\x80\0LO", b"\x08\0\x80\0XQ"), "failed"),
        "cut in a name": (whole[: start + 12], "failed"),
        "lying length": (whole[: start + 6] + b"\xff\x7f" + whole[start + 8 :], "failed"),
        "swallowed": (whole.replace(b"\x08\0\x60\0CS\x02\0CT", b"\x08\0\x60\0CS\x12\0CT"), "failed"),
        "bad syntax": (whole.replace(b"1.2.840.10008.1.2.1\0", b"SYNTAX-XQ-Zyxwvut^Q\0"), "failed"),
        "text": (b"TEXTFILE-XQ", "skipped"),
    }
    for name, (data, _) in broken.items():
        assert name == "sound" or data != whole
        (source / name).write_bytes(data)
    dataset = planted()
    del dataset.SeriesInstanceUID
    dataset.save_as(source / "set aside")
    return {name: status for name, (_, status) in broken.items()} | {"set aside": "set-aside"}


def test_no_value_and_no_key_is_left_anywhere(place: Place) -> None:
    expected = plant(place.source)
    place.configure(rules=RULES, key="env:XQ_MASTER", referenceDate=None, **KEYS)
    temporary = place.folder / "TMPDIR"
    temporary.mkdir()
    environ = {"XQ_MASTER": "XQ master key, by environment", "TMPDIR": str(temporary)}
    result = place.run("--verbose", "--max-failures", "99", **environ)
    assert result.returncode == 1
    assert {source[2:]: row["status"] for source, row in place.rows().items()} == expected
    dry = place.run("--dry-run", "-v", **environ)
    said = [(run.stdout + run.stderr).encode() for run in (result, dry)]
    left = [data for folder in (place.out, place.work, temporary) for data in tree(folder).values()]
    everything = b"\n".join(said + left)
    for word in [*PLANTED, *KEYS.values(), environ["XQ_MASTER"]]:
        assert word.encode() not in everything, word
    tags = re.findall(r"\((\w{4},\w{4})\)", "".join(row["detail"] for row in place.rows().values()))
    assert set(tags) <= {"0002,0010", "0008,0080", "0010,0030", "0010,0010"}  # not four bytes taken for a tag
    sources = b"".join(tree(place.source).values())
    assert [word for word in PLANTED if word.encode() not in sources] == []


def test_a_sop_class_that_is_no_uid_is_not_told(place: Place) -> None:
    dataset = (PYDICOM / "CT_small.dcm").read_bytes()
    (place.source / "one").write_bytes(dataset.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"SOPCLASS-XQ-Zyxwvut^Qwert\0"))
    result = place.run_here("-v")
    assert b"XQ" not in b"".join([result.stdout.encode(), result.stderr.encode(), *tree(place.work).values()])


def test_a_run_that_finds_nothing_leaves_nothing_identifying_either(place: Place) -> None:
    (place.source / "text").write_bytes(b"TEXTFILE-XQ")
    result = place.run_here()
    assert result.returncode == 3
    assert result.stderr == "deid-batch: SOURCE holds no DICOM file\n"
    assert b"XQ" not in b"".join([result.stdout.encode(), result.stderr.encode(), *tree(place.work).values()])


@pytest.mark.slow
def test_keys_are_not_in_the_process_list(study: Place) -> None:
    if not os.path.isdir("/proc/self"):
        pytest.skip("no /proc")
    study.configure(key="XQ key that must not be listed")
    process = study.start()
    seen = set()
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes() + path.with_name("environ").read_bytes())
            except OSError:
                continue
        time.sleep(0.05)
    process.communicate()
    assert any(b"deid-batch" in one for one in seen)
    assert not any(b"XQ key" in one for one in seen)


def test_a_broken_config_is_told_without_its_keys(study: Place) -> None:
    study.configure(encryptKey="XQ short", rules=[{"tag": {"VR": "PN"}, "method": "encrypt", "key": "XQ"}])
    result = study.run()
    assert result.returncode == 2
    assert "an AES key has 16, 24 or 32 bytes" in result.stderr
    assert "XQ" not in result.stderr + result.stdout
