"""The rules applied the plain way, to data sets as pydicom reads them: what the engine's output must equal.

Written beside the package, not upon it: the walk is a recursion over pydicom's elements, the values are treated by
`oracle_values`. From the package come the rules themselves, built from the same config text.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from io import BytesIO
from typing import NamedTuple

from oracle_values import TEXT, readable, treat, treat_whole
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_sequence

from deid_batch.config import load_config
from deid_batch.methods import Element, Instance, Method
from deid_batch.rules import Rule, RuleSet
from deid_batch.selectors import TagIn, TagIs, VRIs

FIRST_DAY = date(2024, 1, 1)
KEYS = {"master": b"the oracle's master key, 32 bytes", "encrypt": b"k" * 32}
ITEM = b"\xfe\xff\x00\xe0"
DEFLATED = "1.2.840.10008.1.2.1.99"
CHARSET, PIXEL_REPRESENTATION, TRAILING_PADDING = 0x00080005, 0x00280103, 0xFFFCFFFC
IDENTITY = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
COLUMNS = {
    "keep": "kept", "remove": "removed", "redact": "redacted", "dateshift": "dateshifted", "perturb": "perturbed",
    "cryptohash": "cryptohashed", "encrypt": "encrypted", "substitute": "substituted", "refreshUID": "uids_refreshed",
}  # fmt: skip
LONG_VRS = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


@dataclass(frozen=True)
class Node:
    """A data element: its VR as written ("" in implicit VR), and its value field or its items."""

    vr: str
    value: bytes | list[Tree]
    is_encapsulated: bool = False
    raw: bytes = field(default=b"", compare=False)
    """The value field of a VR UN that holds items."""


Tree = dict[int, Node]


class Opened(NamedTuple):
    """A file as pydicom reads it, with the bytes that its positions count in."""

    dataset: Dataset
    source: bytes
    little: bool
    tree: Tree


def rule_set(text: str) -> RuleSet:
    """The rules of a config, with the tests' keys."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return load_config(file.name).settled(KEYS, FIRST_DAY)


def read(data: bytes) -> Opened:
    """A file's data set by pydicom."""
    dataset = dcmread(BytesIO(data), force=True)
    source = data
    if dataset.file_meta.get("TransferSyntaxUID") == DEFLATED:
        start = (144 if dataset.preamble else 12) + dataset.file_meta.FileMetaInformationGroupLength
        source = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    return Opened(dataset, source, bool(dataset.original_encoding[1]), tree_of(dataset, source))


def tree_of(dataset: Dataset, source: bytes) -> Tree:
    """A data set's elements, their values as encoded; `source` is what pydicom read it from."""
    tree: Tree = {}
    for tag, element in raw_elements(dataset):
        if isinstance(element, DataElement) and element.VR == "SQ":  # it was one of undefined length
            start = element.file_tell
            written = "" if dataset.original_encoding[0] else source[start - 8 : start - 6].decode()
            tree[tag] = Node(written, [tree_of(item, source) for item in element.value])
            continue
        raw = element if isinstance(element, RawDataElement) else unconverted(element, dataset, source)
        written, value = raw.VR or "", raw.value or b""
        vr = effective_vr(tag, written, creator_of(tag, tree))
        if vr == "SQ" or (vr == "UN" and value.startswith(ITEM)):
            implicit, little = (True, True) if written == "UN" else (raw.is_implicit_VR, raw.is_little_endian)
            items = read_sequence(BytesIO(value), implicit, little, len(value), "iso8859")
            tree[tag] = Node(written, [tree_of(item, value) for item in items], raw=value if vr == "UN" else b"")
        else:
            tree[tag] = Node(written, value, raw.length == 0xFFFFFFFF)
    return tree


def raw_elements(dataset: Dataset) -> list[tuple[int, DataElement | RawDataElement]]:
    """The elements by tag, as they were read."""
    return sorted((int(tag), element) for tag, element in dataset._dict.items())


def unconverted(element: DataElement, dataset: Dataset, source: bytes) -> RawDataElement:
    """Specific Character Set as it was before pydicom looked at it."""
    implicit, little = dataset.original_encoding
    start = element.file_tell
    length = int.from_bytes(source[start - (4 if implicit else 2) : start], "little" if little else "big")
    value = source[start : start + length]
    return RawDataElement(element.tag, None if implicit else element.VR, length, value, start, implicit, little)


def creator_of(tag: int, tree: Tree) -> str | None:
    """The private creator in the same item that reserves the element's block. (PS3.5 7.8.1)"""
    node = tree.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
    return node.value.decode("latin-1").rstrip("\0 ") if node else None


def is_creator(tag: int) -> bool:
    """Whether an element reserves a block. (PS3.5 7.8.1)"""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def block_of(creator: int, tree: Tree) -> Tree:
    """The elements of a creator's block."""
    first = creator & 0xFFFF0000 | (creator & 0xFF) << 8
    return {tag: node for tag, node in tree.items() if first <= tag <= first + 0xFF}


def effective_vr(tag: int, written: str, creator: str | None, signed: bool = False) -> str:
    """The VR by which an element is read. (PS3.5 6.2.2, A.1)"""
    if written not in ("", "UN"):
        return written
    known = dictionary_vr(tag, creator)
    if known == "US or SS":
        return "SS" if signed else "US"
    return "OW" if " or " in known else known


