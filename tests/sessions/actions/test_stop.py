from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from heygen_portal.providers.contract.provider import OpenSession, ProviderUnreachable, SessionGone, StopReason
from heygen_portal.runtime import background
from heygen_portal.runtime.jobs.worker_shutdown import WorkerShutdown
from sessions.actions import stop
from sessions.capacity.claims import Claim
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, QueueEntry, ServerProcess, Status, StreamingSession
from tests.sessions.tampering import execute_as_owner
from tests.support.factories import (
    WHY,
    PersonaFactory,
    ProviderAccountFactory,
    StreamingSessionFactory,
    UserFactory,
)
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def a_session(status: Status = Status.LIVE, **fields: object) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=status, **fields)
    return session


async def state(session: StreamingSession) -> tuple[str, str]:
    await session.arefresh_from_db()
    return session.status, session.end_reason


async def test_a_stop_ends_the_session_here_and_at_the_provider(provider: Mock) -> None:
    session = await a_session()
    await stop.stop(session, EndReason.USER_STOPPED, WHY)
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED)
    assert provider.stop_session.call_args_list == [call(session.provider_session_id, StopReason.CLOSED)]


async def test_the_slot_of_a_stopped_session_is_offered_to_the_queue(provider: Mock) -> None:
    session = await a_session(persona__avatar__account__concurrency_limit=1)

    def join_queue() -> QueueEntry:
        process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(hours=1))
        place = {"account": session.account, "persona": session.persona, "process": process, "channel": "tab"}
        return QueueEntry.objects.create(user=UserFactory.create(), **place)

    entry = await sync_to_async(join_queue)()
    await stop.stop(session, EndReason.USER_STOPPED, WHY)
    await entry.arefresh_from_db()
    assert entry.offer_expires_at


async def test_a_second_stop_is_harmless(provider: Mock) -> None:
    """Requirement 31."""
    session = await a_session()
    await stop.stop(session, EndReason.USER_STOPPED, WHY)
    await stop.stop_by_id(session.pk, EndReason.STAFF_STOPPED, WHY)
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED)
    assert provider.stop_session.call_count == 1


async def test_a_session_that_the_provider_no_longer_has_is_ended(provider: Mock) -> None:
    provider.stop_session.side_effect = SessionGone("closed", code="10005", status=400)
    session = await a_session()
    await stop.stop(session, EndReason.USER_STOPPED, WHY)
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED)


async def test_an_unconfirmed_stop_is_retried_until_confirmed(provider: Mock) -> None:
    provider.stop_session.side_effect = [ProviderUnreachable("ConnectError"), ProviderUnreachable("ReadTimeout"), None]
    session = await a_session()
    await stop.stop(session, EndReason.USER_STOPPED, WHY)
    for _ in range(2):
        assert await state(session) == (Status.STOPPING, EndReason.USER_STOPPED)
        assert session.deadline_at is not None
        await stop.enforce_due(session.deadline_at)
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED)


async def test_due_sessions_are_stopped_in_parallel(provider: Mock) -> None:
    past = timezone.now() - timedelta(seconds=1)
    sessions = [await a_session(ends_at=past, deadline_at=past) for _ in range(5)]
    await stop.enforce_due(timezone.now())
    for session in sessions:
        assert await state(session) == (Status.ENDED, EndReason.DURATION_LIMIT)


async def test_a_session_ended_by_the_provider_is_ended_here(provider: Mock) -> None:
    session = await a_session(created_at=timezone.now() - timedelta(minutes=5))
    provider.stop_session.side_effect = SessionGone("closed", code="10005", status=400)
    await stop.reconcile(session.account)
    assert await state(session) == (Status.ENDED, EndReason.PROVIDER_ENDED)


async def test_a_session_too_young_for_the_list_is_left_alone(provider: Mock) -> None:
    session = await a_session()
    await stop.reconcile(session.account)
    assert (await state(session))[0] == Status.LIVE


async def test_unknown_sessions_are_closed_on_an_exclusive_account_only(provider: Mock) -> None:
    provider.list_sessions.return_value = [OpenSession("unknown", "connected", None)]
    shared = await sync_to_async(ProviderAccountFactory.create)(is_exclusive=False)
    await stop.reconcile(shared)
    assert not provider.stop_session.called
    exclusive = await sync_to_async(ProviderAccountFactory.create)(is_exclusive=True)
    await stop.reconcile(exclusive)
    assert provider.stop_session.call_args_list == [call("unknown")]


