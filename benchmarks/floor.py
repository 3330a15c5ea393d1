"""What no atomic and durable copy can do without: read, SHA-256, write, sync, rename, and nothing else.

python floor.py SOURCE OUT. One process without threads; files are synced as many together as deid-batch does.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys

_TOGETHER, _BYTES_TOGETHER = 16, 32 << 20
_SYNCFS = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None


def copied(source: str, out: str) -> int:
    """Copy a tree; how many files there were."""
    area, buffer = f"{out}.tmp", memoryview(bytearray(1 << 20))
    waiting: list[tuple[str, str]] = []
    files = size = 0
    os.makedirs(area)
    for folder, _, names in os.walk(source):
        target = os.path.join(out, os.path.relpath(folder, source))
        os.makedirs(target, exist_ok=True)
        for name in names:
            temporary = os.path.join(area, str(files))
            size += _copy(os.path.join(folder, name), temporary, buffer)
            files += 1
            waiting.append((temporary, os.path.join(target, name)))
            if len(waiting) >= _TOGETHER or size >= _BYTES_TOGETHER:
                _publish(waiting, area)
                waiting, size = [], 0
    _publish(waiting, area)
    _sync([os.path.join(folder, name) for folder, names, _ in os.walk(out) for name in names], out)
    os.rmdir(area)
    return files


def _copy(path: str, temporary: str, buffer: memoryview) -> int:
    digest, size = hashlib.sha256(), 0
    source = os.open(path, os.O_RDONLY)
    target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    while count := os.readv(source, [buffer]):
        digest.update(buffer[:count])
        size += os.write(target, buffer[:count])
    digest.hexdigest()
    os.close(source)
    os.close(target)
    return size


def _publish(waiting: list[tuple[str, str]], area: str) -> None:
    _sync([temporary for temporary, _ in waiting], area)
    for temporary, path in waiting:
        os.rename(temporary, path)


def _sync(paths: list[str], folder: str) -> None:
    for path in [folder] if _SYNCFS else [*paths, folder]:
        descriptor = os.open(path, os.O_RDONLY)
        if _SYNCFS is None or _SYNCFS(descriptor):
            os.fsync(descriptor)
        os.close(descriptor)


if __name__ == "__main__":
    copied(*sys.argv[1:])
