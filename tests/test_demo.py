"""The demo: a study dump of real files, the main job on it, and its results shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import deid_here, tree
from pydicom import dcmread

Demo = tuple[Path, subprocess.CompletedProcess[str]]


def test_demo_shows_the_command_the_summary_and_the_first_rows_of_the_audit_log(demo: Demo) -> None:
    folder, result = demo
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "$ deid-batch run new/study_dump new/out --config seed-sample"
    assert any(line.startswith("Files") for line in lines)
    audit = (folder / "out.deid/audit.csv").read_text(encoding="utf-8").splitlines()
    assert lines[-4:] == audit[:4]
    assert len(audit) == 1 + len(tree(folder / "study_dump"))


def test_demo_holds_several_modalities_and_transfer_syntaxes_a_damaged_file_and_one_that_is_no_dicom(
    demo: Demo,
) -> None:
    folder, result = demo
    sources, outputs = tree(folder / "study_dump"), tree(folder / "out")
    datasets = [dcmread(folder / "out" / name) for name in outputs]
    assert len({dataset.Modality for dataset in datasets if "Modality" in dataset}) >= 5
    assert len({dataset.file_meta.TransferSyntaxUID for dataset in datasets}) >= 6
    assert len({Path(name).parts[0] for name in outputs}) >= 5
    assert {Path(name).name for name in sources.keys() - outputs.keys()} == {"notes.txt", "damaged.dcm"}
    assert all(sources[name] != outputs[name] for name in outputs)
    assert "truncated" in result.stdout


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_demo_leaves_alone_what_is_there(tmp_path: Path, taken: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/mine").write_text("")
    (tmp_path / "file").write_text("")
    before = tree(tmp_path)
    result = deid_here("demo", tmp_path / taken)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert tree(tmp_path) == before
