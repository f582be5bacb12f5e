"""Access checks for open sockets, on each use and repeatedly in between."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from heygen_portal.people.access import roles


class Loss(StrEnum):
    """Why a person lost access."""

    DEACTIVATED = "deactivated"
    ROLE = "role"
    SIGNED_OUT = "signed_out"
    SECOND_FACTOR = "second_factor"
    PERSONA = "persona"


@dataclass(frozen=True)
class Claim:
    """What an open socket depends on: a login session and a permission of its user."""

    login_key: str
    user_id: int
    permission: str
    is_for_staff: bool = False
    persona_ids: frozenset[int] = frozenset()
    """Personas that the user talks with. Access to them is checked elsewhere."""


@dataclass(frozen=True)
class Condition:
    """A further condition of the caller: SQL about `u`, the row of the user."""

    sql: str
    values: Sequence[Any]
    loss: Loss


@dataclass(frozen=True)
class _Person:
    is_active: bool
    is_staff: bool
    password: str
    has_second_factor: bool
    permissions: Mapping[str, bool]


def losses(claims: Collection[Claim]) -> dict[Claim, Loss]:
    """Return the claims that no longer hold, with the causes.

    Makes two queries for any number of claims.
    """
    keys = {claim.login_key for claim in claims}
    rows = Session.objects.filter(pk__in=keys, expire_date__gt=timezone.now())
    logins = dict(rows.values_list("session_key", "session_data"))
    people = _people([claim.user_id for claim in claims], sorted({claim.permission for claim in claims}))
    found = ((claim, _loss(claim, logins, people.get(claim.user_id))) for claim in claims)
    return {claim: loss for claim, loss in found if loss}


def loss(claim: Claim, more: Condition | None = None) -> Loss | None:
    """Return why a claim no longer holds, or None if it does, with one query.

    `more` is checked in the same query, after everything else.
    """
    columns: list[str] = [_LOGIN]
    values: list[Any] = [claim.login_key, connection.ops.adapt_datetimefield_value(timezone.now())]
    if more:
        columns.append(more.sql)
        values += more.values
    row = next(iter(_rows([claim.user_id], [claim.permission], columns, values)), None)
    if row is None:
        return Loss.DEACTIVATED
    *person, login = row[: len(row) - bool(more)]
    found = _loss(claim, {claim.login_key: login} if login else {}, _person(person, [claim.permission]))
    return found or (more.loss if more and not row[-1] else None)


def standing(user_id: int, permissions: Sequence[str]) -> tuple[Loss | None, Mapping[str, bool]]:
    """Return why a user's account has no access, or None, and which of these permissions it has.

    For callers without a login session. Makes one query.
    """
    person = _people([user_id], permissions).get(user_id)
    if person is None or not person.is_active:
        return Loss.DEACTIVATED, {}
    return (Loss.SECOND_FACTOR if _lacks_second_factor(person) else None), person.permissions


def _lacks_second_factor(person: _Person) -> bool:
    return bool(settings.STAFF_NEEDS_SECOND_FACTOR and person.is_staff and not person.has_second_factor)


def _people(user_ids: Sequence[int], permissions: Sequence[str]) -> Mapping[int, _Person]:
    return {row[0]: _person(row, permissions) for row in _rows(user_ids, permissions)}


def _person(row: Sequence[Any], permissions: Sequence[str]) -> _Person:
    _pk, is_active, is_staff, password, factor, *may = row
    return _Person(bool(is_active), bool(is_staff), password, bool(factor), dict(zip(permissions, may, strict=True)))


def _rows(
    user_ids: Sequence[int], permissions: Sequence[str], columns: Sequence[str] = (), values: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Return the columns of `_select` for these users.

    Hand-written SQL, because it runs for each text that is sent. `columns` follow the permissions.
    """
    asked: list[Any] = [Authenticator.Type.TOTP]
    groups = [roles.groups_with(name) for name in permissions]
    for name, its_groups in zip(permissions, groups, strict=True):
        app, code = name.split(".", 1)
        asked += [code, app, *its_groups]
    select = _select(tuple(map(len, groups)), len(user_ids), tuple(columns))
    with connection.cursor() as cursor:
        cursor.execute(select, [*asked, *values, *user_ids])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


_LOGIN = f"SELECT l.session_data FROM {Session._meta.db_table} AS l WHERE l.session_key = %s AND l.expire_date > %s"
USERS, GROUPS, USER_GROUPS, USER_PERMISSIONS, PERMISSIONS, CONTENT_TYPES, AUTHENTICATORS = (
    model._meta.db_table
    for model in (
        User,
        Group,
        User.groups.through,
        User.user_permissions.through,
        Permission,
        ContentType,
        Authenticator,
    )
)
# As RoleBackend does: superusers have everything, others what they or their roles have.
_HAS_PERMISSION = f"""
    u.is_superuser OR EXISTS (
        SELECT 1 FROM {USER_PERMISSIONS} AS held
        JOIN {PERMISSIONS} AS p ON p.id = held.permission_id JOIN {CONTENT_TYPES} AS t ON t.id = p.content_type_id
        WHERE held.user_id = u.id AND p.codename = %s AND t.app_label = %s
    ) OR EXISTS (
        SELECT 1 FROM {USER_GROUPS} AS held JOIN {GROUPS} AS g ON g.id = held.group_id
        WHERE held.user_id = u.id AND g.name IN ({{groups}})
    )
"""


@lru_cache(maxsize=64)
def _select(groups: tuple[int, ...], people: int, columns: tuple[str, ...]) -> str:
    """Return a query with one column per permission, by the number of groups that grant it."""
    may = (_HAS_PERMISSION.format(groups=", ".join(["%s"] * count) or "NULL") for count in groups)
    more = "".join(f", ({column})" for column in (*may, *columns))
    return f"""
        SELECT u.id, u.is_active, u.is_staff, u.password,
            EXISTS (SELECT 1 FROM {AUTHENTICATORS} AS f WHERE f.user_id = u.id AND f.type = %s)
            {more}
        FROM {USERS} AS u WHERE u.id IN ({", ".join(["%s"] * people)})
    """


def _loss(claim: Claim, logins: Mapping[str, str], person: _Person | None) -> Loss | None:
    if person is None or not person.is_active:
        return Loss.DEACTIVATED
    if not _is_signed_in(claim, logins.get(claim.login_key), person):
        return Loss.SIGNED_OUT
    if not person.permissions[claim.permission] or (claim.is_for_staff and not person.is_staff):
        return Loss.ROLE
    return Loss.SECOND_FACTOR if _lacks_second_factor(person) else None


def _is_signed_in(claim: Claim, login: str | None, person: _Person) -> bool:
    """Whether the login session is this user's and has the current password."""
    stored = SessionStore().decode(login) if login else {}
    if str(stored.get(SESSION_KEY)) != str(claim.user_id):
        return False
    stored_hash, user = stored.get(HASH_SESSION_KEY) or "", User(pk=claim.user_id, password=person.password)
    if constant_time_compare(stored_hash, user.get_session_auth_hash()):
        return True
    return any(constant_time_compare(stored_hash, one) for one in user.get_session_auth_fallback_hash())
