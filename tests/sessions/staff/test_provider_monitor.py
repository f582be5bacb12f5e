"""The monitor records the events of the provider's own socket. Requirement 7."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from heygen_portal import providers
from heygen_portal.providers import closing_providers
from heygen_portal.providers.contract.catalogue import ProviderEvent
from heygen_portal.providers.contract.provider import ProviderUnreachable, SessionGone, SessionRequest, TaskKind
from heygen_portal.providers.heygen import chat_socket
from sessions.actions import provider_status
from sessions.models import MonitoredSession, ServerProcess, SessionEvent, StreamingSession
from sessions.presence import tabs
from sessions.staff import provider_monitor
from sessions.staff.provider_monitor import Monitor
from tests.support import servers
from tests.support.factories import ProviderAccountFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

OPENED = ProviderEvent("opened")
SAID = ProviderEvent("avatar_end_message", "t1", 4)


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_monitor, "FIRST_RETRY_S", 0.0)


@pytest.fixture
async def monitor() -> AsyncIterator[Monitor]:
    monitor = Monitor()
    yield monitor
    await monitor.close()


@sync_to_async
def make_session(*, monitors_chat: bool = True, **changes: Any) -> StreamingSession:
    row = StreamingSessionFactory.create(**changes)
    row.account.monitors_chat = monitors_chat
    row.account.save()
    return row


def socket_with(*parts: ProviderEvent | Exception | None) -> Callable[[str], AsyncGenerator[ProviderEvent, None]]:
    """Return a socket that yields these events.

    None closes it, and it stays open after the last one.
    """
    rest = list(parts)

    async def listen(provider_session_id: str) -> AsyncGenerator[ProviderEvent, None]:
        while rest:
            part = rest.pop(0)
            if part is None:
                return
            if isinstance(part, Exception):
                raise part
            yield part
        await asyncio.Event().wait()

    return listen


async def wait_for_kinds(row: StreamingSession, *kinds: str) -> list[tuple[str, str]]:
    """Wait for events of these kinds and return source and kind of all events."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            rows = [event async for event in SessionEvent.objects.filter(session=row).order_by("number")]
            found = [(event.source, event.kind) for event in rows]
            if set(kinds) <= {kind for _, kind in found}:
                return found
            await asyncio.sleep(0.01)


async def test_events_of_the_providers_socket_are_recorded(provider: Mock, monitor: Monitor) -> None:
    provider.listen = socket_with(OPENED, SAID)
    row = await make_session()
    await monitor.poll()
    assert await wait_for_kinds(row, "avatar_end_message") == [
        ("portal", "monitor_opened"),
        ("provider", "avatar_end_message"),
    ]
    event = await SessionEvent.objects.aget(session=row, kind="avatar_end_message")
    assert event.data == {"task_id": "t1", "characters": 4}


async def test_without_monitored_accounts_nothing_is_claimed_or_recorded(provider: Mock, monitor: Monitor) -> None:
    await make_session(monitors_chat=False)
    await monitor.poll()
    assert not provider.listen.called
    assert not await ServerProcess.objects.aexists()


async def test_a_broken_socket_is_reopened_a_limited_number_of_times(provider: Mock, monitor: Monitor) -> None:
    provider.listen = socket_with(OPENED, None, ProviderUnreachable("cut"), OPENED, SAID)
    row = await make_session()
    await monitor.poll()
    kinds = [kind for _, kind in await wait_for_kinds(row, "avatar_end_message")]
    assert kinds == ["monitor_opened", "monitor_lost", "monitor_opened", "avatar_end_message"]
    provider.listen = socket_with(*[ProviderUnreachable("away")] * 100)
    other = await make_session()
    await monitor.poll()
    await wait_for_kinds(other, "monitor_gave_up")
    await monitor.poll()
    assert [kind for _, kind in await wait_for_kinds(other)] == ["monitor_lost", "monitor_gave_up"]


async def test_two_monitors_share_the_sessions_without_overlap(
    provider: Mock, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_monitor, "SESSIONS_PER_POLL", 2)
    provider.listen = socket_with()
    for _ in range(3):
        await make_session()
    other = Monitor()
    try:
        for one in (monitor, other, monitor, other):
            await one.poll()
        assert (len(monitor.following), len(other.following)) == (2, 1)
        assert not monitor.following.keys() & other.following.keys()
    finally:
        await other.close()
    await monitor.poll()
    assert len(monitor.following) == 3  # what one gives back, the other takes


async def test_sessions_of_a_dead_monitor_are_claimed_when_its_lease_expires(provider: Mock, monitor: Monitor) -> None:
    provider.listen = socket_with()
    row = await make_session()
    dead = await ServerProcess.objects.acreate(lease_ends_at=timezone.now() + timedelta(seconds=20))
    await MonitoredSession.objects.acreate(session=row, process=dead)
    await monitor.poll()
    assert not monitor.following
    await ServerProcess.objects.filter(pk=dead.pk).aupdate(lease_ends_at=timezone.now() - timedelta(seconds=1))
    await monitor.poll()
    assert list(monitor.following) == [row.pk]


