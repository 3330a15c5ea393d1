"""What a config says about known identity: a list of the user's, and what common words count for."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from deid_batch.config.columns import ColumnsUnreadable, decode, read_file, read_pairs
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, Report
from deid_batch.config.settings import convert
from deid_batch.known import KINDS, Identity

LIST_KEY, WORDS_KEY = "knownIdentifiers", "commonWords"
KNOWN_KEYS = (LIST_KEY, WORDS_KEY)
CommonWords = Literal["with-evidence", "always"]
_FILE = "file:"
_TITLE = "kind"
_MOST_TOLD = 5


class Acquainted(NamedTuple):
    """What identifies in all files, and whether short and common words are names without other evidence."""

    identifiers: frozenset[Identity] = frozenset()
    takes_common_words: bool = False


def read_known(root: Node, folder: str, report: Report) -> Acquainted:
    """What a config says about known identity; the list's path is from `folder`."""
    words = convert(root.value[WORDS_KEY], CommonWords, report) if WORDS_KEY in root.value else None
    node = root.value.get(LIST_KEY)
    if node is None:
        return Acquainted(takes_common_words=words == "always")
    return Acquainted(_read_list(node, folder, report), words == "always")


def _read_list(node: Node, folder: str, report: Report) -> frozenset[Identity]:
    if node.kind != "a string" or not node.value.startswith(_FILE) or len(node.value) == len(_FILE):
        report(Problem(node.place, "must be file:PATH, the path of a list from the config's folder"))
        return frozenset()
    try:
        data, is_open = read_file(os.path.join(folder, node.value[len(_FILE) :]))
        text = decode(data)
        found = _kinds_and_texts(text, node, report) if _has_kinds(text) else _texts(text)
    except ColumnsUnreadable as error:
        report(Problem(node.place, str(error)))
        return frozenset()
    if is_open:
        report(Problem(node.place, "the list can be read by group or others (chmod 600 it)", is_warning=True))
    if not found:
        report(Problem(node.place, "the list has no rows"))
    return frozenset(found)


def _has_kinds(text: str) -> bool:
    """Whether a list has a column of kinds before that of texts."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first[:4].casefold() == "sep=":
        return True
    cells = [first.split(separator) for separator in "\t;,"]
    return any(len(it) > 1 and it[0].strip(' "').casefold() in (*KINDS, _TITLE) for it in cells)


def _texts(text: str) -> list[Identity]:
    stripped = (line.strip() for line in text.splitlines())
    plain = (it[1:-1].replace('""', '"') if it[:1] == it[-1:] == '"' and len(it) > 1 else it for it in stripped)
    return [Identity("other", it) for it in plain if it]


def _kinds_and_texts(text: str, node: Node, report: Report) -> list[Identity]:
    found: list[Identity] = []
    unknown: list[int] = []
    for number, pair in enumerate(read_pairs(text)):
        kind = pair.left.casefold()
        if kind in KINDS:
            found.append(Identity(kind, pair.right))
        elif number or kind != _TITLE:
            unknown.append(pair.line)
    for line in unknown[:_MOST_TOLD]:
        report(Problem(node.place, f"line {line}: unknown kind; the kinds are {', '.join(KINDS)}"))
    return found
