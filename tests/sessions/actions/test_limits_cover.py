"""Web processes enforce limits while no worker does."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from sessions.actions import limits_cover
from sessions.models import EndReason, ServerProcess, Status, StreamingSession, Tab
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)

LATE = limits_cover.COVER_DELAY + timedelta(seconds=1)


@sync_to_async
def a_session(**fields: object) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=Status.LIVE, **fields)
    return session


async def state(session: StreamingSession) -> tuple[str, str]:
    await session.arefresh_from_db()
    return session.status, session.end_reason


async def test_a_session_that_no_worker_stopped_is_stopped(provider: Mock) -> None:
    due_at = timezone.now()
    session = await a_session(deadline_at=due_at, ends_at=due_at)
    await limits_cover.enforce_overdue(due_at + LATE)
    assert await state(session) == (Status.ENDED, EndReason.DURATION_LIMIT)
    assert provider.stop_session.call_count == 1


async def test_a_worker_that_is_in_time_keeps_its_work(provider: Mock) -> None:
    due_at = timezone.now()
    session = await a_session(deadline_at=due_at, ends_at=due_at)
    await limits_cover.enforce_overdue(due_at + timedelta(seconds=1))
    assert (await state(session))[0] == Status.LIVE


async def test_tabs_of_a_dead_web_process_are_removed(provider: Mock) -> None:
    ended_at = timezone.now()
    session = await a_session()
    process = await ServerProcess.objects.acreate(lease_ends_at=ended_at)
    await Tab.objects.acreate(session=session, process=process, channel=uuid4().hex)
    await limits_cover.enforce_overdue(ended_at + LATE)
    await session.arefresh_from_db()
    assert session.abandoned_at is not None
