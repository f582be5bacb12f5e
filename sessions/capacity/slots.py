"""Take slots for new sessions.

An account's slots are held by its open sessions and its queue offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from avatars.models import Persona, ProviderAccount
from avatars.personas import versions
from heygen_portal.models.invitations import holders_of
from heygen_portal.people.access import roles
from heygen_portal.people.access.live_access import Loss
from heygen_portal.postgresql import clock
from sessions import errors
from sessions.capacity import claims, consent, guests, queue, quotas
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import end_evidence, transitions
from sessions.lifecycle.transitions import SessionLimits
from sessions.models import (
    RUNNING,
    Conversation,
    EndReason,
    OwnerId,
    Purpose,
    QueueEntry,
    StreamingSession,
    owned_by,
)
from sessions.presence import tabs

# What a user needs to start a session for a purpose. Checks are started by the portal itself.
PERMISSIONS = {Purpose.TALK: roles.START_SESSION, Purpose.TRIAL: roles.TRY_PERSONA}


@dataclass(frozen=True)
class StartRequest:
    """A request to start a session.

    `claimed_reason` is why the conversation moves to a new session, according to the page. `took_over` are sessions
    of the same conversation that are ended for this one: their time counts. `accepts` is the fingerprint of the notice
    that the person has accepted with this start.
    """

    quality: str = ""
    encoding: str = ""
    is_taking_over: bool = False
    continues: UUID | None = None
    claimed_reason: EndReason = EndReason.NO_PICTURE
    took_over: frozenset[UUID] = frozenset()
    purpose: Purpose = Purpose.TALK
    accepts: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether no other session must end first."""
        return not self.is_taking_over and self.continues is None


class NoFreeSlot(errors.ProviderLimit):
    """No slot is free by the portal's count. `has_queue`: other people wait for one."""

    def __init__(self, persona: Persona, *, has_queue: bool) -> None:
        super().__init__()
        self.persona = persona
        self.has_queue = has_queue


def find_persona(slug: str, owner: OwnerId, purpose: Purpose = Purpose.TALK) -> Persona:
    """Return the published persona or, for a trial, its last saved draft.

    Raises NotFound if this user or guest may not talk with it. The caller checks who may try a draft.
    """
    if isinstance(owner, UUID):
        personas = guests.personas_of(owner) if purpose == Purpose.TALK else Persona.objects.none()
    else:
        personas = _personas_of_user(owner, purpose)
    rows = personas.select_related(
        "avatar__account", "voice", "knowledge_base", "model_service", "current", "organisation"
    )
    persona = rows.filter(slug=slug).first()
    if persona is None or persona.avatar.account.known_capabilities is None:
        raise errors.NotFound
    return versions.as_draft(persona) if purpose == Purpose.TRIAL else persona


def _personas_of_user(user_id: int, purpose: Purpose) -> QuerySet[Persona]:
    return {
        Purpose.TALK: Persona.objects.open_to(user_id),
        Purpose.TRIAL: Persona.objects.all(),
        Purpose.CHECK: Persona.objects.filter(status=Persona.Status.PUBLISHED),
    }[purpose]


