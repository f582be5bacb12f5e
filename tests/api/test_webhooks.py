"""Webhooks through the API: set up, tried, paused and sent again as in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import override_settings

from heygen_portal.models import AuditEntry, EventType, Webhook, WebhookDelivery
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, outbox
from heygen_portal.webhooks.outbox import Notice
from tests.support.api import client_of

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = (Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE)
SETTINGS: dict[str, Any] = {
    "name": "CRM",
    "url": "https://crm.example.com/hooks",
    "events": ["session.ended", "incident.opened"],
}


async def test_a_webhook_is_added_changed_and_deleted_on_record() -> None:
    async with client_of(roles.ADMINISTRATOR, *BOTH) as (api, owner):
        created = await api.post("webhooks", json=SETTINGS)
        assert (created.status_code, created.headers["Cache-Control"]) == (201, "no-store")
        webhook = await Webhook.objects.aget()
        assert created.json()["secret"] == webhook.secret
        address = f"webhooks/{webhook.pk}"
        for answer in (await api.get("webhooks"), await api.get(address)):
            assert webhook.secret not in answer.text
        again = await api.post("webhooks", json=SETTINGS)
        assert (again.status_code, again.json()["code"]) == (409, "webhook_refused")

        changed = await api.put(address, json=SETTINGS | {"events": ["session.live"], "includes_speech": True})
        assert (changed.json()["events"], changed.json()["includes_speech"]) == (["session.live"], True)
        replaced = (await api.post(f"{address}/secret")).json()
        stored = await Webhook.objects.aget()
        assert (stored.secret, stored.former_secret) == (replaced["secret"], webhook.secret)
        assert replaced["former_secret_until"]

        assert (await api.delete(address)).status_code == 204
        assert (await api.delete(address)).status_code == 404
    entries = [entry async for entry in AuditEntry.objects.order_by("number")]
    assert [(entry.kind, entry.by_id) for entry in entries if entry.kind.startswith("webhook")] == [
        (kind, owner.pk)
        for kind in (
            "webhook_changed", "webhook_secret_set", "webhook_changed", "webhook_secret_set", "webhook_changed",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "http://crm.example.com/"}, (409, "webhook_refused")),
        ({"url": "https://127.0.0.1.nip.io@169.254.169.254/"}, (409, "webhook_refused")),
        ({"url": "https://10.0.0.1/"}, (409, "webhook_refused")),
        ({"events": ["webhook.test"]}, (422, "invalid_request")),
        ({"events": []}, (422, "invalid_request")),
        ({"secret": "whsec_chosen"}, (422, "invalid_request")),
        ({"is_enabled": True}, (422, "invalid_request")),
    ],
)
async def test_a_webhook_that_the_admin_would_refuse_is_refused(
    settings: dict[str, Any], problem: tuple[int, str]
) -> None:
    async with client_of(roles.ADMINISTRATOR, *BOTH) as (api, _owner):
        refused = await api.post("webhooks", json=SETTINGS | settings)
        assert (refused.status_code, refused.json()["code"]) == problem
    assert not await Webhook.objects.aexists()


async def test_deliveries_are_listed_and_sent_again_unless_the_webhook_is_paused() -> None:
    async with client_of(roles.ADMINISTRATOR, *BOTH) as (api, _owner):
        address = f"webhooks/{(await api.post('webhooks', json=SETTINGS)).json()['id']}"
        other = f"webhooks/{(await api.post('webhooks', json=SETTINGS | {'name': 'Other'})).json()['id']}"
        await sync_to_async(outbox.write)(
            EventType.SESSION_ENDED, lambda: Notice(EventType.SESSION_ENDED, {"reason": "idle"})
        )
        tried = await api.post(f"{address}/test")
        assert (tried.status_code, tried.json()["event"], tried.json()["state"]) == (201, "webhook.test", "waiting")
        listed = (await api.get(f"{address}/deliveries", params={"state": "waiting"})).json()["items"]
        assert [row["event"] for row in listed] == ["webhook.test", "session.ended"]
        assert (await api.get(f"{address}/deliveries", params={"state": "given_up"})).json()["items"] == []
        row = (await api.get(f"{address}/deliveries/{listed[1]['id']}")).json()
        assert row["content"]["data"] == {"reason": "idle"}
        assert (await api.get(f"{other}/deliveries/{listed[1]['id']}")).status_code == 404

        resent = await api.post(f"{address}/deliveries/{row['id']}/resend")
        assert resent.status_code == 201
        assert (resent.json()["message_id"], resent.json()["id"] > row["id"]) == (row["message_id"], True)

        for _ in range(2):
            paused = (await api.post(f"{address}/pause")).json()
            assert (paused["is_enabled"], paused["paused_because"]) == (False, "staff")
        for path in ("test", f"deliveries/{row['id']}/resend"):
            refused = await api.post(f"{address}/{path}")
            assert (refused.status_code, refused.json()["code"]) == (409, "webhook_paused")
        assert (await api.post(f"{address}/resume")).json()["is_enabled"]
    assert await WebhookDelivery.objects.acount() == 4


async def test_what_programs_send_by_hand_has_the_budget_of_staff() -> None:
    async with client_of(roles.ADMINISTRATOR, *BOTH) as (api, _owner):
        address = f"webhooks/{(await api.post('webhooks', json=SETTINGS)).json()['id']}"
        with override_settings(BUDGETS={"webhook_send.person": "1/minute"}):
            codes = [(await api.post(f"{address}/test")).status_code for _ in range(2)]
    assert codes == [201, 429]


async def test_damaged_content_is_named_and_does_not_hide_the_delivery() -> None:
    async with client_of(roles.ADMINISTRATOR, Scope.WEBHOOKS_READ) as (api, _owner):
        webhook = Webhook(**SETTINGS)
        await sync_to_async(changes.create)(SERVER, webhook)
        row = await sync_to_async(changes.send_test)(webhook)
        await sync_to_async(_damage)(row.message_id)
        answer = await api.get(f"webhooks/{webhook.pk}/deliveries/{row.pk}")
    assert (answer.status_code, answer.json()["content"]) == (200, None)


def _damage(message_pk: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE heygen_portal_webhookmessage SET data = %s WHERE id = %s", ["[1]", message_pk])
