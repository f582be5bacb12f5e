"""Several workers send at once, on PostgreSQL: nothing twice, nothing lost, each session in order."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Model

from heygen_portal.models import EventType, Webhook, WebhookDelivery
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery, outbox
from heygen_portal.webhooks.outbox import Notice
from heygen_portal.webhooks.sending import Answer, Sender
from tests.sessions.capacity.test_concurrency import concurrently
from tests.timeouts import WAIT_TIMEOUT_S
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.usefixtures("postgres", "at_home")

State, Outcome = WebhookDelivery.State, WebhookDelivery.Outcome
EVENTS = (EventType.CONVERSATION_STARTED, EventType.SESSION_LIVE, EventType.SESSION_ENDED)


def a_webhook(receiver: Receiver, name: str = "CRM") -> Webhook:
    webhook = Webhook(name=name, url=f"{receiver.url}/{name}", events=[*map(str, EVENTS)])
    changes.create(SERVER, webhook)
    return webhook


def tell(session: UUID | None, *numbers: int) -> None:
    for number in numbers:
        data = {"session": str(session), "number": number}
        outbox.write(EventType.SESSION_LIVE, lambda data=data: Notice(EventType.SESSION_LIVE, data, session))  # type: ignore[misc]


def now() -> datetime:
    return datetime.now(UTC)


def test_of_concurrent_runs_one_serves_a_webhook(crm: Receiver) -> None:
    webhooks = [a_webhook(crm, f"Receiver {number}") for number in range(3)]
    tell(None, *range(5))
    claimed = concurrently(*[lambda: delivery._claim_webhooks(now(), 20)] * 4)
    assert Counter(webhook.pk for run in claimed for webhook in run) == {webhook.pk: 1 for webhook in webhooks}


def test_concurrent_claims_share_the_deliveries(crm: Receiver) -> None:
    """A run that was thought dead and goes on takes nothing that its successor took."""
    webhook = a_webhook(crm)
    tell(None, *range(40))
    claimed = concurrently(*[lambda: delivery._claim_deliveries(webhook.pk, now())] * 4)
    counted = Counter(row.pk for run in claimed for row in run)
    assert set(counted.values()) == {1}
    assert all(len(run) <= delivery.SENDS_AT_ONCE for run in claimed)


@pytest.mark.parametrize("attempt", range(5))
def test_a_message_written_while_the_one_before_it_ends_is_not_forgotten(crm: Receiver, attempt: int) -> None:
    webhook, session = a_webhook(crm), uuid4()
    tell(session, 1)
    [first] = delivery._claim_deliveries(webhook.pk, now())

    def write() -> None:
        with transaction.atomic():
            tell(session, 2)

    def end() -> None:
        delivery._store(webhook.pk, [(first, Answer(Outcome.ACCEPTED, 204))], now())

    concurrently(write, end)
    later = WebhookDelivery.objects.order_by("-pk")[0]
    assert (later.state, later.due_at is not None) == (State.WAITING, True)


def test_four_workers_deliver_each_session_in_order_and_nothing_twice(crm: Receiver) -> None:
    for number in range(2):
        a_webhook(crm, f"Receiver-{number}")
    sessions = [uuid4() for _ in range(10)]
    for number in range(40):
        tell(sessions[number % len(sessions)], number)

    def work() -> None:
        sender = Sender(attempt_seconds=WAIT_TIMEOUT_S, body_seconds=WAIT_TIMEOUT_S)
        asyncio.run(delivery.run(lambda session_id: {}, sender=sender))

    concurrently(*[work] * 4)
    assert set(WebhookDelivery.objects.values_list("state", "attempts")) == {(State.DELIVERED, 1)}
    arrived: dict[tuple[str, str], list[int]] = {}
    for request in crm.requests:
        data = json.loads(request.body)["data"]
        arrived.setdefault((request.line, data["session"]), []).append(data["number"])
    assert len(arrived) == 20
    for (_line, session), numbers in arrived.items():
        assert numbers == list(range(sessions.index(UUID(session)), 40, 10))


def test_workers_that_give_up_at_once_do_so_once_each(crm: Receiver) -> None:
    a_webhook(crm)
    tell(None, *range(30))
    later = now() + timedelta(days=3, minutes=1)
    assert sum(concurrently(*[lambda: delivery.give_up_expired(later)] * 4)) == 30


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (Webhook, {"is_enabled": False}),
        (Webhook, {"disabled_because": "staff"}),
        (Webhook, {"failures": 3}),
        (WebhookDelivery, {"state": "delivered"}),
        (WebhookDelivery, {"finished_at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ],
    ids=str,
)
def test_the_database_refuses_a_state_that_contradicts_itself(
    crm: Receiver, model: type[Model], columns: dict[str, object]
) -> None:
    a_webhook(crm)
    tell(None, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        model._default_manager.update(**columns)


def test_a_name_is_taken_once(crm: Receiver) -> None:
    def add() -> bool:
        try:
            a_webhook(crm)
        except IntegrityError:
            return False
        return True

    assert concurrently(*[add] * 4).count(True) == 1
