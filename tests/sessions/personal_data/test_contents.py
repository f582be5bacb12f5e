"""Downloads of personal data, by users and by staff on their behalf."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from asgiref.sync import async_to_sync
from axes.models import AccessLog
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings
from django.utils import translation

from heygen_portal.models import SignIn
from heygen_portal.people.access import roles
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.actions import queries
from sessions.brain.tools import tool_events
from sessions.brain.tools.calls import Called
from sessions.lifecycle import events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Answer, EndReason, Erasure, LegalHold, Quota, SessionTask, StreamingSession, Utterance
from sessions.personal_data import contents as personal_data
from sessions.personal_data import html_page as personal_data_page
from sessions.retention import erasure
from tests.people.signed_in import age_login
from tests.sessions.retention.test_erasure import SECRET, ended_session, texts
from tests.support.factories import WHY, EndUserFactory, StreamingSessionFactory, UserFactory
from tests.support.messages import CONTACT, left_message

pytestmark = pytest.mark.django_db(transaction=True)  # responses are streamed from other threads

JSON, PAGE = "/data/json", "/data/html"
STAFF_ADDRESS = "203.0.113.99"
TOLD = (EventKind.MESSAGE_LEFT, EventKind.TOOL_CALLED)

# Tables that name a person and are content as part of the account.
READ_WITH_ACCOUNT = {
    "auth.User_groups",
    "auth.User_user_permissions",
    "heygen_portal.Membership",
    "heygen_portal.PreferredLanguage",
    "heygen_portal.PreferredTimeZone",
}
READ_BY_SECTIONS = {
    "account.EmailAddress",
    "admin.LogEntry",
    "avatar_sessions.Quota",
    "avatar_sessions.Consent",
    "avatar_sessions.Conversation",
    "avatar_sessions.Erasure",
    "avatar_sessions.Export",
    "avatar_sessions.LegalHold",
    "avatar_sessions.QueueEntry",
    "avatar_sessions.SessionTask",
    "avatar_sessions.StaffMessage",
    "avatar_sessions.StreamingSession",
    "avatars.CatalogueSync",
    "avatars.Document",
    "avatars.DocumentVersion",
    "avatars.HttpToolVersion",
    "avatars.KnowledgeVersion",
    "avatars.PersonaTestRun",
    "avatars.PersonaVersion",
    "avatars.Video",
    "avatars.WrittenAnswer",
    "heygen_portal.ApiKey",
    "heygen_portal.AuditEntry",
    "heygen_portal.IdempotentRequest",
    "heygen_portal.Invitation",
    "heygen_portal.SignIn",
    "mfa.Authenticator",
    "socialaccount.SocialAccount",
}
READ_WITH_SESSIONS = {
    "avatar_sessions.Answer",
    "avatar_sessions.Consent",
    "avatar_sessions.Erasure",
    "avatar_sessions.Export",
    "avatar_sessions.LegalHold",
    "avatar_sessions.ProviderErasure",
    "avatar_sessions.SessionEvent",
    "avatar_sessions.SessionTask",
    "avatar_sessions.SessionTotal",
    "avatar_sessions.StreamingSession",
    "avatar_sessions.Utterance",
}
LOGS = {"axes.AccessLog", "axes.AccessAttempt", "axes.AccessFailureLog"}
NOT_PERSONAL = {
    "avatar_sessions.BrainAccess",
    "avatar_sessions.MonitoredSession",
    "avatar_sessions.SessionHead",
    "avatar_sessions.SessionSeal",
    "avatar_sessions.SpeechKey",
    "avatar_sessions.SpokenWord",
    "avatar_sessions.Tab",
}


@pytest.fixture
def person() -> User:
    return EndUserFactory.create(username="ines", email="ines@example.org")


@pytest.fixture
def visitor(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def body(response: Any) -> str:
    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(read)().decode()


def document(client: Client) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(body(client.post(JSON)))
    return content


def test_every_table_that_names_a_person_is_read() -> None:
    """Add new tables to `contents.SECTIONS`, and then here."""
    naming = {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model is User
    }
    assert naming == READ_BY_SECTIONS | READ_WITH_ACCOUNT


def test_every_table_below_a_conversation_is_read() -> None:
    """Add new tables to `contents.SECTIONS` and here, or to NOT_PERSONAL."""
    below = {
        model._meta.label
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model in (StreamingSession, Utterance, SessionTask, Erasure, LegalHold)
    }
    assert below == READ_WITH_SESSIONS | NOT_PERSONAL


def test_the_file_contains_the_persons_data_and_nobody_elses(visitor: Client, person: User) -> None:
    operator = UserFactory.create(username="the-operator")
    session = ended_session(person, room="portal-x")
    other = ended_session(EndUserFactory.create(username="somebody-else"))
    session.tasks.create(kind="talk", status="sent", text="Hola", sent_by=person)
    events.record(session.pk, Entry("observed", {"by": operator.pk, "from": STAFF_ADDRESS}))
    erasure.hold(session.pk, "Secret reason 12", operator.pk, STAFF_ADDRESS)
    Quota.objects.create(user=person, minutes_per_month=90)
    Authenticator.objects.create(user=person, type="totp", data={"secret": "JBSWY3DP"})
    log = AccessLog.objects.create(username="INES", ip_address="192.0.2.7", user_agent="A browser", path_info="/")
    SignIn.objects.create(user=person, succeeded=log)
    audit_log.record_by(operator.pk, STAFF_ADDRESS, AuditEntry.Kind.ACCESS_CHANGED, person, roles=[[], ["End users"]])
    User.objects.filter(pk=person.pk).update(password="pbkdf2_sha256$x")
    visitor.force_login(User.objects.get(pk=person.pk))
    content = document(visitor)
    whole = json.dumps(content)
    (mine,) = content["sessions"]
    assert mine["id"] == str(session.pk)
    assert [line["text"] for line in mine["lines"]] == [SECRET]
    assert [task["text"] for task in mine["tasks"]] == ["Hola"]
    assert mine["tasks"][0]["sent_by"] == "you"
    assert [event["data"] for event in mine["events"] if event["kind"] == "observed"] == [{"by": "staff"}]
    assert mine["legal_holds"][0]["by"] == "staff"
    assert content["account"][0]["roles"] == ["End users"]
    assert content["use"][0]["quota_s"] == 5400
    assert "192.0.2.7" in [row["ip_address"] for row in content["sign_ins"]]
    assert content["second_factors"][0]["type"] == "totp"
    assert content["audit_entries"][0]["kind"] == "access_changed"
    assert content["login_sessions"]
    for kept_back in (str(other.pk), STAFF_ADDRESS, "the-operator", "Secret reason", "JBSWY3DP", "pbkdf2"):
        assert kept_back not in whole


def test_what_tools_were_told_and_messages_to_the_team_are_readable_until_erased(visitor: Client, person: User) -> None:
    session = StreamingSessionFactory.create(user=person)
    left_message(session, "Call me about room 12.")
    tool_events.record(Answer(pk=7, session=session), Called("book_room", '{"room": 12}', "Booked until noon."))
    sealed = [event.data["sealed"] for event in session.events.filter(kind__in=TOLD)]
    content = document(visitor)
    whole = json.dumps(content)
    message, call = (event["data"] for event in content["sessions"][0]["events"] if event["kind"] in TOLD)
    assert (message["contact"], message["text"]) == (CONTACT, "Call me about room 12.")
    assert (call["tool"], call["arguments"], call["result"]) == ("book_room", '{"room": 12}', "Booked until noon.")
    assert not any(text in whole for text in sealed)
    page = html.unescape(body(visitor.post(PAGE, headers={"accept-language": "en"})))
    assert all(text in page for text in ("Call me about room 12.", "Booked until noon.", CONTACT))
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    visitor.post("/conversations/erase/")
    assert all(text not in json.dumps(document(visitor)) for text in ("room 12", "Booked until noon.", CONTACT))


def test_the_page_is_translated_and_escapes_what_was_said(visitor: Client, person: User) -> None:
    session = StreamingSessionFactory.create(user=person)
    session.utterances.create(who="user", by="text", text="<script>alert(1)</script>", source="portal")
    page = body(visitor.post(PAGE, headers={"accept-language": "es"}))
    assert '<html lang="es">' in page
    assert "Datos personales de ines" in page
    assert "<script>" not in page
    assert "<script>alert(1)</script>" in html.unescape(page)


def test_a_link_to_the_file_leads_to_the_overview(visitor: Client) -> None:
    assert visitor.get(PAGE)["Location"] == "/data/"
    assert not AuditEntry.objects.exists()


def test_the_page_shows_labels_in_place_of_codes(visitor: Client, person: User) -> None:
    began = datetime(2026, 1, 20, 23, 30, 5, tzinfo=UTC)
    session = StreamingSessionFactory.create(
        user=person, status="ended", end_reason="user_stopped", created_at=began, ended_at=began + timedelta(minutes=4)
    )
    session.utterances.create(who="user", by="text", text="Hola", source="portal", at=began)
    session.utterances.create(who="avatar", by="voice", text="Buenas", source="browser", at=began)
    events.record(session.pk, Entry("participant_joined", {"identity": "ines", "by": person.pk}))
    page = html.unescape(body(visitor.post(PAGE, headers={"accept-language": "es"})))
    with override_settings(TIME_ZONE="Europe/Madrid"):
        in_madrid = html.unescape(body(visitor.post(PAGE, headers={"accept-language": "es"})))
    assert "20 de enero de 2026, 23:30:05" in page
    assert "21 de enero de 2026, 0:30:05" in in_madrid or "21 de enero de 2026, 00:30:05" in in_madrid
    assert "Terminaste la conversación" in page
    assert "4 min 00 s" in page
    assert re.search(r'<b><bdi>Tú</bdi></b> .*<p dir="auto">Hola</p>', page)
    assert "Comunicada solo por el navegador" in page
    assert re.search(r"<details><summary>Eventos</summary><ol class=\"events\"><li>.*Entró un participante", page)
    for raw in ("user_stopped", "participant_joined", "2026-01-20T", "True", "is_interrupted"):
        assert raw not in page


def test_the_page_names_factors_changes_quotas_and_lists_in_words(visitor: Client, person: User) -> None:
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "JBSWY3DP"})
    change = json.dumps([{"changed": {"fields": ["Name"]}}])
    LogEntry.objects.create(user=person, action_flag=CHANGE, object_repr="Recepción", change_message=change)
    session = StreamingSessionFactory.create(user=person, status="ended")
    events.record(session.pk, Entry("connection_state", {"states": ["new", "checking"], "by": person.pk}))
    page = html.unescape(body(visitor.post(PAGE, headers={"accept-language": "en"})))
    assert "authenticator app" in page
    assert "Changed Name." in page
    assert "new, checking" in page
    assert "JBSWY3DP" not in page


def test_the_page_says_where_a_list_could_not_be_read(
    visitor: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document must not look complete when it is not."""
    session = StreamingSessionFactory.create(user=person)
    session.utterances.create(who="user", by="text", text="Hola", source="portal")
    events.record(session.pk, Entry("connection_state", {"state": "new"}))
    sections = {section.name for section in personal_data.SECTIONS}
    assert {"sessions", "account"} <= sections

    def fail(*asked: object, **more: object) -> Iterator[Any]:
        raise ValueError("a changed row")
        yield

    words = "The rest of this list could not be read."
    page = {"accept-language": "en"}
    assert words not in body(visitor.post(PAGE, headers=page))
    with monkeypatch.context() as broken:
        broken.setattr(queries, "transcript_batches", fail)
        assert words in body(visitor.post(PAGE, headers=page))
    for section in ("sessions", "account"):
        changed = [replace(each, rows=fail) if each.name == section else each for each in personal_data.SECTIONS]
        with monkeypatch.context() as broken:
            broken.setattr(personal_data_page, "SECTIONS", changed)
            assert words in body(visitor.post(PAGE, headers=page))


