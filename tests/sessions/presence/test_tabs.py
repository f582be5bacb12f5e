from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions.actions import deadlines
from sessions.capacity.leases import WebProcess
from sessions.lifecycle import transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import tabs
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

PROCESS = uuid4()


@pytest.fixture(autouse=True)
def process() -> None:
    tabs.renew_lease(PROCESS)


def test_the_grace_period_starts_when_the_last_tab_leaves() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    tabs.enter(session.pk, PROCESS, "one")
    tabs.enter(session.pk, PROCESS, "two")
    tabs.leave("one")
    session.refresh_from_db()
    assert session.abandoned_at is None
    tabs.leave("two")
    session.refresh_from_db()
    assert session.abandoned_at is not None
    assert session.deadline_at == session.abandoned_at + transitions.TAB_GRACE


def test_a_tab_that_returns_within_the_grace_period_keeps_the_session() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    tabs.enter(session.pk, PROCESS, "one")
    tabs.leave("one")
    tabs.enter(session.pk, PROCESS, "reloaded")
    session.refresh_from_db()
    assert session.abandoned_at is None
    assert deadlines.due_reason(session, timezone.now() + transitions.TAB_GRACE) is None


def test_a_session_without_a_returning_tab_ends() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    tabs.enter(session.pk, PROCESS, "one")
    tabs.leave("one")
    (due,) = deadlines.claim_due(timezone.now() + transitions.TAB_GRACE)
    assert due.end_reason == EndReason.TAB_CLOSED


def test_a_tab_that_moves_to_another_session_leaves_the_first() -> None:
    first, second = StreamingSessionFactory.create_batch(2, status=Status.LIVE)
    tabs.enter(first.pk, PROCESS, "one")
    tabs.enter(second.pk, PROCESS, "one")
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.abandoned_at is None, second.abandoned_at is None) == (False, True)
    assert EventKind.LAST_TAB_LEFT in events_of(first)
    third = StreamingSessionFactory.create(status=Status.REQUESTED)
    tabs.add(third, PROCESS, "one")
    second.refresh_from_db()
    assert second.abandoned_at is not None


def test_a_running_session_that_no_tab_is_on_gets_its_grace_period() -> None:
    long_ago = timezone.now() - tabs.WITHOUT_TABS_FOR - timedelta(seconds=1)
    lost, watched = StreamingSessionFactory.create_batch(2, status=Status.LIVE, created_at=long_ago)
    new = StreamingSessionFactory.create(status=Status.REQUESTED)
    tabs.enter(watched.pk, PROCESS, "one")
    tabs.abandon_without_tabs(timezone.now())
    abandoned = StreamingSession.objects.exclude(abandoned_at=None)
    assert [session.pk for session in abandoned] == [lost.pk]
    assert new.pk not in abandoned.values_list("pk", flat=True)
    assert EventKind.LAST_TAB_LEFT in events_of(lost)


def events_of(session: StreamingSession) -> list[str]:
    return list(session.events.values_list("kind", flat=True))


def test_leaving_twice_or_without_having_entered_is_harmless() -> None:
    tabs.leave("stranger")
    tabs.leave("stranger")


def test_tabs_of_a_process_without_a_lease_count_as_closed() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    tabs.enter(session.pk, PROCESS, "one")
    tabs.expire_leases(timezone.now() + tabs.LEASE_DURATION / 2)
    session.refresh_from_db()
    assert session.abandoned_at is None
    tabs.expire_leases(timezone.now() + tabs.LEASE_DURATION + timedelta(seconds=1))
    session.refresh_from_db()
    assert session.abandoned_at is not None


def test_a_renewal_costs_the_same_for_any_number_of_tabs() -> None:
    for number in range(5):
        tabs.enter(StreamingSessionFactory.create(status=Status.LIVE).pk, PROCESS, f"tab-{number}")
    with CaptureQueriesContext(connection) as queries:
        tabs.renew_lease(PROCESS)
    writes = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]
    assert len(writes) == 1


@pytest.mark.django_db(transaction=True)
async def test_a_process_that_renews_late_restores_its_tabs() -> None:
    session = await sync_to_async(StreamingSessionFactory.create)(status=Status.LIVE)
    process = WebProcess()
    process.remember_session("one", session.pk)
    await process.renew_lease()
    await sync_to_async(tabs.expire_leases)(timezone.now() + tabs.LEASE_DURATION + timedelta(seconds=1))
    await session.arefresh_from_db()
    assert session.abandoned_at is not None
    await process.renew_lease()
    await session.arefresh_from_db()
    assert session.abandoned_at is None
    assert await session.tabs.acount() == 1
    await sync_to_async(tabs.leave)("one")  # as another process does for a page that leaves
    await process.renew_lease()  # in time
    assert await session.tabs.acount() == 0
