"""Who is measured: what each one is started with, and what it really does."""

from __future__ import annotations

import functools
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from benchmarks.measure import ROOT

OURS = ("j1", "j2")
_LOOPS = str(Path(__file__).resolve().with_name("loops.py"))
_FLOOR = str(Path(__file__).resolve().with_name("floor.py"))
_TOP_LEVEL = (
    "PatientName", "PatientID", "PatientBirthDate", "ReferringPhysicianName", "InstanceCreationDate", "StudyDate",
    "SeriesDate", "AcquisitionDate", "ContentDate",
)  # fmt: skip
_ELSEWHERE = (
    "AcquisitionDateTime", "ContentCreatorName", "NameOfPhysiciansReadingStudy", "ObservationDateTime",
    "OperatorsName", "PerformedProcedureStepStartDate", "RTPlanDate", "StructureSetDate", "Date", "DateTime",
    "ROIInterpreter", "VerificationDateTime", "VerifyingObserverName",
)  # fmt: skip
TOUCHED = (*_TOP_LEVEL, *_ELSEWHERE, "PixelSpacing")
"""What seed-sample's rules match in the corpora: peers that take no VR get these tags by name."""


@dataclass(frozen=True)
class Task:
    """One run: a tree and what is to be made of it."""

    source: Path
    out: Path
    halves: tuple[Path, Path]
    """The files of `source`, half of them in each."""
    certificate: Path
    python: str
    """The interpreter that has the peers written in Python."""


@dataclass(frozen=True)
class Peer:
    """One way to make OUT from SOURCE. A slow one is run on a share of the files where all would take too long."""

    label: str
    version: Callable[[str], str | None]
    """Given `Task.python`; None where the peer is not installed."""
    command: Callable[[Task], list[str]]
    does: str
    slow: bool = False
    halved: bool = False


def _ours(jobs: int) -> Peer:
    def command(task: Task) -> list[str]:
        roots = ["run", str(task.source), str(task.out), "--config", str(ROOT / "configs" / "seed-sample.json")]
        return [sys.executable, "-m", "deid_batch", *roots, "--jobs", str(jobs), "--no-progress", "-q"]

    does = (
        "the whole command: start-up, scan, seed-sample's rules at every depth, atomic synced writes, ledger, audit log"
    )
    return Peer(f"deid-batch -j{jobs}", lambda _: version("deid-batch"), command, does)


def _profile(task: Task, source: Path, out: Path) -> list[str]:
    return ["gdcmanon", "-e", "-c", str(task.certificate), "-r", "-i", str(source), "-o", str(out)]


def _side_by_side(task: Task) -> list[str]:
    one, other = (shlex.join(_profile(task, half, task.out / half.name)) for half in task.halves)
    out = shlex.quote(str(task.out))
    return _shell(f"mkdir {out} && {{ {one} & first=$!; {other} & wait $first && wait $!; }}")


def _dumb(task: Task) -> list[str]:
    replaced = [
        option
        for keyword in (*_TOP_LEVEL, "PixelSpacing")
        for option in ("--replace", f"{_tag(keyword)}={_constant(keyword)}")
    ]
    emptied = [option for keyword in _ELSEWHERE for option in ("--clear", _tag(keyword))]
    removed = ["--remove", _tag("RequestedProcedureID")]
    places = ["-r", "-i", str(task.source), "-o", str(task.out)]
    return ["gdcmanon", "--dumb", *replaced, *emptied, *removed, *places]


def _dcmodify(task: Task) -> list[str]:
    changed = [option for keyword in TOUCHED for option in ("-ma", f"({_tag(keyword)})={_constant(keyword)}")]
    options = shlex.join(["-nb", "-imt", *changed, "-ea", f"({_tag('RequestedProcedureID')})"])
    source, out = shlex.quote(str(task.source)), shlex.quote(str(task.out))
    return _shell(f"cp -r {source} {out} && find {out} -type f -print0 | xargs -0 dcmodify {options}")


def _copied(task: Task) -> list[str]:
    return ["cp", "-r", str(task.source), str(task.out)]


def _copied_and_synced(task: Task) -> list[str]:
    return _shell(f"{shlex.join(_copied(task))} && sync -f {shlex.quote(str(task.out))}")


def _shell(line: str) -> list[str]:
    return ["sh", "-c", line]


def _loop(name: str, python: Callable[[Task], str]) -> Callable[[Task], list[str]]:
    return lambda task: [python(task), _LOOPS, name, str(task.source), str(task.out)]


