"""Cost of attacks on a real server: its memory and /health meanwhile.

Redis, PostgreSQL (or SQLite) and the emulator without media. An attack is held if it got the expected response, the web
process grew by at most 50 MB, and /health, requested 20 times a second by a separate process, never took more than
500 ms. Everything stays on loopback, and each attack is bounded in count and time.

Before the first attack the process answers twenty ordinary pages concurrently, twice, so that growth excludes what any
busy minute needs: templates, threads and their database connections. A fresh process is about 20 MB smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import secrets
import struct
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import django

from tests.support import servers

MIB = 1024 * 1024
MAX_GROWTH_MB, MAX_HEALTH_MS = 50, 500
POLL_INTERVAL_S = 0.05
ATTACK_TIMEOUT_S = 60
SETTLE_S = 0.5
ORDINARY_PAGES = 20
VIDEO_BYTES = 300 * MIB
FORM = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n'
UPGRADE = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")


@dataclass
class Target:
    """The server under attack, and the cookies and objects that attackers have."""

    port: int
    staff: str = field(repr=False)
    """Cookie of an administrator. The other cookies are of end users."""
    person: str = field(repr=False)
    reporter: str = field(repr=False)
    talker: str = field(repr=False)
    """Cookie of the user with the long conversation."""
    long_session: str
    emulator: str = ""
    video: str = ""
    name: str = ""
    """Name of a user with a password."""

    async def connect(self, *, receive_buffer: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        import socket  # asyncio alone cannot set it before connecting

        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=raw, limit=receive_buffer or 65536)

    def head(self, method: str, path: str, *headers: str) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", "")
        return "\r\n".join(lines).encode()

    async def answer(self, *parts: bytes) -> str:
        """Send data while the server accepts it.

        Return everything received until the server closes.
        """
        reader, writer = await self.connect()
        reading = asyncio.create_task(read_to_end(reader))  # as browsers do, which hear a refusal while they send
        try:
            with suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
            return await reading
        finally:
            reading.cancel()
            writer.transport.abort()

    async def post(self, path: str, cookie: str, fields: dict[str, str]) -> str:
        body = urlencode(fields).encode()
        length = f"Content-Length: {len(body)}"
        kind = "Content-Type: application/x-www-form-urlencoded"
        origin = f"Origin: http://127.0.0.1:{self.port}"
        return await self.answer(self.head("POST", path, f"Cookie: {cookie}", kind, length, origin, CLOSE) + body)


async def read_to_end(reader: asyncio.StreamReader) -> str:
    received = b""
    with suppress(ConnectionError):
        while len(received) < MIB and (piece := await reader.read(65536)):
            received += piece
    return received.decode("utf-8", "replace")


CLOSE = "Connection: close"
Attack = Callable[[Target], Awaitable[bool]]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    def add(function: Attack) -> Attack:
        ATTACKS[name] = function
        return function

    return add


async def run_concurrently(count: int, one: Callable[[int], Awaitable[bool]]) -> bool:
    return all(await asyncio.gather(*(one(number) for number in range(count))))


# Bodies


@attack("forms of 150 MB to the sign-in page")
async def large_forms(target: Target) -> bool:
    piece = b"a" * MIB

    async def one(number: int) -> bool:
        head = target.head("POST", "/accounts/login/", FORM, f"Content-Length: {len(PART) + 150 * MIB}")
        return " 413 " in await target.answer(head, PART, *[piece] * 150)

    return await run_concurrently(3, one)


@attack("bodies in chunks without an end")
async def endless_chunks(target: Target) -> bool:
    chunk = b"%x\r\n%s\r\n" % (65536, b"a" * 65536)

    async def one(number: int) -> bool:
        head = target.head("POST", "/accounts/login/", FORM, "Transfer-Encoding: chunked")
        return " 413 " in await target.answer(head, *[chunk] * 500)

    return await run_concurrently(8, one)


@attack("bodies in chunks of one byte")
async def small_chunks(target: Target) -> bool:
    async def one(number: int) -> bool:
        head = target.head("POST", "/language/", FORM, "Transfer-Encoding: chunked")
        return " 413 " in await target.answer(head, *[b"1\r\na\r\n" * 5000] * 40)

    return await run_concurrently(8, one)


@attack("100 forms of nearly 1 MB at once")
async def forms_within_the_limit(target: Target) -> bool:
    body = PART + b"a" * (1000 * 1024) + b"\r\n--x--\r\n"

    async def one(number: int) -> bool:
        head = target.head("POST", "/check/room", FORM, f"Content-Length: {len(body)}", CLOSE)
        return " 403 " in await target.answer(head + body)

    return await run_concurrently(100, one)


@attack("8 files of 15 MB for the knowledge, by strangers")
async def large_imports(target: Target) -> bool:
    body = PART + b"a" * (15 * MIB) + b"\r\n--x--\r\n"

    async def one(number: int) -> str:
        path = "/admin/avatars/knowledgebase/import/"
        head = target.head("POST", path, FORM, f"Content-Length: {len(body)}", CLOSE)
        return (await target.answer(head, body))[:13]

    answers = await asyncio.gather(*(one(number) for number in range(8)))
    return all(" 403 " in answer or " 429 " in answer for answer in answers) and any(" 403 " in one for one in answers)


@attack("webhooks of 5 MB without a signature")
async def large_webhooks(target: Target) -> bool:
    async def one(number: int) -> bool:
        head = target.head("POST", "/webhooks/livekit/", "Content-Type: text/plain", f"Content-Length: {5 * MIB}")
        return " 413 " in await target.answer(head, b"a" * (5 * MIB))

    return await run_concurrently(20, one)


@attack("headers without an end, and 400 connections that drip")
async def slow_headers(target: Target) -> bool:
    async def one(number: int) -> bool:
        reader, writer = await target.connect()
        try:
            writer.write(target.head("GET", "/health").removesuffix(b"\r\n"))
            while not reader.at_eof():
                writer.write(b"X: a\r\n" if number % 2 else b"X" * 500)
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(100), 0.5)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return True  # it was closed: the attack ends by itself

    return await run_concurrently(400, one)


# Slow readers


async def read_nothing(target: Target, count: int, ask: bytes, *, for_s: float = ATTACK_TIMEOUT_S) -> bool:
    """Send requests without reading responses.

    Return when the time is over or all connections are cut off.
    """

    async def one(number: int) -> bool:
        _reader, writer = await target.connect(receive_buffer=4096)
        try:
            cast(asyncio.Transport, writer.transport).pause_reading()
            writer.write(ask)
            poll = writer.get_extra_info("socket")
            give_up_at = time.monotonic() + for_s
            while time.monotonic() < give_up_at:  # a socket tells without being read whether the other end is gone
                state = struct.unpack_from("B", poll.getsockopt(6, 11, 8))[0]
                if state != ESTABLISHED:
                    return True
                await asyncio.sleep(POLL_INTERVAL_S)
            return for_s < ATTACK_TIMEOUT_S
        finally:
            writer.transport.abort()

    return await run_concurrently(count, one)


ESTABLISHED = 1
"""Offset in Linux's TCP_INFO."""


