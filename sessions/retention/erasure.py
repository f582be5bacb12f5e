"""Erasure of speech.

The key of a session's speech is destroyed; its record and proofs stay.

A legal hold prevents erasure. Each erasure leaves a receipt and an event, and cannot be undone.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Least
from django.utils import timezone

from avatars.documents import unanswered
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail import audit_log, statements
from sessions.exports import list_export
from sessions.integrity.diagnosis import HELD, HOLD_RELEASED
from sessions.lifecycle import coverage, events, unreadable
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import (
    Erasure,
    LegalHold,
    OwnerId,
    ProviderErasure,
    SessionEvent,
    SessionTask,
    SpeechKey,
    SpokenWord,
    Status,
    StreamingSession,
    Utterance,
    owned_by,
)

# Means no limit, in comparisons by the database.
UNLIMITED_DAYS = 1_000_000
# A start in flight may store its session this long after its user's account was closed. It is stopped at once.
STORED_WHILE_CLOSING = timedelta(minutes=1)


def erasable() -> QuerySet[StreamingSession]:
    """Return ended sessions that have speech and no legal hold."""
    held = LegalHold.objects.active().filter(session=OuterRef("pk"))
    rows = StreamingSession.objects.filter(status=Status.ENDED, speech_key__erased_at=None)
    return rows.filter(speech_key__isnull=False).exclude(Exists(held))


def is_held(session_id: UUID) -> bool:
    """Whether the record states an active hold, even if its row was tampered with."""
    kept = SessionEvent.objects.filter(session_id=session_id)
    return kept.filter(kind=HELD).count() > kept.filter(kind=HOLD_RELEASED).count()


def erase(
    session_id: UUID, cause: Erasure.Cause, by_id: int | None = None, address: str | None = None
) -> Erasure | None:
    """Erase the speech of a session and return the receipt.

    Returns None if the session is open, is held, or has no speech.

    If the provider can delete its transcript, the worker requests that.
    """
    with transaction.atomic():
        # Locked first, so that concurrent erasures and holds of the session wait for each other.
        StreamingSession.objects.select_for_update().only("pk").get(pk=session_id)
        # No other column is read, so that one with an invalid value does not keep the speech.
        row = erasable().select_related("account").only("provider_session_id", "account__kind")
        session = row.filter(pk=session_id).first()
        if session is None or is_held(session_id):
            return None
        now = timezone.now()
        lines = Utterance._base_manager.filter(session_id=session_id).order_by("pk").values_list("sealed", flat=True)
        tasks = SessionTask._base_manager.filter(session_id=session_id).order_by("pk").values_list("sealed", flat=True)
        texts = [bytes(sealed) for sealed in (*lines, *tasks)]
        receipt = Erasure.objects.create(
            session=session,
            at=now,
            cause=cause,
            by_id=by_id,
            lines=len(lines),
            hash=hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest(),
            at_provider=_at_provider(session),
        )
        is_asked = receipt.at_provider == Erasure.AtProvider.ASKED
        carried = ProviderErasure.objects.create(erasure=receipt) if is_asked else None
        SpeechKey.objects.filter(pk=session_id).update(wrapped=b"", erased_at=now)
        SpokenWord.objects.filter(utterance__session_id=session_id).delete()
        unanswered.erase(session_id)
        # Otherwise the portal's key could test guesses of a text.
        Utterance._base_manager.filter(session_id=session_id).update(words_signature="")
        details = {"cause": cause, "user": by_id, "from": address, "lines": receipt.lines, "hash": receipt.hash}
        stated = statements.state(coverage.ERASURE, receipt)
        if carried:
            stated = statements.merged(stated, statements.state(coverage.PROVIDER_ERASURE, carried))
        events.record(session_id, Entry(EventKind.SPEECH_ERASED, details | stated))
        transaction.on_commit(list_export.delete_transcript_files)  # they may contain the erased speech
    return receipt


def erase_own(owner: OwnerId, address: str | None = None) -> list[Erasure]:
    """Erase the speech of a person's ended sessions, except held ones."""
    return erase_all_of(owner, Erasure.Cause.PERSON, owner if isinstance(owner, int) else None, address)


