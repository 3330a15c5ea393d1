"""One run per OUT: who holds it, who is refused, and what becomes of a dead run's lock."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import INSTANCES, Place, killed, tree, wait_for

from deid_batch.errors import StoppedEarly
from deid_batch.workspace import lock_owner, locked, out_locked


@pytest.fixture
def holder(study: Place) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun to write to OUT and stands still."""
    process = study.start()
    wait_for((study.work / "tmp").exists)
    os.killpg(process.pid, signal.SIGSTOP)
    yield process
    killed(process)


def test_a_second_run_is_told_who_holds_out_and_does_nothing(study: Place, holder: subprocess.Popen[str]) -> None:
    before = tree(study.folder)
    for options in ([], ["--overwrite"]):
        second = study.run_here(*options)
        assert second.returncode == 5
        assert f"another run holds OUT (pid {holder.pid} on {socket.gethostname()})" in second.stderr
    assert tree(study.folder) == before
    os.killpg(holder.pid, signal.SIGCONT)
    assert holder.wait(60) == 0
    assert set(tree(study.out)) == set(INSTANCES)


def test_a_second_run_with_a_work_directory_of_its_own_is_refused_too(
    study: Place, holder: subprocess.Popen[str]
) -> None:
    second = study._replace(work=study.folder / "other.deid").run_here("--overwrite")
    assert (second.returncode, second.stdout) == (5, "")
    assert "another run holds OUT" in second.stderr


def test_the_lock_of_a_run_that_was_killed_is_taken_over(study: Place, holder: subprocess.Popen[str]) -> None:
    killed(holder)
    assert lock_owner(str(study.work)) == (holder.pid, socket.gethostname())
    assert study.run_here().returncode == 0
    assert set(tree(study.out)) == set(INSTANCES)
    assert lock_owner(str(study.work)) is None


def test_a_lock_is_free_again_when_its_holder_has_ended_or_failed(tmp_path: Path) -> None:
    for hold in (locked, out_locked):
        for _ in range(2):
            with suppress(ZeroDivisionError), hold(str(tmp_path)):
                with pytest.raises(StoppedEarly, match="another run holds OUT"), hold(str(tmp_path)):
                    pass
                raise ZeroDivisionError
    assert lock_owner(str(tmp_path)) is None


OWNERS = {
    "pid 17 on host\n": (17, "host"),
    "pid 17 on a.host.example": (17, "a.host.example"),
    "": None,
    "pid on host": None,
    "pid 17": None,
    "somebody's": None,
    "\xff" * 400: None,
}


@pytest.mark.parametrize("text", OWNERS, ids=range(len(OWNERS)))
def test_a_lock_that_says_nothing_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text, encoding="latin-1")
    assert lock_owner(str(tmp_path)) == OWNERS[text]
    assert lock_owner(str(tmp_path / "nowhere")) is None
