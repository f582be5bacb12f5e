"""Verification of the columns by which the worker finds its work.

No event states them; they are checked for plausibility.

If they were emptied or set to a later time, a session would not be stopped, booked or compared with the provider.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from heygen_portal.providers import KINDS
from heygen_portal.trail.raw_values import AsText
from sessions.actions import deadlines
from sessions.integrity.fault import Fault, FaultKind
from sessions.integrity.scope import MAX_FAULTS
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import SessionEvent, SessionTotal, Status, StreamingSession

# After a session's end. The worker needs seconds, but may have been down.
BOOKED_WITHIN = timedelta(days=1)
# After a session's end; later, a missing provider record is not reported. The search takes time for each session.
RECORD_CHECKED_FOR = timedelta(days=7)
# After a repair. The nightly check finds it at least once; a permanent finding would hide the next one.
REPAIR_REPORTED_FOR = timedelta(days=2)
# The next attempt after a failed read, as in `sessions.costs.provider_record`.
RECORD_RETRY_TIME = timedelta(minutes=1)
# How far another process's clock may be ahead of this one's.
CLOCK_TOLERANCE = timedelta(minutes=1)


def faults() -> Iterator[Fault]:
    """Yield contradictions of worker columns, up to `MAX_FAULTS` per column."""
    now = timezone.now()
    for session_id in islice(deadlines.late_deadlines(now), MAX_FAULTS):
        yield Fault("row_changed", str(session_id), table="session", row=str(session_id), column="deadline_at")
    is_future = Q(active_at__gt=now + CLOCK_TOLERANCE)
    yield from _faults_in(StreamingSession.objects.open().filter(is_future), "active_at")
    yield from _faults_in(_repaired(now), "deadline_at", "deadline_moved")
    yield from _faults_in(_wrongly_booked(), "booked_at")
    yield from _faults_in(_unbooked(now), "booked_at", "unbooked")
    yield from _faults_in(_record_never_due(now), "record_due_at")


def _faults_in(rows: QuerySet[StreamingSession], column: str, kind: FaultKind = "row_changed") -> Iterator[Fault]:
    for session in islice(rows.order_by().values_list(AsText("pk"), flat=True).iterator(), MAX_FAULTS):
        yield Fault(kind, session, table="session", row=session, column=column)


def _repaired(now: datetime) -> QuerySet[StreamingSession]:
    """Return sessions whose deadline was late and has been repaired."""
    is_recent = Q(ended_at=None) | Q(ended_at__gt=now - REPAIR_REPORTED_FOR)
    events: Any = SessionEvent.objects.filter(session=OuterRef("pk"), kind=EventKind.DEADLINE_REPAIRED)
    return StreamingSession.objects.filter(is_recent, Exists(events.filter(at__gt=now - REPAIR_REPORTED_FOR)))


def _wrongly_booked() -> QuerySet[StreamingSession]:
    """Return sessions that are booked without a total, or the reverse.

    Both change together.
    """
    has_total = Exists(SessionTotal.objects.filter(pk=OuterRef("pk")))
    return StreamingSession.objects.filter(Q(booked_at=None) & has_total | Q(booked_at__isnull=False) & ~has_total)


def _unbooked(now: datetime) -> QuerySet[StreamingSession]:
    has_total = Exists(SessionTotal.objects.filter(pk=OuterRef("pk")))
    ended = StreamingSession.objects.filter(status=Status.ENDED, booked_at=None, ended_at__lt=now - BOOKED_WITHIN)
    return ended.exclude(has_total)


def _record_never_due(now: datetime) -> QuerySet[StreamingSession]:
    """Return sessions whose provider record is due too late or never."""
    is_late = Q(record_due_at__gt=now + RECORD_RETRY_TIME + CLOCK_TOLERANCE)
    events: Any = SessionEvent.objects.filter(session=OuterRef("pk"))
    kinds = [kind for kind, provider in KINDS.items() if provider.capabilities.has_session_records]
    is_left = Q(
        Exists(events.filter(kind=EventKind.PROVIDER_CREATED)),
        ~Exists(events.filter(kind__in=(EventKind.PROVIDER_RECORD, EventKind.PROVIDER_RECORD_MISSING))),
        account__kind__in=kinds,
        record_due_at=None,
        ended_at__gt=now - RECORD_CHECKED_FOR,
    )
    return StreamingSession.objects.filter(is_late | is_left, status=Status.ENDED)
