"""Write messages for webhooks, in the transaction of what they tell.

A message and its deliveries are rows, so none is lost when a process dies. `delivery` sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max

from heygen_portal.models.webhooks import EventType, Webhook, WebhookDelivery, WebhookMessage
from heygen_portal.postgresql import clock
from heygen_portal.runtime.jobs import each_row

RETRY_FOR = timedelta(days=3)
"""Then a message that was not delivered is given up."""


@dataclass(frozen=True)
class Notice:
    """What to tell. `data` holds JSON values, and never speech.

    The notices of a session arrive in the order in which they were written. `at` is when it happened, by default now.
    One in the future is told then.
    """

    event: EventType
    data: Mapping[str, Any] = field(default_factory=dict)
    session_id: UUID | None = None
    at: datetime | None = None


def write(event: EventType, make: Callable[[], Notice]) -> None:
    """Store what the webhooks that chose an event shall be told. See `write_all`."""
    write_all([event], lambda: [make()])


def write_all(events: Collection[EventType], make: Callable[[], Iterable[Notice]]) -> None:
    """Store what the webhooks that chose any of these events shall be told.

    Call it in the transaction of the change, with the session's row locked if there is one. `make` returns the notices,
    and is only called if a webhook chose one of the events: otherwise this costs one query. The number of statements
    does not grow with that of notices. A failure is logged, because it must not prevent the change.
    """
    if receivers := _receivers(events):
        with each_row.savepoint(f"webhooks could not be told of {', '.join(events)}"):
            _store(list(make()), receivers)


def write_to(webhook: Webhook, notice: Notice) -> WebhookDelivery:
    """Store a message for one webhook only."""
    [delivery] = _store([notice], {webhook.pk: frozenset({notice.event})})
    return delivery


def _receivers(events: Collection[str]) -> dict[int, frozenset[str]]:
    """Return the events that each enabled webhook chose, by its ID. A damaged choice is none."""
    rows = Webhook.objects.filter(is_enabled=True).order_by("pk").values_list("pk", "events")
    chosen = {pk: frozenset(event for event in choice if isinstance(event, str)) for pk, choice in rows}
    return {pk: choice for pk, choice in chosen.items() if not choice.isdisjoint(events)}


def _store(notices: Sequence[Notice], receivers: Mapping[int, frozenset[str]]) -> list[WebhookDelivery]:
    now = clock.now()
    told = [notice for notice in notices if any(notice.event in chosen for chosen in receivers.values())]
    messages = WebhookMessage.objects.bulk_create(
        WebhookMessage(event=notice.event, at=notice.at or now, data=dict(notice.data), session_id=notice.session_id)
        for notice in told
    )
    has_earlier = _waiting({notice.session_id for notice in told if notice.session_id}, receivers)
    rows = []
    for message in messages:
        for webhook_id, chosen in receivers.items():
            if message.event not in chosen:
                continue
            key = (webhook_id, message.session_id)
            due_at: datetime | None = None if key in has_earlier else max(now, message.at)
            if message.session_id:
                has_earlier.add(key)
            row = WebhookDelivery(webhook_id=webhook_id, message=message, session_id=message.session_id, due_at=due_at)
            row.gives_up_at = max(now, message.at) + RETRY_FOR
            rows.append(row)
    return WebhookDelivery.objects.bulk_create(rows)


def write_again(delivery: WebhookDelivery) -> WebhookDelivery:
    """Let a message be sent again, under the same ID. It waits for no other message of its session."""
    now = clock.now()
    again = {"webhook_id": delivery.webhook_id, "message_id": delivery.message_id}
    return WebhookDelivery.objects.create(**again, due_at=now, gives_up_at=now + RETRY_FOR)


def _waiting(session_ids: Collection[UUID], receivers: Collection[int]) -> set[tuple[int, UUID | None]]:
    """Return for which webhooks and sessions an earlier delivery waits.

    The last of each is locked: its end, which lets the next one go, waits until the new ones are visible.
    """
    if not session_ids:
        return set()
    waiting = WebhookDelivery.objects.waiting().filter(webhook__in=receivers, session_id__in=session_ids)
    last = waiting.order_by().values("webhook", "session_id").annotate(last=Max("pk")).values("last")
    locked = waiting.filter(pk__in=last).order_by("pk").select_for_update(no_key=True)
    return set(locked.values_list("webhook_id", "session_id"))
