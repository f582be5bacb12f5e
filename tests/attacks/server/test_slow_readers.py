"""Slow readers use bounded memory, and clients that read nothing are cut off."""

from __future__ import annotations

import select
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import AsyncClient, RequestFactory, override_settings

from heygen_portal import checks
from heygen_portal.runtime import file_responses
from tests.attacks import raw
from tests.attacks.served import VIDEO_BYTES, Staff
from tests.support.servers import Web
from tests.timeouts import WAIT_TIMEOUT_S

WHOLE, FROM_THE_MIDDLE, NEARLY_ALL = (), ("Range: bytes=1000-",), ("Range: bytes=0-299999999",)


@pytest.mark.proof
def test_clients_that_read_nothing_use_little_memory_and_are_cut_off(web: Web, staff: Staff) -> None:
    # Warm up.
    assert httpx.head(f"{web.url}{staff.video}", headers={"Cookie": staff.cookie}, trust_env=False).is_success
    before = most = raw.memory_mb(web.process.pid)
    waiting = select.poll()
    with ExitStack() as stack:
        clients = []
        for extra in (WHOLE, FROM_THE_MIDDLE, NEARLY_ALL) * 4:
            client = stack.enter_context(raw.connected(web, receive_buffer=4096))
            client.sendall(raw.head("GET", staff.video, [f"Cookie: {staff.cookie}", *extra]))
            waiting.register(client, 0)  # only wait for the end of the connection
            clients.append(client)
        open_ones = len(clients)
        while open_ones:
            ended = waiting.poll(WAIT_TIMEOUT_S * 1000)
            assert ended, "a client that reads nothing is still connected"
            most = max(most, raw.memory_mb(web.process.pid))
            for number, _event in ended:
                waiting.unregister(number)
                open_ones -= 1
    assert most - before < 30  # of 3.6 GB


def test_a_slow_steady_reader_gets_the_whole_response(web: Web, staff: Staff) -> None:
    received = 0
    with raw.connected(web, receive_buffer=4096) as client:
        client.sendall(raw.head("GET", staff.video, [f"Cookie: {staff.cookie}", "Range: bytes=0-1999999"]))
        while piece := client.recv(4096):
            received += len(piece)
    assert received > 2_000_000


@pytest.mark.parametrize(
    ("wanted", "status", "sent"),
    [
        ("bytes=0-", 200, f"bytes 0-{VIDEO_BYTES - 1}/{VIDEO_BYTES}"),
        ("bytes=5-9", 206, f"bytes 5-9/{VIDEO_BYTES}"),
        ("bytes=-4", 206, f"bytes {VIDEO_BYTES - 4}-{VIDEO_BYTES - 1}/{VIDEO_BYTES}"),
        (f"bytes={VIDEO_BYTES}-", 416, f"bytes */{VIDEO_BYTES}"),
        ("bytes=-0", 416, f"bytes */{VIDEO_BYTES}"),
        ("bytes=0-0,5-9", 200, None),
        ("lines=1-2", 200, None),
    ],
)
def test_a_range_request_gets_its_range(web: Web, staff: Staff, wanted: str, status: int, sent: str | None) -> None:
    headers = {"Cookie": staff.cookie, "Range": wanted}
    with httpx.stream("GET", f"{web.url}{staff.video}", headers=headers, trust_env=False) as answer:
        assert answer.status_code == status
        assert status == 200 or answer.headers["Content-Range"] == sent
        assert answer.headers.get("ETag") or status == 416


def test_if_range_sends_a_changed_file_whole(web: Web, staff: Staff) -> None:
    headers = {"Cookie": staff.cookie, "Range": "bytes=5-9", "If-Range": '"another"'}
    with httpx.stream("GET", f"{web.url}{staff.video}", headers=headers, trust_env=False) as answer:
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(VIDEO_BYTES))


def test_a_head_request_reads_no_file(web: Web, staff: Staff) -> None:
    answer = httpx.head(f"{web.url}{staff.video}", headers={"Cookie": staff.cookie}, trust_env=False)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(VIDEO_BYTES))


def test_a_file_with_a_matching_etag_is_not_sent_again(web: Web, staff: Staff) -> None:
    headers = {"Cookie": staff.cookie}
    known = httpx.head(f"{web.url}{staff.video}", headers=headers, trust_env=False).headers["ETag"]
    again = httpx.get(f"{web.url}{staff.video}", headers=headers | {"If-None-Match": known}, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("way", "named"),
    [("X-Accel-Redirect", "/protected-media/videos/film%201.mp4"), ("X-Sendfile", "{media}/videos/film 1.mp4")],
)
async def test_a_capable_proxy_sends_files_itself(way: str, named: str) -> None:
    path = Path(settings.MEDIA_ROOT) / "videos" / "film 1.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"film")
    with override_settings(SEND_FILES_WITH=way):
        answer = await file_responses.send_file(RequestFactory().get("/"), path, "video/mp4", max_age_seconds=60)
    assert answer[way] == named.format(media=settings.MEDIA_ROOT)
    assert answer["Content-Type"] == "video/mp4"
    assert not answer.streaming


def test_an_unknown_send_files_header_is_reported() -> None:
    with override_settings(SEND_FILES_WITH="X-Send"):
        assert [found.id for found in checks.check_file_sending(None)] == ["heygen_portal.E035"]


async def test_a_static_file_is_streamed() -> None:
    answer: Any = await AsyncClient().get("/static/portal/base.css")
    assert answer.is_async
    body = b"".join([piece async for piece in answer])
    assert b"{" in body
