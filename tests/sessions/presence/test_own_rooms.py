"""Rooms on our own LiveKit: a real server, a stand-in provider.

Requirements 37 to 42 and 51, complaint 22.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import jwt
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.test import override_settings
from livekit import api

from heygen_portal import livekit as own
from heygen_portal.providers.contract.provider import NotSent, ProviderSession, RoomAccess, SessionRequest
from local.ports import LOOPBACK, free_port
from sessions.actions import control, provision, stop
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import own_rooms
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support import servers
from tests.support.factories import PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.media]

OWN = {"avatar__account__rooms": "own"}


@pytest.fixture(autouse=True)
def livekit_set_up(livekit: servers.LiveKit) -> Iterator[None]:
    with override_settings(**livekit.env(), LIVEKIT_PUBLIC_URL=livekit.url):
        yield


@pytest_asyncio.fixture(autouse=True)
async def closed_afterwards() -> AsyncIterator[None]:
    yield
    await own.close()


@pytest.fixture(autouse=True)
def without_a_room(provider: Mock) -> Mock:
    """A provider that is brought a room answers without address and token.

    Requirement 39.
    """
    provider.new_session.return_value = ProviderSession("their-session", None, timedelta(minutes=10), True, "token")
    return provider


@sync_to_async
def opened() -> StreamingSession:
    return transitions.request(PersonaFactory.create(published=True, **OWN), UserFactory.create().pk)


def decoded(token: str, livekit: servers.LiveKit) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, livekit.api_secret, ["HS256"], issuer=livekit.api_key)
    return claims


async def names() -> set[str]:
    return {room.name for room in await own.list_own_rooms()}


def test_avatar_and_user_get_minimal_tokens_for_one_room(livekit: servers.LiveKit) -> None:
    """Requirements 37 and 51."""
    room = own.new_room_name()
    avatar = decoded(own.for_avatar(room, timedelta(minutes=20)).token, livekit)
    person = decoded(own.for_person(room).token, livekit)
    common = {"room": room, "roomJoin": True, "canSubscribe": True, "canPublish": True, "canPublishData": True}
    assert avatar["video"] == common | {"roomAdmin": False}
    assert person["video"] == common | {"canPublishSources": ["microphone"]}
    assert (avatar["sub"], person["sub"]) == ("heygen", "person")


def test_an_observers_token_is_hidden_and_subscribe_only(livekit: servers.LiveKit) -> None:
    """Requirement 41."""
    grants = decoded(own.for_observer("a-room", "1").token, livekit)["video"]
    silent = {"canPublish": False, "canPublishData": False, "hidden": True}
    assert grants == {"room": "a-room", "roomJoin": True, "canSubscribe": True} | silent


def test_tokens_and_room_names_contain_no_names_and_no_keys(livekit: servers.LiveKit) -> None:
    """Complaint 22."""
    room = own.new_room_name()
    for token in (own.for_person(room).token, own.for_observer(room, "1").token):
        claims = decoded(token, livekit)
        assert set(claims) == {"iss", "sub", "video", "nbf", "exp"}
        assert livekit.api_secret not in str(claims)
    assert own.new_room_name() != room
    with override_settings(SECRET_KEY="another portal"):
        assert not own.new_room_name().startswith(room[: len(own.room_prefix())])


async def test_a_session_runs_in_our_room_and_its_end_deletes_the_room(
    provider: Mock, livekit: servers.LiveKit
) -> None:
    """Requirements 38, 39, 40 and 51."""
    session, given = await opened(), []

    async def give_room(room: RoomAccess) -> None:
        given.append(room)

    await provision.create_and_start(session, give_room)
    await session.arefresh_from_db()
    brought = provider.new_session.call_args.args[0].room
    assert (brought.url, brought.name) == (livekit.url, session.room)
    assert decoded(brought.token, livekit)["sub"] == "heygen"
    (room,) = given
    assert room.url == livekit.url
    grants: Any = decoded(room.token, livekit)
    assert grants["video"]["room"] == session.room
    assert await names() >= {session.room}
    await stop.stop_by_id(session.pk, EndReason.USER_STOPPED, {"code": "person"})
    assert session.room not in await names()


@pytest.mark.parametrize("whose", ["provider", "own"])
async def test_an_account_setting_decides_whose_room_a_session_uses(
    provider: Mock, livekit: servers.LiveKit, whose: str
) -> None:
    """Requirement 4; ROOMS=own runs the browser's tests likewise."""

    def answer(asked: SessionRequest) -> ProviderSession:
        return ProviderSession("their-session", None if asked.room else RoomAccess("wss://theirs.test", "t"))

    provider.new_session.side_effect = answer
    persona = await sync_to_async(PersonaFactory.create)(published=True, avatar__account__rooms=whose, greeting="Hola")
    session = await sync_to_async(transitions.request)(persona, (await a_person()).pk)
    given: list[RoomAccess] = []

    async def give_room(room: RoomAccess) -> None:
        given.append(room)

    await provision.create_and_start(session, give_room)
    assert [room.url for room in given] == [livekit.url if whose == "own" else "wss://theirs.test"]
    await control.first_frame_rendered(session.pk)
    assert provider.send_task.await_count == 1
    await stop.stop_by_id(session.pk, EndReason.USER_STOPPED, {"code": "person"})
    await session.arefresh_from_db()
    assert session.status == Status.ENDED


