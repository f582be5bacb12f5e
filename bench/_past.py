"""A long past, made by the database itself. Import it once Django knows the portal's database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model

from heygen_portal.trail import signing
from sessions.models import (
    Conversation,
    DayTotal,
    SessionEvent,
    SessionTotal,
    SpokenWord,
    StreamingSession,
    Utterance,
    word_index,
)
from tests.support.factories import AvatarFactory, PersonaFactory, ProviderAccountFactory, StreamingSessionFactory

A_DAY = 1000
"""Sessions: a longer history is more days, not busier ones."""
EACH = 100
"""Sessions of one person, so that a search fills a page whatever there is beside it."""
EVENTS = 10
"""Of each session, and what they are: made by what happens in an ordinary one."""
KINDS = "requested status provider_created status room_connected first_frame status avatar_start_talking status status"
SAID = "aurora"
"""A word that was said in as many sessions, whatever there is beside them."""
WORDS = 20_000
"""Different words that are said; each session has one line of three."""
LASTS = timedelta(minutes=4)


def make(sessions: int) -> None:
    """Fill an empty database with so many sessions that are over, the newest a minute ago, and what belongs to them."""
    people = User.objects.bulk_create((User(username=f"person-{n}") for n in range(sessions // EACH)), batch_size=2000)
    account = ProviderAccountFactory.create(monthly_cap=10_000)
    personas = [
        PersonaFactory.create(published=True, avatar=AvatarFactory.create(account=account)).pk for _ in range(8)
    ]
    pattern = StreamingSessionFactory.create(status="ended", account=account, persona_id=personas[0], user=people[0])
    its = "gen_random_uuid() AS its_id"
    began = f"now() - interval '1 minute' - n * interval '{86400 / A_DAY} seconds'"
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # rows that fit need not be asked whether they do
        _copies(
            cursor,
            pattern,
            f"FROM generate_series(1, {sessions - 1}) n, LATERAL (SELECT {began} AS began, {its}) times",
            id="its_id",
            conversation_id="its_id",
            user_id=f"{people[0].pk} + mod(n, {len(people)})",
            persona_id=f"{personas[0]} + mod(n, {len(personas)})",
            provider_session_id="'their-' || n",
            end_reason="CASE mod(n, 10) WHEN 0 THEN 'no_picture' WHEN 1 THEN 'idle' WHEN 2 THEN 'tab_closed'"
            " ELSE 'user_stopped' END",
            created_at="began",
            live_at="began + random() * interval '2 seconds'",
            active_at="began",
            ends_at="began + interval '20 minutes'",
            ended_at=f"began + interval '{LASTS.total_seconds()} seconds'",
            booked_at="began + interval '5 minutes'",
        )
        for sql in BELONGS:
            cursor.execute(sql)
        _say()
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")


def _say() -> None:
    """Have a word said in the newest sessions, and indexed both with each person's key and with one for all."""
    newest = StreamingSession.objects.order_by("-created_at")[:EACH]
    lines = Utterance.objects.filter(session__in=[session.pk for session in newest]).select_related("session")
    marks = {line.pk: word_index.marks_of_query(SAID, [line.session.user_id], [signing.key_id()]) for line in lines}
    SpokenWord.objects.bulk_create(
        SpokenWord(utterance_id=pk, mark=mark) for pk, both in marks.items() for mark in both
    )


def _copies(cursor: Any, pattern: Model, source: str, **columns: str) -> None:
    """Insert copies of a row that is there, with these columns as they are said in SQL."""
    table = pattern._meta.db_table
    names = [field.attname for field in pattern._meta.concrete_fields]
    values = ", ".join(columns.get(name, f'pattern."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    cursor.execute(
        f"INSERT INTO {table} ({quoted}) SELECT {values} {source} CROSS JOIN {table} pattern WHERE pattern.id = %s",
        [pattern.pk],
    )


CONVERSATION, SESSION = (model._meta.db_table for model in (Conversation, StreamingSession))
EVENT, LINE = (model._meta.db_table for model in (SessionEvent, Utterance))
WORD, TOTAL, DAY = (model._meta.db_table for model in (SpokenWord, SessionTotal, DayTotal))
ENDLESS = "repeat('0', 64)"
BELONGS = (
    f"""INSERT INTO {CONVERSATION} (id, user_id, persona_id, started_at, limit_by, ended_at)
        SELECT id, user_id, persona_id, created_at, '', ended_at FROM {SESSION} ON CONFLICT DO NOTHING""",
    f"""INSERT INTO {EVENT} (session_id, number, source, kind, data, at, previous_hash, hash)
        SELECT s.id, n, 'portal', (string_to_array('{KINDS}', ' '))[n], '{{}}', s.created_at + n * interval '1 second',
               {ENDLESS}, {ENDLESS}
        FROM (SELECT id, created_at FROM {SESSION} ORDER BY id) s, generate_series(1, {EVENTS}) n""",
    f"""INSERT INTO {LINE} (session_id, who, by, kind, is_interrupted, source, provider_task_id, at, sealed)
        SELECT id, 'user', 'voice', '', false, 'browser', '', created_at, '\\x01' FROM {SESSION}""",
    # As real marks are: one word has another mark for each person, spread over all 64 bits.
    f"""INSERT INTO {WORD} (utterance_id, mark)
        SELECT l.id, hashint8extended(s.user_id * {WORDS} + mod(l.id * 7 + n * 131, {WORDS}), 1)
        FROM {LINE} l JOIN {SESSION} s ON s.id = l.session_id, generate_series(1, 3) n""",
    f"""INSERT INTO {TOTAL} (session_id, account_id, persona_id, day, time, estimated, wasted, answers_ms)
        SELECT id, account_id, persona_id, created_at::date, ended_at - created_at, 0.8, '0', '[900, 1200]'
        FROM {SESSION}""",
    f"""INSERT INTO {DAY} (day, account_id, persona_id, sessions, time, wasted, estimated)
        SELECT day, account_id, persona_id, count(*), sum(time), sum(wasted), sum(estimated)
        FROM {TOTAL} GROUP BY day, account_id, persona_id""",
)
