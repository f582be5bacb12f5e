"""Passages of a document: its text in parts of a few sentences, which end where a heading or page does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from avatars.documents.parsing import Block

# A passage is what a model reads and a person checks: some sentences, not a page.
TARGET_CHARACTERS = 700
MAX_CHARACTERS = 1000
MAX_CHUNKS = 20_000
HEADING_SEPARATOR = " › "
SENTENCE_END = re.compile(r"(?<=[.!?…؟。！？])[\"'»”’)\]]*\s+|(?<=[。！？])")


@dataclass(frozen=True)
class Passage:
    """One part of a document, with the headings above it."""

    heading: str
    page: int | None
    anchor: str
    text: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def split(blocks: Iterable[Block]) -> Iterator[Passage]:
    """Yield the passages of a document in their order."""
    path: list[Block] = []
    parts: list[str] = []
    first: Block | None = None

    def passage() -> Iterator[Passage]:
        if first and parts:
            heading = HEADING_SEPARATOR.join(block.text for block in path)
            yield Passage(heading, first.page, first.anchor, "\n".join(parts))

    for block in blocks:
        if block.level:
            yield from passage()
            parts = []
            path = [*(above for above in path if above.level < block.level), block]
            continue
        for part in _parts(block.text):
            is_full = sum(map(len, parts)) + len(part) > TARGET_CHARACTERS
            if parts and first and (is_full or first.page != block.page):
                yield from passage()
                parts = []
            if not parts:
                first = block
            parts.append(part)
    yield from passage()


def _parts(text: str) -> Iterator[str]:
    """Yield a paragraph, in parts that end with a sentence if it is long."""
    part = ""
    for sentence in (piece for each in SENTENCE_END.split(text) if each for piece in _pieces(each)):
        if part and len(part) + len(sentence) > MAX_CHARACTERS:
            yield part
            part = ""
        part = f"{part} {sentence}" if part else sentence
    if part:
        yield part


def _pieces(sentence: str) -> Iterator[str]:
    """Yield a sentence, cut at spaces if it is longer than a passage."""
    while len(sentence) > MAX_CHARACTERS:
        cut = sentence.rfind(" ", MAX_CHARACTERS // 2, MAX_CHARACTERS)
        cut = cut if cut > 0 else MAX_CHARACTERS
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    yield sentence
