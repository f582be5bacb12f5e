"""Free text in reports would outlive the erasure of speech."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from sessions.models import SessionEvent, StreamingSession
from sessions.timeline.page_clock import PageClock
from sessions.web import page_reports, report_fields, report_gate
from tests.sessions import reports
from tests.support.factories import StreamingSessionFactory

ROOT = Path(__file__).parents[3]
SECRET = "I have diabetes"
KEPT: dict[str, dict[str, Any]] = {
    "way": {"local": "host", "remote": "relay", "protocol": "tls", "round_trip_ms": 31.5},
    "first_frame": {"width": 1280, "height": 720, "ms": 640},
    "first_sound": {"after": "typed", "ms": 310},
    "ladder": {"step": "renew", "from": "picture", "because": "frozen"},
    "verdict": {"code": "no_track", "stage": "rejoin", "room": "room-7f3a"},
    "microphone": {"state": "on", "mode": "hands_free", "gate": "failed"},
    "track_subscribed": {"kind": "video", "identity": "heygen:avatar-1"},
    "connection_state": {"state": "reconnecting"},
    "connection_quality": {"quality": "excellent"},
    "picture": {"fps": 24.9, "seconds": 60},
    "room_disconnected": {"reason": 3},
    "check": {
        "secure": "ok fine",
        "microphone": "warn refused",
        "turn": "ok by_udp",
        "round_trip_ms": None,
        "way": "host → prflx · UDP · 12 ms · LiveKit 1.9.0, Frankfurt",
        "checked_at": "2026-03-10T11:58:00.000Z",
    },
}
"""Fields that pages report, by kind."""

pytestmark = pytest.mark.django_db(transaction=True)


def report(session: StreamingSession, kind: str, data: dict[str, Any]) -> None:
    async_to_sync(reports.handle)(session.pk, {"kind": kind, "data": data}, PageClock())


def stored(session: StreamingSession, kind: str) -> dict[str, Any]:
    row = SessionEvent.objects.filter(session=session, kind=kind, source="browser").order_by("number").last()
    assert row
    return {name: value for name, value in row.data.items() if name != "rows"}


@pytest.mark.parametrize("kind", sorted({*page_reports.EFFECTS} - {*report_gate.LINE_KINDS, "rated"}))
def test_no_report_has_room_for_free_text(kind: str) -> None:
    session = StreamingSessionFactory.create()
    names = {name for fields in report_fields.FIELDS.values() for name in fields} | {"note", SECRET}
    report(session, kind, dict.fromkeys(names, SECRET))
    assert SECRET not in str(stored(session, kind))


@pytest.mark.parametrize("way", [SECRET, f"host → host · UDP · 1 ms · LiveKit 1.9\n{SECRET}", f"ok {SECRET}"])
@pytest.mark.parametrize("name", ["way", "secure", "checked_at"])
def test_no_field_of_a_device_check_has_room_for_free_text(name: str, way: str) -> None:
    session = StreamingSessionFactory.create()
    report(session, "check", {name: way, "udp": "ok fine"})
    assert stored(session, "check") == {"udp": "ok fine"}


@pytest.mark.parametrize("kind", sorted(KEPT))
def test_reported_fields_are_stored(kind: str) -> None:
    session = StreamingSessionFactory.create()
    report(session, kind, KEPT[kind])
    assert stored(session, kind) == KEPT[kind]


@pytest.mark.parametrize("fps", [True, "24", 2**53 + 1, 1e300, [24]])
def test_only_numbers_that_both_databases_return_unchanged_are_stored(fps: object) -> None:
    session = StreamingSessionFactory.create()
    report(session, "picture", {"fps": fps, "seconds": 60})
    assert stored(session, "picture") == {"seconds": 60}


def test_every_step_of_the_pages_recovery_is_known() -> None:
    ladder = (ROOT / "sessions/static/sessions/recovery/ladder.js").read_text()
    assert set(re.findall(r'\bstep: "(\w+)"', ladder)) <= set(report_fields.RECOVERY_STEPS)
