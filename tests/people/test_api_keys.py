"""API keys: created, replaced and revoked on record, and judged anew with each use."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heygen_portal.models import ApiKey
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import callers, keys, scopes
from heygen_portal.people.api_keys.callers import AddressRefused, KeyExpired, KeyRefused, ScopeMissing
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.people.invitations import joining
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import audit_statements, verification
from tests.support.factories import ApiKeyFactory, EndUserFactory, UserFactory

pytestmark = pytest.mark.django_db

PAGE = "/admin/heygen_portal/apikey/"
ADDRESS = "203.0.113.7"


def in_role(role: roles.Role) -> User:
    user = UserFactory.create()
    joining.give_role(user, Group.objects.get(name=role.group))
    return user


def new_key(**columns: Any) -> tuple[ApiKey, str]:
    key = ApiKeyFactory.build(**{"owner": EndUserFactory.create()} | columns)
    key.created_by = key.owner
    return key, keys.create(key, SERVER)


def test_an_administrator_creates_replaces_and_revokes_a_key_on_record() -> None:
    administrator, owner, client = in_role(roles.ADMINISTRATOR), in_role(roles.OPERATOR), Client()
    client.force_login(administrator)
    audit_statements.upgrade()
    filled = {"name": "CRM sync", "owner": owner.pk, "per_minute": 60, "lifetime": "90", "addresses": "203.0.113.7"}
    page = client.post(f"{PAGE}add/", filled | {"scopes": ["records:read", "sessions:start"]})
    secret = re.search(r"hp_live_\w{8}_\w{40}", page.content.decode())
    assert secret
    assert page["Cache-Control"].find("no-store") >= 0
    key = ApiKey.objects.get()
    assert (key.owner, key.created_by, key.scopes) == (owner, administrator, "sessions:start records:read")
    assert not any(secret[0] in str(row) for row in (ApiKey.objects.values(), AuditEntry.objects.values()))
    assert keys.find(secret[0]) == key
    assert secret[0] not in client.get(f"{PAGE}{key.pk}/change/").content.decode()

    replaced = client.post(f"{PAGE}{key.pk}/replace/")
    second = re.search(r"hp_live_\w{8}_\w{40}", replaced.content.decode())
    assert second
    new = keys.find(second[0])
    key.refresh_from_db()
    assert (key.replaced_by, new and new.scopes) == (new, key.scopes)
    # Both work for a day.
    assert (callers.identify(secret[0], "203.0.113.7"), callers.identify(second[0], "203.0.113.7")) == (key, new)
    expired = [keys.is_expired(key, timezone.now() + timedelta(hours=hours)) for hours in (23, 25)]
    assert expired == [False, True]

    client.post(reverse("admin:heygen_portal_apikey_revoke_one", args=[key.pk]), {"_form_submitted": "on"})
    assert keys.find(secret[0]) is None
    assert not ApiKey.objects.get(pk=key.pk).signature
    kinds = AuditEntry.objects.filter(kind__startswith="api_key").order_by("number").values_list("kind", "by")
    changes = ["api_key_created", "api_key_created", "api_key_replaced", "api_key_revoked"]
    assert list(kinds) == [(kind, administrator.pk) for kind in changes]
    assert [fault for fault in verification.faults() if fault.table == "api_key"] == []


def test_the_list_shows_a_few_scopes_and_the_keys_page_all(admin_client: Client) -> None:
    key, _secret = new_key(scopes=scopes.as_stored(Scope))
    listed, shown = (admin_client.get(path).content.decode() for path in (PAGE, f"{PAGE}{key.pk}/change/"))
    assert f"<code>+{len(Scope) - 3}</code>" in listed
    assert ("webhooks:write" in listed, "webhooks:write" in shown) == (False, True)


def test_a_key_gets_no_scope_that_its_owners_role_lacks(admin_client: Client) -> None:
    owner = in_role(roles.END_USER)
    filled = {"name": "CRM sync", "owner": owner.pk, "per_minute": 60, "lifetime": ""}
    page = admin_client.post(f"{PAGE}add/", filled | {"scopes": ["transcripts:read"]})
    assert "transcripts:read" in str(page.context["adminform"].form.errors["scopes"])
    assert not ApiKey.objects.exists()


def test_only_a_superuser_creates_a_key_for_a_superuser() -> None:
    client, superuser = Client(), User.objects.create_superuser("root")
    client.force_login(in_role(roles.ADMINISTRATOR))
    filled = {"name": "CRM sync", "owner": superuser.pk, "per_minute": 60, "lifetime": "", "scopes": ["costs:read"]}
    assert client.post(f"{PAGE}add/", filled).status_code == 403
    assert not ApiKey.objects.exists()


def test_only_a_superuser_replaces_a_key_of_a_superuser() -> None:
    client, superuser = Client(), User.objects.create_superuser("root")
    key, _secret = new_key(owner=superuser)
    client.force_login(in_role(roles.ADMINISTRATOR))
    for send in (client.get, client.post):
        assert send(f"{PAGE}{key.pk}/replace/").status_code == 403
    assert ApiKey.objects.count() == 1
    client.force_login(superuser)
    assert client.post(f"{PAGE}{key.pk}/replace/").status_code == 200
    assert ApiKey.objects.count() == 2


def test_a_key_is_refused_once_it_is_expired_revoked_or_used_from_elsewhere() -> None:
    key, secret = new_key(addresses="203.0.113.0/28 2001:db8::/32")
    assert callers.identify(secret, ADDRESS) == key
    assert callers.identify(secret, "2001:db8::5")
    for address in ("203.0.113.99", "", None):
        with pytest.raises(AddressRefused):
            callers.identify(secret, address)
    for wrong in (secret[:-1], f"{secret}x", key.prefix, "", "hp_live__", "a_b", "x" * 5000, "\0_", "ñ_ñ"):
        assert keys.find(wrong) is None
    ApiKey.objects.update(expires_at=timezone.now())
    with pytest.raises(KeyExpired):
        callers.identify(secret, ADDRESS)
    ApiKey.objects.update(expires_at=None)
    assert keys.revoke(key, SERVER)
    assert not keys.revoke(key, SERVER)
    with pytest.raises(KeyRefused):
        callers.identify(secret, ADDRESS)


@pytest.mark.parametrize("column", ["scopes", "owner_id", "addresses", "is_test"])
def test_a_key_whose_row_was_changed_by_sql_is_refused(column: str) -> None:
    key, secret = new_key()
    value = {"owner_id": UserFactory.create().pk, "is_test": 1}.get(column, "records:read")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE heygen_portal_apikey SET {column} = %s", [value])
    assert keys.find(secret) is None
    assert key.prefix in secret


def test_a_key_does_what_its_owner_may_do_at_this_moment() -> None:
    owner = in_role(roles.OPERATOR)
    key, secret = new_key(owner=owner, scopes="sessions:start sessions:stop unknown:scope")
    caller = callers.admit(callers.identify(secret, ADDRESS), ADDRESS, {Scope.SESSIONS_STOP, Scope.RECORDS_READ})
    assert (caller.user_id, caller.scopes) == (owner.pk, frozenset({Scope.SESSIONS_STOP}))
    with pytest.raises(ScopeMissing):  # the owner may do it, the key may not
        callers.admit(key, ADDRESS, {Scope.RECORDS_READ})
    owner.groups.set([Group.objects.get(name=roles.END_USER.group)])
    assert callers.admit(key, ADDRESS, {Scope.SESSIONS_START}).scopes == {Scope.SESSIONS_START}
    with pytest.raises(ScopeMissing):
        callers.admit(key, ADDRESS, {Scope.SESSIONS_STOP})
    User.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(KeyRefused):
        callers.admit(key, ADDRESS, {Scope.SESSIONS_START})


def test_the_last_use_is_stored_at_most_once_a_minute() -> None:
    key, secret = new_key()
    callers.identify(secret, None)
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    callers.identify(secret, None)
    assert first
    assert ApiKey.objects.get(pk=key.pk).last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    callers.identify(secret, None)
    last = ApiKey.objects.get(pk=key.pk).last_used_at
    assert last
    assert last >= first
