"""A DICOMDIR: the records of a file-set's instances, and the bytes of the file. (PS3.3 F, PS3.10 8)

Keys are the encoded values of the files themselves. One of Type 1 that a file has not got, or has empty, as Study Date
after the Basic Profile, is empty in its record too: nothing is invented.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydicom import DataElement, Dataset, dcmread, fileset
from pydicom import Sequence as ItemSequence
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from deid_batch import dictionary, filemeta
from deid_batch.values import text, uids
from deid_batch.wire import EXPLICIT_LITTLE

_Order = tuple[bool | int | bytes, ...]
_MOST_BYTES = 0xFFFFFFFE
"""Offsets have 32 bits."""
_CONTENT = "InstanceNumber ContentDate ContentTime"
_IDENTIFIED = f"{_CONTENT} ContentLabel ContentDescription ContentCreatorName"
_KEYS = {
    record_type: tuple(keywords.split())
    for record_type, keywords in {
        "PATIENT": "PatientName PatientID",
        "STUDY": "StudyDate StudyTime StudyDescription StudyInstanceUID StudyID AccessionNumber",
        "SERIES": "Modality SeriesInstanceUID SeriesNumber",
        "IMAGE": "InstanceNumber",
        "RT DOSE": "InstanceNumber DoseSummationType",
        "RT STRUCTURE SET": "InstanceNumber StructureSetLabel StructureSetDate StructureSetTime",
        "RT PLAN": "InstanceNumber RTPlanLabel RTPlanDate RTPlanTime",
        "RT TREAT RECORD": "InstanceNumber TreatmentDate TreatmentTime",
        "PRESENTATION": "PresentationCreationDate PresentationCreationTime InstanceNumber ContentLabel "
        "ContentDescription ContentCreatorName ReferencedSeriesSequence BlendingSequence",
        "WAVEFORM": _CONTENT,
        "SR DOCUMENT": f"{_CONTENT} CompletionFlag VerificationFlag VerificationDateTime ConceptNameCodeSequence "
        "ContentSequence",
        "KEY OBJECT DOC": f"{_CONTENT} ConceptNameCodeSequence ContentSequence",
        "SPECTROSCOPY": f"{_CONTENT} ImageType ReferencedImageEvidenceSequence NumberOfFrames Rows Columns "
        "DataPointRows DataPointColumns",
        "RAW DATA": _CONTENT,
        "REGISTRATION": _IDENTIFIED,
        "FIDUCIAL": _IDENTIFIED,
        "ENCAP DOC": f"{_CONTENT} DocumentTitle HL7InstanceIdentifier ConceptNameCodeSequence "
        "MIMETypeOfEncapsulatedDocument",
        "VALUE MAP": _IDENTIFIED,
        "STEREOMETRIC": "",
        "PLAN": "",
        "MEASUREMENT": _IDENTIFIED,
        "SURFACE": _IDENTIFIED,
        "SURFACE SCAN": "ContentDate ContentTime",
        "TRACT": _IDENTIFIED,
        "ASSESSMENT": "InstanceNumber InstanceCreationDate InstanceCreationTime",
        "RADIOTHERAPY": "InstanceNumber UserContentLabel UserContentLongLabel ContentDescription ContentCreatorName",
        "HANGING PROTOCOL": "HangingProtocolCreator HangingProtocolCreationDateTime HangingProtocolDefinitionSequence "
        "NumberOfPriorsReferenced HangingProtocolUserIdentificationCodeSequence",
        "PALETTE": "ContentLabel ContentDescription",
        "IMPLANT": "Manufacturer ImplantName ImplantSize ImplantPartNumber",
        "IMPLANT ASSY": "ImplantAssemblyTemplateName Manufacturer ProcedureTypeCodeSequence",
        "IMPLANT GROUP": "ImplantTemplateGroupName ImplantTemplateGroupIssuer",
    }.items()
}
"""The keys of each record type. (PS3.3 F.5)"""
_ONLY_WITH_VALUE = {
    "ReferencedSeriesSequence", "BlendingSequence", "VerificationDateTime", "ContentSequence", "ImplantSize",
    "ReferencedImageEvidenceSequence", "HL7InstanceIdentifier", "UserContentLabel", "UserContentLongLabel",
}  # fmt: skip
"""Those of Type 1C and 3."""
_ROOT_CLASSES: Mapping[str, str] = getattr(fileset, "_SINGLE_LEVEL_SOP_CLASSES", {})
_LEAF_CLASSES: Mapping[str, str] = getattr(fileset, "_FOUR_LEVEL_SOP_CLASSES", {})
"""Record types by SOP Class, as pydicom lists them."""
_CLASSES = "1.2.840.10008.5.1.4.1.1."
_FAMILIES = {"9": "WAVEFORM", "11": "PRESENTATION", "88": "SR DOCUMENT", "104": "ENCAP DOC"}
_PLANS = (_CLASSES + "481.5", _CLASSES + "481.8")
_MODALITIES = {b"RTINTENT": "RADIOTHERAPY", b"RTSEGANN": "RADIOTHERAPY", b"RTRAD": "RADIOTHERAPY", b"PLAN": "PLAN"}
_TAGS = {keyword: tag_for_keyword(keyword) or 0 for keywords in _KEYS.values() for keyword in keywords}
_CHARSET, _RELATIONSHIP = 0x00080005, 0x0040A010
_READ = [_CHARSET, *_TAGS.values()]
_TYPECODES = {"US": "H", "SS": "h", "AT": "H", "OW": "H", "UL": "I", "SL": "i", "FL": "I", "FD": "Q",
    "OF": "I", "OL": "I", "OD": "Q", "OV": "Q", "SV": "Q", "UV": "Q"}  # fmt: skip
_BYTES = frozenset({"OB", "UN"})
_FIXED = 42
"""Bytes of a record's item up to the end of its lower level's offset."""


class _Record(NamedTuple):
    """A directory record and those of its lower level. `order`: its place among its neighbours."""

    order: _Order
    body: bytes
    """Its elements from the record type on."""
    lower: Sequence[_Record]

    def size(self) -> int:
        return _FIXED + len(self.body) + sum(record.size() for record in self.lower)

    def item(self, following: int, lower: int) -> bytes:
        """The item of the sequence, with the offsets of the next record and the first of the lower level, or 0."""
        return EXPLICIT_LITTLE.item(
            _unsigned(0x00041400, "UL", following)
            + _unsigned(0x00041410, "US", 0xFFFF)
            + _unsigned(0x00041420, "UL", lower)
            + self.body
        )


class Directory:
    """The records of a file-set's instances, encoded: some 600 bytes of memory for each of these."""

    def __init__(self) -> None:
        self._roots: list[_Record] = []
        self._known: dict[tuple[bytes, ...], list[_Record]] = {}
        """Lower levels, by what tells their records apart."""

    def add(self, path: bytes, place: str | bytes) -> None:
        """Take in an instance: its path within the file-set, and where it stands. Raises what pydicom raises."""
        instance = _read(place)
        record_type = _record_type(instance)
        is_root = record_type in _ROOT_CLASSES.values()
        level = self._roots if is_root else self._series(instance)
        order = (True, path) if is_root else (_number(instance, "InstanceNumber"), path)
        level.append(_Record(order, _leaf(record_type, path, instance), ()))

    def _series(self, instance: Dataset) -> list[_Record]:
        """The lower level of an instance's series."""
        identity = _value(instance, "PatientID")
        patient = identity, b"" if identity else _value(instance, "PatientName")
        study, series = _value(instance, "StudyInstanceUID"), _value(instance, "SeriesInstanceUID")
        number = _number(instance, "SeriesNumber")
        level = self._level(self._roots, "PATIENT", patient, (False, *patient), instance)
        level = self._level(level, "STUDY", (*patient, study), (study,), instance)
        return self._level(level, "SERIES", (*patient, study, series), (number, series), instance)

    def _level(
        self, level: list[_Record], record_type: str, identity: tuple[bytes, ...], order: _Order, instance: Dataset
    ) -> list[_Record]:
        """The lower level of a record, which is made of the first instance that belongs to it."""
        lower = self._known.get(identity)
        if lower is None:
            lower = self._known[identity] = []
            level.append(_Record(order, _body(record_type, b"", instance), lower))
        return lower

    def chunks(self) -> Iterator[bytes]:
        """The file. It depends on nothing but the instances; OverflowError: they are too many."""
        roots = sorted(self._roots, key=_order)
        digest = hashlib.sha256()
        for item in _items(roots, 0):
            digest.update(item)
        meta = filemeta.write(
            filemeta.MEDIA_STORAGE_DIRECTORY, uids.from_digest(digest.digest()), filemeta.EXPLICIT_VR_LITTLE_ENDIAN
        )
        size = sum(root.size() for root in roots)
        first = len(meta) + len(_beginning(0, 0, 0))
        if first + size > _MOST_BYTES:
            raise OverflowError
        last = first + size - roots[-1].size() if roots else 0
        yield meta + _beginning(first if roots else 0, last, size)
        yield from _items(roots, first)


