"""A file of keys, apart from the config."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from dataclasses import replace

from deid_batch.config.jsonc import read, unknown_key
from deid_batch.config.model import Config
from deid_batch.config.problems import Problem
from deid_batch.config.settings import KEY_SETTINGS, MASTER_KEY, convert_key
from deid_batch.errors import ConfigError, UsageError

_KEY_BYTES = 32


def write_new_keys(path: str) -> None:
    """Write a random key for every purpose to a new file of mode 0600. An existing file raises UsageError."""
    keys = {name: "base64:" + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() for name in KEY_SETTINGS}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"the key file can't be made ({error.strerror})") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(keys, indent=2) + "\n")


def with_keys_of(config: Config, path: str) -> Config:
    """The config with the keys of a file, which go before its own."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError("the key file can be read by group or others (chmod 600 it)")
            root, problems = read(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the key file can't be read ({getattr(error, 'strerror', 'not UTF-8')})") from None
    keys: dict[str, bytes] = {}
    if root is not None and not isinstance(root.value, dict):
        problems.append(Problem(root.place, f"a key file holds an object, not {root.kind}"))
    elif root is not None:
        names = {**KEY_SETTINGS, MASTER_KEY: "master"}
        for name, node in root.value.items():
            if name not in names:
                problems.append(unknown_key(root, name, names))
            elif key := convert_key(node, names[name], problems.append):
                keys[names[name]] = key
    name = os.path.basename(path)
    if any(not problem.is_warning for problem in problems):
        raise ConfigError([problem.shown(name) for problem in sorted(problems)])
    warnings = tuple(problem.shown(name) for problem in problems)
    return replace(config, keys={**config.keys, **keys}, warnings=config.warnings + warnings)
