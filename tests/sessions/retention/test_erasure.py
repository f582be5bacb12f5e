"""Erasure by users, by administrators and by age, and legal holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from avatars.documents import unanswered
from avatars.models import Library, UnansweredQuestion
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.admin.record import ErasureForm
from sessions.integrity import verification
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, Erasure, LegalHold, SpokenWord, StreamingSession, Utterance
from sessions.retention import erasure
from sessions.speech import search as speech_search
from tests.sessions.tampering import execute_as_owner
from tests.support.factories import WHY, EndUserFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db

SECRET = "Mi número es el 600 123 456"


@pytest.fixture
def person() -> User:
    return EndUserFactory.create()


def ended_session(user: User, **fields: Any) -> StreamingSession:
    """Return an ended session with one line whose fingerprint is in the record."""
    session = StreamingSessionFactory.create(user=user, **fields)
    line = session.utterances.create(who="avatar", by="voice", text=SECRET, source="browser")
    events.record(session.pk, Entry("avatar_end_message", {"utterance": line.pk, "speech": line.fingerprint}))
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    return session


def texts(session: StreamingSession) -> list[str]:
    return [line.text for line in Utterance.objects.filter(session=session)]


def test_erased_speech_is_neither_readable_nor_searchable_and_the_record_verifies(person: User) -> None:
    """Requirements 6, 49, 55 and 64: the timeline survives the erasure of speech."""
    session, other = ended_session(person), ended_session(EndUserFactory.create())
    receipt = erasure.erase(session.pk, Erasure.Cause.STAFF, person.pk)
    assert receipt
    assert (receipt.lines, receipt.at_provider) == (1, "nothing_kept")
    assert (texts(session), texts(other)) == ([""], [SECRET])
    assert list(speech_search.matching(Utterance.objects.all(), "600").values_list("session", flat=True)) == [other.pk]
    assert not SpokenWord.objects.filter(utterance__session=session).exists()
    assert session.events.latest("number").kind == "speech_erased"
    assert list(verification.faults()) == []
    assert erasure.erase(session.pk, Erasure.Cause.STAFF, person.pk) is None


def test_what_found_no_answer_is_erased_with_the_speech_and_stays_counted(person: User) -> None:
    session, other = ended_session(person), ended_session(EndUserFactory.create())
    library = Library.objects.create(name="Handbook", language="es")

    def ask(question: str, asked_in: StreamingSession) -> None:
        unanswered.record(library.pk, question, "es", asked_in.pk)

    ask("¿Quién aprueba mi portátil?", session)
    ask("¿Quién aprueba el portátil?", other)
    ask("¿Cuándo es la fiesta?", other)
    erasure.erase_own(person.pk)
    first, second = UnansweredQuestion.objects.order_by("pk")
    assert (first.wording, first.times, first.asked_in) == (None, 2, None)
    assert second.wording == "¿Cuándo es la fiesta?"
    ask("¿Quién aprueba los portátiles?", other)
    first.refresh_from_db()
    assert (first.wording, first.times) == ("¿Quién aprueba los portátiles?", 3)
    assert erasure.erase(other.pk, Erasure.Cause.RETENTION)
    assert {question.wording for question in UnansweredQuestion.objects.all()} == {None}


def test_held_speech_stays_until_the_hold_is_released(person: User) -> None:
    session = ended_session(person, persona__speech_days=1)
    held = erasure.hold(session.pk, "Expediente 12", person.pk)
    late = timezone.now() + timedelta(days=40)
    assert erasure.erase_own(person.pk) == []
    assert erasure.erase_expired(late) == 0
    assert texts(session) == [SECRET]
    erasure.release(held, person.pk)
    erasure.release(held, person.pk)
    assert erasure.erase_expired(late) == 1
    assert list(session.events.order_by("number").values_list("kind", flat=True))[-3:] == [
        "held",
        "hold_released",
        "speech_erased",
    ]


def test_speech_whose_hold_was_deleted_in_the_database_stays(person: User) -> None:
    session = ended_session(person)
    erasure.hold(session.pk, "Expediente 12", person.pk)
    execute_as_owner(f"DELETE FROM {LegalHold._meta.db_table}")
    assert erasure.erase(session.pk, Erasure.Cause.STAFF, person.pk) is None
    assert texts(session) == [SECRET]


@pytest.mark.parametrize(("of_persona", "of_account", "days"), [(3, None, 3), (None, 5, 5), (9, 5, 5), (3, 5, 3)])
def test_speech_is_erased_after_the_shorter_of_two_limits(
    person: User, of_persona: int | None, of_account: int | None, days: int
) -> None:
    session = ended_session(person, persona__speech_days=of_persona, persona__avatar__account__speech_days=of_account)
    assert session.ended_at
    over = session.ended_at + timedelta(days=days)
    assert erasure.erase_expired(over - timedelta(seconds=1)) == 0
    assert erasure.erase_expired(over) == 1
    assert Erasure.objects.get().cause == Erasure.Cause.RETENTION


def test_without_a_limit_nothing_is_erased_and_open_sessions_are_skipped(person: User) -> None:
    ended_session(person)
    running = StreamingSessionFactory.create(persona__speech_days=1)
    running.utterances.create(who="user", by="text", text=SECRET, source="portal")
    assert erasure.erase_expired(timezone.now() + timedelta(days=4000)) == 0
    assert erasure.erase(running.pk, Erasure.Cause.STAFF) is None


def test_a_person_erases_their_speech_after_confirming_and_gets_a_receipt(client: Client, person: User) -> None:
    session, theirs = ended_session(person), ended_session(EndUserFactory.create())
    client.force_login(person)
    asked = client.get("/conversations/erase/", headers={"accept-language": "es"}).content.decode()
    assert "Borrar para siempre" in asked
    assert texts(session) == [SECRET]
    answer = client.post("/conversations/erase/", headers={"accept-language": "es"}).content.decode()
    receipt = Erasure.objects.get()
    assert f"{receipt.pk}-{receipt.hash[:16]}" in answer
    assert "el proveedor no admite la eliminación" in answer
    assert (texts(session), texts(theirs)) == ([""], [SECRET])
    assert client.get(f"/conversations/{session.pk}/").status_code == 200
    client.logout()
    assert client.post("/conversations/erase/").status_code == 302


def test_an_administrator_holds_and_erases_in_the_admin(admin_client: Client, person: User) -> None:
    kept, gone = ended_session(person), ended_session(EndUserFactory.create())
    admin_client.post("/admin/avatar_sessions/legalhold/add/", {"session": kept.pk, "reason": "Expediente 12"})
    assert LegalHold.objects.get().by.username == "admin"
    for session in (kept, gone):
        admin_client.post("/admin/avatar_sessions/erasure/add/", {"session": session.pk})
    assert (texts(kept), texts(gone)) == ([SECRET], [""])
    held = LegalHold.objects.get()
    admin_client.post("/admin/avatar_sessions/legalhold/", {"action": "release", "_selected_action": [held.pk]})
    held.refresh_from_db()
    assert held.released_at
    assert admin_client.get(f"/admin/avatar_sessions/erasure/{Erasure.objects.get().pk}/change/").status_code == 200


def test_a_hold_set_while_the_form_is_sent_keeps_the_text(
    admin_client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, check = ended_session(person), ErasureForm.clean_session

    def hold_after(form: ErasureForm) -> StreamingSession:
        checked = check(form)
        erasure.hold(session.pk, "Expediente 12", person.pk)
        return checked

    monkeypatch.setattr(ErasureForm, "clean_session", hold_after)
    answer = admin_client.post("/admin/avatar_sessions/erasure/add/", {"session": session.pk})
    assert answer.status_code == 403
    assert texts(session) == [SECRET]
    assert not Erasure.objects.exists()


@pytest.mark.parametrize("is_active", [False, True])
def test_text_of_an_account_closed_at_an_unreadable_time_is_erased_unless_it_is_active(
    person: User, *, is_active: bool
) -> None:
    session = ended_session(person)
    audit_log.record_by(None, None, AuditEntry.Kind.ACCOUNT_CLOSED, "a user", **{audit_log.USER_KEY: person.pk})
    execute_as_owner("UPDATE heygen_portal_auditentry SET at = 'yesterday'")
    User.objects.filter(pk=person.pk).update(is_active=is_active)
    assert erasure.erase_of_closed_accounts() == (0 if is_active else 1)
    assert texts(session) == ([SECRET] if is_active else [""])


HEAD = "UPDATE avatar_sessions_sessionhead SET number = 9223372036854775807 WHERE session_id = %s"
SESSION = "UPDATE avatar_sessions_streamingsession SET {} WHERE id = %s"


def test_a_damaged_session_does_not_keep_a_persons_other_speech(client: Client, person: User) -> None:
    damaged, *others = (ended_session(person) for _ in range(3))
    execute_as_owner(HEAD, damaged.pk.hex)
    client.force_login(person)
    page = client.post("/conversations/erase/", headers={"accept-language": "en"}).content.decode()
    assert "The text of 2 conversations has been erased." in page
    assert "The text of 1 conversation could not be erased, because its record is damaged." in page
    assert {receipt.session for receipt in Erasure.objects.all()} == set(others)
    assert texts(damaged) == [SECRET]


@pytest.mark.parametrize("change", ["ends_at = 'x'", "live_at = 'x'"])
def test_a_session_whose_row_cannot_be_read_is_erased(person: User, change: str) -> None:
    session = ended_session(person)
    execute_as_owner(SESSION.format(change), session.pk.hex)
    assert len(erasure.erase_own(person.pk)) == 1
    assert texts(session) == [""]