def _beginning(first: int, last: int, size: int) -> bytes:
    """The data set up to its first record. (PS3.3 F.3.2)"""
    return (
        EXPLICIT_LITTLE.element(0x00041130, "CS", b"")
        + _unsigned(0x00041200, "UL", first)
        + _unsigned(0x00041202, "UL", last)
        + _unsigned(0x00041212, "US", 0)
        + EXPLICIT_LITTLE.write_tag(0x00041220)
        + b"SQ\0\0"
        + EXPLICIT_LITTLE.u32.pack(size)
    )


def _items(records: Sequence[_Record], at: int) -> Iterator[bytes]:
    """Records and those below them, each before its lower level; the first stands at offset `at`."""
    for number, record in enumerate(records, 1):
        lower = at + _FIXED + len(record.body)
        following = at + record.size()
        yield record.item(following if number < len(records) else 0, lower if record.lower else 0)
        yield from _items(sorted(record.lower, key=_order), lower)
        at = following


def _order(record: _Record) -> _Order:
    return record.order


def _read(place: str | bytes) -> Dataset:
    """What a record may need of a file."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(os.fsdecode(place), stop_before_pixels=True, specific_tags=_READ)


def _record_type(instance: Dataset) -> str:
    """The type of an instance's record. (PS3.3 F.4, F.5)"""
    sop_class = _text(instance.file_meta.get("MediaStorageSOPClassUID"))
    known = _ROOT_CLASSES.get(sop_class) or _LEAF_CLASSES.get(sop_class)
    family = sop_class.removeprefix(_CLASSES).partition(".")
    return (
        _MODALITIES.get(_value(instance, "Modality"))
        or known
        or ("RT PLAN" if sop_class in _PLANS else _FAMILIES.get(family[0]) if family[1] else None)
        or "IMAGE"
    )


