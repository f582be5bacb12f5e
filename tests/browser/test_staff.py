"""An editor's work on a persona, and the accessibility of its pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.browser.page_checks import WIDE, PageChecks, axe_source
from tests.browser.room_page import SERVER_HANG_UP, Person, Stage
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

EDITOR = """
from django.contrib.auth.models import Group, User
editor, is_new = User.objects.get_or_create(username="editor", defaults={"is_staff": True})
if is_new:
    editor.set_password("a-word-for-tests")
    editor.save()
    editor.groups.add(Group.objects.get(name="Editors"))
"""
WRITTEN = """
from avatars.knowledge import versions as knowledge
from avatars.models import KnowledgeBase
for base in KnowledgeBase.objects.filter(account__kind="heygen", version=0):
    base.prompt = base.prompt.replace("9", "10") + "\\nFuera de horario contesta Inés."
    knowledge.save_version(base, None)
    KnowledgeBase.objects.filter(pk=base.pk).update(prompt=base.prompt.replace("Inés", "Nora"))
print(KnowledgeBase.objects.filter(version__gt=0)[0].pk)
"""
WHICH = "from avatars.models import Persona; print(Persona.objects.get(slug='%s').pk)"
SLUG = {"es": "lucia", "en": "daniel"}
ROLE = {"es": "Citas y precios", "en": "Accounts and bills"}
AXE_OF_FORM = "async () => (await axe.run('[data-why], #sample')).violations.map(({ id }) => id)"


async def lists(page: Page, portal_url: str, role: str) -> bool:
    """Return whether the gallery shows this role."""
    await page.goto(f"{portal_url}/")
    return await page.get_by_text(role, exact=True).count() > 0


async def press(page: Page, button: str) -> None:
    """Press a button that leads to another page, and wait for that page."""
    async with page.expect_navigation():
        await page.locator(button).last.click()


@pytest.mark.parametrize("language", ["es", pytest.param("en", marks=pytest.mark.proof)])
async def test_an_editor_changes_tries_publishes_and_rolls_back(
    chromium: Browser, stage: Stage, pictures: Path, language: str
) -> None:
    """Complaints 13, 25: a draft is heard before it is published, and no ID is typed."""
    portal, role = stage.portal, ROLE[language]
    portal.manage("shell", "-v0", "-c", EDITOR)
    async with await chromium.new_context(locale=language, viewport=WIDE, reduced_motion="reduce") as context:
        context.set_default_timeout(WAIT_TIMEOUT_S * 1000)
        page = await context.new_page()
        page_checks = PageChecks(page, language, pictures)
        console_errors: list[str] = []

        def record_error(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(SERVER_HANG_UP):
                console_errors.append(message.text)

        page.on("console", record_error)
        await Person("editor", "a-word-for-tests").sign_in(page, portal)

        # Change: errors are explained, and users do not see a saved draft yet.
        pk = portal.manage("shell", "-v0", "-c", WHICH % SLUG[language]).split()[-1]
        address = f"{portal.url}/admin/avatars/persona/{pk}/change/"
        await page.goto(address)
        await page.wait_for_selector("#why-voice_rate")
        await page.fill("input[name=role]", role)
        await page_checks.take_picture(f"staff-persona-{language}")
        await page.evaluate(axe_source())
        found = await page.evaluate(AXE_OF_FORM)
        page_checks.problems += [f"the form: {violation}" for violation in found]
        await press(page, "[name=_continue]")
        assert not await lists(page, portal.url, role)

        # Try: the room itself, in a frame of the admin.
        await page.goto(address.replace("/change/", "/try/"))
        room = page.frame_locator("iframe")
        await room.locator("#start").click()
        await room.locator("body[data-state=live]").wait_for()
        await page_checks.take_picture(f"staff-try-{language}")
        await room.locator("#end").click()
        await room.locator("body[data-state=ended]").wait_for()
        await page_checks.check("staff-try", part="main")

        # Publish, and roll back: people meet the one, then the other.
        await page.goto(address)
        await page.locator("[hx-get*=publish_one], [href*=publish_one]").first.click()
        await press(page, "#dialog button[type=submit]")
        await page.goto(address.replace("/change/", "/versions/"))
        await page_checks.check("staff-versions", picture="light", part="main")
        assert await lists(page, portal.url, role)
        await page.goto(address.replace("/change/", "/versions/"))
        await press(page, "button[name=publish]")
        assert not await lists(page, portal.url, role)

        # What else an editor writes: knowledge that drifted, and files brought in.
        pk = portal.manage("shell", "-v0", "-c", WRITTEN).split()[-1]
        await page.goto(f"{portal.url}/admin/avatars/knowledgebase/{pk}/versions/")
        await page_checks.check("staff-knowledge", picture="light", part="main")
        await page.goto(f"{portal.url}/admin/avatars/knowledgebase/import/")
        await page_checks.check("staff-import", part="main")
        await page.goto(f"{portal.url}/admin/avatars/voice/")
        await expect(page.locator("audio").first).to_be_visible()
        await page_checks.take_picture(f"staff-voices-{language}")
        assert (page_checks.problems, console_errors) == ([], [])
