"""The profile on generated files of every form: what must go is gone, and nothing depends on how a file is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from datasets import FIRST_WINDOW, Generated, files, rewritten
from hypothesis import HealthCheck, given, settings
from oracle import Node, Tree, read
from profiled import rules
from test_profile_table import ROWS

from deid_batch.dicomfile import rewrite_bytes
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError
from deid_batch.profiles.gate import Gate

RULES = {
    "basic": rules(gate=Gate(burned_in="allow")),
    "safe private": rules("retain_safe_private", gate=Gate(burned_in="allow")),
    "content": rules("clean_structured_content", "retain_uids", gate=Gate(burned_in="allow")),
}
GONE = {row.tag for row in ROWS if row.basic == "X" and not row.options}
EMPTY_OR_DUMMY = {b"", b"ANONYMIZED", b"19000101", b"19000101000000", b"000000"}
TREATED = {row.tag: row.vr for row in ROWS if row.vr in ("DA", "DT", "TM") and row.basic != "X"}
GENERATED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def elements(tree: Tree) -> Iterator[tuple[int, Node]]:
    for tag, node in tree.items():
        yield tag, node
        if isinstance(node.value, list):
            for item in node.value:
                yield from elements(item)


def result(file: Generated, name: str, window: int = FIRST_WINDOW) -> bytes | str:
    try:
        return rewritten(file.data, RULES[name], window=window)[0]
    except FileError as error:
        return error.reason


@GENERATED
@given(files())
def test_what_must_go_is_gone_at_any_depth(file: Generated) -> None:
    output = result(file, "basic")
    if isinstance(output, str):
        return
    for tag, node in elements(read(output).tree):
        assert tag not in GONE
        assert not tag >> 16 & 1, "a private element"
        if tag in TREATED and isinstance(node.value, bytes):
            assert set(node.value.strip(b" \0").split(b"\\")) <= EMPTY_OR_DUMMY


@GENERATED
@given(files())
def test_private_elements_that_stay_have_a_creator_of_the_table(file: Generated) -> None:
    output = result(file, "safe private")
    if isinstance(output, str):
        return
    creators = [node.value for tag, node in elements(read(output).tree) if tag >> 16 & 1 and tag & 0xFFFF < 0x100]
    known = (b"GEMS_IDEN_01", b"Philips Imaging DD 001", b"SIEMENS CSA HEADER")
    assert all(isinstance(value, bytes) and value.strip(b" \0") in known for value in creators)
    assert b"ACME" not in b"".join(value for value in creators if isinstance(value, bytes))


@pytest.mark.parametrize("name", RULES)
@settings(GENERATED, max_examples=25)
@given(file=files())
def test_the_width_of_windows_does_not_matter(name: str, file: Generated) -> None:
    assert result(file, name, window=200) == result(file, name)


@settings(GENERATED, max_examples=25)
@given(first=files(), second=files())
def test_what_was_done_before_does_not_matter(first: Generated, second: Generated) -> None:
    compiled = CompiledRules(RULES["content"])
    for file in (first, first, first, second, first, second):
        try:
            output: bytes | str = rewrite_bytes(file.data, compiled)
        except FileError as error:
            output = error.reason
        assert output == result(file, "content")
