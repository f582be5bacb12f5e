"""The notice that people read, and may have to accept, before they talk with a persona."""

from __future__ import annotations

from ninja import Field, Path, Schema

from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.runtime.in_thread import in_thread
from sessions.capacity import consent, slots
from sessions.capacity.notice import notice_for

operations = Operations("Personas")


class NoticeOut(Schema):
    """What to show to the program's user before a session starts."""

    is_required: bool = Field(description="Sessions start only with `accepts` set to the fingerprint.")
    fingerprint: str
    version: int
    language: str
    label: str = Field(description="Keep it visible on the picture.")
    text: str
    statement: str = Field(description="What the user accepts.")


@operations.get("/personas/{slug:slug}/notice", scopes=(Scope.PERSONAS_READ,), response=NoticeOut)
async def get_notice(request: ApiRequest, slug: Path[str]) -> NoticeOut:
    """Return the notice of a persona, in the persona's language.

    The session belongs to the key's owner, and so does the acceptance. Show the notice to the person who talks.
    """
    return await in_thread(_notice)(request.caller, slug)


def _notice(caller: Caller, slug: str) -> NoticeOut:
    persona = slots.find_persona(slug, caller.user_id)
    notice = notice_for(persona)
    return NoticeOut(
        is_required=consent.still_required(persona, caller.user_id) is not None,
        fingerprint=notice.fingerprint,
        version=notice.version,
        language=notice.language,
        label=notice.label,
        text=notice.text,
        statement=notice.statement,
    )
