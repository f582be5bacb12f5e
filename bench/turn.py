"""Time until the avatar is heard, on the portal's page and on a bare client.

greeting  from the first frame to the first sound of the greeting; also from the click to each of the two
typed     from Enter to the first sound of the answer
spoken    from the last sound of a sentence at the microphone to the first sound of the answer

All is measured on the sound itself: an analyser on the avatar's remote track and one on the microphone, which plays a
recording. `bare` is a page with nothing but livekit-client that calls the provider directly. The provider is the
emulator, with 50 ms per response, as HeyGen and as LiveAvatar. The two alternate, so that both get the same conditions.

--brain  measures only turns with the organisation's own model (bench/_brain_turns.py)

On the last line, the times are the portal's on the slower of the two wires, and the ratios the worse of the two.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Browser, Page
from playwright.async_api import Error as PlaywrightError

from bench import _brain_turns
from bench.first_frame import PAGE_IS_LOCAL, open_client_page
from heygen_portal.emulator.liveavatar.catalogue import uuid_of
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE
from tests.browser import microphone_sounds
from tests.support import browsing, servers

ANSWER_MS = 50
AVATAR = "Daniel_public_20260101"
VOICE, KNOWLEDGE = "8fbb3a0c6f4d4e6f9f3f0f4c2a7be611", "e94b7c3815da4f2fb6c07d2a9e830f14"
GREETING = "Hello, I am Daniel. What can I do for you?"
QUESTION = "When do you open?"
SENTENCE = "Good morning."
SILENCE_S = 120  # after the sentence: the microphone must not say it again within a turn
WIRES = {"heygen": "daniel", "liveavatar": "daniel-liveavatar"}  # each with its persona
MEASURES = ("frame", "greeting", "greeting_after_frame", "typed", "spoken")
PATIENCE_MS = 45_000
MAX_FAILURES = 10  # conversations of one run that may be repeated: on a busy machine speech may not be recognized

# The accounts are shared with the bare client: of an exclusive one the portal closes every session that is not its own.
PREPARATION = """
from avatars.personas import starters
from avatars.models import ProviderAccount
wanted = starters.STARTERS[1] | {"slug": "daniel-liveavatar", "greeting": ""}
starters.publish_starter(ProviderAccount.objects.get(kind="liveavatar"), wanted)
ProviderAccount.objects.update(is_exclusive=False)
"""

# Before any script of a page: meters on remote sound and on the microphone, and the time of the first frame. A meter
# looks at 10 ms of sound each 4 ms. Where a busy machine looks late, the figure is too high, never too low.
PROBE = """(() => {
  const LOUD = 0.005, QUIET_MS = 300, PATIENCE_MS = 30_000;
  const meter = () => ({ onsets: [], loudAt: -Infinity, heard: 0 });
  const probe = (window.probe = { avatar: meter(), microphone: meter(), frameAt: null });
  const listen = (track, sound) => {
    const context = new AudioContext(), analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      if (track.readyState === "ended") { clearInterval(timer); return context.close(); }
      if (context.state !== "running") return;
      const now = performance.now();
      sound.heard += 1;
      analyser.getFloatTimeDomainData(samples);
      if (!samples.some((sample) => Math.abs(sample) > LOUD)) return;
      if (now - sound.loudAt > QUIET_MS) sound.onsets.push(now);
      sound.loudAt = now;
    }, 4);
  };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...options) {
      super(...options);
      this.addEventListener("track", ({ track }) => track.kind === "audio" && listen(track, probe.avatar));
    }
  };
  const { mediaDevices } = navigator, ask = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    for (const track of stream.getAudioTracks()) listen(track, probe.microphone);
    return stream;
  };
  const until = (isSo) => new Promise((resolve, reject) => {
    const begun = performance.now();
    const timer = setInterval(() => {
      const found = isSo();
      if (found === undefined && performance.now() - begun < PATIENCE_MS) return;
      clearInterval(timer);
      if (found === undefined) reject(new Error("nothing within the time: " + isSo));
      else resolve(found);
    }, 4);
  });
  /** The first sound after a moment. */
  probe.soundAfter = (moment) => until(() => probe.avatar.onsets.find((onset) => onset > moment));
  probe.silence = () => until(() => (performance.now() - probe.avatar.loudAt > 1_000 ? true : undefined));
  probe.watchFrames = (video) => video.requestVideoFrameCallback((now) => { probe.frameAt ??= now; });
  probe.firstFrame = () => until(() => probe.frameAt ?? undefined);
  /** The sentence has been spoken: its last sound, and the first sound of the answer. */
  probe.spoken = async (since) => {
    await until(() => probe.microphone.onsets.find((onset) => onset > since));
    const heard = await probe.soundAfter(performance.now());
    return heard - probe.microphone.loudAt;
  };
})();"""

BARE = """<!doctype html><title>bench</title><video id="video" autoplay playsinline muted></video>
<audio id="audio"></audio><script src="/livekit-client.js"></script><script>
const call = async (path, key, body = {}, token = "") => {
  const credential = token ? { authorization: `Bearer ${token}` } : { "x-api-key": key };
  const headers = { "content-type": "application/json", ...credential };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()).data;
};
const publish = (room, event_type, text) => room.localParticipant.publishData(
  new TextEncoder().encode(JSON.stringify({ event_type, text })), { reliable: true, topic: "agent-control" });
