"""Verification names every column shown to auditors that was changed by SQL.

The columns are read from the models. One that is added fails here until the record covers it, or until it is listed
below with the reason why it is not shown.
"""

from __future__ import annotations

import asyncio
import io
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.utils import timezone

from avatars.documents import intake, libraries, written_answers
from avatars.model_services import changes as model_changes
from avatars.models import HttpTool, KnowledgeVersion, Library, Video, WrittenAnswer
from avatars.tools import versions as tool_versions
from avatars.videos import orders
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import keys as api_keys
from heygen_portal.providers.contract.provider import (
    ProviderUnreachable,
    SessionRecord,
    Speaker,
    SpokenLine,
)
from heygen_portal.providers.openai.messages import Usage
from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions.actions import deadlines, send_task
from sessions.brain import record
from sessions.brain.record import Figures
from sessions.capacity import consent
from sessions.capacity.notice import notice_for
from sessions.costs import ledger, provider_record
from sessions.embed import settings as embed_settings
from sessions.exports import list_export, session_export
from sessions.integrity import audit_statements, nightly_check, role_permissions, verification
from sessions.integrity.fault import Fault
from sessions.lifecycle import coverage, events, transitions
from sessions.models import (
    Answer,
    EndReason,
    Erasure,
    Export,
    PersonaEmbed,
    ProviderErasure,
    Quota,
    SessionTask,
    SpeechKey,
    SpokenWord,
    StreamingSession,
)
from sessions.retention import erasure, provider_erasure
from sessions.speech import word_coverage
from sessions.timeline import page_clock
from tests.sessions import reports
from tests.sessions.tampering import live_session
from tests.support.databases import BOTH
from tests.support.factories import (
    ApiKeyFactory,
    AvatarFactory,
    ModelServiceFactory,
    PersonaFactory,
    UserFactory,
    VideoFactory,
    VoiceFactory,
)

