"""The books: what each session came to once it is over, and the sums by day.

Kept by the worker, not by whoever ends a session; what is not in the totals yet, `quotas` adds up beside them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from heygen_portal.runtime import due_rows
from sessions.capacity import quotas
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import DayTotal, SessionEvent, SessionTask, SessionTotal, Status, StreamingSession
from sessions.timeline.moments import PORTAL, TASK, Moment, in_order
from sessions.timeline.turns import SPEECH, turns_of

SESSIONS_PER_BATCH = 100
BOOKING_SECONDS = 2
"""After so long the rest is left to the next tick: the limits are kept by the same worker."""
DEPARTURE_KINDS = (EventKind.LAST_TAB_LEFT, EventKind.PERSON_LEFT_ROOM)
RETURN_KINDS = (
    EventKind.TAB_RETURNED,
    EventKind.ROOM_CONNECTED,
    EventKind.ROOM_RECONNECTED,
    EventKind.PARTICIPANT_JOINED,
)
"""Signs that somebody is there again."""
RECORD = EventKind.PROVIDER_RECORD
COST_KINDS = (*DEPARTURE_KINDS, *RETURN_KINDS, *SPEECH, EventKind.LADDER, EventKind.INTERRUPTED, RECORD)

logger = logging.getLogger(__name__)


def book_all() -> int:
    """Add what is over to the totals, and as much of it as there is time for; return how many sessions those were."""
    stop_at = time.monotonic() + BOOKING_SECONDS
    count = 0
    failed: set[UUID] = set()
    while True:
        rows = StreamingSession.objects.filter(status=Status.ENDED, booked_at=None).exclude(pk__in=failed)
        ended = list(rows.order_by("account", "created_at").values_list("pk", flat=True)[:SESSIONS_PER_BATCH])
        count += _book_each(ended, failed)
        if len(ended) < SESSIONS_PER_BATCH or time.monotonic() >= stop_at:
            return count


def _book_each(session_ids: Sequence[UUID], failed: set[UUID]) -> int:
    """Book sessions together, or one by one where that fails; add those that cannot be booked to `failed`."""
    try:
        return _book(session_ids)
    except (OperationalError, InterfaceError):
        raise  # the database is away or busy: the next run tries again
    except Exception as exc:
        if len(session_ids) > 1:
            return sum(_book_each([session_id], failed) for session_id in session_ids)
        logger.exception("session %s could not be booked", session_ids[0], exc_info=exc)
        failed.add(session_ids[0])
    return 0


def _book(session_ids: Sequence[UUID]) -> int:
    """Add sessions that are over to the totals; return how many. Two workers never take the same.

    One that has a total is added no second time: verification compares its total with the record.
    """
    with transaction.atomic():
        rows = StreamingSession.objects.select_related("account").filter(status=Status.ENDED, booked_at=None)
        ended = list(due_rows.unlocked(rows.filter(pk__in=session_ids).order_by("account", "created_at")))
        if not ended:
            return 0
        known = set(SessionTotal.objects.filter(pk__in=[session.pk for session in ended]).values_list("pk", flat=True))
        moments = _moments_of(ended)
        totals = [_total(session, moments[session.pk]) for session in ended if session.pk not in known]
        SessionTotal.objects.bulk_create(totals)
        _add_to_days(totals)
        booked = {total.session_id: Entry(EventKind.BOOKED, coverage.state(coverage.TOTAL, total)) for total in totals}
        events.append_each(booked, are_over=True)
        StreamingSession.objects.filter(pk__in=[session.pk for session in ended]).update(booked_at=timezone.now())
    return len(ended)


def store_provider_cost(session_id: UUID, seconds: float | None, reported: Decimal | None) -> None:
    """Add what the provider tells of a session. One that is not booked yet takes it from the record."""
    with transaction.atomic():
        total = SessionTotal.objects.select_related("account").filter(pk=session_id).first()
        if total is None:
            return
        before = (total.provider_time, total.provider_credits)
        _set_provider_cost(total, seconds, reported)
        if (total.provider_time, total.provider_credits) == before:
            return
        names = ("provider_time", "provider_credits")
        total.save(update_fields=names)
        events.record(session_id, Entry(EventKind.COST_TOLD, coverage.state(coverage.TOTAL, total, *names)))


def _moments_of(sessions: Iterable[StreamingSession]) -> Mapping[UUID, list[Moment]]:
    """Return what was recorded of each that bears on its total: two queries, however many."""
    moments: dict[UUID, list[Moment]] = defaultdict(list)
    for event in SessionEvent.objects.filter(session__in=sessions, kind__in=COST_KINDS).order_by("session", "number"):
        moments[event.session_id].append(Moment(event.at, event.source, event.kind, event.data, number=event.number))
    for task in SessionTask.objects.filter(session__in=sessions).defer("sealed"):
        moments[task.session_id].append(task_moment(task))
    return moments


def task_moment(task: SessionTask) -> Moment:
    """Return a text's place on the session's timeline."""
    data = {"kind": task.kind, "status": task.status, "failure": task.failure, "task_id": task.provider_task_id}
    return Moment(task.created_at, PORTAL, TASK, data | {"is_greeting": task.sent_by_id is None})


def _total(session: StreamingSession, moments: list[Moment]) -> SessionTotal:
    assert session.ended_at  # held by a constraint
    open_for = session.duration or timedelta(0)
    total = SessionTotal(
        session=session,
        account=session.account,
        persona_id=session.persona_id,
        day=timezone.localdate(session.created_at),
        time=open_for,
        estimated=_rounded(quotas.credits_for(session.account, open_for)),
        wasted=unattended_time(moments, session.ended_at) if open_for else timedelta(0),
        answers_ms=[round(turn.latency / _MS) for turn in turns_of(in_order(moments)) if turn.latency],
    )
    if record := next((moment.data for moment in moments if moment.kind == RECORD), None):
        reported = record.get("credits")
        _set_provider_cost(total, record.get("seconds"), Decimal(reported) if reported is not None else None)
    return total


_MS = timedelta(milliseconds=1)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"))


def _set_provider_cost(total: SessionTotal, seconds: float | None, reported: Decimal | None) -> None:
    """A provider that tells the time alone is believed the time; the price is the one we know."""
    total.provider_time = timedelta(seconds=seconds) if seconds is not None else None
    if reported is None and total.provider_time is not None:
        reported = quotas.credits_for(total.account, total.provider_time)
    total.provider_credits = _rounded(reported) if reported is not None else None


def unattended_time(moments: Iterable[Moment], ended_at: datetime) -> timedelta:
    """Return how long a session was open with nobody in front of it."""
    wasted, left_at = timedelta(0), None
    for moment in sorted((moment for moment in moments if moment.number), key=lambda moment: moment.number):
        if moment.kind in DEPARTURE_KINDS:
            left_at = left_at or moment.at
        elif left_at and moment.kind in RETURN_KINDS:
            wasted += max(moment.at - left_at, timedelta(0))
            left_at = None
    return wasted + max(ended_at - left_at, timedelta(0)) if left_at else wasted


def _add_to_days(totals: Iterable[SessionTotal]) -> None:
    sums: dict[tuple[date, int, int], dict[str, Any]] = {}
    for total in totals:
        key = (total.day, total.account_id, total.persona_id)
        added = {"sessions": 1, "time": total.time, "wasted": total.wasted, "estimated": total.estimated}
        known = sums.get(key)
        sums[key] = {name: known[name] + added[name] for name in added} if known else added
    for (day, account, persona), added in sorted(sums.items()):  # in one order: two workers may meet here
        rows = DayTotal.objects.select_for_update()
        row, _ = rows.get_or_create(day=day, account_id=account, persona_id=persona)
        for name, value in added.items():
            setattr(row, name, getattr(row, name) + value)
        row.save()
