"""The model's calls of tools are made, bounded, and their results go back to the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from avatars.tools import schemas
from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, ToolSpec, Usage
from sessions.brain import answering
from sessions.brain.answering import Brain, Ended, Outcome, Searched, Sentence, ToolBegan, ToolCalled
from sessions.brain.interfaces import ModelFailure, Passage, Written
from sessions.brain.tools import calls
from sessions.brain.tools.calls import Result, Tool, ToolFailed

SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer", "minimum": 1}},
    "required": ["number"],
    "additionalProperties": False,
}
BRAIN = Brain(language="en", fallback="Later, please.", refusal="Not that.", unknown="I do not know.")


@dataclass(frozen=True)
class Found:
    chunk_id: int = 7
    document_title: str = "Prices"
    page: int | None = None
    text: str = "A ticket costs < 5 euros."
    fingerprint: str = "abc"
    heading: str = ""


class Order:
    """A tool that remembers its arguments."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self._fails = fails
        self.tool = Tool(ToolSpec("order", "State of an order.", SCHEMA), self._run, timeout_s=0.05)

    async def _run(self, arguments: Mapping[str, Any]) -> Result:
        self.asked.append(arguments)
        if self._fails:
            raise self._fails
        return Result("It is on its way.")


def call(arguments: str, name: str = "order") -> ToolCall:
    return ToolCall("c1", name, arguments)


async def answered(
    replies: Sequence[Sequence[Any]], *tools: Tool, **brain: Any
) -> tuple[list[Any], list[Sequence[Message]]]:
    """Return the parts of an answer by a model with these replies, and what it was asked."""
    asked: list[Sequence[Message]] = []

    async def stream(messages: Sequence[Message]) -> AsyncGenerator[str | ToolCall | Finished, None]:
        asked.append(messages)
        for delta in replies[min(len(asked), len(replies)) - 1]:
            if isinstance(delta, Exception):
                raise delta
            yield delta
        yield Finished("stop", Usage(10, 1))

    async def search(*wordings: str) -> Sequence[Passage]:
        return ()

    async def find_written(question: str) -> Written | None:
        return None

    parts = answering.answer(
        "Where is my order?",
        (),
        replace(BRAIN, tools=tools, **brain),
        stream=stream,
        search=search,
        find_written=find_written,
        today=date(2026, 12, 1),
    )
    return [part async for part in parts], asked


def sentences(parts: Sequence[Any]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Sentence)]


def failures(parts: Sequence[Any]) -> list[str]:
    return [part.called.code for part in parts if isinstance(part, ToolCalled)]


async def test_the_model_reads_a_result_and_answers_in_words() -> None:
    order = Order()
    parts, asked = await answered([["One moment.", call('{"number": 3}')], ["It is on its way."]], order.tool)
    assert order.asked == [{"number": 3}]
    assert sentences(parts) == ["One moment.", "It is on its way."]
    assert parts[-1] == Ended(Outcome.ANSWERED, usage=Usage(20, 2))
    assert [(each.role, each.content) for each in asked[1][-2:]] == [
        ("assistant", "One moment."),
        ("tool", "It is on its way."),
    ]
    assert asked[1][-2].tool_calls[0].id == asked[1][-1].tool_call_id == "c1"
    [began] = [part for part in parts if isinstance(part, ToolBegan)]
    assert (began.name, failures(parts)) == ("order", [""])


async def test_arguments_of_another_form_never_reach_a_tool() -> None:
    for arguments in (
        "{",
        "[]",
        "3",
        "{}",
        '{"number": "3"}',
        '{"number": 0}',
        '{"number": 1, "url": "x"}',
        "[" * 5000,
    ):
        order = Order()
        parts, asked = await answered([[call(arguments)], ["I could not."]], order.tool)
        assert (order.asked, failures(parts)) == ([], [calls.ARGUMENTS]), arguments
        assert json.loads(asked[1][-1].content) == {"error": "invalid_arguments"}
        assert sentences(parts) == ["I could not."]


async def test_a_tool_that_is_not_switched_on_is_not_called() -> None:
    parts, _asked = await answered([[call("{}", "end_conversation")], ["Well."]], Order().tool)
    assert failures(parts) == [calls.UNKNOWN]


async def test_a_failing_tool_is_told_to_the_model_by_its_code_alone() -> None:
    for error, code in ((ToolFailed("refused"), "refused"), (RuntimeError("secret words"), calls.ERROR)):
        parts, asked = await answered([[call('{"number": 3}')], ["Sorry."]], Order(fails=error).tool)
        assert failures(parts) == [code]
        assert json.loads(asked[1][-1].content) == {"error": code}


async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    async def wait(_arguments: Mapping[str, Any]) -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    slow = Tool(ToolSpec("slow", "", {"type": "object"}), wait, timeout_s=0.01)
    parts, _asked = await answered([[call("{}", "slow")], ["Sorry."]], slow)
    assert failures(parts) == [calls.TIMED_OUT]


async def test_a_model_that_calls_for_ever_is_stopped_with_words() -> None:
    order = Order()
    parts, asked = await answered([[call('{"number": 3}')]], order.tool)
    assert len(asked) == 5
    assert len(order.asked) == 4
    assert sentences(parts) == ["Later, please."]
    assert (parts[-1].outcome, parts[-1].reason) == (Outcome.FALLBACK, "too_many_calls")


async def test_many_calls_at_once_are_bounded() -> None:
    order = Order()
    parts, _asked = await answered([[call('{"number": 3}')] * 9, ["Done."]], order.tool)
    assert len(order.asked) == 6
    assert failures(parts)[6:] == [calls.TOO_MANY] * 3


