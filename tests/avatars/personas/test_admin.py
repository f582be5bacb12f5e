"""Staff create, try and publish personas without typing an ID."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from django.test import Client
from django.utils import timezone

from avatars.catalogue import sync, sync_runs
from avatars.models import Avatar, Persona
from avatars.personas import versions
from heygen_portal.providers.contract.provider import CredentialRefused, ProviderUnreachable
from tests.support.factories import (
    AvatarFactory,
    KnowledgeBaseFactory,
    PersonaFactory,
    ProviderAccountFactory,
    VoiceFactory,
)

pytestmark = pytest.mark.django_db

PERSONAS = "/admin/avatars/persona/"


def form(persona: Persona, **changes: Any) -> dict[str, Any]:
    values = {
        "name": persona.name,
        "slug": persona.slug,
        "language": persona.language,
        "avatar": persona.avatar_id,
        "quality": persona.quality,
        "voice": persona.voice_id or "",
        "voice_rate": persona.voice_rate,
        "interactivity": persona.interactivity,
        "voice_emotion": persona.voice_emotion,
        "knowledge_base": persona.knowledge_base_id or "",
        "duration_limit": "00:20:00",
        "idle_timeout": "00:03:00",
        "brain": persona.brain,
        "filler_after_seconds": persona.filler_after_seconds,
        "longest_answer": persona.longest_answer,
    }
    return {**values, **changes}


@pytest.mark.parametrize(
    ("typed", "stored"), [(" Uno? \n\nDos?", "Uno?\nDos?"), ("a\nb\nc\nd\ne", ""), ("x" * 101, "")]
)
def test_suggested_questions_are_at_most_four_short_lines(admin_client: Client, typed: str, stored: str) -> None:
    persona = PersonaFactory.create(published=True)
    admin_client.post(f"/admin/avatars/persona/{persona.pk}/change/", form(persona, base=1, starters=typed))
    newest = versions.newest(persona)
    assert newest
    assert newest.starters == stored


def messages(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


@pytest.mark.parametrize("model", ["persona", "avatar", "voice", "knowledgebase", "provideraccount"])
def test_every_list_and_page_of_the_catalogue_opens(admin_client: Client, model: str) -> None:
    persona = PersonaFactory.create()
    row = {"persona": persona, "provideraccount": persona.avatar.account, "knowledgebase": persona.knowledge_base}
    pk = getattr(row.get(model) or getattr(persona, model), "pk", None)
    assert admin_client.get(f"/admin/avatars/{model}/", {"q": "luc"}).status_code == 200
    assert admin_client.get(f"/admin/avatars/{model}/{pk}/change/").status_code == 200


@pytest.mark.parametrize(("field", "factory"), [("avatar", AvatarFactory), ("voice", VoiceFactory)])
def test_only_usable_entries_are_offered(admin_client: Client, field: str, factory: Any) -> None:
    usable = factory.create(name="Usable")
    factory.create(name="Usable once", gone_at=timezone.now())
    if field == "avatar":
        AvatarFactory.create(name="Usable later", is_active=False)
    where = {"app_label": "avatars", "model_name": "persona", "field_name": field, "term": "usable"}
    found = json.loads(admin_client.get("/admin/autocomplete/", where).content)["results"]
    assert [row["id"] for row in found] == [str(usable.pk)]


def test_only_the_admin_has_the_looser_script_policy(admin_client: Client) -> None:
    header = "Content-Security-Policy"
    admin, page = (admin_client.get(path).headers[header] for path in ("/admin/", "/"))
    assert "unsafe-eval" in admin
    assert "unsafe" not in page
    for policy in (admin, page):
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        connects = rules.pop("connect-src", "")  # to the avatars' rooms, and nowhere else
        assert all(".livekit.cloud" in place for place in connects.split() if place.endswith(".cloud"))
        assert rules["default-src"] == "'self'"
        assert not any("http" in rule for rule in rules.values())  # no foreign scripts, styles or pictures


def test_a_persona_is_created_from_choices(admin_client: Client) -> None:
    avatar = AvatarFactory.create()
    draft = Persona(name="Inés", slug="ines", avatar=avatar)
    page = admin_client.post(f"{PERSONAS}add/", form(draft))
    assert page.status_code == 302
    assert Persona.objects.get().status == Persona.Status.DRAFT


def test_publishing_reports_what_is_missing_or_the_new_version(admin_client: Client) -> None:
    persona = PersonaFactory.create(knowledge_base=None)
    choice = {"action": "publish", "_selected_action": [persona.pk]}
    assert "knowledge" in messages(admin_client.post(PERSONAS, choice, follow=True, headers={"accept-language": "en"}))
    persona.knowledge_base = KnowledgeBaseFactory.create(account=persona.avatar.account)
    persona.save()
    assert "1" in messages(admin_client.post(PERSONAS, choice, follow=True))
    assert Persona.objects.published().count() == 1
    admin_client.post(PERSONAS, {**choice, "action": "unpublish"})
    assert not Persona.objects.published().exists()


@pytest.mark.django_db(transaction=True)
def test_publishing_refreshes_the_catalogue(
    admin_client: Client, provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A knowledge base deleted at the provider is found before publishing."""
    monkeypatch.setattr("avatars.personas.publishing.refresh_catalogue", sync.refresh_catalogue)
    voice = VoiceFactory.create(provider_voice_id="V1")
    persona = PersonaFactory.create(
        avatar=AvatarFactory.create(account=voice.account, provider_avatar_id="A1"),
        voice=voice,
        knowledge_base=KnowledgeBaseFactory.create(account=voice.account, provider_knowledge_base_id="deleted"),
    )
    choice = {"action": "publish", "_selected_action": [persona.pk]}
    shown = messages(admin_client.post(PERSONAS, choice, follow=True, headers={"accept-language": "en"}))
    assert "no longer offers it" in shown
    assert not Persona.objects.published().exists()


