"""What would become of one file, element by element."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from deid_batch.config import load_config
from deid_batch.config.keys import with_keys_of
from deid_batch.dicomfile import NoSink, rewrite
from deid_batch.engine import CompiledRules, Touch
from deid_batch.errors import FileError, UsageError
from deid_batch.rules import RuleSet


def changes_of(path: str, config_name: str, keys: str | None = None) -> tuple[list[Touch], RuleSet, list[str]]:
    """(elements that change, rules, purposes of keys drawn at random). A file that can't be done: UsageError."""
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
    return [touch for touch in trace if touch.before is None or touch.before != touch.after], rules, sorted(drawn)
