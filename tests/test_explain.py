"""explain: which rule decides an element, why, and which rules come too late."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from deid_batch import dictionary
from deid_batch.cli import app
from deid_batch.frames import Touch
from deid_batch.preview import changes_of
from deid_batch.views import explanation
from deid_batch.wire import tag_name

CONFIG = """{
  "dicomTagRules": [
    {"tag": {"keyword": "PatientName"}, "method": "substitute", "replaceWith": "X", "when": {"Modality": ["US", "SC"]}},
    {"tag": {"value": "(0010,0010)"}, "method": "keep", "when": {"PatientID": {"regex": "^T"}}},
    {"tag": {"VR": "PN"}, "method": "encrypt"},
    {"tag": {"keyword": "PatientName"}, "method": "redact"},
    {"tag": {"value": "(60xx,3000)"}, "method": "remove"},
    {"tag": {"path": "BeamSequence/BeamName"}, "method": "redact", "redactLeaves": "empty"},
    {"tag": {"creator": "GEMS_ACQU_01", "value": "(0019,xx0F)"}, "method": "perturb"},
    {"tag": {"value": "(0019,100F)"}, "method": "keep"},
    {"tag": {"creator": "GEMS_IDEN_01"}, "method": "redact"},
    {"tag": {"private": true}, "method": "remove"},
    {"tag": {"keyword": "ReferencedStudySequence"}, "method": "remove", "when": {"Modality": "CT"}},
    {"tag": {"keyword": "RequestAttributesSequence"}, "method": "redact"},
    {"tag": {"VR": "UI"}, "method": "refreshUID"},
    {"tag": {"VR": "DA"}, "method": "dateshift"},
    {"tag": {"VR": "SH"}, "method": "redact"}
  ]
}"""
ENCRYPTS = "rule 3 at 5:5, VR PN: encrypt – decides"
TOO_LATE = "rule 4 at 6:5, (0010,0010) PatientName: redact – comes too late"
SWEEPS = "rule 10 at 12:5, every private element: remove"
BY_NUMBER = "rule 8 at 10:5, (0019,100F): keep"
BY_CREATOR = 'rule 7 at 9:5, (0019,xx0F,"GEMS_ACQU_01"): perturb'


def explain(folder: Path, *arguments: str) -> str:
    (folder / "cfg.json").write_text(CONFIG, encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", str(folder / "cfg.json"), *arguments])
    assert result.exit_code == 0, result.output
    assert isinstance(result.stdout, str)
    return result.stdout


@pytest.mark.parametrize(
    "element", ["PatientName", "patientname", "(0010,0010)", "0010,0010", "00100010", "/PatientName"]
)
def test_conditions_are_named_and_rules_behind_the_deciding_one_come_too_late(element: str, tmp_path: Path) -> None:
    assert explain(tmp_path, element).splitlines() == [
        "(0010,0010) PatientName, VR PN",
        "  rule 1 at 3:5, (0010,0010) PatientName: substitute (replaceWith X) – decides where Modality is US or SC",
        "  rule 2 at 4:5, (0010,0010) PatientName: keep – decides where PatientID matches ^T",
        f"  {ENCRYPTS}",
        f"  {TOO_LATE}",
    ]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["Modality"], ["(0008,0060) Modality, VR CS", "no rule: stays as it is"]),
        (["OperatorsName"], ["(0008,1070) OperatorsName, VR PN", ENCRYPTS]),
        (["OperatorsName", "--vr", "lo"], ["(0008,1070) OperatorsName, VR LO", ENCRYPTS]),
        (["60023000"], ["(6002,3000) OverlayData, VR OW", "rule 5 at 7:5, (60xx,3000): remove – decides"]),
        (["BeamName"], ["(300A,00C2) BeamName, VR LO", "no rule: stays as it is"]),
        (
            ["BeamSequence/BeamName"],
            [
                "(300A,00B0) BeamSequence / (300A,00C2) BeamName, VR LO",
                "rule 6 at 8:5, (300A,00B0) BeamSequence/(300A,00C2) BeamName: redact (redactLeaves empty) – decides",
            ],
        ),
        (["0019,100F"], ["(0019,100F), VR UN", f"{BY_NUMBER} – decides", f"{SWEEPS} – comes too late"]),
        (
            ["0019,100F", "--creator", "GEMS_ACQU_01"],
            [
                '(0019,100F), VR DS, creator "GEMS_ACQU_01"',
                f"{BY_CREATOR} – decides",
                f"{BY_NUMBER} – comes too late",
                f"{SWEEPS} – comes too late",
            ],
        ),
        (
            ["0019,110F", "--creator", "GEMS_ACQU_01", "--vr", "DS"],
            ['(0019,110F), VR DS, creator "GEMS_ACQU_01"', f"{BY_CREATOR} – decides", f"{SWEEPS} – comes too late"],
        ),
        (
            ['(0009,xx02,"GEMS_IDEN_01")'],
            [
                '(0009,1002), VR SH, creator "GEMS_IDEN_01"',
                'rule 9 at 11:5, private "GEMS_IDEN_01": redact – decides',
                f"{SWEEPS} – comes too late",
                "rule 15 at 17:5, VR SH: redact – comes too late",
            ],
        ),
        (
            ["0009,0010"],
            [
                "(0009,0010), VR LO",
                f"{SWEEPS} – decides",
                "a private creator stays while an element of its block does, and goes with the last one",
            ],
        ),
        (
            ["RequestAttributesSequence/ScheduledProcedureStepID"],
            [
                "(0040,0275) RequestAttributesSequence / (0040,0009) ScheduledProcedureStepID, VR SH",
                "rule 12 at 14:5, (0040,0275) RequestAttributesSequence: redact – "
                "takes (0040,0275) RequestAttributesSequence with all that is in it",
                "rule 15 at 17:5, VR SH: redact – comes too late",
            ],
        ),
        (
            ["ReferencedStudySequence/ReferencedSOPInstanceUID"],
            [
                "(0008,1110) ReferencedStudySequence / (0008,1155) ReferencedSOPInstanceUID, VR UI",
                "rule 11 at 13:5, (0008,1110) ReferencedStudySequence: remove – "
                "takes (0008,1110) ReferencedStudySequence with all that is in it where Modality is CT",
                "rule 13 at 15:5, VR UI: refreshUID – decides",
            ],
        ),
        (
            ["0002,0010"],
            ["(0002,0010) TransferSyntaxUID, VR UI", "no rule decides: File Meta Information is always built anew"],
        ),
        (
            ["FFFC,FFFC"],
            [
                "(FFFC,FFFC) DataSetTrailingPadding, VR OB",
                "no rule decides: group lengths and Data Set Trailing Padding always go",
            ],
        ),
    ],
)
def test_the_deciding_rule_and_the_losers(arguments: list[str], lines: list[str], tmp_path: Path) -> None:
    head, *verdicts = lines
    assert explain(tmp_path, *arguments).splitlines() == [head, *(f"  {line}" for line in verdicts)]


def test_several_elements_are_explained_in_turn(tmp_path: Path) -> None:
    shown = explain(tmp_path, "OperatorsName", "StudyDate")
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == [
        "(0008,1070) OperatorsName, VR PN",
        "(0008,0020) StudyDate, VR DA",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["PatientsName"], "unknown keyword 'PatientsName'"),
        (["(0010,00)"], "'(0010,00)' is no tag; write it as (gggg,eeee)"),
        (["(50xx,xxxx)"], "'(50xx,xxxx)' ((50xx,xxxx)) is not one element"),
        (["PN"], "'PN' (VR PN) is not one element"),
        (["*/PatientName"], "is not one element"),
        (["PatientName/PatientID"], "(0010,0010) PatientName is no sequence"),
        (["PatientName", "--vr", "PM"], "unknown VR 'PM'"),
    ],
)
def test_what_is_not_one_element_is_told(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["explain", "seed-sample", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def path_of(touch: Touch) -> str:
    """The element as it is written on the command line."""
    steps, place = [tag_name(touch.tag)], touch.place
    while place:
        place, tag, _ = place
        steps.insert(0, tag_name(tag))
    return "/".join(steps)


@pytest.mark.parametrize("origin", ["rtplan.dcm", "CT_small.dcm", "reportsi.dcm"])
def test_what_is_explained_is_what_happens(origin: str, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(CONFIG, encoding="utf-8")
    changes, rules, _ = changes_of(str(get_testdata_file(origin)), str(tmp_path / "cfg.json"))
    public = [it for it in changes if not dictionary.is_private(it.tag) and it.rule is not None]
    assert len(public) > 3
    for change in public:
        decides = [
            line for line in explanation(rules, path_of(change), None, change.vr).splitlines() if "decides" in line
        ]
        assert change.rule is not None
        assert decides[-1].startswith(f"  rule {change.rule + 1} at "), path_of(change)
