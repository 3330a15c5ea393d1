"""Settings: from what a config says to the typed fields of a method, for every method alike."""

from __future__ import annotations

from dataclasses import Field, fields
from datetime import date
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from deid_batch import crypto
from deid_batch.config.jsonc import Node
from deid_batch.config.problems import Problem, Report
from deid_batch.errors import UsageError
from deid_batch.methods import Method, known_methods

KEY_SETTINGS = {
    "dateShiftKey": "dateshift",
    "cryptoHashKey": "cryptohash",
    "encryptKey": "encrypt",
    "uidKey": "uid",
    "perturbKey": "perturb",
}
"""Settings that give a key, and what it is for."""
MASTER_KEY = "key"
PROFILE_KEYS = (
    "profile", "options", "pseudonymPrefix", "pseudonymLength", "capAges", "contributingEquipment",
    "trustDeclaredPrivate", "burnedIn", "encapsulatedDocuments", "alreadyDeidentified",
)  # fmt: skip
"""Keys of a config, in both dialects, that are about the built-in profile."""


def camel(name: str) -> str:
    """`round_to` as `roundTo`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@cache
def settings_of(method: type[Method]) -> dict[str, tuple[str, Any]]:
    """A method's settings as a config names them: name → (field, type)."""
    hints = get_type_hints(method, include_extras=True)
    return {camel(field.name): (field.name, hints[field.name]) for field in fields(method) if is_setting(field)}


def is_setting(field: Field[Any]) -> bool:
    """Whether a field of a method is one that a config may set."""
    return field.name != "key" and not field.metadata.get("inner")


@cache
def all_settings() -> dict[str, Any]:
    """Every method's settings: name → type."""
    kinds: dict[str, Any] = {}
    for method in known_methods().values():
        for name, (_, kind) in settings_of(method).items():
            if kinds.setdefault(name, kind) != kind:
                raise UsageError(f"the method '{method.name}' gives the setting '{name}' another type than others do")
    return kinds


def convert(node: Node, kind: Any, report: Report) -> Any:
    """A setting's value as `kind`, or None with a problem reported."""
    value = node.value
    if get_origin(kind) is tuple:
        return _converted_list(node, get_args(kind)[0], report)
    if isinstance(value, (dict, list)) or (isinstance(value, bool) and kind is not bool):
        report(Problem(node.place, f"{node.kind} can't stand here"))
        return None
    try:
        if isinstance(value, str):
            value = _spelled(value.strip(), kind)
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        report(Problem(node.place, _wording(error)))
    except ValueError:
        report(Problem(node.place, "must be a day, such as 2026-01-31"))
    return None


def _converted_list(node: Node, kind: Any, report: Report) -> tuple[Any, ...] | None:
    """A list of values of one kind."""
    if not isinstance(node.value, list):
        report(Problem(node.place, f"must be a list, not {node.kind}"))
        return None
    converted = [convert(item, kind, report) for item in node.value]
    return None if None in converted else tuple(dict.fromkeys(converted))


def convert_key(node: Node, purpose: str, report: Report) -> bytes:
    """A key setting's bytes; b"" where it is empty or a problem was reported."""
    if node.kind != "a string":
        report(Problem(node.place, f"a key is a string, not {node.kind}"))
        return b""
    if not node.value:
        return b""
    try:
        key = crypto.read_key(node.value)
        if purpose == "encrypt":
            crypto.check_aes_key(key)
    except crypto.KeyUnusable as error:
        report(Problem(node.place, str(error)))
        return b""
    if len(key) < crypto.WEAK_BELOW:
        report(Problem(node.place, f"a weak key: fewer than {crypto.WEAK_BELOW} bytes", is_warning=True))
    return key


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _spelled(text: str, kind: Any) -> str | date:
    """Choices in the case they are defined in, days as such."""
    for choice in choices_of(kind):
        if choice.casefold() == text.casefold():
            return choice
    if date in (kind, *get_args(kind)):
        return date.fromisoformat(text)
    return text


def choices_of(kind: Any) -> list[str]:
    """The names among which a setting of this type chooses."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for inner in get_args(kind) for choice in choices_of(inner)]


def _wording(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]["msg"]
    return first[0].lower() + first[1:]
