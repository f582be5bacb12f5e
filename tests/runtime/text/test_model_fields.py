"""Lengths of texts are limited in characters as people count them.

Names, summaries, greetings and reasons, on every page and column.
"""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client, RequestFactory

from avatars.knowledge import files
from avatars.models import Avatar, HttpTool, KnowledgeBase, ModelService, Persona, ProviderAccount, Video
from heygen_portal.models import Organisation
from heygen_portal.runtime.text import limits
from heygen_portal.runtime.text.limits import LimitedText
from sessions.models import Export, LegalHold
from tests.avatars.personas.test_admin import PERSONAS
from tests.avatars.personas.test_admin import form as persona_form
from tests.support.factories import AvatarFactory, PersonaFactory

FAMILY, ACCENTED, DEVANAGARI = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u0915\u094d\u0937\u093f"
PORTAL = {"avatars", "avatar_sessions", "heygen_portal"}
CHARACTERS = {
    (Organisation, "name"): 80,
    (ProviderAccount, "name"): 80,
    (ModelService, "name"): 80,
    (Avatar, "name"): 200,
    (KnowledgeBase, "name"): 200,
    (Persona, "name"): 80,
    (Persona, "role"): 80,
    (Persona, "summary"): 300,
    (Persona, "greeting"): 500,
    (Video, "title"): 100,
    (LegalHold, "reason"): 300,
    (Export, "reason"): 500,
}
# Limited in code points, in which their characters are written.
MODEL_NAMES = {f"{use}_model" for use in ("chat", "embeddings", "moderation", "speech", "transcription")}
TECHNICAL = {"addresses", "api_key", "secret_headers", "base_url", "email", "slug", "url"} | MODEL_NAMES


@pytest.mark.parametrize(("model", "column"), CHARACTERS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("character", ["a", FAMILY, ACCENTED, DEVANAGARI])
def test_a_text_may_have_its_number_of_characters_of_any_script(
    model: type[models.Model], column: str, character: str
) -> None:
    field: Any = model._meta.get_field(column)
    most = CHARACTERS[model, column]
    for count in (most, most + 1):
        for checked in (field.run_validators, field.formfield().clean):
            if count > most:
                with pytest.raises(forms.ValidationError):
                    checked(character * count)
            else:
                checked(character * count)
    column_length = field.max_length
    assert column_length is None or column_length >= len(character) * most


@pytest.mark.django_db
def test_no_page_of_the_admin_limits_a_typed_text_in_code_points(rf: RequestFactory, admin_user: User) -> None:
    request = rf.get("/")
    request.user = admin_user
    for model, pages in admin.site._registry.items():
        if model._meta.app_label not in PORTAL or not pages.has_add_permission(request):
            continue
        for name, field in pages.get_form(request).base_fields.items():
            if isinstance(field, forms.CharField) and not isinstance(field, LimitedText):
                is_technical = name in TECHNICAL or (model, name) == (HttpTool, "name")
                assert field.max_length is None or is_technical, (model, name)


@pytest.mark.usefixtures("postgres")
def test_postgresql_has_room_for_the_characters() -> None:
    character = FAMILY  # five code points
    persona = PersonaFactory.create(name=character * 80, role=character * 80, summary=character * 300)
    persona.refresh_from_db()
    assert (persona.name, persona.role, persona.summary) == (character * 80, character * 80, character * 300)


@pytest.mark.django_db
def test_a_persona_is_saved_with_a_name_of_80_characters_and_no_more(admin_client: Client) -> None:
    draft = Persona(name=FAMILY * 81, slug="ines", avatar=AvatarFactory.create())
    page = admin_client.post(f"{PERSONAS}add/", persona_form(draft), headers={"accept-language": "en"})
    assert "it has 81" in page.content.decode()
    assert 'data-max-characters="80"' in page.content.decode()
    admin_client.post(f"{PERSONAS}add/", persona_form(draft, name=FAMILY * 80))
    assert Persona.objects.get().name == FAMILY * 80


def test_a_knowledge_base_is_imported_with_a_name_of_200_characters_and_no_more() -> None:
    assert files._parse(f"---\nname: {DEVANAGARI * 200}\n---\nHola".encode(), "a.md").texts.name == DEVANAGARI * 200
    with pytest.raises(forms.ValidationError):
        files._parse(f"---\nname: {DEVANAGARI * 201}\n---\nHola".encode(), "a.md")


@pytest.mark.parametrize("character", ["a", FAMILY, ACCENTED, DEVANAGARI])
def test_a_text_is_shortened_between_characters(character: str) -> None:
    assert limits.shortened(character * 3, 3) == character * 3
    assert limits.shortened(character * 4, 3) == character * 3
    assert limits.shortened(character * 1_000, 3) == character * 3


def test_a_text_is_shortened_to_what_a_column_holds() -> None:
    assert limits.shortened("ae" + "\u0301" * 100, 2) == "a"
