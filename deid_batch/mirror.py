"""Names of SOURCE that tell who somebody is: which parts of paths they are, and what stands in their place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from deid_batch.fileset import is_file_id
from deid_batch.known import Identity, Known, known
from deid_batch.ledger import Ledger
from deid_batch.names import keyed_digits
from deid_batch.rules import RuleSet
from deid_batch.values.written import find_dates

_ENDING = re.compile(rb"\.(dcm|dicom|dic|ima|img|acr|gz|zip|bin|dat|raw|txt)", re.IGNORECASE)
"""Endings that tell nothing but a format."""
_UID = re.compile(rb"(?<![0-9A-Za-z.])[0-2](\.(0|[1-9][0-9]*)){5,}(?![0-9])")
"""What is written as a UID, with as many components as no version of anything has."""
_YEAR = re.compile(r"[0-9]{4}")
_SOP_INSTANCE_UID, _STUDY_DATE = 0x00080018, 0x00080020
_MOST_KNOWN = 256


@dataclass
class _Folder:
    """A folder on the way to the file at hand, and the groups of files below whose identity was looked for in it."""

    path: bytes
    looked_for: set[tuple[str, str]] = field(default_factory=set)
    tells: bool = False


class Mirror:
    """The names of a run's outputs, where these mirror SOURCE."""

    def __init__(self, ledger: Ledger, rules: RuleSet) -> None:
        self._ledger = ledger
        self._rules = rules
        self._known: dict[tuple[str, str], Known] = {}
        self._keeps_uids = _keeps(rules, _SOP_INSTANCE_UID, "UI")
        self._keeps_days = _keeps(rules, _STUDY_DATE, "DA")

    def telling(self) -> Iterator[bytes]:
        """Paths whose last part tells who somebody is, by what is known of any file there or below."""
        way: list[_Folder] = []
        last = None
        for path, patient, study in self._ledger.grouped():
            groups = (patient, study)
            place = (os.path.dirname(path), groups)
            if place != last:
                way = _way_to(place[0], way)
            for folder in way if place != last else ():
                if not folder.tells and groups not in folder.looked_for:
                    folder.looked_for.add(groups)
                    folder.tells = self._tells(os.path.basename(folder.path), groups)
                    if folder.tells:
                        yield folder.path
            last = place
            if self._tells(os.path.basename(path), groups):
                yield path

    def _tells(self, part: bytes, groups: tuple[str, str]) -> bool:
        if not self._keeps_uids and _UID.search(part):
            return True
        known = self._known_in(groups)
        text = _text_of(part)
        return bool(known and known.find(text)) or (not self._keeps_days and _names_a_day(text))

    def _known_in(self, groups: tuple[str, str]) -> Known:
        found = self._known.get(groups)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            said = {
                Identity(kind, text)  # type: ignore[arg-type]
                for _, kind, text in self._ledger.known_in([group for group in groups if group])
            }
            found = known({*said, *self._rules.identifiers}, always=self._rules.takes_common_words)
            self._known[groups] = found
        return found

    def renamed(self) -> Iterator[tuple[bytes, bytes]]:
        """(path, its output's) of files whose outputs are not called so yet."""
        folders: dict[bytes, bytes] = {b"": b""}
        for path, name in self._ledger.named():
            folder, part = os.path.split(path)
            if folder not in folders:
                folders = {way: folders[way] for way in _above(folder) if way in folders}
                for way in _above(folder):
                    if way not in folders:
                        outer, inner = os.path.split(way)
                        folders[way] = os.path.join(folders[outer], self._shown(way, inner))
            wanted = os.path.join(folders[folder], self._shown(path, part))
            if wanted != name:
                yield path, wanted

    def _shown(self, path: bytes, part: bytes) -> bytes:
        return self._stand_in(part) if self._ledger.tells(path) else part

    def _stand_in(self, part: bytes) -> bytes:
        """What stands for a part of a path: the same for the same one, wherever it stands; the ending stays.

        For what may be a part of a File ID it is one, too, though of fewer digits. (PS3.10 8.2)
        """
        digits = keyed_digits(self._rules.uid_key, "name", part)
        if is_file_id(part):
            return digits[:8].upper().encode()
        ending = os.path.splitext(part)[1]
        kept = ending if _ENDING.fullmatch(ending) else b""
        return b"n-" + digits.encode() + kept


def _keeps(rules: RuleSet, tag: int, vr: str) -> bool:
    """Whether an attribute stays as it is, wherever no condition says otherwise."""
    decision = rules.decide(tag, vr, None)
    return decision is None or decision.method.name == "keep"


def _names_a_day(text: str) -> bool:
    """Whether a date with all digits of its year stands in a text."""
    return any(_YEAR.search(text, written.start, written.stop) for written in find_dates(text))


def _way_to(inmost: bytes, way: list[_Folder]) -> list[_Folder]:
    """A folder and those it lies in, those of the last way among them."""
    before = {folder.path: folder for folder in way}
    return [before.get(folder) or _Folder(folder) for folder in _above(inmost) if folder]


def _above(folder: bytes) -> list[bytes]:
    """A folder and those it lies in, the outermost, which is SOURCE itself, first."""
    found = [folder]
    while folder:
        folder = os.path.dirname(folder)
        found.append(folder)
    return found[::-1]


def _text_of(part: bytes) -> str:
    """A part of a path as text, in UTF-8 or, if it is none, in Latin-1, without an ending that tells nothing."""
    stem, ending = os.path.splitext(part)
    if not _ENDING.fullmatch(ending):
        stem = part
    try:
        return stem.decode()
    except UnicodeDecodeError:
        return stem.decode("latin-1")
