"""The default organisation: staff belong to it, and administrators rename it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from heygen_portal.models import Membership, Organisation
from heygen_portal.people.access import roles
from heygen_portal.people.invitations import joining
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import audit_statements, verification
from tests.support.factories import PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db

PAGE = "/admin/heygen_portal/organisation/"


def in_role(role: roles.Role) -> User:
    user = UserFactory.create()
    joining.give_role(user, Group.objects.get(name=role.group))
    return user


def test_accounts_and_personas_belong_to_the_default_organisation() -> None:
    organisation = Organisation.objects.get()
    persona = PersonaFactory.create()
    assert (persona.organisation, persona.avatar.account.organisation) == (organisation, organisation)


@pytest.mark.parametrize("role", roles.ROLES, ids=lambda role: role.group)
def test_staff_become_members_and_end_users_do_not(role: roles.Role) -> None:
    user = in_role(role)
    assert Membership.objects.filter(user=user, organisation=Organisation.objects.get()).exists() == role.is_staff


def test_a_role_given_in_the_admin_makes_a_member(admin_client: Client) -> None:
    user = UserFactory.create()
    editors = Group.objects.get(name=roles.EDITOR.group)
    admin_client.post(f"/admin/auth/user/{user.pk}/change/", {"username": user.username, "groups": [editors.pk]})
    assert Membership.objects.filter(user=user).exists()


def test_staff_created_outside_the_admin_become_members_at_the_next_migration() -> None:
    user = User.objects.create_superuser("root")
    roles.sync_after_migrating()
    assert Membership.objects.filter(user=user).exists()


def test_an_administrator_renames_the_organisation_on_record() -> None:
    administrator, client = in_role(roles.ADMINISTRATOR), Client()
    client.force_login(administrator)
    organisation = Organisation.objects.get()
    assert audit_statements.upgrade()
    response = client.post(f"{PAGE}{organisation.pk}/change/", {"name": "Ayuntamiento", "offered": ["es", "en"]})
    assert response.status_code == 302
    assert Organisation.objects.get().name == "Ayuntamiento"
    assert list(verification.faults()) == []
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.ORGANISATION_CHANGED)
    assert (entry.by, entry.data["name"]) == (administrator, ["Organisation", "Ayuntamiento"])
