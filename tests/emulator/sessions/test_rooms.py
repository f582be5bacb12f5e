"""Sessions in real LiveKit rooms: participants, connection and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import api, rtc

from heygen_portal.emulator.avatar.performer import RoomPerformer
from heygen_portal.emulator.heygen.service import HeyGenService
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.store import Caller
from tests.emulator.wire import AVATAR, Wire
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.media

ROOM_DELETED = 5


@pytest.fixture
def real(emulator: servers.Emulator) -> Iterator[Wire]:
    with Wire(emulator.url, emulator.api_key) as wire:
        wire.control("reset")
        yield wire


def opened(wire: Wire, **more: Any) -> dict[str, Any]:
    session: dict[str, Any] = wire.data(
        "streaming.new", {"version": "v2", "avatar_id": AVATAR, "quality": "low", **more}
    )
    return session


class Guest:
    """A participant that records the avatar's tracks and its own disconnection."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.kinds: set[int] = set()
        self.both = asyncio.Event()
        self.alone = asyncio.Event()
        self.thrown_out: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("disconnected", self._disconnected)
        self.room.on("participant_disconnected", lambda _: self.alone.set())

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        self.kinds.add(int(track.kind))
        if len(self.kinds) == 2:
            self.both.set()

    def _disconnected(self, reason: int) -> None:
        if not self.thrown_out.done():
            self.thrown_out.set_result(int(reason))

    async def sees_the_avatar(self) -> None:
        await asyncio.wait_for(self.both.wait(), WAIT_TIMEOUT_S)
        assert [participant.identity for participant in self.room.remote_participants.values()] == ["heygen"]

    async def is_thrown_out(self) -> int:
        return await asyncio.wait_for(self.thrown_out, WAIT_TIMEOUT_S)


@asynccontextmanager
async def guest(url: str, token: str) -> AsyncIterator[Guest]:
    guest = Guest()
    await guest.room.connect(url, token)
    try:
        yield guest
    finally:
        await guest.room.disconnect()


async def test_a_session_connects_once_both_sides_are_present_and_its_end_deletes_the_room(real: Wire) -> None:
    session = opened(real)
    body = {"session_id": session["session_id"]}
    real.data("streaming.start", body)
    assert real.call("streaming.task", body | {"text": "Hello"}).json()["code"] == 400006
    async with guest(session["url"], session["access_token"]) as person:
        await person.sees_the_avatar()
        await real.until_connected(session["session_id"])
        assert set(real.seen(session["session_id"])["in_room"]) == {"heygen", "client"}
        real.data("streaming.task", body | {"text": "Hello"})
        real.data("streaming.stop", body)
        assert await person.is_thrown_out() == ROOM_DELETED
    assert real.state(session["session_id"]) == "closed"


async def test_an_agent_alone_does_not_connect_a_session(real: Wire) -> None:
    session = opened(real)
    real.data("streaming.start", {"session_id": session["session_id"]})
    async with guest(session["url"], session["livekit_agent_token"]) as agent:
        await agent.sees_the_avatar()
        assert real.state(session["session_id"]) == "connecting"
        async with guest(session["url"], session["access_token"]):
            await real.until_connected(session["session_id"])


async def test_a_task_of_a_user_whom_livekit_has_not_announced_is_accepted(
    livekit: servers.LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sign in ("_on_joined", "_on_subscribed"):
        monkeypatch.setattr(RoomPerformer, sign, lambda *_: None)
    rooms = Rooms(LiveKit(livekit.url, livekit.api_key, livekit.api_secret), has_server=True)
    service = HeyGenService(Rules(), rooms, RoomPerformer)
    session = service.create_session({"quality": "low"}, Caller())
    token = await service.user_token(session)
    service.start(session)
    async with guest(livekit.url, token) as person:
        await person.sees_the_avatar()
        await service.look_for_user(session)
        service.speak(session, "Hello", answer=False)  # or raises Refusal
    await service.close()


async def test_an_idle_session_disconnects_everyone(real: Wire) -> None:
    session = opened(real, activity_idle_timeout=30)
    real.data("streaming.start", {"session_id": session["session_id"]})
    async with guest(session["url"], session["access_token"]) as person:
        await real.until_connected(session["session_id"])
        real.move_clock(31)
        assert await person.is_thrown_out() == ROOM_DELETED


async def test_the_avatar_joins_and_leaves_the_callers_own_room(real: Wire, livekit: servers.LiveKit) -> None:
    def token(identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room="ours", room_create=True, can_publish=True, can_publish_data=True)
        return api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_grants(grants).to_jwt()

    own = {"url": livekit.url, "room": "ours", "token": token("heygen")}
    async with guest(livekit.url, token("person")) as person:
        session = opened(real, livekit_settings=own)
        assert session["url"] is session["access_token"] is None
        real.data("streaming.start", {"session_id": session["session_id"]})
        await person.sees_the_avatar()
        await real.until_connected(session["session_id"])
        real.data("streaming.stop", {"session_id": session["session_id"]})
        await asyncio.wait_for(person.alone.wait(), WAIT_TIMEOUT_S)
        assert not person.thrown_out.done()


async def test_the_room_can_be_deleted_while_in_use(real: Wire) -> None:
    session = opened(real)
    real.data("streaming.start", {"session_id": session["session_id"]})
    async with guest(session["url"], session["access_token"]) as person:
        await real.until_connected(session["session_id"])
        real.fault("room_deleted")
        assert await person.is_thrown_out() == ROOM_DELETED
    assert real.state(session["session_id"]) == "connected"  # and is billed


async def test_an_ended_session_leaves_no_task_running(livekit: servers.LiveKit) -> None:
    """Disconnecting instead of leaving would leak a task of LiveKit's client."""
    rooms = Rooms(LiveKit(livekit.url, livekit.api_key, livekit.api_secret), has_server=True)
    service, before = HeyGenService(Rules(), rooms, RoomPerformer), asyncio.all_tasks()
    for _ in range(5):
        session = service.create_session({"quality": "low"}, Caller())
        service.start(session)
        joining = service.runtimes[session.id].joining
        assert joining
        await joining
        await service.end(session, "test")
    await service.close()
    if left := asyncio.all_tasks() - before:
        _, still = await asyncio.wait(left, timeout=WAIT_TIMEOUT_S)
        assert not still


async def test_a_foreign_token_opens_an_empty_room(real: Wire) -> None:
    real.fault("foreign_token")
    session = opened(real)
    real.data("streaming.start", {"session_id": session["session_id"]})
    async with guest(session["url"], session["access_token"]) as person:
        assert person.room.name != session["session_id"]
        assert not person.room.remote_participants