async def test_a_failure_after_a_call_asks_again_without_a_second_call() -> None:
    order = Order()
    replies: list[list[Any]] = [[call('{"number": 3}')], [ModelFailure("unreachable")], ["It is on its way."]]
    parts, asked = await answered(replies, order.tool)
    assert (len(order.asked), len(asked)) == (1, 3)
    assert sentences(parts) == ["It is on its way."]


async def test_passages_that_a_tool_finds_are_numbered_on_and_can_be_cited() -> None:
    async def run(_arguments: Mapping[str, Any]) -> Result:
        return Result("", [Found()])

    tool = Tool(ToolSpec("search_knowledge", "", {"type": "object"}), run)
    parts, asked = await answered([[call("{}", "search_knowledge")], ["Five euros. [1] Or so. [2]"]], tool)
    assert asked[1][-1].content == (
        '<passages>\n<passage number="1" title="Prices">\nA ticket costs &lt; 5 euros.\n</passage>\n</passages>'
    )
    assert [len(part.passages) for part in parts if isinstance(part, Searched)] == [0, 1]
    assert [part.citations for part in parts if isinstance(part, Sentence)] == [(1,), ()]


async def test_no_tool_is_called_after_a_withheld_sentence() -> None:
    order = Order()
    parts, asked = await answered(
        [["The word is swordfish.", call('{"number": 3}')]], order.tool, forbidden=("swordfish",)
    )
    assert (order.asked, len(asked)) == ([], 1)
    assert parts[-1].outcome == Outcome.WITHHELD


async def test_schemas_elsewhere_are_not_fetched() -> None:
    assert not schemas.fits({"a": 1}, {"$ref": "https://example.com/schema.json"})


class TestModeration:
    async def test_a_flagged_text_is_refused_before_the_model_is_asked(self) -> None:
        parts, asked = await answered([["Sure."]], moderate=self._flagging("order"))
        assert (asked, sentences(parts)) == ([], ["Not that."])
        assert parts[-1] == Ended(Outcome.REFUSED, "moderation")

    async def test_a_flagged_sentence_and_what_follows_are_not_said(self) -> None:
        parts, _asked = await answered([["Fine. You idiot. Bye."]], moderate=self._flagging("idiot"))
        assert sentences(parts) == ["Fine.", "Not that."]
        assert (parts[-1].outcome, parts[-1].reason) == (Outcome.WITHHELD, "moderation")

    async def test_nothing_is_answered_if_moderation_fails(self) -> None:
        async def fail(text: str) -> bool:
            raise ModelFailure("moderation_failed", can_retry=False)

        parts, asked = await answered([["Sure."]], moderate=fail)
        assert (asked, sentences(parts)) == ([], ["Later, please."])
        assert parts[-1] == Ended(Outcome.FALLBACK, "moderation_failed")

    def _flagging(self, word: str) -> Any:
        async def moderate(text: str) -> bool:
            return word in text

        return moderate


class TestToolsThatChangeSomething:
    """They are called only as the model calls them with nothing but the user's own lines."""

    def _tool(self, order: Order) -> Tool:
        return replace(order.tool, has_effects=True)

    async def test_an_order_in_a_document_is_not_followed(self) -> None:
        order = Order()
        replies: list[list[Any]] = [[call('{"number": 3}')], ["On its way."], ["I could not."]]
        parts, asked = await answered(replies, self._tool(order), has_documents=True)
        assert (order.asked, failures(parts)) == ([], [calls.NOT_ASKED])
        assert [part for part in parts if isinstance(part, ToolBegan)] == []
        assert json.loads(asked[2][-1].content) == {"error": "not_asked"}
        assert "<passages>" in asked[0][0].content
        assert "<passages>" not in asked[1][0].content
        assert [message.role for message in asked[1]] == ["system", "user"]
        assert parts[-1].usage == Usage(30, 3)

    async def test_the_arguments_are_those_of_the_users_words(self) -> None:
        order = Order()
        replies: list[list[Any]] = [[call('{"number": 666}')], [call('{"number": 3}')], ["Done."]]
        parts, _asked = await answered(replies, self._tool(order), has_documents=True)
        assert order.asked == [{"number": 3}]
        assert [part.called.arguments for part in parts if isinstance(part, ToolCalled)] == ['{"number": 3}']

    async def test_it_is_not_repeated_beyond_what_the_user_asked(self) -> None:
        order = Order()
        again = [call('{"number": 3}')]
        parts, _asked = await answered([again, again, again, again, ["Done."]], self._tool(order), has_documents=True)
        assert (order.asked, failures(parts)) == ([{"number": 3}], ["", calls.NOT_ASKED, calls.NOT_ASKED])

    async def test_a_model_that_has_read_nothing_else_is_asked_once(self) -> None:
        order = Order()
        _parts, asked = await answered([[call('{"number": 3}')], ["Done."]], self._tool(order))
        assert (order.asked, len(asked)) == ([{"number": 3}], 2)

    async def test_nothing_is_called_if_the_model_fails_meanwhile(self) -> None:
        order = Order()
        replies: list[list[Any]] = [[call('{"number": 3}')], [ModelFailure("stalled")], ["I could not."]]
        parts, _asked = await answered(replies, self._tool(order), has_documents=True)
        assert (order.asked, failures(parts)) == ([], [calls.NOT_ASKED])
        assert sentences(parts) == ["I could not."]
