"""Simulated users: they start, talk, stop or leave, and reconnect when cut off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp

from bench._watcher import Watcher

CONNECTION_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ConnectionError)
MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 10
CONNECT_TIMEOUT_S = 30
"""Browsers wait longer. A socket that is not open by then is opened again."""
ENDINGS = ("stop", "leave", "crash", "stay")
TALK_S = (5, 60)
QUESTIONS = (
    "¿Cuál es el horario de la clínica?",
    "¿Cuánto cuesta la primera consulta?",
    "¿Hay aparcamiento?",
    "¿Quién ganó el mundial de fútbol?",
    "Gracias",
)


class Person:
    """One conversation: start, send texts, then end in one of four ways.

    Like the page, a person opens broken sockets again and repeats the texts that have no answer.
    """

    def __init__(
        self,
        url: str,
        cookie: str,
        chance: random.Random,
        *,
        ending: str = "",
        talks_for_s: float | None = None,
        watches: bool = False,
        asks: bool = False,
    ) -> None:
        self._url = f"{url.replace('http', 'ws', 1)}/ws/personas/lucia/?lang=en"
        self._headers = {"Cookie": f"sessionid={cookie}", "Origin": url}
        self._chance = chance
        self._asks = asks  # questions, instead of having texts read aloud
        self._ending = ending or chance.choice(ENDINGS)
        self._talks_for = chance.uniform(*TALK_S) if talks_for_s is None else talks_for_s
        self._talks_until: float | None = None
        self._tries = self._texts = 0
        self._has_started = False
        self._is_cut_off = True
        self._is_silent = False
        self.end_reason = ""
        self.reconnects = 0
        self._watcher = Watcher() if watches else None
        self._unanswered: dict[str, dict[str, str]] = {}
        self.session_id = ""
        self.announced_ids: set[str] = set()
        """IDs of all sessions that the portal announced to this user."""
        self.was_live = False
        self.live_at: float | None = None
        """When the user could talk for the first time, by `time.monotonic`."""
        self.arrived_at = 0.0
        self.closed_at: float | None = None
        """When a tab closed without a message, in seconds since 1970."""
        self.is_over = False
        self.is_done = False
        self.answers: dict[str, str] = {}
        """The outcome of each text by its reference: `sent`, `failed`, or an error's code."""
        self.obstacles: Counter[str] = Counter()
        """What kept the user from talking: error codes, end reasons, broken sockets."""

    def fall_silent(self) -> None:
        """Write no more, and stay."""
        self._is_silent = True

    @property
    def texts(self) -> int:
        return self._texts

    @property
    def awaits_answers(self) -> bool:
        return bool(self._unanswered)

    async def run(self, http: aiohttp.ClientSession, give_up_at: float) -> None:
        """Run until the conversation is over.

        Reconnect broken sockets with the page's delays.
        """
        self.arrived_at = time.monotonic()
        try:
            while not self.is_done and time.monotonic() < give_up_at:
                try:
                    await self._converse_once(http)
                except CONNECTION_ERRORS as exc:
                    self._hinder(type(exc).__name__)
                if not self.is_done:
                    self.reconnects += 1
                    await asyncio.sleep(min(MIN_PAUSE_S * 2**self._tries, MAX_PAUSE_S) * self._chance.random())
                    self._tries += 1
        finally:
            if self._watcher:
                await self._watcher.close()

    async def _converse_once(self, http: aiohttp.ClientSession) -> None:
        """Talk until the socket or the conversation is over."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S) as connecting:
            async with http.ws_connect(self._url, headers=self._headers, heartbeat=10) as socket:
                connecting.reschedule(None)
                await self._converse(socket)
                if not self.is_done:
                    self._hinder(f"closed with {socket.close_code}")

    def _hinder(self, what: str) -> None:
        if not self.was_live:
            self.obstacles[what] += 1

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        if self.session_id:
            await socket.send_json({"type": "session.join", "session_id": self.session_id})
        else:
            # A start whose answer was cut off may have left a session: this tab takes its place.
            await socket.send_json({"type": "session.start", "take_over": self._has_started})
            self._has_started = True
        self._is_cut_off = True
        listening = asyncio.create_task(self._listen(socket))
        try:
            while not listening.done() and self._wants_to_talk():
                await asyncio.wait([listening], timeout=self._chance.uniform(2, 8))
                if self.was_live and not listening.done() and not self._is_silent:
                    await self._write(socket)
            if not listening.done():
                await self._end(socket, listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._texts += 1
        kind, words = ("talk", self._chance.choice(QUESTIONS)) if self._asks else ("repeat", f"Hola {self._texts}")
        text = {"type": "task.send", "kind": kind, "text": words, "ref": f"r{self._texts}"}
        self._unanswered[text["ref"]] = text
        if not self._is_cut_off:  # otherwise it is sent with the others, once the session is there
            await socket.send_json(text)

    def _wants_to_talk(self) -> bool:
        """Whether time is left. It counts from the first message of a session."""
        return self._talks_until is None or time.monotonic() < self._talks_until

    async def _end(self, socket: aiohttp.ClientWebSocketResponse, listening: asyncio.Task[None]) -> None:
        match self._ending:
            case "stop":
                await socket.send_json({"type": "session.stop"})
                await asyncio.wait([listening], timeout=10)
            case "leave" | "crash":
                self._note_closing()
                if self._ending == "crash" and socket._response.connection:
                    socket._response.connection.close()
            case "stay":
                await asyncio.wait([listening])

    def _note_closing(self) -> None:
        self.is_done = True
        if not self.is_over and self.session_id:
            self.closed_at = time.time()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        handlers: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
            "session.status": self._on_status,
            "session.room": self._on_room,
            "task.sent": self._on_task_sent,
            "error": self._on_error,
        }
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            content = json.loads(message.data)
            if handler := handlers.get(content["type"]):
                await handler(socket, content)
            if self.is_done:
                return

    async def _on_status(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        if content["session_id"] is None:
            return  # another of this person's is being released first
        self.session_id = content["session_id"]
        self.announced_ids.add(self.session_id)
        if content["status"] == "live":
            self.live_at = self.live_at or time.monotonic()
            self.was_live, self._tries = True, 0
            self._talks_until = self._talks_until or time.monotonic() + self._talks_for
            if self._is_cut_off:  # the portal recognises by reference what it has already
                self._is_cut_off = False
                for text in list(self._unanswered.values()):
                    await socket.send_json(text)
        if content["status"] == "ended":
            if self.was_live:
                self.is_over = self.is_done = True
                self.end_reason = content["reason"]
            else:  # the avatar service failed: press Start again
                self._hinder(f"ended: {content['reason']}")
                self.session_id = ""
                self._has_started = False
                await socket.close()

    async def _on_room(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        if self._watcher and not await self._watcher.receives_video(content["url"], content["token"]):
            return
        seen = {"width": 1280, "height": 720, "ms": 300}
        await socket.send_json({"type": "event.report", "kind": "first_frame", "data": seen})

    async def _on_task_sent(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        self._answer(content["ref"], content["status"])

    async def _on_error(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        if content.get("ref"):
            self._answer(content["ref"], content["code"])
            return
        self._hinder(content["code"])
        if not self.session_id or content["code"] == "not_found":
            await socket.close()  # refused, or the portal is unwell: press Start again

    def _answer(self, ref: str, outcome: str) -> None:
        if self._unanswered.pop(ref, None):
            self.answers[ref] = outcome
