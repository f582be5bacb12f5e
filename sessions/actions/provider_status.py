"""What the portal does while a page has lost its picture: asks the provider, and goes on without."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import provision, queries
from sessions.actions.stop import in_one_line
from sessions.capacity import provider_lookups
from sessions.lifecycle import broadcast, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, Status, StreamingSession

logger = logging.getLogger(__name__)

ASKED = EventKind.PROVIDER_ASKED
WITHOUT_PICTURE = EventKind.WITHOUT_PICTURE
BETWEEN_QUESTIONS = timedelta(seconds=2)
"""The provider's list is long: a page that reports without end does not have it read without end."""
MISSING, UNKNOWN = "missing", "unknown"


async def ask_provider(session_id: UUID, room_name: str = "") -> None:
    """Ask the provider whether a session lives there; its tabs and the record are told what it says.

    `room_name` is the room that a page is in: a token of another session opens another room.
    """
    session = await in_thread(queries.find_running)(session_id)
    if session is None or not session.provider_session_id or await in_thread(_was_just_asked)(session_id):
        return
    try:
        status = await _status_there(session)
    except TooManyRequests:
        return  # the comparison with the provider's list finds what has ended
    is_other_room = _is_uuid(room_name) and room_name != session.provider_session_id
    answer = broadcast.ProviderStatus(status, is_other_room)
    await in_thread(_note)(session_id, answer)


async def _status_there(session: StreamingSession) -> str:
    try:
        row = await provider_lookups.find_listed(session)
    except ProviderError as exc:
        logger.warning("session %s: the provider cannot be asked: %s", session.pk, in_one_line(exc))
        return UNKNOWN
    return row.status if row else MISSING


def _was_just_asked(session_id: UUID) -> bool:
    since = timezone.now() - BETWEEN_QUESTIONS
    return SessionEvent.objects.filter(session_id=session_id, kind=ASKED, at__gte=since).exists()


def _note(session_id: UUID, answer: broadcast.ProviderStatus) -> None:
    data = {"status": answer.status, "is_other_room": answer.is_other_room}
    events.record(session_id, Entry(ASKED, data))
    broadcast.publish(session_id, answer)


def _is_uuid(name: str) -> bool:
    """Whether a room is named as HeyGen names sessions; other names say nothing about whose they are."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True


async def go_on(session_id: UUID, step: str) -> None:
    """The page goes on with sound or text alone: the session is live without a picture, as its record says once."""
    if await in_thread(_note_without_picture)(session_id, step):
        await provision.picture_seen(session_id)


def _note_without_picture(session_id: UUID, step: str) -> bool:
    """Record what the page says of a session that goes on; return whether it is the first to say so."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        noted = SessionEvent.objects.filter(session_id=session_id, kind=WITHOUT_PICTURE, data__step=step)
        if session.status not in (Status.CONNECTING, Status.LIVE) or noted.exists():
            return False
        events.append(session_id, Entry(WITHOUT_PICTURE, {"step": step}, events.Source.BROWSER))
    return True
