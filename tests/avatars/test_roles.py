"""Roles in the admin. tests/access has the whole matrix."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from avatars.models import Persona
from heygen_portal.people.access import roles
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def groups() -> None:
    roles.sync()


def make_member(role: roles.Role) -> User:
    user = User.objects.create_user(role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def sign_in(role: roles.Role) -> Client:
    client = Client()
    client.force_login(make_member(role))
    return client


def test_an_end_user_cannot_open_the_admin() -> None:
    client = sign_in(roles.END_USER)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 404


def test_a_signed_out_person_is_sent_to_the_portals_sign_in() -> None:
    response = Client().get("/admin/avatars/persona/", follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/?next=/admin/avatars/persona/"


TALKS = {roles.END_USER, roles.EDITOR, roles.OPERATOR, roles.ADMINISTRATOR}


@pytest.mark.parametrize("role", roles.ROLES, ids=lambda role: role.group)
def test_every_role_but_the_auditor_may_talk(role: roles.Role) -> None:
    assert make_member(role).has_perm("avatar_sessions.start_streamingsession") == (role in TALKS)


SPEECH = "lo que dijo"


@pytest.mark.parametrize("role", [roles.OPERATOR, roles.AUDITOR, roles.ADMINISTRATOR], ids=lambda role: role.group)
def test_permission_to_view_sessions_does_not_show_transcripts(role: roles.Role) -> None:
    """Transcripts are read on a separate page that asks for a reason."""
    session = StreamingSessionFactory.create()
    session.tasks.create(kind="talk", text=SPEECH)
    session.utterances.create(who="user", by="text", text=SPEECH, source="portal")
    page = sign_in(role).get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/")
    assert page.status_code == 200
    assert SPEECH not in page.content.decode()


@pytest.mark.parametrize("role", [roles.OPERATOR, roles.AUDITOR], ids=lambda role: role.group)
def test_permission_to_view_does_not_allow_changing_a_persona(role: roles.Role) -> None:
    persona = PersonaFactory.create()
    client = sign_in(role)
    path = f"/admin/avatars/persona/{persona.pk}/change/"
    page = client.get(path)
    assert page.status_code == 200
    assert 'name="voice_emotion"' not in page.content.decode()
    assert client.post(path, {"name": "Otra"}).status_code == 403


@pytest.mark.parametrize("role", [roles.OPERATOR, roles.AUDITOR], ids=lambda role: role.group)
def test_permission_to_view_does_not_allow_publishing(role: roles.Role) -> None:
    persona = PersonaFactory.create()
    client = sign_in(role)
    client.post("/admin/avatars/persona/", {"action": "publish", "_selected_action": [persona.pk]})
    page = client.post(f"/admin/avatars/persona/{persona.pk}/publish_one/", {"_form_submitted": "on"})
    assert page.status_code == 403
    assert not Persona.objects.published().exists()


def test_syncing_roles_resets_their_groups_only() -> None:
    mine = Group.objects.create(name="Pilot")
    editors = Group.objects.get(name="Editors")
    editors.permissions.add(Permission.objects.get(codename="delete_user"))
    roles.sync()
    names = {f"{p.content_type.app_label}.{p.codename}" for p in editors.permissions.select_related("content_type")}
    assert names == set(roles.EDITOR.permissions)
    assert Group.objects.filter(pk=mine.pk).exists()


def test_a_staff_role_opens_the_admin(admin_client: Client) -> None:
    user = User.objects.create_user("nora", password="a-long-passphrase")
    group = Group.objects.get(name="Operators")
    form = {"username": "nora", "is_active": "on", "groups": [group.pk]}
    admin_client.post(f"/admin/auth/user/{user.pk}/change/", form)
    user.refresh_from_db()
    assert user.is_staff
    admin_client.post(f"/admin/auth/user/{user.pk}/change/", {**form, "groups": []})
    user.refresh_from_db()
    assert not user.is_staff


def test_an_administrator_cannot_become_a_superuser() -> None:
    client = sign_in(roles.ADMINISTRATOR)
    me = User.objects.get(username="Administrators")
    root = User.objects.create_superuser("root", password="a-long-passphrase")
    permission = Permission.objects.get(codename="delete_user")
    form = {"username": me.username, "is_active": "on", "is_superuser": "on", "user_permissions": [permission.pk]}
    group = Group.objects.get(name="Administrators")
    client.post(f"/admin/auth/user/{me.pk}/change/", {**form, "groups": [group.pk]})
    me.refresh_from_db()
    assert not me.is_superuser
    assert not me.user_permissions.exists()
    passwords = {"password1": "another-passphrase", "password2": "another-passphrase"}
    assert client.post(f"/admin/auth/user/{root.pk}/password/", passwords).status_code == 403
    assert client.post(f"/admin/auth/user/{root.pk}/change/", form).status_code == 403
    assert client.get(f"/admin/auth/user/{root.pk}/delete/").status_code == 403


@pytest.mark.parametrize(("role", "may"), [(roles.EDITOR, True), (roles.AUDITOR, False)], ids=["editor", "auditor"])
def test_only_those_who_may_change_a_persona_see_what_nothing_proves(role: roles.Role, may: bool) -> None:
    """The admin's history, and the nightly checks of personas."""
    persona = PersonaFactory.create()
    persona.checks.create(version=1, outcome="refused", detail="AVATAR_GONE")
    client, path = sign_in(role), f"/admin/avatars/persona/{persona.pk}"
    page = client.get(f"{path}/change/").content.decode()
    assert (f"{path}/history/" in page) is may
    assert ("AVATAR_GONE" in page) is may
    assert client.get(f"{path}/history/").status_code == (200 if may else 403)
