"""A text is answered from a document by the emulator's model, and the passage can be read."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from avatars.models import Library, ModelService, UnansweredQuestion
from heygen_portal.providers.contract.provider import Delivered, TaskKind
from sessions.models import Answer
from tests.avatars.documents.uploads import upload
from tests.emulator.wire import Wire
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support import servers
from tests.support.factories import ModelServiceFactory

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = (
    "# Visits\n\nThe museum opens at ten and closes at eight in summer.\n\n# Tickets\n\nA ticket costs 12.50 euros."
)


@pytest.fixture
def service(fresh_emulator: servers.Emulator) -> Iterator[ModelService]:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield ModelServiceFactory.create(
            base_url=f"{wire.url}/v1", api_key=wire.api_key, chat_model="emulated-chat", input_price=10, output_price=30
        )


@pytest.fixture
def library() -> Library:
    library = Library.objects.create(name="Museum", language="en")
    upload(library, "visits.md", DOCUMENT)
    return library


async def test_a_text_is_answered_from_a_document_and_cited(
    provider: Mock, service: ModelService, library: Library
) -> None:
    provider.send_task.side_effect = [Delivered("sentence-1"), Delivered("sentence-2")]
    user = await a_person()
    persona = await a_persona(
        brain="own", language="en", model_service=service, library=library, instructions="You help visitors."
    )
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        await tab.say("task.send", ref="r1", kind="talk", text="What does a ticket cost?")
        sentence = await tab.hear("answer.sentence")
        assert sentence["text"] == "A ticket costs 12.50 euros."
        assert (await tab.hear("answer.ended"))["state"] == "answered"
        spoken = {"message": sentence["text"], "task_id": "sentence-1", "interrupted": False}
        await tab.say("event.report", kind="avatar_end_message", data=spoken)
        line = await tab.hear("utterance", who="avatar")
        assert line["text"] == sentence["text"]
        assert provider.send_task.await_args.kwargs == {"text": "A ticket costs 12.50 euros.", "kind": TaskKind.REPEAT}
        await tab.say("task.send", ref="r2", kind="talk", text="Who won the football match?")
        assert (await tab.hear("answer.ended", ref="r2"))["state"] == "no_answer"
    answer = await Answer.objects.order_by("pk").afirst()
    assert answer
    assert (answer.service, answer.model, answer.is_estimated) == (service.name, "emulated-chat", False)
    assert answer.cost > 0
    assert await sync_to_async(UnansweredQuestion.objects.count)() == 1
    [source] = sentence["sources"]
    client = Client()
    await sync_to_async(client.force_login)(user, backend="django.contrib.auth.backends.ModelBackend")
    page = (await sync_to_async(client.get)(source["url"])).content.decode()
    assert "A ticket costs 12.50 euros." in page
    assert source["title"] in page
    async with browser(user, persona.slug) as tab:
        await tab.say("session.join", session_id=str(answer.session_id))
        again = await tab.hear("utterance", who="avatar")
        assert (again["answer_to"], again["sources"]) == ("r1", sentence["sources"])
    past = (await sync_to_async(client.get)(f"/conversations/{answer.session_id}/")).content.decode()
    assert source["url"] in past
    other = source["url"].replace("/sources/1/", "/sources/9/")
    assert (await sync_to_async(client.get)(other)).status_code == 404
