"""Fuzz every route and socket of the emulator.

The seed determines all input, so that a failure can be reproduced.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from heygen_portal.emulator.heygen.chat_frames import encode_audio, encode_text
from tests.emulator.liveavatar_wire import LITE, SANDBOX_AVATAR
from tests.emulator.providers_doc import Case, cases, live_cases
from tests.timeouts import WAIT_TIMEOUT_S

WORKERS: Final = 8
A_SOCKETS_SHARE: Final = 20  # of inputs: so many messages to one socket

STRINGS: Final = (
    "", " ", "x", "x" * 1001, "x" * 70_000, "¿Qué?", "\ud800", "\0", "💡" * 300, "../../etc/passwd", "' OR 1=1",
    "default", "null", "1e999", "<script>", "Lucia_public_20260101", "repeat", "talk", "sync", "low", "H264",
    "wss://x", "closed",
)  # fmt: skip
OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    30,
    3600,
    1.5,
    1e308,
    10**400,
    [],
    {},
    [[]],
    {"a": {"b": []}},
)
RAW: Final = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"{}" * 500, b"[" * 100_000, b"0" * 5000, b"NaN")
EXTRA_CALLS: Final = (
    "GET /_health", "GET /_static/lucia.jpg", "GET /_static/nobody-face.jpg", "GET /_static/video/00.mp4?expires=1",
    "GET /_static/../../etc/passwd", "PATCH /v1/webhook/endpoint.update", "POST /v1/webhook/endpoint.add",
    "DELETE /v1/webhook/endpoint.delete?endpoint_id=x", "GET /_emulator/sessions", "GET /_emulator/faults",
    "POST /_emulator/rules", "POST /_emulator/sessions/none/end", "DELETE /_emulator/faults/9",
    "DELETE /_emulator/sessions/none/faults", "OPTIONS /v1/streaming.new", "GET /v1/streaming.new",
    "PUT /v1/streaming.task", "POST /",
    "GET /v2/streaming.list?page=0&page_size=-1&token=x", "GET /v2/streaming.list?date_from=yesterday",
    "POST /v1/streaming/knowledge_base/%00", "GET /%ff/%2e%2e", "GET /v1/ws/liveavatar/nothing",
    "PUT /v1/sessions", "DELETE /v1/sessions/none", "PATCH /v1/contexts/%00", "GET /v1/avatars?page=0&page_size=x",
    "GET /v1/sessions/none/transcript?start_timestamp=-1", "POST /_emulator/sessions/none/command",
)  # fmt: skip


@dataclass
class Report:
    """Statuses received, and responses that must never occur."""

    inputs: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Fuzz:
    """A hostile client. Its workers share the sessions it opens."""

    def __init__(self, url: str, api_key: str, seed: int) -> None:
        self._url = url
        self._key = api_key
        self._chance = random.Random(seed)
        self._cases = cases() + live_cases()
        self._sessions: list[str] = []
        self._tokens: list[str] = [""]
        self.report = Report()

    async def run(self, inputs: int) -> Report:
        timeout = aiohttp.ClientTimeout(total=WAIT_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=WORKERS * 2)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            await asyncio.gather(*(self._work(http, inputs) for _ in range(WORKERS)))
        return self.report

    async def _work(self, http: aiohttp.ClientSession, inputs: int) -> None:
        while self.report.inputs < inputs:
            if self._chance.random() < 0.05:
                await self._chance.choice((self._socket, self._socket, self._lite_socket))(http)
            else:
                self.report.inputs += 1
                await self._request(http)

    # HTTP ------------------------------------------------------------------------------------------------------

    async def _request(self, http: aiohttp.ClientSession) -> None:
        method, path, body = self._call()
        what = f"{method} {path} {body[:200]!r}"
        try:
            async with http.request(method, self._url + path, data=body, headers=self._headers()) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            self.report.wrong.append(f"{what}: {type(exc).__name__}")
            return
        self.report.statuses[answer.status] += 1
        if answer.status >= 500:
            self.report.wrong.append(f"{what}: {answer.status}")
        elif path.startswith(("/v1/", "/v2/")) and method != "OPTIONS":
            self._check(what, answer, raw)

    def _check(self, what: str, answer: aiohttp.ClientResponse, raw: bytes) -> None:
        """Check that the response is JSON with `data` or `detail` and CORS headers."""
        try:
            content = json.loads(raw)
        except ValueError:
            self.report.wrong.append(f"{what}: no JSON")
            return
        if not content.keys() & {"data", "detail"} or "Access-Control-Allow-Origin" not in answer.headers:
            self.report.wrong.append(f"{what}: {content}")
        elif isinstance(content.get("data"), dict):
            self._remember(content["data"])

    def _remember(self, data: dict[str, Any]) -> None:
        known = (self._sessions, "session_id"), (self._tokens, "token"), (self._tokens, "session_token")
        for names, name in known:
            if isinstance(data.get(name), str):
                names.append(data[name])
                del names[:-50]

    def _call(self) -> tuple[str, str, bytes]:
        if self._chance.random() < 0.1:
            method, path = self._chance.choice(EXTRA_CALLS).split(" ", 1)
            return method, path, self._broken()
        case = self._chance.choice(self._cases)
        method, path = case.call.split()
        return method, path.replace("$avatar", SANDBOX_AVATAR).replace("$session", self._session()), self._body(case)

    def _session(self) -> str:
        return self._chance.choice(self._sessions) if self._sessions else "none"

    def _body(self, case: Case) -> bytes:
        if self._chance.random() < 0.15:
            return self._broken()
        content = case.content(self._session()).replace(b"$avatar", SANDBOX_AVATAR.encode())
        body = json.loads(content or b"{}")
        for _ in range(self._chance.choice((0, 0, 1, 1, 2, 5))):
            body = self._changed(body)
        return json.dumps(body).encode()

    def _changed(self, value: Any) -> Any:
        """Return `value` with one item replaced, removed or added."""
        if isinstance(value, dict) and value and self._chance.random() < 0.85:
            name = self._chance.choice(list(value))
            rest = {key: item for key, item in value.items() if key != name}
            return rest if self._chance.random() < 0.15 else rest | {name: self._changed(value[name])}
        if isinstance(value, list) and value and self._chance.random() < 0.7:
            return [self._changed(value[0]), *value[1:]]
        if isinstance(value, str) and value and self._chance.random() < 0.3:
            at = self._chance.randrange(len(value))
            return value[:at] + chr(self._chance.randrange(0xD7FF)) + value[at + 1 :]
        return self._chance.choice(STRINGS + OTHERS)

    def _broken(self) -> bytes:
        if self._chance.random() < 0.5:
            return self._chance.choice(RAW)
        return self._chance.randbytes(self._chance.choice((1, 10, 100, 3000)))

    def _headers(self) -> dict[str, str]:
        kind = self._chance.random()
        if kind < 0.75:
            credential = {"X-Api-Key": self._key}
        elif kind < 0.9:
            credential = {"Authorization": f"Bearer {self._chance.choice(self._tokens)}"}
        else:
            odd = ("", "Bearer", "Basic eDp5", "Bearer é", "Bearer " + "x" * 5000)
            credential = {"Authorization": self._chance.choice(odd)}
        credential["Origin"] = "https://page.example"  # which is what brings LiveAvatar's CORS headers
        return credential | {"Content-Type": self._chance.choice(("application/json", "text/plain", "x/y"))}

    # Sockets -----------------------------------------------------------------------------------------------------

    async def _lite_socket(self, http: aiohttp.ClientSession) -> None:
        """Do the same for a LITE session of LiveAvatar."""
        async with http.post(f"{self._url}/v1/sessions/token", json=LITE, headers={"X-API-KEY": self._key}) as answer:
            created = (await answer.json())["data"]
        bearer = {"Authorization": f"Bearer {created['session_token']}"}
        async with http.post(f"{self._url}/v1/sessions/start", headers=bearer) as answer:
            started = (await answer.json())["data"]
        if started is None:
            return  # the limit is reached
        try:
            async with http.ws_connect(started["ws_url"], max_msg_size=0) as socket:
                await self._chatter(socket, self._realtime_message)
        except (aiohttp.ClientError, ConnectionError):
            self.report.wrong.append("the socket of a LITE session broke")
        await (await http.post(f"{self._url}/v1/sessions/stop", headers=bearer)).read()

    async def _socket(self, http: aiohttp.ClientSession) -> None:
        """Open a socket on a new session and send invalid messages."""
        body = {"version": "v2", "quality": "low"}
        async with http.post(f"{self._url}/v1/streaming.new", json=body, headers={"X-Api-Key": self._key}) as answer:
            opened = (await answer.json())["data"]
        async with http.post(f"{self._url}/v1/streaming.create_token", headers={"X-Api-Key": self._key}) as answer:
            token = (await answer.json())["data"]["token"]
        if opened is None:
            return  # the limit is reached
        session = {"session_id": opened["session_id"]}
        if self._chance.random() < 0.8:
            await (
                await http.post(f"{self._url}/v1/streaming.start", json=session, headers={"X-Api-Key": self._key})
            ).read()
        query = f"session_id={session['session_id']}&session_token={token}"
        url, make = self._chance.choice(
            (
                (f"{self._url}/v1/ws/streaming.chat?{query}", self._chat_message),
                (opened["realtime_endpoint"], self._realtime_message),
            )
        )
        try:
            async with http.ws_connect(url, max_msg_size=0) as socket:
                await self._chatter(socket, make)
        except (aiohttp.ClientError, ConnectionError):
            self.report.wrong.append(f"{url.split('?')[0]}: the socket broke")
        await (await http.post(f"{self._url}/v1/streaming.stop", json=session, headers={"X-Api-Key": self._key})).read()

    async def _chatter(self, socket: aiohttp.ClientWebSocketResponse, make: Callable[[], bytes | str]) -> None:
        reading = asyncio.create_task(self._read(socket))
        for _ in range(A_SOCKETS_SHARE):
            message = make()
            self.report.inputs += 1
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        await socket.close()
        await reading

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT or not isinstance(json.loads(message.data), dict):
                self.report.wrong.append(f"a socket said {message.data!r:.200}")

    def _chat_message(self) -> bytes | str:
        frame = encode_text("hola") if self._chance.random() < 0.5 else encode_audio(bytes(64))
        return self._chance.choice((self._mutated(frame), self._broken(), frame, "text"))

    def _realtime_message(self) -> bytes | str:
        kinds = (
            "speak",
            "speak_end",
            "interrupt",
            "start_listening",
            "stop_listening",
            "audio_buffer_append",
            "audio_buffer_commit",
        )
        message = {"type": f"agent.{self._chance.choice(kinds)}", "event_id": "e", "audio": "AAAAAAAA"}
        text = json.dumps(self._changed(message) if self._chance.random() < 0.6 else message)
        return self._chance.choice((text, text, self._broken()))

    def _mutated(self, frame: bytes) -> bytes:
        broken = bytearray(frame)
        for _ in range(self._chance.randrange(1, 4)):
            broken[self._chance.randrange(len(broken))] = self._chance.randrange(256)
        return bytes(broken)
