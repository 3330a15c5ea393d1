"""The bytes of an open file, as if they were in memory."""

from __future__ import annotations

import os

_WINDOW = 256 << 10


class FileBytes:
    """What `bytes` can do, as far as it is needed here: a length, and slices. Memory does not grow with the file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        if stop - start > _WINDOW // 2:
            return self._read(start, stop)
        if not (self._start <= start and stop <= self._start + len(self._window)):
            self._start, self._window = start, self._read(start, min(start + _WINDOW, self._size))
        return self._window[start - self._start : max(stop, start) - self._start]

    def _read(self, start: int, stop: int) -> bytes:
        parts = []
        while start < stop and (part := os.pread(self._descriptor, stop - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)


Buffer = bytes | FileBytes
