"""Uploads that are announced but never sent take few slots and release them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from heygen_portal.server import limits
from tests.attacks.raw import answer, connected, exchange, head
from tests.support import servers
from tests.support.servers import Web

PATH = "/admin/avatars/knowledgebase/import/"
MAX_UPLOADS = 8
MAX_UPLOADS_PER_ADDRESS = 2
MIB = 1024 * 1024
ANNOUNCED = [f"Content-Length: {15 * MIB}", f"Content-Length: {MIB + 1}", "Transfer-Encoding: chunked"]
RECEIVED = ("HTTP/1.1 302 ", "HTTP/1.1 403 ")


@pytest.mark.parametrize("announced", ANNOUNCED)
def test_strangers_hold_few_large_uploads_open(web: Web, announced: str) -> None:
    asked = head("POST", PATH, [announced])
    with ExitStack() as held:
        for number in range(MAX_UPLOADS):
            held.enter_context(connected(web, source=f"127.0.0.{number + 2}")).sendall(asked)
        assert exchange(web, asked).startswith("HTTP/1.1 503 ")
        small = exchange(web, head("POST", PATH, ["Content-Length: 1"]), b"x")
        assert small.startswith(RECEIVED)
    _upload(web)  # those slots are free again


@pytest.mark.parametrize("announced", ANNOUNCED)
def test_one_address_cannot_take_every_upload_slot(web: Web, announced: str) -> None:
    asked = head("POST", PATH, [announced])
    with ExitStack() as held:
        for _ in range(MAX_UPLOADS_PER_ADDRESS):
            held.enter_context(connected(web, source="127.0.0.9")).sendall(asked)
        for _ in range(MAX_UPLOADS):
            with connected(web, source="127.0.0.9") as another:
                another.sendall(asked)
                assert answer(another).startswith("HTTP/1.1 429 ")
        _upload(web, source="127.0.0.10")
    _upload(web, source="127.0.0.9")


@pytest.mark.parametrize(
    ("forwarded", "is_refused"),
    [
        ("203.0.113.7", True),
        ("198.51.100.1, 203.0.113.7:51234", True),  # the proxy wrote only the last address
        ("203.0.113.8", False),
        ("2001:db8:0:1::7", True),
        ("[2001:db8:0:1:ffff::1]:443", True),  # the same /64
        ("2001:db8:0:2::7", False),
    ],
)
def test_uploads_are_counted_by_the_address_from_the_proxy(
    web_behind_proxy: Web, forwarded: str, is_refused: bool
) -> None:
    length = f"Content-Length: {15 * MIB}"
    with ExitStack() as held:
        for number in range(MAX_UPLOADS_PER_ADDRESS):
            for address in ("203.0.113.7", f"2001:db8:0:1::{number}"):
                asked = head("POST", PATH, [f"X-Forwarded-For: 10.0.0.{number}, {address}", length])
                held.enter_context(connected(web_behind_proxy)).sendall(asked)
        with connected(web_behind_proxy) as another:
            another.sendall(head("POST", PATH, [f"X-Forwarded-For: {forwarded}", f"Content-Length: {MIB + 1}"]))
            if not is_refused:
                another.sendall(b"x" * (MIB + 1))
            expected = "HTTP/1.1 429 " if is_refused else RECEIVED
            assert answer(another).startswith(expected)


def test_a_large_upload_must_keep_a_minimum_speed() -> None:
    assert limits.upload_seconds(16 * MIB) <= 90
    assert limits.upload_seconds(MIB) == limits.transfer_seconds(MIB)


@pytest.fixture(scope="module")
def web_behind_proxy(redis_url: str) -> Iterator[Web]:
    with servers.web(redis_url, env={"PROXY_COUNT": "1"}) as web:
        yield web


def _upload(web: Web, *, source: str = "127.0.0.1") -> None:
    with connected(web, source=source) as connection:
        connection.sendall(head("POST", PATH, [f"Content-Length: {MIB + 1}"]))
        connection.sendall(b"x" * (MIB + 1))
        assert answer(connection).startswith(RECEIVED)
