"""Study dumps to measure on: trees of files made from pydicom's bundled real ones, the same bytes every time.

pydicom makes the templates of a corpus; each file is one of them with the values of its own identity (UIDs, patient,
dates, position, at every depth) put in its place, so all files of a template are equally long and quickly written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword

from benchmarks import identity, templates

_Template = Callable[[], bytes]


@dataclass(frozen=True)
class Corpus:
    """A kind of files, how many of them at scale 1, and what makes their templates, which series take in turns."""

    name: str
    files: int
    per_series: int
    templates: tuple[_Template, ...]
    says: str


@dataclass(frozen=True)
class Laid:
    """A tree of files on disk; `paths` are relative to it and sorted."""

    folder: Path
    paths: tuple[str, ...]
    size: int

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def part(self, first: int, last: int, folder: Path) -> Laid:
        """The files from `first` up to `last`, as a tree of hard links in a new folder."""
        paths = self.paths[first:last]
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.folder / path, folder / path)
        return tree(folder)


def tree(folder: Path) -> Laid:
    """What lies in a folder."""
    found = sorted((os.path.relpath(entry.path, folder), entry.stat().st_size) for entry in _files(folder))
    return Laid(folder, tuple(path for path, _ in found), sum(size for _, size in found))


def _files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path)
            else:
                yield entry


def lay(corpus: Corpus, scale: float, folder: Path) -> Laid:
    """The corpus under `folder`: the one that is there already, else a new one."""
    files = max(1, round(corpus.files * scale))
    path = folder / f"{corpus.name}-{files}-{_made_by()}"
    if not path.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        try:
            _write(corpus, files, unfinished)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return tree(path)


def _made_by() -> str:
    """What tells corpora apart that were made by other code or of other files."""
    made_of = [Path(str(module.__file__)).read_bytes() for module in (identity, templates)]
    return hashlib.sha256(b"\0".join([*made_of, pydicom.__version__.encode()])).hexdigest()[:8]


def _write(corpus: Corpus, files: int, folder: Path) -> None:
    for turn, template in enumerate(corpus.templates):
        numbers = [n for n in range(files) if n // corpus.per_series % len(corpus.templates) == turn]
        if numbers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what pydicom says of its own files
                made = template()
            for number, encoded in zip(numbers, instances(made, numbers, corpus.per_series), strict=True):
                path = folder / identity.path(number, corpus.per_series)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded)


def instances(template: bytes, numbers: Iterable[int], per_series: int) -> Iterator[bytearray]:
    """The files of these numbers, which are like the template but for their identity: one buffer, again and again."""
    places = [list(_places(template, mark)) for mark in _marks(0, per_series)]
    encoded = bytearray(template)
    for number in numbers:
        for mark, offsets in zip(_marks(number, per_series), places, strict=True):
            for offset in offsets:
                encoded[offset : offset + len(mark)] = mark
        yield encoded


def _marks(number: int, per_series: int) -> list[bytes]:
    """What tells a file apart, as it is written (Explicit VR Little Endian, short VRs); as long for all files."""
    values = identity.values(number, per_series)
    elements = [_element(keyword, _padded(keyword, text)) for keyword, text in values.items()]
    day = values["ContentDate"].encode()
    nested = [_element(keyword, day + bytes(6))[:-6] for keyword in identity.NESTED_TIMES]
    return [*elements, *nested, identity.nested_uid(number).encode(), identity.decimals(number).encode()]


def _element(keyword: str, value: bytes) -> bytes:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, dictionary_VR(tag).encode(), len(value)) + value


def _padded(keyword: str, text: str) -> bytes:
    return text.encode("ascii") + (b"\0" if keyword.endswith("UID") else b" ") * (len(text) % 2)


def _places(template: bytes, mark: bytes) -> Iterator[int]:
    place = template.find(mark)
    while place >= 0:
        yield place
        place = template.find(mark, place + len(mark))


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("mr", 5000, 100, (partial(templates.image, "MR_small.dcm", 140),), "MR of 140 × 140 × 16 bit"),
        Corpus("ct", 2000, 100, (partial(templates.image, "CT_small.dcm", 512),), "CT of 512 × 512 × 16 bit"),
        Corpus(
            "nested",
            500,
            5,
            (templates.segmentation, templates.plan, templates.structures, templates.report),
            "segmentations and RT structure sets (defined lengths), RT plans and SR documents (undefined lengths), "
            "in equal parts",
        ),
        Corpus("multi-frame", 20, 5, (templates.enhanced,), "enhanced CT of 200 frames of 512 × 512 × 16 bit"),
        Corpus(
            "encapsulated",
            500,
            20,
            tuple(partial(templates.as_it_is, name) for name in templates.ENCAPSULATED),
            "JPEG Baseline, JPEG-LS and RLE, of one frame and of many, as they come with pydicom",
        ),
    )
}
MANY = Corpus("many", 100_000, 100, (partial(templates.image, "MR_small.dcm", 64),), "MR of 64 × 64 × 16 bit")
"""Not to be measured by its rate."""
