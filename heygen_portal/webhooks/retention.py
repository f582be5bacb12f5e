"""Deletion of old deliveries, in bounded batches."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from heygen_portal.models.webhooks import WebhookDelivery, WebhookMessage

ROWS_PER_BATCH = 1_000
MAX_BATCHES = 500
"""Each night. The next night continues."""


def delete_old(now: datetime) -> int:
    """Delete deliveries finished more than WEBHOOK_LOG_DAYS ago, and messages without deliveries; count the former."""
    limit = now - timedelta(days=settings.WEBHOOK_LOG_DAYS)
    old = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.WAITING).filter(finished_at__lt=limit)
    count = 0
    for _batch in range(MAX_BATCHES):
        keys = list(old.values_list("pk", flat=True)[:ROWS_PER_BATCH])
        WebhookDelivery.objects.filter(pk__in=keys).delete()
        count += len(keys)
        if len(keys) < ROWS_PER_BATCH:
            break
    needed = WebhookDelivery.objects.filter(message=OuterRef("pk"))
    unneeded = WebhookMessage.objects.filter(~Exists(needed), at__lt=limit)
    for _batch in range(MAX_BATCHES):
        keys = list(unneeded.values_list("pk", flat=True)[:ROWS_PER_BATCH])
        WebhookMessage.objects.filter(pk__in=keys).delete()
        if len(keys) < ROWS_PER_BATCH:
            break
    return count
