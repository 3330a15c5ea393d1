"""The reader of last resort: pydicom re-encodes a file whose encoding is odd into Explicit VR Little Endian."""

from __future__ import annotations

import logging
import warnings
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.uid import ExplicitVRLittleEndian

from deid_batch.errors import OddEncoding, Unreadable
from deid_batch.wire import UNDEFINED


def reencode(data: bytes, odd: OddEncoding) -> bytes:
    """A whole file in Explicit VR Little Endian, or in the encapsulated transfer syntax it has.

    What pydicom reads only in part, or with a value cut short, raises Unreadable with the reason of `odd`.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _reencoded(data)
        except RecursionError:
            raise Unreadable("too-deep", "sequences nested too deep") from None
        except Exception:  # pydicom raises whatever broken input leads to; the message may hold values
            raise Unreadable(odd.reason, odd.detail) from None


def _reencoded(data: bytes) -> bytes:
    buffer = BytesIO(data)
    dataset = dcmread(buffer, force=True)
    if data[buffer.tell() :].strip(b"\0"):
        raise ValueError("not read to its end")
    _check_whole(dataset)
    implicit, little = dataset.original_encoding
    if implicit is None or not little:
        raise ValueError("big endian words are not turned round by pydicom")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.preamble = bytes(128)
    out = BytesIO()
    dataset.save_as(out, implicit_vr=False, little_endian=True)
    return out.getvalue()


def _check_whole(dataset: Dataset) -> None:
    """Every value is as long as its header says, at every depth."""
    for raw in list(dataset._dict.values()):
        if isinstance(raw, RawDataElement) and raw.length != UNDEFINED and len(raw.value or b"") != raw.length:
            raise ValueError("a value is cut short")
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _check_whole(item)
