"""A file as pydicom reads it: every element at every depth, with its undecoded value."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_sequence
from pydicom.sequence import Sequence

from deid_batch import dictionary
from deid_batch.errors import BadValue, Unreadable
from deid_batch.profiles import content
from deid_batch.values import text, uids
from deid_batch.verify.findings import Place, place_of
from deid_batch.wire import PIXEL_DATA, TEXT_VRS

_DEFERRED = 1 << 20
"""Bytes from which values are left in the file."""
_MAX_DEPTH = 64
_ITEM = b"\xfe\xff\x00\xe0"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})


@dataclass(frozen=True)
class Seen:
    """An element of a data set; `raw` is None where the value was left in the file."""

    place: Place
    tag: int
    vr: str
    creator: str | None
    path: tuple[int, ...]
    """The enclosing sequences as `RuleSet.decide` takes them."""
    raw: bytes | None
    charset: bytes = b""
    little: bool = True
    count: int = -1
    """How many items a sequence has; -1: it is none."""

    @property
    def is_text(self) -> bool:
        return self.vr in TEXT_VRS

    @property
    def values(self) -> tuple[str, ...]:
        """The values of a text element, without padding; what its character set can't read is read as Latin-1."""
        raw = (self.raw or b"").rstrip(b"\0 ")
        if not raw:
            return ()
        try:
            return tuple(text.split(raw, self.vr, self.charset))
        except BadValue:
            return tuple(raw.decode("latin-1").split("\\"))


class Judgement(NamedTuple):
    """What the walk asks about sequences: the path inside, and the options by which items are judged."""

    path_inside: Any
    options: tuple[str, ...]


@dataclass
class Reading:
    """A file that is read."""

    data_set: FileDataset
    meta: Mapping[int, Any] = field(default_factory=dict)
    syntax: str = ""

    def element(self, tag: int) -> str:
        """The first value of a text element of the top level; "" without one."""
        found = self.data_set.get_item(tag, keep_deferred=True) if tag in self.data_set else None
        raw = getattr(found, "value", None)
        if isinstance(raw, bytes):
            return raw.split(b"\\")[0].strip(b"\0 ").decode("latin-1")
        return str(raw or "")


@contextmanager
def reading(path: str | bytes) -> Iterator[Reading]:
    """A file, open as long as its values are looked at. What pydicom can't read raises Unreadable."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            deferred = _DEFERRED if os.fstat(file.fileno()).st_size > 2 * _DEFERRED else None
            data_set = pydicom.dcmread(file, force=True, defer_size=deferred)
            syntax = str(data_set.file_meta.get("TransferSyntaxUID", "") or "")
            if syntax in DEFLATED and deferred:
                file.seek(0)
                data_set = pydicom.dcmread(file, force=True)
            meta = {int(element.tag): element for element in data_set.file_meta}
        except MemoryError:
            raise
        except Exception as error:
            raise Unreadable("unreadable", f"pydicom can't read it ({type(error).__name__})") from None
        yield Reading(data_set, meta, syntax)


def elements(data_set: Dataset, judgement: Judgement) -> Iterator[Seen]:
    """Every element at every depth, private and hidden ones too. What pydicom can't read raises Unreadable."""
    try:
        yield from _elements(data_set, judgement, (), (), b"")
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        raise Unreadable("unreadable", f"pydicom can't read it ({type(error).__name__})") from None


