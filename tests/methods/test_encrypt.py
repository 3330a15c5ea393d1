"""encrypt: who has the key can restore the value. (RFC 5652 6.3)"""

import base64
import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid_batch import crypto
from deid_batch.errors import BadValue
from deid_batch.methods import Element, Instance
from deid_batch.methods.encrypt import Encrypt, written_place
from deid_batch.wire import TEXT_VRS

KEY = b"a key of 16 byte"
ENCRYPT = Encrypt(key=KEY)
NAME = Element(0x00100010, "PN", Instance(sop_instance_uid="1.2.3.1"), charset=b"ISO_IR 192")
MULTI_BYTE_NAMES = ["ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "Hong^Gildong=洪^吉洞=홍^길동", "Äneas^Rüdiger", "Doe^Jane"]


def sealed(value: bytes, element: Element = NAME, method: Encrypt = ENCRYPT) -> list[bytes]:
    """The sealed values of a text element, out of their base64."""
    change = method.apply(value, element)
    assert change.value is not None
    return [base64.b64decode(one, validate=True) for one in change.value.rstrip().split(b"\\")]


def opened(one: bytes) -> str:
    return crypto.decrypt_cbc(KEY, one).decode("utf-8") if one else ""


@pytest.mark.parametrize("name", MULTI_BYTE_NAMES)
def test_what_is_encrypted_decrypts_to_the_original_name(name: str) -> None:
    assert [opened(one) for one in sealed(name.encode())] == [name]


@pytest.mark.parametrize(
    ("raw", "charset"),
    [(b"\xc4neas^R\xfcdiger ", b"ISO_IR 100"), (b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87"),
     (b"\x81\x5c ", b"GB18030")],
)  # fmt: skip
def test_the_utf8_form_is_encrypted_whatever_the_character_set(raw: bytes, charset: bytes) -> None:
    expected = {b"ISO_IR 100": "Äneas^Rüdiger", b"GB18030": "乗"}.get(charset, "山田^太郎")
    assert [opened(one) for one in sealed(raw, NAME._replace(charset=charset))] == [expected]


@pytest.mark.skipif(not shutil.which("openssl"), reason="the openssl command is not installed")
@pytest.mark.parametrize("name", MULTI_BYTE_NAMES)
@pytest.mark.parametrize("key", [KEY, b"k" * 24, b"k" * 32])
def test_openssl_decrypts_what_is_written(name: str, key: bytes) -> None:
    (one,) = sealed(name.encode(), method=Encrypt(key=key))
    command = ["openssl", "enc", "-d", f"-aes-{len(key) * 8}-cbc", "-K", key.hex(), "-iv", one[:16].hex()]
    assert subprocess.run(command, input=one[16:], capture_output=True, check=True).stdout == name.encode("utf-8")


@given(st.lists(st.text("Az09 ÄŁ山희", max_size=40).map(str.rstrip), min_size=1, max_size=4))
def test_values_are_encrypted_one_by_one_in_their_positions(values: list[str]) -> None:
    kept = [value if value.strip() else "" for value in values]
    assert [opened(one) for one in sealed("\\".join(values).encode())] == kept


@pytest.mark.parametrize("vr", ["OB", "UN"])
@pytest.mark.parametrize("value", [b"\0\xff", b"text", b"\0" * 1000])
def test_ob_and_un_are_encrypted_as_raw_bytes(vr: str, value: bytes) -> None:
    change = ENCRYPT.apply(value, Element(0x00091010, vr))
    assert change.value is not None
    assert len(change.value) % 2 == 0
    assert crypto.decrypt_cbc(KEY, change.value) == value


@pytest.mark.parametrize("vr", sorted(TEXT_VRS))
def test_every_text_vr_decrypts(vr: str) -> None:
    assert [opened(one) for one in sealed(b"1234", Element(0x00100010, vr))] == ["1234"]


def test_runs_agree() -> None:
    assert ENCRYPT.apply(b"Doe^Jane", NAME) == ENCRYPT.apply(b"Doe^Jane", NAME)


@pytest.mark.parametrize(
    "other",
    [
        NAME._replace(instance=Instance(sop_instance_uid="1.2.3.2")),
        NAME._replace(tag=0x00101001),
        NAME._replace(place=((), 0x00400275, 0)),
        NAME._replace(place=((), 0x00400275, 1)),
    ],
)
def test_equal_names_at_other_places_and_in_other_instances_look_different(other: Element) -> None:
    iv, other_iv = (sealed(b"Doe^Jane", element)[0][:16] for element in (NAME, other))
    assert iv != other_iv
    assert sealed(b"Doe^Jane", other)[0][16:] != sealed(b"Doe^Jane")[0][16:]


def test_equal_values_in_one_element_look_different() -> None:
    first, second = sealed(b"Doe^Jane\\Doe^Jane ")
    assert first[:16] != second[:16]
    assert opened(first) == opened(second) == "Doe^Jane"


def test_other_values_at_the_same_place_have_other_ivs() -> None:
    assert sealed(b"Doe^Jane")[0][:16] != sealed(b"Doe^John")[0][:16]


def test_results_are_never_taken_from_a_cache() -> None:
    assert ENCRYPT.cache_token(NAME.instance) is None


def test_places_are_written_from_the_outside_in() -> None:
    assert written_place(()) == ""
    assert written_place((((), 0x00400275, 2), 0x00400008, 0)) == "00400275[2]/00400008[0]/"


def test_a_sealed_value_that_is_too_long_is_counted() -> None:
    assert ENCRYPT.apply(b"Doe^Jane", NAME._replace(vr="SH")).warnings == 1
    assert ENCRYPT.apply(b"Doe^Jane", NAME._replace(vr="UT")).warnings == 0


@pytest.mark.parametrize(
    ("vr", "value"), [("US", b"12"), ("FD", b"12345678"), ("OW", b"12"), ("AT", b"1234"), ("PN", b"\xff\xff")]
)
def test_what_it_cannot_treat_follows_on_error(vr: str, value: bytes) -> None:
    assert ENCRYPT.apply(value, NAME._replace(vr=vr)) == (b"", 1)
    with pytest.raises(BadValue):
        replace(ENCRYPT, on_error="fail").apply(value, NAME._replace(vr=vr))
