"""refreshUID: a new UID for every instance UID, the same one wherever the old one stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deid_batch import crypto
from deid_batch.methods.base import Change, Element, ValueMethod, key_field
from deid_batch.values import text, uids


@dataclass(frozen=True)
class RefreshUID(ValueMethod):
    """Derive a new UID by key (PS3.15 action U). Registered UIDs, and attributes that name definitions, stay."""

    name: ClassVar[str] = "refreshUID"
    column: ClassVar[str] = "uids_refreshed"
    vrs: ClassVar[frozenset[str]] = frozenset({"UI"})
    purpose: ClassVar[str] = "uid"

    key: bytes = key_field()

    def apply(self, value: bytes, element: Element) -> Change:
        uid = value.rstrip(b"\0 ")
        if element.vr != "UI" or not uid.isascii() or b"\\" in uid or not uid.strip():
            return super().apply(value, element)
        old = uid.decode()  # a single UID, as nearly all are
        new = self.treat(old, element, 0)
        return super().apply(value, element) if new is old else Change(text.padded(new.encode(), "UI"))

    def treat(self, value: str, element: Element, number: int) -> str:
        if element.tag in uids.DEFINITION_ATTRIBUTES or value.strip() in uids.registered():
            return value
        return new_uid(self.key, value.strip())


def new_uid(key: bytes, uid: str) -> str:
    """The UID that stands for `uid` under this key."""
    return uids.from_digest(crypto.derive(key, "uid", uid.encode()))
