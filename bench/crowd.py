"""Memory and delay of web processes that hold thousands of open sockets.

2,000 sockets in one web process, then 5,000 in two behind the proxy. Each is a signed-in user's on a live session and
sends a text a minute, in an open loop: a text's delay counts from its scheduled time. Meanwhile some sessions reach
their limit; their lateness runs until the provider has confirmed the end.

PostgreSQL, Redis, one worker and beat. The provider is the emulator without media, with 50 ms per response. The
sessions are stored directly, because starting thousands takes long, and joined through the sockets. The memory of a
socket is the growth of the web processes from after a warm-up without sockets, divided by the sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from typing import Any

import aiohttp
import django

from bench import _behind_proxy, _talker
from bench._behind_proxy import Site
from bench._talker import Talker
from bench.relay import open_loop, percentile
from tests.support import servers
from tests.support.factories import user_of
from tests.support.proxy import Network

ANSWER_MS = 50
TEXT_INTERVAL_S = 60
WARM_UP_SOCKETS = 100
OPENED_AT_ONCE = 20
LIMITED_SHARE = 0.05
"""Share of the sessions that reach their limit while the others talk."""
MAX_LATENESS_S = 120
MAX_DELAY_S = 100
"""For a text, on a machine that does not keep up."""
FILES_PER_SOCKET = 2
"""In the proxy, which has most."""
SPARE_FILES = 500
RULES = ("--concurrency", "1000000", "--rule", "no_user_s=86400", "--idle", "86400", "--duration", "86400")
KB = 1024


async def main(options: argparse.Namespace) -> None:
    raise_file_limit(FILES_PER_SOCKET * max(options.one, options.two) + SPARE_FILES)
    network = Network()
    env = {"BUDGET_FACTOR": "1000000", **_behind_proxy.environment(network)}
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres("max_connections=300"))
        emulator = stack.enter_context(servers.emulator(media=False, args=["--latency", str(ANSWER_MS), *RULES]))
        portal = stack.enter_context(servers.portal(emulator, database_url=database_url, env=env))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        measured = {}
        if options.one:
            measured["1"] = await measure(_behind_proxy.direct(portal), portal, emulator, options.one, options.seconds)
        if options.two:
            portal.web.stop()
            webs = [stack.enter_context(_behind_proxy.web_process(portal, network, number)) for number in (1, 2)]
            site = stack.enter_context(_behind_proxy.site(network, webs))
            measured["2"] = await measure(site, portal, emulator, options.two, options.seconds)
    worst = {name: max(one[name] for one in measured.values()) for name in ("rss_kb_per_socket", "p99_ms")}
    lateness = max(one["lateness_p99_s"] for one in measured.values())
    print(json.dumps({"bench": "crowd", **worst, "lateness_p99_s": lateness, "by_processes": measured}))


def raise_file_limit(files: int) -> None:
    """Allow this process and its children to open so many files, or end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < files:
        sys.exit(f"{files} open files are needed, and the system allows {most}. Raise it with: ulimit -Hn {files}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def measure(
    site: Site, portal: servers.Portal, emulator: servers.Emulator, sockets: int, seconds: float
) -> dict[str, float]:
    """Open the sockets, let them talk, and let some sessions reach their limit."""
    title = f"{sockets} sockets, {len(site.webs)} web process{'es' if len(site.webs) > 1 else ''}"
    print(f"{title}, load {os.getloadavg()[0]:.1f}", flush=True)
    portal.beat.stop()  # otherwise sessions of only one side would be ended while they are created
    portal.worker.stop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=site.tls or True)) as http:
        sessions, cookies = await create(emulator, WARM_UP_SOCKETS + sockets)
        portal.worker.start()
        portal.beat.start()
        async with AsyncExitStack() as warm_up:
            pages = await open_sockets(site, http, sessions[:WARM_UP_SOCKETS], cookies, warm_up)
            await asyncio.gather(*(page.say() for page in pages))
        await asyncio.sleep(1)  # until the sockets are closed
        empty, proxy_empty = site.rss(), site.proxy.rss() if site.proxy else 0
        print_memory("before", site, 0, empty)
        async with AsyncExitStack() as stack:
            began, cpu_s = time.monotonic(), site.cpu_s()
            pages = await open_sockets(site, http, sessions[WARM_UP_SOCKETS:], cookies[WARM_UP_SOCKETS:], stack)
            opening_ms = (site.cpu_s() - cpu_s) * 1000 / sockets
            print(f"  opened in {time.monotonic() - began:.0f} s, {opening_ms:.1f} ms of processor time each")
            print_memory("opened", site, sockets, empty)
            limited = int(sockets * LIMITED_SHARE)
            moments = await asyncio.to_thread(make_due, sessions[WARM_UP_SOCKETS:][:limited], seconds)
            talking = pages[limited:]

            failed = 0

            async def say(number: int) -> None:
                nonlocal failed
                try:
                    await talking[number % len(talking)].say(timeout_s=MAX_DELAY_S)
                except (RuntimeError, TimeoutError):  # counted, so that an overloaded machine still gives figures
                    failed += 1

            rate, cpu_s, began = len(talking) / TEXT_INTERVAL_S, site.cpu_s(), time.monotonic()
            delays = await open_loop(say, rate, seconds)
            took = time.monotonic() - began
            cpu_percent = 100 * (site.cpu_s() - cpu_s) / took
            late = await asyncio.to_thread(wait_until_over, moments)
            print_memory("talked", site, sockets, empty)
            rss_kb = (site.rss() - empty) / KB / sockets
            proxy_kb = (site.proxy.rss() - proxy_empty) / KB / sockets if site.proxy else 0.0
    await asyncio.sleep(1)
    print_memory("closed", site, 0, empty)
    result = {
        "sockets": sockets,
        "rss_kb_per_socket": round(rss_kb, 1),
        "proxy_kb_per_socket": round(proxy_kb, 1),
        "p50_ms": round(percentile(delays, 50), 1),
        "p99_ms": round(percentile(delays, 99), 1),
        "lateness_p99_s": round(percentile(late, 99), 2),
        "failed_texts": failed,
        "cpu_percent": round(cpu_percent, 1),
    }
    print(f"  {len(delays)} texts, {rate:.0f} a second, and {len(late)} limits: {result}", flush=True)
    return result


