"""What binds a session: the lowest of everybody's limits, the month's minutes, and the account's monthly cap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import Group
from django.db.models import DateTimeField, Exists, F, OuterRef, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from sessions import errors
from sessions.lifecycle import Terms
from sessions.models import Allowance, LimitBy, Status, StreamingSession

SHORTEST = timedelta(seconds=30)
"""Where less than that is left, a session is not worth its beginning."""


@dataclass(frozen=True)
class Spending:
    """Credits of this month. `promised`: what the sessions that run may cost until their limit; no cap leaves None."""

    spent: Decimal
    promised: Decimal
    left: Decimal | None


def month_of(moment: datetime) -> datetime:
    """Return when the calendar month of this moment began, where the portal is."""
    return timezone.localtime(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def terms(persona: Persona, user_id: int, now: datetime) -> Terms:
    """Return what binds this person's session with this persona. Raises QuotaUsed.

    One query for the allowances, and one more for a person who has a quota.
    """
    account = persona.avatar.account
    allowances = _allowances(user_id)
    lengths = [(persona.duration_limit, LimitBy.PERSONA), *_of(allowances, "duration_limit")]
    idle = [(persona.idle_timeout, LimitBy.PERSONA), *_of(allowances, "idle_timeout")]
    lengths += [(account.duration_limit, LimitBy.ACCOUNT)] if account.duration_limit else []
    idle += [(account.idle_timeout, LimitBy.ACCOUNT)] if account.idle_timeout else []
    quota = _quota(allowances)
    if quota is not None:
        left = quota - used_by(user_id, now)
        if left < SHORTEST:
            raise errors.QuotaUsed
        lengths.append((left, LimitBy.QUOTA))
    duration, limit_by = _lowest(lengths)
    idle_timeout, idle_limit_by = _lowest(idle)
    return Terms(duration, limit_by, idle_timeout, idle_limit_by)


def within_cap(bound: Terms, account: ProviderAccount, now: datetime) -> Terms:
    """Return the terms that the account's monthly cap leaves. Raises SpendCap.

    Only while the account's row is locked: sessions that run count as if they ran to their limit, so that all of them
    together never pass the cap.
    """
    if account.monthly_cap is None:
        return bound
    paid_for = timedelta(minutes=float(account.monthly_cap / account.credits_per_minute))
    left = paid_for - _time(account, now, F("ends_at"))
    if left < SHORTEST:
        raise errors.SpendCap
    return replace(bound, duration=left, limit_by=LimitBy.SPEND_CAP) if left < bound.duration else bound


def used_by(user_id: int, now: datetime) -> timedelta:
    """Return how long a person has had a picture, in sessions that began this month."""
    rows = StreamingSession.objects.filter(user_id=user_id, created_at__gte=month_of(now), live_at__isnull=False)
    spent = rows.aggregate(time=Sum(Coalesce("ended_at", Value(now)) - F("live_at")))["time"]
    return spent or timedelta(0)


def spending(account: ProviderAccount, now: datetime) -> Spending:
    """Return what an account has cost this month, and what is promised of it."""
    until_now, in_all = (_credits(account, _time(account, now, end)) for end in (Value(now), F("ends_at")))
    left = None if account.monthly_cap is None else max(account.monthly_cap - in_all, Decimal(0))
    return Spending(until_now, max(in_all - until_now, Decimal(0)), left)


def _credits(account: ProviderAccount, time: timedelta) -> Decimal:
    return Decimal(time.total_seconds()) / 60 * account.credits_per_minute


def _time(account: ProviderAccount, now: datetime, end_of_running: Value | F) -> timedelta:
    """Return the time of this month's sessions; of those that run, until this."""
    rows = StreamingSession.objects.filter(account=account, created_at__gte=month_of(now))
    rows = rows.exclude(status=Status.ENDED, provider_session_id=None)  # the provider never opened those
    spans = Coalesce("ended_at", end_of_running, output_field=DateTimeField()) - F("created_at")
    return rows.aggregate(time=Sum(spans))["time"] or timedelta(0)


def _allowances(user_id: int) -> list[Allowance]:
    groups = Group.objects.filter(user=user_id, pk=OuterRef("group"))
    return list(Allowance.objects.filter(Q(user=user_id) | Exists(groups)))


def _of(allowances: Iterable[Allowance], field: str) -> list[tuple[timedelta, LimitBy]]:
    return [(value, _whose(row)) for row in allowances if (value := getattr(row, field)) is not None]


def _whose(allowance: Allowance) -> LimitBy:
    return LimitBy.GROUP if allowance.user_id is None else LimitBy.USER


def _quota(allowances: Iterable[Allowance]) -> timedelta | None:
    """A person's own minutes stand in place of the groups'; of several groups the lowest binds."""
    given = [row for row in allowances if row.minutes_per_month is not None]
    own = [row for row in given if row.user_id is not None]
    minutes = [row.minutes_per_month for row in own or given if row.minutes_per_month is not None]
    return timedelta(minutes=min(minutes)) if minutes else None


def _lowest(limits: list[tuple[timedelta, LimitBy]]) -> tuple[timedelta, LimitBy]:
    return min(limits, key=lambda limit: limit[0])
