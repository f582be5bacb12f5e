"""Messages reach each receiver at least once, in the order of their session, however long it was away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from heygen_portal.models import AuditEntry, EventType, Webhook, WebhookDelivery, WebhookMessage
from heygen_portal.runtime import metrics
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import backlog, changes, delivery, outbox, pause_mail, retention
from heygen_portal.webhooks.backlog import Backlog
from heygen_portal.webhooks.outbox import Notice
from heygen_portal.webhooks.sending import Answer, Sender
from tests.support.databases import BOTH
from tests.support.factories import sync_roles
from tests.timeouts import WAIT_TIMEOUT_S
from tests.webhooks.receiver import ACCEPTED, Receiver, Request, answering, receiver, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("at_home")]

State, Outcome = WebhookDelivery.State, WebhookDelivery.Outcome
EVENTS = (EventType.CONVERSATION_STARTED, EventType.SESSION_LIVE, EventType.SESSION_ENDED)


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


class Clock:
    """The time that runs are told."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        self.time += timedelta(**span)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("heygen_portal.postgresql.clock.now", made)
    return made


def a_webhook(receiver: Receiver, *events: EventType, **columns: Any) -> Webhook:
    chosen = [*map(str, events or EVENTS)]
    webhook = Webhook(name=columns.pop("name", "CRM"), url=receiver.url, events=chosen, **columns)
    changes.create(SERVER, webhook)
    return webhook


def tell(*events: EventType, session: UUID | None = None, **data: Any) -> None:
    for event in events:
        outbox.write(event, lambda event=event: Notice(event, data, session))  # type: ignore[misc]


def no_speech(session_id: UUID) -> dict[str, Any]:
    raise AssertionError("nobody asked for speech")


def run(clock: Callable[[], datetime], speech_of: Any = no_speech, **options: Any) -> None:
    sender = Sender(**({"attempt_seconds": WAIT_TIMEOUT_S, "body_seconds": WAIT_TIMEOUT_S} | options))
    asyncio.run(delivery.run(speech_of, sender=sender, now=clock))


def states() -> list[tuple[str, str]]:
    return list(WebhookDelivery.objects.order_by("pk").values_list("state", "outcome"))


def types(requests: list[Request]) -> list[str]:
    return [json.loads(request.body)["type"] for request in requests]


def test_a_message_is_signed_as_standard_webhooks_says(crm: Receiver) -> None:
    webhook = a_webhook(crm)
    tell(EventType.SESSION_LIVE, persona="lucia")
    run(lambda: datetime.now(UTC))
    [request] = crm.requests
    content = Verifier(webhook.secret).verify(request.body, request.headers)
    assert (content["type"], content["data"]) == ("session.live", {"persona": "lucia"})
    assert datetime.fromisoformat(content["timestamp"])
    message = WebhookMessage.objects.get()
    assert request.headers["webhook-id"] == f"msg_{message.message_id.hex}"
    row = WebhookDelivery.objects.get()
    assert (row.state, row.outcome, row.http_status, row.attempts) == (State.DELIVERED, Outcome.ACCEPTED, 204, 1)
    with pytest.raises(WebhookVerificationError):
        Verifier(webhook.secret).verify(request.body + b" ", request.headers)


