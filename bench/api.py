"""Requests to the REST API beside the same work over the page's socket.

create  from the request to the access to the room: a POST, and `session.start` on an open socket
get     one session: a GET, and `session.join` on an open socket
list    fifty of a user's sessions: a GET, and the page of conversations, which shows twenty

One web process, one request at a time for create and get, and ten at a time for the requests a second. The provider is
the emulator without media, with 50 ms per response. API and socket alternate, so that both get the same conditions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import aiohttp
import django

from bench.relay import percentile
from tests.support import servers

ANSWER_MS = 50
SESSIONS_LISTED = 50
AT_ONCE = 10
WAIT_TIMEOUT_S = 30
RULES = ("--concurrency", "1000", "--latency", str(ANSWER_MS))
HEADERS = {"Accept-Language": "en"}


class Page:
    """A user's open socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, message: dict[str, Any], answer: str) -> dict[str, Any]:
        """Send a message and return the first one of the kind `answer`."""
        await self.socket.send_json(message)
        return await self.wait_for(answer)

    async def wait_for(self, kind: str, status: str = "") -> dict[str, Any]:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while True:
                content: dict[str, Any] = json.loads(await self.socket.receive_str())
                if content["type"] == "error":
                    raise SystemExit(f"the portal refused: {content}")
                if content["type"] == kind and status in ("", content.get("status")):
                    return content


async def main(options: argparse.Namespace) -> None:
    env = {"BUDGET_FACTOR": "100000"}
    with ExitStack() as stack:
        database_url = stack.enter_context(servers.postgres("max_connections=300")) if options.postgres else None
        emulator = stack.enter_context(servers.emulator(media=False, args=RULES))
        portal = stack.enter_context(servers.portal(emulator, database_url=database_url, env=env))
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        from bench import _results

        (cookie,) = await asyncio.to_thread(_results.create_signed_in_users, 1, 100)
        secret = await asyncio.to_thread(_new_key)
        headers = {"Cookie": f"sessionid={cookie}", "Origin": portal.url}
        async with (
            aiohttp.ClientSession() as browser,
            aiohttp.ClientSession(
                f"{portal.url}/api/v1/", headers={**HEADERS, "Authorization": f"Bearer {secret}"}
            ) as api,
            browser.ws_connect(f"{portal.url}/ws/personas/lucia/?lang=en", headers=headers) as socket,
        ):
            page = Page(socket)
            creates = await alternate(lambda: create_by_api(api), lambda: create_by_socket(page), options.rounds)
            for _ in range(SESSIONS_LISTED // 5):
                await create_by_api(api)
            known = await create_by_socket(page)
            gets = await alternate(
                lambda: request(api, f"sessions/{known['session_id']}"),
                lambda: timed(page.ask({"type": "session.join", "session_id": known["session_id"]}, "session.status")),
                options.rounds * 5,
            )
            conversations = f"{portal.url}/conversations/"
            lists = await alternate(
                lambda: request(api, f"sessions?limit={SESSIONS_LISTED}"),
                lambda: request(browser, conversations, headers=headers),
                options.rounds * 5,
            )
            rates = {
                "list": await rate(lambda: request(api, f"sessions?limit={SESSIONS_LISTED}"), options.seconds),
                "get": await rate(lambda: request(api, f"sessions/{known['session_id']}"), options.seconds),
            }
    for name, (by_api, by_page) in {"create": creates, "get": gets, "list": lists}.items():
        figures = "   ".join(
            f"{whose} p50 {statistics.median(ms):6.1f} p99 {percentile(ms, 99):6.1f} ms"
            for whose, ms in (("API", by_api), ("page", by_page))
        )
        speed = f"   {rates[name]:.0f} a second" if name in rates else ""
        print(f"{name:<7} {figures}{speed}")
    result = {
        "bench": "api",
        "list_p99_ms": round(percentile(lists[0], 99), 1),
        "get_p99_ms": round(percentile(gets[0], 99), 1),
        "create_p99_ms": round(percentile(creates[0], 99), 1),
        "lists_per_s": round(rates["list"]),
        "gets_per_s": round(rates["get"]),
        "create_over_socket": round(statistics.median(creates[0]) / statistics.median(creates[1]), 3),
    }
    print(json.dumps(result))


def _new_key() -> str:
    from django.contrib.auth.models import User

    from heygen_portal.models import ApiKey
    from heygen_portal.people.api_keys import keys, scopes
    from heygen_portal.people.api_keys.scopes import Scope
    from heygen_portal.trail.change_log import SERVER

    owner = User.objects.order_by("-pk")[0]  # the page's user: both read the same sessions
    chosen = scopes.as_stored([Scope.SESSIONS_START, Scope.SESSIONS_READ])
    return keys.create(ApiKey(name="bench", owner=owner, created_by=owner, scopes=chosen, per_minute=10_000), SERVER)


Work = Callable[[], Awaitable[dict[str, Any]]]


async def alternate(one: Work, other: Work, rounds: int) -> tuple[list[float], list[float]]:
    """Do both in turn, after one round that does not count. Return the milliseconds of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, ms in zip((one, other), times, strict=True):
            took = (await work())["ms"]
            if number:
                ms.append(took)
    return times


async def timed(work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    begun = time.perf_counter()
    found = await work
    return {**found, "ms": (time.perf_counter() - begun) * 1000}


async def request(http: aiohttp.ClientSession, path: str, **options: Any) -> dict[str, Any]:
    begun = time.perf_counter()
    async with http.get(path, **options) as answer:
        await answer.read()
        answer.raise_for_status()
    return {"ms": (time.perf_counter() - begun) * 1000}


async def create_by_api(api: aiohttp.ClientSession) -> dict[str, Any]:
    begun = time.perf_counter()
    async with api.post("sessions", json={"persona": "lucia"}) as answer:
        session: dict[str, Any] = await answer.json()
        if not answer.ok:
            raise SystemExit(f"the portal refused: {session}")
    took = (time.perf_counter() - begun) * 1000
    async with api.post(f"sessions/{session['id']}/stop", json={}) as answer:
        answer.raise_for_status()
    return {"ms": took}


async def create_by_socket(page: Page) -> dict[str, Any]:
    begun = time.perf_counter()
    await page.ask({"type": "session.start"}, "session.room")
    took = (time.perf_counter() - begun) * 1000
    await page.socket.send_json({"type": "session.stop"})
    ended = await page.wait_for("session.status", "ended")
    return {**ended, "ms": took}


async def rate(work: Work, seconds: float) -> float:
    """Return how often per second the work is done, `AT_ONCE` at a time."""
    begun, done = time.perf_counter(), 0

    async def again() -> None:
        nonlocal done
        while time.perf_counter() - begun < seconds:
            await work()
            done += 1

    await asyncio.gather(*(again() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - begun)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=40, help="sessions created by each; five times as many are read")
    parser.add_argument("--seconds", type=float, default=10, help="length of the measurement of requests a second")
    parser.add_argument("--postgres", action="store_true", help="use PostgreSQL instead of SQLite")
    asyncio.run(main(parser.parse_args()))