def _leaf(record_type: str, path: bytes, instance: Dataset) -> bytes:
    """The body of a record that refers to a file."""
    meta = instance.file_meta
    return _body(
        record_type,
        _element(0x00041500, "CS", path.replace(b"/", b"\\"))
        + _element(0x00041510, "UI", _text(meta.get("MediaStorageSOPClassUID")).encode())
        + _element(0x00041511, "UI", _text(meta.get("MediaStorageSOPInstanceUID")).encode())
        + _element(0x00041512, "UI", _text(meta.get("TransferSyntaxUID")).encode()),
        instance,
    )


def _body(record_type: str, reference: bytes, instance: Dataset) -> bytes:
    keys = {_TAGS[keyword]: keyword not in _ONLY_WITH_VALUE for keyword in _KEYS[record_type]}
    elements = [_copied(instance, tag, required=keys.get(tag, False)) for tag in sorted({_CHARSET, *keys})]
    return _element(0x00041430, "CS", record_type.encode()) + reference + b"".join(elements)


def _copied(dataset: Dataset, tag: int, *, required: bool) -> bytes:
    """An element in Explicit VR Little Endian; where it has no value, empty or nothing."""
    raw = dataset.get_item(tag) if tag in dataset else None
    written = (raw.VR if raw is not None else "") or ""
    vr = dictionary.effective_vr(tag, written, None)
    value = b"".join(map(_item, _sequence(dataset, tag))) if vr == "SQ" else _bytes_of(raw, vr)
    return _element(tag, vr, value) if value or required else b""


def _sequence(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items; of a content tree those alone that qualify its title. (PS3.3 F.5.30, F.5.31)"""
    value = dataset[tag].value if tag in dataset else None
    items = list(value) if isinstance(value, ItemSequence) else []
    if tag == _TAGS["ContentSequence"]:
        return [item for item in items if _bytes_of(item.get_item(_RELATIONSHIP), "CS") == b"HAS CONCEPT MOD"]
    return items


def _item(item: Dataset) -> bytes:
    public = sorted(tag for tag in item.keys() if not tag.is_private and tag.element)  # noqa: SIM118 - keeps them raw
    return EXPLICIT_LITTLE.item(b"".join(_copied(item, tag, required=True) for tag in public))


def _bytes_of(raw: RawDataElement | DataElement | None, vr: str) -> bytes:
    """A value as it is encoded, without padding, in little endian."""
    if raw is None:
        return b""
    if isinstance(raw, DataElement):  # as Specific Character Set, which pydicom decodes while it reads
        values = raw.value if isinstance(raw.value, MultiValue) else [raw.value or ""]
        return "\\".join(map(str, values)).encode("latin-1")
    value = raw.value or b""
    if vr not in _TYPECODES:
        return value if vr in _BYTES else value.rstrip(b"\0 ")
    if raw.is_little_endian:
        return value
    words = array(_TYPECODES[vr], value)
    words.byteswap()
    return words.tobytes()


def _value(instance: Dataset, keyword: str) -> bytes:
    return _bytes_of(instance.get_item(_TAGS[keyword]), "LO").strip()


def _number(instance: Dataset, keyword: str) -> int:
    """An IS, for sorting; 0 where it is none."""
    try:
        return int(_value(instance, keyword))
    except ValueError:
        return 0


def _text(uid: object) -> str:
    return str(uid or "")


def _unsigned(tag: int, vr: str, value: int) -> bytes:
    return EXPLICIT_LITTLE.element(tag, vr, value.to_bytes(2 if vr == "US" else 4, "little"))


def _element(tag: int, vr: str, value: bytes) -> bytes:
    return EXPLICIT_LITTLE.element(tag, vr, text.padded(value, vr))
