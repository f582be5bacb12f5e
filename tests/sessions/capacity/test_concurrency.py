"""What only a database with many writers can show: two at once never do the same thing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.actions import deadlines
from sessions.capacity import queue, slots
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import Conversation, EndReason, QueuePlace, ServerProcess, SessionEvent, Status, StreamingSession
from sessions.presence import tabs
from sessions.staff import stop_sessions
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.usefixtures("postgres", "announced")

T = TypeVar("T")
AT_ONCE = 8


def side_by_side(*work: Callable[[], T]) -> list[T]:
    """Do all of it at the same moment, each in a thread and a connection of its own; return what came of it."""
    ready = Barrier(len(work))

    def do(one: Callable[[], T]) -> T:
        try:
            with transaction.atomic():
                connection.cursor().execute("SELECT 1")  # connected: from here on it is only the work that counts
            ready.wait(10)
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


def test_ticks_at_once_share_the_work_and_never_take_the_same_row() -> None:
    sessions = due(60)
    taken = side_by_side(*[lambda: deadlines.claim_due(timezone.now())] * 4)
    times = Counter(one.pk for tick in taken for one in tick)
    assert set(times.values()) <= {1}
    left = deadlines.claim_due(timezone.now())  # rows that a tick passed by because another one held them
    assert set(times) | {one.pk for one in left} == {session.pk for session in sessions}
    assert SessionEvent.objects.filter(kind="status").count() == len(sessions)


def test_sessions_of_one_conversation_that_end_at_once_leave_it_ended() -> None:
    first = StreamingSessionFactory.create(status=Status.STOPPING)
    more = StreamingSessionFactory.create_batch(
        AT_ONCE - 1, status=Status.STOPPING, user=first.user, persona=first.persona, continues=first
    )
    assert all(side_by_side(*[partial(transitions.end, session) for session in (first, *more)]))
    ends = [session.ended_at for session in StreamingSession.objects.all() if session.ended_at]
    assert Conversation.objects.get().ended_at == max(ends)


def test_a_tick_passes_by_what_somebody_else_holds_and_does_not_wait() -> None:
    held, free = due(2)
    with transaction.atomic():
        StreamingSession.objects.select_for_update().get(pk=held.pk)
        (taken,) = side_by_side(lambda: deadlines.claim_due(timezone.now()))
    assert [one.pk for one in taken] == [free.pk]


def test_a_person_who_presses_start_on_two_devices_gets_one_session() -> None:
    persona, person = PersonaFactory.create(published=True), UserFactory.create()
    answers = side_by_side(*[lambda: try_to_open(person.pk, persona.slug)] * AT_ONCE)
    assert answers.count(errors.SessionRunning) == AT_ONCE - 1
    assert StreamingSession.objects.filter(user=person).count() == 1


def test_with_two_accounts_to_choose_from_a_person_still_gets_one_session() -> None:
    """The account's lock is not shared here: the constraint decides."""
    personas, person = PersonaFactory.create_batch(AT_ONCE, published=True), UserFactory.create()
    answers = side_by_side(*[partial(try_to_open, person.pk, persona.slug) for persona in personas])
    assert answers.count(errors.SessionRunning) == AT_ONCE - 1
    assert StreamingSession.objects.filter(user=person).count() == 1


def test_the_last_place_is_taken_once() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=3)
    people = UserFactory.create_batch(AT_ONCE)
    answers = side_by_side(*[partial(try_to_open, person.pk, persona.slug) for person in people])
    assert answers.count(slots.NoFreeSlot) == AT_ONCE - 3
    assert StreamingSession.objects.open().count() == 3


def test_of_all_who_end_a_session_at_once_one_does_and_one_reason_stays() -> None:
    session = StreamingSessionFactory.create()
    reasons = [EndReason.USER_STOPPED, EndReason.IDLE, EndReason.STAFF_STOPPED, EndReason.PROVIDER_ENDED]
    copies = [StreamingSession.objects.get(pk=session.pk) for _ in reasons]
    won = side_by_side(*[partial(transitions.begin_stop, *one, WHY) for one in zip(copies, reasons, strict=True)])
    session.refresh_from_db()
    assert won.count(True) == 1
    assert session.end_reason == reasons[won.index(True)]
    assert [event.data["reason"] for event in session.events.all()] == [session.end_reason]


