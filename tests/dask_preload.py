"""What tests have Dask's workers do besides: `dask worker --preload` takes this file into each of them.

Files whose names begin with a word below are met like that; each meeting is a byte in a file of that name in `MET`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from functools import wraps
from inspect import unwrap
from typing import Any

import deid_batch
from deid_batch import dicomfile


def poison(_path: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hanging(_path: bytes) -> None:
    while True:
        time.sleep(1)


def stuck(_path: bytes) -> None:
    """In a call into C that lets no other Python code run."""
    ctypes.PyDLL(None).pause()


def vanishing(path: bytes) -> None:
    os.unlink(path)


KINDS = {kind.__name__: kind for kind in (poison, hanging, stuck, vanishing)}
_rewrite = unwrap(dicomfile.rewrite)  # as Dask may take this in twice


@wraps(_rewrite)
def _met(path: bytes, *more: Any, **named: Any) -> Any:
    time.sleep(0.005)
    name = os.path.basename(path).decode()
    for kind, meet in KINDS.items():
        if name.startswith(kind):
            with open(os.path.join(os.environ["MET"], name), "ab") as meetings:
                meetings.write(b"x")
            meet(path)
    return _rewrite(path, *more, **named)


dicomfile.rewrite = _met
deid_batch.__version__ = os.environ.get("OTHER_VERSION", deid_batch.__version__)
