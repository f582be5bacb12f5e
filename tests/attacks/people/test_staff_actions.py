"""Searches and actions of staff have budgets, because events and audit entries can never be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client, override_settings
from django.urls import NoReverseMatch, URLPattern, reverse
from django.urls.converters import UUIDConverter

from heygen_portal.people.access import roles
from sessions.models import Status, StreamingSession
from tests.support.factories import StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

OWN_ROOMS = {
    "LIVEKIT_URL": "ws://rooms.test",
    "LIVEKIT_PUBLIC_URL": "ws://rooms.test",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "a-secret-of-more-than-32-characters",
}
HTMX = {"hx-request": "true", "accept": "*/*", "accept-language": "en"}
KEY = UUID(int=1)
# The addresses below the admin that are no page of it.
OUTSIDE = {"login", "logout"}


def staff(role: roles.Role) -> Client:
    roles.sync()
    user = UserFactory.create(is_staff=True)
    user.groups.add(Group.objects.get(name=role.group))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def page_of(session: StreamingSession, name: str) -> str:
    return f"/admin/avatar_sessions/streamingsession/{session.pk}/{name}/"


def admin_addresses() -> Iterator[str]:
    """Yield one address for each page of the admin."""
    for model, model_admin in admin.site._registry.items():
        patterns: list[Any] = model_admin.get_urls()
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        yield from _reversed(patterns)
    yield from _reversed(admin.site.get_urls())


def _reversed(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if not isinstance(pattern, URLPattern) or not pattern.name or pattern.name in OUTSIDE:
            continue
        path: Any = pattern.pattern
        keys = {name: KEY if isinstance(kind, UUIDConverter) else 1 for name, kind in path.converters.items()}
        with suppress(NoReverseMatch):  # the catch-all
            yield reverse(f"admin:{pattern.name}", kwargs=keys)


@override_settings(BUDGETS={"staff_action.person": "1/hour"})
def test_every_page_of_the_admin_refuses_actions_beyond_the_budget(admin_client: Client) -> None:
    assert admin_client.post("/admin/").status_code != 429
    pages = sorted(set(admin_addresses()))
    assert len(pages) > 60
    assert [page for page in pages if admin_client.post(page).status_code != 429] == []
    assert admin_client.get("/admin/").status_code == 200


@override_settings(BUDGETS={"staff_action.person": "1/hour"})
def test_a_dialog_beyond_the_budget_shows_the_time_to_wait_on_its_page(admin_client: Client) -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    admin_client.post("/admin/")
    refused = admin_client.post(page_of(session, "ask_provider"), headers=HTMX)
    assert (refused.status_code, refused["HX-Refresh"]) == (429, "true")
    page = admin_client.get(page_of(session, "change"), headers={"accept-language": "en"})
    assert "Too many requests. Try again in" in page.content.decode()


@override_settings(BUDGETS={"staff_action.person": "1/hour"})
def test_staff_without_actions_left_can_sign_out(admin_client: Client) -> None:
    admin_client.post("/admin/")
    assert admin_client.post("/admin/logout/").status_code in (200, 302)
    assert "_auth_user_id" not in admin_client.session


@override_settings(BUDGETS={"observe.person": "3/hour"}, **OWN_ROOMS)
def test_observations_in_a_persons_record_are_limited() -> None:
    operator = staff(roles.OPERATOR)
    session = StreamingSessionFactory.create(status=Status.LIVE, room="portal-room")
    answers = [
        operator.post(page_of(session, "observe"), headers={"accept": "*/*", "accept-language": "en"}) for _ in range(5)
    ]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert answers[-1].json()["words"].startswith("Too many requests. Try again in")
    assert session.events.filter(kind="observed").count() == 3


@override_settings(BUDGETS={"open_transcript.person": "3/hour"})
def test_openings_of_a_transcript_are_limited() -> None:
    auditor = staff(roles.AUDITOR)
    session = StreamingSessionFactory.create(status=Status.ENDED)
    reason = {"reason": "Complaint of today"}
    statuses = [auditor.post(page_of(session, "audit"), reason).status_code for _ in range(5)]
    assert statuses == [200] * 3 + [429] * 2
    assert session.events.filter(kind="transcript_opened").count() == 3


@override_settings(BUDGETS={"search.person": "1/hour"})
def test_every_list_with_a_search_refuses_it_beyond_the_budget(admin_client: Client) -> None:
    searched = [model for model, model_admin in admin.site._registry.items() if model_admin.search_fields]
    assert len(searched) > 10
    lists = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in searched]
    assert admin_client.get(lists[0], {"q": "lucia"}).status_code == 200
    refused = [admin_client.get(page, {"q": "lucia"}, headers={"accept-language": "en"}) for page in lists]
    assert {answer.status_code for answer in refused} == {429}
    assert all(int(answer["Retry-After"]) >= 1 for answer in refused)
    assert "Try again in" in refused[0].content.decode()
    assert {admin_client.get(page, {"q": ""}).status_code for page in lists} == {200}


@override_settings(BUDGETS={"suggest.person": "1/hour"})
@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("/admin/search/", {"s": "ses"}),
        (
            "/admin/autocomplete/",
            {"term": "lu", "app_label": "avatars", "model_name": "persona", "field_name": "avatar"},
        ),
    ],
    ids=["sidebar", "choice"],
)
def test_suggestions_while_typing_are_limited(admin_client: Client, page: str, query: dict[str, str]) -> None:
    assert [admin_client.get(page, query).status_code for _ in range(2)] == [200, 429]
