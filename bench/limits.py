"""Delay of limits at various sizes, and the cost of idle sessions.

Real worker, beat, Redis and PostgreSQL; the provider is the emulator without media, with 100 ms per response. A
session's delay runs from its limit until the provider has confirmed its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from datetime import timedelta
from typing import Any

import django

from tests.support import servers

ANSWER_MS = 100
TRICKLE_SESSIONS, TRICKLE_PER_S = 100, 10
"""Sessions that reach their limits one after the other, and how many per second."""
SIZES = (100, 10_000, 100_000)
IDLE_TICKS = 200
MAX_WAIT_S = 120
RULES = ("--concurrency", "1000000", "--rule", "no_user_s=86400", "--idle", "86400", "--duration", "86400")


def main(live: int, due: int, idle_s: float) -> None:
    with (
        servers.postgres("max_connections=200") as database_url,
        servers.emulator(media=False, args=["--latency", str(ANSWER_MS), *RULES]) as emulator,
        servers.portal(emulator, database_url=database_url, env={"BUDGET_FACTOR": "1000"}) as portal,
    ):
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        # Otherwise a reconciliation meanwhile would close at the provider what has no row yet, as it should.
        portal.beat.stop()
        portal.worker.stop()
        sessions = create_sessions(emulator, live)
        said = len(portal.worker.output())
        portal.worker.start()
        portal.worker.wait_until(lambda: " ready." in portal.worker.output()[said:], seconds=MAX_WAIT_S)
        portal.beat.start()
        report: dict[str, Any] = {"bench": "limits", "live": live, "due": due}
        report["idle_writes_per_session_minute"] = idle_writes(live, idle_s)
        report |= measure_lateness("trickle", sessions[:TRICKLE_SESSIONS], every_s=1 / TRICKLE_PER_S)
        report |= measure_lateness("burst", sessions[TRICKLE_SESSIONS : TRICKLE_SESSIONS + due], every_s=0)
        portal.beat.stop()
        portal.worker.stop()
        report |= measure_idle_ticks()
    report["lateness_p99_s"] = report["burst_p99_s"]
    print(json.dumps(report))


def create_sessions(emulator: servers.Emulator, live: int) -> list[Any]:
    from bench import _live_sessions
    from sessions.capacity.leases import this_process
    from sessions.presence.tabs import renew_lease

    names = asyncio.run(_live_sessions.open_at_emulator(emulator, live))
    sessions = _live_sessions.store(names)
    renew_lease(this_process.id)
    _live_sessions.open_tabs(sessions, this_process.id)
    _live_sessions.analyse()
    return sessions


def idle_writes(live: int, seconds: float) -> float:
    """Return the rows written per minute and idle session.

    A web process holds the tabs meanwhile.
    """
    from bench import _live_sessions
    from sessions.capacity.leases import this_process

    async def hold() -> None:
        await this_process.hold_lease()  # as the web process does
        await asyncio.sleep(seconds)

    before = _live_sessions.rows_written()
    asyncio.run(hold())
    written = _live_sessions.rows_written() - before
    print(f"{live} idle sessions: {written} rows written in {seconds:g} s")
    return round(written / live * 60 / seconds, 5)


def measure_lateness(name: str, sessions: list[Any], *, every_s: float) -> dict[str, float]:
    """Let sessions reach their limits, and wait until they are over."""
    from django.utils import timezone

    from bench import _live_sessions
    from sessions.capacity.leases import this_process
    from sessions.presence import tabs

    first = timezone.now() + timedelta(seconds=4)
    _live_sessions.make_due(sessions, [first + timedelta(seconds=number * every_s) for number in range(len(sessions))])
    give_up_at = time.monotonic() + MAX_WAIT_S
    while (late := _live_sessions.lateness(sessions)) is None:
        if time.monotonic() > give_up_at:
            sys.exit(f"{name}: not all sessions were over after {MAX_WAIT_S} s")
        tabs.renew_lease(this_process.id)
        time.sleep(0.5)
    p50, p99 = statistics.median(late), sorted(late)[int(len(late) * 0.99)]
    print(f"{name:8} {len(late):>6} sessions: late by p50 {p50:.2f} s, p99 {p99:.2f} s, most {max(late):.2f} s")
    return {f"{name}_p50_s": round(p50, 3), f"{name}_p99_s": round(p99, 3)}


def measure_idle_ticks() -> dict[str, float]:
    """Return the cost of a tick with nothing due, by number of live sessions."""
    from asgiref.sync import async_to_sync
    from django.utils import timezone

    from bench import _live_sessions
    from sessions.actions import stop

    _live_sessions.truncate()
    median: dict[int, float] = {}
    there = 0
    for size in SIZES:
        _live_sessions.store([None] * (size - there))
        there = size
        _live_sessions.analyse()
        taken = []
        for _ in range(IDLE_TICKS):
            began = time.perf_counter()
            async_to_sync(stop.enforce_due)(timezone.now())
            taken.append(time.perf_counter() - began)
        median[size] = statistics.median(taken) * 1000
        print(f"a tick with nothing due, {size:>7} live: {median[size]:.2f} ms")
    return {
        "idle_tick_ms": round(median[SIZES[-1]], 2),
        "idle_tick_ms_100k_over_100": round(median[SIZES[-1]] / median[SIZES[0]], 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--live", type=int, default=10_000)
    parser.add_argument("--due", type=int, default=1_000, help="sessions whose limit is reached in the same second")
    parser.add_argument("--idle-s", type=float, default=60, help="for how long writes are counted")
    options = parser.parse_args()
    main(options.live, options.due, options.idle_s)
