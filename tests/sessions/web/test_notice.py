"""The notice, its box and the AI label on the room page, as the server renders them."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from avatars.models import Persona
from heygen_portal.models import Organisation
from sessions.capacity import slots
from sessions.capacity.notice import notice_for
from sessions.capacity.slots import StartRequest
from sessions.models import Consent, EndReason, StreamingSession
from tests.support.factories import EndUserFactory, PersonaFactory

pytestmark = pytest.mark.django_db

LINKS = {
    "privacy_url": "https://example.org/privacy",
    "terms_url": "https://example.org/terms",
    "imprint_url": "https://example.org/imprint",
}


@pytest.fixture
def user() -> User:
    found: User = EndUserFactory.create()
    return found


@pytest.fixture
def visitor(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def persona(**fields: Any) -> Persona:
    made: Persona = PersonaFactory.create(published=True, **fields)
    return made


def page(client: Client, shown: Persona, language: str = "en") -> str:
    answer = client.get(f"/personas/{shown.slug}/", headers={"accept-language": language})
    return html.unescape(answer.content.decode())


@pytest.mark.parametrize(
    ("language", "label", "ai", "provider", "links"),
    [
        (
            "es",
            "Avatar de IA",
            "Hablas con una IA, no con una persona",
            "HeyGen Streaming hace funcionar el avatar",
            "Aviso legal",
        ),
        ("en", "AI avatar", "You are talking to an AI, not a person", "HeyGen Streaming runs the avatar", "Imprint"),
    ],
)
def test_the_notice_is_in_the_personas_language_whatever_the_pages(
    visitor: Client, language: str, label: str, ai: str, provider: str, links: str
) -> None:
    Organisation.objects.update(name="Ayuntamiento", **LINKS)
    shown = persona(language=language)
    other = {"es": "en", "en": "es"}[language]
    content = page(visitor, shown, language=other)
    assert f'<html lang="{other}">' in content
    for words in (ai, provider, links, "Ayuntamiento", *LINKS.values()):
        assert words in content
    assert f'<p class="chip chip--ai" lang="{language}">' in content
    assert label in content
    assert 'id="agree"' not in content


def test_a_persona_in_a_language_without_pages_has_a_notice(visitor: Client) -> None:
    assert "Hablas con una IA" in page(visitor, persona(language="ja"))


# The view stops sessions in another thread, which sees only what was committed.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider")
def test_the_box_is_there_until_the_notice_is_accepted_and_again_once_that_is_withdrawn(
    visitor: Client, user: User
) -> None:
    shown = persona(requires_consent=True)
    notice = notice_for(shown)
    content = page(visitor, shown)
    assert f'data-notice="{notice.fingerprint}"' in content
    assert notice.statement in content
    assert content.index('id="agree"') < content.index('id="start"')
    session = slots.open_session(user.pk, shown.slug, StartRequest(accepts=notice.fingerprint))
    content = page(visitor, shown)
    assert 'id="agree"' not in content
    assert "You accepted this notice on" in content
    other = Client()
    other.force_login(EndUserFactory.create())
    assert 'id="agree"' in page(other, shown)
    for client, is_withdrawn in ((other, False), (visitor, True)):
        client.post(f"/personas/{shown.slug}/withdraw")
        assert (Consent.objects.get().withdrawn_at is not None) is is_withdrawn
    assert StreamingSession.objects.get(pk=session.pk).end_reason == EndReason.USER_STOPPED
    assert 'id="agree"' in page(visitor, shown)
    assert visitor.post("/personas/nobody/withdraw").status_code == 404
