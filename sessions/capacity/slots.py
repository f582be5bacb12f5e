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
from sessions.capacity import claims, consent, queue, quotas
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import end_evidence, transitions
from sessions.lifecycle.transitions import SessionLimits
from sessions.models import RUNNING, Conversation, EndReason, Purpose, QueueEntry, StreamingSession
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


def find_persona(slug: str, user_id: int, purpose: Purpose = Purpose.TALK) -> Persona:
    """Return the published persona or, for a trial, its last saved draft.

    Raises NotFound if this user may not talk with it. The caller checks who may try a draft.
    """
    personas = {
        Purpose.TALK: Persona.objects.open_to(user_id),
        Purpose.TRIAL: Persona.objects.all(),
        Purpose.CHECK: Persona.objects.filter(status=Persona.Status.PUBLISHED),
    }[purpose].select_related("avatar__account", "voice", "knowledge_base", "current", "organisation")
    persona = personas.filter(slug=slug).first()
    if persona is None or persona.avatar.account.known_capabilities is None:
        raise errors.NotFound
    return versions.as_draft(persona) if purpose == Purpose.TRIAL else persona


def open_session(
    user_id: int, persona_slug: str, request: StartRequest = StartRequest(), *, checks_access: bool = False
) -> StreamingSession:
    """Take a slot and store the session, before the provider is called.

    Raises NotFound for an unpublished persona or another user's conversation, SessionRunning if the user has a running
    session, ConsentNeeded, TimeIsUp, QuotaUsed, SpendCap, and NoFreeSlot if no slot is free or other people wait. With
    `checks_access`, raises AccessEnded if the user may not start sessions at the moment when the slot is taken.
    """
    persona = find_persona(persona_slug, user_id, request.purpose)
    if request.quality and request.quality not in persona.avatar.account.capabilities.qualities:
        raise errors.BadMessage
    continues = find_continued(user_id, persona, request)
    now = clock.now()
    bound = limits_of(user_id, persona, request)
    try:
        with transaction.atomic():
            account = queue.lock(persona.avatar.account_id)  # each slot is taken once
            access = _access_facts(user_id, persona, request.purpose) if checks_access else {}
            facts = _start_facts(account.pk, user_id, access)
            if checks_access:
                _require_access(facts)
            permit = consent.require(persona, user_id, request.accepts, continues, request.purpose)
            if facts.is_running:
                raise errors.SessionRunning(_running_session(user_id))
            bound = quotas.within_cap(bound, account, now)
            if facts.has_queue:
                _require_slot(user_id, persona, account, facts)
            elif queue.free_slots(account, facts.open_sessions, [], is_staff=facts.is_staff) < 1:
                raise NoFreeSlot(persona, has_queue=False)
            if facts.is_waiting:
                _leave_queue(user_id)
            session = transitions.request(
                persona,
                user_id,
                bound,
                quality=request.quality,
                encoding=request.encoding,
                purpose=request.purpose,
                continues=continues,
            )
            consent.record(session, permit)
            return session
    except IntegrityError as exc:
        raise errors.SessionRunning(_running_session(user_id)) from exc


def limits_of(user_id: int, persona: Persona, request: StartRequest) -> SessionLimits:
    """Return the session's limits, less the time its conversation has used.

    Raises TimeIsUp, QuotaUsed.
    """
    now, before = clock.now(), request.took_over | ({request.continues} if request.continues else set())
    if not before:
        return quotas.limits_for(persona, user_id, now)
    conversation = Conversation.objects.filter(sessions=request.continues).first()
    return quotas.limits_for(persona, user_id, now, conversation, claims.conversation_time_used(before, now))


def may_continue(session: StreamingSession) -> bool:
    """Whether the conversation has time left to continue."""
    try:
        limits_of(session.user_id, session.persona, StartRequest(continues=session.pk))
    except errors.TimeIsUp:
        return False
    except errors.QuotaUsed:
        pass  # the start explains it, and next month has a new quota
    return True


def open_in_tab(user_id: int, persona_slug: str, tab: TabAddress, request: StartRequest) -> StreamingSession:
    """Open a session with its tab registered from the start.

    Raises the errors of `open_session`, AccessEnded among them.
    """
    with transaction.atomic():
        session = open_session(user_id, persona_slug, request, checks_access=True)
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
        facts = _access_of(session.user_id, session.persona, Purpose(session.purpose))
        is_wanted = transitions.begin_stop(session, EndReason.PROVIDER_REFUSED, evidence)
        transitions.end(session)
        queue.record_full(session.account_id)
        if is_wanted and not _refusal(facts):
            return queue.rejoin(session.user_id, session.persona, tab, since)
    if is_wanted:
        _require_access(facts)
    return None


def require_consent(user_id: int, persona: Persona, request: StartRequest) -> None:
    """Raise ConsentNeeded if the person has to accept a notice first."""
    continues = find_continued(user_id, persona, request)
    consent.require(persona, user_id, request.accepts, continues, request.purpose)


def find_continued(user_id: int, persona: Persona, request: StartRequest) -> StreamingSession | None:
    """Return the session to continue, if the request names one.

    Its persona may differ in language only. Raises NotFound if it belongs to another user or another persona.
    """
    if request.continues is None:
        return None
    if session := _same_conversations(user_id, persona).filter(pk=request.continues).first():
        return session
    raise errors.NotFound


def _same_conversations(user_id: int, persona: Persona) -> QuerySet[StreamingSession]:
    """Return a user's sessions with this persona in any language.

    This persona may continue them.
    """
    same = Q(persona=persona) | Q(persona__in=Persona.objects.speaking_another_language(persona))
    return StreamingSession.objects.select_related("account").filter(same, user_id=user_id)


