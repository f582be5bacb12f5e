"""Closing an account: sessions are ended, speech is erased, and what identifies the user is deleted."""

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
from heygen_portal.trail import change_log
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions.actions import stop
from sessions.capacity import queue
from sessions.lifecycle import end_evidence, transitions
from sessions.models import Allowance, EndReason, Erasure, LegalHold, QueuePlace, StreamingSession
from sessions.retention import erasure

STOP_TIMEOUT_S = 5.0
"""How long the page waits for providers to confirm the end of running sessions."""


@dataclass(frozen=True)
class Outcome:
    """What became of a closed account's conversations."""

    erased: int
    held: int
    """Kept by a legal hold. Erased in the night after the hold is released."""
    stopping: int
    """Their providers have not confirmed the end yet. Erased in the night after that."""


def close(request: HttpRequest, user_id: int, *, reason: str = "") -> Outcome:
    """Close an account for good. `reason`: why staff do it on the user's behalf.

    Running sessions are being stopped when the account is closed; the worker retries those that their provider does
    not confirm. Raises LastAdministratorError.
    """
    is_own = request.user.pk == user_id
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        stopping = _begin_stops(user_id, is_own=is_own)
        for entry in QueuePlace.objects.filter(user=user):
            queue.remove(entry)
        closing.close(request, user, reason=reason)
        _delete_quota(user, Actor(user_id) if is_own else Actor.of(request))
    async_to_sync(_finish_stops)(stopping)
    by_id, cause = (user_id, Erasure.Cause.PERSON) if is_own else (request.user.pk, Erasure.Cause.STAFF)
    receipts = erasure.erase_all_of(user_id, cause, by_id)
    open_sessions = StreamingSession.objects.open().filter(user_id=user_id)
    return Outcome(len(receipts), held_conversations_of(user_id), open_sessions.count())


def held_conversations_of(user_id: int) -> int:
    """Return how many of a user's conversations a legal hold keeps."""
    return LegalHold.objects.active().filter(session__user_id=user_id).count()


def _begin_stops(user_id: int, *, is_own: bool) -> list[StreamingSession]:
    if is_own:
        reason, evidence = EndReason.USER_STOPPED, end_evidence.person(user_id)
    else:
        reason, evidence = EndReason.STAFF_STOPPED, end_evidence.access_lost(user_id, "deactivated")
    running = StreamingSession.objects.open().select_related("account").filter(user_id=user_id).order_by("pk")
    return [session for session in running if transitions.begin_stop(session, reason, evidence)]


async def _finish_stops(sessions: Sequence[StreamingSession]) -> None:
    """Ask the providers for the end. Those that take longer than the page can wait are asked on, by the worker."""
    if sessions:
        await asyncio.wait([background.spawn(stop.finish_stops(sessions))], timeout=STOP_TIMEOUT_S)


def _delete_quota(user: User, actor: Actor) -> None:
    quota = Allowance.objects.select_related("user").filter(user_id=user.pk).first()
    if quota:
        changes = change_log.diff(quota, None, change_log.editable_columns(Allowance))
        change_log.record(actor, AuditEntry.Kind.ALLOWANCE_CHANGED, quota, changes)
        quota.delete()
