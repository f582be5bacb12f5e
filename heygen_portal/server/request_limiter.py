"""Limit on concurrent requests.

Django uses a thread for each, and hundreds would slow everything down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

MAX_WAITING_REQUESTS = 1000
BUSY = b"The portal is busy. Try again in a moment.\n"
BUSY_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(BUSY)).encode()),
    (b"retry-after", b"2"),
]

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class RequestLimiter:
    """Runs a limited number of requests concurrently.

    The others wait, first come, first served.

    A request's slot is free once its response starts, so slow readers block no one.
    """

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def run(self, application: Any, scope: Any, receive: Any, send: Send) -> None:
        """Run the application once a slot is free.

        Respond with 503 if too many requests wait.
        """
        if self._waiting >= MAX_WAITING_REQUESTS:
            await send({"type": "http.response.start", "status": 503, "headers": BUSY_HEADERS})
            await send({"type": "http.response.body", "body": BUSY})
            return
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        has_slot = True

        def release() -> None:
            nonlocal has_slot
            if has_slot:
                has_slot = False
                self._slots.release()

        async def send_and_release(message: Message) -> None:
            release()
            await send(message)

        try:
            await application(scope, receive, send_and_release)
        finally:
            release()
