"""Is any session left open when everything is killed at random, again and again, while people talk?

Real processes: web, worker, beat, Redis, the emulator without media, PostgreSQL. All but PostgreSQL are ended with
SIGKILL and started again; one answer of the provider's in twenty is lost or fails. Counted 90 s after the last kill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import aiohttp  # noqa: E402
import django  # noqa: E402

from local import processes  # noqa: E402
from local.processes import Child  # noqa: E402
from tests import servers  # noqa: E402

LOST = 0.05
ARRIVALS_S = 60
"""Over how long people arrive."""
BETWEEN_KILLS_S = (3, 8)
DOWN_S = (0, 2)
SETTLED_S = 90
PLACES = 100_000


async def main(sessions: int, seed: int, chaos_s: float) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance, not secrets
    with ExitStack() as stack:
        redis = stack.enter_context(servers.redis_process())
        database_url = stack.enter_context(servers.postgres("max_connections=400"))
        emulator = stack.enter_context(servers.emulator(media=False, args=["--control", "--concurrency", str(PLACES)]))
        portal = stack.enter_context(servers.portal(redis.url, emulator, database_url=database_url))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        import _ledger  # noqa: PLC0415 - needs Django

        cookies = await asyncio.to_thread(_ledger.sign_in, sessions, PLACES)
        await lose_answers(emulator.url)
        killed = [portal.web, portal.worker, portal.beat, redis.process, emulator.process]
        people, kills = await live_dangerously(portal, emulator, cookies, killed, chance, chaos_s)
        print(f"{kills} kills; waiting {SETTLED_S} s")
        await asyncio.sleep(SETTLED_S)
        open_there, lasted = await known_at(emulator.url)
        seen = [person.session_id for person in people if person.session_id]
        closed = {person.session_id: person.closed_at for person in people if person.closed_at}
        counted = await asyncio.to_thread(_ledger.count, seen, closed, lasted)
    report(sessions, kills, open_there, counted)


async def live_dangerously(
    portal: servers.Portal,
    emulator: servers.Emulator,
    cookies: list[str],
    victims: list[Child],
    chance: random.Random,
    chaos_s: float,
) -> tuple[list[Any], int]:
    """Let people talk while processes die; return them, and how many deaths there were."""
    from _people import Person  # noqa: PLC0415 - beside this file

    people = [Person(portal, cookie, random.Random(chance.random())) for cookie in cookies]  # noqa: S311 - likewise
    give_up_at = time.monotonic() + chaos_s + 30
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def arrive(person: Person) -> None:
            await asyncio.sleep(chance.uniform(0, min(ARRIVALS_S, chaos_s)))
            await person.live(http, give_up_at)

        talking = [asyncio.create_task(arrive(person)) for person in people]
        kills = await kill_at_random(victims, emulator.url, chance, chaos_s)
        _, late = await asyncio.wait(talking, timeout=30)
        for task in late:  # who stays for good closes the tab now, and nothing else
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
    return people, kills


async def kill_at_random(victims: list[Child], emulator_url: str, chance: random.Random, chaos_s: float) -> int:
    ends_at, kills = time.monotonic() + chaos_s, 0
    while time.monotonic() < ends_at:
        await asyncio.sleep(chance.uniform(*BETWEEN_KILLS_S))
        victim = chance.choice(victims)
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(chance.uniform(*DOWN_S))
        await asyncio.to_thread(victim.start)
        kills += 1
        if victim.name == "emulator":
            await asyncio.to_thread(victim.wait_until, lambda: processes.answers_http(f"{emulator_url}/_health"))
            await lose_answers(emulator_url)
    return kills


async def lose_answers(emulator_url: str) -> None:
    """Let one answer in twenty be lost, after the call took effect or before, or be an error."""
    spoilt: tuple[dict[str, Any], ...] = (
        {"kind": "cut", "when": "after"},
        {"kind": "cut", "when": "before"},
        {"kind": "answer", "status": 500},
    )
    async with aiohttp.ClientSession() as http:
        for fault in spoilt:
            wish = fault | {"times": None, "share": LOST / len(spoilt)}
            async with http.post(f"{emulator_url}/_emulator/faults", json=wish) as answer:
                answer.raise_for_status()


async def known_at(emulator_url: str) -> tuple[int, dict[str, float]]:
    """Return how many sessions are open at the emulator, and how many seconds each lasted that it remembers."""
    async with aiohttp.ClientSession() as http, http.get(f"{emulator_url}/_emulator/sessions?all=1") as answer:
        known = (await answer.json())["sessions"]
    is_open = [session for session in known if session["ends_in"] is not None]
    return len(is_open), {session["session_id"]: session["duration"] for session in known}


def report(sessions: int, kills: int, open_there: int, counted: dict[str, Any]) -> None:
    print(f"sessions started   {counted['started']:>6} by {sessions} people")
    print(f"open at emulator   {open_there:>6}\nopen at the portal {counted['open']:>6}")
    for reason, count in sorted(counted["reasons"].items()):
        print(f"  {reason:22}{count:>6}")
    seconds = counted["closed_s"]
    result = {
        "bench": "chaos",
        "sessions": counted["started"],
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
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chaos-s", type=float, default=120, help="for how long processes are killed")
    options = parser.parse_args()
    asyncio.run(main(options.sessions, options.seed, options.chaos_s))
