"""A persona with the organisation's own model, in a real browser, from the text to the cited sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.page_checks import WIDE, PageChecks, save_picture
from tests.browser.room_page import Person, RoomPage, Stage
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
              "# Entradas\\n\\nUna entrada cuesta 12,50 euros. Los domingos la entrada es gratuita.\\n\\n"
              "# Salas\\n\\nLas salas del museo tienen mapas antiguos, barcos de madera, relojes de sol, monedas de "
              "plata, cuadros de marinas y muebles de la casa. Detrás de las salas del museo está el jardín."),
    "daniel": ("en", "visits.md", "# Visits\\n\\nThe museum opens at ten and closes at eight in summer.\\n\\n"
               "# Tickets\\n\\nA ticket costs 12.50 euros. On Sundays the ticket is free.\\n\\n"
               "# Rooms\\n\\nThe rooms of the museum have old maps, wooden ships, sundials, silver coins, paintings "
               "of the sea and furniture of the house. Behind the rooms of the museum is the garden."),
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
    persona.tools = "ask_for_person\\nleave_message"
    persona.starters = {"es": "¿Cuánto cuesta una entrada?\\n¿Cuándo abre el museo?",
                        "en": "What does a ticket cost?\\nWhen does the museum open?"}[language]
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
    another: str  # question
    rooms: str  # question with a long answer
    first_of_rooms: str  # in its first sentence
    person: str  # asks for a person
    told: str
    fallback: str
    letter: str


WORDS = {
    "es": Words(
        question="¿Cuánto cuesta una entrada?",
        answer="12,50",
        unknown="¿Quién ganó el fútbol?",
        refused="Hablemos de política",
        refusal="no puedo hablar",
        another="¿Cuándo abre el museo?",
        rooms="¿Qué tienen las salas del museo?",
        first_of_rooms="mapas antiguos",
        person="Quiero hablar con una persona",
        told="avisado al equipo",
        fallback="no puedo responder",
        letter="¿Se puede entrar con carrito de bebé?",
    ),
    "en": Words(
        question="What does a ticket cost?",
        answer="12.50",
        unknown="Who won the football?",
        refused="Let us talk politics",
        refusal="cannot talk",
        another="When does the museum open?",
        rooms="What do the rooms of the museum have?",
        first_of_rooms="old maps",
        person="I want to talk to a person",
        told="team has been told",
        fallback="cannot answer",
        letter="May I come with a pram?",
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def museum(stage: Stage) -> AsyncIterator[Stage]:
    stage.portal.manage("shell", "-v0", "-c", OWN_BRAINS)
    yield stage


@pytest.mark.parametrize("language", WORDS)
async def test_an_answer_is_spoken_and_cited(chromium: Browser, museum: Stage, pictures: Path, language: str) -> None:
    words = WORDS[language]
    asked = {"locale": language, "reduced_motion": "reduce"}
    async with RoomPage.opened(chromium, museum, slug=f"museum-{language}", **asked) as room:
        # A suggested question begins the conversation, and is asked once the avatar is there.
        suggested = room.page.locator("[data-when~=ready] [data-starter]")
        await expect(suggested).to_have_count(2)
        ready = PageChecks(room.page, language, pictures)
        await ready.check("suggested", part="main")
        await save_picture(room.page, f"room-suggested-{language}")
        await suggested.filter(has_text=words.question).click()
        await room.state("live")
        await expect(room.page.locator("input[name=kind][value=repeat]")).to_be_hidden()
        await expect(room.lines("user").first).to_have_text(words.question)
        await expect(room.page.locator("#composer [data-starter]")).to_have_text([words.another])
        await room.wait_for_sound()
        answer = room.lines("avatar").first
        await expect(answer).to_contain_text(words.answer)
        cited = room.page.locator("a.cite").first
        await expect(cited).to_be_visible()
        await save_picture(room.page, f"room-cited-{language}")
        checks = PageChecks(room.page, language, pictures)
        await checks.check("cited", part="section[data-when~=live]")
        await save_picture(room.page, f"room-cited-dark-{language}", "dark")
        assert ready.problems + checks.problems == []
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


@pytest.mark.parametrize("language", WORDS)
async def test_tools_failures_and_interruptions_are_seen_and_recorded(
    chromium: Browser, museum: Stage, pictures: Path, language: str
) -> None:
    words = WORDS[language]
    asked = {"locale": language, "reduced_motion": "reduce"}
    async with RoomPage.opened(chromium, museum, slug=f"museum-{language}", **asked) as room:
        page, checks = room.page, PageChecks(room.page, language, pictures)
        await room.start()
        # A tool: the model calls a person, and the form for a message opens.
        await room.write(words.person)
        await expect(room.lines("avatar").last).to_contain_text(words.told)
        await expect(page.locator("#message-form")).to_be_visible()
        await checks.check("contact", part="section[data-when~=live]")
        await save_picture(page, f"room-contact-{language}")
        await page.fill("#message-contact", "ana@example.org")
        await page.fill("#message-text", words.letter)
        await page.click("#message-form [type=submit]")
        await expect(page.locator("#message-form")).to_be_hidden()
        await expect(page.locator("#contact-state")).not_to_be_empty()
        # The model fails, before a word and then in the middle of a sentence.
        async with failing(museum, {"kind": "answer", "status": 500, "on": "chat/completions", "times": None}):
            await room.write(words.another)
            await expect(room.lines("avatar").last).to_contain_text(words.fallback)
        async with failing(museum, {"kind": "stream_cut", "after": 3, "times": None}):
            await room.write(words.question)
            await expect(room.lines("avatar").filter(has_text=words.fallback)).to_have_count(2)
        # The user interrupts while the model still writes.
        async with failing(museum, {"kind": "stream_stall", "after": 28, "times": None}):
            await room.write(words.rooms)
            await expect(room.lines("avatar").last).to_contain_text(words.first_of_rooms)
            await room.wait_for_sound()
            await page.click("#interrupt")
            await room.wait_for_silence()
        await room.write(words.question)
        await expect(room.lines("avatar").last).to_contain_text(words.answer)
        await checks.check("after-failures", part="section[data-when~=live]")
        assert checks.problems == []
        await page.click("#end")
        await room.state("ended")
    await check_record(chromium, museum, pictures, language)


async def check_record(chromium: Browser, museum: Stage, pictures: Path, language: str) -> None:
    """Read the newest session's record as an auditor."""
    session = museum.portal.manage("shell", "-v0", "-c", AUDITOR).split()[-1]
    async with await chromium.new_context(locale=language, viewport=WIDE, reduced_motion="reduce") as context:
        page = await context.new_page()
        await Person("auditor", "a-word-for-tests").sign_in(page, museum.portal)
        await page.goto(f"{museum.portal.url}/admin/avatar_sessions/streamingsession/{session}/audit/")
        answers = page.locator("section:has(> div > #answers)")
        await expect(answers.locator("ol.answers > li")).to_have_count(5)
        shown = await answers.inner_text()
        for words in ("Emulated models for tests", "emulated-chat", "ask_for_person", "refused_500", "garbled"):
            assert words in shown, words
        checks = PageChecks(page, language, pictures)
        await checks.check("record")
        assert checks.problems == []
        await answers.scroll_into_view_if_needed()
        await save_picture(page, f"record-answers-{language}")


@asynccontextmanager
async def failing(museum: Stage, fault: dict[str, object]) -> AsyncIterator[None]:
    """Have the emulator's model fail."""
    async with aiohttp.ClientSession(museum.emulator.url) as control:
        async with control.post("/_emulator/faults", json=fault) as answer:
            assert answer.ok, await answer.text()
        try:
            yield
        finally:
            await control.delete("/_emulator/faults")


AUDITOR = """
from django.contrib.auth.models import Group, User
from sessions.models import StreamingSession
auditor, is_new = User.objects.get_or_create(username="auditor", defaults={"is_staff": True})
if is_new:
    auditor.set_password("a-word-for-tests")
    auditor.save()
    auditor.groups.add(Group.objects.get(name="Auditors"))
print(StreamingSession.objects.exclude(purpose="check").order_by("-created_at").first().pk)
"""
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