def _dicognito(task: Task) -> list[str]:
    return [task.python, "-m", "dicognito", str(task.source), "-q", "-o", str(task.out)]


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


def _constant(keyword: str) -> str:
    if keyword == "PixelSpacing":
        return "0.5\\0.5"
    if keyword.endswith("DateTime"):
        return "20200202120000"
    return "20200202" if keyword.endswith("Date") else "3f0c1b7a9d"


def _tool(name: str) -> Callable[[str], str | None]:
    """The version of a program: the number in the first line that it prints."""

    def found(_: str) -> str | None:
        if shutil.which(name) is None:
            return None
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
        numbers = [word for word in done.stdout.split() if any(map(str.isdigit, word))]
        return numbers[0].lstrip("v") if numbers else "?"

    return found


def _package(name: str) -> Callable[[str], str | None]:
    @functools.cache
    def found(python: str) -> str | None:
        asked = f"from importlib.metadata import version; print(version({name!r}))"
        done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
        return done.stdout.strip() or None

    return found


def _sync(python: str) -> str | None:
    return _tool("cp")(python) if platform.system() == "Linux" else None


PEERS = {
    "j1": _ours(1),
    "j2": _ours(2),
    "gdcmanon": Peer(
        "gdcmanon",
        _tool("gdcmanon"),
        lambda task: _profile(task, task.source, task.out),
        "C++, one process: the Basic Profile of PS3.15 (-e -c CERTIFICATE -r), originals sealed into each file; "
        "plain writes",
    ),
    "gdcmanon-2": Peer(
        "2 × gdcmanon",
        _tool("gdcmanon"),
        _side_by_side,
        "the same, two processes side by side, each on half of the files",
        halved=True,
    ),
    "gdcmanon-dumb": Peer(
        "gdcmanon --dumb",
        _tool("gdcmanon"),
        _dumb,
        "C++, one process: constants in place of 10 tags, 13 emptied, 1 removed; does not look into sequences, "
        "shifts and hashes nothing; plain writes",
    ),
    "dcmodify": Peer(
        "dcmodify",
        _tool("dcmodify"),
        _dcmodify,
        "C++: cp -r first, then in place, as many files at a time as xargs gives: constants in place of 23 tags "
        "at every depth, 1 erased; plain writes",
    ),
    "dicognito": Peer(
        "dicognito",
        _package("dicognito"),
        _dicognito,
        "Python: its own rules at every depth (new UIDs, IDs, names, dates); plain writes",
        slow=True,
    ),
    "dicom-anonymizer": Peer(
        "dicom-anonymizer",
        _package("dicom-anonymizer"),
        _loop("dicom-anonymizer", lambda task: task.python),
        "Python: its table of the Basic Profile at every depth, private elements removed, folder by folder in one "
        "process; plain writes",
        slow=True,
    ),
    "deid": Peer(
        "deid",
        _package("deid"),
        _loop("deid", lambda task: task.python),
        "Python: a recipe of seed-sample's rules at every depth (names hashed), folder by folder in one process; "
        "plain writes",
        slow=True,
    ),
    "pydicom-loop": Peer(
        "pydicom loop",
        lambda _: version("pydicom"),
        _loop("pydicom-loop", lambda _: sys.executable),
        "Python: dcmread, seed-sample's rules on a walk of all elements (names hashed), save_as; plain writes",
        slow=True,
    ),
    "cp": Peer("cp -r", _tool("cp"), _copied, "copies bytes; plain writes"),
    "floor": Peer(
        "the floor",
        lambda _: platform.python_version(),
        lambda task: [sys.executable, "-I", "-S", _FLOOR, str(task.source), str(task.out)],
        "what no atomic and durable copy can do without, one process: read, SHA-256, write, sync, rename, and nothing "
        "else",
    ),
    "cp-sync": Peer("cp -r, sync", _sync, _copied_and_synced, "copies bytes, then sync -f: all is on disk at the end"),
}


def installed(wanted: list[str] | None, python: str) -> Mapping[str, Peer]:
    """Ours, and those of the wanted peers (None: of all) that are there."""
    chosen = [key for key in PEERS if key in OURS or wanted is None or key in wanted]
    return {key: PEERS[key] for key in chosen if PEERS[key].version(python) is not None}


def certificate(folder: Path) -> Path:
    """A certificate for gdcmanon, made with openssl if that is there."""
    path = folder / "certificate.pem"
    if shutil.which("openssl"):
        key = str(folder / "key.pem")
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=benchmark", "-days", "2"]
        subprocess.run([*made, "-keyout", key, "-out", str(path)], capture_output=True, check=True)
    return path
