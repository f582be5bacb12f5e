"""Validate and store what the page reports about its room, with source=browser.

`EFFECTS` lists the accepted kinds and what each one does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from heygen_portal.postgresql import clock as shared_clock
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail import statements
from sessions import errors
from sessions.actions import control, deadlines, provider_status, queries, stop
from sessions.capacity.claims import Claim
from sessions.lifecycle import broadcast, coverage, events, no_picture_texts, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionEvent, SessionTask, SpeechErased, Status, StreamingSession, Utterance
from sessions.presence import tabs
from sessions.timeline.page_clock import PAGE_AT, PageClock
from sessions.web import report_fields
from sessions.web.report_gate import LINE_KINDS

# Size of one report's `data` as JSON.
MAX_DATA_BYTES = 4096
# Characters in one reported line of speech.
MAX_LINE_LENGTH = 10_000
# Reports about the connection to the room. They prove that the page is still open, even outside the room.
CONNECTION_KINDS = (
    EventKind.ROOM_DISCONNECTED,
    EventKind.ROOM_RECONNECTING,
    EventKind.ROOM_RECONNECTED,
    EventKind.ROOM_CONNECTED,
    EventKind.LADDER,
)
# LiveKit's disconnect reasons for a room that the server closed: participant removed, room deleted.
REASONS_CLOSED_BY_SERVER = (4, 5)
# Steps of the page's recovery ladder on which a conversation continues without video.
STEPS_WITHOUT_VIDEO = ("sound", "text")
# How long after a session's end reports that were on their way are accepted.
LATE_REPORT_WINDOW = timedelta(seconds=10)
# How long after a session's end its rating, and only that, is accepted.
RATING_WINDOW = timedelta(hours=24)
# Events stored per session of kinds that are exempt from MAX_EVENTS. A page that reloads reports another one.
MAX_STORED_PER_KIND: dict[str, int] = {EventKind.FIRST_FRAME: 20, EventKind.RATED: 10}


@dataclass(frozen=True)
class Outcome:
    """What follows from a report: a greeting to deliver, and a call to the provider."""

    greeting: SessionTask | None = None
    follow_up: Callable[[], Awaitable[None]] | None = None


NO_FOLLOW_UP = Outcome()


def kind_of(message: Mapping[str, Any]) -> str:
    """Return a report's kind. Raises BadMessage if it is not in `EFFECTS`."""
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in EFFECTS:
        raise errors.BadMessage
    return kind


async def store(session_id: UUID, message: Mapping[str, Any], clock: PageClock) -> Outcome:
    """Record one report and return what follows from it. Raises BadMessage.

    `clock` belongs to the tab and is measured with each report. Reports that come too late are dropped silently,
    because their page may already have moved on to another session.
    """
    kind, data = kind_of(message), message.get("data", {})
    if not isinstance(data, dict):
        raise errors.BadMessage
    if len(json.dumps(data, ensure_ascii=False)) > MAX_DATA_BYTES + MAX_LINE_LENGTH:
        raise errors.BadMessage
    at, page_at = clock.read(message.get("at"), message.get("sent"), shared_clock.now())
    data = {name: value for name, value in data.items() if name != PAGE_AT}
    data |= {PAGE_AT: page_at.isoformat()} if page_at else {}
    if not await in_thread(is_in_time)(session_id, kind, shared_clock.now()):
        return NO_FOLLOW_UP
    outcome = await EFFECTS[kind](session_id, kind, data, at)
    if kind in CONNECTION_KINDS:
        await in_thread(tabs.confirm_presence)(session_id)
    return outcome or NO_FOLLOW_UP


