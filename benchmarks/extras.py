"""What a user waits for besides the work: the help page, and the first file of a large tree."""

from __future__ import annotations

import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

from benchmarks.corpora import Laid
from benchmarks.measure import ROOT, CommandFailed, measured

_HELPS = 11
_LOOK_EVERY = 0.005
_MAX_SECONDS = 900


def help_seconds() -> float:
    """The wall time of `deid-batch --help`: the median of some."""
    command = [str(Path(sys.executable).with_name("deid-batch")), "--help"]
    return statistics.median(measured(command).seconds for _ in range(_HELPS))


def first_file_seconds(laid: Laid, folder: Path) -> float:
    """The time from the end of the scan to the first file in OUT. The run is then ended.

    A terminal is set up for it, so that its progress bar says when the scan is over.
    """
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as place:
        out = Path(place) / "out"
        command = [sys.executable, "-m", "deid_batch", "run", str(laid.folder), str(out), "--config", "seed-sample"]
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        process = subprocess.Popen([*command, "--jobs", "2"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        scanned: list[float] = []
        reader = Thread(target=_note_end_of_scan, args=(ours, scanned))
        reader.start()
        try:
            finished = _first_file(out, process)
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            process.wait()
            reader.join()
            os.close(ours)
    if not scanned:
        raise CommandFailed("the progress bar did not say that the scan was over")
    return max(0.0, finished - scanned[0])


def _note_end_of_scan(terminal: int, scanned: list[float]) -> None:
    """Read what is shown to its end; note when the bar of the second phase came."""
    with suppress(OSError):  # what reading ends with when the other side is closed
        while shown := os.read(terminal, 1 << 16):
            if not scanned and b"de-identify" in shown:
                scanned.append(time.monotonic())


def _first_file(out: Path, process: subprocess.Popen[bytes]) -> float:
    """When there was a file in OUT."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < _MAX_SECONDS:
        if any(names for _, _, names in os.walk(out)):
            return time.monotonic()
        time.sleep(_LOOK_EVERY)
    raise CommandFailed("no file came")
