"""Costly requests are refused beyond a budget, with the time to wait."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, override_settings

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.checks import check_budgets
from heygen_portal.runtime import budgets
from sessions.models import StreamingSession
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support import servers
from tests.support.factories import EndUserFactory, ProviderAccountFactory, StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

TASKS_A_MINUTE = 120
STARTS_A_MINUTE = 30
CHECK_ROOMS_A_MINUTE = 10


def spent_until_refused(name: str, **who: Any) -> tuple[int, int]:
    """Return how often it was granted, and the seconds to wait after that."""
    for granted in range(10_000):
        try:
            budgets.spend_sync(name, **who)
        except budgets.TooManyRequests as exc:
            return granted, exc.wait_seconds
    raise AssertionError("never refused")


def test_a_spent_budget_names_the_time_to_wait() -> None:
    granted, wait = spent_until_refused("check_room", person=1)
    assert granted == 10
    assert 1 <= wait <= 60
    budgets.spend_sync("check_room", person=2)  # the other user has their own budget


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "203.0.113.7"),
    ],
)
def test_addresses_of_one_network_share_a_budget(one: str, same: str) -> None:
    granted, _ = spent_until_refused("accept_invitation", address=one)
    assert granted == 60
    with pytest.raises(budgets.TooManyRequests):
        budgets.spend_sync("accept_invitation", address=same)


def test_units_reserved_in_advance_are_all_granted_and_no_more() -> None:
    granted, _ = spent_until_refused("task", session="s", person=1)
    assert granted == TASKS_A_MINUTE


async def test_units_taken_before_the_first_message_are_all_granted_and_no_more() -> None:
    who = {"session": "s", "person": 1}
    for _ in range(TASKS_A_MINUTE):  # nor can they be piled up
        await budgets.take_in_advance("task", **who)
    granted, _ = await sync_to_async(spent_until_refused)("task", **who)
    assert granted == TASKS_A_MINUTE


async def test_a_message_paid_in_advance_does_not_ask_redis(caplog: pytest.LogCaptureFixture) -> None:
    await budgets.take_in_advance("task", session="s", person=1)
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        await budgets.spend("task", session="s", person=1)
        assert not caplog.records
        await budgets.spend("task", session="s", person=2)
        assert caplog.records  # as without the advance


@override_settings(BUDGETS={"check_room.person": "2/minute"}, BUDGET_FACTOR=3.0)
def test_settings_replace_and_multiply_budgets() -> None:
    assert spent_until_refused("check_room", person=1)[0] == 6


@pytest.mark.parametrize("wrong", [{"chek_room.person": "2/minute"}, {"task.session": "often"}, {"task": "1/second"}])
def test_an_invalid_budget_is_reported_by_the_system_check(wrong: dict[str, str]) -> None:
    with override_settings(BUDGETS=wrong):
        assert [check.id for check in check_budgets(None)] == ["heygen_portal.E010"]


@override_settings(BUDGETS={"check_room.person": "10/hour"})
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_without_redis_each_process_counts_for_itself_and_only_the_first_waits(
    fault: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets, "REDIS_TIMEOUT_S", 0.25)
    monkeypatch.setattr(budgets, "REDIS_RETRY_S", 600.0)  # Redis is asked once, however slow the machine is
    with servers.redis_process() as redis, override_settings(REDIS_URL=redis.url):
        budgets.spend_sync("check_room", person=2)
        budgets._redis_retry_at.clear()  # on a slow machine Redis may be late already
        os.kill(redis.process.pid, fault)
        caplog.clear()
        granted, wait = spent_until_refused("check_room", person=1)
        if fault == signal.SIGSTOP:
            os.kill(redis.process.pid, signal.SIGCONT)
    assert granted == 10
    assert 1 <= wait <= 360
    # A silent Redis is asked once, not by each of these.
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Redis is not available, budgets are counted in this process"
    ]


@override_settings(REDIS_URL="redis://127.0.0.1:1/0")
def test_a_process_bounds_its_own_counters() -> None:
    for person in range(budgets.MAX_LOCAL_KEYS + 50):
        budgets.spend_sync("search", person=person)
    assert len(budgets._local) == budgets.MAX_LOCAL_KEYS


BY_ADDRESS = (
    "start",
    "connect",
    "join",
    "act",
    "prepare",
    "task",
    "report",
    "check_room",
    "search",
    "export",
    "invite",
    "single_sign_on",
)


@pytest.mark.parametrize("name", BY_ADDRESS)
def test_many_accounts_behind_one_address_share_a_budget(name: str) -> None:
    with override_settings(BUDGETS={f"{name}.address": "3/minute"}):
        for person in range(3):
            budgets.spend_sync(name, person=person, address="203.0.113.7")
        with pytest.raises(budgets.TooManyRequests):
            budgets.spend_sync(name, person=9, address="203.0.113.7")
        budgets.spend_sync(name, person=9, address="203.0.113.8")


# On the socket


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
class TestOnTheSocket:
    @override_settings(BUDGETS={"start.person": "3/minute"})
    @pytest.mark.parametrize("lang", ["en", "es"])
    async def test_repeated_starts_of_one_tab_are_refused_with_the_time_to_wait(self, lang: str) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug, lang=lang) as tab:
            for _ in range(3):
                await tab.say("session.start")
                await tab.hear("session.room")
                await tab.say("session.stop")
                await tab.hear("session.status", status="ended")
            await tab.say("session.start")
            refused = await tab.hear("error", code="too_many_requests")
        assert 1 <= refused["wait_seconds"] <= 60
        assert refused["words"].startswith("Too many requests" if lang == "en" else "Demasiadas solicitudes")
        assert await StreamingSession.objects.acount() == 3

    @override_settings(BUDGETS={"task.session": "3/minute"})
    async def test_a_flood_of_texts_is_refused_by_ref(self) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug) as tab:
            await tab.go_live()
            for ref in range(5):
                await tab.say("task.send", ref=str(ref), kind="talk", text="hola")
            refused = {(await tab.hear("error", code="too_many_requests"))["ref"] for _ in range(2)}
        assert refused == {"3", "4"}

    @override_settings(BUDGETS={"start.person": "2/minute"})
    async def test_a_second_tab_of_the_same_user_shares_the_budget(self) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
            for _ in range(2):
                await tab.say("session.start")
                await tab.hear("session.room")
                await tab.say("session.stop")
                await tab.hear("session.status", status="ended")
            await other.say("session.start")
            await other.hear("error", code="too_many_requests")

    @pytest.mark.parametrize(("message", "called"), [("task.interrupt", "interrupt"), ("session.stay", "keep_alive")])
    @override_settings(BUDGETS={"act.session": "3/minute"})
    async def test_provider_calls_caused_by_one_page_are_bounded(
        self, provider: Mock, message: str, called: str
    ) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug) as tab:
            await tab.go_live()
            for _ in range(5):
                await tab.say(message)
            for _ in range(2):
                await tab.hear("error", code="too_many_requests", about=message)
            await tab.say("session.stop")
            await tab.hear("session.status", status="ended")
        assert getattr(provider, called).call_count == 3

    @override_settings(BUDGETS={"join.person": "2/minute"})
    async def test_repeated_joins_are_refused(self) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug) as tab:
            session_id = await tab.go_live()
            for _ in range(3):
                await tab.say("session.join", session_id=session_id)
            await tab.hear("error", code="too_many_requests", about="session.join")

    @override_settings(BUDGETS={"connect.person": "2/minute"})
    async def test_sockets_beyond_the_budget_are_refused(self) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug), browser(user, persona.slug):
            third = await sync_to_async(Tab)(user, persona.slug)
            assert (await third.connect(timeout=WAIT_TIMEOUT_S))[0]
            await third.hear("error", code="too_many_requests", about="connect")
            assert (await third.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4429

    @pytest.mark.parametrize(
        ("budget", "message"),
        [
            ("task", {"type": "task.send", "kind": "talk", "text": "hola", "ref": "1"}),
            ("act", {"type": "task.interrupt"}),
            ("act", {"type": "session.stay"}),
            ("report", {"type": "event.report", "kind": "frozen", "data": {}}),
            ("join", {"type": "session.join"}),
        ],
    )
    async def test_tabs_of_two_users_at_one_address_share_its_budget(
        self, budget: str, message: dict[str, Any]
    ) -> None:
        persona, people = await a_persona(), [await a_person(), await a_person()]
        with override_settings(BUDGETS={f"{budget}.address": "2/minute"}):
            async with browser(people[0], persona.slug) as one, browser(people[1], persona.slug) as other:
                for tab in (one, other):
                    content = {**message, "session_id": await tab.go_live()}
                    await tab.send_json_to(content)
                await other.send_json_to(content)
                await other.hear("error", code="too_many_requests", about=message["type"])

    @override_settings(BUDGETS={"act.person": "2/minute"})
    async def test_interruptions_are_counted_per_user_across_sessions(self) -> None:
        user, persona = await a_person(), await a_persona()
        async with browser(user, persona.slug) as tab:
            for _ in range(2):
                await tab.go_live()
                await tab.say("task.interrupt")
                await tab.say("session.stop")
                await tab.hear("session.status", status="ended")
            await tab.go_live()
            await tab.say("task.interrupt")
            await tab.hear("error", code="too_many_requests", about="task.interrupt")

    @pytest.mark.parametrize("letter", ["x", "ñ", "\U0001f600"])
    async def test_the_size_of_a_message_is_counted_in_bytes(self, letter: str) -> None:
        user, persona = await a_person(), await a_persona()
        tab = await sync_to_async(Tab)(user, persona.slug)
        assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
        await tab.send_to(text_data=letter * (64 * 1024 // len(letter.encode())))
        await tab.hear("error", code="bad_message")  # read, but not understood
        await tab.send_to(text_data=letter * (64 * 1024 // len(letter.encode()) + 1))
        await tab.hear("error", code="too_large")
        assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4413


# On pages


@pytest.mark.django_db
class TestOnPages:
    @pytest.fixture
    def person(self) -> User:
        return EndUserFactory.create()

    def test_a_device_check_room_needs_the_permission_to_talk(self, client: Client) -> None:
        client.force_login(UserFactory.create(), backend="django.contrib.auth.backends.ModelBackend")
        assert client.post("/check/room").status_code == 404

    @pytest.mark.parametrize(("accept", "kind"), [("*/*", "application/json"), ("text/html", "text/html")])
    def test_a_refusal_is_a_page_or_json_with_the_time_to_wait(
        self, client: Client, person: User, accept: str, kind: str
    ) -> None:
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        for _ in range(CHECK_ROOMS_A_MINUTE):
            assert client.post("/check/room", HTTP_ACCEPT=accept).status_code == 204
        refused = client.post("/check/room", HTTP_ACCEPT=accept, HTTP_ACCEPT_LANGUAGE="en")
        assert refused.status_code == 429
        assert 1 <= int(refused["Retry-After"]) <= 60
        assert refused["Content-Type"].startswith(kind)
        assert f"Try again in {refused['Retry-After']} second" in refused.content.decode()
        if kind == "application/json":
            refusal: dict[str, Any] = refused.json()
            assert (refusal["code"], str(refusal["wait_seconds"])) == ("too_many_requests", refused["Retry-After"])

    def test_repeated_provider_queries_by_staff_are_refused_with_the_time_to_wait(
        self, admin_client: Client, provider: Mock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(providers, "opened", lambda account: nullcontext(provider))
        provider.list_sessions.return_value = []
        session = StreamingSessionFactory.create(provider_session_id="theirs")
        change, english = f"/admin/avatar_sessions/streamingsession/{session.pk}/", {"accept-language": "en"}
        with override_settings(BUDGETS={"provider_lookup.person": "2/minute"}):
            for _ in range(4):
                admin_client.post(f"{change}ask_provider/", {"_form_submitted": "on"}, headers=english)
            page = admin_client.get(f"{change}change/", headers=english).content.decode()
        assert provider.list_sessions.call_count == 2
        assert "Too many requests. Try again in" in page

    @pytest.mark.parametrize("page", ["connection", "past"])
    def test_pages_that_query_the_provider_are_bounded(
        self, admin_client: Client, provider: Mock, monkeypatch: pytest.MonkeyPatch, page: str
    ) -> None:
        monkeypatch.setattr(providers, "opened", lambda account: nullcontext(provider))
        url = f"/admin/avatars/provideraccount/{ProviderAccountFactory.create().pk}/{page}/"
        with override_settings(BUDGETS={"provider_lookup.account": "2/minute"}):
            for _ in range(2):
                budgets.spend_sync("provider_lookup", account=ProviderAccount.objects.get().pk)
            assert admin_client.get(url).status_code == 429

    def test_a_repeated_search_url_costs_the_same_as_the_first(self, admin_client: Client) -> None:
        sessions = "/admin/avatar_sessions/streamingsession/"
        with override_settings(BUDGETS={"search.person": "4/minute"}):
            found = admin_client.post(f"{sessions}search/", {"words": "hola", "reason": "a complaint"})
            statuses = [admin_client.get(found["Location"]).status_code for _ in range(4)]
            assert admin_client.get(sessions).status_code == 200
        assert statuses == [200, 200, 200, 429]

    def test_searching_own_conversations_is_bounded(self, client: Client, person: User) -> None:
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        with override_settings(BUDGETS={"search.person": "2/minute"}):
            statuses = [client.get("/conversations/?q=hola").status_code for _ in range(3)]
            assert client.get("/conversations/").status_code == 200
        assert statuses == [200, 200, 429]

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(("how", "words"), [("header", "Demasiadas"), ("cookie", "Demasiadas"), ("", "Too many")])
    async def test_a_refused_room_is_explained_in_the_users_language(self, how: str, words: str) -> None:
        person = await sync_to_async(EndUserFactory.create)()
        client = AsyncClient()
        await client.aforce_login(person, backend="django.contrib.auth.backends.ModelBackend")
        if how == "cookie":
            client.cookies["django_language"] = "es"
        headers = {"accept-language": "es" if how == "header" else "en"}
        with override_settings(BUDGETS={"check_room.person": "1/minute"}):
            for _ in range(2):
                refused = await client.post("/check/room", headers=headers)
        assert refused.status_code == 429
        assert words in refused.content.decode()
