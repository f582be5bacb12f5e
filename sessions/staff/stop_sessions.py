"""Stop sessions and shorten the queue on behalf of staff."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext, ngettext

from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.actions import stop as stopping
from sessions.audit import inspection
from sessions.capacity import queue
from sessions.lifecycle import end_evidence, transitions, unreadable
from sessions.models import EndReason, Guest, QueueEntry, Status, StreamingSession

logger = logging.getLogger(__name__)

# How long staff wait for the providers' answers, however many sessions they stop.
OUTCOME_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class StopRequest:
    """A request to stop sessions.

    It began `begun_count` stops, whose providers are being asked.
    """

    session_ids: Collection[UUID]
    begun_count: int
    provider_calls: asyncio.Future[None]


async def stop(by_id: int, address: str | None, session_ids: Collection[UUID] | None, reason: str) -> StopRequest:
    """Begin to stop these sessions, or all running ones if `session_ids` is None.

    Their status is STOPPING on return. This process asks the providers until they confirm, and the worker takes over
    if the process ends.
    """
    begun = await in_thread(begin)(by_id, address, session_ids, reason)
    affected = [session.pk for session in begun] if session_ids is None else session_ids
    return StopRequest(affected, len(begun), background.spawn(stopping.finish_stops(begun)))


def begin(by_id: int, address: str | None, session_ids: Collection[UUID] | None, reason: str) -> list[StreamingSession]:
    """Mark the running ones of these sessions as stopping, and return them.

    Who asked for it and why is recorded in the same transaction: no session is stopped without an audit entry. Of two
    simultaneous requests, only one gets each session. One whose row, account or record cannot be read is stopped, too.
    """
    running = StreamingSession.objects.filter(end_reason="").order_by("pk")
    running = running if session_ids is None else running.filter(pk__in=session_ids)
    try:
        return _begin_together(by_id, address, running, reason)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("sessions could not be stopped together")
    begun = []
    for session_id in unreadable.ids(running):
        begun += _begin_one(by_id, address, running.filter(pk=session_id), reason)
    return begun


def _begin_together(
    by_id: int, address: str | None, rows: QuerySet[StreamingSession], reason: str
) -> list[StreamingSession]:
    with transaction.atomic():
        running = list(rows.select_related("account", "user").select_for_update(of=("self",)))
        if running:
            inspection.record_stops([session.pk for session in running], by_id, address, reason)
            for session in running:
                session.end_evidence = dict(end_evidence.staff(by_id, reason))
            transitions.begin_stop_all(running, EndReason.STAFF_STOPPED)
            about = ", ".join(sorted(session.owner_name for session in running))
            stopped = [str(session.pk) for session in running]
            audit_log.record_by(
                by_id, address, AuditEntry.Kind.SESSIONS_STOPPED, about, reason=reason, sessions=stopped
            )
    return running


def _begin_one(by_id: int, address: str | None, row: QuerySet[StreamingSession], reason: str) -> list[StreamingSession]:
    begun = []
    with transaction.atomic():
        for session in unreadable.load(row.select_for_update(of=("self",))):
            with each_row.savepoint(f"session {session.pk}: the request to stop it could not be recorded"):
                inspection.record_stops([session.pk], by_id, address, reason)
            if transitions.begin_stop(session, EndReason.STAFF_STOPPED, end_evidence.staff(by_id, reason)):
                begun.append(session)
            users = get_user_model().objects.filter(streaming_sessions=session.pk).values_list("username", flat=True)
            guests = Guest.objects.filter(streaming_sessions=session.pk)
            about = "".join([*users, *map(str, guests)])
            stopped = [str(session.pk)]
            audit_log.record_by(
                by_id, address, AuditEntry.Kind.SESSIONS_STOPPED, about, reason=reason, sessions=stopped
            )
    return begun


@dataclass(frozen=True)
class Outcome:
    """The state of sessions that staff asked to stop, now or earlier."""

    over: int
    # Sessions whose providers have not answered yet.
    pending: int
    # Why each of the others was not confirmed by its provider.
    troubles: list[end_evidence.Evidence]

    @property
    def is_all_over(self) -> bool:
        return bool(self.over) and not self.pending and not self.troubles


async def wait_for_outcome(request: StopRequest) -> Outcome:
    """Wait for the providers, at most OUTCOME_TIMEOUT_S, and return the outcome."""
    await asyncio.wait([request.provider_calls], timeout=OUTCOME_TIMEOUT_S)
    return await in_thread(_read_outcome)(request.session_ids)


async def stop_and_wait(by_id: int, address: str | None, session_ids: Collection[UUID], reason: str) -> Outcome:
    """Stop sessions and return their state, for a page that is rendered only once."""
    return await wait_for_outcome(await stop(by_id, address, session_ids, reason))


def _read_outcome(session_ids: Collection[UUID]) -> Outcome:
    rows = StreamingSession.objects.filter(pk__in=session_ids)
    known = list(rows.order_by("pk").values_list("status", "stop_trouble"))
    not_ended = [trouble for status, trouble in known if status != Status.ENDED]
    troubles = [trouble for trouble in not_ended if trouble]
    return Outcome(len(known) - len(not_ended), len(not_ended) - len(troubles), troubles)


def describe(outcome: Outcome) -> str:
    """Describe the outcome in the active language."""
    sentences = []
    if outcome.over:
        over = ngettext("%(count)d session has ended.", "%(count)d sessions have ended.", outcome.over)
        sentences.append(over % {"count": outcome.over})
    if outcome.pending:
        pending = ngettext(
            "%(count)d session is being stopped. Its provider has not responded yet.",
            "%(count)d sessions are being stopped. Their providers have not responded yet.",
            outcome.pending,
        )
        sentences.append(pending % {"count": outcome.pending})
    for why, count in Counter(end_evidence.describe(trouble) for trouble in outcome.troubles).items():
        not_stopped = ngettext(
            "%(count)d session could not be stopped yet. The portal retries until its provider confirms. %(why)s",
            "%(count)d sessions could not be stopped yet. The portal retries until their providers confirm. %(why)s",
            count,
        )
        sentences.append(not_stopped % {"count": count, "why": why})
    return " ".join(sentences) or gettext("All selected sessions had already ended.")


def remove_from_queue(entry_id: int) -> bool:
    """Remove an entry from the queue. Return whether it existed."""
    entry = QueueEntry.objects.filter(pk=entry_id).first()
    if entry:
        queue.remove(entry)
    return entry is not None
