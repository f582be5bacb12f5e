"""Chat WebSocket of the published SDK: protobuf frames in, JSON out."""

import logging
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType, web

from heygen_portal.emulator.heygen import chat_frames
from heygen_portal.emulator.heygen.responses import clean
from heygen_portal.emulator.heygen.service import HEYGEN, HeyGenService
from heygen_portal.emulator.sessions.states import OPEN, Refusal, State
from heygen_portal.emulator.sessions.store import Caller, Session
from heygen_portal.emulator.sessions.websocket import Message, SessionSocket

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

MICROPHONE: Final = (16_000, 1)  # sample rate, channels
MAX_EARLY_TEXTS: Final = 10  # kept until the session is connected


@routes.get("/v1/ws/streaming.chat")
async def chat(request: web.Request) -> web.WebSocketResponse:
    """Accept a chat socket in any open state.

    Clients open it before or after `start`.
    """
    service = request.app[HEYGEN]
    token = service.store.tokens.get(request.query.get("session_token", ""))
    if token is None:
        raise Refusal("unauthorized")
    session = service.store.find_for(request.query.get("session_id", ""), Caller(token))
    if session.state not in OPEN:
        raise Refusal("state_closing" if session.state is State.CLOSING else "state_closed")
    return await Chat(request, service, session).serve()


class Chat:
    """A client's chat socket.

    Recognized speech is reported here if the microphone's audio arrives here; with `arch_version=v2` it arrives in the
    room and is reported there. The avatar's text is always reported in the room.
    """

    def __init__(self, request: web.Request, service: HeyGenService, session: Session) -> None:
        self._service = service
        self._session = session
        self._socket = SessionSocket(request, service, session)
        self._opening = clean(request.query.get("opening_text", ""))
        self._early: list[str] = []
        self._carries_microphone = request.query.get("arch_version") != "v2"
        # Documented only for microphones in the room: this socket carries no push-to-talk packets.
        push_to_talk = request.query.get("push_to_talk") == "true" and not self._carries_microphone
        service.set_hearing(session, language=request.query.get("stt_language", ""), push_to_talk=push_to_talk)

    async def serve(self) -> web.WebSocketResponse:
        if self._session.state is State.CONNECTED:
            self._greet()
        return await self._socket.serve(self._on_message, self._on_event)

    def _on_message(self, raw: WSMessage) -> None:
        try:
            frame = chat_frames.decode(raw.data) if raw.type is WSMsgType.BINARY else None
        except chat_frames.InvalidFrame:
            log.info("a chat frame of %s was not understood", self._session.id)
            return
        match frame:
            case chat_frames.TextFrame(text):
                self._answer(text)
            case chat_frames.AudioFrame():
                self._hear(frame)

    def _answer(self, text: str) -> None:
        """Answer a text.

        The socket cannot refuse: invalid texts are dropped, long ones cut.

        A client may know that the session is ready before we do, so texts are kept until it is connected.
        """
        words = clean(text)[: self._service.store.rules.text_limit]
        if not words:
            return
        if self._session.state is State.CONNECTING:
            self._early = [*self._early, words][:MAX_EARLY_TEXTS]
            return
        try:
            self._service.speak(self._session, words, answer=True)
        except Refusal as refusal:
            log.info("a text of %s was dropped: %s", self._session.id, refusal.message)

    def _hear(self, frame: chat_frames.AudioFrame) -> None:
        """Process audio in the SDK's format.

        It sends silence too, so only recognized speech counts as activity.
        """
        if (frame.sample_rate, frame.channels) == MICROPHONE:
            with suppress(Refusal):  # the avatar is not present yet
                self._service.performer(self._session).hear(frame.audio[: len(frame.audio) // 2 * 2])

    def _on_event(self, event: Message) -> None:
        if event["type"] == "_state":
            if event["state"] == State.CONNECTED:
                self._greet()
                self._answer_early()
            elif event["state"] == State.CLOSED:
                self._socket.close()
        elif not self._service.has_media or (self._carries_microphone and event["type"].startswith("user_")):
            self._socket.send(_as_chat_event(event))  # without media there is no room to report it in

    def _greet(self) -> None:
        """Speak the greeting of the URL once the avatar is present."""
        words, self._opening = self._opening[: self._service.store.rules.text_limit], ""
        if words:
            self._service.speak(self._session, words, answer=False)

    def _answer_early(self) -> None:
        early, self._early = self._early, []
        for words in early:
            self._answer(words)


def _as_chat_event(event: dict[str, Any]) -> Message:
    """Return the event with this socket's key for its type."""
    return {"event_type": event["type"]} | {name: value for name, value in event.items() if name != "type"}
