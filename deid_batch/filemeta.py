"""Preamble and File Meta Information: read tolerantly, always written anew. (PS3.10 7.1)"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from deid_batch.errors import NeedMore, OddEncoding, Unreadable
from deid_batch.values import text, uids
from deid_batch.wire import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, SHORT_VRS, VRS, Encoding, read_header

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
IMPLEMENTATION_CLASS_UID = "2.25.214366420581732061920310745983420917631"
IMPLEMENTATION_VERSION_NAME = "DEID_BATCH_0"

_PREAMBLE = 128
_LONGEST = 1 << 20
"""Bytes of File Meta Information beyond which none is read."""
_NATIVE = {
    (True, True): EXPLICIT_VR_LITTLE_ENDIAN,
    (True, False): EXPLICIT_VR_BIG_ENDIAN,
    (False, True): IMPLICIT_VR_LITTLE_ENDIAN,
}


class FileMeta(NamedTuple):
    """Where a file's data set begins, and what the File Meta Information says; absent values are ""."""

    start: int
    transfer_syntax_uid: str = ""
    sop_class_uid: str = ""


def read(data: bytes, *, partial: bool) -> FileMeta | None:
    """What stands before the data set, or None where the bytes are no DICOM file.

    A file without preamble or without File Meta Information is recognised by its first element. `partial` says
    that the file goes on behind `data`; where that may still be File Meta Information, NeedMore is raised.
    """
    if _last and (known := _last[0].found_in(data)):
        return known
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return _read_elements(data, _PREAMBLE + 4, partial)
    if data[:4] == b"\x02\x00\x00\x00" and data[4:6] in (b"UL", b"\x04\x00"):
        return _read_elements(data, 0, partial)
    return FileMeta(0) if _begins_like_a_data_set(data) else None


def encoding_of(meta: FileMeta, data: bytes) -> Encoding:
    """How the data set is encoded: as its transfer syntax says, or where there is none, as it looks."""
    syntax = meta.transfer_syntax_uid
    if syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        return IMPLICIT_LITTLE
    if syntax == EXPLICIT_VR_BIG_ENDIAN:
        return EXPLICIT_BIG
    if syntax:
        return EXPLICIT_LITTLE
    return _guessed(data, meta.start)


def syntax_of(encoding: Encoding) -> str:
    """The transfer syntax UID of native data in this encoding. (PS3.5 A)"""
    return _NATIVE[encoding.explicit, encoding.little]


def write(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Zero preamble, prefix, and a new File Meta Information that tells of this tool alone."""
    before, behind = _around_instance(sop_class_uid, transfer_syntax_uid)
    instance = _uid_element(0x00020003, sop_instance_uid)
    length = len(before) + len(instance) + len(behind)
    return _BEGINNING + length.to_bytes(4, "little") + before + instance + behind


@lru_cache(maxsize=256)
def _around_instance(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[bytes, bytes]:
    """What stands before and behind Media Storage SOP Instance UID."""
    version = EXPLICIT_LITTLE.element(0x00020001, "OB", b"\0\1")
    name = text.padded(IMPLEMENTATION_VERSION_NAME.encode(), "SH")
    behind = _uid_element(0x00020010, transfer_syntax_uid) + _uid_element(0x00020012, IMPLEMENTATION_CLASS_UID)
    return (
        version + _uid_element(0x00020002, sop_class_uid),
        behind + EXPLICIT_LITTLE.element(0x00020013, "SH", name),
    )


def _uid_element(tag: int, uid: str) -> bytes:
    return EXPLICIT_LITTLE.element(tag, "UI", text.padded(uid.encode("latin-1"), "UI"))


_BEGINNING = bytes(_PREAMBLE) + b"DICM" + EXPLICIT_LITTLE.element(0x00020000, "UL", bytes(4))[:8]


class _Shape(NamedTuple):
    """The File Meta Information of the last file, but for the instance's UID: the next one's is often the same."""

    before: bytes
    """Everything up to the VR of Media Storage SOP Instance UID."""
    behind: bytes
    transfer_syntax_uid: str
    sop_class_uid: str

    def found_in(self, data: bytes) -> FileMeta | None:
        """The File Meta Information of another file, if it has this shape."""
        if not data.startswith(self.before):
            return None
        length_at = len(self.before)
        behind_at = length_at + 2 + int.from_bytes(data[length_at : length_at + 2], "little")
        start = behind_at + len(self.behind)
        if start + 8 > len(data) or not data.startswith(self.behind, behind_at) or data[start : start + 2] == _GROUP:
            return None
        return FileMeta(start, self.transfer_syntax_uid, self.sop_class_uid)


_last: list[_Shape] = []
_GROUP = b"\x02\x00"


def _read_elements(data: bytes, pos: int, partial: bool) -> FileMeta:
    """The elements of group 0002, whatever its group length says."""
    found: dict[int, str] = {}
    instance_at = instance_stop = 0
    while data[pos : pos + 2] == _GROUP:
        encoding = EXPLICIT_LITTLE if data[pos + 4 : pos + 6].isalpha() else IMPLICIT_LITTLE
        header = read_header(data, pos, len(data), encoding)
        if header.tag == 0x00020003 and header.vr == "UI":
            instance_at, instance_stop = pos + 6, header.start + header.length
        pos = header.start + header.length
        if header.length > 0xFFFF or (pos > len(data) and not partial):
            raise OddEncoding("bad-file-meta", "an element of the File Meta Information has an impossible length")
        if pos + 8 > len(data) and partial:
            raise NeedMore
        if pos > _LONGEST:
            raise Unreadable("bad-file-meta", "the File Meta Information is too long")
        if header.tag in (0x00020002, 0x00020010):
            found[header.tag] = uids.text_of(data[header.start : pos])
    meta = FileMeta(pos, found.get(0x00020010, ""), found.get(0x00020002, ""))
    if instance_at:
        _last[:] = [_Shape(data[:instance_at], data[instance_stop:pos], *meta[1:])]
    return meta


def _guessed(data: bytes, pos: int) -> Encoding:
    if data[pos + 4 : pos + 6].decode("latin-1") not in VRS:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if data[pos + 1] == 0 else EXPLICIT_BIG


def _begins_like_a_data_set(data: bytes) -> bool:
    """Whether the first element belongs to group 0008 and is short and well-formed, in any of the encodings."""
    if len(data) < 16:
        return False
    encoding = _guessed(data, 0)
    tag = encoding.read_tag(data, 0)
    if tag >> 16 != 0x0008 or tag & 0xFFFF > 0x0100:
        return False
    if encoding.explicit and data[4:6].decode("latin-1") not in SHORT_VRS:
        return False
    header = read_header(data, 0, len(data), encoding)
    stop = header.start + header.length
    if header.length > 1024 or stop + 4 > len(data):
        return False
    return tag < encoding.read_tag(data, stop) < 0x00200000
