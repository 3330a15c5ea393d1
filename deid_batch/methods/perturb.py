"""perturb: add noise to numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval

from deid_batch import crypto
from deid_batch.errors import BadValue
from deid_batch.methods.base import Change, Element, Instance, ScopeName, ValueMethod, key_field
from deid_batch.methods.encrypt import written_place
from deid_batch.values import ages, numbers

_STEPS = 2**64


@dataclass(frozen=True)
class Perturb(ValueMethod):
    """Add uniform noise in [-span/2, +span/2], or that times the absolute value, and round half-even.

    The noise follows from key, scope, tag and value: all slices of a series get the same, so that averaging
    over them reveals nothing. `perturb_scope` "None" draws anew for each place and instance.
    """

    name: ClassVar[str] = "perturb"
    column: ClassVar[str] = "perturbed"
    vrs: ClassVar[frozenset[str]] = numbers.BINARY_VRS | {"AS", "DS", "IS"}
    purpose: ClassVar[str] = "perturb"

    span: Annotated[Decimal, Ge(0)] = Decimal(1)
    range_type: Literal["Fixed", "Proportional"] = "Fixed"
    round_to: Annotated[int, Interval(ge=0, le=28)] = 2
    distribution: Literal["Uniform"] = "Uniform"
    perturb_scope: ScopeName | Literal["None"] = "SeriesInstance"
    key: bytes = key_field()

    def cache_token(self, instance: Instance) -> str | None:
        return None if self.perturb_scope == "None" else instance.scope_uid(self.perturb_scope)

    def treat(self, value: str, element: Element, number: int) -> str:
        value = value.strip()
        if element.vr == "AS":
            years, unit = ages.parse_as(value)
            return ages.format_as(int(numbers.rounded(self._noisy(Decimal(years), element, number), 0)), unit)
        if element.vr == "IS":
            return numbers.format_is(self._noisy(numbers.parse_is(value), element, number))
        return numbers.format_ds(self._noisy(numbers.parse_ds(value), element, number))

    def apply_binary(self, value: bytes, element: Element) -> Change:
        known: dict[tuple[int | float, int], int | float] = {}
        noisy: list[int | float] = []
        try:
            for number, word in enumerate(numbers.unpack(value, element.vr, element.little)):
                drawn_for = number if self.perturb_scope == "None" else 0
                if (word, drawn_for) not in known:
                    exact = self._noisy(numbers.as_decimal(word), element, drawn_for)
                    known[word, drawn_for] = numbers.as_word(exact, element.vr)
                noisy.append(known[word, drawn_for])
        except BadValue as error:
            return self.give_up(element, error.detail)
        return Change(numbers.pack(noisy, element.vr, element.little))

    def _noisy(self, number: Decimal, element: Element, place: int) -> Decimal:
        exact = numbers.EXACT
        seed = self._seed(number, element, place)
        fraction = exact.subtract(exact.divide(Decimal(seed), Decimal(_STEPS - 1)), Decimal("0.5"))
        try:
            noise = exact.multiply(fraction, self.span)
            if self.range_type == "Proportional":
                noise = exact.multiply(noise, number.copy_abs())
            return numbers.rounded(exact.add(number, noise), self.round_to)
        except ArithmeticError:
            raise BadValue("no number is large enough for its noise") from None

    def _seed(self, number: Decimal, element: Element, place: int) -> int:
        if self.perturb_scope == "None":
            drawn_for = f"{element.instance.sop_instance_uid} {written_place(element.place)}[{place}]"
        else:
            drawn_for = element.instance.scope_uid(self.perturb_scope)
        written = str(number.normalize(numbers.EXACT)) if number else "0"
        inputs = drawn_for.encode(), f"{element.tag:08X}".encode(), written.encode()
        return int.from_bytes(crypto.derive(self.key, "perturb", *inputs)[:8], "big")
