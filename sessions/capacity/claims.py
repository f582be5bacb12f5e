"""Judge a page's claim about why its session ends.

The portal's own facts decide; the claim is kept as evidence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.jobs import each_row
from sessions.capacity import provider_lookups
from sessions.lifecycle import end_evidence, transitions
from sessions.models import RUNNING, EndReason, LimitBy, OwnerId, SessionEvent, Status, StreamingSession

logger = logging.getLogger(__name__)

# Reasons that a page may claim for a renewal.
RENEWABLE = (EndReason.NO_PICTURE, EndReason.USER_STOPPED, EndReason.DURATION_LIMIT, EndReason.PROVIDER_ENDED)
# From the provider's answer to the first frame. A page without one may then try a new session.
FIRST_FRAME_WAIT = timedelta(seconds=8)
# How long before the provider's limit a conversation may move to a new session.
RENEWAL_LEAD = timedelta(seconds=20)
# How long after a confirmed fault a renewal is served before people who queued later.
RENEWAL_WINDOW = timedelta(seconds=60)
LOOKUP_TIMEOUT_S = 5  # for the provider's list, while the user waits


@dataclass(frozen=True)
class Claim:
    """A page's claim about an end, and what the provider's list said.

    `listed_as` is the provider's word for the status, MISSING, UNKNOWN, or empty if the list was not read.
    """

    owner: OwnerId
    reason: EndReason
    verdict: str = ""
    listed_as: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a session ends. `is_confirmed`: the portal saw the cause itself."""

    reason: EndReason
    evidence: end_evidence.Evidence
    is_confirmed: bool = False


async def check_with_provider(session: StreamingSession, claim: Claim) -> Claim:
    """Return the claim with the session's status in the provider's list.

    The list is read only if it can confirm the claim.
    """
    if claim.reason != EndReason.PROVIDER_ENDED or not session.provider_session_id:
        return claim
    return Claim(claim.owner, claim.reason, claim.verdict, await _status_at_provider(session))


async def _status_at_provider(session: StreamingSession) -> str:
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            return await provider_lookups.listed_status(session)
    except (ProviderError, TimeoutError, TooManyRequests) as exc:
        logger.warning("session %s: the provider's list could not be read: %s", session.pk, type(exc).__name__)
        return provider_lookups.UNKNOWN


def end_cause(session: StreamingSession, claim: Claim, now: datetime) -> Cause:
    """Return why a session ends at a page's request."""
    if session.end_reason:
        return Cause(EndReason(session.end_reason), session.end_evidence, is_confirmed=_is_fault(session))
    verdict = {"verdict": claim.verdict} if claim.verdict else {}
    if claim.reason == EndReason.NO_PICTURE and _has_no_picture(session, now):
        evidence = end_evidence.no_picture(reported_kinds(session.pk), FIRST_FRAME_WAIT)
        return Cause(claim.reason, {**evidence, **verdict}, is_confirmed=True)
    if claim.reason == EndReason.DURATION_LIMIT and _is_at_providers_limit(session, now):
        return Cause(claim.reason, end_evidence.time_up(session), is_confirmed=True)
    if claim.listed_as == provider_lookups.MISSING:
        return Cause(EndReason.PROVIDER_ENDED, end_evidence.not_listed(), is_confirmed=True)
    return _unconfirmed_cause(claim)


def _unconfirmed_cause(claim: Claim) -> Cause:
    """Return the cause of an end of which the portal knows no more than that the page asked for it."""
    if claim.verdict:
        return Cause(EndReason.USER_STOPPED, end_evidence.gave_up(claim.verdict, claim.owner))
    claimed = "" if claim.reason == EndReason.USER_STOPPED else claim.reason
    return Cause(EndReason.USER_STOPPED, end_evidence.continued(claim.owner, claimed, claim.listed_as))


def begin_stop(session: StreamingSession, claim: Claim) -> bool:
    """Request a stop at a page's request.

    Return True if this caller must carry it out. The claim is judged while the row is locked, so that a first frame
    reported meanwhile counts.
    """
    with transaction.atomic():
        rows = StreamingSession.objects.select_related("account").select_for_update(of=("self",))
        cause = _unconfirmed_cause(claim)
        with each_row.savepoint(f"session {session.pk}: its page's claim could not be judged"):
            session.refresh_from_db(from_queryset=rows)
            cause = end_cause(session, claim, clock.now())
        return transitions.begin_stop(session, cause.reason, cause.evidence)


def reported_kinds(session_id: UUID) -> set[str]:
    """Return the kinds of events that the browser has reported of a session."""
    reported = SessionEvent.objects.filter(session_id=session_id, source=SessionEvent.Source.BROWSER)
    return set(reported.order_by().values_list("kind", flat=True).distinct())


def keeps_slot(session: StreamingSession, claim: Claim, now: datetime) -> bool:
    """Whether a renewal of this session is served before people who wait.

    It is if the portal saw the cause itself.
    """
    if session.ended_at:
        return _is_fault(session) and now - session.ended_at <= RENEWAL_WINDOW
    return end_cause(session, claim, now).is_confirmed


def _is_fault(session: StreamingSession) -> bool:
    if session.end_reason == EndReason.DURATION_LIMIT:
        return session.limit_by == LimitBy.PROVIDER
    return session.end_reason in (EndReason.NO_PICTURE, EndReason.PROVIDER_ENDED)


def _has_no_picture(session: StreamingSession, now: datetime) -> bool:
    return session.status == Status.CONNECTING and session.billed_from + FIRST_FRAME_WAIT <= now


def _is_at_providers_limit(session: StreamingSession, now: datetime) -> bool:
    return session.limit_by == LimitBy.PROVIDER and session.ends_at - now <= RENEWAL_LEAD


# One time limit for a whole conversation


def conversation_time_used(session_ids: Collection[UUID], now: datetime) -> timedelta:
    """Return the total time of the conversations that these sessions belong to."""
    conversations = StreamingSession.objects.filter(pk__in=session_ids).values("conversation")
    rows = StreamingSession.objects.filter(conversation__in=conversations)
    rows = rows.filter(Q(status__in=RUNNING) | Q(provider_session_id__isnull=False))
    times = rows.values_list("created_at", "stop_requested_at", "ended_at")
    return sum((max((stop or end or now) - begin, timedelta(0)) for begin, stop, end in times), timedelta(0))
