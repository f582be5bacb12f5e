"""Attacks on downloads with a stolen login: knowledge, recovery codes."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from heygen_portal.trail.models import AuditEntry
from tests.people.signed_in import age_login
from tests.support.factories import KnowledgeBaseFactory

pytestmark = pytest.mark.django_db

BASES = "/admin/avatars/knowledgebase/"
EXPORTED = AuditEntry.Kind.KNOWLEDGE_EXPORTED


def export(client: Client, count: int = 1) -> int:
    bases = KnowledgeBaseFactory.create_batch(count, prompt="secret prompt")
    posted = {"action": "export_files", "_selected_action": [base.pk for base in bases]}
    return client.post(BASES, posted).status_code


def test_an_old_login_exports_no_knowledge_base(admin_client: Client) -> None:
    age_login(admin_client)
    assert export(admin_client) == 302
    assert not AuditEntry.objects.filter(kind=EXPORTED).exists()


@pytest.mark.parametrize("count", [1, 3])
def test_each_export_of_knowledge_bases_is_in_the_audit_log(admin_client: Client, admin_user: User, count: int) -> None:
    assert export(admin_client, count) == 200
    entry = AuditEntry.objects.get(kind=EXPORTED)
    assert (entry.by, entry.data["count"], len(entry.data["bases"])) == (admin_user, count, count)


@override_settings(BUDGETS={"export.person": "3/minute"})
def test_exports_of_knowledge_bases_have_the_budget_of_exports(admin_client: Client) -> None:
    assert [export(admin_client) for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("path", ["codes/", "codes/file/"])
def test_an_old_login_reads_no_recovery_codes(admin_client: Client, path: str) -> None:
    age_login(admin_client)
    asked = admin_client.get(f"/accounts/second-factor/{path}")
    assert asked.status_code == 302
    assert asked["Location"].startswith("/accounts/reauthenticate/")
