"""What webhooks are told of sessions. docs/webhooks.md documents each field.

IDs, counts, times and reasons: neither names of users nor speech.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from heygen_portal.models import EventType
from heygen_portal.webhooks.outbox import Notice
from sessions.models import SessionTotal, StreamingSession

LAST_LINES = timedelta(seconds=15)
"""After the end of a session. Its page may add lines for ten seconds."""


def conversation_started(session: StreamingSession) -> Notice:
    return Notice(EventType.CONVERSATION_STARTED, _about(session), session.pk)


def session_live(session: StreamingSession) -> Notice:
    assert session.live_at  # the change that is told sets it
    return Notice(EventType.SESSION_LIVE, {**_about(session), "live_at": session.live_at.isoformat()}, session.pk)


def session_ended(session: StreamingSession, total: SessionTotal) -> Notice:
    """Tell why a session ended and what it cost, as far as the portal knows: the provider's figure comes later."""
    assert session.ended_at  # guaranteed by a constraint
    ended = {
        "ended_at": session.ended_at.isoformat(),
        "reason": str(session.end_reason),
        "seconds": round(total.time.total_seconds()),
        "credits": str(total.estimated),
    }
    return Notice(EventType.SESSION_ENDED, _about(session) | ended, session.pk)


def transcript_ready(session: StreamingSession, now: datetime) -> Notice:
    """Tell that no further lines are expected. Told once those that were on their way at the end have arrived."""
    assert session.ended_at
    at = max(now, session.ended_at + LAST_LINES)
    return Notice(EventType.TRANSCRIPT_READY, _about(session), session.pk, at)


def person_asked(session: StreamingSession, by: str) -> Notice:
    """Tell that a user asks for a person: with the page's button, or because the model called the tool."""
    return Notice(EventType.PERSON_ASKED, {**_about(session), "by": by}, session.pk)


def message_left(session: StreamingSession, message_id: int) -> Notice:
    """Tell that a user left a message, which staff read in the administration."""
    return Notice(EventType.MESSAGE_LEFT, {**_about(session), "message": message_id}, session.pk)


def _about(session: StreamingSession) -> dict[str, Any]:
    return {
        "session": str(session.pk),
        "conversation": str(session.conversation_id),
        "persona": session.persona.slug,
        "persona_version": session.persona_version,
        "user": session.user_id,
        "purpose": str(session.purpose),
        "started_at": session.created_at.isoformat(),
    }
