"""The leak check reads whatever there is: generated files, and bytes that mean nothing."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from datasets import Generated, files, rewritten
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deid_batch.errors import FileError
from deid_batch.methods.erase import Redact, Remove
from deid_batch.methods.refreshuid import RefreshUID
from deid_batch.rules import Rule, RuleSet
from deid_batch.selectors import AnyPrivate, VRIs
from deid_batch.verify.blobs import around_image, inflated_in, texts_in
from deid_batch.verify.comparison import Checker
from deid_batch.verify.days import days_in
from deid_batch.verify.identity import Known
from deid_batch.verify.matcher import Matcher
from deid_batch.verify.promises import Promises
from deid_batch.verify.regions import Broken, regions
from deid_batch.verify.words import folded

TEXTS = "AE CS LO LT PN SH ST UC UN UR UT DA DT TM".split()
RULES = RuleSet(
    (
        Rule(AnyPrivate(), Remove()),
        Rule(VRIs("UI"), RefreshUID(key=b"k" * 32)),
        *(Rule(VRIs(vr), Redact(redact_leaves="empty")) for vr in TEXTS),
    ),
    uid_key=b"k" * 32,
)
NAMES = ("Müller-Lüdenscheid^Jörg", "O'Neill^Ann^B", "山田^太郎", "Li^Wu", "van der Berg^Kim", "김^희중")
STARTS = (b"", b"\xff\xd8", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"PK\3\4")
SCRATCH = tempfile.TemporaryDirectory()
ANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@settings(ANY, max_examples=25)
@given(files())
def test_clean_outputs_of_generated_files_are_passed_over_in_silence(file: Generated) -> None:
    source, output = Path(SCRATCH.name, "source"), Path(SCRATCH.name, "output")
    source.write_bytes(file.data)
    try:
        output.write_bytes(rewritten(file.data, RULES)[0])
    except FileError:
        return
    findings = Checker(Promises(RULES)).check(str(source), str(output)).findings
    assert [it for it in findings if it.place != "the original"] == []


@ANY
@given(st.binary(max_size=400), st.sampled_from(["", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"]))
def test_regions_of_any_bytes_lie_within_them_and_follow_each_other(data: bytes, syntax: str) -> None:
    end = 0
    try:
        for region in regions(data, 0, len(data), syntax):
            assert end <= region.begin < region.start <= region.stop <= len(data)
            end = region.stop
    except Broken:
        pass


@ANY
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_bytes_can_be_unpacked(start: bytes, rest: bytes) -> None:
    data = start + rest
    assert all(isinstance(text, str) for _, text in texts_in(data))
    assert all(isinstance(part, bytes) for part in [*inflated_in(data), *(it for _, it in around_image(data))])


@ANY
@given(st.sampled_from(NAMES), st.booleans(), st.sampled_from([" ", "  ", "_", "^", ", ", "-", "/"]))
def test_a_whole_name_is_found_in_either_order(name: str, is_reversed: bool, between: str) -> None:
    parts = name.split("^")[:2]
    written = between.join(reversed(parts) if is_reversed else parts)
    matcher = Matcher(frozenset({Known("person", name)}))
    for form in (written, written.upper(), folded(written)):
        assert matcher.kinds_in(f"x {form} 7") == {"person"}


@ANY
@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_a_day_is_read_in_all_its_forms(day: date) -> None:
    forms = ["%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y", "%d-%b-%Y", "%Y/%m/%d", "%d.%m.%y"]
    for form in forms:
        assert day in days_in(folded(f"on {day.strftime(form)}, then")), form


@ANY
@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    identity = frozenset({Known("person", text), Known("id", text), Known("telephone", text), Known("address", text)})
    assert Matcher(identity).kinds_in(text) <= {"person", "id", "telephone", "address"}
    assert Matcher(frozenset({Known("institution", text)})).kinds_in("") == set()
