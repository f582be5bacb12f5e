"""The provider's record of an ended session.

It has the end reason, the cost, and lines that the portal has not received.

The worker asks until the provider answers. Reading a record twice adds nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from heygen_portal import providers
from heygen_portal.models import EventType
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderError, ProviderRejected, SessionRecord, SpokenLine
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import due_rows, each_row
from heygen_portal.trail import statements
from heygen_portal.webhooks import outbox
from sessions import notices
from sessions.actions.stop import error_for_log
from sessions.costs import ledger
from sessions.lifecycle import coverage, events, line_standing
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SpeechKey, Status, StreamingSession, Utterance
from sessions.speech import text_matching

logger = logging.getLogger(__name__)

RECORDS_IN_PARALLEL = 20
RETRY_INTERVAL = timedelta(minutes=1)
# After the end of a session. Until then, a provider that does not answer is asked again.
GIVE_UP_AFTER = timedelta(days=1)


async def read_due(now: datetime) -> None:
    """Read the provider records that are due."""
    claimed = await in_thread(_claim_due)(now)
    await asyncio.gather(*(_try_read(session, now) for session in claimed))


def has_due(now: datetime) -> bool:
    return _due(now).exists()


def _due(now: datetime) -> QuerySet[StreamingSession]:
    return StreamingSession.objects.filter(status=Status.ENDED, record_due_at__lte=now)


def _claim_due(now: datetime) -> list[StreamingSession]:
    rows = _due(now).select_related("account", "persona")
    return due_rows.claim(rows.order_by("record_due_at"), RECORDS_IN_PARALLEL, record_due_at=now + RETRY_INTERVAL)


async def _try_read(session: StreamingSession, now: datetime) -> None:
    with each_row.log_failure(f"session {session.pk}: its record could not be read or stored"):
        await _read(session, now)


async def _read(session: StreamingSession, now: datetime) -> None:
    provider = providers.for_account(session.account)
    assert session.provider_session_id
    assert session.ended_at
    try:
        record = await provider.read_record(session.provider_session_id)
    except ProviderError as exc:
        logger.warning("session %s: its record could not be read: %s", session.pk, error_for_log(exc))
        if isinstance(exc, ProviderRejected) or now - session.ended_at > GIVE_UP_AFTER:
            await in_thread(_give_up)(session)
    else:
        await in_thread(store)(session, record)


def _give_up(session: StreamingSession) -> None:
    with transaction.atomic():
        StreamingSession.objects.select_for_update().only("pk").get(pk=session.pk)
        events.record(session.pk, Entry(EventKind.PROVIDER_RECORD_MISSING))
        _finish(session)


def _finish(session: StreamingSession) -> None:
    """Look for no further lines, and tell webhooks that the transcript is complete."""
    was_due = StreamingSession.objects.filter(pk=session.pk).exclude(record_due_at=None).update(record_due_at=None)
    if was_due:
        outbox.write(EventType.TRANSCRIPT_READY, lambda: notices.transcript_ready(session, clock.now()))


def store(session: StreamingSession, record: SessionRecord) -> None:
    """Store the provider's end reason and cost, and lines that we lack.

    Idempotent.
    """
    with transaction.atomic():
        StreamingSession.objects.select_for_update().only("pk").get(pk=session.pk)
        stored = list(Utterance.objects.filter(session=session))
        is_erased = SpeechKey.objects.filter(session=session).exclude(erased_at=None).exists()
        lost = line_standing.undelivered(stored)
        vouched = [
            line for line in stored if line.source != events.Source.BROWSER and line.pk not in lost and line.is_readable
        ]
        from_provider = [line for line in vouched if line.source == events.Source.PROVIDER]
        missing = [] if is_erased else missing_lines([(line.who, line.text) for line in vouched], record.lines)
        added: list[Utterance] = []
        moment = session.billed_from
        for line in missing:
            moment = line.at or moment
            row = Utterance.objects.create(
                session=session,
                who=Utterance.Who(line.who.value),
                by=Utterance.By.VOICE,
                text=line.text,
                source=events.Source.PROVIDER,
                at=moment,
            )
            added.append(row)
        data: dict[str, Any] = {
            "end_reason": record.end_reason,
            "seconds": record.duration.total_seconds() if record.duration else None,
            "credits": str(record.credits) if record.credits is not None else None,
            "lines": len(record.lines),
            "added": len(missing),
            "confirmed": _confirmed(stored, from_provider + added),
            "speech": [row.fingerprint for row in added],
        }
        data |= statements.merged(*(statements.state(coverage.LINE, row) for row in added))
        events.record(session.pk, Entry(EventKind.PROVIDER_RECORD, data, events.Source.PROVIDER))
        ledger.store_provider_cost(session.pk, data["seconds"], record.credits)
        _finish(session)


def missing_lines(known: Sequence[tuple[str, str]], provider_lines: Sequence[SpokenLine]) -> list[SpokenLine]:
    """Return the provider's lines that are not among the known lines.

    `known` must not contain lines that only a browser reported: a report must never keep a provider's line out.
    """
    texts = [(line.who.value, line.text) for line in provider_lines]
    return [provider_lines[index] for index in text_matching.missing(known, texts)]


def _confirmed(stored: Sequence[Utterance], provider_lines: Sequence[Utterance]) -> dict[str, list[int]]:
    """Return the IDs of reported lines that the provider confirms.

    Each comes with the IDs of the lines that confirm it.
    """
    reported = [line for line in stored if line.source == events.Source.BROWSER and line.is_readable and line.text]
    found = text_matching.confirmations(
        [(line.who, line.text) for line in reported], [(line.who, line.text) for line in provider_lines]
    )
    return {str(reported[index].pk): [provider_lines[at].pk for at in by] for index, by in found.items()}
