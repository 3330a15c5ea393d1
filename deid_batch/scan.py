"""Find the files under SOURCE and take a first look at each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from deid_batch.ledger import Found


class Passed(NamedTuple):
    """Something under SOURCE that is not looked into, and why."""

    path: bytes
    reason: str


def find_files(source: bytes) -> Iterator[Found | Passed]:
    """All files under a directory, in the order of their names; or the one file that SOURCE is.

    Links to files are followed where they lead to files inside SOURCE. Links to directories are not followed:
    what they show inside SOURCE is found where it really is, so loops end by themselves.
    """
    if not os.path.isdir(source):
        status = os.stat(source)
        yield Found(os.path.basename(source), status.st_size, status.st_mtime_ns)
        return
    root = os.path.realpath(source)
    pending = [b""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(source, folder)) as entries:
                unseen = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError:
            yield Passed(folder, "unreadable")
            continue
        folders = []
        while unseen:
            entry = unseen.pop()  # and let go of what it remembers
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield _looked_at(entry, path, root)
        pending.extend(reversed(folders))


def _looked_at(entry: os.DirEntry[bytes], path: bytes, root: bytes) -> Found | Passed:
    try:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not os.path.join(target, b"").startswith(os.path.join(root, b"")):
                return Passed(path, "link-outside")
        status = entry.stat()
    except OSError:
        return Passed(path, "unreadable")
    if not stat.S_ISREG(status.st_mode):
        return Passed(path, "not-regular")
    return Found(path, status.st_size, status.st_mtime_ns)
