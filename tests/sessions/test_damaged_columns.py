"""Every page and export works beside rows that were changed by SQL.

The changed row is shown as damaged, the others as usual.

The columns are read from the models, the kinds of events from the enum. What the columns held is restored after each
round, so one world is enough for all rounds.
"""

from __future__ import annotations

import itertools
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection, models, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from avatars.models.persona_settings import PersonaSettings
from heygen_portal.people.access import roles
from heygen_portal.runtime import stored_json
from heygen_portal.trail import audit_labels, audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export, session_export
from sessions.integrity import nightly_check
from sessions.labels import event_labels, readable_data
from sessions.lifecycle import end_evidence, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Erasure, Export, HistoryCheck, PersonaEmbed, SessionEvent, StreamingSession
from sessions.personal_data import contents as personal_data
from sessions.personal_data import html_page
from sessions.retention import erasure
from sessions.staff import board
from sessions.web import page_reports
from tests.access.matrix import MODELS
from tests.sessions.integrity.test_tampering_columns import (
    World,
    as_database_owner,
    build_world,
    key_of,
    report_avatar_line,
    sample_row,
    send_text,
    shown_columns,
    where,
)
from tests.sessions.tampering import live_session
from tests.support.databases import BOTH
from tests.support.factories import StreamingSessionFactory, user_of

Changes = list[tuple[type[models.Model], str, str]]  # model, column, SQL of the value

# Not objects, or objects whose values have other types than any reader expects.
NO_OBJECTS = ("[]", "5", '"x"', "null", '{"a": {"b": [1]}}', "{}", "[5]", "[{}]")
ODD_VALUES: tuple[Any, ...] = ([1], {"a": {"b": [1]}}, 1e300, -5, 10**40, True, None, "x", "", "2026-99-99T00:00:00")
KEYS = {
    *event_labels.DETAIL_LABELS,
    *readable_data.KEY_LABELS,
    *audit_labels.LABELS,
    *end_evidence.CLAIM_TEXTS,
    *PersonaSettings.__annotations__,
    *("at", "began_at", "active_at", "left_at", "asked_at", "limit_s", "grace_s", "limit_by", "loss", "why", "claim"),
    *("lines", "after", "ms", "fps", "rating", "how", "number", "session", "table", "row", "column", "since"),
    *("rows", "deleted_rows", "unstated", "older_sessions", "id", "seen_at", "task_id", "message", "page_at", "seat"),
    *("sid", "login", "reason", "answer", "http", "error", "what", "words", "status__exact"),
}
# What an object says it is, so that readers look at its other values.
CODES: tuple[dict[str, str], ...] = (
    {},
    {"code": "time_up", "how": "changed", "after": "start", "kind": "video"},
)
# Damaged in three of four rows, so that rows of all kinds are.
MANY_ROWS: tuple[type[models.Model], ...] = (SessionEvent, AuditEntry)
# SQLite only: JSON and text that PostgreSQL does not store. Malformed JSON is not among them, because lookups by key
# fail in SQLite itself; its constraints refuse it.
NO_JSON = ('{"ms": 1e999}', '{"reason": "\\ud800"}', "[" * 500 + "]" * 500)
NO_TEXT = "CAST(x'ff41' AS TEXT)"


@pytest.fixture(autouse=True)
def without_provider(announced: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_at_provider", lambda session: Erasure.AtProvider.ASKED)
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)  # a traceback for each page


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


