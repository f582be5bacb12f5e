"""Events for browsers, published after commit.

docs/websocket-protocol.md lists them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction

from heygen_portal.runtime import background
from heygen_portal.runtime.background import Send
from heygen_portal.runtime.in_thread import call_after_return
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import Answer, EndReason, SessionEvent, SessionTask, Status, StreamingSession, Utterance

logger = logging.getLogger(__name__)

SESSION_EVENT = "session.event"  # the type of channel-layer messages with an event
ENDING = (Status.STOPPING, Status.ENDED)


@dataclass(frozen=True)
class Event:
    """An event for every tab of a session."""

    type: ClassVar[str]

    def envelope(self) -> dict[str, Any]:
        """Return the channel-layer message that carries this event to the consumers."""
        return {"type": SESSION_EVENT, "event": {"type": self.type, **asdict(self)}}


@dataclass(frozen=True)
class StatusChanged(Event):
    """The status changed, or a tab asked for it.

    Times are ISO 8601, and None if they cannot be read from the database.
    """

    type: ClassVar[str] = "session.status"
    session_id: str
    status: str
    reason: str
    is_failure: bool
    created_at: str | None
    ends_at: str | None
    conversation_ends_at: str | None
    ended_at: str | None
    continues: str | None

    @classmethod
    def of(cls, session: StreamingSession) -> StatusChanged:
        """Return the session's status, without values that cannot be read."""
        continues = _readable(session, "continues_id")
        return cls(
            session_id=str(session.pk),
            status=session.status,
            reason=session.end_reason,
            is_failure=session.end_reason in EndReason.failures(),
            created_at=_iso(session, "created_at"),
            ends_at=_iso(session, "ends_at"),
            conversation_ends_at=_iso(session, "conversation_ends_at"),
            ended_at=_iso(session, "ended_at"),
            continues=str(continues) if continues else None,
        )


def _iso(session: StreamingSession, name: str) -> str | None:
    at = _readable(session, name)
    return at.isoformat() if isinstance(at, datetime) else None


def _readable(session: StreamingSession, name: str) -> Any:
    """Return an attribute, which may be computed, or None if a value changed in the database prevents that."""
    try:
        return getattr(session, name)
    except Exception:
        logger.exception("session %s: %s could not be read", session.pk, name)
        return None


@dataclass(frozen=True)
class TaskSent(Event):
    """The provider accepted a task, or the task failed for good."""

    type: ClassVar[str] = "task.sent"
    ref: str
    kind: str
    text: str
    status: str
    provider_task_id: str
    code: str
    at: str

    @classmethod
    def of(cls, task: SessionTask) -> TaskSent:
        return cls(
            ref=task.ref,
            kind=task.kind,
            text=task.shown,
            status=task.status,
            provider_task_id=task.provider_task_id,
            code=task.failure,
            at=task.created_at.isoformat(),
        )


@dataclass(frozen=True)
class AnswerSentence(Event):
    """The provider accepted a sentence of an answer by the organisation's own model.

    `ref` is that of the text that it answers. `sources` has `number`, `title`, `page` and `url` of each passage that
    the sentence cites.
    """

    type: ClassVar[str] = "answer.sentence"
    ref: str
    text: str
    provider_task_id: str
    sources: list[dict[str, Any]]


@dataclass(frozen=True)
class AnswerTool(Event):
    """The organisation's own model uses a tool for an answer.

    `tool` is the name of a built-in one, or `own`: neither names nor arguments of staff's own tools reach pages.
    """

    type: ClassVar[str] = "answer.tool"
    ref: str
    tool: str


@dataclass(frozen=True)
class AnswerEnded(Event):
    """An answer by the organisation's own model has ended. `state` says how; sockets add `words` if it failed."""

    type: ClassVar[str] = "answer.ended"
    ref: str
    state: str

    @classmethod
    def of(cls, answer: Answer) -> AnswerEnded:
        return cls(ref=answer.task.ref, state=answer.state)


@dataclass(frozen=True)
class UtteranceStored(Event):
    """A line of the transcript was stored."""

    type: ClassVar[str] = "utterance"
    utterance_id: int
    who: str
    by: str
    kind: str
    text: str
    at: str
    is_interrupted: bool
    provider_task_id: str
    is_reported: bool  # the line or its interruption by a browser only
    is_delivered: bool  # False for a typed text that the provider has not accepted
    answer_to: str  # of a sentence of an answer by the organisation's own model
    sources: list[dict[str, Any]]  # as in AnswerSentence

    @classmethod
    def of(cls, line: Utterance) -> UtteranceStored:
        """Use the line's standing, if `line_standing` has set it."""
        is_vouched = vars(line).get("standing") == "confirmed" and vars(line).get("interruption") != "reported"
        is_reported = line.source == SessionEvent.Source.BROWSER and not is_vouched
        return cls(
            utterance_id=line.pk,
            who=line.who,
            by=line.by,
            kind=line.kind,
            text=line.shown,
            at=line.at.isoformat(),
            is_interrupted=line.is_interrupted,
            provider_task_id=line.provider_task_id,
            is_reported=is_reported,
            is_delivered=vars(line).get("standing") != "not_delivered",
            answer_to=vars(line).get("answer_to", ""),
            sources=vars(line).get("sources", []),
        )