@attack("30 clients that read nothing of a video of 300 MB")
async def unread_videos(target: Target) -> bool:
    return await read_nothing(target, 30, target.head("GET", target.video, f"Cookie: sessionid={target.staff}", CLOSE))


@attack("300 strangers that read nothing of static files")
async def static_files(target: Target) -> bool:
    page = await target.answer(target.head("GET", "/accounts/login/", CLOSE))
    largest = max(re.findall(r'(?:href|src)="(/static/[^"]+)"', page), key=len)
    ask = target.head("GET", largest) * 20
    return await read_nothing(target, 300, ask, for_s=8)  # much of it fits into the system's buffers


@attack("10 exports of 5,000 lines that are never read")
async def exports(target: Target) -> bool:
    path = "/admin/avatar_sessions/export/new/"
    token = secrets.token_hex(16)
    fields = urlencode({"what": "events", "format": "jsonl", "reason": "", "csrfmiddlewaretoken": token}).encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    cookies = f"Cookie: sessionid={target.staff}; csrftoken={token}"
    origin = f"Origin: http://127.0.0.1:{target.port}"
    head = target.head("POST", path, cookies, kind, origin, f"Content-Length: {len(fields)}", CLOSE)
    if " 200 " not in (await target.answer(head + fields))[:20]:
        raise AssertionError("the export was refused")
    return await read_nothing(target, 10, head + fields)


