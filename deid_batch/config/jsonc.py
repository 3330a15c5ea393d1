"""JSON with comments, trailing commas and a BOM, read so that every value knows its line and column."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from deid_batch.config.problems import Place, Problem, did_you_mean

_Branch = Tree[Token] | Token

_GRAMMAR = r"""
?start: value
?value: object | array | STRING | NUMBER | WORD
object: "{" [member ("," member)* ","?] "}"
member: STRING ":" value
array: "[" [value ("," value)* ","?] "]"
STRING: /"(?:[^"\\\x00-\x1f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/
WORD: "true" | "false" | "null"
COMMENT: /\/\/[^\n]*/ | /\/\*(?:[^*]|\*(?!\/))*\*\//
WS: /[ \t\f\r\n]+/
%ignore WS
%ignore COMMENT
"""


@dataclass(frozen=True)
class Node:
    """A JSON value and where it stands: `value` is a dict or list of Nodes, or a str, bool, None or number.

    Numbers are kept as the text they are written in.
    """

    value: Any
    place: Place
    keys: dict[str, Place]
    """For an object: where each key stands."""

    @property
    def kind(self) -> str:
        """The name of the value's JSON type, for messages."""
        return {dict: "an object", list: "a list", bool: "true or false", type(None): "null", Number: "a number"}.get(
            type(self.value), "a string"
        )


def unknown_key(node: Node, name: str, known: Iterable[str]) -> Problem:
    """The problem of a key that is none of `known`."""
    return Problem(node.keys[name], f"unknown key '{name}'{did_you_mean(name, known)}")


class Number(str):
    """A number as it is written."""


def read(text: str) -> tuple[Node | None, list[Problem]]:
    """The root value of a config's text, or None; and what is wrong with its form."""
    text = text.removeprefix("\ufeff")
    try:
        tree = _parser().parse(text)
        problems: list[Problem] = []
        return _node(tree, "", problems), problems
    except UnexpectedInput as error:
        return None, [_syntax_problem(error, text)]
    except RecursionError:
        return None, [Problem(Place(1, 1), "nested too deeply")]


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False, propagate_positions=True)


def _syntax_problem(error: UnexpectedInput, text: str) -> Problem:
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        lines = text.split("\n")
        return Problem(Place(len(lines), len(lines[-1]) + 1), "not valid JSON: the text ends too early")
    return Problem(Place(error.line, error.column), "not valid JSON: this can't stand here")


def _node(branch: _Branch, path: str, problems: list[Problem]) -> Node:
    if isinstance(branch, Token):
        return Node(_scalar(branch, path, problems), _place(branch, path), {})
    place = Place(branch.meta.line, branch.meta.column, path)
    if branch.data == "array":
        items = [_node(child, f"{path}[{number}]", problems) for number, child in enumerate(branch.children)]
        return Node(items, place, {})
    values: dict[str, Node] = {}
    keys: dict[str, Place] = {}
    for member in branch.children:
        token, value = cast("Tree[Token]", member).children
        name = _string(cast(Token, token), path, problems)
        inside = f"{path}.{name}" if path else name
        if name in keys:
            problems.append(Problem(_place(cast(Token, token), inside), "this key stands twice"))
        keys[name] = _place(cast(Token, token), inside)
        values[name] = _node(value, inside, problems)
    return Node(values, place, keys)


def _place(token: Token, path: str) -> Place:
    return Place(token.line or 1, token.column or 1, path)


def _string(token: Token, path: str, problems: list[Problem]) -> str:
    text = str(json.loads(token))
    whole = text.encode("utf-8", "replace").decode()
    if whole != text:
        problems.append(Problem(_place(token, path), "half of a surrogate pair is no character"))
    return whole


def _scalar(token: Token, path: str, problems: list[Problem]) -> str | bool | None:
    if token.type == "STRING":
        return _string(token, path, problems)
    if token.type == "NUMBER":
        return Number(token)
    return {"true": True, "false": False, "null": None}[token]
