"""LiveAvatar behind the routes: tokens minted, sessions started from them, and the talk in a FULL session's room."""

import asyncio
import json
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import jwt
from aiohttp import web

from heygen_portal.emulator.heygen.responses import clean
from heygen_portal.emulator.liveavatar.catalogue import LiveCatalogue
from heygen_portal.emulator.liveavatar.requests import LiveOrder, Wish, take_order, take_wish
from heygen_portal.emulator.liveavatar.states import COMMANDS, EVENTS, end_reason
from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.interfaces import Actor, Cast, Hearing, Part, Topics
from heygen_portal.emulator.sessions.order import Order
from heygen_portal.emulator.sessions.rooms import Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.runner import Stage, Staging
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Caller, Line, Session

log = logging.getLogger(__name__)

MOST_MINTED: Final = 10_000
HAND_ON_S: Final = 3.0  # in which LiveKit passes a data packet on, unless it is lost
LEAVE_S: Final = 0.5  # in which a person who received the reason may leave before the room is deleted


@dataclass
class Talk:
    """How a conversation stands, for as long as its session is open."""

    sources: dict[str, str | None] = field(default_factory=dict)  # task -> the command that asked for it
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # speech is made in threads, and said in order
    breaks: int = 0  # interruptions so far
    heard: str = ""
    is_talking: bool = False
    is_pressed: bool = False
    person_left: asyncio.Event = field(default_factory=asyncio.Event)


