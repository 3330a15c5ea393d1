"""What a method is: a value goes in, a change comes out. Only the engine touches a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from deid_batch.errors import BadValue, InvalidOutput
from deid_batch.known import NOBODY, Known
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS, Encoding, Items, tag_name

COLUMNS = (
    "kept", "redacted", "removed", "dateshifted", "cryptohashed", "encrypted", "perturbed", "substituted",
    "uids_refreshed", "cleaned",
)  # fmt: skip
"""What elements are counted under; the audit log has a column for each."""

OnError = Literal["redact", "fail"]
ScopeName = Literal["SeriesInstance", "StudyInstance", "SOPInstance", "Patient"]
Place = tuple[Any, ...]
"""Where an item stands: (place of the outer item, tag of the sequence, number of the item); () is the top level."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The identity of the SOP Instance at hand, as found in its own data set; absent values are ""."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    patient: str = ""
    known: Known = field(default=NOBODY, repr=False, compare=False)
    """What is known to identify its patient and study."""
    origins: tuple[str, ...] = ()
    """The values by which the config's lists are looked up."""

    def scope_uid(self, scope: str) -> str:
        """What the members of a date-shift scope have in common."""
        return str(getattr(self, _SCOPE_ATTRIBUTES[scope]))


_SCOPE_ATTRIBUTES = {
    "SeriesInstance": "series_instance_uid",
    "StudyInstance": "study_instance_uid",
    "SOPInstance": "sop_instance_uid",
    "Patient": "patient",
}
SCOPES = tuple(_SCOPE_ATTRIBUTES)


class Element(NamedTuple):
    """The data element that a value stands in: all a method may know besides the value."""

    tag: int
    vr: str
    instance: Instance = Instance()
    place: Place = ()
    charset: bytes = b""
    little: bool = True
    strict: bool = False
    """Whether a result that is malformed for its VR must fail."""


class Change(NamedTuple):
    """What a method makes of a value: the new value field (None: the element goes), and how many warnings."""

    value: bytes | None
    warnings: int = 0


def inner_field() -> Any:
    """A part of a method that other settings decide: none that a config names."""
    return field(default=None, metadata={"inner": True})


def key_field() -> Any:
    """A method's key; b"" until the run's keys are settled. Never shown."""
    return field(default=b"", repr=False)


@dataclass(frozen=True)
class Method(ABC):
    """A way to treat elements; its fields are the settings that a config may give."""

    name: ClassVar[str]
    column: ClassVar[str]
    """The audit log's column in which treated elements are counted."""
    vrs: ClassVar[frozenset[str]]
    """The VRs whose values it can treat."""
    purpose: ClassVar[str] = ""
    """What its key is for if it has one."""
    erases: ClassVar[bool] = False
    """Whether it takes whole elements, sequences and encapsulated values included."""
    acts_on_empty: ClassVar[bool] = False
    judges: ClassVar[bool] = False
    """Whether it keeps sequences, but not all of their items: `judge` tells."""

    knows: ClassVar[bool] = False
    """Whether it looks at what is known of an instance (`Instance.known`), which is else not collected."""

    on_error: OnError = "redact"

    def cache_token(self, instance: Instance) -> str | None:
        """What a result depends on besides settings, tag, VR, character set and value; None: on everything."""
        return ""

    @property
    def items(self) -> Items:
        """What it puts in place of a sequence that it takes, or behind the items of one that it keeps."""
        return ()

    def judge(self, data: bytes, start: int, encoding: Encoding) -> int:
        """What becomes of the item whose content begins at `start`: -1, it goes; else what the decisions in it get."""
        return 0

    @property
    def goes_when_empty(self) -> bool:
        """Whether a sequence goes with the last of its items."""
        return False

    @abstractmethod
    def apply(self, value: bytes, element: Element) -> Change:
        """The change of an element's whole value field. What can't be treated follows `on_error`."""

    def give_up(self, element: Element, why: str) -> Change:
        """The whole value is erased, or the file fails."""
        if self.on_error == "fail":
            raise BadValue(f"{tag_name(element.tag)} {element.vr}: {why}")
        return Change(b"", 1)


class ValueMethod(Method):
    """A method that treats the values of an element one by one: their number and positions stay."""

    def apply(self, value: bytes, element: Element) -> Change:
        if element.vr not in self.vrs:
            return self.give_up(element, f"{self.name} can't treat this VR")
        if element.vr not in TEXT_VRS:
            return self.apply_binary(value, element)
        try:
            values = text.split(value, element.vr, element.charset)
        except BadValue as error:
            return self.give_up(element, error.detail)
        warnings = 0
        for number, one in enumerate(values):
            try:
                values[number] = self.treat(one, element, number) if one.strip() else ""
            except BadValue as error:
                warnings += self.give_up(element, error.detail).warnings
                values[number] = ""
        return self.joined(values, element, warnings)

    def joined(self, values: list[str], element: Element, warnings: int) -> Change:
        """The change that these values are."""
        try:
            joined = text.join(values, element.vr, element.charset)
        except BadValue as error:
            return self.give_up(element, error.detail)
        malformed = sum(not text.conforms(value, element.vr) for value in values)
        if malformed and element.strict:
            raise InvalidOutput(f"{tag_name(element.tag)} {element.vr}: too long or malformed after {self.name}")
        return Change(joined, warnings + malformed)

    @abstractmethod
    def treat(self, value: str, element: Element, number: int) -> str:
        """One value, never empty and without padding; BadValue if it can't be treated."""

    def apply_binary(self, value: bytes, element: Element) -> Change:
        """The value field of a VR that is no text."""
        return self.give_up(element, f"{self.name} can't treat this VR")
