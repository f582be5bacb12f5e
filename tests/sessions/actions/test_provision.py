from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from heygen_portal.providers.contract.provider import (
    CredentialRefused,
    Delivered,
    NotReady,
    OutOfCredits,
    ProviderRejected,
    ProviderUnreachable,
    Quality,
    RoomAccess,
    RoomCommand,
    SessionGone,
    StopReason,
    TaskKind,
)
from sessions import errors
from sessions.actions import provision, send_task, stop
from sessions.capacity import slots
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import transitions
from sessions.models import EndReason, SessionTask, Status, StreamingSession
from sessions.presence import tabs
from tests.patience import PATIENCE_S
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def opened(**persona: object) -> StreamingSession:
    """Make a session whose row stands and whose provider has not been asked yet."""
    return transitions.request(PersonaFactory.create(published=True, **persona), UserFactory.create().pk)


@sync_to_async
def a_session(status: Status, **fields: object) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=status, **fields)
    return session


@sync_to_async
def kinds(session: StreamingSession) -> list[str]:
    return [event.kind for event in session.events.all()]


class Tab:
    """A browser tab that notes which room it was handed, and when."""

    def __init__(self, provider: Mock) -> None:
        self.provider = provider
        self.rooms: list[RoomAccess] = []
        self.has_room = asyncio.Event()
        self.started_before_room = False

    async def give_room(self, room: RoomAccess) -> None:
        self.rooms.append(room)
        self.started_before_room = self.provider.start_session.call_count == 1
        self.has_room.set()


async def test_the_browser_is_handed_the_room_while_start_is_on_its_way(provider: Mock) -> None:
    """Requirement 6: in the documented order, without waiting for start's answer."""
    answered = asyncio.Event()

    async def wait(session: object) -> object:
        await answered.wait()
        return session

    provider.start_session.side_effect = wait
    session, tab = await opened(), Tab(provider)
    work = asyncio.create_task(provision.bring_up(session, tab.give_room))
    await asyncio.wait_for(tab.has_room.wait(), PATIENCE_S)
    assert tab.started_before_room
    assert not work.done()
    answered.set()
    await work
    in_order = ["requested", "status", "provider_authenticated", "provider_created", "status", "provider_started"]
    assert await kinds(session) == in_order


async def test_a_room_that_only_start_knows_is_handed_over_then(provider: Mock) -> None:
    """Requirement 28; and what the provider says of the limit only then holds as well."""
    opened_session = replace(provider.new_session.return_value, room=None, duration_limit=None)
    limit = timedelta(seconds=60)
    provider.new_session.return_value = opened_session
    provider.start_session.side_effect = None
    room = RoomAccess("ws://rooms.test", "later")
    provider.start_session.return_value = replace(opened_session, room=room, duration_limit=limit)
    session, tab = await opened(), Tab(provider)
    await provision.bring_up(session, tab.give_room)
    assert tab.rooms == [room]
    await session.arefresh_from_db()
    assert session.ends_at == session.created_at + limit
    assert session.status == Status.CONNECTING


async def test_a_session_that_was_stopped_while_it_started_is_stopped_at_the_provider_again(provider: Mock) -> None:
    async def stopped_meanwhile(answer: object) -> object:
        await stop.stop_by_id((await StreamingSession.objects.aget()).pk, EndReason.USER_STOPPED, WHY)
        return answer

    provider.start_session.side_effect = stopped_meanwhile
    await provision.bring_up(await opened(), Tab(provider).give_room)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED), call("their-session")]


async def test_an_account_without_credits_is_a_limit_of_the_service(provider: Mock) -> None:
    provider.new_session.side_effect = OutOfCredits("no credits", status=403)
    session = await opened()
    await provision.bring_up(session, Tab(provider).give_room)
    await session.arefresh_from_db()
    assert session.end_reason == EndReason.SPEND_CAP


async def test_a_greeting_that_only_the_room_can_order_goes_to_the_page(provider: Mock) -> None:
    command = RoomCommand("agent-control", "{}", provider_task_id="greeting")
    provider.send_task.return_value = command
    session = await a_session(Status.CONNECTING)
    session.persona_settings["greeting"] = "Hola, soy Lucía."
    await session.asave()
    assert await provision.picture_seen(session.pk) == command
    task = await SessionTask.objects.aget(session=session)
    assert (task.status, task.provider_task_id) == (SessionTask.Status.SENT, "greeting")


async def test_what_staff_chose_is_what_the_provider_is_asked(provider: Mock) -> None:
    """Requirements 14, 17, 21."""
    session = await opened(quality="low", language="es")
    await provision.bring_up(session, Tab(provider).give_room)
    (request,) = provider.new_session.call_args.args
    assert request.avatar_id == session.persona_settings["avatar_id"]
    assert request.voice_id == session.persona_settings["voice_id"]
    assert (request.language, request.quality) == ("es", Quality.LOW)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (ProviderRejected("no", code="10012", status=404), EndReason.PROVIDER_REFUSED),
        (CredentialRefused("no", code="400112", status=401), EndReason.PROVIDER_REFUSED),
        (ProviderUnreachable("ReadTimeout"), EndReason.PROVIDER_UNREACHABLE),
    ],
)
async def test_a_provider_that_says_no_ends_the_session_with_a_reason(
    provider: Mock, refusal: Exception, reason: EndReason
) -> None:
    provider.new_session.side_effect = refusal
    session, tab = await opened(), Tab(provider)
    await provision.bring_up(session, tab.give_room)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, reason)
    assert session.end_evidence
    assert tab.rooms == []


