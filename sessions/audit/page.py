"""The auditor's page of one session: its timeline and its transcript.

The transcript is shown once a reason is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms.utils import flatatt
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission
from heygen_portal.runtime import budgets, client_address
from sessions import errors
from sessions.actions import staff_reasons
from sessions.audit import inspection
from sessions.capacity import consent
from sessions.integrity import verification
from sessions.labels import event_labels, remedy_texts
from sessions.lifecycle import end_evidence, line_standing
from sessions.models import SessionTotal, StreamingSession
from sessions.timeline.moments import Moment
from sessions.timeline.timeline import Timeline
from sessions.timeline.turns import Turn

READ, COSTS = Permission.VIEW_TRANSCRIPT, Permission.VIEW_COSTS
TICKS = 4
# Turns in the chart; median and 95th percentile are of all turns.
MAX_DRAWN_TURNS = 30


@dataclass(frozen=True)
class Bar:
    """A bar of a chart, in percent.

    SVG attributes, because the content security policy forbids inline styles.
    """

    title: str
    note: str
    source: str
    x: str
    width: str
    took: timedelta | None


@never_cache
def page(request: HttpRequest, session: StreamingSession) -> HttpResponse:
    """Show a session.

    A POST with a reason also shows the transcript, once, and is recorded. Raises TooManyRequests.
    """
    may_read, reason_error = request.user.has_perm(READ), ""
    is_open = False
    if request.method == "POST":
        if not may_read:
            raise PermissionDenied
        try:
            reason = staff_reasons.checked(request.POST.get("reason"))
        except errors.ReasonNeeded as exc:
            reason_error = str(exc)
        else:
            is_open, address = True, client_address.of(request)
            budgets.spend_sync("open_transcript", person=request.user.pk, address=address)
            inspection.record_opening(session.pk, request.user.pk or 0, address, reason)
    timeline = inspection.timeline_of(session)
    lines = inspection.lines_of(session, is_open=is_open)
    asked = request.GET.get("events", "")
    number = int(asked) if asked.isdecimal() and len(asked) < 7 else 1
    newest, last_hash = session.events.order_by("-number").values_list("number", "hash").first() or (0, "")
    events = inspection.events_page(session, timeline, newest, number)
    context = {
        "session": session,
        "timeline": timeline,
        "evidence": end_evidence.describe(session.end_evidence),
        "consent": consent.of_session(session),
        "fault": verification.first_fault_of(session.pk),
        "last_hash": last_hash,
        "remedy": remedy_texts.remedy(session.end_reason, session.end_evidence),
        "stages": _waterfall(timeline),
        "failing": _failing(timeline) if session.ended_at else "",
        "turns": _turns(timeline.turns),
        "usual": timeline.median_latency,
        "slow": timeline.p95_latency,
        "rows": [_row(moment, timeline, session.persona.name) for moment in events.moments],
        "events": events,
        "analysed": inspection.MAX_ANALYSED_EVENTS,
        "rating": event_labels.rating(timeline.rating),
        "anomalies": [
            (anomaly.at - timeline.began_at, event_labels.anomaly(anomaly)) for anomaly in timeline.anomalies
        ],
        "outages": timeline.outages,
        "recovered": sum(outage.ends_at is not None for outage in timeline.outages),
        "total": SessionTotal.objects.filter(session=session).first(),
        "may_cost": request.user.has_perm(COSTS),
        "may_export": request.user.has_perm(roles.EXPORT_SESSION),
        "may_read": may_read,
        "is_open": is_open,
        "reason_error": reason_error,
        "reason_limits": flatatt(staff_reasons.field_attributes()),
        "lines": lines,
        "answers": inspection.answers_of(session, is_open=is_open),
        "added": sum(one.is_unreported for one in lines),
        "reported": any(one.standing == line_standing.Standing.BROWSER for one in lines),
        "contradicted": sum(one.standing == line_standing.Standing.CONTRADICTED for one in lines),
        "staff_actions": [
            (action, event_labels.staff_action(action.kind)) for action in inspection.staff_actions(session)
        ],
    }
    return render(request, "sessions/audit.html", context)


def _failing(timeline: Timeline) -> str:
    stage = timeline.failing_stage
    return str(event_labels.STAGES[stage][0]) if stage else ""


def _waterfall(timeline: Timeline) -> dict[str, Any]:
    scale = _scale(
        max((stage.begins + (stage.took or timedelta(0)) for stage in timeline.stages), default=timedelta(0))
    )
    bars = []
    for stage in timeline.stages:
        title, note = event_labels.STAGES[stage.code]
        x, width = _percent(stage.begins, scale), _percent(stage.took or timedelta(0), scale)
        bars.append(Bar(str(title), str(note), stage.source, x, width, stage.took))
    ticks = [(f"{100 * tick // TICKS}%", scale * tick / TICKS) for tick in range(TICKS + 1)]
    return {"bars": bars, "ticks": ticks}


def _turns(turns: tuple[Turn, ...]) -> list[tuple[Turn, str]]:
    shown = turns[:MAX_DRAWN_TURNS]
    scale = _scale(max((turn.latency for turn in shown if turn.latency), default=timedelta(0)))
    return [(turn, _percent(turn.latency or timedelta(0), scale)) for turn in shown]


def _scale(longest: timedelta) -> timedelta:
    """Return the smallest round scale that holds `longest`.

    Scales are 1, 2 or 5 times a power of ten seconds.
    """
    for exponent in count(-1):
        for step in (1, 2, 5):
            span = timedelta(seconds=step * 10.0**exponent)
            if span >= longest:
                return span
    raise AssertionError


def _percent(span: timedelta, scale: timedelta) -> str:
    return f"{100 * span / scale:.2f}%"


def _row(moment: Moment, timeline: Timeline, name: str) -> dict[str, Any]:
    return {
        "since": moment.at - timeline.began_at,
        "source": moment.source,
        "title": event_labels.title(moment),
        "details": event_labels.details(moment, name),
        "weight": event_labels.weight(moment),
        "page_at": timezone.localtime(moment.page_at).strftime("%H:%M:%S.%f")[:-3] if moment.page_at else "",
        "skew_ms": round(moment.skew / timedelta(milliseconds=1)) if moment.skew is not None else None,
    }
