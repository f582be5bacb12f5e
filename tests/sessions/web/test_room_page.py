"""The room page as the server renders it. Its behaviour is tested in a browser."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from avatars.models import Persona
from sessions.models import Status
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

PUBLISHED = {"status": Persona.Status.PUBLISHED, "version": 1}


@pytest.fixture
def browser_client(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def test_an_unpublished_persona_is_not_found(browser_client: Client) -> None:
    PersonaFactory.create(slug="hugo", status=Persona.Status.DRAFT)
    for slug in ("hugo", "nobody"):
        assert browser_client.get(f"/personas/{slug}/").status_code == 404


@pytest.mark.parametrize(("language", "start"), [("es", "Empezar"), ("en", "Start")])
def test_the_page_is_in_the_readers_language(browser_client: Client, language: str, start: str) -> None:
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    page = browser_client.get("/personas/lucia/", headers={"accept-language": language}).content.decode()
    assert f'<html lang="{language}">' in page
    assert re.search(rf'id="start".*?</svg>\s*{start}</button>', page, re.DOTALL)


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("he", "rtl"), ("fa", "rtl"), ("en", "auto")])
def test_what_is_said_and_written_runs_in_the_direction_of_the_personas_language(
    browser_client: Client, language: str, direction: str
) -> None:
    """The page around it stays in the reader's language."""
    persona = PersonaFactory.create(slug="layla", language=language, **PUBLISHED)
    page = browser_client.get("/personas/layla/", headers={"accept-language": "de"}).content.decode()
    assert '<html lang="de">' in page
    assert f'<textarea id="text" rows="1" dir="{direction}"' in page  # the composer
    assert f'<p id="caption" lang="{language}" dir="{direction}"' in page
    assert page.count(f'<p class="line__text" dir="{direction}">') == 2  # both sides of the transcript
    session = StreamingSessionFactory.create(persona=persona, user=User.objects.get(), status=Status.ENDED)
    session.utterances.create(who="avatar", by="voice", text="مرحبا", source="browser", at=session.created_at)
    past = browser_client.get(f"/conversations/{session.pk}/").content.decode()
    assert f'<p class="line__text" lang="{language}" dir="{direction}">مرحبا</p>' in past


def test_pages_need_no_looser_content_security_policy(browser_client: Client) -> None:
    """No inline script, no inline style, and nothing from third parties."""
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    for address in ("/", "/personas/lucia/", "/accounts/login/", "/nowhere/"):
        answer = browser_client.get(address)
        page = answer.content.decode()
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", page)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)
        assert not re.search(r"(src|href)=\"(https?:)?//", page)


@override_settings(LIVEKIT_PUBLIC_URL="wss://rooms.test")
def test_the_page_names_the_room_server_and_is_never_cached(browser_client: Client) -> None:
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    answer = browser_client.get("/personas/lucia/")
    assert 'data-livekit-url="wss://rooms.test"' in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("is_voice_enabled", [True, False])
def test_the_page_knows_whether_the_persona_takes_voice(browser_client: Client, is_voice_enabled: bool) -> None:
    """Requirements 72 and 77.

    Complaint 11: headphones are advised if any sound may be taken for speech.
    """
    PersonaFactory.create(slug="lucia", is_voice_enabled=is_voice_enabled, **PUBLISHED)
    page = browser_client.get("/personas/lucia/", headers={"accept-language": "en"}).content.decode()
    found = re.search(r'<script id="capabilities" type="application/json">(.*?)</script>', page)
    assert found
    capabilities = json.loads(found[1])
    assert (capabilities["takes_text"], capabilities["takes_voice"]) == (True, is_voice_enabled)
    assert (capabilities["hands_free"], "does not hear itself" in page) == (True, True)


def test_only_staff_have_a_menu_entry_for_the_admin(client: Client) -> None:
    for is_staff in (True, False):
        client.force_login(EndUserFactory.create(is_staff=is_staff))
        assert (reverse("admin:index") in client.get("/").content.decode()) is is_staff


@pytest.mark.parametrize("language", ["es", "en"])
def test_a_post_without_a_csrf_token_is_explained(language: str) -> None:
    careful = Client(enforce_csrf_checks=True, headers={"accept-language": language})
    answer = careful.post("/accounts/login/", {"login": "a", "password": "b"})
    assert answer.status_code == 403
    words = {"es": "ha caducado", "en": "has expired"}
    assert words[language] in answer.content.decode()


def test_a_person_who_may_not_talk_finds_no_persona_and_no_room(client: Client) -> None:
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    client.force_login(UserFactory.create())
    assert client.get("/personas/lucia/").status_code == 404
    assert "/personas/lucia/" not in client.get("/").content.decode()


