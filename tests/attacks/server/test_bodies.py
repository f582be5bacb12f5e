"""The server refuses requests that are too large or too slow before reading them."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from unittest.mock import Mock, call

import aiohttp
import httpx
import pytest
import pytest_asyncio

from heygen_portal.server.asgi import SocketInbox
from heygen_portal.server.websocket import Socket
from tests.attacks import raw
from tests.attacks.served import Staff
from tests.support.servers import Web
from tests.timeouts import WAIT_TIMEOUT_S

MIB = 1024 * 1024
FORM = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n'
HANDSHAKE = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="]
IMPORT = "/admin/avatars/knowledgebase/import/"


@pytest_asyncio.fixture
async def loaded(web: Web, staff: Staff) -> None:
    """Warm up with a form and a socket, so that later ones need no memory for code."""
    body = PART + b"a\r\n--x--\r\n"
    for path in ("/accounts/login/", IMPORT):
        raw.exchange(web, raw.head("POST", path, [FORM, f"Content-Length: {len(body)}"]), body)
    async with open_board(web, staff) as socket:
        await socket.send_str('{"type": "x"}')
        while "bad_message" not in (await socket.receive(timeout=WAIT_TIMEOUT_S)).data:
            pass


def chunks(count: int, size: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"%x\r\n%s\r\n" % (size, b"a" * size)
    yield b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "content_type", "size"),
    [
        ("/accounts/login/", FORM, 20 * MIB),
        ("/accounts/login/", FORM, 1_960 * MIB),
        ("/accounts/login/", "Content-Type: application/x-www-form-urlencoded", 65 * 1024),
        ("/accounts/password/reset/", "Content-Type: text/plain", 65 * 1024),
        ("/webhooks/livekit/", "Content-Type: application/webhook+json", 65 * 1024),
        ("/check/room", "Content-Type: application/json", 2 * MIB),
        ("/no-such-page", FORM, 2 * MIB),
        ("/%61ccounts/login/", FORM, 65 * 1024),
        ("/%61%63%63ounts%2Flogin/?next=/", FORM, 65 * 1024),
        ("//accounts/login/", FORM, 65 * 1024),
        ("/./accounts//login/", FORM, 65 * 1024),
        ("/videos/../accounts/login/", FORM, 65 * 1024),
        ("/videos/%2e%2e/%6canguage/", FORM, 65 * 1024),
        ("http://localhost/accounts/login/", FORM, 65 * 1024),
        ("/accounts/%2e%2e/admin/avatars/knowledgebase/import/", FORM, 65 * 1024),
        (IMPORT, FORM, 17 * MIB),
    ],
)
def test_a_body_with_a_large_content_length_is_refused_before_it_is_sent(
    web: Web, path: str, content_type: str, size: int
) -> None:
    answered = raw.exchange(web, raw.head("POST", path, [content_type, f"Content-Length: {size}"]))
    assert answered.startswith("HTTP/1.1 413 ")
    assert "exceeds the limit for this address" in answered


@pytest.mark.parametrize("path", ["/accounts/login/", "/webhooks/livekit/", "/language/"])
@pytest.mark.parametrize("size", [1, 8192], ids=["of-a-byte-each", "of-8-kb"])
def test_a_chunked_body_is_refused_when_it_becomes_too_large(web: Web, path: str, size: int) -> None:
    head = raw.head("POST", path, [FORM, "Transfer-Encoding: chunked"])
    answered = raw.exchange(web, head, *chunks(200_000 // size, size))
    assert answered.startswith("HTTP/1.1 413 ")


@pytest.mark.parametrize("root", ["/x", "/%78"])
def test_a_client_cannot_choose_the_root_path(web: Web, root: str) -> None:
    body = PART + b"a" * (100 * 1024) + b"\r\n--x--\r\n"
    headers = [FORM, f"Content-Length: {len(body)}", f"Daphne-Root-Path: {root}"]
    answered = raw.exchange(web, raw.head("POST", "/x/accounts/login/", headers), body)
    assert answered.startswith("HTTP/1.1 404 ")


@pytest.mark.usefixtures("loaded")
def test_a_large_form_uses_little_memory_and_does_not_block_others(web: Web) -> None:
    body = PART + b"a" * (20 * MIB)
    with raw.little_memory(web):
        for _ in range(3):
            head = raw.head("POST", "/accounts/login/", [FORM, f"Content-Length: {len(body)}"])
            assert " 413 " in raw.exchange(web, head, body)
    assert httpx.get(f"{web.url}/health", trust_env=False).status_code == 200


def test_expect_100_continue_is_refused_before_the_body(web: Web) -> None:
    headers = [FORM, "Expect: 100-continue", f"Content-Length: {2 * MIB}"]
    assert raw.exchange(web, raw.head("POST", "/accounts/login/", headers)).startswith("HTTP/1.1 413 ")


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("path", "size"), [("/accounts/login/", 60 * 1024), (IMPORT, 15 * MIB)])
def test_a_body_within_the_limit_reaches_the_portal(web: Web, path: str, size: int) -> None:
    body = PART + b"a" * size + b"\r\n--x--\r\n"
    with raw.little_memory(web):
        answered = raw.exchange(web, raw.head("POST", path, [FORM, f"Content-Length: {len(body)}"]), body)
    assert answered.startswith("HTTP/1.1 403 ")  # no CSRF token


@pytest.mark.parametrize(
    "headers",
    [
        ["Cookie: " + "a" * 20_000],
        [f"X-Line-{number}: a" for number in range(200)],
        [f"X-Line-{number}: {'a' * 400}" for number in range(60)],
    ],
    ids=["one-long", "many", "long-together"],
)
def test_headers_beyond_the_limits_are_refused(web: Web, headers: list[str]) -> None:
    answered = raw.exchange(web, raw.head("GET", "/health", headers))
    assert answered.startswith("HTTP/1.1 431 ")


INCOMPLETE = {
    "request line": b"GET /health HT",
    "headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "body": raw.head("POST", "/accounts/login/", [FORM, "Content-Length: 10"]) + b"--x",
    "chunks": raw.head("POST", "/accounts/login/", [FORM, "Transfer-Encoding: chunked"]) + b"5\r\nab",
}


def test_incomplete_requests_are_closed(web: Web) -> None:
    """Keep all of them open at once, because the server waits some seconds for each."""
    with ExitStack() as stack:
        connections = {name: stack.enter_context(raw.connected(web)) for name in INCOMPLETE}
        for name, sent in INCOMPLETE.items():
            connections[name].sendall(sent)
        # An answer is whole once the server has closed the connection.
        answers = {name: raw.answer(connection) for name, connection in connections.items()}
    assert {name: text for name, text in answers.items() if text and not text.startswith("HTTP/1.1 408 ")} == {}


def test_a_slowly_dripping_request_is_closed(web: Web) -> None:
    """Each byte used to restart the timeout."""
    with raw.connected(web) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        connection.settimeout(0.05)
        received = None
        while received is None:
            try:
                connection.sendall(b"a")
                received = connection.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                received = b""
    assert b"200 OK" not in received


def test_a_handshake_with_a_body_is_refused(web: Web) -> None:
    head = raw.head("GET", "/ws/board/", [*HANDSHAKE, f"Content-Length: {MIB}"])
    assert raw.exchange(web, head, b"a" * MIB).startswith("HTTP/1.1 413 ")


def test_two_requests_on_one_connection_are_both_answered(web: Web) -> None:
    with httpx.Client(trust_env=False) as client:
        answers = [client.get(f"{web.url}/health"), client.post(f"{web.url}/accounts/login/", content=b"a" * 1000)]
        answers.append(client.get(f"{web.url}/health"))
    assert [answer.status_code for answer in answers] == [200, 403, 200]


@pytest.mark.parametrize("junk", [b"a" * MIB, b"\r\n\r\n" * 1000, raw.head("GET", "/ws/board/", HANDSHAKE) * 20])
def test_data_sent_before_the_handshake_response_is_not_parsed_as_a_handshake(web: Web, junk: bytes) -> None:
    head = raw.head("GET", "/ws/board/", ["Origin: http://localhost", *HANDSHAKE]).replace(b" close", b" Upgrade")
    answered = raw.exchange(web, head, junk)
    assert answered.count("HTTP/1.1") <= 1
    assert "Traceback" not in web.process.output()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("lang", ["en", "es"])
@pytest.mark.parametrize(("size", "codes"), [(70 * 1024, {4413}), (300 * 1024, {4413}), (32 * MIB, {4413, 1006})])
async def test_a_message_that_is_too_large_is_refused_and_closes_its_socket(
    web: Web, staff: Staff, size: int, codes: set[int], lang: str
) -> None:
    with raw.little_memory(web):
        async with open_board(web, staff, lang) as socket:
            with suppress(aiohttp.ClientError, ConnectionError):
                await socket.send_str("a" * size)
            heard = [json.loads(message.data) async for message in socket]
    assert socket.close_code in codes
    if socket.close_code == 4413:
        assert heard[-1]["code"] == "too_large"
        assert heard[-1]["words"].startswith("This message" if lang == "en" else "Este mensaje")


def masked(opcode: int, payload: bytes = b"") -> bytes:
    return bytes([opcode, 0x80 | len(payload)]) + bytes(4) + payload


def is_cut_off(client: socket.socket, data: bytes) -> bool:
    """Send, then read to the end.

    Small frames may all be sent before the server closes.
    """
    try:
        for _ in range(300):
            client.sendall(data)
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return True  # else it times out


PING, PONG, FIRST_PART, NEXT_PART = 0x89, 0x8A, 0x01, 0x00


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "frames",
    [
        masked(PING, b"a" * 125),
        masked(PING),
        masked(PONG, b"a" * 125),
        masked(NEXT_PART),
    ],
    ids=["pings", "empty pings", "pongs", "parts of a message without an end"],
)
def test_a_page_that_sends_frames_without_messages_and_reads_nothing_is_cut_off(
    web: Web, staff: Staff, frames: bytes
) -> None:
    head = raw.head("GET", "/ws/board/", ["Origin: http://localhost", f"Cookie: {staff.cookie}", *HANDSHAKE])
    head = head.replace(b"Connection: close", b"Connection: Upgrade")
    with raw.little_memory(web), raw.connected(web, receive_buffer=4096) as client:
        client.sendall(head)
        assert b" 101 " in client.recv(4096)
        client.sendall(masked(FIRST_PART))
        assert is_cut_off(client, frames * 1000)


@pytest.mark.parametrize("lang", ["en", "es"])
def test_a_page_that_sends_too_many_pings_is_told_how_long_to_wait(web: Web, staff: Staff, lang: str) -> None:
    headers = ["Origin: http://localhost", f"Cookie: {staff.cookie}", *HANDSHAKE]
    head = raw.head("GET", f"/ws/board/?lang={lang}", headers).replace(b" close", b" Upgrade")
    with raw.connected(web) as client:
        client.sendall(head)
        assert b" 101 " in client.recv(4096)
        client.sendall(masked(PING) * 400)
        heard = raw.answer(client)
    assert '"about": "frames"' in heard
    assert '"wait_seconds": 40' in heard
    assert ("Try again in 40 seconds" if lang == "en" else "Int\\u00e9ntalo") in heard


async def test_a_page_that_pings_now_and_then_is_answered(web: Web, staff: Staff) -> None:
    async with open_board(web, staff) as socket:
        await socket.ping()
        await socket.pong()
        await socket.send_str('{"type": "x"}')
        while "bad_message" not in (await socket.receive(timeout=WAIT_TIMEOUT_S)).data:
            pass


async def test_a_socket_is_not_read_while_its_queue_is_full() -> None:
    transport = Mock(spec=["pauseProducing", "resumeProducing"])
    inbox = SocketInbox(Mock(spec=Socket, transport=transport))
    for _ in range(100):
        inbox.put_nowait({"type": "websocket.receive", "text": "{}"})
    assert transport.method_calls == [call.pauseProducing()]
    for _ in range(80):
        await inbox.get()
    assert transport.method_calls == [call.pauseProducing(), call.resumeProducing()]


@asynccontextmanager
async def open_board(web: Web, staff: Staff, lang: str = "en") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers, address = {"Cookie": staff.cookie, "Origin": web.url}, f"{web.url}/ws/board/?lang={lang}"
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(address, headers=headers, timeout=aiohttp.ClientWSTimeout(ws_close=1)) as socket,
    ):
        yield socket
