"""Totals of ended sessions, and their sums by day.

The worker books them some time after the end. Until then, `sessions.capacity.quotas` adds sessions up itself.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Sum
from django.utils import timezone

from heygen_portal.models import EventType
from heygen_portal.postgresql import clock
from heygen_portal.runtime import metrics, tracing
from heygen_portal.runtime.jobs import due_rows
from heygen_portal.trail import statements
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice
from sessions import notices
from sessions.capacity import quotas
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Answer, DayTotal, SessionEvent, SessionTask, SessionTotal, Status, StreamingSession
from sessions.timeline.moments import PORTAL, TASK, Moment, in_order
from sessions.timeline.turns import SPEECH, turns_of

SESSIONS_PER_BATCH = 100
# The rest waits for the next tick, because the same worker enforces time limits.
BOOKING_SECONDS = 2
DEPARTURE_KINDS = (EventKind.LAST_TAB_LEFT, EventKind.PERSON_LEFT_ROOM)
# Signs that the user is back.
RETURN_KINDS = (
    EventKind.TAB_RETURNED,
    EventKind.ROOM_CONNECTED,
    EventKind.ROOM_RECONNECTED,
    EventKind.PARTICIPANT_JOINED,
)
RECORD = EventKind.PROVIDER_RECORD
# What webhooks are told when a session is booked.
NOTICES = (EventType.SESSION_ENDED, EventType.TRANSCRIPT_READY)
COST_KINDS = (
    *DEPARTURE_KINDS,
    *RETURN_KINDS,
    *SPEECH,
    EventKind.FIRST_SOUND,
    EventKind.LADDER,
    EventKind.INTERRUPTED,
    RECORD,
)

logger = logging.getLogger(__name__)


def has_unbooked() -> bool:
    return _unbooked().exists()


def _unbooked() -> QuerySet[StreamingSession]:
    """Return ended sessions that have no total yet.

    One with an answer that is not over waits, because it is still to be charged.
    """
    answering = Answer.objects.filter(session=OuterRef("pk"), state=Answer.State.ANSWERING)
    return StreamingSession.objects.filter(~Exists(answering), status=Status.ENDED, booked_at=None)


def book_all() -> int:
    """Book ended sessions for at most `BOOKING_SECONDS`; return how many were booked."""
    stop_at = time.monotonic() + BOOKING_SECONDS
    count = 0
    failed: set[UUID] = set()
    while True:
        rows = _unbooked().exclude(pk__in=failed)
        ended = list(rows.order_by("account", "created_at").values_list("pk", flat=True)[:SESSIONS_PER_BATCH])
        count += _book_each(ended, failed)
        if len(ended) < SESSIONS_PER_BATCH or time.monotonic() >= stop_at:
            return count


def _book_each(session_ids: Sequence[UUID], failed: set[UUID]) -> int:
    """Book sessions together, or one by one if that fails.

    Adds sessions that cannot be booked to `failed`.
    """
    try:
        return _book(session_ids)
    except (OperationalError, InterfaceError):
        raise  # the database is unavailable or busy: the next run tries again
    except Exception as exc:
        if len(session_ids) > 1:
            return sum(_book_each([session_id], failed) for session_id in session_ids)
        logger.exception("session %s could not be booked", session_ids[0], exc_info=exc)
        failed.add(session_ids[0])
    return 0


def _book(session_ids: Sequence[UUID]) -> int:
    """Book ended sessions in one transaction; return how many.

    Two workers never book the same session.

    A session that has a total is not booked again: verification compares the total with the record.
    """
    with transaction.atomic():
        rows = StreamingSession.objects.select_related("account", "persona")
        rows = rows.filter(status=Status.ENDED, booked_at=None)
        ended = list(due_rows.lock_unclaimed(rows.filter(pk__in=session_ids).order_by("account", "created_at")))
        if not ended:
            return 0
        known = set(SessionTotal.objects.filter(pk__in=[session.pk for session in ended]).values_list("pk", flat=True))
        moments = _moments_of(ended)
        used = _used_of_models(ended)
        totals = [
            _total(session, moments[session.pk], *used.get(session.pk, (0, Decimal(0))))
            for session in ended
            if session.pk not in known
        ]
        SessionTotal.objects.bulk_create(totals)
        _add_to_days(totals)
        booked = {
            total.session_id: Entry(EventKind.BOOKED, statements.state(coverage.TOTAL, total)) for total in totals
        }
        events.append_each(booked, are_over=True)
        outbox.write_all(NOTICES, lambda: _notices(ended, {total.session_id: total for total in totals}))
        StreamingSession.objects.filter(pk__in=[session.pk for session in ended]).update(booked_at=timezone.now())
    for milliseconds in (turn for total in totals for turn in total.answers_ms):
        metrics.turns.observe(milliseconds / 1000)
    for session in ended:
        tracing.session_event(session.pk, "book", session.ended_at or timezone.now())
    return len(ended)


def _notices(sessions: Iterable[StreamingSession], totals: Mapping[UUID, SessionTotal]) -> Iterator[Notice]:
    """Yield what webhooks are told of sessions that are booked for the first time."""
    now = clock.now()
    for session in sessions:
        if total := totals.get(session.pk):
            yield notices.session_ended(session, total)
            # Otherwise the provider's record, which may have further lines, completes the transcript.
            is_complete = not (session.provider_session_id and session.account.capabilities.has_session_records)
            if is_complete and session.live_at:
                yield notices.transcript_ready(session, now)


def store_provider_cost(session_id: UUID, seconds: float | None, reported: Decimal | None) -> None:
    """Store and record what the provider reports of a booked session.

    A session that is not booked yet takes them from its record when it is.
    """
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
        events.record(session_id, Entry(EventKind.COST_TOLD, statements.state(coverage.TOTAL, total, *names)))


def _moments_of(sessions: Iterable[StreamingSession]) -> Mapping[UUID, list[Moment]]:
    """Return the recorded moments that affect each session's total. Two queries."""
    moments: dict[UUID, list[Moment]] = defaultdict(list)
    for event in SessionEvent.objects.filter(session__in=sessions, kind__in=COST_KINDS).order_by("session", "number"):
        moments[event.session_id].append(Moment(event.at, event.source, event.kind, event.data, number=event.number))
    for task in SessionTask.objects.filter(session__in=sessions).defer("sealed"):
        moments[task.session_id].append(task_moment(task))
    return moments


