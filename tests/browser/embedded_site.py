"""A site that embeds Daniel, open in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, FrameLocator, Locator, Page

from tests.browser.host_page import host
from tests.browser.page_checks import RUN_AXE, axe_source
from tests.browser.room_page import Stage, until
from tests.timeouts import WAIT_TIMEOUT_S

EMBED = """
from avatars.models import Persona
from sessions.models import PersonaEmbed
embed, _ = PersonaEmbed.objects.update_or_create(
    persona=Persona.objects.get(slug="daniel"),
    defaults=dict(is_enabled=True, origins=[{site!r}], is_page_trusted={is_trusted}, challenge={challenge!r}),
)
print("ID", embed.public_id)
"""


@dataclass
class Site:
    page: Page
    frame: FrameLocator
    url: str

    @property
    def launcher(self) -> Locator:
        return self.page.locator("avatar-chat .launcher")

    async def call(self, method: str, *arguments: str) -> None:
        """Call a method of the element, as the site's own script does."""
        await self.page.evaluate(
            "([method, args]) => document.querySelector('avatar-chat')[method](...args)", [method, list(arguments)]
        )

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """Return what the element has told the page, once there is something."""

        async def found() -> list[dict[str, Any]]:
            told: list[dict[str, Any]] = await self.page.evaluate(
                "kind => told.filter(({ type }) => type === kind)", kind
            )
            return told

        async def has_some() -> bool:
            return bool(await found())

        await until(has_some)
        return await found()

    async def answers(self) -> list[str]:
        """Return what the element has told the page of the avatar's lines, once there is one."""

        async def found() -> list[str]:
            return [line["text"] for line in await self.told("line") if line["who"] == "avatar"]

        async def has_some() -> bool:
            return bool(await found())

        await until(has_some)
        return await found()

    async def check_with_axe(self) -> list[str]:
        """Return axe's findings in the site's page and in the frame."""
        problems: list[str] = []
        for frame in self.page.frames:
            await frame.evaluate(axe_source())
            problems += await frame.evaluate(RUN_AXE, [[], ""])
        return problems


def embed(stage: Stage, site: str, *, is_trusted: bool = True, challenge: str = "never") -> str:
    code = EMBED.format(site=site, is_trusted=is_trusted, challenge=challenge)
    return stage.portal.manage("shell", "-v0", "-c", code).split("ID ")[1].split()[0]


@asynccontextmanager
async def site(
    browser: Browser,
    stage: Stage,
    *,
    attributes: str = "",
    language: str = "en",
    path: str = "/",
    microphone: bool = True,
    frames: bool = True,
    challenge: str = "never",
    **context: Any,
) -> AsyncIterator[Site]:
    """Open a site that embeds Daniel."""
    with host(stage.portal.url, language=language, microphone=microphone, frames=frames) as served:
        public_id = embed(stage, served.origin, challenge=challenge)
        served.element = f'<avatar-chat persona="{public_id}" {attributes}></avatar-chat>'
        made = await browser.new_context(**({"locale": language, "viewport": {"width": 1280, "height": 800}} | context))
        made.set_default_timeout(WAIT_TIMEOUT_S * 1000)
        page = await made.new_page()
        await page.goto(f"{served.origin}{path}")
        try:
            yield Site(page, page.frame_locator("avatar-chat iframe"), served.origin)
        finally:
            await made.close()


async def talk(it: Site, *, says: str = "What is two plus two?") -> None:
    """Talk from the closed widget to the end, in writing and by the keyboard, and erase it."""
    await it.launcher.focus()
    await it.page.keyboard.press("Enter")
    await it.told("ready")
    await it.frame.locator("#start").press("Enter")
    await it.told("live")
    await it.frame.locator("#text").fill(says)
    await it.frame.locator("#text").press("Enter")
    await it.answers()
    await it.frame.locator("#end").dispatch_event("click")
    assert (await it.told("ended"))[0]["reason"] in ("", "user_stopped")
    await it.frame.locator("#erase").click()
