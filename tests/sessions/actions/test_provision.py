from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps

from heygen_portal.providers.contract.provider import (
    CredentialRefused,
    OutOfCredits,
    ProviderRejected,
    ProviderUnreachable,
    Quality,
    RoomAccess,
    SessionGone,
    StopReason,
)
from sessions.actions import provision, stop
from sessions.capacity import slots
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import tabs
from tests.support.factories import WHY, EndUserFactory, PersonaFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def opened(**persona: object) -> StreamingSession:
    """Create a session whose provider has not been called yet."""
    return transitions.request(PersonaFactory.create(published=True, **persona), UserFactory.create().pk)


@sync_to_async
def kinds(session: StreamingSession) -> list[str]:
    return [event.kind for event in session.events.all()]


class Tab:
    """A browser tab that records which rooms it was given, and when."""

    def __init__(self, provider: Mock) -> None:
        self.provider = provider
        self.rooms: list[RoomAccess] = []
        self.has_room = asyncio.Event()
        self.started_before_room = False

    async def give_room(self, room: RoomAccess) -> None:
        self.rooms.append(room)
        self.started_before_room = self.provider.start_session.call_count == 1
        self.has_room.set()


async def test_the_browser_gets_the_room_while_start_is_pending(provider: Mock) -> None:
    """Requirement 6: in the documented order, without waiting for start's answer."""
    answered = asyncio.Event()

    async def wait(session: object) -> object:
        await answered.wait()
        return session

    provider.start_session.side_effect = wait
    session, tab = await opened(), Tab(provider)
    work = asyncio.create_task(provision.create_and_start(session, tab.give_room))
    await asyncio.wait_for(tab.has_room.wait(), WAIT_TIMEOUT_S)
    assert tab.started_before_room
    assert not work.done()
    answered.set()
    await work
    in_order = ["requested", "status", "provider_authenticated", "provider_created", "status", "provider_started"]
    assert await kinds(session) == in_order


async def test_a_room_named_by_start_is_handed_over_after_start(provider: Mock) -> None:
    """Requirement 28.

    The limit that the provider states then applies, too.
    """
    opened_session = replace(provider.new_session.return_value, room=None, duration_limit=None)
    limit = timedelta(seconds=60)
    provider.new_session.return_value = opened_session
    provider.start_session.side_effect = None
    room = RoomAccess("ws://rooms.test", "later")
    provider.start_session.return_value = replace(opened_session, room=room, duration_limit=limit)
    session, tab = await opened(), Tab(provider)
    await provision.create_and_start(session, tab.give_room)
    assert tab.rooms == [room]
    await session.arefresh_from_db()
    assert session.ends_at == session.created_at + limit
    assert session.status == Status.CONNECTING


async def test_a_session_stopped_while_it_starts_is_stopped_again_at_the_provider(provider: Mock) -> None:
    async def stopped_meanwhile(answer: object) -> object:
        await stop.stop_by_id((await StreamingSession.objects.aget()).pk, EndReason.USER_STOPPED, WHY)
        return answer

    provider.start_session.side_effect = stopped_meanwhile
    await provision.create_and_start(await opened(), Tab(provider).give_room)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED), call("their-session")]


async def test_an_account_without_credits_ends_the_session_at_the_spending_cap(provider: Mock) -> None:
    provider.new_session.side_effect = OutOfCredits("no credits", status=403)
    session = await opened()
    await provision.create_and_start(session, Tab(provider).give_room)
    await session.arefresh_from_db()
    assert session.end_reason == EndReason.SPEND_CAP


async def test_the_provider_request_uses_the_settings_that_staff_chose(provider: Mock) -> None:
    """Requirements 14, 17, 21."""
    session = await opened(quality="low", language="es")
    await provision.create_and_start(session, Tab(provider).give_room)
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
async def test_a_provider_failure_ends_the_session_with_a_reason(
    provider: Mock, refusal: Exception, reason: EndReason
) -> None:
    provider.new_session.side_effect = refusal
    session, tab = await opened(), Tab(provider)
    await provision.create_and_start(session, tab.give_room)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, reason)
    assert session.end_evidence
    assert tab.rooms == []


