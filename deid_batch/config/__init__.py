"""Configs: found by path or name, read in a dialect, all problems at once."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from deid_batch.config import native, successor
from deid_batch.config.entries import check_entries
from deid_batch.config.identifiers import read_known
from deid_batch.config.ignored import read_ignored
from deid_batch.config.jsonc import Node, read
from deid_batch.config.mapping import read_mappings, with_pseudonyms_of
from deid_batch.config.model import Config
from deid_batch.config.problems import Place, Problem, Report, printable
from deid_batch.config.settings import PROFILE_KEYS
from deid_batch.errors import ConfigError
from deid_batch.methods.dateshift import DateShift

__all__ = ["Config", "Reading", "load_config", "read_config", "shipped_configs"]


class Reading(NamedTuple):
    """What reading a config came to: its problems in the order of their places, and the config if it can be used."""

    name: str
    problems: list[Problem]
    config: Config | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The problems as they are shown."""
        return tuple(problem.shown(self.name) for problem in self.problems)


def load_config(path_or_name: str) -> Config:
    """The config in a file, or the shipped one of that name. Problems raise ConfigError, all of them."""
    reading = read_config(path_or_name)
    if reading.config is None:
        raise ConfigError(list(reading.lines))
    return reading.config


def read_config(path_or_name: str) -> Reading:
    """Read a config and collect everything that is wrong with it. A file that can't be read raises ConfigError."""
    name, folder, text = _text_of(path_or_name)
    root, problems = read(text)
    config = None
    if root is not None and not isinstance(root.value, dict):
        problems.append(Problem(root.place, f"a config is an object, not {root.kind}"))
    elif root is not None:
        config = _config_of(root, name, folder, problems.append)
    problems = sorted(set(problems))
    reading = Reading(name, problems, None)
    if config is None or any(not problem.is_warning for problem in problems):
        return reading
    return Reading(name, problems, config.with_warnings(reading.lines))


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package, by name."""
    installed = Path(str(resources.files("deid_batch"))) / "configs"
    folder = installed if installed.is_dir() else installed.parent.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def _config_of(root: Node, name: str, folder: str, report: Report) -> Config:
    """The config in the dialect that its keys tell."""
    is_successor = "dicomTagRules" not in root.value and successor.OWN_KEYS & root.value.keys()
    entries, keys, given = (successor.read_successor if is_successor else native.read_native)(root, report)
    if (schema := root.value.get("$schema")) and schema.kind != "a string":
        report(Problem(schema.place, f"$schema must be a string, not {schema.kind}"))
    lookups, mapped = read_mappings(root.value.get("mapping"), folder, report)
    entries = [*mapped, *entries]
    check_entries(entries, report)
    false_alarms = read_ignored(root, report)
    config = Config(name, tuple(entry.rule for entry in entries), keys, lookups=lookups, false_alarms=false_alarms)
    config = replace(config, acquainted=read_known(root, folder, report))
    if any(key in root.value for key in PROFILE_KEYS):
        from deid_batch.config.profile import read_profile

        config = read_profile(config, entries, root, given, report)
        entries = with_pseudonyms_of(config.profile, entries)
        config = replace(config, rules=tuple(entry.rule for entry in entries))
    scopes: list[str] = [method.date_shift_scope for method in config.methods if isinstance(method, DateShift)]
    return replace(config, scope=scopes[0] if scopes else config.scope)


def _text_of(path_or_name: str) -> tuple[str, str, str]:
    """(a config's name, its folder, its text)."""
    path = Path(path_or_name)
    if not os.path.isfile(path) and path_or_name in shipped_configs():
        path = shipped_configs()[path_or_name]
    try:
        return path.name, str(path.parent), path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(1, 1), "not UTF-8").shown(path.name)]) from None
    except OSError as error:
        names = ", ".join(shipped_configs())
        raise ConfigError([printable(f"{path_or_name}: {error.strerror}; the shipped configs are {names}")]) from None
