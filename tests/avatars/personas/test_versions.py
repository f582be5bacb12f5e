"""What staff save is a draft until it is published; each save is kept, and any of them can be gone back to."""

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


def saved(persona: Persona, by: User | None = None, **changes: Any) -> Persona:
    """Save a change as somebody; return the persona as it is stored."""
    drafted = versions.drafted(Persona.objects.get(pk=persona.pk))
    for name, value in changes.items():
        setattr(drafted, name, value)
    versions.keep(drafted, by.pk if by else None)
    return Persona.objects.get(pk=persona.pk)


def change(client: Client, persona: Persona, **typed: Any) -> Any:
    return client.post(f"{PERSONAS}{persona.pk}/change/", form(persona) | typed, headers=ENGLISH)


def go(client: Client, persona: Persona, **choice: int) -> str:
    return messages(client.post(f"{PERSONAS}{persona.pk}/versions/", choice, headers=ENGLISH, follow=True))


@pytest.fixture
def met() -> Persona:
    """A persona that people meet, as version 1."""
    return PersonaFactory.create(published=True, slug="lucia", role="Citas")


def test_people_meet_what_is_published_while_staff_write_on(met: Persona, admin_client: Client) -> None:
    assert "version 2" in messages(admin_client.get(change(admin_client, met, base=1, role="Recepción")["Location"]))
    met.refresh_from_db()
    assert (met.role, met.version) == ("Citas", 1)
    page = admin_client.get(f"{PERSONAS}{met.pk}/change/", headers=ENGLISH).content.decode()
    assert 'value="Recepción"' in page
    assert "Here: version 2. Published: version 1." in page
    publishing.publish(met)
    met.refresh_from_db()
    assert (met.role, met.version, met.published_at is not None) == ("Recepción", 2, True)


def test_saving_without_a_change_is_no_version(met: Persona, admin_client: Client) -> None:
    change(admin_client, met, base=1, is_voice_enabled="on", role="Citas")
    assert met.versions.count() == 1


def test_rolling_back_lets_people_meet_the_older_version_and_loses_nothing(met: Persona, admin_client: Client) -> None:
    saved(met, role="Recepción")
    assert "published as version 2" in go(admin_client, met, publish=2)
    assert "published as version 1" in go(admin_client, met, publish=1)
    met.refresh_from_db()
    assert (met.role, met.version, met.current and met.current.number) == ("Citas", 1, 1)
    assert [version.number for version in met.versions.all()] == [2, 1]


def test_an_older_version_can_be_gone_on_from(met: Persona, admin_client: Client) -> None:
    saved(met, role="Recepción")
    assert "The draft is now version 3, a copy of version 1" in go(admin_client, met, draft=1)
    last = versions.newest(met)
    assert last
    assert (last.number, last.role, met.version) == (3, "Citas", 1)


def test_the_history_says_who_changed_what_and_when(met: Persona, admin_client: Client) -> None:
    nora = UserFactory.create(username="nora")
    saved(met, nora, role="Recepción", is_improvising=True, quality="low")
    page = admin_client.get(f"{PERSONAS}{met.pk}/versions/", headers=ENGLISH).content.decode()
    assert all(words in page for words in ("nora", "Citas", "Recepción", "Answers without", "low (360p)"))
    assert "Publish version 2" in page


