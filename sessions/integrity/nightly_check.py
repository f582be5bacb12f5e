"""The nightly integrity check. Its result is a row that staff see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from heygen_portal.models import EventType
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.raw_values import IsoText
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice
from sessions.integrity import anchors
from sessions.integrity.fault import Fault, compared
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
    for fault in compared(_missing_sessions, "session"):
        note(fault)
    is_anchored = True
    for fault in compared(partial(_anchor_faults, check), "anchors_file"):
        note(fault)
        is_anchored = False
    check.sessions, check.events, check.entries = counts.sessions, counts.events, counts.entries
    check.rows, check.covered = counts.all_rows, counts.covered()
    check.ended_at = timezone.now()
    with transaction.atomic():
        check.save()
        stated = statements.state(coverage.CHECK, check)
        audit_log.record_by(None, None, AuditEntry.Kind.RECORD_CHECKED, check, faults=check.fault_count, **stated)
        if check.fault_count:
            data = {"check": check.pk, "faults": check.fault_count, "ended_at": check.ended_at.isoformat()}
            outbox.write(EventType.INTEGRITY_ALARM, lambda: Notice(EventType.INTEGRITY_ALARM, data))
    if check.fault_count:
        logger.error("%d faults in the record: see the check of %s", check.fault_count, started_at)
    if is_anchored:
        anchors.write(timezone.now())
    return check


def _anchor_faults(check: HistoryCheck) -> Iterator[Fault]:
    check.anchors, misfit = anchors.check()
    if anchors.is_lost():
        yield Fault("anchors_lost", table="anchors_file", row=str(check.anchors))
    elif misfit is not None:
        yield Fault("anchor", number=misfit)


def _missing_sessions() -> Iterator[Fault]:
    """Yield a fault if there are fewer sessions than at the check that counted most.

    No session is ever deleted.

    A session deleted with all its rows and sums leaves no other trace. The audit entry of that check states the count.
    A check with unreadable values is a fault of its own, and skipped.
    """
    checks = HistoryCheck.objects.exclude(ended_at=None).order_by("-sessions", "pk")
    for sessions, ended_at in checks.values_list("sessions", IsoText("ended_at")).iterator():
        try:
            until = datetime.fromisoformat(ended_at) + CLOCK_TOLERANCE
            missing = sessions - StreamingSession.objects.filter(created_at__lte=until).count()
        except (TypeError, ValueError, OverflowError):
            continue
        if missing > 0:
            yield Fault("sessions_lost", table="session", row=str(missing))
        return
