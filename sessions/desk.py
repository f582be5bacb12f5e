"""What staff do about what runs: stop sessions, for a reason that stays on record, and shorten the line."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from heygen_portal import audit, detached
from heygen_portal.models import AuditEntry
from heygen_portal.threads import in_thread
from sessions import errors, inspection, lifecycle, queue, reasons, stopping
from sessions.models import EndReason, QueuePlace, StreamingSession

SHORTEST_REASON, LONGEST_REASON = 3, 500
"""In characters."""


def checked_reason(said: object) -> str:
    """Return why somebody's session is to be stopped, as it is kept.

    Raises:
        errors.ReasonNeeded: nobody could make anything of it afterwards.
    """
    if not isinstance(said, str) or not SHORTEST_REASON <= len(said.strip()) <= LONGEST_REASON:
        raise errors.ReasonNeeded
    return said.strip()


async def stop(by: User, address: str | None, session_ids: Collection[UUID] | None, reason: str) -> int:
    """Ask for the end of these sessions, or of all that run; return how many those are.

    Here they are being stopped when this returns; the providers are asked meanwhile, and again by the worker until
    they confirm.
    """
    begun = await in_thread(_begin)(by, address, session_ids, reason)
    detached.keep(stopping.finish_stops(begun))
    return len(begun)


def _begin(by: User, address: str | None, session_ids: Collection[UUID] | None, reason: str) -> list[StreamingSession]:
    rows = StreamingSession.objects.select_related("account", "user").filter(end_reason="")
    running = list(rows.order_by("pk") if session_ids is None else rows.filter(pk__in=session_ids).order_by("pk"))
    begun = []
    for session in running:
        with transaction.atomic():
            inspection.note_stop(session.pk, by.pk, address, reason)
            if lifecycle.begin_stop(session, EndReason.STAFF_STOPPED, reasons.staff(by.pk, reason)):
                begun.append(session)
    if begun:
        about = ", ".join(sorted(session.user.get_username() for session in begun))
        stopped = [str(session.pk) for session in begun]
        audit.note_by(by.pk, address, AuditEntry.Kind.SESSIONS_STOPPED, about, reason=reason, sessions=stopped)
    return begun


def remove(place_id: int) -> bool:
    """Take somebody out of the line; return whether they were in it."""
    place = QueuePlace.objects.filter(pk=place_id).first()
    if place:
        queue.remove(place)
    return place is not None
