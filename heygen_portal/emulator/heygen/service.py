"""HeyGen's Streaming API behind the routes."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.heygen.catalogue import Catalogue
from heygen_portal.emulator.heygen.requests import parse_options
from heygen_portal.emulator.sessions.interfaces import PerformerFactory
from heygen_portal.emulator.sessions.rooms import Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.runner import SessionService
from heygen_portal.emulator.sessions.states import State
from heygen_portal.emulator.sessions.store import Caller, Session


@dataclass(frozen=True)
class QueuedSpeech:
    task_id: str
    duration_ms: float


class HeyGenService(SessionService):
    """HeyGen's sessions. Each method is an action of the API and may raise Refusal."""

    NAME = "heygen"

    def __init__(self, rules: Rules, rooms: Rooms, performer_factory: PerformerFactory) -> None:
        super().__init__(rules, rooms, performer_factory)
        self.catalogue = Catalogue()

    def create_session(self, body: dict[str, Any], caller: Caller) -> Session:
        session = self.store.new_session(parse_options(body, self.catalogue, self.store.rules), caller)
        self.add_runtime(session)
        return session

    def speak(self, session: Session, text: str, *, answer: bool) -> QueuedSpeech:
        """Queue `text` itself, or an answer to it."""
        self.store.accept(session, "task")
        performer = self.performer(session)
        task_id = self.next_task(session)
        runtime = self.runtimes[session.id]
        runtime.speaking[task_id] = asyncio.Event()
        speak = performer.answer if answer else performer.say
        return QueuedSpeech(task_id, speak(text, task_id=task_id))

    async def prepare(self, session: Session, text: str) -> None:
        """Synthesize a text in a thread before `speak`.

        A long one would delay the video frames of all sessions.
        """
        if session.state is State.CONNECTED:
            await self.performer(session).prepare(text)

    def set_hearing(self, session: Session, *, language: str, push_to_talk: bool) -> None:
        """Apply a chat socket's options. Empty ones keep their value."""
        hearing = self.runtimes[session.id].hearing
        hearing.language = language or hearing.language
        hearing.push_to_talk = push_to_talk or hearing.push_to_talk

    async def reset(self, rules: Rules) -> None:
        await super().reset(rules)
        self.catalogue = Catalogue()


HEYGEN: Final = web.AppKey("heygen", HeyGenService)
CALLER: Final = web.RequestKey("caller", Caller)
