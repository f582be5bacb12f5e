"""Costs of a month, and their comparison with the providers' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.expressions import Combinable
from django.db.models.functions import Abs
from django.utils import timezone

from avatars.models import ProviderAccount
from sessions.models import DayTotal, SessionTotal, StreamingSession

# The sessions with the largest differences in a reconciliation.
LISTED_DIFFERENCES = 50
ZERO = Decimal(0)


@dataclass(frozen=True)
class Month:
    """A calendar month in the portal's time zone."""

    first: date

    @classmethod
    def parse(cls, name: str, now: datetime) -> Month:
        """Return the month with a name such as 2026-01.

        An invalid name gives the current month.
        """
        try:
            first = date.fromisoformat(f"{name}-01")
        except ValueError:
            first = timezone.localdate(now, timezone.get_default_timezone()).replace(day=1)
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

    def is_before(self, now: datetime) -> bool:
        """Return whether the month is over."""
        return self.following.first <= timezone.localdate(now, timezone.get_default_timezone())

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.following.first - self.first).days)]

    @property
    def condition(self) -> Q:
        return Q(day__gte=self.first, day__lt=self.following.first)


@dataclass(frozen=True)
class Sums:
    """The sums of a group of sessions."""

    name: str
    sessions: int = 0
    time: timedelta = timedelta(0)
    wasted: timedelta = timedelta(0)
    credits: Decimal = ZERO  # with the models', also in tests of personas
    model_credits: Decimal = ZERO
    model_tokens: int = 0

    @property
    def wasted_credits(self) -> Decimal:
        """The share of the provider's credits that was spent on unattended time."""
        return (self.credits - self.model_credits) * Decimal(self.wasted / self.time) if self.time else ZERO


@dataclass(frozen=True)
class Report:
    """The costs of a month.

    `not_booked` sessions have ended but are not in the sums yet.
    """

    total: Sums
    days: list[Sums]
    personas: list[Sums]
    accounts: list[Sums]
    groups: list[Sums]
    not_booked: int


def report(month: Month) -> Report:
    """Return the costs of a month.

    Six queries; only the one by group reads every session of the month.
    """
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
    """Return sums grouped by a field, or one sum of all rows; the highest cost first."""
    model_cost: Combinable = F("model_credits")
    tokens: Combinable = F("model_tokens")
    if rows.model is DayTotal:
        model_cost, tokens = model_cost + F("test_credits"), tokens + F("test_tokens")
    wanted = {
        "n": count or Sum("sessions"),
        "open_for": Sum("time"),
        "unattended": Sum("wasted"),
        "cost": Sum(F("estimated") + model_cost),
        "model_cost": Sum(model_cost),
        "tokens": Sum(tokens),
    }
    if by is None:
        found: Sequence[Mapping[str, Any]] = [rows.aggregate(**wanted)]
    else:
        found = list(rows.order_by().values(by).annotate(**wanted))
    sums = [
        Sums(
            str(row.get(by or "") or ""),
            row["n"],
            row["open_for"],
            row["unattended"],
            row["cost"],
            row["model_cost"],
            row["tokens"],
        )
        for row in found
        if row["n"] or row["tokens"]
    ]
    return sorted(sums, key=lambda one: one.credits, reverse=True)


@dataclass(frozen=True)
class AccountComparison:
    """Our estimate and the provider's figure for one account's month.

    Both are of the sessions that the provider has reported.
    """

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
        """Sessions that the provider has not reported."""
        return self.sessions - self.reported


@dataclass(frozen=True)
class Reconciliation:
    accounts: list[AccountComparison]
    # The largest first.
    largest_differences: list[SessionTotal]

    @property
    def is_reported(self) -> bool:
        """Whether a provider has reported any session of the month."""
        return any(account.reported for account in self.accounts)


def reconciliation(month: Month) -> Reconciliation:
    """Compare our estimates of a month with the providers' figures. Three queries."""
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
