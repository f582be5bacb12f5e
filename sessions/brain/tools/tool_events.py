"""Calls of tools in a session's record: arguments and result are encrypted as all speech, and erased with it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from avatars.models import BuiltInTool
from heygen_portal.runtime import stored_json
from heygen_portal.trail.raw_values import blob
from sessions.brain.tools.calls import MAX_ARGUMENT_CHARACTERS, Called
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Answer, SessionEvent, SpeechErased, SpeechKey, Status, StreamingSession, speech_encryption
from sessions.models.speech import UNREADABLE_ERRORS

MAX_NAME_CHARACTERS = 64
MESSAGE = "message to staff"  # what its ciphertext is bound to
OWN = "own"  # what pages are told of a tool that staff made


@dataclass(frozen=True)
class RecordedCall:
    """A call as auditors see it. Texts are empty unless a reason for reading was given, or once they are erased."""

    name: str
    code: str
    ms: int
    arguments: str = field(default="", repr=False)
    content: str = field(default="", repr=False)


def shown_as(name: str) -> str:
    """Return what pages are told of a tool."""
    return name if name in BuiltInTool.values else OWN


def record(answer: Answer, called: Called) -> None:
    """Record a call in the session's chain."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=answer.session_id)
        details: dict[str, Any] = {
            "answer": answer.pk,
            "tool": called.name[:MAX_NAME_CHARACTERS],
            "code": called.code,
            "ms": round(called.seconds * 1000),
        }
        # Passages are named: their text is erased when a document is withdrawn.
        found = [{"chunk": each.chunk_id, "fingerprint": each.fingerprint} for each in called.passages]
        result = "" if found else called.content
        details |= {"passages": found} if found else {}
        content = {"arguments": called.arguments[:MAX_ARGUMENT_CHARACTERS], "result": result}
        sealed = seal(answer.session_id, _bound_to(answer.pk), json.dumps(content, ensure_ascii=False))
        entry = Entry(EventKind.TOOL_CALLED, details | {"sealed": sealed})
        events.append(answer.session_id, entry, is_over=session.status == Status.ENDED)


def seal(session_id: UUID, bound_to: str, text: str) -> str:
    """Encrypt a text with the key of the session's speech; empty if its speech was erased."""
    try:
        wrapped = SpeechKey.wrapped_for(session_id)
    except SpeechErased:
        return ""
    return b64encode(speech_encryption.encrypt(wrapped, session_id, text, bound_to)).decode()


def calls_of(session: StreamingSession, *, is_open: bool) -> dict[int, list[RecordedCall]]:
    """Return the calls of a session by their answers' IDs. Two queries."""
    rows = SessionEvent.objects.filter(session=session, kind=EventKind.TOOL_CALLED).order_by("number")
    found: dict[int, list[RecordedCall]] = {}
    wrapped = wrapped_key_of(session.pk) if is_open else b""
    for row in rows:
        if answer_id := stored_json.row_key(row.data, "answer"):
            found.setdefault(answer_id, []).append(_recorded(row, answer_id, wrapped))
    return found


def _recorded(row: SessionEvent, answer_id: int, wrapped: bytes) -> RecordedCall:
    arguments, content = _opened(row, answer_id, wrapped)
    ms = row.data.get("ms")
    name, code = stored_json.text(row.data, "tool"), stored_json.text(row.data, "code")
    return RecordedCall(name, code, ms if isinstance(ms, int) else 0, arguments, content)


def _opened(row: SessionEvent, answer_id: int, wrapped: bytes) -> tuple[str, str]:
    """Return arguments and result, as far as they can be decrypted."""
    stored = _unsealed(row, _bound_to(answer_id), wrapped)
    return stored_json.text(stored, "arguments"), stored_json.text(stored, "result")


def message_of(row: SessionEvent) -> dict[str, str]:
    """Return address and text of a message to the team; nothing once it is erased."""
    return content_of(row, wrapped_key_of(row.session_id))


def wrapped_key_of(session_id: UUID) -> bytes:
    """Return the wrapped key of a session's speech; empty once it is erased."""
    key = SpeechKey.objects.filter(session=session_id).first()
    return blob(key.wrapped) if key else b""


def content_of(row: SessionEvent, wrapped: bytes) -> dict[str, str]:
    """Return the texts that are sealed in an event, as far as they can be decrypted."""
    answer_id = stored_json.row_key(row.data, "answer")
    bound_to = MESSAGE if row.kind == EventKind.MESSAGE_LEFT else _bound_to(answer_id or 0)
    stored = _unsealed(row, bound_to, wrapped)
    return {name: text for name, text in stored.items() if isinstance(text, str)}


def _unsealed(row: SessionEvent, bound_to: str, wrapped: bytes) -> dict[str, Any]:
    sealed = stored_json.text(row.data, "sealed")
    if not (wrapped and sealed):
        return {}
    try:
        stored = json.loads(speech_encryption.decrypt(wrapped, row.session_id, b64decode(sealed), bound_to))
    except UNREADABLE_ERRORS:
        return {}
    return stored if isinstance(stored, dict) else {}


def _bound_to(answer_id: int) -> str:
    return f"tool call of answer {answer_id}"
