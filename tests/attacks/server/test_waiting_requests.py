"""Many requests at once: they wait for their turn instead of taking a thread each."""

from __future__ import annotations

import asyncio
from typing import Any

from heygen_portal.server import turns
from heygen_portal.server.turns import Turns


class Crowd:
    """Requests that an application works on until it may go on."""

    def __init__(self, at_once: int) -> None:
        self.turns = Turns(at_once)
        self.at_work = self.most_at_work = 0
        self.may_answer, self.may_end, self.all_begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await self.may_answer.wait()
        self.at_work -= 1
        await send({"type": "http.response.start", "status": 200})
        await self.may_end.wait()  # its client reads slowly

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if len(self.sent) == 50:
            self.all_begun.set()

    def come(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.turns.take(self.application, {}, None, self.send)) for _ in range(count)]


async def test_a_few_are_worked_on_at_once_and_slow_readers_hold_up_nobody() -> None:
    crowd = Crowd(at_once=3)
    tasks = crowd.come(50)
    for _ in range(5):
        await asyncio.sleep(0)
    assert crowd.at_work == 3
    crowd.may_answer.set()
    await crowd.all_begun.wait()  # each answer begins, though none has been read
    assert crowd.most_at_work == 3
    crowd.may_end.set()
    await asyncio.gather(*tasks)


async def test_beyond_the_longest_queue_one_is_told_to_come_again() -> None:
    crowd = Crowd(at_once=1)
    tasks = crowd.come(turns.MOST_WAITING + 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(*crowd.come(1))
    assert [message.get("status") for message in crowd.sent][:1] == [503]
    crowd.may_answer.set()
    crowd.may_end.set()
    await asyncio.gather(*tasks)


async def test_a_request_that_fails_gives_its_turn_back() -> None:
    crowd = Crowd(at_once=1)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    for _ in range(3):
        outcome = await asyncio.gather(crowd.turns.take(broken, {}, None, crowd.send), return_exceptions=True)
        assert isinstance(outcome[0], ValueError)
