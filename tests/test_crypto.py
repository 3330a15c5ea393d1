"""Derivation by key, AES, and the reading of keys. (FIPS 198-1, FIPS 197)"""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch import crypto

SECRET = "s3cret-that-no-message-may-show"


def key_file(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return f"file:{path}"


@pytest.mark.parametrize("size", [1, 32, 63, 64, 65, 200])
def test_derivation_is_hmac_sha256(size: int) -> None:
    key = bytes(range(256))[-size:]
    assert crypto.derive(key, "uid", b"1.2.3") == hmac.digest(key, b"deid_batch:uid:v1\x001.2.3", "sha256")


def test_derivation_has_a_domain_for_each_purpose() -> None:
    purposes = ("dateshift", "cryptohash", "encrypt", "uid", "perturb")
    derived = {crypto.derive(b"key", purpose, b"1.2.3") for purpose in purposes}
    assert len(derived) == len(purposes)


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=3), st.lists(st.binary(max_size=4), min_size=2, max_size=3))
def test_inputs_that_differ_in_their_borders_only_derive_differently(one: list[bytes], other: list[bytes]) -> None:
    assert (crypto.derive(b"key", "perturb", *one) == crypto.derive(b"key", "perturb", *other)) == (one == other)


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_a_keyed_digest_is_pythons_hmac(name: str) -> None:
    assert crypto.keyed_digest(b"123", b"PatientID", name) == hmac.new(b"123", b"PatientID", name).digest()
    assert crypto.digest_size(name) == hashlib.new(name).digest_size


def test_a_fingerprint_tells_keys_apart_and_no_more() -> None:
    one, other = crypto.fingerprint(b"one"), crypto.fingerprint(b"other")
    assert one != other
    assert len(one) == len(other) == 8
    assert one == crypto.fingerprint(b"one")


@given(st.sampled_from([16, 24, 32]), st.binary(max_size=70))
def test_what_is_encrypted_decrypts(size: int, plain: bytes) -> None:
    key, iv = bytes(range(size)), b"i" * 16
    sealed = crypto.encrypt_cbc(key, iv, plain)
    assert sealed[:16] == iv
    assert len(sealed) == 16 + (len(plain) // 16 + 1) * 16
    assert crypto.decrypt_cbc(key, sealed) == plain


@pytest.mark.skipif(not shutil.which("openssl"), reason="the openssl command is not installed")
@pytest.mark.parametrize("size", [16, 24, 32])
def test_openssl_decrypts_what_is_encrypted(size: int) -> None:
    key, iv, plain = bytes(range(size)), b"i" * 16, "山田^太郎=やまだ".encode()
    sealed = crypto.encrypt_cbc(key, iv, plain)
    command = ["openssl", "enc", "-d", f"-aes-{size * 8}-cbc", "-K", key.hex(), "-iv", sealed[:16].hex()]
    assert subprocess.run(command, input=sealed[16:], capture_output=True, check=True).stdout == plain


@pytest.mark.parametrize("size", [16, 24, 32])
def test_aes_takes_keys_of_16_24_and_32_bytes(size: int) -> None:
    assert crypto.check_aes_key(b"k" * size) == b"k" * size


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 33, 64])
def test_aes_takes_keys_of_no_other_size(size: int) -> None:
    with pytest.raises(crypto.KeyUnusable, match=f"has {size}$"):
        crypto.check_aes_key(b"k" * size)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("123", b"123"),
        ("schlüssel", "schlüssel".encode()),
        ("base64:" + base64.b64encode(b"\0\xffkey").decode(), b"\0\xffkey"),
        ("hex:00ff6B", b"\0\xffk"),
        ("env:PLAIN", b"from env"),
        ("env:CODED", b"\0\xff"),
        ("base32:ABC", b"base32:ABC"),
        ("ENV:PLAIN", b"ENV:PLAIN"),
    ],
)
def test_a_key_is_read_as_it_is_written(written: str, key: bytes) -> None:
    assert crypto.read_key(written, {"PLAIN": "from env", "CODED": "hex:00ff"}) == key


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"first line\nsecond line\n", b"first line"),
        (b"no line end", b"no line end"),
        (b"\xef\xbb\xbfwith BOM\r\n", b"with BOM"),
        (b"hex:00ff\n", b"\0\xff"),
        (b" blanks count \n", b" blanks count "),
    ],
)
def test_a_key_file_holds_the_key_in_its_first_line(tmp_path: Path, content: bytes, key: bytes) -> None:
    assert crypto.read_key(key_file(tmp_path, content)) == key


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_key_file_that_group_or_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(crypto.KeyUnusable, match="chmod 600"):
        crypto.read_key(key_file(tmp_path, SECRET.encode(), mode))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_file_for_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    assert crypto.read_key(key_file(tmp_path, SECRET.encode(), mode)) == SECRET.encode()


@pytest.mark.parametrize(
    "written",
    ["base64:not base64!", "base64:YQ", "base64:é", f"hex:{SECRET}", "hex:0", "base64:", "hex:", "env:UNSET",
     "env:EMPTY", "env:BROKEN", "env:NO_BYTES", "file:/nonexistent/key", "file:", "file:\0", "file:/",
     f"\ud800{SECRET}"],
)  # fmt: skip
def test_an_unusable_key_says_why_and_never_what(written: str) -> None:
    environ = {"EMPTY": "", "BROKEN": f"hex:{SECRET}", "NO_BYTES": f"\udcff{SECRET}"}
    with pytest.raises(crypto.KeyUnusable) as caught:
        crypto.read_key(written, environ)
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content", [b"", b"\nkey in line 2\n", b"\xff\xfe" + SECRET.encode(), b"hex:" + SECRET.encode()]
)
def test_an_unusable_key_file_says_why_and_never_what(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(crypto.KeyUnusable) as caught:
        crypto.read_key(key_file(tmp_path, content))
    assert SECRET not in str(caught.value)
