"""The languages of the interface, and which one a visitor gets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from heygen_portal.models import PreferredLanguage
from heygen_portal.people.preferences import languages
from heygen_portal.runtime.text import catalogues
from heygen_portal.server import refusals

LOGIN = "/accounts/login/"
SIX = ["es", "en", "de", "fr", "it", "pt"]


@pytest.fixture
def catalan(tmp_path: Path) -> Iterator[None]:
    """Add a catalogue of a seventh language, and nothing else."""
    po = polib.POFile()
    po.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=2; plural=(n != 1);"}
    po.append(polib.POEntry(msgid="Sign in", msgstr="Inicia la sessió"))
    folder = tmp_path / "ca" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(po.to_binary())
    paths = [tmp_path, *settings.LOCALE_PATHS]
    offered = catalogues.languages_in(paths, settings.LANGUAGE_CODE)
    with override_settings(LOCALE_PATHS=paths, LANGUAGES=offered):
        yield


def language_of(client: Client, accepted: str) -> str:
    page = client.get(LOGIN, headers={"Accept-Language": accepted}).content.decode()
    return page.partition('<html lang="')[2].partition('"')[0]


def test_the_portal_speaks_six_languages_its_own_first() -> None:
    assert [code for code, _name in settings.LANGUAGES] == SIX


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("pt-BR,pt;q=0.9", "pt"),
        ("pt-PT", "pt"),
        ("de-AT,en;q=0.5", "de"),
        ("fr-CA", "fr"),
        ("it", "it"),
        ("en-GB", "en"),
        ("ja,it;q=0.4", "it"),
        ("ja", "es"),  # the portal's own
        ("", "es"),
        ("../../etc, x;q=", "es"),
    ],
)
def test_a_browsers_language_is_the_nearest_one(client: Client, accepted: str, language: str) -> None:
    assert language_of(client, accepted) == language
    assert f'<html lang="{language}">'.encode() in refusals.too_large(1024, accepted)


@pytest.mark.django_db
def test_a_catalogue_alone_adds_a_language(client: Client, catalan: None) -> None:
    assert [code for code, _name in settings.LANGUAGES] == ["es", "en", "ca", "de", "fr", "it", "pt"]
    assert language_of(client, "ca-ES") == "ca"
    page = client.get(LOGIN, headers={"Accept-Language": "ca"}).content.decode()
    assert "Inicia la sessió" in page
    assert '<button type="submit" name="language" value="ca" lang="ca" aria-current="true">' in page
    ines = User.objects.create_user("ines")
    client.force_login(ines)
    client.post("/language/", {"language": "ca"})
    assert languages.of(ines) == "ca"


@pytest.mark.django_db
def test_the_language_of_a_removed_catalogue_is_the_portals(client: Client) -> None:
    ines = User.objects.create_user("ines")
    PreferredLanguage.objects.create(user=ines, code="ca")
    assert languages.of(ines) == "es"
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "ca"
    assert language_of(client, "") == "es"


def test_a_folder_that_is_no_language_adds_none(tmp_path: Path) -> None:
    catalogue = settings.BASE_DIR / "locale" / "es" / "LC_MESSAGES" / "django.mo"
    for name in ("notes", "pt_BR", "en"):
        (tmp_path / name / "LC_MESSAGES").mkdir(parents=True)
        shutil.copy(catalogue, tmp_path / name / "LC_MESSAGES")
    (tmp_path / "fr").mkdir()  # not compiled
    assert [code for code, _name in catalogues.languages_in([tmp_path], "es")] == ["es", "en", "pt-br"]
