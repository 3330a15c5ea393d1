"""The methods' effects on single value fields, for the oracle: dates by datetime, digests by hmac, AES by cryptography.

Only the noise of `perturb` is asked of the package, value by value.
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydicom import config
from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID_dictionary
from pydicom.valuerep import PersonName

from deid_batch.errors import BadValue
from deid_batch.methods import Element, Method

TEXT = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
ONE_TEXT = frozenset("LT ST UR UT".split())
IN_CHARSET = frozenset("LO LT PN SH ST UC UT".split())
WORDS = {
    "FD": "d", "FL": "f", "OD": "d", "OF": "f", "OL": "I", "OV": "Q", "OW": "H", "SL": "i", "SS": "h", "SV": "q",
    "UL": "I", "US": "H", "UV": "Q",
}  # fmt: skip
TO_GB2312 = "\x1b$)A"
"""An escape sequence that pydicom leaves in the text."""
TREATS = {
    "dateshift": {"DA", "DT"},
    "perturb": {"AS", "DS", "IS", *WORDS},
    "cryptohash": {*TEXT, "OB", "UN"},
    "encrypt": {*TEXT, "OB", "UN"},
    "substitute": {*TEXT, *WORDS},
    "refreshUID": {"UI"},
}
DEFINITIONS = frozenset(
    tag_for_keyword(keyword)
    for keyword in """
        SOPClassUID RelatedGeneralSOPClassUID OriginalSpecializedSOPClassUID SOPClassesInStudy CodingSchemeUID
        ContextUID MappingResourceUID StoredInstanceTransferSyntaxUID ReferencedSOPClassUID SOPClassesSupported
        AvailableTransferSyntaxUID FlowTransferSyntaxUID MACCalculationTransferSyntaxUID
        EncryptedContentTransferSyntaxUID PertinentSOPClassesInStudy PertinentSOPClassesInSeries
    """.split()
)
"""UI attributes that name SOP Classes, transfer syntaxes and coding schemes, not instances."""


class Failure(Exception):
    """The file must fail."""


class Untreatable(Exception):
    """The method can't treat the value."""


def treat_whole(method: Method) -> bytes | None:
    """What a sequence or an encapsulated value becomes under a method that does not keep it; None: it goes."""
    if method.name == "remove" or getattr(method, "redact_leaves", "") == "nothing":
        return None
    return b"" if method.name == "redact" else given_up(method)


def treat(method: Method, raw: bytes, element: Element) -> bytes | None:
    """What a value field becomes; None: the element goes."""
    if method.name == "remove":
        return None
    if method.name == "redact":
        return redacted(method, raw, element.vr)
    if element.vr not in TREATS[method.name]:
        return given_up(method)
    try:
        return (treat_text if element.vr in TEXT else treat_words)(method, raw, element)
    except Untreatable:
        return given_up(method)


def given_up(method: Method) -> bytes:
    if method.on_error == "fail":
        raise Failure("bad-value")
    return b""


def treat_text(method: Method, raw: bytes, element: Element) -> bytes:
    values = split(raw, element.vr, element.charset)
    for number, value in enumerate(values):
        try:
            values[number] = treat_one(method, value, element, number) if value.strip() else ""
        except Untreatable:
            values[number] = given_up(method).decode()
    return joined(values, element.vr, element.charset)


def treat_one(method: Method, value: str, element: Element, number: int) -> str:
    match method.name:
        case "substitute":
            return method.replace_with
        case "cryptohash":
            return hmac.new(method.key, value.encode(), method.crypto_hash_type.lower()).hexdigest()[
                : method.max_length
            ]
        case "encrypt":
            return base64.b64encode(sealed(method.key, value.encode(), element, number)).decode()
        case "refreshUID":
            stays = element.tag in DEFINITIONS or value.strip() in UID_dictionary
            return value if stays else new_uid(method.key, value.strip())
        case "dateshift":
            return shifted(method, value, element)
    try:
        return method.treat(value, element, number)
    except BadValue:
        raise Untreatable from None


