"""What the operations about sessions receive and return."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from ninja import Field, Schema
from pydantic import StringConstraints

from heygen_portal.providers.contract.provider import RoomAccess, RoomCommand
from heygen_portal.rest.pages import Cursor
from heygen_portal.rest.schemas import Input, JsonUUID, Person, Text
from sessions import errors
from sessions.actions import staff_reasons
from sessions.actions.deadlines import TASK_MAX_CHARACTERS
from sessions.lifecycle import end_evidence
from sessions.models import Conversation, EndReason, Purpose, SessionTask, Status, StreamingSession, Utterance

MAX_WAIT_SECONDS = 30
Slug = Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]{1,50}$")]
# A reason begins and ends with a visible character, because surrounding spaces do not count.
_VISIBLE = r"[^\s\x00-\x1f\x7f-\x9f]"
_REASON_MIDDLE = f"[^\\x00]{{{staff_reasons.MIN_REASON_CHARACTERS - 2},{staff_reasons.MAX_REASON_CHARACTERS - 2}}}"
REASON_PATTERN = f"^{_VISIBLE}{_REASON_MIDDLE}{_VISIBLE}$"
Reason = Annotated[str, StringConstraints(pattern=REASON_PATTERN)]
OptionalReason = Annotated[str, StringConstraints(pattern=f"^({REASON_PATTERN.strip('^$')})?$")]
StatusName = Literal["requested", "creating", "connecting", "live", "stopping", "ended"]
TaskStatusName = Literal["sending", "sent", "failed"]


class NewSession(Input):
    """A session to start."""

    persona: Slug = Field(description="The `slug` of a persona.")
    quality: Literal["", "low", "medium", "high"] = Field("", description="Empty: as the persona is set up.")
    encoding: Literal["", "H264", "VP8"] = Field("", description="Empty: the provider's default.")
    continues: JsonUUID | None = Field(
        None, description="The session of the same conversation that this one continues."
    )
    take_over: bool = Field(False, description="End the owner's running session first.")
    accepts: Text = Field(
        "", max_length=100, description="The `fingerprint` of the notice that the program's user has accepted."
    )
    wait_seconds: int = Field(
        0, ge=0, le=MAX_WAIT_SECONDS, description="How long to wait in the queue if no slot is free."
    )


class NewTask(Input):
    """A text for the avatar."""

    kind: Literal["talk", "repeat"] = Field(description="`talk`: answer the text. `repeat`: say it word for word.")
    text: Annotated[
        Text, StringConstraints(min_length=1, max_length=TASK_MAX_CHARACTERS, pattern=r"^[^\x00]*\S[^\x00]*$")
    ]
    can_publish: bool = Field(
        False,
        description="The caller publishes a returned `room_command` in the room. Some providers take texts only there.",
    )


class NewInterruption(Input):
    """Stop what the avatar is saying."""

    can_publish: bool = Field(False, description="As in a task.")


class StopRequest(Input):
    """Stop a session. Another user's session needs a reason, which is recorded."""

    reason: Text = Field("", max_length=staff_reasons.MAX_REASON_CHARACTERS)


class TranscriptRequest(Input):
    """Read another user's transcript. The reason is recorded with the owner's name and the address."""

    reason: Reason
    limit: int = Field(50, ge=1, le=200)
    cursor: Cursor = ""


class RoomOut(Schema):
    """Access to a LiveKit room, as `livekit-client` takes it. The token is secret."""

    url: str
    token: str

    @classmethod
    def of(cls, room: RoomAccess) -> RoomOut:
        return cls(url=room.url, token=room.token)


