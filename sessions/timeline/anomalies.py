"""Anomalies: gaps and contradictions in the record of a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.moments import PORTAL, Moment, first, status_changes
from sessions.timeline.turns import Turn

# An avatar that does not answer within this time is marked.
SILENCE_LIMIT = timedelta(seconds=10)
# Clocks never agree exactly; smaller differences are not contradictions.
CLOCK_TOLERANCE = timedelta(seconds=0.5)
# Activity may be reported this long after the end.
END_GRACE = timedelta(seconds=2)


@dataclass(frozen=True)
class Anomaly:
    """A gap or a contradiction in the record."""

    code: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


# Pairs of kinds: the first event of the left kind cannot precede the first of the right kind.
REQUIRED_ORDER = (
    (EventKind.PROVIDER_CREATED, EventKind.REQUESTED),
    (EventKind.PROVIDER_STARTED, EventKind.PROVIDER_CREATED),
    (EventKind.ROOM_CONNECTED, EventKind.REQUESTED),
    (EventKind.TRACK_SUBSCRIBED, EventKind.ROOM_CONNECTED),
    (EventKind.FIRST_FRAME, EventKind.TRACK_SUBSCRIBED),
)
ACTIVITY_KINDS = (
    EventKind.FIRST_FRAME,
    EventKind.TRACK_SUBSCRIBED,
    EventKind.TRACK_PUBLISHED,
    EventKind.AVATAR_START_TALKING,
    EventKind.USER_START,
)


def find_anomalies(moments: Sequence[Moment], turns: Iterable[Turn]) -> list[Anomaly]:
    """Return all anomalies in order of time."""
    found = (
        *_missing(moments),
        *_status(moments),
        *_order(moments),
        *_activity_after_end(moments),
        *_silences(moments, turns),
    )
    return sorted(found, key=lambda anomaly: (anomaly.at, anomaly.code))


def _missing(moments: Sequence[Moment]) -> Iterator[Anomaly]:
    """Yield gaps in the numbers of events."""
    numbered = sorted((moment for moment in moments if moment.number), key=lambda moment: moment.number)
    expected = 1
    for moment in numbered:
        if moment.number != expected:
            yield Anomaly("missing", moment.at, {"from": expected, "to": moment.number - 1})
        expected = moment.number + 1


def _status(moments: Sequence[Moment]) -> Iterator[Anomaly]:
    previous = ""
    for change in status_changes(moments):
        before, to = change.text("from"), change.text("to")
        if previous == "ended":
            yield Anomaly("two_ends", change.at, {"to": to})
        elif previous and before != previous:
            yield Anomaly("status_jump", change.at, {"from": previous, "to": to})
        if to == "ended" and not change.text("reason"):
            yield Anomaly("no_reason", change.at)
        if to == "live" and not _is_live_justified(moments, change):
            yield Anomaly("live_unseen", change.at)
        previous = to


def _is_live_justified(moments: Sequence[Moment], live: Moment) -> bool:
    """Whether a first frame, or continuing without one, precedes the status `live`."""
    shown = (moment for moment in moments if moment.kind in (EventKind.FIRST_FRAME, EventKind.WITHOUT_PICTURE))
    return any(moment.number < live.number for moment in shown)


def _order(moments: Sequence[Moment]) -> Iterator[Anomaly]:
    for later, earlier in REQUIRED_ORDER:
        yield from _contradiction(first(moments, later), first(moments, earlier))
    for stopped in (
        moment for moment in moments if moment.kind == EventKind.AVATAR_STOP_TALKING and moment.text("task_id")
    ):
        yield from _contradiction(
            stopped, first(moments, EventKind.AVATAR_START_TALKING, task_id=stopped.text("task_id"))
        )


def _contradiction(later: Moment | None, earlier: Moment | None) -> Iterator[Anomaly]:
    if later and earlier and earlier.at - later.at > CLOCK_TOLERANCE:
        yield Anomaly("out_of_order", later.at, {"later": later.kind, "earlier": earlier.kind})


def _activity_after_end(moments: Sequence[Moment]) -> Iterator[Anomaly]:
    """Yield an anomaly if activity was reported after the end."""
    ends = [change for change in status_changes(moments) if change.text("to") == "ended" or _is_providers_end(change)]
    ended = min((change.at for change in ends), default=None)
    signs = [
        moment
        for moment in moments
        if ended and moment.kind in ACTIVITY_KINDS and moment.at - ended > END_GRACE and moment.source != PORTAL
    ]
    if signs:
        yield Anomaly("went_on", signs[0].at, {"kind": signs[0].kind, "count": len(signs)})


def _is_providers_end(change: Moment) -> bool:
    return change.text("to") == "stopping" and change.text("reason") == "provider_ended"


def _silences(moments: Sequence[Moment], turns: Iterable[Turn]) -> Iterator[Anomaly]:
    if not moments:
        return
    ended = next(status_changes(moments, "stopping", "ended"), moments[-1])
    for turn in turns:
        is_heard = turn.latency is not None
        waited = turn.latency if turn.latency is not None else ended.at - turn.asked_at
        if waited > SILENCE_LIMIT and not turn.is_cancelled:
            yield Anomaly("silent", turn.asked_at, {"seconds": waited.total_seconds(), "is_heard": is_heard})
