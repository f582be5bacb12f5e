"""Limits in the admin: which limit applies, quotas, and the queue."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal.trail.models import AuditEntry
from sessions.capacity import queue
from sessions.models import LimitBy, QueueEntry, Quota
from sessions.presence import tabs
from tests.support.factories import PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]

QUOTAS = "/admin/avatar_sessions/quota/"
LINE = "/admin/avatar_sessions/queueentry/"


def test_a_sessions_page_names_the_limits_that_apply(admin_client: Client) -> None:
    """Complaint 19."""
    session = StreamingSessionFactory.create(limit_by=LimitBy.QUOTA, idle_limit_by=LimitBy.GROUP)
    page = admin_client.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/").content.decode()
    assert "resto de la cuota mensual" in page
    assert "límite del grupo" in page


def test_a_group_quota_is_saved_and_shown(admin_client: Client) -> None:
    group = Group.objects.create(name="Customers")
    given = {
        "user": "",
        "group": str(group.pk),
        "duration_limit": "00:05:00",
        "idle_timeout": "",
        "minutes_per_month": 60,
    }
    admin_client.post(f"{QUOTAS}add/", given)
    quota = Quota.objects.get()
    assert (quota.group, quota.minutes_per_month) == (group, 60)
    assert "5 min 00 s" in admin_client.get(QUOTAS).content.decode()
    assert admin_client.get(f"{QUOTAS}{quota.pk}/change/").status_code == 200


@pytest.mark.parametrize("wrong", [{}, {"user": True, "group": True}, {"user": True, "duration_limit": "0"}])
def test_an_invalid_quota_is_refused(admin_client: Client, wrong: dict[str, object]) -> None:
    whose = {"user": UserFactory.create().pk, "group": Group.objects.create(name="Customers").pk}
    given = {name: whose[name] if value is True else value for name, value in wrong.items()}
    response = admin_client.post(f"{QUOTAS}add/", given)
    assert response.context["adminform"].form.errors
    assert not Quota.objects.exists()


def test_staff_see_the_queue_and_remove_an_entry(admin_client: Client) -> None:
    process_id, persona, person = uuid4(), PersonaFactory.create(published=True), UserFactory.create()
    tabs.renew_lease(process_id)
    queue.join(person.pk, persona, queue.TabAddress(process_id, "tab"))
    assert person.username in admin_client.get(LINE).content.decode()
    place = QueueEntry.objects.get()
    assert admin_client.get(f"{LINE}{place.pk}/change/").status_code == 200
    admin_client.post(LINE, {"action": "remove", "_selected_action": [place.pk]})
    assert not QueueEntry.objects.exists()


def test_the_accounts_page_shows_spending_slots_and_queue(admin_client: Client) -> None:
    now, persona = timezone.now(), PersonaFactory.create(published=True)
    account = persona.avatar.account
    limits = {"concurrency_limit": 3, "monthly_cap": 50, "credits_per_minute": 1}
    ProviderAccount.objects.filter(pk=account.pk).update(**limits, slots_seen=2, slots_seen_at=now)
    began = now - timedelta(minutes=5)
    running = StreamingSessionFactory.create(persona=persona, created_at=began, ends_at=began + timedelta(minutes=20))
    process_id, waits = uuid4(), UserFactory.create()
    tabs.renew_lease(process_id)
    queue.join(waits.pk, persona, queue.TabAddress(process_id, "tab"))
    with time_machine.travel(now, tick=False):  # what is spent grows as we look
        page = admin_client.get(f"/admin/avatars/provideraccount/{account.pk}/change/").content.decode()
    assert "5.00 créditos gastados" in page
    assert "30.00" in page  # left of the cap: the session that runs counts to its limit
    assert "1 de 2 (" in page
    assert f"/streamingsession/{running.pk}/change/" in page
    assert running.owner_name in page
    assert f"1. {waits.username}" in page


def test_the_accounts_page_hides_sessions_without_permission(client: Client) -> None:
    session = StreamingSessionFactory.create()
    keeper = UserFactory.create(is_staff=True)
    keeper.user_permissions.add(Permission.objects.get(codename="change_provideraccount"))
    client.force_login(keeper, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/admin/avatars/provideraccount/{session.account_id}/change/")
    assert page.status_code == 200
    assert session.owner_name not in page.content.decode()


def test_a_persons_page_shows_usage_and_links_to_the_quota(admin_client: Client) -> None:
    now, persona = timezone.now(), PersonaFactory.create(published=True)
    person = UserFactory.create()
    StreamingSessionFactory.create(user=person, persona=persona, created_at=now, live_at=now)
    address = f"/admin/auth/user/{person.pk}/change/"
    page = admin_client.get(address).content.decode()
    assert "sin cuota" in page
    assert f"/admin/avatar_sessions/quota/add/?user={person.pk}" in page
    quota = Quota.objects.create(user=person, minutes_per_month=30)
    page = admin_client.get(address).content.decode()
    assert "de 30 min 00 s" in page
    assert f"/admin/avatar_sessions/quota/{quota.pk}/change/" in page


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avatar_sessions/allowance/add/?user=1", "avatar_sessions/quota/add/?user=1"),
        ("avatar_sessions/queueplace/", "avatar_sessions/queueentry/"),
        ("avatar_sessions/streamingsession/said/", "avatar_sessions/streamingsession/search/"),
        ("avatars/provideraccount/first-hour/", "avatars/provideraccount/setup-checklist/"),
    ],
)
def test_a_former_address_leads_to_the_new_one(admin_client: Client, old: str, new: str) -> None:
    response = admin_client.get(f"/admin/{old}", follow=True)
    assert (response.redirect_chain, response.status_code) == ([(f"/admin/{new}", 302)], 200)


def test_several_quotas_are_deleted_and_each_is_recorded(admin_client: Client) -> None:
    rows = [Quota.objects.create(user=UserFactory.create(), minutes_per_month=30) for _ in range(2)]
    selected = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"}
    admin_client.post(QUOTAS, selected)
    assert not Quota.objects.exists()
    assert AuditEntry.objects.filter(kind=AuditEntry.Kind.QUOTA_CHANGED).count() == 2
