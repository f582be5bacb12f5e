"""Whether the portal's cost grows over hours of operation.

Real web process, Redis and emulator, and one real worker child. Each phase is divided into tenths. CPU time and memory
of the last tenth are compared with the second, after warm-up. The phases: ticks back to back; messages through the
sockets of one web process; opening and closing sockets; starting and ending sessions, half by their user and half by
the worker at their limit; and Redis disconnecting all clients repeatedly.

The same work takes more CPU time while the sibling core is busy. So a fixed computation is measured during each tenth,
and the ratios are relative to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import django
import redis

from bench import _talker
from bench._process import Process
from bench._talker import Talker, extend_by_a_day
from local.processes import Child
from tests.support import servers

TENTHS = 10
TALKERS = 40
CONCURRENT_SESSIONS = 10
MAX_QUEUED_TICKS = 500
YARDSTICK_EVERY_S = 0.2
WAIT_TIMEOUT_S = 60
RULES = ("--concurrency", "100000", "--rule", "no_user_s=86400", "--idle", "86400", "--duration", "86400")
NO_BUDGETS = {"BUDGET_FACTOR": "1000000"}
MB = 1024 * 1024


class Yardstick:
    """Measures the CPU time of a fixed computation, as a unit of machine speed."""

    def __init__(self) -> None:
        self._taken: list[float] = []

    async def measure(self) -> None:
        while True:
            began = time.thread_time()
            for _ in range(30):
                json.loads(json.dumps({str(number): [number] * 3 for number in range(50)}))
            self._taken.append(time.thread_time() - began)
            await asyncio.sleep(YARDSTICK_EVERY_S)

    def read(self) -> float:
        """Return the median in seconds since the last call."""
        taken, self._taken = self._taken, []
        return statistics.median(taken) if taken else 0.001


@dataclass
class Meter:
    """Time and memory after each tenth of each phase."""

    processes: list[Process]
    yardstick: Yardstick = field(default_factory=Yardstick)
    cost: dict[str, list[float]] = field(default_factory=dict)
    length: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    files: dict[str, list[dict[str, int]]] = field(default_factory=dict)

    async def phase(self, name: str, times: int, one_tenth: Callable[[int], Awaitable[None]]) -> None:
        self.cost[name], self.length[name], self.memory[name], self.files[name] = [], [], [], []
        self.yardstick.read()
        for _ in range(TENTHS):
            before, began = self._cpu_s(), time.monotonic()
            await one_tenth(times // TENTHS)
            ms = (self._cpu_s() - before) * 1000 / (times // TENTHS)
            self.cost[name].append(ms)
            self.length[name].append(self.yardstick.read() * 1000)
            self.memory[name].append({one.name: one.rss() for one in self.processes})
            self.files[name].append({one.name: one.files() for one in self.processes})
            rss = "  ".join(f"{one} {size / MB:6.1f} MB" for one, size in self.memory[name][-1].items())
            open_files = " ".join(str(many) for many in self.files[name][-1].values())
            took = time.monotonic() - began
            print(
                f"{name:10} {ms:7.2f} ms of processor each (yardstick {self.length[name][-1]:5.2f} ms)   {rss}   "
                f"files {open_files}   {took:5.1f} s",
                flush=True,
            )

    def _cpu_s(self) -> float:
        return sum(one.cpu_s() for one in self.processes)

    def ratio(self, name: str) -> float:
        first, last = (self.cost[name][tenth] / self.length[name][tenth] for tenth in (1, -1))
        return round(last / first, 3)

    def plain_ratio(self, name: str) -> float:
        return round(self.cost[name][-1] / self.cost[name][1], 3)

    def growth(self, kept: dict[str, list[dict[str, int]]]) -> int:
        """Return the largest growth of any process over all phases."""
        grown = {
            one.name: sum(tenths[-1][one.name] - tenths[1][one.name] for tenths in kept.values())
            for one in self.processes
        }
        return max(grown.values())


async def main(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        emulator = stack.enter_context(servers.emulator(media=False, args=RULES))
        portal = stack.enter_context(servers.portal(emulator, env=NO_BUDGETS))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results

        portal.beat.stop()
        portal.worker.stop()
        worker = single_worker(portal)
        stack.enter_context(servers.running(lambda: (worker, lambda: " ready." in worker.output())))
        meter = Meter([Process("web", portal.web.pid), Process("worker", child_of(worker.pid))])
        people = TALKERS + CONCURRENT_SESSIONS
        cookies = await asyncio.to_thread(_results.create_signed_in_users, people, 10 * people)
        async with AsyncExitStack() as async_stack:
            measuring = asyncio.create_task(meter.yardstick.measure())
            async_stack.callback(measuring.cancel)
            load = LoadedPortal(portal, await async_stack.enter_async_context(aiohttp.ClientSession()), async_stack)
            await meter.phase("tick", options.ticks, load.ticks)
            load.talkers = [await load.talker(cookie) for cookie in cookies[:TALKERS]]
            await asyncio.gather(*(talker.start() for talker in load.talkers))
            await asyncio.to_thread(extend_by_a_day, [talker.session_id for talker in load.talkers])
            await meter.phase("message", options.messages, load.messages)
            load.cookies = cookies[TALKERS:]
            await meter.phase("socket", options.sockets, load.sockets)
            await meter.phase("session", options.sessions, load.sessions)
            await meter.phase("reconnect", options.reconnects, load.reconnects)
    result: dict[str, Any] = {"bench": "soak"} | {
        f"{name}_cost_last_over_first": meter.ratio(name) for name in ("tick", "message", "session", "socket")
    }
    result["plain_ratios"] = {name: meter.plain_ratio(name) for name in meter.cost}
    result["rss_growth_mb"] = round(meter.growth(meter.memory) / MB, 1)
    result["open_files_growth"] = meter.growth(meter.files)
    print(json.dumps(result))


def single_worker(portal: servers.Portal) -> Child:
    """Return a worker for all queues with one process."""
    log = Path(portal.environment["VAR_DIR"]) / "one-worker.log"
    return Child("worker", servers.all_queues_worker(concurrency=1), log, env=portal.environment)


def child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


class LoadedPortal:
    """A portal under load."""

    def __init__(self, portal: servers.Portal, http: aiohttp.ClientSession, async_stack: AsyncExitStack) -> None:
        self._portal = portal
        self._http = http
        self._async_stack = async_stack
        self._redis: Any = redis.Redis.from_url(portal.environment["REDIS_URL"])
        self.talkers: list[Talker] = []
        self.cookies: list[str] = []

    async def talker(self, cookie: str, stack: AsyncExitStack | None = None) -> Talker:
        return await _talker.connect(self._portal, self._http, cookie, stack or self._async_stack)

    async def ticks(self, times: int) -> None:
        """Run ticks back to back in the worker's process."""
        for sent in range(0, times, MAX_QUEUED_TICKS):
            await asyncio.to_thread(self._send, min(MAX_QUEUED_TICKS, times - sent))
            await self._until(lambda: self._waiting() < MAX_QUEUED_TICKS // 2)
        await self._until(lambda: self._waiting() == 0)

    def _send(self, many: int) -> None:
        from heygen_portal.celery import app

        for _ in range(many):
            app.send_task("sessions.tasks.enforce_limits")

    def _waiting(self) -> int:
        """Return the number of queued messages."""
        return int(self._redis.llen("celery") + self._redis.hlen("unacked"))

    async def _until(self, is_true: Callable[[], bool], timeout_s: float = 10 * WAIT_TIMEOUT_S) -> None:
        async with asyncio.timeout(timeout_s):
            while not is_true():  # another process decides
                await asyncio.sleep(0.02)

    async def messages(self, times: int) -> None:
        left = times

        async def talk(talker: Talker) -> None:
            nonlocal left
            while left > 0:
                left -= 3
                await talker.send_page_messages()

        await asyncio.gather(*(talk(talker) for talker in self.talkers))

    async def sockets(self, times: int) -> None:
        async def open_and_close(cookie: str) -> None:
            for _ in range(times // len(self.cookies)):
                async with AsyncExitStack() as stack:
                    await (await self.talker(cookie, stack)).socket.ping()

        await asyncio.gather(*(open_and_close(cookie) for cookie in self.cookies))

    async def sessions(self, times: int) -> None:
        """Start and end sessions, stopped alternately by their users and by the worker."""
        for round_number in range(times // len(self.cookies)):
            async with AsyncExitStack() as stack:
                talkers = [await self.talker(cookie, stack) for cookie in self.cookies]
                await asyncio.gather(*(talker.start() for talker in talkers))
                if round_number % 2:
                    await asyncio.gather(*(talker.stop() for talker in talkers))
                else:
                    await asyncio.to_thread(make_due, [talker.session_id for talker in talkers])
                    await self.ticks(1)
                    await asyncio.gather(*(talker.until("session.status", status="ended") for talker in talkers))

    async def reconnects(self, times: int) -> None:
        """Disconnect all Redis clients repeatedly.

        Wait each time until web and worker have recovered.
        """
        async with AsyncExitStack() as stack:
            talker = await self.talker(self.cookies[0], stack)  # of its own: limits end what the others began
            await talker.start()
            for _ in range(times):
                for kind in ("normal", "pubsub"):
                    self._redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                await self._await_recovery(talker)
                self._send(1)
                # A message that was cut off on its way stays unacknowledged: that it is taken must do.
                await self._until(lambda: not self._redis.llen("celery"))
            await talker.socket.send_json({"type": "session.stop"})
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                # Not `until`: a stop overtakes the last of many requests to stay, which is then refused.
                while (await talker.received.get()).get("status") != "ended":
                    pass

    async def _await_recovery(self, talker: Talker) -> None:
        """Wait until a message passes through Redis to the socket.

        Messages published meanwhile are lost.
        """
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while True:
                await talker.socket.send_json({"type": "session.stay"})
                try:
                    async with asyncio.timeout(0.5):
                        await talker.until("session.staying")
                except TimeoutError:
                    continue
                return


def make_due(session_ids: list[str]) -> None:
    from django.utils import timezone

    from sessions.models import StreamingSession

    now = timezone.now()
    StreamingSession.objects.filter(pk__in=session_ids).update(ends_at=now, deadline_at=now)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--sockets", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--reconnects", type=int, default=200)
    chosen = parser.parse_args()
    minimum = TENTHS * CONCURRENT_SESSIONS
    if min(chosen.ticks, chosen.messages, chosen.sockets, chosen.sessions) < minimum or chosen.reconnects < TENTHS:
        parser.error(f"at minimum {minimum} of each, and {TENTHS} reconnects")
    asyncio.run(main(chosen))
