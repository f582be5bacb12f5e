"""Attacks with room tokens that outlive their session (real LiveKit server)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import jwt
import pytest
import yaml
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.test import override_settings
from livekit import api

from heygen_portal import livekit as ours
from sessions import errors
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import own_rooms
from tests.support import servers
from tests.support.factories import WHY, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

IN, NO_ROOM = 101, 404
"""The server's responses to a socket that tries to join."""


@pytest.fixture(autouse=True)
async def own_server(livekit: servers.LiveKit) -> AsyncIterator[None]:
    with override_settings(**livekit.env(), LIVEKIT_PUBLIC_URL=livekit.url):
        yield
        await ours.close()


def token_for(who: str, room: str) -> str:
    match who:
        case "person":
            return ours.for_person(room).token
        case "avatar":
            return ours.for_avatar(room, timedelta(minutes=20)).token
        case _:
            return ours.for_observer(room, "seat").token


async def enter(token: str) -> int:
    """Try to join with a token, as any client would; return the HTTP status."""
    address = f"{django_settings.LIVEKIT_URL}/rtc"
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(address, params={"access_token": token, "protocol": "15"}) as socket:
                await socket.receive(timeout=WAIT_TIMEOUT_S)
                return IN
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status


async def held() -> set[str]:
    return {room.name for room in await ours.list_own_rooms()}


WHO = ["person", "avatar", "observer"]


@pytest.mark.parametrize("who", WHO)
async def test_a_token_does_not_recreate_a_deleted_room(who: str) -> None:
    room = ours.new_room_name()
    await ours.create_room(room)
    token = token_for(who, room)
    assert await enter(token) == IN
    await ours.delete_room(room)
    assert await enter(token) == NO_ROOM
    assert room not in await held()


@pytest.mark.parametrize("who", WHO)
async def test_a_token_creates_no_room(who: str) -> None:
    room = ours.new_room_name()
    assert await enter(token_for(who, room)) == NO_ROOM
    assert room not in await held()


@pytest.mark.parametrize("who", WHO)
async def test_a_token_only_permits_joining_its_room(who: str, livekit: servers.LiveKit) -> None:
    """A token's grants do not create, list, delete, or change a room."""
    room = ours.new_room_name()
    await ours.create_room(room)
    token = token_for(who, room)
    grants: dict[str, Any] = jwt.decode(token, livekit.api_secret, algorithms=["HS256"])["video"]
    assert not {"roomCreate", "roomAdmin", "roomList", "roomRecord"} & {name for name, value in grants.items() if value}
    calls = {
        "CreateRoom": {"name": ours.new_room_name()},
        "ListRooms": {},
        "DeleteRoom": {"room": room},
        "UpdateRoomMetadata": {"room": room, "metadata": "x"},
    }
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as http:
        for call, body in calls.items():
            address = f"{django_settings.LIVEKIT_URL.replace('ws', 'http', 1)}/twirp/livekit.RoomService/{call}"
            async with http.post(address, json=body) as answer:
                assert answer.status in (401, 403), call
    assert room in await held()


def test_the_example_configuration_creates_no_rooms_automatically() -> None:
    example = yaml.safe_load((django_settings.BASE_DIR / "docs" / "examples" / "livekit.yaml").read_text())
    assert example["room"] == {"auto_create": False}


@pytest.mark.proof
async def test_the_attack_works_with_automatic_room_creation() -> None:
    """The control experiment: without it the tests above prove nothing."""
    with servers.livekit(lambda settings: settings.pop("room")) as careless, override_settings(**careless.env()):
        room = ours.new_room_name()
        assert await enter(token_for("person", room)) == IN
        async with api.LiveKitAPI(careless.url, careless.api_key, careless.api_secret) as client:
            assert [one.name for one in (await client.room.list_rooms(api.ListRoomsRequest())).rooms] == [room]


@pytest.mark.django_db(transaction=True)
async def test_a_running_session_gets_its_room_back_after_the_server_lost_it() -> None:
    session = await sync_to_async(StreamingSessionFactory.create)(status=Status.LIVE, room=ours.new_room_name())
    access = await own_rooms.renew_access(session.pk)
    assert await enter(access.token) == IN


@pytest.mark.django_db(transaction=True)
async def test_a_session_that_ends_while_its_room_is_recreated_leaves_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    session = await sync_to_async(StreamingSessionFactory.create)(status=Status.LIVE, room=ours.new_room_name())
    create_room = ours.create_room

    async def end_meanwhile(room: str) -> None:
        await create_room(room)
        rows = StreamingSession.objects.filter(pk=session.pk)
        await rows.aupdate(status=Status.STOPPING, end_reason=EndReason.USER_STOPPED, end_evidence=WHY)

    monkeypatch.setattr(ours, "create_room", end_meanwhile)
    with pytest.raises(errors.RejoinRefused):
        await own_rooms.renew_access(session.pk)
    assert session.room not in await held()
