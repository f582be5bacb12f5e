"""The client of model services, against the emulator with all its faults."""

from __future__ import annotations

import asyncio
import json
import math
import traceback
from collections.abc import Sequence
from typing import Any

import pytest

from heygen_portal.providers import closing_providers
from heygen_portal.providers.contract.model_errors import ModelError, ModelGarbled, ModelRefused, ModelUnreachable
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import ChatDelta, Finished, Message, TextDelta, ToolCall, ToolSpec, Usage
from tests.emulator.wire import Wire
from tests.timeouts import WAIT_TIMEOUT_S

SYSTEM = """<passages>
<passage number="1" title="Visit" page="2">The museum opens at ten and closes at eight in summer.</passage>
</passages>"""
WHOLE = "The museum opens at ten and closes at eight in summer. [1]"
SECRET, QUESTION = "My secret is hunter2", "When does the museum open in summer?"
NOTE = ToolSpec(
    "leave_note", "Leaves a note.", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
)


async def chat(
    client: ModelClient, question: str = "When does the museum open in summer?", **more: Any
) -> list[ChatDelta]:
    messages = [Message("system", SYSTEM), Message("user", question)]
    return [delta async for delta in client.chat("emulated-chat", messages, **{"max_tokens": 100} | more)]


def said(deltas: Sequence[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_an_answer_comes_in_parts_and_ends_with_its_usage(client: ModelClient) -> None:
    deltas = await chat(client)
    assert said(deltas) == WHOLE
    assert len(deltas) == 13
    assert deltas[-1] == Finished("stop", Usage(25, 12))


async def test_an_answer_ends_at_the_limit_of_tokens(client: ModelClient) -> None:
    deltas = await chat(client, max_tokens=3)
    assert said(deltas) == "The museum opens"
    assert deltas[-1] == Finished("length", Usage(25, 3))


async def test_a_call_of_a_tool_comes_whole_and_its_result_is_told(client: ModelClient) -> None:
    first = await chat(client, 'tool: leave_note {"text": "two words"}', tools=[NOTE])
    call, end = first
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments)) == ("leave_note", {"text": "two words"})
    assert isinstance(end, Finished)
    assert end.reason == "tool_calls"
    messages = [Message("user", "note"), Message("assistant", "", (call,)), Message("tool", "noted", (), call.id)]
    second = [delta async for delta in client.chat("emulated-chat", messages, tools=[NOTE], max_tokens=9)]
    assert said(second) == "noted."


async def test_wrong_arguments_are_passed_on_as_they_came(wire: Wire, client: ModelClient) -> None:
    wire.fault("wrong_arguments")
    call, _ = await chat(client, "tool: leave_note {}", tools=[NOTE])
    assert isinstance(call, ToolCall)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(call.arguments)


async def test_half_a_surrogate_pair_is_no_obstacle(client: ModelClient) -> None:
    assert said(await chat(client, "When does the museum open in summer \ud83d?")) == WHOLE


@pytest.mark.parametrize(
    ("kind", "more", "error"),
    [
        ("cut", {"when": "before"}, ModelUnreachable),
        ("stream_cut", {"after": 4}, ModelGarbled),
        ("stream_end", {"after": 4}, ModelGarbled),
        ("stream_garbled", {"after": 4}, ModelGarbled),
        ("stream_error", {"after": 4}, ModelRefused),
        ("html", {"status": 502}, ModelRefused),
        ("html", {"status": 200}, ModelGarbled),
        ("answer", {"status": 200, "body": {"choices": "none"}}, ModelGarbled),
        ("answer", {"status": 200, "body": "[1, 2"}, ModelGarbled),
        ("answer", {"error": "server_error"}, ModelRefused),
        ("answer", {"status": 307, "body": {}}, ModelRefused),
    ],
)
async def test_each_failure_is_an_error_that_tells_nothing_that_was_said(
    wire: Wire, client: ModelClient, kind: str, more: dict[str, Any], error: type[ModelError]
) -> None:
    wire.fault(kind, **more)
    heard, raised = await failing(client)
    assert type(raised) is error
    assert WHOLE.startswith(said(heard))
    assert len(heard) == more.get("after", 0)
    shown = "".join(traceback.format_exception(raised))
    assert "hunter2" not in shown
    assert wire.api_key not in shown
    assert said(await chat(client)) == WHOLE


@pytest.mark.parametrize(("kind", "more"), [("silence", {"when": "before"}), ("stream_stall", {"after": 4})])
async def test_a_service_that_says_nothing_more_is_not_waited_for(
    wire: Wire, hasty: ModelClient, kind: str, more: dict[str, Any]
) -> None:
    wire.fault(kind, **more)
    heard, raised = await failing(hasty)
    assert type(raised) is ModelUnreachable
    assert len(heard) == more.get("after", 0)


async def failing(client: ModelClient) -> tuple[list[ChatDelta], ModelError]:
    """Return what came before the answer failed, and how it failed."""
    heard: list[ChatDelta] = []
    answer = client.chat(
        "emulated-chat", [Message("system", SYSTEM), Message("user", SECRET), Message("user", QUESTION)], max_tokens=100
    )
    try:
        async for delta in answer:
            heard.append(delta)  # noqa: PERF401 - kept when the answer fails
    except ModelError as exc:
        return heard, exc
    raise AssertionError("the answer did not fail")


async def test_a_slow_stream_is_no_failure(wire: Wire, hasty: ModelClient) -> None:
    wire.fault("stream_slow", seconds=0.1)
    assert said(await chat(hasty)) == WHOLE