class LiveStudio(Staging):
    """One verb a method; each raises Refusal when the answer is no."""

    NAME = "liveavatar"

    def __init__(self, rules: Rules, rooms: Rooms, cast: Cast, clock: Clock) -> None:
        super().__init__(rules.liveavatar(), rooms, cast, clock)
        self.catalogue = LiveCatalogue()
        self.minted: dict[str, Wish] = {}  # by the id of the session to be
        self.tokens: dict[str, str] = {}  # session tokens, and whose they are
        self.sockets: dict[str, str] = {}  # the last step of a socket's address, and whose it is
        self._talks: dict[str, Talk] = {}
        self._signature = secrets.token_urlsafe(32)

    # Verbs --------------------------------------------------------------------------------------------------

    def mint(self, body: dict[str, Any]) -> tuple[str, str]:
        """A session's id, and the token that starts it. Nothing is billed or held yet."""
        wish, session_id = take_wish(body, self.store.rules), str(uuid4())
        if len(self.minted) >= MOST_MINTED:
            del self.minted[next(iter(self.minted))]
        if len(self.tokens) >= 2 * MOST_MINTED:
            self.tokens = {token: named for token, named in self.tokens.items() if self._is_known(named)}
        self.minted[session_id] = wish
        claims = {
            "session_id": session_id,
            "iat": int(self.clock.now()),
            "start_session_data": {
                "mode": wish.mode,
                "avatar_id": wish.avatar_id,
                "voice_id": wish.voice_id or None,
                "is_sandbox": wish.is_sandbox,
                "interactivity_type": "PUSH_TO_TALK" if wish.is_push_to_talk else "CONVERSATIONAL",
            },
        }
        token = jwt.encode(claims, self._signature, "HS256")
        self.tokens[token] = session_id
        return session_id, token

    def open(self, session_id: str) -> Session:
        """Start the session that was minted under this id, and send the avatar on its way."""
        wish = self.minted.get(session_id)
        if wish is None:
            raise Refusal("already_started" if session_id in self.store.sessions else "session_not_found")
        order = take_order(wish, self.catalogue, self.store.rules)
        minute = order.tariff * self.store.rules.credits_per_minute * 60
        if order.tariff and self.store.remaining_quota() < minute:  # at least one is needed
            raise Refusal("trial_limit")
        session = self.store.new_session(order, Caller(), session_id)
        del self.minted[session_id]
        self._talks[session_id] = Talk()
        stage = self.set_up(session)
        stage.hearing.push_to_talk = order.is_push_to_talk
        self.start(session)
        return session

    def socket_of(self, session: Session) -> str:
        """The last step of the address at which a LITE session is spoken to."""
        key = uuid4().hex
        self.sockets[key] = session.id
        return key

    async def stop(self, session_id: str, reason: str) -> None:
        """End a session, or give up one that never began. One that is over stays so: clients stop twice."""
        if self.minted.pop(session_id, None) is None:
            await self.end(self.store.find(session_id), reason)

    def command(self, session: Session, message: dict[str, Any]) -> None:
        """Obey what a client publishes on the topic of commands. There, nothing can be refused."""
        talk = self._talks.get(session.id)
        if talk is None or live(session).mode != "FULL":
            return
        session.touched_at = self.clock.now()
        event_id = message.get("event_id")
        source = event_id if isinstance(event_id, str) else None
        text = message.get("text")
        words = clean(text)[: self.store.rules.text_limit] if isinstance(text, str) else ""
        match message.get("event_type"):
            case "avatar.speak_text" if words:
                self._speak(session, talk, words, source, is_answer=False)
            case "avatar.speak_response" if words:
                session.transcript.append(Line("user", words, self.clock.now()))
                self._answer(session, talk, words, source)
            case "avatar.interrupt":
                self.hush(session)
            case "avatar.start_listening":
                self.actor(session).listen(True)
            case "avatar.stop_listening":
                self.actor(session).listen(False)
            case "user.start_push_to_talk":
                self._press(session, talk, True)
            case "user.stop_push_to_talk":
                self._press(session, talk, False)

    def hush(self, session: Session) -> None:
        if talk := self._talks.get(session.id):
            talk.breaks += 1
        super().hush(session)

    async def reset(self, rules: Rules) -> None:
        await super().reset(rules.liveavatar())
        self.catalogue = LiveCatalogue()
        for known in (self.minted, self.tokens, self.sockets):
            known.clear()

    # What is said in a room -----------------------------------------------------------------------------------

    def say(self, session: Session, kind: str, source: str | None = None, **more: Any) -> None:
        """Publish an event to everybody in the room."""
        stage = self.stages.get(session.id)
        if stage and stage.actor:
            ids = {"event_id": str(uuid4()), "session_id": session.id, "source_event_id": source}
            stage.actor.tell({"event_type": kind, **ids, **more})

    def _speak(self, session: Session, talk: Talk, text: str, source: str | None, *, is_answer: bool) -> None:
        """Have `text` said: its words are told at once, its sound is made in a thread and follows in its turn."""
        if is_answer:
            for piece in text.split(" "):
                self.say(session, "avatar.transcription.chunk", source, text=f"{piece} ")
        self.say(session, "avatar.transcription", source, text=text)
        session.transcript.append(Line("avatar", text, self.clock.now()))
        self.in_background(self._utter(session, talk, text, source, talk.breaks))

    async def _utter(self, session: Session, talk: Talk, text: str, source: str | None, breaks: int) -> None:
        """Unless there was an interruption since so many."""
        async with talk.turn:
            if session.id in self.stages and talk.breaks == breaks:
                await self.actor(session).prepare(text)
            if session.id in self.stages and talk.breaks == breaks:
                task_id = self.next_task(session)
                talk.sources[task_id] = source
                self.actor(session).say(text, task_id=task_id)

    def _answer(self, session: Session, talk: Talk, question: str, source: str | None = None) -> None:
        if live(session).has_context:
            reply = self.actor(session).reply(question)
            self._speak(session, talk, reply, source, is_answer=True)

    def _press(self, session: Session, talk: Talk, on: bool) -> None:
        verb, done = ("start", "started") if on else ("stop", "stopped")
        if not live(session).is_push_to_talk or talk.is_pressed == on:
            self.say(session, f"user.push_to_talk_{verb}_failed")
            return
        talk.is_pressed = on
        self.say(session, f"user.push_to_talk_{done}")
        self.actor(session).press(on)

    def _narrate(self, session: Session, talk: Talk, event: dict[str, Any]) -> None:
        """Put what happens to the performer into the words of this service."""
        match event["type"]:
            case "user_start":
                talk.heard = ""
                self.say(session, "user.speak_started")
                if talk.is_talking and not live(session).is_push_to_talk:
                    self.hush(session)
            case "user_talking_message":
                talk.heard += event["message"]
                self.say(session, "user.transcription.chunk", text=talk.heard)
            case "user_stop":
                self.say(session, "user.speak_ended")
                if talk.heard:
                    self.say(session, "user.transcription", text=talk.heard)
                    session.transcript.append(Line("user", talk.heard, self.clock.now()))
                    self._answer(session, talk, talk.heard)
            case "avatar_start_talking":
                talk.is_talking = True
                self.say(session, "avatar.speak_started", talk.sources.get(event["task_id"]))
            case "avatar_stop_talking":
                talk.is_talking = False
                self.say(session, "avatar.speak_ended", talk.sources.pop(event["task_id"], None))
            case "_deaf":
                self._speak(session, talk, event["message"], None, is_answer=True)

    # From the stage --------------------------------------------------------------------------------------------

    def _part(self, room: str, order: Order, hearing: Hearing) -> Part:
        return replace(super()._part(room, order, hearing), topics=Topics(COMMANDS, EVENTS))

    async def _join(self, session: Session, actor: Actor) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._join(session, actor))
            if self.has_media and live(session).mode == "FULL":
                group.create_task(self._send_agent(session))

    async def _send_agent(self, session: Session) -> None:
        from heygen_portal.emulator.liveavatar.agent import Agent  # without media, no WebRTC is loaded

        agent = self.stages[session.id].agent = Agent(self.rooms.url, self.rooms.helper_token(session.id))
        try:
            await agent.join()
        except Exception as exc:  # noqa: BLE001 - whatever kept it away; clients notice that it does not come
            log.warning("the agent of %s could not join: %s", session.id, exc or type(exc).__name__)

    def _on_present(self, session: Session) -> None:
        super()._on_present(session)
        self.tell(session, {"type": "_present"})

    def _on_user(self, session: Session, here: bool) -> None:
        super()._on_user(session, here)
        if talk := self._talks.get(session.id):
            if here:
                talk.person_left.clear()
            else:
                talk.person_left.set()

    def _on_event(self, session: Session, event: dict[str, Any]) -> None:
        if event["type"] == "_command":
            if message := _object(event["payload"]):
                self.command(session, message)
            return
        super()._on_event(session, event)
        talk = self._talks.get(session.id)
        if talk and live(session).mode == "FULL":
            self._narrate(session, talk, event)

    def _tell_state(self, session: Session) -> None:
        super()._tell_state(session)
        if live(session).mode != "FULL":
            return
        if session.state is State.CONNECTED and (opening := session.order.opening):
            talk = self._talks[session.id]
            self._speak(session, talk, opening, None, is_answer=False)
        elif session.state is State.CLOSING:
            reason = end_reason(session.end_reason)
            self.say(session, "session.stopped", stop_reason=reason, end_reason=reason)

    async def _deliver_reason(self, session: Session, stage: Stage) -> None:
        """Keep the room until `session.stopped` has arrived: the end of a connection drops packets on their way."""
        talk = self._talks.get(session.id)
        if talk is None or stage.agent is None:
            return
        # Even if nobody seems to be there: LiveKit announces a person without tracks up to three seconds late.
        with suppress(TimeoutError):
            await asyncio.wait_for(stage.agent.hear_stopped(), HAND_ON_S)
        with suppress(TimeoutError):  # the person's packet left LiveKit with the agent's
            await asyncio.wait_for(talk.person_left.wait(), LEAVE_S)

    async def end(self, session: Session, reason: str) -> None:
        await super().end(session, reason)
        if session.state is State.CLOSED:
            self._talks.pop(session.id, None)
            self.sockets = {key: named for key, named in self.sockets.items() if named != session.id}

    def _is_known(self, session_id: str) -> bool:
        return session_id in self.minted or session_id in self.store.sessions


def live(session: Session) -> LiveOrder:
    """The session's order, which here is always one of LiveAvatar's."""
    assert isinstance(session.order, LiveOrder)
    return session.order


def _object(payload: bytes) -> dict[str, Any] | None:
    """The data channel belongs to everybody in the room: what is no JSON object is nobody's command."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


LIVE: Final = web.AppKey("live", LiveStudio)