def open_session(
    owner: OwnerId, persona_slug: str, request: StartRequest = StartRequest(), *, checks_access: bool = False
) -> StreamingSession:
    """Take a slot and store the session, before the provider is called.

    Raises NotFound for an unpublished persona or another user's conversation, SessionRunning if the user has a running
    session, ConsentNeeded, TimeIsUp, QuotaUsed, SpendCap, GuestLimit, GuestsPaused, and NoFreeSlot if no slot is free
    or other people wait. With `checks_access`, raises AccessEnded if the user or guest may not start sessions at the
    moment when the slot is taken.
    """
    persona = find_persona(persona_slug, owner, request.purpose)
    if request.quality and request.quality not in persona.avatar.account.capabilities.qualities:
        raise errors.BadMessage
    continues = find_continued(owner, persona, request)
    now = clock.now()
    bound = limits_of(owner, persona, request)
    try:
        with transaction.atomic():
            account = queue.lock(persona.avatar.account_id)  # each slot is taken once
            access = _access_facts(owner, persona, request.purpose) if checks_access else {}
            facts = _start_facts(account.pk, owner, access)
            if checks_access:
                _require_access(_loss(owner, persona, facts))
            permit = consent.require(persona, owner, request.accepts, continues, request.purpose)
            if facts.is_running:
                raise errors.SessionRunning(_running_session(owner))
            bound = quotas.within_cap(bound, account, now)
            guest = guests.find(owner)
            if guest:
                bound = guests.within_limits(guest, bound, account, now, is_new=continues is None)
            if facts.has_queue:
                _require_slot(owner, persona, account, facts)
            elif queue.free_slots(account, facts.open_sessions, [], is_staff=facts.is_staff) < 1:
                raise NoFreeSlot(persona, has_queue=False)
            if facts.is_waiting:
                _leave_queue(owner)
            session = transitions.request(
                persona,
                owner,
                bound,
                quality=request.quality,
                encoding=request.encoding,
                purpose=request.purpose,
                continues=continues,
                origin=guests.origin(guest) if guest else None,
            )
            consent.record(session, permit)
            return session
    except IntegrityError as exc:
        raise errors.SessionRunning(_running_session(owner)) from exc


def limits_of(owner: OwnerId, persona: Persona, request: StartRequest) -> SessionLimits:
    """Return the session's limits, less the time its conversation has used.

    Raises TimeIsUp, QuotaUsed.
    """
    now, before = clock.now(), request.took_over | ({request.continues} if request.continues else set())
    if not before:
        return quotas.limits_for(persona, owner, now)
    conversation = Conversation.objects.filter(sessions=request.continues).first()
    return quotas.limits_for(persona, owner, now, conversation, claims.conversation_time_used(before, now))


def may_continue(session: StreamingSession) -> bool:
    """Whether the conversation has time left to continue."""
    try:
        limits_of(session.owner_id, session.persona, StartRequest(continues=session.pk))
    except errors.TimeIsUp:
        return False
    except errors.QuotaUsed:
        pass  # the start explains it, and next month has a new quota
    return True


def open_in_tab(owner: OwnerId, persona_slug: str, tab: TabAddress, request: StartRequest) -> StreamingSession:
    """Open a session with its tab registered from the start.

    Raises the errors of `open_session`, AccessEnded among them.
    """
    with transaction.atomic():
        session = open_session(owner, persona_slug, request, checks_access=True)
        tabs.add(session, tab.process_id, tab.channel)
    return session


def requeue(
    session: StreamingSession, tab: TabAddress, since: datetime, evidence: end_evidence.Evidence
) -> QueueEntry | None:
    """End a session that the provider has no slot for, and queue its user again.

    The user waits before everyone who came after `since`. Return None if the session was stopped meanwhile: the
    user is then not queued. Raises AccessEnded, after the session has ended.
    """
    with transaction.atomic():
        queue.lock(session.account_id)  # so that no other start takes the slot in between
        loss = _current_loss(session.owner_id, session.persona, Purpose(session.purpose))
        is_wanted = transitions.begin_stop(session, EndReason.PROVIDER_REFUSED, evidence)
        transitions.end(session)
        queue.record_full(session.account_id)
        if is_wanted and not loss:
            return queue.rejoin(session.owner_id, session.persona, tab, since)
    if is_wanted:
        _require_access(loss)
    return None


def require_consent(owner: OwnerId, persona: Persona, request: StartRequest) -> None:
    """Raise ConsentNeeded if the person has to accept a notice first."""
    continues = find_continued(owner, persona, request)
    consent.require(persona, owner, request.accepts, continues, request.purpose)


