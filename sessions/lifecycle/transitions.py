"""Session state transitions; the only writer of `status`.

requested → creating → connecting → live → stopping → ended
               └────────┴──────────┴───────┘  any of them may go to stopping; nothing leaves ended
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet, Subquery

from avatars.models import Persona
from heygen_portal.models import EventType
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderSession
from heygen_portal.runtime import metrics, tracing
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail import statements
from heygen_portal.webhooks import outbox
from sessions import notices
from sessions.lifecycle import broadcast, coverage, events, first_frame
from sessions.lifecycle.end_evidence import Evidence
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import (
    RUNNING,
    Conversation,
    EndReason,
    LimitBy,
    OwnerId,
    Purpose,
    Status,
    StreamingSession,
    owner_columns,
)

logger = logging.getLogger(__name__)

TRANSITIONS: dict[str, frozenset[str]] = {
    Status.REQUESTED: frozenset({Status.CREATING, Status.STOPPING}),
    Status.CREATING: frozenset({Status.CONNECTING, Status.STOPPING}),
    Status.CONNECTING: frozenset({Status.LIVE, Status.STOPPING}),
    Status.LIVE: frozenset({Status.STOPPING}),
    Status.STOPPING: frozenset({Status.ENDED}),
    Status.ENDED: frozenset(),
}

# The provider has 30 s to answer `new`. After this time no process waits for the answer any more.
CREATION_TIMEOUT = timedelta(seconds=45)
# How long the caller that requested a stop has to finish it before the worker takes over.
STOP_TIMEOUT = timedelta(seconds=40)
# From the last tab's closing to the stop: long enough for a reload.
TAB_GRACE = timedelta(seconds=10)
# Columns whose new value the status event contains.
RECORDED_TIMES = frozenset({"opened_at", "live_at", "stop_requested_at", "ended_at"})
# How long before a limit the user is warned.
WARNING_LEAD_TIMES = (timedelta(seconds=60), timedelta(seconds=15))


@dataclass(frozen=True)
class SessionLimits:
    """Limits of a session, each with its origin."""

    duration: timedelta
    limit_by: LimitBy
    idle_timeout: timedelta
    idle_limit_by: LimitBy
    # Of a conversation that starts with the session: all its sessions together.
    time_limit: timedelta
    time_limit_by: LimitBy

    @classmethod
    def of(cls, persona: Persona) -> SessionLimits:
        """Return the persona's own limits."""
        longest, idle, whose = persona.duration_limit, persona.idle_timeout, LimitBy.PERSONA
        return cls(longest, whose, idle, whose, longest, whose)


class IllegalTransition(Exception):
    """A bug: the table of transitions does not allow this one."""


def transition(session: StreamingSession, to: Status, *preceding: Entry, **changes: Any) -> bool:
    """Move a session to another status. Return True if this call made the change.

    The browser, the worker and the provider may all end one session at the same time. The UPDATE is conditional on
    the status that was read, so exactly one caller gets True and does the work; for the others `session` is
    refreshed. `preceding` is recorded just before the change. Raises IllegalTransition.
    """
    if to not in TRANSITIONS[session.status]:
        raise IllegalTransition(f"{session.status} to {to}")
    old_status = session.status
    with transaction.atomic(savepoint=False):
        moved = StreamingSession.objects.filter(pk=session.pk, status=old_status).update(status=to, **changes)
        if not moved:
            _refresh(session)
            return False
        # The UPDATE has locked the row.
        if to == Status.ENDED:
            _refresh_late_columns([session])
            _update_conversation_ends([session])
        events.append(session.pk, *preceding, _apply_move(session, to, changes), is_over=to == Status.ENDED)
        broadcast.publish_status(session)
    _measure(session, to)
    return True


