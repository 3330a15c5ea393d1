"""Parts of the work by themselves, so that a slower commit is seen: `pytest benchmarks --benchmark-compare`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from benchmarks import templates
from benchmarks.corpora import CORPORA, instances
from deid_batch import dicomfile, filemeta
from deid_batch.audit import AuditLog
from deid_batch.config import load_config
from deid_batch.engine import CompiledRules, Walk
from deid_batch.identity import read_instance
from deid_batch.ledger import Found, Ledger, Scoped
from deid_batch.methods import METHODS, Element, Instance
from deid_batch.plans import Ground, Plans
from deid_batch.wire import EXPLICIT_LITTLE
from deid_batch.worker import audit_row

pytest.importorskip("pytest_benchmark")
HEAD = 1 << 20
FILES: dict[str, Callable[[], bytes]] = {
    "mr": CORPORA["mr"].templates[0],
    "ct": CORPORA["ct"].templates[0],
    "segmentation": templates.segmentation,
    "plan": templates.plan,
    "structures": templates.structures,
    "report": templates.report,
    "multi-frame": partial(templates.enhanced, edge=64),
    "jpeg": partial(templates.as_it_is, templates.ENCAPSULATED[0]),
}
INSTANCE = Instance("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4", "1.2.3", "1.2.3.9", "issuer\0PAT1")
VALUES = {
    "keep": ("PN", 0x00100010, b"Last^First^Middle "),
    "remove": ("PN", 0x00100010, b"Last^First^Middle "),
    "redact": ("DA", 0x00080020, b"20161012"),
    "dateshift": ("DA", 0x00080020, b"20161012"),
    "perturb": ("DS", 0x00280030, b"0.810547\\0.810547 "),
    "cryptohash": ("LO", 0x00100020, b"PAT0000001"),
    "encrypt": ("PN", 0x00100010, b"Last^First^Middle "),
    "substitute": ("PN", 0x00100010, b"Last^First^Middle "),
    "clean": ("LO", 0x0008103E, b"CT Abdomen 12.03.2024 "),
    "refreshUID": ("UI", 0x0020000D, b"1.2.826.0.1.3680043.8.498.2.100000"),
}
JOB = 64


@pytest.fixture(scope="module")
def compiled() -> CompiledRules:
    config = load_config("seed-sample")
    keys = {purpose: bytes(range(32)) for purpose in config.missing_keys()}
    return CompiledRules(config.settled(keys, date(2026, 1, 31)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_walk(name: str, benchmark: Any, compiled: CompiledRules) -> None:
    template = FILES[name]()
    meta = filemeta.read(template, partial=False)
    assert meta is not None
    encoding = filemeta.encoding_of(meta, template)
    files = instances(template, count(), per_series=20)

    def next_file() -> tuple[tuple[bytes, Instance], dict[str, Any]]:
        """Another one each time, as in a run: what was met before is remembered."""
        data = bytes(next(files))
        return (data[:HEAD], read_instance(data, meta.start, encoding, partial=False)[0]), {}

    def walk(head: bytes, instance: Instance) -> Walk:
        walk = Walk(compiled, instance, encoding)
        walk.feed(head, meta.start, partial=len(head) < len(template))
        walk.taken()
        return walk

    assert benchmark.pedantic(walk, setup=next_file, rounds=60, warmup_rounds=3).counts["kept"] > 10


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Tag and VR of the elements of a CT, as they are written."""
    path = tmp_path_factory.mktemp("ct") / "ct.dcm"
    path.write_bytes(FILES["ct"]())
    return [
        element.tag.group.to_bytes(2, "little") + element.tag.elem.to_bytes(2, "little") + element.VR.encode()
        for element in dcmread(path)
        if not element.tag.is_private
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_first_look(name: str, benchmark: Any, compiled: CompiledRules, tmp_path: Path) -> None:
    rules = replace(compiled.rules, hides_names=True)  # as in a run: what identifies is collected
    path, alike = tmp_path / name, dicomfile.alike()
    path.write_bytes(FILES[name]())
    benchmark(lambda: dicomfile.probe(str(path), rules, alike))


def test_first_decisions(benchmark: Any, compiled: CompiledRules, headers: list[bytes]) -> None:
    def decide() -> list[Any]:
        plans = Plans(compiled.rules, Ground(EXPLICIT_LITTLE))
        return [plans[header] for header in headers]

    assert len(benchmark(decide)) == len(headers)


def test_known_decisions(benchmark: Any, compiled: CompiledRules, headers: list[bytes]) -> None:
    plans = Plans(compiled.rules, Ground(EXPLICIT_LITTLE))
    assert len(benchmark(lambda: [plans[header] for header in headers])) == len(headers)


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str, benchmark: Any) -> None:
    vr, tag, value = VALUES[name]
    keyed: Any = {"key": bytes(range(32))} if "key" in METHODS[name].__dataclass_fields__ else {}
    method = METHODS[name](**keyed)
    assert benchmark(method.apply, value, Element(tag, vr, INSTANCE)).warnings == 0


@pytest.fixture
def books(tmp_path: Path) -> Iterator[tuple[Ledger, AuditLog]]:
    ledger = Ledger(str(tmp_path / "ledger.sqlite"))
    audit = AuditLog(str(tmp_path / "audit.csv"))
    yield ledger, audit
    audit.close()
    ledger.close()


def test_books_of_a_job(benchmark: Any, books: tuple[Ledger, AuditLog]) -> None:
    """What ledger and audit log take for 64 files, from the scan to the last row."""
    ledger, audit = books
    run = ledger.begin_run()
    jobs = iter(range(1_000_000))

    def book() -> None:
        job = next(jobs)
        paths = [os.fsencode(f"PAT{job:05}/IM{number:05}.dcm") for number in range(JOB)]
        ledger.found(run, [Found(path, 40_000, 1) for path in paths], [])
        ledger.probed([Scoped(path, "0123456789abcdef") for path in paths])
        rows = [(path, audit_row(path, status="written", bytes_out=40_000, kept=70, seconds=0.0)) for path in paths]
        ledger.done(rows, {})
        audit.append(row for _, row in rows)

    benchmark(book)
    assert ledger.remaining() == 0
