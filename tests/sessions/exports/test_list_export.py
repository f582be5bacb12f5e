"""Exports contain the listed rows, are recorded, and need a reason for texts."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from heygen_portal.people.access import roles
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions import tasks
from sessions.exports import filters, list_export
from sessions.exports.list_export import Format, State, What
from sessions.lifecycle import end_evidence, events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, Erasure, Export, SessionEvent, Status, StreamingSession
from sessions.retention import erasure
from tests.support.factories import StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)  # responses are streamed from other threads

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "session-record.schema.json"
SESSIONS = "/admin/avatar_sessions/streamingsession/"
NEW = "/admin/avatar_sessions/export/new/"
FORMULA = "=cmd|' /C calc'!A0"
WHY = "complaint 4711"


@pytest.fixture
def auditor(client: Client) -> User:
    roles.sync()
    user = User.objects.create_user("auditor", is_staff=True)
    user.groups.add(Group.objects.get(name=roles.AUDITOR.group))
    client.force_login(user)
    return user


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Mock:
    delay = Mock()
    monkeypatch.setattr(tasks.write_export, "delay", delay)
    return delay


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream at most two rows, and read pages of two."""
    monkeypatch.setattr(list_export, "MAX_STREAMED_ROWS", 2)
    monkeypatch.setattr(list_export, "PAGE_ROWS", 2)


def ended_session(**fields: Any) -> StreamingSession:
    """Return an ended session with three events, a line and a task."""
    session = StreamingSessionFactory.create(status=Status.ENDED, **fields)
    steps = ("track_published", "track_subscribed", "connection_state")
    events.record(session.pk, *(Entry(step, {"n": "-1"}, events.Source.BROWSER) for step in steps))
    session.utterances.create(who="user", by="text", text=FORMULA, source="portal")
    session.tasks.create(kind="talk", text=FORMULA, sent_by=session.user)
    return session


def body(response: Any) -> str:
    async def gathered() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    assert response.is_async
    return async_to_sync(gathered)().decode("utf-8-sig")


def test_a_session_export_matches_the_published_schema(client: Client, auditor: User) -> None:
    """Requirements 6, 49, 55, 64 and 69: an export contains all steps and times."""
    session = ended_session()
    record = json.loads(body(client.post(f"{SESSIONS}{session.pk}/export/", {"format": "json", "reason": WHY})))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(record)
    assert [event["kind"] for event in record["events"]] == [
        "track_published",
        "track_subscribed",
        "connection_state",
        "exported",
    ]
    assert record["lines"][0]["text"] == record["tasks"][0]["text"] == FORMULA


def test_the_schema_names_every_field_of_a_record(client: Client, auditor: User) -> None:
    session = ended_session()
    record = json.loads(body(client.post(f"{SESSIONS}{session.pk}/export/", {"format": "json"})))
    named = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    assert set(record["session"]) == set(named["session"]["properties"])
    assert set(named["session"]["properties"]["end_reason"]["enum"]) == {"", *EndReason.values}


@pytest.mark.parametrize("form", ["json", "html"])
def test_texts_are_not_exported_without_a_reason(client: Client, auditor: User, form: str) -> None:
    session = ended_session()
    answer = client.post(f"{SESSIONS}{session.pk}/export/", {"format": form})
    assert "calc" not in (body(answer) if answer.streaming else answer.content.decode())


def test_captions_and_transcripts_need_a_reason(client: Client, auditor: User) -> None:
    session = ended_session()
    assert not client.post(f"{SESSIONS}{session.pk}/export/", {"format": "vtt"}).streaming
    assert not client.post(NEW, {"what": "lines", "format": "csv"}).streaming
    assert not Export.objects.exists()
    assert "=cmd" in body(client.post(f"{SESSIONS}{session.pk}/export/", {"format": "vtt", "reason": WHY}))


def test_the_print_page_contains_texts_if_a_reason_is_given(client: Client, auditor: User) -> None:
    page = client.post(f"{SESSIONS}{ended_session().pk}/export/", {"format": "html", "reason": WHY})
    assert "calc" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]


def test_an_empty_list_of_checks_says_when_they_run(client: Client, auditor: User) -> None:
    empty = client.get("/admin/avatar_sessions/historycheck/", headers={"accept-language": "es"}).content.decode()
    assert "El registro se comprueba cada noche" in empty
    assert "Crea un elemento" not in empty


