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
    "verdict": {"code": "no_track", "stage": "rejoin", "room": "a5f0c2c4-1c1e-11f1-8f0b-0242ac120002"},
    "microphone": {"state": "on", "mode": "hands_free", "gate": "failed"},
    "track_subscribed": {"kind": "video", "identity": "liveavatar-agent-7d0c0000-1c1e-11f1-8f0b-0242ac120002"},
    "connection_state": {"state": "reconnecting"},
    "connection_quality": {"quality": "excellent"},
    "picture": {"fps": 24.9, "seconds": 60},
    "room_disconnected": {"reason": 3},
    "check": {
        "secure": "ok fine",
        "microphone": "warn refused",
        "turn": "ok by_udp",
        "local": "host",
        "remote": "prflx",
        "protocol": "udp",
        "round_trip_ms": None,
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


# Words and forms that fields accept, which a sentence could hide behind.
ACCEPTED_WORDS = (
    "", "ok fine", "host", "host → host · UDP · 1 ms · LiveKit", "2026-03-10T11:58:00.000Z", "2026-03-10", "good",
    "room-73",
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, fields in report_fields.FIELDS.items() for name in fields]
)
def test_no_field_accepts_several_words(kind: str, name: str) -> None:
    accepts = report_fields.FIELDS[kind][name]
    for known in ACCEPTED_WORDS:
        for joint in (" ", "\n", "\t", "\u00a0", " · ", ", "):
            for text in (f"{known}{joint}{SECRET}", f"{SECRET}{joint}{known}", [SECRET], {SECRET: SECRET}):
                assert not accepts(text), text
    assert not accepts("x" * 65)


def test_every_kind_of_report_is_filtered_by_the_table_of_fields() -> None:
    without_data = {
        "room_connected", "room_reconnecting", "room_reconnected", "playback_blocked", "playback_started",
        "waiting_over", "frozen",
    }  # fmt: skip
    assert set(page_reports.EFFECTS) == set(report_fields.FIELDS) | without_data


@pytest.mark.parametrize("kind", sorted(report_gate.LINE_KINDS))
@pytest.mark.parametrize("task_id", ["Ana Diaz has diabetes", "t1\n", "x" * 65, ["t1"], 7])
def test_the_task_of_a_reported_line_has_no_room_for_free_text(kind: str, task_id: object) -> None:
    session = StreamingSessionFactory.create()
    report(session, kind, {"message": "Hola.", "task_id": task_id, "interrupted": SECRET})
    line = session.utterances.get()
    assert (line.text, line.provider_task_id, line.is_interrupted) == ("Hola.", "", False)
    data = stored(session, kind)
    assert (data["task_id"], data["interrupted"]) == ("", False)
    assert "diabetes" not in str(list(session.events.values_list("data", flat=True)))


WORDS = ["Ana_Diaz_has_diabetes", "vih-positivo", "user-tengo-vih", "cada-dada-fea", "v-i-h", "5551234567", "VIH"]


@pytest.mark.parametrize("words", WORDS)
def test_an_identifier_that_could_be_words_is_stored_as_a_hash(words: str) -> None:
    one, other = StreamingSessionFactory.create(), StreamingSessionFactory.create()
    for session in (one, other):
        report(session, "avatar_start_talking", {"task_id": words})
        report(session, "avatar_end_message", {"task_id": words, "message": "Hola."})
        report(session, "track_subscribed", {"kind": "video", "identity": words})
        report(session, "verdict", {"code": "no_track", "room": words})
    hashes = [stored(session, "avatar_start_talking")["task_id"] for session in (one, other)]
    assert len({*hashes}) == 2
    assert one.utterances.get().provider_task_id == stored(one, "avatar_end_message")["task_id"] == hashes[0]
    assert words not in str(list(SessionEvent.objects.values_list("data", flat=True)))


@pytest.mark.parametrize(
    "task_id", ["", "t-1", "u1", "9f8c1a2e-33b0-4f6f-9d6a-0c1e2d3f4a5b", "9f8c1a2e33b04f6f9d6a0c1e2d3f4a5b", "task_17"]
)
def test_identifiers_of_providers_are_stored(task_id: str) -> None:
    session = StreamingSessionFactory.create()
    report(session, "avatar_start_talking", {"task_id": task_id})
    assert stored(session, "avatar_start_talking") == {"task_id": task_id}


def test_an_identifier_of_any_form_is_stored_if_the_provider_has_named_it() -> None:
    session = StreamingSessionFactory.create()
    session.tasks.create(kind="talk", status="sent", text="Hola", provider_task_id="their-task-of-any-form")
    report(session, "avatar_start_talking", {"task_id": "their-task-of-any-form"})
    assert stored(session, "avatar_start_talking") == {"task_id": "their-task-of-any-form"}


def test_the_route_of_a_device_check_is_stored_in_parts() -> None:
    session = StreamingSessionFactory.create()
    report(session, "check", {"way": "host → host · UDP · 1 ms · LiveKit Ana Diaz has diabetes", "udp": "ok fine"})
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
