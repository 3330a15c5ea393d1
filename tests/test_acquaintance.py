"""What files say that identifies: collected by the scan, known to all files of a patient and study, then forgotten."""

from __future__ import annotations

import os
import tempfile
from datetime import date
from pathlib import Path

import pytest
from datasets import BIG, EXPLICIT, IMPLICIT, Element, Form, Item, encode, part10
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from deid_batch import dicomfile
from deid_batch.batch import Options, run_batch
from deid_batch.config import load_config, read_config
from deid_batch.known import Identity
from deid_batch.ledger import Ledger
from deid_batch.plan import Job
from deid_batch.pool import single_jobs
from deid_batch.progress import Progress
from deid_batch.rules import RuleSet
from deid_batch.worker import sealed, unsealed

CONFIG = '{"dicomTagRules": [{"tag": {"keyword": "StudyDescription"}, "method": "clean"}], "parameters": {"key": "k"}}'
SYNTAXES = {EXPLICIT: "1.2.840.10008.1.2.1", IMPLICIT: "1.2.840.10008.1.2", BIG: "1.2.840.10008.1.2.2"}


def text(tag: int, vr: str, value: str) -> Element:
    encoded = value.encode()
    return Element(tag, vr, encoded + (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2))


def file(number: int, *more: Element, study: str = "1.2.3", patient: str = "4711", form: Form = EXPLICIT) -> bytes:
    elements = [
        text(0x00080005, "CS", "ISO_IR 192"),
        text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
        text(0x00080018, "UI", f"1.2.3.4.{number}"),
        text(0x00100020, "LO", patient),
        text(0x0020000D, "UI", study),
        text(0x0020000E, "UI", f"{study}.1"),
        *more,
    ]
    return part10(encode(sorted(elements, key=lambda it: it.tag), form), SYNTAXES[form])


def described(said: str) -> Element:
    return text(0x00081030, "LO", said)


def run(tmp_path: Path, config: str = CONFIG, **how: object) -> Path:
    (tmp_path / "cfg.json").write_text(config)
    out = tmp_path / "out"
    options = Options(
        str(tmp_path / "in"), str(out), 1, str(tmp_path / "work"), str(tmp_path / "work" / "audit.csv"), **how
    )  # type: ignore[arg-type]
    summary = run_batch(load_config(str(tmp_path / "cfg.json")), options, Progress(shown=False))
    assert summary.exit_code == 0
    return out


def put(tmp_path: Path, **files: bytes) -> None:
    (tmp_path / "in").mkdir(exist_ok=True)
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)


def descriptions(out: Path) -> dict[str, str]:
    return {path.name: str(dcmread(path).StudyDescription) for path in sorted(out.iterdir())}


