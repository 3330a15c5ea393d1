"""A small study dump made of the real public files that come with pydicom."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydicom.data import get_testdata_file

_FILES = {
    "PAT001/CT_CHEST/1/IM0001": "CT_small.dcm",
    "PAT001/CT_CHEST/2/IM0001": "693_J2KI.dcm",
    "PAT002/MR_BRAIN/1/IM0001": "MR_small.dcm",
    "PAT002/MR_BRAIN/1/IM0002": "MR_small_RLE.dcm",
    "PAT002/MR_BRAIN/2/IM0001": "MR_small_bigendian.dcm",
    "PAT002/MR_BRAIN/2/IM0002": "MR_small_implicit.dcm",
    "PAT003/US_ABDOMEN/1/IM0001": "examples_ybr_color.dcm",
    "PAT003/US_ABDOMEN/2/IM0001": "examples_palette.dcm",
    "PAT004/RT/1/plan.dcm": "rtplan.dcm",
    "PAT004/RT/1/dose.dcm": "rtdose.dcm",
    "PAT004/RT/1/structures.dcm": "rtstruct.dcm",
    "PAT005/ECG/1/waveform": "waveform_ecg.dcm",
    "PAT006/REPORT/1/sr.dcm": "reportsi.dcm",
    "PAT006/SC/1/deflated.dcm": "image_dfl.dcm",
    "PAT006/SC/1/jpeg.dcm": "SC_rgb_jpeg_dcmtk.dcm",
    "PAT006/SC/1/damaged.dcm": "MR_truncated.dcm",
}
_NOTE = "PAT001/CT_CHEST/notes.txt"


def build_study_dump(folder: Path) -> None:
    """Lay a study/series tree of real files into a new folder, with a damaged one and a text file among them."""
    for name, origin in _FILES.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(get_testdata_file(origin)), target)
    (folder / _NOTE).write_text("Not a DICOM file: it is not copied.\n", encoding="utf-8")
