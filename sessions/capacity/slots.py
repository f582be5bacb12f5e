"""Who may begin a session now. The ledger of an account's slots is its open sessions and its offers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from avatars.personas import versions
from sessions import errors
from sessions.capacity import claims, queue, quotas
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import end_evidence, transitions
from sessions.lifecycle.transitions import Terms
from sessions.models import RUNNING, Conversation, EndReason, Purpose, QueuePlace, StreamingSession
from sessions.presence import tabs


@dataclass(frozen=True)
class StartRequest:
    """How a person asks to start a session."""

    quality: str = ""
    encoding: str = ""
    is_taking_over: bool = False
    continues: UUID | None = None
    claimed_reason: EndReason = EndReason.NO_PICTURE
    """Why the conversation moves to a new session, according to the page."""
    took_over: frozenset[UUID] = frozenset()
    """Sessions of the same conversation that were ended for it: their time counts."""
    purpose: Purpose = Purpose.TALK

    @property
    def is_plain(self) -> bool:
        """Whether no other session has to end first."""
        return not self.is_taking_over and self.continues is None


class NoFreeSlot(errors.ProviderLimit):
    """No slot is free by the portal's count. `has_queue`: other people wait for one."""

    def __init__(self, persona: Persona, *, has_queue: bool) -> None:
        super().__init__()
        self.persona = persona
        self.has_queue = has_queue


def find_persona(slug: str, user_id: int, purpose: Purpose = Purpose.TALK) -> Persona:
    """Return the persona as it is published or, for a trial, as it was saved last.

    Raises NotFound for one that this person may not talk with. Who may try one is the caller's question.
    """
    personas = {
        Purpose.TALK: Persona.objects.open_to(user_id),
        Purpose.TRIAL: Persona.objects.all(),
        Purpose.CHECK: Persona.objects.filter(status=Persona.Status.PUBLISHED),
    }[purpose].select_related("avatar__account", "voice", "knowledge_base", "current")
    persona = personas.filter(slug=slug).first()
    if persona is None:
        raise errors.NotFound
    return versions.as_draft(persona) if purpose == Purpose.TRIAL else persona


def open_session(user_id: int, persona_slug: str, request: StartRequest = StartRequest()) -> StreamingSession:
    """Take a slot and store the session, before the provider is called.

    Raises NotFound for a persona that is not published or a conversation to continue that is not theirs, SessionRunning
    when the person has one already, TimeIsUp, QuotaUsed, SpendCap, and NoFreeSlot when none is free or others wait.
    """
    persona = find_persona(persona_slug, user_id, request.purpose)
    if request.quality and request.quality not in persona.avatar.account.capabilities.qualities:
        raise errors.BadMessage
    continues = find_continued(user_id, persona, request)
    now = timezone.now()
    bound = terms_of(user_id, persona, request)
    try:
        with transaction.atomic():
            account = queue.lock(persona.avatar.account_id)  # each slot is taken once
            facts = _facts(account.pk, user_id)
            if facts.is_running:
                raise errors.SessionRunning(_running_session(user_id))
            bound = quotas.within_cap(bound, account, now)
            if facts.has_queue:
                _require_slot(user_id, persona, account, facts)
            elif queue.free_slots(account, facts.open_sessions, [], is_staff=facts.is_staff) < 1:
                raise NoFreeSlot(persona, has_queue=False)
            if facts.is_waiting:
                _leave_queue(user_id)
            return transitions.request(
                persona,
                user_id,
                bound,
                quality=request.quality,
                encoding=request.encoding,
                purpose=request.purpose,
                continues=continues,
            )
    except IntegrityError as exc:
        raise errors.SessionRunning(_running_session(user_id)) from exc


def terms_of(user_id: int, persona: Persona, request: StartRequest) -> Terms:
    """Return what binds the session: of the time that a conversation may last, what is left of it.

    Raises TimeIsUp, QuotaUsed.
    """
    now, before = timezone.now(), request.took_over | ({request.continues} if request.continues else set())
    if not before:
        return quotas.terms(persona, user_id, now)
    conversation = Conversation.objects.filter(sessions=request.continues).first()
    return quotas.terms(persona, user_id, now, conversation, claims.time_used(before, now))


def may_continue(session: StreamingSession) -> bool:
    """Whether time is left for a conversation to go on."""
    try:
        terms_of(session.user_id, session.persona, StartRequest(continues=session.pk))
    except errors.TimeIsUp:
        return False
    except errors.QuotaUsed:
        pass  # which says so, and may be another month's
    return True


def open_in_tab(user_id: int, persona_slug: str, tab: TabAddress, request: StartRequest) -> StreamingSession:
    """Open a session that a tab follows from its beginning. Raises as `open_session`."""
    with transaction.atomic():
        session = open_session(user_id, persona_slug, request)
        tabs.note(session, tab.process_id, tab.channel)
    return session


