"""The connection to a provider: requests, and what failures mean."""

from __future__ import annotations

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from heygen_portal import providers
from heygen_portal.providers.contract.provider import NotSent, Provider, ProviderUnreachable
from heygen_portal.providers.heygen import wire
from heygen_portal.providers.http import transport
from heygen_portal.providers.http.client import ApiClient
from local import ports
from tests.providers.http.test_pool import Account

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[str]:
    """Serve each connection with `answer`. Yield the base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, ports.LOOPBACK, 0) as server:
        yield f"http://{ports.LOOPBACK}:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def client(base_url: str) -> AsyncIterator[ApiClient]:
    api = ApiClient(base_url, "sk-key", wire.REFUSALS)
    try:
        yield api
    finally:
        await api.aclose()


async def read_request(reader: asyncio.StreamReader) -> tuple[list[str], bytes]:
    """Return the lines of a request's head, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    length = next((int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")), 0)
    return head, await reader.readexactly(length)


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


OK = response(b'{"code": 100, "data": {"task_id": "t-1"}}')


def test_connections_of_a_loop_are_closed_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> Provider:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(response(b'{"code": 100, "data": {"sessions": []}}'))
            await writer.drain()

        async with service(answer) as url:
            provider = providers.for_account(Account(base_url=url))
            await provider.list_sessions()
            return provider

    async def call_again(provider: Provider) -> None:
        with pytest.raises(NotSent):
            await provider.list_sessions()

    provider = asyncio.run(call())
    asyncio.run(call_again(provider))
    del provider
    gc.collect()
    assert caplog.messages == []  # aiohttp logs connections that nobody closed


async def test_calls_reuse_a_connection_and_send_each_header_once() -> None:
    requests, connections = [], 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while not reader.at_eof():
            try:
                requests.append(await read_request(reader))
            except asyncio.IncompleteReadError:
                return
            writer.write(OK)

    async with service(answer) as url, client(url) as api:
        for text in ("Hola", "¿Cómo estás?"):
            assert await api.post("/v1/streaming.task", {"text": text}) == {"task_id": "t-1"}
        await api.get("/v1/streaming.list", {"page": "a/b c"})
    assert connections == 1
    (head, body), (_, second), (listing, empty) = requests
    assert head[0] == "POST /v1/streaming.task HTTP/1.1"
    assert (body.decode(), second.decode()) == ('{"text":"Hola"}', '{"text":"¿Cómo estás?"}')
    assert (listing[0], empty) == ("GET /v1/streaming.list?page=a%2Fb+c HTTP/1.1", b"")
    names = [line.split(":")[0].lower() for line in head[1:] if line]
    assert sorted(names) == sorted(set(names))
    assert {"host", "x-api-key", "content-type", "content-length", "accept", "user-agent"} <= set(names)


async def test_cookies_are_not_kept_redirects_are_not_followed_and_compressed_answers_are_read() -> None:
    heads = []
    answers = [
        response(gzip.compress(b'{"code": 100, "data": 1}'), "Content-Encoding: gzip", "Set-Cookie: who=one"),
        response(b"", "Location: /elsewhere", status="302 Found"),
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            heads.append((await read_request(reader))[0])
            writer.write(each)

    async with service(answer) as url, client(url) as api:
        assert await api.post("/v1/one", {}) == 1
        with pytest.raises(ProviderUnreachable, match="HTTP 302"):
            await api.post("/v1/two", {})
    assert len(heads) == 2
    assert not [line for line in heads[1] if line.lower().startswith("cookie")]


async def test_a_refused_connection_means_not_sent() -> None:
    async with client(f"http://{ports.LOOPBACK}:{ports.free_port()}") as api:
        with pytest.raises(NotSent):
            await api.post("/v1/streaming.task", {})


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def cut_within(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(OK[:-5])


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("answer", [cut, cut_within, reset, no_http])
async def test_a_lost_answer_may_have_taken_effect(answer: Answer) -> None:
    async with service(answer) as url, client(url) as api:
        with pytest.raises(ProviderUnreachable) as caught:
            await api.post("/v1/streaming.task", {})
    assert not isinstance(caught.value, NotSent)


async def test_a_silent_server_may_have_received_the_call() -> None:
    async with service(silent) as url, client(url) as api:
        with pytest.raises(ProviderUnreachable, match="ReadTimeout") as caught:
            await api.post("/v1/streaming.task", {}, within=0.05)
    assert not isinstance(caught.value, NotSent)


async def test_calls_go_through_the_proxy_of_the_environment_but_not_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxied, direct = [], []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxied.append((await read_request(reader))[0][0])
        writer.write(response(b"", status="403 Forbidden"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        direct.append((await read_request(reader))[0][0])
        writer.write(OK)

    async with service(proxy) as proxy_url, service(answer) as url:
        monkeypatch.setenv("https_proxy", proxy_url)
        monkeypatch.setenv("http_proxy", proxy_url)
        monkeypatch.setenv("no_proxy", "")
        transport.proxy_for.cache_clear()
        try:
            async with client("https://api.example.com") as api:
                with pytest.raises(ProviderUnreachable):
                    await api.post("/v1/streaming.task", {})
            async with client(url) as api:
                await api.post("/v1/streaming.task", {})
        finally:
            transport.proxy_for.cache_clear()
    assert proxied == ["CONNECT api.example.com:443 HTTP/1.1"]
    assert direct == ["POST /v1/streaming.task HTTP/1.1"]
