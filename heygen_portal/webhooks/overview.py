"""What staff see of a webhook: how its last day went, why it fails or is paused, and what was sent last."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import TruncHour
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.models import Webhook, WebhookDelivery
from heygen_portal.postgresql import clock
from heygen_portal.webhooks import delivery
from heygen_portal.webhooks.delivery import DamagedMessage

HOURS = 24
HOUR = timedelta(hours=1)
SHOWN_DELIVERIES = 10
# In the units of the drawing.
BAR_STEP, BAR_HEIGHT = 10, 28

State, Outcome = WebhookDelivery.State, WebhookDelivery.Outcome

# Waiting ones whose last attempt failed, and those given up.
FAILED = Q(state=State.GIVEN_UP) | (Q(state=State.WAITING) & ~Q(outcome="") & ~Q(outcome=Outcome.ACCEPTED))

ADVICE: Mapping[WebhookDelivery.Outcome, Promise] = {
    Outcome.REFUSED: _(
        "The receiver’s log says why. A message may come twice: receivers should accept one that they already have."
    ),
    Outcome.REDIRECTED: _("Enter the address to which the receiver redirects."),
    Outcome.TIMED_OUT: _("The receiver must answer within 15 seconds, and do the work afterwards."),
    Outcome.UNREACHABLE: _("Nothing listens at this address, or a firewall keeps the portal out."),
    Outcome.UNKNOWN_HOST: _("Check the address, and the DNS of this server."),
    Outcome.FORBIDDEN_ADDRESS: _(
        "Addresses inside your network can be allowed in the server’s settings: WEBHOOK_INTERNAL_NETWORKS."
    ),
    Outcome.BAD_CERTIFICATE: _("Renew the receiver’s certificate. It must be valid for the name in the address."),
    Outcome.BROKEN_ANSWER: _("The receiver closed the connection, or does not speak HTTP."),
    Outcome.NO_SECRET: _("FIELD_ENCRYPTION_KEY was changed. Restore the former key, or replace the secret."),
    Outcome.FAILED_HERE: _("The worker’s log has the error."),
}


@dataclass(frozen=True)
class Hour:
    """How many deliveries succeeded, and failed for now or for good, in one hour."""

    delivered: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.failed


@dataclass(frozen=True)
class Bar:
    """A rectangle of the drawing of a day. `kind` is a class of admin.css."""

    kind: str
    x: int
    y: int
    height: int


@dataclass(frozen=True)
class Overview:
    """What the page of one webhook shows beside its form. `example` is the newest message as it is sent."""

    webhook: Webhook
    recent: list[WebhookDelivery]
    failed_count: int
    waiting_count: int
    last_failure: WebhookDelivery | None
    next_attempt_at: datetime | None
    pauses_at: datetime | None
    has_two_secrets: bool
    example: str

    @property
    def advice(self) -> str:
        """What to do about the last failure."""
        outcome = self.last_failure.outcome if self.last_failure else ""
        return str(ADVICE[Outcome(outcome)]) if outcome in ADVICE else ""


def hours(webhook_ids: Collection[int], now: datetime) -> dict[int, list[Hour]]:
    """Return the last 24 hours of each webhook, the oldest first, in two queries."""
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * HOUR
    rows = WebhookDelivery.objects.filter(webhook__in=webhook_ids).order_by()
    ended = _by_hour(rows.filter(finished_at__gte=first).exclude(state=State.WAITING), "finished_at")
    trying = _by_hour(rows.waiting().filter(FAILED, attempted_at__gte=first), "attempted_at")
    counts: dict[tuple[int, int, bool], int] = {}
    for webhook_id, state, hour, count in (*ended, *trying):
        key = (webhook_id, int((hour - first) / HOUR), state == State.DELIVERED)
        counts[key] = counts.get(key, 0) + count
    return {
        pk: [Hour(counts.get((pk, number, True), 0), counts.get((pk, number, False), 0)) for number in range(HOURS)]
        for pk in webhook_ids
    }


def _by_hour(rows: QuerySet[WebhookDelivery], column: str) -> QuerySet[WebhookDelivery, tuple[int, str, datetime, int]]:
    in_hour = rows.annotate(hour=TruncHour(column, tzinfo=UTC))
    return in_hour.values_list("webhook_id", "state", "hour").annotate(count=Count("pk"))


def bars(day: Collection[Hour]) -> list[Bar]:
    """Return the drawing of a day: for each hour what was delivered, and above it what failed."""
    most = max((hour.total for hour in day), default=0)
    drawn: list[Bar] = []
    for number, hour in enumerate(day):
        x, bottom = number * BAR_STEP, BAR_HEIGHT
        if not hour.total:
            drawn.append(Bar("is-none", x, BAR_HEIGHT - 1, 1))
        for kind, count in (("is-ok", hour.delivered), ("is-bad", hour.failed)):
            if count:
                height = min(bottom, max(2, round(BAR_HEIGHT * count / most)))
                bottom -= height
                drawn.append(Bar(kind, x, bottom, height))
    return drawn


def last_attempts(webhook_ids: Collection[int]) -> dict[int, WebhookDelivery]:
    """Return the newest delivery of each webhook that was attempted."""
    attempted = WebhookDelivery.objects.filter(webhook=OuterRef("pk"), attempted_at__isnull=False).order_by("-pk")
    newest = Webhook.objects.filter(pk__in=webhook_ids).annotate(last=Subquery(attempted.values("pk")[:1]))
    rows = WebhookDelivery.objects.filter(pk__in=newest.values("last")).select_related("message")
    return {row.webhook_id: row for row in rows}


def read(webhook: Webhook, *, failed_only: bool = False) -> Overview:
    """Return the overview of a webhook, with its newest deliveries."""
    rows = WebhookDelivery.objects.filter(webhook=webhook).select_related("message").order_by("-pk")
    failed = rows.filter(FAILED)
    shown = list((failed if failed_only else rows)[:SHOWN_DELIVERIES])
    waiting = rows.waiting()
    due = waiting.filter(due_at__isnull=False).order_by("due_at").values_list("due_at", flat=True).first()
    latest = failed.exclude(attempted_at=None).order_by(F("attempted_at").desc(), "-pk").first()
    until = webhook.former_secret_until
    is_failing = webhook.is_enabled and webhook.failing_since is not None
    return Overview(
        webhook=webhook,
        recent=shown,
        failed_count=failed.count(),
        waiting_count=waiting.count(),
        last_failure=latest if is_failing or not webhook.is_enabled else None,
        next_attempt_at=max(filter(None, (due, webhook.resumes_at)), default=None)
        if webhook.is_enabled and due
        else None,
        pauses_at=webhook.failing_since + delivery.FAILING_FOR if is_failing and webhook.failing_since else None,
        has_two_secrets=bool(webhook.former_secret and until and until > clock.now()),
        example=example(rows.first()),
    )


def example(row: WebhookDelivery | None) -> str:
    """Return a message as it is sent, with its headers and without speech; empty if there is none."""
    if row is None:
        return ""
    try:
        content = json.loads(delivery.body_of(row.message, {}))
    except DamagedMessage:
        return gettext("The stored data of this message are damaged.")
    at = int((row.attempted_at or row.message.at).timestamp())
    headers = {"webhook-id": delivery.wire_id(row.message), "webhook-timestamp": at, "webhook-signature": "v1,…"}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", json.dumps(content, indent=2, ensure_ascii=False)])
