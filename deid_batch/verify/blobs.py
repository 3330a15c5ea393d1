"""What is packed away in bytes: text runs, deflated data, segments and boxes of compressed images."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

_TEXT = re.compile(rb"[\x09\x0a\x0d\x20-\x7e]{6,}")
_WIDE = {
    "utf-16-le": re.compile(rb"(?:[\x09\x0a\x0d\x20-\x7e\xa0-\xff]\x00){5,}"),
    "utf-16-be": re.compile(rb"(?:\x00[\x09\x0a\x0d\x20-\x7e\xa0-\xff]){5,}"),
}
_PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04")
_BOXES = frozenset({b"uuid", b"xml ", b"jp2h", b"jp2i", b"uinf", b"asoc", b"lbl "})
_MOST_INFLATED = 64 << 20
"""Bytes that the packed parts of one value may inflate to."""
_LEAST = 6
_MAX_TEXT = 4096


def texts_in(data: bytes) -> Iterator[tuple[str, str]]:
    """(how, text) of the runs of printable letters."""
    for match in _TEXT.finditer(data):
        run = match[0].decode("ascii")
        for start in range(0, len(run), _MAX_TEXT):
            yield "in its bytes", run[start : start + _MAX_TEXT + 256]
    if b"\0" in data:
        for codec, pattern in _WIDE.items():
            for match in pattern.finditer(data):
                yield "in its bytes, as UTF-16", match[0].decode(codec)[: 1 << 20]


def inflated_in(data: bytes) -> Iterator[bytes]:
    """What zlib, gzip, zip and plain deflate data in these bytes inflate to, up to a bound."""
    room = _MOST_INFLATED
    for match in _PACKED.finditer(data):
        start, wbits = match.start(), zlib.MAX_WBITS | 32
        if match[0][:2] == b"PK":
            if len(data) < start + 30:
                continue
            name, extra = struct.unpack_from("<HH", data, start + 26)
            start, wbits = start + 30 + name + extra, -zlib.MAX_WBITS
        if len(plain := _inflated(data, start, wbits, room)) >= _LEAST:
            yield plain
            room -= len(plain)
    if len(plain := _inflated(data, 0, -zlib.MAX_WBITS, room)) >= _LEAST:
        yield plain


def _inflated(data: bytes, start: int, wbits: int, room: int) -> bytes:
    inflate = zlib.decompressobj(wbits=wbits)
    plain = b""
    try:
        for at in range(start, len(data), 1 << 16):
            if inflate.eof or len(plain) >= room:
                break
            plain += inflate.decompress(data[at : at + (1 << 16)], room - len(plain))
    except zlib.error:
        pass
    return plain


def around_image(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(what it is, bytes) of what a compressed image holds besides the image: segments, boxes, what follows its end."""
    if data[:2] == b"\xff\xd8":
        yield from _jpeg_segments(data)
    elif data[4:12] == b"jP  \r\n\x87\n":
        yield from _boxes(data)
    elif data[:4] == b"\xff\x4f\xff\x51":
        yield from _codestream_comments(data)


def _jpeg_segments(data: bytes) -> Iterator[tuple[str, bytes]]:
    """COM and APPn segments, of JPEG and JPEG-LS alike. (ISO 10918-1 B)"""
    pos = 2
    while pos + 4 <= len(data) and data[pos] == 0xFF:
        marker = data[pos + 1]
        if marker == 0xFF:
            pos += 1
            continue
        if marker == 0xDA:
            break
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if marker == 0xFE:
            yield "in a JPEG COM segment", data[pos + 4 : pos + 2 + size]
        elif 0xE0 <= marker <= 0xEF:
            yield f"in a JPEG APP{marker - 0xE0} segment", data[pos + 4 : pos + 2 + size]
        pos += 2 + max(size, 2)
    end = data.rfind(b"\xff\xd9")
    if end >= 0 and data[end + 2 :].strip(b"\0"):
        yield "behind the end of a JPEG image", data[end + 2 :]


def _boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """All boxes of a JP2 file but the code stream, whose comments are looked at. (ISO 15444-1 I)"""
    pos = 0
    while pos + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, pos)
        head = 8
        if size == 1 and pos + 16 <= len(data):
            size, head = struct.unpack_from(">Q", data, pos + 8)[0], 16
        stop = len(data) if size == 0 else pos + size
        if size and size < head:
            return
        if kind == b"jp2c":
            yield from _codestream_comments(data[pos + head : stop])
        else:
            name = f"{kind.decode().strip()} box" if kind in _BOXES else "box"
            yield f"in a JP2 {name}", data[pos + head : stop]
        pos = stop


def _codestream_comments(data: bytes) -> Iterator[tuple[str, bytes]]:
    """COM segments of the main part of a JPEG 2000 code stream. (ISO 15444-1 A.9.2)"""
    pos = 2
    while pos + 4 <= len(data) and data[pos] == 0xFF and data[pos + 1] not in (0x90, 0x93):
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if data[pos + 1] == 0x64:
            yield "in a JPEG 2000 COM segment", data[pos + 4 : pos + 2 + size]
        pos += 2 + max(size, 2)
    end = data.rfind(b"\xff\xd9")
    if end >= 0 and data[end + 2 :].strip(b"\0"):
        yield "behind the end of a JPEG 2000 image", data[end + 2 :]