def _elements(
    data_set: Dataset, judgement: Judgement, steps: Place, path: tuple[int, ...], charset: bytes
) -> Iterator[Seen]:
    own = _raw(data_set, 0x00080005)
    charset = own.rstrip(b"\0 ") if own is not None else charset
    creators: dict[int, str] = {}
    for tag in sorted(map(int, data_set.keys())):
        element = data_set.get_item(tag, keep_deferred=True)
        raw = _raw(data_set, tag)
        if dictionary.is_private_creator(tag) and raw is not None:
            creators[tag] = text.decode(raw, "SH", b"").strip("\0 ") if raw.isascii() else raw.decode("latin-1").strip()
        creator = _creator(creators, tag)
        little = getattr(element, "is_little_endian", None) is not False
        vr = dictionary.effective_vr(tag, _written_vr(element), creator)
        items = None if tag in PIXEL_DATA and not steps else _items(data_set, tag, vr, raw)
        here = place_of(steps, tag)
        if items is None:
            yield Seen(here, tag, vr, creator, path, raw, charset, little)
            continue
        yield Seen(here, tag, "SQ", creator, path, b"", charset, little, len(items))
        if len(steps) > _MAX_DEPTH:
            raise Unreadable("too-deep")
        inside = judgement.path_inside(path, tag)
        for number, item in enumerate(items):
            judged = inside
            if tag in content.ITEM_SEQUENCES and inside and "clean_structured_content" in judgement.options:
                judged = (*inside[:-1], inside[-1] | max(content.fate(_concept(item), judgement.options), 0) << 32)
            yield from _elements(item, judgement, (*steps, (tag, number)), judged, charset)


def _creator(creators: Mapping[int, str], tag: int) -> str | None:
    if not dictionary.is_private(tag) or dictionary.is_private_creator(tag):
        return None
    return creators.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8)


def _written_vr(element: Any) -> str:
    vr = getattr(element, "VR", None)
    return str(getattr(vr, "value", vr) or "")


def _raw(data_set: Dataset, tag: int) -> bytes | None:
    """The undecoded value of an element; None where it has none at hand."""
    if tag not in data_set:
        return None
    element = data_set.get_item(tag, keep_deferred=True)
    if isinstance(element, RawDataElement):
        return element.value if element.value is None or isinstance(element.value, bytes) else bytes(element.value)
    if isinstance(element, DataElement) and not isinstance(element.value, Sequence):
        return element.value if isinstance(element.value, bytes) else _encoded(element)
    return None


def _encoded(element: DataElement) -> bytes:
    """The value of an element that pydicom has decoded already, such as Specific Character Set."""
    value = element.value
    if value is None:
        return b""
    listed = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    return "\\".join(map(str, listed)).encode("utf-8")


def _items(data_set: Dataset, tag: int, vr: str, raw: bytes | None) -> Sequence | None:
    """The items of a sequence, hidden ones too; None for what is none."""
    element = data_set.get_item(tag, keep_deferred=True)
    if isinstance(element, DataElement):
        return element.value if isinstance(element.value, Sequence) else None
    if vr == "SQ":
        value = data_set[tag].value
        return value if isinstance(value, Sequence) else None
    if vr in ("UN", "OB") and raw is not None and raw[:4] == _ITEM:
        return _hidden(raw)
    return None


def _hidden(raw: bytes) -> Sequence | None:
    """The items of a sequence whose element says that it is bytes. (PS3.5 6.2.2)"""
    for is_implicit in (True, False):
        try:
            found = read_sequence(BytesIO(raw), is_implicit, True, len(raw), "iso8859")
            if all(_is_plausible(item) for item in found) and len(found):
                return found
        except Exception:  # noqa: S112 - bytes that are no sequence
            continue
    return None


def _is_plausible(item: Dataset) -> bool:
    """Whether what was read as an item is one: tags in order, and known ones among them or none."""
    tags = list(map(int, item._dict))
    return tags == sorted(tags) and all(tag >> 16 for tag in tags)


def _concept(item: Dataset) -> content.Concept:
    """What a content item is about."""
    name = next(iter(item.get(0x0040A043).value if 0x0040A043 in item else ()), None)
    code = (_text(name, 0x00080100) or _text(name, 0x00080119)) if name is not None else ""
    return content.Concept(code, _text(name, 0x00080102) if name is not None else "", _text(item, 0x0040A040))


def _text(item: Dataset, tag: int) -> str:
    return uids.text_of(_raw(item, tag) or b"")
