"""What would become of one file, element by element."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from deid_batch.config import load_config
from deid_batch.config.keys import with_keys_of
from deid_batch.config.settings import KEY_SETTINGS
from deid_batch.dicomfile import rewrite
from deid_batch.engine import CompiledRules
from deid_batch.errors import FileError, UsageError
from deid_batch.frames import Touch
from deid_batch.rules import RuleSet
from deid_batch.sinks import NoSink


def changes_of(path: str, config_name: str, keys: str | None = None) -> tuple[list[Touch], RuleSet, list[str]]:
    """(elements that change, rules, names of keys drawn at random). A file that can't be done: UsageError."""
    config = load_config(config_name)
    if keys:
        config = with_keys_of(config, keys)
    drawn = {purpose: secrets.token_bytes(32) for purpose in config.missing_keys()}
    rules = config.settled(drawn, datetime.now(UTC).date())
    trace: list[Touch] = []
    try:
        rewrite(path, NoSink(), CompiledRules(rules), trace)
    except FileError as error:
        raise UsageError(f"the file can't be de-identified: {error}") from None
    except OSError as error:
        raise UsageError(f"the file can't be read ({error.strerror})") from None
    changes = [touch for touch in trace if touch.before is None or touch.before != touch.after]
    used = {method.purpose for method in rules.methods}
    names = [name for name, purpose in KEY_SETTINGS.items() if purpose in used & drawn.keys()]
    return sorted(changes, key=_in_file_order), rules, names


def _in_file_order(touch: Touch) -> tuple[tuple[int, int], ...]:
    """A private creator is decided behind its block, but stands before it."""
    steps = [(touch.tag, -1)]
    place = touch.place
    while place:
        place, tag, number = place
        steps.append((tag, number))
    return tuple(reversed(steps))
