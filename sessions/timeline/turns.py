"""Turns: the end of each user input, and the avatar's first sound after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heygen_portal.runtime import stored_json
from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.moments import BROWSER, TASK, Moment


@dataclass(frozen=True)
class Turn:
    """A user input that ended at `asked_at`.

    `heard_at` is None if the avatar was not heard.
    """

    by: str
    asked_at: datetime
    heard_at: datetime | None = None
    # No sound was expected: interrupted, refused, or the user only reads.
    is_cancelled: bool = False
    # From the end of the input to the first sound, as the browser measured it on the sound.
    sound: timedelta | None = None

    @property
    def latency(self) -> timedelta | None:
        """Return the time until the sound, else until the room's message of speech."""
        if self.sound is not None:
            return self.sound
        return self.heard_at - self.asked_at if self.heard_at else None


# What a first sound follows, by the `by` of its turn: `start` is Start, followed by the greeting.
SOUND_CAUSES = {"start": "", "typed": "text", "spoken": "voice"}
# A browser that claims a longer wait did not measure one turn.
MAX_SOUND_WAIT = timedelta(seconds=60)
# How far the portal's estimate of the page's clock may be off.
CLOCK_TOLERANCE = timedelta(seconds=1)

SPEECH = (EventKind.USER_START, EventKind.USER_STOP, EventKind.USER_END_MESSAGE, EventKind.AVATAR_START_TALKING)


def _without_duplicates(moments: Sequence[Moment]) -> Iterator[Moment]:
    """Yield moments, skipping the provider's copies of speech events.

    Events that pages and the provider both report would double turns.
    """
    by_page = {moment.kind for moment in moments if moment.source == BROWSER}
    for moment in moments:
        if moment.source == BROWSER or moment.kind not in SPEECH or moment.kind not in by_page:
            yield moment


def turns_of(moments: Sequence[Moment]) -> Iterator[Turn]:
    """Pair each end of an input with the first sound in answer to it.

    They are paired by task ID if there is one.
    """
    waiting: list[tuple[Turn, str]] = []
    done: list[Turn] = []
    greetings = (moment for moment in moments if moment.kind == TASK and moment.data.get("is_greeting"))
    heard = {greeting.text("task_id") for greeting in greetings}
    ended_by = ""
    is_text_only = False
    for moment in _without_duplicates(moments):
        task_id = moment.text("task_id")
        if moment.kind == EventKind.LADDER:
            is_text_only = moment.text("step") == "text"
        elif moment.kind == EventKind.USER_START:
            ended_by = ""
        elif moment.kind in (EventKind.USER_STOP, EventKind.USER_END_MESSAGE):
            # Each spoken turn has both, in an order that depends on the provider. The first one is its end.
            if ended_by in ("", moment.kind):
                ended_by = moment.kind
                waiting.append((Turn("voice", moment.at, is_cancelled=is_text_only), ""))
        elif moment.kind == TASK and not moment.data.get("is_greeting") and not moment.data.get("is_answer"):
            is_cancelled = is_text_only or moment.text("status") == "failed"
            waiting.append((Turn("text", moment.at, is_cancelled=is_cancelled), task_id))
        elif moment.kind == EventKind.INTERRUPTED:
            done += [Turn(turn.by, turn.asked_at, is_cancelled=True) for turn, _ in waiting]
            waiting.clear()
        elif moment.kind == EventKind.AVATAR_START_TALKING and not (task_id and task_id in heard):
            heard.add(task_id)
            unanswered = [entry for entry in waiting if not entry[0].is_cancelled]
            named = [entry for entry in unanswered if task_id and entry[1] == task_id]
            unnamed = [entry for entry in unanswered if not (task_id and entry[1])]
            for entry in (named or unnamed)[:1]:
                waiting.remove(entry)
                done.append(Turn(entry[0].by, entry[0].asked_at, moment.at))
    turns = sorted([*done, *(turn for turn, _ in waiting)], key=lambda turn: (turn.asked_at, turn.by))
    yield from _with_sounds(turns, moments)


def greeting_sound(moments: Sequence[Moment]) -> timedelta | None:
    """Return the browser's measured time from Start to the greeting's first sound."""
    waits = (wait for moment in moments if (wait := _sound_wait(moment)) is not None and _cause(moment) == "start")
    return next(waits, None)


def _with_sounds(turns: list[Turn], moments: Sequence[Moment]) -> Iterator[Turn]:
    """Give each measured sound to the newest turn of its kind before it."""
    measured = list(turns)
    for moment in moments:
        wait, by = _sound_wait(moment), SOUND_CAUSES.get(_cause(moment))
        if wait is None or not by:
            continue
        since, until = moment.at - MAX_SOUND_WAIT, moment.at + CLOCK_TOLERANCE
        for index in reversed(range(len(measured))):
            turn = measured[index]
            if turn.by == by and not turn.is_cancelled and since <= turn.asked_at <= until:
                if turn.sound is None:
                    measured[index] = replace(turn, sound=wait)
                break
    yield from measured


def _cause(moment: Moment) -> str:
    return moment.text("after")


def _sound_wait(moment: Moment) -> timedelta | None:
    """Return the measured wait of a first sound, or None for anything else."""
    is_sound = moment.kind == EventKind.FIRST_SOUND and moment.source == BROWSER
    wait = stored_json.milliseconds(moment.data.get("ms")) if is_sound else None
    return wait if wait is not None and timedelta(0) <= wait <= MAX_SOUND_WAIT else None
