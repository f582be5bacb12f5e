"""The socket of a LITE session: a client brings the avatar's sound, JSON text both ways."""

import base64
import binascii
import json
from typing import Any, Final
from uuid import uuid4

from aiohttp import WSMessage, WSMsgType, web

from heygen_portal.emulator.liveavatar.service import LIVE, LiveStudio
from heygen_portal.emulator.liveavatar.states import SOCKETS
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Session
from heygen_portal.emulator.sessions.websocket import Message, Wire

routes = web.RouteTableDef()

LARGEST_PACKET: Final = 1024 * 1024


@routes.get(SOCKETS + "{key}")
async def lite(request: web.Request) -> web.WebSocketResponse:
    """Authorised by its address alone, which only the start tells."""
    studio = request.app[LIVE]
    session = studio.store.find(studio.sockets.get(request.match_info["key"], ""))
    return await Lite(request, studio, session).serve()


class Lite:
    """One client of a session, and the utterance it is handing over.

    Sound belongs to one utterance from its first piece to `agent.speak_end`, whatever its event ids: clients differ.
    """

    def __init__(self, request: web.Request, studio: LiveStudio, session: Session) -> None:
        self._studio = studio
        self._session = session
        self._wire = Wire(request, studio, session)
        self._pose = "idle"
        self._is_to_listen = False  # once it has stopped talking
        self._task: str | None = None  # the utterance that is being brought
        self._sources: dict[str, str | None] = {}  # utterances not yet over -> the client's last event id for each

    async def serve(self) -> web.WebSocketResponse:
        self._tell("session.state_updated", state="new")
        if self._session.present:
            self._tell("session.state_updated", state="connected")
        return await self._wire.serve(self._on_message, self._on_event)

    # From the client -------------------------------------------------------------------------------------------

    def _on_message(self, raw: WSMessage) -> None:
        try:
            if raw.type is not WSMsgType.TEXT or len(raw.data) > LARGEST_PACKET:
                raise ValueError("only JSON text of at most 1 MB")
            message = json.loads(raw.data)
            handler = self.HANDLERS.get(message["type"])
            if handler and (self._session.present or handler is self.HANDLERS["session.keep_alive"]):
                handler(self, message)  # else dropped without a word: of an unknown type, or before `connected`
        except Refusal:
            self._error("server_error", "The session is over.")
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
            self._error("invalid_request_error", "The message was not understood.")

    def _speak(self, message: Message) -> None:
        pcm = base64.b64decode(message["audio"], validate=True)
        actor = self._studio.actor(self._session)
        if self._task is None:
            self._task = self._studio.next_task(self._session)
        self._sources[self._task] = _event_id(message)
        self._session.touched_at = self._studio.clock.now()
        self._tell("agent.audio_buffer_appended", **self._ids(self._task))
        actor.play(pcm, task_id=self._task)

    def _speak_end(self, message: Message) -> None:
        if message.get("audio"):
            self._speak(message)
        if self._task is None:
            return  # interrupted meanwhile
        task_id, self._task = self._task, None
        self._sources[task_id] = _event_id(message) or self._sources[task_id]
        self._tell("agent.audio_buffer_committed", **self._ids(task_id))
        self._studio.actor(self._session).end_play(task_id)

    def _interrupt(self, message: Message) -> None:
        self._task = None
        self._is_to_listen = False
        self._tell("agent.audio_buffer_cleared", source_event_id=_event_id(message))
        if self._pose == "talking":
            self._tell("agent.speak_interrupted", source_event_id=_event_id(message))
        self._studio.hush(self._session)

    def _start_listening(self, message: Message) -> None:
        if self._pose == "talking":  # clients ask right after the last sound: it is listened after it was heard
            self._is_to_listen = True
        else:
            self._listen(True)

    def _stop_listening(self, message: Message) -> None:
        self._is_to_listen = False
        if self._pose == "listening":
            self._listen(False)

    def _keep_alive(self, message: Message) -> None:
        self._studio.store.accept(self._session, "keep_alive")

    HANDLERS: Final = {
        "agent.speak": _speak,
        "agent.speak_end": _speak_end,
        "agent.interrupt": _interrupt,
        "agent.start_listening": _start_listening,
        "agent.stop_listening": _stop_listening,
        "session.keep_alive": _keep_alive,
    }

    # To the client -------------------------------------------------------------------------------------------

    def _on_event(self, event: Message) -> None:
        match event["type"]:
            case "_present":
                self._tell("session.state_updated", state="connected")
            case "_state" if event["state"] == State.CLOSED:
                self._tell("session.state_updated", state="disconnected")
                self._wire.close()
            case "avatar_start_talking":
                self._strike("talking")
                self._tell("agent.speak_started", **self._ids(event["task_id"]))
            case "avatar_stop_talking":
                self._tell("agent.speak_ended", **self._ids(event["task_id"]))
                self._sources.pop(event["task_id"], None)
                is_to_listen, self._is_to_listen = self._is_to_listen, False
                self._listen(is_to_listen)

    def _listen(self, on: bool) -> None:
        self._studio.actor(self._session).listen(on)
        self._strike("listening" if on else "idle")

    def _ids(self, task_id: str) -> dict[str, Any]:
        return {"source_event_id": self._sources.get(task_id), "task": {"id": task_id}}

    def _strike(self, pose: str) -> None:
        before, self._pose = self._pose, pose
        if before != pose:
            self._tell("agent.state_updated", previous_state=before, new_state=pose)

    def _error(self, kind: str, words: str) -> None:
        event_id = str(uuid4())
        self._wire.send({"type": "error", "error": {"type": kind, "message": words, "event_id": event_id}})

    def _tell(self, kind: str, **more: Any) -> None:
        self._wire.send({"type": kind, "event_id": str(uuid4()), **more})


def _event_id(message: Message) -> str | None:
    value = message.get("event_id")
    return value[:200] if isinstance(value, str) else None
