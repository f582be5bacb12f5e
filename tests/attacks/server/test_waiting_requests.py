"""Concurrent requests wait for a slot instead of using a thread each."""

from __future__ import annotations

import asyncio
from typing import Any

from heygen_portal.server import request_limiter
from heygen_portal.server.request_limiter import RequestLimiter


class Crowd:
    """Requests to an application that answers and ends on command."""

    def __init__(self, at_once: int) -> None:
        self.limiter = RequestLimiter(at_once)
        self.running = self.max_running = 0
        self.answers_allowed, self.ends_allowed, self.all_begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        await self.answers_allowed.wait()
        self.running -= 1
        await send({"type": "http.response.start", "status": 200})
        await self.ends_allowed.wait()  # its client reads slowly

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if len(self.sent) == 50:
            self.all_begun.set()

    def send_requests(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.limiter.run(self.application, {}, None, self.send)) for _ in range(count)]


async def test_the_limit_holds_and_slow_readers_keep_no_slot() -> None:
    crowd = Crowd(at_once=3)
    tasks = crowd.send_requests(50)
    for _ in range(5):
        await asyncio.sleep(0)
    assert crowd.running == 3
    crowd.answers_allowed.set()
    await crowd.all_begun.wait()  # every response starts, though none has been read
    assert crowd.max_running == 3
    crowd.ends_allowed.set()
    await asyncio.gather(*tasks)


async def test_a_request_beyond_the_queue_limit_gets_503() -> None:
    crowd = Crowd(at_once=1)
    tasks = crowd.send_requests(request_limiter.MAX_WAITING_REQUESTS + 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(*crowd.send_requests(1))
    assert [message.get("status") for message in crowd.sent][:1] == [503]
    crowd.answers_allowed.set()
    crowd.ends_allowed.set()
    await asyncio.gather(*tasks)


async def test_a_request_that_fails_gives_its_slot_back() -> None:
    crowd = Crowd(at_once=1)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    for _ in range(3):
        outcome = await asyncio.gather(crowd.limiter.run(broken, {}, None, crowd.send), return_exceptions=True)
        assert isinstance(outcome[0], ValueError)
