"""cryptohash: a keyed digest in place of the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from deid_batch import crypto
from deid_batch.methods.base import Change, Element, ValueMethod, key_field
from deid_batch.wire import TEXT_VRS


@dataclass(frozen=True)
class CryptoHash(ValueMethod):
    """HMAC of the value: of a text's UTF-8 form in lower-case hex digits, of OB and UN as raw bytes. (FIPS 198-1)"""

    name: ClassVar[str] = "cryptohash"
    column: ClassVar[str] = "cryptohashed"
    vrs: ClassVar[frozenset[str]] = TEXT_VRS | {"OB", "UN"}
    purpose: ClassVar[str] = "cryptohash"

    crypto_hash_type: Literal["Sha256", "Sha384", "Sha512"] = "Sha256"
    match_input_string_length: bool = False
    max_length: Annotated[int, Interval(ge=8, le=128)] | None = None
    key: bytes = key_field()

    def treat(self, value: str, element: Element, number: int) -> str:
        length = len(value) if self.match_input_string_length else self.max_length
        return self._digest(value.encode()).hex()[:length]

    def apply_binary(self, value: bytes, element: Element) -> Change:
        return Change(self._digest(value))

    def _digest(self, message: bytes) -> bytes:
        return crypto.keyed_digest(self.key, message, self.crypto_hash_type.lower())
