"""Statements about users in the audit log, and their erasure on closing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model, OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat

from heygen_portal.trail import statements
from heygen_portal.trail.statements import NOT_SHOWN, ROWS, Table

USER = Table(
    "user",
    User,
    "pk",
    uncovered={
        "password": NOT_SHOWN,
        "last_login": "changes with each sign-in; the sign-in log says when",
    },
)
# The groups. A role's permissions are looked up by the name of its group.
GROUP = Table("group", Group, "pk")
# Which roles and which individual permissions a user has.
ROLE = Table("role", User.groups.through, "pk")
# What an individual permission allows depends on what Django's list of permissions calls it.
_CALLED = Permission.objects.filter(pk=OuterRef("permission_id")).values(
    called=Concat("content_type__app_label", Value("."), "codename")
)
USER_PERMISSION = Table("user_permission", User.user_permissions.through, "pk", meanings={"allows": Subquery(_CALLED)})
AccessRows = Mapping[str, list[Model]]
NAME_COLUMNS = ("username", "first_name", "last_name", "email")


def access_rows(user_id: int) -> AccessRows:
    """Return the rows of a user's roles and individual permissions, by table."""
    return {table.name: list(table.rows().filter(user=user_id).order_by("pk")) for table in (ROLE, USER_PERMISSION)}


def access_changed(before: AccessRows, user_id: int) -> dict[str, Any]:
    """Return data that states the access lost and gained since `before`."""
    after = access_rows(user_id)
    return statements.merged(
        *(
            statements.replaced(table, before.get(table.name, ()), after[table.name])
            for table in (ROLE, USER_PERMISSION)
        )
    )


def stating(user_id: int) -> Q:
    """Match audit entries that state a user's row."""
    return Q(**{f"data__{ROWS}__{USER.name}__has_key": USER.key(user_id)})


def without_names(data: Mapping[str, Any], user_id: int, label: str) -> dict[str, Any]:
    """Return an entry's data with `label` as the user's only name."""
    rows = data.get(ROWS)
    users = rows.get(USER.name) if isinstance(rows, dict) else None
    columns = users.get(USER.key(user_id)) if isinstance(users, dict) else None
    if not isinstance(rows, dict) or not isinstance(users, dict) or not isinstance(columns, dict):
        return dict(data)
    erased = {name: label if name == "username" else "" for name in NAME_COLUMNS if name in columns}
    users = {**users, USER.key(user_id): {**columns, **erased}}
    return {**data, ROWS: {**rows, USER.name: users}}
