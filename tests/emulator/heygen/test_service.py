"""What the routes ask of the studio, where a real room would only blur the order of things."""

from __future__ import annotations

import asyncio

from heygen_portal.emulator.avatar.silent_performer import Silent
from heygen_portal.emulator.heygen.service import Studio
from heygen_portal.emulator.sessions.interfaces import Actor, OnEvent, OnPresent, OnUser, Part
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import State
from heygen_portal.emulator.sessions.store import Caller, Session
from tests.patience import PATIENCE_S


class Slow(Silent):
    """Enters the room when `door` opens, and cannot be called off before."""

    def __init__(self, part: Part, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        super().__init__(part, on_event, on_present, on_user)
        self.door = asyncio.Event()
        self.has_left = False

    async def join(self) -> None:
        entering = asyncio.ensure_future(self.door.wait())
        try:
            await asyncio.shield(entering)
        finally:
            await asyncio.wait({entering})

    async def leave(self) -> None:
        assert self.door.is_set()
        self.has_left = True


def studio_with(cast: list[Slow]) -> Studio:
    def play(part: Part, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> Actor:
        cast.append(Slow(part, on_event, on_present, on_user))
        return cast[-1]

    return Studio(Rules(), Rooms(LiveKit(secret="s" * 32), is_real=False), play)


async def avatar_of(studio: Studio, session: Session) -> None:
    """Wait for the session's avatar to be in its room."""
    joining = studio.stages[session.id].joining
    assert joining
    await joining


async def test_a_session_stopped_while_its_avatar_is_on_the_way_ends_at_once_and_the_avatar_goes_when_it_comes() -> (
    None
):
    cast: list[Slow] = []
    studio = studio_with(cast)
    session = studio.order({}, Caller())
    studio.start(session)
    await asyncio.wait_for(studio.end(session, "stopped"), PATIENCE_S)
    assert session.state is State.CLOSED
    (avatar,) = cast
    assert not avatar.has_left
    avatar.door.set()
    await studio.close()
    assert avatar.has_left


async def test_with_sync_waits_a_task_is_over_when_its_speech_is() -> None:
    studio = Studio(Rules(), Rooms(LiveKit(secret="s" * 32), is_real=False), Silent)
    session = studio.order({}, Caller())
    studio.start(session)
    await avatar_of(studio, session)
    spoken = studio.speak(session, "Hi", answer=False)
    heard: list[str] = []
    studio.listen_in(session, lambda event: heard.append(event["type"]))
    await asyncio.wait_for(studio.spoken(session, spoken.task_id), PATIENCE_S)
    assert heard == ["avatar_stop_talking"]
    await studio.close()


async def test_an_interruption_ends_the_wait_for_what_was_still_queued() -> None:
    studio = Studio(Rules(), Rooms(LiveKit(secret="s" * 32), is_real=False), Silent)
    session = studio.order({}, Caller())
    studio.start(session)
    await avatar_of(studio, session)
    queued = [studio.speak(session, "A long text " * 50, answer=False) for _ in range(2)]
    studio.interrupt(session)
    for spoken in queued:
        await asyncio.wait_for(studio.spoken(session, spoken.task_id), PATIENCE_S)
    await studio.close()