def test_a_file_of_an_unknown_kind_is_not_found(visitor: Client) -> None:
    assert visitor.post("/data/xml").status_code == 404


@pytest.mark.parametrize("name", sorted(READ_BY_SECTIONS | READ_WITH_SESSIONS | LOGS | {"auth.User"}))
def test_every_column_has_a_translated_label(name: str) -> None:
    """New columns need a label.

    Ours need a translated `verbose_name`, those of libraries an entry in `html_page.LABELS`.
    """
    model = apps.get_model(name)
    shown = [field.name for field in model._meta.concrete_fields if field.name not in personal_data.HIDDEN_COLUMNS]
    with translation.override("es"):
        spanish = {column: personal_data_page.label(model, column) for column in shown}
    with translation.override("en"):
        same = {column for column in shown if personal_data_page.label(model, column) == spanish[column]}
    assert same <= {"id", "object_id", "avatar", "uid", "persona", "written", "size", "channel"}  # the last is left out


def test_a_long_history_is_read_completely_in_pages(
    visitor: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "ROWS_PER_PAGE", 2)
    began = [ended_session(person) for _ in range(5)]
    StreamingSession.objects.update(created_at=began[0].created_at)  # equal times at the edge of a page
    late = StreamingSessionFactory.create(user=person, created_at=began[0].created_at + timedelta(hours=1))
    for number in range(5):
        late.utterances.create(who="user", by="text", text=str(number), source="portal")
    content = document(visitor)["sessions"]
    assert {row["id"] for row in content} == {str(session.pk) for session in (*began, late)}
    assert len(content) == 6
    assert [line["text"] for line in content[-1]["lines"]] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("write", [personal_data.as_json, personal_data_page.as_page], ids=["JSON", "page"])
