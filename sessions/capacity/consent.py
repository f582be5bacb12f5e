"""What a person must accept before talking with a persona, and what they have accepted.

`still_required` is the only decision. Every start passes through `slots.open_session`, which calls it, so that no
edge can start a session without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from avatars.models import Persona
from heygen_portal.postgresql import clock
from heygen_portal.runtime import stored_json
from heygen_portal.trail import statements
from sessions import errors
from sessions.capacity.notice import Notice, notice_for
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Consent, OwnerId, Purpose, StreamingSession, owned_by, owner_columns


@dataclass(frozen=True)
class Permit:
    """Why a start needs no further acceptance: one given with it, one given earlier, or none required."""

    notice: Notice | None = None
    earlier: Consent | None = None


NOT_REQUIRED = Permit()


def is_required(persona: Persona) -> bool:
    """Whether users must accept the notice before they talk with this persona."""
    return persona.requires_consent or persona.organisation.requires_consent


def still_required(
    persona: Persona, owner: OwnerId, continues: StreamingSession | None = None, purpose: Purpose = Purpose.TALK
) -> Notice | None:
    """Return the notice that this person must accept before starting, or None.

    `continues` is the session that the new one continues: within a conversation, no second acceptance is needed.
    """
    found = _find(persona, owner, continues, purpose)
    return found if isinstance(found, Notice) else None


def require(
    persona: Persona,
    owner: OwnerId,
    accepted: str,
    continues: StreamingSession | None = None,
    purpose: Purpose = Purpose.TALK,
) -> Permit:
    """Return why the person may start.

    `accepted` is the fingerprint of the notice that they accept with this start. Raises ConsentNeeded if that is not
    the one they must accept now.
    """
    match _find(persona, owner, continues, purpose):
        case None:
            return NOT_REQUIRED
        case Consent() as earlier:
            return Permit(earlier=earlier)
        case notice:
            if accepted != notice.fingerprint:
                raise errors.ConsentNeeded({"notice": notice.fingerprint})
            return Permit(notice=notice)


def record(session: StreamingSession, permit: Permit) -> None:
    """Record in a new session what its user has accepted, and store a new acceptance.

    Call it in the transaction that stores the session.
    """
    if permit.notice:
        notice = permit.notice
        consent = Consent.objects.create(
            session=session,
            **owner_columns(session.owner_id),
            persona_id=session.persona_id,
            version=notice.version,
            language=notice.language,
            fingerprint=notice.fingerprint,
            text=notice.text,
            accepted_at=clock.now(),
        )
        stated = statements.state(coverage.CONSENT, consent)
        events.record(session.pk, Entry(EventKind.CONSENT_ACCEPTED, _facts(consent) | stated))
    elif permit.earlier:
        known = _facts(permit.earlier) | {
            "session": str(permit.earlier.session_id),
            "accepted_at": permit.earlier.accepted_at.isoformat(),
        }
        events.record(session.pk, Entry(EventKind.CONSENT_IN_FORCE, known))


def in_force(persona: Persona, owner: OwnerId) -> Consent | None:
    """Return the acceptance of the persona's present notice, if the person gave one and did not withdraw it."""
    latest = _latest(persona.pk, owner)
    is_present = latest and not latest.withdrawn_at and latest.fingerprint == notice_for(persona).fingerprint
    return latest if is_present else None


def of_session(session: StreamingSession) -> Consent | None:
    """Return the acceptance that a session rests on. It may have been given for an earlier one."""
    kinds = (EventKind.CONSENT_ACCEPTED, EventKind.CONSENT_IN_FORCE)
    event = session.events.filter(kind__in=kinds).order_by("number").first()
    if event is None:
        return None
    try:
        given_for = UUID(stored_json.text(event.data, "session") or str(session.pk))
    except ValueError:
        return None
    return Consent.objects.filter(owned_by(session.owner_id), session=given_for).first()


@transaction.atomic
def withdraw(persona_id: int, owner: OwnerId) -> list[UUID]:
    """Withdraw a person's acceptances for a persona. Return the sessions they were given for.

    The next conversation needs a new one.
    """
    rows = Consent.objects.select_for_update().filter(owned_by(owner), persona=persona_id, withdrawn_at=None)
    withdrawn = list(rows.order_by("pk"))
    for consent in withdrawn:
        consent.withdrawn_at = clock.now()
        consent.save(update_fields=["withdrawn_at"])
        stated = statements.state(coverage.CONSENT, consent, "withdrawn_at")
        events.record(consent.session_id, Entry(EventKind.CONSENT_WITHDRAWN, _facts(consent) | stated))
    return [consent.session_id for consent in withdrawn]


def _find(
    persona: Persona, owner: OwnerId, continues: StreamingSession | None, purpose: Purpose
) -> Notice | Consent | None:
    """Return the notice to accept, the acceptance that counts, or None if none is required."""
    if purpose == Purpose.CHECK or not is_required(persona):  # a check has no person
        return None
    notice, latest = notice_for(persona), _latest(persona.pk, owner)
    if latest and not latest.withdrawn_at and latest.fingerprint == notice.fingerprint:
        return latest
    if continues is None:
        return notice
    # A changed notice is accepted with the next conversation, but what was withdrawn no longer counts.
    if continues.persona_id != persona.pk:  # the persona in another language, which may not have asked
        latest = latest or _latest(continues.persona_id, owner)
        return notice if latest is None or latest.withdrawn_at else latest
    return notice if latest and latest.withdrawn_at else latest


def _latest(persona_id: int, owner: OwnerId) -> Consent | None:
    return Consent.objects.filter(owned_by(owner), persona=persona_id).order_by("-accepted_at").first()


def _facts(consent: Consent) -> dict[str, str | int]:
    """Return what auditors read in the timeline."""
    return {"version": consent.version, "language": consent.language, "notice": consent.fingerprint}
