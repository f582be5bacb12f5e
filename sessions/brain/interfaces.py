"""What an answer needs from outside: a model, passages of documents, written answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from heygen_portal.providers.openai.messages import Finished, Message


class ModelFailure(Exception):
    """The model did not answer. `code` is for staff and has no text of the conversation."""

    def __init__(self, code: str, *, can_retry: bool = True, retry_after_s: float = 0) -> None:
        super().__init__(code)
        self.code, self.can_retry, self.retry_after_s = code, can_retry, retry_after_s


class Passage(Protocol):
    """A part of a document that was found for a question."""

    @property
    def chunk_id(self) -> int: ...
    @property
    def document_title(self) -> str: ...
    @property
    def heading(self) -> str: ...
    @property
    def page(self) -> int | None: ...
    @property
    def text(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Written:
    """An answer that staff wrote, spoken verbatim."""

    text: str


# Streams a model's text for messages and, last, how it finished. Closing it closes the request. Raises ModelFailure.
Stream = Callable[[Sequence[Message]], AsyncGenerator[str | Finished, None]]
Search = Callable[[str], Awaitable[Sequence[Passage]]]
FindWritten = Callable[[str], Awaitable[Written | None]]
