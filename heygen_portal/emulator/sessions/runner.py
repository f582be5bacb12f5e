"""Running sessions: started, observed and ended. Shared by both services."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, Protocol
from uuid import uuid1

from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.interfaces import (
    HearingSettings,
    Performer,
    PerformerConfig,
    PerformerFactory,
    PerformerFaults,
)
from heygen_portal.emulator.sessions.options import SessionOptions
from heygen_portal.emulator.sessions.rooms import USER_IDENTITY, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Session, Store

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]  # receives data channel messages and our own `_state` events
MAX_SLEEP_SECONDS: Final = 1.0
PUBLICATION_SECONDS: Final = 1.0  # limit for the avatar to learn that its tracks are published


class RoomAgent(Protocol):
    async def wait_for_stopped(self) -> None:
        """Return once the room has received `session.stopped`."""

    async def leave(self) -> None: ...


@dataclass
class SessionRuntime:
    """Live objects of a session: performer, listeners, and tasks not yet spoken."""

    performer: Performer | None = None
    agent: RoomAgent | None = None  # the service's own, beside the avatar
    joining: asyncio.Task[None] | None = None
    listeners: list[Listener] = field(default_factory=list)
    speaking: dict[str, asyncio.Event] = field(default_factory=dict)
    faults: PerformerFaults = field(default_factory=PerformerFaults)
    hearing: HearingSettings = field(default_factory=HearingSettings)
    never_connects: bool = False
    foreign_token: bool = False
    expired_token: bool = False


class SessionService:
    """Sessions of one service, each with its performer. Methods raise Refusal."""

    NAME: ClassVar[str]

    def __init__(
        self, rules: Rules, rooms: Rooms, performer_factory: PerformerFactory, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.store = Store(rules, self.clock)
        self.rooms = rooms
        self.runtimes: dict[str, SessionRuntime] = {}
        self.on_new_session: Callable[[Session, SessionRuntime], None] | None = None  # called for every new session
        self._performer_factory = performer_factory
        self._background: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.clock.watch(self._wake.set)

    # Actions ------------------------------------------------------------------------------------------------

    def add_runtime(self, session: Session) -> SessionRuntime:
        """Create the runtime of a new session and apply the faults meant for it."""
        runtime = self.runtimes[session.id] = SessionRuntime(hearing=HearingSettings(session.options.language))
        if self.on_new_session:
            self.on_new_session(session, runtime)
        return runtime

    def start(self, session: Session) -> None:
        """Start the avatar's join, without waiting for it."""
        self.store.accept(session, "start")
        self.store.move(session, State.CONNECTING)
        self._notify_state(session)
        runtime = self.runtimes[session.id]
        runtime.performer = self._performer_factory(
            self._performer_config(session.id, session.options, runtime.hearing),
            lambda event: self._on_event(session, event),
            lambda: self._on_present(session),
            lambda here: self._on_user(session, here),
        )
        runtime.performer.faults = runtime.faults
        runtime.joining = asyncio.create_task(self._join(session, runtime.performer))

    async def look_for_user(self, session: Session) -> None:
        """Ask LiveKit for the user of a session that is not connected yet.

        A client that has both tracks may act before LiveKit's messages about it have reached the avatar.
        """
        if session.state is not State.CONNECTING or session.options.own_room or not self.has_media:
            return
        runtime = self.runtimes[session.id]
        if session.user_since is None:
            if not await self._has_user(session.id):
                return
            if runtime.performer:
                runtime.performer.notice_user()
        if runtime.joining:
            await asyncio.wait({runtime.joining}, timeout=PUBLICATION_SECONDS)

    async def wait_until_spoken(self, session: Session, task_id: str) -> None:
        """Return when the task's speech has ended or was interrupted."""
        if (runtime := self.runtimes.get(session.id)) and (over := runtime.speaking.get(task_id)):
            await over.wait()

    def interrupt(self, session: Session) -> None:
        self.store.accept(session, "interrupt")
        self.stop_speech(session)

    def stop_speech(self, session: Session) -> None:
        """Stop the avatar's speech in any state."""
        self.performer(session).interrupt()
        for over in self.runtimes[session.id].speaking.values():
            over.set()  # queued tasks never start, so their end is never reported
        self.runtimes[session.id].speaking.clear()

    def listen(self, session: Session, on: bool) -> None:
        self.store.accept(session, "start_listening" if on else "stop_listening")
        self.performer(session).listen(on)

    async def end(self, session: Session, reason: str) -> None:
        """Close a session: performer, room and sockets.

        Only the first call has an effect.
        """
        if not self.store.move(session, State.CLOSING, reason):
            return
        self._notify_state(session)
        runtime = self.runtimes.pop(session.id)
        for over in runtime.speaking.values():
            over.set()
        if runtime.joining is None or runtime.joining.done():
            await self._deliver_reason(session, runtime)
            # Leave before the room is deleted: when disconnected by the deletion, LiveKit's client leaks a task
            # and a queue.
            await self._leave_room(runtime)
        else:
            self.in_background(self._cancel_join(session, runtime, runtime.joining))
        if session.options.own_room is None:  # the caller's own room is left alone
            await self.rooms.delete(session.id)
        self.store.move(session, State.CLOSED)
        for listener in runtime.listeners:
            listener(_state_message(session))

    @property
    def has_media(self) -> bool:
        return self.rooms.has_server

    async def _deliver_reason(self, session: Session, runtime: SessionRuntime) -> None:
        """Wait briefly until the room has received the end reason.

        Overridden by LiveAvatar.
        """

    async def _leave_room(self, runtime: SessionRuntime) -> None:
        for participant in (runtime.performer, runtime.agent):
            if participant:
                with suppress(Exception):  # the room may be gone already
                    await participant.leave()

    async def _cancel_join(self, session: Session, runtime: SessionRuntime, joining: asyncio.Task[None]) -> None:
        """End a session whose avatar is still joining.

        The avatar may join anyway and reopen the deleted room, so the room is deleted again.
        """
        joining.cancel()
        await asyncio.wait({joining})
        await self._leave_room(runtime)
        if session.options.own_room is None:
            await self.rooms.delete(session.id)

    # Access for routes and sockets --------------------------------------------------------------------------

    def performer(self, session: Session) -> Performer:
        runtime = self.runtimes.get(session.id)
        if runtime is None or runtime.performer is None:
            raise Refusal("state_incorrect")
        return runtime.performer

    async def user_token(self, session: Session) -> str:
        """Create the session's room and return the user's token, with its faults applied."""
        runtime = self.runtimes[session.id]
        room = str(uuid1()) if runtime.foreign_token else session.id
        await asyncio.gather(*(self.rooms.create(name) for name in {room, session.id}))
        return self.rooms.user_token(room, is_expired=runtime.expired_token)

    def next_task(self, session: Session) -> str:
        session.tasks += 1
        return f"{session.id}-task-{session.tasks}"

    def subscribe(self, session: Session, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event of the session.

        Return a function that unsubscribes.
        """
        listeners = self.runtimes[session.id].listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def notify(self, session: Session, message: dict[str, Any]) -> None:
        if runtime := self.runtimes.get(session.id):
            for listener in list(runtime.listeners):
                listener(message)

    # Lifecycle ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """End sessions at their deadlines, forever. Moving the clock wakes the loop."""
        while True:
            self._wake.clear()
            self.in_background(self.end_due())
            delay = min(max(self.store.next_deadline() - self.clock.now(), 0.01), MAX_SLEEP_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def end_due(self) -> None:
        """End all due sessions. An exhausted quota makes every paid session due."""
        due = list(self.store.due())
        if self.store.is_quota_gone():
            due += [(session, "quota") for session in self.store.open_sessions() if session.options.cost_factor]
        await asyncio.gather(*(self.end(session, reason) for session, reason in due))

    async def reset(self, rules: Rules) -> None:
        """End and forget all sessions and reset the clock."""
        await asyncio.gather(*(self.end(session, "reset") for session in self.store.open_sessions()))
        self.clock.offset = 0.0
        self.store = Store(rules, self.clock)

    async def close(self) -> None:
        """End every session, so that no avatar stays in a room."""
        await asyncio.gather(*(self.end(session, "shutdown") for session in self.store.open_sessions()))
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.rooms.close()

    def in_background(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._background.add(task)  # the event loop keeps only a weak reference
        task.add_done_callback(self._background.discard)

    # Performer callbacks ------------------------------------------------------------------------------------

    def _performer_config(self, room: str, options: SessionOptions, hearing: HearingSettings) -> PerformerConfig:
        own = options.own_room
        return PerformerConfig(
            room_url=own.url if own else self.rooms.url,
            token=own.token if own else self.rooms.avatar_token(room),
            look=options.avatar.look,
            quality=options.quality,
            encoding=options.encoding,
            voice=options.voice,
            knowledge=options.knowledge,
            opening=options.opening,
            listens=options.listens,
            hearing=hearing,
            has_user=None if own else partial(self._has_user, room),
        )

    async def _has_user(self, room: str) -> bool:
        return USER_IDENTITY in (await self.rooms.participants(room) or [])

    async def _join(self, session: Session, performer: Performer) -> None:
        try:
            await performer.join()
        except Exception as exc:  # noqa: BLE001 - whatever kept it away
            # As with the real service, the session stays in `connecting` without an error.
            log.warning("the avatar of %s could not join: %s", session.id, exc or type(exc).__name__)

    def _on_present(self, session: Session) -> None:
        session.present = True
        self.connect_if_complete(session)

    def _on_user(self, session: Session, here: bool) -> None:
        if session.is_open:
            self.store.set_user(session, here)
            self.connect_if_complete(session)

    def connect_if_complete(self, session: Session) -> None:
        """Move the session to `connected` once user and avatar are present. Idempotent."""
        runtime = self.runtimes.get(session.id)
        if runtime is None or runtime.never_connects or not session.present or session.user_since is None:
            return
        if self.store.move(session, State.CONNECTED):
            session.active_at = self.clock.now()
            self._notify_state(session)

    def _on_event(self, session: Session, event: dict[str, Any]) -> None:
        runtime = self.runtimes.get(session.id)
        if runtime is None:
            return
        if event["type"].startswith(("user_", "avatar_start_")):
            session.active_at = self.clock.now()  # speech counts as activity, like tasks
        if event["type"] == "avatar_stop_talking" and (over := runtime.speaking.pop(event["task_id"], None)):
            over.set()
        self.notify(session, event)

    def _notify_state(self, session: Session) -> None:
        self.notify(session, _state_message(session))


def _state_message(session: Session) -> dict[str, Any]:
    return {"type": "_state", "state": session.state.value}
