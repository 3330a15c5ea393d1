"""check --statement: the conformance statement says of every attribute what is done. (PS3.15 E.1.3)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_profile_table import ROWS
from typer.testing import CliRunner

from deid_batch.cli import app


def said(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["check", "--statement", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def cells(text: str) -> dict[str, list[str]]:
    """The lines of its tables by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in lines}


def shown_tag(tag: int) -> str:
    name = f"{tag:08X}"
    if name[:2] == "50":
        return "(50xx,xxxx)"
    return f"({'60xx' if name[:2] == '60' else name[:4]},{name[4:]})"


def test_every_attribute_has_a_line() -> None:
    table = cells(said())
    assert [shown_tag(row.tag) for row in ROWS if shown_tag(row.tag) not in table] == []


LINES = {
    ("basic", "(0010,0010)"): ["PatientName", "Z", "pseudonym"],
    ("basic", "(0008,0020)"): ["StudyDate", "Z", "redact (redactLeaves empty)"],
    ("basic", "(0008,0021)"): ["SeriesDate", "X/D", "dummy"],
    ("keep-uids", "(0020,000E)"): ["SeriesInstanceUID", "K (retain_uids)", "keep"],
    ("keep-uids", "113110"): ["Retain UIDs Option", "claimed"],
    ("research-longitudinal", "113105"): ["Clean Descriptors Option", "claimed"],
    ("research-longitudinal", "(0008,0020)"): [
        "StudyDate", "C (retain_long_modified_dates)", "dateshift (dateShiftScope Patient, dateShiftRange 365)",
    ],
    ("research-longitudinal", "Philips PET Private Group"): ["(7053,xx00), (7053,xx09)"],
}  # fmt: skip


@pytest.mark.parametrize(("config", "first"), LINES)
def test_a_line_says_what_is_done(config: str, first: str) -> None:
    assert cells(said(config))[first] == LINES[config, first]


def test_rules_of_the_users_own_are_told_and_judged(tmp_path: Path) -> None:
    own = [
        {"tag": {"keyword": "PatientBirthDate"}, "method": "keep", "when": {"Modality": "CT"}},
        {"tag": {"keyword": "BodyPartExamined"}, "method": "remove"},
    ]
    path = tmp_path / "cfg.json"
    path.write_text(json.dumps({"profile": "basic", "dicomTagRules": own}))
    text = said(str(path))
    table = cells(text)
    assert table["(0010,0030) PatientBirthDate"] == ["keep", "Modality is CT", "leaves more than the profile"]
    assert table["(0018,0015) BodyPartExamined"][0] == "remove"
    assert "leaves more" not in "".join(table["(0018,0015) BodyPartExamined"])
    assert "claim none of them" in text


SECTIONS = {
    "basic": ["Dates: removed or replaced.", "Private elements are removed.", "Content items are replaced by one."],
    "hipaa-safe-harbor": ["Ages over 89 years"],
    "research-longitudinal": ["Times of day and UTC offsets are not changed", "## Safe private attributes"],
}


@pytest.mark.parametrize("config", SECTIONS)
def test_what_depends_on_the_config_is_told(config: str) -> None:
    text = said(config)
    assert all(line in text for line in SECTIONS[config])
    assert ("## Safe private attributes" in text) == (config == "research-longitudinal")


def test_only_a_profile_has_one() -> None:
    said("seed-sample", code=2)
