"""Tools in the admin: secrets that are never shown, versions, and trying a tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from avatars.models import HttpTool, HttpToolVersion
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import ROWS
from tests.support.factories import HttpToolFactory
from tests.webhooks.receiver import Receiver, answering, receiver, status

pytestmark = pytest.mark.django_db

SECRET = "Authorization: Bearer nobody-may-see-this"
PAGES = "/admin/avatars/httptool/"


@pytest.fixture(scope="module")
def shared_shop() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def shop(shared_shop: Receiver, settings: Any) -> Receiver:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    shared_shop.clear()
    return shared_shop


def form(**changes: str) -> dict[str, str]:
    values = {
        "name": "order_status", "description": "Says where an order is.", "is_active": "on", "method": "GET",
        "url": "https://shop.test/orders/{order}", "body": "", "headers": "", "secret_headers": "", "timeout": "5",
        "arguments": '{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}',
        "max_answer_bytes": "2000",
    }  # fmt: skip
    return {**values, **changes}


def errors(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = response.context["adminform"].form.errors
    return found


def test_secrets_are_encrypted_and_on_no_page(admin_client: Client) -> None:
    tool = HttpToolFactory.create(secret_headers=SECRET)
    with connection.cursor() as cursor:
        for table in ("avatars_httptool", "avatars_httptoolversion"):
            cursor.execute(f"SELECT * FROM {table}")  # a name of the test's own
            assert "nobody-may-see" not in str(cursor.fetchall())
    for page in ("", f"{tool.pk}/change/", f"{tool.pk}/history/", f"{tool.pk}/try", "add/"):
        response = admin_client.get(f"{PAGES}{page}", follow=True)
        assert response.status_code == 200
        assert "nobody-may-see" not in response.content.decode()
    refused = admin_client.post(f"{PAGES}add/", form(url="nonsense", secret_headers=SECRET))
    assert "url" in errors(refused)
    assert "nobody-may-see" not in refused.content.decode()


def test_secrets_are_kept_only_for_the_same_address(admin_client: Client) -> None:
    tool = HttpToolFactory.create(secret_headers=SECRET, url="https://shop.test/orders/{order}")
    page = f"{PAGES}{tool.pk}/change/"
    admin_client.post(page, form(description="Another."))
    assert "secret_headers" in errors(admin_client.post(page, form(url="https://thief.test/{order}")))
    tool.refresh_from_db()
    assert (tool.description, tool.secret_headers) == ("Another.", SECRET)
    admin_client.post(page, form(url="https://elsewhere.test/{order}", removes_secrets="on"))
    tool.refresh_from_db()
    assert (tool.url, tool.secret_headers) == ("https://elsewhere.test/{order}", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Order status"),
        ("name", "end_conversation"),
        ("description", ""),
        ("url", "http://shop.test/{order}"),
        ("url", "https://{order}.test/"),
        ("url", "https://shop.test/{none}"),
        ("arguments", "{"),
        ("arguments", '{"type": "object", "properties": {"a": {"pattern": "a"}}}'),
        ("body", "{}"),
        ("headers", "Host: evil.test"),
        ("secret_headers", "two words"),
        ("timeout", "16"),
        ("max_answer_bytes", "8001"),
    ],
)
def test_an_invalid_tool_is_not_stored(admin_client: Client, field: str, value: str) -> None:
    assert field in errors(admin_client.post(f"{PAGES}add/", form(**{field: value})))
    assert not HttpTool.objects.exists()


def test_each_change_is_a_version_and_in_the_audit_log(admin_client: Client) -> None:
    admin_client.post(f"{PAGES}add/", form(secret_headers=SECRET))
    tool = HttpTool.objects.get()
    page = f"{PAGES}{tool.pk}/change/"
    admin_client.post(page, form())  # nothing changed
    admin_client.post(page, form(description="Another.", name="renamed"))
    off = form(description="Another.")
    del off["is_active"]
    admin_client.post(page, off)
    tool.refresh_from_db()
    assert (tool.name, tool.version, tool.is_active) == ("order_status", 2, False)
    versions = HttpToolVersion.objects.order_by("number")
    assert [(each.number, each.description, each.secret_headers) for each in versions] == [
        (1, "Says where an order is.", SECRET),
        (2, "Another.", SECRET),
    ]
    entries = [each for each in AuditEntry.objects.order_by("pk") if each.kind.startswith("tool")]
    assert [entry.kind for entry in entries] == ["tool_changed", "tool_secret_set", "tool_changed", "tool_changed"]
    assert entries[2].data["description"] == ["Says where an order is.", "Another."]
    assert set(entries[2].data[ROWS]) == {"http_tool", "http_tool_version"}
    assert "nobody-may-see" not in str([entry.data for entry in entries])


def test_trying_a_tool_shows_request_and_response_without_secrets(admin_client: Client, shop: Receiver) -> None:
    admin_client.defaults["HTTP_HOST"] = "127.0.0.1"
    shop.behaviour = answering(status(200, b'{"state": "<b>sent</b>", "echo": "nobody-may-see-this"}'))
    tool = HttpToolFactory.create(
        secret_headers=SECRET,
        method="POST",
        body='{"id": "{order}"}',
        url=f"http://127.0.0.1:{shop.port}/orders/{{order}}",
    )
    page = reverse("admin:avatars_httptool_try_it", args=[tool.pk])
    shown = admin_client.post(page, {"arguments": '{"order": "A 1"}'}).content.decode()
    assert f"POST http://127.0.0.1:{shop.port}/orders/A%201" in shown
    assert "Authorization: •••" in shown
    assert "&lt;b&gt;sent&lt;/b&gt;" in shown
    assert "nobody-may-see" not in shown
    assert shop.requests[0].headers["authorization"] == "Bearer nobody-may-see-this"
    for arguments in ("{", "[]", "{}", '{"order": 1}', '{"order": "A1", "more": 1}', '{"order": "../x"}'):
        admin_client.post(page, {"arguments": arguments})
    assert len(shop.requests) == 1
    shop.behaviour = answering(status(503))
    assert "http_503" in admin_client.post(page, {"arguments": '{"order": "A1"}'}).content.decode()
