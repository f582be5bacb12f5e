"""Changes by staff as audit entries: each field's value before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

from django.db.models import Field, Model
from django.http import HttpRequest

from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

Changes = dict[str, list[Any]]
"""Field name → [before, after]."""


@dataclass(frozen=True)
class Actor:
    """Author of a change and their IP address.

    Both are None for a command on the server.
    """

    user_id: int | None = None
    address: str | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        return cls(request.user.pk, client_address.of(request))


SERVER = Actor()


def diff(before: Model | None, after: Model | None, names: Iterable[str]) -> Changes:
    """Return the fields that differ.

    A row that was created or deleted is None on one side.
    """
    pairs = {name: [_value(before, name), _value(after, name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def record(
    actor: Actor, kind: AuditEntry.Kind, about: object, changes: Changes, stated: Mapping[str, Any] | None = None
) -> None:
    """Append an entry if there are changes. Call it in the transaction of the change.

    `stated` is what the entry states about rows.
    """
    if changes or stated:
        audit_log.record_by(actor.user_id, actor.address, kind, about, **changes, **(stated or {}))


def editable_columns(model: type[Model], *, exclude: Iterable[str] = ()) -> list[str]:
    """Return the names of the columns that staff can change."""
    fields = model._meta.concrete_fields
    return [field.name for field in fields if field.editable and not field.primary_key and field.name not in exclude]


def _value(row: Model | None, name: str) -> Any:
    """Return a value that JSON keeps exactly.

    Decimals and durations become text, related rows their names.
    """
    if row is None:
        return None
    value = getattr(row, name)
    if isinstance(value, Decimal):
        field = row._meta.get_field(name)
        places = getattr(field, "decimal_places", 0) if isinstance(field, Field) else 0
        return f"{value:.{places}f}"
    if isinstance(value, str | timedelta | Model):
        return str(value)  # turns a member of TextChoices into its value
    return value
