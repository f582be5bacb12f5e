"""Turns: the end of each user input, and the avatar's first sound after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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

    @property
    def latency(self) -> timedelta | None:
        return self.heard_at - self.asked_at if self.heard_at else None


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
    heard = {str(greeting.data.get("task_id") or "") for greeting in greetings}
    ended_by = ""
    is_text_only = False
    for moment in _without_duplicates(moments):
        task_id = str(moment.data.get("task_id") or "")
        if moment.kind == EventKind.LADDER:
            is_text_only = moment.data.get("step") == "text"
        elif moment.kind == EventKind.USER_START:
            ended_by = ""
        elif moment.kind in (EventKind.USER_STOP, EventKind.USER_END_MESSAGE):
            # Each spoken turn has both, in an order that depends on the provider. The first one is its end.
            if ended_by in ("", moment.kind):
                ended_by = moment.kind
                waiting.append((Turn("voice", moment.at, is_cancelled=is_text_only), ""))
        elif moment.kind == TASK and not moment.data.get("is_greeting"):
            is_cancelled = is_text_only or moment.data.get("status") == "failed"
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
    yield from sorted([*done, *(turn for turn, _ in waiting)], key=lambda turn: (turn.asked_at, turn.by))
