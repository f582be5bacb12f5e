"""The gallery: whom one may talk to, and how one finds them."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from avatars.models import Persona
from tests.support.factories import AvatarFactory, EndUserFactory, PersonaFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def published(**fields: object) -> Persona:
    return PersonaFactory.create(status=Persona.Status.PUBLISHED, version=1, **fields)


def names(client: Client, address: str = "/") -> list[str]:
    return [persona.name for persona in client.get(address).context["personas"]]


@pytest.mark.parametrize("address", ["/", "/personas/lucia/", "/avatars/1/preview/"])
def test_a_stranger_is_asked_to_sign_in_and_led_back(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/login/?next={address}"


def test_only_published_personas_are_shown(visitor: Client) -> None:
    published(name="Lucía", slug="lucia")
    PersonaFactory.create(name="Hugo", slug="hugo", status=Persona.Status.DRAFT)
    assert names(visitor) == ["Lucía"]


def test_personas_are_found_by_name_topic_and_language(visitor: Client) -> None:
    published(name="Lucía", slug="lucia", role="Recepción y citas", language="es")
    published(name="Daniel", slug="daniel", summary="Invoices and plans", language="en")
    assert names(visitor, "/?q=citas") == ["Lucía"]
    assert names(visitor, "/?q=INVOICES") == ["Daniel"]
    assert names(visitor, "/?lang=en") == ["Daniel"]
    assert names(visitor, "/?lang=xx") == ["Daniel", "Lucía"]
    assert names(visitor, "/?q=citas&lang=en") == []


def test_nobody_found_is_told_apart_from_nobody_there(visitor: Client) -> None:
    headers = {"accept-language": "en"}
    assert "No personas yet" in visitor.get("/", headers=headers).content.decode()
    published(slug="lucia")
    assert "No matching personas" in visitor.get("/?q=nobody", headers=headers).content.decode()


def test_what_staff_write_about_a_persona_is_not_markup(visitor: Client) -> None:
    published(name="<script>alert(1)</script>", slug="lucia", summary='"><img src=x>')
    page = visitor.get("/").content.decode()
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_a_preview_comes_from_the_portal_itself(visitor: Client) -> None:
    avatar = AvatarFactory.create()
    avatar.preview.save("lucia.jpg", ContentFile(b"a picture"))
    answer = visitor.get(avatar.preview_url)
    assert answer.content == b"a picture"
    assert answer["Content-Type"] == "image/jpeg"


def test_an_avatar_without_a_preview_has_no_address_and_no_picture(visitor: Client) -> None:
    avatar = AvatarFactory.create()
    assert avatar.preview_url == ""
    assert visitor.get(f"/avatars/{avatar.pk}/preview/").status_code == 404
