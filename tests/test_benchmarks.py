"""The benchmark suite works: its corpora are what they claim to be, and it measures, tells and keeps figures."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread

from benchmarks import __main__ as suite
from benchmarks import floor, report, templates
from benchmarks.corpora import CORPORA, lay
from benchmarks.figures import Measured, Session, goals
from benchmarks.loops import pydicom_loop
from benchmarks.peers import PEERS, TOUCHED
from benchmarks.plot import svg
from benchmarks.rounds import Run
from deid_batch.api import Deidentifier

ROOT = Path(__file__).parent.parent
KEYS = dict.fromkeys(("encrypt", "perturb"), bytes(32))
SMALL = {
    **CORPORA,
    "nested": replace(
        CORPORA["nested"],
        per_series=1,
        templates=(
            partial(templates.segmentation, 3),
            partial(templates.structures, 3),
            partial(templates.plan, 2),
            partial(templates.report, 5),
        ),
    ),
    "multi-frame": replace(CORPORA["multi-frame"], templates=(partial(templates.enhanced, 3, 64),)),
    "encapsulated": replace(CORPORA["encapsulated"], per_series=1),
}
FIVE_FILES = {name: 5 / corpus.files for name, corpus in SMALL.items()}


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_is_the_same_every_time_and_no_two_files_are(name: str, tmp_path: Path) -> None:
    trees = [lay(SMALL[name], FIVE_FILES[name], tmp_path / place) for place in ("one", "other")]
    digests = [[hashlib.sha256((tree.folder / path).read_bytes()).hexdigest() for path in tree.paths] for tree in trees]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == trees[0].files == 5
    instances = [dcmread(trees[0].folder / path) for path in trees[0].paths]
    assert len({instance.SOPInstanceUID for instance in instances}) == 5
    assert {instance.file_meta.MediaStorageSOPInstanceUID for instance in instances} == {
        instance.SOPInstanceUID for instance in instances
    }


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.filterwarnings("ignore")
def test_all_that_the_sample_touches_is_what_the_peers_are_told_to_touch(name: str, tmp_path: Path) -> None:
    tree = lay(SMALL[name], FIVE_FILES[name], tmp_path)
    deidentifier = Deidentifier.from_config("seed-sample", keys=KEYS)
    for path in tree.paths:
        before = dcmread(tree.folder / path)
        after = deidentifier.apply(before)
        touched = {
            one.keyword for one, other in zip(before.iterall(), after.iterall(), strict=True)
            if one.VR != "SQ" and one.value != other.value
        }  # fmt: skip
        assert {"PatientName", "PatientID", "StudyDate"} <= touched <= set(TOUCHED)


def test_items_vary_within_a_file_and_from_file_to_file(tmp_path: Path) -> None:
    corpus = replace(SMALL["nested"], templates=SMALL["nested"].templates[:1])
    tree = lay(corpus, 2 / corpus.files, tmp_path)
    uids = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for path in tree.paths
        for frame in dcmread(tree.folder / path).PerFrameFunctionalGroupsSequence
    ]
    assert len(set(uids)) == len(uids) == 6


@pytest.mark.parametrize("can_sync_all", [True, False])
def test_the_floor_copies_a_tree_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_sync_all: bool
) -> None:
    if not can_sync_all:
        monkeypatch.setattr(floor, "_SYNCFS", None)
    laid = lay(SMALL["encapsulated"], 20 / CORPORA["encapsulated"].files, tmp_path)
    assert floor.copied(str(laid.folder), str(tmp_path / "out")) == 20
    written = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {Path(path): (laid.folder / path).read_bytes() for path in laid.paths}
    assert {path.name for path in tmp_path.iterdir()} == {laid.folder.name, "out"}


@pytest.mark.slow
def test_full_nested_files_have_360_kb_on_average() -> None:
    sizes = [len(template()) for template in CORPORA["nested"].templates]
    assert 340_000 < sum(sizes) / len(sizes) < 380_000


@pytest.mark.parametrize(("first", "last"), [(0, 5), (0, 2), (2, 5)])
def test_a_part_of_a_tree_holds_its_files(first: int, last: int, tmp_path: Path) -> None:
    tree = lay(SMALL["encapsulated"], FIVE_FILES["encapsulated"], tmp_path)
    part = tree.part(first, last, tmp_path / "part")
    assert part.paths == tree.paths[first:last]
    assert part.size == sum((tree.folder / path).stat().st_size for path in part.paths)


@pytest.mark.filterwarnings("ignore")
def test_the_plain_loop_does_the_sample_s_rules(tmp_path: Path) -> None:
    tree = lay(SMALL["nested"], FIVE_FILES["nested"], tmp_path)
    pydicom_loop(str(tree.folder), str(tmp_path / "out"))
    for path in tree.paths:
        before, after = dcmread(tree.folder / path), dcmread(tmp_path / "out" / path)
        assert before.PatientName != after.PatientName
        kept = [element.value for element in before.iterall() if element.VR in {"DA", "DT"} and not element.is_empty]
        assert not set(kept) & {element.value for element in after.iterall() if element.VR in {"DA", "DT"}}


def session() -> Session:
    """As if -j1 did 200 files a second, -j2 400, gdcmanon 100 and a slow peer 10 on a share."""
    rates = {"j1": (100, 200), "j2": (100, 400), "gdcmanon": (100, 100), "pydicom-loop": (5, 10)}
    rounds = [
        {key: Run(key, files, files * 40_000, files / rate * slower, 0.1, 60 << 20)
         for key, (files, rate) in rates.items()}
        for slower in (1.0, 1.25, 1.1)
    ]  # fmt: skip
    peers = {key: {"label": PEERS[key].label, "version": "1", "does": PEERS[key].does} for key in [*rates, "deid"]}
    corpus = Measured("mr", "MR & <more>", 100, 4_000_000, rounds, {"deid": "no reason"}, worker_bytes=90_000_000)
    return Session({"machine": "one", "date": "today"}, 1.0, 3, peers, [corpus], help_seconds=0.2)


def test_ratios_are_taken_per_file_within_a_round() -> None:
    (corpus,) = session().corpora
    assert corpus.rate("j1") == pytest.approx((200 / 1.1, 160, 200))
    assert corpus.ratio("j1", "pydicom-loop") == pytest.approx((20, 20, 20))
    assert corpus.ratio("j1", "cp") is None


def test_goals_are_reached_missed_or_not_measured() -> None:
    found = {goal.what: (goal.reached, goal.found is not None) for goal in goals(session())}
    assert found == {
        "mr: j1 against gdcmanon": (True, True),
        "mr: j2 against gdcmanon-2": (False, False),
        "mr: j1 against pydicom-loop": (True, True),
        "mr: j2 against j1": (True, True),
        "mr: peak memory of a worker": (False, True),
        "first finished file of 100,000 after the scan": (False, False),
        "deid-batch --help": (True, True),
    }


def test_a_session_comes_back_from_json() -> None:
    assert Session.from_json(session().to_json()) == session()


def test_the_drawing_is_well_formed_and_has_a_bar_for_each_peer() -> None:
    bars = ET.fromstring(svg(session())).findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 4


def test_figures_go_between_the_readme_s_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "_README", readme)
    kept = tmp_path / "kept.json"
    kept.write_text(session().to_json(), encoding="utf-8")
    for _ in range(2):
        assert suite.main(["--from", str(kept), "--readme", "--plot", str(tmp_path / "drawn.svg")]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.count("| pydicom loop | 9.09 (20.0 ×) |") == 1
    assert re.sub(r"(<!-- figures -->\n).*(<!-- end)", r"\1\2", text, flags=re.DOTALL) == re.sub(
        r"(<!-- figures -->\n).*(<!-- end)", r"\1\2", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )


@pytest.mark.slow
def test_the_suite_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--scale", "0.0004", "--corpus", "mr", "--peers", "cp", "--repeat", "1", "--no-extras"]
    kept = tmp_path / "kept.json"
    assert suite.main([*options, "--dir", str(tmp_path), "--json", str(kept)]) == 0
    document = json.loads(kept.read_text(encoding="utf-8"))
    (corpus,) = document["corpora"]
    assert corpus["files"] == 2
    assert set(corpus["figures"]) == {"j1", "j2", "cp"}
    assert all(run["seconds"] > 0 and run["files"] == 2 for run in corpus["rounds"][0].values())
    assert "mr: j2 against j1" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["corpora"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_every_installed_peer_does_every_corpus(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "CORPORA", SMALL)
    options = ["--scale", str(FIVE_FILES[name]), "--corpus", name, "--repeat", "1", "--no-extras"]
    kept = tmp_path / "kept.json"
    assert suite.main([*options, "--dir", str(tmp_path), "--json", str(kept)]) == 0
    session = Session.from_json(kept.read_text(encoding="utf-8"))
    assert session.corpora[0].left_out == {}
    assert set(session.corpora[0].peers()) == set(session.peers)


@pytest.mark.slow
def test_help_and_first_file_are_measured(tmp_path: Path) -> None:
    options = ["--scale", "0.0004", "--corpus", "mr", "--peers", "--repeat", "1", "--dir", str(tmp_path)]
    kept = tmp_path / "kept.json"
    assert suite.main([*options, "--json", str(kept)]) == 0
    session = Session.from_json(kept.read_text(encoding="utf-8"))
    assert session.first_file_of == 40
    assert 0 <= (session.first_file_seconds or -1) < 60
    assert 0 < (session.help_seconds or 0) < 60


@pytest.mark.slow
def test_micro_benchmarks_run() -> None:
    pytest.importorskip("pytest_benchmark")
    command = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-disable", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
