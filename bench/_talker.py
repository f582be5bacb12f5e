"""A user's socket, as a page holds it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Protocol

import aiohttp

ANSWER_TIMEOUT_S = 60


@dataclass
class Talker:
    """A user's socket on a live session."""

    socket: aiohttp.ClientWebSocketResponse
    received: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    numbers: Any = field(default_factory=count)
    session_id: str = ""

    async def listen(self) -> None:
        async for message in self.socket:
            await self.received.put(json.loads(message.data))

    async def until(self, kind: str, *, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> dict[str, Any]:
        """Return the next message of this kind with these fields."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.received.get()
                if message["type"] == "error":
                    raise RuntimeError(f"the portal refused: {message}")
                if message.get("status") == "failed":
                    raise RuntimeError(f"the provider refused: {message}")
                if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                    return message

    async def start(self) -> None:
        await self.socket.send_json({"type": "session.start"})
        await self.until("session.room")
        seen = {"width": 1280, "height": 720, "ms": 300}
        await self.socket.send_json({"type": "event.report", "kind": "first_frame", "data": seen})
        self.session_id = (await self.until("session.status", status="live"))["session_id"]

    async def join(self, session_id: str) -> None:
        """Join a live session of this user."""
        await self.socket.send_json({"type": "session.join", "session_id": session_id})
        self.session_id = (await self.until("session.status", status="live"))["session_id"]

    async def say(self, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Send a text, and return once the provider has accepted it."""
        number = next(self.numbers)
        text = {"kind": "repeat", "text": "Hola, ¿cómo estás?", "ref": str(number)}
        await self.socket.send_json({"type": "task.send", **text})
        await self.until("task.sent", timeout_s=timeout_s, ref=str(number), status="sent")

    async def send_page_messages(self) -> int:
        """Send a page's messages and wait for the results. Return the number of messages."""
        number = next(self.numbers)
        await self.socket.send_json({"type": "event.report", "kind": "connection_quality", "data": {"quality": "good"}})
        text = {"kind": "repeat", "text": "Hola, ¿cómo estás?", "ref": str(number)}
        await self.socket.send_json({"type": "task.send", **text})
        await self.until("task.sent", ref=str(number))
        await self.stay()
        return 3

    async def stay(self) -> None:
        await self.socket.send_json({"type": "session.stay"})
        await self.until("session.staying")

    async def stop(self) -> None:
        await self.socket.send_json({"type": "session.stop"})
        await self.until("session.status", status="ended")


class Server(Protocol):
    """A portal, or the proxy in front of one."""

    @property
    def url(self) -> str: ...


async def connect(portal: Server, http: aiohttp.ClientSession, cookie: str, stack: AsyncExitStack) -> Talker:
    """Open the socket of a signed-in user. It is closed with `stack`."""
    headers = {"Cookie": f"sessionid={cookie}", "Origin": portal.url}
    url = f"{portal.url}/ws/personas/lucia/?lang=en"
    talker = Talker(await stack.enter_async_context(http.ws_connect(url, headers=headers)))
    stack.callback(asyncio.create_task(talker.listen()).cancel)
    return talker


def extend_by_a_day(session_ids: list[str]) -> None:
    """Move the duration limit of sessions, so that it ends none during a benchmark."""
    from django.utils import timezone

    from sessions.models import StreamingSession

    rows = StreamingSession.objects.filter(pk__in=session_ids)
    rows.update(ends_at=timezone.now() + timedelta(days=1))
