"""Everything that opens, reads and writes a DICOM file. (PS3.10)

A window from the file's start is read and walked; it grows where the head is longer. A long untouched value is
spliced from file to file. What the walk can't read as it stands is brought into its form first: deflated data is
inflated, and a file whose encoding is odd is re-encoded by pydicom. What neither can read fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from deid_batch import filemeta
from deid_batch.conditions import Values
from deid_batch.engine import CompiledRules, Walk
from deid_batch.errors import FileError, NeedMore, OddEncoding, SetAside, Skipped, Unreadable
from deid_batch.filemeta import FileMeta
from deid_batch.frames import Tail, Touch
from deid_batch.identity import IDENTITY, instance_of, read_instance
from deid_batch.known import Identity, Known
from deid_batch.known.collect import SEARCHED_VRS, WANTED, identities_of, skim
from deid_batch.known.heads import Alike, Heads
from deid_batch.methods import Instance
from deid_batch.rules import RuleSet
from deid_batch.sinks import MemorySink, Sink, Source
from deid_batch.values import uids
from deid_batch.wire import PIXEL_DATA, SEQUENCE_DELIMITATION, UNDEFINED, Encoding, read_header, read_item, tag_name

MAX_HEAD = 256 << 20
"""The most bytes of one file that are held in memory."""
_WIDEST_FIRST_WINDOW = 1 << 20
"""A window that one file needed is what the next one begins with, up to this."""
_PROBE_WINDOW = 8 << 10
_DEFLATED_BLOCK = 16 << 10
"""What is inflated at a time: it can't become more than 17 MB."""
T = TypeVar("T")

_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_TRANSFER_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(\.\d{1,3}){0,3}", re.ASCII)


@dataclass(frozen=True)
class Rewritten:
    """What was written in place of a file. Sizes are bytes; `hits` counts elements by the rule that decided."""

    bytes_in: int
    bytes_out: int
    digest: hashlib._Hash = field(repr=False, compare=False)
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    scope_id: str
    counts: Counter[str]
    hits: Counter[int]
    warnings: int
    detail: str = ""

    @property
    def sha256(self) -> str:
        """The digest of what was written; with a `FileSink`, once its hasher is flushed."""
        return self.digest.hexdigest()


class Probed(NamedTuple):
    """What a first look at a file finds: its identity, and what it says that identifies anybody."""

    instance: Instance
    said: frozenset[Identity]


class _File:
    """A regular file."""

    def __init__(self, path: str | bytes) -> None:
        self._last = (0, -1, b"")
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = os.fstat(self._fd)
        self.size = self._before.st_size
        if not stat.S_ISREG(self._before.st_mode):
            os.close(self._fd)
            raise Skipped("not-regular")

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, start: int, count: int) -> bytes:
        if self._last[:2] == (start, count):
            return self._last[2]
        stop = min(start + count, self.size)
        data = os.pread(self._fd, max(stop - start, 0), start)
        while start + len(data) < stop and (more := os.pread(self._fd, stop - start - len(data), start + len(data))):
            data += more
        self._last = (start, count, data)
        return data

    def read_into(self, buffer: memoryview, start: int) -> int:
        return os.preadv(self._fd, [buffer], start)

    def changed(self) -> bool:
        """Whether somebody wrote to the file since it was opened."""
        after = os.fstat(self._fd)
        return (after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns)


