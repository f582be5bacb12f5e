"""Try each operation of the REST API with a key of each scope, and with a key of each role."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import Client

from heygen_portal.api import assembly
from heygen_portal.models import ApiKey
from heygen_portal.people.api_keys import callers
from heygen_portal.people.api_keys.callers import ScopeMissing
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest.operations import SCOPES_KEY
from tests.access.api_matrix import OPERATIONS
from tests.access.api_matrix import ROLES as ROLES_OF
from tests.access.rows import ROLES, make_member
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


@pytest.mark.django_db(transaction=True)
async def test_each_operation_is_open_to_exactly_its_scopes() -> None:
    """The key's owner may do everything, so that the scope alone decides."""
    owner, wrong = await sync_to_async(make_member)("m"), []
    for scope in Scope:
        secret = await sync_to_async(new_secret)(owner, [scope], per_minute=10_000)
        async with client(secret) as api:
            for name, (method, path, _scopes) in operations().items():
                address = path.lstrip("/").replace("{slug}", "nobody")
                while "{" in address:
                    before, _brace, rest = address.partition("{")
                    name_of_id, _brace, after = rest.partition("}")
                    address = f"{before}{NOBODYS if is_uuid(name_of_id) else 2**30}{after}"
                answer = await api.request(method, address)
                is_open = not (answer.status_code == 403 and answer.json()["code"] == "scope_missing")
                if is_open != (scope in OPERATIONS[name][1].split()):
                    wrong.append(f"{name} with {scope}: {answer.status_code}")
                if answer.status_code >= 500 and answer.json()["code"] != "provider_limit":
                    wrong.append(f"{name} with {scope}: {answer.text}")
    assert wrong == []


def is_uuid(name: str) -> bool:
    return name.removesuffix("_id") in ("session", "conversation", "export", "video", "invitation", "webhook")


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
    """Not for someone who is signed in at the portal either: cookies count for nothing."""
    administrator = await sync_to_async(make_member)("m")
    cookie = await sync_to_async(_login)(administrator)
    async with client() as api:
        for method, path, _scopes in operations().values():
            address = path.lstrip("/").replace("{slug}", "nobody")
            for headers in ({}, {"Cookie": f"sessionid={cookie}"}, {"Authorization": "Bearer hp_live_x_y"}):
                answer = await api.request(method, address.replace("{", "").replace("}", ""), headers=headers)
                assert answer.status_code in (401, 404), path  # 404: no ID in the address
                if answer.status_code == 401:
                    assert answer.headers["WWW-Authenticate"] == "Bearer"


def _login(user: Any) -> str:
    browser = Client()
    browser.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return browser.cookies["sessionid"].value
