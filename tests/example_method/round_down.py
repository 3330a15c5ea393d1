"""roundDown: numbers in coarse steps, so that no exact weight or height singles a patient out."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, ClassVar

from annotated_types import Gt

from deid_batch.methods import Element, ValueMethod
from deid_batch.values import numbers


@dataclass(frozen=True)
class RoundDown(ValueMethod):
    """Round each value of a DS down to a multiple of `step`."""

    name: ClassVar[str] = "roundDown"
    column: ClassVar[str] = "perturbed"
    vrs: ClassVar[frozenset[str]] = frozenset({"DS"})

    step: Annotated[Decimal, Gt(0)] = Decimal(5)

    def treat(self, value: str, element: Element, number: int) -> str:
        exact = numbers.EXACT
        steps = exact.divide(numbers.parse_ds(value.strip()), self.step).to_integral_value(ROUND_FLOOR)
        return numbers.format_ds(exact.multiply(steps, self.step))
