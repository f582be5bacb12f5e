"""Passages of documents, as answers and tools find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


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


class Search(Protocol):
    async def __call__(self, *wordings: str) -> Sequence[Passage]:
        """Return the passages for a question in several wordings, those of the first one first."""
        ...
