"""Names mirror SOURCE, but for parts in which known identity is found: those have a stand-in by key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import PYDICOM, RULES, Place, tree
from pydicom import dcmread

STAND_IN = re.compile(r"n-[a-z2-7]{12}(\.[A-Za-z][A-Za-z0-9]{0,4})?|[A-Z2-7]{8}")


def put(place: Place, name: str | bytes, patient: str, number: str = "4711-0815", **more: str) -> None:
    """A file of a patient under a name."""
    instance = dcmread(PYDICOM / "MR_small.dcm")
    instance.PatientName, instance.PatientID = patient, number
    instance.StudyInstanceUID = f"1.2.3.{sum(number.encode())}"
    instance.SOPInstanceUID = f"1.2.3.4.{sum(os.fsencode(name))}"
    for keyword, value in more.items():
        setattr(instance, keyword, value)
    path = os.path.join(os.fsencode(place.source), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        instance.save_as(file)


def outputs(place: Place) -> dict[str, str]:
    """Outputs by sources, without `./`."""
    return {s[2:]: row["output"][2:] for s, row in place.rows().items() if row["status"] == "written"}


def hidden(name: str) -> list[bool]:
    """Which parts of a path are stand-ins."""
    return [bool(STAND_IN.fullmatch(part)) for part in name.split("/")]


TELLING = {
    "Doe_Jane/im1.dcm": [True, False],
    "export/DOE^JANE (CT)/1/im1.dcm": [False, True, False, False],
    "export/JaneDoe.dcm": [False, True],
    "4711-0815/im1": [True, False],
    "47110815.dcm": [True],
    "acc A9X8Y7.zip/im1": [True, False],
    "born 1950-01-02/im1": [True, False],
    "19500102/x.dcm": [True, False],
    "20040119/x": [True, False],
    "CT 19.01.2004/x": [True, False],
    "1.2.840.113619.2.5.1762583153.215519/1.dcm": [True, False],
}
HARMLESS = ["study1/series 2/im0001.dcm", "CT/THORAX/im1", "Dozen/janet.dcm", "4712-0815/im1", "v1.2.3/x"]


def test_parts_with_known_identity_are_hidden_and_no_others(place: Place) -> None:
    for name in [*TELLING, *HARMLESS]:
        put(place, name, "Doe^Jane", PatientBirthDate="19500102", AccessionNumber="A9X8Y7")
    result = place.run_here()
    assert result.returncode == 0
    found = outputs(place)
    assert {name: hidden(found[name]) for name in TELLING} == TELLING
    assert {name: found[name] for name in HARMLESS} == {name: name for name in HARMLESS}
    assert tree(place.out).keys() == set(found.values())
    assert all(Path(name).suffix in (".dcm", "", ".zip") for name in found.values())
    assert len({name.partition("/")[0] for name in found.values() if hidden(name)[0]}) == 9
    expected = f"Names that tell who somebody is: {len(TELLING)}, replaced in the paths of {len(TELLING)} outputs"
    assert expected in " ".join(result.stdout.split())
    assert not re.search(
        "(?i)doe|jane[^t]|0815|1950|A9X8Y7", " ".join(map(str, place.out.rglob("*"))).replace("4712-0815", "")
    )


def test_a_folder_is_hidden_for_all_files_below_by_what_any_of_them_says(place: Place) -> None:
    for number in range(3):
        put(place, f"Doe_Jane/a/{number}", "Smith^Paul", "99-1")
    put(place, "Doe_Jane/b/4", "Doe^Jane")
    put(place, "other/Doe_Jane/5", "Doe^Jane")
    assert place.run_here().returncode == 0
    found = outputs(place)
    (folder,) = {name.split("/")[0] for source, name in found.items() if source.startswith("Doe")}
    assert STAND_IN.fullmatch(folder)
    assert found["other/Doe_Jane/5"] == f"other/{folder}/5"
    assert {name.partition("/")[2] for source, name in found.items() if source.startswith("Doe")} == {
        "a/0", "a/1", "a/2", "b/4",
    }  # fmt: skip


def test_a_name_that_becomes_telling_later_is_changed_and_the_result_is_as_in_one_run(place: Place) -> None:
    put(place, "Doe_Jane/a", "Smith^Paul", "99-1")
    assert place.run_here().returncode == 0
    assert outputs(place) == {"Doe_Jane/a": "Doe_Jane/a"}
    put(place, "Doe_Jane/b", "Doe^Jane")
    assert place.run_here().returncode == 0
    assert not (place.out / "Doe_Jane").exists()
    later = place.run_here()
    assert "\n0 files in" in later.stdout
    whole = place._replace(out=place.folder / "whole", work=place.folder / "whole.deid")
    assert whole.run_here().returncode == 0
    assert tree(whole.out) == tree(place.out)
    assert outputs(whole) == outputs(place)
    put(place, "Doe_Jane/c", "Smith^Paul", "99-1")
    assert place.run_here().returncode == 0
    assert {os.path.dirname(name) for name in outputs(place).values()} == {
        os.path.dirname(outputs(place)["Doe_Jane/a"])
    }


def test_what_may_be_a_file_id_stays_one_so_that_there_can_be_a_dicomdir(place: Place) -> None:
    put(place, "DOE/JANE/IM1", "Doe^Jane")
    put(place, "SMITH/IM1", "Smith^Paul", "99-1")
    assert place.run_here("--dicomdir").returncode == 0
    assert {name: hidden(made) for name, made in outputs(place).items()} == {
        "DOE/JANE/IM1": [True, True, False], "SMITH/IM1": [True, False],
    }  # fmt: skip
    assert (place.out / "DICOMDIR").exists()


def test_bytes_that_are_no_utf_8_are_read_as_latin_1(place: Place) -> None:
    put(place, "Müller_Jörg/a".encode("latin-1"), "Müller^Jörg", SpecificCharacterSet="ISO_IR 192")
    assert place.run_here().returncode == 0
    assert all(hidden(name) == [True, False] for name in outputs(place).values())


def test_days_in_names_stay_where_they_stay_in_the_files(place: Place) -> None:
    put(place, "20040119/1950-01-02", "Doe^Jane", PatientBirthDate="19500102")
    place.configure(rules=[{"tag": {"VR": "PN"}, "method": "redact"}])
    assert place.run_here().returncode == 0
    assert [hidden(name) for name in outputs(place).values()] == [[False, True]]


@pytest.mark.parametrize("keeps", [True, False])
def test_uids_in_names_stay_only_where_they_stay_in_the_files(place: Place, keeps: bool) -> None:
    put(place, "1.2.840.113619.2.5.99.dcm", "Doe^Jane")
    place.configure(rules=[rule for rule in RULES if rule["method"] != "refreshUID"] if keeps else RULES)
    assert place.run_here().returncode == 0
    assert [hidden(name) for name in outputs(place).values()] == [[not keeps]]


def test_two_jobs_give_the_names_of_one_and_a_dry_run_says_them(place: Place) -> None:
    for number in range(6):
        put(place, f"Doe_Jane/{number % 2}/{number}", "Doe^Jane")
        put(place, f"Smith/{number}", "Smith^Paul", "99-1")
    assert place.run_here().returncode == 0
    other = place._replace(out=place.folder / "other", work=place.folder / "other.deid")
    assert other.run("-j2").returncode == 0
    assert tree(place.out) == tree(other.out)