# Models that the record does not cover, with the reason.
NOT_SHOWN = {
    "monitoredsession": "which process listens to a provider, while it does",
    "queueentry": "who waits, while they wait",
    "serverprocess": "which web processes live",
    "tab": "which tabs are open",
    "brainaccess": "the token by which a provider asks for answers, while its session runs",
    "wordindexrebuild": "how far a rebuild of the index of words has come",
    "signin": "whose a row of the sign-in log is; deleted with that row",
    "spendalarm": "who was mailed about a cap",
    "incident": "what failed while the portal ran, for those who run it",
    "invitation": "links that are open; invited, joined and revoked are audit entries",
    "membership": "the organisation of staff; there is one",
    "webhook": "receivers of events, for those who manage them; each change is an audit entry",
    "webhookmessage": "what receivers were told of the record, for some weeks",
    "webhookdelivery": "as above",
    "preferredlanguage": "the language of a person's mails",
    "preferredtimezone": "the time zone in which a person reads times",
    "permission": "Django's list of permissions; statements of individual permissions say what it calls them",
    "idempotentrequest": "answers to requests of programs, kept for a day",
    "chunk": "its version states a hash of the hashes of its passages",
    "libraryword": "an index of words",
    "unansweredquestion": "counts of questions, deleted after a while",
    "cataloguesync": "how far a sync has come",
    "guest": "who talks without an account: the session states its guest, and its first event names site and link",
    "brandpicture": "the organisation's row states its SHA-256, and a picture with another one is not served",
    "personatest": "what staff ask a persona before it is published; each change is an audit entry",
    "personatestrun": "what came of that; publishing without a passed run is an audit entry",
    "staffmessage": "which messages the team has handled; what they say is in their events",
    "personacheck": "the results of nightly checks; hiding a persona is an audit entry",
}
COLUMNS_NOT_SHOWN = {
    "sessionevent": {"id": "the number within its session names it"},
    "sessionseal": {"id": "as above"},
    "auditentry": {"id": "as above"},
    "audithead": {"id": "there is one"},
    "daytotal": {
        "id": "day, account and persona name it",
        "test_tokens": "tests of personas are not part of the record",
        "test_credits": "as above",
    },
    "group_permissions": {"id": "role and permission name it"},
    "historycheck": {"id": "its beginning names it"},
    "spokenword": {"id": "its line and mark name it"},
    **{
        table.model._meta.model_name: dict(table.uncovered)
        for table in (*coverage.TABLES.values(), *coverage.AUDITED.values())
        if table.uncovered and table.model._meta.model_name
    },
}
# Not stated, but compared with the word index.
del COLUMNS_NOT_SHOWN["utterance"]["words_signature"]
# The name of a model's table in faults.
TABLE_OF = {
    "conversation": "conversation",
    "streamingsession": "session",
    "answer": "answer",
    "sessionevent": "event",
    "sessionhead": "head",
    "sessionseal": "seal",
    "sessiontask": "task",
    "utterance": "line",
    "spokenword": "line",
    "speechkey": "speech_key",
    "sessiontotal": "total",
    "daytotal": "day_total",
    "consent": "consent",
    "legalhold": "hold",
    "erasure": "erasure",
    "providererasure": "provider_erasure",
    "export": "export",
    "historycheck": "check",
    "auditentry": "audit_entry",
    "audithead": "audit_head",
    "user": "user",
    "provideraccount": "account",
    "modelservice": "model_service",
    "httptool": "http_tool",
    "httptoolversion": "http_tool_version",
    "avatar": "avatar",
    "voice": "voice",
    "knowledgebase": "knowledge_base",
    "knowledgeversion": "knowledge_version",
    "library": "library",
    "document": "document",
    "documentversion": "document_version",
    "writtenanswer": "written_answer",
    "persona": "persona",
    "personaversion": "persona_version",
    "video": "video",
    "group": "group",
    "group_permissions": "role_permission",
    "user_groups": "role",
    "user_user_permissions": "user_permission",
    "persona_groups": "persona_group",
    "quota": "quota",
    "organisation": "organisation",
    "apikey": "api_key",
    "personaembed": "persona_embed",
    "guestlink": "guest_link",
}
APPS = ("avatar_sessions", "heygen_portal", "avatars", "auth")


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def models_of(label: str) -> Iterator[type[models.Model]]:
    """Yield an app's models, also those of many-to-many relations."""
    yield from apps.get_app_config(label).get_models(include_auto_created=True)


def shown_columns() -> Iterator[tuple[type[models.Model], Any]]:
    """Yield each column that is shown of a table of the record."""
    for label in APPS:
        for model in models_of(label):
            name = model._meta.model_name or ""
            if name not in NOT_SHOWN:
                for field in model._meta.concrete_fields:
                    if field.name not in COLUMNS_NOT_SHOWN.get(name, {}):
                        yield model, field


class World(NamedTuple):
    """Two sessions with rows in every table."""

    session: StreamingSession
    other: StreamingSession


@pytest.fixture(scope="session")
def built_worlds() -> Iterator[list[tuple[sqlite3.Connection, World]]]:
    """Return the SQLite database with a world, once a test has built one."""
    built: list[tuple[sqlite3.Connection, World]] = []
    yield built
    for database, _world in built:
        database.close()


@pytest.fixture
def world(
    announced: object, monkeypatch: pytest.MonkeyPatch, built_worlds: list[tuple[sqlite3.Connection, World]]
) -> World:
    """Build a world or, on SQLite, restore the one that an earlier test has built."""
    monkeypatch.setattr(erasure, "_at_provider", lambda session: Erasure.AtProvider.ASKED)
    if connection.vendor != "sqlite":
        return build_world()
    connection.ensure_connection()
    if not built_worlds:
        world = build_world()
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        connection.connection.backup(copy)
        built_worlds.append((copy, world))
    ((stored, world),) = built_worlds
    stored.backup(connection.connection)
    events._last_appended.clear()  # those of an earlier test
    return World(*(StreamingSession.objects.get(pk=session.pk) for session in world))


