"""Time from click to first frame: portal, documented recipe, bare client.

portal  the click on Start, to the first frame shown on the portal's page; with --rooms own in a room of our own
seed    create_token, new, start, wait 500 ms, connect; straight to the provider
bare    new, then start beside connect; straight to the provider

With --provider liveavatar there is no seed, and bare is token, start, connect: only its start knows the room.

The provider is the emulator, with 50 ms per response. Runs alternate, so that all three get the same conditions.
"""

import argparse
import asyncio
import json
import statistics

from playwright.async_api import Page, Request, Route, WebSocket

from heygen_portal.emulator.liveavatar.catalogue import uuid_of
from local.paths import ROOT
from tests.support import browsing, servers

ANSWER_MS = 50
LIVEKIT_CLIENT = ROOT / "sessions/static/sessions/vendor/livekit-client.umd.js"
# The bare client's page is handed to the browser, so the browser cannot tell that it is this machine's own.
PAGE_IS_LOCAL = "--disable-features=LocalNetworkAccessChecks"
AVATARS = {"heygen": "Lucia_public_20260101", "liveavatar": uuid_of("Lucia_public_20260101")}
PERSONAS = {"heygen": "lucia", "liveavatar": "lucia-liveavatar"}
PUBLISH_LIVEAVATAR_PERSONA = """
from avatars.personas import starters
from avatars.models import ProviderAccount
wanted = starters.STARTERS[0] | {"slug": "lucia-liveavatar", "greeting": ""}
starters.publish_starter(ProviderAccount.objects.get(kind="liveavatar"), wanted)
"""

PAGE = """<!doctype html><title>bench</title><video id="video" autoplay playsinline muted></video>
<script src="/livekit-client.js"></script><script>
const call = async (path, key, body = {}, token = "") => {
  const credential = token ? { authorization: `Bearer ${token}` } : { "x-api-key": key };
  const headers = { "content-type": "application/json", ...credential };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()).data;
};
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const started = async (key, avatar) => {
  const video_settings = { quality: "high" };
  const order = { mode: "FULL", avatar_id: avatar, avatar_persona: { language: "es" }, video_settings };
  const { session_id, session_token } = await call("/v1/sessions/token", key, order);
  const room = await call("/v1/sessions/start", key, {}, session_token);
  const session = { session_id, url: room.livekit_url, access_token: room.livekit_client_token };
  return { session, stop: "/v1/sessions/stop" };
};
window.firstFrame = async (recipe, key, avatar) => {
  const begun = performance.now(), video = document.getElementById("video"), room = new LivekitClient.Room();
  const shown = new Promise((resolve) => room.on("trackSubscribed", (track) => {
    if (track.kind !== "video") return;
    video.requestVideoFrameCallback((now) => resolve(now - begun));
    track.attach(video);
  }));
  if (recipe === "live") {
    const { session, stop } = await started(key, avatar);
    await room.connect(session.url, session.access_token);
    const ms = await shown;
    await room.disconnect();
    await call(stop, key, { session_id: session.session_id });
    return ms;
  }
  if (recipe === "seed") await call("/v1/streaming.create_token", key);
  const order = { avatar_id: avatar, version: "v2", quality: "high", video_encoding: "H264" };
  const session = await call("/v1/streaming.new", key, order);
  const named = { session_id: session.session_id };
  const starting = call("/v1/streaming.start", key, named);
  if (recipe === "seed") { await starting; await wait(500); }
  await room.connect(session.url, session.access_token);
  const ms = await shown;
  await room.disconnect();
  await call("/v1/streaming.stop", key, named);
  return ms;
};
</script>"""