def treat_words(method: Method, raw: bytes, element: Element) -> bytes:
    if method.name == "cryptohash":
        return hmac.new(method.key, raw, method.crypto_hash_type.lower()).digest()
    if method.name == "encrypt":
        return sealed(method.key, raw, element, 0)
    code = ("<" if element.little else ">") + WORDS[element.vr]
    size = struct.calcsize(code)
    words = [raw[start : start + size] for start in range(0, len(raw), size)]
    if method.name == "substitute":
        return substituted(method.replace_with, code) * len(words)
    noisy = {word: method.apply_binary(word, element).value for word in set(words)}
    return given_up(method) if b"" in noisy.values() else b"".join(noisy[word] for word in words)


def substituted(text: str, code: str) -> bytes:
    try:
        return struct.pack(code, float(text) if code[1] in "df" else int(text))
    except (ValueError, struct.error):
        raise Untreatable from None


def redacted(method: Method, raw: bytes, vr: str) -> bytes | None:
    nothing = None if method.redact_leaves == "nothing" else b""
    parts = [part.rstrip("\0 ") for part in raw.decode("latin-1").split("\\")]
    if vr == "AS" and method.enable_partial_ages_for_redact:
        kept = [young(part) for part in parts]
    elif vr in ("DA", "DT") and method.enable_partial_dates_for_redact:
        kept = [year(part, vr, method.reference_date) for part in parts]
    else:
        return nothing
    return joined(kept, vr, b"") if any(kept) else nothing


def young(age: str) -> str:
    """An age of up to 89 years; "" for any other."""
    match = re.fullmatch(r"(\d{3})([DWMY])", age, re.ASCII)
    if not match:
        return ""
    years = int(match[1]) / {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}[match[2]]
    return age if years < 90 else ""


def year(value: str, vr: str, reference: date) -> str:
    """A date's year; "" where it is malformed or too long ago."""
    try:
        day, form = read_date(value, vr)
    except Untreatable:
        return ""
    if too_old(day, reference):
        return ""
    return written(day.replace(month=1, day=1), form._replace(time=re.sub(r"\d", "0", form.time)))


def shifted(method: Method, value: str, element: Element) -> str:
    day, form = read_date(value, element.vr)
    if too_old(day, method.reference_date):
        return ""
    days = days_of(method, element.instance.scope_uid(method.date_shift_scope))
    try:
        return written(day + timedelta(days=days), form)
    except OverflowError:
        raise Untreatable from None


class Form(NamedTuple):
    """How a date is written: the characters of its day, what separates them, and what stands behind."""

    length: int
    dot: str = ""
    time: str = ""
    offset: str = ""


def read_date(value: str, vr: str) -> tuple[date, Form]:
    """A DA's or DT's day, and its form. (PS3.5 6.2)"""
    if vr == "DA":
        if not re.fullmatch(r"\d{8}|\d{4}\.\d{2}\.\d{2}", value, re.ASCII):
            raise Untreatable
        return as_time(value.replace(".", ""), "%Y%m%d").date(), Form(len(value), "." if "." in value else "")
    match = re.fullmatch(r"(\d{4}(?:\d\d){0,5})(\.\d{1,6})?([+-]\d{4})?", value, re.ASCII)
    if not match or (match[2] and len(match[1]) != 14):
        raise Untreatable
    day, time = match[1][:8], match[1][8:]
    as_time("59".join(time.rsplit("60", 1)) if time[4:] == "60" else time, "%H%M%S"[: len(time)])
    form = Form(len(day), "", time + (match[2] or ""), match[3] or "")
    return as_time(day + "0101"[len(day) - 4 :], "%Y%m%d").date(), form


def as_time(digits: str, form: str) -> datetime:
    try:
        return datetime.strptime(digits, form)
    except ValueError:
        raise Untreatable from None


def written(day: date, form: Form) -> str:
    return f"{day.year:04}{form.dot}{day.month:02}{form.dot}{day.day:02}"[: form.length] + form.time + form.offset


def too_old(day: date, reference: date) -> bool:
    return day < reference.replace(year=reference.year - 89)


