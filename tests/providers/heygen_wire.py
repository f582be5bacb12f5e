"""A fake of HeyGen's API for client tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from heygen_portal.providers.contract.provider import Quality, SessionRequest

KEY = "sk-the-account-key"
OPENED = {
    "session_id": "0b7f",
    "url": "wss://lk.example",
    "access_token": "jwt-user",
    "session_duration_limit": 600,
    "is_paid": True,
    "sdp": None,
}
ANSWERS: dict[str, Any] = {
    "/v1/streaming.create_token": {"error": None, "data": {"token": "session-token"}},
    "/v1/streaming.new": {"code": 100, "message": "success", "data": OPENED},
    "/v1/streaming.start": {"code": 100, "message": "success", "data": None},
    "/v1/streaming.task": {"code": 100, "data": {"duration_ms": 1840.0, "task_id": "t-1"}},
    "/v1/streaming.stop": {"code": 100, "data": {"status": "success"}},
    "/v1/streaming.interrupt": {"code": 100, "data": None},
    "/v1/streaming.keep_alive": {"code": 100, "message": "success"},
}
Answer = httpx.Response | Exception


class Wire:
    """Returns successful responses or a test's `overrides`, and records requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.overrides: dict[str, Answer | Callable[[httpx.Request], Answer]] = {}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        answer = self.overrides.get(path) or httpx.Response(200, json=ANSWERS[path])
        if not isinstance(answer, httpx.Response | Exception):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/v1/streaming.") for request in self.requests]

    def request(self, name: str) -> httpx.Request:
        return next(request for request in self.requests if request.url.path == f"/v1/streaming.{name}")

    def body(self, name: str) -> Any:
        return json.loads(self.request(name).content)


FULL_REQUEST = SessionRequest(
    avatar_id="A1",
    voice_id="V1",
    voice_rate=1.25,
    voice_emotion="FRIENDLY",
    knowledge_base_id="K1",
    language="es",
    quality=Quality.HIGH,
    idle_timeout=timedelta(seconds=180),
)
