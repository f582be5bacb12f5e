"""Stopping sessions: all or none, in time, and despite outages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient

from heygen_portal.providers.contract.provider import ProviderUnreachable
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.actions import deadlines, stop
from sessions.models import EndReason, SessionEvent, Status, StreamingSession
from sessions.staff import stop_sessions
from tests.support.factories import StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/avatar_sessions/streamingsession/"


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without delays, because no worker runs."""
    monkeypatch.setattr(stop, "WORKER_HEAD_START", timedelta(0))
    monkeypatch.setattr(deadlines, "MAX_RETRY_DELAY", timedelta(0))


@sync_to_async
def make_sessions(count: int = 1, **fields: Any) -> list[StreamingSession]:
    sessions: list[StreamingSession] = StreamingSessionFactory.create_batch(count, **fields)
    return sessions


@sync_to_async
def administrator() -> User:
    user: User = UserFactory.create(is_staff=True, is_superuser=True)
    return user


async def wait_until_ended(session: StreamingSession) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while session.status != Status.ENDED:
            await asyncio.sleep(0.01)
            await session.arefresh_from_db()


async def test_an_unconfirmed_stop_is_retried_without_a_worker(provider: Mock) -> None:
    """Complaint 2."""
    provider.stop_session.side_effect = [ProviderUnreachable("ConnectError"), ProviderUnreachable("ReadTimeout"), None]
    (session,) = await make_sessions()
    request = await stop_sessions.stop((await administrator()).pk, None, [session.pk], "Fire drill")
    outcome = await stop_sessions.wait_for_outcome(request)
    assert (outcome.over, outcome.pending, len(outcome.troubles)) == (0, 0, 1)
    await wait_until_ended(session)
    assert (session.stop_attempts, provider.stop_session.call_count) == (2, 3)


async def test_a_session_being_created_is_closed_when_its_answer_is_overdue(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that waited for the provider's answer has died, and no worker runs."""
    monkeypatch.setattr("sessions.lifecycle.transitions.STOP_TIMEOUT", timedelta(0))
    (session,) = await make_sessions(status=Status.CREATING, provider_session_id=None)
    request = await stop_sessions.stop((await administrator()).pk, None, None, "Fire drill")
    outcome = await stop_sessions.wait_for_outcome(request)
    assert (outcome.over, outcome.pending) == (0, 1)
    await wait_until_ended(session)
    assert session.end_reason == EndReason.STAFF_STOPPED


async def test_staff_do_not_wait_for_a_slow_provider_whose_answer_still_counts(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page responds before the provider.

    The provider's later answer still ends the sessions.
    """
    monkeypatch.setattr(stop_sessions, "OUTCOME_TIMEOUT_S", 0.05)
    may_answer = asyncio.Event()
    provider.stop_session.side_effect = waiting_for(may_answer)
    sessions = await make_sessions(40)
    client = AsyncClient()
    await client.aforce_login(await administrator(), backend="django.contrib.auth.backends.ModelBackend")
    choice = {"action": "stop", "reason": "Fire drill", "_selected_action": [str(session.pk) for session in sessions]}
    page: Any = await client.post(LIST, choice, follow=True, headers={"accept-language": "en"})
    shown = [(message.level_tag, str(message)) for message in page.context["messages"]]
    assert shown == [("warning", "40 sessions are being stopped. Their providers have not responded yet.")]
    may_answer.set()
    for session in sessions:
        await wait_until_ended(session)


def waiting_for(event: asyncio.Event) -> Callable[..., Awaitable[None]]:
    async def answer(*asked: Any) -> None:
        await event.wait()

    return answer


def test_nothing_is_stopped_if_the_audit_entry_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StreamingSessionFactory.create()
    monkeypatch.setattr(audit_log, "record_by", Mock(side_effect=OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        stop_sessions.begin(UserFactory.create().pk, None, None, "Fire drill")
    session.refresh_from_db()
    assert session.status == Status.LIVE
    assert not SessionEvent.objects.filter(kind="stop_asked").exists()


def test_stopping_many_sessions_needs_a_fixed_number_of_queries(django_assert_max_num_queries: Any) -> None:
    StreamingSessionFactory.create_batch(60)
    by = UserFactory.create().pk
    with django_assert_max_num_queries(25):
        assert len(stop_sessions.begin(by, None, None, "Fire drill")) == 60
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.SESSIONS_STOPPED)
    assert len(entry.data["sessions"]) == SessionEvent.objects.filter(kind="stop_asked").count() == 60