def is_in_time(session_id: UUID, kind: str, now: datetime) -> bool:
    """Return whether a session accepts this kind of report now.

    Lines are accepted while the session is open at the provider, and shortly afterwards.
    """
    rows = StreamingSession.objects.filter(pk=session_id)
    status, stop_requested_at, ended_at = rows.values_list("status", "stop_requested_at", "ended_at").get()
    if ended_at:
        return now - ended_at <= (RATING_WINDOW if kind == EventKind.RATED else LATE_REPORT_WINDOW)
    if kind not in LINE_KINDS:
        return True
    if status == Status.STOPPING:  # the provider may take long to confirm the end
        return stop_requested_at is None or now - stop_requested_at <= transitions.STOP_TIMEOUT
    return status in (Status.CONNECTING, Status.LIVE)


async def _store_event(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    if len(json.dumps(data)) > MAX_DATA_BYTES:
        raise errors.BadMessage
    entry = Entry(kind, await _accepted(session_id, kind, data), events.Source.BROWSER, at)
    await in_thread(_append_up_to_limit if kind in MAX_STORED_PER_KIND else events.record)(session_id, entry)


async def _accepted(session_id: UUID, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the part of `data` that is stored. Identifiers that the provider has not named may not carry words."""
    fields = report_fields.accepted(kind, data)
    if unclear := report_fields.unclear_identifiers(fields):
        known = await in_thread(queries.known_identifiers)(session_id, unclear.values())
        fields |= {
            name: report_fields.pseudonym(session_id, value) for name, value in unclear.items() if value not in known
        }
    return fields


def _append_up_to_limit(session_id: UUID, entry: Entry) -> None:
    """Record an event unless the session has reached the maximum of its kind."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        stored = SessionEvent.objects.filter(session_id=session_id, kind=entry.kind, source=events.Source.BROWSER)
        if stored.count() < MAX_STORED_PER_KIND[entry.kind]:
            events.append(session_id, entry, is_over=session.status == Status.ENDED)


async def _first_frame(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> Outcome:
    await _store_event(session_id, kind, data, at)
    return Outcome(greeting=await control.go_live(session_id))


async def _room_left(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> Outcome:
    await _store_event(session_id, kind, data, at)
    is_closed = data.get("reason") in REASONS_CLOSED_BY_SERVER
    return Outcome(follow_up=partial(provider_status.end_if_gone, session_id)) if is_closed else NO_FOLLOW_UP


async def _session_stopped(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> Outcome:
    """Ask the provider whether the session is over.

    Any participant could have announced that in the room.
    """
    await _store_event(session_id, kind, data, at)
    return Outcome(follow_up=partial(provider_status.end_if_gone, session_id))


async def _ladder_step_reached(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> Outcome:
    await _store_event(session_id, kind, data, at)
    if data.get("step") not in STEPS_WITHOUT_VIDEO:
        return NO_FOLLOW_UP
    return Outcome(greeting=await provider_status.continue_without_video(session_id, data["step"]))


async def _verdict_reached(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> Outcome:
    """Store the page's verdict on why there is no video.

    Stop the session if it is final, else ask the provider.
    """
    await _store_event(session_id, kind, data, at)
    if data.get("is_final") is True:
        code = data.get("code")
        verdict = code if isinstance(code, str) and code in no_picture_texts.causes("") else "-"
        return Outcome(follow_up=partial(_stop_without_video, session_id, verdict))
    room = data.get("room")
    return Outcome(follow_up=partial(provider_status.query, session_id, room if isinstance(room, str) else ""))


async def _stop_without_video(session_id: UUID, verdict: str) -> None:
    if session := await in_thread(queries.find_running)(session_id):
        await stop.stop_as_claimed(session, Claim(session.owner_id, EndReason.NO_PICTURE, verdict))


async def _user_spoke(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    await _store_event(session_id, kind, data, at)
    await in_thread(deadlines.record_activity)(session_id)


async def _avatar_line(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    await _store_line(session_id, Utterance.Who.AVATAR, kind, data, at)


async def _user_line(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    if await _store_line(session_id, Utterance.Who.USER, kind, data, at):
        await in_thread(deadlines.record_activity)(session_id)


async def _store_line(session_id: UUID, who: Utterance.Who, kind: str, data: dict[str, Any], at: datetime) -> bool:
    """Store a line of speech; return whether it is new. Its text goes to the transcript and not into the event."""
    text, fields = data.get("message"), await _accepted(session_id, kind, data)
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_LINE_LENGTH:
        raise errors.BadMessage
    task_id, is_interrupted = fields.get("task_id", ""), fields.get("interrupted", False)

    def store() -> None:
        with transaction.atomic():
            session = StreamingSession.objects.only("pk").get(pk=session_id)
            line = Utterance.objects.create(
                session=session,
                who=who,
                by=Utterance.By.VOICE,
                text=text,
                is_interrupted=is_interrupted,
                source=events.Source.BROWSER,
                provider_task_id=task_id,
                at=at,
            )
            details = {"task_id": task_id, "characters": len(text), "interrupted": is_interrupted}
            details |= {"utterance": line.pk, "speech": line.fingerprint} | statements.state(coverage.LINE, line)
            details |= {name: fields[name] for name in (PAGE_AT,) if name in fields}
            events.record(session_id, Entry(kind, details, events.Source.BROWSER, at))
            # The page knows its fragments by the identifier that it reported.
            reported_id = report_fields.accepted(kind, data).get("task_id", "")
            broadcast.publish(session_id, replace(broadcast.UtteranceStored.of(line), provider_task_id=reported_id))

    try:
        await in_thread(store)()
    except (IntegrityError, SpeechErased):
        return False  # another tab reported the same line, or the session's speech has been erased
    return True


async def _waiting(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    entry = Entry(kind, report_fields.accepted(kind, data), events.Source.BROWSER, at)
    await in_thread(deadlines.record_waiting)(session_id, entry)


async def _rated(session_id: UUID, kind: str, data: dict[str, Any], at: datetime) -> None:
    if data.get("rating") not in report_fields.RATINGS:
        raise errors.BadMessage
    await _store_event(session_id, kind, data, at)


Effect = Callable[[UUID, str, dict[str, Any], datetime], Awaitable[Outcome | None]]

EFFECTS: dict[str, Effect] = {
    EventKind.ROOM_CONNECTED: _store_event,
    EventKind.ROOM_RECONNECTING: _store_event,
    EventKind.ROOM_RECONNECTED: _store_event,
    EventKind.ROOM_DISCONNECTED: _room_left,
    EventKind.CONNECTION_STATE: _store_event,
    EventKind.CONNECTION_QUALITY: _store_event,
    EventKind.TRACK_PUBLISHED: _store_event,
    EventKind.TRACK_SUBSCRIBED: _store_event,
    EventKind.TRACK_UNSUBSCRIBED: _store_event,
    EventKind.FIRST_FRAME: _first_frame,
    EventKind.FIRST_SOUND: _store_event,
    EventKind.WAY: _store_event,
    EventKind.PICTURE: _store_event,
    EventKind.RATED: _rated,
    EventKind.PLAYBACK_BLOCKED: _store_event,
    EventKind.PLAYBACK_STARTED: _store_event,
    EventKind.WAITING: _waiting,
    EventKind.WAITING_OVER: _waiting,
    EventKind.FROZEN: _store_event,
    EventKind.LADDER: _ladder_step_reached,
    EventKind.VERDICT: _verdict_reached,
    EventKind.CHECK: _store_event,
    EventKind.MICROPHONE: _store_event,
    EventKind.AVATAR_START_TALKING: _store_event,
    EventKind.AVATAR_STOP_TALKING: _store_event,
    EventKind.AVATAR_END_MESSAGE: _avatar_line,
    EventKind.SESSION_STOPPED: _session_stopped,
    EventKind.USER_START: _user_spoke,
    EventKind.USER_STOP: _user_spoke,
    EventKind.USER_END_MESSAGE: _user_line,
}