def find_continued(owner: OwnerId, persona: Persona, request: StartRequest) -> StreamingSession | None:
    """Return the session to continue, if the request names one.

    Its persona may differ in language only. Raises NotFound if it belongs to another user or another persona.
    """
    if request.continues is None:
        return None
    if session := _same_conversations(owner, persona).filter(pk=request.continues).first():
        return session
    raise errors.NotFound


def _same_conversations(owner: OwnerId, persona: Persona) -> QuerySet[StreamingSession]:
    """Return a user's sessions with this persona in any language.

    This persona may continue them.
    """
    same = Q(persona=persona) | Q(persona__in=Persona.objects.speaking_another_language(persona))
    return StreamingSession.objects.select_related("account").filter(owned_by(owner), same)


def as_renewal(
    owner: OwnerId, persona: Persona, request: StartRequest, blocking: list[StreamingSession]
) -> StartRequest:
    """Return a take-over request as a renewal, if it is of the same conversation.

    The request continues that session even if the page names none, so that the conversation keeps its one time
    limit however often it moves between devices.
    """
    same = _same_conversations(owner, persona).filter(pk__in=[session.pk for session in blocking])
    taken = list(same.order_by("-created_at").values_list("pk", flat=True))
    continues = request.continues or next(iter(taken), None)
    return replace(request, continues=continues, took_over=frozenset(taken))


def blocking_sessions(owner: OwnerId, persona: Persona, request: StartRequest) -> list[StreamingSession]:
    """Return the sessions that must end before this one can start. Raises NotFound."""
    if request.is_taking_over:
        rows = StreamingSession.objects.select_related("account")
        return list(rows.open().filter(owned_by(owner)))
    continued = find_continued(owner, persona, request)
    return [continued] if continued and continued.ended_at is None else []


def join_queue(owner: OwnerId, persona: Persona, tab: TabAddress, request: StartRequest) -> QueueEntry:
    """Join the queue at the end, or earlier for a renewal with a confirmed cause.

    Such a renewal goes before people who came later. Raises QueueFull, NotFound, AccessEnded.
    """
    with transaction.atomic():
        queue.lock(persona.avatar.account_id)
        _require_access(_current_loss(owner, persona, request.purpose))
        continued = find_continued(owner, persona, request)
        claim = claims.Claim(owner, request.claimed_reason)
        if continued and continued.ended_at and claims.keeps_slot(continued, claim, clock.now()):
            return queue.rejoin(owner, persona, tab, continued.created_at)
        if isinstance(owner, UUID):
            guests.require_queue_room(owner)
        return queue.join(owner, persona, tab)


def hold_slot(
    owner: OwnerId, persona: Persona, tab: TabAddress, request: StartRequest, until: datetime, *, joins_at_end: bool
) -> QueueEntry:
    """Hold a slot as `queue.hold_slot` does, for a user who may still start sessions.

    Raises QueueFull, AccessEnded.
    """
    with transaction.atomic():
        queue.lock(persona.avatar.account_id)
        _require_access(_current_loss(owner, persona, request.purpose))
        return queue.hold_slot(owner, persona, tab, until, joins_at_end=joins_at_end)


def await_starts() -> None:
    """Wait until the starts that are being stored have been.

    Starts read who may start under an account's lock. After this, all of them know what was committed before.
    """
    for account_id in ProviderAccount.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            queue.lock(account_id)


def have_ended(sessions: list[StreamingSession]) -> bool:
    """Whether all these sessions have ended, which the provider has confirmed."""
    return not StreamingSession.objects.open().filter(pk__in=[session.pk for session in sessions]).exists()


