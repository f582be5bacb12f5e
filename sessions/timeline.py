"""What happened in a session, on one clock: put in order, measured, and doubted.

Pure: what was recorded goes in, in any order, and comes out as data that a page draws and a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

SILENCE = timedelta(seconds=10)
"""An avatar that was to speak and is heard no sooner is marked."""
TOLERANCE = timedelta(seconds=0.5)
"""Two clocks never agree quite: only what is further apart than this contradicts."""
AFTERLIFE = timedelta(seconds=2)
"""How long after the end its last signs may still come in."""

PORTAL, BROWSER, PROVIDER, LIVEKIT = "portal", "browser", "provider", "livekit"
TASK = "text_sent"
"""A text handed to the avatar: a row of its own, not an event of the record."""


@dataclass(frozen=True)
class Moment:
    """One thing that happened. `at` is the portal's clock; `page_at` what the browser's own said."""

    at: datetime
    source: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    page_at: datetime | None = None
    number: int = 0
    """Its place in the chained record; 0 for what stands in another table."""

    @property
    def skew(self) -> timedelta | None:
        """How far the page's clock was ahead."""
        return self.page_at - self.at if self.page_at else None


@dataclass(frozen=True)
class Stage:
    """A step on the way to the first picture; `took` is None for one that was never reached."""

    code: str
    source: str
    begins: timedelta
    took: timedelta | None


@dataclass(frozen=True)
class Turn:
    """Somebody was done writing or speaking, and the avatar was heard, or not."""

    by: str
    asked_at: datetime
    heard_at: datetime | None = None
    is_called_off: bool = False
    """Nothing was to be heard: interrupted, refused, or the person reads only."""

    @property
    def latency(self) -> timedelta | None:
        return self.heard_at - self.asked_at if self.heard_at else None


@dataclass(frozen=True)
class Outage:
    """The picture was there, and was lost. `ends_at` is None when it did not come back."""

    begins_at: datetime
    ends_at: datetime | None
    sign: str
    """The kind of what showed it first."""
    steps: tuple[str, ...]
    """What was tried."""


@dataclass(frozen=True)
class Oddity:
    """A gap or a contradiction in what was recorded."""

    code: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timeline:
    began_at: datetime
    moments: tuple[Moment, ...]
    stages: tuple[Stage, ...]
    turns: tuple[Turn, ...]
    outages: tuple[Outage, ...]
    oddities: tuple[Oddity, ...]

    @property
    def first_picture(self) -> timedelta | None:
        """From Start to the first frame that was seen."""
        frame = self.stages[-1]
        return frame.begins + frame.took if frame.took is not None else None

    @property
    def failing_stage(self) -> str:
        """The first stage that was not reached; empty once a picture was seen."""
        if self.first_picture is not None:
            return ""
        return next(stage.code for stage in self.stages if stage.took is None)

    @property
    def frames_per_second(self) -> float | None:
        """How the picture ran, as the page last told; it tells at the end."""
        told = _last(self.moments, "picture", "fps")
        return told if isinstance(told, float | int) else None

    @property
    def rating(self) -> str:
        """How the person found it, the last time they said so."""
        return str(_last(self.moments, "rated", "rating") or "")

    def latency(self, share: float) -> timedelta | None:
        """The latency that this share of the turns does not exceed."""
        known = sorted(turn.latency for turn in self.turns if turn.latency is not None)
        return known[max(0, ceil(share * len(known)) - 1)] if known else None


def build(recorded: Iterable[Moment], began_at: datetime) -> Timeline:
    """Make the timeline of one session that was asked for at `began_at`."""
    line = _in_order(recorded)
    turns, outages = tuple(_turns(line)), tuple(_outages(line))
    oddities = sorted((*_doubts(line), *_silences(line, turns)), key=lambda oddity: (oddity.at, oddity.code))
    return Timeline(began_at, line, tuple(_stages(line, began_at)), turns, outages, tuple(oddities))


