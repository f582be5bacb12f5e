"""Time from the click on Interrupt to silence, measured in the browser.

In one session the avatar reads long texts aloud and is interrupted repeatedly. The time runs from the click's time
stamp to the last loud sample before 700 ms of silence.
"""

import argparse
import asyncio
import json
import statistics

from playwright.async_api import Page

from tests.support import browsing, servers

ANSWER_MS = 50
TEXT = "Uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete. " * 3

# Milliseconds from the click to silence, and the time of the click, in milliseconds since 1970.
# Looks at 5 ms of sound each 4 ms. Where a busy machine looks late, the figure is too high, never too low.
MEASURE = """() => new Promise((resolve) => {
  const context = new AudioContext(), analyser = context.createAnalyser();
  analyser.fftSize = 256;
  context.createMediaStreamSource(document.querySelector("#audio").srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize), button = document.querySelector("#interrupt");
  let clickedAt, loudAt, loudInARow = 0;
  button.addEventListener("click", ({ timeStamp }) => (clickedAt = timeStamp), { once: true, capture: true });
  const timer = setInterval(() => {
    const now = performance.now();
    analyser.getFloatTimeDomainData(samples);
    const isLoud = Math.max(...samples.map(Math.abs)) > 0.005;
    if (isLoud) loudAt = now;
    loudInARow = isLoud ? loudInARow + 1 : 0;
    if (clickedAt === undefined && loudInARow >= 10) button.click();
    if (clickedAt === undefined || now - Math.max(clickedAt, loudAt) < 700) return;
    clearInterval(timer);
    context.close();
    resolve({ silence: Math.max(0, loudAt - clickedAt), clicked: performance.timeOrigin + clickedAt });
  }, 4);
})"""


async def main(runs: int) -> None:
    with (
        servers.livekit() as livekit,
        servers.emulator(livekit, args=["--latency", str(ANSWER_MS)]) as emulator,
        servers.portal(emulator, livekit, env={"BUDGET_FACTOR": "1000"}) as portal,
    ):
        async with browsing.browser(browsing.ALLOW_SOUND) as browser:
            page = await browser.new_page()
            await browsing.sign_in(page, portal)
            await page.goto(f"{portal.url}/personas/lucia/")
            await page.click("#start")
            await page.wait_for_selector("body[data-state=live]")
            await page.locator("input[name=kind][value=repeat]").check(force=True)
            times_ms = [await interrupt(page) for _ in range(runs + 1)][1:]  # the first is a warm-up
            await page.click("#end")
            await page.wait_for_selector("body[data-state=ended]")
    report(times_ms)


async def interrupt(page: Page) -> float:
    """Interrupt a talking avatar. Return the milliseconds until silence."""
    await page.fill("#text", TEXT)
    await page.press("#text", "Enter")
    measured = await page.evaluate(MEASURE)
    return float(measured["silence"])


def report(times_ms: list[float]) -> None:
    percentiles = statistics.quantiles(times_ms, n=20, method="inclusive")
    p50, p95 = percentiles[9], percentiles[18]
    print(
        f"click to silence, {len(times_ms)} times: p50 {p50:.0f} ms, p95 {p95:.0f} ms, longest {max(times_ms):.0f} ms"
    )
    print(json.dumps({"bench": "interrupt", "silence_p50_ms": round(p50), "silence_p95_ms": round(p95)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=30, help="measured interruptions, after one to warm up")
    asyncio.run(main(parser.parse_args().runs))
