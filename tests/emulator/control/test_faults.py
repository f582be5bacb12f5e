"""Every fault that can be injected, as a client observes it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest

from heygen_portal.emulator.control.faults import KINDS, Faults
from heygen_portal.emulator.sessions.states import ERRORS
from tests.emulator.wire import Wire


def refused(wire: Wire) -> httpx.Response:
    return wire.call("streaming.new", {"version": "v2"})


def open_sessions(wire: Wire) -> int:
    return len(wire.get("/v1/streaming.list")["data"]["sessions"])


@pytest.mark.parametrize("key", ERRORS)
def test_every_documented_refusal_can_be_injected_by_name(wire: Wire, key: str) -> None:
    wire.fault("answer", error=key)
    answer = refused(wire)
    assert (answer.status_code, answer.json()["code"]) == (ERRORS[key].status, ERRORS[key].code)
    assert refused(wire).status_code == 200


def test_any_status_and_body_can_be_injected(wire: Wire) -> None:
    wire.fault("answer", status=503, body={"oh": ["dear"]})
    answer = refused(wire)
    assert (answer.status_code, answer.json()) == (503, {"oh": ["dear"]})
    assert open_sessions(wire) == 0


def test_a_fault_affects_the_next_n_matching_calls(wire: Wire) -> None:
    wire.fault("answer", on="streaming.new", times=2)
    assert wire.call("streaming.create_token").status_code == 200
    assert [refused(wire).status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_can_be_limited_to_one_session(wire: Wire) -> None:
    spoilt, other = wire.new(), wire.new()
    wire.fault("answer", session=spoilt, times=None)
    for _ in range(2):
        assert wire.call("streaming.keep_alive", {"session_id": spoilt}).status_code == 500
        assert wire.call("streaming.keep_alive", {"session_id": other}).status_code == 200


def test_a_fault_can_affect_a_share_of_calls(wire: Wire) -> None:
    wire.fault("answer", share=0.5, times=None)
    statuses = [wire.call("/v2/voices", method="GET").status_code for _ in range(60)]
    assert 10 < statuses.count(500) < 50


@pytest.mark.parametrize(("when", "opened"), [("before", 0), ("after", 1)])
def test_a_connection_can_be_cut_before_or_after_the_effect(wire: Wire, when: str, opened: int) -> None:
    wire.fault("cut", when=when)
    with pytest.raises(httpx.RemoteProtocolError):
        refused(wire)
    assert open_sessions(wire) == opened


def test_a_call_can_take_effect_without_a_response(wire: Wire) -> None:
    wire.fault("silence", on="streaming.new")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{wire.url}/v1/streaming.new", headers={"X-Api-Key": wire.api_key}, json={}, timeout=0.3, trust_env=False
        )
    assert open_sessions(wire) == 1


def test_a_proxy_page_can_replace_json(wire: Wire) -> None:
    wire.fault("html", status=504)
    answer = refused(wire)
    assert (answer.status_code, answer.headers["Content-Type"]) == (504, "text/html; charset=utf-8")


def test_a_delayed_call_takes_effect_at_once(wire: Wire) -> None:
    wire.fault("delay", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{wire.url}/v1/streaming.new", headers={"X-Api-Key": wire.api_key}, json={}, timeout=0.3, trust_env=False
        )
    assert open_sessions(wire) == 1


def test_a_session_can_stay_in_connecting(wire: Wire) -> None:
    wire.fault("never_connects")
    spoilt, sound = wire.new(), wire.new()
    for session_id in (spoilt, sound):
        wire.data("streaming.start", {"session_id": session_id})
    assert (wire.state(spoilt), wire.state(sound)) == ("connecting", "connected")


def test_a_late_avatar_keeps_the_session_connecting(wire: Wire) -> None:
    wire.fault("late", seconds=60)
    session_id = wire.new()
    wire.data("streaming.start", {"session_id": session_id})
    assert wire.state(session_id) == "connecting"


def test_a_foreign_token_opens_another_room(wire: Wire) -> None:
    wire.fault("foreign_token")
    opened = wire.data("streaming.new", {"version": "v2"})
    assert room_of(opened["access_token"]) != opened["session_id"]
    assert room_of(opened["livekit_agent_token"]) == opened["session_id"]


def test_an_expired_token_can_be_issued(wire: Wire) -> None:
    wire.fault("expired_token")
    token = wire.data("streaming.new", {"version": "v2"})["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["exp"] < time.time()


def test_billed_time_can_differ_from_real_time(wire: Wire) -> None:
    wire.fault("billing", factor=2)
    session_id = wire.new()
    wire.move_clock(60)
    wire.data("streaming.stop", {"session_id": session_id})
    assert wire.get("/v2/streaming.list")["data"][0]["duration"] == pytest.approx(120, abs=5)
    assert wire.seen(session_id)["duration"] == pytest.approx(60, abs=2.5)


def test_an_exhausted_quota_ends_sessions_until_the_fault_is_removed(wire: Wire) -> None:
    session_id = wire.new()
    fault = wire.fault("quota_gone")
    assert wire.seen(session_id)["end_reason"] == "quota"
    assert refused(wire).json()["code"] == 10015
    assert wire.get("/v2/user/remaining_quota")["data"]["remaining_quota"] == 0
    wire.control(f"faults/{fault['id']}", method="DELETE")
    assert refused(wire).status_code == 200


def test_the_session_limit_can_be_reached_without_sessions(wire: Wire) -> None:
    wire.fault("limit_reached")
    assert refused(wire).json()["code"] == 10007
    wire.control("faults", method="DELETE")
    assert refused(wire).status_code == 200


@pytest.mark.parametrize(
    ("kind", "values"),
    [("no_video", {}), ("no_audio", {}), ("black", {}), ("frozen", {}), ("leaves", {"seconds": 2}), ("late", {})],
)
def test_faults_apply_to_a_running_avatar(wire: Wire, kind: str, values: dict[str, Any]) -> None:
    session_id = wire.session("connected")
    healthy = wire.seen(session_id)["faults"]
    wire.fault(kind, session=session_id, **values)
    assert wire.seen(session_id)["faults"] != healthy


def test_a_running_session_continues_once_its_faults_are_removed(wire: Wire) -> None:
    stuck, other = wire.session("connecting"), wire.session("connected")
    healthy = wire.seen(other)["faults"]
    for session_id in (stuck, other):
        wire.fault("no_video", session=session_id)
    wire.control(f"sessions/{stuck}/faults", method="DELETE")
    assert wire.state(stuck) == "connected"
    assert wire.seen(stuck)["faults"] == healthy != wire.seen(other)["faults"]
    wire.control("faults", method="DELETE")
    assert wire.seen(other)["faults"] == healthy


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        {"kind": "fire"},
        {"kind": "cut", "when": "never"},
        {"kind": "delay", "seconds": -1},
        {"kind": "delay", "seconds": "long"},
        {"kind": "answer", "status": 99},
        {"kind": "answer", "status": True},
        {"kind": "answer", "error": "nothing"},
        {"kind": "answer", "times": 0},
        {"kind": "answer", "share": 2},
        {"kind": "answer", "on": 5},
        {"kind": "black", "colour": "red"},
        {"kind": "black", "session": "nobody"},
    ],
)
def test_an_invalid_fault_is_refused_with_a_message(wire: Wire, request_body: dict[str, Any]) -> None:
    answer = wire.http.post("/_emulator/faults", json=request_body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert wire.http.get("/_emulator/faults").json()["faults"] == []


def test_every_kind_of_fault_has_defaults() -> None:
    faults = Faults()
    assert [faults.add({"kind": kind}).kind for kind in KINDS] == list(KINDS)


def room_of(token: str) -> str:

    room: str = jwt.decode(token, options={"verify_signature": False})["video"]["room"]
    return room
