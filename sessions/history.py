"""Questions about sessions, asked by edges. Changes nothing."""

from __future__ import annotations

from uuid import UUID

from sessions.models import RUNNING, StreamingSession, Utterance


def find_own(user_id: int, session_id: UUID) -> StreamingSession | None:
    """Return this person's session, or None for one that does not exist or is somebody else's."""
    rows = StreamingSession.objects.select_related("account")
    return rows.filter(pk=session_id, user_id=user_id).first()


def find_running(session_id: UUID) -> StreamingSession | None:
    """Return the session, if nobody has asked for its end yet."""
    rows = StreamingSession.objects.select_related("account")
    return rows.filter(pk=session_id, status__in=RUNNING).first()


def is_running(session_id: UUID) -> bool:
    """Whether nobody has asked for its end yet."""
    return StreamingSession.objects.filter(pk=session_id, status__in=RUNNING).exists()


def transcript(session_id: UUID) -> list[Utterance]:
    """Return what was said, in order."""
    return list(Utterance.objects.filter(session_id=session_id))
