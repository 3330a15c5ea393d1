"""Where a file goes: its bytes in order, their number and their digest. Long values are spliced from the source."""

from __future__ import annotations

import hashlib
import os
import zlib
from abc import ABC, abstractmethod
from typing import Protocol

from deid_batch.digests import Hasher
from deid_batch.errors import FileError, OutputError

_BLOCK = 512 << 10
Bytes = bytes | memoryview


class Source(Protocol):
    """Bytes by position."""

    size: int

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from `start`, fewer at the end."""
        ...

    def read_into(self, buffer: memoryview, start: int) -> int:
        """Fill the buffer with bytes from `start`; how many there were, 0 at the end."""
        ...


class Sink(ABC):
    """Where a file goes: written in order, with its length and digest; deflated from a point on, if so begun."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all that was written."""
        self.clear()
        self.written = 0
        self.digest = hashlib.sha256()
        self._deflate: zlib._Compress | None = None

    def begin_deflate(self) -> None:
        """Deflate what is written from now on. (PS3.5 A.5)"""
        self._deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def write(self, data: Bytes) -> None:
        """Add bytes at the end."""
        self._put(self._deflate.compress(data) if self._deflate else data)

    def finish(self) -> None:
        """Write what is left, at even length. (PS3.5 A.5)"""
        if self._deflate:
            self._put(self._deflate.flush())
            self._put(b"\0" * (self.written % 2))

    def splice(self, source: Source, start: int, stop: int) -> None:
        """Copy bytes from the source as they are."""
        buffer = memoryview(bytearray(min(_BLOCK, stop - start)))
        while start < stop:
            count = _filled(buffer[: stop - start], source, start)
            self.write(buffer[:count])
            start += count

    def _put(self, data: Bytes) -> None:
        self.digest.update(data)
        self.put(data)
        self.written += len(data)

    @abstractmethod
    def put(self, data: Bytes) -> None:
        """Take bytes in."""

    @abstractmethod
    def clear(self) -> None:
        """Lose all bytes."""


class FileSink(Sink):
    """An open file that is empty. Its digest is taken by another thread: it holds once `hasher` is flushed."""

    def __init__(self, descriptor: int, hasher: Hasher) -> None:
        self._descriptor = descriptor
        self._hasher = hasher
        self.written = 0
        super().__init__()

    def splice(self, source: Source, start: int, stop: int) -> None:
        """Copy bytes from the source as they are, the digest being a step behind."""
        if self._deflate:
            super().splice(source, start, stop)
            return
        while start < stop:
            buffer = self._hasher.buffer()
            try:
                count = _filled(buffer[: stop - start], source, start)
                self.put(buffer[:count])
            except BaseException:
                self._hasher.give_back(buffer)
                raise
            self._hasher.add(self.digest, buffer[:count], buffer)
            self.written += count
            start += count

    def _put(self, data: Bytes) -> None:
        self.put(data)
        self._hasher.add(self.digest, data)
        self.written += len(data)

    def put(self, data: Bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise OutputError(error.errno, os.strerror(error.errno or 0)) from None

    def clear(self) -> None:
        if self.written:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)


class MemorySink(Sink):
    """Bytes in memory."""

    def put(self, data: Bytes) -> None:
        self.data += data

    def clear(self) -> None:
        self.data = bytearray()


class NoSink(Sink):
    """Nothing is kept."""

    def put(self, data: Bytes) -> None:
        pass

    def clear(self) -> None:
        pass


def _filled(buffer: memoryview, source: Source, start: int) -> int:
    """Fill the whole buffer from the source; a source that ends before raises FileError."""
    filled = 0
    while filled < len(buffer):
        count = source.read_into(buffer[filled:], start + filled)
        if not count:
            raise FileError("changed", "the file became shorter while it was read")
        filled += count
    return filled