const WIRES = {
  heygen: async (key, { avatar, voice, knowledge, greeting }, join) => {
    const session = await call("/v1/streaming.new", key, { version: "v2", quality: "high", video_encoding: "H264",
      avatar_id: avatar, voice: { voice_id: voice }, knowledge_base_id: knowledge, language: "en",
      ia_is_livekit_transport: true });
    const { session_id } = session, starting = call("/v1/streaming.start", key, { session_id });
    const room = await join(session.url, session.access_token);
    await starting;
    const say = (text, task_type) => call("/v1/streaming.task", key, { session_id, text, task_type });
    return { room, greet: () => say(greeting, "repeat"), ask: (text) => say(text, "talk"),
      stop: () => call("/v1/streaming.stop", key, { session_id }) };
  },
  liveavatar: async (key, { avatar, voice, knowledge }, join) => {
    const { session_id, session_token } = await call("/v1/sessions/token", key, { mode: "FULL", avatar_id: avatar,
      avatar_persona: { voice_id: voice, context_id: knowledge, language: "en" },
      video_settings: { quality: "high" } });
    const started = await call("/v1/sessions/start", key, {}, session_token);
    const room = await join(started.livekit_url, started.livekit_client_token);
    return { room, greet: () => {}, ask: (text) => publish(room, "avatar.speak_response", text),
      stop: () => call("/v1/sessions/stop", key, { session_id }) };
  },
};
window.measure = async (wire, key, options, question) => {
  const begun = performance.now(), video = document.getElementById("video"), room = new LivekitClient.Room();
  room.on("trackSubscribed", (track) => {
    if (track.kind === "video") probe.watchFrames(video);
    track.attach(track.kind === "video" ? video : document.getElementById("audio"));
  });
  const join = async (url, token) => { await room.connect(url, token); return room; };
  const session = await WIRES[wire](key, options, join);
  const shown = await probe.firstFrame();
  session.greet();
  const greeted = await probe.soundAfter(begun);
  await probe.silence();
  const asked = performance.now();
  session.ask(question);
  const answered = await probe.soundAfter(asked);
  await probe.silence();
  const since = performance.now(), stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const [track] = stream.getAudioTracks();
  await room.localParticipant.publishTrack(track, { source: LivekitClient.Track.Source.Microphone });
  const spoken = await probe.spoken(since);
  track.stop();
  await room.disconnect();
  await session.stop();
  return { frame: shown - begun, greeting: greeted - begun, greeting_after_frame: greeted - shown,
    typed: answered - asked, spoken };
};
</script>"""

Taken = dict[str, list[float]]  # by measure


@dataclass(frozen=True)
class Spread:
    p50: float
    p95: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        percentiles = statistics.quantiles(values, n=20, method="inclusive")
        return cls(percentiles[9], percentiles[18])


async def main_of_brain(runs: int) -> None:
    with (
        servers.livekit() as livekit,
        servers.emulator(livekit, args=["--latency", str(ANSWER_MS), "--control"]) as emulator,
        servers.portal(emulator, livekit, env={"BUDGET_FACTOR": "1000"}) as portal,
    ):
        async with browsing.browser(browsing.ALLOW_SOUND) as browser:
            page = await _page(browser)
            await browsing.sign_in(page, portal)
            taken = await _brain_turns.measure(page, portal, emulator, runs)
    spreads = {measure: Spread.of(values) for measure, values in taken.items()}
    p50, p95 = ({name: getattr(each, at) for name, each in spreads.items()} for at in ("p50", "p95"))
    _brain_turns.report(p50, p95, runs)


async def main(runs: int) -> None:
    with (
        servers.folder() as here,
        servers.livekit() as livekit,
        servers.emulator(livekit, args=["--latency", str(ANSWER_MS)]) as emulator,
        servers.portal(emulator, livekit, env={"BUDGET_FACTOR": "1000"}) as portal,
    ):
        portal.manage("shell", "-v0", "-c", PREPARATION)
        async with browsing.browser(
            browsing.ALLOW_SOUND, PAGE_IS_LOCAL, "--use-fake-ui-for-media-stream", *_microphone(here)
        ) as browser:
            page, client = await _page(browser), await _page(browser)
            await browsing.sign_in(page, portal)
            await _choose_hands_free(page, portal)
            taken: dict[tuple[str, str], Taken] = {
                (wire, who): {measure: [] for measure in MEASURES} for wire in WIRES for who in ("portal", "bare")
            }
            failures = 0
            for wire, slug in WIRES.items():
                while len(taken[wire, "bare"]["frame"]) <= runs:
                    try:
                        portals = await by_portal(page, f"{portal.url}/personas/{slug}/")
                        bare = await by_client(client, wire, emulator)
                    except PlaywrightError as exc:
                        failures += 1
                        print(f"{wire}: not measured: {exc.message.splitlines()[0]}", flush=True)
                        if failures > MAX_FAILURES:
                            sys.exit("too many conversations could not be measured")
                        continue
                    print(f"{wire}: portal {_in_words(portals)}; bare {_in_words(bare)}", flush=True)
                    for who, values in (("portal", portals), ("bare", bare)):
                        for measure, ms in values.items():
                            taken[wire, who][measure].append(ms)
    for measures in taken.values():
        for measured in measures.values():
            del measured[0]  # the first warms every part
    report(taken, runs)


def _microphone(folder: Path) -> tuple[str, ...]:
    """Record the sentence once, followed by a long silence.

    The recording starts over whenever the microphone is opened.
    """
    sound = np.concatenate([microphone_sounds.speak_text(SENTENCE), np.zeros(SILENCE_S * SAMPLE_RATE)])
    microphone_sounds.record(sound, folder / "microphone.wav")
    return microphone_sounds.microphone(folder / "microphone.wav")


async def _page(browser: Browser) -> Page:
    context = await browser.new_context(permissions=["microphone"], locale="en")
    await context.add_init_script(PROBE)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


async def _choose_hands_free(page: Page, portal: servers.Portal) -> None:
    await page.goto(f"{portal.url}/personas/daniel/")
    await page.evaluate("localStorage.setItem('voice:mode', 'hands_free')")


async def by_portal(page: Page, address: str) -> Mapping[str, float]:
    """Hold a conversation on a new page and return the milliseconds of each measure."""
    await page.goto(address)
    await page.wait_for_load_state("networkidle")
    await page.evaluate("""() => {
      probe.watchFrames(document.querySelector("#video"));
      document.querySelector("#start").addEventListener(
        "click", ({ timeStamp }) => (probe.clickedAt = timeStamp), { capture: true });
      document.querySelector("#text").addEventListener("keydown", ({ key, timeStamp }) => {
        if (key === "Enter") probe.enteredAt = timeStamp;
      }, { capture: true });
    }""")
    await page.click("#start")
    shown, greeted = await page.evaluate("""async () => {
      const moments = [await probe.firstFrame(), await probe.soundAfter(probe.clickedAt)];
      return moments.map((at) => at - probe.clickedAt);
    }""")
    await page.evaluate("probe.silence()")
    await page.fill("#text", QUESTION)
    await page.press("#text", "Enter")
    typed: float = await page.evaluate("async () => await probe.soundAfter(probe.enteredAt) - probe.enteredAt")
    await page.evaluate("probe.silence()")
    since = await page.evaluate("performance.now()")
    await page.click("#mic")
    spoken: float = await page.evaluate("(since) => probe.spoken(since)", since)
    await page.click(".btn--stop:visible")
    await page.wait_for_selector("body[data-state=ended]")
    return {
        "frame": shown,
        "greeting": greeted,
        "greeting_after_frame": greeted - shown,
        "typed": typed,
        "spoken": spoken,
    }


async def by_client(page: Page, wire: str, emulator: servers.Emulator) -> Mapping[str, float]:
    """Hold the same conversation straight with the provider."""
    await open_client_page(page, emulator.url, BARE)  # a new page for each run, like the portal's
    same = uuid_of if wire == "liveavatar" else str
    options = {"avatar": same(AVATAR), "voice": same(VOICE), "knowledge": same(KNOWLEDGE), "greeting": GREETING}
    measured: dict[str, float] = await page.evaluate(
        "([wire, key, options, question]) => measure(wire, key, options, question)",
        [wire, emulator.api_key, options, QUESTION],
    )
    return measured


def _in_words(measured: Mapping[str, float]) -> str:
    return " ".join(f"{measure}={ms:.0f}" for measure, ms in measured.items())


def report(taken: Mapping[tuple[str, str], Taken], runs: int) -> None:
    spreads = {(*key, measure): Spread.of(values[measure]) for key, values in taken.items() for measure in MEASURES}
    print(f"{'':42}{'p50 ms':>8}{'p95 ms':>8}   of {runs} each")
    for measure in MEASURES:
        for wire, who in taken:
            spread = spreads[wire, who, measure]
            print(f"{measure:22}{wire:12}{who:8}{spread.p50:>8.0f}{spread.p95:>8.0f}")

    def worst(measure: str, name: str = "p50") -> float:
        return max(float(getattr(spreads[wire, "portal", measure], name)) for wire in WIRES)

    def over_bare(measure: str) -> float:
        pairs = ((spreads[wire, "portal", measure].p50, spreads[wire, "bare", measure].p50) for wire in WIRES)
        return round(max(portal / bare for portal, bare in pairs), 3)

    result: dict[str, Any] = {
        "bench": "turn",
        "greeting_after_frame_ms": round(worst("greeting_after_frame")),
        "typed_p50_ms": round(worst("typed")),
        "typed_p95_ms": round(worst("typed", "p95")),
        "typed_over_bare": over_bare("typed"),
        "spoken_p50_ms": round(worst("spoken")),
        "spoken_over_bare": over_bare("spoken"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=10, help="measured conversations of each, after one to warm up")
    parser.add_argument("--brain", action="store_true", help="only turns with the organisation's own model")
    options = parser.parse_args()
    asyncio.run((main_of_brain if options.brain else main)(options.runs))