async def test_a_lost_answer_is_looked_for_in_the_provider_s_own_list(provider: Mock) -> None:
    provider.new_session.side_effect = ProviderUnreachable("ReadTimeout")
    provider.list_sessions.return_value = [Mock(provider_session_id="lost")]
    session = await opened(avatar__account__is_exclusive=True)
    await provision.bring_up(session, Tab(provider).give_room)
    assert provider.stop_session.call_args_list == [call("lost")]


async def test_on_an_account_that_others_use_nothing_unknown_is_closed(provider: Mock) -> None:
    provider.new_session.side_effect = ProviderUnreachable("ReadTimeout")
    provider.list_sessions.return_value = [Mock(provider_session_id="somebody-s")]
    await provision.bring_up(await opened(), Tab(provider).give_room)
    assert not provider.stop_session.called


async def test_start_refused_leaves_nothing_open(provider: Mock) -> None:
    provider.start_session.side_effect = ProviderRejected("no", code="10001", status=400)
    session = await opened()
    await provision.bring_up(session, Tab(provider).give_room)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.PROVIDER_REFUSED)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]


async def test_cancelling_while_the_provider_thinks_closes_what_it_then_opens(provider: Mock) -> None:
    thinking = asyncio.Event()
    answer = provider.new_session.return_value

    async def think(request: object) -> object:
        await thinking.wait()
        return answer

    provider.new_session.side_effect = think
    session, tab = await opened(), Tab(provider)
    work = asyncio.create_task(provision.bring_up(session, tab.give_room))
    await stop.stop_by_id(session.pk, EndReason.USER_STOPPED, WHY)
    thinking.set()
    await work
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.USER_STOPPED)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]
    assert tab.rooms == []


async def test_the_first_picture_makes_it_live_and_the_avatar_greets(provider: Mock) -> None:
    session = await a_session(Status.CONNECTING)
    session.persona_settings["greeting"] = "Hola, soy Lucía."
    await session.asave()
    await provision.picture_seen(session.pk)
    await session.arefresh_from_db()
    assert session.status == Status.LIVE
    sent = provider.send_task.call_args
    assert (sent.kwargs["text"], sent.kwargs["kind"]) == ("Hola, soy Lucía.", TaskKind.REPEAT)


async def test_a_second_first_picture_changes_nothing(provider: Mock) -> None:
    session = await a_session(Status.LIVE)
    await provision.picture_seen(session.pk)
    assert not provider.send_task.called


async def test_a_text_reaches_the_provider_unchanged(provider: Mock) -> None:
    """Requirements 29, 35."""
    session = await a_session(Status.LIVE)
    await send_task.send_task(session.pk, text="Hola ¿cómo estás?", kind=TaskKind.TALK, user_id=session.user_id)
    assert provider.send_task.call_args.kwargs == {"text": "Hola ¿cómo estás?", "kind": TaskKind.TALK}
    task = await SessionTask.objects.aget(session=session)
    assert (task.status, task.provider_task_id) == (SessionTask.Status.SENT, "their-task")
    assert task.latency is not None


async def test_a_text_before_the_avatar_is_ready_is_offered_again(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send_task, "NOT_READY_RETRY", send_task.NOT_READY_RETRY * 0)
    provider.send_task.side_effect = [NotReady("wait", code="400006", status=400), Delivered("at-last")]
    session = await a_session(Status.LIVE)
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    task = await SessionTask.objects.aget(session=session)
    assert task.provider_task_id == "at-last"


async def test_a_failed_text_says_why_and_the_session_goes_on(provider: Mock) -> None:
    provider.send_task.side_effect = ProviderUnreachable("ReadTimeout")
    session = await a_session(Status.LIVE)
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    task = await SessionTask.objects.aget(session=session)
    await session.arefresh_from_db()
    assert (task.status, task.failure) == (SessionTask.Status.FAILED, "provider_unreachable")
    assert session.status == Status.LIVE


async def test_a_text_that_finds_the_session_gone_ends_it_here_too(provider: Mock) -> None:
    provider.send_task.side_effect = SessionGone("closed", code="10005", status=400)
    session = await a_session(Status.LIVE)
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.PROVIDER_ENDED)


async def test_without_a_session_nothing_goes_out(provider: Mock) -> None:
    """Requirement 32."""
    for verb in (provision.interrupt, provision.stay):
        with pytest.raises(errors.NotLive):
            await verb(uuid4())
    with pytest.raises(errors.NotLive):
        await send_task.send_task(uuid4(), text="hola", kind=TaskKind.TALK, user_id=1)
    assert not provider.method_calls


async def test_staying_moves_both_idle_clocks(provider: Mock) -> None:
    session = await a_session(Status.LIVE)
    await provision.stay(session.pk)
    assert provider.keep_alive.call_args_list == [call(session.provider_session_id)]
    before = session.active_at
    await session.arefresh_from_db()
    assert session.active_at > before


async def test_a_new_session_after_a_stop_is_another_one(provider: Mock) -> None:
    """Requirement 36."""
    first = await opened()
    await provision.bring_up(first, Tab(provider).give_room)
    await stop.stop_by_id(first.pk, EndReason.USER_STOPPED, WHY)
    open_again = sync_to_async(slots.open_session)
    second = await open_again(first.user_id, (await sync_to_async(lambda: first.persona.slug)()))
    assert second.pk != first.pk


async def test_the_tab_that_opened_a_session_is_present_from_the_start() -> None:
    process = uuid4()
    await sync_to_async(tabs.renew)(process)
    persona = await sync_to_async(PersonaFactory.create)(published=True)
    user = await sync_to_async(UserFactory.create)()
    open_in_tab = sync_to_async(slots.open_in_tab)
    session = await open_in_tab(user.pk, persona.slug, TabAddress(process, "tab"), slots.StartRequest())
    assert await session.tabs.acount() == 1
