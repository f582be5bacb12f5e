"""Four ways to end a session, each of which suffices if the others fail."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone

from heygen_portal.providers.contract.provider import StopReason
from sessions.actions import deadlines, stop
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support.factories import EndUserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "TAB_GRACE", timedelta(0))
    monkeypatch.setattr(stop, "WORKER_HEAD_START", timedelta(0))


@pytest.fixture
def no_list(provider: Mock) -> Mock:
    """A provider whose list is unavailable, so that reconciling finds nothing."""
    provider.list_sessions.side_effect = AssertionError("the list is not read here")
    return provider


def test_faults_and_exhausted_budgets_are_shown_as_failures() -> None:
    assert EndReason.failures() == {
        "no_picture",
        "provider_ended",
        "provider_refused",
        "provider_unreachable",
        "orphan_found",
        "quota",
        "spend_cap",
    }


async def ended(session_id: str) -> tuple[str, str]:
    """Wait for the end; return the reason and the evidence code."""

    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            row = await StreamingSession.objects.aget(pk=session_id)
            if row.status == Status.ENDED:
                return row.end_reason, row.end_evidence["code"]
            await asyncio.sleep(0.01)


async def post_leave(user: User, session_id: str, tab: str) -> int:
    client = AsyncClient()
    await client.aforce_login(user, backend="django.contrib.auth.backends.ModelBackend")
    answer = await client.post(f"/sessions/{session_id}/leave", {"tab": tab})
    return answer.status_code


async def live(tab: Tab) -> tuple[str, str]:
    """Start a session; return its ID and the tab's key."""
    session_id = await tab.go_live()
    await tab.say("session.join", session_id=session_id)
    return session_id, (await tab.hear("session.status"))["tab"]


async def test_the_stop_button_alone_ends_the_session(no_list: Mock) -> None:
    """Complaint 2, 3; requirement 31.

    The tab stays open, no worker runs, and the provider reports nothing.
    """
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("session.stop")
        assert await ended(session_id) == (EndReason.USER_STOPPED, "person")
    assert no_list.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]


async def test_a_closed_socket_alone_ends_the_session(no_list: Mock, no_grace: None) -> None:
    """Complaint 2. No button was pressed and no worker runs."""
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
    assert await ended(session_id) == (EndReason.TAB_CLOSED, "tab_left")
    assert no_list.stop_session.call_args_list == [call("their-session", StopReason.LEFT)]


async def test_a_closing_pages_request_alone_ends_the_session(no_list: Mock, no_grace: None) -> None:
    """Complaint 2.

    The socket never closes, as when a laptop's lid is shut; no worker runs.
    """
    user = await a_person()
    async with browser(user, (await a_persona()).slug) as tab:
        session_id, name = await live(tab)
        assert await post_leave(user, session_id, name) == 204
        assert await ended(session_id) == (EndReason.TAB_CLOSED, "tab_left")
    left = await (await StreamingSession.objects.aget(pk=session_id)).events.aget(kind="last_tab_left")
    assert left.data == {"sign": "page"}


async def test_a_room_closed_by_the_provider_alone_ends_the_session(provider: Mock) -> None:
    """Complaint 6. The page stays open and only sees its room close; no worker runs."""
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("event.report", kind="room_disconnected", data={"reason": 5})
        assert await ended(session_id) == (EndReason.PROVIDER_ENDED, "room_closed")


async def test_the_workers_tick_alone_ends_the_session(no_list: Mock) -> None:
    """Complaints 2, 5. The page stays open and silent, as if it hung."""
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        now = timezone.now()
        await StreamingSession.objects.filter(pk=session_id).aupdate(ends_at=now, deadline_at=now)
        await stop.enforce_due(now)
        assert await ended(session_id) == (EndReason.DURATION_LIMIT, "time_up")
    assert no_list.stop_session.call_args_list == [call("their-session", StopReason.DURATION)]


async def test_a_reload_keeps_the_session(provider: Mock) -> None:
    """Complaint 7.

    The old page reports its closing and its socket closes, before or after the new one is open.
    """
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as old:
        session_id, name = await live(old)
        await post_leave(user, session_id, name)
    async with browser(user, persona.slug) as new:
        await new.say("session.join", session_id=session_id)
        await new.hear("session.status", status="live")
        row = await StreamingSession.objects.aget(pk=session_id)
        assert row.abandoned_at is None
        assert await sync_to_async(deadlines.claim_due)(timezone.now() + transitions.TAB_GRACE, [row.pk]) == []


async def test_a_page_restored_from_the_cache_joins_over_its_open_socket(provider: Mock) -> None:
    user = await a_person()
    async with browser(user, (await a_persona()).slug) as tab:
        session_id, name = await live(tab)
        await post_leave(user, session_id, name)
        await tab.say("session.join", session_id=session_id)
        await tab.hear("session.status", status="live")
        assert (await StreamingSession.objects.aget(pk=session_id)).abandoned_at is None


async def test_a_user_cannot_close_another_users_tab(provider: Mock) -> None:
    """The answer is the same, so that it reveals nothing."""
    user, stranger = await a_person(), await a_person()
    async with browser(user, (await a_persona()).slug) as tab:
        session_id, name = await live(tab)
        assert await post_leave(stranger, session_id, name) == 204
        assert await post_leave(user, session_id, "not-a-tab") == 204
        assert await post_leave(user, str(uuid4()), name) == 204
        assert (await StreamingSession.objects.aget(pk=session_id)).abandoned_at is None


@pytest.fixture
def csrf_client() -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(EndUserFactory.create(), backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_closing_a_tab_needs_the_pages_csrf_token(csrf_client: Client) -> None:
    assert csrf_client.post(f"/sessions/{uuid4()}/leave", {"tab": "x"}).status_code == 403


def test_closing_a_tab_while_signed_out_changes_nothing() -> None:
    assert Client().post(f"/sessions/{uuid4()}/leave", {"tab": "x"}).status_code == 302
