"""LiveAvatar behind the routes: tokens, sessions, and talk in FULL sessions."""

import asyncio
import json
import logging
import secrets
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import jwt
from aiohttp import web

from heygen_portal.emulator.heygen.responses import clean
from heygen_portal.emulator.liveavatar.catalogue import LiveAvatarCatalogue
from heygen_portal.emulator.liveavatar.custom_models import CustomModels, EndpointFailed, Reply
from heygen_portal.emulator.liveavatar.requests import (
    LiveAvatarOptions,
    TokenRequest,
    parse_options,
    parse_token_request,
)
from heygen_portal.emulator.liveavatar.states import COMMANDS, EVENTS, end_reason
from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.interfaces import (
    HearingSettings,
    Performer,
    PerformerConfig,
    PerformerFactory,
    Topics,
)
from heygen_portal.emulator.sessions.options import SessionOptions
from heygen_portal.emulator.sessions.rooms import Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.runner import SessionRuntime, SessionService
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Caller, Session, TranscriptLine

log = logging.getLogger(__name__)

MAX_PENDING_SESSIONS: Final = 10_000
DELIVERY_SECONDS: Final = 3.0  # limit for LiveKit to deliver a data packet
LEAVE_SECONDS: Final = 0.5  # given to the user to leave before the room is deleted
MESSAGES_KEPT: Final = 40  # of a conversation, sent to a customer's model
ENDPOINT_FAILED: Final = {
    "es": "El modelo de esta sesión no ha respondido: {}.",
    "en": "The model of this session did not answer: {}.",
}


@dataclass
class RoomConversation:
    """State of a conversation while its session is open."""

    sources: dict[str, str | None] = field(default_factory=dict)  # task ID -> event ID of its command
    replies: dict[str, Reply] = field(default_factory=dict)  # task ID -> the answer that it is a sentence of
    reply: Reply | None = None  # the newest answer of a customer's model
    messages: list[dict[str, str]] = field(default_factory=list)  # what was said, for a customer's model
    speech_lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # synthesized in threads, spoken in order
    interruptions: int = 0
    heard: str = ""
    is_talking: bool = False
    is_pressed: bool = False
    user_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def current_replies(self) -> list[Reply]:
        """The answers of a customer's model that are being given or said."""
        return [*({id(reply): reply for reply in (*self.replies.values(), self.reply) if reply}.values())]


