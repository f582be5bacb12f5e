"""Versions, drift, import and export of knowledge bases."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from avatars.catalogue import sync
from avatars.knowledge import files as knowledge_files
from avatars.knowledge import versions
from avatars.knowledge.files import KnowledgeText
from avatars.models import KnowledgeBase
from heygen_portal.providers.contract.provider import CatalogueKnowledgeBase, ProviderRejected
from tests.avatars.knowledge.test_admin import BASES, ENGLISH, save
from tests.avatars.knowledge.test_admin import TEXTS as WRITTEN
from tests.avatars.personas.test_admin import messages
from tests.support.factories import KnowledgeBaseFactory, ProviderAccountFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def base(provider: Mock) -> KnowledgeBase:
    """A base that was written at the provider before it was edited here."""
    return KnowledgeBaseFactory.create(provider_knowledge_base_id="K1", opening="Hola", prompt="Abrimos a las ocho.")


def version_prompts(base: KnowledgeBase) -> list[str]:
    return [version.prompt for version in base.versions.order_by("number")]


def resolve(client: Client, base: KnowledgeBase, **choice: str) -> str:
    return messages(client.post(f"{BASES}{base.pk}/versions/", choice, headers=ENGLISH, follow=True))


def change_at_provider(base: KnowledgeBase, provider: Mock, prompt: str) -> None:
    provider.list_knowledge_bases.return_value = [CatalogueKnowledgeBase("K1", base.name, base.opening, prompt)]
    async_to_sync(sync.sync_catalogue)(base.account)


def test_each_text_is_a_version_starting_with_the_providers(admin_client: Client, base: KnowledgeBase) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    save(admin_client, base, prompt="Abrimos a las diez.")
    assert version_prompts(base) == ["Abrimos a las ocho.", "Abrimos a las nueve.", "Abrimos a las diez."]
    page = admin_client.get(f"{BASES}{base.pk}/versions/", headers=ENGLISH).content.decode()
    assert "<del>− Abrimos a las nueve.</del>" in page
    assert "<ins>+ Abrimos a las diez.</ins>" in page
    assert "written at the provider" in page


def test_drift_is_shown_and_can_be_resolved_either_way(
    admin_client: Client, base: KnowledgeBase, provider: Mock
) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    base.refresh_from_db()
    change_at_provider(base, provider, "Abrimos a las siete.")
    assert "different" in admin_client.get(BASES, headers=ENGLISH).content.decode()
    page = admin_client.get(f"{BASES}{base.pk}/versions/", headers=ENGLISH).content.decode()
    assert "The provider has a different text" in page
    assert "Abrimos a las siete." in page
    assert "Abrimos a las nueve." in admin_client.get(f"{BASES}{base.pk}/change/").content.decode()  # what is edited
    assert "at the provider: version 2" in resolve(admin_client, base, push="2")
    assert provider.change_knowledge_base.await_args.args[0].prompt == "Abrimos a las nueve."
    base.refresh_from_db()
    assert (base.prompt, versions.drift(base)) == ("Abrimos a las nueve.", [])
    change_at_provider(base, provider, "Abrimos a las seis.")
    assert "at the provider: version 3" in resolve(admin_client, base, accept="1")
    base.refresh_from_db()
    assert (version_prompts(base)[-1], versions.drift(base)) == ("Abrimos a las seis.", [])


def test_rolling_back_stores_the_older_text_at_the_provider(
    admin_client: Client, base: KnowledgeBase, provider: Mock
) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    resolve(admin_client, base, push="1")
    assert provider.change_knowledge_base.await_args.args[0].prompt == "Abrimos a las ocho."
    assert version_prompts(base) == ["Abrimos a las ocho.", "Abrimos a las nueve.", "Abrimos a las ocho."]
    provider.change_knowledge_base.side_effect = ProviderRejected("too long")
    assert "refused the request" in resolve(admin_client, base, push="2")
    assert len(version_prompts(base)) == 3


def test_a_list_without_texts_causes_no_drift(admin_client: Client, base: KnowledgeBase, provider: Mock) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    provider.list_knowledge_bases.return_value = [CatalogueKnowledgeBase("K1", "Recepción", "", "", has_texts=False)]
    async_to_sync(sync.sync_catalogue)(base.account)
    base.refresh_from_db()
    assert (base.prompt, versions.drift(base)) == ("Abrimos a las nueve.", [])


def test_a_concurrent_edit_is_merged_and_shown(admin_client: Client, base: KnowledgeBase) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    base.refresh_from_db()
    base.opening = "Buenas"
    versions.save_version(base, UserFactory.create(username="nora").pk)
    page = admin_client.post(
        f"{BASES}{base.pk}/change/", WRITTEN | {"base": "2", "prompt": "Abrimos a las diez."}, headers=ENGLISH
    )
    form = page.context["adminform"].form
    assert "nora has saved version 3" in page.content.decode()
    assert (form["prompt"].value(), form["opening"].value()) == ("Abrimos a las diez.", "Buenas")
    assert len(version_prompts(base)) == 3


TEXTS = KnowledgeText(
    "Recepción: citas", 'Dice "Hola"', "# Horario\n\nAbrimos a las nueve.\n\n---\n\n- lunes\n- martes"
)


def import_file(client: Client, account: Any, name: str, content: bytes) -> str:
    form = {"account": account.pk, "file": SimpleUploadedFile(name, content)}
    return str(client.post(f"{BASES}import/", form, headers=ENGLISH, follow=True).content.decode())


def test_an_exported_file_can_be_imported_unchanged() -> None:
    assert knowledge_files.read(knowledge_files.as_markdown(TEXTS).encode(), "x.md") == TEXTS
    archive = zipfile.ZipFile(io.BytesIO(knowledge_files.as_zip([TEXTS, TEXTS])))
    assert archive.namelist() == ["recepcion-citas.md", "_recepcion-citas.md"]
    assert knowledge_files.read(b"Just words.\r\n", "citas.md") == KnowledgeText("citas", "", "Just words.")


def test_imported_files_become_bases_or_new_versions(admin_client: Client, base: KnowledgeBase, provider: Mock) -> None:
    provider.create_knowledge_base = AsyncMock(return_value="K9")
    files = [KnowledgeText(base.name, "Hola", "Abrimos a las once."), TEXTS]
    page = import_file(admin_client, base.account, "all.zip", knowledge_files.as_zip(files))
    assert "2 knowledge bases were imported" in page
    assert version_prompts(base) == ["Abrimos a las ocho.", "Abrimos a las once."]
    assert version_prompts(KnowledgeBase.objects.get(provider_knowledge_base_id="K9")) == [TEXTS.prompt]
    assert "0 knowledge bases" in import_file(admin_client, base.account, "all.zip", knowledge_files.as_zip(files))


def test_selected_bases_are_exported_as_files(admin_client: Client, base: KnowledgeBase) -> None:
    def taken(*bases: KnowledgeBase) -> Any:
        return admin_client.post(BASES, {"action": "export_files", "_selected_action": [one.pk for one in bases]})

    one = taken(base)
    assert knowledge_files.read(one.content, "x.md") == KnowledgeText(base.name, "Hola", "Abrimos a las ocho.")
    assert one["Content-Disposition"] == 'attachment; filename="recepcion.md"'
    other = KnowledgeBaseFactory.create(name="Precios", prompt="40 euros")
    names = zipfile.ZipFile(io.BytesIO(taken(base, other).content)).namelist()
    assert sorted(names) == ["precios.md", "recepcion.md"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"%PDF"),
        ("a.md", b"\xff\xfe\x00"),
        ("a.md", b"---\nname: Empty\n---\n"),
        ("a.md", b"x" * (256 * 1024 + 1)),
        ("a.zip", b"PK no archive"),
        ("a.zip", knowledge_files.as_zip([])),
        ("a.zip", knowledge_files.as_zip([KnowledgeText("big", "", "x" * 256 * 1024)])),
        ("a.zip", knowledge_files.as_zip([TEXTS] * 201)),
    ],
    ids=("other", "binary", "empty", "large", "broken", "none", "bomb", "many"),
)
def test_an_invalid_import_is_explained(admin_client: Client, provider: Mock, name: str, content: bytes) -> None:
    account = ProviderAccountFactory.create()
    page = import_file(admin_client, account, name, content)
    assert any(
        words in page
        for words in (
            "not UTF-8 text",
            "no text below",
            "too large",
            "neither",
            "not a zip archive",
            "no Markdown",
            "more than",
        )
    )
    assert not KnowledgeBase.objects.exists()


def test_a_version_cannot_be_changed(admin_client: Client, base: KnowledgeBase) -> None:
    save(admin_client, base, prompt="Abrimos a las nueve.")
    version = base.versions.latest("number")
    with pytest.raises(TypeError):
        version.save()


def test_a_refused_file_does_not_block_the_others(admin_client: Client, base: KnowledgeBase, provider: Mock) -> None:
    provider.create_knowledge_base = AsyncMock(side_effect=[ProviderRejected("too long"), "K9"])
    files = [KnowledgeText("Uno", "", "1"), KnowledgeText("Dos", "", "2")]
    page = import_file(admin_client, base.account, "all.zip", knowledge_files.as_zip(files))
    assert "Uno: " in page
    assert KnowledgeBase.objects.filter(name="Dos").exists()
    with pytest.raises(ValidationError):
        knowledge_files.read(b"\0", "x.md")
