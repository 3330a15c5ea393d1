"""The first file of a corpus, made from pydicom's bundled real files; the others differ from it by their identity."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from copy import deepcopy
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from benchmarks import identity

ENCAPSULATED = (
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_RLE.dcm",
    "examples_ybr_color.dcm",
    "rtdose_rle.dcm",
)
_UIDS = ("ReferencedSOPInstanceUID", "UID")
_TEXTS = ("TextValue", "BeamName")
_DECIMALS = ("ImagePositionPatient", "ContourData", "LeafJawPositions", "ReferencePointCoordinates", "NumericValue")


def image(origin: str, edge: int) -> bytes:
    """A single image as it is, but with edge × edge pixels of the same field of view."""
    return _encoded(_enlarged(_read(origin), edge))


def as_it_is(origin: str) -> bytes:
    """A bundled file with another identity."""
    return _encoded(_read(origin))


def segmentation(frames: int = 300) -> bytes:
    """A segmentation whose functional groups are repeated for so many frames; lengths are defined."""
    dataset = _read("liver_1frame.dcm")
    references = dataset.ReferencedSeriesSequence[0]
    references.ReferencedInstanceSequence = _varied(references.ReferencedInstanceSequence, frames)
    dataset.PerFrameFunctionalGroupsSequence = _varied(dataset.PerFrameFunctionalGroupsSequence, frames)
    dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = 128, 64  # of one bit each
    dataset.PixelData = bytes(range(256)) * 4 * frames
    return _encoded(dataset, undefined=False)


def structures(contours: int = 400) -> bytes:
    """An RT structure set with so many contours of its first ROI; lengths are defined."""
    dataset = _read("rtstruct.dcm")
    roi = dataset.ROIContourSequence[0]
    for contour in roi.ContourSequence:
        contour.ContourData = list(contour.ContourData) * 10
        contour.NumberOfContourPoints *= 10
    roi.ContourSequence = _varied(roi.ContourSequence, contours)
    return _encoded(dataset, undefined=False)


def plan(beams: int = 200) -> bytes:
    """An RT plan with so many beams; lengths are undefined."""
    dataset = _read("rtplan.dcm")
    dataset.BeamSequence = _varied(dataset.BeamSequence, beams)
    return _encoded(dataset, undefined=True)


def report(parts: int = 200) -> bytes:
    """An SR document whose content items are repeated so often; lengths are undefined."""
    dataset = _read("test-SR.dcm")
    dataset.ContentSequence = _varied(dataset.ContentSequence, parts)
    return _encoded(dataset, undefined=True)


def enhanced(frames: int = 200, edge: int = 512) -> bytes:
    """A CT image as an enhanced one: so many frames, each with functional groups; lengths are undefined."""
    dataset = _enlarged(_read("CT_small.dcm"), edge)
    groups = _read("liver_1frame.dcm")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceLocation"):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = frames
    dataset.SharedFunctionalGroupsSequence = groups.SharedFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = _varied(groups.PerFrameFunctionalGroupsSequence, frames)
    dataset.PixelData = dataset.PixelData * frames
    return _encoded(dataset, undefined=True)


def _read(name: str) -> FileDataset:
    return dcmread(str(get_testdata_file(name)), force=True)


def _varied(items: Sequence[Dataset], count: int) -> list[Dataset]:
    """So many items like these, of which no two are equal."""
    varied = [deepcopy(items[number % len(items)]) for number in range(count)]
    for number, item in enumerate(varied):
        for element in item.iterall():
            if element.keyword in _UIDS:
                element.value = f"{identity.nested_uid(0)}.{number + 1000}"
            elif element.keyword in _TEXTS:
                element.value = f"{element.value} {number}{identity.decimals(0)}"
            elif element.keyword in _DECIMALS:
                *others, _ = element.value if element.VM > 1 else [element.value]
                element.value = [*others, f"{number}{identity.decimals(0)}"]
            elif element.keyword in identity.NESTED_TIMES:
                element.value = f"20150101{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}"
    return varied


def _encoded(dataset: FileDataset, *, undefined: bool | None = None) -> bytes:
    """The file with the first identity, in Explicit VR Little Endian unless it is encapsulated."""
    if (0xFFFC, 0xFFFC) in dataset:
        del dataset[0xFFFC, 0xFFFC]  # Data Set Trailing Padding, which few real files have
    is_single = "Rows" in dataset and "NumberOfFrames" not in dataset
    for keyword, value in identity.values(0, 1).items():
        if is_single or keyword not in identity.POSITION:
            target = dataset.file_meta if keyword.startswith("MediaStorage") else dataset
            setattr(target, keyword, value)
    if undefined is not None:
        _set_lengths(dataset, undefined=undefined)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    encoded = BytesIO()
    dataset.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def _set_lengths(dataset: Dataset, *, undefined: bool) -> None:
    """Have all sequences and items written with lengths, or with delimiters."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
                _set_lengths(item, undefined=undefined)


def _enlarged(dataset: FileDataset, edge: int) -> FileDataset:
    """A square image of 16-bit pixels with edge × edge of them."""
    old_edge = dataset.Rows
    dataset.PixelData = _nearest_neighbours(dataset.PixelData, old_edge, edge)
    dataset.Rows = dataset.Columns = edge
    dataset.PixelSpacing = [f"{float(spacing) * old_edge / edge:.6f}" for spacing in dataset.PixelSpacing]
    return dataset


def _nearest_neighbours(pixels: bytes, old_edge: int, edge: int) -> bytes:
    units = array("H", pixels)
    nearest = [index * old_edge // edge for index in range(edge)]
    rows = [array("H", [units[row * old_edge + column] for column in nearest]).tobytes() for row in range(old_edge)]
    return b"".join(rows[row] for row in nearest)