async def main(runs: int, rooms: str, provider: str) -> None:
    recipes = {"seed": "seed", "bare": "bare"} if provider == "heygen" else {"bare": "live"}
    with (
        servers.livekit() as livekit,
        servers.emulator(livekit, args=["--latency", str(ANSWER_MS)]) as emulator,
        servers.portal(emulator, livekit, env={"BUDGET_FACTOR": "1000"}) as portal,
    ):
        portal.manage("shell", "-v0", "-c", PUBLISH_LIVEAVATAR_PERSONA)
        portal.use_rooms(rooms)
        async with browsing.browser(browsing.ALLOW_SOUND, PAGE_IS_LOCAL) as browser:
            page, client = await browser.new_page(), await (await browser.new_context()).new_page()
            await browsing.sign_in(page, portal)
            await open_client_page(client, emulator.url)
            taken: dict[str, list[float]] = {name: [] for name in ("portal", *recipes)}
            for round_number in range(runs + 1):
                measured = {"portal": await time_portal(page, f"{portal.url}/personas/{PERSONAS[provider]}/")}
                for name, recipe in recipes.items():
                    measured[name] = await time_client(client, recipe, emulator, AVATARS[provider])
                if round_number:  # the first is a warm-up
                    for name, ms in measured.items():
                        taken[name].append(ms)
    report(taken, rooms, provider)


async def time_portal(page: Page, address: str) -> float:
    """Press Start on a new page. Return the milliseconds that the page reports."""
    reported: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def read(frame: str | bytes) -> None:
        message = json.loads(frame)
        if message.get("kind") == "first_frame" and not reported.done():
            reported.set_result(message["data"]["ms"])

    def watch(socket: WebSocket) -> None:
        if "/ws/personas/" in socket.url:  # LiveKit has one of its own
            socket.on("framesent", read)

    page.on("websocket", watch)
    await page.goto(address)
    await page.wait_for_load_state("networkidle")
    await page.click("#start")
    ms = await asyncio.wait_for(reported, 30)
    page.remove_listener("websocket", watch)
    await page.wait_for_selector("body[data-state=live]")
    await page.click(".btn--stop:visible")
    await page.wait_for_selector("body[data-state=ended]")
    return ms


async def open_client_page(page: Page, origin: str, html: str = PAGE) -> None:
    """Open a bare client on the provider's origin, so that it needs no preflight."""

    async def answer(route: Route, request: Request) -> None:
        if request.url.endswith(".js"):
            await route.fulfill(path=LIVEKIT_CLIENT, content_type="text/javascript")
        else:
            await route.fulfill(body=html, content_type="text/html")

    await page.route(f"{origin}/livekit-client.js", answer)
    await page.route(f"{origin}/bench", answer)
    await page.goto(f"{origin}/bench")


async def time_client(page: Page, recipe: str, emulator: servers.Emulator, avatar: str) -> float:
    ms: float = await page.evaluate(
        "([recipe, key, avatar]) => firstFrame(recipe, key, avatar)", [recipe, emulator.api_key, avatar]
    )
    return ms


def report(taken: dict[str, list[float]], rooms: str, provider: str) -> None:
    median = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{'':8}{'median ms':>10}{'min':>8}{'max':>8}   of {len(taken['portal'])} runs")
    for name, values in taken.items():
        print(f"{name:8}{median[name]:>10.0f}{min(values):>8.0f}{max(values):>8.0f}")
    result = {
        "bench": "first-frame",
        "provider": provider,
        "rooms": rooms,
        **{f"{name}_ms": round(value) for name, value in median.items()},
        **{f"portal_over_{name}": round(median["portal"] / median[name], 3) for name in median if name != "portal"},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=12, help="measured turns of each, after one to warm up")
    parser.add_argument(
        "--rooms", choices=("provider", "own"), default="provider", help="whose LiveKit the portal uses"
    )
    parser.add_argument("--provider", choices=tuple(AVATARS), default="heygen", help="whose wire is spoken")
    options = parser.parse_args()
    if options.rooms == "own" and options.provider == "liveavatar":
        parser.error("this provider has rooms of its own only")
    asyncio.run(main(options.runs, options.rooms, options.provider))