class _Memory:
    """Bytes that are no file, or no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, count: int) -> bytes:
        return self._data[start : start + count]

    def read_into(self, buffer: memoryview, start: int) -> int:
        block = self._data[start : start + len(buffer)]
        buffer[: len(block)] = block
        return len(block)


def alike() -> Alike:
    """What consecutive probes remember of how files are built; a matter of speed alone."""
    return Alike(WANTED | IDENTITY, SEARCHED_VRS)


def probe(path: str | bytes, rules: RuleSet | None = None, alike: Alike | None = None) -> Probed:
    """A first look at a file, also at the values by which lists of `rules` are looked up.

    Raises Skipped for what is no DICOM instance, Unreadable for what can't be read.
    """
    with _File(path) as file:
        return _probed(file, rules, alike)


def _probed(file: Source, rules: RuleSet | None, alike: Alike | None = None, *, is_reencoded: bool = False) -> Probed:
    """What a first look finds. What is odd even after it was re-encoded raises OddEncoding."""
    origins = rules.origins if rules else frozenset()
    try:
        source, meta = _opened(file, _PROBE_WINDOW)
        heads = alike.of(meta.sop_class_uid) if alike is not None and not origins else None
        if heads is not None and (probed := _like_the_last(source, meta, heads, rules)):
            return probed
        instance, values, encoding = _identified(source, meta, _PROBE_WINDOW, also=origins)
    except OddEncoding as odd:
        if is_reencoded:
            raise
        return _probed(_reencoded(file, odd), rules, is_reencoded=True)
    if rules:
        instance = rules.with_origins(instance, values)
    if heads is not None:
        heads.learn(source.read(0, _PROBE_WINDOW), meta.start, encoding)
    if rules and not rules.collects:
        return Probed(instance, frozenset())
    found: dict[int, bytes] = {}
    try:
        _skim(source, meta.start, encoding, found)
    except OddEncoding as odd:
        if not is_reencoded:
            with suppress(FileError):
                return _probed(_reencoded(file, odd), rules, is_reencoded=True)
    except FileError:
        pass  # the walk will find it, too; what was read before counts
    return Probed(instance, identities_of(found, encoding))


def _like_the_last(source: Source, meta: FileMeta, heads: Heads, rules: RuleSet | None) -> Probed | None:
    """A first look at a file that is built like the last one, up to its Pixel Data; None: look for yourself."""
    data = source.read(0, _PROBE_WINDOW)
    encoding = filemeta.encoding_of(meta, data)
    known = heads.found(data, meta.start, encoding)
    if known is None:
        return None
    found, pos = known
    instance = instance_of(found)
    if not (uids.is_uid(instance.sop_class_uid) and instance.sop_instance_uid):
        return None
    if rules and not rules.collects:
        return Probed(instance, frozenset())
    with suppress(FileError):
        _skim(source, pos, encoding, found)
    return Probed(instance, identities_of(found, encoding))


def _said(source: Source, meta: FileMeta, encoding: Encoding) -> frozenset[Identity]:
    """What a file says that identifies, up to where it can't be read."""
    found: dict[int, bytes] = {}
    with suppress(FileError):
        _skim(source, meta.start, encoding, found)
    return identities_of(found, encoding)


def _skim(source: Source, pos: int, encoding: Encoding, found: dict[int, bytes]) -> None:
    """Put the top-level values into `found` that may identify; long ones that can't are not read."""
    base, window = 0, _PROBE_WINDOW
    while base + pos < source.size:
        data = source.read(base, window)
        try:
            pos = skim(data, pos, encoding, found)
            if pos + 12 <= len(data):
                pos = _behind_pixels(source, base, data, pos, encoding)
        except NeedMore as need:
            window = _wider(window, source, need, base)
            continue
        if pos + 12 > len(data) and base + len(data) == source.size:
            break
        base, pos = base + pos, 0


def values_of(path: str | bytes, tags: frozenset[int]) -> dict[int, Values]:
    """The values that some attributes of the top level have in a file."""
    with _File(path) as file:
        try:
            return _identified(*_opened(file, _PROBE_WINDOW), _PROBE_WINDOW, also=tags, whole=False)[1]
        except OddEncoding as odd:
            plain = _reencoded(file, odd)
            return _identified(*_opened(plain, _PROBE_WINDOW), _PROBE_WINDOW, also=tags, whole=False)[1]


def look_at(path: str | bytes, look: Callable[[Source, Source, int, Encoding], T]) -> T:
    """What `look` makes of a file or DICOMDIR: of its bytes as they are, and of those in which its data set is plain.

    The data set begins in these at the number given, and has this encoding. What can't be read raises FileError.
    """
    with _File(path) as file:
        try:
            return _looked_at(file, look)
        except OddEncoding as odd:
            return _looked_at(_reencoded(file, odd), look)


def _looked_at(file: Source, look: Callable[[Source, Source, int, Encoding], T]) -> T:
    plain, meta = _opened(file, _PROBE_WINDOW, directories=True)
    return look(file, plain, meta.start, filemeta.encoding_of(meta, plain.read(0, meta.start + 8)))


def identity_of(path: str | bytes) -> Instance:
    """The identity that a file has, whatever of it is missing."""
    with _File(path) as file:
        return _identified(*_opened(file, _PROBE_WINDOW), _PROBE_WINDOW, whole=False)[0]


def _behind_pixels(source: Source, base: int, data: bytes, pos: int, encoding: Encoding) -> int:
    """Where the Pixel Data at `pos` of `data` ends."""
    header = read_header(data, pos, len(data), encoding)
    if header.tag not in PIXEL_DATA:
        return len(data)
    tail = Tail(header.tag, base + header.start, header.length, is_kept=True)
    return _end_of_tail(source, tail, encoding) - base


