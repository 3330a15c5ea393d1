"""preview: before and after of every element of one file that changes, and nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from deid_batch import Deidentifier
from deid_batch.cli import app

PLAN = str(get_testdata_file("rtplan.dcm"))
CT = str(get_testdata_file("CT_small.dcm"))
CONFIG = {
    "dicomTagRules": [
        {"tag": {"path": "BeamSequence/BeamName"}, "method": "redact"},
        {"tag": {"path": "ControlPointSequence/GantryAngle"}, "method": "perturb", "span": 90},
        {"tag": {"keyword": "ReferencedDoseReferenceSequence"}, "method": "remove"},
        {"tag": {"keyword": "StationName"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"keyword": "PatientID"}, "method": "cryptohash", "maxLength": 16},
        {"tag": {"keyword": "PatientSex"}, "method": "keep"},
        {"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "Nobody"},
        {"tag": {"VR": "DA"}, "method": "dateshift"},
        {"tag": {"VR": "UI"}, "method": "refreshUID"},
        {"tag": {"private": True}, "method": "remove"},
    ],
    "parameters": {"key": "a master key that only the tests use", "referenceDate": "2026-01-31"},
}
HIDDEN = "•••"


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "cfg.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    return str(path)


def preview(file: str, config: str, *options: str) -> Any:
    return CliRunner().invoke(app, ["preview", file, "--config", config, *options], env={"COLUMNS": "250"})


def rows_of(shown: str) -> dict[str, list[str]]:
    """The cells of a table's rows by the element."""
    lines = [line.split("│")[1:-1] for line in shown.splitlines() if line.startswith("│")]
    return {element.strip(): [cell.strip() for cell in cells] for element, *cells in lines}


def changes_of(file: str, config: str, *options: str) -> dict[str, dict[str, str | None]]:
    """What `--json` says, by the element."""
    rows = json.loads(preview(file, config, "--json", *options).stdout)
    assert len({row["element"] for row in rows}) == len(rows)
    return {row.pop("element"): row for row in rows}


def values_of(dataset: Dataset) -> Iterator[str]:
    """What identifies somebody in a data set and its items: every value of these VRs."""
    for element in dataset.iterall():
        if element.VR in {"PN", "DA", "UI"} or element.keyword in {"PatientID", "BeamName", "StationName"}:
            yield from map(str, element.value if element.VM > 1 else [element.value])


