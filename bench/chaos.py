"""Sessions left open after processes are killed at random while users talk.

Real processes: web, worker, beat, Redis, the emulator without media, PostgreSQL. All but PostgreSQL are killed with
SIGKILL and restarted; one provider response in twenty is lost or fails. Counted 90 s after the last kill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import aiohttp
import django

from local import processes
from local.processes import Child
from tests.support import servers

LOST_SHARE = 0.05
BETWEEN_KILLS_S = (4, 10)
DOWN_S = (0, 2)
SETTLE_S = 90
MAX_EXTRA_S = 180
"""Seconds to continue while some user has not had a conversation yet."""
CONCURRENCY_LIMIT = 100_000


async def main(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        livekit = stack.enter_context(servers.livekit()) if options.media else None
        database_url = stack.enter_context(servers.postgres("max_connections=400"))
        settings = ["--control", "--concurrency", str(CONCURRENCY_LIMIT)]
        emulator = stack.enter_context(servers.emulator(livekit, media=options.media, args=settings))
        portal = stack.enter_context(
            servers.portal(emulator, livekit, database_url=database_url, env={"BUDGET_FACTOR": "1000"})
        )
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        logging.getLogger("livekit").setLevel(logging.CRITICAL)  # its server is killed on purpose
        from bench import _results

        cookies = await asyncio.to_thread(_results.create_signed_in_users, options.sessions, CONCURRENCY_LIMIT)
        await lose_answers(emulator.url)
        victims = [portal.web, portal.worker, portal.beat, portal.redis, emulator.process]
        victims += [livekit.process] if livekit else []
        people, kills = await run_users(portal, emulator, cookies, victims, chance, options)
        open_there, lasted = await emulator_sessions(emulator.url)
        seen = [name for person in people for name in person.announced_ids]
        closed = {person.session_id: person.closed_at for person in people if person.closed_at}
        counted = await asyncio.to_thread(_results.count_sessions, seen, closed, lasted)
    report(sum(person.was_live for person in people), kills, open_there, counted)


async def run_users(
    portal: servers.Portal,
    emulator: servers.Emulator,
    cookies: list[str],
    victims: list[Child],
    chance: random.Random,
    options: argparse.Namespace,
) -> tuple[list[Any], int]:
    """Let users talk while processes are killed.

    Return them `SETTLE_S` after the last kill, with the kill count.
    """
    from bench._simulated_users import Person

    people = [Person(portal, cookie, random.Random(chance.random()), watches=options.media) for cookie in cookies]
    arrivals_s = len(people) / options.pace
    chaos_s = arrivals_s + options.chaos_s
    give_up_at = time.monotonic() + chaos_s + MAX_EXTRA_S
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def arrive(person: Person, after: float) -> None:
            await asyncio.sleep(after)
            await person.run(http, give_up_at)

        moments = [chance.uniform(0, arrivals_s) for _ in people]
        pairs = zip(people, moments, strict=True)
        talking = [asyncio.create_task(arrive(person, after)) for person, after in pairs]
        ends_at = time.monotonic() + chaos_s

        def continues() -> bool:
            late = time.monotonic() - ends_at
            return late < 0 or (late < MAX_EXTRA_S and not all(person.was_live for person in people))

        kills = await kill_at_random(victims, emulator.url, portal, chance, continues)
        settled_at = time.monotonic() + SETTLE_S
        for task in talking:  # the remaining users just close the tab
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        print(f"{kills} kills; counting {SETTLE_S} s after the last")
        await asyncio.sleep(settled_at - time.monotonic())
    return people, kills


async def kill_at_random(
    victims: list[Child],
    emulator_url: str,
    portal: servers.Portal,
    chance: random.Random,
    continues: Callable[[], bool],
) -> int:
    kills = 0
    while continues():
        await asyncio.sleep(chance.uniform(*BETWEEN_KILLS_S))
        victim = chance.choice(victims)
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(chance.uniform(*DOWN_S))
        await asyncio.to_thread(victim.start)
        kills += 1
        if victim.name == "web":
            await asyncio.to_thread(victim.wait_until, portal.is_healthy, seconds=60)
        if victim.name == "emulator":
            await asyncio.to_thread(victim.wait_until, lambda: processes.answers_http(f"{emulator_url}/_health"))
            await lose_answers(emulator_url)
    return kills


async def lose_answers(emulator_url: str) -> None:
    """Make one call in twenty fail.

    The call is lost before or after it takes effect, or gets an error response.
    """
    faults: tuple[dict[str, Any], ...] = (
        {"kind": "cut", "when": "after"},
        {"kind": "cut", "when": "before"},
        {"kind": "answer", "status": 500},
    )
    async with aiohttp.ClientSession() as http:
        for fault in faults:
            request = fault | {"times": None, "share": LOST_SHARE / len(faults)}
            async with http.post(f"{emulator_url}/_emulator/faults", json=request) as answer:
                answer.raise_for_status()


async def emulator_sessions(emulator_url: str) -> tuple[int, dict[str, float]]:
    """Return the emulator's open sessions, and how long each known session lasted."""
    async with aiohttp.ClientSession() as http, http.get(f"{emulator_url}/_emulator/sessions?all=1") as answer:
        known = (await answer.json())["sessions"]
    is_open = [session for session in known if session["ends_in"] is not None]
    return len(is_open), {session["session_id"]: session["duration"] for session in known}


def report(live: int, kills: int, open_there: int, counted: dict[str, Any]) -> None:
    print(f"users who talked   {live:>6}, in {counted['started']} sessions")
    print(f"open at emulator   {open_there:>6}\nopen at the portal {counted['open']:>6}")
    for reason, count in sorted(counted["reasons"].items()):
        print(f"  {reason:22}{count:>6}")
    seconds = counted["closed_s"]
    result = {
        "bench": "chaos",
        "sessions": live,
        "rows": counted["started"],
        "kills": kills,
        "left_open": open_there + counted["open"],
        "without_reason": counted["without_reason"],
        "rows_lost": counted["lost"],
        "chains_broken": counted["chains_broken"],
        "provider_seconds_over_ours": counted["seconds_ratio"],
        "closed_tab_median_s": round(statistics.median(seconds), 2) if seconds else None,
        "closed_tab_p99_s": round(sorted(seconds)[int(len(seconds) * 0.99)], 2) if seconds else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, help="users with one session each; 1000, or 10 with --media")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, help="users who arrive per second; 4, or 0.2 with --media")
    parser.add_argument("--chaos-s", type=float, default=60, help="seconds of kills after the last user has arrived")
    parser.add_argument("--media", action="store_true", help="with LiveKit, which is killed as well, and video")
    options = parser.parse_args()
    options.sessions = options.sessions or (10 if options.media else 1000)
    options.pace = options.pace or (0.2 if options.media else 4)
    asyncio.run(main(options))
