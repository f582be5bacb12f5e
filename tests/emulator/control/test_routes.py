"""The control routes below /_emulator/ and who can reach them."""

from __future__ import annotations

import httpx

from tests.emulator.wire import AVATAR, Wire
from tests.support import servers


def test_control_is_off_by_default() -> None:
    with servers.emulator(media=False) as emulator, httpx.Client(base_url=emulator.url, trust_env=False) as http:
        assert http.get("/_emulator/").status_code == 404
        assert http.post("/_emulator/reset", json={}).status_code == 404


def test_requests_are_logged_without_credentials(wire: Wire) -> None:
    wire.call("streaming.create_token")
    wire.call("streaming.new", {"livekit_settings": {"url": "wss://x", "room": "r", "token": "top secret"}})
    wire.http.post("/v1/streaming.task", content=b"not json")
    token, new, task = wire.http.get("/_emulator/requests").json()["requests"]
    assert (token["path"], token["credential"], token["body"], token["status"]) == (
        "/v1/streaming.create_token",
        "X-Api-Key",
        None,
        200,
    )
    assert new["body"]["livekit_settings"] == {"url": "wss://x", "room": "r", "token": "…"}
    assert (task["body"], task["credential"], task["status"]) == ("not json", None, 401)


def test_a_reset_removes_all_state(wire: Wire) -> None:
    session_id = wire.new()
    wire.fault("answer", times=None, on="nothing")
    wire.control("rules", {"concurrency": 1})
    wire.move_clock(50)
    scene = {"character": {"avatar_id": AVATAR}, "voice": {"type": "silence", "duration": 1}}
    wire.data("/v2/video/generate", {"video_inputs": [scene]})
    wire.control("reset")
    assert wire.call("streaming.stop", {"session_id": session_id}).status_code == 404
    seen = {
        name: wire.http.get(f"/_emulator/{name}").json()
        for name in ("sessions", "faults", "requests", "clock", "rules")
    }
    assert seen["sessions"]["sessions"] == seen["faults"]["faults"] == []
    assert len(seen["requests"]["requests"]) == 1
    assert seen["clock"]["moved_by"] == 0
    assert seen["rules"]["concurrency"] == 100
    assert wire.get("/v1/video.list")["data"]["videos"] == []


def test_control_can_end_a_session_as_the_service_would(wire: Wire) -> None:
    session_id = wire.session("connected")
    wire.control(f"sessions/{session_id}/end")
    assert wire.seen(session_id)["end_reason"] == "provider"


def test_an_unknown_rule_is_refused(wire: Wire) -> None:
    for rules in ({"patience": 1}, {"idle_s": "long"}, {"idle_s": -1}, {"sync_waits": "perhaps"}):
        assert wire.http.post("/_emulator/rules", json=rules).status_code == 400


def test_the_clock_moves_only_by_a_number(wire: Wire) -> None:
    for move in ("far", None, True, 1e12):
        assert wire.http.post("/_emulator/clock", json={"move": move}).status_code == 400


def test_another_site_cannot_reach_control_through_a_browser(wire: Wire) -> None:
    # By DNS rebinding, the page's own name leads to this machine; a form cannot send JSON; CORS is not offered.
    assert wire.http.get("/_emulator/sessions", headers={"Host": "evil.example"}).status_code == 404
    assert wire.http.post("/_emulator/reset", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert "Access-Control-Allow-Origin" not in wire.http.get("/_emulator/sessions").headers
    assert wire.http.options("/_emulator/reset").status_code == 405


def test_the_control_page_loads_its_files_and_forbids_other_scripts(wire: Wire) -> None:
    page = wire.http.get("/_emulator/")
    assert page.headers["Content-Security-Policy"] == "default-src 'self'"
    for part, kind in (("control.css", "text/css"), ("control.js", "text/javascript")):
        assert part in page.text
        assert wire.http.get(f"/_emulator/{part}").headers["Content-Type"].startswith(kind)