def test_the_print_page_describes_events_in_words(client: Client, auditor: User) -> None:
    session = StreamingSessionFactory.create()
    transitions.begin_stop(session, EndReason.USER_STOPPED, end_evidence.person(session.owner_id))
    page = client.post(
        f"{SESSIONS}{session.pk}/export/", {"format": "html", "reason": WHY}, headers={"accept-language": "en"}
    )
    text = html.unescape(re.sub(r"<[^>]+>", "", page.content.decode()))
    assert "Stop requested: The user ended the conversation" in text
    assert "After: stopping" in text
    assert "End reason: The user ended the conversation" in text
    assert "You ended" not in text
    for raw in ("{'", "rows:", "user_stopped"):
        assert raw not in text


def test_the_sessions_record_states_who_exported_it_and_why(client: Client, auditor: User) -> None:
    """Complaint 17."""
    session = ended_session()
    answer = client.post(f"{SESSIONS}{session.pk}/export/", {"format": "json", "reason": WHY}, REMOTE_ADDR="192.0.2.18")
    body(answer)
    event, sent = session.events.filter(kind__startswith="export").order_by("number")
    assert (sent.kind, sent.data["by"], sent.data["state"]) == ("export_state", auditor.pk, "sent")
    assert (event.kind, event.data["by"], event.data["from"], event.data["reason"]) == (
        "exported",
        auditor.pk,
        "192.0.2.18",
        WHY,
    )
    assert Export.objects.get().rows_done == event.number


def test_the_audit_log_states_who_exported_a_list_from_where_and_why(client: Client, auditor: User) -> None:
    ended_session()
    asked = {"what": "lines", "format": "csv", "reason": WHY}
    body(client.post(f"{NEW}?status__exact=ended", asked, REMOTE_ADDR="192.0.2.18"))
    entry, sent = AuditEntry.objects.order_by("number")
    assert (entry.kind, entry.by, entry.address) == ("exported", auditor, "192.0.2.18")
    assert (sent.kind, sent.by, sent.data["state"]) == ("export_state", auditor, "sent")
    assert entry.about == sent.about == str(Export.objects.get().pk)
    assert entry.data.items() >= (asked | {"filters": {"status__exact": "ended"}}).items()
    assert audit_log.check() == (2, None)
    listed = client.get("/admin/heygen_portal/auditentry/", headers={"accept-language": "es"}).content.decode()
    assert WHY in listed
    assert "status__exact" not in listed
    assert "filtros: estado: terminada" in listed
    assert "estado: sent" not in listed


@pytest.mark.parametrize("what", ["sessions", "events", "lines"])
def test_a_filtered_list_is_exported_as_csv_and_as_json_lines(client: Client, auditor: User, what: str) -> None:
    wanted, _other = ended_session(), ended_session()
    address = f"{NEW}?persona__id__exact={wanted.persona_id}&o=1"
    asked = {"what": what, "reason": WHY}
    table = list(csv.DictReader(io.StringIO(body(client.post(address, {**asked, "format": "csv"})), newline="")))
    lines = body(client.post(address, {**asked, "format": "jsonl"})).splitlines()
    rows = [json.loads(line) for line in lines]
    key = "id" if what == "sessions" else "session_id"
    assert {row[key] for row in rows} == {row[key] for row in table} == {str(wanted.pk)}
    assert len(rows) == len(table) == (3 if what == "events" else 1)
    if what == "lines":
        assert (rows[0]["text"], table[0]["text"]) == (FORMULA, f"'{FORMULA}")
    record = Export.objects.latest("asked_at")
    assert (record.asked_by, record.filters, record.rows_done, record.state) == (
        auditor,
        {"persona__id__exact": str(wanted.persona_id)},
        len(rows),
        State.SENT,
    )


def test_an_export_selects_the_rows_that_the_list_shows(admin_client: Client) -> None:
    session = ended_session(user__username="ana", provider_session_id="theirs")
    ended_session()
    now, names = session.created_at, (session.persona_id, session.account_id)
    for narrowed in (
        {"q": "ana Lucía"},
        {"q": '"theirs"'},
        {"status__exact": "ended"},
        {"status__exact": "live"},
        {"end_reason__exact": "user_stopped", "persona__id__exact": str(names[0])},
        {"account__id__exact": str(names[1])},
        {"created_at__year": str(now.year), "created_at__month": str(now.month), "created_at__day": str(now.day)},
    ):
        shown = admin_client.get(SESSIONS, narrowed).context["cl"].queryset
        assert set(filters.select(filters.of_query_string(narrowed, 0))) == set(shown), narrowed


