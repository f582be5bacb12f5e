"""Numbers, times and names of the administration in the user's language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import formats, timezone, translation

from avatars.models import Voice
from heygen_portal.console.durations import readable_duration
from heygen_portal.people.access import roles
from sessions.labels import event_labels
from sessions.timeline.moments import BROWSER, Moment
from tests.support.factories import PersonaFactory


@pytest.mark.parametrize(("language", "number"), [("es", "24,5"), ("en", "24.5")])
def test_numbers_have_the_decimal_mark_of_the_language(language: str, number: str) -> None:
    rate = Moment(datetime(2026, 1, 20, tzinfo=UTC), BROWSER, "picture", {"fps": 24.5})
    with translation.override(language):
        assert readable_duration(timedelta(seconds=24.5)) == f"{number} s"
        assert number in event_labels.details(rate, "Daniel")


@pytest.mark.parametrize("language", ["es", "en"])
def test_times_are_in_24_hours(language: str) -> None:
    with translation.override(language), timezone.override(UTC):
        assert "00:09" in formats.date_format(datetime(2026, 1, 20, 0, 9, tzinfo=UTC), "DATETIME_FORMAT")


@pytest.mark.django_db
def test_the_start_page_uses_the_names_of_the_menu(admin_client: Client) -> None:
    names = {
        model["admin_url"]: str(model["name"])
        for app in admin_client.get(reverse("admin:index")).context["app_list"]
        for model in app["models"]
    }
    assert names[reverse("admin:auth_group_changelist")] == "Roles"
    assert names[reverse("admin:avatar_sessions_queueentry_changelist")] == "Cola"
    assert names[reverse("admin:heygen_portal_auditentry_changelist")] == "Registro de auditoría"


@pytest.mark.parametrize(
    ("language", "gender", "label"),
    [("en", "male", "Hugo · Inglés · masculina"), ("Klingon", "robot", "Hugo · Klingon · robot"), ("", "", "Hugo")],
)
def test_a_voice_is_described_in_the_language_of_the_user(language: str, gender: str, label: str) -> None:
    with translation.override("es"):
        assert str(Voice(name="Hugo", language=language, gender=gender)) == label


@pytest.mark.django_db
def test_the_form_of_a_persona_is_in_the_language_of_the_user(admin_client: Client) -> None:
    roles.sync()
    assert Group.objects.filter(name="End users").exists()
    page = admin_client.get(reverse("admin:avatars_persona_change", args=[PersonaFactory.create().pk])).content.decode()
    assert "Usuarios" in page
    assert "entusiasta" in page
    assert "End users" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["costs", "reconciliation"])
def test_costs_do_not_link_to_future_months(admin_client: Client, page: str) -> None:
    address = reverse(f"admin:avatar_sessions_sessiontotal_{page}")
    this = timezone.localdate().replace(day=1)
    last, following = this - timedelta(days=1), this + timedelta(days=31)
    assert f"month={following:%Y-%m}" not in admin_client.get(address).content.decode()
    assert f"?month={this:%Y-%m}" in admin_client.get(address, {"month": f"{last:%Y-%m}"}).content.decode()
