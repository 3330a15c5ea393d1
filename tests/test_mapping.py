"""Lists of the user's: the value that a list gives stands in the output, and what a list lacks is not let through."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import PYDICOM, Place, deid_here, lay, tree
from datasets import Element, encode, part10, sequence, with_identity
from pydicom import dcmread

from deid_batch import Deidentifier
from deid_batch.config import load_config, read_config
from deid_batch.errors import FileError

ID, NAME, SUBJECT, BIRTH = 0x00100020, 0x00100010, 0x00120040, 0x00100030
LIST = "\ufeffPatient ID;New\r\n007;0042\r\n1CT1;P-CT\r\n4MR1;P-MR\r\n"


def written(folder: Path, mapping: object, text: str = LIST, **more: Any) -> str:
    """A config with this mapping and list, in a folder of its own."""
    path = folder / "ids.csv"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    config = {
        "dicomTagRules": [{"tag": {"VR": "PN"}, "method": "redact"}],
        "parameters": {"key": "a key that only the tests use"},
    }
    (folder / "cfg.json").write_text(json.dumps({**config, "mapping": mapping, **more}))
    return str(folder / "cfg.json")


def mapping(**changes: Any) -> dict[str, Any]:
    return {"csv": "file:ids.csv", "from": "PatientID", "to": "PatientID", **changes}


def file(*elements: Element) -> bytes:
    return part10(encode(with_identity(*elements)))


def text(tag: int, vr: str, value: str) -> Element:
    return Element(tag, vr, value.encode() + b" " * (len(value.encode()) % 2))


def treated(config: str, *elements: Element) -> Any:
    return dcmread(BytesIO(Deidentifier.from_config(config).apply_to_bytes(file(*elements))))


def test_the_value_of_the_list_is_written_with_its_zeros(tmp_path: Path) -> None:
    made = treated(written(tmp_path, mapping()), text(ID, "LO", "007"), text(NAME, "PN", "Doe^Jane"))
    assert (made.PatientID, "PatientName" in made) == ("0042", False)


def test_blanks_around_the_value_do_not_count_and_zeros_do(tmp_path: Path) -> None:
    config = written(tmp_path, mapping())
    assert treated(config, text(ID, "LO", " 007 ")).PatientID == "0042"
    with pytest.raises(FileError, match="not-in-mapping"):
        treated(config, text(ID, "LO", "7"))


def test_several_attributes_get_it_whether_they_are_there_empty_or_not(tmp_path: Path) -> None:
    config = written(tmp_path, mapping(to=["PatientID", "PatientName", "ClinicalTrialSubjectID", "(0010,4000)"]))
    for there in ([], [text(NAME, "PN", "")], [text(NAME, "PN", "Doe^Jane"), text(SUBJECT, "LO", "S-1")]):
        made = treated(config, text(ID, "LO", "007"), *there)
        values = (made.PatientID, made.PatientName, made.ClinicalTrialSubjectID, made.PatientComments)
        assert values == ("0042", "0042", "0042", "0042")
        assert [element.tag for element in made] == sorted(element.tag for element in made)


def test_another_attribute_than_patient_id_can_be_looked_up(tmp_path: Path) -> None:
    config = written(tmp_path, mapping(**{"from": "AccessionNumber", "to": "PatientID"}), "a-1,P1\na-2,P2\n")
    made = treated(config, text(0x00080050, "SH", "a-2"), text(ID, "LO", "4711"))
    assert (made.AccessionNumber, made.PatientID) == ("a-2", "P2")


def test_nested_values_are_looked_up_themselves_and_what_is_unknown_goes(tmp_path: Path) -> None:
    items = [[text(ID, "LO", "1CT1")], [text(ID, "LO", "007")], [text(ID, "LO", "nobody")]]
    made = treated(written(tmp_path, mapping()), text(ID, "LO", "007"), sequence(0x00101002, *items))
    assert [item.PatientID for item in made.OtherPatientIDsSequence] == ["P-CT", "0042", ""]


MISSING = {"remove": "", "pseudonym": "DEID-"}


@pytest.mark.parametrize("way", MISSING)
def test_what_the_list_lacks_goes_or_becomes_a_pseudonym(tmp_path: Path, way: str) -> None:
    config = written(tmp_path, mapping(to=["PatientID", "PatientName"], onMissing=way))
    made = treated(config, text(ID, "LO", "4711"), text(NAME, "PN", "Doe^Jane"))
    assert made.PatientID == made.PatientName
    assert str(made.PatientID).startswith(MISSING[way])
    assert bool(made.PatientID) == (way == "pseudonym")
    assert treated(config, text(ID, "LO", "")).PatientID == ""
    assert treated(config, text(ID, "LO", "007")).PatientID == "0042"


@pytest.mark.parametrize("value", ["4711", ""])
def test_what_the_list_lacks_is_set_aside_by_default(tmp_path: Path, value: str) -> None:
    with pytest.raises(FileError) as raised:
        treated(written(tmp_path, mapping()), text(ID, "LO", value))
    assert (raised.value.status, raised.value.reason) == ("set-aside", "not-in-mapping")
    assert raised.value.detail == "(0010,0020) PatientID is not in the list of the mapping"


def test_a_pseudonym_is_the_one_that_the_profile_would_give(tmp_path: Path) -> None:
    alone = {"profile": "basic", "pseudonymPrefix": "X", "parameters": {"key": "a key that only the tests use"}}
    (tmp_path / "alone.json").write_text(json.dumps(alone))
    config = written(tmp_path, mapping(onMissing="pseudonym"), dicomTagRules=[], **alone)
    elements = [text(ID, "LO", "4711"), text(0x00100021, "LO", "Hospital")]
    assert treated(config, *elements).PatientID == treated(str(tmp_path / "alone.json"), *elements).PatientID
    assert treated(config, *elements).PatientID.startswith("X")
    made = treated(config, text(ID, "LO", "007"), text(NAME, "PN", "Doe^Jane"))
    assert (made.PatientID, str(made.PatientName)[:1]) == ("0042", "X")
    assert made.DeidentificationMethodCodeSequence[0].CodeValue == "113100", "the profile is claimed"


def test_a_value_that_the_files_character_set_lacks_fails_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, mapping(), "007;Österreich\n")
    with pytest.raises(FileError, match="bad-value"):
        treated(config, text(ID, "LO", "007"))
    made = treated(config, text(0x00080005, "CS", "ISO_IR 192"), text(ID, "LO", "007"))
    assert made.PatientID == "Österreich"


def test_two_lists_at_once(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("v1,T1\n")
    second = mapping(csv="file:visits.csv", **{"from": "StudyID", "to": "ClinicalTrialTimePointID"})
    config = written(tmp_path, [mapping(), second])
    made = treated(config, text(ID, "LO", "007"), text(0x00200010, "SH", "v1"))
    assert (made.PatientID, made.ClinicalTrialTimePointID) == ("0042", "T1")


# ---- what a config may say ----

WRONG: dict[str, tuple[object, str, str]] = {
    "no file": (mapping(csv="file:none.csv"), LIST, r"mapping\.csv: the list can't be read \(No such file"),
    "no path": (mapping(csv="ids.csv"), LIST, r"mapping\.csv: must be file:PATH"),
    "one column": (mapping(), "a\nb\n", r"mapping\.csv: line 1 has no two columns"),
    "no rows": (mapping(), "PatientID,New\n", r"mapping\.csv: the list has no rows"),
    "a conflict": (mapping(), "a,1\nb,2\na,3\nb,2\na,4\n", r"for one old value: lines 1 and 3, 1 and 5$"),
    "too long": (mapping(to="StudyID"), f"a,{'x' * 17}\n", r"no valid SH, which \(0020,0010\) StudyID needs: lines 1$"),
    "two values": (mapping(), "a,x\\y\n", r"no valid LO"),
    "a date": (mapping(to="PatientBirthDate"), LIST, r"mapping\.to: \(0010,0030\) PatientBirthDate is of VR DA"),
    "pixels": (mapping(**{"from": "PixelData"}), LIST, r"mapping\.from: \(7FE0,0010\) PixelData holds no text"),
    "unknown attribute": (mapping(to="PatientsID"), LIST, r"mapping\.to: unknown keyword .* 'PatientID'\?"),
    "nothing to": (mapping(to=[]), LIST, r"mapping\.to: names no attribute"),
    "twice": ([mapping(), mapping()], LIST, r"mapping\[1\]\.to: .*PatientID is given a value twice"),
    "unknown key": (mapping(onMising="remove"), LIST, r"unknown key 'onMising', did you mean 'onMissing'\?"),
    "unknown choice": (mapping(onMissing="keep"), LIST, r"mapping\.onMissing: "),
    "no object": ("ids.csv", LIST, r"mapping: a mapping is an object"),
    "no from": ({"csv": "file:ids.csv", "to": "PatientID"}, LIST, r"mapping: the mapping has no 'from'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, what: str) -> None:
    said, text, why = WRONG[what]
    reading = read_config(written(tmp_path, said, text))
    assert reading.config is None
    told = [line for line in reading.lines if re.search(why, line)]
    assert told, reading.lines
    assert re.match(r"cfg\.json:\d+:\d+ mapping", told[0])


DOUBTS = {
    "two become one": ("a,1\nb,1\nc,2\n", "1 rows give a new value that another old value gets too"),
    "stays": ("a,a\nb,1\n", "1 rows give the old value itself: it stays"),
    "letters": ("a,Ä\n", "letters that not every file's character set has"),
}


@pytest.mark.parametrize("what", DOUBTS)
def test_doubts_are_told_without_values(tmp_path: Path, what: str) -> None:
    text, why = DOUBTS[what]
    reading = read_config(written(tmp_path, mapping(), text))
    assert reading.config is not None
    assert [why in line for line in reading.lines] == [True]


def test_a_list_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    config = written(tmp_path, mapping())
    assert read_config(config).lines == ()
    (tmp_path / "ids.csv").chmod(0o644)
    assert "can be read by group or others" in read_config(config).lines[0]


def test_check_explain_and_preview_know_it_and_show_no_value(tmp_path: Path) -> None:
    config = written(tmp_path, mapping(), dicomTagRules=[{"tag": {"keyword": "PatientID"}, "method": "remove"}])
    shown = deid_here("check", config).stdout
    assert "mapping" in shown
    assert "never decides" in shown
    told = deid_here("explain", config, "PatientID").stdout
    assert "mapping (lookup of PatientID by ids.csv (3 rows), onMissing set-aside) – decides" in told
    preview = deid_here("preview", PYDICOM / "CT_small.dcm", "-c", config)
    assert "P-CT" in preview.stdout
    assert "0042" not in shown + told + preview.stdout


def test_paths_are_from_the_configs_folder_and_successor_configs_have_it_too(tmp_path: Path) -> None:
    written(tmp_path, mapping())
    config = {"rules": [{"tag": "PN", "method": "redact"}], "mapping": mapping(onMissing="remove")}
    (tmp_path / "successor.json").write_text(json.dumps(config))
    assert treated(str(tmp_path / "successor.json"), text(ID, "LO", "007")).PatientID == "0042"
    assert load_config(str(tmp_path / "successor.json")).rules[0].method.name == "mapping"


# ---- a whole run ----


def test_coverage_is_told_before_anything_is_written_and_the_rest_is_set_aside(place: Place) -> None:
    lay(place, {"a": "CT_small.dcm", "b": "MR_small.dcm", "c": "rtplan.dcm", "d": "MR_small_RLE.dcm"})
    config = written(place.folder, mapping(), "1CT1,P\n4MR1,P\nX,Y\n")
    place = place._replace(config=Path(config))
    result = place.run_here("--no-progress")
    assert result.returncode == 1
    assert result.stderr.splitlines()[1:] == [
        "deid-batch: mapping of PatientID by ids.csv (3 rows), onMissing set-aside: 2 values in 3 files",
        "deid-batch:   not in the list: 1 values in 1 files",
        "deid-batch:   values that become one with another: 1",
    ]
    assert {name: row["reason"] for name, row in place.rows().items() if row["reason"]} == {"./c": "not-in-mapping"}
    assert {dcmread(place.out / name).PatientID for name in "abd"} == {"P"}
    assert all(int(row["substituted"]) >= 1 for row in place.rows().values() if row["status"] == "written")
    first = tree(place.out)
    assert place.run_here("-q").stderr == ""
    (place.out / "a").unlink()
    assert "2 values in 3 files" in place.run_here().stderr
    assert tree(place.out) == first
    written(place.folder, mapping(), "1CT1,Q\n4MR1,P\nX,Y\n")
    assert "a different config" in place.run_here().stderr


def test_two_jobs_make_what_one_makes(study: Place) -> None:
    config = written(study.folder, mapping(to=["PatientID", "ClinicalTrialSubjectID"], onMissing="pseudonym"))
    study = study._replace(config=Path(config))
    assert study.run_here().returncode == 0
    other = study._replace(out=study.folder / "other", work=study.folder / "other.deid")
    assert other.run("-j2").returncode == 0
    assert tree(study.out) == tree(other.out)
    outputs = [dcmread(study.out / name) for name in tree(study.out)]
    assert {made.get("ClinicalTrialSubjectID", "") == made.PatientID for made in outputs} == {True}


def test_what_was_learned_from_one_file_does_not_change_the_next(tmp_path: Path) -> None:
    config = written(tmp_path, mapping(to=["PatientID", "PatientComments"], onMissing="pseudonym"))
    ids = ["007", "1CT1", "", "4711", "007", "007", "4MR1", "4711"]
    comments = [[], [text(0x00104000, "LT", "said")]]
    series = [file(text(ID, "LO", one), *comments[number % 3 == 1]) for number, one in enumerate(ids * 2)]
    together = Deidentifier.from_config(config)
    for data in series:
        assert together.apply_to_bytes(data) == Deidentifier.from_config(config).apply_to_bytes(data)
