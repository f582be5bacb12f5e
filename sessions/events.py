"""What is recorded, and who is told.

A record is a `SessionEvent` row, chained to the one before it. An `Event` is what browsers hear, once the
change that it reports is committed; docs/websocket-protocol.md lists them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from heygen_portal.threads import afterwards
from sessions import statements
from sessions.models import SessionEvent, SessionHead, SessionSeal, SessionTask, Status, StreamingSession, Utterance

Source = SessionEvent.Source


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
    created_at: str
    ends_at: str
    ended_at: str | None
    continues: str | None

    @classmethod
    def of(cls, session: StreamingSession) -> StatusChanged:
        return cls(
            session_id=str(session.pk),
            status=session.status,
            reason=session.end_reason,
            created_at=session.created_at.isoformat(),
            ends_at=session.ends_at.isoformat(),
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
            text=task.text,
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

    @classmethod
    def of(cls, line: Utterance) -> Said:
        return cls(
            utterance_id=line.pk,
            who=line.who,
            by=line.by,
            kind=line.kind,
            text=line.text,
            at=line.at.isoformat(),
            is_interrupted=line.is_interrupted,
            provider_task_id=line.provider_task_id,
        )


@dataclass(frozen=True)
class Ending(Event):
    """A limit is near."""

    type: ClassVar[str] = "session.ending"
    why: str
    at: str
    seconds: int


@dataclass(frozen=True)
class Staying(Event):
    """Somebody answered the warning."""

    type: ClassVar[str] = "session.staying"


@dataclass(frozen=True)
class ProviderStatus(Event):
    """The provider was asked whether the session lives there."""

    type: ClassVar[str] = "provider.status"
    status: str
    is_other_room: bool


BOARD = "board"
"""The channel-layer group of the pages on which staff watch all sessions."""
ON_BOARD = frozenset({
    "ladder", "connection_quality", "room_reconnecting", "room_reconnected", "frozen", "first_frame",
    "last_tab_left", "tab_returned", "person_left_room",
})  # fmt: skip
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
    transaction.on_commit(lambda: afterwards(send) or async_to_sync(send)(), robust=True)


def _tell_board(entries: Iterable[Entry]) -> None:
    """Have the pages of staff look again once this is committed, if it is something that they show."""

    async def send() -> None:
        await _layer().group_send(BOARD, MOVED)

    if any(entry.kind in ON_BOARD for entry in entries):
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

    transaction.on_commit(async_to_sync(send), robust=True)


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None  # settings name one
    return layer


@dataclass(frozen=True)
class Entry:
    """One event to record. `at` is now unless somebody saw it earlier."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    source: Source = Source.PORTAL
    at: datetime | None = None


def task_entry(task: SessionTask) -> Entry:
    """Return what is recorded of a text once it is known what became of it: not its words, but what proves them."""
    return Entry("task", {"task": task.pk, "kind": task.kind, "status": task.status, "speech": task.fingerprint})


def record(session_id: UUID, *entries: Entry) -> None:
    """Append events to the session's record, each chained to the one before it."""
    if len(entries) == 1 and _append_alone(session_id, entries[0]):
        return
    with transaction.atomic(savepoint=False):
        # Two appends at once would both follow the same row.
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        append(session_id, *entries, is_over=session.status == Status.ENDED)


_appended_last: dict[UUID, tuple[int, str]] = {}
"""Number and hash of what this process has appended last to sessions: mostly nobody has appended since.

A guess, which the database refuses when it is wrong.
"""
MOST_GUESSES = 10_000


def _append_alone(session_id: UUID, entry: Entry) -> bool:
    """Append one event in one statement, which is the whole change, or two; return whether it worked.

    It does not for the first event, after the end, or when somebody else has appended between the two.
    """
    guess = _appended_last.pop(session_id, None)
    if guess and _insert_next(session_id, *guess, entry):
        return True
    return _insert_next(session_id, *statements.newest(session_id), entry)


def _insert_next(session_id: UUID, number: int, last_hash: str, entry: Entry) -> bool:
    row = _following(session_id, number, last_hash, entry)
    if not statements.insert_next(row, SessionHead.sign(session_id, row.number, row.hash)):
        return False
    if len(_appended_last) >= MOST_GUESSES:
        _appended_last.clear()
    _appended_last[session_id] = row.number, row.hash
    _tell_board((entry,))
    return True


def begin(session_id: UUID, *entries: Entry) -> None:
    """Record the first events of a session, for the caller that has just made its row."""
    rows = _chained(session_id, 0, "", entries)
    _store(rows, rows[-1:], are_over=False)
    _tell_board(entries)


def append(session_id: UUID, *entries: Entry, is_over: bool = False) -> None:
    """Do what `record` does, for a caller that holds the session's row locked.

    The record of a session that is over, or that these entries end, is sealed anew.
    """
    rows = _chained(session_id, *statements.newest(session_id), entries)
    _store(rows, rows[-1:], are_over=is_over)
    _tell_board(entries)


def _chained(session_id: UUID, number: int, last_hash: str, entries: Iterable[Entry]) -> list[SessionEvent]:
    rows = []
    for entry in entries:
        rows.append(_following(session_id, number, last_hash, entry))
        number, last_hash = rows[-1].number, rows[-1].hash
    return rows


def append_each(entries: Mapping[UUID, Entry], *, are_over: bool = False) -> None:
    """Do what `append` does, for one entry of each of many sessions, in a few statements."""
    stored = SessionEvent.objects.filter(session=OuterRef("pk")).order_by("-number")
    last = ("head__number", "head__hash", Subquery(stored.values("number")[:1]))
    found = StreamingSession.objects.filter(pk__in=entries).order_by().values_list("pk", *last)
    rows = [
        _following(pk, max(number or 0, stored or 0), last_hash or "", entries[pk])
        for pk, number, last_hash, stored in found
    ]
    _store(rows, rows, are_over=are_over)


def _store(rows: Sequence[SessionEvent], last: Sequence[SessionEvent], *, are_over: bool) -> None:
    """Store events of sessions that are locked, and of each session's last one where its record ends now."""
    SessionEvent.objects.bulk_create(rows)
    heads = [SessionHead.of(row) for row in last]
    SessionHead.objects.bulk_create(
        heads, update_conflicts=True, unique_fields=["session"], update_fields=["number", "hash", "signature"]
    )
    if are_over:
        SessionSeal.objects.bulk_create([SessionSeal.of(row) for row in last])


def _following(session_id: UUID, number: int, last_hash: str, entry: Entry) -> SessionEvent:
    """Return the event that follows the one of this number and hash."""
    row = SessionEvent(
        session_id=session_id,
        number=number + 1,
        source=entry.source,
        kind=entry.kind,
        data=dict(entry.data),
        at=entry.at or timezone.now(),
        previous_hash=last_hash,
    )
    row.hash = digest(row)
    return row


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest(event: SessionEvent) -> str:
    """Return the SHA-256 over everything the row says, the row before it included (hexadecimal)."""
    said = (str(event.source), event.kind, event.data, event.at.isoformat())
    return digest_of(event.previous_hash, str(event.session_id), event.number, *said)


def digest_of(previous_hash: str, session_id: str, number: int, source: str, kind: str, data: Any, at: str) -> str:
    """Do what `digest` does, for values without a row: verifying reads millions."""
    said = [previous_hash, session_id, number, source, kind, data, at]
    return hashlib.sha256(_canonical(said).encode()).hexdigest()
