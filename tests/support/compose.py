"""Compose files with variables filled in and merge keys resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from local.paths import ROOT

VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>.*))?", re.DOTALL)

Document = dict[str, Any]


class VariableMissing(Exception):
    """A variable that the file requires is not set."""


def load(name: str, variables: Mapping[str, str]) -> Document:
    """Return a compose file with its variables replaced.

    Raises VariableMissing.
    """
    filled = _fill_all(yaml.safe_load((ROOT / name).read_text()), variables)
    assert isinstance(filled, dict)
    return filled


def _fill_all(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, list):
        return [_fill_all(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: _fill_all(item, variables) for key, item in value.items()}
    return value


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Replace variables as Compose does.

    `$$`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}` and `${NAME:+replacement}`, which may be nested.
    """
    parts, rest = [], text
    while "$" in rest:
        before, _, rest = rest.partition("$")
        parts.append(before)
        if rest.startswith("$"):
            parts.append("$")
            rest = rest[1:]
            continue
        assert rest.startswith("{"), f"a variable without braces in {text!r}"
        end = _closing_brace(rest)
        parts.append(_value(rest[1:end], variables))
        rest = rest[end + 1 :]
    return "".join([*parts, rest])


def _closing_brace(text: str) -> int:
    depth = 0
    for index, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return index
    raise AssertionError(f"a brace is not closed in {text!r}")


def _value(inside: str, variables: Mapping[str, str]) -> str:
    found = VARIABLE.fullmatch(inside)
    assert found, f"not a variable: {inside!r}"
    name, operator, word = found.group("name", "operator", "word")
    value = variables.get(name, "")
    if operator == ":+":
        return fill(word, variables) if value else ""
    if operator == ":?" and not value:
        raise VariableMissing(f"{name}: {word}")
    if operator == ":-" and not value:
        return fill(word, variables)
    assert operator in (None, ":-", ":?"), f"{operator} is not used in {inside!r}"
    return value
