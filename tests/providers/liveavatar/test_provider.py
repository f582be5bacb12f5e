"""Requests and responses of the LiveAvatar client.

Requirements are numbered as in docs/requirements.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from heygen_portal.emulator.liveavatar.states import STOP_REASONS
from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    CredentialRefused,
    Interactivity,
    LimitReached,
    OpenSession,
    OutOfCredits,
    PastSession,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    Quality,
    RoomAccess,
    RoomCommand,
    SessionGone,
    SessionRequest,
    Speaker,
    SpokenLine,
    StopReason,
    TaskKind,
)
from heygen_portal.providers.liveavatar.provider import LiveAvatar

KEY = "la-the-account-key"
STARTED = {
    "session_id": "7d0c",
    "livekit_url": "wss://lk.example",
    "livekit_client_token": "jwt-user",
    "max_session_duration": 1200,
}
FULL_REQUEST = SessionRequest(
    avatar_id="A1",
    voice_id="V1",
    voice_rate=1.1,
    knowledge_base_id="C1",
    language="es",
    quality=Quality.MEDIUM,
    idle_timeout=timedelta(minutes=3),
    duration_limit=timedelta(minutes=20),
)


def ok(data: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"code": 1000, "message": "Success", "data": data})


def page(*rows: dict[str, Any], following: str | None = None) -> httpx.Response:
    return ok({"count": len(rows), "next": following, "previous": None, "results": list(rows)})


class Wire:
    """A fake of LiveAvatar's API.

    Returns successful responses or a test's `answers`, and records requests.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: dict[str, httpx.Response | list[httpx.Response]] = {
            "/v1/sessions/token": ok({"session_id": "7d0c", "session_token": "h.p.s"}),
            "/v1/sessions/start": ok(STARTED, 201),
            "/v1/sessions/stop": ok(None),
            "/v1/sessions/keep-alive": ok(None),
        }

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[request.url.path]
        return answer.pop(0) if isinstance(answer, list) else answer

    def body(self, name: str) -> Any:
        return json.loads(next(asked for asked in self.requests if asked.url.path.endswith(name)).content)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def provider(wire: Wire) -> LiveAvatar:
    return LiveAvatar("https://api.test", KEY, transport=httpx.MockTransport(wire))


async def test_the_key_creates_a_session_and_its_token_starts_it(provider: LiveAvatar, wire: Wire) -> None:
    """Requirements 24, 25 and 28.

    `start` returns the room; the browser uses the provider's token.
    """
    session = await provider.new_session(FULL_REQUEST)
    assert session == ProviderSession("7d0c", room=None, is_paid=True, credential="h.p.s")
    started = await provider.start_session(session)
    assert started.room == RoomAccess("wss://lk.example", "jwt-user")
    assert started.duration_limit == timedelta(minutes=20)
    token_request, start_request = wire.requests
    assert (token_request.headers["x-api-key"], "authorization" in token_request.headers) == (KEY, False)
    assert (start_request.headers["authorization"], "x-api-key" in start_request.headers) == ("Bearer h.p.s", False)


async def test_a_new_session_sends_every_chosen_option(provider: LiveAvatar, wire: Wire) -> None:
    """Requirements 15, 16, 18, 20, 27."""
    await provider.new_session(FULL_REQUEST)
    assert wire.body("token") == {
        "mode": "FULL",
        "avatar_id": "A1",
        "avatar_persona": {
            "voice_id": "V1",
            "context_id": "C1",
            "language": "es",
            "voice_settings": {"provider": "elevenLabs", "speed": 1.1},
        },
        "video_settings": {"quality": "medium", "encoding": "H264"},
        "max_session_duration": 1200,
        "interactivity_type": "CONVERSATIONAL",
        "is_sandbox": False,
    }


async def test_the_record_has_the_fields_as_they_were_sent(provider: LiveAvatar, wire: Wire) -> None:
    """Requirement 45."""
    sent = (await provider.new_session(FULL_REQUEST)).sent
    body = wire.body("token")
    assert sent["avatar_id"] == body["avatar_id"]
    assert sent["avatar_persona.voice_id"] == body["avatar_persona"]["voice_id"]
    assert sent["video_settings.quality"] == body["video_settings"]["quality"]
    assert set(provider.sent_as.values()) <= set(sent)


