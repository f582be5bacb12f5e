"""A receiver that misbehaves: each way has a named outcome in the log, and what was to be told arrives afterwards."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from django.test import override_settings

from heygen_portal.models import EventType, Webhook, WebhookDelivery
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery, outbox
from heygen_portal.webhooks.outbox import Notice
from heygen_portal.webhooks.sending import Sender
from tests.timeouts import WAIT_TIMEOUT_S
from tests.webhooks.receiver import Behaviour, Receiver, Request, answering, receiver, status

pytestmark = pytest.mark.django_db(transaction=True)

State, Outcome = WebhookDelivery.State, WebhookDelivery.Outcome
AT_ONCE = 0.2  # seconds, after which a receiver that never answers has timed out
NAME = "crm.example.com"
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send the head of an answer without end, a few bytes at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(AT_ONCE / 10)


async def leave(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def send_10_mb(request: Request, writer: asyncio.StreamWriter) -> None:
    """Accept, with an answer much larger than what is read of it."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x" * 10_000)
        await writer.drain()


@dataclass(frozen=True)
class Case:
    """One way to misbehave. `found` are the addresses that the DNS answers, one list for each question."""

    outcome: WebhookDelivery.Outcome
    behaviour: Callable[[Receiver], Behaviour] | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = (NAME,)
    found: tuple[list[str], ...] = (["127.0.0.1"],)
    seconds: float = WAIT_TIMEOUT_S
    arrives: bool = True


EXPIRED = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
CASES = {
    "hangs": Case(Outcome.TIMED_OUT, lambda inside: hang, seconds=AT_ONCE),
    "drips": Case(Outcome.TIMED_OUT, lambda inside: drip, seconds=AT_ONCE),
    "answers 10 MB": Case(Outcome.ACCEPTED, lambda inside: send_10_mb),
    "redirects to loopback": Case(
        Outcome.REDIRECTED, lambda inside: answering(status(307, b"", f"Location: {inside.url}"))
    ),
    "expired certificate": Case(Outcome.BAD_CERTIFICATE, certificate=EXPIRED, arrives=False),
    "certificate of another host": Case(Outcome.BAD_CERTIFICATE, names=("other.example.com",), arrives=False),
    "closes at once": Case(Outcome.BROKEN_ANSWER, lambda inside: leave),
    "answers 500": Case(Outcome.REFUSED, lambda inside: answering(status(500, b"duplicate key"))),
    "answers 410": Case(Outcome.REFUSED, lambda inside: answering(status(410))),
    "speaks no HTTP": Case(Outcome.BROKEN_ANSWER, lambda inside: answering(b"220 mail.example.org ESMTP\r\n\r\n")),
    "leads inside once it is used": Case(
        Outcome.FORBIDDEN_ADDRESS, found=(["127.0.0.2"], ["127.0.0.1"]), arrives=False
    ),
}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def serving(authority: trustme.CA, case: Case) -> Iterator[Receiver]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*case.names, **case.certificate).configure_cert(context)
    with receiver(context) as made:
        yield made


@pytest.fixture
def in_production() -> Iterator[None]:
    """Allow this machine's receiver, and no other address inside."""
    with override_settings(ALLOWED_HOSTS=["portal.example.org"], WEBHOOK_INTERNAL_NETWORKS=["127.0.0.1/32"]):
        yield


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize("name", CASES)
def test_a_receiver_that_misbehaves_loses_nothing(authority: trustme.CA, name: str) -> None:
    case = CASES[name]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return case.found[min(len(asked), len(case.found)) - 1]

    def run(seconds: float = WAIT_TIMEOUT_S, *, minutes: int = 0) -> WebhookDelivery:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        sender = Sender(attempt_seconds=seconds, body_seconds=WAIT_TIMEOUT_S, lookup=lookup, tls=trusting)
        asyncio.run(delivery.run(lambda session_id: {}, sender=sender, now=lambda: now))
        return WebhookDelivery.objects.select_related("message").get()

    with receiver() as inside, serving(authority, case) as first, serving(authority, Case(Outcome.ACCEPTED)) as mended:
        webhook = Webhook(name="CRM", url=f"https://{NAME}:{first.port}/", events=[str(EventType.SESSION_ENDED)])
        changes.create(SERVER, webhook)
        first.behaviour = case.behaviour(inside) if case.behaviour else first.behaviour
        outbox.write(EventType.SESSION_ENDED, lambda: Notice(EventType.SESSION_ENDED, {"number": 7}))
        row = run(case.seconds)
        assert row.outcome == case.outcome
        assert (row.state == State.DELIVERED) == (case.outcome == Outcome.ACCEPTED)
        assert len(first.requests) == (1 if case.arrives else 0)
        assert inside.requests == []
        # Another day the receiver is as it should be.
        Webhook.objects.update(url=f"https://{NAME}:{mended.port}/")
        changes.resume(SERVER, webhook.pk)  # it was paused if it said that it is gone
        row = run(minutes=1)
        assert (row.state, row.outcome) == (State.DELIVERED, Outcome.ACCEPTED)
        arrived = [*mended.requests, *(first.requests if case.outcome == Outcome.ACCEPTED else [])]
        assert [json.loads(request.body)["data"]["number"] for request in arrived] == [7]
        ids = {request.headers["webhook-id"] for request in (*first.requests, *mended.requests)}
        assert ids == {delivery.wire_id(row.message)}
