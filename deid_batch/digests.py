"""SHA-256 of what is written, taken by a thread of its own while the next bytes are read and written."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

BUFFER = 1 << 20
"""Bytes of a buffer."""
_BUFFERS = 6
_BATCH = 512 << 10
"""Bytes that are handed over together: to wake a thread takes as long as to digest some."""
_Portion = tuple["hashlib._Hash", bytes | memoryview, memoryview | None]


class Hasher:
    """Takes bytes into digests, in the order they are given; and the buffers that these bytes may lie in."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._batch: list[_Portion] = []
        self._size = self._made = 0
        self._free: SimpleQueue[memoryview] = SimpleQueue()

    def add(self, digest: hashlib._Hash, data: bytes | memoryview, buffer: memoryview | None = None) -> None:
        """Have bytes taken in, sooner or later; they must not change until then. Their buffer is free afterwards."""
        self._batch.append((digest, data, buffer))
        self._size += len(data)
        if self._size >= _BATCH:
            self.flush()

    def flush(self) -> Future[None]:
        """Once this is done, all that was given is taken in."""
        batch, self._batch, self._size = self._batch, [], 0
        return self._thread.submit(self._take, batch)

    def buffer(self) -> memoryview:
        """A buffer that nobody uses; waits for one where all are in use."""
        try:
            return self._free.get_nowait()
        except Empty:
            if self._made < _BUFFERS:
                self._made += 1
                return memoryview(bytearray(BUFFER))
        self.flush()
        return self._free.get()

    def give_back(self, buffer: memoryview) -> None:
        """A buffer is not needed any more."""
        self._free.put(buffer)

    def _take(self, batch: list[_Portion]) -> None:
        for digest, data, buffer in batch:
            digest.update(data)
            if buffer is not None:
                self._free.put(buffer)