def left_in(folder: Path, word: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


def rules_of(config: Path) -> RuleSet:
    loaded = load_config(str(config))
    return loaded.settled({purpose: bytes(32) for purpose in loaded.missing_keys()}, date(2026, 1, 1))


NAME = text(0x00100010, "PN", "Müller^Hans")
NESTED = Element(0x00081110, "SQ", (Item((text(0x0040A123, "PN", "Kowalski^Jan"),)),))


def test_a_name_is_known_in_all_files_of_the_patient_and_study(tmp_path: Path) -> None:
    put(
        tmp_path,
        a=file(1, NAME, described("x")),
        b=file(2, described("Mueller: CT Kowalski"), study="1.2.9"),
        c=file(3, NESTED, described("Hans"), patient="0815"),
        d=file(4, described("Mueller Kowalski"), patient="99", study="1.2.8"),
    )
    out = run(tmp_path)
    assert descriptions(out) == {"a": "x", "b": "[DEID]: CT Kowalski", "c": "[DEID]", "d": "Mueller Kowalski"}


def test_nothing_of_it_is_left_in_the_work_directory(tmp_path: Path) -> None:
    put(tmp_path, **{f"f{number}": file(number, NAME, NESTED, described("x")) for number in range(20)})
    run(tmp_path)
    for word in ("Müller".encode(), b"Hans", b"Kowalski", b"4711"):
        assert left_in(tmp_path / "work", word) == []


def test_what_a_later_file_says_is_done_again_in_earlier_ones(tmp_path: Path) -> None:
    put(
        tmp_path,
        a=file(1, NAME, described("Kowalski Müller")),
        z=file(9, described("Kowalski"), patient="1", study="7"),
    )
    out = run(tmp_path)
    assert descriptions(out) == {"a": "Kowalski [DEID]", "z": "Kowalski"}
    before = (out / "z").stat().st_mtime_ns
    put(tmp_path, b=file(2, NESTED, described("Hans Müller and Kowalski"), study="1.2.9"))
    run(tmp_path)
    assert descriptions(out) == {"a": "[DEID]", "b": "[DEID] and [DEID]", "z": "Kowalski"}
    assert (out / "z").stat().st_mtime_ns == before
    assert left_in(tmp_path / "work", b"Kowalski") == []


def test_a_second_run_equals_one_over_all_files(tmp_path: Path) -> None:
    files = {
        f"f{it}": file(it, text(0x00100010, "PN", f"Name{it}er^X"), described(f"Name{it % 3}er")) for it in range(6)
    }
    put(tmp_path, **dict(list(files.items())[3:]))
    run(tmp_path)
    put(tmp_path, **files)
    out = run(tmp_path)
    (tmp_path / "fresh").mkdir()
    put(tmp_path / "fresh", **files)
    fresh = run(tmp_path / "fresh")
    assert {it.name: it.read_bytes() for it in out.iterdir()} == {it.name: it.read_bytes() for it in fresh.iterdir()}


def test_an_unchanged_run_does_nothing_again(tmp_path: Path) -> None:
    put(tmp_path, a=file(1, NAME, described("x")), b=file(2, NAME, described("y")))
    out = run(tmp_path)
    before = {it.name: it.stat().st_mtime_ns for it in out.iterdir()}
    put(tmp_path, c=file(3, NAME, described("z")))
    run(tmp_path)
    assert {it.name: it.stat().st_mtime_ns for it in out.iterdir() if it.name != "c"} == before


def test_the_users_list_holds_for_all_files(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("kind;text\nperson;Doe^John\nother;Project Blue\n", encoding="utf-16")
    os.chmod(tmp_path / "known.csv", 0o600)
    put(tmp_path, a=file(1, described("JOHN DOE of project-blue; Big")))
    config = CONFIG.replace('"parameters"', '"knownIdentifiers": "file:known.csv", "parameters"')
    assert descriptions(run(tmp_path, config)) == {"a": "[DEID] of [DEID]; Big"}


@pytest.mark.parametrize("form", SYNTAXES, ids=["explicit", "implicit", "big endian"])
def test_names_are_collected_at_any_depth_and_in_every_encoding(form: Form, tmp_path: Path) -> None:
    deep = Element(0x00081115, "SQ", (Item((Element(0x00081199, "SQ", NESTED.value, True),), True),), True)
    behind = Element(0x7FE00010, "OW", bytes(20_000))
    private = Element(0x7FE10010, "LO", b"ACME"), Element(0x7FE11001, "SQ", (Item((NAME,)),))
    path = tmp_path / "file"
    path.write_bytes(file(1, text(0x00104000, "LT", "x" * 9000), deep, behind, *private, form=form))
    assert {it.text for it in dicomfile.probe(str(path)).said if it.kind == "person"} == {"Kowalski^Jan", "Müller^Hans"}


def test_names_in_sequences_that_hide_in_un_are_collected(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(file(1, NESTED._replace(tag=0x00091001, is_wrapped=True), text(0x00090010, "LO", "ACME")))
    assert Identity("person", "Kowalski^Jan") in dicomfile.probe(str(path)).said


def test_what_identifies_travels_sealed() -> None:
    key, said = bytes(32), [("a" * 16, "person", "Müller^Hans")]
    closed = sealed(key, said)
    assert unsealed(key, closed) == said
    assert b"ller" not in closed
    job = Job((b"a", b"b"), 2, groups=("a" * 16,), known=closed)
    assert [single.known for single in single_jobs(job)] == [closed, closed]
    assert "ller" not in repr(job)


@pytest.mark.parametrize(
    ("config", "knows"),
    [
        ('"dicomTagRules": [{"tag": {"VR": "LO"}, "method": "clean"}]', True),
        ('"dicomTagRules": [{"tag": {"VR": "LO"}, "method": "encrypt"}]', False),
        ('"profile": "basic"', True),
    ],
)
def test_what_identifies_is_collected_only_where_a_method_looks_at_it(tmp_path: Path, config: str, knows: bool) -> None:
    (tmp_path / "cfg.json").write_text(f'{{{config}, "parameters": {{"key": "k"}}}}')
    (tmp_path / "file").write_bytes(file(1, NAME, NESTED))
    rules = rules_of(tmp_path / "cfg.json")
    assert rules.knows == knows
    assert bool(dicomfile.probe(str(tmp_path / "file"), rules).said) == knows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab "), st.integers(0, 5), st.booleans(), st.booleans()), max_size=12))
def test_what_is_remembered_of_the_last_file_changes_no_first_look(drawn: list[tuple[str, int, bool, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, heads = os.path.join(folder, "file"), dicomfile.alike()
        for number, (letter, size, has_pixels, is_implicit) in enumerate(drawn):
            more = [text(0x00100010, "PN", letter * size), described(letter * 2), *[NESTED] * (size > 3)]
            more += [Element(0x7FE00010, "OW", bytes(4))] * has_pixels
            form = IMPLICIT if is_implicit else EXPLICIT
            Path(path).write_bytes(file(number, *more, patient=letter + "4", form=form))
            assert dicomfile.probe(path, None, heads) == dicomfile.probe(path)


PROBLEMS = {
    ('"known.csv"', "person;Doe"): "knownIdentifiers: must be file:PATH, the path of a list from the config's folder",
    ('"file:none.csv"', "person;Doe"): "knownIdentifiers: the list can't be read (No such file or directory)",
    ('"file:known.csv"', "  \n"): "knownIdentifiers: the list has no rows",
    ('"file:known.csv"', "kind;text\nperson;Doe\nname;Roe"): "knownIdentifiers: line 3: unknown kind; the kinds are",
    ('"file:known.csv", "commonWords": "never"', "x"): "commonWords: input should be 'with-evidence' or 'always'",
    ('"file:known.csv", "knownIdentifier": 1', "x"): "unknown key 'knownIdentifier', did you mean 'knownIdentifiers'?",
}


@pytest.mark.parametrize("said", PROBLEMS, ids=PROBLEMS.values())
@pytest.mark.parametrize("rules", ['"dicomTagRules": []', '"rules": []'], ids=["native", "successor"])
def test_what_is_wrong_with_a_list_is_told_with_the_configs_place(
    said: tuple[str, str], rules: str, tmp_path: Path
) -> None:
    setting, listed = said
    (tmp_path / "known.csv").write_text(listed)
    (tmp_path / "cfg.json").write_text(f'{{{rules}, "knownIdentifiers": {setting}}}')
    told = [line for line in read_config(str(tmp_path / "cfg.json")).lines if "warning" not in line]
    assert any(PROBLEMS[said] in line and line.startswith("cfg.json:1:") for line in told)
    assert not any("Roe" in line for line in told)


def test_the_profile_cleans_what_no_table_names_and_moves_dates_in_text(tmp_path: Path) -> None:
    label, code = text(0x00620005, "LO", "Müller lesion"), text(0x00080104, "LO", "Chest")
    study = described("CT Hans on 20240312, follow-up")
    config = '{"profile": "basic", "options": ["clean_descriptors", "retain_long_modified_dates"]}'
    put(tmp_path, a=file(1, NAME, label, study, text(0x00080020, "DA", "20240312"), code))
    made = dcmread(run(tmp_path, config) / "a")
    assert made.SegmentLabel == "[DEID] lesion"
    assert made.StudyDescription == f"CT [DEID] on {made.StudyDate}, follow-up"
    assert made.CodeMeaning == "Chest"
    assert "113105" in [item.CodeValue for item in made.DeidentificationMethodCodeSequence]


def test_what_is_remembered_for_one_patient_is_not_used_for_the_next(tmp_path: Path) -> None:
    names = [text(0x00100010, "PN", f"{'Anton Berta Cesar'.split()[it % 3]}er^X") for it in range(60)]
    said = described("Antoner and Bertaer")
    files = {
        f"f{it:02}": file(it, names[it], said, patient=f"p{it // 20 * 3 + it % 3}", study=f"1.{it % 3 + 1}")
        for it in range(60)
    }
    put(tmp_path, **files)
    made = descriptions(run(tmp_path))
    wanted = ["[DEID] and Bertaer", "Antoner and [DEID]", "Antoner and Bertaer"]
    assert [made[name] for name in sorted(files)] == [wanted[number % 3] for number in range(60)]


def test_what_is_forgotten_leaves_no_bytes_in_the_ledger_or_beside_it(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    said = [("a" * 16, "person", f"Kowalski^{number}") for number in range(500)]
    ledger.probed([], said=said)
    ledger.remember({"state": b"which brings all to the file itself"})
    assert left_in(tmp_path, b"Kowalski")
    assert ledger.known_in(["a" * 16]) == sorted(said)
    ledger.forget_identity()
    assert left_in(tmp_path, b"Kowalski") == []
    assert ledger.known_in(["a" * 16]) == []
    ledger.close()


def test_names_in_items_are_read_in_the_character_set_of_their_item(tmp_path: Path) -> None:
    latin = Item((text(0x00080005, "CS", "ISO_IR 100"), Element(0x0040A123, "PN", "Müller^Eva ".encode("latin-1"))))
    path = tmp_path / "file"
    path.write_bytes(file(1, Element(0x00081110, "SQ", (latin,))))
    assert Identity("person", "Müller^Eva") in dicomfile.probe(str(path)).said
