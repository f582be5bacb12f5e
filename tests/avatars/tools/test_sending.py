"""Requests of tools: where they go, what comes back, and what stays secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from avatars.models import HttpTool
from avatars.tools import requests, sending
from avatars.tools.sending import RequestFailed
from tests.webhooks.receiver import Receiver, answering, receiver, status

SECRET = "Bearer tops3cret-key"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def shared_shop() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def shop(shared_shop: Receiver, settings: Any) -> Receiver:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]  # a portal that serves only its own machine may call it
    shared_shop.clear()
    return shared_shop


def a_tool(shop: Receiver, **fields: Any) -> HttpTool:
    url = f"http://127.0.0.1:{shop.port}/orders/{{order}}"
    return HttpTool(
        **{"url": url, "secret_headers": f"Authorization: {SECRET}", "timeout": timedelta(seconds=5), **fields}
    )


async def sent(tool: HttpTool, **options: Any) -> str:
    return await sending.send(tool, requests.build(tool, {"order": "A1"}), **options)


async def failure(tool: HttpTool, **options: Any) -> str:
    with pytest.raises(RequestFailed) as failed:
        await sent(tool, **options)
    assert "tops3cret" not in repr(failed.value)
    return failed.value.code


async def test_a_response_is_read_without_the_secrets(shop: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop.behaviour = answering(status(200, f'{{"got": "{SECRET}", "key": "tops3cret-key"}}\x07'.encode()))
    tool = a_tool(shop, method="POST", body='{"id": "{order}"}', headers="X-Team: one")
    assert await sent(tool) == '{"got": "•••", "key": "•••"}'
    [request] = shop.requests
    assert (request.line, request.body) == ("POST /orders/A1 HTTP/1.1", b'{"id": "A1"}')
    assert (request.headers["authorization"], request.headers["x-team"]) == (SECRET, "one")
    assert "tops3cret" not in caplog.text
    assert "tops3cret" not in repr(requests.build(tool, {"order": "A1"}))


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (REDIRECT, "redirected"),
        (status(404, b"no"), "http_404"),
        (status(500), "http_500"),
        (status(200, b"x" * 201), "response_too_large"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"c9\r\n" + b"x" * 201 + b"\r\n0\r\n\r\n",
            "response_too_large",
        ),
        (status(200, b"\xff\xfe\x00"), "response_no_text"),
        (b"nonsense\r\n\r\n", "broken_response"),
    ],
)
async def test_a_response_that_is_none_has_a_code(shop: Receiver, response: bytes, code: str) -> None:
    shop.behaviour = answering(response)
    assert await failure(a_tool(shop, max_answer_bytes=200)) == code
    assert len(shop.requests) == 1


async def test_a_service_that_does_not_answer_is_given_up(shop: Receiver) -> None:
    shop.behaviour = answering(b"")
    assert await failure(a_tool(shop, timeout=timedelta(milliseconds=100))) == "timed_out"


async def test_names_of_private_addresses_are_not_called(shop: Receiver, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["portal.example.org"]  # in production

    async def lookup(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    tool = a_tool(shop, url=f"https://shop.test:{shop.port}/orders/{{order}}")
    assert await failure(tool, lookup=lookup) == "forbidden_address"
    assert await failure(a_tool(shop)) == "forbidden_address"  # saved before it was production
    assert shop.requests == []


async def test_a_host_that_is_no_longer_allowed_is_not_called(shop: Receiver, settings: Any) -> None:
    settings.TOOL_HOSTS = ["api.shop.test"]
    assert await failure(a_tool(shop)) == "forbidden_address"
    assert shop.requests == []
