"""HeyGenService with controlled timing, which a real room would not allow."""

from __future__ import annotations

import asyncio

from heygen_portal.emulator.avatar.silent_performer import SilentPerformer
from heygen_portal.emulator.heygen.service import HeyGenService
from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, Performer, PerformerConfig
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import State
from heygen_portal.emulator.sessions.store import Caller, Session
from tests.timeouts import WAIT_TIMEOUT_S


class SlowPerformer(SilentPerformer):
    """Joins when `may_join` is set; its join cannot be cancelled."""

    def __init__(self, part: PerformerConfig, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        super().__init__(part, on_event, on_present, on_user)
        self.may_join = asyncio.Event()
        self.has_left = False

    async def join(self) -> None:
        entering = asyncio.ensure_future(self.may_join.wait())
        try:
            await asyncio.shield(entering)
        finally:
            await asyncio.wait({entering})

    async def leave(self) -> None:
        assert self.may_join.is_set()
        self.has_left = True


def service_with(performers: list[SlowPerformer]) -> HeyGenService:
    def create(part: PerformerConfig, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> Performer:
        performers.append(SlowPerformer(part, on_event, on_present, on_user))
        return performers[-1]

    return HeyGenService(Rules(), Rooms(LiveKit(secret="s" * 32), has_server=False), create)


async def wait_for_avatar(service: HeyGenService, session: Session) -> None:
    """Wait until the session's avatar is in its room."""
    joining = service.runtimes[session.id].joining
    assert joining
    await joining


async def test_stopping_a_session_during_join_ends_it_at_once_and_the_avatar_leaves() -> None:
    performers: list[SlowPerformer] = []
    service = service_with(performers)
    session = service.create_session({}, Caller())
    service.start(session)
    await asyncio.wait_for(service.end(session, "stopped"), WAIT_TIMEOUT_S)
    assert session.state is State.CLOSED
    (avatar,) = performers
    assert not avatar.has_left
    avatar.may_join.set()
    await service.close()
    assert avatar.has_left


async def test_a_sync_task_waits_until_its_speech_ends() -> None:
    service = HeyGenService(Rules(), Rooms(LiveKit(secret="s" * 32), has_server=False), SilentPerformer)
    session = service.create_session({}, Caller())
    service.start(session)
    await wait_for_avatar(service, session)
    spoken = service.speak(session, "Hi", answer=False)
    events: list[str] = []
    service.subscribe(session, lambda event: events.append(event["type"]))
    await asyncio.wait_for(service.wait_until_spoken(session, spoken.task_id), WAIT_TIMEOUT_S)
    assert events == ["avatar_stop_talking"]
    await service.close()


async def test_an_interruption_ends_the_wait_for_queued_tasks() -> None:
    service = HeyGenService(Rules(), Rooms(LiveKit(secret="s" * 32), has_server=False), SilentPerformer)
    session = service.create_session({}, Caller())
    service.start(session)
    await wait_for_avatar(service, session)
    queued = [service.speak(session, "A long text " * 50, answer=False) for _ in range(2)]
    service.interrupt(session)
    for spoken in queued:
        await asyncio.wait_for(service.wait_until_spoken(session, spoken.task_id), WAIT_TIMEOUT_S)
    await service.close()
