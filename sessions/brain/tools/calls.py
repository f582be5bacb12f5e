"""Tools that a model may call in an answer: bounded in number, time and size, and only with valid arguments."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avatars.tools.schemas import fits
from heygen_portal.providers.openai.messages import ToolCall, ToolSpec
from sessions.brain.tools.passages import Passage

logger = logging.getLogger(__name__)

# Of one answer.
MAX_CALLS = 6
MAX_ROUNDS = 4
ALL_CALLS_TIMEOUT_S = 20.0
MAX_ARGUMENT_CHARACTERS = 4000
MAX_RESULT_CHARACTERS = 8000
# Codes of calls that failed, for the model and for staff.
UNKNOWN, ARGUMENTS, TIMED_OUT, ERROR, TOO_MANY, INTERRUPTED, NOT_ASKED, WITHHELD = (
    "unknown_tool", "invalid_arguments", "timed_out", "error", "too_many_calls", "interrupted", "not_asked", "withheld",
)  # fmt: skip


class ToolFailed(Exception):
    """A call failed. `code` is for the model and for staff, and has no text of the conversation."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Result:
    """What the model reads of a call, and the passages that it found."""

    content: str = field(repr=False)
    passages: Sequence[Passage] = ()


Run = Callable[[Mapping[str, Any]], Awaitable[Result]]


@dataclass(frozen=True)
class Tool:
    """A tool: what the model knows of it, and what it does with valid arguments. `run` may raise ToolFailed."""

    spec: ToolSpec
    run: Run
    timeout_s: float = 5.0
    # It changes something, so it is called only if the user's own words ask for it.
    has_effects: bool = False
    # Its arguments leave the portal.
    is_external: bool = False


@dataclass(frozen=True)
class Called:
    """A call with its result. `code` is empty if it succeeded."""

    name: str
    arguments: str = field(repr=False)
    content: str = field(repr=False)
    code: str = ""
    seconds: float = 0.0
    passages: Sequence[Passage] = ()


class Calls:
    """The calls of one answer."""

    def __init__(self, tools: Sequence[Tool], may_leave: Callable[[str], bool]) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._may_leave = may_leave
        self._made = self._rounds = 0
        self._seconds_left = ALL_CALLS_TIMEOUT_S

    def has_ended(self) -> bool:
        """Count a round of calls. Return True if there were too many, or they took too long."""
        self._rounds += 1
        return self._rounds > MAX_ROUNDS or self._made >= MAX_CALLS or self._seconds_left <= 0

    def has_effects(self, name: str) -> bool:
        return name in self._tools and self._tools[name].has_effects

    def refuse(self, call: ToolCall, code: str) -> Called:
        """Count a call that is not made."""
        self._made += 1
        return Called(call.name, call.arguments, _error(code), code)

    async def make(self, call: ToolCall) -> Called:
        """Make a call. Whatever fails is told to the model as a result."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            result, code = await self._run(call), ""
        except ToolFailed as exc:
            result, code = Result(_error(exc.code)), exc.code
        seconds = loop.time() - began
        self._seconds_left -= seconds
        content = result.content[:MAX_RESULT_CHARACTERS]
        return Called(call.name, call.arguments, content, code, seconds, result.passages)

    async def _run(self, call: ToolCall) -> Result:
        self._made += 1
        if self._made > MAX_CALLS:
            raise ToolFailed(TOO_MANY)
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolFailed(UNKNOWN)
        arguments = _arguments(call.arguments, tool.spec.parameters)
        if tool.is_external and not self._may_leave(" ".join(_texts(arguments))):
            raise ToolFailed(WITHHELD)
        try:
            async with asyncio.timeout(max(0, min(tool.timeout_s, self._seconds_left))):
                return await tool.run(arguments)
        except ToolFailed:
            raise
        except TimeoutError:
            raise ToolFailed(TIMED_OUT) from None
        except Exception:
            logger.exception("the tool %s failed", tool.spec.name)
            raise ToolFailed(ERROR) from None


def _arguments(written: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that the model wrote. Raises ToolFailed if they do not fit the schema."""
    if len(written) > MAX_ARGUMENT_CHARACTERS:
        raise ToolFailed(ARGUMENTS)
    try:
        arguments = json.loads(written or "{}")
    except (ValueError, RecursionError):
        raise ToolFailed(ARGUMENTS) from None
    if not isinstance(arguments, dict) or not fits(arguments, schema):
        raise ToolFailed(ARGUMENTS)
    return arguments


def _error(code: str) -> str:
    """Return what the model reads of a failure."""
    return json.dumps({"error": code})


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
