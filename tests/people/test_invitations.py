"""Staff invite by address and role. The link works once, within a week."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client, override_settings
from django.utils import timezone

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.people.invitations import joining
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

INES = {
    "first_name": "Inés",
    "last_name": "Example",
    "password1": "wj3-longer-than-most",
    "password2": "wj3-longer-than-most",
}
ADD = "/admin/heygen_portal/invitation/add/"


def invited(email: str, role: roles.Role = roles.END_USER) -> Invitation:
    by = User.objects.filter(is_superuser=True).first() or UserFactory.create(is_superuser=True)
    group = Group.objects.get(name=role.group)
    until = timezone.now() + joining.INVITATION_LIFETIME
    invitation = Invitation.objects.create(email=email, group=group, invited_by=by, expires_at=until)
    audit_log.record_by(by.pk, None, AuditEntry.Kind.INVITED, invitation, roles=[[], [group.name]])
    return invitation


def address(invitation: Invitation) -> str:
    return f"/accounts/invitation/{joining.token_of(invitation)}/"


def test_an_invitation_creates_a_user_with_its_role_and_is_recorded(admin_client: Client, client: Client) -> None:
    operators = Group.objects.get(name="Operators")
    page = admin_client.post(ADD, {"email": "Ines@Example.org", "group": operators.pk}, follow=True)
    link = address(Invitation.objects.get())
    assert f"http://testserver{link}" in page.content.decode()
    assert len(mail.outbox) == 0
    assert "ines@example.org" in client.get(link).content.decode()
    assert client.post(link, INES)["Location"] == "/"
    ines = User.objects.get(username="ines@example.org")
    assert (ines.email, ines.first_name, ines.is_staff) == ("ines@example.org", "Inés", True)
    assert client.session["_auth_user_id"] == str(ines.pk)
    assert client.get("/admin/").status_code == 200
    kinds = [
        (entry.kind, entry.by, {name: value for name, value in entry.data.items() if name != "rows"})
        for entry in AuditEntry.objects.order_by("number")
    ]
    given = {"roles": [[], ["Operators"]], "invitation": str(Invitation.objects.get().pk)}
    assert kinds == [
        ("invited", User.objects.get(username="admin"), given),
        ("joined", ines, given | {"person": ines.pk}),
    ]


def test_an_invitations_page_shows_its_status_in_words(admin_client: Client) -> None:
    invitation = invited("ines@example.org")
    page = admin_client.get(
        f"/admin/heygen_portal/invitation/{invitation.pk}/change/", headers={"accept-language": "en"}
    )
    assert "not accepted yet" in page.content.decode()
    assert "(&#x27;open&#x27;" not in page.content.decode()


def test_with_a_mail_server_the_link_is_sent(admin_client: Client) -> None:
    with override_settings(EMAIL_HOST="mail.test"):
        admin_client.post(ADD, {"email": "ines@example.org", "group": Group.objects.get(name="End users").pk})
    (letter,) = mail.outbox
    assert letter.to == ["ines@example.org"]
    assert address(Invitation.objects.get()) in str(letter.body)


def test_a_mailbox_is_invited_five_times_an_hour_however_it_is_spelled(admin_client: Client) -> None:
    group = Group.objects.get(name="End users").pk
    with override_settings(EMAIL_HOST="mail.test"):
        for name in ("ines", "INES", "ines+1", "ines+2", "ines+a+b"):
            assert admin_client.post(ADD, {"email": f"{name}@Example.org", "group": group}).status_code == 302
        refused = admin_client.post(ADD, {"email": "ines+3@example.org", "group": group})
        assert (refused.status_code, len(mail.outbox), Invitation.objects.count()) == (429, 5, 5)
        assert 1 <= int(refused["Retry-After"]) <= 3600
        assert admin_client.post(ADD, {"email": "nora@example.org", "group": group}).status_code == 302


def test_a_link_works_once(client: Client) -> None:
    link = address(invited("ines@example.org"))
    assert client.post(link, INES).status_code == 302
    assert Client().get(link).status_code == 410
    assert Client().post(link, INES).status_code == 410
    assert User.objects.filter(email="ines@example.org").count() == 1


@pytest.mark.parametrize("over", ["expired", "withdrawn", "replaced", "forged", "of another portal"])
def test_an_expired_or_revoked_link_does_not_work(admin_client: Client, client: Client, over: str) -> None:
    invitation = invited("ines@example.org")
    link = address(invitation)
    if over == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif over == "withdrawn":
        action = {"action": "revoke", "_selected_action": [invitation.pk]}
        admin_client.post("/admin/heygen_portal/invitation/", action)
        assert AuditEntry.objects.latest("number").kind == AuditEntry.Kind.INVITATION_REVOKED
    elif over == "replaced":
        admin_client.post(ADD, {"email": "ines@example.org", "group": Group.objects.get(name="Editors").pk})
    elif over == "forged":
        link = f"{link[:-5]}{'x' if link[-5] != 'x' else 'y'}{link[-4:]}"
    with override_settings(SECRET_KEY="that-of-somebody-elses-portal" if over == "of another portal" else "mine"):
        assert client.post(link, INES).status_code == 410
    assert not User.objects.filter(username="ines@example.org").exists()


def test_existing_users_cannot_be_invited(admin_client: Client) -> None:
    UserFactory.create(username="ines", email="Ines@example.org")
    form = {"email": "ines@example.org", "group": Group.objects.get(name="Editors").pk}
    assert admin_client.post(ADD, form).status_code == 200
    assert not Invitation.objects.exists()


def test_a_bad_password_is_explained_and_the_invitation_stays_open(client: Client) -> None:
    link = address(invited("ines@example.org"))
    for wrong in ({"password1": "12345678", "password2": "12345678"}, {"password2": "something-else-entirely"}):
        assert client.post(link, {**INES, **wrong}).status_code == 200
    assert Invitation.objects.open().exists()
    assert not User.objects.filter(username="ines@example.org").exists()


def test_a_signed_in_user_cannot_accept_an_invitation(admin_client: Client) -> None:
    link = address(invited("ines@example.org"))
    assert admin_client.post(link, INES).status_code == 200
    assert Invitation.objects.open().exists()


def test_only_administrators_invite(client: Client) -> None:
    for role in (roles.EDITOR, roles.OPERATOR, roles.AUDITOR):
        person = UserFactory.create(is_staff=True)
        person.groups.add(Group.objects.get(name=role.group))
        client.force_login(person)
        assert client.get(ADD).status_code == 403
        assert client.get("/admin/heygen_portal/invitation/").status_code == 403
