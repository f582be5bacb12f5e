"""For every provider failure: a clear message, a recorded reason, nothing open.

Client, emulator and faults are real; only the avatars have no video and sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from heygen_portal import providers
from sessions.actions import queries, stop
from sessions.capacity import queue
from sessions.models import EndReason, QueueEntry, Status, StreamingSession
from tests.emulator.wire import TLS
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support import on_postgres, servers
from tests.support.factories import PersonaFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

AVATAR = "Lucia_public_20260101"
REFUSED = EndReason.PROVIDER_REFUSED
SILENT = EndReason.PROVIDER_UNREACHABLE
MESSAGES = {
    REFUSED: "El servicio de avatares rechazó la solicitud",
    SILENT: "El servicio de avatares no respondió",
    EndReason.PROVIDER_ENDED: "El servicio de avatares la terminó",
}


@pytest.fixture
def provider(fresh_emulator: servers.Emulator) -> servers.Emulator:
    return fresh_emulator


@pytest.fixture
async def control(provider: servers.Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{provider.url}/_emulator/", verify=TLS) as control:
        yield control


async def order(control: httpx.AsyncClient, fault: dict[str, Any]) -> None:
    (await control.post("faults", json=fault)).raise_for_status()


async def listed(control: httpx.AsyncClient, what: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await control.get(what)).json()[what]
    return rows


def at(provider: servers.Emulator, **account: Any) -> dict[str, Any]:
    """Return the factory fields of a persona at this provider."""
    account = {"base_url": provider.url, "api_key": provider.api_key, "is_exclusive": True} | account
    parts = {"avatar__provider_avatar_id": AVATAR, "voice": None, "knowledge_base": None}
    return {f"avatar__account__{name}": value for name, value in account.items()} | parts


def open_at_provider(provider: servers.Emulator) -> str:
    """Open a session that no portal knows, as after a lost answer, and return its ID."""
    order = {"version": "v2", "avatar_id": AVATAR}
    answer = httpx.post(f"{provider.url}/v1/streaming.new", headers={"x-api-key": provider.api_key}, json=order)
    opened: str = answer.raise_for_status().json()["data"]["session_id"]
    return opened


async def outcome(persona: Persona) -> tuple[dict[str, Any], StreamingSession]:
    """Press Start on a Spanish page; return the final message and the row."""
    async with browser(await a_person(), persona.slug, lang="es") as tab:
        await tab.say("session.start")
        ended = await tab.hear("session.status", status="ended")
    return ended, await StreamingSession.objects.aget(pk=ended["session_id"])


FAULTS: list[tuple[dict[str, Any], EndReason]] = [
    ({"kind": "answer", "status": 400, "body": {"code": 40012, "message": "invalid parameter"}}, REFUSED),
    ({"kind": "answer", "status": 401, "body": {"code": 400112, "message": "unauthorized"}}, REFUSED),
    ({"kind": "answer", "status": 500, "body": {"code": 1, "message": "internal"}}, SILENT),
    ({"kind": "html", "status": 200}, SILENT),
    ({"kind": "html", "status": 502}, SILENT),
    ({"kind": "cut", "when": "before"}, SILENT),
    ({"kind": "cut", "when": "after"}, SILENT),
]
# For `new` there is the queue, see below.
FULL = {"kind": "answer", "status": 429, "body": {"code": 10007, "message": "concurrent limit"}}
# `start` may give any answer that is not a refusal; `new` must return a session.
CALLS = [
    *((call, *fault) for call in ("streaming.new", "streaming.start") for fault in FAULTS),
    ("streaming.start", FULL, REFUSED),
    ("streaming.new", {"kind": "answer", "status": 200, "body": {}}, SILENT),
]


@pytest.mark.parametrize(("call", "fault", "reason"), CALLS, ids=str)
async def test_a_failing_call_ends_the_session_with_an_explanation_and_leaves_nothing_open(
    provider: servers.Emulator, control: httpx.AsyncClient, call: str, fault: dict[str, Any], reason: EndReason
) -> None:
    await order(control, {"on": call, **fault})
    ended, row = await outcome(await a_persona(**at(provider)))
    assert (ended["reason"], ended["is_failure"], ended["words"]) == (reason, True, MESSAGES[reason])
    assert (row.status, row.end_reason, bool(row.end_evidence)) == (Status.ENDED, reason, True)
    assert await listed(control, "sessions") == []


async def test_an_unreachable_provider_is_reported_as_not_responding() -> None:
    ended, row = await outcome(await a_persona(avatar__account__base_url="http://127.0.0.1:1"))
    assert (ended["words"], row.end_reason) == (MESSAGES[SILENT], SILENT)


async def test_a_refused_key_appears_in_no_message(provider: servers.Emulator) -> None:
    ended, row = await outcome(await a_persona(**at(provider, api_key="a-wrong-key")))
    assert row.end_reason == REFUSED
    assert "a-wrong-key" not in f"{ended}{row.end_evidence}"


async def test_a_missing_token_leaves_no_half_created_session(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Requirement 11."""
    fault = {"kind": "answer", "status": 200, "body": {"error": None, "data": {}}}
    await order(control, {"on": "streaming.create_token", **fault})
    _, row = await outcome(await a_persona(**at(provider)))
    assert row.status == Status.ENDED
    assert await listed(control, "sessions") == []


