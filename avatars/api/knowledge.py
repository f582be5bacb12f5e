"""Operations on knowledge bases."""

from __future__ import annotations

from datetime import datetime

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from ninja import Field, Path, Query, Schema

from avatars.knowledge import versions
from avatars.models import KnowledgeBase
from avatars.models.catalogue import MAX_NAME_CHARACTERS
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key, Text
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread

operations = Operations("Knowledge bases")
# More than any provider takes.
MAX_TEXT_CHARACTERS = 100_000


class KnowledgeOut(Schema):
    """A knowledge base, without its texts."""

    id: int
    name: str
    account: int
    version: int = Field(description="0 while it has only been written at the provider.")
    is_gone: bool = Field(description="The provider no longer has it.")

    @classmethod
    def of(cls, row: KnowledgeBase) -> KnowledgeOut:
        is_gone = row.gone_at is not None
        return cls(id=row.pk, name=row.name, account=row.account_id, version=row.version, is_gone=is_gone)


class KnowledgeTexts(KnowledgeOut):
    """A knowledge base with the texts saved in the portal."""

    opening: str
    prompt: str
    last_seen_at: datetime | None

    @classmethod
    def of(cls, row: KnowledgeBase) -> KnowledgeTexts:
        shown = versions.with_newest_texts(row)
        known = KnowledgeOut.of(shown).model_dump()
        return cls(**known, opening=shown.opening, prompt=shown.prompt, last_seen_at=row.last_seen_at)


class NewTexts(Input):
    """The texts of the next version."""

    name: Text = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    opening: Text = Field("", max_length=MAX_TEXT_CHARACTERS)
    prompt: Text = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)
    version: int = Field(ge=0, description="The version that was read: another editor's changes are not overwritten.")


@operations.get("/knowledge-bases", scopes=(Scope.KNOWLEDGE_READ,), response=Page[KnowledgeOut])
async def list_knowledge_bases(request: ApiRequest, query: Query[PageQuery]) -> Page[KnowledgeOut]:
    """List the knowledge bases of all accounts."""
    return await in_thread(_bases)(query)


def _bases(query: PageQuery) -> Page[KnowledgeOut]:
    found, next_cursor = pages.read(KnowledgeBase.objects.all(), query, by="pk", newest_first=False)
    return Page(items=[KnowledgeOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/knowledge-bases/{base_id}", scopes=(Scope.KNOWLEDGE_READ,), response=KnowledgeTexts)
async def get_knowledge_base(request: ApiRequest, base_id: Path[Key]) -> KnowledgeTexts:
    """Return one knowledge base with its texts."""
    return await in_thread(lambda: KnowledgeTexts.of(_base(base_id)))()


@operations.put("/knowledge-bases/{base_id}", scopes=(Scope.KNOWLEDGE_WRITE,), response=KnowledgeTexts)
async def change_knowledge_base(request: ApiRequest, base_id: Path[Key], body: NewTexts) -> KnowledgeTexts:
    """Save a new version, at the provider first.

    Texts that the provider refuses, or with which a published persona would be invalid, are not saved.
    """
    caller = request.caller
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)
    # In the request's own thread, as a page: the service waits for the provider.
    return await sync_to_async(_save)(caller, base_id, body)


def _save(caller: Caller, base_id: int, body: NewTexts) -> KnowledgeTexts:
    base = _base(base_id)
    if caller.is_test and not base.account.is_emulated:
        raise problems.test_key()
    if base.gone_at or base.version != body.version:
        raise Problem(409, "version_conflict", _("The knowledge base was changed meanwhile."), version=base.version)
    base.name, base.opening, base.prompt = body.name, body.opening, body.prompt
    try:
        versions.store_at_provider(base)
    except ValidationError as exc:
        raise Problem(409, "texts_refused", _("These texts are not possible."), detail=" ".join(exc.messages)) from exc
    versions.save_version(base, caller.user_id)
    return KnowledgeTexts.of(_base(base_id))


def _base(base_id: int) -> KnowledgeBase:
    row = KnowledgeBase.objects.select_related("account").filter(pk=base_id).first()
    if row is None:
        raise problems.not_found()
    return row
