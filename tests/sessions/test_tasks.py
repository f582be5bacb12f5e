"""Beat sends a job only if its rows say that it has work, and jobs of rooms need a LiveKit server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import pytest
from django.test import override_settings
from django.utils import timezone

from avatars import tasks as avatars_tasks
from heygen_portal import livekit
from heygen_portal.runtime.jobs import job_loop
from heygen_portal.runtime.jobs.scheduler import PortalTask
from sessions import tasks
from sessions.models import QueueEntry, ServerProcess, SessionTask, Status
from sessions.presence import observers
from tests.support.factories import (
    PersonaFactory,
    ProviderAccountFactory,
    StreamingSessionFactory,
    UserFactory,
    VideoFactory,
)

pytestmark = pytest.mark.django_db

AGO = timedelta(minutes=10)


def a_due_session() -> None:
    StreamingSessionFactory.create(deadline_at=timezone.now())


def an_expired_process() -> None:
    ServerProcess.objects.create(lease_ends_at=timezone.now() - timedelta(seconds=1))


def a_waiting_person() -> None:
    persona = PersonaFactory.create(published=True)
    process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(hours=1))
    QueueEntry.objects.create(
        user=UserFactory.create(), account=persona.avatar.account, persona=persona, process=process, channel=uuid4().hex
    )


def an_unbooked_session() -> None:
    StreamingSessionFactory.create(status=Status.ENDED)


def a_task_left_behind() -> None:
    session = StreamingSessionFactory.create()
    SessionTask.objects.create(
        session=session, sealed=b"\x01", status=SessionTask.Status.SENDING, created_at=timezone.now() - AGO
    )


def a_record_to_read() -> None:
    StreamingSessionFactory.create(status=Status.ENDED, record_due_at=timezone.now())


def a_due_video() -> None:
    VideoFactory.create(due_at=timezone.now())


JOBS: list[PortalTask] = [
    tasks.enforce_limits, tasks.book_ended_sessions, tasks.read_records, avatars_tasks.process_videos,
]  # fmt: skip
WORK = [
    (tasks.enforce_limits, a_due_session),
    (tasks.enforce_limits, an_expired_process),
    (tasks.enforce_limits, a_waiting_person),
    (tasks.book_ended_sessions, an_unbooked_session),
    (tasks.book_ended_sessions, a_task_left_behind),
    (tasks.read_records, a_record_to_read),
    (avatars_tasks.process_videos, a_due_video),
]


@pytest.mark.parametrize(("job", "make"), WORK)
def test_a_job_has_work_once_a_row_is_due(job: PortalTask, make: Callable[[], None]) -> None:
    make()
    assert job.has_work
    assert job.has_work()


def test_open_and_finished_rows_that_are_not_due_are_no_work() -> None:
    now = timezone.now()
    StreamingSessionFactory.create()
    StreamingSessionFactory.create(status=Status.ENDED, booked_at=now, record_due_at=now + AGO)
    ServerProcess.objects.create(lease_ends_at=now + AGO)
    VideoFactory.create(due_at=now + AGO)
    assert [job.has_work() for job in JOBS if job.has_work] == [False] * 4


NO_LIVEKIT = {"LIVEKIT_URL": "", "LIVEKIT_API_KEY": "", "LIVEKIT_API_SECRET": ""}
LIVEKIT_AWAY = {
    "LIVEKIT_URL": "ws://127.0.0.1:1",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "a secret of at least thirty-two letters",
}


@pytest.fixture
def own_loop() -> Iterator[None]:
    """Close the loop of the jobs with its connections after the test."""
    yield
    job_loop.close(livekit.close)


@pytest.mark.usefixtures("own_loop")
@pytest.mark.parametrize(("settings", "count"), [(NO_LIVEKIT, 0), (LIVEKIT_AWAY, 1)])
def test_observers_are_checked_where_rooms_are_ours(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], count: int
) -> None:
    check = AsyncMock()
    monkeypatch.setattr(observers, "check_access", check)
    with override_settings(**settings):
        tasks.check_observers()
    assert check.await_count == count


@pytest.mark.usefixtures("own_loop")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("settings", [NO_LIVEKIT, LIVEKIT_AWAY])
def test_accounts_are_compared_with_the_provider_although_livekit_is_away(
    provider: Mock, settings: dict[str, str]
) -> None:
    ProviderAccountFactory.create()
    with override_settings(**settings):
        tasks.reconcile()
    assert provider.list_sessions.await_count == 1
