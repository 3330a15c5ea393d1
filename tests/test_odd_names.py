"""Odd worlds: names that are no text, that OUT can't hold or can't tell apart; links, pipes, depth, and numbers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PYDICOM, Place, lay, mtimes, new_place, tree

from deid_batch import batch, workspace
from deid_batch.audit import shown_path
from deid_batch.batch import Options, Summary
from deid_batch.config import load_config
from deid_batch.ledger import Found, Ledger
from deid_batch.progress import Progress

SMALL, OTHER, DAMAGED, NOT_DICOM = "rtplan.dcm", "test-SR.dcm", "rtplan_truncated.dcm", "README.txt"
NAMES = {
    "newline": b"Doe\nJohn",
    "carriage return": b"Doe\r\n",
    "quotes": b"\"Doe\", 'John'",
    "not UTF-8": b"Doe\xff\xfe\x80",
    "the same, written out": b"Doe\\xff\\xfe\\x80",
    "255 bytes": b"Doe" * 85,
    "255 bytes of UTF-8": "Döe".encode() * 63 + b"Doe",
    "trailing blanks": b"Doe  ",
    "leading blank": b" Doe",
    "a blank": b" ",
    "a formula": b"=Doe()",
    "an option": b"--Doe",
    "a tab": b"\tDoe",
    "control bytes": b"Doe\x01\x1b[31m\x7f",
    "no letter": b"Doe\xed\xa0\x80",
    "a pattern": b"Doe*?[a]{b}$(c)~",
    "hidden": b".Doe",
    "dots": b"...",
    "a temporary file's": b".deid-tmp",
}


def put(folder: Path, name: bytes, origin: str = SMALL) -> None:
    """Lay a file under a name in bytes."""
    target = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(os.fsencode(PYDICOM / origin), target)


def reasons(place: Place) -> dict[str, str]:
    """What became of the files: "" or the reason why there is no output."""
    return {source[2:]: row["reason"] for source, row in place.rows().items()}


def in_process(place: Place, **options: object) -> Summary:
    given = Options(str(place.source), str(place.out), 2, str(place.work), str(place.audit), **options)
    return batch.run_batch(load_config(str(place.config)), given, Progress(shown=False))


def test_a_file_is_written_under_whatever_name_it_has_and_once(place: Place) -> None:
    for name in NAMES.values():
        put(place.source, b"files/" + name)
        put(place.source, name + b"/in a folder/" + name)
    put(place.source, b"d/" * 200 + b"deep")
    result = place.run_here("-v")
    assert result.returncode == 0
    assert tree(place.out).keys() == tree(place.source).keys()
    assert len(set(tree(place.out).values())) == 1
    assert place.rows().keys() == {shown_path(os.fsencode(name)) for name in tree(place.source)}
    assert not re.search(r"Doe|\x1b|d/d", result.stdout + result.stderr)
    before = mtimes(place.out)
    assert place.run_here().returncode == 0
    assert mtimes(place.out) == before


def test_a_log_tells_any_two_names_apart() -> None:
    names = [b"\xff", b"\\xff", b"\\\\xff", b"\\\xff", b"\xc3\xbf", "\udcff".encode("utf-8", "surrogatepass"), b"\\"]
    assert len({shown_path(name) for name in names}) == len(names)


def test_a_folder_too_deep_for_a_path_is_a_row_and_the_run_goes_on(place: Place) -> None:
    put(place.source, b"sound")
    here = os.open(place.source, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("x" * 200, dir_fd=here)
        below = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("unreachable", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    assert in_process(place).exit_code == 1
    assert tree(place.out).keys() == {"sound"}
    assert sorted(reasons(place).values()) == ["", "unreadable"]


def test_names_that_out_has_no_room_for_are_rows_and_the_run_goes_on(place: Place) -> None:
    folder = place.folder
    while (room := 4000 - len(os.fsencode(folder))) > 1:
        folder /= "o" * min(room - 1, 200)
    place = place._replace(out=folder)
    for name in (b"sound", b"sub/sound", b"x" * 120, b"y" * 120 + b"/file"):
        put(place.source, name)
    assert in_process(place).exit_code == 1
    assert tree(place.out).keys() == {"sound", "sub/sound"}
    expected = {"sound": "", "sub/sound": "", "x" * 120: "bad-name", "y" * 120 + "/file": "bad-name"}
    assert reasons(place) == expected
    assert not (place.work / "tmp").exists()


def test_names_that_are_taken_in_out_are_rows_and_what_takes_them_stays(place: Place) -> None:
    for name in (b"sound", b"file", b"folder/file"):
        put(place.source, name)
    (place.out / "file").mkdir(parents=True)
    (place.out / "file/mine").write_text("somebody's")
    (place.out / "folder").write_text("somebody's")
    assert in_process(place, overwrite=True).exit_code == 1
    assert tree(place.out).keys() == {"sound", "file/mine", "folder"}
    assert reasons(place) == {"sound": "", "file": "name-collision", "folder/file": "name-collision"}


# ---- an OUT that can't tell names apart ----

COLLIDING = {
    "IMAGE": "", "Image": "name-collision", "image": "name-collision",
    "P1/S1/a": "", "p1/S1/A": "name-collision", "p1/S1/b": "",
    "STRASSE": "", "straße": "name-collision", "\u00c9": "name-collision", "E\u0301": "",
    "dot": "", "dot.": "name-collision", "dot. ": "name-collision", "dir./x": "name-collision", "DIR/x": "",
    "file": "name-collision", "FILE/inside": "", "not UTF-8 \udcff": "", "NOT utf-8 \udcff": "name-collision",
    "alone": "", "ALONE/": "",
}  # fmt: skip
"""What becomes of files; names are alike in whatever case, form or dots at their end."""


def collided(names: dict[str, str], folder: Path) -> dict[str, str]:
    """The reasons that a ledger of these names comes to."""
    ledger = Ledger(str(folder / "ledger"))
    paths = [os.fsencode(name) for name in names]
    ledger.found(1, [Found(path, 1, 1) for path in paths], [])
    lost = {os.fsdecode(path) for path in ledger.colliding()}
    ledger.close()
    return {name: "name-collision" if name in lost else "" for name in names}


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_of_names_that_collide_wins_whatever_order_they_came_in(tmp_path: Path, order: int) -> None:
    names = {name: COLLIDING[name] for name in sorted(COLLIDING)[::order] if not name.endswith("/")}
    first = {"IMAGE": "", "NOT utf-8 \udcff": "", "not UTF-8 \udcff": "name-collision"}
    assert collided(names, tmp_path) == {**names, **first}


def test_files_that_collide_are_rows_and_the_same_ones_every_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(place, {"B/x": SMALL, "b/X": SMALL, "a": NOT_DICOM, "A": SMALL, "c": SMALL, "C": DAMAGED})
    monkeypatch.setattr(workspace, "folds_names", lambda _area: True)
    expected = {"B/x": "", "b/X": "name-collision", "A": "", "a": "name-collision", "C": "truncated"}
    for _ in range(2):
        assert in_process(place).exit_code == 1
        assert reasons(place) == {**expected, "c": "name-collision"}
        assert tree(place.out).keys() == {"B/x", "A"}
    lay(place, {"A": OTHER, "c": OTHER})
    put(place.source, b"B/X")
    in_process(place)
    assert reasons(place) == {**expected, "B/X": "", "B/x": "name-collision", "c": "name-collision"}
    assert tree(place.out).keys() == {"B/X", "A"}


WAYS = {
    "vfat": 'mkfs.vfat "$1" && mount -o loop "$1" "$2"',
    "exfat": 'mkfs.exfat "$1" && mount -t exfat -o loop "$1" "$2"',
    "exfat by FUSE": 'mkfs.exfat "$1" && mount.exfat-fuse "$(losetup -f --show "$1")" "$2"',
    "ext4": 'mkfs.ext4 -q -O casefold "$1" && mount -o loop "$1" "$2" && chattr +F "$2"',
}
UNMOUNT = 'umount "$2" && for device in $(losetup -n -O NAME -j "$1"); do losetup -d "$device"; done'


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real file system that does not tell upper from lower case."""
    folder = tmp_path_factory.mktemp("blind")
    image, mounted = str(folder / "image"), str(folder / "mounted")
    os.mkdir(mounted)
    told = []
    for way, command in WAYS.items():
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        made = subprocess.run(["sh", "-c", command, "sh", image, mounted], capture_output=True, text=True, check=False)
        if os.path.ismount(mounted):
            yield Path(mounted)
            subprocess.run(["sh", "-c", UNMOUNT, "sh", image, mounted], check=True)
            return
        subprocess.run(["sh", "-c", UNMOUNT, "sh", image, mounted], capture_output=True, check=False)
        told.append(f"{way}: {(made.stderr.strip().splitlines() or ['?'])[-1]}")
    pytest.skip("no case-insensitive file system can be mounted here: " + "; ".join(told))


