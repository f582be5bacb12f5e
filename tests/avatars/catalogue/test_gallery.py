"""The gallery of personas and its filters."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.test import Client

from avatars.models import Persona
from heygen_portal.people.access import roles
from tests.support.factories import AvatarFactory, EndUserFactory, PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user_client(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def make_published(**fields: object) -> Persona:
    return PersonaFactory.create(status=Persona.Status.PUBLISHED, version=1, **fields)


def names(client: Client, address: str = "/") -> list[str]:
    return [persona.name for persona in client.get(address).context["personas"]]


@pytest.mark.parametrize("address", ["/", "/personas/lucia/", "/avatars/1/preview/"])
def test_a_signed_out_person_signs_in_and_returns(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/login/?next={address}"


def test_only_published_personas_are_shown(user_client: Client) -> None:
    make_published(name="Lucía", slug="lucia")
    PersonaFactory.create(name="Hugo", slug="hugo", status=Persona.Status.DRAFT)
    assert names(user_client) == ["Lucía"]


def test_an_auditor_is_sent_to_the_administration_instead(client: Client) -> None:
    make_published(name="Lucía", slug="lucia")
    auditor = UserFactory.create(is_staff=True)
    auditor.groups.add(Group.objects.get(name=roles.AUDITOR.group))
    client.force_login(auditor)
    page = client.get("/", headers={"accept-language": "en"}).content.decode()
    assert "Your role does not include conversations" in page
    assert "No personas yet" not in page
    assert '<a class="btn btn--primary" href="/admin/">' in page


def test_personas_are_found_by_name_topic_and_language(user_client: Client) -> None:
    make_published(name="Lucía", slug="lucia", role="Recepción y citas", language="es")
    make_published(name="Daniel", slug="daniel", summary="Invoices and plans", language="en")
    assert names(user_client, "/?q=citas") == ["Lucía"]
    assert names(user_client, "/?q=INVOICES") == ["Daniel"]
    assert names(user_client, "/?lang=en") == ["Daniel"]
    assert names(user_client, "/?lang=xx") == ["Daniel", "Lucía"]
    assert names(user_client, "/?q=citas&lang=en") == []


def test_an_empty_search_differs_from_an_empty_gallery(user_client: Client) -> None:
    headers = {"accept-language": "en"}
    assert "No personas yet" in user_client.get("/", headers=headers).content.decode()
    make_published(slug="lucia")
    assert "No matching personas" in user_client.get("/?q=nobody", headers=headers).content.decode()


def test_persona_texts_are_escaped(user_client: Client) -> None:
    make_published(name="<script>alert(1)</script>", slug="lucia", summary='"><img src=x>')
    page = user_client.get("/").content.decode()
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_a_preview_is_served_by_the_portal(user_client: Client) -> None:
    avatar = AvatarFactory.create()
    avatar.preview.save("lucia.jpg", ContentFile(b"a picture"))
    answer = user_client.get(avatar.preview_url)
    assert answer.content == b"a picture"
    assert answer["Content-Type"] == "image/jpeg"


def test_an_avatar_without_a_preview_has_no_image(user_client: Client) -> None:
    avatar = AvatarFactory.create()
    assert avatar.preview_url == ""
    assert user_client.get(f"/avatars/{avatar.pk}/preview/").status_code == 404
