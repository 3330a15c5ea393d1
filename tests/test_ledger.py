"""The ledger: what a scan found, what became of it, and what must not change between runs."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

import pytest

from deid_batch import ledger as ledger_module
from deid_batch.audit import COLUMNS
from deid_batch.ledger import Fault, Found, Ledger, Scoped


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "ledger"))


def row(status: str, **values: object) -> tuple[object, ...]:
    return tuple({"status": status, **values}.get(column) for column in COLUMNS)


def scan(ledger: Ledger, *files: Found) -> tuple[list[bytes], int]:
    """A whole scan that finds these files: (paths that have changed, number of files that are gone)."""
    run, changed = ledger.begin_run(), ledger.changed(files)
    ledger.found(run, files, changed)
    return [file.path for file in changed], ledger.finish_scan(run)


A, B, C = (Found(name, 10, 100) for name in (b"a", b"b", b"c"))


def test_what_a_scan_found_is_to_be_probed_and_then_done_scope_by_scope(ledger: Ledger) -> None:
    assert scan(ledger, A, B, C) == ([], 0)
    assert list(ledger.unprobed()) == [b"a", b"b", b"c"]
    ledger.probed([Scoped(b"a", "2"), Scoped(b"b", "1"), Scoped(b"c", "")])
    assert list(ledger.unprobed()) == []
    assert [todo.path for todo in ledger.todo()] == [b"c", b"b", b"a"]
    ledger.done([(b"b", row("written"))], {})
    assert [todo.path for todo in ledger.todo()] == [b"c", b"a"]
    assert ledger.remaining() == 2


def test_a_later_scan_reopens_what_has_changed_and_what_failed(ledger: Ledger) -> None:
    scan(ledger, *(Found(name, 1, 1) for name in (b"written", b"skipped", b"aside", b"failed", b"larger", b"newer")))
    statuses = {b"written": "written", b"skipped": "skipped", b"aside": "set-aside", b"failed": "failed"}
    ledger.done([(path, row(status)) for path, status in statuses.items()], {})
    ledger.done([(path, row("written")) for path in (b"larger", b"newer")], {})
    again = [Found(path, 1, 1) for path in statuses] + [Found(b"larger", 2, 1), Found(b"newer", 1, 2)]
    assert scan(ledger, *again) == ([b"larger", b"newer"], 0)
    assert list(ledger.unprobed()) == [b"failed", b"larger", b"newer"]
    assert scan(ledger, *again) == ([], 0)


def test_a_scan_forgets_what_is_gone(ledger: Ledger) -> None:
    scan(ledger, A, B)
    assert scan(ledger, B, C) == ([], 1)
    assert list(ledger.unprobed()) == [b"b", b"c"]


def test_what_was_written_is_remembered_when_it_is_gone_unless_its_output_is_lost(ledger: Ledger) -> None:
    scan(ledger, A, B)
    ledger.done([(file.path, row("written", bytes_out=1)) for file in (A, B)], {})
    assert scan(ledger, C) == ([], 2)
    ledger.reopen([A.path])
    ledger.forget_lost(2)
    assert list(ledger.unprobed()) == [C.path]
    assert [path for path, _, _ in ledger.written()] == [B.path]


@pytest.mark.parametrize("page", [1, 2, 7, 10_000])
def test_rows_come_all_and_in_order_whatever_the_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(ledger_module, "_PAGE", page)
    names = [b"%d" % number for number in range(20)] + [b"\xff", b"=", b"\n"]
    scan(ledger, *(Found(name, 1, 1) for name in names))
    assert list(ledger.unprobed()) == sorted(names)
    ledger.probed([Scoped(name, name[-1:].hex()) for name in names])
    assert [todo.path for todo in ledger.todo()] == sorted(names, key=lambda name: (name[-1:].hex(), name))
    ledger.done([(name, row("written", bytes_out=1)) for name in names], {})
    assert [path for path, _, _ in ledger.written()] == sorted(names)
    assert len(list(ledger.rows())) == len(names)


def test_the_table_may_be_written_to_while_it_is_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_PAGE", 2)
    names = [b"%d" % number for number in range(9)]
    scan(ledger, *(Found(name, 1, 1) for name in names))
    seen = []
    for path in ledger.unprobed():
        seen.append(path)
        ledger.probed([Scoped(path, "s")])
    assert seen == names


def test_rows_outcomes_and_totals_are_those_that_were_noted(ledger: Ledger) -> None:
    scan(ledger, A, B, C)
    written = row("written", bytes_in=10, bytes_out=20, kept=3, warnings=1)
    failed = row("failed", reason="truncated", detail="here")
    ledger.done([(b"a", written), (b"b", failed)], {0: 3})
    ledger.done([(b"c", written)], {0: 1, 4: 1})
    assert list(ledger.rows()) == [written, failed, written]
    assert ledger.outcomes() == [("written", None, 2, 20, 40), ("failed", "truncated", 1, None, None)]
    assert {name: number for name, number in ledger.totals().items() if number} == {"kept": 6, "warnings": 2}
    assert ledger.failures() == [("truncated", "here", 1)]
    assert ledger.hits() == Counter({0: 4, 4: 1})


def test_what_goes_wrong_half_way_leaves_nothing(ledger: Ledger) -> None:
    scan(ledger, A, B)
    with pytest.raises(Exception, match="binding"):
        ledger.done([(b"a", row("written")), (b"b", ("too short",))], {0: 1})
    assert ledger.remaining() == 2
    assert ledger.hits() == Counter()


def test_state_outlives_the_process_and_the_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    first = Ledger(str(path))
    first.remember({"key": b"\x00\xff", "day": b"x"})
    scan(first, A)
    first.clear()
    first.close()
    again = Ledger(str(path))
    assert (again.remembered("key"), again.remembered("day"), again.remembered("other")) == (b"\x00\xff", b"x", None)
    assert again.remaining() == 0
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_a_file_that_is_no_ledger_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"something else, of some length" * 100)
    with pytest.raises(Fault):
        Ledger(str(tmp_path / "ledger"))
