"""The end of the command's process: its exit code and what it says, whatever threads and streams do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import COMMAND

ENDING = """
import threading
from deid_batch import cli
if {waits}:
    threading.Thread(target=threading.Event().wait).start()
def app(prog_name):
    print("said", end="")
    raise {raised}
cli.app = app
cli.main()
"""


@pytest.mark.parametrize(
    ("raised", "waits", "code"),
    [
        ("KeyboardInterrupt", True, 130),
        ("SystemExit(130)", True, 130),
        ("SystemExit(0)", False, 0),
        ("SystemExit", False, 0),
        ("SystemExit(3)", False, 3),
    ],
)
def test_the_process_ends_with_its_code_and_all_it_said(raised: str, waits: bool, code: int) -> None:
    program = ENDING.format(raised=raised, waits=waits)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (code, "said", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_can_not_be_written_is_told(buffered: bool) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    with open("/dev/full", "w") as full:
        result = subprocess.run([COMMAND, "schema"], stdout=full, stderr=subprocess.PIPE, env=environ, check=False)
    assert (result.returncode, result.stderr) == (5, b"deid-batch: stopped: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_waits_to_the_end_and_can_not_be_written_is_told() -> None:
    program = ENDING.format(raised="SystemExit(0)", waits=False)
    environ = {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environ, check=False)
    assert result.returncode not in (0, 1)
    assert b"No space left on device" in result.stderr


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    with subprocess.Popen([COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
