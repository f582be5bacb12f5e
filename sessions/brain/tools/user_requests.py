"""Which calls the user's own words ask for.

Documents, results of tools and earlier answers may have orders in them, and a model may obey. So a tool that changes
something is called only as the model calls it when it reads nothing but the persona's rules and the user's own lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, Usage

TIMEOUT_S = 15.0

Stream = Callable[[Sequence[Message]], AsyncGenerator[str | ToolCall | Finished, None]]


class UserRequests:
    """The calls of one answer that the user asks for. The model is asked once, when the first one is taken."""

    def __init__(self, messages: Sequence[Message], stream: Stream, tokens: int) -> None:
        self.messages, self._stream = messages, stream
        self._tokens = tokens  # of the messages, as far as they can be estimated
        self._calls: list[ToolCall] | None = None
        self._finished: Finished | None = None
        self._is_asked = False

    @property
    def is_known(self) -> bool:
        return self._calls is not None

    @property
    def characters(self) -> int:
        """The length of what the model is asked."""
        return sum(len(message.content) for message in self.messages)

    @property
    def usage(self) -> Usage:
        if self._finished:
            return self._finished.usage
        return Usage(self._tokens, 0, is_estimated=True) if self._is_asked else Usage()

    def know(self, calls: Sequence[ToolCall]) -> None:
        """Take the calls of a model that has read nothing else anyway."""
        self._calls = list(calls)

    async def take(self, name: str) -> ToolCall | None:
        """Return the next call of a tool, or None if the user asks for none. Raises the stream's failures."""
        if self._calls is None:
            self._calls, self._is_asked = [], True
            async with asyncio.timeout(TIMEOUT_S), aclosing(self._stream(self.messages)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, ToolCall):
                        self._calls.append(delta)
                    elif isinstance(delta, Finished):
                        self._finished = delta
                        break
        found = next((call for call in self._calls if call.name == name), None)
        if found:
            self._calls.remove(found)
        return found
