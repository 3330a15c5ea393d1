"""Imports point one way, from the roof to the ground; each outside library has its rooms."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import deid_batch

PACKAGE = Path(deid_batch.__file__).parent
FLOORS = [
    {"errors"},
    {"wire", "shapes", "crypto", "dictionary", "filemeta", "values", "digests", "sinks"},
    {"conditions", "selectors", "rules", "known", "methods", "plans", "profiles", "remnants"},
    {"config"},
    {"engine", "frames", "identity", "replay", "layouts"},
    {"oddfile", "dicomfile"},
    {"verify"},
    {"ledger", "audit", "workspace", "names", "crosswalk"},
    {"worker", "scan", "plan", "preview", "status", "api", "dicomdir", "remains", "tally"},
    {"batch", "fileset", "mirror", "pool", "daskpool", "progress", "verification", "review", "forget"},
    {"cli", "demo", "summary", "statement", "views", "__main__"},
]
"""The rooms, ground to roof; a name stands for a module or for a folder of modules."""
ROOMS = {
    "ahocorasick": {"known.matching"},
    "cryptography": {"crypto"},
    "lark": {"config.jsonc"},
    "pydantic": {"config.settings", "config.schema"},
    "pydicom": {"dictionary", "values.text", "values.uids", "oddfile", "demo", "api", "dicomdir", "verify.elements"},
    "sqlite3": {"ledger", "verify.facts", "tally"},
    "csv": {"audit", "crosswalk", "config.columns"},
    "joblib": {"pool"},
    "tqdm": {"progress"},
    "typer": {"cli"},
    "rich": {"cli", "summary", "views"},
    "dask": {"daskpool"},
    "distributed": {"daskpool"},
}
"""The modules that may import each of these."""


def name_of(path: Path) -> str:
    """`config.jsonc` for config/jsonc.py, `config` for config/__init__.py, "" for the package's own."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imported_by(module: str) -> set[str]:
    """The modules that a module imports anywhere in its source: `pydicom.uid`, `deid_batch.values.text`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            inside = {alias.name for alias in node.names if f"{node.module}.{alias.name}"[11:] in SOURCES}
            is_ours = node.module.partition(".")[0] == "deid_batch"
            found |= {f"{node.module}.{name}" for name in inside} if is_ours and inside else {node.module}
    return found


def inside_of(module: str) -> set[str]:
    """Our own modules among them, without the package's name; `""` is the package itself."""
    return {name[11:] for name in imported_by(module) if name.partition(".")[0] == "deid_batch"}


def floor_of(module: str) -> int:
    room = module.partition(".")[0]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


MODULES = [name for name in SOURCES if name]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module: str) -> None:
    assert sum(module.partition(".")[0] in rooms for rooms in FLOORS) == 1


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_or_lower_floors_only(module: str) -> None:
    higher = {name for name in inside_of(module) - {""} if floor_of(name) > floor_of(module)}
    assert higher == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter({module: inside_of(module) - {""} for module in MODULES}).static_order())


def test_the_package_itself_imports_nothing() -> None:
    assert imported_by("") <= {"__future__", "typing", "deid_batch.api"}


@pytest.mark.parametrize("library", ROOMS)
def test_an_outside_library_is_imported_in_its_rooms_only(library: str) -> None:
    guests = {name for name in SOURCES if library in {imported.partition(".")[0] for imported in imported_by(name)}}
    assert guests - ROOMS[library] == set()


def test_the_walk_needs_nothing_from_outside() -> None:
    ours_and_pythons = {"deid_batch", "__future__"}
    for module in ("wire", "plans", "engine"):
        outside = {name.partition(".")[0] for name in imported_by(module)} - ours_and_pythons
        assert not outside & set(ROOMS), module


def test_the_leak_check_owes_nothing_to_what_it_checks() -> None:
    checked = {"engine", "frames", "replay", "layouts", "identity", "known", "plans", "dicomfile", "filemeta", "sinks"}
    for module in (name for name in MODULES if name.partition(".")[0] == "verify"):
        words = {"known.words"}  # a list is no reasoning
        assert not {name.partition(".")[0] for name in inside_of(module) - words} & checked, module
