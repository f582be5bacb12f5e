"""JSON Schemas of tools' arguments: a small part of the language, which is checked in bounded time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAX_PROPERTIES, MAX_DEPTH = 20, 4
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
MAX_NAME_CHARACTERS = 40
SCALARS = frozenset({"string", "integer", "number", "boolean"})
# Nothing that refers to another schema, and no regular expressions: a user's text could take them for ever.
KEYWORDS = frozenset(
    {
        "type", "title", "description", "properties", "required", "additionalProperties", "enum", "const", "default",
        "examples", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
        "maxLength", "format", "items", "minItems", "maxItems",
    }
)  # fmt: skip


def read(text: str) -> dict[str, Any]:
    """Return a schema. Unknown arguments are refused by it, whether or not it says so. Raises ValidationError."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    schema = _json(text)
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValidationError(_("A JSON Schema whose type is “object”."))
    _check(schema, 0)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise ValidationError(_("This is no JSON Schema: %(why)s") % {"why": exc.message[:200]}) from exc
    return schema | {"additionalProperties": False}


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a schema by name."""
    return dict(schema.get("properties", {}))


def is_scalar(schema: Any) -> bool:
    """Whether each value of a schema can be written in an address."""
    return isinstance(schema, dict) and schema.get("type") in SCALARS


def fits(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether arguments fit a JSON Schema. Schemas elsewhere are never fetched."""
    # Importing them takes a tenth of a second, and most processes call no tool.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError as Misfit
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator(schema, registry=Registry()).validate(arguments)
    except (Misfit, Unresolvable, RecursionError, ValueError):
        return False
    return True


def sample(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments to try a tool with."""
    return {name: _sample(each) for name, each in properties(schema).items()}


def _sample(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return ""
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    kind = schema.get("type")
    given = schema.get("default", schema.get("const", schema.get("minimum")))
    plain = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return given if given is not None else plain.get(kind, "") if isinstance(kind, str) else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValidationError(_("This is no JSON.")) from exc


def _check(schema: Any, depth: int) -> None:
    """Refuse keywords that are not supported, at each depth."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        raise ValidationError(_("A JSON Schema whose type is “object”.") if depth == 0 else _("It is nested too deep."))
    if unknown := sorted(schema.keys() - KEYWORDS):
        raise ValidationError(_("Not supported here: %(names)s") % {"names": ", ".join(unknown)[:200]})
    named = schema.get("properties", {})
    if not isinstance(named, dict) or len(named) > MAX_PROPERTIES:
        raise ValidationError(_("At most %(count)s arguments.") % {"count": MAX_PROPERTIES})
    for name in named:
        if not name or len(name) > MAX_NAME_CHARACTERS or not NAME_CHARACTERS.issuperset(name):
            raise ValidationError(_("Names of arguments have only letters, digits and underscores."))
    for each in [*named.values(), *(schema[key] for key in ("items", "additionalProperties") if key in schema)]:
        _check(each, depth + 1)