async def test_a_session_that_has_ended_here_is_closed_at_the_provider_on_any_account(provider: Mock) -> None:
    """A late answer to `new` may have lost its stop as well."""
    session = await a_session(Status.ENDED, persona__avatar__account__is_exclusive=False)
    provider.list_sessions.return_value = [Mock(provider_session_id=session.provider_session_id)]
    await stop.reconcile(session.account)
    assert provider.stop_session.call_args_list == [call(session.provider_session_id)]


async def test_a_session_created_while_the_list_is_read_is_not_recorded_as_unknown(provider: Mock) -> None:
    account = await sync_to_async(ProviderAccountFactory.create)(is_exclusive=True)
    creating = await a_session(
        Status.CREATING,
        provider_session_id=None,
        persona__avatar__account=account,
        deadline_at=timezone.now() + timedelta(seconds=30),
    )
    provider.list_sessions.return_value = [Mock(provider_session_id="their-session")]
    await stop.reconcile(creating.account)
    assert not provider.stop_session.called


async def test_a_stop_before_any_answer_waits_while_another_session_may_be_the_result(provider: Mock) -> None:
    """Two sessions without an ID: the listed one may belong to either."""
    account = await sync_to_async(ProviderAccountFactory.create)(is_exclusive=True)
    fields = {"persona__avatar__account": account, "provider_session_id": None}
    await a_session(Status.CREATING, deadline_at=timezone.now() + timedelta(minutes=1), **fields)
    stopping = await a_session(Status.STOPPING, **fields)
    provider.list_sessions.return_value = [OpenSession("unknown", "connected", None)]
    await stop.finish_stop(stopping, provider)
    assert (await state(stopping))[0] == Status.STOPPING
    assert stopping.stop_attempts == 1
    assert not provider.stop_session.called


async def test_one_failing_stop_does_not_keep_the_others_from_ending(provider: Mock) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    account = await sync_to_async(ProviderAccountFactory.create)()
    sessions = [await a_session(created_at=long_ago, persona__avatar__account=account) for _ in range(2)]
    provider.stop_session.side_effect = [RuntimeError("a bug"), SessionGone("closed", code="10005", status=400)]
    with pytest.raises(RuntimeError):
        await stop.reconcile(account)
    assert sorted([(await state(session))[0] for session in sessions]) == [Status.ENDED, Status.STOPPING]


async def test_a_page_may_ask_to_end_a_session_twice(provider: Mock) -> None:
    session = await a_session()
    for _ in range(2):
        await stop.stop_as_claimed(session, Claim(session.owner_id, EndReason.USER_STOPPED))
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED)
    assert provider.stop_session.call_count == 1


async def test_a_worker_that_ends_releases_a_stop_that_the_provider_does_not_answer(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, ending = await a_session(Status.STOPPING), WorkerShutdown()
    ending.prepare()
    monkeypatch.setattr(stop, "this_worker", ending)
    monkeypatch.setattr(stop, "SHUTDOWN_TIMEOUT_S", 0)

    async def never(*args: object) -> None:
        ending.request()
        await asyncio.Event().wait()

    provider.stop_session.side_effect = never
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await stop.enforce_due(timezone.now() + timedelta(hours=1))
    assert session.pk in {row.pk for row in await due()}


async def test_a_silent_provider_delays_neither_the_tick_nor_other_accounts(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "TICK_WAIT_S", 0)
    silent = await sync_to_async(ProviderAccountFactory.create)()
    due_at = timezone.now()
    unanswered = [
        await a_session(deadline_at=due_at, ends_at=due_at, persona__avatar__account=silent)
        for _ in range(stop.STOPS_IN_PARALLEL + 1)
    ]
    theirs = {session.provider_session_id for session in unanswered}
    answers, asked = asyncio.Event(), set()

    async def answer(provider_session_id: str, why: object) -> None:
        asked.add(provider_session_id)
        if provider_session_id in theirs:
            await answers.wait()

    provider.stop_session.side_effect = answer
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await stop.run_tick()
        other = await a_session(deadline_at=due_at, ends_at=due_at)
        await stop.run_tick()
        while (await state(other))[0] != Status.ENDED:
            await asyncio.sleep(0.01)
        assert {(await state(session))[0] for session in unanswered} == {Status.STOPPING}
        answers.set()
        await background.finish()
    assert {(await state(session))[0] for session in unanswered} == {Status.ENDED}
    assert asked == {*theirs, other.provider_session_id}


UNREADABLE = ["persona_settings = '[]'", "persona_settings = '{}'", "ends_at = 'x'", "stop_attempts = 'x'"]


@pytest.mark.parametrize("status", [Status.CONNECTING, Status.LIVE, Status.STOPPING])
async def test_a_session_whose_row_cannot_be_read_keeps_no_other_from_ending(provider: Mock, status: Status) -> None:
    past = timezone.now() - timedelta(minutes=3)
    damaged = [await a_session(status, created_at=past, ends_at=past, deadline_at=past) for _ in UNREADABLE]
    good = await a_session(status, created_at=past, ends_at=past, deadline_at=past)
    await sync_to_async(damage)({row.pk.hex: change for row, change in zip(damaged, UNREADABLE, strict=True)})
    with suppress(AttributeError, TypeError, ValueError):  # of the damaged ones, once the others have ended
        await stop.enforce_due(timezone.now())
    assert await StreamingSession.objects.filter(pk=good.pk, status=Status.ENDED).aexists()
    rest = [row async for row in StreamingSession.objects.filter(deadline_at__lte=timezone.now()).values_list("pk")]
    assert rest == []  # none is due at once again


@pytest.mark.parametrize("change", ["slots_seen_at = '9999-12-31 23:59:59', slots_seen = 3", "concurrency_limit = 'x'"])
async def test_a_queue_whose_account_cannot_be_read_keeps_no_session_from_ending(provider: Mock, change: str) -> None:
    past = timezone.now() - timedelta(minutes=3)
    good = await a_session(ends_at=past, deadline_at=past)
    damaged, other = await waiting_person(), await waiting_person()
    statement = f"UPDATE avatars_provideraccount SET {change} WHERE id = %s"
    await sync_to_async(execute_as_owner)("PRAGMA ignore_check_constraints = ON")
    await sync_to_async(execute_as_owner)(statement, damaged.account_id)
    await stop.enforce_due(timezone.now())
    assert await state(good) == (Status.ENDED, EndReason.DURATION_LIMIT)
    offered = QueueEntry.objects.exclude(offer_expires_at=None)
    assert [entry.pk async for entry in offered] == [other.pk]


@sync_to_async
def waiting_person() -> QueueEntry:
    persona = PersonaFactory.create(published=True)
    process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(hours=1))
    return QueueEntry.objects.create(
        user=UserFactory.create(), account=persona.avatar.account, persona=persona, process=process, channel=uuid4().hex
    )


