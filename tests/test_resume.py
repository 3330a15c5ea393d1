"""What a later run makes of an earlier one's state: it continues, redoes nothing that is finished, agrees with it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import INSTANCES, RULES, Place, deid_here, lay, mtimes, tree

from deid_batch.ledger import Ledger

Finished = tuple[Place, subprocess.CompletedProcess[str]]
CT = "PAT1/CT/IM1"


def test_a_second_run_redoes_nothing(study: Place) -> None:
    assert study.run_here().returncode == 0
    first, times, log = tree(study.out), mtimes(study.out), study.audit.read_bytes()
    again = study.run_here()
    assert again.returncode == 0
    assert "\n0 files in" in again.stdout
    assert (tree(study.out), mtimes(study.out), study.audit.read_bytes()) == (first, times, log)


def test_a_later_run_takes_up_what_is_new_changed_gone_missing_or_failed(mixed: Place) -> None:
    assert mixed.run_here().returncode == 1
    first, times = tree(mixed.out), mtimes(mixed.out)
    lay(mixed, {"new": "rtdose.dcm", "PAT1/MR/IM1": "MR_small_RLE.dcm", "PAT1/MR/IM2": "MR_truncated.dcm"})
    touched = mixed.source / "PAT2/SC/deflated.dcm"
    os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1))
    for gone in ("PAT2/RT/plan", "PAT2/SR/report.dcm", "PAT1/notes.dcm"):
        (mixed.source / gone).unlink()
    (mixed.out / "PAT2/SR/report.dcm").unlink()
    (mixed.out / "PAT1/CT/IM1").unlink()
    os.truncate(mixed.out / "PAT2/SC/jpeg.dcm", 1000)

    later = mixed.run_here()
    assert later.returncode == 1
    assert "gone from SOURCE: 3" in later.stdout
    found = {f"./{name}" for name in tree(mixed.source)} | {"./PAT2/RT/plan"}
    assert mixed.rows().keys() == found
    assert {name for name, row in mixed.rows().items() if row["reason"] == "truncated"} == {
        "./PAT1/MR/IM2", "./PAT1/MR/IM4",
    }  # fmt: skip
    now = tree(mixed.out)
    for name in ("PAT1/CT/IM1", "PAT2/SC/jpeg.dcm", "PAT2/SC/deflated.dcm", "PAT2/RT/plan"):
        assert now[name] == first[name]
    assert now["PAT1/MR/IM1"] != first["PAT1/MR/IM1"]
    assert "PAT1/MR/IM2" not in now
    assert "PAT2/SR/report.dcm" not in now
    redone = {name for name, time in mtimes(mixed.out).items() if times.get(name) != time}
    assert redone == {"new", "PAT1/MR/IM1", "PAT1/CT/IM1", "PAT2/SC/jpeg.dcm", "PAT2/SC/deflated.dcm"}


def test_verify_outputs_finds_a_changed_byte_that_size_and_time_do_not_tell(study: Place) -> None:
    assert study.run_here().returncode == 0
    sound, times = tree(study.out), mtimes(study.out)
    damaged = bytearray(sound[CT])
    damaged[len(damaged) // 2] ^= 1
    (study.out / CT).write_bytes(damaged)
    os.utime(study.out / CT, ns=(times[CT], times[CT]))
    assert "\n0 files in" in study.run_here().stdout
    assert tree(study.out)[CT] == damaged

    result = study.run_here("--verify-outputs")
    assert result.returncode == 0
    assert "\n1 files in" in result.stdout
    assert tree(study.out) == sound
    assert {name for name, time in mtimes(study.out).items() if time != times[name]} == {CT}


def test_what_a_killed_run_brought_under_out_without_noting_it_goes_and_nothing_else(study: Place) -> None:
    assert study.run_here().returncode == 0
    sound, times = tree(study.out), mtimes(study.out)
    area = study.work / "tmp" / "0123456789abcdef"
    area.mkdir(parents=True)
    (area / "names-0123").write_bytes(b"PAT1/unnoted\0" + CT.encode() + b"\0never/there\0PAT1/half a na")
    (area / "names-4567").write_bytes(b"unnoted too\0")
    for name in ("PAT1/unnoted", "unnoted too", "PAT1/half a na", "somebody's own"):
        (study.out / name).write_bytes(b"DICM")
    assert study.run_here().returncode == 0
    assert tree(study.out) == sound | dict.fromkeys(("PAT1/half a na", "somebody's own"), b"DICM")
    assert {name: mtimes(study.out)[name] for name in times} == times
    assert sorted(os.listdir(study.work)) == ["audit.csv", "ledger.sqlite", "lock"]


DIFFERENCES = {
    "config": {"rules": RULES[:-1]},
    "config ": {"referenceDate": "2000-01-01"},
    "keys": {"dateShiftKey": "a key of its own for the dates"},
    "config, keys": {"rules": RULES[1:], "key": "another master key of the tests"},
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_another_config_or_key_for_the_same_out_is_refused(finished: Finished, tmp_path: Path, what: str) -> None:
    place, _ = finished
    other = place._replace(config=tmp_path / "other.json")
    other.configure(**DIFFERENCES[what])
    refused(other, what.strip())


def test_another_source_version_or_way_to_check_for_the_same_out_is_refused(finished: Finished, tmp_path: Path) -> None:
    place, _ = finished
    refused(place._replace(source=place.source / "PAT1"), "source")
    refused(place, "validate-output", "--validate-output")
    older = place._replace(work=tmp_path / "work")
    shutil.copytree(place.work, older.work)
    ledger = Ledger(str(older.work / "ledger.sqlite"))
    ledger.remember({"version": b"0.0.1"})
    ledger.close()
    refused(older, "version")


def refused(place: Place, differing: str, *options: str) -> None:
    """A run that is refused for exactly this difference, and leaves outputs, rows and keys as they are."""
    before, rows = mtimes(place.out), place.rows()
    result = place.run_here(*options)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"OUT was begun with a different {differing};" in result.stderr
    assert (mtimes(place.out), place.rows()) == (before, rows)


def test_a_config_that_says_the_same_in_other_words_goes_on(finished: Finished, tmp_path: Path) -> None:
    place, _ = finished
    other = place._replace(config=tmp_path / "other.json")
    other.configure()
    other.config.write_text("// the same\n" + json.dumps(json.loads(other.config.read_text()), indent=4))
    assert (other.run_here().returncode, other.run_here().stderr) == (1, "")


def test_overwrite_with_another_config_leaves_nothing_of_the_earlier_run(study: Place) -> None:
    assert study.run_here().returncode == 0
    (study.source / CT).unlink()
    study.configure(key="another master key of the tests")
    assert study.run_here("--overwrite").returncode == 0
    fresh = study._replace(out=study.folder / "fresh", work=study.folder / "fresh.deid")
    assert fresh.run_here().returncode == 0
    assert tree(study.out) == tree(fresh.out)
    assert study.rows().keys() == fresh.rows().keys() == {f"./{name}" for name in INSTANCES if name != CT}


def test_keys_drawn_at_random_are_kept_for_later_runs_and_for_no_other_out(study: Place) -> None:
    study.configure(key=None)
    assert study.run_here().returncode == 0
    first = tree(study.out)
    (study.out / CT).unlink()
    assert study.run_here("--overwrite").returncode == 0
    assert tree(study.out) == first
    other = study._replace(out=study.folder / "other", work=study.folder / "other.deid")
    assert other.run_here().returncode == 0
    assert all(contents != first[name] for name, contents in tree(other.out).items())


def test_keygen_makes_keys_that_runs_agree_by(study: Place) -> None:
    study.configure(key=None)
    keys = study.folder / "keys"
    assert deid_here("keygen", keys).returncode == 0
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    refused, text = deid_here("keygen", keys), keys.read_text()
    assert (refused.returncode, keys.read_text()) == (2, text)
    result = study.run_here("--keys", keys)
    assert (result.returncode, result.stderr) == (0, "")
    assert "drawn at random" not in result.stdout
    other = study._replace(out=study.folder / "other", work=study.folder / "other.deid")
    assert other.run_here("--keys", keys).returncode == 0
    assert tree(study.out) == tree(other.out)
    drawn = list(json.loads(text).values())
    assert len(set(drawn)) == len(drawn) == 5
    assert not any(key in result.stdout + result.stderr for key in drawn)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_keys_that_others_can_read_are_refused(study: Place, mode: int) -> None:
    keys = study.folder / "keys"
    keys.write_text('{"key": "a key that others can read"}')
    keys.chmod(mode)
    result = study.run_here("--keys", keys)
    assert result.returncode == 2
    assert "can be read by group or others" in result.stderr
    assert not study.out.exists()
