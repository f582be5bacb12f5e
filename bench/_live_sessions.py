"""Thousands of live sessions in the database and at the emulator.

Import after Django is set up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import aiohttp
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from avatars.models import Persona
from sessions.models import Conversation, Status, StreamingSession, Tab
from tests.support.servers import Emulator

CREATES_IN_PARALLEL = 100
BATCH_ROWS = 2000
HOUR = timedelta(hours=1)


async def open_at_emulator(emulator: Emulator, count: int, *, is_started: bool = False) -> list[str]:
    """Open sessions at the emulator and return their IDs.

    Only sessions that are started accept texts.
    """
    slots, body = asyncio.Semaphore(CREATES_IN_PARALLEL), {"version": "v2", "avatar_id": "Nora_public_20260101"}
    async with aiohttp.ClientSession(emulator.url, headers={"X-Api-Key": emulator.api_key}) as http:

        async def one() -> str:
            async with slots:
                async with http.post("/v1/streaming.new", json=body) as answer:
                    session_id = str((await answer.json())["data"]["session_id"])
                if is_started:
                    async with http.post("/v1/streaming.start", json={"session_id": session_id}) as answer:
                        answer.raise_for_status()
                return session_id

        return await asyncio.gather(*(one() for _ in range(count)))


def store(provider_session_ids: Iterable[str | None]) -> list[StreamingSession]:
    """Store a live session of a separate user for each ID.

    Nothing is due for an hour.
    """
    persona = Persona.objects.published().select_related("avatar__account")[0]
    names = list(provider_session_ids)
    people = User.objects.bulk_create((User(username=uuid4().hex) for _ in names), batch_size=BATCH_ROWS)
    now = timezone.now()
    conversations = Conversation.objects.bulk_create(
        (Conversation(id=uuid4(), user=person, persona=persona, started_at=now) for person in people),
        batch_size=BATCH_ROWS,
    )
    return StreamingSession.objects.bulk_create(
        (
            StreamingSession(
                id=conversation.pk,
                conversation=conversation,
                user=conversation.user,
                account=persona.avatar.account,
                persona=persona,
                persona_version=persona.version,
                persona_settings=persona.snapshot() | {"idle_timeout_s": 2 * int(HOUR.total_seconds())},
                status=Status.LIVE,
                provider_session_id=name,
                created_at=now,
                live_at=now,
                ends_at=now + 2 * HOUR,
                deadline_at=now + HOUR,
            )
            for conversation, name in zip(conversations, names, strict=True)
        ),
        batch_size=BATCH_ROWS,
    )


def open_tabs(sessions: list[StreamingSession], process_id: UUID) -> None:
    """Give each session a tab of one web process."""
    tabs = (Tab(session=session, process_id=process_id, channel=uuid4().hex) for session in sessions)
    Tab.objects.bulk_create(tabs, batch_size=BATCH_ROWS)


def make_due(sessions: list[StreamingSession], moments: Iterable[datetime]) -> None:
    """Set when each session reaches its duration limit."""
    for session, moment in zip(sessions, moments, strict=True):
        session.ends_at = session.deadline_at = moment
    StreamingSession.objects.bulk_update(sessions, ["ends_at", "deadline_at"], batch_size=500)


def lateness(sessions: list[StreamingSession]) -> list[float] | None:
    """Return the seconds from limit to confirmed end for each session.

    Return None while one is open.
    """
    rows = StreamingSession.objects.filter(pk__in=[session.pk for session in sessions])
    ended = [(row.ended_at, row.ends_at) for row in rows if row.ended_at]
    return [(at - limit).total_seconds() for at, limit in ended] if len(ended) == len(sessions) else None


def rows_written() -> int:
    """Return PostgreSQL's count of rows inserted, updated or deleted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what this connection has written itself
        cursor.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables")
        return int(cursor.fetchone()[0])


def truncate() -> None:
    """Truncate all sessions. The benchmark's database is temporary."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE avatar_sessions_conversation CASCADE")


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE avatar_sessions_streamingsession")