@cache
def dictionary_vr(tag: int, creator: str | None = None) -> str:
    """What pydicom's dictionaries say; UN where they say nothing."""
    try:
        if not tag >> 16 & 1:
            return dictionary_VR(tag)
        if 0x10 <= tag & 0xFFFF <= 0xFF:
            return "LO"
        return private_dictionary_VR(tag, creator) if creator else "UN"
    except KeyError:
        return "UN"


def selects(rule: Rule, tag: int, vrs: set[str]) -> bool:
    """Whether a rule is for the element."""
    match rule.selector:
        case TagIs(wanted):
            return tag == wanted
        case TagIn(digits, mask):
            return tag & mask == digits
        case VRIs(vr):
            return vr in vrs


def identity(tree: Tree) -> Instance:
    """The instance that the top level names."""
    values = {tag: node.value for tag, node in tree.items() if isinstance(node.value, bytes)}
    uids = [values.get(tag, b"").rstrip(b"\0 ").decode("latin-1").strip() for tag in IDENTITY]
    issuer, patient = (readable(values.get(tag, b""), values.get(CHARSET, b"")) for tag in (0x00100021, 0x00100020))
    return Instance(*uids, f"{issuer}\0{patient}" if patient else "")


@dataclass(frozen=True)
class Where:
    """What holds for the elements of one data set or item; `place` is written as the package's places are."""

    instance: Instance
    little: bool
    charset: bytes = b""
    place: tuple = ()
    signed: bool = False
    top: int | None = None
    """The element of the top level that all this is in."""


@dataclass
class Oracle:
    """The plain implementation: a new tree, and what was counted on the way."""

    rules: RuleSet
    counts: Counter[str] = field(default_factory=Counter)
    hits: Counter[int] = field(default_factory=Counter)
    touched: set[int] = field(default_factory=set)
    """Tags of the top level at or in which more was done than to keep."""

    def deidentify(self, tree: Tree, *, little: bool) -> Tree:
        """What a data set becomes under the rules."""
        return self._data_set(tree, Where(identity(tree), little))

    def _data_set(self, tree: Tree, where: Where) -> Tree:
        out: Tree = {}
        creators: dict[int, tuple[Node, str, Where]] = {}
        for tag, node in sorted(tree.items()):
            here = replace(where, top=where.top or tag, little=where.little or node.vr == "UN")
            if tag & 0xFFFF == 0 or tag == TRAILING_PADDING:
                self.touched.add(here.top)
                continue
            if tag == CHARSET:
                where = replace(where, charset=node.value)
            if tag == PIXEL_REPRESENTATION:
                where = replace(where, signed=int.from_bytes(node.value, "little" if where.little else "big") == 1)
            vr = effective_vr(tag, node.vr, creator_of(tag, tree), where.signed)
            if is_creator(tag):
                creators[tag] = node, vr, here
            elif (changed := self._element(tag, node, vr, here)) is not None:
                out[tag] = changed
        for tag, (node, vr, here) in creators.items():
            if (changed := self._creator(tag, node, vr, here, block_of(tag, tree), block_of(tag, out))) is not None:
                out[tag] = changed
        return out

    def _creator(self, tag: int, node: Node, vr: str, where: Where, had: Tree, has: Tree) -> Node | None:
        """A creator: it stays with the first and goes with the last element of its block. (PS3.5 7.8.1)"""
        method, _ = self._decision(tag, vr, where, is_noted=False)
        if method is not None and method.name in ("remove", "redact") and has:
            self.counts["kept"] += 1
            return node
        changed = self._element(tag, node, vr, where)
        if changed is None or not had or has or (method is not None and method.name == "redact"):
            return changed
        self.counts["removed"] += 1
        self.counts["kept"] -= method is None or method.name == "keep"
        self.touched.add(where.top)
        return None

    def _element(self, tag: int, node: Node, vr: str, where: Where) -> Node | None:
        method, treated_as = self._decision(tag, vr, where)
        is_kept = method is None or method.name == "keep"
        if node.raw and not is_kept:
            node = Node(node.vr, node.raw)
        is_whole = isinstance(node.value, list) or node.is_encapsulated
        if is_kept and isinstance(node.value, list):
            self.counts["kept"] += 1
            places = [replace(where, place=(where.place, tag, number)) for number in range(len(node.value))]
            return Node(node.vr, [self._data_set(*pair) for pair in zip(node.value, places, strict=True)])
        if is_kept or (not is_whole and is_empty(node.value, vr) and method.name not in ("remove", "redact")):
            self.counts["kept"] += 1
            return node
        self.counts[COLUMNS[method.name]] += 1
        element = Element(tag, treated_as, where.instance, where.place, where.charset, where.little)
        changed = treat_whole(method) if is_whole else treat(method, node.value, element)
        if changed is None:
            return None
        has_grown = node.vr not in LONG_VRS | {""} and len(changed) > 0xFFFE
        return Node("UN" if has_grown else node.vr, [] if vr == "SQ" else changed)

    def _decision(self, tag: int, vr: str, where: Where, *, is_noted: bool = True) -> tuple[Method | None, str]:
        """(the method of the first rule that matches, the VR it reads the value by)."""
        known = dictionary_vr(tag) if not tag >> 16 & 1 else vr
        if known == "UN" or len(known) != 2:
            known = vr
        for number, rule in enumerate(self.rules.rules):
            if selects(rule, tag, {vr, known}):
                if is_noted:
                    self.hits[number] += 1
                    self.touched |= {where.top} if rule.method.name != "keep" else set()
                return rule.method, known if {vr, known} <= TEXT else vr
        return None, vr


def is_empty(value: bytes, vr: str) -> bool:
    return not (value.strip(b"\0 ") if vr in TEXT else value)
