"""Simulated users: they start, talk, stop or leave, and reconnect when cut off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp

from bench._watcher import Watcher
from tests.support.servers import Portal

CONNECTION_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ConnectionError)
MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 10


class Person:
    """One conversation: start, send texts, then end in one of four ways."""

    def __init__(self, portal: Portal, cookie: str, chance: random.Random, *, watches: bool = False) -> None:
        self._url = f"{portal.url}/ws/personas/lucia/?lang=en"
        self._headers = {"Cookie": f"sessionid={cookie}", "Origin": portal.url}
        self._chance = chance
        self._ending = chance.choice(("stop", "leave", "crash", "stay"))
        self._talks_for = chance.uniform(5, 60)
        self._talks_until: float | None = None
        self._tries = self._texts = 0
        self._watcher = Watcher() if watches else None
        self.session_id = ""
        self.announced_ids: set[str] = set()
        """IDs of all sessions that the portal announced to this user."""
        self.was_live = False
        self.closed_at: float | None = None
        """When a tab closed without a message, in seconds since 1970."""
        self.is_over = False
        self.is_done = False

    async def run(self, http: aiohttp.ClientSession, give_up_at: float) -> None:
        """Run until the conversation is over.

        Reconnect broken sockets with the page's delays.
        """
        try:
            while not self.is_done and time.monotonic() < give_up_at:
                with suppress(*CONNECTION_ERRORS):
                    async with http.ws_connect(self._url, headers=self._headers, heartbeat=10) as socket:
                        await self._converse(socket)
                if not self.is_done:
                    await asyncio.sleep(min(MIN_PAUSE_S * 2**self._tries, MAX_PAUSE_S) * self._chance.random())
                    self._tries += 1
        finally:
            if self._watcher:
                await self._watcher.close()

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        if self.session_id:
            await socket.send_json({"type": "session.join", "session_id": self.session_id})
        else:
            # A start whose answer was cut off may have left a session: this tab takes its place.
            await socket.send_json({"type": "session.start", "take_over": self._tries > 0})
        listening = asyncio.create_task(self._listen(socket))
        try:
            while not listening.done() and self._wants_to_talk():
                await asyncio.wait([listening], timeout=self._chance.uniform(2, 8))
                if self.was_live and not listening.done():
                    self._texts += 1
                    text = {"kind": "repeat", "text": "Hola", "ref": f"r{self._texts}"}
                    await socket.send_json({"type": "task.send", **text})
            if not listening.done():
                await self._end(socket, listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

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
            self.was_live, self._tries = True, 0
            self._talks_until = self._talks_until or time.monotonic() + self._talks_for
        if content["status"] == "ended":
            if self.was_live:
                self.is_over = self.is_done = True
            else:  # the avatar service failed: press Start again
                self.session_id = ""
                await socket.close()

    async def _on_room(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        if self._watcher and not await self._watcher.receives_video(content["url"], content["token"]):
            return
        seen = {"width": 1280, "height": 720, "ms": 300}
        await socket.send_json({"type": "event.report", "kind": "first_frame", "data": seen})

    async def _on_error(self, socket: aiohttp.ClientWebSocketResponse, content: dict[str, Any]) -> None:
        if not self.session_id or content["code"] == "not_found":
            await socket.close()  # refused, or the portal is unwell: press Start again
