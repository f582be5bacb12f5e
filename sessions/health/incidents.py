"""Incidents of the portal's work: opened, closed, and reported by mail.

Any process may judge, at any time and beside others: each row is changed by conditional UPDATEs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from heygen_portal.models import EventType
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice
from sessions.health import incident_mail
from sessions.health.readings import Reading, State
from sessions.models import Check, Incident

logger = logging.getLogger(__name__)

# A check that fails again within this time has not recovered. Judges may see different things for a while.
RECOVERED_AFTER = timedelta(minutes=1)
REPORT_CLAIM = timedelta(minutes=10)
REPORT_RETRY = timedelta(minutes=1)
SIGNS_OF_LIFE = frozenset(
    {Check.WEB, Check.BEAT, Check.LIMITS, Check.WORKER, Check.PROVIDER, Check.ROWS}
)  # kept in Redis


def judge(found: Mapping[Check, Reading], now: datetime) -> None:
    """Record what fails and what has recovered, and report what is new."""
    for check, reading in found.items():
        if reading.state == State.FAILING:
            _note_failure(check, reading, now)
    _close([check for check in Check if _passes(check, found)], now)
    report(now)


def _passes(check: Check, found: Mapping[Check, Reading]) -> bool:
    """Whether a check passes, or is no longer made. Without Redis, signs of life are unknown."""
    if check in found:
        return found[check].state == State.OK
    return not (check in SIGNS_OF_LIFE and Check.REDIS in found)


def _note_failure(check: Check, reading: Reading, now: datetime) -> None:
    seen = {
        "last_failed_at": now,
        "cause": reading.cause or "",
        "age": reading.age,
        "account_number": reading.account_id,
        "faults": reading.faults,
    }
    with transaction.atomic():
        row, is_new = Incident.objects.get_or_create(
            check_name=check, over_at=None, defaults={"first_failed_at": now, **seen}
        )
        if is_new:
            pass
        elif row.opened_at is None and row.last_failed_at < now - RECOVERED_AFTER:
            # Nobody looked meanwhile: it is not known to have failed all the time.
            Incident.objects.filter(pk=row.pk, opened_at=None).update(first_failed_at=now, **seen)
        else:
            Incident.objects.filter(pk=row.pk, last_failed_at__lt=now).update(**seen)
        is_long = Q(pk=row.pk, opened_at=None, first_failed_at__lte=now - timedelta(minutes=settings.INCIDENT_MINUTES))
        if Incident.objects.current().filter(is_long).update(opened_at=now):
            logger.error("incident: the check %s fails", check.value)
            _tell_webhooks(EventType.INCIDENT_OPENED, row.pk)


def _close(checks: list[Check], now: datetime) -> None:
    calm = Incident.objects.current().filter(check_name__in=checks, last_failed_at__lte=now - RECOVERED_AFTER)
    if calm.exists():  # deleting and updating would take SQLite's write lock each time
        calm.filter(opened_at=None).delete()
        for check in calm.values_list("check_name", flat=True):
            logger.warning("incident: the check %s passes again", check)
        for pk in list(calm.exclude(opened_at=None).values_list("pk", flat=True)):
            with transaction.atomic():
                if Incident.objects.current().filter(pk=pk).update(over_at=now):
                    _tell_webhooks(EventType.INCIDENT_CLOSED, pk)


def _tell_webhooks(event: EventType, incident_id: int) -> None:
    outbox.write(event, lambda: _notice(event, Incident.objects.get(pk=incident_id)))


def _notice(event: EventType, incident: Incident) -> Notice:
    times = {name: getattr(incident, name) for name in ("first_failed_at", "opened_at", "over_at")}
    data = {name: at.isoformat() if at else None for name, at in times.items()}
    about = {"incident": incident.pk, "check": str(incident.check_name), "cause": incident.cause}
    return Notice(event, about | data)


def report(now: datetime) -> None:
    """Mail what was not reported yet. Each report is claimed, so that one process sends it."""
    for row in Incident.objects.to_report(now):
        claim = Incident.objects.to_report(now).filter(pk=row.pk)
        if not claim.update(report_claimed_until=now + REPORT_CLAIM):
            continue
        row.refresh_from_db()
        if incident_mail.send(row):
            reported = {"opening_reported_at": row.opening_reported_at or now, "report_claimed_until": None}
            if row.over_at:
                reported["end_reported_at"] = now
            Incident.objects.filter(pk=row.pk).update(**reported)
        else:
            Incident.objects.filter(pk=row.pk).update(report_claimed_until=now + REPORT_RETRY)