def test_a_real_file_system_that_folds_names_is_known_for_one(blind: Path, tmp_path: Path) -> None:
    assert workspace.folds_names(str(blind))
    assert not workspace.folds_names(str(tmp_path))


def test_nothing_is_lost_or_done_twice_where_names_collide_for_real(blind: Path, place: Place) -> None:
    place = place._replace(out=blind / "out")
    lay(place, {"B/x": SMALL, "b/X": OTHER, "b/y": SMALL, "a": NOT_DICOM, "A": SMALL, "c": SMALL, "C": DAMAGED})
    lay(place, {"d": SMALL, "D/e": OTHER})
    expected = {"B/x": "", "b/X": "name-collision", "b/y": "", "A": "", "a": "name-collision", "C": "truncated"}
    expected |= {"c": "name-collision", "d": "name-collision", "D/e": ""}
    assert in_process(place).exit_code == 1
    assert reasons(place) == expected
    written = mtimes(place.out)
    assert {name.casefold() for name in written} == {"b/x", "b/y", "a", "d/e"}
    lay(place, {"a": OTHER})
    assert in_process(place).exit_code == 1
    assert reasons(place) == expected
    assert mtimes(place.out) == written


def test_names_that_a_real_file_system_does_not_allow_are_rows(blind: Path, place: Place) -> None:
    place = place._replace(out=blind / "strict")
    for name in (b"sound", b'a "quote"', b"colon:/file", b"sub/pipe|", b"sub/sound", b"not UTF-8 \xff"):
        put(place.source, name)
    code = in_process(place).exit_code
    if code == 0:
        pytest.skip("the case-insensitive file system that can be mounted here allows any name")
    found = {name: reason for name, reason in reasons(place).items() if not name.startswith("not UTF-8")}
    assert found == {
        "sound": "", "sub/sound": "", 'a "quote"': "bad-name", "colon:/file": "bad-name", "sub/pipe|": "bad-name",
    }  # fmt: skip
    assert code == 1
    assert {"sound", "sub/sound"} <= tree(place.out).keys()


