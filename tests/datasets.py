"""Data sets as bytes: a tiny encoder of its own, and hypothesis strategies for files of every form. (PS3.5 7, A)"""

from __future__ import annotations

import struct
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from deid_batch.dicomfile import Rewritten, rewrite
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError
from deid_batch.rules import RuleSet
from deid_batch.sinks import MemorySink

UNDEFINED = 0xFFFFFFFF
ITEM = b"\xfe\xff\x00\xe0"
LONG_VRS = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
FIRST_WINDOW = 64 << 10
CT_IMAGE_STORAGE = b"1.2.840.10008.5.1.4.1.1.2\0"


class Form(NamedTuple):
    """How elements are written down."""

    explicit: bool
    little: bool


EXPLICIT, BIG, IMPLICIT = Form(True, True), Form(True, False), Form(False, True)
SYNTAXES = {EXPLICIT: "1.2.840.10008.1.2.1", BIG: "1.2.840.10008.1.2.2", IMPLICIT: "1.2.840.10008.1.2"}
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"


class Item(NamedTuple):
    """An item of a sequence."""

    elements: tuple[Element, ...]
    is_undefined: bool = False


class Fragments(NamedTuple):
    """An encapsulated value."""

    fragments: tuple[bytes, ...]


class Element(NamedTuple):
    """A data element; `value` may be a number for VR US, and `length` a lie."""

    tag: int
    vr: str
    value: bytes | int | tuple[Item, ...] | Fragments = b""
    is_undefined: bool = False
    is_wrapped: bool = False
    """Whether it is written as UN, its value in implicit VR."""
    length: int | None = None


def encode(elements: tuple[Element, ...] | list[Element], form: Form = EXPLICIT) -> bytes:
    """The elements, in the order given."""
    return b"".join(encode_element(element, form) for element in elements)


def encode_element(element: Element, form: Form = EXPLICIT) -> bytes:
    """One element, with the length it has or claims."""
    order = "<" if form.little else ">"
    value = element.value
    inside = IMPLICIT if element.is_wrapped else form
    if isinstance(value, int):
        value = struct.pack(("<" if inside.little else ">") + "H", value)
    elif isinstance(value, Fragments):
        value = b"".join(header(0xFFFEE000, len(part), form) + part for part in value.fragments)
    elif isinstance(value, tuple):
        value = b"".join(encode_item(item, inside) for item in value)
    is_undefined = element.is_undefined or isinstance(element.value, Fragments)
    length = UNDEFINED if is_undefined else len(value)
    length = length if element.length is None else element.length
    end = header(0xFFFEE0DD, 0, inside) if is_undefined else b""
    if not form.explicit:
        return header(element.tag, length, form) + value + end
    vr = "UN" if element.is_wrapped else element.vr
    form_of_length = "2xI" if vr in LONG_VRS else "H"
    tag = struct.pack(order + "HH", element.tag >> 16, element.tag & 0xFFFF)
    return tag + vr.encode() + struct.pack(order + form_of_length, length) + value + end


def encode_item(item: Item, form: Form = EXPLICIT) -> bytes:
    """One item."""
    content = encode(item.elements, form)
    if not item.is_undefined:
        return header(0xFFFEE000, len(content), form) + content
    return header(0xFFFEE000, UNDEFINED, form) + content + header(0xFFFEE00D, 0, form)


def header(tag: int, length: int, form: Form = EXPLICIT) -> bytes:
    """Tag and 4-byte length: an item, a delimitation, an element in implicit VR."""
    return struct.pack("<HHI" if form.little else ">HHI", tag >> 16, tag & 0xFFFF, length)


def sequence(tag: int, *items: tuple[Element, ...] | list[Element], is_undefined: bool = False) -> Element:
    """A sequence; `is_undefined` holds for it and for its items."""
    return Element(tag, "SQ", tuple(Item(tuple(item), is_undefined) for item in items), is_undefined)


def identity(sop_instance_uid: bytes = b"1.2.3.4\0") -> list[Element]:
    """What every instance must have, and a series."""
    return [
        Element(0x00080016, "UI", CT_IMAGE_STORAGE),
        Element(0x00080018, "UI", sop_instance_uid),
        Element(0x0020000D, "UI", b"1.2.3\0"),
        Element(0x0020000E, "UI", b"1.2.3.5\0"),
    ]


def with_identity(*elements: Element) -> list[Element]:
    """Elements among those every instance must have, by tag."""
    return sorted([*identity(), *elements], key=lambda element: element.tag)


