"""A running portal, and a key with all scopes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.support import servers
from tests.support.databases import BOTH

CREATE_KEY = """
from django.contrib.auth.models import User
from heygen_portal.models import ApiKey
from heygen_portal.people.api_keys import keys, scopes
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.change_log import SERVER
owner = User.objects.create_superuser("a-program")
key = ApiKey(name="tests", owner=owner, created_by=owner, scopes=scopes.as_stored(Scope), per_minute=10_000)
print(keys.create(key, SERVER))
"""


@dataclass(frozen=True)
class Served:
    url: str
    secret: str = field(repr=False)


@pytest.fixture(scope="module", params=BOTH)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Run a portal with a persona, and a key with all scopes."""
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres()) if request.param == "postgres" else None
        emulator = stack.enter_context(servers.emulator(media=False, args=["--concurrency", "1000"]))
        env = {"BUDGET_FACTOR": "1000"}
        portal = stack.enter_context(servers.portal(emulator, database_url=database_url, env=env))
        secret = portal.manage("shell", "-v0", "-c", CREATE_KEY).strip().splitlines()[-1]
        yield Served(portal.url, secret)
