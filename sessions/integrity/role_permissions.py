"""Verification of what roles permit, against the table in code.

Access does not depend on these rows, but the page of a role and Django's own tools show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.contrib.auth.models import Group, Permission

from heygen_portal.people.access.roles import ROLES
from sessions.integrity.fault import Fault, FaultKind
from sessions.integrity.scope import MAX_FAULTS, CheckCounts

TABLE = "role_permission"


def faults(counts: CheckCounts) -> Iterator[Fault]:
    """Yield permissions that roles have in the database but not in code, or the reverse, up to `MAX_FAULTS`."""
    yield from islice(_faults(counts), MAX_FAULTS)


def _faults(counts: CheckCounts) -> Iterator[Fault]:
    groups: dict[Any, str] = dict(Group.objects.order_by().values_list("pk", "name"))
    stored = list(_stored(groups))
    counts.rows[TABLE] += len(stored)
    # The audit log states the groups, so a missing one is found there.
    roles = [role for role in ROLES if role.group in groups.values()]
    expected = {(role.group, str(permission)) for role in roles for permission in role.permissions}
    surplus = [row for row in stored if row not in expected]
    for row in sorted(expected - set(stored)):
        role, permission = row
        of_role = next((other for other in surplus if other[0] == role), None)
        of_permission = next((other for other in surplus if other[1] == permission), None)
        if moved := of_role or of_permission:
            surplus.remove(moved)
            yield _fault("row_changed", row, "permission" if of_role else "group")
        else:
            yield _fault("row_deleted", row)
    names = {role.group for role in roles}
    # Other groups grant nothing, whatever they hold.
    yield from (_fault("row_added", row) for row in surplus if row[0] in names)


def _stored(groups: Mapping[Any, str]) -> Iterator[tuple[str, str]]:
    """Yield group and permission of each row, by name or, if there is none, by ID."""
    rows = Permission.objects.order_by().values_list("pk", "content_type__app_label", "codename")
    permissions: dict[Any, str] = {pk: f"{app}.{codename}" for pk, app, codename in rows}
    for group, permission in Group.permissions.through.objects.order_by("pk").values_list("group_id", "permission_id"):
        yield groups.get(group, str(group)), permissions.get(permission, str(permission))


def _fault(kind: FaultKind, row: tuple[str, str], column: str = "") -> Fault:
    return Fault(kind, table=TABLE, row=" ".join(row), column=column)
