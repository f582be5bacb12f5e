"""What a month has cost, seen by day, persona, group and account; and how that compares with what providers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Abs
from django.utils import timezone

from avatars.models import ProviderAccount
from sessions.models import DayTotal, SessionTotal, StreamingSession

LISTED_DIFFERENCES = 50
"""Sessions that a reconciliation lists."""
ZERO = Decimal(0)


@dataclass(frozen=True)
class Month:
    """A calendar month, where the portal is."""

    first: date

    @classmethod
    def parse(cls, name: str, now: datetime) -> Month:
        """Return the month of this name, such as 2026-01; what is none is the present one."""
        try:
            first = date.fromisoformat(f"{name}-01")
        except ValueError:
            first = timezone.localdate(now).replace(day=1)
        return cls(first)

    @property
    def name(self) -> str:
        return f"{self.first:%Y-%m}"

    @property
    def following(self) -> Month:
        return Month((self.first + timedelta(days=31)).replace(day=1))

    @property
    def before(self) -> Month:
        return Month((self.first - timedelta(days=1)).replace(day=1))

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.following.first - self.first).days)]

    @property
    def condition(self) -> Q:
        return Q(day__gte=self.first, day__lt=self.following.first)


@dataclass(frozen=True)
class Sums:
    """What some sessions came to together."""

    name: str
    sessions: int = 0
    time: timedelta = timedelta(0)
    wasted: timedelta = timedelta(0)
    credits: Decimal = ZERO

    @property
    def wasted_credits(self) -> Decimal:
        """What of it was spent with nobody there."""
        return self.credits * Decimal(self.wasted / self.time) if self.time else ZERO


@dataclass(frozen=True)
class Report:
    """One month. `not_booked` sessions of it are over, and not in these sums yet."""

    total: Sums
    days: list[Sums]
    personas: list[Sums]
    accounts: list[Sums]
    groups: list[Sums]
    not_booked: int


def report(month: Month) -> Report:
    """Return what a month has cost. Six queries; those by group read the month's ledger, the others its days."""
    rows = DayTotal.objects.filter(month.condition)
    by_day = {sums.name: sums for sums in _sums(rows, "day")}
    ledger = SessionTotal.objects.filter(month.condition).annotate(group=F("session__user__groups__name"))
    span = {"created_at__date__gte": month.first, "created_at__date__lt": month.following.first}
    waiting = StreamingSession.objects.exclude(ended_at=None).filter(booked_at=None, **span)
    return Report(
        total=next(iter(_sums(rows, None)), Sums("")),
        days=[by_day.get(str(day), Sums(str(day))) for day in month.days],
        personas=_sums(rows, "persona__name"),
        accounts=_sums(rows, "account__name"),
        groups=_sums(ledger, "group", Count("pk")),
        not_booked=waiting.count(),
    )


def _sums(rows: QuerySet[Any], by: str | None, count: Any = None) -> list[Sums]:
    """Add up, the dearest first; without `by`, all of it."""
    wanted = {
        "n": count or Sum("sessions"),
        "open_for": Sum("time"),
        "nobody": Sum("wasted"),
        "cost": Sum("estimated"),
    }
    if by is None:
        found: Sequence[Mapping[str, Any]] = [rows.aggregate(**wanted)]
    else:
        found = list(rows.order_by().values(by).annotate(**wanted))
    sums = [
        Sums(str(row.get(by or "") or ""), row["n"], row["open_for"], row["nobody"], row["cost"])
        for row in found
        if row["n"]
    ]
    return sorted(sums, key=lambda one: one.credits, reverse=True)


@dataclass(frozen=True)
class AccountComparison:
    """One account's month: what we reckoned for the sessions of which the provider has reported, and what it says."""

    account: ProviderAccount
    sessions: int
    reported: int
    estimated: Decimal
    billed: Decimal

    @property
    def difference(self) -> Decimal:
        return self.billed - self.estimated

    @property
    def missing(self) -> int:
        """Sessions of which the provider has reported nothing."""
        return self.sessions - self.reported


@dataclass(frozen=True)
class Reconciliation:
    accounts: list[AccountComparison]
    largest_differences: list[SessionTotal]
    """The sessions on which the two differ most."""


def reconciliation(month: Month) -> Reconciliation:
    """Compare our figures of a month with the providers'. Three queries."""
    rows = SessionTotal.objects.filter(month.condition).order_by()
    is_reported = Q(provider_credits__isnull=False)
    sums = rows.values("account").annotate(
        count=Count("pk"),
        reported=Count("pk", is_reported),
        reported_estimate=Sum("estimated", filter=is_reported),
        billed=Sum("provider_credits"),
    )
    accounts = ProviderAccount.objects.in_bulk()
    compared = [
        AccountComparison(
            accounts[row["account"]],
            row["count"],
            row["reported"],
            row["reported_estimate"] or ZERO,
            row["billed"] or ZERO,
        )
        for row in sums
    ]
    different = rows.filter(is_reported).annotate(apart=Abs(F("provider_credits") - F("estimated"))).filter(apart__gt=0)
    largest = different.select_related("session__user", "account", "persona").order_by("-apart")[:LISTED_DIFFERENCES]
    return Reconciliation(sorted(compared, key=lambda row: row.account.name), list(largest))