# Sockets


def frame(text: bytes) -> bytes:
    """Return a masked text frame with a zero mask."""
    size = len(text)
    length = (
        bytes([0x80 | size])
        if size < 126
        else struct.pack(">BH" if size < 65536 else ">BQ", 0xFE | (size >= 65536), size)
    )
    return b"\x81" + length + b"\0\0\0\0" + text


async def open_socket(target: Target, cookie: str, path: str, **options: int) -> tuple[Any, Any]:
    reader, writer = await target.connect(**options)
    cookies, origin = f"Cookie: sessionid={cookie}", f"Origin: http://127.0.0.1:{target.port}"
    writer.write(target.head("GET", path, cookies, origin, "Connection: Upgrade", *UPGRADE))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    return reader, writer


@attack("junk before 50 handshakes are answered")
async def early_junk(target: Target) -> bool:
    async def one(number: int) -> bool:
        head = target.head("GET", "/ws/board/", f"Cookie: sessionid={target.staff}", "Connection: Upgrade", *UPGRADE)
        answered = await target.answer(head, *[b"\r\n\r\n" * 4096] * 100)
        return answered.count("HTTP/1.1") <= 1

    return await run_concurrently(50, one)


@attack("frames of 50 MB")
async def large_frames(target: Target) -> bool:
    async def one(number: int) -> bool:
        reader, writer = await open_socket(target, target.staff, "/ws/board/")
        try:
            with suppress(ConnectionError):
                writer.write(frame(b"a" * (50 * MIB)))
                await writer.drain()
                while await reader.read(65536):
                    pass
        finally:
            writer.transport.abort()
        return True

    return await run_concurrently(5, one)


@attack("400,000 messages by a page that reads nothing")
async def unread_errors(target: Target) -> bool:
    async def one(number: int) -> bool:
        _reader, writer = await open_socket(target, target.staff, "/ws/board/", receive_buffer=4096)
        writer.transport.pause_reading()
        piece = frame(b'{"type": "x", "ref": "%s"}' % (b"r" * 60)) * 1000
        try:
            with suppress(ConnectionError, TimeoutError):
                for _ in range(100):
                    writer.write(piece)
                    await asyncio.wait_for(writer.drain(), 10)
        finally:
            writer.transport.abort()
        return True

    return await run_concurrently(4, one)


# What a session's page sends


async def start_session(target: Target, cookie: str) -> tuple[Any, Any]:
    """Start a session on a new socket and wait until it connects.

    Later messages are read and dropped.
    """
    reader, writer = await open_socket(target, cookie, "/ws/personas/lucia/?lang=en")
    writer.write(frame(json.dumps({"type": "session.start", "take_over": True}).encode()))
    seen = b""
    while b"session.room" not in seen:
        seen = seen[-100:] + await asyncio.wait_for(reader.read(65536), 20)
    first = {"type": "event.report", "kind": "first_frame", "data": {"width": 1280, "height": 720, "ms": 300}}
    writer.write(frame(json.dumps(first).encode()))
    return reader, writer


async def send_messages(target: Target, cookie: str, messages: list[dict[str, Any]]) -> bytes:
    """Send messages as fast as possible until all are answered or dropped.

    Return the end of what came back.
    """
    reader, writer = await start_session(target, cookie)
    heard = b""

    async def listen() -> None:
        nonlocal heard
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                heard = (heard + piece)[-1000:]

    listening = asyncio.create_task(listen())
    try:
        with suppress(ConnectionError):  # closing is a way to refuse
            for message in messages:
                writer.write(frame(json.dumps(message).encode()))
                await writer.drain()
            writer.write(frame(b'{"type": "session.stop"}'))
        await asyncio.wait([listening], timeout=3)
    finally:
        listening.cancel()
        writer.transport.abort()
    return heard


def reports(count: int, text: Callable[[int], str], kind: str = "avatar_end_message") -> list[dict[str, Any]]:
    return [
        {"type": "event.report", "kind": kind, "data": {"message": text(n), "task_id": f"t{n}"}} for n in range(count)
    ]


