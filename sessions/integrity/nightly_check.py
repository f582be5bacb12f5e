"""The nightly integrity check. Its result is a row that staff see."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import anchors
from sessions.integrity.fault import Fault
from sessions.integrity.scope import CheckCounts
from sessions.integrity.verification import faults
from sessions.lifecycle import coverage
from sessions.models import HistoryCheck, StreamingSession

logger = logging.getLogger(__name__)

# How far the clock of the process that created a session may be ahead of the check's.
CLOCK_TOLERANCE = timedelta(minutes=2)
# Faults that a check stores; all are counted.
MAX_STORED_FAULTS = 100


def check_record(started_at: datetime, report: Callable[[Fault], None] = lambda fault: None) -> HistoryCheck:
    """Verify the whole record and the anchors, and store the result.

    New seals are anchored if the anchors match.

    `report` is called with each fault.
    """
    counts, check = CheckCounts(), HistoryCheck(started_at=started_at)

    def note(fault: Fault) -> None:
        report(fault)
        check.fault_count += 1
        if len(check.faults) < MAX_STORED_FAULTS:
            check.faults.append(fault.as_data())

    for fault in faults(counts):
        note(fault)
    if missing := _missing_sessions():
        note(Fault("sessions_lost", table="session", row=str(missing)))
    check.anchors, misfit = anchors.check()
    if is_lost := anchors.is_lost():
        note(Fault("anchors_lost", table="anchors_file", row=str(check.anchors)))
    elif misfit is not None:
        note(Fault("anchor", number=misfit))
    check.sessions, check.events, check.entries = counts.sessions, counts.events, counts.entries
    check.rows, check.covered = counts.all_rows, counts.covered()
    check.ended_at = timezone.now()
    with transaction.atomic():
        check.save()
        stated = statements.state(coverage.CHECK, check)
        audit_log.record_by(None, None, AuditEntry.Kind.RECORD_CHECKED, check, faults=check.fault_count, **stated)
    if check.fault_count:
        logger.error("%d faults in the record: see the check of %s", check.fault_count, started_at)
    if misfit is None and not is_lost:
        anchors.write(timezone.now())
    return check


def _missing_sessions() -> int:
    """Return how many sessions fewer there are than at the check that counted most.

    No session is ever deleted.

    A session deleted with all its rows and sums leaves no other trace. The audit entry of that check states the count.
    """
    most = HistoryCheck.objects.exclude(ended_at=None).order_by("-sessions", "pk").first()
    if most is None or most.ended_at is None:
        return 0
    there = StreamingSession.objects.filter(created_at__lte=most.ended_at + CLOCK_TOLERANCE).count()
    return max(0, most.sessions - there)
