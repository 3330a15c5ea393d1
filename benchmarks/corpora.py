"""Study dumps to measure on: trees of files made from pydicom's bundled real ones, the same bytes every time.

pydicom makes one template of a corpus; each file is that template with the values of its own identity
(UIDs, patient, dates, position) put in its place, so all files of a corpus are equally long and quickly written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword

_FILES_PER_SERIES = 100
_SERIES_PER_STUDY = 2
_STUDIES_PER_PATIENT = 2
_LAYOUT = 1  # goes up when identities or the tree change, so that older corpora are not taken for new ones
_UID_ROOT = "1.2.826.0.1.3680043.8.498"


@dataclass(frozen=True)
class Corpus:
    """A kind of files, how many of them at scale 1, and what makes their template."""

    name: str
    files: int
    template: Callable[[], bytes]
    says: str


@dataclass(frozen=True)
class Laid:
    """A corpus on disk."""

    name: str
    path: Path
    files: int
    size: int


@dataclass(frozen=True)
class Place:
    """Where in the template the value of an element stands, and which."""

    offset: int
    keyword: str


def lay(corpus: Corpus, scale: float, folder: Path) -> Laid:
    """The corpus under `folder`: the one that is there already, else a new one."""
    template = corpus.template()
    files = max(1, round(corpus.files * scale))
    digest = hashlib.sha256(template).hexdigest()[:8]
    path = folder / f"{corpus.name}-{files}-v{_LAYOUT}-{digest}"
    if not path.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        try:
            _write(template, files, unfinished)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Laid(corpus.name, path, files, files * len(template))


def _write(template: bytes, files: int, folder: Path) -> None:
    places = _places(template)
    for number in range(files):
        identity = _identity(number)
        encoded = bytearray(template)
        for place in places:
            value = identity[place.keyword]
            encoded[place.offset : place.offset + len(value)] = value
        path = folder / _path(number)
        if number % _FILES_PER_SERIES == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(encoded)


def _path(number: int) -> str:
    series, instance = divmod(number, _FILES_PER_SERIES)
    study = series // _SERIES_PER_STUDY
    patient = study // _STUDIES_PER_PATIENT
    return os.path.join(f"PAT{patient:05}", f"ST{study:05}", f"SE{series:05}", f"IM{instance:05}.dcm")


def _identity(number: int) -> dict[str, bytes]:
    """What tells the files of a corpus apart, by keyword; each value has the same length in all files."""
    series, instance = divmod(number, _FILES_PER_SERIES)
    study = series // _SERIES_PER_STUDY
    patient = study // _STUDIES_PER_PATIENT
    day = f"{date(2015, 1, 1) + timedelta(days=study % 3000):%Y%m%d}"
    time = f"{8 + series % 10:02}{instance // 60:02}{instance % 60:02}"
    slice_location = f"{instance * 1.25 + 100:.4f}"
    sop_instance = f"{_UID_ROOT}.4.{series + 100_000}.{instance + 100_000}"
    texts = {
        "MediaStorageSOPInstanceUID": sop_instance,
        "SOPInstanceUID": sop_instance,
        "StudyInstanceUID": f"{_UID_ROOT}.2.{study + 100_000}",
        "SeriesInstanceUID": f"{_UID_ROOT}.3.{series + 100_000}",
        "FrameOfReferenceUID": f"{_UID_ROOT}.5.{study + 100_000}",
        "PatientName": f"Benchmark{patient:05}^Given{patient * 7919 % 100_000:05}",
        "PatientID": f"BM{patient:06}",
        "PatientBirthDate": f"{date(1945, 1, 1) + timedelta(days=patient * 97 % 20_000):%Y%m%d}",
        "ReferringPhysicianName": f"Referrer{study % 50:02}^Doctor",
        "AccessionNumber": f"ACC{study:07}",
        "StudyID": f"ST{study:06}",
        "InstanceCreationDate": day,
        "StudyDate": day,
        "SeriesDate": day,
        "AcquisitionDate": day,
        "ContentDate": day,
        "StudyTime": f"{8 + series % 10:02}0000",
        "ContentTime": time,
        "SeriesNumber": f"{series % _SERIES_PER_STUDY + 1:04}",
        "InstanceNumber": f"{instance + 1:04}",
        "SliceLocation": slice_location,
        "ImagePositionPatient": f"-83.9063\\-91.2000\\{slice_location}",
    }
    return {keyword: _padded(keyword, text) for keyword, text in texts.items()}


def _padded(keyword: str, text: str) -> bytes:
    return text.encode("ascii") + (b"\0" if keyword.endswith("UID") else b" ") * (len(text) % 2)


def _places(template: bytes) -> list[Place]:
    """Where each value of the first file's identity stands in the template (Explicit VR Little Endian, short VRs)."""
    places = []
    for keyword, value in _identity(0).items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        vr = dictionary_VR(tag).encode()
        element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
        if template.count(element) != 1:
            raise ValueError(f"{keyword} does not stand exactly once in the template")
        places.append(Place(template.index(element) + 8, keyword))
    return places


def _enlarged_image(origin: str, edge: int) -> bytes:
    """A bundled file as it is, but with edge × edge pixels of the same field of view, and the first identity."""
    dataset = dcmread(str(get_testdata_file(origin)))
    old_edge = dataset.Rows
    assert dataset.Columns == old_edge
    dataset.PixelData = _nearest_neighbours(dataset.PixelData, old_edge, edge)
    dataset.Rows = dataset.Columns = edge
    dataset.PixelSpacing = [f"{float(spacing) * old_edge / edge:.6f}" for spacing in dataset.PixelSpacing]
    del dataset[0xFFFC, 0xFFFC]  # Data Set Trailing Padding, which few real files have
    for keyword, value in _identity(0).items():
        target = dataset.file_meta if keyword.startswith("MediaStorage") else dataset
        setattr(target, keyword, value.decode().rstrip("\0 "))
    encoded = BytesIO()
    dataset.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def _nearest_neighbours(pixels: bytes, old_edge: int, edge: int) -> bytes:
    """A square image of 16-bit pixels in another size."""
    units = array("H", pixels)
    nearest = [index * old_edge // edge for index in range(edge)]
    rows = [array("H", [units[row * old_edge + column] for column in nearest]).tobytes() for row in range(old_edge)]
    return b"".join(rows[row] for row in nearest)


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("mr-40k", 5000, partial(_enlarged_image, "MR_small.dcm", 140), "MR, 140 × 140 × 16 bit, 41 KB a file"),
        Corpus("ct-500k", 2000, partial(_enlarged_image, "CT_small.dcm", 512), "CT, 512 × 512 × 16 bit, 531 KB a file"),
    )
}
