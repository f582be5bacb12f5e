"""Staff's own tools in a session: as they were when it began, and with what the model may see of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from avatars.models import HttpTool, PersonaVersion
from avatars.models.persona_settings import PersonaSettings
from avatars.personas import publishing
from avatars.tools import versions
from heygen_portal.providers.openai.messages import ToolCall
from heygen_portal.trail.change_log import Actor
from sessions.brain import sources
from sessions.brain.tools import own
from sessions.brain.tools.calls import Called, Calls, Tool
from tests.support.factories import HttpToolFactory, PersonaFactory
from tests.webhooks.receiver import Receiver, answering, receiver, status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def shared_shop() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def shop(shared_shop: Receiver, settings: Any) -> Receiver:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    shared_shop.clear()
    shared_shop.behaviour = answering(status(200, b'{"state": "sent"}'))
    return shared_shop


@pytest.fixture
def tool(shop: Receiver) -> HttpTool:
    return HttpToolFactory.create(name="order_status", url=f"http://127.0.0.1:{shop.port}/v1/{{order}}")


@pytest.fixture
def version(tool: HttpTool) -> PersonaVersion:
    persona = PersonaFactory.create(published=True, brain="own", tools="end_conversation\norder_status")
    assert persona.current
    return persona.current


def call(tools: list[Tool], arguments: str = '{"order": "A1"}') -> Called:
    calls = Calls(tools, lambda text: "bluefinch" not in text)
    return async_to_sync(calls.make)(ToolCall("c1", "order_status", arguments))


def settings_of(version: PersonaVersion) -> PersonaSettings:
    return PersonaSettings.of(json.loads(json.dumps(version.snapshot())))


def test_a_session_keeps_the_tool_with_which_it_began(version: PersonaVersion, tool: HttpTool, shop: Receiver) -> None:
    before = settings_of(version)
    tool.url, tool.secret_headers = f"http://127.0.0.1:{shop.port}/v2/{{order}}", "X-Key: another-key"
    versions.save(tool, Actor())
    assert call(own.of_session(version, before)).content == '{"state": "sent"}'
    assert call(own.of_session(version, settings_of(version))).code == ""
    assert [request.line.split()[1] for request in shop.requests] == ["/v1/A1", "/v2/A1"]
    assert shop.requests[0].headers["authorization"] == "Bearer a-key-that-nobody-may-see"
    assert "authorization" not in shop.requests[1].headers


def test_a_tool_that_is_switched_off_is_not_called_by_any_session(
    version: PersonaVersion, tool: HttpTool, shop: Receiver
) -> None:
    before = settings_of(version)
    tool.is_active = False
    versions.save(tool, Actor())
    assert call(own.of_session(version, before)).code == "switched_off"
    assert own.of_session(version, settings_of(version)) == []
    assert "tools" in publishing.problems(version.persona)
    assert shop.requests == []


def test_a_persona_without_the_tool_does_not_have_it(version: PersonaVersion, tool: HttpTool) -> None:
    other = PersonaFactory.create(published=True, brain="own", tools="end_conversation").current
    assert other
    assert own.of_session(other, settings_of(version)) == []
    assert "tools" not in other.snapshot()


def test_a_test_of_a_persona_calls_nothing(version: PersonaVersion, shop: Receiver) -> None:
    tested = sources.of_version(version, 0, 0).brain.tools
    assert [each.spec.name for each in tested] == ["end_conversation", "order_status"]
    assert call(list(tested)).content == "This is a test: the tool was not called."
    assert shop.requests == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('{"order": "../admin"}', "invalid_arguments"),
        ('{"order": "A1", "url": "https://evil.test"}', "invalid_arguments"),
        ('{"order": "the \\u0062luefinch"}', "withheld"),
    ],
)
def test_arguments_that_may_not_leave_do_not(
    version: PersonaVersion, shop: Receiver, arguments: str, code: str
) -> None:
    failed = call(own.of_session(version, settings_of(version)), arguments)
    assert (failed.code, json.loads(failed.content)) == (code, {"error": code})
    assert shop.requests == []


def test_a_failure_is_told_by_its_code(version: PersonaVersion, shop: Receiver) -> None:
    shop.behaviour = answering(status(404, b"a stranger's words"))
    assert call(own.of_session(version, settings_of(version))).code == "http_404"


def test_damaged_settings_have_no_tools(version: PersonaVersion) -> None:
    stored = version.snapshot()
    stored["tools"] = {"order_status": "1 OR 1"}
    assert own.of_session(version, PersonaSettings.of(stored)) == []
