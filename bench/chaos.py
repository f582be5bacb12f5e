"""Sessions left open after processes die or stand still while users talk.

Real processes on two machines behind Caddy, each with a web process, a limits worker, a worker and a beat; Redis,
PostgreSQL, and the emulator without media. Processes are killed with SIGKILL and restarted, others are frozen for 10 to
60 s, or the network between a machine and Redis or PostgreSQL delivers nothing for as long. One provider response in
twenty is lost or fails, the clocks of the machines are 20 s apart, and the disk for exports is full at first. Counted
90 s after the last fault.

With --brain, users ask a persona with the organisation's own model, of whose answers one in four fails, too: before the
first word, in the middle, or by stalling. Answers whose process died are closed by the worker within four minutes.
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
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import django

from bench import _faults, _two_machines
from bench._faults import Disk, Faults
from bench._two_machines import Site
from tests.support import servers

SETTLE_S = 90
EXPORT_EVERY_S = 15
ABANDONED_S = 330
"""Seconds in which the worker closes the answers of dead processes."""
MAX_EXTRA_S = 300
"""Seconds without faults in which users who could not talk before still may."""
CONCURRENCY_LIMIT = 100_000


async def main(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        livekit = stack.enter_context(servers.livekit()) if options.media else None
        settings = ["--control", "--concurrency", str(CONCURRENCY_LIMIT)]
        emulator = stack.enter_context(servers.emulator(livekit, media=options.media, args=settings))
        site = stack.enter_context(_two_machines.site(emulator, livekit, {"BUDGET_FACTOR": "1000"}))
        disk = stack.enter_context(_faults.small_disk(site.folder / "media" / "exports"))
        os.environ.update(site.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        logging.getLogger("livekit").setLevel(logging.CRITICAL)  # its server is killed on purpose
        if options.logs:
            stack.callback(_keep_logs, site.folder, Path(options.logs))
        from bench import _results

        cookies = await asyncio.to_thread(_results.create_signed_in_users, options.sessions, CONCURRENCY_LIMIT)
        if options.brain:
            await asyncio.to_thread(_results.use_own_model)
        faults = Faults(site, emulator, livekit, chance, of_model=options.brain)
        await faults.lose_answers()
        people = await run_users(site, cookies, faults, disk, chance, options)
        open_there = await faults.note_durations()
        seen = [name for person in people for name in person.announced_ids]
        closed = {person.session_id: person.closed_at for person in people if person.closed_at}
        counted = await asyncio.to_thread(_results.count_sessions, seen, closed, faults.lasted, faults.outages)
        counted["exports"] = await asyncio.to_thread(_results.count_exports)
        if options.brain:
            counted["answers"] = await _answers()
    report(people, faults, open_there, counted, has_full_disk=disk is not None)


async def _answers() -> dict[str, Any]:
    """Count the answers, once those of dead processes are closed."""
    from bench import _results

    give_up_at = time.monotonic() + ABANDONED_S
    while (found := await asyncio.to_thread(_results.count_answers))["without_end"] and time.monotonic() < give_up_at:
        await asyncio.sleep(5)
    return found


async def run_users(
    site: Site,
    cookies: list[str],
    faults: Faults,
    disk: Disk | None,
    chance: random.Random,
    options: argparse.Namespace,
) -> list[Any]:
    """Let users talk while things go wrong. Return them `SETTLE_S` after the last fault."""
    from bench._simulated_users import Person

    people = [
        Person(site.url, cookie, random.Random(chance.random()), watches=options.media, asks=options.brain)
        for cookie in cookies
    ]
    # Users arrive during all faults, unless there are too many for that.
    arrivals_s = max(len(people) / options.pace, options.chaos_s * 0.8)
    chaos_s: float = max(arrivals_s * 1.2, options.chaos_s)
    began_at = time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=site.tls())) as http:

        async def arrive(person: Person, after: float) -> None:
            await asyncio.sleep(after)
            await person.run(http, began_at + chaos_s + MAX_EXTRA_S)

        moments = [chance.uniform(0, arrivals_s) for _ in people]
        pairs = zip(people, moments, strict=True)
        talking = [asyncio.create_task(arrive(person, after)) for person, after in pairs]

        def continues() -> bool:
            return time.monotonic() - began_at < chaos_s

        exporting = asyncio.create_task(_export(continues, disk, began_at + chaos_s / 2))
        await faults.run(continues)
        await exporting
        settled_at = time.monotonic() + SETTLE_S
        talked = sum(person.was_live for person in people)
        print(f"{sum(faults.counts.values())} faults in {chaos_s:.0f} s; {talked} of {len(people)} users have talked")
        while time.monotonic() - began_at < chaos_s + MAX_EXTRA_S and not all(person.was_live for person in people):
            await asyncio.sleep(1)
        print(
            f"{sum(person.was_live for person in people)} have after {time.monotonic() - began_at - chaos_s:.0f} s more"
        )
        for task in talking:  # the remaining users just close the tab
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await asyncio.sleep(max(settled_at, time.monotonic() + SETTLE_S) - time.monotonic())
    return people


async def _export(continues: Callable[[], bool], disk: Disk | None, grows_at: float) -> None:
    """Request exports. The disk for their files is full until `grows_at`."""
    from bench import _results

    while continues():
        await asyncio.sleep(EXPORT_EVERY_S)
        if disk and time.monotonic() > grows_at:
            disk.grow()
        with suppress(Exception):  # PostgreSQL or Redis is away, as it may be for staff
            await asyncio.to_thread(_results.request_export)


def _keep_logs(folder: Path, target: Path) -> None:
    for path in folder.rglob("*.log"):
        kept = target / path.relative_to(folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())


def report(people: list[Any], faults: Faults, open_there: int, counted: dict[str, Any], *, has_full_disk: bool) -> None:
    talked = [person for person in people if person.was_live]
    print(f"users who talked   {len(talked):>6} of {len(people)}, in {counted['started']} sessions")
    for fault, count in sorted(faults.counts.items()):
        print(f"  {fault:28}{count:>6}")
    print(f"open at emulator   {open_there:>6}\nopen at the portal {counted['open']:>6}")
    for reason, count in sorted(counted["reasons"].items()):
        print(f"  {reason or '(none)':28}{count:>6}")
    print("what kept users from talking:")
    for obstacle, count in sum((person.obstacles for person in people), Counter[str]()).most_common():
        print(f"  {obstacle:28}{count:>6}")
    answers = Counter(outcome for person in people for outcome in person.answers.values())
    print(f"texts {sum(person.texts for person in people)}: {dict(answers.most_common())}")
    print(f"exports {counted['exports']}, with a full disk at first: {has_full_disk}")
    waits = sorted(person.live_at - person.arrived_at for person in talked)
    seconds = sorted(counted["closed_s"])
    result = {
        "bench": "chaos",
        "sessions": len(people),
        "talked": len(talked),
        "rows": counted["started"],
        "kills": sum(count for fault, count in faults.counts.items() if fault.startswith("killed")),
        "freezes": sum(count for fault, count in faults.counts.items() if fault.startswith("froze")),
        "left_open": open_there + counted["open"],
        "without_reason": counted["without_reason"],
        "rows_lost": counted["lost"],
        "chains_broken": counted["chains_broken"],
        "provider_seconds_over_ours": counted["seconds_ratio"],
        "closed_tab_median_s": round(statistics.median(seconds), 2) if seconds else None,
        "closed_tab_p99_s": round(_percentile(seconds, 0.99), 2) if seconds else None,
        "start_median_s": round(statistics.median(waits), 2) if waits else None,
        "start_p99_s": round(_percentile(waits, 0.99), 2) if waits else None,
        "exports_unfinished": counted["exports"].get("waiting", 0) + counted["exports"].get("writing", 0),
        "load": round(os.getloadavg()[0], 1),
    }
    if given := counted.get("answers"):
        print(f"turns {given['turns']}: {dict(given['ended'].most_common())}")
        result |= {
            "turns": given["turns"],
            "turns_without_end": given["without_end"],
            "turns_without_words": given["without_words"],
            "fallbacks": given["ended"]["fallback"],
        }
    print(json.dumps(result))


def _percentile(values: list[float], share: float) -> float:
    return values[int(len(values) * share)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, help="users with one session each; 1000, or 10 with --media")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, help="most users who arrive per second; 4, or 0.2 with --media")
    parser.add_argument("--chaos-s", type=float, default=300, help="seconds of faults; more if users still arrive")
    parser.add_argument("--media", action="store_true", help="with LiveKit, which is killed as well, and video")
    parser.add_argument("--brain", action="store_true", help="with the organisation's own model, which fails as well")
    parser.add_argument("--logs", help="folder for the logs of all processes")
    options = parser.parse_args()
    options.sessions = options.sessions or (10 if options.media else 1000)
    options.pace = options.pace or (0.2 if options.media else 4)
    asyncio.run(main(options))
