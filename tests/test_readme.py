"""What the README quotes is what the tool says. `python tests/test_readme.py` writes the quotes anew."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from deid_batch.config import read_config

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
_QUOTE = re.compile(r"<!-- (?:output|file): (?P<name>\S+) -->\n```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL)
_BAD_CONFIG = """{
  "dicomTagRules": [
    {"tag": {"VR": "PN"}, "method": "encript"},
    {"tag": {"keyword": "PatientsName"}, "method": "redact"},
    {"tag": {"VR": "DA"}, "method": "dateshift", "dateShiftRage": 50}
  ]
}
"""


def quoted() -> dict[str, str]:
    """The README's quotes by name."""
    return {match["name"]: match["text"] for match in _QUOTE.finditer(README.read_text(encoding="utf-8"))}


def said(*arguments: str, folder: str | Path = ROOT) -> str:
    """What the command prints, on both streams."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "deid_batch", *arguments]
    done = subprocess.run(
        command, capture_output=True, cwd=folder, env=environment, encoding="utf-8", check=False, timeout=120
    )
    return done.stdout + done.stderr


def _demo() -> str:
    with tempfile.TemporaryDirectory() as folder:
        printed = said("demo", "demo", folder=folder)
    summary = printed[printed.index("Files") : printed.index("Audit log:")]
    summary = re.sub(r"in \d+\.\d s: .*", "in … s: … files/s, … MB/s", summary)
    return "".join(line.rstrip() + "\n" for line in summary.splitlines())


def _config_error() -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cfg.json").write_text(_BAD_CONFIG, encoding="utf-8")
        (Path(folder) / "study_dump").mkdir()
        return said("run", "study_dump", "out", "--config", "cfg.json", folder=folder)


_RULES = """{
  "$schema": "./deid-batch.schema.json",
  "dicomTagRules": [
    {"tag": {"keyword": "PatientName"}, "method": "substitute", "replaceWith": "Trial^One",
     "when": {"Modality": ["RTPLAN", "RTDOSE"], "PatientID": {"regex": "^id"}}},
    {"tag": {"path": "BeamSequence/BeamName"}, "method": "redact"},
    {"tag": {"creator": "SIEMENS MR HEADER", "value": "(0019,xx0C)"}, "method": "keep"},
    {"tag": {"private": true}, "method": "remove"},
    {"tag": {"VR": "PN"}, "method": "redact", "redactLeaves": "empty"},
    {"tag": {"VR": "DA"}, "method": "dateshift", "dateShiftRange": 30},
    {"tag": {"keyword": "OperatorsName"}, "method": "encrypt"}
  ],
  "parameters": {"key": "better file:PATH than words in here"}
}
"""


def _of_rules(*arguments: str) -> str:
    """What a command says about that config and a treatment plan."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cfg.json").write_text(_RULES, encoding="utf-8")
        shutil.copyfile(str(get_testdata_file("rtplan.dcm")), Path(folder) / "plan.dcm")
        return "".join(line.rstrip() + "\n" for line in said(*arguments, folder=folder).splitlines())


EXAMPLE = "tests/example_method/round_down.py"
QUOTES: dict[str, Callable[[], str]] = {
    "demo": _demo,
    "help": lambda: said("run", "--help"),
    "config-error": _config_error,
    "configs/seed-sample.json": lambda: (ROOT / "configs/seed-sample.json").read_text(encoding="utf-8"),
    "rules": lambda: _RULES,
    "check": lambda: _of_rules("check", "cfg.json"),
    "explain": lambda: _of_rules("explain", "cfg.json", "PatientName", "OperatorsName", "0019,100C"),
    "profile": lambda: said(
        "explain", "research-longitudinal", "StudyDate", "PatientID", '(7053,xx00,"Philips PET Private Group")'
    ),
    "preview": lambda: _of_rules("preview", "plan.dcm", "--config", "cfg.json"),
    "tests/example_method/round_down.py": lambda: (ROOT / "tests/example_method/round_down.py").read_text(
        encoding="utf-8"
    ),
}


@pytest.mark.parametrize("name", QUOTES)
def test_quote_is_what_the_tool_says(name: str) -> None:
    assert quoted()[name] == QUOTES[name]()


def test_every_quote_is_checked() -> None:
    assert set(quoted()) == set(QUOTES)


def test_every_reason_code_is_listed() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "deid_batch").rglob("*.py"))
    raised = re.findall(
        r"(?:FileError|Unreadable|OddEncoding|SetAside|Skipped|Passed)\((?:path, )?\"([a-z-]+)\"", sources
    )
    table = README.read_text(encoding="utf-8").partition("| status | reason |")[2]
    assert raised
    assert [reason for reason in sorted(set(raised)) if not re.search(rf"\b{reason}\b", table)] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [line for line in README.read_text(encoding="utf-8").splitlines() if "'.[test]'" in line]
    assert len(commands) == 1
    assert "pytest" in commands[0]
    assert "grep -m 1 -F \"'.[test]'\" README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_library_example_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(from pydicom .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "cfg.json").write_text(_RULES, encoding="utf-8")
    shutil.copyfile(str(get_testdata_file("rtplan.dcm")), tmp_path / "in.dcm")
    said("keygen", "keys.json", folder=tmp_path)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Trial^One\n"
    assert (tmp_path / "out.dcm").read_bytes() == (tmp_path / "other.dcm").read_bytes()


def test_every_config_of_the_readme_can_be_read(tmp_path: Path) -> None:
    configs = re.findall(r"```jsonc\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "ids.csv").write_text("007;P1\n")
    (tmp_path / "known.csv").write_text("person;Doe^John\n")
    for number, text in enumerate(configs):
        (tmp_path / f"{number}.json").write_text(text, encoding="utf-8")
        assert read_config(str(tmp_path / f"{number}.json")).config is not None
    assert len(configs) > 2


if __name__ == "__main__":
    README.write_text(
        _QUOTE.sub(
            lambda match: match[0][: match.start("text") - match.start()] + QUOTES[match["name"]]() + "```",
            README.read_text(encoding="utf-8"),
        ),
        encoding="utf-8",
    )
