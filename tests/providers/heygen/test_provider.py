"""Requests and responses of the HeyGen client.

Requirements are numbered as in docs/requirements.md.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest

from avatars.models import ProviderAccount
from heygen_portal.providers.contract.provider import (
    Delivered,
    OwnRoom,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    Quality,
    RoomAccess,
    SessionGone,
    SessionRequest,
    TaskKind,
)
from heygen_portal.providers.heygen.provider import HeyGen
from tests.providers.heygen_wire import FULL_REQUEST, KEY, OPENED, Wire


async def test_a_continued_conversation_sends_its_history_in_place_of_the_knowledge_base(
    heygen: HeyGen, wire: Wire
) -> None:
    """Without the knowledge base's text, its ID is sent in place of the history."""
    going_on = replace(FULL_REQUEST, conversation_history="You: Hello")
    known, without = replace(going_on, knowledge="We open at eight."), replace(going_on, knowledge_base_id="")
    for request in (known, without, going_on):
        await heygen.new_session(request)
    bodies = [json.loads(asked.content) for asked in wire.requests if asked.url.path.endswith(".new")]
    assert [(body.get("knowledge_base_id"), body.get("knowledge_base")) for body in bodies] == [
        (None, "We open at eight.\n\nYou: Hello"),
        (None, "You: Hello"),
        ("K1", None),
    ]


async def test_create_token_has_the_key_and_an_empty_body(heygen: HeyGen, wire: Wire) -> None:  # requirement 9
    await heygen.new_session(FULL_REQUEST)
    request = wire.request("create_token")
    assert (request.method, request.headers["X-API-KEY"], request.content) == ("POST", KEY, b"")
    assert "authorization" not in request.headers


async def test_an_account_can_send_its_key_as_a_bearer_token(bearer: HeyGen, wire: Wire) -> None:  # requirements 10, 12
    session = await bearer.new_session(FULL_REQUEST)
    assert session.credential == "session-token"
    assert {request.headers["authorization"] for request in wire.requests} == {f"Bearer {KEY}"}
    assert not any("x-api-key" in request.headers for request in wire.requests)


@pytest.mark.parametrize(("key_header", "is_bearer"), [("bearer", True), ("x-api-key", False)])
async def test_an_accounts_setting_decides_how_its_key_is_sent(key_header: str, is_bearer: bool) -> None:
    """Requirement 10, against a server that notes the headers it receives."""
    received: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n" + b'{"data":{"list":[]}}')
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        account = ProviderAccount(base_url=f"http://127.0.0.1:{port}", api_key=KEY, key_header=key_header)
        heygen = HeyGen.connect(account)
        try:
            assert await heygen.list_knowledge_bases() == []
        finally:
            await heygen.aclose()
    assert (f"authorization: bearer {KEY}".lower() in received[0]) is is_bearer
    assert (f"x-api-key: {KEY}".lower() in received[0]) is not is_bearer


async def test_the_token_is_requested_first_and_authorizes_start(
    heygen: HeyGen, wire: Wire
) -> None:  # requirements 6, 11, 24
    session = await heygen.new_session(FULL_REQUEST)
    await heygen.start_session(session)
    await heygen.send_task("0b7f", text="Hola", kind=TaskKind.TALK)
    assert wire.paths == ["create_token", "new", "start", "task"]
    assert wire.request("start").headers["authorization"] == "Bearer session-token"
    assert "x-api-key" not in wire.request("start").headers
    assert wire.body("start") == {"session_id": "0b7f"}
    assert wire.request("task").headers["x-api-key"] == KEY  # later calls need no session token


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": None}, None, []])
async def test_a_missing_token_leaves_no_session_behind(
    heygen: HeyGen, wire: Wire, data: Any
) -> None:  # requirement 11
    wire.overrides["/v1/streaming.create_token"] = httpx.Response(200, json={"error": None, "data": data})
    with pytest.raises(ProviderUnreachable, match=r"create_token: data\.token is missing"):
        await heygen.new_session(FULL_REQUEST)
    assert wire.paths[-1] == "stop"
    assert wire.body("stop") == {"session_id": "0b7f"}


