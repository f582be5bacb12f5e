"""Operations that read sessions, conversations and transcripts."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from ninja import Field, Query

from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.schemas import Key, Moment
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail import statements
from sessions.actions import queries, staff_reasons
from sessions.api.router import router
from sessions.api.schemas import (
    ConversationOut,
    EventOut,
    LineOut,
    SessionOut,
    Slug,
    StatusName,
    TranscriptRequest,
)
from sessions.audit import inspection
from sessions.models import Conversation, SessionEvent, StreamingSession

operations = Operations("History", router)
READ = (Scope.SESSIONS_READ, Scope.RECORDS_READ)


class SessionQuery(PageQuery):
    """Filters of the list of sessions. All must match."""

    status: StatusName | None = None
    persona: Slug | None = None
    end_reason: Annotated[str, Field(max_length=20, pattern="^[a-z_]*$")] | None = None
    user: Key | None = Field(None, description="ID of the user. Other users need the scope `records:read`.")
    created_since: Moment | None = None
    created_before: Moment | None = None


@operations.get("/sessions", scopes=READ, response=Page[SessionOut])
async def list_sessions(request: ApiRequest, query: Query[SessionQuery]) -> Page[SessionOut]:
    """List sessions, the newest first.

    With the scope `records:read` these are the sessions of all users, otherwise those of the key's owner.
    """
    return await in_thread(_sessions)(request.caller, query)


def _sessions(caller: Caller, query: SessionQuery) -> Page[SessionOut]:
    rows = _visible(caller)
    conditions: dict[str, Any] = {
        "status": query.status,
        "persona__slug": query.persona,
        "end_reason": query.end_reason,
        "user": query.user,
        "created_at__gte": query.created_since,
        "created_at__lt": query.created_before,
    }
    rows = rows.filter(**{name: value for name, value in conditions.items() if value is not None})
    found, next_cursor = pages.read(rows, query)
    return Page(items=[SessionOut.of(row, with_user=_sees_all(caller)) for row in found], next_cursor=next_cursor)


@operations.get("/sessions/{uuid:session_id}", scopes=READ, response=SessionOut)
async def get_session(request: ApiRequest, session_id: UUID) -> SessionOut:
    """Return one session."""
    return await in_thread(_session)(request.caller, session_id)


def _session(caller: Caller, session_id: UUID) -> SessionOut:
    session = _visible(caller).filter(pk=session_id).first()
    if session is None:
        raise problems.not_found()
    return SessionOut.of(session, with_user=_sees_all(caller))


def _sees_all(caller: Caller) -> bool:
    return Scope.RECORDS_READ in caller.scopes


def _visible(caller: Caller) -> QuerySet[StreamingSession]:
    rows = StreamingSession.objects.select_related("persona", "user")
    return rows if _sees_all(caller) else rows.filter(user=caller.user_id)


@operations.get("/conversations", scopes=(Scope.SESSIONS_READ,), response=Page[ConversationOut])
async def list_conversations(request: ApiRequest, query: Query[PageQuery]) -> Page[ConversationOut]:
    """List the owner's conversations, the newest first."""
    return await in_thread(_conversations)(request.caller, query)


def _conversations(caller: Caller, query: PageQuery) -> Page[ConversationOut]:
    found, next_cursor = pages.read(_own_conversations(caller), query, by="started_at")
    return Page(items=[ConversationOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/conversations/{uuid:conversation_id}", scopes=(Scope.SESSIONS_READ,), response=ConversationOut)
async def get_conversation(request: ApiRequest, conversation_id: UUID) -> ConversationOut:
    """Return one of the owner's conversations."""
    return await in_thread(_conversation)(request.caller, conversation_id)


def _conversation(caller: Caller, conversation_id: UUID) -> ConversationOut:
    row = _own_conversations(caller).filter(pk=conversation_id).first()
    if row is None:
        raise problems.not_found()
    return ConversationOut.of(row)


def _own_conversations(caller: Caller) -> QuerySet[Conversation]:
    rows = Conversation.objects.filter(user=caller.user_id)
    return rows.select_related("persona").prefetch_related("sessions")


@operations.get("/sessions/{uuid:session_id}/transcript", scopes=(Scope.SESSIONS_TRANSCRIPT,), response=Page[LineOut])
async def get_transcript(request: ApiRequest, session_id: UUID, query: Query[PageQuery]) -> Page[LineOut]:
    """Return the lines of one of the owner's sessions, in order."""
    caller = request.caller
    await budgets.spend("conversation", person=caller.user_id, address=caller.address)
    return await in_thread(_own_lines)(caller, session_id, query)


def _own_lines(caller: Caller, session_id: UUID, query: PageQuery) -> Page[LineOut]:
    if not StreamingSession.objects.filter(pk=session_id, user=caller.user_id).exists():
        raise problems.not_found()
    return _lines(session_id, query)


@operations.post("/sessions/{uuid:session_id}/transcript", scopes=(Scope.TRANSCRIPTS_READ,), response=Page[LineOut])
async def open_transcript(request: ApiRequest, session_id: UUID, body: TranscriptRequest) -> Page[LineOut]:
    """Return the lines of any session, in order, for a reason.

    Each page is recorded in the session's record, with the owner of the key, the address and the reason.
    """
    caller, reason = request.caller, staff_reasons.checked(body.reason)
    await budgets.spend("open_transcript", person=caller.user_id, address=caller.address)
    return await in_thread(_opened_lines)(caller, session_id, reason, PageQuery(limit=body.limit, cursor=body.cursor))


def _opened_lines(caller: Caller, session_id: UUID, reason: str, query: PageQuery) -> Page[LineOut]:
    if not StreamingSession.objects.filter(pk=session_id).exists():
        raise problems.not_found()
    inspection.record_opening(session_id, caller.user_id, caller.address, reason)
    return _lines(session_id, query)


def _lines(session_id: UUID, query: PageQuery) -> Page[LineOut]:
    found, next_cursor = pages.read(queries.lines_to_read(session_id), query, by="at", newest_first=False)
    return Page(items=[LineOut.of(line) for line in queries.with_standing(found)], next_cursor=next_cursor)


@operations.get("/sessions/{uuid:session_id}/events", scopes=(Scope.RECORDS_READ,), response=Page[EventOut])
async def list_events(request: ApiRequest, session_id: UUID, query: Query[PageQuery]) -> Page[EventOut]:
    """List the events of any session, in the order of its record."""
    return await in_thread(_events)(session_id, query)


def _events(session_id: UUID, query: PageQuery) -> Page[EventOut]:
    if not StreamingSession.objects.filter(pk=session_id).exists():
        raise problems.not_found()
    rows = SessionEvent.objects.filter(session=session_id)
    found, next_cursor = pages.read(rows, query, by="number", newest_first=False)
    return Page(items=[_event(row) for row in found], next_cursor=next_cursor)


def _event(row: SessionEvent) -> EventOut:
    hidden = (statements.ROWS, statements.DELETED_ROWS)
    return EventOut(
        number=row.number,
        at=row.at,
        source=row.source,
        kind=row.kind,
        data={name: value for name, value in row.data.items() if name not in hidden},
        hash=row.hash,
        previous_hash=row.previous_hash,
    )
