"""Knowledge bases are written in the admin and kept at the provider."""

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


def test_what_is_written_is_stored_at_the_provider_and_here(admin_client: Client, provider: Mock) -> None:
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
def test_what_the_provider_does_not_take_is_not_stored_here_either(
    admin_client: Client, provider: Mock, error: ProviderError, words: str
) -> None:
    provider.change_knowledge_base.side_effect = error
    base = KnowledgeBaseFactory.create(prompt="Abrimos a las ocho.")
    page = save(admin_client, base)
    assert words in page.content.decode()
    base.refresh_from_db()
    assert base.prompt == "Abrimos a las ocho."


def test_a_change_that_would_unfit_a_published_persona_is_refused_with_its_name(
    admin_client: Client, provider: Mock
) -> None:
    account = ProviderAccountFactory.create(kind="liveavatar")
    base = KnowledgeBaseFactory.create(account=account, opening="")
    PersonaFactory.create(name="Inés", avatar__account=account, knowledge_base=base, greeting="Hola", published=True)
    page = save(admin_client, base)
    assert "Inés: The provider says the knowledge base’s greeting automatically" in page.content.decode()
    provider.change_knowledge_base.assert_not_awaited()


def test_one_that_is_deleted_there_is_gone_here_and_no_longer_changed(admin_client: Client, provider: Mock) -> None:
    base = KnowledgeBaseFactory.create()
    assert "was deleted" in remove(admin_client, base)
    provider.delete_knowledge_base.assert_awaited_once_with(base.provider_knowledge_base_id)
    base.refresh_from_db()
    assert base.gone_at
    assert save(admin_client, base).status_code == 403


def test_one_that_is_in_use_stays(admin_client: Client, provider: Mock) -> None:
    base = KnowledgeBaseFactory.create()
    PersonaFactory.create(name="Inés", avatar__account=base.account, knowledge_base=base, published=True)
    assert "Assign another knowledge base to Inés" in remove(admin_client, base)
    provider.delete_knowledge_base.assert_not_awaited()


@pytest.mark.parametrize("is_there", [True, False])
def test_one_that_the_provider_does_not_delete_is_gone_only_if_it_is(
    admin_client: Client, provider: Mock, is_there: bool
) -> None:
    provider.delete_knowledge_base.side_effect = ProviderRejected("not found")
    base = KnowledgeBaseFactory.create(provider_knowledge_base_id="K1" if is_there else "K0")
    assert ("refused the request" in remove(admin_client, base)) is is_there
    base.refresh_from_db()
    assert bool(base.gone_at) is not is_there


def test_the_sessions_that_were_are_read_page_by_page_and_lead_to_ours(admin_client: Client, provider: Mock) -> None:
    row = PastSession("their-1", None, timedelta(seconds=61), "IDLE_TIMEOUT", Decimal("2.03"))
    provider.past_sessions = AsyncMock(return_value=PastSessions((row,), has_more=True))
    account = ProviderAccountFactory.create()
    address = f"/admin/avatars/provideraccount/{account.pk}/past/"
    page = admin_client.get(f"{address}?page=2", headers=ENGLISH).content.decode()
    provider.past_sessions.assert_awaited_once_with(2)
    assert all(part in page for part in ("?q=their-1", "1 min 01 s", "IDLE_TIMEOUT", "2.03", "?page=1", "?page=3"))
    provider.past_sessions.side_effect = ProviderUnreachable("ReadTimeout")
    assert "could not be reached" in messages(admin_client.get(f"{address}?page=x", headers=ENGLISH))