async def test_a_refusal_of_new_is_raised_to_the_caller(heygen: HeyGen, wire: Wire) -> None:
    wire.overrides["/v1/streaming.create_token"] = httpx.Response(200, json={"data": {}})
    wire.overrides["/v1/streaming.new"] = httpx.Response(404, json={"code": 10012, "message": "avatar not found"})
    with pytest.raises(ProviderRejected, match="avatar not found"):  # requirement 14
        await heygen.new_session(FULL_REQUEST)
    assert "stop" not in wire.paths


async def test_cancelling_the_token_request_leaves_no_session_behind(heygen: HeyGen, wire: Wire) -> None:
    def cancelled(request: httpx.Request) -> httpx.Response:
        raise asyncio.CancelledError

    wire.overrides["/v1/streaming.create_token"] = cancelled
    with pytest.raises(asyncio.CancelledError):
        await heygen.new_session(FULL_REQUEST)
    assert wire.paths == ["create_token", "new", "stop"]


async def test_a_new_session_sends_every_chosen_option(
    heygen: HeyGen, wire: Wire
) -> None:  # requirements 13-19, 20, 21, 27
    await heygen.new_session(FULL_REQUEST)
    assert wire.body("new") == {
        "version": "v2",
        "avatar_id": "A1",
        "quality": "high",
        "video_encoding": "H264",
        "voice": {"voice_id": "V1", "rate": 1.25, "emotion": "friendly"},
        "knowledge_base_id": "K1",
        "language": "es",
        "activity_idle_timeout": 180,
    }


async def test_the_record_has_the_fields_as_they_were_sent(heygen: HeyGen, wire: Wire) -> None:
    """Requirement 45.

    They are read from the request's body, without the room's token and texts.
    """
    room = OwnRoom("wss://rooms.test", "room-1", "secret-token")
    sent = (await heygen.new_session(replace(FULL_REQUEST, room=room))).sent
    body = wire.body("new")
    assert {name: value for name, value in sent.items() if "." not in name} == {
        name: value for name, value in body.items() if not isinstance(value, dict)
    }
    assert {name: sent[f"voice.{name}"] for name in body["voice"]} == body["voice"]
    assert sent["livekit_settings.room"] == "room-1"
    assert sent["livekit_settings.token"] is None
    assert set(heygen.sent_as.values()) <= set(sent)


async def test_a_new_session_omits_options_that_were_not_chosen(
    heygen: HeyGen, wire: Wire
) -> None:  # requirements 15, 19, 20
    await heygen.new_session(SessionRequest(avatar_id="A1"))
    assert wire.body("new") == {"version": "v2", "avatar_id": "A1", "video_encoding": "H264"}


@pytest.mark.parametrize("encoding", ["H264", "VP8"])
async def test_a_new_session_sends_the_chosen_encoding(heygen: HeyGen, wire: Wire, encoding: str) -> None:
    """Requirement 16."""
    await heygen.new_session(SessionRequest(avatar_id="A1", video_encoding=encoding))
    assert wire.body("new")["video_encoding"] == encoding


@pytest.mark.parametrize("takes_voice", [True, False])
async def test_the_service_listens_only_if_voice_is_enabled(heygen: HeyGen, wire: Wire, takes_voice: bool) -> None:
    """Requirement 77."""
    await heygen.new_session(SessionRequest(avatar_id="A1", takes_voice=takes_voice))
    assert wire.body("new").get("ia_is_livekit_transport", False) is takes_voice


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_new_carries_silence_response_and_language(heygen: HeyGen, wire: Wire, is_wanted: bool) -> None:
    """Requirements 25, 26 and 27.

    `start` takes the session ID and has its token as bearer.
    """
    session = await heygen.new_session(SessionRequest(avatar_id="A1", language="es", breaks_silence=is_wanted))
    await heygen.start_session(session)
    assert wire.body("new").get("silence_response", False) == is_wanted
    assert wire.body("new")["language"] == "es"
    assert wire.body("start") == {"session_id": "0b7f"}
    assert wire.request("start").headers["authorization"] == "Bearer session-token"


@pytest.mark.parametrize("quality", list(Quality))
async def test_each_quality_is_sent_by_name(heygen: HeyGen, wire: Wire, quality: Quality) -> None:  # requirement 15
    await heygen.new_session(SessionRequest(avatar_id="A1", quality=quality))
    assert wire.body("new")["quality"] == quality.value


