"""Built-in tools in a conversation: what they change, what is recorded, and what the page is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.core import mail
from pytest_django.fixtures import Settings

from heygen_portal.providers.openai.messages import ToolCall
from heygen_portal.runtime import background
from sessions.audit import inspection
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, SpeechKey, StreamingSession
from tests.sessions.brain.test_turn import Model, ask, faults, on_page
from tests.sessions.tabs import Tab

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "Mi pedido es el de la tía Rosa"


@pytest.fixture
def operator(settings: Settings, db: None) -> str:
    settings.EMAIL_HOST = "mail.example.com"
    user = User.objects.create_user("operator", "operator@example.com")
    user.user_permissions.add(Permission.objects.get(codename="observe_streamingsession"))
    return user.email


def calls_tool(model: Model, name: str, arguments: str = "{}", *, then: str) -> None:
    model.says(ToolCall("c1", name, arguments))
    if name != "search_knowledge":  # it changes something: the model is asked again, with the user's own lines
        model.says(ToolCall("c1", name, arguments))
    model.says(then)


@sync_to_async
def recorded(kind: EventKind) -> list[dict[str, Any]]:
    return [dict(row.data) for row in SessionEvent.objects.filter(kind=kind).order_by("number")]


@sync_to_async
def shown_calls(*, is_open: bool) -> list[tuple[str, str, str, str]]:
    session = StreamingSession.objects.get()
    [answer] = inspection.answers_of(session, is_open=is_open)
    return [(call.name, call.code, call.arguments, call.content) for call in answer.calls]


@sync_to_async
def status_of(session_id: UUID) -> tuple[str, str]:
    return StreamingSession.objects.values_list("status", "end_reason").get(pk=session_id)


@sync_to_async
def stops_speaking(session_id: UUID, task_id: str) -> None:
    events.record(session_id, Entry(EventKind.AVATAR_STOP_TALKING, {"task_id": task_id}, events.Source.BROWSER))


async def test_a_call_is_recorded_sealed_and_shown_to_auditors(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        calls_tool(model, "search_knowledge", f'{{"query": "{SECRET}"}}', then="No lo sé.")
        assert (await tab.hear("answer.tool"))["tool"] == "search_knowledge"
        await tab.hear("answer.ended")
        [event] = await recorded(EventKind.TOOL_CALLED)
        assert (event["tool"], event["code"]) == ("search_knowledge", "")
        assert "Rosa" not in str(event)
        assert await shown_calls(is_open=False) == [("search_knowledge", "", "", "")]
        [(_name, _code, arguments, content)] = await shown_calls(is_open=True)
        assert SECRET in arguments
        assert content == ""  # a passage is named, because its document may be withdrawn
        assert event["passages"][0]["fingerprint"]
        assert await faults() == []
        await sync_to_async(SpeechKey.objects.update)(wrapped=b"", erased_at="2026-12-01T00:00Z")
        assert await shown_calls(is_open=True) == [("search_knowledge", "", "", "")]

    await on_page(test, tools="search_knowledge")


async def test_the_conversation_ends_once_the_goodbye_is_spoken(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab, "Adiós")
        calls_tool(model, "end_conversation", then="Hasta luego.")
        assert (await tab.hear("answer.sentence"))["text"] == "Hasta luego."
        await tab.hear("answer.ended")
        assert (await status_of(session_id)) == ("live", "")
        await stops_speaking(session_id, "task-1")
        ended = await tab.hear("session.status", status="ended")
        assert ended["reason"] == "persona_ended"

    await on_page(test, tools="end_conversation")


async def test_who_goes_on_talking_is_not_cut_off(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab, "Adiós")
        calls_tool(model, "end_conversation", then="Hasta luego.")
        await tab.hear("answer.ended")
        await ask(tab, "Espera, otra pregunta", ref="r2")
        model.says("Dime.")
        await tab.hear("answer.ended", ref="r2")
        await stops_speaking(session_id, "task-1")
        await stops_speaking(session_id, "task-2")
        assert (await status_of(session_id)) == ("live", "")

    await on_page(test, tools="end_conversation")


async def test_operators_are_mailed_when_a_user_asks_for_a_person(
    model: Model, sent: list[tuple[str, str]], operator: str
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab, "Quiero hablar con una persona")
        calls_tool(model, "ask_for_person", then="He avisado.")
        assert (await tab.hear("answer.tool"))["tool"] == "ask_for_person"
        await tab.hear("answer.ended")
        await tab.say("person.ask")
        assert (await tab.hear("person.asked"))["is_told"] is True
        await background.finish()
        assert len(await recorded(EventKind.PERSON_ASKED)) == 1
        assert [message.to for message in mail.outbox] == [[operator]]
        assert str(session_id) in mail.outbox[0].body

    await on_page(test, tools="ask_for_person")


async def test_a_message_is_mailed_and_kept_sealed(sent: list[tuple[str, str]], operator: str) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await tab.say("message.leave", contact="rosa@example.com", text=SECRET)
        assert (await tab.hear("message.left"))["is_mailed"] is True
        await background.finish()
        assert [message.to for message in mail.outbox] == [[operator]]
        assert mail.outbox[0].body.startswith(f"rosa@example.com\n\n{SECRET}")
        [event] = await recorded(EventKind.MESSAGE_LEFT)
        assert "rosa" not in str(event).lower()
        assert await faults() == []

    await on_page(test, tools="leave_message")


@pytest.mark.parametrize(
    ("contact", "text", "code"),
    [
        ("rosa", "Hola", "address_invalid"),
        ("rosa@example.com\nBcc: all@example.com", "Hola", "address_invalid"),
        (f"{'r' * 300}@example.com", "Hola", "address_invalid"),
        ("rosa@example.com", "  ", "text_empty"),
        ("rosa@example.com", "x" * 2001, "text_too_long"),
        ("rosa@example.com", 7, "bad_message"),
    ],
)
async def test_a_message_that_cannot_be_answered_is_refused(
    sent: list[tuple[str, str]], operator: str, contact: str, text: Any, code: str
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await tab.say("message.leave", contact=contact, text=text)
        assert (await tab.hear("error"))["code"] == code
        assert mail.outbox == []

    await on_page(test, tools="leave_message")


async def test_a_persona_without_the_tool_takes_no_message(sent: list[tuple[str, str]], operator: str) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await tab.say("message.leave", contact="rosa@example.com", text="Hola")
        assert (await tab.hear("error"))["code"] == "not_offered"
        await tab.say("person.ask")
        assert (await tab.hear("error"))["code"] == "not_offered"
        assert mail.outbox == []

    await on_page(test, tools="end_conversation")
