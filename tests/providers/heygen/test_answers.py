"""Refusals, unusable responses and lists of the HeyGen client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from heygen_portal.providers.contract.provider import (
    CredentialRefused,
    LimitReached,
    NotReady,
    OpenSession,
    OutOfCredits,
    ProviderError,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    RoomAccess,
    SessionGone,
    TaskKind,
)
from heygen_portal.providers.heygen.provider import HeyGen
from tests.providers.heygen_wire import FULL_REQUEST, KEY, Answer, Wire

REFUSALS = [
    (400, {"code": 10001, "message": "session state wrong: new"}, NotReady),
    (400, {"code": 10002, "message": "session state wrong: connecting"}, NotReady),
    (400, {"code": 400006, "message": "session is not in correct state"}, NotReady),
    (400, {"code": 400006, "message": "session state wrong: closed"}, SessionGone),
    (400, {"code": 400006, "message": "please wait"}, NotReady),
    (400, {"message": "", "msg": "Session not found"}, SessionGone),
    (400, {"code": 10004, "message": "session state wrong: closing"}, SessionGone),
    (400, {"code": 10005, "message": "session state wrong: closed"}, SessionGone),
    (404, {"code": 10006, "message": "session not found"}, SessionGone),
    (404, {"message": "Session not found"}, SessionGone),
    (429, {"code": 10007, "message": "concurrent limit reached"}, LimitReached),
    (429, {"code": 10014, "message": "session full, try later"}, LimitReached),
    (429, {"code": 10015, "message": "trial API limit reached"}, OutOfCredits),
    (400, {"code": 400123, "message": "rate limit"}, LimitReached),
    (401, {"code": 400112, "message": "unauthorized"}, CredentialRefused),
    (401, {"code": 40102, "message": "not supported"}, CredentialRefused),
    (403, {"code": 400562, "message": "forbidden"}, CredentialRefused),
    (403, {"code": 10013, "message": "avatar not allowed"}, ProviderRejected),
    (404, {"code": 10012, "message": "avatar not found"}, ProviderRejected),
    (400, {"code": 400631, "message": "account blocked"}, CredentialRefused),
    (400, {"code": 40001, "message": "invalid parameter"}, ProviderRejected),
    (400, {"error": {"code": "invalid_parameter", "message": "quality", "param": "quality"}}, ProviderRejected),
    (400, {"error": {"code": "400006", "message": "session is not in correct state"}, "data": None}, NotReady),
    (200, {"code": 10005, "message": "session state wrong: closed"}, SessionGone),
    (200, {"code": 400112, "message": "unauthorized", "data": None}, CredentialRefused),
    (200, {"success": False, "message": "no"}, ProviderRejected),
    (200, {"error": "concurrent limit reached", "data": None}, LimitReached),
    (401, "<html>401</html>", CredentialRefused),
    (429, "", LimitReached),
]


@pytest.mark.parametrize(("status", "answer", "refusal"), REFUSALS)
async def test_a_refusal_is_classified_by_status_then_code_then_message(
    heygen: HeyGen, wire: Wire, status: int, answer: Any, refusal: type[ProviderRejected]
) -> None:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    wire.overrides["/v1/streaming.keep_alive"] = httpx.Response(status, text=body)
    with pytest.raises(ProviderRejected) as caught:
        await heygen.keep_alive("0b7f")
    assert type(caught.value) is refusal
    assert caught.value.status == status


UNUSABLE: list[Answer] = [
    httpx.Response(200, html="<html>It works!</html>"),
    httpx.Response(200, content=b""),
    httpx.Response(200, json=[1, 2]),
    httpx.Response(200, content=b"[" * 100_000),
    httpx.Response(200, content=b'{"code": 100, "data": "\xff"}'),
    httpx.Response(404, html="<html>nginx</html>"),
    httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    httpx.Response(500, json={"code": 500, "message": "internal"}),
    httpx.Response(502, html="<html>Bad gateway</html>"),
    httpx.Response(200, content=b"{" + b" " * (17 * 1024 * 1024) + b"}"),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("cut"),
]


@pytest.mark.parametrize("answer", UNUSABLE, ids=repr)
async def test_an_unusable_answer_counts_as_unreachable(heygen: HeyGen, wire: Wire, answer: Answer) -> None:
    wire.overrides["/v1/streaming.stop"] = answer
    with pytest.raises(ProviderUnreachable):
        await heygen.stop_session("0b7f")


async def test_every_call_has_a_timeout(heygen: HeyGen, wire: Wire) -> None:
    await heygen.start_session(await heygen.new_session(FULL_REQUEST))
    waits = {name: wire.request(name).extensions["timeout"] for name in ("create_token", "new", "start")}
    assert waits["new"]["read"] == waits["start"]["read"] == 30
    assert waits["create_token"] == {"connect": 5, "read": 10, "write": 10, "pool": 10}


async def test_an_error_never_quotes_speech(heygen: HeyGen, wire: Wire) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"code": 40039, "message": f"invalid text: {json.loads(request.content)}"})

    wire.overrides["/v1/streaming.task"] = echo
    with pytest.raises(ProviderRejected) as refusal:
        await heygen.send_task("0b7f", text="mi secreto", kind=TaskKind.TALK)
    assert "secreto" not in f"{refusal.value} {refusal.value!r}"
    assert refusal.value.code == "40039"


async def test_an_error_never_quotes_a_key_or_token(heygen: HeyGen, wire: Wire) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("x-api-key") or request.headers["authorization"]
        return httpx.Response(401, json={"code": 400112, "message": f"bad credential {sent}"})

    wire.overrides = {"/v1/streaming.stop": echo, "/v1/streaming.start": echo}
    with pytest.raises(CredentialRefused) as of_key:
        await heygen.stop_session("0b7f")
    with pytest.raises(CredentialRefused) as of_token:
        await heygen.start_session(ProviderSession("0b7f", room=None, credential="session-token"))
    assert (KEY in str(of_key.value), "session-token" in str(of_token.value)) == (False, False)


@pytest.mark.parametrize("key", ["line\nbreak", "clavé"])
async def test_a_key_that_is_no_valid_header_is_refused_unquoted(key: str) -> None:
    with pytest.raises(ProviderError) as refusal:
        await HeyGen("https://api.test", key).stop_session("0b7f")
    assert key not in repr(refusal.value)


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "nobody.invalid"])
async def test_an_invalid_host_name_is_unreachable(host: str) -> None:
    heygen = HeyGen(f"http://{host}", KEY)
    with pytest.raises(ProviderUnreachable):
        await heygen.stop_session("0b7f")
    await heygen.aclose()


def test_secrets_are_not_in_repr() -> None:
    session = ProviderSession("0b7f", room=RoomAccess("wss://lk", "jwt-user"), credential="session-token")
    assert "jwt-user" not in repr(session)
    assert "session-token" not in repr(session)


async def test_open_sessions_are_listed_with_their_creation_time(heygen: HeyGen, wire: Wire) -> None:
    rows = [
        {"session_id": "0b7f", "status": "connected", "created_at": 1_767_225_600, "api_key_type": "paid"},
        {"session_id": "1c80", "status": "new", "created_at": "yesterday"},
        {"status": "new"},
        "noise",
    ]
    wire.overrides["/v1/streaming.list"] = httpx.Response(200, json={"code": 100, "data": {"sessions": rows}})
    assert await heygen.list_sessions() == [
        OpenSession("0b7f", "connected", datetime(2026, 1, 1, tzinfo=UTC)),
        OpenSession("1c80", "new", None),
    ]


@pytest.mark.parametrize("data", [{"sessions": None}, {"sessions": []}, {}])
async def test_no_open_sessions_is_an_empty_list(heygen: HeyGen, wire: Wire, data: Any) -> None:
    wire.overrides["/v1/streaming.list"] = httpx.Response(200, json={"code": 100, "data": data})
    assert await heygen.list_sessions() == []


@pytest.mark.parametrize("data", [None, "none", 7, {"sessions": "none"}])
async def test_a_malformed_list_is_not_read_as_empty(heygen: HeyGen, wire: Wire, data: Any) -> None:
    wire.overrides["/v1/streaming.list"] = httpx.Response(200, json={"code": 100, "data": data})
    with pytest.raises(ProviderUnreachable):
        await heygen.list_sessions()
