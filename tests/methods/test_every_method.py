"""What holds for all methods: number and positions of values, determinism, what may be shown."""

import pickle
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch.config.settings import KEY_SETTINGS
from deid_batch.errors import BadValue
from deid_batch.methods import METHODS, Element, Instance, Method, ValueMethod
from deid_batch.methods.base import COLUMNS
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS, VRS

SECRET = b"s3cret of 16 b.."
INSTANCE = Instance("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1", "1.2.3.2", "1.2.3.3", "\0patient")
LETTERS = "AZ az09.-+^=_\t ÄŁ山희"
VALUES = st.text(LETTERS, max_size=12) | st.sampled_from(["20161012", "045Y", "1.5", "7", "1.2.3", "2021", "", " "])


def keyed(method: type[Method]) -> Method:
    made = method()
    return replace(made, key=SECRET) if "key" in {field.name for field in fields(made)} else made


VALUE_METHODS = [method for method in METHODS.values() if issubclass(method, ValueMethod)]


@pytest.mark.parametrize("method", VALUE_METHODS, ids=lambda method: method.name)
@given(st.sampled_from(sorted(TEXT_VRS)), st.lists(VALUES, min_size=1, max_size=5), st.booleans())
def test_the_number_and_positions_of_values_never_change(
    method: type[Method], vr: str, values: list[str], fails: bool
) -> None:
    charset = b"ISO_IR 192"
    raw = text.padded("\\".join(values).encode(), vr)
    treating = replace(keyed(method), on_error="fail" if fails else "redact")
    try:
        change = treating.apply(raw, Element(0x00100020, vr, INSTANCE, charset=charset))
    except BadValue:
        assert fails
        return
    before, after = (text.split(field or b"", vr, charset) for field in (raw, change.value))
    if change.value == b"" and change.warnings == 1 and vr not in method.vrs:
        return  # erased as a whole
    assert len(after) == len(before)
    erased = 0
    for old, new in zip(before, after, strict=True):
        assert new == "" or old.strip()
        erased += bool(old.strip()) and not new
    assert erased <= change.warnings
    assert len(change.value or b"") % 2 == 0


@pytest.mark.parametrize("name", METHODS)
@given(st.sampled_from(sorted(VRS)), st.binary(max_size=24), st.booleans())
def test_any_bytes_become_a_change_or_a_bad_value_and_always_the_same(
    name: str, vr: str, value: bytes, little: bool
) -> None:
    element = Element(0x00100020, vr, INSTANCE, little=little, charset=b"\\ISO 2022 IR 87")
    method = keyed(METHODS[name])
    change = method.apply(value, element)
    assert method.apply(value, element) == change
    assert change.value is None or len(change.value) % 2 == 0 or change.value == value
    try:
        assert replace(method, on_error="fail").apply(value, element) == change
    except BadValue:
        assert change.warnings > 0


@pytest.mark.parametrize("method", VALUE_METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("vr", sorted(TEXT_VRS))
def test_a_file_that_fails_names_the_tag_and_never_the_value(method: type[Method], vr: str) -> None:
    failing = replace(keyed(method), on_error="fail")
    element = Element(0x00100010, vr, INSTANCE, charset=b"ISO_IR 192")
    for value in (b"Doe^Jane", b"Doe^J\xe4ne"):
        if keyed(method).apply(value, element).value == b"":
            with pytest.raises(BadValue, match=r"^bad-value: \(0010,0010\) [A-Z]{2}: [a-zA-Z ']+$"):
                failing.apply(value, element)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_goes_to_a_worker_and_never_shows_its_key(name: str) -> None:
    method = keyed(METHODS[name])
    assert pickle.loads(pickle.dumps(method)) == method
    for shown in (repr(method), str(method), f"{method}"):
        assert SECRET.decode() not in shown
        assert "key" not in shown


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_known_by_its_name_column_and_purpose(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.column in COLUMNS
    assert method.vrs <= VRS
    assert ("key" in {field.name for field in fields(method)}) == (method.purpose in KEY_SETTINGS.values())


def test_the_methods_of_the_contract_are_there() -> None:
    assert set(METHODS) == {
        "keep", "clean", "remove", "redact", "dateshift", "perturb", "cryptohash", "encrypt", "substitute",
        "refreshUID",
    }  # fmt: skip
