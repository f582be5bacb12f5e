"""The timeline of a session: moments, stages, turns, outages and anomalies.

Pure functions, independent of the database and of the order in which moments are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from heygen_portal.runtime import stored_json
from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.anomalies import Anomaly, find_anomalies
from sessions.timeline.moments import BROWSER, LIVEKIT, PORTAL, PROVIDER, Moment, first, in_order, last
from sessions.timeline.percentiles import median, p95
from sessions.timeline.turns import Turn, greeting_sound, turns_of


@dataclass(frozen=True)
class Stage:
    """A stage before the first frame.

    It `begins` after Start; `took` is None if it was not reached.
    """

    code: str
    source: str
    begins: timedelta
    took: timedelta | None


@dataclass(frozen=True)
class Outage:
    """A time without video after the first frame.

    `ends_at` is None if the video did not return.
    """

    begins_at: datetime
    ends_at: datetime | None
    # Kind of the first event that showed it.
    sign: str
    # Recovery steps that were tried.
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Timeline:
    began_at: datetime
    moments: tuple[Moment, ...]
    stages: tuple[Stage, ...]
    turns: tuple[Turn, ...]
    outages: tuple[Outage, ...]
    anomalies: tuple[Anomaly, ...]

    @property
    def time_to_first_frame(self) -> timedelta | None:
        """Time from Start to the first frame; None if there was none."""
        frame = self.stages[-1]
        return frame.begins + frame.took if frame.took is not None else None

    @property
    def time_to_greeting(self) -> timedelta | None:
        """Return the measured time from Start to the greeting's sound, or None."""
        return greeting_sound(self.moments)

    @property
    def failing_stage(self) -> str:
        """Code of the first stage that was not reached; empty after a first frame."""
        if self.time_to_first_frame is not None:
            return ""
        return next(stage.code for stage in self.stages if stage.took is None)

    @property
    def frames_per_second(self) -> float | None:
        """Frame rate as the page last reported it, which it does at the end."""
        return stored_json.number(last(self.moments, EventKind.PICTURE), "fps")

    @property
    def rating(self) -> str:
        """The user's last rating, or an empty string."""
        return stored_json.text(last(self.moments, EventKind.RATED), "rating")

    @property
    def median_latency(self) -> timedelta | None:
        return median(self._latencies())

    @property
    def p95_latency(self) -> timedelta | None:
        """95th percentile, or None with too few answered turns."""
        return p95(self._latencies())

    def _latencies(self) -> Iterator[timedelta]:
        return (turn.latency for turn in self.turns if turn.latency is not None)


def build(recorded: Iterable[Moment], began_at: datetime) -> Timeline:
    """Build the timeline of a session that was requested at `began_at`."""
    moments = in_order(recorded)
    turns = tuple(turns_of(moments))
    stages, outages, anomalies = _stages(moments, began_at), _outages(moments), find_anomalies(moments, turns)
    return Timeline(began_at, moments, tuple(stages), turns, tuple(outages), tuple(anomalies))


# Stages

# By code: source, and the stage that must be reached before. Parallel stages wait for the same one.
STAGES = {
    "requested": (PORTAL, ""),
    "created": (PROVIDER, "requested"),
    "started": (PROVIDER, "created"),
    "room": (LIVEKIT, "created"),
    "track": (LIVEKIT, "room"),
    "frame": (BROWSER, "track"),
}


def _stages(moments: Sequence[Moment], began_at: datetime) -> Iterator[Stage]:
    reached = {
        "requested": first(moments, EventKind.REQUESTED),
        "created": first(moments, EventKind.PROVIDER_CREATED),
        "started": first(moments, EventKind.PROVIDER_STARTED),
        "room": first(moments, EventKind.ROOM_CONNECTED),
        "track": first(moments, EventKind.TRACK_SUBSCRIBED, kind="video") or first(moments, EventKind.TRACK_SUBSCRIBED),
        "frame": first(moments, EventKind.FIRST_FRAME),
    }
    for code, (source, awaited) in STAGES.items():
        end, before = reached[code], awaited
        while before and not _is_before(reached[before], end):
            before = STAGES[before][1]  # the browser enters our own rooms before the provider has answered
        start = reached.get(before)
        begins_at = max(start.at, began_at) if start else began_at
        took = max(end.at - begins_at, timedelta(0)) if end else None
        yield Stage(code, source, begins_at - began_at, took)


def _is_before(start: Moment | None, end: Moment | None) -> bool:
    return start is not None and (end is None or start.at <= end.at)


# Outages

LOSS_KINDS = (EventKind.FROZEN, EventKind.ROOM_DISCONNECTED, EventKind.ROOM_RECONNECTING)


def _outages(moments: Sequence[Moment]) -> Iterator[Outage]:
    is_seen = False
    began: Moment | None = None
    steps: list[str] = []
    for moment in moments:
        if moment.kind == EventKind.STATUS and moment.text("to") in ("stopping", "ended"):
            break
        step = moment.text("step") if moment.kind == EventKind.LADDER else ""
        if moment.kind == EventKind.FIRST_FRAME or step == "picture" or _is_reconnected(moment, began):
            if began:
                yield Outage(began.at, moment.at, began.kind, tuple(steps))
            is_seen, began, steps = True, None, []
        elif is_seen and (moment.kind in LOSS_KINDS or step):
            began = began or moment
            steps += [step] if step else []
    if began:
        yield Outage(began.at, None, began.kind, tuple(steps))


def _is_reconnected(moment: Moment, began: Moment | None) -> bool:
    return moment.kind == EventKind.ROOM_RECONNECTED and began is not None and began.kind == EventKind.ROOM_RECONNECTING