def requeue(
    session: StreamingSession, tab: TabAddress, since: datetime, evidence: end_evidence.Evidence
) -> QueuePlace | None:
    """End a session that the provider has no slot for, and queue its person before everyone who came after `since`.

    Return None if the session was stopped meanwhile: it ends, and its person does not wait.
    """
    with transaction.atomic():
        queue.lock(session.account_id)  # nobody takes the slot in between
        is_wanted = transitions.begin_stop(session, EndReason.PROVIDER_REFUSED, evidence)
        transitions.end(session)
        queue.note_full(session.account_id)
        return queue.rejoin(session.user_id, session.persona, tab, since) if is_wanted else None


def find_continued(user_id: int, persona: Persona, request: StartRequest) -> StreamingSession | None:
    """Return the conversation that is to go on, if any; in another language it may have been until now.

    Raises NotFound for one that is not theirs, or with somebody else.
    """
    if request.continues is None:
        return None
    if session := _same_conversations(user_id, persona).filter(pk=request.continues).first():
        return session
    raise errors.NotFound


def _same_conversations(user_id: int, persona: Persona) -> QuerySet[StreamingSession]:
    """Return a person's sessions with this persona, in whatever language: those that may go on with it."""
    same = Q(persona=persona) | Q(persona__in=Persona.objects.speaking_another_language(persona))
    return StreamingSession.objects.select_related("account").filter(same, user_id=user_id)


def as_renewal(
    user_id: int, persona: Persona, request: StartRequest, in_the_way: list[StreamingSession]
) -> StartRequest:
    """Return the wish of somebody who takes over: a renewal, where what ends is the same conversation.

    It goes on from that session if the page names none, so that the conversation keeps its one time limit however
    often it moves from device to device.
    """
    same = _same_conversations(user_id, persona).filter(pk__in=[session.pk for session in in_the_way])
    taken = list(same.order_by("-created_at").values_list("pk", flat=True))
    continues = request.continues or next(iter(taken), None)
    return replace(request, continues=continues, took_over=frozenset(taken))


def sessions_in_the_way(user_id: int, persona: Persona, request: StartRequest) -> list[StreamingSession]:
    """Return the sessions that must be over before this one can begin. Raises NotFound."""
    if request.is_taking_over:
        rows = StreamingSession.objects.select_related("account")
        return list(rows.open().filter(user_id=user_id))
    continued = find_continued(user_id, persona, request)
    return [continued] if continued and continued.ended_at is None else []


def join_queue(user_id: int, persona: Persona, tab: TabAddress, request: StartRequest) -> QueuePlace:
    """Join the queue: at the end or, for a renewal whose cause the portal saw, before people who came later.

    Raises QueueFull, NotFound.
    """
    with transaction.atomic():
        queue.lock(persona.avatar.account_id)
        continued = find_continued(user_id, persona, request)
        claim = claims.Claim(user_id, request.claimed_reason)
        if continued and continued.ended_at and claims.keeps_slot(continued, claim, timezone.now()):
            return queue.rejoin(user_id, persona, tab, continued.created_at)
        return queue.join(user_id, persona, tab)


def are_over(sessions: list[StreamingSession]) -> bool:
    """Whether the provider has confirmed the end of all of them."""
    return not StreamingSession.objects.open().filter(pk__in=[session.pk for session in sessions]).exists()


def _facts(account_id: int, user_id: int) -> Any:
    """Return, in one query, the facts that decide. Call under the account's lock, so that they stay true."""
    open_here = StreamingSession.objects.open().filter(account=OuterRef("pk"))
    own = StreamingSession.objects.filter(user_id=user_id, status__in=RUNNING)
    asked = {
        "open_sessions": Coalesce(_count(open_here), 0),
        "has_queue": Exists(QueuePlace.objects.filter(account=OuterRef("pk"))),
        "is_waiting": Exists(QueuePlace.objects.filter(user=user_id)),
        "is_running": Exists(own),
        "is_staff": Exists(User.objects.filter(pk=user_id, is_staff=True)),
    }
    return ProviderAccount.objects.annotate(**asked).values_list(*asked, named=True).get(pk=account_id)


def _count(rows: QuerySet[StreamingSession]) -> Subquery:
    return Subquery(rows.order_by().values("account").annotate(count=Count("pk")).values("count"))


def _require_slot(user_id: int, persona: Persona, account: ProviderAccount, facts: Any) -> None:
    """Raise NoFreeSlot unless the person was offered a slot, or one is free and nobody who waits comes first."""
    entries = queue.entries_of(account.pk)
    has_offer = any(entry.kept_until for entry in entries if entry.user_id == user_id)
    others = [entry for entry in entries if entry.user_id != user_id]
    ahead = [entry for entry in others if not entry.kept_until and (entry.is_staff or not facts.is_staff)]
    free = queue.free_slots(account, facts.open_sessions, others, is_staff=facts.is_staff)
    if free < 1 or (ahead and not has_offer):
        raise NoFreeSlot(persona, has_queue=bool(others))


def _leave_queue(user_id: int) -> None:
    for entry in QueuePlace.objects.filter(user=user_id):
        queue.remove(entry)


def _running_session(user_id: int) -> dict[str, Any]:
    """Return what the page shows of the session that the person already has."""
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
