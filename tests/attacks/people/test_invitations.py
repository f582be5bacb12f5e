"""Attacks with invitations of people who may no longer invite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.people.invitations import inviting, joining
from heygen_portal.trail import db_triggers
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import audit_statements
from tests.people.test_invitations import INES, address
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

EMAIL = "ines@example.org"


def as_staff(user: User) -> HttpRequest:
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.18")
    request.user = user
    return request


def invite(inviter: User, role: roles.Role = roles.ADMINISTRATOR) -> Invitation:
    invitation = Invitation(email=EMAIL, group=Group.objects.get(name=role.group))
    inviting.invite(as_staff(inviter), invitation)
    return invitation


@pytest.fixture
def inviter() -> User:
    roles.sync()
    user = UserFactory.create(is_staff=True)
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATOR.group))
    return user


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def take_role(user: User) -> None:
    user.groups.clear()


def make_auditor(user: User) -> None:
    user.groups.set([Group.objects.get(name=roles.AUDITOR.group)])


def make_auditor_who_may_invite_by_sql(user: User) -> None:
    make_auditor(user)
    auditors = Group.objects.get(name=roles.AUDITOR.group)
    auditors.permissions.add(Permission.objects.get(codename="add_invitation"))


LOSSES = [deactivate, take_role, make_auditor, make_auditor_who_may_invite_by_sql]


@pytest.mark.parametrize("lose", LOSSES)
def test_the_link_of_a_former_inviter_no_longer_works(
    client: Client, inviter: User, lose: Callable[[User], None]
) -> None:
    link = address(invite(inviter))
    assert client.get(link).status_code == 200
    lose(inviter)
    assert client.get(link).status_code == 410
    assert client.post(link, INES).status_code == 410
    assert not User.objects.filter(email=EMAIL).exists()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_form_opened_before_the_right_was_lost_is_refused(
    client: Client, inviter: User, lose: Callable[[User], None]
) -> None:
    invitation = invite(inviter)
    found = joining.find(joining.token_of(invitation))
    assert found
    lose(inviter)
    request = RequestFactory().post("/")
    assert not joining.accept(request, found, User(username=EMAIL, email=EMAIL))
    assert not User.objects.filter(email=EMAIL).exists()


@pytest.mark.parametrize("lose", LOSSES)
def test_single_sign_on_gives_no_role_from_a_former_inviter(inviter: User, lose: Callable[[User], None]) -> None:
    invite(inviter)
    assert joining.is_expected(EMAIL)
    lose(inviter)
    assert not joining.is_expected(EMAIL)
    came = UserFactory.create(username=EMAIL, email=EMAIL)
    joining.record_single_sign_on(RequestFactory().get("/"), came)
    assert not came.groups.exists()


@pytest.mark.parametrize(
    "form", [{"is_active": ""}, {"is_active": "on"}, {"is_active": "on", "groups": "End users"}], ids=str
)
def test_invitations_are_revoked_when_their_author_loses_the_right(
    admin_client: Client, client: Client, inviter: User, form: dict[str, str]
) -> None:
    link = address(invite(inviter))
    groups = [group.pk for group in Group.objects.filter(name=form.get("groups", ""))]
    page = f"/admin/auth/user/{inviter.pk}/change/"
    fields = {"username": inviter.username, "is_active": form["is_active"], "groups": groups}
    fields = {name: value for name, value in fields.items() if value}
    shown = admin_client.post(page, fields, follow=True, headers={"accept-language": "en"})
    assert f"Open invitations were withdrawn: {EMAIL}." in shown.content.decode()
    assert AuditEntry.objects.latest("number").kind == AuditEntry.Kind.INVITATION_REVOKED
    User.objects.filter(pk=inviter.pk).update(is_active=True)
    inviter.groups.add(Group.objects.get(name=roles.ADMINISTRATOR.group))
    assert client.get(link).status_code == 410


@pytest.mark.parametrize("still", ["another name", "individually", "superuser"])
def test_invitations_stay_open_while_their_author_may_invite(
    admin_client: Client, client: Client, inviter: User, still: str
) -> None:
    link = address(invite(inviter))
    group = Group.objects.get(name=roles.ADMINISTRATOR.group)
    fields = {"username": inviter.username, "first_name": "Ana", "is_active": "on", "groups": [group.pk]}
    if still == "superuser":
        fields |= {"is_superuser": "on", "groups": []}
    if still == "individually":
        fields |= {"user_permissions": [Permission.objects.get(codename="add_invitation").pk], "groups": []}
    assert admin_client.post(f"/admin/auth/user/{inviter.pk}/change/", fields).status_code == 302
    assert client.get(link).status_code == 200


def test_the_list_shows_why_an_invitation_is_invalid_and_no_link(admin_client: Client, inviter: User) -> None:
    invitation = invite(inviter)
    deactivate(inviter)
    page = "/admin/heygen_portal/invitation/"
    assert (
        "the inviter may no longer invite" in admin_client.get(page, headers={"accept-language": "en"}).content.decode()
    )
    assert joining.token_of(invitation) not in admin_client.get(f"{page}{invitation.pk}/change/").content.decode()


CHANGES: dict[str, Callable[[], dict[str, object]]] = {
    "group": lambda: {"group": Group.objects.get(name=roles.ADMINISTRATOR.group)},
    "email": lambda: {"email": "mallory@example.org"},
    "invited_by": lambda: {"invited_by": UserFactory.create(is_superuser=True)},
}


@pytest.mark.parametrize("column", CHANGES)
def test_an_invitation_changed_by_sql_is_refused_and_recorded(client: Client, inviter: User, column: str) -> None:
    invitation = invite(inviter, roles.END_USER)
    link = address(invitation)
    Invitation.objects.update(**CHANGES[column]())
    named = [(fault.row.replace("-", ""), fault.column) for fault in audit_statements.invitation_faults()]
    assert named == [(invitation.pk.hex, column)]
    page = client.post(link, INES, headers={"accept-language": "en"})
    assert (page.status_code, User.objects.filter(first_name="Inés").exists()) == (410, False)
    assert "no longer matches what the audit log says" in page.content.decode()
    entry = AuditEntry.objects.latest("number")
    assert (entry.kind, entry.data["changed"]) == (AuditEntry.Kind.INVITATION_REVOKED, [column])
    assert client.get(link).status_code == 410
    assert AuditEntry.objects.latest("number") == entry


def test_an_invitation_changed_along_with_its_audit_entry_is_refused_and_named(client: Client, inviter: User) -> None:
    link = address(invite(inviter, roles.END_USER))
    assert not list(audit_statements.invitation_faults())
    Invitation.objects.update(**CHANGES["group"]())
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.INVITED)
    entry.data["roles"] = [[], [roles.ADMINISTRATOR.group]]
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(pk=entry.pk).update(data=entry.data)
    assert [fault.column for fault in audit_statements.invitation_faults()] == ["id"]
    assert client.post(link, INES).status_code == 410


@pytest.mark.parametrize("over", ["used", "withdrawn", "replaced"])
def test_a_link_that_sql_opened_again_does_not_work(client: Client, inviter: User, over: str) -> None:
    invitation = invite(inviter, roles.END_USER)
    link = address(invitation)
    if over == "used":
        assert client.post(link, INES).status_code == 302
    elif over == "withdrawn":
        inviting.revoke(as_staff(inviter), invitation)
    else:
        invite(inviter, roles.END_USER)
        Invitation.objects.exclude(pk=invitation.pk).delete()
    joined = User.objects.count()
    Invitation.objects.filter(pk=invitation.pk).update(used_at=None, used_by=None, revoked_at=None)
    assert Invitation.objects.open().filter(pk=invitation.pk).exists()
    assert Client().post(link, INES).status_code == 410
    assert User.objects.count() == joined


def test_single_sign_on_gives_no_role_from_an_invitation_that_sql_inserted_or_changed(inviter: User) -> None:
    invite(inviter, roles.END_USER)
    Invitation.objects.update(group=Group.objects.get(name=roles.ADMINISTRATOR.group))
    came = UserFactory.create(username=EMAIL, email=EMAIL)
    joining.record_single_sign_on(RequestFactory().get("/"), came)
    assert not came.groups.exists()
    Invitation.objects.create(
        email="mallory@example.org",
        group=Group.objects.get(name=roles.ADMINISTRATOR.group),
        invited_by=inviter,
        expires_at=timezone.now() + joining.INVITATION_LIFETIME,
    )
    assert joining.is_expected("mallory@example.org")
    joining.withdraw_changed_for(RequestFactory().get("/"), "mallory@example.org")
    assert not joining.is_expected("mallory@example.org")
