"""Try each operation of the REST API with a key of each scope, and with a key of each role."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import Client, override_settings

from heygen_portal.api import assembly
from heygen_portal.models import ApiKey
from heygen_portal.people.api_keys import callers
from heygen_portal.people.api_keys.callers import ScopeMissing
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest.operations import SCOPES_KEY
from tests.access.api_matrix import OPERATIONS
from tests.access.api_matrix import ROLES as ROLES_OF
from tests.access.rows import ROLES, Rows, make_member
from tests.support.api import client, new_secret

NOBODYS = UUID(int=7)


def operations() -> dict[str, tuple[str, str, frozenset[str]]]:
    """Return method, path and scopes of each operation by name."""
    paths: dict[str, Any] = assembly.api.get_openapi_schema(path_prefix="")["paths"]
    return {
        each["operationId"]: (method.upper(), path, frozenset(each[SCOPES_KEY]))
        for path, methods in paths.items()
        for method, each in methods.items()
    }


def test_the_matrix_lists_exactly_the_operations_and_scopes() -> None:
    found = {name: (method, " ".join(sorted(scopes))) for name, (method, _path, scopes) in operations().items()}
    listed = {name: (method, " ".join(sorted(scopes.split()))) for name, (method, scopes) in OPERATIONS.items()}
    assert found == listed
    assert set(ROLES_OF) == set(Scope)


def address(path: str) -> str:
    """Return the address of an operation, with IDs of rows that nobody has."""
    parts = path.lstrip("/").replace("{slug}", "nobody").split("/")
    return "/".join(_id_for(part.strip("{}")) if part.startswith("{") else part for part in parts)


def _id_for(name: str) -> str:
    has_uuid = name.removesuffix("_id") in ("session", "conversation", "export", "video", "invitation")
    return "2026-01" if name == "month" else str(NOBODYS if has_uuid else 2**30)


@pytest.mark.django_db(transaction=True)
async def test_each_operation_is_open_to_exactly_its_scopes() -> None:
    """The key's owner may do everything, so that the scopes alone decide.

    A key with one of the operation's scopes opens it; a key with all the others does not.
    """
    owner, wrong = await sync_to_async(make_member)("m"), []
    secrets: dict[frozenset[Scope], str] = {}
    for name, (method, path, _scopes) in operations().items():
        listed = frozenset(map(Scope, OPERATIONS[name][1].split()))
        for chosen in (*(frozenset([scope]) for scope in listed), frozenset(Scope) - listed):
            if chosen not in secrets:
                secrets[chosen] = await sync_to_async(new_secret)(owner, chosen, per_minute=10_000)
            async with client(secrets[chosen]) as api:
                answer = await api.request(method, address(path))
            is_refused = answer.status_code == 403 and answer.json()["code"] == "scope_missing"
            if is_refused != chosen.isdisjoint(listed):
                wrong.append(f"{name} with {', '.join(sorted(chosen))}: {answer.status_code}")
            if answer.status_code >= 500:
                wrong.append(f"{name}: {answer.text}")
    assert wrong == []


@pytest.mark.django_db
@pytest.mark.parametrize("letter", ROLES)
def test_each_role_has_exactly_its_scopes(letter: str) -> None:
    owner = make_member(letter)
    new_secret(owner, Scope)
    key = ApiKey.objects.get()
    usable: set[Scope] = set()
    for scope in Scope:
        with suppress(ScopeMissing):
            usable |= callers.admit(key, None, [scope]).scopes
    assert usable == {scope for scope, who in ROLES_OF.items() if letter in who}


@pytest.mark.django_db(transaction=True)
async def test_without_a_key_no_operation_is_open() -> None:
    """Not to guests, nor to someone who is signed in at the portal: cookies count for nothing."""
    cookie, visit, socket_token = await sync_to_async(_credentials)()
    attempts: tuple[dict[str, str], ...] = (
        {},
        {"Cookie": f"sessionid={cookie}"},
        {"Authorization": f"Bearer {cookie}"},
        {"Authorization": f"Bearer {visit}", "Cookie": f"guest={visit}; visit={visit}"},
        {"Authorization": f"Bearer {socket_token}"},
        {"Authorization": "Bearer hp_live_x_y"},
    )
    async with client() as api:
        for (method, path, _scopes), headers in product(operations().values(), attempts):
            with override_settings(BUDGETS={"api_refused.address": "10000/minute"}):
                answer = await api.request(method, address(path), headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), path


def _credentials() -> tuple[str, str, str]:
    """Return an administrator's cookie, and a guest's two tokens."""
    rows = Rows(None, is_guest=True)
    return _login(make_member("m")), rows.visit, rows.socket_token


def _login(user: Any) -> str:
    browser = Client()
    browser.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return browser.cookies["sessionid"].value
