"""The scan: every file under SOURCE once, links only inside, whatever is odd with a reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deid_batch.ledger import Found
from deid_batch.scan import Passed, find_files


def found(source: Path) -> list[str]:
    """The paths that are found, in their order; of what is passed over with its reason."""
    shown = [(os.fsdecode(entry.path), getattr(entry, "reason", "")) for entry in find_files(os.fsencode(source))]
    return [f"{path}: {reason}" if reason else path for path, reason in shown]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.mark.parametrize("names", [("b/2", "b/1", "a", "c", "b/x/1"), ("b/x/1", "c", "b/1", "a", "b/2")])
def test_all_files_are_found_in_the_same_order_however_they_came_there(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *names)
    (tmp_path / "empty").mkdir()
    assert found(tmp_path) == ["a", "c", "b/1", "b/2", "b/x/1"]


def test_size_and_time_of_the_file_are_told(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.utime(tmp_path / "a", ns=(5, 7))
    assert list(find_files(os.fsencode(tmp_path))) == [Found(b"a", 1, 7)]


def test_one_file_is_found_by_its_name(tmp_path: Path) -> None:
    make(tmp_path, "folder/a")
    assert [entry.path for entry in find_files(os.fsencode(tmp_path / "folder/a"))] == [b"a"]


def test_names_are_bytes(tmp_path: Path) -> None:
    name = b"\xff\n\x01 '\""
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        assert [entry.path for entry in find_files(os.fsencode(tmp_path))] == [name]


LINKS = {
    "a": "link",
    "folder/b": "link",
    "../source/a": "link",
    "second": "link",
    "../outside": "link: link-outside",
    "../source-2/a": "link: link-outside",
    "/etc/hosts": "link: link-outside",
    "..": "link: link-outside",
    "folder": "link: not-regular",
    ".": "link: not-regular",
    "nowhere": "link: unreadable",
    "link": "link: unreadable",
}


@pytest.mark.parametrize("target", LINKS)
def test_links_are_followed_to_files_inside_source_only(tmp_path: Path, target: str) -> None:
    make(tmp_path, "source/a", "source/folder/b", "outside", "source-2/a")
    os.symlink("folder/b", tmp_path / "source/second")
    os.symlink(target, tmp_path / "source/link")
    os.symlink(tmp_path / "source", tmp_path / "door")
    for source in (tmp_path / "source", tmp_path / "door"):
        assert found(source) == ["a", LINKS[target], "second", "folder/b"]


def test_a_link_tells_size_and_time_of_the_file_it_leads_to(tmp_path: Path) -> None:
    make(tmp_path, "file")
    os.symlink("file", tmp_path / "link")
    entries = [entry for entry in find_files(os.fsencode(tmp_path)) if isinstance(entry, Found)]
    assert entries[0][1:] == entries[1][1:]


def test_what_is_no_file_is_passed_over_without_being_opened(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        assert found(tmp_path) == ["a", "pipe: not-regular", "socket: not-regular"]


def test_a_folder_that_goes_away_meanwhile_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a", "folder/b")
    entries = find_files(os.fsencode(tmp_path))
    assert next(entries).path == b"a"
    (tmp_path / "folder/b").unlink()
    (tmp_path / "folder").rmdir()
    assert list(entries) == [Passed(b"folder", "unreadable")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a", "folder/b")
    (tmp_path / "folder").chmod(0)
    assert found(tmp_path) == ["a", "folder: unreadable"]
    (tmp_path / "folder").chmod(0o700)