@pytest.mark.parametrize(("wanted", "sent"), [(1, 30), (30, 30), (3599, 3599), (3600, 3599), (86_400, 3599)])
async def test_the_idle_timeout_is_clamped_to_the_documented_range(
    heygen: HeyGen, wire: Wire, wanted: int, sent: int
) -> None:
    await heygen.new_session(SessionRequest(avatar_id="A1", idle_timeout=timedelta(seconds=wanted)))
    assert wire.body("new")["activity_idle_timeout"] == sent


async def test_new_returns_room_limit_and_payment(heygen: HeyGen) -> None:  # requirement 22
    assert await heygen.new_session(FULL_REQUEST) == ProviderSession(
        provider_session_id="0b7f",
        room=RoomAccess("wss://lk.example", "jwt-user"),
        duration_limit=timedelta(minutes=10),
        is_paid=True,
        credential="session-token",
    )


async def test_our_own_room_is_sent_with_the_avatars_token(heygen: HeyGen, wire: Wire) -> None:
    """Requirements 38 and 51."""
    room = OwnRoom("wss://rooms.test", "portal-room", "the-avatars-token")
    await heygen.new_session(replace(FULL_REQUEST, room=room))
    wanted = {"url": "wss://rooms.test", "room": "portal-room", "token": "the-avatars-token"}
    assert wire.body("new")["livekit_settings"] == wanted
    assert "the-avatars-token" not in repr(room)
    wire.requests.clear()
    await heygen.new_session(FULL_REQUEST)
    assert "livekit_settings" not in wire.body("new")


async def test_a_session_may_have_no_provider_room(heygen: HeyGen, wire: Wire) -> None:  # requirement 39
    wire.overrides["/v1/streaming.new"] = httpx.Response(200, json={"code": 100, "data": {"session_id": "0b7f"}})
    session = await heygen.new_session(FULL_REQUEST)
    assert (session.room, session.duration_limit, session.is_paid) == (None, None, None)


@pytest.mark.parametrize("limit", [None, 0, -5, "600", 1e300, float("inf"), float("nan"), []])
async def test_an_invalid_duration_limit_is_ignored(heygen: HeyGen, wire: Wire, limit: Any) -> None:
    body = json.dumps({"code": 100, "data": {**OPENED, "session_duration_limit": limit}})
    wire.overrides["/v1/streaming.new"] = httpx.Response(200, content=body)
    assert (await heygen.new_session(FULL_REQUEST)).duration_limit is None


@pytest.mark.parametrize(
    "data", [None, {}, [], "ok", {"session_id": None}, {"session_id": 7}, {"session_id": "x" * 201}]
)
async def test_a_session_without_an_id_is_an_unusable_answer(heygen: HeyGen, wire: Wire, data: Any) -> None:
    wire.overrides["/v1/streaming.new"] = httpx.Response(200, json={"code": 100, "data": data})
    with pytest.raises(ProviderUnreachable):
        await heygen.new_session(FULL_REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        {"code": 100, "data": {"status": "success"}},
        {"code": 100, "data": {"url": "wss://lk.example", "access_token": "jwt"}},
        {"success": True},
        {},
    ],
)
async def test_start_accepts_long_and_empty_answers(heygen: HeyGen, wire: Wire, answer: Any) -> None:  # requirement 28
    wire.overrides["/v1/streaming.start"] = httpx.Response(200, json=answer)
    await heygen.start_session(ProviderSession("0b7f", room=None, credential="session-token"))


async def test_a_room_that_only_starts_answer_names_is_used(heygen: HeyGen, wire: Wire) -> None:
    """Requirement 28."""
    room = {"session_id": "0b7f", "url": "wss://room.example", "access_token": "room-token"}
    wire.overrides["/v1/streaming.start"] = httpx.Response(200, json={"code": 100, "data": room})
    started = await heygen.start_session(ProviderSession("0b7f", room=None, credential="session-token"))
    assert started.room == RoomAccess("wss://room.example", "room-token")


async def test_starting_a_started_session_is_not_an_error(heygen: HeyGen, wire: Wire) -> None:
    refusal = {"code": 10003, "message": "session state wrong: connected"}
    wire.overrides["/v1/streaming.start"] = httpx.Response(400, json=refusal)
    await heygen.start_session(ProviderSession("0b7f", room=None))


