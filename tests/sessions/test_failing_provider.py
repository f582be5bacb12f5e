"""Whatever the provider answers: a clear word in the page's language, a recorded reason, nothing left open.

Client, emulator and faults are the real ones; only avatars without picture and sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from avatars.models import Persona, ProviderAccount
from sessions import stopping
from sessions.models import EndReason, Status, StreamingSession
from tests import servers
from tests.sessions.tabs import a_person, a_persona, browser

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = EndReason.PROVIDER_REFUSED
SILENT = EndReason.PROVIDER_UNREACHABLE
WORDS = {
    REFUSED: "El servicio de avatares no la aceptó",
    SILENT: "El servicio de avatares no responde",
    EndReason.PROVIDER_ENDED: "El servicio de avatares la cortó",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[servers.Emulator]:
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture
async def control(provider: servers.Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{provider.url}/_emulator/") as control:
        (await control.post("reset", json={})).raise_for_status()
        yield control


async def order(control: httpx.AsyncClient, fault: dict[str, Any]) -> None:
    (await control.post("faults", json=fault)).raise_for_status()


async def listed(control: httpx.AsyncClient, what: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await control.get(what)).json()[what]
    return rows


async def persona_at(url: str, api_key: str) -> Persona:
    account = {"base_url": url, "api_key": api_key, "is_exclusive": True}
    chosen = {"provider_avatar_id": "Lucia_public_20260101"}
    return await a_persona(
        **{f"avatar__account__{name}": value for name, value in account.items()},
        **{f"avatar__{name}": value for name, value in chosen.items()},
        voice=None,
        knowledge_base=None,
    )


async def outcome(persona: Persona) -> tuple[dict[str, Any], StreamingSession]:
    """Press Start on a Spanish page; return what it is told at the end, and the row."""
    async with browser(await a_person(), persona.slug, lang="es") as tab:
        await tab.say("session.start")
        ended = await tab.hear("session.status", status="ended")
    return ended, await StreamingSession.objects.aget(pk=ended["session_id"])


FAULTS: list[tuple[dict[str, Any], EndReason]] = [
    ({"kind": "answer", "status": 400, "body": {"code": 40012, "message": "invalid parameter"}}, REFUSED),
    ({"kind": "answer", "status": 401, "body": {"code": 400112, "message": "unauthorized"}}, REFUSED),
    # Twice: after the first, what nobody uses is closed and the provider is asked again.
    ({"kind": "answer", "status": 429, "body": {"code": 10007, "message": "concurrent limit"}, "times": 2}, REFUSED),
    ({"kind": "answer", "status": 500, "body": {"code": 1, "message": "internal"}}, SILENT),
    ({"kind": "html", "status": 200}, SILENT),
    ({"kind": "html", "status": 502}, SILENT),
    ({"kind": "cut", "when": "before"}, SILENT),
    ({"kind": "cut", "when": "after"}, SILENT),
]
# `start` may answer anything that is not a refusal; from `new` a session must come.
CALLS = [
    *((call, *fault) for call in ("streaming.new", "streaming.start") for fault in FAULTS),
    ("streaming.new", {"kind": "answer", "status": 200, "body": {}}, SILENT),
]


@pytest.mark.parametrize(("call", "fault", "reason"), CALLS, ids=str)
async def test_a_failing_call_ends_it_in_words_and_leaves_nothing_open(
    provider: servers.Emulator, control: httpx.AsyncClient, call: str, fault: dict[str, Any], reason: EndReason
) -> None:
    await order(control, {"on": call, **fault})
    ended, row = await outcome(await persona_at(provider.url, provider.api_key))
    assert (ended["reason"], ended["words"]) == (reason, WORDS[reason])
    assert (row.status, row.end_reason, bool(row.end_evidence)) == (Status.ENDED, reason, True)
    assert await listed(control, "sessions") == []


async def test_a_provider_that_is_not_there_is_said_to_be_silent() -> None:
    ended, row = await outcome(await persona_at("http://127.0.0.1:1", "a-key"))
    assert (ended["words"], row.end_reason) == (WORDS[SILENT], SILENT)


async def test_a_wrong_key_is_refused_and_the_key_is_in_no_word_of_it(provider: servers.Emulator) -> None:
    ended, row = await outcome(await persona_at(provider.url, "a-wrong-key"))
    assert row.end_reason == REFUSED
    assert "a-wrong-key" not in f"{ended}{row.end_evidence}"


async def test_a_token_that_does_not_come_leaves_no_half_made_session(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Demand 11."""
    fault = {"kind": "answer", "status": 200, "body": {"error": None, "data": {}}}
    await order(control, {"on": "streaming.create_token", **fault})
    _, row = await outcome(await persona_at(provider.url, provider.api_key))
    assert row.status == Status.ENDED
    assert await listed(control, "sessions") == []