def test_publishing_from_the_page_needs_confirmation(admin_client: Client) -> None:
    persona = PersonaFactory.create()
    path = f"{PERSONAS}{persona.pk}/publish_one/"
    assert admin_client.get(path).status_code == 200
    assert not Persona.objects.published().exists()  # a link alone changes nothing
    response = admin_client.post(path, {"_form_submitted": "on"})
    assert response.headers["HX-Redirect"] == f"{PERSONAS}{persona.pk}/change/"
    assert Persona.objects.published().exists()


@pytest.mark.parametrize("made_up", ["999", "abc"])
def test_an_unknown_persona_is_not_found(admin_client: Client, made_up: str) -> None:
    assert admin_client.post(f"{PERSONAS}{made_up}/publish_one/", {"_form_submitted": "on"}).status_code == 404


def test_an_invalid_draft_does_not_replace_the_published_version(admin_client: Client) -> None:
    persona = PersonaFactory.create(published=True)
    admin_client.post(f"{PERSONAS}{persona.pk}/change/", form(persona, knowledge_base=""))
    choice = {"action": "publish", "_selected_action": [persona.pk]}
    shown = messages(admin_client.post(PERSONAS, choice, follow=True, headers={"accept-language": "en"}))
    assert "Choose a knowledge base" in shown
    persona.refresh_from_db()
    assert (persona.version, persona.status) == (1, Persona.Status.PUBLISHED)
    assert persona.knowledge_base


def test_a_persona_that_was_published_cannot_be_deleted(admin_client: Client) -> None:
    draft, met = PersonaFactory.create(), PersonaFactory.create(published=True)
    assert admin_client.post(f"{PERSONAS}{met.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{PERSONAS}{draft.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list(Persona.objects.all()) == [met]


@pytest.mark.parametrize("model", ["avatar", "voice"])
def test_catalogue_entries_cannot_be_added(admin_client: Client, model: str) -> None:
    assert admin_client.get(f"/admin/avatars/{model}/add/").status_code == 403


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that runs tasks immediately."""
    monkeypatch.setattr(sync_runs.sync_account, "delay", sync_runs.sync_account)


@pytest.mark.django_db(transaction=True)
def test_a_sync_shows_how_many_entries_it_found(admin_client: Client, provider: Mock, worker: None) -> None:
    account = ProviderAccountFactory.create(name="HeyGen")
    choice = {"action": "sync", "_selected_action": [account.pk]}
    admin_client.post("/admin/avatars/provideraccount/", choice)
    assert Avatar.objects.get().account == account
    page = admin_client.get(f"/admin/avatars/provideraccount/{account.pk}/catalogue/")
    assert [(row["listed"], row["news"][0][0]) for row in page.context["kinds"]] == [(1, 1)] * 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CredentialRefused("/v1/streaming/avatar.list: unauthorized"), "does not accept the key"),
        (ProviderUnreachable("/v1/streaming/avatar.list: ConnectError"), "did not return its catalogue"),
    ],
)
def test_a_failed_sync_names_the_call_and_the_cause(  # requirement 43
    admin_client: Client, provider: Mock, worker: None, error: Exception, words: str
) -> None:
    provider.list_avatars.side_effect = error
    account = ProviderAccountFactory.create(name="HeyGen")
    english = {"accept-language": "en"}
    path = f"/admin/avatars/provideraccount/{account.pk}/catalogue/"
    page = admin_client.post(path, headers=english, follow=True).content.decode()
    assert words in page
    assert "avatar.list" in page
