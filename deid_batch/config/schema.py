"""JSON Schema of the config, for editors. (JSON Schema 2020-12)"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from deid_batch.config.conditions import KINDS as CONDITION_KINDS
from deid_batch.config.settings import KEY_SETTINGS, MASTER_KEY, all_settings, settings_of
from deid_batch.methods import Method, known_methods
from deid_batch.wire import VRS

_Schema = dict[str, Any]
_KEY: _Schema = {"type": "string", "description": "A key: literal, base64:…, hex:…, env:NAME or file:PATH."}


def config_schema() -> _Schema:
    """The schema of both dialects. Names are given in the case they are defined in; the tool reads them in any."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "deid_batch config",
        "type": "object",
        "anyOf": [_native(), _successor()],
        "$defs": {"when": _when(), "default": _default()},
    }


def _native() -> _Schema:
    parameters = {name: _setting(kind) for name, kind in all_settings().items()}
    parameters |= dict.fromkeys([*KEY_SETTINGS, MASTER_KEY], _KEY)
    rules = [
        _object({"tag": _native_tag(), "method": _name(name), "when": _WHEN, **_settings(method)}, "tag", "method")
        for name, method in known_methods().items()
    ]
    return _object(
        {
            "$schema": {"type": "string"},
            "dicomTagRules": {"type": "array", "items": {"anyOf": rules}},
            "parameters": _object(parameters),
            "default": {"$ref": "#/$defs/default"},
        },
        "dicomTagRules",
    )


def _successor() -> _Schema:
    rules = [
        _object(
            {
                "tag": {"type": "string"},
                "method": _name(name),
                "when": _WHEN,
                "setting": {"type": "string"},
                "params": _object(_settings(method)),
            },
            "tag",
            "method",
        )
        for name, method in known_methods().items()
    ]
    defaults = {
        spelled: _object(_settings(method)) for name, method in known_methods().items() for spelled in _spellings(name)
    }
    return _object(
        {
            "$schema": {"type": "string"},
            "rules": {"type": "array", "items": {"anyOf": rules}},
            "defaultSettings": _object(defaults),
            "customSettings": {"type": "object", "additionalProperties": {"type": "object"}},
            "default": {"$ref": "#/$defs/default"},
        },
        "rules",
    )


_WHEN: _Schema = {"$ref": "#/$defs/when"}


def _native_tag() -> _Schema:
    text = {"type": "string", "minLength": 1}
    kinds = [
        _object({"value": text}, "value"),
        _object({"keyword": text}, "keyword"),
        _object({"name": text}, "name"),
        _object({"VR": {"enum": sorted(VRS | {vr.lower() for vr in VRS})}}, "VR"),
        _object({"path": text}, "path"),
        _object({"private": {"enum": [True, "true"]}}, "private"),
        _object({"creator": text, "value": text}, "creator"),
    ]
    return {"anyOf": kinds}


def _when() -> _Schema:
    text = {"type": "string"}
    kinds = {"regex": text, "exists": {"enum": [True, False, "true", "false"]}}
    one_kind = [_object({kind: kinds[kind]}, kind) for kind in CONDITION_KINDS]
    value = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}, *one_kind]}
    return {"type": "object", "minProperties": 1, "additionalProperties": value}


def _default() -> _Schema:
    choice = {"enum": ["keep", "remove"]}
    return {"anyOf": [choice, _object({"public": choice, "private": choice})]}


def _settings(method: type[Method]) -> _Schema:
    settings = {name: _setting(kind) for name, (_, kind) in settings_of(method).items()}
    return settings | {name: _KEY for name, purpose in KEY_SETTINGS.items() if purpose == method.purpose}


def _setting(kind: Any) -> _Schema:
    """A setting's schema; numbers and booleans may be written as strings."""
    schema = TypeAdapter(kind).json_schema()
    if "enum" in schema:
        return {"enum": sorted({spelled for choice in schema["enum"] for spelled in _spellings(choice)})}
    return schema if schema.get("type") == "string" else {"anyOf": [schema, {"type": "string"}]}


def _name(name: str) -> _Schema:
    return {"enum": _spellings(name)}


def _spellings(name: str) -> list[str]:
    """A name in the forms that configs are seen to use."""
    return sorted({name, name.lower(), name[:1].upper() + name[1:]})


def _object(properties: _Schema, *required: str) -> _Schema:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | {"required": list(required)} if required else schema
