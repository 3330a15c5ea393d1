"""AS values. (PS3.5 6.2)"""

import pytest

from deid_batch.errors import BadValue
from deid_batch.values import ages


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("045Y", (45, "Y")), ("018M", (18, "M")), ("003W", (3, "W")), ("000D", (0, "D")), ("095Y", (95, "Y"))],
)
def test_an_age_is_three_digits_and_a_unit(text: str, parsed: tuple[int, str]) -> None:
    assert ages.parse_as(text) == parsed
    assert ages.format_as(*parsed) == text


@pytest.mark.parametrize("text", ["", "45Y", "0045Y", "045", "045y", "Y045", "045 Y", "-45Y", "045A", "０45Y", "045Y "])
def test_what_is_no_age_is_a_bad_value(text: str) -> None:
    with pytest.raises(BadValue):
        ages.parse_as(text)
    with pytest.raises(BadValue):
        ages.is_over_cap(text)


@pytest.mark.parametrize("text", ["090Y", "095Y", "100Y", "999Y"])
def test_ninety_years_and_more_are_over_the_cap(text: str) -> None:
    assert ages.is_over_cap(text)


@pytest.mark.parametrize("text", ["089Y", "000Y", "001Y", "999M", "999W", "999D", "018M"])
def test_up_to_89_years_are_not_over_the_cap_whatever_the_unit(text: str) -> None:
    assert not ages.is_over_cap(text)


@pytest.mark.parametrize(("number", "text"), [(-1, "000Y"), (1000, "999Y"), (999, "999Y"), (7, "007Y")])
def test_a_number_that_three_digits_cannot_say_is_clamped(number: int, text: str) -> None:
    assert ages.format_as(number, "Y") == text