def as_renewal(user_id: int, persona: Persona, request: StartRequest, blocking: list[StreamingSession]) -> StartRequest:
    """Return a take-over request as a renewal, if it is of the same conversation.

    The request continues that session even if the page names none, so that the conversation keeps its one time
    limit however often it moves between devices.
    """
    same = _same_conversations(user_id, persona).filter(pk__in=[session.pk for session in blocking])
    taken = list(same.order_by("-created_at").values_list("pk", flat=True))
    continues = request.continues or next(iter(taken), None)
    return replace(request, continues=continues, took_over=frozenset(taken))


def blocking_sessions(user_id: int, persona: Persona, request: StartRequest) -> list[StreamingSession]:
    """Return the sessions that must end before this one can start. Raises NotFound."""
    if request.is_taking_over:
        rows = StreamingSession.objects.select_related("account")
        return list(rows.open().filter(user_id=user_id))
    continued = find_continued(user_id, persona, request)
    return [continued] if continued and continued.ended_at is None else []


def join_queue(user_id: int, persona: Persona, tab: TabAddress, request: StartRequest) -> QueueEntry:
    """Join the queue at the end, or earlier for a renewal with a confirmed cause.

    Such a renewal goes before people who came later. Raises QueueFull, NotFound, AccessEnded.
    """
    with transaction.atomic():
        queue.lock(persona.avatar.account_id)
        _require_access(_access_of(user_id, persona, request.purpose))
        continued = find_continued(user_id, persona, request)
        claim = claims.Claim(user_id, request.claimed_reason)
        if continued and continued.ended_at and claims.keeps_slot(continued, claim, clock.now()):
            return queue.rejoin(user_id, persona, tab, continued.created_at)
        return queue.join(user_id, persona, tab)


def hold_slot(
    user_id: int, persona: Persona, tab: TabAddress, request: StartRequest, until: datetime, *, joins_at_end: bool
) -> QueueEntry:
    """Hold a slot as `queue.hold_slot` does, for a user who may still start sessions.

    Raises QueueFull, AccessEnded.
    """
    with transaction.atomic():
        queue.lock(persona.avatar.account_id)
        _require_access(_access_of(user_id, persona, request.purpose))
        return queue.hold_slot(user_id, persona, tab, until, joins_at_end=joins_at_end)


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


def _start_facts(account_id: int, user_id: int, access: Mapping[str, Exists]) -> Any:
    """Return the facts for a start in one query.

    Call it under the account's lock, so that they stay true.
    """
    open_here = StreamingSession.objects.open().filter(account=OuterRef("pk"))
    own = StreamingSession.objects.filter(user_id=user_id, status__in=RUNNING)
    asked = {
        "open_sessions": Coalesce(_count(open_here), 0),
        "has_queue": Exists(QueueEntry.objects.filter(account=OuterRef("pk"))),
        "is_waiting": Exists(QueueEntry.objects.filter(user=user_id)),
        "is_running": Exists(own),
        "is_staff": Exists(User.objects.filter(pk=user_id, is_staff=True)),
        **access,
    }
    return ProviderAccount.objects.annotate(**asked).values_list(*asked, named=True).get(pk=account_id)


def _access_facts(user_id: int, persona: Persona, purpose: Purpose) -> dict[str, Exists]:
    """Return query columns: whether the user may start this persona's session."""
    personas = Persona.objects.open_to(user_id) if purpose == Purpose.TALK else Persona.objects.all()
    return {
        "is_active": Exists(User.objects.filter(pk=user_id, is_active=True)),
        "has_role": Exists(holders_of(PERMISSIONS[purpose]).filter(pk=user_id)),
        "has_persona": Exists(personas.filter(pk=persona.pk)),
    }


def _access_of(user_id: int, persona: Persona, purpose: Purpose) -> Any:
    """Return the access facts in one query.

    Call it under the account's lock, so that they stay true.
    """
    asked = _access_facts(user_id, persona, purpose)
    rows = ProviderAccount.objects.annotate(**asked).values_list(*asked, named=True)
    return rows.get(pk=persona.avatar.account_id)


def _refusal(facts: Any) -> Loss | None:
    """Return why the user may not start a session."""
    if not facts.is_active:
        return Loss.DEACTIVATED
    if not facts.has_role:
        return Loss.ROLE
    return None if facts.has_persona else Loss.PERSONA


def _require_access(facts: Any) -> None:
    if loss := _refusal(facts):
        raise errors.AccessEnded({"loss": loss})


def _count(rows: QuerySet[StreamingSession]) -> Subquery:
    return Subquery(rows.order_by().values("account").annotate(count=Count("pk")).values("count"))


def _require_slot(user_id: int, persona: Persona, account: ProviderAccount, facts: Any) -> None:
    """Raise NoFreeSlot unless the user may take a slot.

    They may if they were offered one, or if one is free and no other entry has priority.
    """
    entries = queue.entries_of(account.pk)
    has_offer = any(entry.offer_expires_at for entry in entries if entry.user_id == user_id)
    others = [entry for entry in entries if entry.user_id != user_id]
    ahead = [entry for entry in others if not entry.offer_expires_at and (entry.is_staff or not facts.is_staff)]
    free = queue.free_slots(account, facts.open_sessions, others, is_staff=facts.is_staff)
    if free < 1 or (ahead and not has_offer):
        raise NoFreeSlot(persona, has_queue=bool(others))


def _leave_queue(user_id: int) -> None:
    for entry in QueueEntry.objects.filter(user=user_id):
        queue.remove(entry)


def _running_session(user_id: int) -> dict[str, Any]:
    """Return the details of the user's running session for the page."""
    rows = StreamingSession.objects.select_related("persona").filter(user_id=user_id, status__in=RUNNING)
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
