"""Retention of sign-in data: names, network addresses and browsers.

Addresses in the audit log, in exports and in session events are part of hash-chained records and are kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

ROWS_PER_DELETE = 1_000
"""Keeps transactions short, because SQLite has one writer at a time."""
SIGN_IN_LOGS = (AccessAttempt, AccessFailureLog, AccessLog)


def delete_old(now: datetime) -> int:
    """Delete sign-in attempts older than SIGN_IN_LOG_DAYS and expired login sessions.

    Return the row count.
    """
    oldest = now - timedelta(days=settings.SIGN_IN_LOG_DAYS)
    logs = sum(_delete(log._default_manager.filter(attempt_time__lt=oldest)) for log in SIGN_IN_LOGS)
    return logs + _delete(Session.objects.filter(expire_date__lt=now))


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_PER_DELETE]):
        rows.model._default_manager.filter(pk__in=keys).delete()
        deleted += len(keys)
    return deleted