async def test_a_room_named_by_the_provider_is_ignored_where_rooms_are_ours(provider: Mock) -> None:
    """Requirement 42."""
    provider.new_session.return_value = ProviderSession("their-session", RoomAccess("wss://theirs.test", "theirs"))
    given: list[RoomAccess] = []

    async def give_room(room: RoomAccess) -> None:
        given.append(room)

    await provision.create_and_start(await opened(), give_room)
    assert "theirs" not in str([room.url + room.token for room in given])


async def test_an_unreachable_livekit_ends_the_session_before_the_provider_is_called(provider: Mock) -> None:
    session = await opened()
    with override_settings(LIVEKIT_URL=f"ws://{LOOPBACK}:{free_port()}"):
        await provision.create_and_start(session, Mock())
    await session.arefresh_from_db()
    assert provider.new_session.call_count == 0
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.PROVIDER_UNREACHABLE)
    assert session.end_evidence["code"] == "rooms_away"
    assert "LiveKit" in session.end_evidence["what"]


async def test_a_refused_session_leaves_no_room_behind(provider: Mock) -> None:
    session, provider.new_session.side_effect = await opened(), NotSent("no")
    await provision.create_and_start(session, Mock())
    await session.arefresh_from_db()
    assert session.status == Status.ENDED
    assert session.room
    assert session.room not in await names()


async def test_a_prepared_room_is_used_once(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona(**OWN)
    async with browser(user, persona.slug) as tab:
        await tab.say("room.prepare")
        waiting = await tab.hear("session.room", waits=True)
        assert provider.new_session.call_count == 0
        await tab.say("session.start")
        room = await tab.hear("session.room", waits=False)
        assert room["name"] == waiting["name"]
        await stopped(tab)
        provider.new_session.return_value = ProviderSession("their-next", None)
        await tab.say("session.start")
        assert (await tab.hear("session.room", waits=False))["name"] != waiting["name"]
        await stopped(tab)


async def stopped(tab: Tab) -> None:
    await tab.say("session.stop")
    await tab.hear("session.status", status="ended")


async def test_an_unused_prepared_room_is_deleted_with_its_tab(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona(**OWN)
    async with browser(user, persona.slug) as tab:
        await tab.say("room.prepare")
        name = (await tab.hear("session.room", waits=True))["name"]
        await tab.say("room.prepare")  # no second one is created
        assert await tab.receive_nothing()
        assert name in await names()
    await until_gone(name)


async def until_gone(name: str) -> None:
    while name in await names():  # closing the tab does not wait for the deletion
        pass


async def test_no_room_is_prepared_where_rooms_are_the_providers(provider: Mock) -> None:
    provider.new_session.return_value = ProviderSession("theirs", RoomAccess("ws://rooms.test", "room-token"))
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.say("room.prepare")
        await tab.say("session.start")
        room = await tab.hear("session.room")
        assert (room["token"], room["waits"], room["name"]) == ("room-token", False, "")
        await tab.say("room.rejoin")
        assert (await tab.hear("error"))["code"] == "rejoin_refused"


async def test_a_returning_user_gets_a_new_token(livekit: servers.LiveKit) -> None:
    """Requirement 63."""
    user, persona = await a_person(), await a_persona(**OWN)
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        name = (await StreamingSession.objects.aget(pk=session_id)).room
        async with browser(user, persona.slug) as again:
            await again.say("session.join", session_id=session_id, room=True)
            room = await again.hear("session.room")
            assert (room["name"], decoded(room["token"], livekit)["sub"]) == (name, "person")
            await again.say("room.rejoin")
            await again.hear("session.room", name=name)


async def test_only_abandoned_rooms_are_deleted(monkeypatch: pytest.MonkeyPatch, livekit: servers.LiveKit) -> None:
    """After an end while LiveKit was away, or a dead process."""
    over, used, waiting, theirs = (own.new_room_name() for _ in range(4))
    theirs = theirs.replace("portal-", "other-")
    for name in (over, used, waiting, theirs):
        await own.create_room(name)
    create = sync_to_async(StreamingSessionFactory.create)
    await create(status=Status.ENDED, room=over)
    await create(status=Status.LIVE, room=used)
    await own_rooms.delete_unused()
    assert await names() & {over, used, waiting} == {used, waiting}
    monkeypatch.setattr(own_rooms, "PREPARED_ROOM_LIFETIME", timedelta(seconds=-5))  # as if it had expired
    await own_rooms.delete_unused()
    assert await names() & {over, used, waiting} == {used}
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as server:
        held = await server.room.list_rooms(api.ListRoomsRequest(names=[theirs]))
        assert len(held.rooms) == 1
