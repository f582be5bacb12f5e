"""Limits and cost of sessions, with a moved clock."""

from __future__ import annotations

import pytest

from tests.emulator.wire import Wire


def test_an_idle_session_ends_after_its_timeout(wire: Wire) -> None:
    session_id = wire.new(activity_idle_timeout=60)
    wire.move_clock(59)
    assert wire.state(session_id) == "new"
    wire.move_clock(1)
    assert (wire.state(session_id), wire.seen(session_id)["end_reason"]) == ("closed", "idle")


@pytest.mark.parametrize("call", ["streaming.keep_alive", "streaming.task"])
def test_activity_resets_the_idle_timeout(wire: Wire, call: str) -> None:
    session_id = wire.session("connected")
    wire.move_clock(119)
    wire.data(call, {"session_id": session_id, "text": "Hola"})
    wire.move_clock(119)
    assert wire.state(session_id) == "connected"
    wire.move_clock(1)
    assert wire.state(session_id) == "closed"


def test_without_an_idle_timeout_the_duration_limit_still_ends_a_session(wire: Wire) -> None:
    session_id = wire.new(disable_idle_timeout=True)
    wire.data("streaming.start", {"session_id": session_id})
    wire.move_clock(599)
    assert wire.state(session_id) == "connected"
    wire.move_clock(1)
    assert wire.seen(session_id)["end_reason"] == "duration"


def test_a_session_ends_after_five_minutes_without_a_user(wire: Wire) -> None:
    session_id = wire.new(disable_idle_timeout=True)
    wire.move_clock(300)
    assert wire.seen(session_id)["end_reason"] == "no_user"


def test_the_concurrent_limit_counts_open_sessions_only(wire: Wire) -> None:
    wire.control("rules", {"concurrency": 2})
    first, _ = wire.new(), wire.new()
    refused = wire.call("streaming.new", {"version": "v2"})
    assert (refused.status_code, refused.json()["code"]) == (429, 10007)
    wire.data("streaming.stop", {"session_id": first})
    wire.new()


def test_a_session_is_billed_for_at_least_half_a_minute(wire: Wire) -> None:
    before = quota(wire)
    wire.data("streaming.stop", {"session_id": wire.new()})
    assert before - quota(wire) == 6  # 0.1 credits
    session_id = wire.new(activity_idle_timeout=3600)
    wire.move_clock(240)
    wire.data("streaming.stop", {"session_id": session_id})
    assert before - quota(wire) == pytest.approx(6 + 48, abs=1)


def test_an_exhausted_quota_ends_open_sessions_and_refuses_new_ones(wire: Wire) -> None:
    wire.control("rules", {"quota": 30})
    session_id = wire.new(activity_idle_timeout=3600)
    wire.move_clock(160)  # costs 32
    assert wire.call("streaming.new", {"version": "v2"}).json()["code"] == 10015
    assert wire.seen(session_id)["end_reason"] == "quota"


def test_a_session_reports_how_long_it_was_open(wire: Wire) -> None:
    session_id = wire.new()
    wire.move_clock(90)
    wire.data("streaming.stop", {"session_id": session_id})
    wire.move_clock(1000)
    (row,) = wire.get("/v2/streaming.list")["data"]
    assert row["session_id"] == session_id
    assert row["duration"] == pytest.approx(90, abs=5)


def test_a_second_stop_succeeds_and_changes_nothing(wire: Wire) -> None:
    session_id = wire.new()
    wire.data("streaming.stop", {"session_id": session_id})
    wire.move_clock(50)
    wire.data("streaming.stop", {"session_id": session_id})
    assert wire.seen(session_id)["duration"] < 40


def quota(wire: Wire) -> int:
    return int(wire.get("/v2/user/remaining_quota")["data"]["remaining_quota"])