def _start_facts(account_id: int, owner: OwnerId, access: Mapping[str, Exists]) -> Any:
    """Return the facts for a start in one query.

    Call it under the account's lock, so that they stay true.
    """
    open_here = StreamingSession.objects.open().filter(account=OuterRef("pk"))
    own = StreamingSession.objects.filter(owned_by(owner), status__in=RUNNING)
    asked = {
        "open_sessions": Coalesce(_count(open_here), 0),
        "has_queue": Exists(QueueEntry.objects.filter(account=OuterRef("pk"))),
        "is_waiting": Exists(QueueEntry.objects.filter(owned_by(owner))),
        "is_running": Exists(own),
        "is_staff": Exists(_staff(owner)),
        **access,
    }
    return ProviderAccount.objects.annotate(**asked).values_list(*asked, named=True).get(pk=account_id)


def _staff(owner: OwnerId) -> QuerySet[User]:
    return User.objects.filter(pk=owner, is_staff=True) if isinstance(owner, int) else User.objects.none()


def _access_facts(owner: OwnerId, persona: Persona, purpose: Purpose) -> dict[str, Exists]:
    """Return query columns: whether the user may start this persona's session. None for a guest."""
    if isinstance(owner, UUID):
        return {}
    personas = Persona.objects.open_to(owner) if purpose == Purpose.TALK else Persona.objects.all()
    return {
        "is_active": Exists(User.objects.filter(pk=owner, is_active=True)),
        "has_role": Exists(holders_of(PERMISSIONS[purpose]).filter(pk=owner)),
        "has_persona": Exists(personas.filter(pk=persona.pk)),
    }


def _current_loss(owner: OwnerId, persona: Persona, purpose: Purpose) -> Loss | None:
    """Return why the owner may not start a session, or None, in one query.

    Call it under the account's lock, so that it stays true.
    """
    asked = _access_facts(owner, persona, purpose)
    if not asked:
        return _loss(owner, persona, None)
    rows = ProviderAccount.objects.annotate(**asked).values_list(*asked, named=True)
    return _loss(owner, persona, rows.get(pk=persona.avatar.account_id))


def _loss(owner: OwnerId, persona: Persona, facts: Any) -> Loss | None:
    """Return why the owner may not start a session. `facts` are those of `_access_facts`."""
    if isinstance(owner, UUID):
        return guests.loss(owner, persona)
    if not facts.is_active:
        return Loss.DEACTIVATED
    if not facts.has_role:
        return Loss.ROLE
    return None if facts.has_persona else Loss.PERSONA


def _require_access(loss: Loss | None) -> None:
    if loss:
        raise errors.AccessEnded({"loss": loss})


def _count(rows: QuerySet[StreamingSession]) -> Subquery:
    return Subquery(rows.order_by().values("account").annotate(count=Count("pk")).values("count"))


def _require_slot(owner: OwnerId, persona: Persona, account: ProviderAccount, facts: Any) -> None:
    """Raise NoFreeSlot unless the user may take a slot.

    They may if they were offered one, or if one is free and no other entry has priority.
    """
    entries = queue.entries_of(account.pk)
    has_offer = any(entry.offer_expires_at for entry in entries if entry.owner_id == owner)
    others = [entry for entry in entries if entry.owner_id != owner]
    ahead = [entry for entry in others if not entry.offer_expires_at and (entry.is_staff or not facts.is_staff)]
    free = queue.free_slots(account, facts.open_sessions, others, is_staff=facts.is_staff)
    if free < 1 or (ahead and not has_offer):
        raise NoFreeSlot(persona, has_queue=bool(others))


def _leave_queue(owner: OwnerId) -> None:
    for entry in QueueEntry.objects.filter(owned_by(owner)):
        queue.remove(entry)


def _running_session(owner: OwnerId) -> dict[str, Any]:
    """Return the details of the user's running session for the page."""
    rows = StreamingSession.objects.select_related("persona").filter(owned_by(owner), status__in=RUNNING)
    session = rows.first()
    if session is None:
        return {}
    persona, started_at = session.persona, session.created_at.isoformat()
    return {
        "session": {
            "session_id": str(session.pk),
            "slug": persona.slug,
            "persona": persona.name,
            "started_at": started_at,
        }
    }
