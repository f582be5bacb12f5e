"""What HeyGen's Streaming API does when a session is ordered and spoken to: the store's rules, then the performer."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.heygen.catalogue import Catalogue
from heygen_portal.emulator.heygen.requests import take_order
from heygen_portal.emulator.sessions.interfaces import Cast
from heygen_portal.emulator.sessions.rooms import Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.runner import Staging
from heygen_portal.emulator.sessions.states import State
from heygen_portal.emulator.sessions.store import Caller, Session


@dataclass(frozen=True)
class Spoken:
    task_id: str
    duration_ms: float


class Studio(Staging):
    """The service behind the routes. One verb a method; each raises Refusal when the answer is no."""

    NAME = "heygen"

    def __init__(self, rules: Rules, rooms: Rooms, cast: Cast) -> None:
        super().__init__(rules, rooms, cast)
        self.catalogue = Catalogue()

    def order(self, body: dict[str, Any], caller: Caller) -> Session:
        session = self.store.new_session(take_order(body, self.catalogue, self.store.rules), caller)
        self.set_up(session)
        return session

    def speak(self, session: Session, text: str, *, answer: bool) -> Spoken:
        """Queue speech: `text` itself, or an answer to it."""
        self.store.accept(session, "task")
        actor = self.actor(session)
        task_id = self.next_task(session)
        stage = self.stages[session.id]
        stage.speaking[task_id] = asyncio.Event()
        speak = actor.answer if answer else actor.say
        return Spoken(task_id, speak(text, task_id=task_id))

    async def prepare(self, session: Session, text: str) -> None:
        """Have a text's sound made before `speak`, in a thread: a long one would hold up everybody's pictures."""
        if session.state is State.CONNECTED:
            await self.actor(session).prepare(text)

    def hear_as(self, session: Session, *, language: str, push_to_talk: bool) -> None:
        """Heed what a chat socket asks for; what it leaves out stays as it is."""
        hearing = self.stages[session.id].hearing
        hearing.language = language or hearing.language
        hearing.push_to_talk = push_to_talk or hearing.push_to_talk

    async def reset(self, rules: Rules) -> None:
        await super().reset(rules)
        self.catalogue = Catalogue()


STUDIO: Final = web.AppKey("studio", Studio)
CALLER: Final = web.RequestKey("caller", Caller)
