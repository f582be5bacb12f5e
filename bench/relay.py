"""Latency the portal adds to a task, compared with a direct provider call.

It is measured from `task.send` to `task.sent`.

One web process, 200 sockets, an open loop: a task is sent at its scheduled time, regardless of tasks in progress, and
its latency counts from that time. The provider is the emulator without media, with 50 ms per response. Runs alternate,
so that both get the same conditions. Then the rate is raised until the portal's p99 is twice the direct one.

With more than one process, the same is measured with one web process, with two and so on, each time with 200 sockets of
its own, all behind a proxy of their own with `deploy/Caddyfile`. `scaling_2_over_1` compares the texts per second of
the web processes' processor time at the same rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import django

from bench import _behind_proxy
from bench._behind_proxy import Site
from tests.support import servers
from tests.support.proxy import Network

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


async def main(options: argparse.Namespace) -> None:
    network = Network()
    env = {"BUDGET_FACTOR": "1000", **_behind_proxy.environment(network)}
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres("max_connections=300")) if options.postgres else None
        emulator = stack.enter_context(servers.emulator(media=False, args=RULES))
        portal = stack.enter_context(servers.portal(emulator, database_url=database_url, env=env))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results

        sites = [_behind_proxy.direct(portal)] if options.no_proxy else []
        if not options.no_proxy:
            portal.web.stop()
            webs = [
                stack.enter_context(_behind_proxy.web_process(portal, network, number + 1))
                for number in range(options.processes)
            ]
            sites = [
                stack.enter_context(_behind_proxy.site(network, webs[: number + 1]))
                for number in range(options.processes)
            ]
        people = SOCKETS * len(sites)
        cookies = await asyncio.to_thread(_results.create_signed_in_users, people, people)
        async with AsyncExitStack() as sockets:
            http = await sockets.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            talkers = [await join(sockets, site, [cookies.pop() for _ in range(SOCKETS)]) for site in sites]
            names = await asyncio.to_thread(_provider_ids)

            async def directly(number: int) -> None:
                task = {"session_id": names[number % SOCKETS], "text": TEXT, "task_type": "repeat"}
                headers = {"X-Api-Key": emulator.api_key}
                async with http.post(f"{emulator.url}/v1/streaming.task", json=task, headers=headers) as answer:
                    await answer.read()
                    answer.raise_for_status()

            taken, costs = [], []
            for site, theirs in zip(sites, talkers, strict=True):
                plural = "es" if len(site.webs) > 1 else ""
                print(f"{len(site.webs)} web process{plural}, load {os.getloadavg()[0]:.1f}", flush=True)
                through_portal = spread(theirs)
                await measure(through_portal, directly, BASE_RATE, options.seconds, 1)  # warm-up
                before, proxy_before = site.cpu_s(), site.proxy.cpu_s() if site.proxy else 0.0
                times = await measure(through_portal, directly, BASE_RATE, options.seconds, options.turns)
                texts = len(times["portal"])
                taken.append(times)
                costs.append((site.cpu_s() - before) * 1000 / texts)
                print(f"      {costs[-1]:.2f} ms of processor time per text in the web processes")
                if site.proxy:
                    print(f"      {(site.proxy.cpu_s() - proxy_before) * 1000 / texts:.2f} ms in the proxy")
            at_rate = taken[0]
            capacity = None
            if not options.no_capacity:
                capacity = await find_capacity(spread(talkers[0]), directly, at_rate, options.seconds)
    result = {
        "bench": "relay",
        "p50_over_direct": ratio(at_rate, 50),
        "p99_over_direct": ratio(at_rate, 99),
        "capacity_per_s": capacity,
        "cpu_ms_per_text": round(costs[0], 2),
        "scaling_2_over_1": round(costs[0] / costs[1], 3) if len(costs) > 1 else None,
    }
    print(json.dumps(result))


def spread(talkers: list[Talker]) -> Send:
    """Return a function that sends each text through the next of these sockets."""

    async def through_portal(number: int) -> None:
        await talkers[number % len(talkers)].send()

    return through_portal


async def join(sockets: AsyncExitStack, site: Site, cookies: list[str]) -> list[Talker]:
    """Start a live session for each cookie, a few at a time."""
    connector = aiohttp.TCPConnector(limit=0, ssl=site.tls or True)
    http = await sockets.enter_async_context(aiohttp.ClientSession(connector=connector))
    semaphore = asyncio.Semaphore(10)

    async def one(cookie: str) -> Talker:
        async with semaphore:
            headers = {"Cookie": f"sessionid={cookie}", "Origin": site.url}
            talker = Talker(await http.ws_connect(f"{site.url}/ws/personas/lucia/?lang=en", headers=headers))
            listening = asyncio.create_task(talker.listen())
            sockets.callback(listening.cancel)
            await talker.socket.send_json({"type": "session.start"})
            await asyncio.wait_for(talker.live.wait(), WAIT_TIMEOUT_S)
            return talker

    return await asyncio.gather(*map(one, cookies))


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


async def open_loop(send: Send, rate: float, seconds: float) -> list[float]:
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
    parser.add_argument("--processes", type=int, default=2, help="measure 1 to this many web processes")
    parser.add_argument("--no-proxy", action="store_true", help="measure one process, without a proxy")
    parser.add_argument("--postgres", action="store_true", help="use PostgreSQL instead of SQLite")
    parser.add_argument("--no-capacity", action="store_true", help="do not raise the rate")
    asyncio.run(main(parser.parse_args()))
