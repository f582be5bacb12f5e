"""A persona with the organisation's own model, in a real browser, from the text to the cited sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.page_checks import PageChecks, save_picture
from tests.browser.room_page import RoomPage, Stage
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.proof,
    pytest.mark.asyncio(loop_scope="package"),
]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

# Two personas that answer from a document of each language.
OWN_BRAINS = """
import io, os
from avatars.documents import intake
from avatars.models import Library, ModelService, Persona
from avatars.personas import publishing, versions
from heygen_portal.trail.change_log import SERVER
documents = {
    "lucia": ("es", "visitas.md", "# Visitas\\n\\nEl museo abre a las diez y cierra a las ocho en verano.\\n\\n"
              "# Entradas\\n\\nUna entrada cuesta 12,50 euros. Los domingos la entrada es gratuita."),
    "daniel": ("en", "visits.md", "# Visits\\n\\nThe museum opens at ten and closes at eight in summer.\\n\\n"
               "# Tickets\\n\\nA ticket costs 12.50 euros. On Sundays the ticket is free."),
}
service, _ = ModelService.objects.get_or_create(name="Emulated models for tests", defaults={
    "base_url": os.environ["EMULATOR_URL"] + "/v1", "api_key": os.environ["EMULATOR_API_KEY"],
    "chat_model": "emulated-chat", "input_price": 10, "output_price": 30})
for slug, (language, name, text) in documents.items():
    library = Library.objects.create(name="Museum " + language, language=language)
    intake.read(intake.add_file(library, io.BytesIO(text.encode()), name, SERVER).pk)
    persona = Persona.objects.get(slug=slug)
    persona.pk, persona.current, persona.slug, persona.version = None, None, "museum-" + language, 0
    persona.greeting = ""
    persona.status, persona.published_at = "draft", None
    persona.brain, persona.model_service, persona.library = "own", service, library
    persona.instructions, persona.quality = "You help visitors of a museum.", "low"
    persona.refused_topics = "Politics: politics, política"
    versions.save_version(persona)
    publishing.publish(persona)
"""


@dataclass(frozen=True)
class Words:
    question: str
    answer: str
    unknown: str
    refused: str
    refusal: str


WORDS = {
    "es": Words(
        "¿Cuánto cuesta una entrada?", "12,50", "¿Quién ganó el fútbol?", "Hablemos de política", "no puedo hablar"
    ),
    "en": Words("What does a ticket cost?", "12.50", "Who won the football?", "Let us talk politics", "cannot talk"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def museum(stage: Stage) -> AsyncIterator[Stage]:
    stage.portal.manage("shell", "-v0", "-c", OWN_BRAINS)
    yield stage


@pytest.mark.parametrize("language", WORDS)
async def test_an_answer_is_spoken_and_cited(chromium: Browser, museum: Stage, pictures: Path, language: str) -> None:
    words = WORDS[language]
    async with RoomPage.opened(chromium, museum, slug=f"museum-{language}", locale=language) as room:
        await room.start()
        await expect(room.page.locator("input[name=kind][value=repeat]")).to_be_hidden()
        await room.write(words.question)
        await room.wait_for_sound()
        answer = room.lines("avatar").first
        await expect(answer).to_contain_text(words.answer)
        cited = room.page.locator("a.cite").first
        await expect(cited).to_be_visible()
        await save_picture(room.page, f"room-cited-{language}")
        checks = PageChecks(room.page, language, pictures)
        await checks.check("cited", part="section[data-when~=live]")
        await save_picture(room.page, f"room-cited-dark-{language}", "dark")
        assert checks.problems == []
        async with room.page.context.expect_page() as opened:
            await cited.click()
        source = await opened.value
        await expect(source.locator("main")).to_contain_text(words.answer)
        source_checks = PageChecks(source, language, pictures)
        await source_checks.check("source")
        await save_picture(source, f"source-{language}")
        assert source_checks.problems == []
        await source.close()

        await room.page.reload()
        await expect(room.page.locator("a.cite").first).to_be_visible()
        await room.state("live", "tap")
        before = await room.page.locator("a.cite").count()
        await room.write(words.unknown)
        await expect(room.lines("avatar")).to_have_count(2)
        assert await room.page.locator("a.cite").count() == before
        await room.write(words.refused)
        await expect(room.lines("avatar").last).to_contain_text(words.refusal)
        assert room.console_errors == []


# A persona of LiveAvatar, which calls the brain with what it hears.
HEARD = """
import io
from avatars.documents import intake
from avatars.models import Library, ModelService, Persona
from avatars.personas import publishing, versions
from heygen_portal.trail.change_log import SERVER
library = Library.objects.create(name="Garden", language="en")
text = "# Weather\\n\\nThe weather today is sunny in the garden. Umbrellas are free."
intake.read(intake.add_file(library, io.BytesIO(text.encode()), "garden.md", SERVER).pk)
persona = Persona.objects.get(slug="nora")
persona.pk, persona.current, persona.slug, persona.version = None, None, "garden", 0
persona.status, persona.published_at = "draft", None
persona.brain, persona.model_service, persona.library = "own", ModelService.objects.get(name__endswith="tests"), library
persona.instructions = "You help visitors of a museum."
versions.save_version(persona)
publishing.publish(persona)
"""


async def test_what_liveavatar_hears_is_answered_and_cited(with_microphone: Browser, museum: Stage) -> None:
    museum.portal.manage("shell", "-v0", "-c", HEARD)
    async with RoomPage.opened(with_microphone, museum, slug="garden", locale="en", permissions=["microphone"]) as room:
        await room.start()
        await room.wait_for_sound()  # the opening of its knowledge base
        await room.page.click("#interrupt")
        await room.wait_for_silence()
        await room.page.click("#mic-more")
        await room.page.check("input[name=voice-mode][value=hands_free]")
        await room.page.keyboard.press("Escape")
        await room.page.click("#mic")
        answer = room.lines("avatar").filter(has_text="sunny")
        await expect(answer.first).to_be_visible()
        await expect(room.page.get_by_role("link", name="Weather").first).to_be_visible()
        await room.page.click("#end")
        await room.state("ended")
        await room.wait_until_all_ended()
    shown = museum.portal.manage("shell", "-v0", "-c", RESULT).split()
    assert shown[:2] == ["voice", "provider"]
    assert int(shown[2]) > 0
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while museum.portal.manage("shell", "-v0", "-c", LEFT).strip() != "0":
            await asyncio.sleep(0.5)


RESULT = """
from sessions.models import Answer
answer = Answer.objects.filter(task__ref__startswith="heard:").order_by("pk").first()
line = answer.session.utterances.filter(who="user", kind="talk").first()
print(line.by, line.source, len(answer.sentences))
"""
LEFT = """
from sessions.models import BrainAccess
print(BrainAccess.objects.exclude(session=None).count())
"""