Acquaintance = Callable[[Instance], Known | None]
"""What is known of an instance beside what it says itself; None: look into it."""


def rewrite(
    path: str | bytes,
    sink: Sink,
    compiled: CompiledRules,
    trace: list[Touch] | None = None,
    acquaintance: Acquaintance | None = None,
) -> Rewritten:
    """Write a file's de-identified form to `sink`, and to `trace` what was treated. FileError: it can't be done."""
    with _File(path) as file:
        rewritten = _rewritten(file, sink, compiled, trace, acquaintance)
        if file.changed():
            raise FileError("changed", "the file was written to while it was read")
        return rewritten


def rewrite_bytes(data: bytes, compiled: CompiledRules) -> bytes:
    """The de-identified form of a file's bytes. What can't be done raises FileError."""
    sink = MemorySink()
    _rewritten(_Memory(data), sink, compiled)
    return bytes(sink.data)


def _rewritten(
    source: Source,
    sink: Sink,
    compiled: CompiledRules,
    trace: list[Touch] | None = None,
    acquaintance: Acquaintance | None = None,
) -> Rewritten:
    try:
        return _deidentified(*_opened(source, compiled.window), sink, compiled, trace, acquaintance, source.size)
    except OddEncoding as odd:
        sink.reset()
        if trace is not None:
            trace.clear()
        plain = _reencoded(source, odd)
        opened = _opened(plain, compiled.window)
        return _deidentified(*opened, sink, compiled, trace, acquaintance, source.size, "re-encoded")


def _reencoded(source: Source, odd: OddEncoding) -> Source:
    """The file in a form that the walk reads, if pydicom can read it, which takes long to load and is rarely needed."""
    from deid_batch.oddfile import reencode  # noqa: PLC0415

    return _Memory(reencode(_whole(source), odd))


def _opened(source: Source, window: int, *, directories: bool = False) -> tuple[Source, FileMeta]:
    """The source in the form that the walk reads, and its File Meta Information; a DICOMDIR's too, if `directories`."""
    while True:
        data = source.read(0, window)
        try:
            meta = filemeta.read(data, partial=len(data) < source.size)
            break
        except NeedMore as need:
            window = _wider(window, source, need)
    if meta is None:
        raise Skipped("not-dicom")
    if meta.sop_class_uid == filemeta.MEDIA_STORAGE_DIRECTORY and not directories:
        raise Skipped("dicomdir")
    syntax = meta.transfer_syntax_uid
    if syntax and not _TRANSFER_SYNTAX.fullmatch(syntax):
        raise FileError("unknown-transfer-syntax", tag_name(0x00020010))
    if syntax in _DEFLATED:
        return _Memory(_inflated(source, meta.start)), meta._replace(start=0)
    return source, meta


def _identified(
    source: Source,
    meta: FileMeta,
    window: int,
    compiled: CompiledRules | None = None,
    also: frozenset[int] = frozenset(),
    *,
    whole: bool = True,
) -> tuple[Instance, dict[int, Values], Encoding]:
    """(identity, values of the attributes in conditions, encoding); the window grows until they are in it.

    `whole`: a file without SOP Class UID and SOP Instance UID raises FileError.
    """
    also = compiled.rules.condition_tags if compiled else also
    while True:
        data = source.read(0, window)
        encoding = filemeta.encoding_of(meta, data)
        try:
            partial = len(data) < source.size
            outline = compiled.outline(encoding) if compiled else None
            instance, values = read_instance(data, meta.start, encoding, also, outline, partial=partial)
        except NeedMore as need:
            window = _wider(window, source, need)
            continue
        if whole and not (uids.is_uid(instance.sop_class_uid) and instance.sop_instance_uid):
            raise FileError("no-sop-uid", "SOP Class UID or SOP Instance UID is missing, or no UID")
        return instance, values, encoding