@pytest.mark.parametrize("address", ["?colour__exact=red", "?persona__id__exact=red", "?user__password__startswith=a"])
def test_an_unknown_filter_is_refused(client: Client, auditor: User, address: str) -> None:
    """It would export more rows than the list showed."""
    assert client.get(NEW + address).status_code == 302
    client.post(NEW + address, {"what": "sessions", "format": "csv"})
    assert not Export.objects.exists()


@pytest.mark.parametrize("role", roles.ROLES, ids=lambda role: role.group)
def test_only_auditors_and_administrators_export(client: Client, role: roles.Role) -> None:
    roles.sync()
    user = User.objects.create_user("somebody", is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    client.force_login(user)
    session = ended_session()
    for address in (NEW, f"{SESSIONS}{session.pk}/export/"):
        client.post(address, {"what": "sessions", "format": "csv" if address == NEW else "json"})
    may = role in (roles.AUDITOR, roles.ADMINISTRATOR)
    assert Export.objects.count() == (2 if may else 0)
    assert (client.get("/admin/avatar_sessions/export/").status_code == 200) == may


def test_a_csv_with_semicolons_has_the_same_cells(client: Client, auditor: User) -> None:
    """Excel in Spanish splits rows at semicolons, not at commas."""
    session = ended_session()
    session.utterances.create(who="user", by="text", source="portal", text='uno; dos, "tres"\n=1+1')
    asked = {"what": "lines", "reason": WHY}
    with_commas, with_semicolons = (
        body(answer) for answer in (client.post(NEW, asked | {"format": form}) for form in ("csv", "csv2"))
    )
    read = [
        list(csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator))
        for text, separator in ((with_commas, ","), (with_semicolons, ";"))
    ]
    assert read[0] == read[1]
    assert with_semicolons.startswith("session_id;at;who;")
    answer = client.post(NEW, asked | {"format": "csv2"})
    assert '.csv"' in answer["Content-Disposition"]
    assert "Excel en español" in client.get(NEW).content.decode()


@pytest.mark.usefixtures("small_limits")
def test_a_large_export_is_written_in_steps_and_downloaded_by_its_requester(
    client: Client, auditor: User, jobs: Mock
) -> None:
    ended_session(), ended_session()
    page = client.post(NEW, {"what": "events", "format": "jsonl"})
    export = Export.objects.get()
    jobs.assert_called_once_with(str(export.pk))
    address = page.headers["Location"]
    assert client.get(f"{address}?progress").json() == {"is_under_way": True, "rows_done": 0, "rows_total": None}
    assert list_export.continue_writing(export.pk, 0)
    assert client.get(f"{address}?progress").json() == {"is_under_way": True, "rows_done": 2, "rows_total": 6}
    assert b"<progress" in client.get(address).content
    assert client.get(f"{address[:-7]}file/").status_code == 404
    while list_export.continue_writing(export.pk, 0):
        pass
    rows = [json.loads(line) for line in body(client.get(address.replace("change", "file"))).splitlines()]
    assert [row["hash"] for row in rows] == list(SessionEvent.objects.order_by("pk").values_list("hash", flat=True))
    other = UserFactory.create(is_staff=True, is_superuser=True)
    client.force_login(other)
    assert client.get(address).status_code == 200
    assert client.get(address.replace("change", "file")).status_code == 404


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("what", ["sessions", "events", "lines"])
def test_an_interrupted_export_continues_at_the_end_of_its_file(auditor: User, what: str) -> None:
    for _ in range(5):
        ended_session()
    export = list_export.request_export(auditor.pk, None, what, Format.CSV, reason=WHY)
    assert list_export.continue_writing(export.pk, 0)
    with export.path.open("ab") as file:
        file.write(b"written, and not noted before the worker was killed")
    assert list_export.stale_exports(timezone.now()) == []
    assert list_export.stale_exports(timezone.now() + 2 * list_export.WRITER_TIMEOUT) == [export.pk]
    while list_export.continue_writing(export.pk, 0):
        pass
    export.refresh_from_db()
    whole = b"".join(list_export.stream(Export(what=what, format=Format.CSV)))
    assert export.path.read_bytes() == whole
    assert (export.state, export.written) == (State.READY, len(whole))
    assert export.rows_done == export.rows_total == (15 if what == "events" else 5)


