"""Closing an account: its sessions end, and speech and identity are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from heygen_portal.people import closing
from heygen_portal.runtime import background
from heygen_portal.trail.change_log import Actor
from sessions.actions import stop
from sessions.capacity import queue, quotas, slots
from sessions.lifecycle import end_evidence, transitions, unreadable
from sessions.models import EndReason, Erasure, LegalHold, QueueEntry, Quota, StreamingSession
from sessions.retention import erasure

# The page waits this long for providers to confirm the end of open sessions.
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of a closed account's conversations."""

    erased: int
    # Under a legal hold. Erased the night after the hold is released.
    held: int
    # Not confirmed by their providers yet. Erased the night after that.
    stopping: int
    # Changed in the database, so that they could not be erased. Tried again each night.
    failed: int = 0


def close(request: HttpRequest, user_id: int, *, reason: str = "") -> Outcome:
    """Close an account for good. Raises LastAdministratorError.

    `reason` is required of staff who close another user's account. Open sessions are stopped; the worker retries those
    that their provider does not confirm. Does nothing if the account is closed already.
    """
    is_own = request.user.pk == user_id
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if closing.is_closed(user):
            return _outcome(user_id, 0)
        closing.close(request, user, reason=reason)
        _delete_quota(user, Actor(user_id) if is_own else Actor.of(request))
    # Only now, because a start in flight could store a session after an earlier stop.
    slots.await_starts()
    for entry in QueueEntry.objects.filter(user=user):
        queue.remove(entry)
    async_to_sync(_finish_stops)(_begin_stops(user_id, is_own=is_own))
    by_id, cause = (user_id, Erasure.Cause.PERSON) if is_own else (request.user.pk, Erasure.Cause.STAFF)
    receipts = erasure.erase_all_of(user_id, cause, by_id)
    return _outcome(user_id, len(receipts))


def _outcome(user_id: int, erased: int) -> Outcome:
    open_sessions = StreamingSession.objects.open().filter(user_id=user_id)
    failed = erasure.erasable().filter(user_id=user_id)
    return Outcome(erased, held_conversations_of(user_id), open_sessions.count(), failed.count())


def held_conversations_of(user_id: int) -> int:
    """Return how many of a user's conversations are under a legal hold."""
    return LegalHold.objects.active().filter(session__user_id=user_id).count()


def _begin_stops(user_id: int, *, is_own: bool) -> list[StreamingSession]:
    if is_own:
        reason, evidence = EndReason.USER_STOPPED, end_evidence.person(user_id)
    else:
        reason, evidence = EndReason.STAFF_STOPPED, end_evidence.access_lost(user_id, "deactivated")
    running = unreadable.load(StreamingSession.objects.open().filter(user_id=user_id).order_by("pk"))
    return [session for session in running if transitions.begin_stop(session, reason, evidence)]


async def _finish_stops(sessions: Sequence[StreamingSession]) -> None:
    """Stop sessions at their providers.

    The worker continues with those that take too long.
    """
    if sessions:
        await asyncio.wait([background.spawn(stop.finish_stops(sessions))], timeout=STOP_TIMEOUT_S)


def _delete_quota(user: User, actor: Actor) -> None:
    quota = Quota.objects.select_related("user").filter(user_id=user.pk).first()
    if quota:
        quotas.record_change(actor, quota, None)
        quota.delete()