def build_world() -> World:
    roles.sync()  # PostgreSQL's tables are empty
    staff, persona = UserFactory.create(), PersonaFactory.create(published=True)
    assert persona.knowledge_base
    for person in (staff, UserFactory.create()):
        person.user_permissions.add(Permission.objects.get(codename="publish_persona"))
        Quota.objects.create(user=person, minutes_per_month=30)
        person.groups.add(group := Group.objects.create(name=f"Customers {person.pk}"))
        persona.groups.add(group)
    KnowledgeVersion.objects.create(base=persona.knowledge_base, number=1, name="Recepción", prompt="Be brief.")
    one, two = live_session(persona, "one"), live_session(persona, "two")
    for session in (one, two):
        consent.record(session, consent.Permit(notice=notice_for(persona)))
        consent.withdraw(persona.pk, session.owner_id)
        send_text(session, "¿Cuánto cuesta?")
        send_text(session, "No llega.", "provider_refused")
        answer_text(session)
        report_avatar_line(session, "Son 20 €")
        transitions.begin_stop(session, EndReason.USER_STOPPED, {"code": "person", "user": session.user_id})
        transitions.end(session)
        lines = (SpokenLine(Speaker.AVATAR, "Son 20 €", None), SpokenLine(Speaker.AVATAR, "Otra línea", None))
        provider_record.store(session, SessionRecord("user", timedelta(seconds=65), Decimal("1.25"), lines))
        hold = erasure.hold(session.pk, "Litigation", staff.pk)
        erasure.release(hold, staff.pk)
    receipt = erasure.erase(two.pk, Erasure.Cause.STAFF, staff.pk)
    assert receipt
    provider_erasure._store_failure(ProviderErasure.objects.get(), ProviderUnreachable("ReadTimeout"))
    ledger.book_all()
    for number in range(4):
        audit_log.record_by(staff.pk, "192.0.2.7", AuditEntry.Kind.KEY_SET, f"Account {number}", old="a")
    for _ in range(2):
        make_video(staff)
        make_api_key(staff)
        make_library(staff)
        tool = HttpTool(name=f"tool_{HttpTool.objects.count()}", description="Says where an order is.")
        tool_versions.save(tool, Actor(staff.pk))
        model_changes.record(Actor(staff.pk), None, ModelServiceFactory.create(), has_new_key=True)
    embed_persona(persona, staff)
    for session in (one, two):
        exported = list_export.request_export(
            staff.pk, "192.0.2.7", Export.What.RECORD, Export.Format.JSON, session=session
        )
        assert b"".join(session_export.as_json(exported, session))
    listed = list_export.request_export(
        staff.pk, "192.0.2.7", Export.What.EVENTS, Export.Format.CSV, filters={"status__exact": "ended"}
    )
    assert b"".join(list_export.stream(listed))
    for _ in range(3):
        assert nightly_check.check_record(timezone.now()).fault_count == 0
    assert audit_statements.upgrade()
    word_coverage.state_signed_lines()
    return World(one, two)


def make_video(staff: Any) -> None:
    video = VideoFactory.build(
        avatar=AvatarFactory.create(), voice=VoiceFactory.create(), created_by=staff, title="Welcome"
    )
    orders.order(video, Actor(staff.pk))
    orders._update(video, **orders._status_change(Video.Status.MAKING, provider_video_id="their-video"))
    details: Any = {"url": "https://cdn.test/1.mp4", "duration": timedelta(seconds=4), "credits": Decimal("0.5")}
    orders._update(video, **orders._status_change(Video.Status.READY, ready_at=timezone.now(), **details))
    assert orders.fetch(video, Actor(staff.pk))
    orders._update(video, **orders._status_change(Video.Status.READY, file=f"videos/{video.pk}.mp4"))


def make_api_key(staff: Any) -> None:
    key = ApiKeyFactory.build(owner=staff, created_by=staff, expires_at=timezone.now() + timedelta(days=30))
    api_keys.create(key, Actor(staff.pk))
    assert api_keys.replace(key, Actor(staff.pk))