def test_of_staff_who_stop_the_same_sessions_at_once_each_stop_is_on_record_once() -> None:
    sessions = StreamingSessionFactory.create_batch(5)
    people = [person.pk for person in UserFactory.create_batch(4)]
    begun = side_by_side(*[partial(stop_sessions.begin, by, None, None, "It rang") for by in people])
    assert Counter(one.pk for won in begun for one in won) == Counter(session.pk for session in sessions)
    named = [pk for entry in AuditEntry.objects.all() for pk in entry.data["sessions"]]
    assert sorted(named) == sorted(str(session.pk) for session in sessions)
    assert SessionEvent.objects.filter(kind="stop_asked").count() == len(sessions)


def test_events_written_at_once_are_numbered_without_gaps_and_each_follows_the_one_before() -> None:
    session = StreamingSessionFactory.create()

    def write(who: int) -> None:
        for _ in range(10):
            events.record(session.pk, Entry("seen", {"by": who}))

    side_by_side(*[partial(write, n) for n in range(6)])
    rows = list(session.events.order_by("number"))
    assert [row.number for row in rows] == list(range(1, 61))
    assert [row.previous_hash for row in rows] == ["", *(row.hash for row in rows[:-1])]


def test_tabs_that_leave_at_once_leave_the_session_to_its_grace_once() -> None:
    session = StreamingSessionFactory.create()
    process_id = uuid4()
    tabs.renew(process_id)
    channels = [f"tab-{n}" for n in range(AT_ONCE)]
    for channel in channels:
        tabs.enter(session.pk, process_id, channel)
    side_by_side(*[partial(tabs.leave, channel) for channel in channels])
    session.refresh_from_db()
    assert session.abandoned_at is not None
    assert [event.kind for event in session.events.all()] == ["last_tab_left"]


@pytest.mark.parametrize("attempt", range(5))
def test_a_tab_that_comes_back_while_the_lease_runs_out_is_not_lost(attempt: int) -> None:
    """Whoever comes first, a session with a tab on it has nobody waiting for its end."""
    session = StreamingSessionFactory.create(status=Status.LIVE)
    dead, living = uuid4(), uuid4()
    for process_id in (dead, living):
        tabs.renew(process_id)
    tabs.enter(session.pk, dead, "old")
    ServerProcess.objects.filter(pk=dead).update(lease_ends_at=timezone.now() - timedelta(seconds=1))
    side_by_side(
        lambda: tabs.leave("old"),
        lambda: tabs.enter(session.pk, living, "new"),
        lambda: tabs.expire(timezone.now()),
    )
    session.refresh_from_db()
    assert session.abandoned_at is None


def test_twenty_people_for_three_places_are_served_in_their_order_and_never_more_than_three_at_once() -> None:
    """Complaint 4: everybody presses at once, places are freed and given by many at once, and nobody is lost."""
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=3)
    people = {f"tab-{person.pk}": person.pk for person in UserFactory.create_batch(20)}
    process_id = uuid4()
    tabs.renew(process_id)

    def come(channel: str) -> None:
        if not isinstance(try_to_open(people[channel], persona.slug), StreamingSession):
            queue.join(people[channel], persona, TabAddress(process_id, channel))

    def take_turn(channel: str) -> StreamingSession | None:
        position = queue.position_of(channel)
        return slots.open_session(people[channel], persona.slug) if position and position.is_offered else None

    side_by_side(*[partial(come, channel) for channel in people])
    order = list(QueuePlace.objects.order_by("pk").values_list("channel", flat=True))
    served: list[str] = []
    while StreamingSession.objects.open().exists():
        running = list(StreamingSession.objects.open())
        assert len(running) <= 3
        transitions.begin_stop_all(running, EndReason.USER_STOPPED)
        transitions.end_all([session.pk for session in running])
        side_by_side(*[queue.offer_all_slots] * 4)  # the worker, and those who ended
        called = list(QueuePlace.objects.exclude(kept_until=None).values_list("channel", flat=True))
        assert len(called) <= 3
        assert sorted(called, key=order.index) == order[len(served) : len(served) + len(called)]
        taken = side_by_side(*[partial(take_turn, channel) for channel in order])
        assert len([session for session in taken if session]) == len(called)
        served += called
    assert sorted(served) == sorted(order)
    assert StreamingSession.objects.filter(user__in=people.values()).count() == 20


def test_a_turn_is_taken_once_though_a_newcomer_and_every_tick_reach_for_the_place() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=1)
    first, *others = UserFactory.create_batch(AT_ONCE)
    process_id = uuid4()
    tabs.renew(process_id)
    queue.join(first.pk, persona, TabAddress(process_id, "tab"))
    side_by_side(
        *[partial(try_to_open, person.pk, persona.slug) for person in others],
        *[partial(queue.offer_slots, persona.avatar.account_id)] * 4,
    )
    assert not StreamingSession.objects.exists()
    assert isinstance(try_to_open(first.pk, persona.slug), StreamingSession)
