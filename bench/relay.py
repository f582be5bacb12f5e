"""Latency the portal adds to a task, compared with a direct provider call.

It is measured from `task.send` to `task.sent`.

One web process, 200 sockets, an open loop: a task is sent at its scheduled time, regardless of tasks in progress, and
its latency counts from that time. The provider is the emulator without media, with 50 ms per response. Runs alternate,
so that both get the same conditions. Then the rate is raised until the portal's p99 is twice the direct one.

With more than one process, another 200 sockets are spread over all of them, without a proxy: each process has a port of
its own. `scaling_2_over_1` compares the texts per second of processor time at the same rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any

import aiohttp
import django

from bench._process import Process
from local import ports, processes
from local.processes import Child
from local.servers import command
from tests.support import servers

ANSWER_MS = 50
SOCKETS = 200
BASE_RATE = 100
HIGHER_RATES = (125, 150, 175, 200, 250, 300, 350, 400)
WAIT_TIMEOUT_S = 20
TEXT = "Hola, ¿cómo estás?"
RULES = ("--concurrency", "1000", "--latency", str(ANSWER_MS))

Send = Callable[[int], Awaitable[None]]


@dataclass
class Talker:
    """A user's socket on a live session."""

    socket: aiohttp.ClientWebSocketResponse
    provider_session_id: str = ""
    live: asyncio.Event = field(default_factory=asyncio.Event)
    sent: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    refs: Any = field(default_factory=count)

    async def listen(self) -> None:
        async for message in self.socket:
            content = json.loads(message.data)
            if content["type"] == "session.room":
                seen = {"width": 1280, "height": 720, "ms": 300}
                await self.socket.send_json({"type": "event.report", "kind": "first_frame", "data": seen})
            elif content["type"] == "session.status" and content["status"] == "live":
                self.live.set()
            elif content["type"] == "task.sent" and content["status"] == "sent":
                self.sent.pop(content["ref"]).set_result(None)
            elif content["type"] == "error" or content.get("status") == "failed":
                sys.exit(f"the portal refused: {content}")

    async def send(self) -> None:
        """Send a task. Return once all tabs would know that the provider accepted it."""
        ref = str(next(self.refs))
        self.sent[ref] = accepted = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"type": "task.send", "kind": "repeat", "text": TEXT, "ref": ref})
        await accepted


async def main(seconds: float, rounds: int, process_count: int, *, is_postgres: bool, finds_capacity: bool) -> None:
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres("max_connections=300")) if is_postgres else None
        emulator = stack.enter_context(servers.emulator(media=False, args=RULES))
        portal = stack.enter_context(servers.portal(emulator, database_url=database_url, env={"BUDGET_FACTOR": "1000"}))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results

        webs = [Web(portal.url, portal.web)]
        webs += [stack.enter_context(another_web(portal, number)) for number in range(2, process_count + 1)]
        groups = [webs[:1], webs] if process_count > 1 else [webs]
        people = SOCKETS * len(groups)
        cookies = await asyncio.to_thread(_results.create_signed_in_users, people, people)
        async with AsyncExitStack() as sockets:
            http = await sockets.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            talkers = [await join(sockets, group, [cookies.pop() for _ in range(SOCKETS)]) for group in groups]
            names = await asyncio.to_thread(_provider_ids)

            async def directly(number: int) -> None:
                task = {"session_id": names[number % SOCKETS], "text": TEXT, "task_type": "repeat"}
                headers = {"X-Api-Key": emulator.api_key}
                async with http.post(f"{emulator.url}/v1/streaming.task", json=task, headers=headers) as answer:
                    await answer.read()
                    answer.raise_for_status()

            costs: list[float] = []
            for group, theirs in zip(groups, talkers, strict=True):
                print(f"{len(group)} web process{'es' if len(group) > 1 else ''}, load {os.getloadavg()[0]:.1f}")
                through_portal = spread(theirs)
                await measure(through_portal, directly, BASE_RATE, seconds, 1)  # warm-up
                cpu_before = sum(web.process.cpu_s() for web in group)
                times = await measure(through_portal, directly, BASE_RATE, seconds, rounds)
                cpu_s = sum(web.process.cpu_s() for web in group) - cpu_before
                costs.append(cpu_s * 1000 / len(times["portal"]))
                print(f"      {costs[-1]:.2f} ms of processor time per text")
                if group is groups[0]:
                    at_rate = times
            capacity = None
            if finds_capacity:
                capacity = await find_capacity(spread(talkers[0]), directly, at_rate, seconds)
    result = {
        "bench": "relay",
        "p50_over_direct": ratio(at_rate, 50),
        "p99_over_direct": ratio(at_rate, 99),
        "capacity_per_s": capacity,
        "cpu_ms_per_text": round(costs[0], 2),
        "scaling_2_over_1": round(costs[0] / costs[1], 3) if process_count == 2 else None,
    }
    print(json.dumps(result))