def part10(body: bytes, syntax: str = SYNTAXES[EXPLICIT], *, preamble: bytes = bytes(128) + b"DICM") -> bytes:
    """A file: preamble, File Meta Information, and the data set."""
    meta = encode([
        Element(0x00020001, "OB", b"\0\1"),
        Element(0x00020002, "UI", CT_IMAGE_STORAGE),
        Element(0x00020003, "UI", b"1.2.3.4\0"),
        Element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2)),
        Element(0x00020016, "AE", b"SOURCE"),
    ])  # fmt: skip
    if syntax == DEFLATED:
        compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = compress.compress(body) + compress.flush()
    return preamble + encode([Element(0x00020000, "UL", struct.pack("<I", len(meta)))]) + meta + body


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where files that are written again and again cost no disk."""
SCRATCH = tempfile.TemporaryDirectory(dir=MEMORY)
deidentifier = lru_cache(CompiledRules)
"""One for all files of a rule set, as in a run."""


def rewritten(
    data: bytes, rules: RuleSet, *, strict: bool = False, window: int = FIRST_WINDOW
) -> tuple[bytes, Rewritten]:
    """(what is written in place of a file with these bytes, the account of it); `window` bytes are read at first."""
    source, sink = Path(SCRATCH.name, "source"), MemorySink()
    source.write_bytes(data)
    compiled = deidentifier(rules, strict=strict)
    compiled.window = window
    account = rewrite(str(source), sink, compiled)
    return bytes(sink.data), account


def body_of(out: bytes) -> bytes:
    """The data set of what was written."""
    return out[144 + int.from_bytes(out[140:144], "little") :]


def deidentified(elements: list[Element], rules: RuleSet, form: Form = EXPLICIT, syntax: str = "") -> bytes:
    """The data set that is written in place of these elements."""
    return body_of(rewritten(part10(encode(elements, form), syntax or SYNTAXES[form]), rules)[0])


def failure(data: bytes, rules: RuleSet) -> str:
    """The reason why a file can't be written; "" where it can."""
    try:
        rewritten(data, rules)
    except FileError as error:
        return error.reason
    return ""


# ---- strategies ----

PUBLIC = {
    "AE": (0x00080054, 0x0072005E), "AS": (0x00101010, 0x0072005F), "AT": (0x00280009, 0x00720060),
    "CS": (0x00080008, 0x00080060, 0x00720062), "DA": (0x00080020, 0x00100030, 0x00181200),
    "DS": (0x00101020, 0x00180050, 0x00720072), "DT": (0x0008002A, 0x0040A13A), "FD": (0x00720074,),
    "FL": (0x00720076, 0x0018605A), "IS": (0x00200013, 0x00720064), "LO": (0x00100020, 0x00081030, 0x00720066),
    "LT": (0x00104000, 0x00720068), "OB": (0x00420011, 0x00720065), "OD": (0x00720073,), "OF": (0x00720067,),
    "OL": (0x00720075,), "OV": (0x00720081,), "OW": (0x00281201, 0x00720069),
    "PN": (0x00100010, 0x00080090, 0x00081070), "SH": (0x00080050, 0x00080094), "SL": (0x0072007C,),
    "SQ": (0x00081110, 0x00081140, 0x00400275, 0x00720080), "SS": (0x0072007E, 0x00189442), "ST": (0x00080081,),
    "SV": (0x00720082,), "TM": (0x00080030, 0x0072006B), "UC": (0x00080119, 0x0072006F),
    "UI": (0x0008001A, 0x00081155, 0x0072007F), "UL": (0x00720078, 0x00081161), "UN": (0x0072006D,),
    "UR": (0x00081190,), "US": (0x0072007A, 0x00280010), "UT": (0x00720070,), "UV": (0x00720083,),
}  # fmt: skip
TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
WORD_SIZE = {vr: size for size, vrs in {
    1: "OB UN", 2: "OW SS US", 4: "AT FL OF OL SL UL", 8: "FD OD OV SV UV",
}.items() for vr in vrs.split()}  # fmt: skip
ONE_WORD = frozenset({0x00280010})