def make_library(staff: Any) -> None:
    actor, library = Actor(staff.pk), Library(name=f"Library {Library.objects.count()}", language="en")
    libraries.save(library, actor)
    broken = intake.add_file(library, io.BytesIO(b"%PDF-"), "Terms.pdf", actor)
    intake.read(broken.pk)
    version = intake.replace_file(broken.document, io.BytesIO(b"The deposit is 100 euros."), "Terms.txt", actor)
    intake.read(version.pk)
    answer = WrittenAnswer(library=library, language="en", wordings=["Is it returned?"], answer="Yes.")
    answer.chunk = version.chunks.get()
    written_answers.save(answer, actor)


def embed_persona(persona: Any, staff: Any) -> None:
    actor, embed = (
        Actor(staff.pk),
        PersonaEmbed(persona=persona, is_enabled=True, origins=["https://www.examplia.test"]),
    )
    embed_settings.save(embed, actor)
    embed.credits_per_day, embed.bubble_text = Decimal("7.5"), "Ask Lucía"
    embed_settings.save(embed, actor)
    for number in range(3):
        link = embed_settings.add_link(
            persona, actor, label=f"Stand {number}", lifetime=timedelta(days=7), max_uses=9, is_kiosk=False
        )
        assert embed_settings.revoke_link(embed, link.pk, actor)


def send_text(session: StreamingSession, text: str, failure: str = "") -> None:
    kind = SessionTask.Kind.TALK
    task, _ = deadlines.accept_task(session.pk, text=text, kind=kind, user_id=session.user_id, ref=text[:5])
    task.status = SessionTask.Status.FAILED if failure else SessionTask.Status.SENT
    task.failure, task.latency = failure, timedelta(milliseconds=120)
    send_task._record_outcome(task)


def answer_text(session: StreamingSession) -> None:
    """Answer two texts with the organisation's own model; the second answer is interrupted."""
    for number, state in ((1, Answer.State.ANSWERED), (2, Answer.State.INTERRUPTED)):
        task, _ = deadlines.accept_task(
            session.pk, text="¿Y?", kind=SessionTask.Kind.TALK, user_id=session.user_id, ref=f"answered-{number}"
        )
        answer, _interrupted = record.begin(task, "new_text")
        assert answer
        sentence = record.store_sentence(answer, "Son 20 €.", [1])
        assert sentence
        sentence.status, sentence.provider_task_id = SessionTask.Status.SENT, f"sentence-{number}"
        send_task._record_outcome(sentence)
        figures = Figures("Ours", "gpt", "abc", [], Usage(90, 10), Decimal("0.001"), timedelta(milliseconds=300))
        assert record.end(answer, state, "interrupt", figures)


def report_avatar_line(session: StreamingSession, text: str) -> None:
    now = timezone.now().timestamp() * 1000
    data = {"message": text, "task_id": "their-task", "interrupted": True}
    message = {"kind": "avatar_end_message", "data": data, "at": now, "sent": now}
    asyncio.run(reports.handle(session.pk, message, page_clock.PageClock()))


@contextmanager
def as_database_owner() -> Iterator[Any]:
    """Disable triggers and constraints, as the owner of the database can."""
    is_postgres = connection.vendor == "postgresql"
    if not is_postgres:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA foreign_keys = OFF")
    with transaction.atomic(), db_triggers.disabled(connection), connection.cursor() as cursor:
        if is_postgres:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid > 0")
            for table, name in cursor.fetchall():
                cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        else:
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        yield cursor
        if is_postgres:
            cursor.execute("SET LOCAL session_replication_role = origin")
    if not is_postgres:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def sample_row(model: type[models.Model], world: World, field: Any = None) -> Any:
    """Return the key of a row with a value in every column.

    It is neither the first nor the last of its list, if there are enough.
    """
    rows = model._base_manager.order_by("pk")
    if field is not None and (model.__name__, field.name) == ("SpeechKey", "erased_at"):
        return world.other.pk  # the key of erased speech
    if model.__name__ in ("Erasure", "ProviderErasure"):
        return rows.values_list("pk", flat=True).get()
    if model.__name__ == "StreamingSession":
        return world.session.pk
    names = {field.name for field in model._meta.concrete_fields}
    if "session" in names:
        rows = rows.filter(session=world.session)
    found = list(rows.values_list("pk", flat=True))
    return found[min(1, len(found) - 1)]


