"""Concurrency: two callers never do the same work twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import partial
from threading import Barrier
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.actions import deadlines
from sessions.capacity import guests, queue, slots
from sessions.capacity.queue import TabAddress
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import (
    Conversation,
    EndReason,
    Guest,
    QueueEntry,
    ServerProcess,
    SessionEvent,
    Status,
    StreamingSession,
)
from sessions.presence import tabs
from sessions.staff import stop_sessions
from tests.sessions.capacity.test_guests import a_guest
from tests.sessions.embed.visitors import embed_of, link_of
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.usefixtures("postgres", "announced")

T = TypeVar("T")
CONCURRENT_CALLS = 8


def concurrently(*work: Callable[[], T]) -> list[T]:
    """Call all at once, each in its own thread and connection; return the results."""
    ready = Barrier(len(work))

    def do(one: Callable[[], T]) -> T:
        try:
            with transaction.atomic():
                connection.cursor().execute("SELECT 1")  # connected, so that only the work itself is concurrent
            ready.wait(WAIT_TIMEOUT_S)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(do, work))


def try_to_open(user_id: int, slug: str) -> StreamingSession | type[errors.SessionError]:
    try:
        return slots.open_session(user_id, slug)
    except errors.SessionError as refusal:
        return type(refusal)


def due(count: int) -> list[StreamingSession]:
    past = timezone.now() - timedelta(seconds=1)
    persona = PersonaFactory.create(published=True)
    sessions: list[StreamingSession] = StreamingSessionFactory.create_batch(
        count, persona=persona, ends_at=past, deadline_at=past
    )
    return sessions


def test_concurrent_ticks_share_the_work_and_never_claim_the_same_row() -> None:
    sessions = due(60)
    taken = concurrently(*[lambda: deadlines.claim_due(timezone.now())] * 4)
    times = Counter(one.pk for tick in taken for one in tick)
    assert set(times.values()) <= {1}
    left = deadlines.claim_due(timezone.now())  # rows that a tick skipped because another one had locked them
    assert set(times) | {one.pk for one in left} == {session.pk for session in sessions}
    assert SessionEvent.objects.filter(kind="status").count() == len(sessions)


def test_sessions_of_one_conversation_that_end_concurrently_leave_it_ended() -> None:
    first = StreamingSessionFactory.create(status=Status.STOPPING)
    more = StreamingSessionFactory.create_batch(
        CONCURRENT_CALLS - 1, status=Status.STOPPING, user=first.user, persona=first.persona, continues=first
    )
    assert all(concurrently(*[partial(transitions.end, session) for session in (first, *more)]))
    ends = [session.ended_at for session in StreamingSession.objects.all() if session.ended_at]
    assert Conversation.objects.get().ended_at == max(ends)


def test_a_tick_skips_locked_rows_without_waiting() -> None:
    held, free = due(2)
    with transaction.atomic():
        StreamingSession.objects.select_for_update().get(pk=held.pk)
        (taken,) = concurrently(lambda: deadlines.claim_due(timezone.now()))
    assert [one.pk for one in taken] == [free.pk]


def test_a_user_who_starts_on_two_devices_gets_one_session() -> None:
    persona, person = PersonaFactory.create(published=True), UserFactory.create()
    answers = concurrently(*[lambda: try_to_open(person.pk, persona.slug)] * CONCURRENT_CALLS)
    assert answers.count(errors.SessionRunning) == CONCURRENT_CALLS - 1
    assert StreamingSession.objects.filter(user=person).count() == 1


def test_a_user_who_starts_on_two_accounts_gets_one_session() -> None:
    """The two accounts have separate locks: the constraint decides."""
    personas, person = PersonaFactory.create_batch(CONCURRENT_CALLS, published=True), UserFactory.create()
    answers = concurrently(*[partial(try_to_open, person.pk, persona.slug) for persona in personas])
    assert answers.count(errors.SessionRunning) == CONCURRENT_CALLS - 1
    assert StreamingSession.objects.filter(user=person).count() == 1


def test_the_last_slot_is_taken_once() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=3)
    people = UserFactory.create_batch(CONCURRENT_CALLS)
    answers = concurrently(*[partial(try_to_open, person.pk, persona.slug) for person in people])
    assert answers.count(slots.NoFreeSlot) == CONCURRENT_CALLS - 3
    assert StreamingSession.objects.open().count() == 3


def test_of_concurrent_stops_one_wins_and_one_reason_is_kept() -> None:
    session = StreamingSessionFactory.create()
    reasons = [EndReason.USER_STOPPED, EndReason.IDLE, EndReason.STAFF_STOPPED, EndReason.PROVIDER_ENDED]
    copies = [StreamingSession.objects.get(pk=session.pk) for _ in reasons]
    won = concurrently(*[partial(transitions.begin_stop, *one, WHY) for one in zip(copies, reasons, strict=True)])
    session.refresh_from_db()
    assert won.count(True) == 1
    assert session.end_reason == reasons[won.index(True)]
    assert [event.data["reason"] for event in session.events.all()] == [session.end_reason]


def test_concurrent_staff_stops_are_recorded_once_each() -> None:
    sessions = StreamingSessionFactory.create_batch(5)
    people = [person.pk for person in UserFactory.create_batch(4)]
    begun = concurrently(*[partial(stop_sessions.begin, by, None, None, "Fire drill") for by in people])
    assert Counter(one.pk for won in begun for one in won) == Counter(session.pk for session in sessions)
    named = [pk for entry in AuditEntry.objects.all() for pk in entry.data["sessions"]]
    assert sorted(named) == sorted(str(session.pk) for session in sessions)
    assert SessionEvent.objects.filter(kind="stop_asked").count() == len(sessions)


def test_concurrent_events_are_numbered_without_gaps_and_chained() -> None:
    session = StreamingSessionFactory.create()

    def write(who: int) -> None:
        for _ in range(10):
            events.record(session.pk, Entry("seen", {"by": who}))

    concurrently(*[partial(write, n) for n in range(6)])
    rows = list(session.events.order_by("number"))
    assert [row.number for row in rows] == list(range(1, 61))
    assert [row.previous_hash for row in rows] == ["", *(row.hash for row in rows[:-1])]


def test_tabs_that_leave_concurrently_start_one_grace_period() -> None:
    session = StreamingSessionFactory.create()
    process_id = uuid4()
    tabs.renew_lease(process_id)
    channels = [f"tab-{n}" for n in range(CONCURRENT_CALLS)]
    for channel in channels:
        tabs.enter(session.pk, process_id, channel)
    concurrently(*[partial(tabs.leave, channel) for channel in channels])
    session.refresh_from_db()
    assert session.abandoned_at is not None
    assert [event.kind for event in session.events.all()] == ["last_tab_left"]


@pytest.mark.parametrize("attempt", range(5))
def test_a_tab_that_returns_while_the_lease_runs_out_is_not_lost(attempt: int) -> None:
    """In either order, a session with a tab has no running grace period."""
    session = StreamingSessionFactory.create(status=Status.LIVE)
    dead, living = uuid4(), uuid4()
    for process_id in (dead, living):
        tabs.renew_lease(process_id)
    tabs.enter(session.pk, dead, "old")
    ServerProcess.objects.filter(pk=dead).update(lease_ends_at=timezone.now() - timedelta(seconds=1))
    concurrently(
        lambda: tabs.leave("old"),
        lambda: tabs.enter(session.pk, living, "new"),
        lambda: tabs.expire_leases(timezone.now()),
    )
    session.refresh_from_db()
    assert session.abandoned_at is None


def test_twenty_users_get_three_slots_in_order_and_never_more_at_once() -> None:
    """Complaint 4: all start at once, and no user is lost."""
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=3)
    people = {f"tab-{person.pk}": person.pk for person in UserFactory.create_batch(20)}
    process_id = uuid4()
    tabs.renew_lease(process_id)

    def come(channel: str) -> None:
        if not isinstance(try_to_open(people[channel], persona.slug), StreamingSession):
            queue.join(people[channel], persona, TabAddress(process_id, channel))

    def take_turn(channel: str) -> StreamingSession | None:
        position = queue.position_of(channel)
        return slots.open_session(people[channel], persona.slug) if position and position.is_offered else None

    concurrently(*[partial(come, channel) for channel in people])
    order = list(QueueEntry.objects.order_by("pk").values_list("channel", flat=True))
    served: list[str] = []
    while StreamingSession.objects.open().exists():
        running = list(StreamingSession.objects.open())
        assert len(running) <= 3
        transitions.begin_stop_all(running, EndReason.USER_STOPPED)
        transitions.end_all([session.pk for session in running])
        concurrently(*[queue.offer_all_slots] * 4)  # the worker, and the processes of ended sessions
        called = list(QueueEntry.objects.exclude(offer_expires_at=None).values_list("channel", flat=True))
        assert len(called) <= 3
        assert sorted(called, key=order.index) == order[len(served) : len(served) + len(called)]
        taken = concurrently(*[partial(take_turn, channel) for channel in order])
        assert len([session for session in taken if session]) == len(called)
        served += called
    assert sorted(served) == sorted(order)
    assert StreamingSession.objects.filter(user__in=people.values()).count() == 20


def begin_as_guests(people: list[Guest]) -> list[str]:
    """Let guests start at once. Return the codes of the refusals."""

    def begin(guest: Guest) -> str:
        try:
            slots.open_session(guest.pk, guest.embed.persona.slug, StartRequest())
        except errors.SessionError as refusal:
            return refusal.code
        return ""

    return [code for code in concurrently(*[partial(begin, guest) for guest in people]) if code]


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"conversations_per_device": 3}, "guest_limit"),
        ({"conversations_per_network": 3}, "guest_limit"),
        ({"conversations_per_day": 3}, "guests_paused"),
        ({"credits_per_day": Decimal(12), "visit_limit": timedelta(minutes=4)}, "guests_paused"),
    ],
    ids=["device", "network", "day", "cap"],
)
def test_guests_who_start_at_once_keep_their_limits(limit: dict[str, Any], code: str) -> None:
    embed = embed_of(**limit)
    accounts = type(embed.persona.avatar.account).objects
    accounts.update(concurrency_limit=CONCURRENT_CALLS, credits_per_minute=Decimal(1))
    refused = begin_as_guests([a_guest(embed) for _ in range(CONCURRENT_CALLS)])
    assert refused == [code] * (CONCURRENT_CALLS - 3)
    assert StreamingSession.objects.filter(guest__embed=embed).count() == 3


def test_the_last_uses_of_a_link_are_used_once() -> None:
    embed = embed_of(conversations_per_device=99)
    type(embed.persona.avatar.account).objects.update(concurrency_limit=CONCURRENT_CALLS)
    link = link_of(embed, max_uses=3)
    refused = begin_as_guests([a_guest(embed, link=link) for _ in range(CONCURRENT_CALLS)])
    assert refused == ["guests_paused"] * (CONCURRENT_CALLS - 3)
    link.refresh_from_db()
    assert link.uses == 3


def test_one_network_opens_no_more_sessions_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "OPEN_PER_NETWORK", 3)
    embed = embed_of(conversations_per_device=99)
    type(embed.persona.avatar.account).objects.update(concurrency_limit=CONCURRENT_CALLS)
    refused = begin_as_guests([a_guest(embed, device=f"device {number}") for number in range(CONCURRENT_CALLS)])
    assert refused == ["guest_limit"] * (CONCURRENT_CALLS - 3)


def test_an_offered_slot_is_taken_once_despite_a_newcomer_and_concurrent_ticks() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=1)
    first, *others = UserFactory.create_batch(CONCURRENT_CALLS)
    process_id = uuid4()
    tabs.renew_lease(process_id)
    queue.join(first.pk, persona, TabAddress(process_id, "tab"))
    concurrently(
        *[partial(try_to_open, person.pk, persona.slug) for person in others],
        *[partial(queue.offer_slots, persona.avatar.account_id)] * 4,
    )
    assert not StreamingSession.objects.exists()
    assert isinstance(try_to_open(first.pk, persona.slug), StreamingSession)
