"""Values that a JSON Schema describes, drawn from a text."""

import re
from collections.abc import Mapping
from typing import Any, Final

from heygen_portal.emulator.speech import answers

_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED: Final = re.compile(r"[\"“«]([^\"”»]+)[\"”»]")
_MAX_DEPTH: Final = 8


def fill(schema: Mapping[str, Any], text: str, depth: int = 0) -> Any:
    """Return a value of this schema: numbers, addresses and quotes that the text has, else the text itself."""
    if choices := schema.get("enum"):
        said = answers.stems(text)
        return next((choice for choice in choices if answers.stems(str(choice)) & said), choices[0])
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            if depth >= _MAX_DEPTH or not isinstance(properties, Mapping):
                return {}
            wanted = schema.get("required", list(properties))
            return {name: fill(properties[name], text, depth + 1) for name in properties if name in wanted}
        case "array":
            return [fill(schema.get("items") or {}, text, depth + 1)] if depth < _MAX_DEPTH else []
        case "integer":
            return int(_number(text))
        case "number":
            return _number(text)
        case "boolean":
            return True
        case "null":
            return None
    pattern = _EMAIL if schema.get("format") == "email" else _QUOTED
    match = pattern.search(text)
    return (match[1] if match.re.groups else match[0]) if match else text


def _number(text: str) -> float:
    match = _NUMBER.search(text)
    return float(match[0]) if match else 0.0