def _deidentified(
    source: Source,
    meta: FileMeta,
    sink: Sink,
    compiled: CompiledRules,
    trace: list[Touch] | None,
    acquaintance: Acquaintance | None,
    bytes_in: int,
    detail: str = "",
) -> Rewritten:
    rules = compiled.rules
    instance, values, encoding = _identified(source, meta, compiled.window, compiled)
    for scope in sorted(rules.required_scopes):
        if not instance.scope_uid(scope):
            raise SetAside("no-scope-uid", f"the file has no UID of the scope {scope}")
    if (refusal := rules.refusal(values)) is not None:
        raise SetAside(*refusal)
    instance = rules.with_origins(instance, values)
    if rules.knows:
        known = acquaintance(instance) if acquaintance else None
        if known is None:
            known = compiled.known(_said(source, meta, encoding))
        instance = replace(instance, known=known)
    walk = Walk(compiled, instance, encoding, rules.variant(values), trace)
    tail = _fed(walk, compiled, source, 0, meta.start)
    syntax = meta.transfer_syntax_uid or filemeta.syntax_of(encoding)
    if walk.is_encapsulated and not meta.transfer_syntax_uid:
        raise FileError("unknown-transfer-syntax", "encapsulated data without a Transfer Syntax UID")
    head = filemeta.write(walk.sop_class_uid, walk.sop_instance_uid, syntax)
    if syntax in _DEFLATED:
        sink.write(head)
        head = b""
        sink.begin_deflate()
    while tail is not None:
        stop = _end_of_tail(source, tail, encoding)
        if tail.is_kept:
            sink.write(walk.taken(head))
            head = b""
            sink.splice(source, tail.start, stop)
        tail = _fed(walk, compiled, source, stop, 0)
    sink.write(walk.taken(head))
    sink.finish()
    return Rewritten(
        bytes_in=bytes_in,
        bytes_out=sink.written,
        digest=sink.digest,
        sop_class_uid=walk.sop_class_uid,
        sop_instance_uid=walk.sop_instance_uid,
        transfer_syntax_uid=syntax,
        scope_id=compiled.scope_id(instance),
        counts=walk.counts,
        hits=walk.hits,
        warnings=walk.warnings,
        detail=detail,
    )


def _fed(walk: Walk, compiled: CompiledRules, source: Source, base: int, pos: int) -> Tail | None:
    """Walk the source from `base + pos` on, in a window that grows until it is wide enough."""
    window = min(compiled.window, MAX_HEAD)
    while True:
        data = source.read(base, window)
        try:
            tail = walk.feed(data, pos, partial=base + len(data) < source.size)
        except NeedMore as need:
            window = _wider(window, source, need, base)
            continue
        compiled.window = min(window, _WIDEST_FIRST_WINDOW)
        return tail and tail._replace(start=base + tail.start)


def _end_of_tail(source: Source, tail: Tail, encoding: Encoding) -> int:
    """Where a long value ends; that of an encapsulated one is found by its fragments. (PS3.5 A.4)"""
    stop = tail.start
    if tail.length != UNDEFINED:
        stop += tail.length
    else:
        tag = 0
        while tag != SEQUENCE_DELIMITATION:
            header = source.read(stop, 8)
            try:
                tag, length = read_item(header, 0, len(header), encoding)
            except NeedMore:
                raise truncated() from None
            if length == UNDEFINED:
                raise Unreadable("bad-sequence", "a fragment of undefined length")
            stop += 8 + length
    if stop > source.size:
        raise truncated()
    return stop


def _wider(window: int, source: Source, need: NeedMore, base: int = 0) -> int:
    """A wider window; there is none where the source ends before what is needed does, or with the window."""
    if base + max(window + 1, need.stop) > source.size:
        raise truncated()
    if max(window + 1, need.stop) > MAX_HEAD:
        raise FileError("too-large", f"more than {MAX_HEAD >> 20} MiB that must be looked at")
    return min(max(window * 8, need.stop), MAX_HEAD)


def _whole(source: Source) -> bytes:
    if source.size > MAX_HEAD:
        raise FileError("too-large", f"more than {MAX_HEAD >> 20} MiB that must be held in memory")
    return source.read(0, source.size)


def _inflated(source: Source, start: int) -> bytes:
    """The plain bytes of the deflated data set that begins at `start`. (PS3.5 A.5)"""
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    plain: list[bytes] = []
    room = MAX_HEAD
    while not inflate.eof:
        deflated = source.read(start, _DEFLATED_BLOCK)
        if not deflated:
            raise truncated()
        start += len(deflated)
        try:
            plain.append(inflate.decompress(deflated))
        except zlib.error:
            raise Unreadable("bad-deflate", "the deflated data can't be inflated") from None
        room -= len(plain[-1])
        if room < 0:
            raise FileError("too-large", f"inflates to more than {MAX_HEAD >> 20} MiB")
    return b"".join(plain)


def truncated() -> Unreadable:
    """What a file is that goes on where it should not end."""
    return Unreadable("truncated", "the file ends inside a data element")
