"""encrypt: the value sealed with AES-CBC, so that who has the key can restore it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from deid_batch import crypto
from deid_batch.methods.base import Change, Element, Instance, Place, ValueMethod, key_field
from deid_batch.values import text
from deid_batch.wire import TEXT_VRS


@dataclass(frozen=True)
class Encrypt(ValueMethod):
    """AES-CBC with the IV in front: of a text's UTF-8 form as base64, of OB and UN as raw bytes. (RFC 5652 6.3)

    The IV is derived from key, SOP Instance UID, place and value, so that runs agree.
    """

    name: ClassVar[str] = "encrypt"
    column: ClassVar[str] = "encrypted"
    vrs: ClassVar[frozenset[str]] = TEXT_VRS | {"OB", "UN"}
    purpose: ClassVar[str] = "encrypt"

    key: bytes = key_field()

    def cache_token(self, instance: Instance) -> str | None:
        return None

    def treat(self, value: str, element: Element, number: int) -> str:
        return base64.b64encode(self._sealed(value.encode(), element, number)).decode()

    def apply_binary(self, value: bytes, element: Element) -> Change:
        return Change(text.padded(self._sealed(value, element, 0), element.vr))

    def _sealed(self, plain: bytes, element: Element, number: int) -> bytes:
        place = _place_of_value(element.place, element.tag, number)
        iv = crypto.derive(self.key, "encrypt-iv", element.instance.sop_instance_uid.encode(), place, plain)[:16]
        return crypto.encrypt_cbc(self.key, iv, plain)


@lru_cache(maxsize=1024)
def _place_of_value(place: Place, tag: int, number: int) -> bytes:
    return f"{written_place(place)}{tag:08X}[{number}]".encode()


def written_place(place: Place) -> str:
    """A place as text: the sequences' tags and item numbers from the outside in."""
    if not place:
        return ""
    outer, tag, number = place
    return f"{written_place(outer)}{tag:08X}[{number}]/"
