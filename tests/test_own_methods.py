"""Methods from other packages: found by entry point, used and checked like the package's own."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.errors import UsageError
from deid_batch.methods import METHODS, known_methods

EXAMPLE = Path(__file__).parent / "example_method"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example package, without network."""
    for needed in ("pip", "hatchling"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-cache-dir"]
    command = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(target), str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def deid(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command with the packages of `site` installed too."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "deid_batch", *arguments]
    env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False, timeout=300)


def write(folder: Path, config: object) -> None:
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")


def rule(keyword: str, **settings: object) -> dict[str, object]:
    return {"tag": {"keyword": keyword}, "method": "roundDown", **settings}


def test_two_workers_use_the_method_of_an_installed_package(installed: Path, tmp_path: Path) -> None:
    for number in range(8):
        dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
        dataset.PatientWeight = f"{71 + number}.9"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        (tmp_path / "dump").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "dump" / str(number))
    write(tmp_path, {"dicomTagRules": [rule("PatientWeight"), rule("ImagePositionPatient", step="0.5")]})
    done = deid(installed, "run", "dump", "out", "-c", "cfg.json", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = [dcmread(tmp_path / "out" / str(number)) for number in range(8)]
    assert [float(it.PatientWeight) for it in results] == [70, 70, 70, 70, 75, 75, 75, 75]
    assert dcmread(tmp_path / "dump" / "0").ImagePositionPatient == [-158.135803, -179.035797, -75.699997]
    assert [list(it.ImagePositionPatient) for it in results] == [[-158.5, -179.5, -76]] * 8
    with open(tmp_path / "out.deid" / "audit.csv", encoding="utf-8", newline="") as log:
        assert [row["perturbed"] for row in csv.DictReader(log)] == ["2"] * 8


def test_its_settings_are_checked_like_those_of_the_others(installed: Path, tmp_path: Path) -> None:
    rules = [
        rule("PatientWeight", stpe=2),
        rule("PatientWeight", step=0),
        rule("PatientWeight", step="two"),
        rule("PatientWeight", onError="ignore"),
        rule("PatientName"),
        {"tag": {"VR": "DS"}, "method": "roundDwn"},
    ]
    write(tmp_path, {"dicomTagRules": rules, "parameters": {"step": -1}})
    done = deid(installed, "check", "cfg.json", cwd=tmp_path)
    told = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    assert done.returncode == 2, done.stderr
    assert [line for line in told if "warning" not in line] == [
        "dicomTagRules[0].stpe: unknown key 'stpe', did you mean 'step'?",
        "dicomTagRules[1].step: input should be greater than 0",
        "dicomTagRules[2].step: input should be a valid decimal",
        "dicomTagRules[3].onError: input should be 'redact' or 'fail'",
        "dicomTagRules[4].method: roundDown can't treat (0010,0010) PatientName of VR PN; it treats DS",
        "dicomTagRules[5].method: unknown method 'roundDwn', did you mean 'roundDown'?",
        "parameters.step: input should be greater than 0",
    ]


def test_both_dialects_and_the_schema_know_it(installed: Path, tmp_path: Path) -> None:
    rules = [
        {"tag": "PatientWeight", "method": "rounddown"},
        {"tag": "DS", "method": "RoundDown", "params": {"step": 2}},
    ]
    write(tmp_path, {"rules": rules, "defaultSettings": {"roundDown": {"step": 10}}})
    done = deid(installed, "check", "cfg.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "│ roundDown │ step 10  │" in done.stdout
    assert "│ roundDown │ step 2   │" in done.stdout
    assert '"roundDown"' in deid(installed, "schema", cwd=tmp_path).stdout


def test_without_the_package_there_is_no_such_method(tmp_path: Path) -> None:
    write(tmp_path, {"dicomTagRules": [rule("PatientWeight")]})
    result = CliRunner().invoke(app, ["check", str(tmp_path / "cfg.json")])
    assert result.exit_code == 2
    assert "unknown method 'roundDown'" in result.stdout


GOOD = """
from dataclasses import dataclass
from typing import ClassVar
from deid_batch.methods import Element, ValueMethod

@dataclass(frozen=True)
class Upper(ValueMethod):
    name: ClassVar[str] = "upper"
    column: ClassVar[str] = "cleaned"
    vrs: ClassVar[frozenset[str]] = frozenset({"LO", "SH"})

    def treat(self, value: str, element: Element, number: int) -> str:
        return value.upper()
"""


_CLASS = "\nclass Upper(ValueMethod):\n"
_HEAD = f"@dataclass(frozen=True){_CLASS}"


def offer(site: Path, module: str, source: str, points: str) -> None:
    """Lay a distribution as an installer does. (Packaging user guide: recording installed projects)"""
    (site / f"{module}.py").write_text(source, encoding="utf-8")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[deid_batch.methods]\n{points}\n", encoding="utf-8")


def methods_with(site: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The known methods with the packages of `site`, without remembering them."""
    monkeypatch.syspath_prepend(str(site))
    try:
        return dict(known_methods.__wrapped__())
    finally:
        sys.modules.pop("own", None)


def test_a_good_entry_point_adds_its_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "own", GOOD, "upper = own:Upper")
    methods = methods_with(tmp_path, monkeypatch)
    assert list(methods) == [*METHODS, "upper"]


@pytest.mark.parametrize(
    ("points", "change", "why"),
    [
        ("upper = nowhere:Upper", ("", ""), "loading it ends with ModuleNotFoundError"),
        ("upper = own:Uper", ("", ""), "loading it ends with AttributeError"),
        ("upper = own:Upper", ("class", "clas"), "loading it ends with SyntaxError"),
        ("upper = own:Upper", ("from typing", "1 / 0\nfrom typing"), "loading it ends with ZeroDivisionError"),
        ("upper = own:dataclass", ("", ""), "it is no class that completes deid_batch.methods.Method or ValueMethod"),
        ("upper = own:Upper", ("def treat", "def trat"), "it is no class that completes"),
        ("upper = own:Upper", ("(ValueMethod)", ""), "it is no class that completes"),
        ("upper = own:Upper", ("@dataclass(frozen=True)", ""), "it must be a frozen dataclass"),
        ("upper = own:Upper", ("    def", "    size: int\n    def"), "loading it ends with TypeError"),
        (
            "upper = own:Upper",
            (_HEAD, f"@dataclass(frozen=True, kw_only=True){_CLASS}    size: int\n"),
            "a default for every",
        ),
        ("upper = own:Upper", ("@dataclass(frozen=True)", "@dataclass"), "loading it ends with TypeError"),
        ("upper = own:Upper", ('"cleaned"', '"raised"'), "its column must be one of kept, redacted"),
        ("upper = own:Upper", ('frozenset({"LO", "SH"})', '"LO"'), "its vrs must be a frozenset of VRs"),
        ("upper = own:Upper", ('"LO"', '"LP"'), "its vrs must be a frozenset of VRs"),
        ("lower = own:Upper", ("", ""), "its name must be 'lower'"),
        ("redact = own:Upper", ("", ""), "there is a method of that name already"),
        ("Redact = own:Upper", ("", ""), "there is a method of that name already"),
        ("upper = own:Upper\nUPPER = own:Upper", ("", ""), "there is a method of that name already"),
    ],
)
def test_a_bad_entry_point_is_named_with_what_is_wrong(
    points: str, change: tuple[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert change[0] in GOOD
    offer(tmp_path, "own", GOOD.replace(*change) if change[0] else GOOD, points)
    with pytest.raises(UsageError) as caught:
        methods_with(tmp_path, monkeypatch)
    assert str(caught.value).startswith(
        f"the entry point '{points.splitlines()[-1]}' of deid_batch.methods can't be used: "
    )
    assert why in str(caught.value)


@pytest.mark.parametrize("command", [["check", "seed-sample"], ["schema"], ["run", ".", "out", "-c", "seed-sample"]])
def test_every_command_tells_of_a_bad_entry_point(command: list[str], tmp_path: Path) -> None:
    offer(tmp_path, "own", GOOD, "upper = own:Uper")
    done = deid(tmp_path, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("deid-batch: the entry point 'upper = own:Uper' of deid_batch.methods can't be used")
    assert done.stderr.count("\n") == 1


def test_a_setting_has_one_type_whatever_the_method(tmp_path: Path) -> None:
    offer(tmp_path, "own", GOOD.replace("    def", "    span: str = ''\n    def"), "upper = own:Upper")
    done = deid(tmp_path, "check", "seed-sample", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "deid-batch: the method 'upper' gives the setting 'span' another type than others do\n"
