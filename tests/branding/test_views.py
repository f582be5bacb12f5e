"""What browsers load of the brand, and where pages show it."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.http import Http404
from django.test import Client

from heygen_portal.branding import current as brands
from heygen_portal.branding import pictures, views
from heygen_portal.branding.pictures import Purpose
from heygen_portal.models import BrandPicture, Organisation
from heygen_portal.people.organisation import changes
from heygen_portal.trail.change_log import SERVER
from tests.branding.test_pictures import drawn

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"


@pytest.fixture
def branded() -> Organisation:
    return brand_portal()


def brand_portal(logo_size: tuple[int, int] = (200, 100), **columns: Any) -> Organisation:
    """Store a whole brand as the admin does."""
    organisation = Organisation.objects.get()
    drawn_pictures = {
        Purpose.LOGO: pictures.render(drawn(logo_size), Purpose.LOGO),
        Purpose.ICON: pictures.render(drawn((64, 64)), Purpose.ICON),
    }
    chosen = {"portal_name": "Aurora <habla>", "accent": "#8a1f5c"} | columns
    chosen |= {str(purpose): picture.sha256 for purpose, picture in drawn_pictures.items()}
    for name, value in chosen.items():
        setattr(organisation, name, value)
    changes.store(organisation, SERVER, *drawn_pictures.values())
    brands.forget()  # the test's transaction does not commit
    return organisation


def page(client: Client, path: str = LOGIN) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_a_portal_without_brand_looks_as_before(client: Client) -> None:
    shown = page(client)
    assert "Iniciar sesión · HeyGen Portal</title>" in shown
    assert "portal/favicon.svg" in shown
    assert re.search(
        r'<a class="brand" href="/"><svg class="icon"[^>]*><use [^>]*></svg>\s*<span class="brand__name">HeyGen', shown
    )
    assert not re.search("colours.css|webmanifest|brand__logo|apple-touch-icon", shown)


def test_the_sign_in_page_shows_name_logo_icon_and_colours(client: Client, branded: Organisation) -> None:
    shown = page(client)
    assert "· Aurora &lt;habla&gt;</title>" in shown
    assert f'<img class="brand__logo" src="/brand/{branded.logo}.png" width="200" height="100" alt="">' in shown
    assert f'<link rel="icon" href="/brand/{branded.icon}.png"' in shown
    assert f'<link rel="apple-touch-icon" href="/brand/{branded.icon}.png">' in shown
    assert "HeyGen" not in shown


def test_a_wide_logo_replaces_the_name(client: Client) -> None:
    brand_portal(logo_size=(400, 100))
    shown = page(client)
    assert 'alt="Aurora &lt;habla&gt;"' in shown
    assert "brand__name" not in shown


def test_the_administration_shows_name_icon_and_colour(admin_client: Client, branded: Organisation) -> None:
    shown = page(admin_client, "/admin/")
    assert "Aurora &lt;habla&gt;</title>" in " ".join(shown.split()).replace(" </title>", "</title>")
    assert f'<link rel="icon" href="/brand/{branded.icon}.png"' in shown
    assert "--color-primary-600: #8a1f5c;" in shown
    assert "HeyGen" not in shown
    Organisation.objects.update(accent="", icon="", logo="", portal_name="")
    brands.forget()
    shown = page(admin_client, "/admin/")
    assert "--color-primary-600: rgb(11, 91, 112);" in shown  # the brand has not changed the theme itself
    assert "HeyGen Portal" in shown


@pytest.mark.parametrize(("status", "error"), [(404, Http404), (500, ValueError), (503, OperationalError)])
def test_error_pages_show_the_brand(
    admin_client: Client, branded: Organisation, status: int, error: type[Exception]
) -> None:
    admin_client.raise_request_exception = False
    with patch.object(views, "render", side_effect=error):
        response = admin_client.get("/about/")
    assert response.status_code == status
    assert "Aurora &lt;habla&gt;</title>" in response.content.decode()


@pytest.mark.usefixtures("branded")
def test_the_style_sheet_is_kept_until_the_colours_change(client: Client) -> None:
    found = re.search('href="(/brand/colours.css[^"]*)"', page(client))
    assert found
    first = client.get(found[1])
    assert (first["Content-Type"], first["X-Content-Type-Options"]) == ("text/css; charset=utf-8", "nosniff")
    assert first["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "--accent: #8a1f5c;" in first.content.decode()
    again = client.get(found[1], headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    # Another process stores another colour. A page of that process is not answered with the old one.
    Organisation.objects.update(accent="#1b673a")
    unknown = client.get("/brand/colours.css?v=another")
    assert "--accent: #1b673a;" in unknown.content.decode()
    assert unknown["Cache-Control"] == "no-cache"


@pytest.mark.usefixtures("branded")
def test_the_element_for_sites_has_the_brands_colour(client: Client) -> None:
    assert "var(--avatar-chat-accent, #8a1f5c)" in client.get("/embed.js").content.decode()
    Organisation.objects.update(accent="")
    brands.forget()
    assert "var(--avatar-chat-accent, #0b6b82)" in client.get("/embed.js").content.decode()


@pytest.mark.usefixtures("branded")
def test_the_schema_of_the_api_has_the_portals_name(client: Client) -> None:
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "Aurora <habla>"


def test_a_picture_is_served_as_png_to_everybody(client: Client, branded: Organisation) -> None:
    response = client.get(f"/brand/{branded.logo}.png")
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert response.content.startswith(b"\x89PNG")
    again = client.get(f"/brand/{branded.logo}.png", headers={"if-none-match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_that_sql_changed_is_not_served(client: Client, branded: Organisation) -> None:
    BrandPicture.objects.filter(pk=branded.logo).update(content=b"<svg onload=alert(1)>")
    assert client.get(f"/brand/{branded.logo}.png").status_code == 404


def test_a_picture_that_was_replaced_is_deleted(branded: Organisation) -> None:
    icon = branded.icon
    branded.logo = ""
    changes.store(branded, SERVER)
    assert list(BrandPicture.objects.values_list("pk", flat=True)) == [icon]


def test_the_manifest_names_the_portal_and_its_icon(client: Client, branded: Organisation) -> None:
    manifest = client.get("/brand/app.webmanifest").json()
    assert (manifest["name"], manifest["theme_color"]) == ("Aurora <habla>", "#8a1f5c")
    assert manifest["icons"] == [{"src": f"/brand/{branded.icon}.png", "type": "image/png", "sizes": "512x512"}]


@pytest.mark.usefixtures("branded")
def test_only_the_page_about_the_portal_names_the_product(admin_client: Client) -> None:
    Organisation.objects.update(name="Clínica Aurora", imprint_url="https://aurora.test/imprint")
    brands.forget()
    shown = page(admin_client, "/about/")
    assert "HeyGen Portal" in shown
    assert "Clínica Aurora" in shown
    assert "https://aurora.test/imprint" in shown
    for path in ("/", "/help/", "/check/", "/conversations/", "/data/", "/accounts/second-factor/", "/admin/"):
        assert "HeyGen Portal" not in page(admin_client, path)
