"""The auditor's page: events for operators, transcripts for a reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from avatars.models import Chunk, Document, DocumentVersion, Library
from heygen_portal.people.access import roles
from heygen_portal.providers.contract.provider import SessionRecord
from sessions.costs import ledger, provider_record
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import Answer, EndReason, SessionTask, Status, StreamingSession
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

SPEECH = "Quiero cambiar mi cita del jueves."
CUT = "El jueves tienes cita en la segunda planta, y"
ENGLISH = {"accept-language": "en"}


def member(role: roles.Role) -> User:
    roles.sync()
    user = User.objects.create_user(role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def signed_in(role: roles.Role) -> tuple[Client, User]:
    client, user = Client(), member(role)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, user


@pytest.fixture
def session() -> StreamingSession:
    made: StreamingSession = StreamingSessionFactory.create(
        status=Status.ENDED, end_reason=EndReason.NO_PICTURE, end_evidence={"code": "no_picture_track", "limit_s": 60}
    )
    reported: dict[str, Any] = {"source": "browser"}
    made.utterances.create(who="user", by="voice", text=SPEECH, **reported)
    made.utterances.create(who="avatar", by="voice", text=CUT, is_interrupted=True, **reported)
    made.utterances.create(who="user", by="text", text="Gracias.", source="provider")
    at = made.created_at + timedelta(seconds=1)
    heard = Entry(
        "room_connected", {"page_at": (at + timedelta(milliseconds=38)).isoformat()}, events.Source.BROWSER, at
    )
    events.record(made.pk, Entry("requested"), Entry("provider_created"), Entry("provider_started"), heard)
    return made


def page_of(session: StreamingSession) -> str:
    return f"/admin/avatar_sessions/streamingsession/{session.pk}/audit/"


def test_the_greetings_and_each_turns_sound_are_shown_as_the_browsers_measurement(session: StreamingSession) -> None:
    client, _ = signed_in(roles.AUDITOR)

    def shown() -> str:
        return client.get(page_of(session), headers=ENGLISH).content.decode()

    def record(*moments: tuple[float, str, dict[str, Any]]) -> None:
        for after_s, kind, data in moments:
            at = session.created_at + timedelta(seconds=after_s)
            events.record(session.pk, Entry(kind, data, events.Source.BROWSER, at))

    record((4, "user_start", {}), (5, "user_stop", {}), (6, "avatar_start_talking", {"task_id": "a"}))
    assert "measured by the browser" not in shown()
    record((2, "first_sound", {"after": "start", "ms": 1310}), (6, "first_sound", {"after": "spoken", "ms": 1470}))
    page = shown()
    assert page.count("measured by the browser") == 2
    assert "1.31 s" in page
    assert "1.47 s" in page


SEES = {
    roles.END_USER: (404, False),
    roles.EDITOR: (403, False),
    roles.OPERATOR: (200, False),
    roles.AUDITOR: (200, True),
    roles.ADMINISTRATOR: (200, True),
}


@pytest.mark.parametrize("role", SEES, ids=lambda role: role.group)
def test_each_role_sees_what_it_may_and_speech_needs_a_reason_each_time(
    session: StreamingSession, role: roles.Role
) -> None:
    """Complaint 17: every line with its source; operators see events but no speech."""
    status, may_read = SEES[role]
    client, user = signed_in(role)
    page, form = page_of(session), {"reason": "Reclamación 2026-118"}
    first = client.get(page, follow=True)
    assert first.status_code == status
    assert SPEECH not in first.content.decode()
    opened = client.post(page, form, headers=ENGLISH, follow=True)
    assert (SPEECH in opened.content.decode()) == may_read
    looked = list(session.events.filter(kind="transcript_opened"))
    entry = {"by": user.pk, "from": "127.0.0.1", "reason": "Reclamación 2026-118"}
    assert [{name: value for name, value in event.data.items() if name != "rows"} for event in looked] == (
        [entry] if may_read else []
    )
    if may_read:
        assert "interrupted at “segunda planta, y”, as reported by the browser" in opened.content.decode()
        assert "no-store" in opened.headers["Cache-Control"]
        again = client.get(page, headers=ENGLISH).content.decode()
        assert SPEECH not in again
        assert "Reclamación 2026-118" in again


@pytest.mark.parametrize("reason", ["", "   ", "x"])
def test_without_a_reason_speech_is_not_shown_and_nothing_is_recorded(session: StreamingSession, reason: str) -> None:
    client, _ = signed_in(roles.AUDITOR)
    answer = client.post(page_of(session), {"reason": reason}, headers=ENGLISH).content.decode()
    assert "Enter a short reason" in answer
    assert SPEECH not in answer
    assert not session.events.filter(kind="transcript_opened").exists()


def test_the_page_shows_end_reason_failing_stage_remedy_and_clock_offset(session: StreamingSession) -> None:
    """Requirements 55, 64 and 65."""
    client, _ = signed_in(roles.OPERATOR)
    shown = client.get(page_of(session), headers=ENGLISH).content.decode()
    for words in (
        "The video did not arrive",
        "no video arrived",
        "The problem is in the provider’s session",
        "Not reached: Track received by the browser",
        "(offset 38 ms)",
    ):
        assert words in shown
    assert " style=" not in shown


def test_the_page_shows_costs_and_the_export_to_those_who_may_see_them(session: StreamingSession) -> None:
    session.account.credits_per_minute = 1
    session.account.save()
    provider_record.store(session, SessionRecord(duration=timedelta(seconds=61), credits=Decimal("2.03")))
    ledger.book_all()
    operator, auditor = signed_in(roles.OPERATOR)[0], signed_in(roles.AUDITOR)[0]
    shown = auditor.get(page_of(session), headers=ENGLISH).content.decode()
    assert "0.00 credits" in shown
    assert "provider: 2.03" in shown
    assert auditor.get(urljoin(page_of(session), "../export/"), follow=True).status_code == 200
    assert 'href="../export/"' in shown
    assert 'href="../export/"' not in operator.get(page_of(session), headers=ENGLISH).content.decode()


@pytest.mark.parametrize(
    ("since", "shown"),
    [(timedelta(days=3, hours=2), "3 d"), (timedelta(days=1), "1 d"), (timedelta(milliseconds=-420), "-0.420")],
)
def test_events_of_later_days_and_before_the_request_are_shown_with_their_distance(
    session: StreamingSession, since: timedelta, shown: str
) -> None:
    events.record(session.pk, Entry("room_connected", {}, events.Source.BROWSER, session.created_at + since))
    client, _ = signed_in(roles.AUDITOR)
    assert f">{shown}</td>" in client.get(page_of(session), headers=ENGLISH).content.decode()


def test_an_erased_line_is_marked(session: StreamingSession) -> None:
    key = session.speech_key
    key.wrapped, key.erased_at = b"", session.created_at
    key.save()
    client, _ = signed_in(roles.AUDITOR)
    shown = client.post(page_of(session), {"reason": "A check"}, headers=ENGLISH).content.decode()
    assert shown.count(">erased<") == 3


def test_the_admin_page_never_shows_speech(session: StreamingSession) -> None:
    client, _ = signed_in(roles.ADMINISTRATOR)
    shown = client.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/").content.decode()
    assert SPEECH not in shown
    assert page_of(session) in shown


def test_a_long_session_needs_no_more_queries(session: StreamingSession, django_assert_max_num_queries: Any) -> None:
    events.record(session.pk, *(Entry("frozen", {}, events.Source.BROWSER) for _ in range(300)))
    client, _ = signed_in(roles.AUDITOR)
    with django_assert_max_num_queries(34):
        assert client.get(page_of(session)).status_code == 200


def test_an_answer_is_shown_with_what_it_rests_on_and_its_words_only_for_a_reason() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    asked = session.tasks.create(kind="talk", text="¿Cuándo?", ref="r1", status=SessionTask.Status.SENT)
    spoken = session.tasks.create(kind="repeat", text="A las nueve.", ref="answer:1:1", status=SessionTask.Status.SENT)
    unsaid = session.tasks.create(kind="repeat", text="Hasta las seis.", ref="answer:1:2", status="sent")
    sentences = [{"task": spoken.pk, "citations": [1]}, {"task": unsaid.pk, "citations": []}, "damaged"]
    document = Document.objects.create(library=Library.objects.create(name="Museum"), title="Visits")
    version = DocumentVersion.objects.create(document=document, number=1, fingerprint="1", state="ready")
    cited = Chunk.objects.create(version=version, ordinal=1, text="At nine.", fingerprint="f" * 64)
    Answer.objects.create(
        session=session, task=asked, state="interrupted", reason="new_text", model="gpt-own", service="Ours",
        prompt_version="abc123", passages=[{"chunk": cited.pk, "fingerprint": "f" * 64}, 71], sentences=sentences,
        unspoken=[unsaid.pk], prompt_tokens=300, completion_tokens=21, cost=Decimal("0.000123"),
        ended_at=session.created_at,
    )  # fmt: skip
    client, _ = signed_in(roles.AUDITOR)
    shown = client.get(page_of(session), headers=ENGLISH).content.decode()
    for text in (
        "gpt-own",
        "Ours",
        "abc123",
        "321",
        "0.000123",
        "[1] <bdi>Visits</bdi>",
        "ffffffffffff<",
        "new_text",
        "not spoken",
    ):
        assert text in shown
    assert "A las nueve." not in shown
    opened = client.post(page_of(session), {"reason": "A complaint about this answer"}, headers=ENGLISH)
    assert 'A las nueve. <span class="mono">[1]</span>' in opened.content.decode()
