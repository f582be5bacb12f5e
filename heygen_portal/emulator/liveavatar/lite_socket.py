"""WebSocket of a LITE session: JSON both ways; the client sends the audio."""

import base64
import binascii
import json
from typing import Any, Final
from uuid import uuid4

from aiohttp import WSMessage, WSMsgType, web

from heygen_portal.emulator.liveavatar.service import LIVEAVATAR, LiveAvatarService
from heygen_portal.emulator.liveavatar.states import SOCKETS
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Session
from heygen_portal.emulator.sessions.websocket import Message, SessionSocket

routes = web.RouteTableDef()

MAX_MESSAGE_BYTES: Final = 1024 * 1024


@routes.get(SOCKETS + "{key}")
async def lite(request: web.Request) -> web.WebSocketResponse:
    """Accept a LITE socket.

    Its URL, known only from the start response, authorizes it.
    """
    service = request.app[LIVEAVATAR]
    session = service.store.find(service.sockets.get(request.match_info["key"], ""))
    return await Lite(request, service, session).serve()


class Lite:
    """A client of a session and its current utterance.

    An utterance ends with `agent.speak_end`, whatever its event IDs: clients differ.
    """

    def __init__(self, request: web.Request, service: LiveAvatarService, session: Session) -> None:
        self._service = service
        self._session = session
        self._socket = SessionSocket(request, service, session)
        self._pose = "idle"
        self._listen_after_speech = False  # start listening after the current speech
        self._task: str | None = None  # the current utterance
        self._sources: dict[str, str | None] = {}  # unfinished utterances -> the client's last event ID

    async def serve(self) -> web.WebSocketResponse:
        self._send("session.state_updated", state="new")
        if self._session.present:
            self._send("session.state_updated", state="connected")
        return await self._socket.serve(self._on_message, self._on_event)

    # From the client ----------------------------------------------------------------------------------------

    def _on_message(self, raw: WSMessage) -> None:
        try:
            if raw.type is not WSMsgType.TEXT or len(raw.data) > MAX_MESSAGE_BYTES:
                raise ValueError("only JSON text of at most 1 MB")
            message = json.loads(raw.data)
            handler = self.HANDLERS.get(message["type"])
            if handler and (self._session.present or handler is self.HANDLERS["session.keep_alive"]):
                handler(self, message)  # unknown types, and messages before `connected`, are dropped
        except Refusal:
            self._error("server_error", "The session is over.")
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
            self._error("invalid_request_error", "The message was not understood.")

    def _speak(self, message: Message) -> None:
        pcm = base64.b64decode(message["audio"], validate=True)
        performer = self._service.performer(self._session)
        if self._task is None:
            self._task = self._service.next_task(self._session)
        self._sources[self._task] = _event_id(message)
        self._session.active_at = self._service.clock.now()
        self._send("agent.audio_buffer_appended", **self._ids(self._task))
        performer.play(pcm, task_id=self._task)

    def _speak_end(self, message: Message) -> None:
        if message.get("audio"):
            self._speak(message)
        if self._task is None:
            return  # interrupted
        task_id, self._task = self._task, None
        self._sources[task_id] = _event_id(message) or self._sources[task_id]
        self._send("agent.audio_buffer_committed", **self._ids(task_id))
        self._service.performer(self._session).end_play(task_id)

    def _interrupt(self, message: Message) -> None:
        self._task = None
        self._listen_after_speech = False
        self._send("agent.audio_buffer_cleared", source_event_id=_event_id(message))
        if self._pose == "talking":
            self._send("agent.speak_interrupted", source_event_id=_event_id(message))
        self._service.stop_speech(self._session)

    def _start_listening(self, message: Message) -> None:
        if self._pose == "talking":  # clients send this right after the last audio, before it was played
            self._listen_after_speech = True
        else:
            self._listen(True)

    def _stop_listening(self, message: Message) -> None:
        self._listen_after_speech = False
        if self._pose == "listening":
            self._listen(False)

    def _keep_alive(self, message: Message) -> None:
        self._service.store.accept(self._session, "keep_alive")

    HANDLERS: Final = {
        "agent.speak": _speak,
        "agent.speak_end": _speak_end,
        "agent.interrupt": _interrupt,
        "agent.start_listening": _start_listening,
        "agent.stop_listening": _stop_listening,
        "session.keep_alive": _keep_alive,
    }

    # To the client ------------------------------------------------------------------------------------------

    def _on_event(self, event: Message) -> None:
        match event["type"]:
            case "_present":
                self._send("session.state_updated", state="connected")
            case "_state" if event["state"] == State.CLOSED:
                self._send("session.state_updated", state="disconnected")
                self._socket.close()
            case "avatar_start_talking":
                self._set_pose("talking")
                self._send("agent.speak_started", **self._ids(event["task_id"]))
            case "avatar_stop_talking":
                self._send("agent.speak_ended", **self._ids(event["task_id"]))
                self._sources.pop(event["task_id"], None)
                listen_next, self._listen_after_speech = self._listen_after_speech, False
                self._listen(listen_next)

    def _listen(self, on: bool) -> None:
        self._service.performer(self._session).listen(on)
        self._set_pose("listening" if on else "idle")

    def _ids(self, task_id: str) -> dict[str, Any]:
        return {"source_event_id": self._sources.get(task_id), "task": {"id": task_id}}

    def _set_pose(self, pose: str) -> None:
        before, self._pose = self._pose, pose
        if before != pose:
            self._send("agent.state_updated", previous_state=before, new_state=pose)

    def _error(self, kind: str, words: str) -> None:
        event_id = str(uuid4())
        self._socket.send({"type": "error", "error": {"type": kind, "message": words, "event_id": event_id}})

    def _send(self, kind: str, **more: Any) -> None:
        self._socket.send({"type": kind, "event_id": str(uuid4()), **more})


def _event_id(message: Message) -> str | None:
    value = message.get("event_id")
    return value[:200] if isinstance(value, str) else None
