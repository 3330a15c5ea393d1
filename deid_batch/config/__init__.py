"""Configs: found by path or name, read in a dialect, all problems at once."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from deid_batch.config.jsonc import read
from deid_batch.config.model import Config
from deid_batch.config.native import read_native
from deid_batch.config.problems import Place, Problem, printable
from deid_batch.errors import ConfigError

__all__ = ["Config", "load_config", "shipped_configs"]


def load_config(path_or_name: str) -> Config:
    """The config in a file, or the shipped one of that name. Problems raise ConfigError, all of them."""
    name, text = _text_of(path_or_name)
    problems: list[Problem] = []
    root, form_problems = read(text)
    problems.extend(form_problems)
    config = None
    if root is not None and not isinstance(root.value, dict):
        problems.append(Problem(root.place, f"a config is an object, not {root.kind}"))
    elif root is not None:
        config = read_native(root, name, problems.append)
    lines = [problem.shown(name) for problem in sorted(problems)]
    if config is None or any(not problem.is_warning for problem in problems):
        raise ConfigError(lines)
    return Config(config.name, config.rules, config.keys, config.scope, config.reference_date, tuple(lines))


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package, by name."""
    installed = Path(str(resources.files("deid_batch"))) / "configs"
    folder = installed if installed.is_dir() else installed.parent.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def _text_of(path_or_name: str) -> tuple[str, str]:
    path = Path(path_or_name)
    if not os.path.isfile(path) and path_or_name in shipped_configs():
        path = shipped_configs()[path_or_name]
    try:
        return path.name, path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(1, 1), "not UTF-8").shown(path.name)]) from None
    except OSError as error:
        names = ", ".join(shipped_configs())
        raise ConfigError([printable(f"{path_or_name}: {error.strerror}; the shipped configs are {names}")]) from None