def days_of(method: Method, scope_uid: str) -> int:
    reach = method.date_shift_range
    if method.date_shift_algorithm == "bkdr":
        offset = 0
        for byte in scope_uid.encode() + method.key:
            offset = (offset * 131 + byte) % (2 * reach + 1)
        return offset - reach
    days = [*range(-reach, 0), *range(1, reach + 1)]
    return days[int.from_bytes(derived(method.key, "dateshift", scope_uid.encode()), "big") % len(days)]


def derived(key: bytes, purpose: str, *inputs: bytes) -> bytes:
    """DESIGN's derivation; several inputs are framed by their lengths."""
    framed = inputs[0] if len(inputs) == 1 else b"".join(struct.pack(">I", len(part)) + part for part in inputs)
    return hmac.new(key, f"deid_batch:{purpose}:v1\0".encode() + framed, "sha256").digest()


def new_uid(key: bytes, uid: str) -> str:
    digits = list(derived(key, "uid", uid.encode()).hex()[:32])
    digits[12] = "8"
    digits[16] = "89ab"[int(digits[16], 16) % 4]
    return f"2.25.{uuid.UUID(''.join(digits)).int}"


def sealed(key: bytes, plain: bytes, element: Element, number: int) -> bytes:
    """IV + AES-CBC of a value; the IV comes from key, SOP Instance UID, place and value."""
    place = f"{element.tag:08X}[{number}]"
    outer = element.place
    while outer:
        outer, sequence, item = outer
        place = f"{sequence:08X}[{item}]/{place}"
    uid = element.instance.sop_instance_uid
    iv = derived(key, "encrypt-iv", uid.encode(), place.encode(), plain)[:16]
    padder = padding.PKCS7(128).padder()
    aes = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + aes.update(padder.update(plain) + padder.finalize()) + aes.finalize()


def split(raw: bytes, vr: str, charset: bytes) -> list[str]:
    text = decoded(raw, vr, charset)
    return [value.rstrip("\0 ") for value in ([text] if vr in ONE_TEXT else text.split("\\"))]


def joined(values: list[str], vr: str, charset: bytes) -> bytes:
    out = b"\\".join(encoded(value, vr, charset) for value in values)
    return out + (b"\0" if vr == "UI" else b" ") * (len(out) % 2)


def readable(raw: bytes, charset: bytes) -> str:
    """A Patient ID or its issuer, without padding."""
    try:
        return decoded(raw, "LO", charset).strip("\0 ")
    except Untreatable:
        return raw.strip(b"\0 ").decode("latin-1")


def decoded(raw: bytes, vr: str, charset: bytes) -> str:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if vr not in IN_CHARSET:
        return raw.decode("latin-1")
    with strictness():
        return decode_bytes(raw, encodings_of(charset), delimiters(vr)).replace(TO_GB2312, "")


def encoded(value: str, vr: str, charset: bytes) -> bytes:
    if value.isascii():
        return value.encode()
    if vr not in IN_CHARSET:
        raise Untreatable
    with strictness():
        encodings = encodings_of(charset)
        out = PersonName(value).encode(encodings) if vr == "PN" else encode_string(value, encodings)
        in_default = {"iso8859": "ascii"}.get(encodings[0], encodings[0])
        if decode_bytes(out, [in_default, *encodings[1:]], delimiters(vr)).replace(TO_GB2312, "") != value:
            raise Untreatable
        return out


def delimiters(vr: str) -> set[int]:
    """What ends the effect of an escape sequence. (PS3.5 6.1.2.5.3)"""
    return {0x0D, 0x0A, 0x09, 0x0C, 0x5C} | ({0x3D, 0x5E} if vr == "PN" else set())


def encodings_of(charset: bytes) -> list[str]:
    terms = [term.strip() for term in charset.decode("latin-1").rstrip("\0 ").split("\\")]
    if not set(terms) <= {*python_encoding, ""}:
        raise Untreatable
    return convert_encodings(terms if len(terms) > 1 else terms[0])


@contextmanager
def strictness() -> Iterator[None]:
    """Where pydicom would replace letters, the value can't be treated."""
    settings = config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = config.RAISE
    try:
        yield
    except (LookupError, ValueError):
        raise Untreatable from None
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = before
