"""How long the portal keeps what it learns when people sign in: names, network addresses, browsers.

Addresses in the audit log, in exports and in sessions' events are part of chained records and stay with them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

ROWS_PER_DELETE = 1_000
"""Short transactions: on SQLite nobody else writes meanwhile."""
SIGN_IN_LOGS = (AccessAttempt, AccessFailureLog, AccessLog)


def delete_old(now: datetime) -> int:
    """Delete sign-in attempts past SIGN_IN_LOG_DAYS and login sessions that have expired; return how many rows."""
    oldest = now - timedelta(days=settings.SIGN_IN_LOG_DAYS)
    logs = sum(_delete(log._default_manager.filter(attempt_time__lt=oldest)) for log in SIGN_IN_LOGS)
    return logs + _delete(Session.objects.filter(expire_date__lt=now))


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_PER_DELETE]):
        rows.model._default_manager.filter(pk__in=keys).delete()
        deleted += len(keys)
    return deleted