async def test_a_monitor_that_lost_its_lease_starts_over(provider: Mock, monitor: Monitor) -> None:
    provider.listen = socket_with()
    row = await make_session()
    await monitor.poll()
    (before,) = monitor.following.values()
    await sync_to_async(tabs.release_lease)(monitor.process_id)
    monitor._renewed_at = 0.0
    await monitor.poll()
    assert before.cancelled()
    assert list(monitor.following) == [row.pk]


async def test_a_running_monitor_outlives_a_database_error_and_releases_its_sessions(
    provider: Mock, monitor: Monitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider.listen = socket_with(OPENED)
    row, stop, is_any = await make_session(), asyncio.Event(), provider_monitor.is_any_account_monitored
    answers = iter([OperationalError("busy")])

    def fail_once() -> bool:
        for error in answers:
            raise error
        return is_any()

    monkeypatch.setattr(provider_monitor, "is_any_account_monitored", fail_once)
    monkeypatch.setattr(provider_monitor, "IDLE_POLL_S", 0)
    running = asyncio.create_task(monitor.run(stop))
    await wait_for_kinds(row, "monitor_opened")
    stop.set()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await running
    assert "the sessions to be monitored could not be read" in caplog.text
    assert not monitor.following
    assert not await ServerProcess.objects.aexists()


async def test_a_stable_socket_that_breaks_may_fail_again_as_often(
    provider: Mock, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_monitor, "STABLE_AFTER_S", -1)
    monkeypatch.setattr(provider_monitor, "MAX_FAILURES", 2)
    provider.listen = socket_with(OPENED, None, OPENED, None, OPENED, SAID)
    row = await make_session()
    await monitor.poll()
    await wait_for_kinds(row, "avatar_end_message")


async def test_a_session_is_followed_again_after_an_error_which_is_logged(
    provider: Mock, monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    provider.listen = socket_with(OperationalError("the database is away"), OPENED, SAID)
    row = await make_session()
    await monitor.poll()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await asyncio.wait([monitor.following[row.pk]])
    await monitor.poll()
    await wait_for_kinds(row, "avatar_end_message")
    assert "a session was not monitored to its end" in caplog.text


async def test_an_ended_session_is_released(provider: Mock, monitor: Monitor) -> None:
    provider.listen = socket_with()
    row = await make_session()
    await monitor.poll()
    ended = {"status": "ended", "end_reason": "idle", "deadline_at": None, "ended_at": timezone.now()}
    await StreamingSession.objects.filter(pk=row.pk).aupdate(**ended)
    await monitor.poll()
    assert not monitor.following
    assert not await MonitoredSession.objects.aexists()


async def test_a_session_gone_at_the_provider_is_checked(
    provider: Mock, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = AsyncMock()
    monkeypatch.setattr(provider_status, "end_if_gone", asked)
    provider.listen = socket_with(OPENED, None, SessionGone("closed"))
    row = await make_session()
    await monitor.poll()
    await asyncio.wait_for(asyncio.gather(*monitor.following.values()), WAIT_TIMEOUT_S)
    asked.assert_awaited_once_with(row.pk)


def test_monitoring_is_refused_for_a_provider_without_events(admin_client: Client) -> None:
    account = ProviderAccountFactory.create(kind="liveavatar")
    admin_client.cookies["django_language"] = "en"
    page = admin_client.post(f"/admin/avatars/provideraccount/{account.pk}/change/", {"monitors_chat": "on"})
    assert "does not offer session events" in page.content.decode()


def test_spoken_text_is_not_passed_on() -> None:
    message = {"event_type": "user_end_message", "task_id": "u1", "message": "secreto"}
    assert chat_socket.parse_event(json.dumps(message)) == ProviderEvent("user_end_message", "u1", 7)
    for strange in ("[" * 5000, "null", '{"event_type": ["user_start"]}', '{"event_type": "user_talking_message"}'):
        assert chat_socket.parse_event(strange) is None


@pytest.fixture
def emulator(fresh_emulator: servers.Emulator) -> servers.Emulator:
    return fresh_emulator


async def test_monitor_follows_the_emulators_socket_to_the_end(emulator: servers.Emulator, monitor: Monitor) -> None:
    """It opens with its own token, receives the avatar's events, and records the end."""
    where = {"base_url": emulator.url, "api_key": emulator.api_key, "monitors_chat": True}
    account = await sync_to_async(ProviderAccountFactory.create)(**where)
    async with closing_providers():
        provider = providers.for_account(account)
        theirs = await provider.new_session(SessionRequest("Nora_public_20260101"))
        await provider.start_session(theirs)
        row = await make_session(
            account=account,
            provider_session_id=theirs.provider_session_id,
            created_at=timezone.now() - timedelta(minutes=1),
        )
        await monitor.poll()
        await wait_for_kinds(row, "monitor_opened")
        await provider.send_task(theirs.provider_session_id, text="Hola", kind=TaskKind.REPEAT)
        heard = await wait_for_kinds(row, "avatar_start_talking")
        assert ("provider", "avatar_start_talking") in heard
        await provider.stop_session(theirs.provider_session_id)
        await asyncio.wait_for(asyncio.gather(*monitor.following.values()), WAIT_TIMEOUT_S)
        await monitor.close()
    await row.arefresh_from_db()
    assert row.end_reason == "provider_ended"