def test_the_table_shows_each_change_with_its_path_and_its_rule(config: str) -> None:
    result = preview(PLAN, config)
    rows = rows_of(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert rows["(0010,0010) PatientName"] == ["PN", HIDDEN, "Nobody", "7: substitute"]
    assert rows["(0008,1010) StationName"] == ["SH", HIDDEN, "(empty)", "4: redact"]
    assert rows["(300A,00B0)[1] / (300A,00C2) BeamName"] == ["LO", HIDDEN, "(removed)", "1: redact"]
    assert rows["(300A,00B0)[1] / (300A,0111)[1] / (300A,011E) GantryAngle"][::3] == ["DS", "2: perturb"]
    sequence = "(300A,00B0)[1] / (300A,0111)[1] / (300C,0050) ReferencedDoseReferenceSequence"
    assert rows[sequence] == ["SQ", HIDDEN, "(removed)", "3: remove"]


def test_what_stays_is_not_shown(config: str) -> None:
    rows = rows_of(preview(PLAN, config).stdout)
    changed = {element.rpartition(" ")[2] for element in rows}
    assert {"PatientSex", "Modality", "SOPClassUID", "BeamNumber", "PatientBirthDate"} & changed == set()
    assert [element for element in rows if "(300C,0050)[" in element] == []


def test_elements_stand_in_the_order_of_the_file(config: str) -> None:
    rows = list(rows_of(preview(CT, config).stdout))
    assert rows == sorted(rows)
    assert len(rows) > 100


def test_json_says_the_same(config: str) -> None:
    shown_as = {"before": HIDDEN, "after": "(removed)"}
    rows = rows_of(preview(PLAN, config).stdout)
    cells = {
        element: [shown_as[name] if cell is None else cell or "(empty)" for name, cell in change.items()]
        for element, change in changes_of(PLAN, config).items()
    }
    assert cells == rows


def deidentified(file: str, config: str) -> Dataset:
    """What the engine makes of a file."""
    return dcmread(BytesIO(Deidentifier.from_config(config).apply_to_bytes(Path(file).read_bytes())))


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_original_values_are_hidden_unless_they_are_asked_for(form: list[str], config: str) -> None:
    kept = {*values_of(deidentified(PLAN, config))}
    originals = {value for value in values_of(dcmread(PLAN)) if len(value) > 3} - kept
    assert {"Last^First^mid^pre", "id00001", "Field 1", "20030716", "operator"} <= originals
    hidden, shown = (preview(PLAN, config, *form, *more).stdout for more in ([], ["--show-values"]))
    assert [value for value in originals if value in hidden] == []
    assert [value for value in originals if value not in shown] == []


def test_after_is_what_a_run_writes(config: str) -> None:
    changes = changes_of(PLAN, config)
    dataset = deidentified(PLAN, config)
    beam = dataset.BeamSequence[0]
    written = {
        "(0010,0020) PatientID": dataset.PatientID,
        "(300A,0006) RTPlanDate": dataset.RTPlanDate,
        "(0008,0018) SOPInstanceUID": dataset.SOPInstanceUID,
        "(300A,00B0)[1] / (300A,0111)[1] / (300A,011E) GantryAngle": str(beam.ControlPointSequence[0].GantryAngle),
    }
    assert {element: changes[element]["after"] for element in written} == written


def test_private_elements_go_with_their_creators(config: str) -> None:
    private = [it.tag for it in dcmread(CT) if it.tag.is_private]
    rows = rows_of(preview(CT, config).stdout)
    gone = [element for element, cells in rows.items() if cells[2:] == ["(removed)", "10: remove"]]
    assert gone == [f"({tag.group:04X},{tag.element:04X})" for tag in private]


def test_a_creator_that_no_rule_names_goes_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "cfg.json"
    path.write_text('{"dicomTagRules": [{"tag": {"creator": "GEMS_IDEN_01"}, "method": "remove"}]}', encoding="utf-8")
    rows = rows_of(preview(CT, str(path)).stdout)
    assert rows["(0009,0010)"] == ["LO", HIDDEN, "(removed)", "goes with its block"]
    assert rows["(0009,1001)"] == ["LO", HIDDEN, "(removed)", "1: remove"]
    assert {element[:5] for element in rows} == {"(0009"}


def test_keys_that_nobody_gives_are_drawn_and_it_is_said_which(config: str, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{"rules": [{"tag": "PN", "method": "encrypt"}]}', encoding="utf-8")
    first, second = (preview(PLAN, str(path)) for _ in range(2))
    assert first.stderr == "deid-batch: keys drawn at random for this preview: encryptKey\n"
    assert first.stdout != second.stdout
    assert preview(PLAN, config).stdout == preview(PLAN, config).stdout


def test_keys_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"rules": [{"tag": "PN", "method": "encrypt"}]}', encoding="utf-8")
    keys = str(tmp_path / "keys.json")
    assert CliRunner().invoke(app, ["keygen", keys]).exit_code == 0
    first, second = (preview(PLAN, str(tmp_path / "own.json"), "--keys", keys) for _ in range(2))
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("MR_truncated.dcm", "the file can't be de-identified: truncated: the file ends inside a data element"),
        ("dicomdirtests/DICOMDIR", "the file can't be de-identified: dicomdir"),
        ("README.txt", "the file can't be de-identified: not-dicom"),
        ("dicomdirtests", "the file can't be de-identified: not-regular"),
        ("nowhere.dcm", "the file can't be read (No such file or directory)"),
    ],
)
def test_a_file_that_can_not_be_done_is_told(origin: str, says: str, config: str) -> None:
    result = preview(str(Path(PLAN).parent / origin), config)
    assert result.exit_code == 2
    assert result.stderr == f"deid-batch: {says}\n"
    assert result.stdout == ""


def test_a_bad_config_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text('{"rules": [{"tag": "PN", "method": "encript"}]}', encoding="utf-8")
    result = preview(str(tmp_path / "nowhere.dcm"), str(tmp_path / "cfg.json"))
    assert result.exit_code == 2
    assert "cfg.json:1:36 rules[0].method: unknown method 'encript'" in result.stderr


_WATCHED = """
import json, os, sys
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.truncate", "os.chmod", "sqlite3.connect",
           "tempfile.mkstemp", "tempfile.mkdtemp", "subprocess.Popen", "os.fork")
def watch(event, arguments):
    if event in CHANGES or (event == "open" and arguments[2] & WRITES):
        sys.stderr.write(f"WRITES {event} {arguments}\\n")
sys.addaudithook(watch)
from deid_batch.cli import app
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        app()
    except SystemExit as end:
        sys.stderr.write(f"ends with {end.code}\\n")
"""


def watched(folder: Path, *commands: list[str]) -> list[str]:
    """What a process that does these tells on stderr, with everything it writes; its places are under `folder`."""
    places = {name: str(folder / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        os.mkdir(place)
    command = [sys.executable, "-B", "-c", _WATCHED, json.dumps(commands)]
    env = {**os.environ, **places}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False, timeout=100)
    return done.stderr.splitlines()


def test_nothing_is_written_anywhere(config: str, tmp_path: Path) -> None:
    origins = ["rtplan.dcm", "image_dfl.dcm", "SC_rgb_jpeg.dcm", "MR_truncated.dcm"]  # deflated, re-encoded, broken
    commands = [["preview", str(get_testdata_file(origin)), "--config", config] for origin in origins]
    said = watched(tmp_path, [*commands[0], "--json", "--show-values"], *commands)
    assert [line for line in said if line.startswith(("WRITES", "ends"))] == [*["ends with 0"] * 4, "ends with 2"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cfg.json"]


def test_a_command_that_writes_is_seen_to(tmp_path: Path) -> None:
    said = watched(tmp_path, ["keygen", "keys.json"])
    assert said[-1] == "ends with 0"
    assert "WRITES open ('keys.json'" in "".join(said)