def transition_all(sessions: Sequence[StreamingSession], to: Status, **changes: Any) -> None:
    """Move many sessions whose rows the caller has locked.

    The number of statements does not grow with theirs.
    """
    for session in sessions:
        if to not in TRANSITIONS[session.status]:
            raise IllegalTransition(f"{session.status} to {to}")
    StreamingSession.objects.filter(pk__in=[session.pk for session in sessions]).update(status=to, **changes)
    if to == Status.ENDED:
        _refresh_late_columns(sessions)
        _update_conversation_ends(sessions)
    moved = {session.pk: _apply_move(session, to, changes) for session in sessions}
    events.append_each(moved, are_over=to == Status.ENDED)
    broadcast.publish_statuses(sessions)
    for session in sessions:
        _measure(session, to)


def _measure(session: StreamingSession, to: Status) -> None:
    """Count a move. The row may be damaged: neither its time nor its reason need be valid."""
    if to == Status.LIVE and isinstance(session.created_at, datetime):
        metrics.first_frame.observe((clock.now() - session.created_at).total_seconds())
        tracing.session_event(session.pk, "first frame", session.created_at)
    elif to == Status.ENDED:
        reason = session.end_reason if session.end_reason in EndReason.values else "other"
        metrics.session_ends.labels(reason).inc()
        tracing.session_event(session.pk, "stop", session.stop_requested_at or clock.now(), reason=reason)


def _move_unread(
    session: StreamingSession, rows: QuerySet[StreamingSession], to: Status, changes: Mapping[str, Any]
) -> bool:
    """Move a session whose row cannot be read or whose record takes no event.

    Return True if this call made the change. Only the UPDATE must succeed. A change that the record does not take is
    logged, and verification names the difference.
    """
    with transaction.atomic():
        if not rows.filter(pk=session.pk).update(status=to, **changes):
            return False
        data: dict[str, Any] = {"from": session.status, "to": to}
        for name, value in {"status": to, **changes}.items():
            setattr(session, name, value)
            if name in RECORDED_TIMES and value:
                data[name] = value.isoformat()
        if "end_evidence" in changes:
            data["evidence"] = dict(session.end_evidence)
        data["reason"] = session.end_reason
        is_over = to == Status.ENDED
        with each_row.savepoint(f"session {session.pk}: its new status {to} could not be recorded"):
            moved = Entry(EventKind.STATUS, data | statements.state(coverage.SESSION, session, "status", *changes))
            events.append(session.pk, moved, is_over=is_over)
        if is_over:
            with each_row.savepoint(f"session {session.pk}: the end of its conversation could not be stored"):
                _update_conversation_ends([session])
        broadcast.publish_status(session)
    return True


def _refresh_late_columns(sessions: Sequence[StreamingSession]) -> None:
    """Refresh the columns that no event states while the session runs.

    The last status event states them.
    """
    late = StreamingSession.objects.only(*coverage.SESSION.late).in_bulk([session.pk for session in sessions])
    for session in sessions:
        for name in coverage.SESSION.late:
            setattr(session, name, getattr(late[session.pk], name))


