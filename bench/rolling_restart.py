"""Conversations that end or lose texts while all processes restart one after the other.

The processes of two machines behind Caddy, with PostgreSQL, Redis and the emulator without media. Each process gets
SIGTERM and starts again, as in a deployment, while all users talk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any
from uuid import UUID

import aiohttp
import django

from bench import _two_machines
from bench._two_machines import Site
from tests.support import servers

CONCURRENCY_LIMIT = 100_000
START_TIMEOUT_S = 300
BETWEEN_RESTARTS_S = 5
LAST_ANSWERS_S = 60
PROCESSES = ("web", "limits", "worker", "beat")


async def main(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        args = ["--control", "--concurrency", str(CONCURRENCY_LIMIT), "--duration", "86400", "--idle", "86400"]
        emulator = stack.enter_context(servers.emulator(media=False, args=args))
        site = stack.enter_context(_two_machines.site(emulator, None, {"BUDGET_FACTOR": "1000"}))
        os.environ.update(site.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results
        from bench._simulated_users import Person

        cookies = await asyncio.to_thread(_results.create_signed_in_users, options.sessions, CONCURRENCY_LIMIT)
        people = [
            Person(site.url, cookie, random.Random(chance.random()), ending="stay", talks_for_s=86400)
            for cookie in cookies
        ]
        restarts = await talk_and_restart(site, people, options.pace, PROCESSES)
        stored = await asyncio.to_thread(
            _results.texts_of, [UUID(person.session_id) for person in people if person.session_id]
        )
    report(people, stored, restarts)


async def talk_and_restart(
    site: Site, people: list[Any], pace: float, processes: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Let users talk, restart everything, and wait for the last answers. Return the seconds of each restart."""
    restarts: list[tuple[str, float]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=site.tls())) as http:
        talking = []
        give_up_at = time.monotonic() + 86400
        for person in people:
            talking.append(asyncio.create_task(person.run(http, give_up_at)))
            await asyncio.sleep(1 / pace)
        await _until(lambda: all(person.was_live for person in people), START_TIMEOUT_S)
        print(f"{sum(person.was_live for person in people)} of {len(people)} users talk")
        for machine in site.machines:
            for child in (getattr(machine, name) for name in processes):
                await asyncio.sleep(BETWEEN_RESTARTS_S)
                began_at = time.monotonic()
                await asyncio.to_thread(child.stop, timeout_s=30)
                await asyncio.to_thread(machine.start, child)
                restarts.append((child.name, time.monotonic() - began_at))
                print(f"{child.name:10} restarted in {restarts[-1][1]:.1f} s; {sum(p.is_over for p in people)} ended")
        await asyncio.sleep(BETWEEN_RESTARTS_S)
        for person in people:
            person.fall_silent()
        await _until(lambda: not any(person.awaits_answers for person in people), LAST_ANSWERS_S)
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
    return restarts


async def _until(is_true: Any, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not is_true():
                await asyncio.sleep(0.2)


def report(people: list[Any], stored: dict[str, Any], restarts: list[tuple[str, float]]) -> None:
    answers = Counter(outcome for person in people for outcome in person.answers.values())
    texts = sum(person.texts for person in people)
    unanswered = texts - sum(answers.values())
    without_line = sum(max(0, sum(each["refs"].values()) - each["lines"]) for each in stored.values())
    twice = sum(count > 1 for each in stored.values() for count in each["refs"].values())
    lost = sum(
        ref not in stored[person.session_id]["refs"] for person in people if person.session_id for ref in person.answers
    )
    print(f"texts {texts}: {dict(answers.most_common())}, without answer {unanswered}")
    print(f"sockets opened again: {sum(person.reconnects for person in people)}")
    for reason, count in Counter(person.end_reason for person in people if person.is_over).most_common():
        print(f"  ended: {reason:20}{count:>6}")
    result = {
        "bench": "rolling-restart",
        "sessions": len(people),
        "talked": sum(person.was_live for person in people),
        "restarts": len(restarts),
        "restart_median_s": round(statistics.median(seconds for _, seconds in restarts), 2),
        "ended": sum(person.is_over for person in people),
        "texts": texts,
        "texts_failed": sum(count for outcome, count in answers.items() if outcome != "sent"),
        "texts_unanswered": unanswered,
        "texts_lost": lost,
        "texts_twice": twice,
        "lines_lost": without_line,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, default=200, help="users with one conversation each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=4, help="users who arrive per second")
    options = parser.parse_args()
    asyncio.run(main(options))
