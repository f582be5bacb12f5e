"""LiveAvatar's sessions without media: cost, limits, access and records."""

from __future__ import annotations

import base64
import json

import pytest

from tests.emulator.liveavatar_wire import LITE, LiveAvatarWire
from tests.support import servers


def credits_left(live: LiveAvatarWire) -> float:
    return float(live.got("/v1/users/credits")["credits_left"])


@pytest.mark.parametrize(("mode", "sandbox", "cost"), [("full", False, 1.0), ("lite", False, 0.5), ("full", True, 0.0)])
def test_cost_depends_on_mode_and_the_sandbox_is_free(
    live: LiveAvatarWire, mode: str, sandbox: bool, cost: float
) -> None:
    before = credits_left(live)
    session_id = live.lite(is_sandbox=sandbox) if mode == "lite" else live.create_token(is_sandbox=sandbox)
    live.move_clock(100)  # a token costs nothing, however old
    live.start(session_id)
    live.move_clock(30)
    live.stop(session_id)
    assert before - credits_left(live) == pytest.approx(cost, abs=0.05)
    assert live.entry(session_id)["credits_consumed"] == pytest.approx(cost, abs=0.05)


def test_without_credits_only_sandbox_sessions_run(live: LiveAvatarWire) -> None:
    running, sandboxed = live.create_token(), live.create_token(is_sandbox=True)
    live.start(running)
    live.start(sandboxed)
    live.fault("quota_gone", times=None)
    assert live.entry(running)["end_reason"] == "NO_CREDITS"
    assert "end_reason" not in live.entry(sandboxed)
    refused = live.ask_for("POST", "/v1/sessions/start", token=live.tokens[live.create_token()])
    assert (refused.status_code, refused.json()["message"]) == (403, "Not enough credits")
    live.start(live.create_token(is_sandbox=True))


@pytest.mark.parametrize(("body", "wait", "reason"), [
    ({}, 301, "IDLE_TIMEOUT"),
    ({"max_session_duration": 90}, 91, "MAX_DURATION_REACHED"),
    ({"is_sandbox": True}, 61, "MAX_DURATION_REACHED"),
])  # fmt: skip
def test_a_session_ends_at_its_limits_with_a_reason(
    live: LiveAvatarWire, body: dict[str, object], wait: int, reason: str
) -> None:
    session_id = live.create_token(**body)
    live.start(session_id)
    live.move_clock(wait)
    assert live.entry(session_id)["end_reason"] == reason
    assert [row["id"] for row in live.got("/v1/sessions?type=historic")["results"]] == [session_id]
    assert live.got("/v1/sessions?type=active")["count"] == 0


def test_keep_alive_resets_the_idle_timeout(live: LiveAvatarWire) -> None:
    session_id = live.create_token()
    live.start(session_id)
    for _ in range(2):
        live.move_clock(200)
        live.ask_for("POST", "/v1/sessions/keep-alive", {}, token=live.tokens[session_id]).raise_for_status()
    assert "end_reason" not in live.entry(session_id)


@pytest.mark.parametrize(("body", "reason"), [
    (None, "USER_CLOSED"),
    ({"session_id": "x"}, "UNKNOWN"),
    ({"reason": "USER_DISCONNECTED"}, "USER_DISCONNECTED"),
    ({"reason": "bored"}, "UNKNOWN"),
])  # fmt: skip
def test_a_stop_is_recorded_with_its_reason(live: LiveAvatarWire, body: dict[str, str] | None, reason: str) -> None:
    session_id = live.create_token()
    live.start(session_id)
    live.ask_for("POST", "/v1/sessions/stop", body, token=live.tokens[session_id]).raise_for_status()
    assert live.entry(session_id)["end_reason"] == reason


def test_a_token_contains_the_mode_and_starts_one_session(live: LiveAvatarWire) -> None:
    session_id = live.lite()
    payload = live.tokens[session_id].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["start_session_data"]["mode"] == "LITE"
    assert live.start(session_id)["ws_url"].startswith("ws://127.0.0.1:")
    refused = live.ask_for("POST", "/v1/sessions/start", {}, token=live.tokens[session_id])
    assert refused.status_code == 400


def test_a_full_session_has_no_socket_and_the_callers_room_no_token(live: LiveAvatarWire) -> None:
    full = live.start(live.create_token())
    assert full["ws_url"] is None
    assert full["livekit_client_token"]
    room = {"livekit_url": "wss://rooms.example", "livekit_room": "r", "livekit_client_token": "t"}
    brought = live.start(live.lite(livekit_config=room))
    assert brought["livekit_url"] is brought["livekit_client_token"] is None
    assert brought["ws_url"]


def test_a_socket_url_uses_the_proxys_host(live: LiveAvatarWire) -> None:
    headers = {
        "Authorization": f"Bearer {live.tokens[live.lite()]}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "avatars.example",
    }
    started = live.http.post("/v1/sessions/start", headers=headers).json()["data"]
    assert started["ws_url"].startswith("wss://avatars.example/")


def test_references_of_a_token_are_checked_at_start(live: LiveAvatarWire) -> None:
    nothing = "5f3c0f9e-0000-41ef-8000-000000000000"
    portrait = next(row for row in live.got("/v1/avatars")["results"] if row["type"] == "IMAGE")["id"]
    for status, body in (
        (403, {"avatar_id": nothing}),
        (400, {"avatar_persona": {"context_id": nothing}}),
        (400, {"avatar_persona": {"voice_id": nothing}}),
        (400, {"avatar_id": portrait}),  # a photograph has no voice of its own
        (400, {"video_settings": {"quality": "very_high"}}),
    ):
        assert (
            live.ask_for("POST", "/v1/sessions/start", token=live.tokens[live.create_token(**body)]).status_code
            == status
        )