def _update_conversation_ends(sessions: Sequence[StreamingSession]) -> None:
    """Set `ended_at` of the conversations whose last open session has ended."""
    conversations = Conversation.objects.filter(pk__in={session.conversation_id for session in sessions})
    # Two sessions of one conversation may end at once. Locking first lets the UPDATE see the other one's change.
    list(conversations.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    conversations.update(ended_at=Subquery(Conversation.ended_last().values("ended_at")[:1]))


def _apply_move(session: StreamingSession, to: Status, changes: Mapping[str, Any]) -> Entry:
    """Apply the stored change to `session` and return the event that records it."""
    data: dict[str, Any] = {"from": session.status, "to": to}
    for name, value in {"status": to, **changes}.items():
        setattr(session, name, value)
        if name in RECORDED_TIMES:
            data[name] = value.isoformat()
    stated = {"status", *changes}
    if session.end_reason:
        data["reason"] = session.end_reason
        data["evidence"] = dict(session.end_evidence)
        stated |= {"end_reason", "end_evidence"}
    if to == Status.ENDED:
        stated |= coverage.SESSION.late
    return Entry(EventKind.STATUS, data | statements.state(coverage.SESSION, session, *sorted(stated)))


def request(
    persona: Persona,
    owner: OwnerId,
    limits: SessionLimits | None = None,
    *,
    quality: str = "",
    encoding: str = "",
    purpose: Purpose = Purpose.TALK,
    continues: StreamingSession | None = None,
    origin: Mapping[str, Any] | None = None,
) -> StreamingSession:
    """Store a session in status CREATING before the provider is called.

    It holds its slot from now on. A continued conversation gets no second greeting, except in another language.
    Raises IntegrityError if the owner has a running session. `origin` are details of where a guest comes from.
    """
    now, session_id = clock.now(), uuid4()
    limits = limits or SessionLimits.of(persona)
    settings = persona.settings()
    is_greeted = continues is not None and continues.live_at and continues.persona_id == persona.pk
    started_with = replace(
        settings,
        quality=quality or settings.quality,
        encoding=encoding,
        greeting="" if is_greeted else settings.greeting,
        duration_limit_s=int(limits.duration.total_seconds()),
        idle_timeout_s=int(limits.idle_timeout.total_seconds()),
    )
    with transaction.atomic(savepoint=False):
        conversation = None if continues else _begin_conversation(session_id, persona, owner, limits, now)
        session = StreamingSession.objects.create(
            id=session_id,
            **owner_columns(owner),
            conversation_id=continues.conversation_id if continues else session_id,
            account=persona.avatar.account,
            persona=persona,
            persona_version=persona.version,
            version_id=persona.current_id,
            purpose=purpose,
            persona_settings=started_with.as_stored(),
            continues=continues,
            # REQUESTED and CREATING in one step, because no reader can see the row in between.
            status=Status.CREATING,
            created_at=now,
            active_at=now,
            ends_at=now + limits.duration,
            limit_by=limits.limit_by,
            idle_limit_by=limits.idle_limit_by,
            deadline_at=now + CREATION_TIMEOUT,
            record_format=coverage.FORMAT,
        )
        details = {"persona": persona.slug, "version": persona.version} | _origin(session) | dict(origin or {})
        if continues:
            Conversation.objects.filter(pk=session.conversation_id).update(ended_at=None)
        stated = statements.state(coverage.SESSION, session)
        if conversation:
            stated = statements.merged(stated, statements.state(coverage.CONVERSATION, conversation))
        stated = statements.merged(stated, {statements.ROWS: {coverage.ACTIVITY: {"": {}}}})
        requested = Entry(EventKind.REQUESTED, details | stated)
        moved = Entry(EventKind.STATUS, {"from": Status.REQUESTED, "to": Status.CREATING})
        events.begin(session.pk, requested, moved)
        if conversation:
            outbox.write(EventType.CONVERSATION_STARTED, lambda: notices.conversation_started(session))
    metrics.session_starts.inc()
    return session


def _begin_conversation(
    first_session_id: UUID, persona: Persona, owner: OwnerId, limits: SessionLimits, now: datetime
) -> Conversation:
    return Conversation.objects.create(
        id=first_session_id,
        **owner_columns(owner),
        persona=persona,
        started_at=now,
        time_limit=limits.time_limit,
        limit_by=limits.time_limit_by,
    )


def _origin(session: StreamingSession) -> dict[str, str]:
    """Return the session's limits, purpose and predecessor for its first event."""
    origin = {"limit_by": str(session.limit_by), "idle_limit_by": str(session.idle_limit_by)}
    origin |= {} if session.purpose == Purpose.TALK else {"purpose": str(session.purpose)}
    return origin | ({"continues": str(session.continues_id)} if session.continues_id else {})


def connect(session: StreamingSession, answer: ProviderSession) -> bool:
    """Store the provider's answer to `new`.

    Return False if the session was stopped meanwhile. The provider's ID is stored in both cases, so that the
    session can be stopped there.
    """
    opened_at = clock.now()
    answered: dict[str, Any] = {
        "provider_session_id": answer.provider_session_id,
        "opened_at": opened_at,
        "provider_duration_limit": answer.duration_limit,
        "is_paid": answer.is_paid,
        "record_due_at": clock.now() if session.account.capabilities.has_session_records else None,
    }
    steps = [Entry(EventKind.PROVIDER_AUTHENTICATED)] if answer.credential else []
    created: dict[str, Any] = {"is_paid": answer.is_paid, "opened_at": opened_at.isoformat()}
    created |= {"sent": dict(answer.sent)} if answer.sent else {}
    steps.append(Entry(EventKind.PROVIDER_CREATED, created))
    with transaction.atomic(savepoint=False):
        _refresh(session, lock=True)
        if session.status == Status.CREATING:
            limit = answer.duration_limit
            if limit and session.created_at + limit < session.ends_at:
                session.ends_at = answered["ends_at"] = session.created_at + limit
                answered["limit_by"] = LimitBy.PROVIDER
            answered["deadline_at"] = next_check_at(session, is_live=False)
            return transition(session, Status.CONNECTING, *steps, **answered)
        StreamingSession.objects.filter(pk=session.pk).update(**answered)
        session.provider_session_id, session.opened_at = answer.provider_session_id, opened_at
        is_over = session.status == Status.ENDED
        for name, value in answered.items():
            setattr(session, name, value)
        late = Entry(EventKind.PROVIDER_ANSWERED_LATE, statements.state(coverage.SESSION, session, *answered))
        events.append(session.pk, *steps, late, is_over=is_over)
        return False


def store_after_failure(session: StreamingSession, answer: ProviderSession, evidence: Evidence) -> bool:
    """Store the provider's ID after creating a session has failed on our side.

    Return whether the session continues. It continues if the ID was stored before the failure. Otherwise a stop is
    requested. Safe to repeat.
    """
    _refresh(session)
    is_stored = session.provider_session_id == answer.provider_session_id
    if is_stored and session.status in RUNNING:
        return True
    # In its own transaction, because the row may never accept this ID.
    begin_stop(session, EndReason.ORPHAN_FOUND, evidence)
    if not is_stored:
        connect(session, answer)
    return False


def record_started(session: StreamingSession, answer: ProviderSession) -> bool:
    """Record that the provider has started the avatar, and apply its limit.

    Return False if the session was stopped meanwhile.
    """
    with transaction.atomic(savepoint=False):
        _refresh(session, lock=True)
        is_running, stated = session.status in RUNNING, {}
        limit = answer.duration_limit
        if is_running and limit and limit != session.provider_duration_limit:
            session.provider_duration_limit = limit
            if session.created_at + limit < session.ends_at:
                session.ends_at, session.limit_by = session.created_at + limit, LimitBy.PROVIDER
            session.deadline_at = next_check_at(session, is_live=session.status == Status.LIVE)
            bound = ("provider_duration_limit", "ends_at", "limit_by")
            session.save(update_fields=[*bound, "deadline_at"])
            stated = statements.state(coverage.SESSION, session, *bound)
            broadcast.publish_status(session)
        events.append(session.pk, Entry(EventKind.PROVIDER_STARTED, stated), is_over=session.status == Status.ENDED)
    return is_running


def go_live(session: StreamingSession) -> bool:
    """Move a connecting session to LIVE after its first frame.

    Return True if this call made the change.
    """
    with transaction.atomic(savepoint=False):
        _refresh(session, lock=True)
        if session.status != Status.CONNECTING:
            return False  # a rejoin, another tab, or too late
        now = session.active_at = clock.now()
        deadline_at = next_check_at(session, is_live=True)
        is_moved = transition(session, Status.LIVE, live_at=now, active_at=now, deadline_at=deadline_at)
        if is_moved:
            outbox.write(EventType.SESSION_LIVE, lambda: notices.session_live(session))
        return is_moved


def begin_stop(session: StreamingSession, reason: EndReason, evidence: Evidence) -> bool:
    """Request a stop. Return True if this caller must carry it out.

    Safe to call in every status. A session whose row cannot be read or whose record takes no event is stopped, too.
    """
    while (old_status := session.status) not in (Status.STOPPING, Status.ENDED):
        now = clock.now()
        why = {"end_reason": reason, "end_evidence": dict(evidence), "stop_requested_at": now}
        changes = {**why, "deadline_at": now + STOP_TIMEOUT}
        try:
            with transaction.atomic():
                is_moved = transition(session, Status.STOPPING, **changes)
        except Exception as exc:
            if each_row.is_outage(exc):
                raise
            logger.exception("session %s cannot be stopped as usual", session.pk)
            session.status = old_status
            running = StreamingSession.objects.exclude(status__in=(Status.STOPPING, Status.ENDED))
            # A constraint allows the change only without an end, which may have been forged.
            return _move_unread(session, running, Status.STOPPING, {**changes, "ended_at": None})
        if is_moved:
            return True
    return False


def end(session: StreamingSession) -> bool:
    """Mark a stopping session ended after the provider's confirmation.

    Return True if this call made the change. A session whose row cannot be read or whose record takes no event ends,
    too.
    """
    if session.status != Status.STOPPING:
        return False
    changes: dict[str, Any] = {"ended_at": clock.now(), "deadline_at": None}
    try:
        with transaction.atomic():
            return transition(session, Status.ENDED, **changes)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("session %s cannot be ended as usual", session.pk)
    session.status = Status.STOPPING
    if not session.end_reason:  # a constraint requires one
        changes["end_reason"] = EndReason.ORPHAN_FOUND
    stopping = StreamingSession.objects.filter(status=Status.STOPPING)
    return _move_unread(session, stopping, Status.ENDED, changes)


def begin_stop_all(sessions: Sequence[StreamingSession], reason: EndReason, now: datetime | None = None) -> None:
    """Request a stop of running sessions whose rows the caller has locked.

    Each session's `end_evidence` is already set on the object, not yet stored.
    """
    now = now or clock.now()
    StreamingSession.objects.bulk_update(sessions, ["end_evidence"])
    deadline = now + STOP_TIMEOUT
    transition_all(sessions, Status.STOPPING, end_reason=reason, stop_requested_at=now, deadline_at=deadline)


def end_all(session_ids: Collection[UUID]) -> None:
    """Mark those of these sessions ended that are stopping."""
    with transaction.atomic():
        rows = StreamingSession.objects.select_for_update().order_by("pk")
        stopping = list(rows.filter(pk__in=session_ids, status=Status.STOPPING))
        if stopping:
            transition_all(stopping, Status.ENDED, ended_at=clock.now(), deadline_at=None)


def next_check_at(
    session: StreamingSession, *, is_live: bool, first_frame_deadline: first_frame.Deadline | None = None
) -> datetime:
    """Return the deadline of a running session.

    It is its next warning, limit, or end of the tab's grace period. `first_frame_deadline` is read from the session's
    record unless given.
    """
    now = clock.now()
    grace_ends_at = [session.abandoned_at + TAB_GRACE] if session.abandoned_at else []
    if not is_live:
        first = first_frame_deadline or first_frame.deadline(session, now)
        return max(now, min(first.at, session.ends_at, *grace_ends_at))
    limits = (session.ends_at, session.active_at + session.idle_timeout)
    moments = [limit - ahead for limit in limits for ahead in (*WARNING_LEAD_TIMES, timedelta(0))]
    moments += grace_ends_at
    return min((moment for moment in moments if moment > now), default=now)


def _refresh(session: StreamingSession, *, lock: bool = False) -> None:
    """Reload `session`. With `lock`, its row stays locked until the transaction ends."""
    rows = StreamingSession.objects.select_related("account")
    session.refresh_from_db(from_queryset=rows.select_for_update(of=("self",)) if lock else rows)