def test_the_history_of_many_versions_asks_as_little_as_that_of_few(met: Persona, admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(f"{PERSONAS}{met.pk}/versions/")
        return len(asked)

    saved(met, role="1")
    few = queries()
    for number in range(12):
        saved(met, role=str(number))
    assert queries() == few


def test_a_version_is_never_changed(met: Persona) -> None:
    version = versions.newest(met)
    assert version
    version.role = "Otra"
    with pytest.raises(TypeError):
        version.save()


def test_a_draft_that_nobody_met_goes_with_its_versions(admin_client: Client) -> None:
    draft = saved(PersonaFactory.create(), role="Recepción")
    assert admin_client.post(f"{PERSONAS}{draft.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Persona.objects.exists()


def test_what_was_published_once_stays_also_as_a_draft(met: Persona, admin_client: Client) -> None:
    publishing.publish(met)
    publishing.unpublish(met)
    assert admin_client.post(f"{PERSONAS}{met.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_session_keeps_the_version_it_ran_with(met: Persona) -> None:
    session = slots.open_session(EndUserFactory.create().pk, "lucia")
    publishing.publish(saved(met, greeting="Buenas"))
    session.refresh_from_db()
    assert session.version
    assert (session.version.number, session.persona_version, session.version.greeting) == (1, 1, "")
    assert session.persona_settings == session.version.snapshot()


def test_of_two_who_write_at_once_the_second_sees_what_changed_and_loses_nothing(
    met: Persona, admin_client: Client
) -> None:
    nora = UserFactory.create(username="nora")
    saved(met, nora, role="Recepción", summary="Horarios")
    page = change(admin_client, met, base=1, role="Citas y precios", greeting="Hola")
    shown = page.context["adminform"].form
    assert met.versions.count() == 2  # nothing was overwritten
    assert "nora has saved version 2" in page.content.decode()
    assert shown.errors["role"] == ["Other value: Recepción"]  # both wrote it
    typed = {name: shown[name].value() for name in ("role", "greeting", "summary", "base")}
    assert typed == {"role": "Citas y precios", "greeting": "Hola", "summary": "Horarios", "base": "2"}
    change(admin_client, met, **typed)
    last = versions.newest(met)
    assert last
    assert (last.number, last.role, last.greeting, last.summary) == (3, "Citas y precios", "Hola", "Horarios")


def test_what_only_the_other_ticked_is_taken_over(met: Persona, admin_client: Client) -> None:
    saved(met, is_improvising=True, is_voice_enabled=False)
    page = change(admin_client, met, base=1, is_voice_enabled="on", role="Recepción")
    shown = page.context["adminform"].form
    assert (shown["is_improvising"].value(), shown["is_voice_enabled"].value()) == (True, False)


def test_whom_it_is_for_is_not_overwritten_by_somebody_who_saw_another_list(met: Persona, admin_client: Client) -> None:
    pilots = Group.objects.create(name="Pilots")
    met.groups.add(pilots)  # while the second had the page open
    change(admin_client, met, base=1, role="Recepción", **{"initial-slug": met.slug})
    assert list(met.groups.all()) == [pilots]


def test_a_persona_for_some_is_nobody_to_the_others(met: Persona, client: Client) -> None:
    pilots = Group.objects.create(name="Pilots")
    met.groups.add(pilots)
    person = EndUserFactory.create()
    client.force_login(person)
    assert client.get("/personas/lucia/").status_code == 404
    assert list(client.get("/").context["personas"]) == []
    person.groups.add(pilots)
    assert client.get("/personas/lucia/").status_code == 200
    assert list(client.get("/").context["personas"]) == [met]


def test_staff_try_what_they_saved_in_a_frame_of_the_admin_and_nowhere_else(met: Persona, client: Client) -> None:
    """Complaint 13: what it will say is heard before it is published."""
    saved(met, name="Lucía Nueva")
    roles.sync()
    editor = UserFactory.create(is_staff=True)
    editor.groups.add(Group.objects.get(name=roles.EDITOR.group))
    client.force_login(editor)
    assert 'src="/personas/lucia/trial/"' in client.get(f"{PERSONAS}{met.pk}/try/").content.decode()
    room = client.get("/personas/lucia/trial/")
    assert "Lucía Nueva" in room.content.decode()
    assert "frame-ancestors 'self'" in room["Content-Security-Policy"]
    assert room["X-Frame-Options"] == "SAMEORIGIN"
    usual = client.get("/personas/lucia/")
    assert "Lucía Nueva" not in usual.content.decode()
    assert "frame-ancestors 'none'" in usual["Content-Security-Policy"]
    client.force_login(EndUserFactory.create())
    assert client.get("/personas/lucia/trial/").status_code == 404


def test_a_trial_is_a_session_of_the_draft_and_marked_as_one(admin_user: User) -> None:
    draft = PersonaFactory.create(slug="ines", greeting="Hola")
    versions.keep(draft)
    session = slots.open_session(admin_user.pk, "ines", StartRequest(purpose=Purpose.TRIAL))
    assert (session.purpose, session.version and session.version.greeting) == (Purpose.TRIAL, "Hola")
    requested = session.events.get(kind="requested")
    assert requested.data["purpose"] == "trial"
    assert transitions.TRANSITIONS  # and lives as any other


def test_the_list_of_personas_asks_as_little_for_many_as_for_few(admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(PERSONAS)
        return len(asked)

    PersonaFactory.create(published=True)
    few = queries()
    for _ in range(9):
        saved(PersonaFactory.create(published=True), role="Recepción")
    assert queries() == few