VALUES = {
    "AE": (b"STATION", b"A B"),
    "AS": (b"045Y", b"089Y", b"090Y", b"999M", b"1095W", b"old"),
    "CS": (b"ORIGINAL", b"M", b"lower"),
    "DA": (b"20061012", b"19340228", b"2006.10.12", b"20061341", b"20240229", b"2006", b"99991231", b"00010101"),
    "DS": (b"0.58984375", b"-1e-3", b" 12 ", b"12,5", b"1234567890123456", b"1.5E+308", b"0"),
    "DT": (b"20210320202020.00654", b"2021", b"202103", b"20210320+0100", b"2021032025", b"19000101", b"9999-1200"),
    "IS": (b"1", b"-2147483648", b"2147483647", b" 7 ", b"1.5"),
    "TM": (b"101112.123456", b"10", b"noon"),
    "UI": (b"1.2.3.4", b"1.2.840.10008.1.2", b"1.2.840.10008.5.1.4.1.1.2", b"1.2.03", b"2.25.7"),
    "UR": (b"https://example.org/a?b=c", b"urn:oid:1.2.3"),
}
PLAIN = (b"Smith^John", b"a", b" leading", b"x y", b"=^=", b"12345")
TEXTS = {
    b"": (b"M\xfcller",),
    b"ISO_IR 100": ("Müller^Jörg".encode("latin-1"), b"\xb5\xe9"),
    b"ISO_IR 192": ("Müller^山田".encode(), b"\xff\xfe", "x=山^太".encode()),
    b"ISO_IR 13": ("ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"),),
    b"\\ISO 2022 IR 87": (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "表示".encode("iso2022_jp"), b"\x1b$B;3"),
    b"\\ISO 2022 IR 149": (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", b"\x1b$)C\xb1\xe8"),
    b"ISO 2022 IR 6\\ISO 2022 IR 100": (b"\x1b-AM\xfcller",),
    b"\\ISO 2022 IR 58": (b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab=",),
    b"GB18030": (b"\x81\x5c^\xcd\xf5", "李^小".encode("gb18030"), "\u9fa6\u3400".encode("gb18030")),
    b"ISO_IR 999": (b"M\xfcller",),
}
KNOWN_CREATORS = {
    (0x0009, b"GEMS_IDEN_01"): {0x01: "LO", 0x02: "SH", 0x17: "LT", 0x27: "SL"},
    (0x2001, b"Philips Imaging DD 001"): {0x02: "IS", 0x03: "FL", 0x04: "CS"},
    (0x0029, b"SIEMENS CSA HEADER"): {0x08: "CS", 0x09: "LO", 0x10: "OB"},
}
"""(group, private creator): the VRs that pydicom's private dictionary gives."""


