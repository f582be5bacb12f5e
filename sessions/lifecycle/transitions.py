"""The life of a session, and the only writer of `status`.

requested → creating → connecting → live → stopping → ended
               └────────┴──────────┴───────┘  any of them may go to stopping; nothing leaves ended
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Subquery
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.providers.contract.provider import ProviderSession
from sessions.lifecycle import broadcast, coverage, events
from sessions.lifecycle.end_evidence import Evidence
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import RUNNING, Conversation, EndReason, LimitBy, Purpose, Status, StreamingSession

TRANSITIONS: dict[str, frozenset[str]] = {
    Status.REQUESTED: frozenset({Status.CREATING, Status.STOPPING}),
    Status.CREATING: frozenset({Status.CONNECTING, Status.STOPPING}),
    Status.CONNECTING: frozenset({Status.LIVE, Status.STOPPING}),
    Status.LIVE: frozenset({Status.STOPPING}),
    Status.STOPPING: frozenset({Status.ENDED}),
    Status.ENDED: frozenset(),
}

CREATION_LIMIT = timedelta(seconds=45)
"""The provider is given 30 s to answer `new`; later, nobody is waiting for the answer any more."""
PICTURE_LIMIT = timedelta(seconds=60)
"""From Start to the first picture. The page tells the person long before."""
STOP_PATIENCE = timedelta(seconds=40)
"""How long whoever asked for the end has, before the worker tries in their place."""
TAB_GRACE = timedelta(seconds=10)
"""From the last tab's leaving to the end: enough for a reload."""
MOMENTS = frozenset({"opened_at", "live_at", "stop_requested_at", "ended_at"})
"""Columns whose value the record's event of the move has."""
WARNINGS = (timedelta(seconds=60), timedelta(seconds=15))
"""How long before a limit the person is told."""


@dataclass(frozen=True)
class Terms:
    """What binds a session: how long it may last, how long it may be quiet, and whose limits those are."""

    duration: timedelta
    limit_by: LimitBy
    idle_timeout: timedelta
    idle_limit_by: LimitBy
    time_limit: timedelta
    """Of a conversation that begins with it: all its sessions together."""
    time_limit_by: LimitBy

    @classmethod
    def of(cls, persona: Persona) -> Terms:
        """The persona's own, where nothing else applies."""
        longest, idle, whose = persona.duration_limit, persona.idle_timeout, LimitBy.PERSONA
        return cls(longest, whose, idle, whose, longest, whose)


class IllegalTransition(Exception):
    """A fault of ours: this status can never follow that one."""


def transition(session: StreamingSession, to: Status, *noted: Entry, **changes: Any) -> bool:
    """Move a session to another status; return whether this caller is the one who moved it.

    The browser, the worker and the provider may all end one session at the same moment. The UPDATE names the
    status we read, so exactly one of them gets True and does the work; the others find `session` as it now is.
    `noted` is recorded just before the move. Raises IllegalTransition for a move that the table does not have.
    """
    if to not in TRANSITIONS[session.status]:
        raise IllegalTransition(f"{session.status} to {to}")
    was = session.status
    with transaction.atomic(savepoint=False):
        moved = StreamingSession.objects.filter(pk=session.pk, status=was).update(status=to, **changes)
        if not moved:
            _read_again(session)
            return False
        # The UPDATE holds the row.
        if to == Status.ENDED:
            _read_late([session])
            _note_ends([session])
        events.append(session.pk, *noted, _moved(session, to, changes), is_over=to == Status.ENDED)
        broadcast.publish(session.pk, broadcast.StatusChanged.of(session))
    return True