def test_it_is_written_in_small_chunks(
    person: User, monkeypatch: pytest.MonkeyPatch, write: Callable[[User], Iterator[bytes]]
) -> None:
    monkeypatch.setattr(personal_data, "BYTES_PER_CHUNK", 2_000)
    session = StreamingSessionFactory.create(user=person)
    for number in range(60):
        events.record(session.pk, Entry("ladder", {"step": "sound", "n": number}))
    pieces = list(write(person))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 4_000


@pytest.mark.parametrize("left_with", ["nothing", "another role"])
def test_a_person_without_the_role_still_reads_downloads_and_erases(
    visitor: Client, person: User, left_with: str
) -> None:
    session = ended_session(person, provider_session_id="p1")
    person.groups.set(Group.objects.filter(name=roles.AUDITOR.group) if left_with == "another role" else [])
    assert SECRET in visitor.get(f"/conversations/{session.pk}/").content.decode()
    assert SECRET in visitor.get(f"/conversations/{session.pk}/transcript.txt").content.decode()
    assert document(visitor)["sessions"][0]["lines"][0]["text"] == SECRET
    assert "/conversations/erase/" in visitor.get("/data/").content.decode()
    visitor.post("/conversations/erase/")
    assert texts(session) == [""]
    assert document(visitor)["sessions"][0]["lines"][0]["text"] == ""


