"""What an answer needs from outside: a model, passages of documents, written answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from heygen_portal.providers.openai.messages import Finished, Message, ToolCall
from sessions.brain.tools.passages import Passage, Search

__all__ = ["FindWritten", "ModelFailure", "Moderate", "Passage", "Search", "Stream", "Written"]


class ModelFailure(Exception):
    """The model did not answer. `code` is for staff and has no text of the conversation.

    A request that was refused, or had no response, costs nothing; `has_cost` is for others.
    """

    def __init__(self, code: str, *, can_retry: bool = True, retry_after_s: float = 0, has_cost: bool = False) -> None:
        super().__init__(code)
        self.code, self.can_retry, self.retry_after_s, self.has_cost = code, can_retry, retry_after_s, has_cost


@dataclass(frozen=True)
class Written:
    """An answer that staff wrote, spoken verbatim."""

    text: str


# Streams a model's text for messages, then its calls of tools and, last, how it finished. Closing it closes the
# request. Raises ModelFailure.
Stream = Callable[[Sequence[Message]], AsyncGenerator[str | ToolCall | Finished, None]]
# Whether a text is objectionable. Raises ModelFailure if that is not known.
Moderate = Callable[[str], Awaitable[bool]]
FindWritten = Callable[[str], Awaitable[Written | None]]
