"""Realtime WebSocket: the client sends the avatar's audio; JSON both ways."""

import base64
import binascii
import json
from typing import Any, Final
from uuid import uuid4

from aiohttp import WSMessage, WSMsgType, web

from heygen_portal.emulator.heygen.service import HEYGEN, HeyGenService
from heygen_portal.emulator.sessions.states import OPEN, Refusal, State
from heygen_portal.emulator.sessions.store import Session
from heygen_portal.emulator.sessions.websocket import Message, SessionSocket

routes = web.RouteTableDef()

MAX_BUFFERED_BYTES: Final = 24_000 * 2 * 600  # ten minutes of sound


@routes.get("/v2-alpha/interactive-avatar/session/{id}")
@routes.get("/v1-alpha/realtime/{id}")
async def realtime(request: web.Request) -> web.WebSocketResponse:
    """Accept a realtime socket.

    Its URL, known only from `streaming.new`, authorizes it.
    """
    service = request.app[HEYGEN]
    session = service.store.find(request.match_info["id"])
    if session.state not in OPEN:
        raise Refusal("state_closing" if session.state is State.CLOSING else "state_closed")
    return await Realtime(request, service, session).serve()


class Realtime:
    """A realtime client of a session and the audio it is sending."""

    def __init__(self, request: web.Request, service: HeyGenService, session: Session) -> None:
        self._service = service
        self._session = session
        self._socket = SessionSocket(request, service, session)
        self._pose = "idle"
        self._speaking: tuple[str, str] | None = None  # the client's event ID and our task ID
        self._events: dict[str, str] = {}  # task ID -> the client's event ID
        self._buffer = bytearray()

    async def serve(self) -> web.WebSocketResponse:
        self._send("session.state_updated", state=self._reported_state())
        return await self._socket.serve(self._on_message, self._on_event, self._service.store.rules.realtime_idle_s)

    # From the client ----------------------------------------------------------------------------------------

    def _on_message(self, raw: WSMessage) -> None:
        try:
            if raw.type is not WSMsgType.TEXT:
                raise ValueError("only JSON text is understood")
            message = json.loads(raw.data)
            handler = self.HANDLERS[message["type"]]
            handler(self, message)
        except Refusal as refusal:
            self._error("session_error", refusal.message)
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
            self._error("invalid_message", "The message was not understood.")

    def _speak(self, message: Message) -> None:
        event_id = _event_id(message)
        pcm = base64.b64decode(message["audio"], validate=True)
        performer = self._service.performer(self._session)
        if self._speaking is None or self._speaking[0] != event_id:
            self._finish()
            task_id = self._service.next_task(self._session)
            self._speaking = (event_id, task_id)
            self._events[task_id] = event_id
        self._session.active_at = self._service.clock.now()
        performer.play(pcm, task_id=self._speaking[1])

    def _speak_end(self, message: Message) -> None:
        self._finish()

    def _finish(self) -> None:
        """End the current utterance's audio."""
        if self._speaking:
            self._service.performer(self._session).end_play(self._speaking[1])
            self._speaking = None

    def _interrupt(self, message: Message) -> None:
        self._speaking = None
        broken_off, self._events = self._events, {}  # before stopping: these tasks do not end normally
        self._service.stop_speech(self._session)
        for task_id, event_id in broken_off.items():
            self._send("agent.speak_interrupted", source_event_id=event_id, task={"id": task_id})

    def _start_listening(self, message: Message) -> None:
        if self._pose == "idle":  # documented: only from idle
            self._service.performer(self._session).listen(True)
            self._set_pose("listening")

    def _stop_listening(self, message: Message) -> None:
        if self._pose == "listening":
            self._service.performer(self._session).listen(False)
            self._set_pose("idle")

    def _keep_alive(self, message: Message) -> None:
        self._service.store.accept(self._session, "keep_alive")

    def _append(self, message: Message) -> None:
        pcm = base64.b64decode(message["audio"], validate=True)
        if len(self._buffer) + len(pcm) > MAX_BUFFERED_BYTES:
            raise ValueError("too much sound")
        self._buffer += pcm
        self._send("agent.audio_buffer_appended", source_event_id=_event_id(message))

    def _commit(self, message: Message) -> None:
        if message.get("audio"):
            self._append(message)
        performer = self._service.performer(self._session)
        task_id = self._service.next_task(self._session)
        self._events[task_id] = _event_id(message)
        self._send("agent.audio_buffer_committed", source_event_id=_event_id(message), task={"id": task_id})
        performer.play(bytes(self._buffer), task_id=task_id)
        performer.end_play(task_id)
        self._buffer.clear()

    def _clear(self, message: Message) -> None:
        self._buffer.clear()
        self._send("agent.audio_buffer_cleared", source_event_id=_event_id(message))

    HANDLERS: Final = {
        "agent.speak": _speak,
        "agent.speak_end": _speak_end,
        "agent.interrupt": _interrupt,
        "agent.start_listening": _start_listening,
        "agent.stop_listening": _stop_listening,
        "agent.end_listening": _stop_listening,  # misprint in one version of the documentation
        "session.keep_alive": _keep_alive,
        "agent.audio_buffer_append": _append,
        "agent.audio_buffer_commit": _commit,
        "agent.audio_buffer_clear": _clear,
    }

    # To the client ------------------------------------------------------------------------------------------

    def _on_event(self, event: Message) -> None:
        match event["type"]:
            case "_state":
                self._send("session.state_updated", state=event["state"])
                if event["state"] == State.CLOSED:
                    self._socket.close()
            case "avatar_start_talking":
                self._set_pose("talking")
                self._send_speech("agent.speak_started", event["task_id"])
            case "avatar_stop_talking":
                self._set_pose("idle")
                if event["task_id"] in self._events:
                    self._send_speech("agent.speak_ended", event["task_id"])
                    del self._events[event["task_id"]]

    def _send_speech(self, kind: str, task_id: str) -> None:
        self._send(kind, source_event_id=self._events.get(task_id), task={"id": task_id})

    def _set_pose(self, pose: str) -> None:
        before, self._pose = self._pose, pose
        if before == pose:
            return
        self._send("agent.state_updated", previous_state=before, new_state=pose)
        if before == "idle":
            self._send("agent.idle_ended")
        elif pose == "idle":
            self._send("agent.idle_started")

    def _reported_state(self) -> str:
        """The socket has no state `new`; it is reported as `connecting`."""
        return State.CONNECTING if self._session.state is State.NEW else self._session.state

    def _error(self, kind: str, words: str) -> None:
        self._socket.send({"type": "error", "event_id": str(uuid4()), "error": {"type": kind, "message": words}})

    def _send(self, kind: str, **more: Any) -> None:
        self._socket.send({"type": kind, "event_id": str(uuid4()), **more})


def _event_id(message: Message) -> str:
    value = message.get("event_id")
    return value[:200] if isinstance(value, str) else ""
