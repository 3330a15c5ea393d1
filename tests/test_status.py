"""`deid-batch status`: how far a run is, seen from outside while it goes on, and afterwards."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import MANY_FILES, Place, deid_here, killed, mtimes, tree, wait_for
from typer.testing import CliRunner

from deid_batch.cli import app
from deid_batch.errors import FileError, Skipped
from deid_batch.ledger import Found, Ledger, Scoped
from deid_batch.status import status_of
from deid_batch.worker import failure_row

Finished = tuple[Place, subprocess.CompletedProcess[str]]


def look(place: Place) -> str:
    result = CliRunner().invoke(app, ["status", str(place.out), "--work", str(place.work)])
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def files(shown: str) -> dict[str, int]:
    """Files by status and reason, as the table has them."""
    rows = re.findall(r"^│ (.+?)│(.+?)│ +([\d,]+) │", shown, re.MULTILINE)
    return {" ".join(f"{status}{reason}".split()): int(number.replace(",", "")) for status, reason, number in rows}


@pytest.mark.slow
def test_a_run_under_way_shows_what_is_done_how_fast_and_what_is_left(
    busy: Place, undisturbed: dict[str, bytes]
) -> None:
    process = busy.start()
    wait_for(busy.audit.exists)
    looks = []
    while process.poll() is None:
        looks.append(look(busy))
    assert process.communicate()[1] == ""
    assert process.returncode == 1
    assert tree(busy.out) == undisturbed
    seen = [shown for shown in looks if "written" in files(shown) and "not done yet" in files(shown)]
    assert len(seen) > 1
    for shown in seen:
        assert f"A run is under way (pid {process.pid} on {socket.gethostname()})." in shown
        assert sum(files(shown).values()) == MANY_FILES
        assert re.search(r"^[\d,]+ files/s over the last minutes; about [\d,]+ min left$", shown, re.MULTILINE)
        assert set(files(shown)) == {"written", "failed truncated", "not done yet"}
    done = [MANY_FILES - files(shown)["not done yet"] for shown in seen]
    assert done == sorted(done)


def test_there_is_no_rate_as_long_as_files_are_only_looked_at(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.sqlite"))
    names = [b"%d" % number for number in range(10)]
    ledger.found(1, [Found(name, 1, 1) for name in names], [])
    ledger.probed([Scoped(name, "scope") for name in names[1:9]])
    ledger.done([(names[0], failure_row(names[0], Skipped("not-dicom")))], {})
    early = status_of(str(tmp_path))
    assert (early.remaining, early.unprobed, early.files_per_second, early.seconds_left) == (9, 1, 0.0, None)
    ledger.probed([Scoped(names[9], "scope")])
    ledger.done([(name, failure_row(name, FileError("truncated"))) for name in names[1:5]], {})
    later = status_of(str(tmp_path))
    assert (later.remaining, later.unprobed) == (5, 0)
    assert 0 < later.files_per_second <= 5
    assert later.seconds_left == 5 / later.files_per_second


def test_a_run_that_was_killed_is_not_under_way(study: Place) -> None:
    process = study.start()
    wait_for(study.audit.exists)
    killed(process)
    before = tree(study.folder)
    shown = look(study)
    assert "No run is under way." in shown
    assert re.search(r"^Not done yet: \d+ files", shown, re.MULTILINE)
    assert "files/s" not in shown
    assert [name for name, data in tree(study.folder).items() if before.get(name) != data] in (
        [], ["out.deid/ledger.sqlite-shm"],
    )  # fmt: skip
    assert study.run_here().returncode == 0


def test_a_finished_run_shows_the_same_files_as_its_summary_and_is_left_as_it_is(finished: Finished) -> None:
    place, result = finished
    before = mtimes(place.folder)
    shown = look(place)
    assert files(shown) == {
        "written": 8, "failed truncated": 1, "skipped dicomdir": 1, "skipped not-dicom": 1,
    }  # fmt: skip
    assert result.stdout.startswith(shown.partition("No run is under way.")[0].rstrip())
    assert mtimes(place.folder) == before


def test_an_out_that_no_run_knows_is_a_wrong_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = deid_here("status", "nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("deid-batch: no run is known for this OUT")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("ledger", [b"", b"something else, of some length" * 100], ids=["empty", "no ledger"])
def test_a_ledger_that_can_not_be_read_is_no_traceback(tmp_path: Path, ledger: bytes) -> None:
    (tmp_path / "out.deid").mkdir()
    (tmp_path / "out.deid/ledger.sqlite").write_bytes(ledger)
    result = CliRunner().invoke(app, ["status", str(tmp_path / "out")])
    assert isinstance(result.exception, SystemExit)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith("deid-batch: the ledger can't be read")