def test_both_secrets_sign_while_one_is_replaced(crm: Receiver) -> None:
    webhook = a_webhook(crm)
    former = webhook.secret
    new = changes.replace_secret(SERVER, webhook.pk)
    tell(EventType.SESSION_LIVE)
    now = datetime.now(UTC)
    run(lambda: now)
    for secret in (former, new):
        Verifier(secret).verify(crm.requests[0].body, crm.requests[0].headers)
    Webhook.objects.update(former_secret_until=now)
    tell(EventType.SESSION_LIVE)
    run(lambda: datetime.now(UTC))
    Verifier(new).verify(crm.requests[1].body, crm.requests[1].headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(former).verify(crm.requests[1].body, crm.requests[1].headers)
    audited = AuditEntry.objects.filter(kind=AuditEntry.Kind.WEBHOOK_SECRET_SET)
    assert audited.count() == 2
    assert "whsec" not in str(list(audited.values_list("data", flat=True)))


def test_only_chosen_events_are_sent_and_only_once(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm, EventType.SESSION_ENDED)
    tell(*EVENTS)
    for _ in range(2):
        run(clock)
    assert types(crm.requests) == ["session.ended"]
    assert not delivery.has_due(clock())


def test_nothing_is_stored_if_the_change_is_undone(crm: Receiver) -> None:
    a_webhook(crm)
    with transaction.atomic():
        tell(*EVENTS)
        assert WebhookMessage.objects.exists()
        transaction.set_rollback(True)
    assert not WebhookMessage.objects.exists()


def test_a_failure_to_write_does_not_undo_the_change(crm: Receiver) -> None:
    a_webhook(crm)

    def fail() -> Notice:
        raise ZeroDivisionError

    outbox.write(EventType.SESSION_LIVE, fail)
    assert not WebhookMessage.objects.exists()


# Order and retries


def test_a_later_message_of_a_session_waits_for_the_earlier_one(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    one, other = uuid4(), uuid4()
    crm.behaviour = answering(status(500, b"duplicate key"), ACCEPTED)
    tell(*EVENTS, session=one)
    run(clock)
    assert types(crm.requests) == ["conversation.started"]
    assert states() == [(State.WAITING, Outcome.REFUSED), (State.WAITING, ""), (State.WAITING, "")]
    assert WebhookDelivery.objects.order_by("pk")[0].answer == "duplicate key"
    tell(EventType.SESSION_LIVE, session=other)
    run(clock)  # another session waits for nothing
    assert types(crm.requests)[1:] == ["session.live"]
    clock.advance(seconds=10)
    run(clock)
    assert types(crm.requests)[2:] == ["conversation.started", "session.live", "session.ended"]
    assert crm.ids[0] == crm.ids[2]  # a second attempt has the same ID
    assert {state for state, _ in states()} == {State.DELIVERED}


def test_a_message_is_given_up_after_three_days_and_the_next_one_goes(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    session = uuid4()
    tell(EventType.CONVERSATION_STARTED, session=session)
    crm.behaviour = answering(status(500))
    told_at, pauses = clock(), []
    while WebhookDelivery.objects.get().state == State.WAITING:
        run(clock)
        tell(EventType.SESSION_LIVE)  # others succeed, so the webhook as a whole is healthy
        crm.behaviour = answering(ACCEPTED)
        WebhookDelivery.objects.exclude(session_id=session).delete()
        row = WebhookDelivery.objects.get()
        if row.due_at:
            pauses.append(row.due_at - clock())
            clock.time = row.due_at
        crm.behaviour = answering(status(500))
        Webhook.objects.update(resumes_at=None, failures=0, failing_since=None)
    assert clock() - told_at == timedelta(days=3)
    assert pauses[0] < timedelta(seconds=10)
    assert timedelta(hours=4) <= max(pauses) <= timedelta(hours=5)
    assert 15 <= len(pauses) <= 40
    assert states() == [(State.GIVEN_UP, Outcome.REFUSED)]
    crm.behaviour = answering(ACCEPTED)
    tell(EventType.SESSION_LIVE, session=session)
    run(clock)
    assert states()[1] == (State.DELIVERED, Outcome.ACCEPTED)


def test_a_process_that_dies_after_sending_leaves_a_duplicate_with_the_same_id(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    tell(*EVENTS, session=uuid4())
    with patch.object(delivery, "_store", side_effect=SystemError), patch.object(delivery, "_release"):
        run(clock)
    assert not delivery.has_due(clock())  # another run might still be at it
    clock.advance(seconds=61)
    run(clock)
    assert types(crm.requests) == ["conversation.started", *EVENTS]
    assert crm.ids[0] == crm.ids[1]
    assert len(set(crm.ids)) == 3
    assert WebhookDelivery.objects.order_by("pk").values_list("attempts", flat=True)[0] == 2


def test_a_result_that_comes_late_does_not_replace_a_later_one(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    tell(EventType.SESSION_LIVE)
    [stale] = delivery._claim_deliveries(Webhook.objects.get().pk, clock())
    clock.advance(seconds=61)
    run(clock)
    delivery._store(stale.webhook_id, [(stale, Answer(Outcome.TIMED_OUT))], clock())
    assert states() == [(State.DELIVERED, Outcome.ACCEPTED)]


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(WAIT_TIMEOUT_S)
        assert not thread.is_alive()


def test_a_receiver_that_hangs_holds_up_no_other(crm: Receiver, clock: Clock) -> None:
    answers = threading.Event()

    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        while not answers.is_set():
            await asyncio.sleep(0.01)
        writer.write(ACCEPTED)

    crm.behaviour = hang
    a_webhook(crm)
    with receiver() as healthy:
        a_webhook(healthy, name="Data warehouse")
        for _ in range(20):
            tell(EventType.SESSION_LIVE)
        with in_background(lambda: run(clock)):
            healthy.wait_for(20)
            assert len(crm.requests) <= delivery.SENDS_AT_ONCE
            tell(EventType.SESSION_ENDED)  # while the other one still hangs
            healthy.wait_for(21)
            assert len(crm.requests) <= delivery.SENDS_AT_ONCE
            answers.set()
    assert WebhookDelivery.objects.filter(webhook__name="Data warehouse", state=State.DELIVERED).count() == 21


def test_a_receiver_that_is_away_costs_a_few_attempts_however_much_waits(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    crm.behaviour = answering(status(503))
    for _ in range(100):
        tell(EventType.SESSION_LIVE)
    for _ in range(60):  # a minute
        run(clock)
        clock.advance(seconds=1)
    assert len(crm.requests) <= 6 * delivery.SENDS_AT_ONCE
    crm.behaviour = answering(ACCEPTED)
    clock.advance(minutes=5)
    run(clock)
    assert WebhookDelivery.objects.filter(state=State.DELIVERED).count() == 100


@pytest.mark.parametrize("code", [429, 503])
def test_a_receiver_gets_nothing_before_the_time_it_asked_for(crm: Receiver, clock: Clock, code: int) -> None:
    a_webhook(crm)
    crm.behaviour = answering(status(code, b"", "Retry-After: 1800"), ACCEPTED)
    tell(EventType.SESSION_LIVE)
    run(clock)
    tell(EventType.SESSION_ENDED)  # another message does not disturb it either
    clock.advance(minutes=29)
    run(clock)
    assert types(crm.requests) == ["session.live"]
    clock.advance(minutes=1)
    run(clock)
    assert sorted(types(crm.requests)) == ["session.ended", "session.live", "session.live"]
    assert len(set(crm.ids)) == 2


def test_a_wait_is_kept_although_other_messages_were_accepted(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    busy = status(429, b"", "Retry-After: 600")

    async def take_one(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED if len(crm.requests) == 1 else busy)

    crm.behaviour = take_one
    tell(EventType.SESSION_LIVE, EventType.SESSION_ENDED)
    run(clock)
    assert sorted(state for state, _ in states()) == [State.DELIVERED, State.WAITING]
    tell(EventType.SESSION_LIVE)
    clock.advance(minutes=9)
    run(clock)
    assert len(crm.requests) == 2


def test_what_staff_send_by_hand_does_not_wait_for_a_receiver_that_rests(crm: Receiver, clock: Clock) -> None:
    webhook = a_webhook(crm)
    crm.behaviour = answering(status(503, b"", "Retry-After: 3600"), ACCEPTED)
    tell(EventType.SESSION_LIVE)
    run(clock)
    changes.send_test(webhook)
    run(clock)
    assert types(crm.requests) == ["session.live", "webhook.test"]
    Webhook.objects.update(resumes_at=clock() + timedelta(minutes=5))
    changes.resend(WebhookDelivery.objects.order_by("pk")[0])
    run(clock)
    assert types(crm.requests)[2:] == ["session.live"]


def test_what_failed_is_sent_again_at_once_and_once(crm: Receiver, clock: Clock) -> None:
    webhook = a_webhook(crm)
    crm.behaviour = answering(status(500))
    tell(EventType.SESSION_LIVE)
    run(clock)
    clock.advance(days=3)
    delivery.give_up_expired(clock())
    Webhook.objects.update(failures=0, failing_since=None, resumes_at=None)
    tell(EventType.SESSION_ENDED)
    run(clock)
    crm.behaviour = answering(ACCEPTED)
    assert changes.resend_failed(webhook, 100) == 2
    crm.requests.clear()
    run(clock)
    assert sorted(types(crm.requests)) == ["session.ended", "session.live"]
    assert changes.resend_failed(webhook, 100) == 0
    run(clock)
    assert len(crm.requests) == 2


def test_an_ended_former_secret_signs_no_more(crm: Receiver) -> None:
    webhook = a_webhook(crm)
    former = webhook.secret
    new = changes.replace_secret(SERVER, webhook.pk)
    assert changes.end_former_secret(SERVER, webhook.pk)
    assert not changes.end_former_secret(SERVER, webhook.pk)
    tell(EventType.SESSION_LIVE)
    run(lambda: datetime.now(UTC))
    Verifier(new).verify(crm.requests[0].body, crm.requests[0].headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(former).verify(crm.requests[0].body, crm.requests[0].headers)
    assert AuditEntry.objects.filter(kind=AuditEntry.Kind.WEBHOOK_SECRET_SET).count() == 3


# What waits


def test_attempts_and_ends_are_counted_without_names(crm: Receiver, clock: Clock) -> None:
    def counted() -> list[float]:
        found = [
            ("portal_webhook_attempts_total", {"outcome": "refused"}),
            ("portal_webhook_attempts_total", {"outcome": "accepted"}),
            ("portal_webhook_deliveries_total", {"state": "delivered"}),
            ("portal_webhook_deliveries_total", {"state": "given_up"}),
            ("portal_webhook_attempt_seconds_count", {}),
        ]
        return [metrics.registry.get_sample_value(name, labels) or 0 for name, labels in found]

    before = counted()
    a_webhook(crm)
    crm.behaviour = answering(status(500), ACCEPTED)
    tell(EventType.SESSION_LIVE)
    run(clock)
    clock.advance(minutes=1)
    run(clock)
    changes.pause(SERVER, Webhook.objects.get().pk)
    changes.resume(SERVER, Webhook.objects.get().pk)
    tell(EventType.SESSION_ENDED)
    clock.advance(days=3)
    delivery.give_up_expired(clock())
    assert [after - was for was, after in zip(before, counted(), strict=True)] == [1, 1, 1, 1, 2]
    text = str([metric.samples for metric in metrics.registry.collect()])
    assert "CRM" not in text
    assert crm.url not in text


def test_the_backlog_is_what_waits_for_webhooks_that_are_sent_to(crm: Receiver, clock: Clock) -> None:
    webhook = a_webhook(crm)
    assert backlog.read(clock()) == Backlog(0, timedelta(0), {"staff": 0, "failing": 0, "gone": 0})
    tell(*EVENTS, session=uuid4())
    clock.advance(minutes=7)
    assert backlog.read(clock()) == Backlog(3, timedelta(minutes=7), {"staff": 0, "failing": 0, "gone": 0})
    changes.pause(SERVER, webhook.pk)
    assert backlog.read(clock()) == Backlog(0, timedelta(0), {"staff": 1, "failing": 0, "gone": 0})


def test_only_what_could_be_sent_and_is_not_stands_still(crm: Receiver, clock: Clock) -> None:
    assert backlog.idle_time(clock()) is None  # nothing is sent at all
    webhook = a_webhook(crm)
    assert backlog.idle_time(clock()) == timedelta(0)
    tell(*EVENTS)
    clock.advance(minutes=7)
    assert backlog.idle_time(clock()) == timedelta(minutes=7)  # no worker came
    crm.behaviour = answering(status(500))
    run(clock)
    assert backlog.idle_time(clock()) == timedelta(0)  # the receiver's fault
    Webhook.objects.update(resumes_at=clock() + timedelta(minutes=5))
    clock.advance(minutes=6)
    assert backlog.idle_time(clock()) == timedelta(minutes=1)
    Webhook.objects.update(claimed_until=clock() + timedelta(minutes=1))
    assert backlog.idle_time(clock()) == timedelta(0)  # it is being served
    changes.pause(SERVER, webhook.pk)
    assert backlog.idle_time(clock()) is None


@pytest.mark.proof
def test_a_thousand_events_while_the_receiver_is_down_for_ten_minutes(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    crm.behaviour = answering(status(503))
    sessions = [uuid4() for _ in range(250)]
    told: dict[UUID, list[int]] = {session: [] for session in sessions}
    for number in range(1000):
        session = sessions[number % len(sessions)]
        tell(EVENTS[number % len(EVENTS)], session=session, session_id=str(session), number=number)
        told[session].append(number)
        if number % 100 == 99:
            run(clock)
            clock.advance(minutes=1)
    crm.requests.clear()
    lost = 0

    async def accept_but_lose_some_answers(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal lost
        if len(crm.requests) % 50 == 0 and lost < 10:
            lost += 1
            writer.close()
        else:
            writer.write(ACCEPTED)

    crm.behaviour = accept_but_lose_some_answers
    for _ in range(100):
        clock.advance(minutes=1)
        if not WebhookDelivery.objects.waiting().exists():
            break
        run(clock)
    arrived: dict[UUID, list[int]] = {session: [] for session in sessions}
    seen: set[str] = set()
    for request in crm.requests:
        data = json.loads(request.body)["data"]
        if request.headers["webhook-id"] not in seen:
            seen.add(request.headers["webhook-id"])
            arrived[UUID(data["session_id"])].append(data["number"])
    assert arrived == told
    assert len(seen) == 1000
    assert len(crm.requests) == 1000 + lost
    assert lost == 10


# Pausing


def test_a_webhook_that_fails_for_three_days_is_paused_with_mail(crm: Receiver, clock: Clock) -> None:
    sync_roles()
    manager("m@example.org")
    a_webhook(crm)
    crm.behaviour = answering(status(500))
    tell(EventType.SESSION_LIVE)
    run(clock)
    clock.advance(days=2, hours=23)
    tell(EventType.SESSION_LIVE)
    run(clock)
    assert Webhook.objects.get().is_enabled
    clock.advance(hours=2)
    run(clock)
    webhook = Webhook.objects.get()
    assert (webhook.is_enabled, webhook.disabled_because) == (False, Webhook.DisabledBecause.FAILING)
    with override_settings(EMAIL_HOST="mail.test", PORTAL_URL="https://portal.example.org"):
        for _ in range(2):
            pause_mail.send_due(clock())
    [letter] = mail.outbox
    assert letter.to == ["m@example.org"]
    assert "CRM" in letter.subject
    assert f"https://portal.example.org/admin/heygen_portal/webhook/{webhook.pk}/change/" in letter.body
    assert AuditEntry.objects.filter(kind=AuditEntry.Kind.WEBHOOK_CHANGED, data__is_enabled=[True, False]).exists()
    tell(EventType.SESSION_LIVE)  # not for a paused webhook
    assert WebhookMessage.objects.count() == 2
    crm.behaviour = answering(ACCEPTED)
    run(clock)
    assert WebhookDelivery.objects.waiting().count() == 1
    assert changes.resume(SERVER, webhook.pk)
    run(clock)
    assert states() == [(State.GIVEN_UP, Outcome.REFUSED), (State.DELIVERED, Outcome.ACCEPTED)]


def manager(address: str) -> None:
    from django.contrib.auth.models import Group, User

    from heygen_portal.people.access import roles

    user = User.objects.create_user("manager", address, "a-long-passphrase", is_staff=True)
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATOR.group))


def test_mail_that_is_not_taken_is_sent_again(crm: Receiver, clock: Clock) -> None:
    sync_roles()
    manager("m@example.org")
    changes.disable(a_webhook(crm).pk, Webhook.DisabledBecause.FAILING, clock())
    with override_settings(EMAIL_HOST="mail.test"):
        with patch("heygen_portal.people.mail.outgoing.send", return_value=False):
            pause_mail.send_due(clock())
        assert mail.outbox == []
        pause_mail.send_due(clock())
    assert len(mail.outbox) == 1


def test_an_old_message_is_sent_again_for_another_three_days(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    tell(EventType.SESSION_LIVE)
    run(clock)
    clock.advance(days=20)
    again = outbox.write_again(WebhookDelivery.objects.get())
    assert delivery.give_up_expired(clock()) == 0
    crm.behaviour = answering(status(500), ACCEPTED)
    run(clock)
    clock.advance(minutes=1)
    run(clock)
    again.refresh_from_db()
    assert (again.state, again.attempts, len(set(crm.ids))) == (State.DELIVERED, 2, 1)


def test_a_receiver_that_says_it_is_gone_is_paused_at_once(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    crm.behaviour = answering(status(410))
    tell(EventType.SESSION_LIVE)
    run(clock)
    assert Webhook.objects.get().disabled_because == Webhook.DisabledBecause.GONE
    assert states() == [(State.WAITING, Outcome.REFUSED)]
    clock.advance(days=3)
    delivery.give_up_expired(clock())
    assert states() == [(State.GIVEN_UP, Outcome.REFUSED)]


def test_a_secret_that_cannot_be_decrypted_and_damaged_data_are_named(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    tell(EventType.SESSION_LIVE)
    tell(EventType.SESSION_ENDED)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE heygen_portal_webhookmessage SET data = '[1]' WHERE event = 'session.ended'")
        cursor.execute("SELECT secret FROM heygen_portal_webhook")
        [secret] = cursor.fetchone()
        cursor.execute("UPDATE heygen_portal_webhook SET secret = %s", ["gAAAAABfrom-another-portal"])
    run(clock)
    assert {outcome for _, outcome in states()} == {Outcome.NO_SECRET, Outcome.FAILED_HERE}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE heygen_portal_webhook SET secret = %s", [secret])
    clock.advance(minutes=1)
    run(clock)
    assert types(crm.requests) == ["session.live"]


# Speech, retention, cost


def test_speech_is_read_when_it_is_sent_and_only_where_chosen(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm, EventType.TRANSCRIPT_READY)
    said = {"lines": [{"who": "user", "text": "My secret"}], "is_complete": True}
    with receiver() as archive:
        a_webhook(archive, EventType.TRANSCRIPT_READY, name="Archive", includes_speech=True)
        tell(EventType.TRANSCRIPT_READY, session=uuid4(), persona="lucia")
        run(clock, lambda session_id: said)
        assert json.loads(archive.requests[0].body)["data"] == {"persona": "lucia", **said}
    assert json.loads(crm.requests[0].body)["data"] == {"persona": "lucia"}
    stored = [*WebhookMessage.objects.values_list("data", flat=True), *WebhookDelivery.objects.values()]
    assert "My secret" not in str(stored)


def test_speech_that_a_receiver_sends_back_is_not_stored(crm: Receiver, clock: Clock) -> None:
    """As a web framework does on its error page, and services for trying webhooks. Erasure would not reach it."""

    async def repeat(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(status(500, request.body))
        await writer.drain()

    crm.behaviour = repeat
    a_webhook(crm, EventType.TRANSCRIPT_READY, includes_speech=True)
    a_webhook(crm, EventType.TRANSCRIPT_READY, name="Counts")
    tell(EventType.TRANSCRIPT_READY, session=uuid4(), persona="lucia")
    run(clock, lambda session_id: {"lines": [{"who": "user", "text": "My secret"}], "is_complete": True})
    stored = WebhookDelivery.objects.order_by("webhook").values_list("http_status", "answer")
    assert [(code, "lucia" in text) for code, text in stored] == [(500, False), (500, True)]
    assert "My secret" not in str(list(stored))


def test_old_deliveries_are_deleted_and_waiting_ones_are_kept(crm: Receiver, clock: Clock) -> None:
    a_webhook(crm)
    tell(EventType.SESSION_LIVE)
    run(clock)
    clock.advance(days=31)
    crm.behaviour = answering(status(500))
    tell(EventType.SESSION_ENDED)
    run(clock)
    assert retention.delete_old(clock()) == 1
    assert list(WebhookMessage.objects.values_list("event", flat=True)) == ["session.ended"]
    assert states() == [(State.WAITING, Outcome.REFUSED)]


def queries_of_a_run(clock: Clock) -> int:
    tell(*EVENTS, session=uuid4())
    with CaptureQueriesContext(connection) as looked:
        assert delivery.has_due(clock())
    with CaptureQueriesContext(connection) as sent:
        webhook = delivery._claim_webhooks(clock(), 5)[0]
        claimed = delivery._claim_deliveries(webhook.pk, clock())
        delivery._store(webhook.pk, [(row, Answer(Outcome.ACCEPTED)) for row in claimed], clock())
        delivery._release(webhook, clock())
    WebhookDelivery.objects.waiting().update(state=State.DELIVERED, due_at=None, finished_at=clock())
    return len(looked) + len(sent)


def test_the_thousandth_delivery_costs_what_the_first_did(crm: Receiver, clock: Clock) -> None:
    webhook = a_webhook(crm)
    first = queries_of_a_run(clock)
    message = WebhookMessage.objects.create(event="session.live", at=clock())
    finished = {"state": State.DELIVERED, "finished_at": clock(), "gives_up_at": clock()}
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=webhook, message=message, session_id=uuid4(), **finished) for _ in range(1000)
    )
    assert queries_of_a_run(clock) == first
    if connection.vendor == "postgresql":
        connection.cursor().execute("SET enable_seqscan = off")  # which a small table prefers
    due = WebhookDelivery.objects.due(clock()).filter(webhook=webhook)
    assert "webhook_due" in due.explain()
    of_session = WebhookDelivery.objects.waiting().filter(webhook=webhook, session_id=uuid4()).order_by("pk")
    assert "webhook_order" in of_session.explain()
    assert "webhook_due" in delivery._servable(clock()).explain()
    expired = WebhookDelivery.objects.waiting().filter(gives_up_at__lte=clock()).order_by("gives_up_at", "pk")
    assert "webhook_to_give_up" in expired.explain()