def turns_of(recorded: Iterable[Moment]) -> tuple[Turn, ...]:
    """Return the turns alone."""
    return tuple(_turns(_in_order(recorded)))


def _in_order(recorded: Iterable[Moment]) -> tuple[Moment, ...]:
    return tuple(sorted(recorded, key=lambda moment: (moment.at, moment.number, moment.source, moment.kind)))


def _last(line: Sequence[Moment], kind: str, key: str) -> Any:
    return next((moment.data.get(key) for moment in reversed(line) if moment.kind == kind), None)


def _first(line: Sequence[Moment], kind: str, /, **data: Any) -> Moment | None:
    same = (moment for moment in line if moment.kind == kind)
    return next((moment for moment in same if all(moment.data.get(key) == data[key] for key in data)), None)


def _moves(line: Sequence[Moment], *to: str) -> Iterator[Moment]:
    """Changes of status, in the order of the record, to these or to any."""
    moves = [moment for moment in line if moment.kind == "status" and (not to or moment.data.get("to") in to)]
    yield from sorted(moves, key=lambda moment: moment.number)


# Stages

# Each with its source and the stage that it waits for. What is started side by side waits for the same one.
STAGES = {
    "requested": (PORTAL, ""),
    "created": (PROVIDER, "requested"),
    "started": (PROVIDER, "created"),
    "room": (LIVEKIT, "created"),
    "track": (LIVEKIT, "room"),
    "frame": (BROWSER, "track"),
}


def _stages(line: Sequence[Moment], began_at: datetime) -> Iterator[Stage]:
    reached = {
        "requested": _first(line, "requested"),
        "created": _first(line, "provider_created"),
        "started": _first(line, "provider_started"),
        "room": _first(line, "room_connected"),
        "track": _first(line, "track_subscribed", kind="video") or _first(line, "track_subscribed"),
        "frame": _first(line, "first_frame"),
    }
    for code, (source, awaited) in STAGES.items():
        end, before = reached[code], awaited
        while before and not _is_before(reached[before], end):
            before = STAGES[before][1]  # a room of our own is entered before the provider has answered
        start = reached.get(before)
        begins_at = max(start.at, began_at) if start else began_at
        took = max(end.at - begins_at, timedelta(0)) if end else None
        yield Stage(code, source, begins_at - began_at, took)


def _is_before(start: Moment | None, end: Moment | None) -> bool:
    return start is not None and (end is None or start.at <= end.at)


# Turns


SPEECH = ("user_start", "user_stop", "user_end_message", "avatar_start_talking")


def _heard(line: Sequence[Moment]) -> Iterator[Moment]:
    """What the provider's own socket tells of speech counts only where no page told it: else each turn were two."""
    by_page = {moment.kind for moment in line if moment.source == BROWSER}
    for moment in line:
        if moment.source == BROWSER or moment.kind not in SPEECH or moment.kind not in by_page:
            yield moment


def _turns(line: Sequence[Moment]) -> Iterator[Turn]:
    """Pair each end of an input with the first sound that answers it, by its task where one is named."""
    waiting: list[tuple[Turn, str]] = []
    done: list[Turn] = []
    greetings = (moment for moment in line if moment.kind == TASK and moment.data.get("is_greeting"))
    heard = {str(greeting.data.get("task_id") or "") for greeting in greetings}
    spoken_by = ""
    reads_only = False
    for moment in _heard(line):
        task_id = str(moment.data.get("task_id") or "")
        if moment.kind == "ladder":
            reads_only = moment.data.get("step") == "text"
        elif moment.kind == "user_start":
            spoken_by = ""
        elif moment.kind in ("user_stop", "user_end_message"):
            # Each spoken turn has both, in an order that differs between providers: the first is its end.
            if spoken_by in ("", moment.kind):
                spoken_by = moment.kind
                waiting.append((Turn("voice", moment.at, is_called_off=reads_only), ""))
        elif moment.kind == TASK and not moment.data.get("is_greeting"):
            called_off = reads_only or moment.data.get("status") == "failed"
            waiting.append((Turn("text", moment.at, is_called_off=called_off), task_id))
        elif moment.kind == "interrupted":
            done += [Turn(turn.by, turn.asked_at, is_called_off=True) for turn, _ in waiting]
            waiting.clear()
        elif moment.kind == "avatar_start_talking" and not (task_id and task_id in heard):
            heard.add(task_id)
            open_turns = [entry for entry in waiting if not entry[0].is_called_off]
            named = [entry for entry in open_turns if task_id and entry[1] == task_id]
            unnamed = [entry for entry in open_turns if not (task_id and entry[1])]
            for entry in (named or unnamed)[:1]:
                waiting.remove(entry)
                done.append(Turn(entry[0].by, entry[0].asked_at, moment.at))
    yield from sorted([*done, *(turn for turn, _ in waiting)], key=lambda turn: (turn.asked_at, turn.by))


