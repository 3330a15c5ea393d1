"""keep, remove, redact. (PS3.15 E.1)"""

from datetime import date

import pytest

from deid_batch.methods import Element
from deid_batch.methods.base import OnError
from deid_batch.methods.erase import Keep, Redact, Remove
from deid_batch.wire import VRS

PARTIAL = Redact(
    enable_partial_dates_for_redact=True, enable_partial_ages_for_redact=True, reference_date=date(2026, 7, 31)
)


def redacted(value: bytes, vr: str, method: Redact = PARTIAL) -> bytes | None:
    change = method.apply(value, Element(0x00080020, vr))
    assert change.warnings == 0
    return change.value


@pytest.mark.parametrize(
    ("vr", "before", "after"),
    [
        ("DA", b"20161012", b"20160101"),
        ("DA", b"2016.10.12", b"2016.01.01"),
        ("DA", b"20161012\\20170304 ", b"20160101\\20170101 "),
        ("DA", b"20161012\\\\20170304", b"20160101\\\\20170101"),
        ("DA", b"20161012\\unknown\\20170304 ", b"20160101\\\\20170101"),
        ("DA", b"20161012\\19000101 ", b"20160101\\ "),
        ("DT", b"20210320202020.00654+0230 ", b"20210101000000.00000+0230 "),
        ("DT", b"2021", b"2021"),
        ("DT", b"202103", b"202101"),
        ("AS", b"089Y", b"089Y"),
        ("AS", b"018M", b"018M"),
        ("AS", b"999M", b"999M"),
        ("AS", b"003D\\095Y ", b"003D\\ "),
    ],
)
def test_partial_redaction_leaves_the_year_and_ages_up_to_89(vr: str, before: bytes, after: bytes) -> None:
    assert redacted(before, vr) == after


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AS", b"090Y"),
        ("AS", b"095Y"),
        ("AS", b"090Y\\120Y "),
        ("AS", b"45"),
        ("DA", b"19370730"),
        ("DA", b"2016101"),
        ("DA", b"20161301"),
        ("DA", b"unknown "),
        ("DA", b""),
        ("DA", b"        "),
        ("DT", b"1936"),
        ("DT", b"20161012 202020 "),
        ("TM", b"202020"),
        ("PN", b"20161012"),
        ("LO", b"045Y"),
        ("UN", b"20161012"),
    ],
)
def test_all_else_is_redacted_as_a_whole(vr: str, value: bytes) -> None:
    assert redacted(value, vr) is None


@pytest.mark.parametrize(("vr", "value"), [("DA", b"20161012"), ("DT", b"2016"), ("AS", b"045Y"), ("DA", b"")])
def test_without_the_partial_settings_nothing_stays(vr: str, value: bytes) -> None:
    assert redacted(value, vr, Redact()) is None


def test_each_partial_setting_stands_for_itself() -> None:
    dates, ages = Redact(enable_partial_dates_for_redact=True), Redact(enable_partial_ages_for_redact=True)
    assert (redacted(b"20161012", "DA", dates), redacted(b"045Y", "AS", dates)) == (b"20160101", None)
    assert (redacted(b"20161012", "DA", ages), redacted(b"045Y", "AS", ages)) == (None, b"045Y")


def test_the_day_of_the_age_cap_stays_and_the_day_before_goes() -> None:
    assert redacted(b"19370731", "DA") == b"19370101"
    assert redacted(b"19370730", "DA") is None


@pytest.mark.parametrize("vr", sorted(VRS))
def test_redact_leaves_nothing_or_an_empty_element(vr: str) -> None:
    assert redacted(b"value ", vr, Redact()) is None
    assert redacted(b"value ", vr, Redact(redact_leaves="empty")) == b""


@pytest.mark.parametrize("on_error", ["redact", "fail"])
def test_a_malformed_date_or_age_goes_whatever_on_error_says_for_redact_can_treat_it(on_error: OnError) -> None:
    method = Redact(on_error=on_error, enable_partial_dates_for_redact=True, enable_partial_ages_for_redact=True)
    for vr, value in (("DA", b"unknown "), ("DT", b"20211 "), ("AS", b"45")):
        assert redacted(value, vr, method) is None


@pytest.mark.parametrize("vr", sorted(VRS))
@pytest.mark.parametrize("value", [b"", b"value ", b"\xff\0", b"\\\\"])
def test_keep_keeps_and_remove_removes_whatever_the_value(vr: str, value: bytes) -> None:
    assert Keep().apply(value, Element(0x00080020, vr)) == (value, 0)
    assert Remove().apply(value, Element(0x00080020, vr)) == (None, 0)