def other_value(field: Any, value: Any) -> str:
    """Return SQL of a value other than the column's."""
    column = f'"{field.column}"'
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    is_postgres = connection.vendor == "postgresql"
    match target:
        case models.UUIDField():
            key = str(uuid.uuid4())
            return f"'{key if is_postgres else key.replace('-', '')}'"
        case models.DateTimeField():
            return "'2001-02-03 04:05:06.000007'"
        case models.DateField():
            return "'2001-02-03'"
        case models.DurationField():
            return "interval '3 seconds'" if is_postgres else "3000000"
        case models.BooleanField():
            return f"NOT coalesce({column}, false)"
        case models.JSONField():
            return """'{"forged": true}'"""
        case models.BinaryField():
            return "'\\x0102'" if is_postgres else "x'0102'"
        case models.DecimalField():
            return f"coalesce({column}, 0) + 1"
        case models.IntegerField():
            return f"coalesce({column}, 0) + 1000"
        case models.GenericIPAddressField():
            return "'198.51.100.9'"
    return "'0'" if value != "0" else "'1'"


def where(model: type[models.Model]) -> str:
    return f'"{model._meta.pk.column}" = %s'


def key_of(model: type[models.Model], pk: Any) -> Any:
    return model._meta.pk.get_db_prep_value(pk, connection)


def is_fault_of(fault: Fault, model: type[models.Model], column: str) -> bool:
    if model is SpokenWord:
        column = "words"
    return fault.table == TABLE_OF[model._meta.model_name or ""] and fault.column == column


def test_every_table_of_the_portals_apps_is_covered_or_listed_with_a_reason() -> None:
    known = {*TABLE_OF, *NOT_SHOWN}
    models_there = {model._meta.model_name for label in APPS for model in models_of(label)}
    assert models_there == known


def rounds_of_columns() -> Iterator[list[tuple[type[models.Model], Any]]]:
    """Yield columns to change together.

    One per table, unless a change of the table would hide others. Several of a table whose columns are compared one
    by one, because the personas have many.
    """
    by_model: dict[type[models.Model], list[Any]] = {}
    for model, field in shown_columns():
        by_model.setdefault(model, []).append(field)
    alone = [model for model in by_model if TABLE_OF[model._meta.model_name or ""] in CHANGED_ALONE]
    for model in alone:
        yield from ([(model, field)] for field in by_model.pop(model))
    for parts in zip_longest(*(_parts(model, fields) for model, fields in by_model.items()), fillvalue=()):
        yield [(model, field) for model, fields in zip(by_model, parts, strict=True) for field in fields]


def _parts(model: type[models.Model], fields: list[Any]) -> list[list[Any]]:
    size = COLUMNS_TOGETHER if model in (table.model for table in coverage.NAMED) else 1
    others = [field for field in fields if not field.primary_key]
    keys = [[field] for field in fields if field.primary_key]
    return keys + [others[start : start + size] for start in range(0, len(others), size)]


COLUMNS_TOGETHER = 4
CHANGED_ALONE = ("session", "event", "head", "seal", "audit_head", "provider_erasure", "day_total", "group")


def test_a_record_that_nobody_changed_has_no_faults(world: World) -> None:
    assert list(verification.faults()) == []


