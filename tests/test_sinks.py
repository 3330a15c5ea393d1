"""Files are what was given to their sinks, however long; so are their digests."""

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deid_batch import digests
from deid_batch.digests import BUFFER, Hasher
from deid_batch.errors import FileError, OutputError
from deid_batch.sinks import FileSink

PAGE = 4096
BYTES = random.Random(0).randbytes(3 * BUFFER)
LENGTHS = st.sampled_from([0, 1, PAGE - 1, PAGE, PAGE + 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + 7]) | (
    st.integers(0, len(BYTES))
)


class Portions:
    """A source that gives at most so many bytes at a time, and ends where it is told to."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self.data, self.most, self.size = data, most, len(data)

    def read(self, start: int, count: int) -> bytes:
        return self.data[start : start + count]

    def read_into(self, buffer: memoryview, start: int) -> int:
        block = self.data[start : start + min(len(buffer), self.most)]
        buffer[: len(block)] = block
        return len(block)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def hasher() -> Hasher:
    return Hasher()


def written(path: Path, hasher: Hasher, pieces: list[tuple[bool, int]], most: int = 1 << 30) -> tuple[bytes, str, int]:
    """What stands in a file of pieces, its digest and length as the sink has them."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    sink = FileSink(descriptor, hasher)
    for is_spliced, length in pieces:
        if is_spliced:
            sink.splice(Portions(BYTES, most), 0, length)
        else:
            sink.write(BYTES[:length])
    hasher.flush().result()
    os.close(descriptor)
    return path.read_bytes(), sink.digest.hexdigest(), sink.written


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), LENGTHS), max_size=3), st.sampled_from([1 << 30, 300_001]))
def test_a_file_is_what_was_written_and_spliced(
    path: Path, hasher: Hasher, pieces: list[tuple[bool, int]], most: int
) -> None:
    expected = b"".join(BYTES[:length] for _, length in pieces)
    assert written(path, hasher, pieces, most) == (expected, hashlib.sha256(expected).hexdigest(), len(expected))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EINVAL])
def test_what_can_not_be_written_is_told(
    path: Path, hasher: Hasher, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    def full(_descriptor: int, _data: bytes | memoryview) -> int:
        raise OSError(fault, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError) as told:
        written(path, hasher, [(True, len(BYTES))])
    assert told.value.errno == fault


def test_sources_that_end_too_early_take_no_buffers_along(path: Path, hasher: Hasher) -> None:
    for _ in range(2 * digests._BUFFERS):
        sink = FileSink(os.open(path, os.O_RDWR | os.O_CREAT), hasher)
        with pytest.raises(FileError, match="changed"):
            sink.splice(Portions(BYTES[:100]), 0, BUFFER)
        os.close(sink._descriptor)
    assert written(path, hasher, [(True, len(BYTES))] * 3)[0] == BYTES * 3


def test_bytes_are_forgotten(path: Path, hasher: Hasher) -> None:
    sink = FileSink(os.open(path, os.O_RDWR | os.O_CREAT), hasher)
    sink.write(b"wrong")
    sink.splice(Portions(BYTES), 0, len(BYTES))
    sink.reset()
    sink.write(b"right")
    hasher.flush().result()
    assert (path.read_bytes(), sink.written) == (b"right", 5)
    assert sink.digest.hexdigest() == hashlib.sha256(b"right").hexdigest()


def test_many_small_files_are_digested_together(hasher: Hasher) -> None:
    found = [hashlib.sha256() for _ in range(1000)]
    for number, digest in enumerate(found):
        hasher.add(digest, b"%d" % number * 1000)
        hasher.add(digest, b"end")
    hasher.flush().result()
    assert [digest.digest() for digest in found] == [
        hashlib.sha256(b"%d" % number * 1000 + b"end").digest() for number in range(1000)
    ]