@dataclass(frozen=True)
class Web:
    """A web process of the portal."""

    url: str
    child: Child

    @property
    def process(self) -> Process:
        return Process("web", self.child.pid)


@contextmanager
def another_web(portal: servers.Portal, number: int) -> Iterator[Web]:
    """Run one more web process of a portal on a port of its own."""
    port = 0

    def make() -> tuple[Child, Callable[[], bool]]:
        nonlocal port
        port = ports.free_port()
        health = f"http://{ports.LOOPBACK}:{port}/health"
        log = Path(portal.environment["VAR_DIR"]) / f"web{number}.log"
        child = Child(f"web{number}", command("web", {"PORT": str(port)}), log, env=portal.environment)
        return child, lambda: processes.answers_http(health)

    with servers.running(make) as child:
        yield Web(f"http://{ports.LOOPBACK}:{port}", child)


def spread(talkers: list[Talker]) -> Send:
    """Return a function that sends each text through the next of these sockets."""

    async def through_portal(number: int) -> None:
        await talkers[number % len(talkers)].send()

    return through_portal


async def join(sockets: AsyncExitStack, webs: list[Web], cookies: list[str]) -> list[Talker]:
    """Start a live session for each cookie, a few at a time, in every web process."""
    http = await sockets.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    semaphore = asyncio.Semaphore(10)

    async def one(cookie: str, web: Web) -> Talker:
        async with semaphore:
            headers = {"Cookie": f"sessionid={cookie}", "Origin": web.url}
            talker = Talker(await http.ws_connect(f"{web.url}/ws/personas/lucia/?lang=en", headers=headers))
            listening = asyncio.create_task(talker.listen())
            sockets.callback(listening.cancel)
            await talker.socket.send_json({"type": "session.start"})
            await asyncio.wait_for(talker.live.wait(), WAIT_TIMEOUT_S)
            return talker

    return await asyncio.gather(*map(one, cookies, cycle(webs)))


def _provider_ids() -> list[str]:
    from sessions.models import Status, StreamingSession

    rows = StreamingSession.objects.filter(status=Status.LIVE)
    return [str(name) for name in rows.values_list("provider_session_id", flat=True)]


Times = dict[str, list[float]]


async def measure(through_portal: Send, directly: Send, rate: int, seconds: float, rounds: int) -> Times:
    """Alternate between the two. Return the milliseconds of each task."""
    times: Times = {"portal": [], "direct": []}
    for _ in range(rounds):
        times["direct"] += await open_loop(directly, rate, seconds)
        times["portal"] += await open_loop(through_portal, rate, seconds)
    print(
        f"{rate:>5} a second   "
        + "   ".join(
            f"{name} p50 {percentile(ms, 50):6.1f} p99 {percentile(ms, 99):6.1f} ms" for name, ms in times.items()
        )
    )
    return times


async def open_loop(send: Send, rate: int, seconds: float) -> list[float]:
    """Send at a fixed rate without waiting.

    Return each task's milliseconds from its scheduled time.
    """
    begun = time.perf_counter()

    async def one(number: int) -> float:
        await send(number)
        return (time.perf_counter() - begun - number / rate) * 1000

    running = []
    for number in range(int(rate * seconds)):
        if (early := begun + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        running.append(asyncio.create_task(one(number)))
    return await asyncio.wait_for(asyncio.gather(*running), seconds + 6 * WAIT_TIMEOUT_S)


async def find_capacity(through_portal: Send, directly: Send, at_rate: Times, seconds: float) -> int:
    """Return the highest rate with a p99 under twice the direct one, or 0."""
    best, times = 0, at_rate
    for rate in (BASE_RATE, *HIGHER_RATES):
        if rate != BASE_RATE:
            times = await measure(through_portal, directly, rate, seconds, 1)
        if ratio(times, 99) >= 2:
            break
        best = rate
    return best


def ratio(times: Times, percent: int) -> float:
    return round(percentile(times["portal"], percent) / percentile(times["direct"], percent), 3)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10, help="length of one round")
    parser.add_argument("--turns", type=int, default=3, help="rounds of each at 100 a second")
    parser.add_argument("--processes", type=int, default=2, help="web processes of the second measurement; 1: none")
    parser.add_argument("--postgres", action="store_true", help="use PostgreSQL instead of SQLite")
    parser.add_argument("--no-capacity", action="store_true", help="do not raise the rate")
    options = parser.parse_args()
    asyncio.run(
        main(
            options.seconds,
            options.turns,
            options.processes,
            is_postgres=options.postgres,
            finds_capacity=not options.no_capacity,
        )
    )
