"""The identity of an instance, and what conditions ask for: values of the top level of an encoded data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from deid_batch import crypto, dictionary
from deid_batch.conditions import Values
from deid_batch.errors import BadValue
from deid_batch.methods import Instance
from deid_batch.replay import Outline
from deid_batch.values import text, uids
from deid_batch.wire import Encoding, top_level_values

SOP_CLASS_UID, SOP_INSTANCE_UID, CHARSET = 0x00080016, 0x00080018, 0x00080005
IDENTITY = frozenset({CHARSET, SOP_CLASS_UID, SOP_INSTANCE_UID, 0x00100020, 0x00100021, 0x0020000D, 0x0020000E})
_MAX_CACHED = 1024


def read_instance(
    data: bytes,
    pos: int,
    encoding: Encoding,
    also: frozenset[int] = frozenset(),
    outline: Outline | None = None,
    *,
    partial: bool,
) -> tuple[Instance, dict[int, Values]]:
    """The identity of the instance whose data set begins at `pos`, and the values of the attributes in `also`.

    Nothing but the top level is looked at. `partial` says that the file goes on behind `data`.
    """
    wanted = IDENTITY | also
    found = outline.values(data, pos) if outline else None
    if found is None:
        found = top_level_values(data, pos, encoding, wanted, max(wanted), partial=partial)
    charset = found.get(CHARSET, b"")
    return instance_of(found), {tag: _values(found[tag], tag, charset) for tag in also & found.keys()}


def instance_of(found: Mapping[int, bytes]) -> Instance:
    """The identity that top-level values tell."""
    charset = found.get(CHARSET, b"")
    patient = [plain_text(found.get(tag, b""), charset) for tag in (0x00100021, 0x00100020)]
    uid = {tag: uids.text_of(found[tag]) for tag in IDENTITY & found.keys()}
    return Instance(
        uid.get(SOP_CLASS_UID, ""),
        uid.get(SOP_INSTANCE_UID, ""),
        uid.get(0x0020000D, ""),
        uid.get(0x0020000E, ""),
        "\0".join(patient) if patient[1] else "",
    )


class Groups(NamedTuple):
    """The names of the groups that an instance belongs to, "" where it does not say; they tell nothing else."""

    patient: str
    study: str


def groups_of(instance: Instance, key: bytes) -> Groups:
    """The groups of an instance: its patient's and its study's, by a key of the run's own."""
    return Groups(_group(key, "patient", instance.patient), _group(key, "study", instance.study_instance_uid))


def person_of(patient_id: str, key: bytes) -> str:
    """The same for a Patient ID, whoever issued it."""
    return _group(key, "person", patient_id)


def stand_in_of(patient_id: str, key: bytes) -> str:
    """The same for a Patient ID that was written in place of another one."""
    return _group(key, "stand-in", patient_id)


@lru_cache(maxsize=1024)
def _group(key: bytes, kind: str, name: str) -> str:
    return crypto.derive(key, f"group {kind}", name.encode()).hex()[:16] if name else ""


def _values(raw: bytes, tag: int, charset: bytes) -> Values:
    """An attribute's values as text, without blanks around them; none where it is empty or no text.

    The value of a sequence is one, with a letter for each byte.
    """
    return _values_of(raw, tag, charset) if len(raw) <= _MAX_CACHED else _values_of.__wrapped__(raw, tag, charset)


@lru_cache(maxsize=1024)
def _values_of(raw: bytes, tag: int, charset: bytes) -> Values:
    vr = dictionary.effective_vr(tag, "", None)
    if vr == "SQ":
        return (raw.decode("latin-1"),) if raw else ()
    try:
        values = text.split(raw, vr, charset)
    except BadValue:
        return ()
    return tuple(value.strip() for value in values if value.strip())


def plain_text(raw: bytes, charset: bytes) -> str:
    """The text of an LO without blanks around it."""
    try:
        return text.decode(raw, "LO", charset).strip("\0 ")
    except BadValue:
        return raw.strip(b"\0 ").decode("latin-1")