def _silences(line: Sequence[Moment], turns: Iterable[Turn]) -> Iterator[Oddity]:
    if not line:
        return
    over = next(_moves(line, "stopping", "ended"), line[-1])
    for turn in turns:
        waited = (turn.heard_at or over.at) - turn.asked_at
        if waited > SILENCE and not turn.is_called_off:
            yield Oddity("silent", turn.asked_at, {"seconds": waited.total_seconds(), "is_heard": bool(turn.heard_at)})


# The picture, lost and found

LOST = ("frozen", "room_disconnected", "room_reconnecting")


def _outages(line: Sequence[Moment]) -> Iterator[Outage]:
    is_seen = False
    began: Moment | None = None
    steps: list[str] = []
    for moment in line:
        if moment.kind == "status" and moment.data.get("to") in ("stopping", "ended"):
            break
        step = moment.data.get("step") if moment.kind == "ladder" else None
        if moment.kind == "first_frame" or step == "picture" or _is_reconnected(moment, began):
            if began:
                yield Outage(began.at, moment.at, began.kind, tuple(steps))
            is_seen, began, steps = True, None, []
        elif is_seen and (moment.kind in LOST or step):
            began = began or moment
            steps += [str(step)] if step else []
    if began:
        yield Outage(began.at, None, began.kind, tuple(steps))


def _is_reconnected(moment: Moment, began: Moment | None) -> bool:
    return moment.kind == "room_reconnected" and began is not None and began.kind == "room_reconnecting"


# Gaps and contradictions

FOLLOWS = (
    ("provider_created", "requested"),
    ("provider_started", "provider_created"),
    ("room_connected", "requested"),
    ("track_subscribed", "room_connected"),
    ("first_frame", "track_subscribed"),
)
"""The first of the left cannot be before the first of the right."""
SIGNS_OF_LIFE = ("first_frame", "track_subscribed", "track_published", "avatar_start_talking", "user_start")


def _doubts(line: Sequence[Moment]) -> Iterator[Oddity]:
    yield from _missing(line)
    yield from _status(line)
    yield from _order(line)
    yield from _afterlife(line)


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
    for move in _moves(line):
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
    shown = (moment for moment in line if moment.kind in ("first_frame", "without_picture"))
    return any(moment.number < live.number for moment in shown)


def _order(line: Sequence[Moment]) -> Iterator[Oddity]:
    for later, earlier in FOLLOWS:
        yield from _contradiction(_first(line, later), _first(line, earlier))
    for stopped in (moment for moment in line if moment.kind == "avatar_stop_talking" and moment.data.get("task_id")):
        yield from _contradiction(stopped, _first(line, "avatar_start_talking", task_id=stopped.data["task_id"]))


def _contradiction(later: Moment | None, earlier: Moment | None) -> Iterator[Oddity]:
    if later and earlier and earlier.at - later.at > TOLERANCE:
        yield Oddity("out_of_order", later.at, {"later": later.kind, "earlier": earlier.kind})


def _afterlife(line: Sequence[Moment]) -> Iterator[Oddity]:
    """The end is known, and the room went on."""
    ends = [move for move in _moves(line) if move.data.get("to") == "ended" or _is_providers_end(move)]
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
