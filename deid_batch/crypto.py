"""Derivation by key, AES, and the reading of keys. (FIPS 198-1, FIPS 197, RFC 5652 6.3)"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

WEAK_BELOW = 16
"""Given keys shorter than this many bytes are called weak."""


_HASH_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_SHORT = 255
"""Bytes up to which block by block is faster."""


_NONCE = 12


class KeyUnusable(ValueError):
    """A key can't be read or has an impossible length. The message never holds the key."""


def derive(key: bytes, purpose: str, *inputs: bytes) -> bytes:
    """32 bytes from a key, one domain for each purpose; inputs are framed by their lengths."""
    framed = b"".join([len(part).to_bytes(4, "big") + part for part in inputs]) if len(inputs) > 1 else inputs[0]
    begun, ending = _derivation(key, purpose)
    inner, outer = begun.copy(), ending.copy()
    inner.update(framed)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=64)
def _derivation(key: bytes, purpose: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The inner and the outer hash of a purpose's HMAC, to be continued: faster than an HMAC is copied. (FIPS 198-1)"""
    block = (hashlib.sha256(key).digest() if len(key) > _HASH_BLOCK else key).ljust(_HASH_BLOCK, b"\0")
    inner = hashlib.sha256(block.translate(_INNER))
    inner.update(b"deid_batch:" + purpose.encode() + b":v1\0")
    return inner, hashlib.sha256(block.translate(_OUTER))


def keyed_digest(key: bytes, message: bytes, hash_name: str = "sha256") -> bytes:
    """Plain HMAC of a message. (FIPS 198-1)"""
    return hmac.digest(key, message, hash_name)


def fingerprint(key: bytes) -> str:
    """8 hex digits by which a key may be told from others, and no more."""
    return derive(key, "fingerprint", b"").hex()[:8]


def encrypt_cbc(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """IV + AES-CBC of `plain` with PKCS7 padding."""
    if len(plain) <= _SHORT:
        return _encrypt_short(key, iv, plain)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def _encrypt_short(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """The same block by block, with a cipher that is set up once for a key: that takes longer than a name's blocks."""
    encrypted = _block_cipher(key)
    missing = 16 - len(plain) % 16
    padded = plain + bytes((missing,)) * missing
    sealed, block = iv, iv
    for start in range(0, len(padded), 16):
        mixed = int.from_bytes(padded[start : start + 16], "big") ^ int.from_bytes(block, "big")
        block = encrypted(mixed.to_bytes(16, "big"))
        sealed += block
    return sealed


@lru_cache(maxsize=16)
def _block_cipher(key: bytes) -> Callable[[bytes], bytes]:
    """AES of single blocks."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305 - chained by `_encrypt_short`


def decrypt_cbc(key: bytes, sealed: bytes) -> bytes:
    """The plain bytes of what `encrypt_cbc` made."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(sealed[16:]) + decryptor.finalize()) + unpadder.finalize()


def seal(key: bytes, plain: bytes) -> bytes:
    """Bytes that only who has the key can read or make: a random nonce and AES-GCM. (NIST SP 800-38D)"""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(derive(key, "seal", b"")).encrypt(nonce, plain, None)


def opened(key: bytes, sealed: bytes) -> bytes:
    """The plain bytes of what `seal` made; anything else raises KeyUnusable."""
    try:
        return AESGCM(derive(key, "seal", b"")).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag:
        raise KeyUnusable("sealed by another key, or changed since") from None


def seal_to(certificate: bytes, plain: bytes) -> bytes:
    """CMS EnvelopedData, DER, AES-256, that only the owner of a certificate (PEM, RSA) can open. (RFC 5652 6)"""
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7  # noqa: PLC0415 - rarely needed
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    try:
        owner = load_pem_x509_certificate(certificate)
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(plain).add_recipient(owner)
    except (TypeError, ValueError):
        raise KeyUnusable("the certificate is no X.509 certificate in PEM with an RSA key") from None
    builder = builder.set_content_encryption_algorithm(algorithms.AES256)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def read_key(text: str, environ: Mapping[str, str] = os.environ) -> bytes:
    """A key as written in a config: literal, `env:NAME`, `file:PATH`; and of these `base64:…` or `hex:…`."""
    if text.startswith("env:"):
        name = text[4:]
        if not environ.get(name):
            raise KeyUnusable(f"the environment variable {name} is not set")
        text = environ[name]
    elif text.startswith("file:"):
        text = _first_line(text[5:])
    key = _decoded(text)
    if not key:
        raise KeyUnusable("the key is empty")
    return key


def _decoded(text: str) -> bytes:
    form, _, digits = text.partition(":")
    try:
        if form == "base64":
            return base64.b64decode(digits, validate=True)
        if form == "hex":
            return bytes.fromhex(digits)
        form = "UTF-8"
        return text.encode()
    except ValueError:
        raise KeyUnusable(f"the key is not valid {form}") from None


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            mode, line = os.fstat(file.fileno()).st_mode, file.readline().rstrip("\r\n")
    except OSError as error:
        raise KeyUnusable(f"the key file can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise KeyUnusable("the key file is not UTF-8") from None
    except ValueError:
        raise KeyUnusable("the key file's name is no path") from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise KeyUnusable("the key file can be read by group or others (chmod 600 it)")
    if not line:
        raise KeyUnusable("the key file's first line is empty")
    return line


def check_aes_key(key: bytes) -> bytes:
    """The key, if AES can use it."""
    if len(key) not in (16, 24, 32):
        raise KeyUnusable(f"an AES key has 16, 24 or 32 bytes, this one has {len(key)}")
    return key


def digest_size(hash_name: str) -> int:
    """Bytes of a digest."""
    return hashlib.new(hash_name).digest_size
