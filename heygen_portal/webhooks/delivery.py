"""Send what waits in the outbox.

A message is sent at least once: a process that dies between sending and noting leaves a row that is sent again, under
the same ID. The messages of one session reach a receiver in order: a later one is not due before the earlier one was
delivered or given up. Each receiver is served by one run at a time, and beside the others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from heygen_portal.models.webhooks import EventType, Webhook, WebhookDelivery, WebhookMessage
from heygen_portal.postgresql import clock
from heygen_portal.runtime import metrics
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import due_rows, each_row
from heygen_portal.runtime.stored_json import DamagedObject
from heygen_portal.webhooks import changes, outbox, signatures
from heygen_portal.webhooks.sending import GONE, Answer, Sender
from heygen_portal.webhooks.signatures import SecretUnreadable

logger = logging.getLogger(__name__)

State, Outcome = WebhookDelivery.State, WebhookDelivery.Outcome

WEBHOOKS_AT_ONCE = 20
SENDS_AT_ONCE = 8
"""To one receiver."""
RUN_SECONDS = 10.0
"""After this time a run begins no further attempts."""
LOOK_AGAIN_SECONDS = 0.5
"""While a receiver is served, a run looks this often for others that have messages now."""
CLAIM = timedelta(seconds=60)
"""Longer than a run and its last attempt. Afterwards another run takes over from a process that died."""
FAILING_FOR = outbox.RETRY_FOR
"""Then a webhook of which every attempt failed is paused."""
RETRY_AFTER = tuple(
    timedelta(seconds=seconds) for seconds in (5, 15, 60, 120, 300, 600, 1200, 3600, 2 * 3600, 4 * 3600)
)
"""Between two attempts of one message. The last applies to all further ones."""
PAUSE_AFTER_FAILURES = 3
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 20, 40, 80, 160, 300))
"""After several failures in a row nothing is sent to a receiver for so long, however many messages wait."""
JITTER = (1.0, 1.25)
MAX_EXPIRED_PER_RUN = 500

Clock = Callable[[], datetime]
SpeechOf = Callable[[UUID], Mapping[str, Any]]
"""Returns what the data of a message get in addition if a webhook was chosen to get speech."""


class DamagedMessage(Exception):
    """The stored data of a message cannot be read."""


def has_due(now: datetime) -> bool:
    """Whether something is due for a receiver that no run serves."""
    return _servable(now).exists()


def _servable(now: datetime) -> QuerySet[Webhook]:
    """Return the webhooks with something due that are neither served nor paused."""
    due = WebhookDelivery.objects.waiting().filter(webhook=OuterRef("pk"), due_at__lte=now)
    rows = Webhook.objects.filter(Q(resumes_at=None) | Q(resumes_at__lte=now), is_enabled=True)
    return rows.filter(Q(claimed_until=None) | Q(claimed_until__lte=now)).filter(Exists(due))


async def run(speech_of: SpeechOf, *, sender: Sender | None = None, now: Clock = clock.now) -> None:
    """Send what is due, for about `RUN_SECONDS`."""
    stop_at = time.monotonic() + RUN_SECONDS
    async with sender or Sender() as http, asyncio.TaskGroup() as group:
        serving: set[asyncio.Task[None]] = set()
        while True:
            room = WEBHOOKS_AT_ONCE - len(serving)
            if room and time.monotonic() < stop_at:
                for webhook in await in_thread(_claim_webhooks)(now(), room):
                    serving.add(group.create_task(_serve(webhook, http, speech_of, now, stop_at)))
            if not serving:
                return
            _finished, serving = await asyncio.wait(
                serving, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )


def _claim_webhooks(now: datetime, count: int) -> list[Webhook]:
    # Those not served for longest come first, so that no receiver waits behind twenty busy ones.
    rows = _servable(now).order_by(F("claimed_until").asc(nulls_first=True), "pk")
    if not rows.exists():  # claiming takes SQLite's write lock
        return []
    claimed = due_rows.claim(rows, count, claimed_until=now + CLAIM)
    for webhook in claimed:
        webhook.claimed_until = now + CLAIM
    return claimed


async def _serve(webhook: Webhook, http: Sender, speech_of: SpeechOf, now: Clock, stop_at: float) -> None:
    """Send what is due for one webhook, until nothing is, it fails, or the run is over."""
    with each_row.log_failure(f"webhook {webhook.pk} could not be served"):
        while time.monotonic() < stop_at:
            claimed = await in_thread(_claim_deliveries)(webhook.pk, now())
            if not claimed:
                break
            answers = await asyncio.gather(*(_attempt(webhook, row, http, speech_of, now) for row in claimed))
            if not await in_thread(_store)(webhook.pk, list(zip(claimed, answers, strict=True)), now()):
                break
        await in_thread(_release)(webhook, now())


def _claim_deliveries(webhook_id: int, now: datetime) -> list[WebhookDelivery]:
    """Claim due deliveries of one webhook, at most one of each session, and count their attempts."""
    due = WebhookDelivery.objects.due(now).filter(webhook=webhook_id, webhook__is_enabled=True)
    due = due.select_related("message")
    claimed = due_rows.claim(due, SENDS_AT_ONCE, due_at=now + CLAIM, attempts=F("attempts") + 1, attempted_at=now)
    for row in claimed:
        row.attempts += 1
    return claimed


def _release(webhook: Webhook, now: datetime) -> None:
    """Let the next run serve this webhook, unless another one has taken it over."""
    Webhook.objects.filter(pk=webhook.pk, claimed_until=webhook.claimed_until).update(claimed_until=now)


async def _attempt(
    webhook: Webhook, delivery: WebhookDelivery, http: Sender, speech_of: SpeechOf, now: Clock
) -> Answer:
    message = delivery.message
    try:
        speech: Mapping[str, Any] = {}
        if is_told_speech(webhook, message) and message.session_id:
            speech = await in_thread(speech_of)(message.session_id)
        body = body_of(message, speech)
        answer = await http.post(webhook.url, body, signed_headers(webhook, message, body, now()))
        return replace(answer, text="") if speech else answer  # the receiver may have repeated what it was sent
    except SecretUnreadable:
        return Answer(Outcome.NO_SECRET)
    except Exception:
        logger.exception("webhook delivery %s could not be sent", delivery.pk)
        return Answer(Outcome.FAILED_HERE)


def is_told_speech(webhook: Webhook, message: WebhookMessage) -> bool:
    return webhook.includes_speech and message.event == EventType.TRANSCRIPT_READY


def body_of(message: WebhookMessage, more: Mapping[str, Any]) -> bytes:
    """Return what is sent. `more` is added to the stored data. Raises DamagedMessage."""
    if isinstance(message.data, DamagedObject):
        raise DamagedMessage(message.pk)
    content = {
        "type": str(message.event),
        "timestamp": message.at.astimezone(UTC).isoformat(),
        "data": {**message.data, **more},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def signed_headers(webhook: Webhook, message: WebhookMessage, body: bytes, at: datetime) -> Mapping[str, str]:
    """Return the headers of an attempt, signed with the secret and, for a while, its predecessor."""
    keys = [webhook.secret]
    if webhook.former_secret and webhook.former_secret_until and at < webhook.former_secret_until:
        keys.append(webhook.former_secret)
    return signatures.headers(wire_id(message), at, body, keys)


def wire_id(message: WebhookMessage) -> str:
    """Return the ID that stays the same in all attempts, by which receivers recognise a duplicate."""
    return f"msg_{message.message_id.hex}"


def _store(webhook_id: int, results: Sequence[tuple[WebhookDelivery, Answer]], now: datetime) -> bool:
    """Store the outcome of some attempts. Return whether the webhook may be sent more."""
    with transaction.atomic():
        for delivery, answer in results:
            _store_one(delivery, answer, now)
    return _judge(webhook_id, [answer for _, answer in results], now)


def _store_one(delivery: WebhookDelivery, answer: Answer, now: datetime) -> None:
    row = WebhookDelivery.objects.waiting().filter(pk=delivery.pk)
    if not answer.is_accepted:
        row = row.filter(attempts=delivery.attempts)  # not if another run took over and tries again
    is_over = answer.is_accepted or now >= delivery.gives_up_at
    state = State.DELIVERED if answer.is_accepted else State.GIVEN_UP if is_over else State.WAITING
    retry_at = max(_later(now, RETRY_AFTER, delivery.attempts - 1), now + answer.rest)
    is_stored = row.update(
        state=state,
        due_at=None if is_over else min(retry_at, delivery.gives_up_at),
        finished_at=now if is_over else None,
        outcome=answer.outcome,
        http_status=answer.http_status,
        answer=answer.text,
        took=answer.took,
    )
    metrics.webhook_attempts.labels(str(answer.outcome)).inc()
    metrics.webhook_attempt_time.observe(answer.took.total_seconds())
    if is_stored and is_over:
        metrics.webhook_deliveries.labels(str(state)).inc()
        _let_next_go(delivery, now)


def _let_next_go(delivery: WebhookDelivery, now: datetime) -> None:
    """Make the next message of the session due for this webhook."""
    if delivery.session_id is None:
        return
    waiting = WebhookDelivery.objects.waiting()
    of_session = waiting.filter(webhook=delivery.webhook_id, session_id=delivery.session_id)
    if following := of_session.order_by("pk").values_list("pk", "due_at", "message__at").first():
        pk, due_at, at = following
        if due_at is None:
            waiting.filter(pk=pk).update(due_at=max(now, at))


def _later(now: datetime, waits: Sequence[timedelta], number: int) -> datetime:
    return now + waits[min(number, len(waits) - 1)] * random.uniform(*JITTER)


def _judge(webhook_id: int, answers: Sequence[Answer], now: datetime) -> bool:
    """Store how a webhook fares, and pause or disable it if it fails or asks for it.

    Return whether it may be sent more.
    """
    row = Webhook.objects.filter(pk=webhook_id)
    failed = [answer for answer in answers if not answer.is_accepted]
    rest = max(answer.rest for answer in answers)
    if len(failed) < len(answers):
        row.exclude(failures=0).update(failures=0, failing_since=None, resumes_at=None)
        return not _rest(row, rest, now)
    row.update(failures=F("failures") + len(failed), failing_since=Coalesce(F("failing_since"), now))
    webhook = row.only("failures", "failing_since").get()
    assert webhook.failing_since
    if any(answer.http_status == GONE for answer in failed):
        changes.disable(webhook_id, Webhook.DisabledBecause.GONE, now)
    elif now - webhook.failing_since >= FAILING_FOR:
        changes.disable(webhook_id, Webhook.DisabledBecause.FAILING, now)
    elif webhook.failures < PAUSE_AFTER_FAILURES:
        return not _rest(row, rest, now)
    else:
        pause_until = _later(now, PAUSES, webhook.failures - PAUSE_AFTER_FAILURES)
        row.update(resumes_at=max(pause_until, now + rest))
    return False


def _rest(webhook: QuerySet[Webhook], rest: timedelta, now: datetime) -> bool:
    """Send nothing to a receiver for as long as it asks. Return whether it asked."""
    return bool(rest and webhook.update(resumes_at=now + rest))


def give_up_expired(now: datetime) -> int:
    """Give up what waits for a disabled or paused webhook for too long; return how many."""
    expired = WebhookDelivery.objects.waiting().filter(gives_up_at__lte=now)
    expired = expired.filter(Q(due_at=None) | Q(due_at__lte=now)).order_by("gives_up_at", "pk")
    with transaction.atomic():
        rows = list(due_rows.lock_unclaimed(expired.only("webhook_id", "session_id"))[:MAX_EXPIRED_PER_RUN])
        WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=State.GIVEN_UP, due_at=None, finished_at=now
        )
        metrics.webhook_deliveries.labels(State.GIVEN_UP.value).inc(len(rows))
        for row in {(row.webhook_id, row.session_id): row for row in rows}.values():
            _let_next_go(row, now)
    return len(rows)