def test_the_concurrency_limit_counts_only_started_sessions(live: LiveAvatarWire) -> None:
    live.control("rules", {"concurrency": 1})
    first, second = live.create_token(), live.create_token()
    live.start(first)
    assert live.ask_for("POST", "/v1/sessions/start", token=live.tokens[second]).status_code == 409
    live.stop(first)
    live.start(second)


def test_a_rate_limited_response_has_a_retry_after_header(live: LiveAvatarWire) -> None:
    live.control("rules", {"live_rate": 0})
    refused = live.ask_for("GET", "/v1/voices")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"] == "1"


def test_a_page_can_call_with_cookies_and_read_refusals(live: LiveAvatarWire) -> None:
    origin = {"Origin": "https://portal.example"}
    for answer in (
        live.http.options("/v1/sessions/start", headers=origin),
        live.http.post("/v1/sessions/start", headers=origin),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_a_transcript_can_be_read_in_parts_and_deleted(live: LiveAvatarWire) -> None:
    context = {"name": "Hours", "prompt": "We open at nine.", "opening_text": "Hello, ${name}."}
    context_id = live.ask_for("POST", "/v1/contexts", context).json()["data"]["id"]
    session_id = live.create_token(avatar_persona={"context_id": context_id}, dynamic_variables={"name": "Nora"})
    live.start(session_id)
    path = f"/v1/sessions/{session_id}/transcript"
    live.move_clock(1)
    live.command(session_id, "avatar.speak_text", text="Good evening.")
    first = live.got(path)
    assert [line["transcript"] for line in first["transcript_data"]] == ["Hello, Nora.", "Good evening."]
    live.move_clock(1)
    live.command(session_id, "avatar.speak_response", text="When do you open?")
    rest = live.got(f"{path}?start_timestamp={first['next_timestamp']}")
    assert [line["role"] for line in rest["transcript_data"]] == ["user", "avatar"]
    live.stop(session_id)
    assert not live.got(path)["session_active"]
    live.ask_for("DELETE", f"/v1/sessions/{session_id}/events").raise_for_status()
    assert live.got(path)["transcript_data"] == []


def test_without_a_context_the_avatar_repeats_but_does_not_answer(live: LiveAvatarWire) -> None:
    session_id = live.create_token()
    live.start(session_id)
    live.command(session_id, "avatar.speak_response", text="When do you open?")
    live.command(session_id, "avatar.speak_text", text="Good evening.")
    lines = live.got(f"/v1/sessions/{session_id}/transcript")["transcript_data"]
    assert [(line["role"], line["transcript"]) for line in lines] == [
        ("user", "When do you open?"),
        ("avatar", "Good evening."),
    ]


def test_contexts_are_created_changed_and_deleted(live: LiveAvatarWire) -> None:
    texts = {"name": "Hours", "prompt": "We open at nine, ${name}.", "opening_text": "Hello"}
    made = live.ask_for("POST", "/v1/contexts", {**texts, "llm": "gone"}).json()["data"]
    assert made["required_dynamic_variables"] == ["name"]
    path = f"/v1/contexts/{made['id']}"
    assert live.ask_for("PATCH", path, {"name": "Other"}).status_code == 422
    live.ask_for("PATCH", path, {**texts, "prompt": "We open at ten."}).raise_for_status()
    assert live.got(path)["prompt"] == "We open at ten."
    assert made["id"] in {row["id"] for row in live.got("/v1/contexts")["results"]}
    live.ask_for("DELETE", path).raise_for_status()
    assert live.ask_for("GET", path).status_code == 404


def test_heygens_avatars_and_contexts_are_copied_with_new_ids(live: LiveAvatarWire) -> None:
    old = {avatar["avatar_name"] for avatar in live.get("/v2/avatars")["data"]["avatars"]}
    new = {avatar["name"] for avatar in live.got("/v1/avatars/public")["results"]}
    assert new - old == {"Wayne"}
    bases = {base["name"] for base in live.get("/v1/streaming/knowledge_base/list")["data"]["list"]}
    assert {context["name"] for context in live.got("/v1/contexts")["results"]} == bases
    voices = {voice["id"] for voice in live.got("/v1/voices")["results"]}
    assert not voices & {voice["voice_id"] for voice in live.get("/v2/voices")["data"]["voices"]}


def test_the_two_services_do_not_share_sessions(live: LiveAvatarWire) -> None:
    theirs, ours = live.new(), live.create_token()
    live.start(ours)
    assert live.call("streaming.stop", {"session_id": ours}).status_code == 404
    assert live.ask_for("GET", f"/v1/sessions/{theirs}").status_code == 404
    assert [live.seen(session)["service"] for session in (theirs, ours)] == ["heygen", "liveavatar"]


def test_every_liveavatar_refusal_can_be_injected(live: LiveAvatarWire) -> None:
    live.fault("answer", error="avatar_not_allowed", on="sessions/start")
    assert live.ask_for("POST", "/v1/sessions/start", token=live.tokens[live.create_token()]).status_code == 403


def test_a_separate_liveavatar_key_excludes_the_other_services_key() -> None:
    with (
        servers.emulator(media=False, args=["--liveavatar-key", "of-its-own"]) as emulator,
        LiveAvatarWire(emulator.url, emulator.api_key) as live,
    ):
        assert live.ask_for("POST", "/v1/sessions/token", LITE).status_code == 401
        live.api_key = "of-its-own"
        live.start(live.lite())
        assert live.call("streaming.new", {}).status_code == 401
