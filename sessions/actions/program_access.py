"""Access checks for the sessions of programs, which have no socket that could be closed."""

from __future__ import annotations

from uuid import UUID

from heygen_portal.models import ApiKey
from heygen_portal.people.access import live_access
from heygen_portal.people.api_keys.scopes import Scope, permissions_of
from heygen_portal.runtime.jobs import each_row
from sessions import errors
from sessions.capacity import slots
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import RUNNING, SessionEvent, StreamingSession, Tab
from sessions.presence import programs


def release_without_access() -> None:
    """End the leases of programs that may not go on.

    Their sessions end after the grace period of a closed tab.
    """
    held = Tab.objects.filter(channel__startswith=programs.CHANNEL_PREFIX, session__status__in=RUNNING)
    for lease_id, session_id in held.values_list("process_id", "session_id"):
        with each_row.log_failure(f"session {session_id}: the access of its program could not be checked"):
            if not _may_go_on(session_id):
                programs.close_lease(lease_id)


def _may_go_on(session_id: UUID) -> bool:
    """Whether the key was not revoked, and its owner may start a session with the persona."""
    session = StreamingSession.objects.select_related("persona").get(pk=session_id)
    assert session.user_id is not None  # guests have no keys
    wanted = permissions_of({Scope.SESSIONS_START})
    loss, permissions = live_access.standing(session.user_id, wanted)
    if loss or not all(permissions[name] for name in wanted) or _is_revoked(session_id):
        return False
    try:
        slots.find_persona(session.persona.slug, session.user_id)
    except errors.NotFound:
        return False
    return True


def _is_revoked(session_id: UUID) -> bool:
    """Whether the key that started the session was revoked, and with it the key that replaced it."""
    joined = SessionEvent.objects.filter(session=session_id, kind=EventKind.PROGRAM_JOINED).last()
    key = joined and ApiKey.objects.filter(prefix=str(joined.data.get("key"))).first()
    while key and key.revoked_at and key.replaced_by:
        key = key.replaced_by
    return bool(key and key.revoked_at)
