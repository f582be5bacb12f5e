"""A client of the REST API that calls the portal's ASGI application in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User

from heygen_portal import asgi
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import keys, scopes
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.change_log import SERVER
from tests.support.factories import ApiKeyFactory, UserFactory, sync_roles
from tests.timeouts import WAIT_TIMEOUT_S

BASE_URL = "http://localhost/api/v1/"


def member(role: roles.Role) -> User:
    """Create a user with a role."""
    sync_roles()
    user = UserFactory.create(is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def new_secret(owner: User, chosen: Iterable[Scope], **columns: Any) -> str:
    """Create a key and return its secret."""
    key = ApiKeyFactory.build(owner=owner, created_by=owner, scopes=scopes.as_stored(chosen), **columns)
    return keys.create(key, SERVER)


@asynccontextmanager
async def client(secret: str = "", language: str = "en") -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client that sends this key, or none."""
    headers = {"Accept-Language": language, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    application: Any = asgi.application  # its types are narrower than those of httpx
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE_URL, headers=headers, timeout=WAIT_TIMEOUT_S
    ) as http:
        yield http


@asynccontextmanager
async def client_of(role: roles.Role, *chosen: Scope, **columns: Any) -> AsyncIterator[tuple[httpx.AsyncClient, User]]:
    """Yield a client with a new key, and the key's owner."""
    owner = await sync_to_async(member)(role)
    secret = await sync_to_async(new_secret)(owner, chosen, **columns)
    async with client(secret) as http:
        yield http, owner
