"""Turns with the organisation's own model, for `bin/bench turn --brain`.

typed      from Enter to the first sound of the answer, by the provider's own model and by ours, which takes 0 ms. Both
           answer the same question from the same text; blocks of turns alternate, in one run
interrupt  from the click on Interrupt to silence, and to the end of the model's request, while its stream is running
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx
from playwright.async_api import Page

from bench.interrupt import MEASURE
from tests.support import servers

QUESTION = "When do you open?"
LONG_QUESTION = "Which rooms does the museum have?"
SLUGS = {"provider": "bench-provider", "brain": "bench-brain"}
TURNS_PER_BLOCK = 5
CLOSED_WITHIN_S = 5.0
# The first sentence of the long answer is spoken for some seconds. In the middle of the second one the model stalls.
ROOMS = "The museum has rooms " + ", ".join(
    f"number {number} with old maps and ships" for number in ("one", "two", "three", "four", "five", "six")
)
PREPARATION = f"""
import io, os
from avatars.documents import intake
from avatars.models import KnowledgeBase, Library, ModelService, Persona, ProviderAccount
from avatars.personas import publishing, versions
from heygen_portal.trail.change_log import SERVER
ProviderAccount.objects.update(is_exclusive=False)
text = "# Hours\\n\\nWe open at nine from Monday to Friday.\\n\\n# Rooms\\n\\n{ROOMS}."
text += " The garden is behind the rooms of the museum."
library = Library.objects.create(name="Bench", language="en")
intake.read(intake.add_file(library, io.BytesIO(text.encode()), "bench.md", SERVER).pk)
service = ModelService.objects.create(name="Bench", base_url=os.environ["EMULATOR_URL"] + "/v1",
    api_key=os.environ["EMULATOR_API_KEY"], chat_model="emulated-chat")
for slug, brain in {{"bench-provider": "provider", "bench-brain": "own"}}.items():
    persona = Persona.objects.get(slug="daniel")
    persona.pk, persona.current, persona.slug, persona.version = None, None, slug, 0
    persona.status, persona.published_at, persona.greeting = "draft", None, ""
    persona.brain = brain
    if brain == "own":
        persona.model_service, persona.library, persona.instructions = service, library, "You help visitors."
    versions.save_version(persona)
    publishing.publish(persona)
"""


async def measure(page: Page, portal: servers.Portal, emulator: servers.Emulator, runs: int) -> dict[str, list[float]]:
    """Return the milliseconds of each measure, after one turn of each to warm up."""
    taken: dict[str, list[float]] = {"provider": [], "brain": [], "silence": [], "closed": []}
    portal.manage("shell", "-v0", "-c", PREPARATION)
    while len(taken["brain"]) < runs:
        for who, slug in SLUGS.items():
            await _start(page, f"{portal.url}/personas/{slug}/")
            turns = [await _typed(page) for _ in range(TURNS_PER_BLOCK + 1)][1:]
            print(f"typed, {who}: {' '.join(f'{ms:.0f}' for ms in turns)}", flush=True)
            taken[who] += turns
            await _end(page)
    await _start(page, f"{portal.url}/personas/{SLUGS['brain']}/")
    async with httpx.AsyncClient(base_url=emulator.url, trust_env=False) as control:
        stall = {"kind": "stream_stall", "after": len(ROOMS.split()) + 3, "times": None}
        (await control.post("/_emulator/faults", json=stall)).raise_for_status()
        for number in range(runs + 1):
            silence, closed = await _interrupted(page, control)
            print(f"interrupted: silence after {silence:.0f} ms, request closed after {closed:.0f} ms", flush=True)
            if number:
                taken["silence"].append(silence)
                taken["closed"].append(closed)
        await control.delete("/_emulator/faults")
    await _end(page)
    return taken


async def _start(page: Page, address: str) -> None:
    await page.goto(address)
    await page.wait_for_load_state("networkidle")
    await page.evaluate("""() => document.querySelector("#text").addEventListener("keydown", ({ key, timeStamp }) => {
      if (key === "Enter") probe.enteredAt = timeStamp;
    }, { capture: true })""")
    await page.click("#start")
    await page.wait_for_selector("body[data-state=live]")
    await page.evaluate("probe.silence()")


async def _typed(page: Page) -> float:
    await page.fill("#text", QUESTION)
    await page.press("#text", "Enter")
    ms: float = await page.evaluate("async () => await probe.soundAfter(probe.enteredAt) - probe.enteredAt")
    await page.evaluate("probe.silence()")
    return ms


async def _interrupted(page: Page, control: httpx.AsyncClient) -> tuple[float, float]:
    """Interrupt an answer. Return the milliseconds until silence and until the model's request was closed."""
    await page.fill("#text", LONG_QUESTION)
    await page.press("#text", "Enter")
    measured = await page.evaluate(MEASURE)
    async with asyncio.timeout(CLOSED_WITHIN_S):
        while (asked := await _last_request(control)).get("ms") is None:
            await asyncio.sleep(0.05)
    closed_at = asked["at"] * 1000 + asked["ms"]
    if closed_at < measured["clicked"]:
        raise RuntimeError("the model's stream was not running when the answer was interrupted")
    return float(measured["silence"]), closed_at - measured["clicked"]


async def _last_request(control: httpx.AsyncClient) -> dict[str, Any]:
    answer = (await control.get("/_emulator/requests")).raise_for_status().json()["requests"]
    found: dict[str, Any] = [each for each in answer if each["path"] == "/v1/chat/completions"][-1]
    return found


async def _end(page: Page) -> None:
    await page.click(".btn--stop:visible")
    await page.wait_for_selector("body[data-state=ended]")


def report(p50: dict[str, float], p95: dict[str, float], runs: int) -> None:
    print(f"{'':42}{'p50 ms':>8}{'p95 ms':>8}   of {runs} each; load {os.getloadavg()[0]:.1f}")
    for measure, ms in p50.items():
        print(f"{measure:42}{ms:>8.0f}{p95[measure]:>8.0f}")
    result = {
        "bench": "turn",
        "brain_p50_ms": round(p50["brain"]),
        "provider_p50_ms": round(p50["provider"]),
        "brain_over_provider": round(p50["brain"] / p50["provider"], 3),
        "interrupt_p95_ms": round(p95["silence"]),
        "request_closed_p95_ms": round(p95["closed"]),
    }
    print(json.dumps(result))