async def test_a_new_session_omits_options_that_were_not_chosen(provider: LiveAvatar, wire: Wire) -> None:
    """Requirements 15, 20."""
    request = SessionRequest(avatar_id="A1", voice_rate=1.0, interactivity=Interactivity.PUSH_TO_TALK)
    await provider.new_session(request)
    assert wire.body("token") == {
        "mode": "FULL",
        "avatar_id": "A1",
        "avatar_persona": {},
        "video_settings": {"encoding": "H264"},
        "interactivity_type": "PUSH_TO_TALK",
        "is_sandbox": False,
    }


async def test_a_limit_above_the_plans_is_dropped_and_the_call_repeated(provider: LiveAvatar, wire: Wire) -> None:
    refused = httpx.Response(400, json={"data": [{"message": "max_session_duration is over the limit"}]})
    wire.answers["/v1/sessions/token"] = [refused, ok({"session_id": "7d0c", "session_token": "h.p.s"})]
    assert (await provider.new_session(FULL_REQUEST)).provider_session_id == "7d0c"
    assert "max_session_duration" not in json.loads(wire.requests[1].content)


async def test_a_sandbox_session_is_limited_to_the_sandbox_limit(wire: Wire) -> None:
    provider = LiveAvatar("https://api.test", KEY, is_sandbox=True, transport=httpx.MockTransport(wire))
    assert (await provider.new_session(FULL_REQUEST)).is_paid is False
    body = wire.body("token")
    assert (body["is_sandbox"], body["max_session_duration"]) == (True, 60)


@pytest.mark.parametrize(
    ("kind", "event"), [(TaskKind.TALK, "avatar.speak_response"), (TaskKind.REPEAT, "avatar.speak_text")]
)
async def test_a_text_becomes_a_room_command(provider: LiveAvatar, wire: Wire, kind: TaskKind, event: str) -> None:
    """Requirements 29 and 35.

    The browser publishes it; the ID matches the provider's events.
    """
    command = await provider.send_task("7d0c", text="Hola ¿cómo estás? 😀\n", kind=kind)
    assert isinstance(command, RoomCommand)
    assert command.topic == "agent-control"
    assert json.loads(command.payload) == {
        "event_id": command.provider_task_id,
        "event_type": event,
        "session_id": "7d0c",
        "text": "Hola ¿cómo estás? 😀\n",
    }
    assert wire.requests == []
    assert "Hola" not in repr(command)


async def test_an_interruption_becomes_a_room_command(provider: LiveAvatar) -> None:
    command = await provider.interrupt("7d0c")
    assert isinstance(command, RoomCommand)
    assert json.loads(command.payload)["event_type"] == "avatar.interrupt"


@pytest.mark.parametrize(("verb", "more"), [("stop", {"reason": "USER_CLOSED"}), ("keep-alive", {})])
async def test_stop_and_keep_alive_use_the_key(
    provider: LiveAvatar, wire: Wire, verb: str, more: dict[str, str]
) -> None:
    """Requirement 31: the session's token may have expired."""
    await (provider.stop_session if verb == "stop" else provider.keep_alive)("7d0c")
    assert wire.body(verb) == {"session_id": "7d0c", **more}
    assert wire.requests[0].headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    "call",
    [
        lambda provider: provider.start_session(ProviderSession("", room=None)),
        lambda provider: provider.send_task("", text="Hola", kind=TaskKind.TALK),
        lambda provider: provider.interrupt(""),
        lambda provider: provider.stop_session(""),
        lambda provider: provider.keep_alive(""),
    ],
)
async def test_without_a_session_nothing_is_called(provider: LiveAvatar, wire: Wire, call: Any) -> None:
    """Requirement 32."""
    with pytest.raises(SessionGone, match="session not created"):
        await call(provider)
    assert wire.requests == []


@pytest.mark.parametrize("why", list(StopReason))
async def test_every_stop_reason_is_one_that_the_service_accepts(
    provider: LiveAvatar, wire: Wire, why: StopReason
) -> None:
    await provider.stop_session("7d0c", why)
    assert wire.body("stop")["reason"] in STOP_REASONS


