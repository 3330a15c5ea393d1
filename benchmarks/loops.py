"""Peers that are Python libraries or have no command that does a whole tree: the loop that a user would write.

python loops.py NAME SOURCE OUT. Nothing of deid_batch is imported, so that any environment's Python can run it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

_RECIPE = """FORMAT dicom
%header
REPLACE PixelSpacing 1.0
REMOVE RequestedProcedureID
REPLACE PatientID func:hashed
REPLACE select:VR:PN func:hashed
JITTER select:VR:DA 17
JITTER select:VR:DT 17
"""


def pydicom_loop(source: str, out: str) -> None:
    """Read each file whole, change it by the sample's rules at every depth, save it."""
    from pydicom import dcmread

    for folder, target in _folders(source, out):
        for name in os.listdir(folder):
            if os.path.isfile(os.path.join(folder, name)):
                dataset = dcmread(os.path.join(folder, name))
                dataset.walk(_rules_of(dataset))
                dataset.save_as(os.path.join(target, name))


def dicom_anonymizer(source: str, out: str) -> None:
    """What its command does with one folder, for each folder."""
    from dicomanonymizer.anonymizer import anonymize

    for folder, target in _folders(source, out):
        if any(entry.is_file() for entry in os.scandir(folder)):
            anonymize(folder, target, {}, True)


def deid(source: str, out: str) -> None:
    """A recipe with the sample's rules, folder by folder: its output folders are flat."""
    from deid.config import DeidRecipe
    from deid.dicom import replace_identifiers

    with tempfile.NamedTemporaryFile("w", suffix=".deid") as file:
        file.write(_RECIPE)
        file.flush()
        recipe = DeidRecipe(deid=file.name)
    for folder, target in _folders(source, out):
        files = [entry.path for entry in os.scandir(folder) if entry.is_file()]
        known = {path: {"hashed": _hashed_field} for path in files}
        if files:
            replace_identifiers(dicom_files=files, deid=recipe, ids=known, save=True, output_folder=target)


def _hashed_field(*, field: object, **_: object) -> str:
    """What deid calls for `func:hashed`."""
    return _hashed(getattr(field, "element", field).value)


def _folders(source: str, out: str) -> Iterator[tuple[str, str]]:
    """Each folder of a tree and the one in OUT that is made for it."""
    for folder, _, _ in os.walk(source):
        target = os.path.join(out, os.path.relpath(folder, source))
        os.makedirs(target, exist_ok=True)
        yield folder, target


def _rules_of(dataset: Dataset) -> Callable[[Dataset, DataElement], None]:
    """The rules of seed-sample for the elements of one file."""
    series = str(dataset.SeriesInstanceUID)
    shift = timedelta(days=int.from_bytes(_digest(series)[:8], "big") % 101 - 50)

    def shifted(value: object) -> str:
        text = str(value)
        return f"{date.fromisoformat(text[:8]) + shift:%Y%m%d}{text[8:]}"

    def perturbed(value: object) -> float:
        number = float(str(value))
        noise = int.from_bytes(_digest(f"{series}{value}")[:8], "big") / 2**64 - 0.5
        return round(number + noise * abs(number), 2)

    def apply(items: Dataset, element: DataElement) -> None:
        if element.tag == 0x00280030:
            _each(element, perturbed)
        elif element.tag == 0x00401001:
            del items[element.tag]
        elif element.tag == 0x00100020 or element.VR == "PN":
            _each(element, _hashed)
        elif element.VR in {"DA", "DT"}:
            _each(element, shifted)

    return apply


def _each(element: DataElement, change: Callable[[object], object]) -> None:
    """Change the values of an element one by one; what is empty stays empty."""
    if not element.is_empty:
        values = element.value if element.VM > 1 else [element.value]
        changed = [change(value) for value in values]
        element.value = changed if element.VM > 1 else changed[0]


def _hashed(value: object) -> str:
    return _digest(str(value)).hex()


def _digest(text: str) -> bytes:
    return hmac.digest(b"123", text.encode(), hashlib.sha256)


LOOPS = {"pydicom-loop": pydicom_loop, "dicom-anonymizer": dicom_anonymizer, "deid": deid}

if __name__ == "__main__":
    del sys.path[0]  # this folder: what it holds is none of what is imported
    warnings.simplefilter("ignore")
    LOOPS[sys.argv[1]](sys.argv[2], str(Path(sys.argv[3]).absolute()))
