from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock, call
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.utils import timezone

from heygen_portal.providers.contract.provider import LimitReached, ProviderUnreachable, RoomCommand, StopReason
from heygen_portal.runtime import budgets
from sessions.actions import send_task
from sessions.capacity import leases
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, ServerProcess, SessionEvent, SessionTask, Status, StreamingSession
from sessions.presence import tabs
from sessions.web import page_socket
from sessions.web.session_consumer import SessionConsumer
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.sessions.tampering import EVENTS, execute_as_owner
from tests.support.factories import StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider")]


async def find_session(session_id: str) -> StreamingSession:
    return await StreamingSession.objects.aget(pk=session_id)


async def test_a_conversation_from_start_to_stop(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.say("session.start")
        room = await tab.hear("session.room")
        assert (room["url"], room["token"]) == ("ws://rooms.test", "room-token")
        await tab.say("event.report", kind="first_frame", data={"ms": 312})
        live = await tab.hear("session.status", status="live")
        await tab.say("task.send", ref="1", kind="repeat", text="Hola ¿cómo estás?")
        sent = await tab.hear("task.sent")
        assert (sent["ref"], sent["text"], sent["status"]) == ("1", "Hola ¿cómo estás?", "sent")
        await tab.say("session.stop")
        ended = await tab.hear("session.status", status="ended")
        assert (ended["reason"], ended["words"]) == ("user_stopped", "You ended the conversation")
        assert (live["is_failure"], ended["is_failure"]) == (False, False)
    assert (await find_session(live["session_id"])).end_reason == EndReason.USER_STOPPED
    assert provider.stop_session.call_args_list == [call("their-session", StopReason.CLOSED)]


@pytest.mark.parametrize("odd", ["[]", "5", '{"confirmed": {"x": [1]}, "quality": [1], "seat": {}}'])
async def test_a_tab_joins_and_stops_a_session_whose_rows_were_damaged(provider: Mock, odd: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
        session_id = await tab.go_live()
        await tab.say("task.send", ref="1", kind="repeat", text="Hola")
        await tab.hear("task.sent")
        await sync_to_async(damage)(UUID(session_id), odd)
        await other.say("session.join", session_id=session_id)
        await other.hear("session.status", status="live")
        assert (await other.hear("utterance"))["text"] == "[This text could not be decrypted.]"
        await other.say("session.stop")
        await tab.hear("session.status", status="ended")


def damage(session_id: UUID, odd: str) -> None:
    events.record(session_id, Entry(EventKind.PROVIDER_RECORD, source=events.Source.PROVIDER))
    sessions, lines = "avatar_sessions_streamingsession", "avatar_sessions_utterance"
    execute_as_owner(f"UPDATE {sessions} SET persona_settings = %s, limit_by = 'x' WHERE id = %s", odd, session_id.hex)
    execute_as_owner(f"UPDATE {EVENTS} SET data = %s WHERE session_id = %s", odd, session_id.hex)
    execute_as_owner(f"UPDATE {lines} SET who = 'x', source = 'browser' WHERE session_id = %s", session_id.hex)


async def test_no_provider_credential_reaches_the_browser() -> None:
    user, persona = await a_person(), await a_persona()
    heard: list[str] = []
    async with browser(user, persona.slug) as tab:
        await tab.say("session.start")
        while not heard or '"ended"' not in heard[-1]:
            heard.append(str(await tab.receive_from(timeout=WAIT_TIMEOUT_S)))
            if '"session.room"' in heard[-1]:
                await tab.say("session.stop")
    everything = "".join(heard)
    assert "a-key-that-nobody-may-see" not in everything
    assert "their-token" not in everything


async def test_a_second_tab_follows_the_session_but_gets_no_room() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
        session_id = await tab.go_live()
        await other.say("session.join", session_id=session_id)
        await other.hear("session.status", status="live")
        await tab.say("task.send", ref="1", kind="talk", text="hola")
        assert (await other.hear("task.sent"))["text"] == "hola"
        await other.say("session.stop")
        await tab.hear("session.status", status="ended")


async def test_a_tab_that_joins_later_receives_earlier_lines() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as later:
        session_id = await tab.go_live()
        await tab.say("task.send", ref="1", kind="talk", text="¿Abrís los sábados?")
        await tab.hear("task.sent")
        data = {"task_id": "their-task", "message": "Sí, de nueve a dos."}
        await tab.say("event.report", kind="avatar_end_message", data=data)
        await tab.hear("utterance")
        await later.say("session.join", session_id=session_id)
        lines = [await later.hear("utterance"), await later.hear("utterance")]
    assert [(line["who"], line["text"]) for line in lines] == [
        ("user", "¿Abrís los sábados?"),
        ("avatar", "Sí, de nueve a dos."),
    ]


async def test_a_line_that_is_reported_twice_is_stored_once() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        for _ in range(2):
            data = {"task_id": "t-1", "message": "Hola.", "interrupted": True}
            await tab.say("event.report", kind="avatar_end_message", data=data)
        await tab.hear("utterance")
        await tab.say("task.send", ref="1", kind="talk", text="hola")
        await tab.hear("task.sent")
    session = await find_session(session_id)
    assert await session.utterances.filter(who="avatar").acount() == 1


async def test_closing_the_tab_starts_the_grace_period() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        assert (await find_session(session_id)).abandoned_at is None
    assert (await find_session(session_id)).abandoned_at is not None


async def test_a_text_that_the_database_does_not_take_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def without_database(*args: object, **kwargs: object) -> None:
        raise OperationalError("the database did not answer within 5 s")

    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        monkeypatch.setattr(send_task, "send_task", without_database)
        await tab.say("task.send", ref="1", kind="talk", text="hola")
        error = await tab.hear("error")
    assert (error["code"], error["ref"]) == ("storage_away", "1")


async def test_a_tab_that_cannot_join_is_closed_so_that_its_page_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_database(*args: object) -> None:
        raise OperationalError("the database did not answer within 5 s")

    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        async with browser(user, persona.slug) as again:
            with monkeypatch.context() as away:
                away.setattr(tabs, "enter", without_database)
                await again.say("session.join", session_id=session_id)
                assert (await again.hear("error"))["code"] == "storage_away"
                closing = await again.receive_output(WAIT_TIMEOUT_S)
            assert (closing["type"], closing["code"]) == ("websocket.close", 4503)


async def test_tabs_start_and_join_although_the_lease_of_their_process_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage of the database, a message may arrive before the lease is renewed."""
    monkeypatch.setattr(leases, "SAFE_LEASE_S", 0)

    def let_the_lease_run_out() -> None:
        ServerProcess.objects.update(lease_ends_at=timezone.now())
        tabs.expire_leases(timezone.now() + timedelta(seconds=1))
        assert not ServerProcess.objects.exists()

    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
        await sync_to_async(let_the_lease_run_out)()
        session_id = await tab.go_live()
        await sync_to_async(let_the_lease_run_out)()
        await other.say("session.join", session_id=session_id)
        await other.hear("session.status", status="live")
        session = await find_session(session_id)
        assert (await session.tabs.acount(), session.abandoned_at) == (2, None)


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_only_the_page_whose_socket_broke_during_the_start_gets_its_room_in_the_next_one(
    provider: Mock, monkeypatch: pytest.MonkeyPatch, is_noticed: bool
) -> None:
    answer, created, send = provider.new_session.return_value, asyncio.Event(), SessionConsumer.send
    failures: list[str] = [] if is_noticed else ["the client has gone"]

    async def answer_late(*args: object, **kwargs: object) -> object:
        await created.wait()
        return answer

    async def fail_once(consumer: SessionConsumer, text_data: str) -> None:
        if failures and json.loads(text_data)["type"] == "session.room":
            raise ConnectionResetError(failures.pop())
        await send(consumer, text_data=text_data)

    provider.new_session.side_effect = answer_late
    monkeypatch.setattr(SessionConsumer, "send", fail_once)
    user, persona = await a_person(), await a_persona()
    tabs = [browser(user, persona.slug) for _ in range(3)]
    async with tabs[0] as broken, tabs[1] as tab, tabs[2] as other:
        await broken.say("session.start")
        session_id = (await broken.hear("session.status", status="creating"))["session_id"]
        if is_noticed:
            await broken.disconnect(timeout=WAIT_TIMEOUT_S)
        await tab.say("session.join", session_id=session_id, room=True)
        await other.say("session.join", session_id=session_id)
        for each in (tab, other):
            await each.hear("session.status", status="creating")
        created.set()
        assert (await tab.hear("session.room"))["token"] == "room-token"
        await tab.show_picture()
        heard = [await other.receive_json_from(timeout=WAIT_TIMEOUT_S)]
        while heard[-1].get("status") != "live":
            heard.append(await other.receive_json_from(timeout=WAIT_TIMEOUT_S))
        assert "session.room" not in {message["type"] for message in heard}


async def test_a_tab_that_joins_another_session_leaves_its_own_running() -> None:
    user, persona = await a_person(), await a_persona()
    ended = await sync_to_async(StreamingSessionFactory.create)(user=user, persona=persona, status=Status.ENDED)
    async with browser(user, persona.slug) as tab:
        running = await tab.go_live()
        await tab.say("session.join", session_id=str(ended.pk))
        await tab.hear("session.status", session_id=str(ended.pk))
        assert (await find_session(running)).abandoned_at is not None


async def test_a_signed_out_person_is_turned_away() -> None:
    persona = await a_persona()
    tab = await sync_to_async(Tab)(AnonymousUser(), persona.slug)
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (False, 4401)


async def test_a_person_without_a_role_is_turned_away() -> None:
    persona, user = await a_persona(), await sync_to_async(UserFactory.create)()
    tab = await sync_to_async(Tab)(user, persona.slug)
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (False, 4404)


async def test_the_socket_of_an_unknown_persona_is_refused() -> None:
    tab = await sync_to_async(Tab)(await a_person(), "nobody")
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (False, 4404)


async def test_a_socket_from_another_origin_is_refused() -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug, origin=(b"origin", b"https://elsewhere.test"))
    connected, _ = await tab.connect(timeout=WAIT_TIMEOUT_S)
    assert not connected


async def test_another_persons_session_is_not_found() -> None:
    user, persona = await a_person(), await a_persona()
    theirs = await sync_to_async(StreamingSessionFactory.create)(status=Status.LIVE)
    async with browser(user, persona.slug) as tab:
        await tab.say("session.join", session_id=str(theirs.pk))
        assert (await tab.hear("error"))["code"] == "not_found"
        await tab.say("session.stop")
        assert (await tab.hear("error"))["code"] == "no_session"
    assert (await find_session(str(theirs.pk))).status == Status.LIVE


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "null",
        '"session.start"',
        "{}",
        '{"type": null}',
        '{"type": []}',
        '{"type": "__class__"}',
        '{"type": "session.begin"}',
        '{"type": "session.stop", "x": NaN}',
        '{"type": "session.stop", "x": "\\ud800"}',
        '{"type": "session.stop", "x": "\\u0000"}',
        "[" * 5000,
    ],
)
async def test_a_malformed_message_is_answered_and_changes_nothing(text: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.send_to(text_data=text)
        assert (await tab.hear("error"))["code"] == "bad_message"
        await tab.go_live()  # and the socket still serves


@pytest.mark.parametrize("text", [r"what is \u0000 in JSON?", r"\\u0000", "\\", r"\ud800", "NaN", '{"a": "\\u0000"}'])
async def test_a_text_about_escapes_is_sent_as_typed(provider: Mock, text: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        await tab.say("task.send", ref="7", kind="talk", text=text)
        assert (await tab.hear("task.sent", ref="7"))["text"] == text
    assert provider.send_task.call_args.kwargs["text"] == text


@pytest.mark.parametrize(
    "fields",
    [
        r'"type": "task.send", "kind": "talk", "text": "a\u0000b"',
        r'"type": "task.send", "kind": "talk", "text": "\ud800"',
        r'"type": "task.send", "kind": "talk", "text": "hola", "x": {"y": ["\u0000"]}',
        r'"type": "task.send", "kind": "talk", "text": "hola", "\u0000": 1',
        r'"type": "task.send", "kind": "talk", "text": "hola", "x": -Infinity',
        r'"type": "task.send", "kind": "shout", "text": "hola"',
        r'"type": "task.send", "kind": "talk", "text": ""',
        r'"type": "task.say", "kind": "talk", "text": "hola"',
        r'"type": 1, "kind": "talk", "text": "hola"',
    ],
)
async def test_a_refused_text_is_named_in_the_answer(fields: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        await tab.send_to(text_data=f'{{{fields}, "ref": "7"}}')
        assert (await tab.hear("error"))["ref"] == "7"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "task.send", "kind": "talk", "text": ""}, "text_empty"),
        ({"type": "task.send", "kind": "talk", "text": "x" * 10_000}, "text_too_long"),
        ({"type": "task.send", "kind": "talk"}, "bad_message"),
        ({"type": "task.send", "kind": "shout", "text": "hola"}, "bad_message"),
        ({"type": "task.send", "kind": "talk", "text": ["hola"]}, "bad_message"),
        ({"type": "task.send", "kind": "talk", "text": "hola", "ref": "x" * 65}, "bad_message"),
        ({"type": "session.start"}, "already_started"),
        ({"type": "session.join", "session_id": "1; drop table"}, "not_found"),
        ({"type": "session.join", "session_id": str(uuid4())}, "not_found"),
        ({"type": "event.report", "kind": "made_up"}, "bad_message"),
        ({"type": "event.report", "kind": "room_connected", "data": [1]}, "bad_message"),
        ({"type": "event.report", "kind": "room_connected", "data": {"x": "y" * 5000}}, "bad_message"),
        ({"type": "event.report", "kind": "avatar_end_message", "data": {}}, "bad_message"),
        ({"type": "event.report", "kind": "avatar_end_message", "data": {"message": "x" * 20_000}}, "bad_message"),
    ],
)
async def test_a_wrong_message_in_a_live_session_is_explained(message: dict[str, Any], code: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug, lang="es") as tab:
        session_id = await tab.go_live()
        await tab.send_json_to(message)
        error = await tab.hear("error")
        assert (error["code"], bool(error["words"])) == (code, True)
        assert (await find_session(session_id)).status == Status.LIVE


@pytest.mark.parametrize("kind", ["task.send", "task.interrupt", "session.stay", "session.stop", "event.report"])
async def test_a_message_that_needs_a_session_is_refused_without_one(provider: Mock, kind: str) -> None:
    """Requirement 32: nothing is sent to the provider."""
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug, lang="es") as tab:
        await tab.say(kind, kind="talk", text="hola")
        error = await tab.hear("error")
        assert (error["code"], error["words"]) == ("no_session", "La sesión aún no se ha creado.")
    assert not provider.method_calls


async def test_an_oversized_message_is_explained_and_closes_the_socket() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.send_to(text_data=json.dumps({"type": "task.send", "text": "x" * 70_000}))
        assert (await tab.hear("error"))["code"] == "too_large"
        assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4413


async def test_an_unreachable_provider_ends_the_session_in_the_page_language(provider: Mock) -> None:
    provider.new_session.side_effect = ProviderUnreachable("ConnectError")
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug, lang="es") as tab:
        await tab.say("session.start")
        ended = await tab.hear("session.status", status="ended")
    assert (ended["reason"], ended["words"]) == (
        "provider_unreachable",
        "El servicio de avatares no respondió",
    )


async def test_a_failed_task_is_explained_and_may_be_retried(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        provider.send_task.side_effect = LimitReached("slow down", code="400123", status=429)
        await tab.say("task.send", ref="7", kind="talk", text="hola")
        failed = await tab.hear("task.sent", ref="7")
        assert (failed["status"], failed["code"], bool(failed["words"])) == ("failed", "provider_limit", True)
        provider.send_task.side_effect = None
        await tab.say("task.send", ref="8", kind="talk", text="hola")
        assert (await tab.hear("task.sent", ref="8"))["status"] == "sent"


COMMAND = RoomCommand("agent-control", "{}", provider_task_id="9")


async def test_a_text_that_the_page_publishes_counts_as_sent_when_it_has(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        provider.send_task.return_value = COMMAND
        await tab.say("task.send", ref="7", kind="talk", text="hola")
        order = await tab.hear("room.publish", topic="agent-control", payload="{}")
        await tab.say("room.published", id=order["id"], is_sent=True)
        assert (await tab.hear("task.sent", ref="7"))["status"] == "sent"


async def test_a_text_that_the_page_could_not_publish_has_failed_and_may_be_retried(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug, lang="es") as tab:
        session_id = await tab.go_live()
        provider.send_task.return_value = COMMAND
        await tab.say("task.send", ref="7", kind="talk", text="hola")
        order = await tab.hear("room.publish")
        await tab.say("room.published", id=order["id"], is_sent=False)
        failed = await tab.hear("task.sent", ref="7")
        assert (failed["status"], failed["code"], bool(failed["words"])) == ("failed", "not_published", True)
        await tab.say("task.send", ref="8", kind="talk", text="hola")
        order = await tab.hear("room.publish")
        await tab.say("room.published", id=order["id"], is_sent=True)
        assert (await tab.hear("task.sent", ref="8"))["status"] == "sent"
    statuses = SessionTask.objects.filter(session=UUID(session_id), sent_by=user).order_by("pk").values_list("status")
    assert [status async for (status,) in statuses] == ["failed", "sent"]


async def test_a_text_of_a_page_that_closes_before_publishing_it_has_failed(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as other, browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        await other.say("session.join", session_id=session_id)
        await other.hear("session.status")
        provider.send_task.return_value = COMMAND
        await tab.say("task.send", ref="7", kind="talk", text="hola")
        await tab.hear("room.publish")
        await tab.disconnect(timeout=WAIT_TIMEOUT_S)
        assert (await other.hear("task.sent", ref="7"))["code"] == "not_published"


async def test_an_interruption_that_the_page_could_not_publish_is_explained(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        provider.interrupt.return_value = COMMAND
        await tab.say("task.interrupt")
        order = await tab.hear("room.publish")
        await tab.say("room.published", id=order["id"], is_sent=False)
        assert (await tab.hear("error"))["code"] == "not_published"
        kinds = SessionEvent.objects.filter(session=UUID(session_id), kind="interrupted")
        assert not await kinds.aexists()


async def test_an_answer_to_no_command_or_a_second_one_changes_nothing(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        await tab.say("room.published", id=99, is_sent=True)
        provider.send_task.return_value = COMMAND
        await tab.say("task.send", ref="7", kind="talk", text="hola")
        order = await tab.hear("room.publish")
        await tab.say("room.published", id=order["id"], is_sent=True)
        await tab.say("room.published", id=order["id"], is_sent=False)
        assert (await tab.hear("task.sent", ref="7"))["status"] == "sent"
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")


async def test_a_command_is_answered_once() -> None:
    """Both answers arrive before the command's sender runs again."""
    consumer = SessionConsumer()
    answer = asyncio.get_running_loop().create_future()
    consumer.publications = {1: answer}
    for is_sent in (True, False):
        await consumer.on_published({"id": 1, "is_sent": is_sent})
    assert answer.result() is True


async def test_too_many_sockets_of_one_user_are_refused() -> None:
    user, persona = await a_person(), await a_persona()
    with suppress(budgets.TooManyRequests):
        while True:
            await budgets.spend("connect", person=user.pk, address="127.0.0.1")
    tab = await sync_to_async(partial(Tab, lang="es"))(user, persona.slug)
    assert (await tab.connect(timeout=WAIT_TIMEOUT_S))[0]
    error = await tab.receive_json_from(timeout=WAIT_TIMEOUT_S)
    assert (error["type"], error["code"], error["about"]) == ("error", "too_many_requests", "connect")
    assert 1 <= error["wait_seconds"] <= 60
    assert error["words"].startswith("Demasiadas solicitudes. Inténtalo de nuevo en")
    assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4429
    await tab.say("session.start")  # sent before the page knows
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)  # waits for the end of the handler
    assert not await StreamingSession.objects.aexists()


async def test_an_oversized_binary_message_closes_the_socket() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.send_to(bytes_data=b"\x00" * 70_000)
        assert (await tab.hear("error"))["code"] == "too_large"
        assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4413


@pytest.mark.parametrize("answer", [{}, {"id": 1}, {"id": "1", "is_sent": True}, {"id": 1, "is_sent": 1}])
async def test_a_malformed_answer_to_a_command_is_refused(answer: dict[str, Any]) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.say("room.published", **answer)
        assert (await tab.hear("error"))["code"] == "bad_message"


async def test_ten_texts_sent_at_once_arrive_once_each_in_order(provider: Mock) -> None:
    """Requirement 75."""
    answered = provider.send_task.return_value

    def take_turns() -> Callable[..., Awaitable[Any]]:
        async def answer(*args: Any, text: str, kind: Any) -> Any:
            for _ in range(10 - int(text)):  # the first takes the longest
                await asyncio.sleep(0)
            return answered

        return answer

    provider.send_task.side_effect = take_turns()
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        for number in range(10):
            await tab.say("task.send", ref=str(number), kind="repeat", text=str(number))
        await tab.hear("task.sent", ref="9")
    assert [one.kwargs["text"] for one in provider.send_task.call_args_list] == [str(n) for n in range(10)]


async def test_an_internal_error_is_explained_and_the_page_stays_usable(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        provider.interrupt.side_effect = RuntimeError("a bug")
        await tab.say("task.interrupt")
        assert (await tab.hear("error"))["code"] == "internal"
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")


async def test_a_page_learns_that_the_portal_has_no_redis(settings: Any) -> None:
    user, persona = await a_person(), await a_persona()
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    async with browser(user, persona.slug, lang="es") as tab:
        error = await tab.hear("error")
        assert (error["code"], "portal" in error["words"]) == ("unwell", True)
        assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4503


async def test_too_many_pending_messages_are_refused(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_socket, "MESSAGES_PENDING_PER_LANE", 3)
    gate = asyncio.Event()
    answered = provider.send_task.return_value

    async def wait(*args: Any, **kwargs: Any) -> Any:
        await gate.wait()
        return answered

    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        provider.send_task.side_effect = wait
        for number in range(4):
            await tab.say("task.send", ref=str(number), kind="talk", text="hola")
        assert (await tab.hear("error"))["ref"] == "3"
        gate.set()
        await tab.hear("task.sent", ref="2")


async def test_a_tab_that_closes_while_redis_is_away_starts_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object) -> None:
        raise ConnectionError("Redis is away")

    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    await tab.connect(timeout=WAIT_TIMEOUT_S)
    session_id = await tab.go_live()
    monkeypatch.setattr(type(get_channel_layer()), "group_discard", fail, raising=False)
    with suppress(ConnectionError):
        await tab.disconnect(timeout=WAIT_TIMEOUT_S)
    assert (await find_session(session_id)).abandoned_at is not None
