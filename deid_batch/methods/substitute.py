"""substitute: a fixed text or number in place of every value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deid_batch.errors import BadValue
from deid_batch.methods.base import Change, Element, ValueMethod
from deid_batch.values import numbers, text
from deid_batch.wire import TEXT_VRS, WORD_SIZE


@dataclass(frozen=True)
class Substitute(ValueMethod):
    """Put `replace_with` in place of every value that is not empty (PS3.15 action D)."""

    name: ClassVar[str] = "substitute"
    column: ClassVar[str] = "substituted"
    vrs: ClassVar[frozenset[str]] = TEXT_VRS | numbers.BINARY_VRS

    replace_with: str = "ANONYMOUS"

    def unfit_for(self, vr: str) -> str:
        """Why the replacement is no value of this VR; "" if it is one."""
        if vr not in self.vrs:
            return f"values of VR {vr} can't be substituted"
        if vr not in TEXT_VRS:
            try:
                number = numbers.parse_ds(self.replace_with)
            except BadValue:
                return f"the replacement is no number, VR {vr} holds numbers"
            fits = numbers.as_word(number, vr) == number or vr in ("FL", "OF")
            return "" if fits else f"VR {vr} can't hold the replacement"
        fits = text.conforms(self.replace_with, vr)
        return "" if fits else f"the replacement is no valid value of VR {vr}"

    def treat(self, value: str, element: Element, number: int) -> str:
        if "\\" in self.replace_with and element.vr not in text.SINGLE_VALUED:
            raise BadValue("the replacement is more than one value")
        return self.replace_with

    def apply_binary(self, value: bytes, element: Element) -> Change:
        if self.unfit_for(element.vr):
            return self.give_up(element, self.unfit_for(element.vr))
        word = numbers.as_word(numbers.parse_ds(self.replace_with), element.vr)
        count = len(value) // WORD_SIZE[element.vr]
        return Change(numbers.pack([word] * count, element.vr, element.little))
