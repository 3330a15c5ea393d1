"""What `clean` costs on files that are rich in descriptions: the main job with it and without it, in alternation.

python -m benchmarks.bench_clean [--files 2000] [--repeat 5] [--jobs 1] [--dir DIR]

Both configs are seed-sample's rules and one rule for each text VR: `clean` in one, `keep` in the other. A patient has
40 files with 25 texts each, of which 3 are another one in every file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from benchmarks.measure import CommandFailed, Used, measured

GOAL = 1.25
"""How many times the CPU time of the rest `clean` may make it: a fifth of the whole."""
_PER_PATIENT = 40
_TEXTS = """
    StudyDescription SeriesDescription ProtocolName ImageComments PatientComments AdmittingDiagnosesDescription
    RequestedProcedureDescription PerformedProcedureStepDescription AdditionalPatientHistory StudyComments
    RequestedProcedureComments ReasonForStudy ReasonForTheRequestedProcedure CommentsOnThePerformedProcedureStep
    ScheduledProcedureStepDescription PerformedProcedureTypeDescription ContrastBolusAgent AcquisitionComments
    DerivationDescription FrameComments VisitComments MedicalAlerts Allergies PatientState ImagingServiceRequestComments
""".split()
_VARYING = ("ImageComments", "FrameComments", "AcquisitionComments")
_WORDS = """
    axial coronal sagittal T1 T2 FLAIR contrast after before lesion left right frontal lobe 3mm 12.5 ms slice thickness
    follow-up no change compared with prior study normal findings unremarkable MR brain spine knee L4/5 seen on
""".split()
_RULES = Path(__file__).parent.parent / "configs" / "seed-sample.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a run failed, or if `clean` takes longer than the goal says."""
    options = _parser().parse_args(arguments)
    used: dict[str, list[Used]] = {"keep": [], "clean": []}
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="clean-", dir=options.dir) as place:
        source = Path(place) / "in"
        lay(source, options.files)
        try:
            for number in range(options.repeat):
                for name in list(used)[:: -1 if number % 2 else 1]:
                    used[name].append(_run(source, name, Path(place), options.jobs))
        except CommandFailed as failure:
            print(failure, file=sys.stderr)
            return 1
    return _show(used, options.files)


def lay(folder: Path, files: int) -> None:
    """So many files of patients with names, some of which stand in their descriptions."""
    folder.mkdir()
    template = dcmread(get_testdata_file("MR_small.dcm"))
    drawn = random.Random(1)
    for number in range(files):
        patient = number // _PER_PATIENT
        if number % _PER_PATIENT == 0:
            _begin(template, patient, drawn)
        template.SOPInstanceUID = f"1.2.3.{patient}.{number}"
        template.file_meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
        for keyword in _VARYING:
            setattr(template, keyword, _sentence(template, drawn, number))
        template.save_as(folder / f"{number:06}.dcm")


def _begin(template: Dataset, patient: int, drawn: random.Random) -> None:
    template.SpecificCharacterSet = "ISO_IR 192"
    template.PatientName = f"Müllerin{patient}^Anna^B"
    template.PatientID = f"{patient:07}"
    template.PatientBirthDate = "19500102"
    template.StudyInstanceUID, template.SeriesInstanceUID = f"1.2.3.{patient}", f"1.2.3.{patient}.0"
    for keyword in _TEXTS:
        setattr(template, keyword, _sentence(template, drawn, 0))


def _sentence(template: Dataset, drawn: random.Random, number: int) -> str:
    """A description of up to 64 letters."""
    words = [*drawn.choices(_WORDS, k=7), str(number % 500)]
    if drawn.random() < 0.2:
        words.insert(drawn.randrange(5), str(template.PatientName.family_name))
    return " ".join(words)[:64].strip()


def _config(place: Path, method: str) -> Path:
    said = json.loads(re.sub(r"//.*|,(?=\s*[\]}])", "", _RULES.read_text(encoding="utf-8")))
    said["dicomTagRules"] += [{"tag": {"VR": vr}, "method": method} for vr in ("LO", "LT", "SH", "ST", "UC", "UT")]
    path = place / f"{method}.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    return path


def _run(source: Path, method: str, place: Path, jobs: int) -> Used:
    """One run of the whole command that does everything again; what others left to write is written before."""
    os.sync()
    command = [sys.executable, "-m", "deid_batch", "run", str(source), str(place / f"out-{method}")]
    command += ["--config", str(_config(place, method)), "--jobs", str(jobs), "--overwrite", "--no-progress", "-q"]
    return measured(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="default: 2000")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default: 1)")
    cache = Path(tempfile.gettempdir()) / "deid-batch-benchmarks"
    parser.add_argument(
        "--dir",
        type=lambda text: Path(text).resolve(),
        default=cache,
        help="for corpora and outputs (default: %(default)s)",
    )
    return parser


def _rows(used: dict[str, list[Used]], files: int) -> Iterator[str]:
    for name, runs in used.items():
        rates = sorted(files / run.seconds for run in runs)
        cpu = statistics.median(run.cpu_seconds for run in runs)
        yield f"{name:>12} {statistics.median(rates):>9,.0f} {f'{rates[0]:,.0f}–{rates[-1]:,.0f}':>15} {cpu:>8.2f}"


def _show(used: dict[str, list[Used]], files: int) -> int:
    print(f"{files:,} files rich in descriptions, the whole command, both in each of the rounds:\n")
    print(f"{'':>12} {'files/s':>9} {'range':>15} {'CPU s':>8}")
    print(*_rows(used, files), sep="\n")
    ratios = sorted(b.cpu_seconds / a.cpu_seconds for a, b in zip(used["keep"], used["clean"], strict=True))
    median = statistics.median(ratios)
    verdict = "within" if median <= GOAL else "beyond"
    print(f"CPU seconds, clean : keep  {median:.3f}  ({ratios[0]:.3f}–{ratios[-1]:.3f}), {verdict} {GOAL}")
    return 0 if median <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
