"""Knowledge bases are edited in the admin and stored at the provider."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from django.test import Client

from avatars.models import KnowledgeBase
from heygen_portal.providers.contract.provider import (
    CatalogueKnowledgeBase,
    PastSession,
    PastSessions,
    ProviderError,
    ProviderRejected,
    ProviderUnreachable,
)
from tests.avatars.personas.test_admin import messages
from tests.support.factories import KnowledgeBaseFactory, PersonaFactory, ProviderAccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

BASES = "/admin/avatars/knowledgebase/"
ENGLISH = {"accept-language": "en"}
TEXTS = {"name": "Recepción", "opening": "Hola", "prompt": "Abrimos a las nueve."}


def save(client: Client, base: KnowledgeBase, **changes: Any) -> Any:
    return client.post(f"{BASES}{base.pk}/change/", TEXTS | changes, headers=ENGLISH)


def remove(client: Client, base: KnowledgeBase) -> str:
    client.post(f"{BASES}{base.pk}/remove/", {"_form_submitted": "on"}, headers=ENGLISH)
    return messages(client.get(BASES, headers=ENGLISH))


def test_a_saved_text_is_stored_at_the_provider_and_here(admin_client: Client, provider: Mock) -> None:
    provider.create_knowledge_base = AsyncMock(return_value="K9")
    account = ProviderAccountFactory.create()
    assert admin_client.post(f"{BASES}add/", TEXTS | {"account": account.pk}).status_code == 302
    base = KnowledgeBase.objects.get()
    assert (base.provider_knowledge_base_id, base.prompt) == ("K9", TEXTS["prompt"])
    assert save(admin_client, base, prompt="Abrimos a las diez.").status_code == 302
    changed = CatalogueKnowledgeBase("K9", "Recepción", "Hola", "Abrimos a las diez.")
    provider.change_knowledge_base.assert_awaited_once_with(changed)
    base.refresh_from_db()
    assert base.prompt == "Abrimos a las diez."


@pytest.mark.parametrize(
    ("error", "words"),
    [(ProviderRejected("too long"), "refused the request"), (ProviderUnreachable("cut"), "did not respond")],
)
def test_a_text_refused_by_the_provider_is_not_stored(
    admin_client: Client, provider: Mock, error: ProviderError, words: str
) -> None:
    provider.change_knowledge_base.side_effect = error
    base = KnowledgeBaseFactory.create(prompt="Abrimos a las ocho.")
    page = save(admin_client, base)
    assert words in page.content.decode()
    base.refresh_from_db()
    assert base.prompt == "Abrimos a las ocho."


def test_a_change_that_invalidates_a_published_persona_is_refused(admin_client: Client, provider: Mock) -> None:
    account = ProviderAccountFactory.create(kind="liveavatar")
    base = KnowledgeBaseFactory.create(account=account, opening="")
    PersonaFactory.create(name="Inés", avatar__account=account, knowledge_base=base, greeting="Hola", published=True)
    page = save(admin_client, base)
    assert "Inés: The provider says the knowledge base’s greeting automatically" in page.content.decode()
    provider.change_knowledge_base.assert_not_awaited()


def test_a_deleted_base_is_marked_gone_and_cannot_be_changed(admin_client: Client, provider: Mock) -> None:
    base = KnowledgeBaseFactory.create()
    assert "was deleted" in remove(admin_client, base)
    provider.delete_knowledge_base.assert_awaited_once_with(base.provider_knowledge_base_id)
    base.refresh_from_db()
    assert base.gone_at
    assert save(admin_client, base).status_code == 403


def test_a_base_in_use_cannot_be_deleted(admin_client: Client, provider: Mock) -> None:
    base = KnowledgeBaseFactory.create()
    PersonaFactory.create(name="Inés", avatar__account=base.account, knowledge_base=base, published=True)
    assert "Assign another knowledge base to Inés" in remove(admin_client, base)
    provider.delete_knowledge_base.assert_not_awaited()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_refused_deletion_counts_only_if_the_base_is_gone(
    admin_client: Client, provider: Mock, is_there: bool
) -> None:
    provider.delete_knowledge_base.side_effect = ProviderRejected("not found")
    base = KnowledgeBaseFactory.create(provider_knowledge_base_id="K1" if is_there else "K0")
    assert ("refused the request" in remove(admin_client, base)) is is_there
    base.refresh_from_db()
    assert bool(base.gone_at) is not is_there


def test_past_sessions_are_shown_page_by_page_with_links(admin_client: Client, provider: Mock) -> None:
    row = PastSession("their-1", None, timedelta(seconds=61), "IDLE_TIMEOUT", Decimal("2.03"))
    provider.past_sessions = AsyncMock(return_value=PastSessions((row,), has_more=True))
    account = ProviderAccountFactory.create()
    address = f"/admin/avatars/provideraccount/{account.pk}/past/"
    page = admin_client.get(f"{address}?page=2", headers=ENGLISH).content.decode()
    provider.past_sessions.assert_awaited_once_with(2)
    assert all(part in page for part in ("?q=their-1", "1 min 01 s", "IDLE_TIMEOUT", "2.03", "?page=1", "?page=3"))
    provider.past_sessions.side_effect = ProviderUnreachable("ReadTimeout")
    assert "could not be reached" in messages(admin_client.get(f"{address}?page=x", headers=ENGLISH))
