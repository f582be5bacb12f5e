"""Messages with odd fields are refused and cause no internal error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client, override_settings

from heygen_portal.asgi import application
from sessions.staff.board_consumer import BoardConsumer
from sessions.web import page_socket
from sessions.web.session_consumer import SessionConsumer
from tests.sessions.tabs import ORIGIN, a_person, a_persona, browser
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider_of_many")]

ODD: list[Any] = [None, True, 1.5, 10**30, "", [], {}, [None], [{}]]
FIELDS = {
    "session.start": ["take_over", "continues", "because", "quality", "encoding"],
    "session.join": ["session_id", "room"],
    "task.send": ["text", "ref", "kind"],
    "event.report": ["kind", "data", "at", "sent"],
    "board.stop": ["sessions", "reason"],
    "board.remove": ["place"],
}
COMPLETE: dict[str, dict[str, Any]] = {
    "task.send": {"text": "hola", "ref": "r", "kind": "talk"},
    "event.report": {"kind": "verdict", "data": {}},
    "board.stop": {"sessions": [], "reason": "because"},
}
DATA = ["message", "task_id", "interrupted", "rating", "step", "code", "is_final", "room", "reason", "ms"]
KINDS = ["avatar_end_message", "user_end_message", "rated", "ladder", "verdict", "room_disconnected", "first_frame"]


def messages(types: Any) -> list[dict[str, Any]]:
    """Return each message type with each of its fields replaced by each odd value."""
    return [
        {"type": kind, **COMPLETE.get(kind, {}), field: odd}
        for kind in types
        for field in FIELDS.get(kind, ["data"])
        for odd in ODD
    ]


@override_settings(BUDGET_FACTOR=1000.0)
@pytest.mark.parametrize("about", ["messages", "reports"])
async def test_no_field_of_a_pages_message_crashes_the_portal(about: str, caplog: pytest.LogCaptureFixture) -> None:
    user, persona = await a_person(), await a_persona()
    reports = [
        {"type": "event.report", "kind": kind, "data": {field: odd}} for kind in KINDS for field in DATA for odd in ODD
    ]
    types = set(SessionConsumer.HANDLERS) - {"session.stop", "session.start"}
    sent = messages(["session.start"]) + messages(sorted(types)) if about == "messages" else reports
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        for start in range(0, len(sent), 40):  # fewer than may be in progress at once
            for message in sent[start : start + 40]:
                await tab.send_json_to(message)
            await tab.say("task.send", ref=f"after {start}", kind="no such kind")
            await tab.hear("error", ref=f"after {start}")
    assert not [record for record in caplog.records if record.exc_info]


async def test_no_message_type_crashes_the_portal(caplog: pytest.LogCaptureFixture) -> None:
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        for odd in ODD:
            await tab.send_json_to({"type": odd})
            await tab.hear("error", code="bad_message")
    assert not caplog.records


@pytest.mark.parametrize(
    "message",
    ['{"type": "no such type"}', "[]", "{", '{"type": "task.send", "kind": "no such kind"}', '{"type": "queue.leave"}'],
)
async def test_a_page_that_keeps_sending_refused_messages_loses_its_socket(message: str) -> None:
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        with override_settings(BUDGETS={"refused_message.person": "50/minute"}):
            for _ in range(60):
                await tab.send_to(text_data=message)
            output = await tab.receive_output(timeout=WAIT_TIMEOUT_S)
            answers: list[dict[str, Any]] = []
            while output["type"] == "websocket.send":
                answers.append(json.loads(output["text"]))
                output = await tab.receive_output(timeout=WAIT_TIMEOUT_S)
    assert (output["type"], output.get("code")) == ("websocket.close", page_socket.CLOSE_TOO_MANY)
    *errors, last = answers
    assert len(errors) <= 50
    assert last["code"] == "too_many_requests"
    assert 1 <= last["wait_seconds"] <= 60


async def test_a_socket_answers_a_limited_number_of_messages_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_socket, "REFUSALS_PER_SOCKET", 20)
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        for _ in range(20):
            await tab.send_to(text_data="{}")
        for _ in range(19):
            await tab.hear("error", code="bad_message")
        assert (await tab.hear("error"))["wait_seconds"] == 10
        assert (await tab.receive_output(timeout=WAIT_TIMEOUT_S)).get("code") == page_socket.CLOSE_TOO_MANY


async def test_no_field_of_the_boards_messages_crashes_the_portal(caplog: pytest.LogCaptureFixture) -> None:
    client, staff = Client(), await sync_to_async(User.objects.create_superuser)("root", password="-")
    await sync_to_async(client.force_login)(staff, backend="django.contrib.auth.backends.ModelBackend")
    cookie = (b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode())
    board = WebsocketCommunicator(application, "/ws/board/?lang=en", headers=[ORIGIN, (b"host", b"localhost"), cookie])
    assert (await board.connect(timeout=WAIT_TIMEOUT_S))[0]
    for message in messages(sorted(BoardConsumer.HANDLERS)):
        await board.send_json_to(message)
    await board.send_json_to({"type": "no such type"})
    answer: dict[str, Any] = {}
    while answer.get("code") != "bad_message":
        answer = await board.receive_json_from(timeout=WAIT_TIMEOUT_S)
    await board.disconnect(timeout=WAIT_TIMEOUT_S)
    assert not [record for record in caplog.records if record.exc_info]