async def test_calls_are_made_in_the_documented_order_with_the_documented_credentials(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Requirements 6, 9, 12, 24, 31: authenticate, create, start, interact, close."""
    persona = await a_persona(**at(provider))
    async with browser(await a_person(), persona.slug) as tab:
        await tab.go_live()
        await tab.say("task.send", ref="1", kind="talk", text="hola")
        await tab.hear("task.sent", status="sent")
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
    paths = [request["path"] for request in await listed(control, "requests")]
    assert [path.rsplit(".", 1)[1] for path in paths] == ["create_token", "new", "start", "task", "stop"]


async def test_cancelling_during_creation_closes_the_session_that_the_provider_creates(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Complaint 21.

    The answer is awaited and stopped at once, without a search in the provider's list.
    """
    await order(control, {"on": "streaming.new", "kind": "delay", "seconds": 1})
    persona = await a_persona(**at(provider))
    async with browser(await a_person(), persona.slug) as tab:
        await tab.say("session.start")
        await tab.hear("session.status", status="creating")
        await tab.say("session.stop")
        ended = await tab.hear("session.status", status="ended")
    assert ended["reason"] == EndReason.USER_STOPPED
    assert await listed(control, "sessions") == []
    calls = [request["path"].rsplit(".", 1)[1] for request in await listed(control, "requests")]
    assert (calls[-1], "list" in calls) == ("stop", False)


async def test_unused_sessions_are_closed_before_a_start_is_refused(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Complaint 4. The provider has one slot, which is free by our count."""
    await control.post("rules", json={"concurrency": 1})
    orphan = await sync_to_async(open_at_provider)(provider)
    persona = await a_persona(**at(provider))
    async with browser(await a_person(), persona.slug) as tab:
        row = await StreamingSession.objects.aget(pk=await tab.go_live())
        open_there = [session["session_id"] for session in await listed(control, "sessions")]
        assert open_there == [row.provider_session_id] != [orphan]
    calls = [request["path"].rsplit(".", 1)[1] for request in await listed(control, "requests")]
    assert [call for call in calls if call in ("new", "list", "stop")][1:5] == ["new", "list", "stop", "new"]


async def test_a_user_queues_while_another_party_holds_the_slot_and_no_session_is_closed(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Complaint 4.

    Slots are free by our count, but the provider refuses. The user sees no refusal.
    """
    await control.post("rules", json={"concurrency": 1})
    theirs = await sync_to_async(open_at_provider)(provider)
    persona = await a_persona(**at(provider))
    await ProviderAccount.objects.aupdate(is_exclusive=False)
    first, second = await a_person(), await a_person()
    async with browser(first, persona.slug) as waits:
        await waits.say("session.start")
        heard = [await waits.receive_json_from(timeout=WAIT_TIMEOUT_S)]
        while heard[-1]["type"] != "queue.place":
            heard.append(await waits.receive_json_from(timeout=WAIT_TIMEOUT_S))
        assert (heard[-1]["place"], heard[-1]["waiting"]) == (1, 1)
        assert {message["type"]: message.get("status") for message in heard[:-1]} == {"session.status": "creating"}
        async with browser(second, persona.slug) as waits_too:
            await waits_too.say("session.start")
            await waits_too.hear("queue.place", place=2)
        # Alone from here on: with two free slots by our count, the quicker call would get the only one.
        assert await QueueEntry.objects.acount() == 1
        assert [session["session_id"] for session in await listed(control, "sessions")] == [theirs]
        await control.post(f"sessions/{theirs}/end", json={})
        await ProviderAccount.objects.aupdate(slots_seen_at=timezone.now() - queue.SLOTS_SEEN_TIMEOUT)
        await waits.see()
        refused = await StreamingSession.objects.aget(user=first, provider_session_id=None)
        assert (refused.status, refused.end_reason, refused.end_evidence["answer"]) == ("ended", REFUSED, "10007")
        assert [row.status async for row in queries.sessions_of_user(first.pk)] == ["live"]


def test_two_portals_on_one_account_do_not_end_each_others_sessions(
    provider: servers.Emulator, postgres_url: str
) -> None:
    """Each has its own database and sees the other only in the provider's list."""
    httpx.post(f"{provider.url}/_emulator/reset", json={}).raise_for_status()
    ours = running_at(provider)
    with on_postgres.as_default(postgres_url):
        theirs = running_at(provider)
        assert unknown_sessions_at(theirs.account) == [ours.provider_session_id]
    assert unknown_sessions_at(ours.account) == [theirs.provider_session_id]
    open_there = httpx.get(f"{provider.url}/_emulator/sessions").json()["sessions"]
    assert {ours.provider_session_id, theirs.provider_session_id} <= {row["session_id"] for row in open_there}
    with on_postgres.as_default(postgres_url):
        theirs.refresh_from_db()
        assert theirs.status == Status.LIVE
    on_postgres.flush(postgres_url)


def running_at(provider: servers.Emulator) -> StreamingSession:
    """Return a session that runs at the provider and is old enough to be listed."""
    session: StreamingSession = StreamingSessionFactory.create(
        persona=PersonaFactory.create(published=True, **at(provider, is_exclusive=False)),
        provider_session_id=open_at_provider(provider),
        created_at=timezone.now() - 2 * stop.LISTING_DELAY,
    )
    return session


def unknown_sessions_at(account: ProviderAccount) -> list[str]:
    """Reconcile this account; return the open sessions unknown in this database."""
    async_to_sync(compare)(account)
    account.refresh_from_db()
    return [row["id"] for row in account.unknown_sessions]


async def compare(account: ProviderAccount) -> None:
    async with providers.closing_providers():
        await stop.reconcile(account)


async def test_a_room_closed_by_the_provider_ends_the_session_with_that_reason(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    persona = await a_persona(**at(provider))
    async with browser(await a_person(), persona.slug, lang="es") as tab:
        session_id = await tab.go_live()
        row = await StreamingSession.objects.aget(pk=session_id)
        await tab.say("event.report", kind="room_disconnected", data={"reason": 5})  # the page is mistaken
        (await control.post(f"sessions/{row.provider_session_id}/end", json={})).raise_for_status()
        await tab.say("event.report", kind="room_disconnected", data={"reason": 5})
        ended = await tab.hear("session.status", status="ended")
    assert (ended["reason"], ended["words"]) == (EndReason.PROVIDER_ENDED, MESSAGES[EndReason.PROVIDER_ENDED])
