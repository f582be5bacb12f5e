"""Gaps and contradictions in what was recorded of a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.moments import PORTAL, Moment, first, moves
from sessions.timeline.turns import Turn

SILENCE = timedelta(seconds=10)
"""An avatar that was to speak and is heard no sooner is marked."""
TOLERANCE = timedelta(seconds=0.5)
"""Two clocks never agree quite: only what is further apart than this contradicts."""
AFTERLIFE = timedelta(seconds=2)
"""How long after the end its last signs may still come in."""


@dataclass(frozen=True)
class Oddity:
    """A gap or a contradiction in what was recorded."""

    code: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


FOLLOWS = (
    (EventKind.PROVIDER_CREATED, EventKind.REQUESTED),
    (EventKind.PROVIDER_STARTED, EventKind.PROVIDER_CREATED),
    (EventKind.ROOM_CONNECTED, EventKind.REQUESTED),
    (EventKind.TRACK_SUBSCRIBED, EventKind.ROOM_CONNECTED),
    (EventKind.FIRST_FRAME, EventKind.TRACK_SUBSCRIBED),
)
"""The first of the left cannot be before the first of the right."""
SIGNS_OF_LIFE = (
    EventKind.FIRST_FRAME,
    EventKind.TRACK_SUBSCRIBED,
    EventKind.TRACK_PUBLISHED,
    EventKind.AVATAR_START_TALKING,
    EventKind.USER_START,
)


def oddities_of(line: Sequence[Moment], turns: Iterable[Turn]) -> list[Oddity]:
    """Return all of them, the first first."""
    found = (*_missing(line), *_status(line), *_order(line), *_afterlife(line), *_silences(line, turns))
    return sorted(found, key=lambda oddity: (oddity.at, oddity.code))


def _missing(line: Sequence[Moment]) -> Iterator[Oddity]:
    """Rows of the record are numbered without a gap."""
    numbered = sorted((moment for moment in line if moment.number), key=lambda moment: moment.number)
    expected = 1
    for moment in numbered:
        if moment.number != expected:
            yield Oddity("missing", moment.at, {"from": expected, "to": moment.number - 1})
        expected = moment.number + 1


def _status(line: Sequence[Moment]) -> Iterator[Oddity]:
    was = ""
    for move in moves(line):
        before, to = str(move.data.get("from", "")), str(move.data.get("to", ""))
        if was == "ended":
            yield Oddity("two_ends", move.at, {"to": to})
        elif was and before != was:
            yield Oddity("status_jump", move.at, {"from": was, "to": to})
        if to == "ended" and not move.data.get("reason"):
            yield Oddity("no_reason", move.at)
        if to == "live" and not _is_seen_by(line, move):
            yield Oddity("live_unseen", move.at)
        was = to


def _is_seen_by(line: Sequence[Moment], live: Moment) -> bool:
    """Whether a first frame, or the page's going on without one, was recorded before the session went live."""
    shown = (moment for moment in line if moment.kind in (EventKind.FIRST_FRAME, EventKind.WITHOUT_PICTURE))
    return any(moment.number < live.number for moment in shown)


def _order(line: Sequence[Moment]) -> Iterator[Oddity]:
    for later, earlier in FOLLOWS:
        yield from _contradiction(first(line, later), first(line, earlier))
    for stopped in (
        moment for moment in line if moment.kind == EventKind.AVATAR_STOP_TALKING and moment.data.get("task_id")
    ):
        yield from _contradiction(stopped, first(line, EventKind.AVATAR_START_TALKING, task_id=stopped.data["task_id"]))


def _contradiction(later: Moment | None, earlier: Moment | None) -> Iterator[Oddity]:
    if later and earlier and earlier.at - later.at > TOLERANCE:
        yield Oddity("out_of_order", later.at, {"later": later.kind, "earlier": earlier.kind})


def _afterlife(line: Sequence[Moment]) -> Iterator[Oddity]:
    """The end is known, and the room went on."""
    ends = [move for move in moves(line) if move.data.get("to") == "ended" or _is_providers_end(move)]
    over = min((move.at for move in ends), default=None)
    signs = [
        moment
        for moment in line
        if over and moment.kind in SIGNS_OF_LIFE and moment.at - over > AFTERLIFE and moment.source != PORTAL
    ]
    if signs:
        yield Oddity("went_on", signs[0].at, {"kind": signs[0].kind, "count": len(signs)})


def _is_providers_end(move: Moment) -> bool:
    return move.data.get("to") == "stopping" and move.data.get("reason") == "provider_ended"


def _silences(line: Sequence[Moment], turns: Iterable[Turn]) -> Iterator[Oddity]:
    if not line:
        return
    over = next(moves(line, "stopping", "ended"), line[-1])
    for turn in turns:
        waited = (turn.heard_at or over.at) - turn.asked_at
        if waited > SILENCE and not turn.is_called_off:
            yield Oddity("silent", turn.asked_at, {"seconds": waited.total_seconds(), "is_heard": bool(turn.heard_at)})