def task_moment(task: SessionTask) -> Moment:
    """Return a task as a moment of the session's timeline."""
    data = {"kind": task.kind, "status": task.status, "failure": task.failure, "task_id": task.provider_task_id}
    return Moment(
        task.created_at, PORTAL, TASK, data | {"is_greeting": task.is_greeting, "is_answer": task.is_of_answer}
    )


def _used_of_models(sessions: Iterable[StreamingSession]) -> dict[UUID, tuple[int, Decimal]]:
    """Return the tokens and credits of each session's answers by the organisation's own model."""
    rows = Answer.objects.filter(session__in=sessions).order_by().values("session")
    sums = rows.annotate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")), credits=Sum("cost"))
    return {row["session"]: (row["tokens"], row["credits"]) for row in sums}


def _total(session: StreamingSession, moments: list[Moment], tokens: int, model_credits: Decimal) -> SessionTotal:
    assert session.ended_at  # guaranteed by a constraint
    open_for = session.duration or timedelta(0)
    total = SessionTotal(
        session=session,
        account=session.account,
        persona_id=session.persona_id,
        day=timezone.localdate(session.created_at, timezone.get_default_timezone()),
        time=open_for,
        estimated=_rounded(quotas.credits_for(session.account, open_for)),
        model_tokens=tokens,
        model_credits=_rounded(model_credits),
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
    """Set what the provider reports.

    If it reports the time only, the cost follows from the account's price.
    """
    total.provider_time = timedelta(seconds=seconds) if seconds is not None else None
    if reported is None and total.provider_time is not None:
        reported = quotas.credits_for(total.account, total.provider_time)
    total.provider_credits = _rounded(reported) if reported is not None else None


def unattended_time(moments: Iterable[Moment], ended_at: datetime) -> timedelta:
    """Return how long a session was open without the user."""
    wasted, left_at = timedelta(0), None
    for moment in sorted((moment for moment in moments if moment.number), key=lambda moment: moment.number):
        if moment.kind in DEPARTURE_KINDS:
            left_at = left_at or moment.at
        elif left_at and moment.kind in RETURN_KINDS:
            wasted += max(moment.at - left_at, timedelta(0))
            left_at = None
    return wasted + max(ended_at - left_at, timedelta(0)) if left_at else wasted


def book_test(account_id: int, persona_id: int, tokens: int, cost: Decimal) -> None:
    """Add what a turn of a persona's tests cost to the sums of today.

    Call it in the transaction that stores the turn.
    """
    today = timezone.localdate(timezone=timezone.get_default_timezone())
    row, _ = DayTotal.objects.get_or_create(day=today, account_id=account_id, persona_id=persona_id)
    added = {"test_tokens": F("test_tokens") + tokens, "test_credits": F("test_credits") + cost}
    DayTotal.objects.filter(pk=row.pk).update(**added)


def _add_to_days(totals: Iterable[SessionTotal]) -> None:
    sums: dict[tuple[date, int, int], dict[str, Any]] = {}
    for total in totals:
        key = (total.day, total.account_id, total.persona_id)
        added = {name: getattr(total, name) for name in DayTotal.SUM_FIELDS[1:]} | {"sessions": 1}
        known = sums.get(key)
        sums[key] = {name: known[name] + added[name] for name in added} if known else added
    for (day, account, persona), added in sorted(sums.items()):  # in a fixed order, so that two workers do not deadlock
        rows = DayTotal.objects.select_for_update()
        row, _ = rows.get_or_create(day=day, account_id=account, persona_id=persona)
        for name, value in added.items():
            setattr(row, name, getattr(row, name) + value)
        row.save()