async def test_the_whole_answer_has_a_limit_too(wire: Wire) -> None:
    wire.fault("stream_slow", seconds=0.05, times=None)
    client = ModelClient(f"{wire.url}/v1", wire.api_key, first_token_timeout_s=30, total_timeout_s=0.4)
    with pytest.raises(ModelUnreachable):
        await chat(client)
    await client.aclose()


@pytest.mark.parametrize(
    ("error", "status", "retry_after_s"),
    [("invalid_api_key", 401, None), ("rate_limit_exceeded", 429, 1), ("overloaded", 503, None)],
)
async def test_a_refusal_has_its_status_and_when_to_retry(
    wire: Wire, client: ModelClient, error: str, status: int, retry_after_s: float | None
) -> None:
    wire.fault("answer", error=error)
    with pytest.raises(ModelRefused) as refused:
        await chat(client)
    assert (refused.value.status, refused.value.retry_after_s) == (status, retry_after_s)
    assert refused.value.is_key_refused == (status == 401)


async def test_closing_an_answer_closes_its_request(wire: Wire, client: ModelClient) -> None:
    wire.fault("stream_stall", after=2)
    answer = client.chat(
        "emulated-chat", [Message("system", SYSTEM), Message("user", "When does the museum open?")], max_tokens=100
    )
    assert isinstance(await anext(answer), TextDelta)
    await answer.aclose()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while "ms" not in wire.http.get("/_emulator/requests").json()["requests"][-1]:
            await asyncio.sleep(0.01)
    assert said(await chat(client)) == WHOLE


async def test_cancelling_a_task_closes_its_request(wire: Wire, client: ModelClient) -> None:
    wire.fault("silence", when="before")
    task = asyncio.create_task(chat(client))
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not wire.http.get("/_emulator/requests").json()["requests"]:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while "ms" not in wire.http.get("/_emulator/requests").json()["requests"][-1]:
            await asyncio.sleep(0.01)


async def test_a_parameter_that_the_model_refuses_is_replaced(wire: Wire, client: ModelClient) -> None:
    for name in ("max_tokens", "temperature"):
        error = {"message": "Unsupported", "type": "invalid_request_error", "param": name, "code": "unsupported"}
        wire.fault("answer", status=400, body={"error": error})
        assert said(await chat(client, max_tokens=3)) == "The museum opens"
    sent = [entry["body"] for entry in wire.http.get("/_emulator/requests").json()["requests"]]
    assert [{"max_tokens", "max_completion_tokens", "temperature"} & body.keys() for body in sent] == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens"},
    ]


async def test_a_parameter_that_is_refused_again_is_an_error(wire: Wire, client: ModelClient) -> None:
    error = {"message": "Unsupported", "type": "invalid_request_error", "param": "stream_options", "code": "x"}
    wire.fault("answer", status=400, body={"error": error}, times=None)
    with pytest.raises(ModelRefused):
        await chat(client)


async def test_usage_is_estimated_if_the_service_does_not_tell(wire: Wire, client: ModelClient) -> None:
    error = {"message": "Unsupported", "type": "invalid_request_error", "param": "stream_options", "code": "x"}
    wire.fault("answer", status=400, body={"error": error})
    assert (await chat(client))[-1] == Finished("stop", Usage(56, 20, is_estimated=True))


async def test_vectors_come_in_the_order_of_their_texts(client: ModelClient) -> None:
    one, other, again = await client.embed("emulated-embedding", ["a dog", "the museum", "dogs"])
    assert one == again != other
    assert math.hypot(*one) == pytest.approx(1)


@pytest.mark.parametrize("entries", [[], [[0.1], [0.2, 0.3]], [[0.1], ["nan"]], [[0.1]], "x"])
async def test_unusable_vectors_are_refused(wire: Wire, client: ModelClient, entries: Any) -> None:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(entries)]
    wire.fault("answer", status=200, body={"data": data if entries != "x" else "x"})
    with pytest.raises(ModelGarbled):
        await client.embed("emulated-embedding", ["one", "two"])


async def test_moderation_names_what_it_found(client: ModelClient) -> None:
    found = await client.moderate("emulated-moderation", "I will kill you")
    assert (found.flagged, found.categories) == (True, ("violence",))
    assert not (await client.moderate("emulated-moderation", "Good morning")).flagged


async def test_the_models_of_a_service_are_listed(client: ModelClient) -> None:
    assert "emulated-chat" in await client.models()


@pytest.mark.parametrize(
    "address",
    ["http://api.example.com/v1", "https://user:pass@example.com/v1", "ftp://example.com", "https://x/../v1", ""],
)
async def test_the_key_is_sent_to_no_unsafe_address(address: str) -> None:
    client = ModelClient(address, "sk-key", first_token_timeout_s=5, total_timeout_s=5)
    with pytest.raises(ModelUnreachable, match="correct it in the admin"):
        await client.models()
    await client.aclose()


async def test_a_service_that_is_not_there_is_unreachable() -> None:
    client = ModelClient("http://127.0.0.1:9/v1", "sk-key", first_token_timeout_s=5, total_timeout_s=5)
    with pytest.raises(ModelUnreachable):
        await client.models()
    await client.aclose()


async def test_a_loop_shares_the_connections_of_a_service() -> None:
    async with closing_providers():
        first, same, other = (
            ModelClient.shared("https://x/v1", key, first_token_timeout_s=5, total_timeout_s=5)
            for key in ("sk-1", "sk-1", "sk-2")
        )
        assert first is same is not other