async def test_the_calls_go_out_in_the_documented_order_with_the_documented_credentials(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Demands 6, 9, 12, 24, 31: authenticate, create, start, interact, close."""
    persona = await persona_at(provider.url, provider.api_key)
    async with browser(await a_person(), persona.slug) as tab:
        await tab.go_live()
        await tab.say("task.send", ref="1", kind="talk", text="hola")
        await tab.hear("task.sent", status="sent")
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
    paths = [request["path"] for request in await listed(control, "requests")]
    assert [path.rsplit(".", 1)[1] for path in paths] == ["create_token", "new", "start", "task", "stop"]


async def test_cancelling_while_the_provider_still_answers_closes_what_it_answers(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Complaint 21. The answer is waited for and stopped at once: nobody has to find it in the list."""
    await order(control, {"on": "streaming.new", "kind": "delay", "seconds": 1})
    persona = await persona_at(provider.url, provider.api_key)
    async with browser(await a_person(), persona.slug) as tab:
        await tab.say("session.start")
        await tab.hear("session.status", status="creating")
        await tab.say("session.stop")
        ended = await tab.hear("session.status", status="ended")
    assert ended["reason"] == EndReason.USER_STOPPED
    assert await listed(control, "sessions") == []
    calls = [request["path"].rsplit(".", 1)[1] for request in await listed(control, "requests")]
    assert (calls[-1], "list" in calls) == ("stop", False)


async def test_two_portals_on_one_account_do_not_end_each_other_s_sessions(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    """Two account rows with one key know as little of each other's sessions as two portals do."""
    ours, theirs = [await persona_at(provider.url, provider.api_key) for _ in range(2)]
    await ProviderAccount.objects.aupdate(is_exclusive=False)
    async with browser(await a_person(), theirs.slug) as tab:
        row = await StreamingSession.objects.aget(pk=await tab.go_live())
        account = await ProviderAccount.objects.aget(avatar__persona=ours)
        await stopping.reconcile(account)
        assert [session["session_id"] for session in await listed(control, "sessions")] == [row.provider_session_id]
        await account.arefresh_from_db()
        assert [stranger["id"] for stranger in account.strangers] == [row.provider_session_id]
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
    await stopping.reconcile(account)
    await account.arefresh_from_db()
    assert account.strangers == []


async def test_a_room_that_the_provider_closed_ends_the_session_for_its_reason(
    provider: servers.Emulator, control: httpx.AsyncClient
) -> None:
    persona = await persona_at(provider.url, provider.api_key)
    async with browser(await a_person(), persona.slug, lang="es") as tab:
        session_id = await tab.go_live()
        row = await StreamingSession.objects.aget(pk=session_id)
        await tab.say("event.report", kind="room_disconnected", data={"reason": 5})  # a page that is wrong about it
        (await control.post(f"sessions/{row.provider_session_id}/end", json={})).raise_for_status()
        await tab.say("event.report", kind="room_disconnected", data={"reason": 5})
        ended = await tab.hear("session.status", status="ended")
    assert (ended["reason"], ended["words"]) == (EndReason.PROVIDER_ENDED, WORDS[EndReason.PROVIDER_ENDED])
