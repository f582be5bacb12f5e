"""Requests that match the schema are accepted, others are refused, and every answer is as described."""

from __future__ import annotations

import pytest
import schemathesis
from django.test import override_settings

from heygen_portal import asgi
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from tests.api import published_schema
from tests.api.conftest import Served
from tests.sessions.conftest import provider
from tests.support.api import member, new_secret
from tests.support.factories import PersonaFactory

__all__ = ["provider"]

# One of each kind. Generating requests for all takes a minute.
DAILY = ["get_user", "list_sessions", "create_session", "change_webhook"]
# Requests by operation. Each also gets the boundary values of its schema.
EXAMPLES_IN_PROOFS = 15
MANY = 1_000_000
PATH = "/api/v1/openapi.json"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider")
@override_settings(BUDGET_FACTOR=MANY, ALLOWED_HOSTS=["testserver"])
def test_the_portal_keeps_to_its_published_schema() -> None:
    PersonaFactory.create(published=True, slug="lucia")
    secret = new_secret(member(roles.ADMINISTRATOR), Scope, per_minute=MANY)
    config = published_schema.config(secret, examples=1, is_stateful=False)
    schema = schemathesis.openapi.from_asgi(PATH, asgi.application, config=config).include(operation_id=DAILY)
    found = published_schema.failures(schema)
    assert not found, "\n\n".join(found)


@pytest.mark.proof
def test_the_portal_keeps_to_its_published_schema_in_long_runs(served: Served) -> None:
    config = published_schema.config(served.secret, examples=EXAMPLES_IN_PROOFS, is_stateful=True)
    schema = schemathesis.openapi.from_url(served.url + PATH, config=config)
    found = published_schema.failures(schema)
    assert not found, "\n\n".join(found)