def test_the_page_loads_the_livekit_client_and_no_vendor_sdk(browser_client: Client) -> None:
    """Requirement 5."""
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    page = browser_client.get("/personas/lucia/").content.decode()
    scripts = re.findall(r'<script[^>]+src="([^"]+)"', page)
    assert any(script.endswith("livekit-client.umd.js") for script in scripts)
    assert not any(re.search("heygen|streaming-avatar|liveavatar", script) for script in scripts)


def test_the_page_offers_the_providers_qualities_and_preselects_the_personas(browser_client: Client) -> None:
    PersonaFactory.create(slug="lucia", quality="medium", **PUBLISHED)
    page = browser_client.get("/personas/lucia/").content.decode()
    assert re.findall(r'name="quality" value="(\w+)"( checked)?', page) == [
        ("low", ""),
        ("medium", " checked"),
        ("high", ""),
    ]


def test_only_an_own_conversation_with_the_same_persona_can_be_continued(client: Client) -> None:
    person, lucia = EndUserFactory.create(), PersonaFactory.create(slug="lucia", **PUBLISHED)
    client.force_login(person)
    own = StreamingSessionFactory.create(user=person, persona=lucia, status="ended")
    others = StreamingSessionFactory.create(persona=lucia)
    elsewhere = StreamingSessionFactory.create(user=person, persona=PersonaFactory.create(**PUBLISHED))
    for session, is_named in ((own, True), (others, False), (elsewhere, False)):
        page = client.get(f"/personas/lucia/?continues={session.pk}").content.decode()
        assert (f'data-continues="{session.pk}"' in page) is is_named
    assert "data-continues" not in client.get("/personas/lucia/?continues=nonsense").content.decode()


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_page_links_to_the_same_persona_in_another_language(browser_client: Client, language: str) -> None:
    """Complaint 15: the same name and avatar, no draft and no other persona."""
    lucia = PersonaFactory.create(slug="lucia", **PUBLISHED)
    PersonaFactory.create(slug="lucia-en", avatar=lucia.avatar, language="en", **PUBLISHED)
    PersonaFactory.create(slug="draft-en", avatar=lucia.avatar, language="en")
    PersonaFactory.create(slug="hugo", name="Hugo", avatar=lucia.avatar, language="en", **PUBLISHED)
    page = browser_client.get("/personas/lucia/", headers={"accept-language": language}).content.decode()
    assert re.findall(r'href="([^"]+)" hreflang="en"', page) == ["/personas/lucia-en/"] * 2
    assert re.findall(r'data-language="lucia-en"[^>]*><bdi lang="en">([^<]+)<', page) == ["English"]
    assert "hreflang" not in browser_client.get("/personas/hugo/").content.decode()


def test_only_staff_get_the_debug_panel_and_only_on_request(client: Client) -> None:
    """Requirement 69. The server decides who is staff."""
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    for is_staff, address, is_there in ((True, "?debug", True), (True, "", False), (False, "?debug", False)):
        client.force_login(EndUserFactory.create(is_staff=is_staff))
        page = client.get(f"/personas/lucia/{address}").content.decode()
        assert ('id="debug"' in page, "sessions/debug/panel.js" in page) == (is_there, is_there)


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_device_check_is_linked_from_every_page(browser_client: Client, language: str) -> None:
    """Requirements 58, 59 and 70 before joining.

    The checks themselves are tested with node.
    """
    PersonaFactory.create(slug="lucia", **PUBLISHED)
    for address in ("/", "/personas/lucia/"):
        assert 'href="/check/"' in browser_client.get(address, headers={"accept-language": language}).content.decode()
    page = browser_client.get("/check/", headers={"accept-language": language}).content.decode()
    assert len(re.findall(r"data-check=", page)) == 7
    assert {"es": "Comprobar ahora", "en": "Start check"}[language] in page


@override_settings(LIVEKIT_URL="", LIVEKIT_API_KEY="", LIVEKIT_API_SECRET="")
def test_the_device_check_has_no_room_without_an_own_livekit_server(browser_client: Client) -> None:
    assert browser_client.post("/check/room").status_code == 204
    assert browser_client.get("/check/room").status_code == 405


@override_settings(LIVEKIT_URL="ws://127.0.0.1:1", LIVEKIT_PUBLIC_URL="wss://rooms.test")
@override_settings(LIVEKIT_API_KEY="key", LIVEKIT_API_SECRET="long" * 8)
def test_the_device_check_gives_access_to_a_room_even_if_livekit_cannot_be_reached(browser_client: Client) -> None:
    """The browser's check then names the step that fails."""
    found = browser_client.post("/check/room").json()
    assert found["url"] == "wss://rooms.test"
    assert found["token"]
