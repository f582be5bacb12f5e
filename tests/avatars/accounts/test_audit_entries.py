"""Role, password and key changes are audited with author and address."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory, override_settings

from heygen_portal.people.access import roles
from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from tests.avatars.accounts.test_admin import form as filled_in
from tests.support.factories import ProviderAccountFactory, UserFactory

pytestmark = pytest.mark.django_db

KIND = AuditEntry.Kind


def make_member(role: roles.Role) -> User:
    roles.sync()
    user = User.objects.create_user(role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


def sign_in(role: roles.Role) -> tuple[Client, User]:
    client, user = Client(), make_member(role)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, user


def test_only_a_changed_role_is_audited() -> None:
    client, administrator = sign_in(roles.ADMINISTRATOR)
    client.defaults["REMOTE_ADDR"] = "192.0.2.18"
    person, auditors = UserFactory.create(username="ana"), Group.objects.get(name=roles.AUDITOR.group)
    form = {"username": "ana", "is_active": "on", "groups": [auditors.pk]}
    for _ in range(2):
        assert client.post(f"/admin/auth/user/{person.pk}/change/", form).status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.about) == (KIND.ACCESS_CHANGED, "ana")
    assert (entry.by, entry.address) == (administrator, "192.0.2.18")
    assigned = person.groups.through.objects.get(user=person)
    rows = {
        "user": {str(person.pk): {"is_staff": True}},
        "role": {str(assigned.pk): {"user": person.pk, "group": auditors.pk}},
    }
    assert entry.data == {"person": person.pk, "roles": [[], ["Auditors"]], "rows": rows}
    shown = client.get("/admin/heygen_portal/auditentry/", headers={"accept-language": "en"})
    assert "Auditors" in shown.content.decode()


def test_a_new_password_is_audited_without_its_value() -> None:
    client, _ = sign_in(roles.ADMINISTRATOR)
    person = UserFactory.create(username="ana")
    secret = {"password1": "wj3-longer-than-most", "password2": "wj3-longer-than-most"}
    assert client.post(f"/admin/auth/user/{person.pk}/password/", secret).status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.about, entry.data) == (KIND.PASSWORD_SET, "ana", {"person": person.pk})


def test_a_new_key_is_audited_without_its_value() -> None:
    client, _ = sign_in(roles.ADMINISTRATOR)
    account = ProviderAccountFactory.create(name="Ours", base_url="https://api.heygen.com", concurrency_limit=3)
    for form in (filled_in(name="Ours"), filled_in(name="Ours", api_key="sk-the-next")):
        client.post(f"/admin/avatars/provideraccount/{account.pk}/change/", form)
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.about) == (KIND.KEY_SET, "Ours")
    assert "sk-the-next" not in str(vars(entry))


@pytest.mark.parametrize("role", roles.ROLES, ids=lambda role: role.group)
def test_the_audit_log_is_read_only(role: roles.Role) -> None:
    client, _ = sign_in(role)
    entry = audit_log.record(None, KIND.KEY_SET, "Ours")
    may = role in (roles.AUDITOR, roles.ADMINISTRATOR)
    page = "/admin/heygen_portal/auditentry/"
    assert (client.get(page).status_code == 200) == may
    assert (client.get(f"{page}{entry.pk}/change/").status_code == 200) == may
    assert client.post(f"{page}{entry.pk}/change/", {"about": "Theirs"}).status_code != 302 or not may
    assert client.post(f"{page}{entry.pk}/delete/", {"post": "yes"}).status_code != 302 or not may
    assert AuditEntry.objects.get() == entry


@pytest.mark.parametrize(
    ("proxies", "header", "found"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.7, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (1, "", "192.0.2.1"),
        (1, "<script>", "192.0.2.1"),
    ],
)
def test_only_trusted_proxies_determine_the_client_address(proxies: int, header: str, found: str | None) -> None:
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR=header, REMOTE_ADDR="192.0.2.1")
    with override_settings(PROXY_COUNT=proxies):
        assert client_address.of(request) == found