async def test_a_deprecated_avatar_with_the_same_code_is_an_error(heygen: HeyGen, wire: Wire) -> None:
    refusal = {"code": 10003, "message": "avatar version deprecated", "details": "invalid avatar"}
    wire.overrides["/v1/streaming.start"] = httpx.Response(400, json=refusal)
    with pytest.raises(ProviderRejected):
        await heygen.start_session(ProviderSession("0b7f", room=None))


@pytest.mark.parametrize("kind", list(TaskKind))
async def test_a_text_is_sent_unchanged_with_its_kind(heygen: HeyGen, wire: Wire, kind: TaskKind) -> None:  # 29, 35
    await heygen.send_task("0b7f", text="Hola ¿cómo estás? 😀\n", kind=kind)
    assert wire.body("task") == {
        "session_id": "0b7f",
        "text": "Hola ¿cómo estás? 😀\n",
        "task_type": kind.value,
        "task_mode": "async",
    }


@pytest.mark.parametrize(
    ("answer", "delivered"),
    [
        ({"code": 100, "data": {"duration_ms": 1840.0, "task_id": "t-1"}}, Delivered("t-1", timedelta(seconds=1.84))),
        ({"success": True}, Delivered()),
        ({"code": 100, "data": None}, Delivered()),
        ({"code": 100, "data": {"duration_ms": "soon", "task_id": 7}}, Delivered("7")),
        ({"code": 100, "data": {"duration_ms": 1e300, "task_id": None}}, Delivered()),
    ],
)
async def test_every_shape_of_success_counts_as_delivered(  # requirement 30
    heygen: HeyGen, wire: Wire, answer: Any, delivered: Delivered
) -> None:
    wire.overrides["/v1/streaming.task"] = httpx.Response(200, json=answer)
    assert await heygen.send_task("0b7f", text="Hola", kind=TaskKind.REPEAT) == delivered


async def test_unknown_kinds_of_tasks_are_refused_before_sending(heygen: HeyGen, wire: Wire) -> None:  # requirement 29
    with pytest.raises(ProviderRejected):
        await heygen.send_task("0b7f", text="Hola", kind=cast(TaskKind, "sing"))
    assert wire.requests == []


async def test_half_a_surrogate_pair_is_refused_without_quoting_the_text(heygen: HeyGen, wire: Wire) -> None:
    with pytest.raises(ProviderRejected, match="Unicode") as refusal:
        await heygen.send_task("0b7f", text="secreto \ud800", kind=TaskKind.TALK)
    assert "secreto" not in repr(refusal.value)
    assert wire.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda heygen: heygen.start_session(ProviderSession("", room=None)),
        lambda heygen: heygen.send_task("", text="Hola", kind=TaskKind.TALK),
        lambda heygen: heygen.stop_session(""),
        lambda heygen: heygen.interrupt(""),
        lambda heygen: heygen.keep_alive(""),
    ],
)
async def test_without_a_session_nothing_is_called(heygen: HeyGen, wire: Wire, call: Any) -> None:  # requirement 32
    with pytest.raises(SessionGone, match="session not created"):
        await call(heygen)
    assert wire.requests == []


@pytest.mark.parametrize("verb", ["interrupt", "keep_alive", "stop"])
async def test_interrupt_keep_alive_and_stop_send_the_session_id(
    heygen: HeyGen, wire: Wire, verb: str
) -> None:  # requirement 31
    method = heygen.stop_session if verb == "stop" else getattr(heygen, verb)
    await method("0b7f")
    assert wire.body(verb) == {"session_id": "0b7f"}
    assert wire.request(verb).headers["x-api-key"] == KEY


async def test_the_next_session_has_its_own_id(heygen: HeyGen, wire: Wire) -> None:  # requirement 36
    first = await heygen.new_session(FULL_REQUEST)
    await heygen.stop_session(first.provider_session_id)
    wire.overrides["/v1/streaming.new"] = httpx.Response(200, json={"data": {**OPENED, "session_id": "1c80"}})
    assert (await heygen.new_session(FULL_REQUEST)).provider_session_id == "1c80"