async def test_a_dead_process_with_an_unreadable_record_keeps_no_session_from_ending(provider: Mock) -> None:
    past = timezone.now() - timedelta(minutes=3)
    damaged, left = await a_session(), await a_session()
    good = await a_session(ends_at=past, deadline_at=past)
    process = await ServerProcess.objects.acreate(lease_ends_at=past)
    for session in (damaged, left):
        await sync_to_async(events.record)(session.pk, Entry("requested"))
        await session.tabs.acreate(process=process, channel=uuid4().hex)
    change = "UPDATE avatar_sessions_sessionhead SET number = 9223372036854775807 WHERE session_id = %s"
    await sync_to_async(execute_as_owner)(change, damaged.pk.hex)
    await stop.enforce_due(timezone.now())
    assert await state(good) == (Status.ENDED, EndReason.DURATION_LIMIT)
    graced = StreamingSession.objects.exclude(abandoned_at=None).values_list("pk", flat=True)
    assert {pk async for pk in graced} == {damaged.pk, left.pk}
    assert not await ServerProcess.objects.filter(pk=process.pk).aexists()


@pytest.mark.parametrize("change", ["persona_settings = '[]'", "created_at = '9999-12-31 23:59:59'"])
async def test_a_session_whose_limits_cannot_be_read_can_be_stopped(provider: Mock, change: str) -> None:
    session = await a_session()
    await sync_to_async(damage)({session.pk.hex: change})
    await stop.stop_by_id(session.pk, EndReason.STAFF_STOPPED, WHY)
    assert await state(session) == (Status.ENDED, EndReason.STAFF_STOPPED)
    assert provider.stop_session.call_count == 1


def damage(changes: dict[str, str]) -> None:
    execute_as_owner("PRAGMA ignore_check_constraints = ON")
    for pk, change in changes.items():
        execute_as_owner(f"UPDATE avatar_sessions_streamingsession SET {change} WHERE id = %s", pk)
    execute_as_owner("PRAGMA ignore_check_constraints = OFF")


async def test_a_cancelled_tick_releases_unconfirmed_claims(provider: Mock) -> None:
    """Without this, the rows would stay claimed for a minute."""
    session = await a_session(Status.STOPPING)
    begun = asyncio.Event()
    cancelled = asyncio.Event()

    async def never(*args: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    provider.stop_session.side_effect = never
    tick = asyncio.create_task(stop.enforce_due(timezone.now() + timedelta(hours=1)))
    await begun.wait()
    tick.cancel()
    await asyncio.wait([tick])
    assert cancelled.is_set()
    assert session.pk in {row.pk for row in await due()}


@sync_to_async
def due() -> list[StreamingSession]:
    return list(StreamingSession.objects.due(timezone.now()))
