"""CPU time and memory of an unused portal.

Real web, worker, beat and monitor processes with PostgreSQL, Redis, LiveKit and the emulator. Three situations: an
empty portal, one with 10,000 ended sessions, and one in which 100 people have an open session and do nothing.
Percentages are of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import django

from bench import _talker
from bench._process import Process, with_descendants
from local.processes import Child
from local.servers import command
from tests.support import servers

SETTLING_S = 15
"""Pause before each measurement: start-up and the last session's follow-up work are over."""
OPENED_AT_ONCE = 10
RULES = ("--concurrency", "100000", "--rule", "no_user_s=86400", "--idle", "86400", "--duration", "86400")
NO_BUDGETS = {"BUDGET_FACTOR": "1000000"}
PORTAL = ("web", "limits", "worker", "beat", "monitor")
MB = 1024 * 1024


async def main(seconds: float, ended: int, opened: int) -> None:
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres())
        livekit = stack.enter_context(servers.livekit())
        emulator = stack.enter_context(servers.emulator(livekit, media=False, args=RULES))
        portal = stack.enter_context(servers.portal(emulator, livekit, database_url=database_url, env=NO_BUDGETS))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _long_history, _results

        portal.worker.stop()  # it consumes all queues, unlike those of the Procfile
        others = {name: stack.enter_context(started(name, portal)) for name in ("limits", "worker", "monitor")}
        processes = {
            "web": portal.web,
            "beat": portal.beat,
            **others,
            "emulator": emulator.process,
            "livekit": livekit.process,
            "redis": portal.redis,
        }
        empty = await measure("nobody there, no history", processes, seconds)
        others["worker"].stop()  # it would add its own events to the first session of the history
        await asyncio.to_thread(_long_history.create, ended)
        others["worker"].start()
        idle = await measure(f"nobody there, {ended} ended sessions", processes, seconds)
        cookies = await asyncio.to_thread(_results.create_signed_in_users, opened, 10 * opened)
        async with AsyncExitStack() as open_things:
            http = await open_things.enter_async_context(aiohttp.ClientSession())
            talkers = [await _talker.connect(portal, http, cookie, open_things) for cookie in cookies]
            for first in range(0, opened, OPENED_AT_ONCE):
                await asyncio.gather(*(talker.start() for talker in talkers[first : first + OPENED_AT_ONCE]))
            await asyncio.to_thread(_talker.extend_by_a_day, [talker.session_id for talker in talkers])
            busy = await measure(f"{opened} open idle sessions", processes, seconds)
    result = {
        "bench": "idle",
        "cpu_percent_total": total(idle, "cpu"),
        "worker_percent": round(idle["limits"]["cpu"] + idle["worker"]["cpu"], 2),
        "rss_mb_total": total(idle, "rss_mb"),
        "cpu_percent_100_open": total(busy, "cpu"),
        "cpu_percent_empty": total(empty, "cpu"),
    }
    print(json.dumps(result))


@contextmanager
def started(name: str, portal: servers.Portal) -> Iterator[Child]:
    """Run a process of the Procfile."""
    child = Child(name, command(name, {}), Path(portal.environment["VAR_DIR"]) / f"{name}.log", env=portal.environment)
    with servers.running(lambda: (child, lambda: child.is_running)) as running:
        yield running


async def measure(title: str, processes: Mapping[str, Child], seconds: float) -> dict[str, dict[str, float]]:
    """Return each process's percentage of one core and its memory, children included."""
    await asyncio.sleep(SETTLING_S)
    trees = {name: with_descendants(name, child.pid) for name, child in processes.items()}
    before, began = {name: cpu_s(members) for name, members in trees.items()}, time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    print(f"{title}, {took:.0f} s")
    measured = {}
    for name, members in trees.items():
        cpu = 100 * (cpu_s(members) - before[name]) / took
        rss_mb = sum(one.rss() for one in members) / MB
        measured[name] = {"cpu": round(cpu, 2), "rss_mb": round(rss_mb, 1)}
        print(f"  {name:9} {cpu:6.2f} %  {rss_mb:7.1f} MB  {len(members)} processes", flush=True)
    return measured


def cpu_s(members: list[Process]) -> float:
    return sum(one.cpu_s() for one in members)


def total(measured: Mapping[str, Mapping[str, float]], what: str) -> float:
    """Return the sum over the portal's own processes."""
    return round(sum(measured[name][what] for name in PORTAL), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--ended", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=100, dest="opened")
    options: Any = parser.parse_args()
    asyncio.run(main(options.seconds, options.ended, options.opened))