class SessionOut(Schema):
    """A session at a provider."""

    id: UUID
    conversation_id: UUID
    continues: UUID | None
    persona: str
    persona_version: int
    purpose: str
    status: StatusName
    end_reason: str = Field(description="A stable code; empty while the session runs.")
    end_reason_text: str = Field(description="In the caller's language.")
    created_at: datetime
    opened_at: datetime | None = Field(description="When the provider created it: time counts from here.")
    live_at: datetime | None
    ends_at: datetime = Field(description="The time limit.")
    stop_requested_at: datetime | None
    ended_at: datetime | None
    user: Person | None = Field(description="Only with the scope `records:read`.")

    @classmethod
    def of(cls, row: StreamingSession, *, with_user: bool = False) -> SessionOut:
        """Return a session whose persona, and user if needed, were read with it."""
        return cls(
            id=row.pk,
            conversation_id=row.conversation_id,
            continues=row.continues_id,
            persona=row.persona.slug,
            persona_version=row.persona_version,
            purpose=row.purpose if row.purpose in Purpose.values else "",
            status=cast(StatusName, Status(row.status).value),
            end_reason=row.end_reason if row.end_reason in EndReason.values else "",
            end_reason_text=end_evidence.own_label(row.end_reason) if row.end_reason in EndReason.values else "",
            created_at=row.created_at,
            opened_at=row.opened_at,
            live_at=row.live_at,
            ends_at=row.ends_at,
            stop_requested_at=row.stop_requested_at,
            ended_at=row.ended_at,
            user=Person(id=row.user.pk, username=row.user.get_username()) if with_user and row.user else None,
        )


class StartedSession(SessionOut):
    """A session that was just started, with the access to its room."""

    room: RoomOut
    keep_alive_seconds: int = Field(description="Send a request about the session at least so often.")


class ConversationOut(Schema):
    """A conversation: one or more sessions that continue each other within one time limit."""

    id: UUID
    persona: str
    started_at: datetime
    ended_at: datetime | None
    time_limit_seconds: float | None
    session_ids: list[UUID]

    @classmethod
    def of(cls, row: Conversation) -> ConversationOut:
        limit = row.time_limit
        return cls(
            id=row.pk,
            persona=row.persona.slug,
            started_at=row.started_at,
            ended_at=row.ended_at,
            time_limit_seconds=limit.total_seconds() if limit else None,
            session_ids=sorted((each.pk for each in row.sessions.all()), key=str),
        )


class RoomCommandOut(Schema):
    """A data packet that a participant of the room must publish."""

    topic: str
    payload: str


class TaskOut(Schema):
    """A text that was sent to the avatar, and the outcome."""

    id: int
    kind: str
    status: TaskStatusName
    failure: str = Field(description="A stable code; empty unless it failed.")
    failure_text: str
    created_at: datetime
    latency_ms: int | None = Field(description="From the request to the provider's answer.")
    room_command: RoomCommandOut | None

    @classmethod
    def of(cls, row: SessionTask, command: RoomCommand | None) -> TaskOut:
        known = {error.code for error in errors.FAILURES}
        return cls(
            id=row.pk,
            kind=row.kind,
            status=cast(TaskStatusName, SessionTask.Status(row.status).value),
            failure=row.failure,
            failure_text=errors.failure_words(row.failure) if row.failure in known else "",
            created_at=row.created_at,
            latency_ms=round(row.latency.total_seconds() * 1000) if row.latency else None,
            room_command=command_out(command),
        )


class InterruptionOut(Schema):
    """An interruption that was sent, or is to be published in the room."""

    room_command: RoomCommandOut | None


def command_out(command: RoomCommand | None) -> RoomCommandOut | None:
    return RoomCommandOut(topic=command.topic, payload=command.payload) if command else None


class LineOut(Schema):
    """One line of a transcript."""

    at: datetime
    who: str
    by: str
    kind: str
    text: str
    is_interrupted: bool
    source: str
    standing: str = Field(description="Who vouches for the line.")

    @classmethod
    def of(cls, row: Utterance) -> LineOut:
        return cls(
            at=row.at,
            who=row.who,
            by=row.by,
            kind=row.kind,
            text=row.shown,
            is_interrupted=bool(row.interruption),
            source=row.source,
            standing=str(row.standing),
        )


class EventOut(Schema):
    """An event of a session's record. It contains no speech."""

    number: int
    at: datetime
    source: str
    kind: str
    data: dict[str, Any]
    hash: str
    previous_hash: str
