"""A FULL session is answered by a customer's model, whose endpoint the emulator really calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from heygen_portal.emulator.liveavatar import custom_models
from heygen_portal.emulator.liveavatar.custom_models import Configuration, Secret
from heygen_portal.emulator.liveavatar.service import LiveAvatarService
from heygen_portal.emulator.sessions.store import Session
from local import ports
from tests.emulator.liveavatar import test_talk as talk
from tests.emulator.liveavatar.test_talk import RecordingPerformer
from tests.timeouts import WAIT_TIMEOUT_S

CONFIGURATION = "11111111-1111-4111-8111-111111111111"
SECRET = "22222222-2222-4222-8222-222222222222"


@dataclass
class Endpoint:
    """A customer's endpoint: it says what the test puts in."""

    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    requests: list[dict[str, Any]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    is_left: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.credentials.append(request.headers["Authorization"])
        response = web.StreamResponse(status=self.status)
        await response.prepare(request)
        try:
            while (piece := await self.pieces.get()) is not None:
                chunk = {"choices": [{"delta": {"content": piece}}]}
                await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        except asyncio.CancelledError:
            self.is_left.set()
            raise
        return response


@asynccontextmanager
async def session_with(endpoint: Endpoint) -> AsyncIterator[tuple[LiveAvatarService, Session, RecordingPerformer]]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    port = ports.free_port()
    await web.TCPSite(runner, ports.LOOPBACK, port).start()
    original = LiveAvatarService.create_token

    def create_token(service: LiveAvatarService, body: dict[str, Any]) -> tuple[str, str]:
        url = f"http://{ports.LOOPBACK}:{port}/v1"
        service.models.secrets[SECRET] = Secret(SECRET, "a secret", "OPENAI_API_KEY", 0.0, "sk-theirs")
        service.models.configurations[CONFIGURATION] = Configuration(
            CONFIGURATION, "a model", "their-model", SECRET, url, 0.0, 0.0
        )
        return original(service, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveAvatarService, "create_token", create_token)
        service, session, performer = await talk.opened(llm_configuration_id=CONFIGURATION)
    try:
        yield service, session, performer
    finally:
        await service.close()
        await runner.cleanup()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_each_sentence_is_spoken_as_soon_as_it_is_whole() -> None:
    endpoint = Endpoint()
    async with session_with(endpoint) as (_, session, performer):
        performer.receive_command("avatar.speak_response", text="When do you open?")
        endpoint.pieces.put_nowait("We open at ")
        endpoint.pieces.put_nowait("nine. ")
        await until(lambda: "avatar.speak_started" in performer.kinds)
        assert "avatar.transcription" not in performer.kinds
        for piece in ("And we close", " at six.", None):
            endpoint.pieces.put_nowait(piece)
        await until(lambda: "avatar.transcription" in performer.kinds)
        [final] = [each for each in performer.published if each["event_type"] == "avatar.transcription"]
        assert final["text"] == "We open at nine. And we close at six."
        [asked] = endpoint.requests
        assert (asked["model"], asked["stream"], endpoint.credentials) == ("their-model", True, ["Bearer sk-theirs"])
        assert [message["role"] for message in asked["messages"]] == ["system", "user"]
        performer.receive_command("avatar.interrupt")
        await until(lambda: performer.kinds.count("avatar.speak_ended") == 1)
        assert [(line.role, line.text) for line in session.transcript][1:] == [("avatar", final["text"])]


async def test_the_user_who_speaks_closes_the_request() -> None:
    endpoint = Endpoint()
    async with session_with(endpoint) as (_, _session, performer):
        performer.receive_command("avatar.speak_response", text="When do you open?")
        endpoint.pieces.put_nowait("We open at nine. And ")
        await until(lambda: "avatar.speak_started" in performer.kinds)
        performer.receive_event("user_start")
        await asyncio.wait_for(endpoint.is_left.wait(), WAIT_TIMEOUT_S)
        await until(lambda: "avatar.speak_ended" in performer.kinds)
        assert performer.kinds.count("avatar.speak_ended") == 1


@pytest.mark.parametrize("fault", ["refusal", "silence", "deleted"])
async def test_the_avatar_says_that_the_model_failed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_models, "TOKEN_SECONDS", 0.05)
    endpoint = Endpoint(status=500 if fault == "refusal" else 200)
    async with session_with(endpoint) as (service, session, performer):
        if fault == "deleted":
            service.models.secrets.clear()
        performer.receive_command("avatar.speak_response", text="When do you open?")
        await until(lambda: "avatar.speak_started" in performer.kinds)
        assert "did not answer" in session.transcript[-1].text
