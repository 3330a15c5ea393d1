"""JSON Schema of the config, for editors. (JSON Schema 2020-12)"""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter

from deid_batch.config.conditions import KINDS as CONDITION_KINDS
from deid_batch.config.identifiers import LIST_KEY, WORDS_KEY, CommonWords
from deid_batch.config.ignored import KINDS as FINDING_KINDS
from deid_batch.config.profile import BURNED_IN, PROFILE, SETTINGS
from deid_batch.config.settings import KEY_SETTINGS, MASTER_KEY, PROFILE_KEYS, all_settings, choices_of, settings_of
from deid_batch.methods import Method, known_methods
from deid_batch.methods.mapping import OnMissing
from deid_batch.profiles.tables import OPTIONS
from deid_batch.wire import VRS

_Schema = dict[str, Any]
_KEY: _Schema = {"type": "string", "description": "A key: literal, base64:…, hex:…, env:NAME or file:PATH."}


def config_schema() -> _Schema:
    """The schema of both dialects, with the methods that are installed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "deid_batch config",
        "type": "object",
        "anyOf": [_native(), _successor()],
        "$defs": {
            "tag": _native_tag(),
            "when": _when(),
            "default": _default(),
            "mapping": _mapping(),
            "verify": _verify(),
        },
    }


def _native() -> _Schema:
    rules = [
        _object({"tag": _TAG, "method": _one_of([name]), "when": _WHEN, **_settings(method)}, "tag", "method")
        for name, method in known_methods().items()
    ]
    return _object(
        {
            "$schema": {"type": "string"},
            **_profile(),
            "mapping": _MAPPING,
            **_known(),
            "dicomTagRules": {"type": "array", "items": {"anyOf": rules}},
            "parameters": _object(_every_setting() | {MASTER_KEY: _KEY}),
            "default": _DEFAULT,
            "verify": _VERIFY,
        },
    ) | _needing("dicomTagRules")


def _successor() -> _Schema:
    rules = [
        _object(
            {
                "tag": {"type": "string"},
                "method": _one_of([name]),
                "when": _WHEN,
                "setting": {"type": "string"},
                "params": _object(_settings(method)),
            },
            "tag",
            "method",
        )
        for name, method in known_methods().items()
    ]
    defaults = {name: _object(_settings(method)) for name, method in known_methods().items()}
    in_any_case = {_any_case(name): schema for name, schema in defaults.items()}
    return _object(
        {
            "$schema": {"type": "string"},
            **_profile(),
            "mapping": _MAPPING,
            **_known(),
            "rules": {"type": "array", "items": {"anyOf": rules}},
            "defaultSettings": _object(defaults) | {"patternProperties": in_any_case},
            "customSettings": {"type": "object", "additionalProperties": _object(_every_setting())},
            "default": _DEFAULT,
            "verify": _VERIFY,
        },
    ) | _needing("rules")


_TAG: _Schema = {"$ref": "#/$defs/tag"}
_WHEN: _Schema = {"$ref": "#/$defs/when"}
_DEFAULT: _Schema = {"$ref": "#/$defs/default"}
_VERIFY: _Schema = {"$ref": "#/$defs/verify"}
_MAPPING: _Schema = {"$ref": "#/$defs/mapping"}
_TRUE: _Schema = {"anyOf": [{"const": True}, {"type": "string", "pattern": "^[Tt][Rr][Uu][Ee]$"}]}


def _profile() -> _Schema:
    """The keys that are about the built-in profile."""
    settings = {name: _setting(kind) for name, kind in SETTINGS.items()}
    options = {"type": "array", "items": _one_of(list(OPTIONS)), "uniqueItems": True}
    whens = {"type": "array", "items": _WHEN}
    burned_in = {"anyOf": [_setting(BURNED_IN), _object({"allow": whens, "setAside": whens})]}
    return {"profile": _one_of([PROFILE]), "options": options, "burnedIn": burned_in, **settings}


def _needing(rules: str) -> _Schema:
    """Rules or a profile must be there, and what is about the profile only with it."""
    return {
        "anyOf": [{"required": [rules]}, {"required": ["profile"]}],
        "dependentRequired": {key: ["profile"] for key in PROFILE_KEYS if key != "profile"},
    }


def _native_tag() -> _Schema:
    text = {"type": "string", "minLength": 1}
    kinds = [
        _object({"value": text}, "value"),
        _object({"keyword": text}, "keyword"),
        _object({"name": text}, "name"),
        _object({"VR": _one_of(sorted(VRS))}, "VR"),
        _object({"path": text}, "path"),
        _object({"private": _TRUE}, "private"),
        _object({"creator": text, "value": text}, "creator"),
    ]
    return {"anyOf": kinds}


def _when() -> _Schema:
    text = {"type": "string"}
    kinds = {"regex": text, "exists": {"anyOf": [{"type": "boolean"}, _one_of(["true", "false"])]}}
    one_kind = [_object({kind: kinds[kind]}, kind) for kind in CONDITION_KINDS]
    equals = {"type": ["string", "number"]}
    value = {"anyOf": [equals, {"type": "array", "items": equals, "minItems": 1}, *one_kind]}
    return {"type": "object", "minProperties": 1, "additionalProperties": value}


def _default() -> _Schema:
    choice = _one_of(["keep", "remove"])
    return {"anyOf": [choice, _object({"public": choice, "private": choice}) | {"minProperties": 1}]}


def _verify() -> _Schema:
    tag = {"type": "string", "minLength": 1}
    kinds = {"type": "array", "items": _one_of(list(FINDING_KINDS)), "minItems": 1}
    entry = {"anyOf": [tag, _object({"tag": tag, "kinds": kinds}, "tag")]}
    return _object({"ignore": {"type": "array", "items": entry}})


def _known() -> _Schema:
    """The keys that are about known identity."""
    return {LIST_KEY: {"type": "string", "pattern": "^file:."}, WORDS_KEY: _setting(CommonWords)}


def _mapping() -> _Schema:
    text = {"type": "string", "minLength": 1}
    some = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}
    path = {"type": "string", "pattern": "^file:."}
    one = _object({"csv": path, "from": text, "to": some, "onMissing": _setting(OnMissing)}, "csv", "from", "to")
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _every_setting() -> _Schema:
    return {name: _setting(kind) for name, kind in all_settings().items()} | dict.fromkeys(KEY_SETTINGS, _KEY)


def _settings(method: type[Method]) -> _Schema:
    settings = {name: _setting(kind) for name, (_, kind) in settings_of(method).items()}
    return settings | {name: _KEY for name, purpose in KEY_SETTINGS.items() if purpose == method.purpose}


def _setting(kind: Any) -> _Schema:
    """A setting's schema; numbers and booleans may be written as strings."""
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _setting(get_args(kind)[0])}
    if choices := choices_of(kind):
        return _one_of(choices)
    schema = TypeAdapter(kind).json_schema()
    return schema if schema.get("type") == "string" else {"anyOf": [schema, {"type": "string"}]}


def _one_of(names: list[str]) -> _Schema:
    """Names as they are defined, for an editor to offer; they may be written in any case."""
    return {"anyOf": [{"enum": names}, {"type": "string", "pattern": "|".join(map(_any_case, names))}]}


def _any_case(name: str) -> str:
    """A regular expression for a name in any case. JSON Schema's have no flag for it. (ECMA-262)"""
    return "^" + "".join(f"[{it.upper()}{it.lower()}]" if it.isalpha() else re.escape(it) for it in name) + "$"


def _object(properties: _Schema, *required: str) -> _Schema:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | {"required": list(required)} if required else schema
