"""Operations on personas."""

from __future__ import annotations

from typing import Annotated, Literal

from django.db.models import QuerySet
from ninja import Field, Path, Query, Schema

from avatars.models import Persona
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.runtime.in_thread import in_thread

operations = Operations("Personas")
READ = (Scope.PERSONAS_READ,)


class PersonaOut(Schema):
    """A published persona."""

    slug: str = Field(description="Its name in other operations.")
    name: str
    role: str
    summary: str
    language: str
    version: int
    takes_text: bool
    takes_voice: bool
    reads_aloud: bool = Field(description="Whether texts may be sent to be said word for word.")
    brain: Literal["provider", "own"] = Field(description="Whose model answers: the provider’s or the organisation’s.")
    duration_limit_seconds: int
    idle_timeout_seconds: int

    @classmethod
    def of(cls, row: Persona) -> PersonaOut:
        return cls(
            slug=row.slug,
            name=row.name,
            role=row.role,
            summary=row.summary,
            language=row.language,
            version=row.version,
            takes_text=row.takes_text,
            takes_voice=row.takes_voice,
            reads_aloud=row.may_read_aloud,
            brain="own" if row.has_own_brain else "provider",
            duration_limit_seconds=int(row.duration_limit.total_seconds()),
            idle_timeout_seconds=int(row.idle_timeout.total_seconds()),
        )


class PersonaQuery(PageQuery):
    language: Annotated[str, Field(max_length=5, pattern="^[A-Za-z-]*$")] | None = None


@operations.get("/personas", scopes=READ, response=Page[PersonaOut])
async def list_personas(request: ApiRequest, query: Query[PersonaQuery]) -> Page[PersonaOut]:
    """List the published personas that the key's owner may talk with."""
    return await in_thread(_personas)(request.caller, query)


def _personas(caller: Caller, query: PersonaQuery) -> Page[PersonaOut]:
    rows = _open_to(caller)
    rows = rows.filter(language=query.language) if query.language else rows
    found, next_cursor = pages.read(rows, query, by="pk", newest_first=False)
    return Page(items=[PersonaOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/personas/{slug:slug}", scopes=READ, response=PersonaOut)
async def get_persona(request: ApiRequest, slug: Path[str]) -> PersonaOut:
    """Return one persona."""
    return await in_thread(_persona)(request.caller, slug)


def _persona(caller: Caller, slug: str) -> PersonaOut:
    row = _open_to(caller).filter(slug=slug).first()
    if row is None:
        raise problems.not_found()
    return PersonaOut.of(row)


def _open_to(caller: Caller) -> QuerySet[Persona]:
    return Persona.objects.open_to(caller.user_id).select_related("avatar__account")
