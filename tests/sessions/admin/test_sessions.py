"""Session history in the admin is read-only, apart from stopping sessions."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock, call

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    OpenSession,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderUnreachable,
    StopReason,
)
from heygen_portal.trail.models import AuditEntry
from sessions.exports import filters as export_filters
from sessions.models import EndReason, Guest, Status, StreamingSession
from tests.sessions.embed.visitors import SITE, embed_of
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

ACROSS_THREADS = pytest.mark.django_db(transaction=True)
SESSIONS = "/admin/avatar_sessions/streamingsession/"


@pytest.mark.parametrize("status", list(Status))
def test_a_session_in_any_status_has_a_page(admin_client: Client, status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    session.events.create(number=1, source="portal", kind="requested", previous_hash="", hash="")
    session.utterances.create(who="avatar", by="voice", text="Hola", source="browser")
    assert admin_client.get(SESSIONS).status_code == 200
    assert admin_client.get(f"{SESSIONS}{session.pk}/change/").status_code == 200


@pytest.mark.parametrize(("is_paid", "shown"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_a_sessions_page_shows_what_the_provider_answered(
    admin_client: Client, is_paid: bool | None, shown: str
) -> None:
    """Requirement 22."""
    limit = timedelta(minutes=7, seconds=13)
    session = StreamingSessionFactory.create(is_paid=is_paid, provider_duration_limit=limit)
    page = admin_client.get(f"{SESSIONS}{session.pk}/change/", headers={"accept-language": "en"}).content.decode()
    assert f'title="{shown}"' in page.partition("Billed by the provider")[2].partition("<label")[0]
    assert "7 min 13 s" in page


def test_an_id_that_is_none_leads_back_to_the_site_on_every_page(admin_client: Client) -> None:
    for model in admin.site._registry:
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=["no-such-id"])
        answer = admin_client.get(page)
        assert (page, answer.status_code, answer.headers["Location"]) == (page, 302, reverse("admin:index"))


def test_history_cannot_be_added_changed_or_deleted(admin_client: Client) -> None:
    session = StreamingSessionFactory.create()
    assert admin_client.get(f"{SESSIONS}add/").status_code == 403
    assert admin_client.post(f"{SESSIONS}{session.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{SESSIONS}{session.pk}/change/", {"status": "ended"}).status_code == 403
    admin_client.post(SESSIONS, {"action": "delete_selected", "_selected_action": [session.pk], "post": "yes"})
    session.refresh_from_db()
    assert session.status == Status.LIVE


@pytest.mark.parametrize("query", ["ana", "their-id", "Lucía", "not-there", "%"])
def test_search_finds_sessions_by_user_persona_and_provider_id(admin_client: Client, query: str) -> None:
    session = StreamingSessionFactory.create(user__username="ana", provider_session_id="their-id")
    found = admin_client.get(SESSIONS, {"q": query}).context["cl"].queryset
    assert list(found) == ([session] if query in ("ana", "their-id", "Lucía") else [])


def test_staff_see_the_sessions_of_guests_as_such(admin_client: Client) -> None:
    of_user = StreamingSessionFactory.create(user__username="ana")
    embed = embed_of()
    guest = Guest.objects.create(embed=embed, origin=SITE, device="a", network="b")
    of_guest = StreamingSessionFactory.create(user=None, guest=guest, persona=embed.persona)
    for owner, sessions in (("guests", [of_guest]), ("users", [of_user])):
        page = admin_client.get(SESSIONS, {"owner": owner}, headers={"accept-language": "en"})
        assert list(page.context["cl"].queryset) == sessions
        assert set(export_filters.select(export_filters.of_query_string({"owner": owner}, 0))) == set(sessions)
        assert (f"Guest {guest.pk.hex[:8]}" in page.content.decode()) == (owner == "guests")
    assert set(admin_client.get(SESSIONS, {"owner": "nonsense"}).context["cl"].queryset) == {of_guest, of_user}
    with pytest.raises(export_filters.UnknownFilter):
        export_filters.of_query_string({"owner": "nonsense"}, 0)


def press_stop(client: Client, *sessions: StreamingSession, reason: str = "Fire drill today") -> list[tuple[str, str]]:
    """Stop these sessions with the list's action and return the page's messages."""
    choice = {"action": "stop", "reason": reason, "_selected_action": [str(session.pk) for session in sessions]}
    page: Any = client.post(SESSIONS, choice, follow=True, headers={"accept-language": "en"})
    return [(message.level_tag, str(message)) for message in page.context["messages"]]


@ACROSS_THREADS
def test_staff_stop_running_sessions_only_once(admin_client: Client, provider: Mock) -> None:
    """Requirement 49. A second press changes nothing."""
    live = StreamingSessionFactory.create(provider_session_id="theirs", user__username="ana")
    ended, stopping = (StreamingSessionFactory.create(status=status) for status in (Status.ENDED, Status.STOPPING))
    shown = press_stop(admin_client, live, ended, stopping, reason=" Fire drill today ")
    before = "1 session is being stopped. Its provider has not responded yet."
    assert shown == [("warning", f"1 session has ended. {before}")]
    assert press_stop(admin_client, live) == [("warning", "All selected sessions had already ended.")]
    assert press_stop(admin_client, live, stopping) == [("warning", before)]
    assert provider.stop_session.call_args_list == [call("theirs", StopReason.CLOSED)]
    staff = User.objects.get(username="admin")
    live.refresh_from_db()
    assert (live.status, live.end_reason) == (Status.ENDED, EndReason.STAFF_STOPPED)
    assert live.end_evidence == {"code": "staff_because", "user": staff.pk, "why": "Fire drill today"}
    asked = live.events.get(kind="stop_asked")
    assert asked.data == {"by": staff.pk, "from": "127.0.0.1", "reason": "Fire drill today"}
    entry = AuditEntry.objects.get(kind=AuditEntry.Kind.SESSIONS_STOPPED)
    assert (entry.by, entry.about, entry.address) == (staff, "ana", "127.0.0.1")
    assert entry.data == {"reason": "Fire drill today", "sessions": [str(live.pk)]}


@ACROSS_THREADS
@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (ProviderUnreachable("ConnectError"), "No usable response: ProviderUnreachable, ConnectError."),
        (ProviderRejected("no", code="10002", status=500), "HTTP 500, code 10002."),
    ],
)
def test_a_failed_stop_is_explained(admin_client: Client, provider: Mock, trouble: ProviderError, why: str) -> None:
    over, held_up = StreamingSessionFactory.create_batch(2)

    async def answer(provider_session_id: str, why: StopReason) -> None:
        if provider_session_id == held_up.provider_session_id:
            raise trouble

    provider.stop_session.side_effect = answer
    ((level, words),) = press_stop(admin_client, over, held_up)
    assert level == "error"
    assert words.startswith("1 session has ended. 1 session could not be stopped yet. The portal retries")
    assert words.endswith(why)
    assert (
        why in admin_client.get(f"{SESSIONS}{held_up.pk}/change/", headers={"accept-language": "en"}).content.decode()
    )


@pytest.mark.parametrize("reason", ["", "  ", "no"])
def test_a_stop_needs_a_reason(admin_client: Client, provider: Mock, reason: str) -> None:
    session = StreamingSessionFactory.create()
    assert press_stop(admin_client, session, reason=reason) == [("error", "Enter a short reason.")]
    assert StreamingSession.objects.get().status == Status.LIVE


def test_permission_to_view_does_not_allow_stopping(client: Client, provider: Mock) -> None:
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.user_permissions.add(Permission.objects.get(codename="view_streamingsession"))
    client.force_login(auditor)
    press_stop(client, StreamingSessionFactory.create())
    assert StreamingSession.objects.get().status == Status.LIVE


def test_the_list_needs_a_fixed_number_of_queries(admin_client: Client, django_assert_max_num_queries: Any) -> None:
    StreamingSessionFactory.create_batch(20)
    with django_assert_max_num_queries(20):
        admin_client.get(SESSIONS)


@pytest.mark.parametrize(
    ("rows", "answer"),
    [(["theirs"], "is open at the provider"), (["another"], "is not running there"), (None, "could not be reached")],
)
def test_staff_can_check_a_session_at_the_provider(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, rows: list[str] | None, answer: str
) -> None:
    """Requirement 71."""
    listed = [OpenSession(provider_session_id=row, status="connected", created_at=None) for row in rows or []]
    provider = Mock(spec=Provider)
    provider.list_sessions = AsyncMock(return_value=listed, side_effect=None if rows else ProviderUnreachable("down"))
    monkeypatch.setattr(providers, "opened", lambda account: nullcontext(provider))
    english = {"accept-language": "en"}
    session = StreamingSessionFactory.create(provider_session_id="theirs")
    asked = admin_client.post(f"{SESSIONS}{session.pk}/ask_provider/", {"_form_submitted": "on"}, headers=english)
    assert answer in admin_client.get(asked.headers["HX-Redirect"], headers=english).content.decode()


@pytest.mark.parametrize(
    ("status", "room", "is_offered"),
    [
        (Status.LIVE, "portal-room", True),
        (Status.CONNECTING, "portal-room", True),
        (Status.ENDED, "portal-room", False),
        (Status.LIVE, "", False),
    ],
)
def test_observing_is_offered_for_running_sessions_in_our_own_rooms(
    admin_client: Client, status: Status, room: str, is_offered: bool
) -> None:
    session = StreamingSessionFactory.create(status=status, room=room)
    page = admin_client.get(f"{SESSIONS}{session.pk}/change/").content.decode()
    assert (f"{session.pk}/observe" in page) is is_offered
