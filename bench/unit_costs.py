"""What a start, a text, a report and a stop cost: processor time, rows and Redis commands.

One web process, PostgreSQL, Redis, one worker and beat; the provider is the emulator without media. The costs of the
same time without work are subtracted. docs/scaling.md calculates with the results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import django
import redis

from bench import _talker
from bench._process import Process, with_descendants
from tests.support import servers

OPENED_AT_ONCE = 10
TEXTS_PER_S = 20
IDLE_S = 20
RULES = ("--concurrency", "100000", "--rule", "no_user_s=86400", "--idle", "86400", "--duration", "86400")


@dataclass(frozen=True)
class Use:
    """What was used since the start: milliseconds of processor time, and counts."""

    at: float
    web_ms: float
    worker_ms: float
    postgres_ms: float
    redis_ms: float
    rows: float
    transactions: float
    redis_commands: float
    wal_bytes: float


class Meter:
    """Reads what the portal's processes have used."""

    def __init__(self, portal: servers.Portal) -> None:
        self._portal = portal
        self._redis: Any = redis.Redis.from_url(portal.environment["REDIS_URL"])
        self._postgres = Process("postgres", parent_of(server_pid()))

    def read(self) -> Use:
        portal = self._portal
        rows, transactions, wal_bytes = database_counts()
        return Use(
            at=time.monotonic(),
            web_ms=Process("web", portal.web.pid).cpu_s() * 1000,
            worker_ms=_tree_ms(portal.worker.pid) + _tree_ms(portal.beat.pid),
            postgres_ms=_tree_ms(self._postgres.pid),
            redis_ms=Process("redis", portal.redis.pid).cpu_s() * 1000,
            rows=rows,
            transactions=transactions,
            redis_commands=int(self._redis.info("stats")["total_commands_processed"]),
            wal_bytes=wal_bytes,
        )


def _tree_ms(pid: int) -> float:
    return sum(one.cpu_s() for one in with_descendants("", pid)) * 1000


def server_pid() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def database_counts() -> tuple[int, int, int]:
    """Return rows written, transactions and bytes of WAL."""
    from django.db import connection

    from bench import _live_sessions

    rows = _live_sessions.rows_written()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(xact_commit) FROM pg_stat_database")
        transactions = int(cursor.fetchone()[0])
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        return rows, transactions, int(cursor.fetchone()[0])


def difference(before: Use, after: Use) -> dict[str, float]:
    return {name: value - getattr(before, name) for name, value in asdict(after).items()}


async def main(sessions: int, texts: int) -> None:
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres("max_connections=300", "full_page_writes=on"))
        emulator = stack.enter_context(servers.emulator(media=False, args=RULES))
        portal = stack.enter_context(
            servers.portal(emulator, database_url=database_url, env={"BUDGET_FACTOR": "1000000"})
        )
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results

        cookies = await asyncio.to_thread(_results.create_signed_in_users, sessions, 10 * sessions)
        meter = await asyncio.to_thread(Meter, portal)
        async with AsyncExitStack() as sockets:
            http = await sockets.enter_async_context(aiohttp.ClientSession())
            talkers = [await _talker.connect(portal, http, cookie, sockets) for cookie in cookies]
            await talkers[0].start()  # warm-up
            await talkers[0].say()
            await asyncio.sleep(IDLE_S / 2)
            idle = await per_second(meter)

            async def measured(what: str, times: int, work: Callable[[], Awaitable[None]]) -> dict[str, float]:
                before = await asyncio.to_thread(meter.read)
                await work()
                await asyncio.sleep(2)  # what follows a stop or a text
                used = difference(before, await asyncio.to_thread(meter.read))
                each = {
                    name: round((value - idle[name] * used["at"]) / times, 2)
                    for name, value in used.items()
                    if name != "at"
                }
                print(f"{what:6} load {os.getloadavg()[0]:4.1f}  {each}", flush=True)
                return each

            async def start() -> None:
                for first in range(1, sessions, OPENED_AT_ONCE):
                    await asyncio.gather(*(one.start() for one in talkers[first : first + OPENED_AT_ONCE]))

            async def talk() -> None:
                began, running = time.monotonic(), []
                for number in range(texts):
                    await asyncio.sleep(max(0, began + number / TEXTS_PER_S - time.monotonic()))
                    running.append(asyncio.create_task(talkers[number % sessions].say()))
                await asyncio.gather(*running)

            async def report() -> None:
                for number in range(texts):
                    await asyncio.sleep(1 / TEXTS_PER_S)
                    data = {"quality": ("poor", "good")[number // sessions % 2]}
                    report = {"type": "event.report", "kind": "connection_quality", "data": data}
                    await talkers[number % sessions].socket.send_json(report)
                await asyncio.gather(*(talker.stay() for talker in talkers))

            async def stop() -> None:
                for first in range(0, sessions, OPENED_AT_ONCE):
                    await asyncio.gather(*(one.stop() for one in talkers[first : first + OPENED_AT_ONCE]))
                await asyncio.sleep(10)  # until the books are kept

            result = {
                "start": await measured("start", sessions - 1, start),
                "text": await measured("text", texts, talk),
                "report": await measured("report", texts, report),
                "stop": await measured("stop", sessions, stop),
            }
    print(json.dumps({"bench": "unit-costs", **result}))


async def per_second(meter: Meter) -> dict[str, float]:
    """Return the use per second of a portal without work."""
    before = await asyncio.to_thread(meter.read)
    await asyncio.sleep(IDLE_S)
    used = difference(before, await asyncio.to_thread(meter.read))
    each = {name: value / used["at"] for name, value in used.items()}
    print(f"idle   { ({name: round(value, 2) for name, value in each.items() if name != 'at'}) } a second", flush=True)
    return each


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--texts", type=int, default=1000)
    options = parser.parse_args()
    asyncio.run(main(options.sessions, options.texts))
