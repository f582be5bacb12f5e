"""Each save is a draft version until published; any version can be restored."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from avatars.models import Persona
from avatars.personas import publishing, versions
from heygen_portal.people.access import roles
from sessions.capacity import slots
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import transitions
from sessions.models import Purpose
from tests.avatars.personas.test_admin import PERSONAS, form, messages
from tests.support.factories import EndUserFactory, PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db

ENGLISH = {"accept-language": "en"}


def save_draft(persona: Persona, by: User | None = None, **changes: Any) -> Persona:
    """Save a changed draft and return the stored persona."""
    drafted = versions.as_draft(Persona.objects.get(pk=persona.pk))
    for name, value in changes.items():
        setattr(drafted, name, value)
    versions.save_version(drafted, by.pk if by else None)
    return Persona.objects.get(pk=persona.pk)


def change(client: Client, persona: Persona, **typed: Any) -> Any:
    return client.post(f"{PERSONAS}{persona.pk}/change/", form(persona) | typed, headers=ENGLISH)


def restore(client: Client, persona: Persona, **choice: int) -> str:
    return messages(client.post(f"{PERSONAS}{persona.pk}/versions/", choice, headers=ENGLISH, follow=True))


@pytest.fixture
def published() -> Persona:
    """A persona whose version 1 is published."""
    return PersonaFactory.create(published=True, slug="lucia", role="Citas")


def test_a_draft_does_not_change_the_published_version(published: Persona, admin_client: Client) -> None:
    assert "version 2" in messages(
        admin_client.get(change(admin_client, published, base=1, role="Recepción")["Location"])
    )
    published.refresh_from_db()
    assert (published.role, published.version) == ("Citas", 1)
    page = admin_client.get(f"{PERSONAS}{published.pk}/change/", headers=ENGLISH).content.decode()
    assert 'value="Recepción"' in page
    assert "Here: version 2. Published: version 1." in page
    publishing.publish(published)
    published.refresh_from_db()
    assert (published.role, published.version, published.published_at is not None) == ("Recepción", 2, True)


def test_saving_without_a_change_creates_no_version(published: Persona, admin_client: Client) -> None:
    change(admin_client, published, base=1, is_voice_enabled="on", reads_aloud="on", is_masking="on", role="Citas")
    assert published.versions.count() == 1


def test_rolling_back_publishes_an_older_version_and_keeps_the_newer_one(
    published: Persona, admin_client: Client
) -> None:
    save_draft(published, role="Recepción")
    assert "published as version 2" in restore(admin_client, published, publish=2)
    assert "published as version 1" in restore(admin_client, published, publish=1)
    published.refresh_from_db()
    assert (published.role, published.version, published.current and published.current.number) == ("Citas", 1, 1)
    assert [version.number for version in published.versions.all()] == [2, 1]


def test_an_older_version_can_become_the_draft(published: Persona, admin_client: Client) -> None:
    save_draft(published, role="Recepción")
    assert "The draft is now version 3, a copy of version 1" in restore(admin_client, published, draft=1)
    last = versions.newest(published)
    assert last
    assert (last.number, last.role, published.version) == (3, "Citas", 1)


def test_the_history_shows_who_changed_what(published: Persona, admin_client: Client) -> None:
    nora = UserFactory.create(username="nora")
    save_draft(published, nora, role="Recepción", is_improvising=True, quality="low")
    page = admin_client.get(f"{PERSONAS}{published.pk}/versions/", headers=ENGLISH).content.decode()
    assert all(words in page for words in ("nora", "Citas", "Recepción", "Answers without", "low (360p)"))
    assert "Publish version 2" in page


def test_the_history_needs_a_fixed_number_of_queries(published: Persona, admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(f"{PERSONAS}{published.pk}/versions/")
        return len(asked)

    save_draft(published, role="1")
    few = queries()
    for number in range(12):
        save_draft(published, role=str(number))
    assert queries() == few


def test_a_version_cannot_be_changed(published: Persona) -> None:
    version = versions.newest(published)
    assert version
    version.role = "Otra"
    with pytest.raises(TypeError):
        version.save()


def test_deleting_a_draft_deletes_its_versions(admin_client: Client) -> None:
    draft = save_draft(PersonaFactory.create(), role="Recepción")
    assert admin_client.post(f"{PERSONAS}{draft.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Persona.objects.exists()


def test_an_unpublished_persona_cannot_be_deleted(published: Persona, admin_client: Client) -> None:
    publishing.publish(published)
    publishing.unpublish(published)
    assert admin_client.post(f"{PERSONAS}{published.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_session_keeps_its_persona_version(published: Persona) -> None:
    session = slots.open_session(EndUserFactory.create().pk, "lucia")
    publishing.publish(save_draft(published, greeting="Buenas"))
    session.refresh_from_db()
    assert session.version
    assert (session.version.number, session.persona_version, session.version.greeting) == (1, 1, "")
    assert session.persona_settings == session.version.snapshot()


def test_a_concurrent_edit_is_merged_and_shown_before_saving(published: Persona, admin_client: Client) -> None:
    nora = UserFactory.create(username="nora")
    save_draft(published, nora, role="Recepción", summary="Horarios")
    page = change(admin_client, published, base=1, role="Citas y precios", greeting="Hola")
    shown = page.context["adminform"].form
    assert published.versions.count() == 2  # nothing was overwritten
    assert "nora has saved version 2" in page.content.decode()
    assert shown.errors["role"] == ["Other value: Recepción"]  # both wrote it
    typed = {name: shown[name].value() for name in ("role", "greeting", "summary", "base")}
    assert typed == {"role": "Citas y precios", "greeting": "Hola", "summary": "Horarios", "base": "2"}
    change(admin_client, published, **typed)
    last = versions.newest(published)
    assert last
    assert (last.number, last.role, last.greeting, last.summary) == (3, "Citas y precios", "Hola", "Horarios")


def test_a_checkbox_changed_by_the_other_editor_is_merged(published: Persona, admin_client: Client) -> None:
    save_draft(published, is_improvising=True, is_voice_enabled=False)
    page = change(admin_client, published, base=1, is_voice_enabled="on", role="Recepción")
    shown = page.context["adminform"].form
    assert (shown["is_improvising"].value(), shown["is_voice_enabled"].value()) == (True, False)


def test_an_outdated_form_does_not_overwrite_the_groups(published: Persona, admin_client: Client) -> None:
    pilots = Group.objects.create(name="Pilots")
    published.groups.add(pilots)  # while the second had the page open
    change(admin_client, published, base=1, role="Recepción", **{"initial-slug": published.slug})
    assert list(published.groups.all()) == [pilots]


def test_a_restricted_persona_is_hidden_from_other_users(published: Persona, client: Client) -> None:
    pilots = Group.objects.create(name="Pilots")
    published.groups.add(pilots)
    person = EndUserFactory.create()
    client.force_login(person)
    assert client.get("/personas/lucia/").status_code == 404
    assert list(client.get("/").context["personas"]) == []
    person.groups.add(pilots)
    assert client.get("/personas/lucia/").status_code == 200
    assert list(client.get("/").context["personas"]) == [published]


def test_staff_try_the_draft_in_a_frame_of_the_admin(published: Persona, client: Client) -> None:
    """Complaint 13: staff hear a draft before it is published."""
    save_draft(published, name="Lucía Nueva")
    roles.sync()
    editor = UserFactory.create(is_staff=True)
    editor.groups.add(Group.objects.get(name=roles.EDITOR.group))
    client.force_login(editor)
    assert 'src="/personas/lucia/trial/"' in client.get(f"{PERSONAS}{published.pk}/try/").content.decode()
    room = client.get("/personas/lucia/trial/")
    assert "Lucía Nueva" in room.content.decode()
    assert "frame-ancestors 'self'" in room["Content-Security-Policy"]
    assert room["X-Frame-Options"] == "SAMEORIGIN"
    usual = client.get("/personas/lucia/")
    assert "Lucía Nueva" not in usual.content.decode()
    assert "frame-ancestors 'none'" in usual["Content-Security-Policy"]
    client.force_login(EndUserFactory.create())
    assert client.get("/personas/lucia/trial/").status_code == 404


def test_a_trial_runs_the_draft_and_is_marked(admin_user: User) -> None:
    draft = PersonaFactory.create(slug="ines", greeting="Hola")
    versions.save_version(draft)
    session = slots.open_session(admin_user.pk, "ines", StartRequest(purpose=Purpose.TRIAL))
    assert (session.purpose, session.version and session.version.greeting) == (Purpose.TRIAL, "Hola")
    requested = session.events.get(kind="requested")
    assert requested.data["purpose"] == "trial"
    assert transitions.TRANSITIONS  # and lives as any other


def test_the_list_of_personas_needs_a_fixed_number_of_queries(admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(PERSONAS)
        return len(asked)

    PersonaFactory.create(published=True)
    few = queries()
    for _ in range(9):
        save_draft(PersonaFactory.create(published=True), role="Recepción")
    assert queries() == few
