"""The room page as a user operates it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from livekit import api
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, StorageState, WebSocket, expect

from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

# The loudest sample of the last moment of the avatar's track, as the page plays it.
PEAK_LEVEL = """() => {
  const { srcObject } = document.querySelector("#audio");
  if (!srcObject) return 0;
  if (window.heard?.stream !== srcObject) {
    const context = new AudioContext(), analyser = context.createAnalyser();
    context.createMediaStreamSource(srcObject).connect(analyser);
    window.heard = { stream: srcObject, context, analyser, samples: new Float32Array(analyser.fftSize) };
  }
  window.heard.analyser.getFloatTimeDomainData(window.heard.samples);
  return Math.max(...window.heard.samples.map(Math.abs));
}"""
# Shows a state without bringing it about.
SHOW_STATE = """async (state) => {
  const { showOnly } = await import("/static/sessions/lib/dom.js");
  showOnly("data-when", state);
  document.body.dataset.state = state;
}"""
# Keeps what the page said about faults: the next cause may replace it before a test looks.
KEEP_CAUSES = """addEventListener("DOMContentLoaded", () => {
  const why = document.querySelector("#recovering-why");
  window.causes = [];
  const changed = { childList: true, characterData: true, subtree: true };
  if (why) new MutationObserver(() => window.causes.push(why.textContent)).observe(why, changed);
});"""
# livekit-client's log when the server, at the end of a room, hangs up before the page does: who is first is chance.
SERVER_HANG_UP = "error reading from signal stream"
IS_RUNNING = "() => ['live', 'tap', 'ending', 'recovering', 'sound', 'text'].includes(document.body.dataset.state)"
FRAMES = "() => document.querySelector('#video').getVideoPlaybackQuality().totalVideoFrames"


@dataclass(frozen=True)
class Person:
    username: str
    password: str = field(repr=False)

    async def sign_in(self, page: Page, portal: servers.Portal) -> None:
        await page.goto(f"{portal.url}/accounts/login/")
        await page.fill("input[name=login]", self.username)
        await page.fill("input[name=password]", self.password)
        await page.press("input[name=password]", "Enter")
        await page.wait_for_url(f"{portal.url}/")


@dataclass(frozen=True)
class Stage:
    """A portal, its emulator, and the cookies of a signed-in user."""

    portal: servers.Portal
    emulator: servers.Emulator
    person: Person
    cookies: StorageState


@dataclass
class RoomPage:
    page: Page
    stage: Stage
    console_errors: list[str] = field(default_factory=list)
    # Every frame of the page's socket, both ways.
    socket_messages: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        browser: Browser,
        stage: Stage,
        slug: str = "lucia",
        **context: Any,
    ) -> AsyncIterator[RoomPage]:
        """Open a persona's room, signed in.

        Wait at the end until the session has ended.

        `context` has Playwright's options. Its `init` runs in the page before the page's own scripts.
        """
        init = context.pop("init", "")
        usual = {"locale": "es", "viewport": {"width": 1280, "height": 800}, "storage_state": stage.cookies}
        made = await browser.new_context(**(usual | context))
        made.set_default_timeout(WAIT_TIMEOUT_S * 1000)
        await made.add_init_script(KEEP_CAUSES + init)
        room = cls(await made.new_page(), stage)
        room.watch_page()
        await room.page.goto(f"{stage.portal.url}/personas/{slug}/")
        try:
            yield room
        finally:
            try:
                if await room.is_running():  # closing the tab would do, too, but some seconds later
                    await room.page.evaluate("document.querySelector('#end').click()")
            finally:
                await made.close()
            await room.wait_until_all_ended()

    def watch_page(self) -> None:
        def watch(socket: WebSocket) -> None:
            if "/ws/personas/" in socket.url:
                socket.on("framesent", lambda text: self.socket_messages.append(str(text)))
                socket.on("framereceived", lambda text: self.socket_messages.append(str(text)))

        self.page.on("websocket", watch)

        def record_error(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(SERVER_HANG_UP):
                self.console_errors.append(message.text)

        self.page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page.on("console", record_error)

    async def state(self, *wanted: str) -> None:
        """Wait until the room is in one of these states."""
        await self.page.wait_for_selector(", ".join(f"body[data-state={state}]" for state in wanted))

    async def wait_for_report(self, kind: str) -> None:
        """Wait until the page has sent this report.

        Unlike evaluating on the page, this is no user gesture.
        """

        async def has_told() -> bool:
            return any(f'"kind":"{kind}"' in message for message in self.socket_messages)

        await until(has_told)

    async def is_running(self) -> bool:
        return not self.page.is_closed() and bool(await self.page.evaluate(IS_RUNNING))

    async def start(self) -> None:
        await self.page.click("#start")
        await self.state("live")

    async def write(self, text: str, kind: str = "talk") -> None:
        await self.page.locator(f"input[name=kind][value={kind}]").check(force=True)
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    def lines(self, who: str) -> Locator:
        """Return the transcript texts of `user` or `avatar`."""
        return self.page.locator(".line--you .line__text" if who == "user" else ".line:not(.line--you) .line__text")

    async def wait_for_line(self, text: str) -> None:
        """Wait until the avatar has said a line.

        The greeting may come before or after it.
        """
        line = re.compile(f"^{re.escape(text)}$")
        await expect(self.lines("avatar").filter(has_text=line)).to_have_count(1)

    async def wait_for_sound(self, louder_than: float = 0.02) -> None:
        await self.wait_for(f"({PEAK_LEVEL})() > {louder_than}")

    async def wait_for_silence(self) -> None:
        """Wait for half a second without a loud sample."""
        quiet = f"""(() => {{
          const now = performance.now();
          if (({PEAK_LEVEL})() > 0.005 || window.quietSince === undefined) window.quietSince = now;
          return now - window.quietSince > 500;
        }})()"""
        await self.wait_for(quiet)

    async def wait_for_cause(self, words: str) -> None:
        """Wait until the page has told the user this about a fault."""
        await self.wait_for(f"window.causes.some((cause) => cause.includes({json.dumps(words)}))")

    async def wait_for(self, expression: str) -> None:
        """Wait until an expression is true.

        Evaluated from outside, because the page forbids eval().
        """

        async def is_true() -> bool:
            return bool(await self.page.evaluate(expression))

        await until(is_true)

    async def frames(self) -> int:
        return int(await self.page.evaluate(FRAMES))

    async def wait_until_all_ended(self) -> None:
        """Wait until no session is open at the provider or in the portal."""
        await until(self._has_nothing_open)

    async def _has_nothing_open(self) -> bool:
        return not await self._emulator_rows("sessions") and not self._is_open()

    def _is_open(self) -> bool:
        return self.stage.portal.manage("shell", "-v0", "-c", OPEN_SESSIONS).strip() != "0"

    async def _emulator_rows(self, what: str) -> list[dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.stage.emulator.url}/_emulator/{what}") as answer,
        ):
            rows: list[dict[str, Any]] = (await answer.json())[what]
            return rows

    async def stop_call_count(self) -> int:
        """Return how often the provider was asked to stop the newest session."""
        ended = self.last_session()["provider_id"]
        calls = [call for call in await self._emulator_rows("requests") if call["path"] == "/v1/streaming.stop"]
        return sum(call["body"]["session_id"] == ended for call in calls)

    async def wait_until_room_empty(self) -> None:
        """Wait until LiveKit lists no participant in the newest session's room."""
        name, keys = self.last_session()["room"], self.stage.portal.environment
        who = (keys["LIVEKIT_URL"], keys["LIVEKIT_API_KEY"], keys["LIVEKIT_API_SECRET"])
        async with api.LiveKitAPI(*who) as livekit:

            async def is_empty() -> bool:
                rooms = await livekit.room.list_rooms(api.ListRoomsRequest(names=[name]))
                return not any(room.num_participants for room in rooms.rooms)

            await until(is_empty)

    async def wait_for_events(self, *kinds: str) -> None:
        """Wait until the newest session has events of these kinds."""

        async def are_stored() -> bool:
            return set(kinds) <= set(self.last_session()["events"])

        await until(are_stored)

    def last_session(self) -> dict[str, Any]:
        """Return the stored data of the newest session."""
        output = self.stage.portal.manage("shell", "-v0", "-c", RECORD)
        record: dict[str, Any] = json.loads(output)
        return record


# Without the sessions of the nightly check, which begins at four o'clock.
OPEN_SESSIONS = """
from sessions.models import StreamingSession
print(StreamingSession.objects.exclude(status="ended").exclude(purpose="check").count())
"""
RECORD = """
import json
import re
from sessions.models import StreamingSession
session = StreamingSession.objects.exclude(purpose="check").order_by("-created_at").first()
print(json.dumps({
    "status": session.status,
    "reason": session.end_reason,
    "provider_id": session.provider_session_id,
    "room": session.room or session.provider_session_id,
    "tasks": [task.text for task in session.tasks.all() if task.sent_by_id],
    "events": [event.kind for event in session.events.all()],
}))
"""


async def until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition is true. Fails after WAIT_TIMEOUT_S."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not await is_true():
            await asyncio.sleep(0.1)
