"""Answers with the emulator's model, over its real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date

import pytest

from heygen_portal.providers.openai.client import ModelClient
from sessions.brain.answering import Brain, Ended, Outcome, Sentence, answer
from sessions.brain.interfaces import Passage, Written
from sessions.brain.model_stream import stream_of
from tests.emulator.wire import Wire
from tests.sessions.brain.test_answering import Chunk
from tests.support import servers

PASSAGES = [
    Chunk(1, "Visit <us>", 2, "The museum opens at ten and closes at eight in summer. Dogs stay out & wait."),
    Chunk(2, "Tickets", None, "A ticket costs 12.50 euros."),
]


@pytest.fixture
async def client(fresh_emulator: servers.Emulator) -> AsyncIterator[ModelClient]:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        client = ModelClient(f"{wire.url}/v1", wire.api_key, first_token_timeout_s=30, total_timeout_s=30)
        yield client
        await client.aclose()


async def ask(client: ModelClient, question: str, model: str = "emulated-chat") -> tuple[list[Sentence], Ended]:
    async def search(*wordings: str) -> Sequence[Passage]:
        return PASSAGES

    async def find_written(query: str) -> Written | None:
        return None

    brain = Brain("en", fallback="Sorry.", refusal="No.", unknown="–", forbidden=["hunter2"], has_documents=True)
    parts = [
        part
        async for part in answer(
            question,
            (),
            brain,
            stream=stream_of(client, model, 500),
            search=search,
            find_written=find_written,
            today=date(2026, 11, 30),
        )
    ]
    assert isinstance(parts[-1], Ended)
    return [part for part in parts if isinstance(part, Sentence)], parts[-1]


async def test_the_model_answers_from_the_passages_and_cites_them(client: ModelClient) -> None:
    said, ended = await ask(client, "What does a ticket cost?")
    assert said == [Sentence("A ticket costs 12.50 euros.", (2,))]
    assert (ended.outcome, ended.usage.is_estimated) == (Outcome.ANSWERED, False)
    said, ended = await ask(client, "Who won the football match?")
    assert (len(said), said[0].citations, ended.outcome) == (1, (), Outcome.NO_ANSWER)


async def test_a_model_that_the_service_does_not_have_is_not_asked_twice(client: ModelClient) -> None:
    said, ended = await ask(client, "What does a ticket cost?", model="unknown")
    assert (said, ended.outcome, ended.reason) == ([Sentence("Sorry.")], Outcome.FALLBACK, "refused_404")