@attack("40 reports of letters that expand to six, and of 10,000 letters")
async def expanding_reports(target: Target) -> bool:
    texts = ("\u3316" * 3000, "\ufdfa" * 3000, "x" * 10_000, " ".join(f"{n:015x}" for n in range(600)))
    before = word_count()
    await send_messages(target, target.reporter, reports(40, lambda n: f"{n} {texts[n % 4]}"))
    return word_count() - before <= 40 * 1500


@attack("tasks of letters that expand to six")
async def expanding_tasks(target: Target) -> bool:
    before = word_count()
    tasks = [
        {"type": "task.send", "kind": "repeat", "ref": f"r{n}", "text": "\u3316" * 1990 + str(n)} for n in range(60)
    ]
    await send_messages(target, target.reporter, tasks)
    return word_count() - before <= 60 * 1500


@attack("5,000 reports of 3.9 KB from one tab")
async def flood_of_reports(target: Target) -> bool:
    before = event_count()
    data = {"state": "x" * 3800}
    flood = [{"type": "event.report", "kind": "connection_state", "data": data}] * 5000
    heard = await send_messages(target, target.reporter, flood)
    if TOO_MANY not in heard:
        raise AssertionError("the socket was not closed for too many messages")
    return event_count() - before <= 2500


TOO_MANY = b"\x88\x02" + struct.pack(">H", 4429)
"""Close frame sent after 1,000 messages beyond the allowed number in progress."""


@attack("odd values in 300 reports")
async def odd_values(target: Target) -> bool:
    odd: list[Any] = [-0.0, 1e308, "\ud800", None, [], {}, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
    messages = [
        {"type": "event.report", "kind": kind, "at": value, "sent": value, "data": {"x": value, "page_at": value}}
        for kind in ("connection_state", "avatar_start_talking", "verdict", "rated")
        for value in odd
    ]
    await send_messages(target, target.reporter, messages * 9)
    session = newest_session()
    path = f"/admin/avatar_sessions/streamingsession/{session.pk}/audit/"
    page = await target.answer(target.head("GET", path, f"Cookie: sessionid={target.staff}", CLOSE))
    if " 200 " not in page[:20]:
        raise AssertionError(f"the auditor's page answers {page[:20]}")
    if fault := await asyncio.to_thread(fault_of, session.pk):
        raise AssertionError(f"verification finds {fault}")
    return True


@attack("60 sessions opened and closed by one person")
async def many_sessions(target: Target) -> bool:
    before = session_count()
    for _ in range(60):
        _reader, writer = await open_socket(target, target.person, "/ws/personas/lucia/?lang=en")
        writer.write(frame(b'{"type": "session.start", "take_over": true}'))
        await writer.drain()
        await asyncio.sleep(POLL_INTERVAL_S)
        writer.transport.abort()
    return session_count() - before <= 32


@attack("a conversation of 15 MB, joined 30 times, read and downloaded")
async def long_conversation(target: Target) -> bool:
    reader, writer = await open_socket(target, target.talker, "/ws/personas/lucia/?lang=en")
    received = 0

    async def listen() -> None:
        nonlocal received
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                received += len(piece)

    listening = asyncio.create_task(listen())
    join = frame(json.dumps({"type": "session.join", "session_id": target.long_session}).encode())
    path, cookie = f"/conversations/{target.long_session}/", f"Cookie: sessionid={target.talker}"

    async def get(number: int) -> bool:
        file = "transcript.txt" if number % 2 else f"?page={number}"
        asking, sending = await target.connect()
        try:
            sending.write(target.head("GET", path + file, cookie, CLOSE))
            while await asking.read(65536):
                pass
        finally:
            sending.transport.abort()
        return True

    try:
        for _ in range(30):
            writer.write(join)
        await writer.drain()
        answered = await run_concurrently(30, get)
    finally:
        listening.cancel()
        writer.transport.abort()
    return answered and 0 < received < MIB


MAX_LISTS = 16
"""12 look-ups per minute for one session, plus the worker's own during the attack."""


def list_request_count(target: Target) -> int:
    """Return how often the emulator's session list was requested."""
    with urllib.request.urlopen(f"http://{target.emulator}/_emulator/requests", timeout=10) as answer:
        return sum("list" in request["path"] for request in json.load(answer)["requests"])


@attack("400 rooms for the check, and 64 look-ups in the provider's list")
async def rooms_and_lookups(target: Target) -> bool:
    token = secrets.token_hex(16)
    cookies = f"sessionid={target.person}; csrftoken={token}"

    async def one(number: int) -> bool:
        return " 200 " not in (await target.post("/check/room", "", {}))[:20]

    async def own(number: int) -> int:
        answered = (await target.post("/check/room", cookies, {"csrfmiddlewaretoken": token}))[:20]
        return " 429 " in answered

    are_strangers_refused = await run_concurrently(200, one)
    refused = sum(await asyncio.gather(*(own(number) for number in range(200))))
    lookups = [{"type": "event.report", "kind": "verdict", "data": {"code": "x", "final": False}}] * 64
    before = list_request_count(target)
    await send_messages(target, target.reporter, lookups)
    return are_strangers_refused and refused >= 150 and list_request_count(target) - before <= MAX_LISTS


# Signing in


@attack("150 wrong passwords for one name")
async def wrong_passwords(target: Target) -> bool:
    token = secrets.token_hex(16)

    async def one(number: int) -> bool:
        fields = {"login": target.name, "password": f"wrong-{number}", "csrfmiddlewaretoken": token}
        return " 302 " not in (await target.post("/accounts/login/", f"csrftoken={token}", fields))[:20]

    return await run_concurrently(150, one)


@attack("150 wrong passwords for as many names")
async def many_names(target: Target) -> bool:
    token = secrets.token_hex(16)

    async def one(number: int) -> bool:
        fields = {"login": f"name-{number}", "password": "wrong", "csrfmiddlewaretoken": token}
        return " 302 " not in (await target.post("/accounts/login/", f"csrftoken={token}", fields))[:20]

    return await run_concurrently(150, one)


# What is watched


def probe(port: int, process_id: int, slowest_ms: Synchronized[float], most_mb: Synchronized[float]) -> None:
    """Poll /health and the web process's memory until cancelled."""
    while True:
        began = time.perf_counter()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).read()
        except OSError:
            slowest_ms.value = max(slowest_ms.value, 10_000)
        slowest_ms.value = max(slowest_ms.value, 1000 * (time.perf_counter() - began))
        most_mb.value = max(most_mb.value, memory_mb(process_id))
        time.sleep(POLL_INTERVAL_S)


