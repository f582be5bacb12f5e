"""Check pages with axe and on a narrow phone, and take pictures of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page, ViewportSize, WebSocketRoute

from local.paths import ROOT

WIDE, NARROW = ViewportSize(width=1280, height=800), ViewportSize(width=360, height=740)
# The first few elements that reach beyond the page; none where it does not scroll sideways.
OVERFLOWING = """() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return "";
  const wide = [...document.body.querySelectorAll("*")].filter((it) => {
    const { left, right } = it.getBoundingClientRect();
    return Math.max(right, left + it.scrollWidth) > clientWidth; // words may reach beyond their own element
  });
  const names = wide.map((it) => [it.localName, it.id, ...it.classList].filter(Boolean).join("."));
  return `${scrollWidth} px: ${names.slice(0, 8).join(", ")}`;
}"""
# The portal's own pages know it by the attribute, the admin's theme by the class.
SET_THEME = """theme => {
  document.documentElement.dataset.theme = theme;
  document.documentElement.classList.toggle("dark", theme === "dark");
}"""
# In the second theme only colours differ.
RUN_AXE = """async ([rules, part]) => {
  const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  const { violations } = await axe.run(part || document, { resultTypes: ["violations"], ...only });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}"""


@cache
def axe_source() -> str:
    return (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class PageChecks:
    """Collect the problems of all states of one page.

    One run reports all of them.
    """

    page: Page
    language: str
    pictures: Path
    problems: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def check(self, state: str, *, picture: str = "", part: str = "") -> None:
        """Check with axe in both themes, and that nothing scrolls sideways at 360 px.

        `picture` is the theme, or "narrow", of a picture to save. `part` limits axe to a part of the page.
        """
        self.seen.add(state)
        if not await self.page.evaluate("'axe' in globalThis"):
            await self.page.evaluate(axe_source())
        for theme, rules in (("light", []), ("dark", ["color-contrast"])):
            await self.page.evaluate(SET_THEME, theme)
            found = await self.page.evaluate(RUN_AXE, [rules, part])
            self.problems += [f"{self.language} {state}, {theme}: {violation}" for violation in found]
            if picture == theme:
                await self.take_picture(f"{state}-{self.language}-{theme}")
        await self.page.set_viewport_size(NARROW)
        if wide := await self.page.evaluate(OVERFLOWING):
            self.problems.append(f"{self.language} {state}: scrolls sideways at 360 px, {wide}")
        if picture == "narrow":
            await self.take_picture(f"{state}-{self.language}-narrow")
        await self.page.set_viewport_size(WIDE)

    async def take_picture(self, name: str) -> None:
        """Save a picture for the documentation, if PICTURES names a folder."""
        if "PICTURES" in os.environ:
            await self.page.screenshot(path=self.pictures / f"{name}.jpg", type="jpeg", quality=55)


async def save_picture(page: Page, name: str, theme: str = "light") -> None:
    """Save a picture for the documentation, if PICTURES names a folder."""
    if folder := os.environ.get("PICTURES"):
        await page.evaluate(SET_THEME, theme)
        await page.screenshot(path=Path(folder) / f"{name}-es-{theme}.jpg", type="jpeg", quality=55)


START_MESSAGES = {"session.start", "session.stop", "queue.leave"}


class SocketProxy:
    """Proxy between page and portal.

    Forwards messages, and can send messages as the portal.
    """

    def __init__(self) -> None:
        # What begins or gives up a start does not reach the portal.
        self.blocks_start = False
        self.line: WebSocketRoute | None = None

    def connect(self, line: WebSocketRoute) -> None:
        self.line = line
        portal = line.connect_to_server()
        line.on_message(self._unless_blocked(portal.send))
        portal.on_message(line.send)

    def _unless_blocked(self, send: Callable[[str | bytes], None]) -> Callable[[str | bytes], None]:
        def forward(message: str | bytes) -> None:
            if not (self.blocks_start and json.loads(message)["type"] in START_MESSAGES):
                send(message)

        return forward

    def tell(self, kind: str, **message: Any) -> None:
        assert self.line
        self.line.send(json.dumps({"type": kind, **message}))
