"""The places of a run: what may not lie inside what, and where temporary files are."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Place, tree

from deid_batch.errors import SourceError, UsageError
from deid_batch.workspace import check_places, locked, prepare_work, temporary_area

ALLOWED = [
    ("dump", "out", "out.deid", "out.deid/audit.csv"),
    ("dump", "new", "new.deid", "new.deid/audit.csv"),
    ("dump/folder/file", "out", "out.deid", "out.deid/audit.csv"),
    ("dump", "dump2", "dump2.deid", "log.csv"),
    ("dump", "deep/er/out", "work", "out.csv"),
    ("door", "out", "deep/er/work", "deep/er/work/audit.csv"),
    ("dump", "../dump-out", "out.deid", "empty"),
]
REFUSED = [
    ("dump", "dump", "work", "audit"),
    ("dump", "./dump/", "work", "audit"),
    ("dump", "dump/out", "work", "audit"),
    ("dump", "dump/folder", "work", "audit"),
    ("dump", ".", "../work", "../audit"),
    ("dump/folder", "dump", "work", "audit"),
    ("dump", "door", "work", "audit"),
    ("dump", "door/out", "work", "audit"),
    ("door", "dump/new/out", "work", "audit"),
    ("dump/folder/file", "dump/folder", "work", "audit"),
    ("dump", "out/../dump/out", "work", "audit"),
    ("dump", "file", "work", "audit"),
    ("dump", "out", "out", "audit"),
    ("dump", "out", "out/work", "audit"),
    ("dump", "new", "new/work", "audit"),
    ("dump", "new", "new", "audit"),
    ("dump", "out", "dump/work", "audit"),
    ("dump", "out", "door/work", "audit"),
    ("dump", "out", "file", "audit"),
    ("dump", "out", "work", "out/audit.csv"),
    ("dump", "new", "work", "new/audit.csv"),
    ("dump", "out", "work", "dump/audit.csv"),
    ("dump", "out", "work", "nowhere/audit.csv"),
    ("dump", "out", "work", "file"),
    ("dump", "out", "work", "folder"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files, folders and a link to SOURCE."""
    folder = tmp_path / "here"
    for name in ("dump/folder", "out", "folder"):
        (folder / name).mkdir(parents=True)
    (folder / "file").write_text("somebody's")
    (folder / "empty").write_text("")
    (folder / "dump/folder/file").write_text("")
    os.symlink("dump", folder / "door")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("places", ALLOWED, ids=" ".join)
def test_places_beside_each_other_are_taken(here: Path, places: tuple[str, str, str, str]) -> None:
    check_places(*places)
    check_places(*(str(here / place) for place in places))


@pytest.mark.parametrize("places", REFUSED, ids=" ".join)
def test_places_inside_each_other_are_refused(here: Path, places: tuple[str, str, str, str]) -> None:
    for written in (places, tuple(str(here / place) for place in places)):
        with pytest.raises(UsageError):
            check_places(*written)


def test_source_that_is_not_there_is_refused(here: Path) -> None:
    with pytest.raises(SourceError):
        check_places("nowhere", "out", "work", "audit")


@pytest.mark.parametrize("options", [["--work", "{out}/work"], ["--audit", "{out}/audit.csv"]], ids=" ".join)
def test_nothing_is_written_where_places_lie_inside_each_other(study: Place, options: list[str]) -> None:
    before = tree(study.folder)
    result = study.run_here(*(option.format(out=study.out, source=study.source) for option in options))
    assert result.returncode == 2
    assert "must lie outside" in result.stderr
    assert tree(study.folder) == before
    assert not study.out.exists()


def test_work_directory_is_for_its_owner_only_and_holds_no_more_than_it_needs(
    finished: tuple[Place, subprocess.CompletedProcess[str]],
) -> None:
    place, _ = finished
    assert stat.S_IMODE(place.work.stat().st_mode) == 0o700
    assert sorted(os.listdir(place.work)) == ["audit.csv", "ledger.sqlite", "lock"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in place.work.iterdir()} == {0o600}
    assert sorted(os.listdir(place.folder)) == ["config.json", "dump", "out", "out.deid"]


def test_a_work_directory_with_something_else_in_it_is_refused_and_one_begun_is_not(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    prepare_work(str(work), str(out), overwrite=False)
    with locked(str(work)):
        pass
    prepare_work(str(work), str(out), overwrite=False)  # killed before it had a ledger
    (work / "mine").write_text("somebody's")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds something else"):
            prepare_work(str(work), str(out), overwrite=overwrite)


def test_a_work_directory_that_was_open_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir(mode=0o755)
    prepare_work(str(tmp_path / "work"), str(tmp_path / "out"), overwrite=False)
    assert stat.S_IMODE((tmp_path / "work").stat().st_mode) == 0o700


def test_temporary_files_lie_on_the_file_system_of_out_and_not_in_it(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    (work / "tmp").mkdir()
    (work / "tmp" / "left over").write_text("by a run that was killed")
    with temporary_area(str(work), str(out)) as area:
        assert os.listdir(area) == []
        assert stat.S_IMODE(os.stat(area).st_mode) == 0o700
        assert os.stat(area).st_dev == out.stat().st_dev
        assert os.listdir(out) == []
        (Path(area) / "file").write_text("")
    assert os.listdir(work) == []
    with temporary_area(str(work), str(out)) as another:
        assert another != area, "workers of the run before could go on with theirs"


def test_out_holds_finished_files_only_at_any_moment(place: Place, several_run: Place) -> None:
    busy, undisturbed = place._replace(source=several_run.source), tree(several_run.out)
    process = busy.start()
    seen = set()
    while process.poll() is None:
        for name, contents in (tree(busy.out) if busy.out.exists() else {}).items():
            assert contents == undisturbed[name]
            seen.add(name)
        time.sleep(0.02)
    process.communicate()
    assert len(seen) > 0
    assert tree(busy.out) == undisturbed
    assert not (busy.work / "tmp").exists()