def memory_mb(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def watched(port: int, process_id: int) -> Iterator[tuple[Synchronized[float], Synchronized[float]]]:
    context = multiprocessing.get_context("spawn")
    slowest_ms, most_mb = context.Value("d", 0.0), context.Value("d", 0.0)
    watcher = context.Process(target=probe, args=(port, process_id, slowest_ms, most_mb), daemon=True)
    watcher.start()
    try:
        yield slowest_ms, most_mb
    finally:
        watcher.terminate()


def main(options: argparse.Namespace) -> None:
    database = nullcontext(None) if options.sqlite else servers.postgres("max_connections=300")
    with (
        database as database_url,
        servers.emulator(media=False, args=["--concurrency", "100", "--control"]) as emulator,
        servers.portal(emulator, database_url=database_url, env={"CLIENT_TIMEOUT": "3"}) as portal,
    ):
        os.environ.update(portal.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # one script, which counts rows between attacks
        django.setup()
        target = prepare(portal, emulator.url)
        asyncio.run(warm_up(target))
        chosen = {name: one for name, one in ATTACKS.items() if options.only in name}
        rows = [row for name, one in chosen.items() if (row := run(portal, target, name, one))]
    result = {
        "bench": "attacks",
        "rows": len(rows),
        "held": sum(row["held"] for row in rows),
        "rss_growth_mb_max": max(row["growth_mb"] for row in rows),
        "slowest_health_ms": max(row["health_ms"] for row in rows),
    }
    print(json.dumps(result))


async def warm_up(target: Target) -> None:
    """Request ordinary pages, twice as many as are processed concurrently."""
    cookie = f"Cookie: sessionid={target.person}"

    async def one(number: int) -> bool:
        return " 200 " in (await target.answer(target.head("GET", "/conversations/", cookie, CLOSE)))[:20]

    for _ in range(2):
        assert await run_concurrently(ORDINARY_PAGES, one)


def run(portal: servers.Portal, target: Target, name: str, one: Attack) -> dict[str, Any]:
    with watched(portal.port, portal.web.pid) as (slowest_ms, most_mb):
        time.sleep(SETTLE_S)
        before = memory_mb(portal.web.pid)
        slowest_ms.value, most_mb.value = 0.0, before
        began, why = time.perf_counter(), ""
        try:
            got = asyncio.run(asyncio.wait_for(one(target), ATTACK_TIMEOUT_S))
        except Exception as exc:  # noqa: BLE001 - a row of the table says so
            got, why = False, f"{type(exc).__name__}: {exc}"
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        row = {"growth_mb": round(most_mb.value - before, 1), "health_ms": round(slowest_ms.value)}
    row["held"] = got and row["growth_mb"] <= MAX_GROWTH_MB and row["health_ms"] <= MAX_HEALTH_MS
    print(
        f"{'held' if row['held'] else 'NOT HELD':<9}{name:<62}{row['growth_mb']:>7.1f} MB"
        f"{row['health_ms']:>6} ms{took:>6.1f} s  {why or ('' if got else 'it got more than it should')}",
        flush=True,
    )
    return row


def prepare(portal: servers.Portal, emulator_url: str) -> Target:
    """Create the attackers' users, a long video, and a history to export."""
    from django.contrib.auth.models import User
    from django.db import transaction
    from django.test import Client

    from bench import _results
    from sessions.models import SessionEvent, SpeechKey, StreamingSession, Utterance
    from tests.support.factories import StreamingSessionFactory, VideoFactory

    person, reporter, talker = _results.create_signed_in_users(3, 50)
    long = StreamingSessionFactory.create(status="ended", user=User.objects.order_by("-pk")[0])
    wrapped, lines = SpeechKey.wrapped_for(long.pk), []
    for _ in range(1572):
        line = Utterance(session=long, who="avatar", by="voice", source="portal")
        line.encrypt("x" * 9900, wrapped)
        lines.append(line)
    Utterance.objects.bulk_create(lines)
    staff = User.objects.create_superuser("attacked", password="right")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    login = client.session
    login["account_authentication_methods_user"] = str(staff.pk)
    login["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    login.save()
    video = VideoFactory.create(status="ready", due_at=None, provider_video_id="v1", file="videos/long.mp4")
    file = Path(portal.environment["VAR_DIR"]) / "media" / "videos" / "long.mp4"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as body:
        body.truncate(VIDEO_BYTES)
    with transaction.atomic():  # else the worker, which books the session, may append its event in between
        past = StreamingSessionFactory.create(status="ended")
        SessionEvent.objects.bulk_create(
            SessionEvent(session=past, number=n, source="browser", kind="note", data={"x": "y" * 2000}, hash="0" * 64)
            for n in range(1, 4901)
        )
    assert StreamingSession.objects.count()
    return Target(
        port=portal.port,
        staff=client.cookies["sessionid"].value,
        person=person,
        reporter=reporter,
        talker=talker,
        long_session=str(long.pk),
        emulator=emulator_url.removeprefix("http://"),
        video=f"/videos/{video.pk}/file",
        name="attacked",
    )


def word_count() -> int:
    from sessions.models import SpokenWord

    return SpokenWord.objects.count()


def event_count() -> int:
    from sessions.models import SessionEvent

    return SessionEvent.objects.count()


def newest_session() -> Any:
    from sessions.models import StreamingSession

    return StreamingSession.objects.order_by("created_at").last()


def fault_of(session_id: Any) -> Any:
    from sessions.integrity import verification

    return verification.first_fault_of(session_id)


def session_count() -> int:
    from sessions.models import StreamingSession

    return StreamingSession.objects.count()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sqlite", action="store_true", help="an SQLite file instead of PostgreSQL")
    parser.add_argument("--only", default="", metavar="WORDS", help="only attacks whose name contains these words")
    main(parser.parse_args())