def erase_all_of(owner: OwnerId, cause: Erasure.Cause, by_id: int | None, address: str | None = None) -> list[Erasure]:
    """Erase the speech of a person's ended sessions, except held ones.

    A session whose speech cannot be erased, because it was changed in the database, is logged and stays `erasable`.
    """
    receipts = []
    for pk in unreadable.ids(erasable().filter(owned_by(owner))):
        with each_row.log_failure(f"session {pk}: its speech could not be erased"):
            receipts.append(erase(pk, cause, by_id, address))
    return [receipt for receipt in receipts if receipt]


def erase_of_closed_accounts() -> int:
    """Erase speech kept when its user closed the account; return the session count."""
    closed = audit_log.closed_accounts()
    rows = erasable().filter(user_id__in=closed).order_by("created_at")
    left = [
        (pk, user_id)
        for pk, user_id, began, is_active in rows.values_list("pk", "user_id", "created_at", "user__is_active")
        if _is_before_closing(began, closed[user_id], is_active=is_active)
    ]
    return sum(_try_erase(pk, Erasure.Cause.PERSON, user_id) for pk, user_id in left)


def _is_before_closing(began: datetime, closed_at: datetime | None, *, is_active: bool) -> bool:
    """Whether a session is of the closed account.

    The account may have been reactivated on the server since.
    """
    if closed_at is None:
        return not is_active
    return began < closed_at + (timedelta(0) if is_active else STORED_WHILE_CLOSING)


def erase_expired(now: datetime) -> int:
    """Erase speech older than its limits; return the number of sessions.

    Personas and accounts have limits; the shorter one applies.
    """
    days = Least(
        Coalesce(F("persona__speech_days"), UNLIMITED_DAYS), Coalesce(F("account__speech_days"), UNLIMITED_DAYS)
    )
    limited = erasable().filter(Q(persona__speech_days__isnull=False) | Q(account__speech_days__isnull=False))
    count = 0
    old = limited.filter(ended_at__lt=now).annotate(days=days).order_by("ended_at")
    for row in each_row.readable(old.only("ended_at")):
        with each_row.log_failure(f"session {row.pk}: the age of its speech could not be compared with the limits"):
            if row.ended_at and row.ended_at + timedelta(days=vars(row)["days"]) <= now:
                count += _try_erase(row.pk, Erasure.Cause.RETENTION)
    return count


def _try_erase(session_id: UUID, cause: Erasure.Cause, by_id: int | None = None) -> bool:
    """Return whether the speech was erased. A failure is logged, and the next night tries again."""
    with each_row.log_failure(f"session {session_id}: its speech could not be erased"):
        return erase(session_id, cause, by_id) is not None
    return False


def hold(session_id: UUID, reason: str, by_id: int, address: str | None = None) -> LegalHold:
    """Protect a session's speech from erasure.

    Raises IntegrityError if it is held already.
    """
    with transaction.atomic():
        StreamingSession.objects.select_for_update().only("pk").get(pk=session_id)
        held = LegalHold.objects.create(session_id=session_id, reason=reason, by_id=by_id)
        details = {"user": by_id, "from": address, "reason": reason, "hold": held.pk}
        events.record(session_id, Entry(HELD, details | statements.state(coverage.HOLD, held)))
    return held


def release(held: LegalHold, by_id: int, address: str | None = None) -> None:
    """Release a hold. Idempotent."""
    with transaction.atomic():
        rows = LegalHold.objects.filter(pk=held.pk, released_at=None)
        held.released_at, held.released_by_id = timezone.now(), by_id
        if rows.update(released_at=held.released_at, released_by=by_id):
            details = {"user": by_id, "from": address, "hold": held.pk}
            stated = statements.state(coverage.HOLD, held, "released_at", "released_by")
            events.record(held.session_id, Entry(HOLD_RELEASED, details | stated))


def _at_provider(session: StreamingSession) -> Erasure.AtProvider:
    if not session.provider_session_id:
        return Erasure.AtProvider.NEVER_THERE
    capabilities = session.account.capabilities
    if capabilities.can_delete_transcripts:
        return Erasure.AtProvider.ASKED
    return Erasure.AtProvider.KEPT if capabilities.has_session_records else Erasure.AtProvider.NOTHING_KEPT