def test_a_changed_column_is_named_with_its_row(world: World) -> None:
    """Requirements 6, 49, 55 and 64: auditors see what happened."""
    unnamed = []
    for columns in rounds_of_columns():
        with transaction.atomic():
            for model, field in columns:
                pk = sample_row(model, world, field)
                value = model._base_manager.filter(pk=pk).values_list(field.attname, flat=True).get()
                change = f'UPDATE "{model._meta.db_table}" SET "{field.column}" = {other_value(field, value)}'
                with as_database_owner() as cursor:
                    cursor.execute(f"{change} WHERE {where(model)}", [key_of(model, pk)])
            found = list(verification.faults())
            for model, field in columns:
                if not any(is_fault_of(fault, model, field.name) for fault in found):
                    unnamed.append((model.__name__, field.name, found))
            transaction.set_rollback(True)
    assert not unnamed, "\n".join(map(str, unnamed))


def test_an_erased_key_that_was_put_back_is_named(world: World) -> None:
    """A copy of the database may have kept it."""
    wrapped = bytes(SpeechKey.objects.get(session=world.session).wrapped)
    with as_database_owner():
        SpeechKey.objects.filter(session=world.other).update(wrapped=wrapped)
    found = [(fault.kind, fault.session, fault.column) for fault in verification.faults()]
    assert found == [("key_kept", str(world.other.pk), "wrapped")]


@pytest.mark.parametrize("number", [0, -5])
def test_a_first_event_moved_before_the_record_is_named(world: World, number: int) -> None:
    with as_database_owner():
        world.session.events.filter(number=1).update(number=number)
    found = [(fault.session, fault.table, fault.column) for fault in verification.faults()]
    assert found == [(str(world.session.pk), "event", "number")]


@pytest.mark.both_databases
def test_a_changed_column_of_a_list_export_is_named_with_its_row(world: World) -> None:
    pk = Export.objects.filter(session=None).values_list("pk", flat=True).get()
    for field in coverage.EXPORT.fields.values():
        value = Export.objects.filter(pk=pk).values_list(field.attname, flat=True).get()
        with transaction.atomic():
            with as_database_owner() as cursor:
                change = f'UPDATE "{Export._meta.db_table}" SET "{field.column}" = {other_value(field, value)}'
                cursor.execute(f"{change} WHERE {where(Export)}", [key_of(Export, pk)])
            found = list(verification.faults())
            transaction.set_rollback(True)
        assert [(fault.table, fault.row, fault.column) for fault in found] == [("export", pk.hex, field.name)]


def test_access_added_by_sql_is_named(world: World) -> None:
    """A role, permission, quota or group that no audit entry states."""
    unnamed = []
    for table in coverage.ACCESS:
        model = table.model
        row = model._base_manager.order_by("-pk")[0]
        with transaction.atomic():
            with as_database_owner():
                row.pk = 1000
                for name in ("user_id", "group_id", "name"):
                    if vars(row).get(name) is not None:
                        setattr(row, name, "Another" if name == "name" else StreamingSession.objects.count() * 1000)
                row.save(force_insert=True)
            found = [(fault.kind, fault.table, fault.row) for fault in verification.faults()]
            if ("row_added", table.name, "1000") not in found:
                unnamed.append((table.name, found))
            transaction.set_rollback(True)
    assert not unnamed


@pytest.mark.parametrize("way", ["names", "content types", "gone"])
def test_a_changed_meaning_of_an_individual_permission_is_named(world: World, way: str) -> None:
    """Rows of Django's list of permissions were swapped, so that users may do something else."""
    held, other = (Permission.objects.get(codename=name) for name in ("publish_persona", "view_user"))
    with transaction.atomic():
        rows = Permission.objects.filter(pk__in=(held.pk, other.pk))
        if way == "names":
            rows.filter(pk=other.pk).update(codename="x")
            rows.filter(pk=held.pk).update(codename=other.codename)
            rows.filter(pk=other.pk).update(codename=held.codename)
        elif way == "content types":
            ContentType.objects.filter(pk=held.content_type_id).update(app_label="x")
        else:
            rows.filter(pk=held.pk).update(codename="gone")
        found = {(fault.kind, fault.column) for fault in verification.faults() if fault.table == "user_permission"}
        assert found == {("row_changed", "allows")}
        transaction.set_rollback(True)


