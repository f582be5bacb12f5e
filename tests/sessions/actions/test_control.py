from __future__ import annotations

from contextlib import nullcontext
from unittest.mock import AsyncMock, Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from heygen_portal.providers.contract.provider import Delivered, ProviderRejected, RoomCommand, TaskKind
from sessions import errors
from sessions.actions import control, send_task
from sessions.models import SessionTask, Status, StreamingSession
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def a_session(status: Status, **fields: object) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=status, **fields)
    return session


@pytest.mark.parametrize(
    ("is_published", "outcome"),
    [
        (True, (SessionTask.Status.SENT, "greeting", "")),
        (False, (SessionTask.Status.FAILED, "", "not_published")),
    ],
)
async def test_a_greeting_that_needs_a_room_command_counts_as_sent_once_the_page_published_it(
    provider: Mock, is_published: bool, outcome: tuple[str, str, str]
) -> None:
    command = RoomCommand("agent-control", "{}", provider_task_id="greeting")
    provider.send_task.return_value = command
    session = await a_session(Status.CONNECTING)
    session.persona_settings["greeting"] = "Hola, soy Lucía."
    await session.asave()
    give_command = AsyncMock(return_value=is_published)
    await control.first_frame_rendered(session.pk, give_command)
    assert give_command.await_args == call(command)
    task = await SessionTask.objects.aget(session=session)
    assert (task.status, task.provider_task_id, task.failure) == outcome


async def test_the_first_frame_makes_the_session_live_and_sends_the_greeting(provider: Mock) -> None:
    session = await a_session(Status.CONNECTING)
    session.persona_settings["greeting"] = "Hola, soy Lucía."
    await session.asave()
    await control.first_frame_rendered(session.pk)
    await session.arefresh_from_db()
    assert session.status == Status.LIVE
    sent = provider.send_task.call_args
    assert (sent.kwargs["text"], sent.kwargs["kind"]) == ("Hola, soy Lucía.", TaskKind.REPEAT)


async def test_a_second_first_frame_changes_nothing(provider: Mock) -> None:
    session = await a_session(Status.LIVE)
    await control.first_frame_rendered(session.pk)
    assert not provider.send_task.called


async def test_without_a_live_session_nothing_is_sent(provider: Mock) -> None:
    """Requirement 32."""
    for verb in (control.interrupt, control.stay):
        with pytest.raises(errors.NotLive):
            await verb(uuid4())
    with pytest.raises(errors.NotLive):
        await send_task.send_task(uuid4(), text="hola", kind=TaskKind.TALK, user_id=1)
    assert not provider.method_calls


@pytest.mark.parametrize("is_refused", [False, True])
async def test_an_interruption_counts_as_activity_once_it_is_done(provider: Mock, is_refused: bool) -> None:
    session = await a_session(Status.LIVE)
    before = session.active_at
    provider.interrupt.return_value = Delivered()
    provider.interrupt.side_effect = ProviderRejected("no", code="no", status=400) if is_refused else None
    with pytest.raises(errors.ProviderRefused) if is_refused else nullcontext():
        await control.interrupt(session.pk)
    await session.arefresh_from_db()
    assert (session.active_at > before) is not is_refused
    recorded = [event.data async for event in session.events.filter(kind="interrupted")]
    assert recorded == ([] if is_refused else [{"is_accepted": True}])


async def test_staying_resets_both_idle_timeouts(provider: Mock) -> None:
    session = await a_session(Status.LIVE)
    await control.stay(session.pk)
    assert provider.keep_alive.call_args_list == [call(session.provider_session_id)]
    before = session.active_at
    await session.arefresh_from_db()
    assert session.active_at > before