REFUSALS: list[tuple[int, Any, type[ProviderRejected], str]] = [
    (400, {"code": 4000, "message": "Sandbox sessions may last 60 seconds", "data": None}, ProviderRejected, "60"),
    (400, {"code": 4000, "message": None, "data": [{"message": "account without a space"}]}, ProviderRejected, "space"),
    (400, {"error": "invalid secret"}, ProviderRejected, "invalid secret"),
    (422, {"detail": [{"loc": ["body", "avatar_id"], "msg": "no UUID"}]}, ProviderRejected, "body.avatar_id: no UUID"),
    (422, {"detail": "no such language"}, ProviderRejected, "no such language"),
    (401, {"detail": "Unauthorized"}, CredentialRefused, "Unauthorized"),
    (403, {"code": 4003, "message": "Avatar is not available to this account"}, ProviderRejected, "Avatar"),
    (403, {"code": 4003, "message": "Not enough credits"}, OutOfCredits, "credits"),
    (402, {"message": "Payment required"}, OutOfCredits, "Payment"),
    (403, {"message": "Forbidden"}, CredentialRefused, "Forbidden"),
    (409, {"message": "Session limit"}, LimitReached, "limit"),
    (400, {"message": "Concurrency limit reached"}, LimitReached, "limit"),
    (429, {"message": "Too many requests"}, LimitReached, "Too many"),
    (404, {"message": "Session not found"}, SessionGone, "not found"),
    (404, {"detail": "Not Found"}, SessionGone, "Not Found"),
    (200, {"code": 4000, "message": "no", "data": None}, ProviderRejected, "no"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "refusal", "words"), REFUSALS)
async def test_every_shape_of_refusal_is_classified(
    provider: LiveAvatar, wire: Wire, status: int, body: Any, refusal: type[ProviderRejected], words: str
) -> None:
    wire.answers["/v1/sessions/keep-alive"] = httpx.Response(status, json=body)
    with pytest.raises(ProviderRejected, match=words) as caught:
        await provider.keep_alive("7d0c")
    assert type(caught.value) is refusal


@pytest.mark.parametrize("code", [None, 100, 1000])
async def test_success_has_any_of_three_codes(provider: LiveAvatar, wire: Wire, code: int | None) -> None:
    wire.answers["/v1/sessions/stop"] = httpx.Response(200, json={"code": code, "message": None, "data": None})
    await provider.stop_session("7d0c")


@pytest.mark.parametrize("data", [None, [], "ok", {}, {"session_id": 7, "session_token": "t"}, {"session_id": "7d0c"}])
async def test_a_session_without_id_or_token_is_an_unusable_answer(provider: LiveAvatar, wire: Wire, data: Any) -> None:
    wire.answers["/v1/sessions/token"] = ok(data)
    with pytest.raises(ProviderUnreachable, match="is missing"):
        await provider.new_session(FULL_REQUEST)


@pytest.mark.parametrize("room", [{"livekit_url": None}, {"livekit_client_token": ""}, {"livekit_url": ["wss://"]}])
async def test_a_start_without_a_room_is_an_unusable_answer(provider: LiveAvatar, wire: Wire, room: Any) -> None:
    wire.answers["/v1/sessions/start"] = ok({**STARTED, **room}, 201)
    with pytest.raises(ProviderUnreachable, match="is missing"):
        await provider.start_session(ProviderSession("7d0c", room=None, credential="h.p.s"))


async def test_lists_are_read_to_their_last_page(provider: LiveAvatar, wire: Wire) -> None:
    row = {"id": "s1", "created_at": "2026-11-20T10:00:00Z"}
    wire.answers["/v1/sessions"] = [page(row, following="2"), page({"id": "s2", "created_at": 7}, {"no": "id"})]
    assert await provider.list_sessions() == [
        OpenSession("s1", "active", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        OpenSession("s2", "active", datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)),
    ]
    assert [dict(asked.url.params) for asked in wire.requests] == [
        {"type": "active", "page": "1", "page_size": "100"},
        {"type": "active", "page": "2", "page_size": "100"},
    ]