class LiveAvatarService(SessionService):
    """LiveAvatar's sessions.

    Each method is an action of the API and may raise Refusal.
    """

    NAME = "liveavatar"

    def __init__(self, rules: Rules, rooms: Rooms, performer_factory: PerformerFactory, clock: Clock) -> None:
        super().__init__(rules.liveavatar(), rooms, performer_factory, clock)
        self.catalogue = LiveAvatarCatalogue()
        self.models = CustomModels()
        self.pending: dict[str, TokenRequest] = {}  # by the future session's ID
        self.tokens: dict[str, str] = {}  # session token -> session ID
        self.sockets: dict[str, str] = {}  # key in a socket's URL -> session ID
        self._conversations: dict[str, RoomConversation] = {}
        self._signing_key = secrets.token_urlsafe(32)

    # Actions ------------------------------------------------------------------------------------------------

    def create_token(self, body: dict[str, Any]) -> tuple[str, str]:
        """Return a session ID and the token that starts it.

        Nothing is billed or reserved yet.
        """
        token_request, session_id = parse_token_request(body, self.store.rules), str(uuid4())
        if len(self.pending) >= MAX_PENDING_SESSIONS:
            del self.pending[next(iter(self.pending))]
        if len(self.tokens) >= 2 * MAX_PENDING_SESSIONS:
            self.tokens = {token: named for token, named in self.tokens.items() if self._is_known(named)}
        self.pending[session_id] = token_request
        claims = {
            "session_id": session_id,
            "iat": int(self.clock.now()),
            "start_session_data": {
                "mode": token_request.mode,
                "avatar_id": token_request.avatar_id,
                "voice_id": token_request.voice_id or None,
                "is_sandbox": token_request.is_sandbox,
                "interactivity_type": "PUSH_TO_TALK" if token_request.is_push_to_talk else "CONVERSATIONAL",
            },
        }
        token = jwt.encode(claims, self._signing_key, "HS256")
        self.tokens[token] = session_id
        return session_id, token

    def open(self, session_id: str) -> Session:
        """Start the session created under this ID."""
        token_request = self.pending.get(session_id)
        if token_request is None:
            raise Refusal("already_started" if session_id in self.store.sessions else "session_not_found")
        options = parse_options(token_request, self.catalogue, self.models, self.store.rules)
        minute = options.cost_factor * self.store.rules.credits_per_minute * 60
        if options.cost_factor and self.store.remaining_quota() < minute:  # at least one minute must be covered
            raise Refusal("trial_limit")
        session = self.store.new_session(options, Caller(), session_id)
        del self.pending[session_id]
        self._conversations[session_id] = RoomConversation()
        runtime = self.add_runtime(session)
        runtime.hearing.push_to_talk = options.is_push_to_talk
        self.start(session)
        return session

    def socket_of(self, session: Session) -> str:
        """Return the key in the URL of a LITE session's socket."""
        key = uuid4().hex
        self.sockets[key] = session.id
        return key

    async def stop(self, session_id: str, reason: str) -> None:
        """End a session or discard a pending one. Idempotent, as clients stop twice."""
        if self.pending.pop(session_id, None) is None:
            await self.end(self.store.find(session_id), reason)

    def command(self, session: Session, message: dict[str, Any]) -> None:
        """Handle a client's message on the command topic, where nothing can be refused."""
        conversation = self._conversations.get(session.id)
        if conversation is None or options_of(session).mode != "FULL":
            return
        session.active_at = self.clock.now()
        event_id = message.get("event_id")
        source = event_id if isinstance(event_id, str) else None
        text = message.get("text")
        words = clean(text)[: self.store.rules.text_limit] if isinstance(text, str) else ""
        match message.get("event_type"):
            case "avatar.speak_text" if words:
                self._speak(session, conversation, words, source, is_answer=False)
            case "avatar.speak_response" if words:
                session.transcript.append(TranscriptLine("user", words, self.clock.now()))
                self._answer(session, conversation, words, source)
            case "avatar.interrupt":
                self.stop_speech(session)
            case "avatar.start_listening":
                self.performer(session).listen(True)
            case "avatar.stop_listening":
                self.performer(session).listen(False)
            case "user.start_push_to_talk":
                self._press(session, conversation, True)
            case "user.stop_push_to_talk":
                self._press(session, conversation, False)

    def stop_speech(self, session: Session) -> None:
        conversation = self._conversations.get(session.id)
        replies = conversation.current_replies if conversation else []
        if conversation:
            conversation.interruptions += 1
        for reply in replies:
            reply.cut()
        super().stop_speech(session)
        for reply in replies:
            self._end_if_over(session, conversation, reply)

    async def close(self) -> None:
        await super().close()
        await self.models.close()

    async def reset(self, rules: Rules) -> None:
        await super().reset(rules.liveavatar())
        self.catalogue = LiveAvatarCatalogue()
        self.models.clear()
        for known in (self.pending, self.tokens, self.sockets):
            known.clear()

    # Room messages ------------------------------------------------------------------------------------------

    def say(self, session: Session, kind: str, source: str | None = None, **more: Any) -> None:
        """Publish an event to everyone in the room."""
        runtime = self.runtimes.get(session.id)
        if runtime and runtime.performer:
            ids = {"event_id": str(uuid4()), "session_id": session.id, "source_event_id": source}
            runtime.performer.send_message({"event_type": kind, **ids, **more})

    def _speak(
        self, session: Session, conversation: RoomConversation, text: str, source: str | None, *, is_answer: bool
    ) -> None:
        """Publish a text at once, then synthesize it in a thread and queue its audio."""
        if is_answer:
            for piece in text.split(" "):
                self.say(session, "avatar.transcription.chunk", source, text=f"{piece} ")
        self.say(session, "avatar.transcription", source, text=text)
        session.transcript.append(TranscriptLine("avatar", text, self.clock.now()))
        self.in_background(self._say_in_order(session, conversation, text, source, conversation.interruptions))

    async def _say_in_order(
        self,
        session: Session,
        conversation: RoomConversation,
        text: str,
        source: str | None,
        interruptions: int,
        reply: Reply | None = None,
    ) -> None:
        """Speak the text, unless there was an interruption since it was requested."""
        async with conversation.speech_lock:
            if session.id in self.runtimes and conversation.interruptions == interruptions:
                await self.performer(session).prepare(text)
            if session.id in self.runtimes and conversation.interruptions == interruptions:
                task_id = self.next_task(session)
                if reply:
                    conversation.replies[task_id] = reply
                else:
                    conversation.sources[task_id] = source
                self.performer(session).say(text, task_id=task_id)

    def _answer(
        self, session: Session, conversation: RoomConversation, question: str, source: str | None = None
    ) -> None:
        options = options_of(session)
        if not options.has_context:
            return
        if options.llm_configuration_id:
            if conversation.reply and conversation.reply.asking:
                conversation.reply.asking.cancel()  # what came of the answer before is said
            conversation.reply = Reply(source)
            asking = self._ask(session, conversation, conversation.reply, question)
            conversation.reply.asking = asyncio.create_task(asking)
            self.in_background(conversation.reply.asking)
        else:
            reply = self.performer(session).reply(question)
            self._speak(session, conversation, reply, source, is_answer=True)

    async def _ask(self, session: Session, conversation: RoomConversation, reply: Reply, question: str) -> None:
        """Ask the customer's model of a session, and say each sentence as soon as it is whole."""
        options, said = options_of(session), conversation.messages
        said.append({"role": "user", "content": question})
        asked = [{"role": "system", "content": options.knowledge}, *said[-MESSAGES_KEPT:]]
        try:
            async with aclosing(self.models.answer(options.llm_configuration_id, asked)) as texts:
                async for text in texts:
                    self._say_piece(session, conversation, reply, text)
        except EndpointFailed as exc:
            log.warning("the model of %s failed: %s", session.id, exc)
            words = ENDPOINT_FAILED.get(options.language, ENDPOINT_FAILED["en"])
            self._say_piece(session, conversation, reply, f"{words.format(exc)} ")
        except asyncio.CancelledError:
            reply.complete()  # an unfinished sentence is not said
            raise
        finally:
            if text := reply.text.strip():
                said.append({"role": "assistant", "content": text})
                session.transcript.append(TranscriptLine("avatar", text, self.clock.now()))
            for sentence in reply.complete():
                self._queue(session, conversation, reply, sentence)
            self._end_if_over(session, conversation, reply)
        self.say(session, "avatar.transcription", reply.source, text=reply.text.strip())

    def _say_piece(self, session: Session, conversation: RoomConversation, reply: Reply, text: str) -> None:
        self.say(session, "avatar.transcription.chunk", reply.source, text=text)
        for sentence in reply.add(text):
            self._queue(session, conversation, reply, sentence)

    def _queue(self, session: Session, conversation: RoomConversation, reply: Reply, sentence: str) -> None:
        reply.queued += 1
        interruptions = conversation.interruptions
        self.in_background(self._say_in_order(session, conversation, sentence, reply.source, interruptions, reply))

    def _end_if_over(self, session: Session, conversation: RoomConversation | None, reply: Reply) -> None:
        if conversation and reply.ends_now():
            conversation.is_talking = False
            self.say(session, "avatar.speak_ended", reply.source)

    def _press(self, session: Session, conversation: RoomConversation, on: bool) -> None:
        verb, done = ("start", "started") if on else ("stop", "stopped")
        if not options_of(session).is_push_to_talk or conversation.is_pressed == on:
            self.say(session, f"user.push_to_talk_{verb}_failed")
            return
        conversation.is_pressed = on
        self.say(session, f"user.push_to_talk_{done}")
        self.performer(session).press(on)

    def _report(self, session: Session, conversation: RoomConversation, event: dict[str, Any]) -> None:
        """Publish a performer's event in this service's form."""
        match event["type"]:
            case "user_start":
                conversation.heard = ""
                self.say(session, "user.speak_started")
                is_answering = conversation.is_talking or (conversation.reply and not conversation.reply.is_complete)
                if is_answering and not options_of(session).is_push_to_talk:
                    self.stop_speech(session)
            case "user_talking_message":
                conversation.heard += event["message"]
                self.say(session, "user.transcription.chunk", text=conversation.heard)
            case "user_stop":
                self.say(session, "user.speak_ended")
                if conversation.heard:
                    self.say(session, "user.transcription", text=conversation.heard)
                    session.transcript.append(TranscriptLine("user", conversation.heard, self.clock.now()))
                    self._answer(session, conversation, conversation.heard)
            case "avatar_start_talking" if reply := conversation.replies.get(event["task_id"]):
                reply.queued, reply.is_speaking = max(0, reply.queued - 1), True
                if not reply.has_begun:
                    reply.has_begun = conversation.is_talking = True
                    self.say(session, "avatar.speak_started", reply.source)
            case "avatar_stop_talking" if reply := conversation.replies.pop(event["task_id"], None):
                reply.is_speaking = False
                self._end_if_over(session, conversation, reply)
            case "avatar_start_talking":
                conversation.is_talking = True
                self.say(session, "avatar.speak_started", conversation.sources.get(event["task_id"]))
            case "avatar_stop_talking":
                conversation.is_talking = False
                self.say(session, "avatar.speak_ended", conversation.sources.pop(event["task_id"], None))
            case "_no_model":
                self._speak(session, conversation, event["message"], None, is_answer=True)

    # Performer callbacks ------------------------------------------------------------------------------------

    def _performer_config(self, room: str, options: SessionOptions, hearing: HearingSettings) -> PerformerConfig:
        return replace(super()._performer_config(room, options, hearing), topics=Topics(COMMANDS, EVENTS))

    async def _join(self, session: Session, performer: Performer) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._join(session, performer))
            if self.has_media and options_of(session).mode == "FULL":
                group.create_task(self._send_agent(session))

    async def _send_agent(self, session: Session) -> None:
        from heygen_portal.emulator.liveavatar.agent import Agent  # WebRTC is not loaded without media

        agent = self.runtimes[session.id].agent = Agent(self.rooms.url, self.rooms.service_agent_token(session.id))
        try:
            await agent.join()
        except Exception as exc:  # noqa: BLE001 - whatever kept it away; clients notice that it does not come
            log.warning("the agent of %s could not join: %s", session.id, exc or type(exc).__name__)

    def _on_present(self, session: Session) -> None:
        super()._on_present(session)
        self.notify(session, {"type": "_present"})

    def _on_user(self, session: Session, here: bool) -> None:
        super()._on_user(session, here)
        if conversation := self._conversations.get(session.id):
            if here:
                conversation.user_left.clear()
            else:
                conversation.user_left.set()

    def _on_event(self, session: Session, event: dict[str, Any]) -> None:
        if event["type"] == "_command":
            if message := _parse_object(event["payload"]):
                self.command(session, message)
            return
        super()._on_event(session, event)
        conversation = self._conversations.get(session.id)
        if conversation and options_of(session).mode == "FULL":
            self._report(session, conversation, event)

    def _notify_state(self, session: Session) -> None:
        super()._notify_state(session)
        if options_of(session).mode != "FULL":
            return
        if session.state is State.CONNECTED and (opening := session.options.opening):
            conversation = self._conversations[session.id]
            self._speak(session, conversation, opening, None, is_answer=False)
        elif session.state is State.CLOSING:
            reason = end_reason(session.end_reason)
            self.say(session, "session.stopped", stop_reason=reason, end_reason=reason)

    async def _deliver_reason(self, session: Session, runtime: SessionRuntime) -> None:
        """Keep the room until `session.stopped` has arrived.

        Closing a connection drops packets in transit.
        """
        conversation = self._conversations.get(session.id)
        if conversation is None or runtime.agent is None:
            return
        # Even if no user is known: LiveKit may not have announced one yet.
        with suppress(TimeoutError):
            await asyncio.wait_for(runtime.agent.wait_for_stopped(), DELIVERY_SECONDS)
        with suppress(TimeoutError):  # LiveKit sent the user's packet with the agent's
            await asyncio.wait_for(conversation.user_left.wait(), LEAVE_SECONDS)

    async def end(self, session: Session, reason: str) -> None:
        await super().end(session, reason)
        if conversation := self._conversations.get(session.id):
            for reply in conversation.current_replies:
                reply.cut()
        if session.state is State.CLOSED:
            self._conversations.pop(session.id, None)
            self.sockets = {key: named for key, named in self.sockets.items() if named != session.id}

    def _is_known(self, session_id: str) -> bool:
        return session_id in self.pending or session_id in self.store.sessions


def options_of(session: Session) -> LiveAvatarOptions:
    """Return the session's options, which are always LiveAvatar's here."""
    assert isinstance(session.options, LiveAvatarOptions)
    return session.options


def _parse_object(payload: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a packet, or None.

    Every participant of the room can send data.
    """
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


LIVEAVATAR: Final = web.AppKey("liveavatar", LiveAvatarService)