async def create(emulator: servers.Emulator, count: int) -> tuple[list[Any], list[str]]:
    """Create live sessions, each of a signed-in user. Return them, and the users' login cookies."""
    from bench import _live_sessions, _results

    def store() -> tuple[list[Any], list[str]]:
        sessions = _live_sessions.store(names)
        _live_sessions.analyse()
        return sessions, _results.sign_in([user_of(session) for session in sessions])

    names = await _live_sessions.open_at_emulator(emulator, count, is_started=True)
    return await asyncio.to_thread(store)


async def open_sockets(
    site: Site, http: aiohttp.ClientSession, sessions: list[Any], cookies: list[str], stack: AsyncExitStack
) -> list[Talker]:
    """Open a socket for each session and join it, a few at a time."""
    slots = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one(session: Any, cookie: str) -> Talker:
        async with slots:
            talker = await _talker.connect(site, http, cookie, stack)
            await talker.join(str(session.pk))
            return talker

    return await asyncio.gather(*(one(*pair) for pair in zip(sessions, cookies, strict=False)))


def make_due(sessions: list[Any], seconds: float) -> list[Any]:
    """Let the sessions reach their limits one after the other during the coming seconds."""
    from django.utils import timezone

    from bench import _live_sessions

    now = timezone.now()
    _live_sessions.make_due(
        sessions, (now + timedelta(seconds=2 + seconds * number / len(sessions)) for number in range(len(sessions)))
    )
    return sessions


def wait_until_over(sessions: list[Any]) -> list[float]:
    """Return the lateness of each session in seconds."""
    from bench import _live_sessions

    give_up_at = time.monotonic() + MAX_LATENESS_S
    while (late := _live_sessions.lateness(sessions)) is None:
        if time.monotonic() > give_up_at:
            sys.exit(f"not all sessions were over {MAX_LATENESS_S} s after their limit")
        time.sleep(0.5)
    return late


def print_memory(when: str, site: Site, sockets: int, empty: int) -> None:
    rss_mb = " + ".join(f"{web.rss() / KB / KB:.1f}" for web in site.webs)
    each = f", {(site.rss() - empty) / KB / sockets:.1f} KB a socket" if sockets else ""
    print(f"  {when:7} {rss_mb} MB{each}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--one", type=int, default=2000, help="sockets in one web process; 0: none")
    parser.add_argument("--two", type=int, default=5000, help="sockets in two web processes; 0: none")
    parser.add_argument("--seconds", type=float, default=60, help="how long they talk")
    options = parser.parse_args()
    asyncio.run(main(options))
