"""What browsers are told, once the change that it reports is committed; docs/websocket-protocol.md lists it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction

from heygen_portal.runtime.in_thread import call_after_return
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, SessionEvent, SessionTask, StreamingSession, Utterance


@dataclass(frozen=True)
class Event:
    """Something told to every tab of a session."""

    type: ClassVar[str]

    def envelope(self) -> dict[str, Any]:
        """Return the channel-layer message that carries this event to the consumers."""
        return {"type": "session.event", "event": {"type": self.type, **asdict(self)}}


@dataclass(frozen=True)
class StatusChanged(Event):
    """The session moved, or a tab asked where it is. Moments are ISO 8601."""

    type: ClassVar[str] = "session.status"
    session_id: str
    status: str
    reason: str
    is_failure: bool
    created_at: str
    ends_at: str
    conversation_ends_at: str
    ended_at: str | None
    continues: str | None

    @classmethod
    def of(cls, session: StreamingSession) -> StatusChanged:
        return cls(
            session_id=str(session.pk),
            status=session.status,
            reason=session.end_reason,
            is_failure=bool(session.end_reason) and EndReason(session.end_reason).is_failure,
            created_at=session.created_at.isoformat(),
            ends_at=session.ends_at.isoformat(),
            conversation_ends_at=session.conversation_ends_at.isoformat(),
            ended_at=session.ended_at.isoformat() if session.ended_at else None,
            continues=str(session.continues_id) if session.continues_id else None,
        )


@dataclass(frozen=True)
class TaskSent(Event):
    """A task was taken by the provider, or has failed for good."""

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
class Said(Event):
    """One line of the transcript is stored."""

    type: ClassVar[str] = "utterance"
    utterance_id: int
    who: str
    by: str
    kind: str
    text: str
    at: str
    is_interrupted: bool
    provider_task_id: str
    is_reported: bool
    """Only a browser says so."""
    is_delivered: bool
    """False for a typed text that the provider has not accepted."""

    @classmethod
    def of(cls, line: Utterance) -> Said:
        """`line` may have been marked by `vouching`."""
        is_reported = line.source == SessionEvent.Source.BROWSER and vars(line).get("standing") != "confirmed"
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
        )


@dataclass(frozen=True)
class LinesLeftOut(Event):
    """A page that joined is told only the newest lines; `url` is the page with all of them."""

    type: ClassVar[str] = "transcript.left_out"
    url: str


@dataclass(frozen=True)
class Ending(Event):
    """A limit is near. `goes_on`: it is the provider's alone, and the conversation may go on in a new session."""

    type: ClassVar[str] = "session.ending"
    why: str
    at: str
    seconds: int
    goes_on: bool


@dataclass(frozen=True)
class Staying(Event):
    """Somebody answered the warning."""

    type: ClassVar[str] = "session.staying"


@dataclass(frozen=True)
class Observed(Event):
    """Whether one of the team watches. `until` (ISO 8601): they have not come in yet, and cannot after that."""

    type: ClassVar[str] = "session.observed"
    is_observed: bool
    until: str = ""


@dataclass(frozen=True)
class ProviderStatus(Event):
    """The provider was asked whether the session lives there."""

    type: ClassVar[str] = "provider.status"
    status: str
    is_other_room: bool


BOARD = "board"
"""The channel-layer group of the pages on which staff watch all sessions."""
ON_BOARD = frozenset(
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
"""What those pages are told of at once, beside every change of status and of the line."""


def group_name(session_id: UUID) -> str:
    """Return the name of the channel-layer group that all tabs of a session are in."""
    return f"session.{session_id.hex}"


def publish(session_id: UUID, event: Event) -> None:
    """Tell every browser on the session, once the change it reports is committed."""

    async def send() -> None:
        await _layer().group_send(group_name(session_id), event.envelope())
        if isinstance(event, StatusChanged):
            await _layer().group_send(BOARD, MOVED)

    _on_commit(send)


MOVED = {"type": "board.moved"}


def _on_commit(send: Callable[[], Awaitable[None]]) -> None:
    # Robust: a browser that hears nothing reads the state when it joins again; the change stands.
    transaction.on_commit(lambda: call_after_return(send) or async_to_sync(send)(), robust=True)


def tell_board(kinds: Iterable[str]) -> None:
    """Have the pages of staff look again once this is committed, if events of these kinds are something they show."""

    async def send() -> None:
        await _layer().group_send(BOARD, MOVED)

    if not ON_BOARD.isdisjoint(kinds):
        _on_commit(send)


def publish_all(told: Mapping[UUID, Event]) -> None:
    """Do what `publish` does, for one event of each of many sessions. Not where an event loop runs."""
    layer = _layer()

    async def send() -> None:
        for session_id, event in told.items():
            await layer.group_send(group_name(session_id), event.envelope())
        await layer.group_send(BOARD, MOVED)

    # In a loop of its own: in the caller's, which asks a provider for as many answers, each would wait its turn.
    if told:
        transaction.on_commit(lambda: asyncio.run(send()), robust=True)


def wake(channels: Iterable[str]) -> None:
    """Have tabs that wait look where they stand, once the change is committed. One that hears nothing looks later."""
    layer = _layer()

    async def send() -> None:
        for channel in channels:
            with suppress(ChannelFull):
                await layer.send(channel, {"type": "queue.moved"})
        await layer.group_send(BOARD, MOVED)

    _on_commit(send)


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None  # settings name one
    return layer
