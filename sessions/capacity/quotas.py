"""Limits of a session: duration and idle limits, quota and monthly cap."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import DateTimeField, Exists, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail import change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.lifecycle.coverage import QUOTA
from sessions.lifecycle.transitions import SessionLimits
from sessions.models import (
    Answer,
    Conversation,
    DayTotal,
    LimitBy,
    OwnerId,
    PersonaEmbed,
    Quota,
    Status,
    StreamingSession,
)

logger = logging.getLogger(__name__)

# `StreamingSession.billed_from` in SQL.
_BILLED_FROM = Coalesce("opened_at", "created_at", output_field=DateTimeField())
MIN_SESSION_TIME = timedelta(seconds=30)  # with less time left, no session is started


@dataclass(frozen=True)
class Spending:
    """Credits of this month.

    `promised` is what running sessions may still cost until their limits. `left` is None without a cap.
    """

    spent: Decimal
    promised: Decimal
    left: Decimal | None


class SpendingUnknown(Exception):
    """A cap, price, total or time was changed in the database to a value that cannot be computed with."""


def month_of(moment: datetime) -> datetime:
    """Return the start of the calendar month, in the portal's time zone."""
    return _portal_time(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    """Return the start of the day, in the portal's time zone."""
    return _portal_time(moment).replace(hour=0, minute=0, second=0, microsecond=0)


def _portal_time(moment: datetime) -> datetime:
    """Return a moment in the portal's zone, whatever the reader's."""
    return timezone.localtime(moment, timezone.get_default_timezone())


def limits_for(
    persona: Persona,
    owner: OwnerId,
    now: datetime,
    conversation: Conversation | None = None,
    used: timedelta = timedelta(0),
) -> SessionLimits:
    """Return the limits of an owner's session with a persona.

    Raises TimeIsUp, QuotaUsed. `conversation` is the one that continues, and `used` is the time it has lasted. It
    gets the rest of its time limit, or of the current limits if they are lower. One query for the quotas, and
    one more for a user with a quota.
    """
    account = persona.avatar.account
    rows = [] if isinstance(owner, UUID) else _quotas_of(owner)
    lengths = [(persona.duration_limit, LimitBy.PERSONA), *_limits_in(rows, "duration_limit")]
    if isinstance(owner, UUID):
        visits = PersonaEmbed.objects.filter(guests=owner).values_list("visit_limit", flat=True)
        lengths += [(visit, LimitBy.GUEST) for visit in visits]
    idle = [(persona.idle_timeout, LimitBy.PERSONA), *_limits_in(rows, "idle_timeout")]
    lengths += [(account.duration_limit, LimitBy.ACCOUNT)] if account.duration_limit else []
    idle += [(account.idle_timeout, LimitBy.ACCOUNT)] if account.idle_timeout else []
    if conversation and conversation.time_limit is not None:
        stored = conversation.limit_by  # SQL may have changed it into anything
        origin = LimitBy(stored) if stored in LimitBy.values else LimitBy.PERSONA
        lengths.append((conversation.time_limit, origin))
    time_limit, time_limit_by = _lowest(lengths)
    duration, limit_by = time_limit - used, time_limit_by
    if used and duration < MIN_SESSION_TIME:
        raise errors.TimeIsUp
    quota = _monthly_quota(rows)
    if quota is not None and isinstance(owner, int):
        left = quota - used_by(owner, now)
        if left < MIN_SESSION_TIME:
            raise errors.QuotaUsed
        duration, limit_by = min((duration, limit_by), (left, LimitBy.QUOTA), key=lambda limit: limit[0])
    idle_timeout, idle_limit_by = _lowest(idle)
    return SessionLimits(duration, limit_by, idle_timeout, idle_limit_by, time_limit, time_limit_by)


def within_cap(bound: SessionLimits, account: ProviderAccount, now: datetime) -> SessionLimits:
    """Return the limits reduced to what the account's monthly cap leaves.

    Raises SpendCap, also if the spending cannot be computed. The caller must have locked the account's row. Running
    sessions count as if they ran to their limits, so that all sessions together never exceed the cap.
    """
    rate = credits_per_minute(account)
    if account.monthly_cap is None or not rate:
        return bound
    try:
        spent = spending(account, now)
    except SpendingUnknown as exc:
        logger.exception("account %s: no session starts, because its spending cannot be computed", account.pk)
        raise errors.SpendCap from exc
    left = timedelta(minutes=float((account.monthly_cap - spent.spent - spent.promised) / rate))
    if left < MIN_SESSION_TIME:
        raise errors.SpendCap
    return replace(bound, duration=left, limit_by=LimitBy.SPEND_CAP) if left < bound.duration else bound


def used_by(user_id: int, now: datetime) -> timedelta:
    """Return the total time of the sessions that a user started this month.

    Each counts until its stop was requested.
    """
    rows = StreamingSession.objects.filter(user_id=user_id, created_at__gte=month_of(now))
    # A session stopped while the provider was still creating it counts as nothing, not as negative time.
    rows = rows.exclude(provider_session_id=None).exclude(stop_requested_at__lt=F("opened_at"))
    until = Coalesce("stop_requested_at", "ended_at", Value(now), output_field=DateTimeField())
    used: timedelta | None = rows.aggregate(time=Sum(until - _BILLED_FROM))["time"]
    return used or timedelta(0)


def credits_per_minute(account: ProviderAccount) -> Decimal:
    """Return the price of a minute; zero in a provider's sandbox."""
    return Decimal(0) if account.is_sandbox else account.credits_per_minute


def credits_for(account: ProviderAccount, time: timedelta) -> Decimal:
    """Return our estimate of the cost of this much session time."""
    return Decimal(time.total_seconds()) / 60 * credits_per_minute(account)


def monthly_quota(user_id: int) -> timedelta | None:
    """Return a user's time per month, or None without a quota."""
    return _monthly_quota(_quotas_of(user_id))


def spending(account: ProviderAccount, now: datetime) -> Spending:
    """Return an account's spending of this month. Raises SpendingUnknown."""
    try:
        return _computed([account], month_of(now), now, Q(account=account))[account.pk]
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        raise SpendingUnknown(str(account.pk)) from exc


def spendings(accounts: Iterable[ProviderAccount], now: datetime, since: datetime | None = None) -> dict[int, Spending]:
    """Return the spending of many accounts in two queries.

    One is for booked totals, with tests of personas, and one for sessions not booked yet. `since` is the start of the
    first day; it defaults to the start of the month. An account whose spending cannot be computed is logged and left
    out.
    """
    accounts, since = list(accounts), since or month_of(now)
    try:
        with transaction.atomic():
            return _computed(accounts, since, now)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("the spending of the accounts could not be computed together")
    found: dict[int, Spending] = {}
    for account in accounts:
        with each_row.savepoint(f"account {account.pk}: its spending could not be computed"):
            found |= _computed([account], since, now, Q(account=account))
    return found


def _computed(
    accounts: Iterable[ProviderAccount], since: datetime, now: datetime, which: Q | None = None
) -> dict[int, Spending]:
    """Return the spending of these accounts from the rows `which`, or all rows."""
    accounts = list(accounts)
    which = which or Q()
    days = DayTotal.objects.filter(which, day__gte=since.date())
    credits_of_day = Sum(F("estimated") + F("model_credits") + F("test_credits"))
    totals = dict(days.values("account").annotate(credits=credits_of_day).values_list("account", "credits"))
    times = {row["account"]: row for row in _not_booked(which, since, now)}
    return {
        account.pk: _spending(account, totals.get(account.pk, Decimal(0)), times.get(account.pk))
        for account in accounts
    }


def _not_booked(which: Q, since: datetime, now: datetime) -> Iterable[Mapping[str, Any]]:
    """Return per account the time of unbooked sessions, so far and to their limits, and the cost of their answers."""
    rows = StreamingSession.objects.filter(which, booked_at=None, created_at__gte=since)
    rows = rows.exclude(status=Status.ENDED, provider_session_id=None)  # the provider never created those
    answers = Answer.objects.filter(session=OuterRef("pk")).order_by()
    rows = rows.exclude(ended_at__lt=F("opened_at"))  # the provider's answer came after the end
    return (
        rows.order_by()
        .values("account")
        .annotate(
            so_far=Sum(span_until(Value(now))),
            in_all=Sum(span_until(F("ends_at"))),
            model=Sum(Subquery(answers.values("session").annotate(cost=Sum("cost")).values("cost"))),
        )
    )


def span_until(end_of_running: Value | F) -> Combinable:
    """Return in SQL the billed time of a session; a running one is billed until `end_of_running`."""
    return Coalesce("ended_at", end_of_running, output_field=DateTimeField()) - _BILLED_FROM


def _spending(account: ProviderAccount, booked: Decimal, times: Mapping[str, Any] | None) -> Spending:
    so_far, in_all = ((times or {}).get(name) or timedelta(0) for name in ("so_far", "in_all"))
    spent = booked + credits_for(account, so_far) + Decimal((times or {}).get("model") or 0)
    promised = max(credits_for(account, in_all - so_far), Decimal(0))
    left = None if account.monthly_cap is None else max(account.monthly_cap - spent - promised, Decimal(0))
    if not all(amount.is_finite() for amount in (spent, promised, left or Decimal(0))):
        raise SpendingUnknown(str(account.pk))
    return Spending(spent, promised, left)


def record_change(actor: Actor, before: Quota | None, after: Quota | None) -> None:
    """Append an audit entry about an added, changed or deleted quota.

    Call it in the transaction of the change.
    """
    changes = change_log.diff(before, after, change_log.editable_columns(Quota))
    if after:
        stated = statements.changed(QUOTA, before, after)
    else:
        stated = statements.deleted((QUOTA, before)) if before else {}
    change_log.record(actor, AuditEntry.Kind.QUOTA_CHANGED, after or before, changes, stated)


def _quotas_of(user_id: int) -> list[Quota]:
    groups = Group.objects.filter(user=user_id, pk=OuterRef("group"))
    return list(Quota.objects.filter(Q(user=user_id) | Exists(groups)))


def _limits_in(rows: Iterable[Quota], field: str) -> list[tuple[timedelta, LimitBy]]:
    return [(value, _limit_origin(row)) for row in rows if (value := getattr(row, field)) is not None]


def _limit_origin(row: Quota) -> LimitBy:
    return LimitBy.GROUP if row.user_id is None else LimitBy.USER


def _monthly_quota(rows: Iterable[Quota]) -> timedelta | None:
    """Return the quota that applies.

    The user's own replaces the groups', and of several groups' the lowest applies.
    """
    given = [row for row in rows if row.minutes_per_month is not None]
    own = [row for row in given if row.user_id is not None]
    minutes = [row.minutes_per_month for row in own or given if row.minutes_per_month is not None]
    return timedelta(minutes=min(minutes)) if minutes else None


def _lowest(limits: list[tuple[timedelta, LimitBy]]) -> tuple[timedelta, LimitBy]:
    return min(limits, key=lambda limit: limit[0])