@pytest.mark.usefixtures("small_limits")
def test_only_one_of_two_workers_writes(auditor: User) -> None:
    ended_session()
    export = list_export.request_export(auditor.pk, None, What.EVENTS, Format.CSV)
    mine, theirs = list_export._claim(export.pk), list_export._claim(export.pk)
    assert mine
    assert theirs
    assert list_export._update_progress(theirs, rows_done=2)
    assert not list_export._update_progress(mine, rows_done=1)


@pytest.mark.usefixtures("small_limits")
def test_a_lost_job_is_queued_again_and_a_job_of_a_finished_export_does_nothing(auditor: User, jobs: Mock) -> None:
    ended_session()
    export = list_export.request_export(auditor.pk, None, What.EVENTS, Format.CSV)
    Export.objects.update(touched_at=timezone.now() - 2 * list_export.WRITER_TIMEOUT)
    tasks.maintain_exports()
    jobs.assert_called_once_with(str(export.pk))
    jobs.reset_mock()
    with pytest.MonkeyPatch.context() as in_parts:
        in_parts.setattr(tasks, "EXPORT_SECONDS_PER_JOB", 0)
        tasks.write_export(str(export.pk))
        jobs.assert_called_once_with(str(export.pk))
    while list_export.continue_writing(export.pk, 9):
        pass
    content = export.path.read_bytes()
    jobs.reset_mock()
    tasks.write_export(str(export.pk))
    assert not jobs.called
    assert export.path.read_bytes() == content


@pytest.mark.usefixtures("small_limits")
def test_an_export_keeps_its_file_while_the_database_is_away(auditor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ended_session(), ended_session()
    export = list_export.request_export(auditor.pk, None, What.EVENTS, Format.CSV)
    assert list_export.continue_writing(export.pk, 0)
    with monkeypatch.context() as away:
        away.setattr(list_export, "_finish", Mock(side_effect=OperationalError("the server closed the connection")))
        with pytest.raises(OperationalError):
            list_export.continue_writing(export.pk, 9)
    assert export.path.exists()
    while list_export.continue_writing(export.pk, 9):
        pass
    export.refresh_from_db()
    assert export.state == State.READY
    assert export.path.read_bytes() == b"".join(list_export.stream(Export(what=What.EVENTS, format=Format.CSV)))


@pytest.mark.usefixtures("small_limits")
def test_files_are_deleted_when_they_expire_and_when_speech_is_erased(auditor: User) -> None:
    ended_session(), ended_session(), ended_session()
    written = [
        list_export.request_export(auditor.pk, None, what, Format.CSV, reason=WHY) for what in (What.EVENTS, What.LINES)
    ]
    for export in written:
        while list_export.continue_writing(export.pk, 9):
            pass
    assert [export.path.exists() for export in written] == [True, True]
    list_export.delete_transcript_files()
    assert [export.path.exists() for export in written] == [True, False]
    list_export.delete_expired(timezone.now() + 2 * list_export.FILE_LIFETIME)
    assert [export.path.exists() for export in written] == [False, False]
    assert set(Export.objects.values_list("state", flat=True)) == {State.EXPIRED}


@pytest.mark.usefixtures("postgres")
def test_exports_filter_by_words_and_continue_on_postgres(small_limits: None) -> None:
    sessions = [ended_session() for _ in range(3)]
    search = filters.record_search(UserFactory.create().pk, None, "cal", WHY)
    search_filter = {"said": str(search.number)}
    assert set(filters.select(search_filter)) == set(sessions)
    for what in (What.SESSIONS, What.EVENTS, What.LINES):
        export = list_export.request_export(
            UserFactory.create().pk, None, what, Format.JSONL, reason=WHY, filters=search_filter
        )
        while list_export.continue_writing(export.pk, 0):
            pass
        rows = [json.loads(line) for line in export.path.read_text(encoding="utf-8").splitlines()]
        assert {row.get("session_id", row.get("id")) for row in rows} == {str(session.pk) for session in sessions}


@pytest.mark.usefixtures("small_limits")
def test_erased_speech_does_not_remain_in_a_file(auditor: User) -> None:
    session, _other, _third = ended_session(), ended_session(), ended_session()
    export = list_export.request_export(auditor.pk, None, What.LINES, Format.CSV, reason=WHY)
    while list_export.continue_writing(export.pk, 9):
        pass
    assert "calc" in export.path.read_text(encoding="utf-8")
    assert erasure.erase(session.pk, Erasure.Cause.RETENTION)
    assert not export.path.exists()