@st.composite
def values(draw: st.DrawFn, tag: int, vr: str, charset: bytes) -> bytes:
    """A value field: one value or more, some empty, some malformed, with or without padding."""
    if vr in WORD_SIZE:
        size = WORD_SIZE[vr]
        most = 1 if tag in ONE_WORD else 5
        words = st.binary(max_size=size * most).filter(lambda raw: not raw.startswith(ITEM))
        return draw(words.map(lambda raw: raw[: len(raw) // size * size]))
    pool = VALUES.get(vr, PLAIN)
    if vr in ("LO", "LT", "PN", "SH", "ST", "UC", "UT"):
        pool += TEXTS[charset]
    some = draw(st.lists(st.sampled_from((*pool, *pool, b"", b" ")), max_size=4))
    padding = draw(st.sampled_from((b"", b"", b" ", b"\0", b"  ", b"\\")))
    return b"\\".join(some) + padding


@st.composite
def elements(draw: st.DrawFn, form: Form, charset: bytes, depth: int) -> tuple[Element, ...]:
    """Public elements, each of a VR it may be written in, and among them what decides about US and SS."""
    found = {}
    for vr in draw(st.lists(st.sampled_from(sorted(PUBLIC)), max_size=8 if depth else 14)):
        tag = draw(st.sampled_from(PUBLIC[vr]))
        if vr == "SQ":
            found[tag] = draw(sequences(tag, form, charset, depth)) if depth < 3 else Element(tag, "SQ", ())
        else:
            written = draw(st.sampled_from(("LO", "SH", "ST", vr))) if vr in TEXT_VRS else vr
            is_wrapped = form.explicit and draw(st.integers(0, 9)) == 0
            found[tag] = Element(tag, written, draw(values(tag, vr, charset)), is_wrapped=is_wrapped)
    if draw(st.booleans()):
        found[0x00280103] = Element(0x00280103, "US", draw(st.integers(0, 1)))
        found[0x00280106] = Element(0x00280106, "US", draw(st.integers(0, 65535)))
        found[0x00280120] = Element(0x00280120, "SS", draw(st.integers(0, 65535)))
    return tuple(found.values())


@st.composite
def sequences(draw: st.DrawFn, tag: int, form: Form, charset: bytes, depth: int) -> Element:
    """A sequence of up to three items; public ones may be hidden as UN."""
    is_wrapped = form == EXPLICIT and draw(st.integers(0, 3)) == 0
    inside = IMPLICIT if is_wrapped else form
    items = tuple(
        Item(draw(data_sets(inside, charset, depth + 1)), draw(st.booleans()))
        for _ in range(draw(st.integers(0, 3 if depth == 0 else 2)))
    )
    return Element(tag, "SQ", items, draw(st.booleans()), is_wrapped)


@st.composite
def private_blocks(draw: st.DrawFn, form: Form, charset: bytes, depth: int) -> tuple[Element, ...]:
    """Blocks of several creators, known and unknown, at any block number; and orphans."""
    found = {}
    group = draw(st.sampled_from((0x0009, 0x0019, 0x0029, 0x2001)))
    known = [(creator, vrs) for (its_group, creator), vrs in KNOWN_CREATORS.items() if its_group == group]
    kinds = [*known, *((creator, dict.fromkeys(range(1, 30), "")) for creator in (b"ACME 1.0", b"ACME 2.0 ", None))]
    for creator, vrs in draw(st.lists(st.sampled_from(kinds), max_size=3)):
        block = draw(st.integers(0x10, 0xFF))
        if group << 16 | block in found:
            continue
        if creator:
            found[group << 16 | block] = Element(group << 16 | block, "LO", creator)
        for number in draw(st.lists(st.sampled_from(sorted(vrs)), max_size=3)):
            tag = group << 16 | block << 8 | number
            found[tag] = draw(private_elements(tag, vrs[number], form, charset, depth))
    return tuple(found.values())


@st.composite
def private_elements(draw: st.DrawFn, tag: int, vr: str, form: Form, charset: bytes, depth: int) -> Element:
    """A private element of a VR, or of any."""
    vr = vr or draw(st.sampled_from(("LO", "PN", "UN", "OB", "DA", "SQ", "US", "UI")))
    if vr == "SQ" and depth < 3:
        return draw(sequences(tag, form, charset, depth))
    vr = "LO" if vr == "SQ" else vr
    is_wrapped = form.explicit and draw(st.integers(0, 4)) == 0
    return Element(tag, vr, draw(values(tag, vr, charset)), is_wrapped=is_wrapped)


@st.composite
def data_sets(draw: st.DrawFn, form: Form, charset: bytes = b"", depth: int = 0) -> tuple[Element, ...]:
    """The elements of a data set or item, by tag."""
    found = []
    if draw(st.integers(0, 3)) == 0 or not depth:
        charset = draw(st.sampled_from(sorted(TEXTS)))
        found.append(Element(0x00080005, "CS", charset))
    found += draw(elements(form, charset, depth))
    found += draw(private_blocks(form, charset, depth)) if draw(st.booleans()) else ()
    if not depth:
        taken = {element.tag for element in found}
        found += [element for element in identity() if element.tag not in taken]
    return tuple(sorted(found, key=lambda element: element.tag))


@st.composite
def bodies(draw: st.DrawFn, form: Form, syntax: str, group_lengths: bool) -> bytes:
    """An encoded data set, with Pixel Data and what may stand behind it."""
    found = list(draw(data_sets(form)))
    pixels = {
        "none": [],
        "native": [Element(0x7FE00010, "OW", draw(st.binary(min_size=8, max_size=8)))],
        "float": [Element(0x7FE00008, "OF", draw(st.binary(min_size=8, max_size=8)))],
        "encapsulated": [Element(0x7FE00010, "OB", Fragments((b"", b"\xff\xd8abcd\xff\xd9", b"xy")))],
    }
    kinds = ["encapsulated"] if syntax == JPEG else ["none", "native", "float"]
    found += pixels[draw(st.sampled_from(kinds))]
    if draw(st.booleans()):
        found.append(Element(0x7FE10010, "LO", b"ACME 1.0"))
        found.append(Element(0x7FE11001, "PN", draw(values(0x7FE11001, "PN", b""))))
    if group_lengths:
        groups = {element.tag >> 16 for element in found}
        found += [Element(group << 16, "UL", bytes(4)) for group in groups if draw(st.booleans())]
        found += [Element(0xFFFCFFFC, "OB", bytes(6))] * draw(st.integers(0, 1))
    body = encode(sorted(found, key=lambda element: element.tag), form)
    return body + draw(st.sampled_from((b"", b"\0" * 3, b"\0" * 40))) if group_lengths else body


class Generated(NamedTuple):
    """A generated file: its bytes, and those of its data set."""

    data: bytes
    body: bytes


@st.composite
def files(draw: st.DrawFn, *, group_lengths: bool = True) -> Generated:
    """Part 10 files and bare data sets in every encoding; `group_lengths`: and with what is to be dropped."""
    form = draw(st.sampled_from((EXPLICIT, EXPLICIT, BIG, IMPLICIT)))
    syntax = draw(st.sampled_from((SYNTAXES[EXPLICIT], DEFLATED, JPEG))) if form == EXPLICIT else SYNTAXES[form]
    body = draw(bodies(form, syntax, group_lengths))
    if syntax in SYNTAXES.values() and draw(st.integers(0, 5)) == 0:
        return Generated(body, body)
    preamble = draw(st.sampled_from((bytes(128) + b"DICM", b"x" * 128 + b"DICM", b"")))
    return Generated(part10(body, syntax, preamble=preamble), body)
