"""De-identification from Python: the same engine as the command's, on data sets and on bytes."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid_batch.config import Config, load_config
from deid_batch.config.keys import with_keys_of
from deid_batch.config.problems import did_you_mean
from deid_batch.config.settings import KEY_SETTINGS
from deid_batch.crypto import KeyUnusable, check_aes_key
from deid_batch.dicomfile import rewrite_bytes
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError, UsageError
from deid_batch.rules import RuleSet


class Deidentifier:
    """A config made ready for use.

    What it makes of an instance is what `deid-batch run` makes of it with the same config, keys and first day.
    """

    def __init__(self, rules: RuleSet, *, validate_output: bool = False) -> None:
        self._rules = CompiledRules(rules, strict=validate_output)

    @classmethod
    def from_config(
        cls,
        path_or_name: str,
        *,
        keys: Mapping[str, bytes] | str | None = None,
        first_day: date | None = None,
        validate_output: bool = False,
    ) -> Deidentifier:
        """Read a config, or the shipped one of that name; what is wrong raises `errors.UsageError`.

        `keys` are given by purpose (`dateshift`, `cryptohash`, `encrypt`, `uid`, `perturb`, or `master` for all that
        are not given) or as the path of a key file, and go before the config's. Keys that nobody gives are drawn at
        random, for this object alone. `first_day` (default: today, UTC) is what ages over 89 years are reckoned from
        where the config gives no `referenceDate`.
        """
        config = load_config(path_or_name)
        if isinstance(keys, str):
            config = with_keys_of(config, keys)
        elif keys is not None:
            config = _with_keys(config, keys)
        drawn = {purpose: secrets.token_bytes(32) for purpose in config.missing_keys()}
        rules = config.settled(drawn, first_day or datetime.now(UTC).date())
        return cls(rules, validate_output=validate_output)

    def apply(self, instance: Dataset) -> FileDataset:
        """A new, de-identified data set; the given one stays as it is.

        What can't be read without doubt, or treated, raises `errors.FileError`.
        """
        return dcmread(BytesIO(self.apply_to_bytes(_encoded(instance))))

    def apply_to_bytes(self, data: bytes) -> bytes:
        """The de-identified form of a whole DICOM file. (PS3.10 7)"""
        return rewrite_bytes(data, self._rules)


def _with_keys(config: Config, keys: Mapping[str, bytes]) -> Config:
    known = config.purposes | {*KEY_SETTINGS.values(), "master"}
    for purpose in keys:
        if purpose not in known:
            raise UsageError(f"no keys are for '{purpose}'{did_you_mean(purpose, known)}")
    try:
        if "encrypt" in keys:
            check_aes_key(keys["encrypt"])
    except KeyUnusable as error:
        raise UsageError(str(error)) from None
    return replace(config, keys={**config.keys, **keys})


_SYNTAXES: Mapping[Any, UID] = {(True, True): ImplicitVRLittleEndian, (False, False): ExplicitVRBigEndian}


def _encoded(instance: Dataset) -> bytes:
    """A data set as a file, in the transfer syntax or encoding it has, or else in Explicit VR Little Endian."""
    plain = copy.deepcopy(instance)  # pydicom changes elements while it writes them
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = _syntax_of(instance)
    plain.preamble = bytes(128)
    buffer = BytesIO()
    try:
        plain.save_as(buffer, enforce_file_format=False)
    except Exception:  # pydicom raises whatever a wrong value leads to; the message may hold it
        raise FileError("unreadable", "pydicom can't encode the data set") from None
    return buffer.getvalue()


def _syntax_of(instance: Dataset) -> UID:
    given = getattr(instance, "file_meta", FileMetaDataset()).get("TransferSyntaxUID")
    return given or _SYNTAXES.get(instance.original_encoding, ExplicitVRLittleEndian)
