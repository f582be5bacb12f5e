"""The queue for an account's slots."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from avatars.models import Persona
from sessions import errors
from sessions.capacity import queue, slots
from sessions.lifecycle import transitions
from sessions.models import EndReason, QueueEntry, ServerProcess, StreamingSession
from sessions.presence import tabs
from tests.support.factories import WHY, PersonaFactory, ProviderAccountFactory, StreamingSessionFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def process() -> UUID:
    process_id = uuid4()
    tabs.renew_lease(process_id)
    return process_id


def full(concurrency_limit: int = 1, **account: object) -> Persona:
    """A persona of an account whose slots are all taken by end users."""
    given = {"concurrency_limit": concurrency_limit, **account}
    persona: Persona = PersonaFactory.create(
        published=True, **{f"avatar__account__{name}": value for name, value in given.items()}
    )
    StreamingSessionFactory.create_batch(
        persona.avatar.account.concurrency_limit - persona.avatar.account.staff_places, persona=persona
    )
    return persona


def join_queue(persona: Persona, process: UUID, **person: object) -> tuple[User, str]:
    user = UserFactory.create(**person)
    queue.join(user.pk, persona, queue.TabAddress(process, user.username))
    return user, user.username


def end_one(persona: Persona) -> None:
    session = StreamingSession.objects.open().filter(persona=persona).first()
    assert session
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    queue.offer_slots(session.account_id)


def offers() -> list[str]:
    return list(QueueEntry.objects.filter(offer_expires_at__isnull=False).values_list("channel", flat=True))


def test_a_free_slot_goes_to_the_first_in_the_queue_and_not_to_a_newcomer(process: UUID) -> None:
    """Complaint 4."""
    persona = full()
    (first, tab), (second, _) = join_queue(persona, process), join_queue(persona, process)
    end_one(persona)
    assert offers() == [tab]
    for other in (second, UserFactory.create()):
        with pytest.raises(errors.ProviderLimit):
            slots.open_session(other.pk, persona.slug)
    assert slots.open_session(first.pk, persona.slug)
    assert [place.user for place in QueueEntry.objects.all()] == [second]


def test_an_offer_that_is_not_taken_goes_to_the_next(process: UUID) -> None:
    persona = full()
    (_, _), (_, tab) = join_queue(persona, process), join_queue(persona, process)
    end_one(persona)
    QueueEntry.objects.filter(offer_expires_at__isnull=False).update(offer_expires_at=timezone.now())
    queue.offer_all_slots()
    assert offers() == [tab]
    assert QueueEntry.objects.count() == 1


def test_the_queue_entries_of_a_dead_web_process_are_removed(process: UUID) -> None:
    persona, dead = full(), uuid4()
    tabs.renew_lease(dead)
    join_queue(persona, dead)
    _, tab = join_queue(persona, process)
    ServerProcess.objects.filter(pk=dead).update(lease_ends_at=timezone.now() - MINUTE)
    tabs.expire_leases(timezone.now())
    position = queue.position_of(tab)
    assert position
    assert (position.position, position.waiting) == (1, 1)


def test_slots_reserved_for_staff_let_staff_pass_other_entries(process: UUID) -> None:
    persona = full(concurrency_limit=2, staff_places=1)
    newcomer, staff = UserFactory.create(), UserFactory.create(is_staff=True)
    with pytest.raises(errors.ProviderLimit):
        slots.open_session(newcomer.pk, persona.slug)
    join_queue(persona, process)
    session = slots.open_session(staff.pk, persona.slug)
    _, late = join_queue(persona, process, is_staff=True)
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    queue.offer_all_slots()
    assert offers() == [late]


def test_a_full_queue_refuses_new_entries(process: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "QUEUE_MAX_ENTRIES", 1)
    persona = full()
    join_queue(persona, process)
    with pytest.raises(errors.QueueFull):
        join_queue(persona, process)


def test_an_offer_whose_slot_is_gone_keeps_the_first_position(process: UUID) -> None:
    persona = full()
    (first, tab), _ = join_queue(persona, process), join_queue(persona, process)
    end_one(persona)
    StreamingSessionFactory.create(persona=persona)  # as if the limit had been lowered
    with pytest.raises(errors.ProviderLimit):
        slots.open_session(first.pk, persona.slug)
    queue.return_offer(tab)
    position = queue.position_of(tab)
    assert position
    assert position.position == 1


def test_an_unmoving_queue_writes_nothing(process: UUID, django_assert_num_queries: Any) -> None:
    persona = full()
    join_queue(persona, process)
    before = list(QueueEntry.objects.values())
    with django_assert_num_queries(4):
        queue.offer_all_slots()
    assert list(QueueEntry.objects.values()) == before


def test_the_expected_wait_is_estimated_where_the_data_suffices(process: UUID) -> None:
    """Complaint 4: from the usual duration, else from limits, else unknown."""
    persona, now = full(concurrency_limit=2), timezone.now()
    running = StreamingSession.objects.open()
    running.update(created_at=now - 4 * MINUTE, ends_at=now + 16 * MINUTE)
    first, third = (queue.QueuePosition(persona.avatar.account_id, place, 3) for place in (1, 3))
    assert queue.expected_wait(first, now) == 16 * MINUTE
    assert queue.expected_wait(third, now) is None
    for _ in range(queue.PAST_SESSIONS_NEEDED):
        began = now - timedelta(days=1)
        StreamingSessionFactory.create(
            persona=persona, status="ended", created_at=began, live_at=began, ended_at=began + 10 * MINUTE
        )
    assert queue.expected_wait(first, now) == 6 * MINUTE
    assert queue.expected_wait(third, now) == 16 * MINUTE
    running.update(account=ProviderAccountFactory.create())
    assert queue.expected_wait(first, now) is None


def test_a_lost_position_is_restored_unless_its_user_waits_elsewhere_or_was_deactivated(process: UUID) -> None:
    persona = full()
    people = [join_queue(persona, process)[0] for _ in range(3)]
    lost = list(QueueEntry.objects.order_by("created_at"))
    QueueEntry.objects.all().delete()
    stays, moves, leaves = people
    queue.join(moves.pk, persona, queue.TabAddress(process, "elsewhere"))
    User.objects.filter(pk=leaves.pk).update(is_active=False)
    for entry in lost:
        queue.restore(entry)
    entries = QueueEntry.objects.order_by("created_at").values_list("user", "channel")
    assert list(entries) == [(stays.pk, stays.username), (moves.pk, "elsewhere")]