async def test_a_rate_limited_call_is_repeated(
    provider: LiveAvatar, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heygen_portal.providers.liveavatar.provider.RATE_WINDOW_SECONDS", 0)
    wire.answers["/v1/sessions"] = [httpx.Response(429, json={"message": "Too many"}), page({"id": "s1"})]
    assert [row.provider_session_id for row in await provider.list_sessions()] == ["s1"]


async def test_a_call_that_stays_rate_limited_is_given_up(
    provider: LiveAvatar, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heygen_portal.providers.liveavatar.provider.RATE_WINDOW_SECONDS", 0)
    wire.answers["/v1/sessions"] = httpx.Response(429, json={"message": "Too many"})
    with pytest.raises(LimitReached):
        await provider.list_sessions()
    assert len(wire.requests) == 6


async def test_a_list_without_an_end_is_an_unusable_answer(provider: LiveAvatar, wire: Wire) -> None:
    """Sessions on pages that were not read must not be taken for ended ones."""
    wire.answers["/v1/sessions"] = page({"id": "s1"}, following="more")
    with pytest.raises(ProviderUnreachable, match="no end"):
        await provider.list_sessions()


async def test_the_catalogue_merges_public_and_own_entries(provider: LiveAvatar, wire: Wire) -> None:
    voice = {"id": "V1", "name": " Lucía ", "language": "Spanish", "gender": "Female", "tags": []}
    wire.answers |= {
        "/v1/avatars/public": page({"id": "A1", "name": "Lucía", "preview_url": "/a", "default_voice": {"id": "V1"}}),
        "/v1/avatars": page({"id": "A2", "name": ["odd"], "status": "FAILED"}, {"id": "A3", "is_expired": True}),
        "/v1/voices": page(voice),
        "/v1/contexts": page({"id": "C1", "name": "Recepción"}),
        "/v1/contexts/C1": ok({"id": "C1", "opening_text": "Hola", "prompt": "Somos…", "links": {"odd": 1}}),
    }  # fmt: skip
    assert await provider.list_avatars() == [
        CatalogueAvatar("A1", "Lucía", "/a", "V1", is_active=True),
        CatalogueAvatar("A2", "A2", "", "", is_active=False, is_own=True),
        CatalogueAvatar("A3", "A3", "", "", is_active=False, is_own=True),
    ]
    assert await provider.list_voices() == [CatalogueVoice("V1", "Lucía", "es", "female", "", False, is_own=True)]
    assert await provider.list_knowledge_bases() == [CatalogueKnowledgeBase("C1", "Recepción", "Hola", "Somos…")]


async def test_languages_that_the_portal_writes_otherwise_are_left_out(provider: LiveAvatar, wire: Wire) -> None:
    codes = ("en", "ar", "zh", "en", "pt-BR", "tl", "multi", None)
    wire.answers["/v1/languages"] = ok([{"language": "…", "code": code} for code in codes])
    assert await provider.list_languages() == ["en", "ar", "zh"]


async def test_a_knowledge_base_is_stored_as_a_context(provider: LiveAvatar, wire: Wire) -> None:
    wire.answers["/v1/contexts"] = ok({"id": "C9"})
    assert await provider.create_knowledge_base(name="Recepción", opening="", prompt="Somos…") == "C9"
    assert wire.body("contexts") == {"name": "Recepción", "opening_text": "", "prompt": "Somos…"}


async def test_a_context_is_changed_as_a_whole_and_deleted(provider: LiveAvatar, wire: Wire) -> None:
    wire.answers |= {"/v1/contexts/C9": [ok({"id": "C9"}), httpx.Response(204)]}
    await provider.change_knowledge_base(CatalogueKnowledgeBase("C9", "Recepción", "", "Somos…"))
    await provider.delete_knowledge_base("C9")
    assert [asked.method for asked in wire.requests] == ["PATCH", "DELETE"]
    assert wire.body("C9") == {"name": "Recepción", "opening_text": "", "prompt": "Somos…"}


async def test_past_sessions_have_end_reason_and_cost(provider: LiveAvatar, wire: Wire) -> None:
    row = {"id": "7d0c", "duration": 61, "end_reason": "IDLE_TIMEOUT", "credits_consumed": 2.03}
    wire.answers["/v1/sessions"] = page(row, {"id": "7d0b", "duration": "long", "end_reason": {}}, following="3")
    past = await provider.past_sessions(2)
    assert past.rows == (
        PastSession("7d0c", None, timedelta(seconds=61), "IDLE_TIMEOUT", Decimal("2.03")),
        PastSession("7d0b"),
    )
    assert past.has_more
    assert wire.requests[0].url.params["page"] == "2"


@pytest.mark.parametrize(("left", "amount"), [("12.50", Decimal("12.50")), (3, Decimal(3)), ("many", None), ([], None)])
async def test_credits_are_a_number_or_unknown(provider: LiveAvatar, wire: Wire, left: Any, amount: Any) -> None:
    wire.answers["/v1/users/credits"] = ok({"credits_left": left})
    assert await provider.credits() == amount


STARTED_AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize("per_second", [1, 1000])
async def test_a_transcript_is_read_with_times_in_seconds_or_milliseconds(
    provider: LiveAvatar, wire: Wire, per_second: int
) -> None:
    def row(role: str, text: Any, second: int) -> dict[str, Any]:
        at = int((STARTED_AT.timestamp() + second) * per_second)
        return {"role": role, "transcript": text, "absolute_timestamp": at, "relative_timestamp": second}

    first = {"transcript_data": [row("user", "Hola", 5), row("robot", "?", 6)], "next_timestamp": 7}
    last = {"transcript_data": [row("avatar", "Buenos días", 8), row("avatar", ["odd"], 9)], "next_timestamp": None}
    wire.answers |= {
        "/v1/sessions/7d0c": ok(
            {
                "id": "7d0c",
                "created_at": STARTED_AT.isoformat(),
                "duration": 61,
                "end_reason": "IDLE_TIMEOUT",
                "credits_consumed": 2.03,
            }
        ),
        "/v1/sessions/7d0c/transcript": [ok(first), ok(last)],
    }
    record = await provider.read_record("7d0c")
    assert record.lines == (
        SpokenLine(Speaker.USER, "Hola", STARTED_AT + timedelta(seconds=5)),
        SpokenLine(Speaker.AVATAR, "Buenos días", STARTED_AT + timedelta(seconds=8)),
    )
    assert (record.end_reason, record.duration, record.credits) == (
        "IDLE_TIMEOUT",
        timedelta(seconds=61),
        Decimal("2.03"),
    )


@pytest.mark.parametrize("at", [1e300, 12345])
async def test_a_line_without_a_plausible_time_is_kept_without_one(provider: LiveAvatar, wire: Wire, at: float) -> None:
    line = {"role": "user", "transcript": "Hola", "absolute_timestamp": at}
    wire.answers |= {
        "/v1/sessions/7d0c": ok({"id": "7d0c", "created_at": STARTED_AT.isoformat()}),
        "/v1/sessions/7d0c/transcript": ok({"transcript_data": [line]}),
    }
    record = await provider.read_record("7d0c")
    assert record.lines == (SpokenLine(Speaker.USER, "Hola", None),)


async def test_a_transcript_of_a_session_without_a_start_has_no_times(provider: LiveAvatar, wire: Wire) -> None:
    line = {"role": "user", "transcript": "Hola", "absolute_timestamp": STARTED_AT.timestamp()}
    wire.answers |= {
        "/v1/sessions/7d0c": ok({"id": "7d0c", "created_at": None}),
        "/v1/sessions/7d0c/transcript": ok({"transcript_data": [line]}),
    }
    assert (await provider.read_record("7d0c")).lines == (SpokenLine(Speaker.USER, "Hola", None),)


@pytest.mark.parametrize(("following", "pages"), [([7] * 3, 2), (range(150), 100)])
async def test_a_transcript_without_a_last_page_is_not_read_forever(
    provider: LiveAvatar, wire: Wire, following: Iterable[int], pages: int
) -> None:
    row = {"role": "user", "transcript": "Hola", "absolute_timestamp": STARTED_AT.timestamp()}
    wire.answers |= {
        "/v1/sessions/7d0c": ok({"id": "7d0c", "created_at": STARTED_AT.isoformat()}),
        "/v1/sessions/7d0c/transcript": [ok({"transcript_data": [row], "next_timestamp": at}) for at in following],
    }
    assert len((await provider.read_record("7d0c")).lines) == pages


@pytest.mark.parametrize(("status", "refusal"), [(404, SessionGone), (410, SessionGone), (403, CredentialRefused)])
async def test_a_transcript_that_cannot_be_deleted_is_gone_only_if_the_service_says_so(
    provider: LiveAvatar, wire: Wire, status: int, refusal: type[ProviderRejected]
) -> None:
    wire.answers["/v1/sessions/7d0c/events"] = httpx.Response(status, json={"message": "no"})
    with pytest.raises(ProviderRejected) as caught:
        await provider.forget("7d0c")
    assert type(caught.value) is refusal


async def test_a_malformed_list_is_not_read_as_empty(provider: LiveAvatar, wire: Wire) -> None:
    wire.answers["/v1/sessions"] = ok({"results": "none"})
    with pytest.raises(ProviderUnreachable):
        await provider.list_sessions()


async def test_an_error_never_quotes_the_key(provider: LiveAvatar, wire: Wire) -> None:
    wire.answers["/v1/sessions/stop"] = httpx.Response(401, json={"message": f"bad key {KEY}"})
    with pytest.raises(CredentialRefused) as refusal:
        await provider.stop_session("7d0c")
    assert KEY not in str(refusal.value)
