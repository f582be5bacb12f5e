"""Requests take turns: Django gives each a thread, and hundreds of threads would hold up everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

MOST_WAITING = 1000
BUSY = b"The portal is busy. Try again in a moment.\n"
BUSY_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(BUSY)).encode()),
    (b"retry-after", b"2"),
]

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Turns:
    """Lets an application work on a number of requests at once; the others wait, first come first served.

    A request's turn ends when its answer begins: a client that reads slowly holds up nobody.
    """

    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def take(self, application: Any, scope: Any, receive: Any, send: Send) -> None:
        """Run the application in its turn; answer 503 when too many wait already."""
        if self._waiting >= MOST_WAITING:
            await send({"type": "http.response.start", "status": 503, "headers": BUSY_HEADERS})
            await send({"type": "http.response.body", "body": BUSY})
            return
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        has_turn = True

        def give_back() -> None:
            nonlocal has_turn
            if has_turn:
                has_turn = False
                self._places.release()

        async def send_and_give_back(message: Message) -> None:
            give_back()
            await send(message)

        try:
            await application(scope, receive, send_and_give_back)
        finally:
            give_back()
