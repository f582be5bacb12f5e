"""Receivers and rows of webhooks that try to reach inside, or to reach the people who read the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from heygen_portal.models import EventType, Webhook, WebhookDelivery
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery
from heygen_portal.webhooks.sending import Sender
from tests.timeouts import WAIT_TIMEOUT_S
from tests.webhooks.receiver import Receiver, answering, receiver, status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def inside() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def webhook() -> Webhook:
    made = Webhook(name="CRM", url="https://crm.example.com/", events=[str(EventType.SESSION_ENDED)])
    changes.create(SERVER, made)
    changes.send_test(made)
    return made


def run(**options: Any) -> tuple[str, str]:
    """Run the job once. Return outcome and answer of the last delivery."""
    sender = Sender(attempt_seconds=WAIT_TIMEOUT_S, body_seconds=WAIT_TIMEOUT_S, **options)
    asyncio.run(delivery.run(lambda session_id: {}, sender=sender, now=lambda: datetime.now(UTC)))
    row = WebhookDelivery.objects.order_by("-pk")[0]
    return row.outcome, row.answer


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "http://0x7f000001:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://crm.example.com@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "",
    ],
)
def test_an_address_written_into_the_row_is_refused_like_in_the_form(
    webhook: Webhook, inside: Receiver, url: str
) -> None:
    inside.clear()
    Webhook.objects.update(url=url.format(port=inside.port))
    with override_settings(ALLOWED_HOSTS=["portal.example.org"]):
        assert run() == ("forbidden_address", "")
    assert inside.requests == []


def test_a_name_that_leads_inside_is_never_asked_twice(webhook: Webhook, inside: Receiver) -> None:
    inside.clear()
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    Webhook.objects.update(url=f"https://crm.example.com:{inside.port}/")
    with override_settings(ALLOWED_HOSTS=["portal.example.org"]):
        assert run(lookup=lookup) == ("forbidden_address", "")
    assert (asked, inside.requests) == (["crm.example.com"], [])


def test_a_receiver_cannot_send_the_portal_elsewhere_or_leave_marks(webhook: Webhook, inside: Receiver) -> None:
    inside.clear()
    marks = ("Location: http://169.254.169.254/", "Set-Cookie: a=b", "Refresh: 0; url=http://127.0.0.1/")
    inside.behaviour = answering(status(302, b"\x1b]0;\xe2\x80\xaetitle\x07", *marks), status(204))
    with override_settings(ALLOWED_HOSTS=["127.0.0.1"]):
        Webhook.objects.update(url=inside.url)
        outcome, answer = run()
        assert outcome == "redirected"
        assert answer == "�]0;�title�"
        changes.send_test(webhook)
        run()
    assert len(inside.requests) == 2
    assert "cookie" not in inside.requests[1].headers