def test_a_legal_hold_is_shown_and_respected(visitor: Client, person: User) -> None:
    held, free = ended_session(person), ended_session(person)
    erasure.hold(held.pk, "Expediente 12", UserFactory.create().pk)
    words = "1 conversation is under a legal hold"
    english = {"accept-language": "en"}
    assert words in visitor.get("/data/", headers=english).content.decode()
    assert words in visitor.post("/conversations/erase/", headers=english).content.decode()
    assert (texts(held), texts(free)) == ([SECRET], [""])


def test_a_persons_download_is_recorded_and_needs_reauthentication(visitor: Client, person: User) -> None:
    age_login(visitor)
    person.set_password("wj3-longer-than-most")
    person.save()
    visitor.force_login(person)
    age_login(visitor)
    assert visitor.post(JSON)["Location"] == "/accounts/reauthenticate/?next=%2Fdata%2F"
    assert not AuditEntry.objects.exists()
    answer = visitor.post("/accounts/reauthenticate/", {"password": "wj3-longer-than-most", "next": "/data/"})
    assert answer["Location"] == "/data/"
    document(visitor)
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.by, entry.about) == ("personal_data", person, "ines")


def test_erasure_needs_reauthentication(visitor: Client, person: User) -> None:
    session = ended_session(person)
    person.set_password("wj3-longer-than-most")
    person.save()
    visitor.force_login(person)
    age_login(visitor)
    asked = visitor.post("/conversations/erase/")
    assert texts(session) == [SECRET]
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    onward = {"password": "wj3-longer-than-most", "next": "/conversations/erase/"}
    assert visitor.post("/accounts/reauthenticate/", onward).status_code == 200
    assert texts(session) == [""]


# Staff, on a person's behalf


def address(person: User) -> str:
    return f"/admin/auth/user/{person.pk}/personal-data/"


def test_staff_download_for_a_recorded_reason_even_of_inactive_people(admin_client: Client, person: User) -> None:
    ended_session(person)
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert admin_client.get(address(person)).status_code == 200
    assert admin_client.post(address(person), {"extension": "json", "reason": " "}).status_code == 200
    assert not AuditEntry.objects.exists()
    answer = admin_client.post(address(person), {"extension": "json", "reason": "Her letter of 3 March"})
    assert json.loads(body(answer))["sessions"][0]["lines"][0]["text"] == SECRET
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.about, entry.by) == ("personal_data", "ines", User.objects.get(username="admin"))
    assert entry.data == {"format": "json", "person": person.pk, "reason": "Her letter of 3 March"}
    assert audit_log.check() == (1, None)


def test_a_download_by_staff_needs_reauthentication(admin_client: Client, person: User) -> None:
    age_login(admin_client)
    posted = {"extension": "json", "reason": "Her letter of 3 March"}
    assert admin_client.post(address(person), posted)["Location"].startswith("/accounts/reauthenticate/")
    assert not AuditEntry.objects.exists()
