"""Today's figures for the dashboard and the live board.

No query slows down as history grows: past days are in the totals, and times are measured over today's newest sessions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery, Sum

from avatars.models import ProviderAccount
from sessions.capacity import quotas
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import DayTotal, EndReason, SessionEvent, SessionTotal, StreamingSession
from sessions.timeline.moments import Moment
from sessions.timeline.percentiles import median, p95
from sessions.timeline.turns import greeting_sound

# The newest sessions over which times are measured.
MAX_MEASURED_SESSIONS = 500
# For the greeting, the newest sessions and the first events of each: it is among those.
MAX_GREETED_SESSIONS = 100
EVENTS_UNTIL_GREETED = 200


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile of `count` measurements.

    The latter is None with few of them.
    """

    median: timedelta | None = None
    p95: timedelta | None = None
    count: int = 0

    @classmethod
    def of(cls, measured: Iterable[timedelta]) -> Spread:
        known = list(measured)
        return cls(median(known), p95(known), len(known))


@dataclass(frozen=True)
class UnattendedCost:
    """Unattended time of `sessions`, and what it cost."""

    time: timedelta
    credits: Decimal
    sessions: int


@dataclass(frozen=True)
class Today:
    sessions: int
    open: int
    # Label of the end reason, and number of sessions; the most frequent first.
    failures: list[tuple[str, int]]
    first_frame: Spread
    greeting: Spread
    response_times: Spread


def today(now: datetime) -> Today:
    """Return today's figures. Six queries."""
    rows = StreamingSession.objects.filter(created_at__gte=quotas.day_of(now)).order_by()
    reasons = dict(rows.values_list("end_reason").annotate(count=Count("pk")))
    failures = EndReason.technical_failures()
    failed = [(str(reason.label), reasons[reason]) for reason in EndReason if reason in failures and reason in reasons]
    return Today(
        sessions=sum(reasons.values()),
        open=StreamingSession.objects.open().count(),
        failures=sorted(failed, key=lambda failure: failure[1], reverse=True),
        first_frame=first_frame(now),
        greeting=greeting(now),
        response_times=response_times(now),
    )


def first_frame(now: datetime) -> Spread:
    """Return the times from Start to the first frame, in today's newest sessions.

    Sessions with sound or text only have none, although they were live.
    """
    live = StreamingSession.objects.filter(created_at__gte=quotas.day_of(now), live_at__isnull=False)
    frames = SessionEvent.objects.filter(session=OuterRef("pk"), kind=EventKind.FIRST_FRAME).order_by("number")
    shown = live.annotate(frame_at=Subquery(frames.values("at")[:1])).order_by("-created_at")
    moments = shown.values_list("created_at", "frame_at")[:MAX_MEASURED_SESSIONS]
    return Spread.of(max(frame_at - began, timedelta(0)) for began, frame_at in moments if frame_at)


def greeting(now: datetime) -> Spread:
    """Return the times from Start to the greeting's first sound.

    For today's newest sessions, in two queries.
    """
    today = StreamingSession.objects.filter(created_at__gte=quotas.day_of(now)).order_by("-created_at")
    newest = list(today.values_list("pk", flat=True)[:MAX_GREETED_SESSIONS])
    sounds = SessionEvent.objects.filter(
        session__in=newest, number__lte=EVENTS_UNTIL_GREETED, kind=EventKind.FIRST_SOUND
    ).order_by("session", "number")
    moments: dict[UUID, list[Moment]] = defaultdict(list)
    for event in sounds:
        moments[event.session_id].append(Moment(event.at, event.source, event.kind, event.data))
    return Spread.of(wait for heard in moments.values() if (wait := greeting_sound(heard)) is not None)


def response_times(now: datetime) -> Spread:
    """Return the response times of today's newest ended sessions."""
    rows = SessionTotal.objects.filter(day=quotas.day_of(now).date()).order_by("-day", "-session_id")
    newest = rows[:MAX_MEASURED_SESSIONS]
    return Spread.of(latency for row in newest for latency in row.response_times)


def spent_today(accounts: Sequence[ProviderAccount], now: datetime) -> Decimal:
    """Return the credits spent today on these accounts, including open sessions.

    Two queries.
    """
    return sum((row.spent for row in quotas.spendings(accounts, now, quotas.day_of(now)).values()), Decimal(0))


def wasted_today(accounts: Sequence[ProviderAccount], now: datetime) -> UnattendedCost:
    """Return the unattended time of today's ended sessions. Two queries."""
    today = quotas.day_of(now).date()
    sums = DayTotal.objects.filter(day=today).order_by().values_list("account").annotate(Sum("wasted"))
    by_account: dict[int, timedelta] = dict(sums)
    credits_of = (quotas.credits_for(account, by_account.get(account.pk, timedelta(0))) for account in accounts)
    count = SessionTotal.objects.filter(Q(day=today), wasted__gt=timedelta(0)).count()
    return UnattendedCost(sum(by_account.values(), timedelta(0)), sum(credits_of, Decimal(0)), count)
