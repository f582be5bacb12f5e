"""Query the provider about a session without video, and continue without it."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import control, queries
from sessions.actions.stop import error_for_log, stop
from sessions.capacity import provider_lookups
from sessions.lifecycle import broadcast, end_evidence, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionEvent, SessionTask, Status, StreamingSession

logger = logging.getLogger(__name__)

# Between two queries for one session: the provider's list is long, and a page may report without end.
MIN_QUERY_INTERVAL = timedelta(seconds=2)


async def query(session_id: UUID, room_name: str = "") -> None:
    """Query the provider for a session's status, then record and publish it.

    `room_name` is the room that the page is in. It differs from the session's room if the page used another
    session's token.
    """
    session = await in_thread(queries.find_running)(session_id)
    if session is None or not session.provider_session_id or await in_thread(_was_just_queried)(session_id):
        return
    try:
        status = await _status_at_provider(session)
    except TooManyRequests:
        return  # `reconcile` finds a session that has ended
    is_other_room = _is_uuid(room_name) and room_name != session.provider_session_id
    answer = broadcast.ProviderStatus(status, is_other_room)
    await in_thread(_record_answer)(session_id, answer)


async def _status_at_provider(session: StreamingSession) -> str:
    try:
        return await provider_lookups.listed_status(session)
    except ProviderError as exc:
        logger.warning("session %s: the provider did not answer: %s", session.pk, error_for_log(exc))
        return provider_lookups.UNKNOWN


def _was_just_queried(session_id: UUID) -> bool:
    since = timezone.now() - MIN_QUERY_INTERVAL
    return SessionEvent.objects.filter(session_id=session_id, kind=EventKind.PROVIDER_ASKED, at__gte=since).exists()


def _record_answer(session_id: UUID, answer: broadcast.ProviderStatus) -> None:
    data = {"status": answer.status, "is_other_room": answer.is_other_room}
    events.record(session_id, Entry(EventKind.PROVIDER_ASKED, data))
    broadcast.publish(session_id, answer)


def _is_uuid(name: str) -> bool:
    """Whether a room has the form of a HeyGen session ID.

    Other names do not identify a session.
    """
    try:
        UUID(name)
    except ValueError:
        return False
    return True


async def continue_without_video(session_id: UUID, step: str) -> SessionTask | None:
    """Make a session live that continues with sound or text; recorded once.

    Return the greeting, which the caller delivers.
    """
    if await in_thread(_record_without_video)(session_id, step):
        return await control.go_live(session_id)
    return None


def _record_without_video(session_id: UUID, step: str) -> bool:
    """Record the page's step.

    Return True the first time, while the session is connecting or live.
    """
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        recorded = SessionEvent.objects.filter(session_id=session_id, kind=EventKind.WITHOUT_PICTURE, data__step=step)
        if session.status not in (Status.CONNECTING, Status.LIVE) or recorded.exists():
            return False
        events.append(session_id, Entry(EventKind.WITHOUT_PICTURE, {"step": step}, events.Source.BROWSER))
    return True


async def end_if_gone(session_id: UUID) -> None:
    """End a session whose room was reported closed, unless the provider lists it."""
    session = await in_thread(queries.find_running)(session_id)
    if session is None or not session.provider_session_id:
        return
    try:
        row = await provider_lookups.find_listed(session)
    except TooManyRequests:
        return  # `reconcile` finds it
    except ProviderError as exc:
        logger.warning(
            "session %s: the room was closed, and the provider did not answer: %s", session_id, error_for_log(exc)
        )
        return  # `reconcile` finds it
    if row is None:
        await stop(session, EndReason.PROVIDER_ENDED, end_evidence.not_listed(is_room_closed=True))