async def test_a_lost_answer_is_found_in_the_providers_list(provider: Mock) -> None:
    provider.new_session.side_effect = ProviderUnreachable("ReadTimeout")
    provider.list_sessions.return_value = [Mock(provider_session_id="lost")]
    session = await opened(avatar__account__is_exclusive=True)
    await provision.create_and_start(session, Tab(provider).give_room)
    assert provider.stop_session.call_args_list == [call("lost")]


async def test_on_a_shared_account_no_unknown_session_is_closed(provider: Mock) -> None:
    provider.new_session.side_effect = ProviderUnreachable("ReadTimeout")
    provider.list_sessions.return_value = [Mock(provider_session_id="somebody-s")]
    await provision.create_and_start(await opened(), Tab(provider).give_room)
    assert not provider.stop_session.called


@sync_to_async
def stored_values() -> str:
    """Return the values of all rows of all tables."""
    return repr([list(model._base_manager.values_list()) for model in apps.get_models()])


async def test_the_providers_answer_is_stored_but_for_its_tokens(provider: Mock) -> None:
    """Requirement 22."""
    session = await opened()
    await provision.create_and_start(session, Tab(provider).give_room)
    await session.arefresh_from_db()
    stored = (session.provider_session_id, session.is_paid, session.provider_duration_limit)
    assert stored == ("their-session", True, timedelta(minutes=10))
    everything = await stored_values()
    assert "their-session" in everything
    assert [token for token in ("room-token", "their-token") if token in everything] == []


async def test_what_was_sent_to_the_provider_is_recorded(provider: Mock) -> None:
    """Requirement 45: the setup checklist compares it with what staff selected."""
    provider.new_session.return_value = replace(provider.new_session.return_value, sent={"avatar_id": "Lucia"})
    session = await opened()
    await provision.create_and_start(session, Tab(provider).give_room)
    created = await session.events.aget(kind="provider_created")
    assert created.data["sent"] == {"avatar_id": "Lucia"}


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (ProviderRejected("no", code="10001", status=400), EndReason.PROVIDER_REFUSED),
        (SessionGone("closed", code="10005", status=400), EndReason.PROVIDER_ENDED),
    ],
)
async def test_a_refused_start_leaves_nothing_open(provider: Mock, refusal: Exception, reason: EndReason) -> None:
    """Requirement 46: a session that was not started does not count as such."""
    provider.start_session.side_effect = refusal
    session = await opened()
    await provision.create_and_start(session, Tab(provider).give_room)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, reason)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]
    assert "provider_started" not in await kinds(session)


async def test_stopping_during_creation_closes_the_session_that_the_provider_creates(provider: Mock) -> None:
    thinking = asyncio.Event()
    answer = provider.new_session.return_value

    async def think(request: object) -> object:
        await thinking.wait()
        return answer

    provider.new_session.side_effect = think
    session, tab = await opened(), Tab(provider)
    work = asyncio.create_task(provision.create_and_start(session, tab.give_room))
    await stop.stop_by_id(session.pk, EndReason.USER_STOPPED, WHY)
    thinking.set()
    await work
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.USER_STOPPED)
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]
    assert tab.rooms == []


async def test_a_start_after_a_stop_creates_a_new_session(provider: Mock) -> None:
    """Requirement 36."""
    first = await opened()
    await provision.create_and_start(first, Tab(provider).give_room)
    await stop.stop_by_id(first.pk, EndReason.USER_STOPPED, WHY)
    open_again = sync_to_async(slots.open_session)
    second = await open_again(first.owner_id, (await sync_to_async(lambda: first.persona.slug)()))
    assert second.pk != first.pk


async def test_the_tab_that_opens_a_session_is_present_from_the_start() -> None:
    process = uuid4()
    await sync_to_async(tabs.renew_lease)(process)
    persona = await sync_to_async(PersonaFactory.create)(published=True)
    user = await sync_to_async(EndUserFactory.create)()
    open_in_tab = sync_to_async(slots.open_in_tab)
    session = await open_in_tab(user.pk, persona.slug, TabAddress(process, "tab"), slots.StartRequest())
    assert await session.tabs.acount() == 1