def transition_all(sessions: Sequence[StreamingSession], to: Status, **changes: Any) -> None:
    """Do what `transition` does, to rows that the caller holds locked, in few statements however many they are."""
    for session in sessions:
        if to not in TRANSITIONS[session.status]:
            raise IllegalTransition(f"{session.status} to {to}")
    StreamingSession.objects.filter(pk__in=[session.pk for session in sessions]).update(status=to, **changes)
    if to == Status.ENDED:
        _read_late(sessions)
        _note_ends(sessions)
    moved = {session.pk: _moved(session, to, changes) for session in sessions}
    events.append_each(moved, are_over=to == Status.ENDED)
    broadcast.publish_all({session.pk: broadcast.StatusChanged.of(session) for session in sessions})


def _read_late(sessions: Sequence[StreamingSession]) -> None:
    """Bring these up to date with what changes at any sign of life: their end states it."""
    late = StreamingSession.objects.only(*coverage.SESSION.late).in_bulk([session.pk for session in sessions])
    for session in sessions:
        for name in coverage.SESSION.late:
            setattr(session, name, getattr(late[session.pk], name))


def _note_ends(sessions: Sequence[StreamingSession]) -> None:
    """Note the end of the conversations whose last open sessions these were."""
    conversations = Conversation.objects.filter(pk__in={session.conversation_id for session in sessions})
    # Two sessions of one conversation may end at once. Locked first: the UPDATE then sees what the other has done.
    list(conversations.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    conversations.update(ended_at=Subquery(Conversation.ended_last().values("ended_at")[:1]))


def _moved(session: StreamingSession, to: Status, changes: Mapping[str, Any]) -> Entry:
    """Bring `session` in line with its row, and return what is recorded of the move."""
    data: dict[str, Any] = {"from": session.status, "to": to}
    for name, value in {"status": to, **changes}.items():
        setattr(session, name, value)
        if name in MOMENTS:
            data[name] = value.isoformat()
    stated = {"status", *changes}
    if session.end_reason:
        data["reason"] = session.end_reason
        data["evidence"] = dict(session.end_evidence)
        stated |= {"end_reason", "end_evidence"}
    if to == Status.ENDED:
        stated |= coverage.SESSION.late
    return Entry(EventKind.STATUS, data | coverage.state(coverage.SESSION, session, *sorted(stated)))


def request(
    persona: Persona,
    user_id: int,
    terms: Terms | None = None,
    *,
    quality: str = "",
    encoding: str = "",
    purpose: Purpose = Purpose.TALK,
    continues: StreamingSession | None = None,
) -> StreamingSession:
    """Store a session before anybody outside is called, and move it to creating: it holds its place from here on.

    A conversation that goes on is not greeted again, but for one in another language.
    Raises IntegrityError when the person has an open session.
    """
    now, session_id = timezone.now(), uuid4()
    terms = terms or Terms.of(persona)
    usual = persona.settings()
    is_greeted = continues is not None and continues.live_at and continues.persona_id == persona.pk
    started_with = replace(
        usual,
        quality=quality or usual.quality,
        encoding=encoding,
        greeting="" if is_greeted else usual.greeting,
        duration_limit_s=int(terms.duration.total_seconds()),
        idle_timeout_s=int(terms.idle_timeout.total_seconds()),
    )
    with transaction.atomic(savepoint=False):
        begun = None if continues else _begin_conversation(session_id, persona, user_id, terms, now)
        session = StreamingSession.objects.create(
            id=session_id,
            user_id=user_id,
            conversation_id=continues.conversation_id if continues else session_id,
            account=persona.avatar.account,
            persona=persona,
            persona_version=persona.version,
            version_id=persona.current_id,
            purpose=purpose,
            persona_settings=started_with.as_stored(),
            continues=continues,
            # Requested and creating in one step: nobody can have seen, or heard of, the row between the two.
            status=Status.CREATING,
            created_at=now,
            active_at=now,
            ends_at=now + terms.duration,
            limit_by=terms.limit_by,
            idle_limit_by=terms.idle_limit_by,
            deadline_at=now + CREATION_LIMIT,
            record_format=coverage.FORMAT,
        )
        said = {"persona": persona.slug, "version": persona.version} | _origin(session)
        if continues:
            Conversation.objects.filter(pk=session.conversation_id).update(ended_at=None)
        stated = coverage.state(coverage.SESSION, session)
        if begun:
            stated = coverage.together(stated, coverage.state(coverage.CONVERSATION, begun))
        asked = Entry(EventKind.REQUESTED, said | stated)
        moved = Entry(EventKind.STATUS, {"from": Status.REQUESTED, "to": Status.CREATING})
        events.begin(session.pk, asked, moved)
    return session


def _begin_conversation(
    first_session_id: UUID, persona: Persona, user_id: int, terms: Terms, now: datetime
) -> Conversation:
    return Conversation.objects.create(
        id=first_session_id,
        user_id=user_id,
        persona=persona,
        started_at=now,
        time_limit=terms.time_limit,
        limit_by=terms.time_limit_by,
    )


def _origin(session: StreamingSession) -> dict[str, str]:
    """Return what an auditor asks of a session's beginning: whose limits bind, and what it goes on from."""
    bound = {"limit_by": str(session.limit_by), "idle_limit_by": str(session.idle_limit_by)}
    bound |= {} if session.purpose == Purpose.TALK else {"purpose": str(session.purpose)}
    return bound | ({"continues": str(session.continues_id)} if session.continues_id else {})


def connect(session: StreamingSession, answer: ProviderSession) -> bool:
    """Note what the provider answered to `new`; return whether the session goes on.

    False: it was stopped while the provider was thinking. The provider's ID is stored either way, so that
    whoever stops it can.
    """
    opened_at = timezone.now()
    known: dict[str, Any] = {
        "provider_session_id": answer.provider_session_id,
        "opened_at": opened_at,
        "provider_duration_limit": answer.duration_limit,
        "is_paid": answer.is_paid,
        "record_due_at": timezone.now() if session.account.capabilities.has_session_records else None,
    }
    steps = [Entry(EventKind.PROVIDER_AUTHENTICATED)] if answer.credential else []
    steps.append(Entry(EventKind.PROVIDER_CREATED, {"is_paid": answer.is_paid, "opened_at": opened_at.isoformat()}))
    with transaction.atomic(savepoint=False):
        _read_again(session, lock=True)
        if session.status == Status.CREATING:
            limit = answer.duration_limit
            if limit and session.created_at + limit < session.ends_at:
                session.ends_at = known["ends_at"] = session.created_at + limit
                known["limit_by"] = LimitBy.PROVIDER
            known["deadline_at"] = next_check_at(session, is_live=False)
            return transition(session, Status.CONNECTING, *steps, **known)
        StreamingSession.objects.filter(pk=session.pk).update(**known)
        session.provider_session_id, session.opened_at = answer.provider_session_id, opened_at
        is_over = session.status == Status.ENDED
        for name, value in known.items():
            setattr(session, name, value)
        late = Entry(EventKind.PROVIDER_ANSWERED_LATE, coverage.state(coverage.SESSION, session, *known))
        events.append(session.pk, *steps, late, is_over=is_over)
        return False


def note_after_failure(session: StreamingSession, answer: ProviderSession, evidence: Evidence) -> bool:
    """Store the provider's ID after opening a session has failed on our side; return whether the session goes on.

    It does where the ID had been stored before the failure. Else its end is begun. Safe to repeat.
    """
    _read_again(session)
    is_stored = session.provider_session_id == answer.provider_session_id
    if is_stored and session.status in RUNNING:
        return True
    begin_stop(session, EndReason.ORPHAN_FOUND, evidence)  # by itself: the row may refuse this ID for ever
    if not is_stored:
        connect(session, answer)
    return False


def note_started(session: StreamingSession, answer: ProviderSession) -> bool:
    """The provider has sent the avatar; a limit that it names only now holds as well.

    Return whether the session goes on: it may have been stopped meanwhile.
    """
    with transaction.atomic(savepoint=False):
        _read_again(session, lock=True)
        goes_on, stated = session.status in RUNNING, {}
        limit = answer.duration_limit
        if goes_on and limit and limit != session.provider_duration_limit:
            session.provider_duration_limit = limit
            if session.created_at + limit < session.ends_at:
                session.ends_at, session.limit_by = session.created_at + limit, LimitBy.PROVIDER
            session.deadline_at = next_check_at(session, is_live=session.status == Status.LIVE)
            bound = ("provider_duration_limit", "ends_at", "limit_by")
            session.save(update_fields=[*bound, "deadline_at"])
            stated = coverage.state(coverage.SESSION, session, *bound)
            broadcast.publish(session.pk, broadcast.StatusChanged.of(session))
        events.append(session.pk, Entry(EventKind.PROVIDER_STARTED, stated), is_over=session.status == Status.ENDED)
    return goes_on


def go_live(session: StreamingSession) -> bool:
    """The first picture was seen; return whether this caller is the one who brought the news."""
    with transaction.atomic(savepoint=False):
        _read_again(session, lock=True)
        if session.status != Status.CONNECTING:
            return False  # a rejoin, another tab, or too late
        now = session.active_at = timezone.now()
        deadline_at = next_check_at(session, is_live=True)
        return transition(session, Status.LIVE, live_at=now, active_at=now, deadline_at=deadline_at)


def begin_stop(session: StreamingSession, reason: EndReason, evidence: Evidence) -> bool:
    """Ask for the end; return whether this caller is the one who carries it out. Safe to call at any time."""
    while session.status not in (Status.STOPPING, Status.ENDED):
        now = timezone.now()
        why = {"end_reason": reason, "end_evidence": dict(evidence), "stop_requested_at": now}
        if transition(session, Status.STOPPING, **why, deadline_at=now + STOP_PATIENCE):
            return True
    return False


def end(session: StreamingSession) -> bool:
    """The provider has confirmed that nothing runs; return whether this caller is the one who noted it."""
    if session.status != Status.STOPPING:
        return False
    return transition(session, Status.ENDED, ended_at=timezone.now(), deadline_at=None)


def begin_stop_all(sessions: Sequence[StreamingSession], reason: EndReason, now: datetime | None = None) -> None:
    """Do what `begin_stop` does, to running sessions whose rows the caller holds locked.

    The evidence stands in each session's `end_evidence` already.
    """
    now = now or timezone.now()
    StreamingSession.objects.bulk_update(sessions, ["end_evidence"])
    deadline = now + STOP_PATIENCE
    transition_all(sessions, Status.STOPPING, end_reason=reason, stop_requested_at=now, deadline_at=deadline)


def end_all(session_ids: Collection[UUID]) -> None:
    """Do what `end` does, to all of these that are being stopped."""
    with transaction.atomic():
        rows = StreamingSession.objects.select_for_update().order_by("pk")
        stopping = list(rows.filter(pk__in=session_ids, status=Status.STOPPING))
        if stopping:
            transition_all(stopping, Status.ENDED, ended_at=timezone.now(), deadline_at=None)


def next_check_at(session: StreamingSession, *, is_live: bool) -> datetime:
    """Return the next moment somebody must look at a session that goes on: a warning, a limit, the tab's grace."""
    now = timezone.now()
    if is_live:
        limits = (session.ends_at, session.active_at + session.idle_timeout)
        moments = [limit - ahead for limit in limits for ahead in (*WARNINGS, timedelta(0))]
    else:
        moments = [session.created_at + PICTURE_LIMIT, session.ends_at]
    if session.abandoned_at:
        moments.append(session.abandoned_at + TAB_GRACE)
    return min((moment for moment in moments if moment > now), default=now)


def _read_again(session: StreamingSession, *, lock: bool = False) -> None:
    """Bring `session` up to date; with `lock`, nobody else changes it before the transaction ends."""
    rows = StreamingSession.objects.select_related("account")
    session.refresh_from_db(from_queryset=rows.select_for_update(of=("self",)) if lock else rows)
