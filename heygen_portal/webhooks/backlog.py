"""What waits for webhooks: for the metrics, and for the check of the portal's work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery

from heygen_portal.models.webhooks import Webhook, WebhookDelivery

NO_TIME = timedelta(0)


@dataclass(frozen=True)
class Backlog:
    """`oldest_due` is for how long the delivery that was due first has been waiting."""

    waiting: int
    oldest_due: timedelta
    paused: dict[str, int]


def read(now: datetime) -> Backlog:
    """Return what waits for the webhooks that are sent to, and how many are paused by each reason."""
    waiting = WebhookDelivery.objects.waiting().filter(webhook__is_enabled=True)
    found = waiting.aggregate(count=Count("pk"), since=Min("due_at"))
    oldest = max(NO_TIME, now - found["since"]) if found["since"] else NO_TIME
    paused = Webhook.objects.filter(is_enabled=False).order_by().values_list("disabled_because").annotate(Count("pk"))
    counts = dict(paused)
    return Backlog(
        found["count"], oldest, {because: counts.get(because, 0) for because in Webhook.DisabledBecause.values}
    )


def idle_time(now: datetime) -> timedelta | None:
    """Return for how long something could have been sent and was not; None without a webhook to send to.

    A receiver that fails, rests or is being served is not idle.
    """
    rows = Webhook.objects.filter(is_enabled=True).annotate(due_at=Subquery(_first_due()))
    times = rows.values_list("due_at", "resumes_at", "claimed_until")
    idle = [now - max(filter(None, each)) if each[0] else NO_TIME for each in times]
    return max(NO_TIME, *idle) if idle else None


def _first_due() -> QuerySet[WebhookDelivery, datetime | None]:
    """Return when the first delivery of the outer query's webhook is due, from an index."""
    waiting = WebhookDelivery.objects.waiting().filter(webhook=OuterRef("pk"), due_at__isnull=False)
    return waiting.order_by("due_at").values_list("due_at", flat=True)[:1]