@dataclass(frozen=True)
class LinesLeftOut(Event):
    """Older lines were not sent to a page that joined.

    `url` is the page with all of them.
    """

    type: ClassVar[str] = "transcript.left_out"
    url: str


@dataclass(frozen=True)
class Ending(Event):
    """A limit is near.

    `goes_on`: it is only the provider's, and the conversation may continue in a new session.
    """

    type: ClassVar[str] = "session.ending"
    why: str
    at: str
    seconds: int
    goes_on: bool


@dataclass(frozen=True)
class Staying(Event):
    """The user answered the warning and stays."""

    type: ClassVar[str] = "session.staying"


@dataclass(frozen=True)
class Observed(Event):
    """Whether staff observe.

    `until` (ISO 8601): no observer has joined yet, and the token expires then.
    """

    type: ClassVar[str] = "session.observed"
    is_observed: bool
    until: str = ""


@dataclass(frozen=True)
class ProviderStatus(Event):
    """The provider was queried for the session's status."""

    type: ClassVar[str] = "provider.status"
    status: str
    is_other_room: bool


ANSWERS = "answers"  # the channel-layer group of processes that give answers
BOARD = "board"  # the channel-layer group of the staff's live boards
# Kinds of events after which the boards refresh, besides changes of status and of the queue.
BOARD_EVENT_KINDS = frozenset(
    {
        EventKind.LADDER,
        EventKind.CONNECTION_QUALITY,
        EventKind.ROOM_RECONNECTING,
        EventKind.ROOM_RECONNECTED,
        EventKind.FROZEN,
        EventKind.FIRST_FRAME,
        EventKind.LAST_TAB_LEFT,
        EventKind.TAB_RETURNED,
        EventKind.PERSON_LEFT_ROOM,
    }
)


def group_name(session_id: UUID) -> str:
    """Return the channel-layer group of a session's tabs."""
    return f"session.{session_id.hex}"


def publish(session_id: UUID, event: Event) -> None:
    """Send an event to every tab of the session after commit."""

    async def send() -> None:
        await _send(session_id, event)
        if isinstance(event, StatusChanged):
            await _layer().group_send(BOARD, BOARD_CHANGED)

    _on_commit(send)


async def _send(session_id: UUID, event: Event) -> None:
    await _layer().group_send(group_name(session_id), event.envelope())
    if isinstance(event, StatusChanged) and event.status in ENDING:
        await _layer().group_send(ANSWERS, event.envelope())


BOARD_CHANGED = {"type": "board.moved"}


def _on_commit(send: Send) -> None:
    # Robust, because the change is committed: a browser that misses the event reads the state when it joins again.
    transaction.on_commit(lambda: call_after_return(send) or async_to_sync(_send_soon)(send), robust=True)


async def _send_soon(send: Send) -> None:
    background.send_soon(send)


def notify_board(kinds: Iterable[str]) -> None:
    """Refresh the live boards after commit if they show events of these kinds."""

    async def send() -> None:
        await _layer().group_send(BOARD, BOARD_CHANGED)

    if not BOARD_EVENT_KINDS.isdisjoint(kinds):
        _on_commit(send)


def interrupt_answers(session_id: UUID, answers: Sequence[int], reason: str) -> None:
    """Have the process that gives these answers close its request to the model, after commit."""

    async def send() -> None:
        message = {"session": session_id.hex, "answers": list(answers), "reason": reason}
        await _layer().group_send(ANSWERS, {"type": "answers.interrupted", **message})

    _on_commit(send)


def publish_status(session: StreamingSession) -> None:
    """Publish the session's status."""
    publish(session.pk, StatusChanged.of(session))


def publish_statuses(sessions: Iterable[StreamingSession]) -> None:
    """Publish the status of many sessions."""
    publish_all({session.pk: StatusChanged.of(session) for session in sessions})


def publish_all(events: Mapping[UUID, Event]) -> None:
    """Publish one event to each of many sessions."""

    async def send() -> None:
        # Those that were sent are left out when the rest is sent again.
        while unsent:
            session_id, event = unsent[-1]
            await _send(session_id, event)
            unsent.pop()
        await _layer().group_send(BOARD, BOARD_CHANGED)

    if unsent := list(events.items()):
        _on_commit(send)


def wake(channels: Iterable[str]) -> None:
    """Wake queued tabs after commit to check their position.

    A tab that misses it polls later.
    """
    layer = _layer()

    async def send() -> None:
        for channel in channels:
            with suppress(ChannelFull):
                await layer.send(channel, {"type": "queue.moved"})
        await layer.group_send(BOARD, BOARD_CHANGED)

    _on_commit(send)


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None  # settings name one
    return layer
