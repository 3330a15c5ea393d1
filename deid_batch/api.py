"""De-identification from Python: the same engine as the command's, on data sets and on bytes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO

from pydicom import Dataset, FileDataset, dcmread

from deid_batch.config import load_config
from deid_batch.config.keys import with_keys_of
from deid_batch.dicomfile import rewrite_bytes
from deid_batch.engine import CompiledRules
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
        """Read a config, or the shipped one of that name; problems raise `errors.ConfigError`.

        `keys` are given by purpose (`dateshift`, `cryptohash`, `encrypt`, `uid`, `perturb`) or as the path of a key
        file. Keys that nobody gives are drawn at random, for this object alone. `first_day` (default: today, UTC) is
        what ages over 89 years are reckoned from where the config gives no `referenceDate`.
        """
        config = load_config(path_or_name)
        if isinstance(keys, str):
            config = with_keys_of(config, keys)
        elif keys is not None:
            config = replace(config, keys={**config.keys, **keys})
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


def _encoded(instance: Dataset) -> bytes:
    """A data set as a file, in its own transfer syntax or else in Explicit VR Little Endian."""
    buffer = BytesIO()
    syntax = getattr(instance, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None:
        instance.save_as(buffer, implicit_vr=False, little_endian=True)
    else:
        instance.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()
