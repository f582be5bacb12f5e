"""JSON columns that were changed by SQL: read without exceptions, and shown as damaged.

Verification reads columns as text, and names the rows. Here a page is kept working beside such a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.fields.json import KeyTransform
from django.utils.translation import gettext

# Key of what is stored, in the object that replaces a damaged one. Exports contain it, too.
DAMAGED = "damaged"
# Nothing that the portal stores is nested more deeply. JSON of a thousand levels cannot be written again.
MAX_DEPTH = 50
MAX_SHOWN_CHARACTERS = 200
MAX_NUMBER = 1e15
MAX_MILLISECONDS = 1e12


# Times outside this range may not be representable in every time zone.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class DamagedObject(dict[str, Any]):
    """Takes the place of a JSON object that cannot be read. It contains only what is stored, as text."""

    def __init__(self, stored: Any) -> None:
        super().__init__({DAMAGED: _shown(stored)})


class _TypedJSONField(models.JSONField):
    """A JSON column that holds one type. Anything else is read as damaged."""

    json_type: type

    def damaged(self, stored: Any) -> Any:
        """Return what takes the place of a damaged value."""
        raise NotImplementedError

    def deconstruct(self) -> Any:
        name, _path, args, keywords = super().deconstruct()
        return name, "django.db.models.JSONField", args, keywords  # the same column

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value is None or isinstance(expression, KeyTransform):
            return super().from_db_value(value, expression, connection)
        try:
            found = parse(value)
        except (TypeError, ValueError, RecursionError):
            return self.damaged(value)
        return found if isinstance(found, self.json_type) else self.damaged(value)


class ObjectField(_TypedJSONField):
    """A JSON column that holds an object. Anything else is read as a DamagedObject."""

    json_type = dict

    def damaged(self, stored: Any) -> DamagedObject:
        return DamagedObject(stored)


class ListField(_TypedJSONField):
    """A JSON column that holds a list. Anything else is read as a list of one DamagedObject."""

    json_type = list

    def damaged(self, stored: Any) -> list[DamagedObject]:
        return [DamagedObject(stored)]


def parse(stored: Any) -> Any:
    """Parse JSON that pages can show and exports can write.

    Lone surrogates are replaced. Raises ValueError for infinite numbers and for deep nesting.
    """
    found = json.loads(stored, parse_constant=_refuse, parse_float=_finite)
    text = stored if isinstance(stored, str) else str(stored)
    if "\\ud" in text or "\\uD" in text:
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(found) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(number: str) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ValueError(number)
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        nested = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in nested for part in (each.values() if isinstance(each, dict) else each)]
    return depth


def _shown(stored: Any) -> str:
    text = stored if isinstance(stored, str) else json.dumps(stored, ensure_ascii=False, default=str)
    return text[:MAX_SHOWN_CHARACTERS].encode("utf-8", "replace").decode()


# Values in an object: of the expected type, or a replacement.


def text(data: Mapping[str, Any], key: str) -> str:
    """Return a text, or an empty one for anything else."""
    found = data.get(key)
    return found if isinstance(found, str) else ""


def number(data: Mapping[str, Any], key: str) -> float | int | None:
    """Return a number that can be formatted and calculated with, or None for anything else."""
    found = data.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if abs(found) <= MAX_NUMBER else None


def milliseconds(value: Any) -> timedelta | None:
    """Return a number of milliseconds as a duration of at most some years, or None for anything else."""
    found = number({"": value}, "")
    return timedelta(milliseconds=found) if found is not None and abs(found) <= MAX_MILLISECONDS else None


def row_key(data: Mapping[str, Any], name: str) -> int | None:
    """Return the primary key of another row, or None for anything else."""
    found = data.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found < 2**63 else None


def moment(data: Mapping[str, Any], key: str) -> datetime | None:
    """Return a time in ISO 8601, or None for anything else and for times that some zone cannot show."""
    try:
        found = datetime.fromisoformat(text(data, key))
    except ValueError:
        return None
    return found if found.tzinfo and EARLIEST <= found <= LATEST else None


def nested(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object in the object, or an empty one for anything else."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def label(value: Any) -> str:
    """Return the text that takes the place of a damaged value, in the active language."""
    stored = value[DAMAGED] if isinstance(value, dict) and DAMAGED in value else _shown(value)
    return gettext("damaged: %(stored)s") % {"stored": stored}


def choice_label(choices: type[models.TextChoices], stored: str) -> str:
    """Return the label of a stored choice in the active language; empty for no choice.

    One that does not exist is shown as damaged.
    """
    if not stored:
        return ""
    return str(choices(stored).label) if stored in choices.values else label(stored)
