"""History in the admin: read, searched, never edited; what runs may be stopped."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from kombu.exceptions import OperationalError

from heygen_portal import providers
from heygen_portal.providers.base import OpenSession, Provider, ProviderUnreachable
from sessions import tasks
from sessions.models import Status, StreamingSession
from tests.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

SESSIONS = "/admin/avatar_sessions/streamingsession/"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The way to the worker, which has tests of its own."""
    delay = Mock()
    monkeypatch.setattr(tasks.stop_session, "delay", delay)
    return delay


@pytest.mark.parametrize("status", list(Status))
def test_a_session_in_any_status_can_be_looked_at(admin_client: Client, status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    session.events.create(number=1, source="portal", kind="requested", previous_hash="", hash="")
    session.utterances.create(who="avatar", by="voice", text="Hola", source="browser")
    assert admin_client.get(SESSIONS).status_code == 200
    assert admin_client.get(f"{SESSIONS}{session.pk}/change/").status_code == 200


def test_history_is_neither_added_nor_changed_nor_deleted(admin_client: Client) -> None:
    session = StreamingSessionFactory.create()
    assert admin_client.get(f"{SESSIONS}add/").status_code == 403
    assert admin_client.post(f"{SESSIONS}{session.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{SESSIONS}{session.pk}/change/", {"status": "ended"}).status_code == 403
    admin_client.post(SESSIONS, {"action": "delete_selected", "_selected_action": [session.pk], "post": "yes"})
    session.refresh_from_db()
    assert session.status == Status.LIVE


@pytest.mark.parametrize("query", ["ana", "their-id", "Lucía", "not-there", "%"])
def test_search_finds_by_person_persona_and_the_providers_id(admin_client: Client, query: str) -> None:
    session = StreamingSessionFactory.create(user__username="ana", provider_session_id="their-id")
    found = admin_client.get(SESSIONS, {"q": query}).context["cl"].queryset
    assert list(found) == ([session] if query in ("ana", "their-id", "Lucía") else [])


def test_staff_stop_what_runs_and_leave_the_rest(admin_client: Client, jobs: Mock) -> None:
    live = StreamingSessionFactory.create()
    ended, stopping = (StreamingSessionFactory.create(status=status) for status in (Status.ENDED, Status.STOPPING))
    chosen = [str(session.pk) for session in (live, ended, stopping)]
    admin_client.post(SESSIONS, {"action": "stop", "reason": " It rang twice ", "_selected_action": chosen})
    staff = User.objects.get(username="admin")
    why = {"code": "staff_because", "user": staff.pk, "why": "It rang twice"}
    jobs.assert_called_once_with(str(live.pk), "staff_stopped", why)


@pytest.mark.parametrize("reason", ["", "  ", "no"])
def test_nothing_is_stopped_without_a_reason(admin_client: Client, jobs: Mock, reason: str) -> None:
    chosen = [str(StreamingSessionFactory.create().pk)]
    choice = {"action": "stop", "reason": reason, "_selected_action": chosen}
    page: Any = admin_client.post(SESSIONS, choice, follow=True)
    assert [str(message) for message in page.context["messages"]] == ["Di por qué, en pocas palabras."]
    jobs.assert_not_called()


def test_a_worker_out_of_reach_is_said(admin_client: Client, jobs: Mock) -> None:
    jobs.side_effect = OperationalError("no broker")
    choice = {
        "action": "stop",
        "reason": "It rang twice",
        "_selected_action": [str(StreamingSessionFactory.create().pk)],
    }
    page: Any = admin_client.post(SESSIONS, choice, follow=True)
    assert [message.level_tag for message in page.context["messages"]] == ["error"]


def test_who_may_look_may_not_therefore_stop(client: Client, jobs: Mock) -> None:
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.user_permissions.add(Permission.objects.get(codename="view_streamingsession"))
    client.force_login(auditor)
    session = StreamingSessionFactory.create()
    client.post(SESSIONS, {"action": "stop", "reason": "It rang", "_selected_action": [str(session.pk)]})
    jobs.assert_not_called()
    assert StreamingSession.objects.get().status == Status.LIVE


def test_the_list_asks_the_database_no_more_often_for_more_sessions(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    StreamingSessionFactory.create_batch(20)
    with django_assert_max_num_queries(20):
        admin_client.get(SESSIONS)


@pytest.mark.parametrize(("rows", "answer"), [(["theirs"], "Yes"), (["another"], "No"), (None, "could not be asked")])
def test_staff_ask_whether_it_is_live_at_the_provider(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, rows: list[str] | None, answer: str
) -> None:
    """Demand 71."""
    listed = [OpenSession(provider_session_id=row, status="connected", created_at=None) for row in rows or []]
    provider = Mock(spec=Provider)
    provider.list_sessions = AsyncMock(return_value=listed, side_effect=None if rows else ProviderUnreachable("down"))
    monkeypatch.setattr(providers, "opened", lambda account: nullcontext(provider))
    english = {"accept-language": "en"}
    session = StreamingSessionFactory.create(provider_session_id="theirs")
    asked = admin_client.post(f"{SESSIONS}{session.pk}/ask_provider/", {"_form_submitted": "on"}, headers=english)
    assert answer in admin_client.get(asked.headers["HX-Redirect"], headers=english).content.decode()
