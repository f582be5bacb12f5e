"""Sessions on stage: sent on their way, watched, ended. What both services have in common, whatever their wire."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
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
from heygen_portal.emulator.sessions.rooms import Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Session, Store

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]  # takes a message of the data channel, or `_state` ones of ours
MAX_SLEEP_SECONDS: Final = 1.0


class RoomAgent(Protocol):
    async def wait_for_stopped(self) -> None:
        """Return once the room was told that the session has stopped."""

    async def leave(self) -> None: ...


@dataclass
class SessionRuntime:
    """What is alive of a session: its actor, the sockets that listen in, the tasks not yet spoken."""

    performer: Performer | None = None
    agent: RoomAgent | None = None  # of the service, beside the avatar
    joining: asyncio.Task[None] | None = None
    listeners: list[Listener] = field(default_factory=list)
    speaking: dict[str, asyncio.Event] = field(default_factory=dict)
    faults: PerformerFaults = field(default_factory=PerformerFaults)
    hearing: HearingSettings = field(default_factory=HearingSettings)
    never_connects: bool = False
    foreign_token: bool = False
    expired_token: bool = False


class SessionService:
    """The sessions of one service, each with its performer. Verbs raise Refusal when the answer is no."""

    NAME: ClassVar[str]

    def __init__(
        self, rules: Rules, rooms: Rooms, performer_factory: PerformerFactory, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.store = Store(rules, self.clock)
        self.rooms = rooms
        self.runtimes: dict[str, SessionRuntime] = {}
        self.on_new_session: Callable[[Session, SessionRuntime], None] | None = (
            None  # called with every session to come
        )
        self._performer_factory = performer_factory
        self._background: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.clock.watch(self._wake.set)

    # Verbs --------------------------------------------------------------------------------------------------

    def add_runtime(self, session: Session) -> SessionRuntime:
        """Give a session just ordered its stage, spoilt if that was ordered."""
        runtime = self.runtimes[session.id] = SessionRuntime(hearing=HearingSettings(session.options.language))
        if self.on_new_session:
            self.on_new_session(session, runtime)
        return runtime

    def start(self, session: Session) -> None:
        """Send the avatar on its way; the answer does not wait for it."""
        self.store.accept(session, "start")
        self.store.move(session, State.CONNECTING)
        self._tell_state(session)
        runtime = self.runtimes[session.id]
        runtime.performer = self._performer_factory(
            self._performer_config(session.id, session.options, runtime.hearing),
            lambda event: self._on_event(session, event),
            lambda: self._on_present(session),
            lambda here: self._on_user(session, here),
        )
        runtime.performer.faults = runtime.faults
        runtime.joining = asyncio.create_task(self._join(session, runtime.performer))

    async def wait_until_spoken(self, session: Session, task_id: str) -> None:
        """Return when the task's speech is over, whatever ended it."""
        if (runtime := self.runtimes.get(session.id)) and (over := runtime.speaking.get(task_id)):
            await over.wait()

    def interrupt(self, session: Session) -> None:
        self.store.accept(session, "interrupt")
        self.stop_speech(session)

    def stop_speech(self, session: Session) -> None:
        """Have the avatar fall silent, whatever the state."""
        self.performer(session).interrupt()
        for over in self.runtimes[session.id].speaking.values():
            over.set()  # what was still queued is never begun, and so never reported as over
        self.runtimes[session.id].speaking.clear()

    def listen(self, session: Session, on: bool) -> None:
        self.store.accept(session, "start_listening" if on else "stop_listening")
        self.performer(session).listen(on)

    async def end(self, session: Session, reason: str) -> None:
        """Close a session: actor gone, room deleted, sockets told. The first caller does it, others return at once."""
        if not self.store.move(session, State.CLOSING, reason):
            return
        self._tell_state(session)
        runtime = self.runtimes.pop(session.id)
        for over in runtime.speaking.values():
            over.set()
        if runtime.joining is None or runtime.joining.done():
            await self._deliver_reason(session, runtime)
            # First: thrown out by the deletion, LiveKit's client would keep a task and a queue for ever.
            await self._leave_room(runtime)
        else:
            self.in_background(self._cancel_join(session, runtime, runtime.joining))
        if session.options.own_room is None:  # theirs is not ours to delete
            await self.rooms.delete(session.id)
        self.store.move(session, State.CLOSED)
        for listener in runtime.listeners:
            listener(_state_message(session))

    @property
    def has_media(self) -> bool:
        return self.rooms.has_server

    async def _deliver_reason(self, session: Session, runtime: SessionRuntime) -> None:
        """Wait, within bounds, until the room knows why the session ends; services that say so override this."""

    async def _leave_room(self, runtime: SessionRuntime) -> None:
        for participant in (runtime.performer, runtime.agent):
            if participant:
                with suppress(Exception):  # its room may be gone already: it is over either way
                    await participant.leave()

    async def _cancel_join(self, session: Session, runtime: SessionRuntime, joining: asyncio.Task[None]) -> None:
        """End a session whose avatar is on its way. It may arrive all the same, and open the deleted room again."""
        joining.cancel()
        await asyncio.wait({joining})
        await self._leave_room(runtime)
        if session.options.own_room is None:
            await self.rooms.delete(session.id)

    # What others need -----------------------------------------------------------------------------------------

    def performer(self, session: Session) -> Performer:
        runtime = self.runtimes.get(session.id)
        if runtime is None or runtime.performer is None:
            raise Refusal("state_incorrect")
        return runtime.performer

    async def user_token(self, session: Session) -> str:
        """Make the session's room, and return what opens it for the person, unless that is to go wrong."""
        runtime = self.runtimes[session.id]
        room = str(uuid1()) if runtime.foreign_token else session.id
        await asyncio.gather(*(self.rooms.create(name) for name in {room, session.id}))
        return self.rooms.user_token(room, is_expired=runtime.expired_token)

    def next_task(self, session: Session) -> str:
        session.tasks += 1
        return f"{session.id}-task-{session.tasks}"

    def subscribe(self, session: Session, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with all that is said in the session; call the result to stop that."""
        listeners = self.runtimes[session.id].listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def tell(self, session: Session, message: dict[str, Any]) -> None:
        if runtime := self.runtimes.get(session.id):
            for listener in list(runtime.listeners):
                listener(message)

    # The life of the whole -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """End what is due, for ever: sleeps until the next deadline, woken when the clock is moved."""
        while True:
            self._wake.clear()
            self.in_background(self.end_due())
            delay = min(max(self.store.next_deadline() - self.clock.now(), 0.01), MAX_SLEEP_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def end_due(self) -> None:
        """End what is due by now; with the quota gone, that is everything."""
        due = list(self.store.due())
        if self.store.is_quota_gone():
            due += [(session, "quota") for session in self.store.open_sessions() if session.options.cost_factor]
        await asyncio.gather(*(self.end(session, reason) for session, reason in due))

    async def reset(self, rules: Rules) -> None:
        """As freshly started: sessions ended and forgotten, the clock as it was."""
        await asyncio.gather(*(self.end(session, "reset") for session in self.store.open_sessions()))
        self.clock.offset = 0.0
        self.store = Store(rules, self.clock)

    async def close(self) -> None:
        """End every session, so that no avatar is left behind in a room."""
        await asyncio.gather(*(self.end(session, "shutdown") for session in self.store.open_sessions()))
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.rooms.close()

    def in_background(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._background.add(task)  # the loop alone would let it be collected half way
        task.add_done_callback(self._background.discard)

    # From the actor ------------------------------------------------------------------------------------------

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
        )

    async def _join(self, session: Session, performer: Performer) -> None:
        try:
            await performer.join()
        except Exception as exc:  # noqa: BLE001 - whatever kept it away
            # As with the real service: the session stays in `connecting`, and nobody is told why.
            log.warning("the avatar of %s could not join: %s", session.id, exc or type(exc).__name__)

    def _on_present(self, session: Session) -> None:
        session.present = True
        self.connect_if_complete(session)

    def _on_user(self, session: Session, here: bool) -> None:
        if session.is_open:
            self.store.set_user(session, here)
            self.connect_if_complete(session)

    def connect_if_complete(self, session: Session) -> None:
        """Move on to `connected` once person and avatar are there; safe to ask at any time."""
        runtime = self.runtimes.get(session.id)
        if runtime is None or runtime.never_connects or not session.present or session.user_since is None:
            return
        if self.store.move(session, State.CONNECTED):
            session.active_at = self.clock.now()
            self._tell_state(session)

    def _on_event(self, session: Session, event: dict[str, Any]) -> None:
        runtime = self.runtimes.get(session.id)
        if runtime is None:
            return
        if event["type"].startswith(("user_", "avatar_start_")):
            session.active_at = self.clock.now()  # speech and texts in the room count like tasks
        if event["type"] == "avatar_stop_talking" and (over := runtime.speaking.pop(event["task_id"], None)):
            over.set()
        self.tell(session, event)

    def _tell_state(self, session: Session) -> None:
        self.tell(session, _state_message(session))


def _state_message(session: Session) -> dict[str, Any]:
    return {"type": "_state", "state": session.state.value}
