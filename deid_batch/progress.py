"""Progress on stderr: a bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Advance = Callable[[int, int, int], None]
"""Called with how many more files, bytes and failures there are."""
_EVERY_SECONDS = 60.0
tqdm.monitor_interval = 0  # which would start a thread, and workers are forked


class Progress:
    """Shows how far a run is; never a name or a value."""

    def __init__(self, *, shown: bool = True, told: bool = True) -> None:
        self._shown = shown
        self._told = told

    def tell(self, *lines: str) -> None:
        """Say something before the run goes on."""
        for line in lines if self._told else ():
            print(f"deid-batch: {line}", file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def phase(self, name: str, files: int) -> Iterator[Advance]:
        """A part of the run over so many files."""
        if not self._shown or not files:
            yield lambda _files, _size, _failures: None
        elif sys.stderr.isatty():
            with _bar(name, files) as advance:
                yield advance
        else:
            yield _Lines(name, files).advance


@contextmanager
def _bar(name: str, files: int) -> Iterator[Advance]:
    size = failed = 0
    with tqdm(total=files, desc=name, unit=" files", dynamic_ncols=True, smoothing=0.1, miniters=1) as bar:

        def advance(more_files: int, more_bytes: int, failures: int) -> None:
            nonlocal size, failed
            size += more_bytes
            failed += failures
            shown = f"{size / 1e6:.0f} MB, {failed} failed" if size or failed else ""
            bar.set_postfix_str(shown, refresh=False)
            bar.update(more_files)

        yield advance


class _Lines:
    """Progress for a log: one line a minute."""

    def __init__(self, name: str, files: int) -> None:
        self._name, self._total = name, files
        self._files = self._size = self._failed = 0
        self._began = self._last = time.monotonic()

    def advance(self, files: int, size: int, failures: int) -> None:
        self._files += files
        self._size += size
        self._failed += failures
        now = time.monotonic()
        if now - self._last >= _EVERY_SECONDS:
            self._last = now
            rate = self._files / (now - self._began)
            left = (self._total - self._files) / rate if rate else 0
            print(  # noqa: T201
                f"{self._name}: {self._files} of {self._total} files, {self._size / 1e6:.0f} MB, "
                f"{self._failed} failed, {rate:.0f} files/s, about {left / 60:.0f} min left",
                file=sys.stderr,
                flush=True,
            )