def test_a_videos_progress_may_change_only_while_it_is_made() -> None:
    staff = UserFactory.create()
    assert audit_statements.upgrade()
    video = VideoFactory.build(avatar=AvatarFactory.create(), voice=None, created_by=staff)
    assert audit_statements.accept("avatar", str(video.avatar_id))
    assert audit_statements.accept("account", str(video.avatar.account_id))
    orders.order(video, Actor(staff.pk))
    orders._update(video, **orders._status_change(Video.Status.MAKING, provider_video_id="their-video"))
    assert list(verification.faults()) == []
    Video.objects.update(title="Theirs")
    assert [(fault.table, fault.column) for fault in verification.faults()] == [("video", "title")]
    Video.objects.update(title=video.title)
    orders._update(video, **orders._status_change(Video.Status.READY, credits=Decimal("0.5")))
    assert list(verification.faults()) == []
    Video.objects.update(**orders._status_change(Video.Status.MAKING, credits=0))
    assert [(fault.table, fault.column) for fault in verification.faults()] == [
        ("video", "status"),
        ("video", "credits"),
    ]


def test_a_permission_added_to_a_role_by_sql_is_named() -> None:
    """Requirement 49."""
    roles.sync()  # PostgreSQL's tables are empty
    editors = Group.objects.get(name=roles.EDITOR.group)
    others = Group.objects.create(name="Customers")  # grants nothing
    for group in (editors, others):
        group.permissions.add(Permission.objects.get(codename="delete_video"))
    editors.permissions.remove(*editors.permissions.filter(codename__in=("view_voice", "view_avatar")))
    named = [(fault.kind, fault.table, fault.row, fault.column) for fault in verification.faults()]
    assert named == [
        ("row_changed", "role_permission", "Editors avatars.view_avatar", "permission"),
        ("row_deleted", "role_permission", "Editors avatars.view_voice", ""),
    ]
    roles.sync()
    assert list(verification.faults()) == []
    editors.permissions.add(Permission.objects.get(codename="delete_video"))
    assert [(fault.kind, fault.row) for fault in verification.faults()] == [
        ("row_added", "Editors avatars.delete_video")
    ]


def test_a_group_renamed_to_a_role_is_named(world: World) -> None:
    customers = Group.objects.exclude(name__in=[role.group for role in roles.ROLES]).order_by("pk")[0]
    auditors = Group.objects.get(name=roles.AUDITOR.group)
    with transaction.atomic():
        Group.objects.filter(pk=auditors.pk).update(name="Former auditors")
        Group.objects.filter(pk=customers.pk).update(name=roles.AUDITOR.group)
        named = [(fault.table, fault.row, fault.column) for fault in verification.faults()]
        transaction.set_rollback(True)
    assert {("group", str(auditors.pk), "name"), ("group", str(customers.pk), "name")} <= set(named)


def test_the_group_of_a_new_role_is_stated(world: World) -> None:
    new = roles.Role("Reviewers", True, roles.SEE_SESSIONS)
    with transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        for module in (roles, role_permissions):
            patch.setattr(module, "ROLES", (*roles.ROLES, new))
        roles.sync()
        assert list(verification.faults()) == []
        transaction.set_rollback(True)


def test_a_row_deleted_from_any_table_is_found(world: World) -> None:
    unfound = []
    for model in {model for model, _field in shown_columns()}:
        pk = sample_row(model, world)
        with transaction.atomic():
            with as_database_owner() as cursor:
                cursor.execute(f'DELETE FROM "{model._meta.db_table}" WHERE {where(model)}', [key_of(model, pk)])
            found = list(verification.faults())
            if not any(fault.table == TABLE_OF[model._meta.model_name or ""] for fault in found):
                unfound.append((model.__name__, found[:3]))
            transaction.set_rollback(True)
    assert not unfound, "\n".join(map(str, unfound))