# ---- what is no regular file ----


def test_links_lead_to_files_inside_source_and_nowhere_else(place: Place) -> None:
    lay(place, {"PAT/file": SMALL})
    lay(place._replace(source=place.folder / "elsewhere"), {"secret": OTHER})
    os.mkdir(place.source / "links")
    for name, target in {
        "to a file": "../PAT/file", "by a link": "to a file", "absolute": str(place.source / "PAT/file"),
        "itself": "itself", "here": "there", "there": "here", "nowhere": "no such file",
        "up": "..", "top": "../..", "folder": "../PAT", "out": "../../elsewhere/secret",
        "out folder": str(place.folder / "elsewhere"), "through": "up/PAT/file", "a device": "/dev/zero",
    }.items():  # fmt: skip
        os.symlink(target, place.source / "links" / name)
    assert in_process(place).exit_code == 1
    inside = {"to a file", "by a link", "absolute", "through"}
    assert tree(place.out).keys() == {"PAT/file", *(f"links/{name}" for name in inside)}
    assert len(set(tree(place.out).values())) == 1
    assert not any((place.out / "links" / name).is_symlink() for name in inside)
    assert {name[6:]: reason for name, reason in reasons(place).items() if name[:6] == "links/"} == {
        **dict.fromkeys(inside, ""), **dict.fromkeys(("itself", "here", "there", "nowhere"), "unreadable"),
        **dict.fromkeys(("up", "folder"), "not-regular"),
        **dict.fromkeys(("top", "out", "out folder", "a device"), "link-outside"),
    }  # fmt: skip


def test_pipes_sockets_and_devices_are_passed_over_without_waiting(place: Place) -> None:
    lay(place, {"file": SMALL})
    os.mkfifo(place.source / "pipe")
    expected = {"file": "", "pipe": "not-regular", "socket": "not-regular"}
    try:
        os.mknod(place.source / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero, without an end
        expected["device"] = "not-regular"
    except PermissionError:
        pass
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(place.source)  # its own path may be too long for a socket's
        sock.bind("socket")
        os.chdir(here)
        assert in_process(place).exit_code == 0
    assert reasons(place) == expected
    assert tree(place.out).keys() == {"file"}


@pytest.mark.parametrize("content", ["empty folders", "empty files and text", "is a pipe"])
def test_a_source_without_dicom_ends_with_code_3(place: Place, content: str) -> None:
    if content == "empty folders":
        (place.source / "a/b").mkdir(parents=True)
    elif content == "empty files and text":
        (place.source / "a").touch()
        lay(place, {"text": NOT_DICOM})
    elif content == "is a pipe":
        place.source.rmdir()
        os.mkfifo(place.source)
    assert in_process(place).exit_code == 3
    assert not tree(place.out)


def test_an_empty_source_is_told(place: Place) -> None:
    result = place.run_here()
    assert (result.returncode, result.stderr) == (3, "deid-batch: SOURCE holds no DICOM file\n")


MEASURED = """
import sys
from deid_batch.cli import app
try:
    app()
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


LINKS = 10_000
"""How many names one file has; some file systems allow 65,000."""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_100_000_files_in_one_folder_need_little_memory(tmp_path: Path) -> None:
    peaks, seconds = {}, {}
    for files in (1_000, 100_000):
        place = new_place(tmp_path / str(files))
        lay(place, {"sound": SMALL})
        for number in range(files):
            if number % LINKS == 0:
                (place.folder / f"{number}").write_bytes(b"no DICOM")
            os.link(place.folder / f"{number - number % LINKS}", place.source / f"{number:06}")
        began = time.monotonic()
        command = [sys.executable, "-c", MEASURED, *map(str, place._command()), "-j2"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds[files] = time.monotonic() - began
        assert result.returncode == 0, result.stderr
        peaks[files] = int(result.stderr.split()[-1]) >> 10
        assert len(place.rows()) == files + 1
    print(f"\npeak RSS of the parent, MB, by files: {peaks}; seconds: {seconds}")
    assert peaks[100_000] - peaks[1_000] < 100
