"""Upgrades from before the conversation table.

Continued sessions share a conversation, and the record verifies.
"""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from heygen_portal.trail import db_triggers
from sessions.integrity import scope, verification
from sessions.models import Conversation, QueueEntry, SessionEvent, StreamingSession
from tests.support import migrated, on_postgres
from tests.support.databases import BOTH

HERE = Path(__file__).parent / "before_conversations"
KEY = "a-key-for-the-dumps-and-for-nothing-else"
CIRCLE_AND_OFFER = """
    UPDATE avatar_sessions_streamingsession SET continues_id = (
        SELECT id FROM avatar_sessions_streamingsession WHERE provider_session_id = 'their-session-8'
    ) WHERE provider_session_id = 'their-session-4';
    INSERT INTO avatar_sessions_serverprocess (id, lease_ends_at)
    VALUES ('0123456789abcdef0123456789abcdef', '2026-11-29 20:00:20+00:00');
    INSERT INTO avatar_sessions_queueplace
        (channel, is_staff, created_at, kept_until, account_id, persona_id, process_id, user_id)
    SELECT 'tab', false, '2026-11-29 20:00:00+00:00', '2026-11-29 20:00:10+00:00', min(avatar.account_id),
        min(persona.id), '0123456789abcdef0123456789abcdef', (SELECT min(id) FROM auth_user)
    FROM avatars_persona AS persona JOIN avatars_avatar AS avatar ON avatar.id = persona.avatar_id;
"""

Migrate = Callable[..., None]


def dump(name: str) -> str:
    return gzip.decompress((HERE / name).read_bytes()).decode()


def fill_file(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(dump("sqlite.sql.gz"))
        database.executescript(change)


def in_postgres(server_url: str, change: str) -> str:
    url = f"{server_url.rpartition('/')[0]}/before_conversations"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS before_conversations")
        server.execute("CREATE DATABASE before_conversations")
    with psycopg.connect(url) as database:
        database.execute(dump("postgres.sql.gz"))
    with psycopg.connect(url) as database:
        database.execute(change)
    return url


@pytest.fixture(params=BOTH)
def migrate(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    django_db_setup: None,  # before the key changes: it signs the database of the other tests in this process
    settings: Any,
    announced: object,
    monkeypatch: pytest.MonkeyPatch,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Migrate]:
    """Migrate the old database, two sessions per batch, and use it."""
    settings.FIELD_ENCRYPTION_KEY = KEY
    monkeypatch.setattr(import_module("sessions.migrations.0027_sessions_in_conversations"), "ROWS", 2)
    with ExitStack() as stack:

        def migrate(change: str = "SELECT 1") -> None:
            stack.enter_context(django_db_blocker.unblock())
            if request.param == "postgres":
                url = in_postgres(request.getfixturevalue("postgres_url"), change)
                on_postgres.migrate(url)
            else:

                def make(path: Path) -> None:
                    fill_file(path, change)
                    on_postgres.migrate(f"sqlite:///{path}")

                name = f"conversations-{zlib.crc32(change.encode())}"  # one for each change
                with migrated.upgraded(name, HERE / "sqlite.sql.gz", make, change) as made:
                    shutil.copyfile(made, tmp_path / "before.sqlite3")
                url = f"sqlite:///{tmp_path}/before.sqlite3"
            stack.enter_context(on_postgres.as_default(url))

        yield migrate


@pytest.mark.proof
def test_sessions_that_continue_each_other_become_one_conversation(migrate: Migrate) -> None:
    migrate()
    first = StreamingSession.objects.get(provider_session_id="their-session-4")
    conversation = first.conversation
    assert conversation.pk == first.pk
    assert sorted(str(session.provider_session_id) for session in conversation.sessions.all()) == [
        "their-session-4",
        "their-session-7",
        "their-session-8",
        "their-session-9",
    ]
    assert (conversation.user, conversation.persona) == (first.user, first.persona)
    last = StreamingSession.objects.get(provider_session_id="their-session-9")
    assert (conversation.started_at, conversation.ended_at) == (first.created_at, last.ended_at)
    assert conversation.time_limit is None
    others = Conversation.objects.exclude(pk=first.pk)
    assert {row.pk for row in others} == {row.sessions.get().pk for row in others}
    assert others.count() == 6
    assert {row.ended_at for row in others} == {row.sessions.get().ended_at for row in others}


def test_an_upgrade_adds_conversations_to_records_that_stated_every_row(migrate: Migrate) -> None:
    migrate()
    assert db_triggers.missing(connection) == []
    events = list(SessionEvent.objects.order_by("pk").values_list("hash", flat=True))
    count = scope.CheckCounts()
    assert list(verification.faults(count)) == []
    assert (count.sessions, count.older) == (10, 10)
    call_command("upgrade_record")
    added = SessionEvent.objects.order_by("pk")[len(events) :]
    assert {frozenset(event.data["rows"]) - {"seal"} for event in added} == {
        frozenset({"session", "conversation"}),
        frozenset({"session"}),
    }
    assert list(SessionEvent.objects.order_by("pk").values_list("hash", flat=True))[: len(events)] == events
    count = scope.CheckCounts()
    assert list(verification.faults(count)) == []
    assert count.older == 0
    assert set(count.covered()["since"]) >= {"session.conversation", "conversation.user", "conversation.time_limit"}
    first = StreamingSession.objects.get(provider_session_id="their-session-4")
    Conversation.objects.filter(pk=first.pk).update(started_at=first.ended_at)
    StreamingSession.objects.filter(provider_session_id="their-session-8").update(conversation=first.conversation)
    assert {(fault.table, fault.column) for fault in verification.faults()} == {("conversation", "started_at")}


@pytest.mark.proof
def test_sessions_that_continue_each_other_in_a_cycle_get_a_conversation(migrate: Migrate) -> None:
    migrate(CIRCLE_AND_OFFER)
    rows = StreamingSession.objects.filter(user__username="person-4")
    assert rows.count() == 4
    assert len(set(rows.values_list("conversation", flat=True))) == 1


def test_an_upgrade_keeps_the_offers_of_queue_entries(migrate: Migrate) -> None:
    migrate(CIRCLE_AND_OFFER)
    entry = QueueEntry.objects.get()
    assert entry.offer_expires_at == datetime(2026, 11, 29, 20, 0, 10, tzinfo=UTC)
    assert list(entry.account.queue_entries.all()) == [entry]