class Pages:
    """What staff, auditors and people open of one world."""

    def __init__(self) -> None:
        ended = build_world().session
        live = live_session(ended.persona, "three")
        send_text(live, "¿Qué tal?")
        report_avatar_line(live, "Muy bien")
        self.sessions = (ended, live)
        for session in self.sessions:
            # Of the kind that says which lines are confirmed, one for each odd value.
            kinds = [*EventKind, *itertools.repeat(EventKind.PROVIDER_RECORD, len(json_values()))]
            entries = (Entry(kind, {"by": session.user_id}, source_of(kind)) for kind in kinds)
            events.record(session.pk, *entries)
        for kind in AuditEntry.Kind:
            audit_log.record_by(ended.user_id, None, kind, "somebody", reason="Why not", name=["a", "b"])
        nightly_check.check_record(timezone.now())
        self.staff = User.objects.create_superuser("root", "root@example.org", "a-long-passphrase")
        self.client = Client(raise_request_exception=False)
        self.client.force_login(self.staff)
        self.own_clients = {}
        for session in self.sessions:
            user_of(session).groups.add(Group.objects.get(name=roles.END_USER.group), *session.persona.groups.all())
            self.own_clients[session.pk] = Client(raise_request_exception=False)
            self.own_clients[session.pk].force_login(user_of(session))

    def shown(self) -> dict[str, Any]:
        """Return the number of rows on each page and in each export, or the error."""
        return {name: attempt(read) for name, read in self.readers()}

    def readers(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        yield from self.admin_pages()
        yield "board", self.board_rows
        for what, format in itertools.product(("sessions", "events", "lines"), ("csv", "jsonl", "xlsx")):
            yield f"export of {what} as {format}", partial(self.export, what, format)
        for session in self.sessions:
            name = str(session.pk)
            yield f"record of {name}", partial(self.record, session.pk)
            yield f"captions of {name}", partial(self.captions, session.pk)
            for page, view in OWN_PAGES.items():
                address = reverse(view, args=own_arguments(page, session))
                yield f"{page} of {name}", partial(rows_on, self.own_clients[session.pk], address)
            yield f"data.json of {name}", partial(self.own_data, personal_data.as_json, (session.user_id or 0))
            yield f"data.html of {name}", partial(self.own_data, html_page.as_page, (session.user_id or 0))

    def admin_pages(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        for name in MODELS:
            address = f"admin:{name.replace('.', '_')}"
            yield f"list of {name}", partial(rows_on, self.client, reverse(f"{address}_changelist"))
            for pk in self.opened_rows(name):
                page = reverse(f"{address}_change", args=[pk])
                yield f"{name} {pk}", partial(rows_on, self.client, page)
        for session in self.sessions:
            page = reverse("admin:avatar_sessions_streamingsession_audit", args=[session.pk])
            yield f"audit of {session.pk}", partial(rows_on, self.client, page)
            yield f"transcript of {session.pk}", partial(rows_on, self.client, page, {"reason": "A complaint"})
        page = reverse("admin:avatars_persona_embed", args=[self.sessions[0].persona_id])
        yield "embedding", partial(rows_on, self.client, page)
        embed = PersonaEmbed.objects.get()
        yield "frame", partial(rows_on, Client(raise_request_exception=False), f"/embed/{embed.public_id}/")
        for name in STAFF_PAGES:
            yield name, partial(rows_on, self.client, reverse(name))

    def opened_rows(self, name: str) -> list[Any]:
        model = apps.get_model(name)
        if model is StreamingSession:
            return [session.pk for session in self.sessions]
        return list(model._base_manager.order_by("pk").values_list("pk", flat=True)[:2])[-1:]

    def board_rows(self) -> int:
        shown = board.read_board(self.staff.pk)
        assert shown
        return len(shown.changes(None)["sessions"])

    def export(self, what: str, format: str) -> int:
        export = list_export.request_export(self.staff.pk, None, what, format, reason="A complaint")
        assert b"".join(list_export.stream(export))
        return export.rows_done

    def record(self, pk: Any) -> int:
        session = StreamingSession.objects.get(pk=pk)
        what, format = Export.What.RECORD, Export.Format.JSON
        export = list_export.request_export(self.staff.pk, None, what, format, session=session, reason="A complaint")
        stored = json.loads(b"".join(session_export.as_json(export, session)))
        return len(stored["lines"]) + len(stored["tasks"])

    def captions(self, pk: Any) -> int:
        written = b"".join(session_export.as_captions(StreamingSession.objects.get(pk=pk)))
        return written.count(b"-->")

    def own_data(self, write: Callable[[User], Iterator[bytes]], user_id: int) -> int:
        written = b"".join(write(User.objects.get(pk=user_id)))
        assert b"rest_could_not_be_read" not in written, "a list ends early"
        assert b"The rest of this list could not be read" not in written, "a list ends early"
        return 1


def own_arguments(page: str, session: StreamingSession) -> list[Any]:
    if page == "room":
        return [session.persona.slug]
    return [session.pk] if page in ("conversation", "transcript") else []


OWN_PAGES = {
    "conversations": "sessions:conversations",
    "conversation": "sessions:conversation",
    "transcript": "sessions:transcript",
    "own data": "sessions:personal_data",
    "gallery": "avatars:gallery",
    "room": "sessions:room",
}
STAFF_PAGES = (
    "admin:index",
    "admin:avatar_sessions_sessiontotal_costs",
    "admin:avatar_sessions_sessiontotal_reconciliation",
    "admin:avatar_sessions_streamingsession_live",
    "admin:avatars_provideraccount_setup_checklist",
    "admin:avatar_sessions_search",
)


def source_of(kind: EventKind) -> SessionEvent.Source:
    """Return the source from which readers expect events of a kind."""
    if kind in page_reports.EFFECTS:
        return SessionEvent.Source.BROWSER
    return SessionEvent.Source.PROVIDER if kind == EventKind.PROVIDER_RECORD else SessionEvent.Source.PORTAL


def attempt(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or its exception as text.

    What it stored is rolled back.
    """
    try:
        with transaction.atomic():
            found = read()
            transaction.set_rollback(True)
    except Exception as exc:  # noqa: BLE001, whatever a page raises is its failure
        place = traceback.extract_tb(exc.__traceback__)[-1]
        return f"{type(exc).__name__}: {exc} at {place.filename}:{place.lineno}"
    return found


def rows_on(client: Client, address: str, data: dict[str, str] | None = None) -> int:
    """Return how many rows a list shows, and 1 for another page."""
    response: Any = client.get(address) if data is None else client.post(address, data)
    if response.status_code >= 500:
        raise response.exc_info[1]
    rows = response.context.get("cl") if response.context else None
    return 1 if rows is None else len(rows.result_list)


def damage(pages: Pages, changes: Changes) -> None:
    """Change columns of one row each, as the owner of the database.

    Of events and audit entries, many rows are changed.
    """
    world = World(*pages.sessions)
    for model, column, value in changes:
        change = f'UPDATE "{model._meta.db_table}" SET "{column}" = {value}'
        with as_database_owner() as cursor:
            if model in MANY_ROWS:
                cursor.execute(f"{change} WHERE number % 4 > 0")
            else:
                cursor.execute(f"{change} WHERE {where(model)}", [key_of(model, sample_row(model, world))])


def columns(*kinds: type[models.Field[Any, Any]]) -> list[tuple[type[models.Model], Any]]:
    """Return the shown columns of these types."""
    found = [(model, field) for model, field in shown_columns() if isinstance(field, kinds)]
    return [(model, field) for model, field in found if not field.is_relation and not field.primary_key]


def literal(stored: str) -> str:
    return "'" + stored.replace("'", "''") + "'"


def with_every_key(value: Any, codes: dict[str, str]) -> str:
    return json.dumps(dict.fromkeys(sorted(KEYS), value) | codes)


def json_values() -> list[str]:
    with_keys = (with_every_key(value, codes) for value in ODD_VALUES for codes in CODES)
    return [*NO_OBJECTS, *with_keys, *(() if is_postgres() else NO_JSON)]


def json_rounds() -> Iterator[Changes]:
    """Yield one odd value at a time, for all JSON columns."""
    for value in json_values():
        lists, others = columns(stored_json.ListField), columns(stored_json.ObjectField)
        changes = [(model, field.column, literal(value)) for model, field in others]
        yield changes + [(model, field.column, literal(f"[{value}]")) for model, field in lists]
    yield [(model, field.column, literal("{}")) for model, field in columns(stored_json.ListField)]


def text_rounds() -> Iterator[Changes]:
    """Yield one column of each table at a time."""
    by_model: dict[Any, list[Any]] = {}
    for model, field in columns(models.CharField, models.TextField):
        by_model.setdefault(model, []).append(field)
    odd = ["'x'", *([] if is_postgres() else [NO_TEXT])]
    for fields in itertools.zip_longest(*by_model.values()):
        for value in odd:
            yield [(model, field.column, value) for model, field in zip(by_model, fields, strict=True) if field]


def failures_of(pages: Pages, rounds: Iterable[Changes]) -> Iterator[str]:
    """Yield each page that fails or shows fewer rows, with what was changed."""
    before = pages.shown()
    assert not [error for error in before.values() if isinstance(error, str)], before
    for changes in rounds:
        with transaction.atomic():
            damage(pages, changes)
            shown = pages.shown()
            transaction.set_rollback(True)
        for name, rows in shown.items():
            if isinstance(rows, str) or rows < before[name]:
                yield f"{name}: {before[name]} → {rows} after {[(m.__name__, c, v[:60]) for m, c, v in changes]}"


def changes_of_a_day() -> Changes:
    """Return odd values for all JSON columns: of tables with many rows, another one for each row."""
    values = [literal(value) for value in json_values()]
    cases = " ".join(f"WHEN {place} THEN {value}" for place, value in enumerate(values))
    each_row = f"CAST(CASE number % {len(values)} {cases} END AS {'jsonb' if is_postgres() else 'text'})"
    others = itertools.cycle(values)
    return [
        (model, field.column, each_row if model in MANY_ROWS else next(others))
        for model, field in columns(models.JSONField)
    ]


def is_postgres() -> bool:
    return connection.vendor == "postgresql"


@pytest.mark.proof
def test_no_page_fails_beside_damaged_rows() -> None:
    """Requirement 64."""
    pages = Pages()
    with transaction.atomic():
        damage(pages, changes_of_a_day())
        shown = pages.shown()
        transaction.set_rollback(True)
    assert {name: error for name, error in shown.items() if isinstance(error, str)} == {}
    for name in MODELS:
        assert shown[f"list of {name}"] == apps.get_model(name)._base_manager.count(), name


@pytest.mark.parametrize(("language", "words"), [("en", "damaged: [5]"), ("es", "dañado: [5]")])
def test_a_damaged_row_is_shown_as_such(admin_client: Client, language: str, words: str) -> None:
    session = StreamingSessionFactory.create(persona_settings=[5], end_evidence=[5])
    SessionEvent.objects.create(session=session, number=1, source="browser", kind=EventKind.LADDER, data=[5])
    check = HistoryCheck.objects.create(faults=[[5]], covered=[5])
    AuditEntry.objects.create(number=1, kind=AuditEntry.Kind.KEY_SET, data=[5])
    admin_client.cookies.load({settings.LANGUAGE_COOKIE_NAME: language})
    shown = f"/admin/avatar_sessions/streamingsession/{session.pk}"
    pages = {
        f"{shown}/change/": 2,  # the idle limit, the evidence
        f"{shown}/audit/": 2,  # the evidence, the event
        f"/admin/avatar_sessions/historycheck/{check.pk}/change/": 3,  # rows by table, coverage, faults
        "/admin/heygen_portal/auditentry/": 1,
    }
    found = {page: admin_client.get(page).content.decode().count(words) for page in pages}
    assert found == pages


def test_a_choice_that_does_not_exist_is_shown_as_damaged() -> None:
    session = StreamingSession(status="x", end_reason="", purpose="talk")
    with translation.override("en"):
        shown = (session.get_status_display(), session.get_end_reason_display(), session.get_purpose_display())
    assert shown == ("damaged: x", "", "conversation")


@pytest.mark.proof
def test_no_page_fails_beside_odd_json() -> None:
    assert list(failures_of(Pages(), json_rounds())) == []


@pytest.mark.proof
def test_no_page_fails_beside_odd_text() -> None:
    assert list(failures_of(Pages(), text_rounds())) == []
