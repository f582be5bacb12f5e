/** Tries out what a conversation needs of the browser, the microphone and the network. */

import { refusalOf } from "./doctor.js";
import { Microphone } from "./microphone.js";
import { SoundMeter } from "./sound-meter.js";

const LISTEN_MS = 4_000;
const TONE_MS = 900;
const CONNECT_MS = 8_000;

/** @typedef {typeof import("livekit-client")} LiveKit */

export function probeBrowser() {
  const hasWebRTC = typeof RTCPeerConnection === "function";
  const codecs = hasWebRTC ? (RTCRtpReceiver.getCapabilities("video")?.codecs ?? []) : [];
  return { hasWebRTC, codecs: codecs.map(({ mimeType }) => mimeType.toLowerCase()) };
}

/**
 * Listen for some seconds; the microphone is let go of afterwards.
 *
 * @param {string} wanted  a device's ID; empty for the browser's own choice
 * @param {(level: number) => void} onLevel
 */
export async function probeMicrophone(wanted, onLevel) {
  const microphone = new Microphone(navigator.mediaDevices, () => {});
  const opened = await microphone.open(wanted);
  if (opened !== "open" || !microphone.stream) return { trouble: opened, loudest: 0, choices: [], deviceId: "" };
  let loudest = 0;
  const meter = new SoundMeter((level) => {
    loudest = Math.max(loudest, level);
    onLevel(level);
  });
  meter.listen(microphone.stream);
  const [choices] = await Promise.all([microphone.choices(), pause(LISTEN_MS)]);
  const { deviceId } = microphone;
  meter.listen(null);
  microphone.close();
  return { trouble: "", loudest, choices, deviceId };
}

/** Two notes, softly. */
export async function playTone() {
  const context = new AudioContext();
  const volume = new GainNode(context, { gain: 0.15 });
  volume.connect(context.destination);
  for (const [place, frequency] of [523, 659].entries()) {
    const note = new OscillatorNode(context, { frequency });
    note.connect(volume);
    note.start(context.currentTime + place * 0.4);
    note.stop(context.currentTime + place * 0.4 + 0.35);
  }
  await pause(TONE_MS);
  await context.close();
}

/**
 * Into a room of the portal's own LiveKit: as it comes, by TCP alone, by the relay alone.
 *
 * @param {LiveKit} LiveKit
 * @param {{ url: string, token: string } | null} access
 * @returns {Promise<import("./checkup.js").Way>}
 */
export async function probeWay(LiveKit, access) {
  const way = { isThere: access !== null, refusal: "", protocol: "", roundTripMs: 0, hasTcp: false, offersTurn: false, hasTurn: false };
  if (!access) return way;
  const room = new LiveKit.Room();
  try {
    await within(CONNECT_MS, room.connect(access.url, access.token));
    Object.assign(way, await pairOf(room));
    way.offersTurn = iceServers(room).some(({ urls }) => urls.some((url) => url.startsWith("turn")));
    if (way.protocol === "udp") way.hasTcp = await holdsByTcp(LiveKit, room);
  } catch (error) {
    way.refusal = refusalOf(LiveKit, error);
  }
  await room.disconnect();
  if (way.offersTurn) way.hasTurn = await relays(LiveKit, access);
  return way;
}

/**
 * @param {LiveKit} LiveKit
 * @param {{ url: string, token: string }} access
 */
async function relays(LiveKit, { url, token }) {
  const room = new LiveKit.Room();
  try {
    await within(CONNECT_MS, room.connect(url, token, { rtcConfig: { iceTransportPolicy: "relay" } }));
    return true;
  } catch {
    return false;
  } finally {
    await room.disconnect();
  }
}

/**
 * @param {LiveKit} LiveKit
 * @param {import("livekit-client").Room} room
 */
async function holdsByTcp(LiveKit, room) {
  const back = new Promise((resolve) => room.once(LiveKit.RoomEvent.Reconnected, () => resolve(true)));
  try {
    await room.simulateScenario("force-tcp");
    await within(CONNECT_MS, back);
    return (await pairOf(room)).protocol === "tcp";
  } catch {
    return false;
  }
}

/** @param {import("livekit-client").Room} room */
function iceServers(room) {
  return room.engine.latestJoinResponse?.iceServers ?? [];
}

/**
 * The way that was found: its protocol, and how long there and back takes.
 *
 * @param {import("livekit-client").Room} room
 * @returns {Promise<{ protocol: string, roundTripMs: number }>}
 */
async function pairOf(room) {
  const { subscriber, publisher } = room.engine.pcManager ?? {};
  for (const side of [subscriber, publisher]) {
    const stats = await side?.getStats();
    const rows = stats ? [...stats.values()] : [];
    const pair = rows.find((row) => row.type === "candidate-pair" && row.nominated && row.state === "succeeded");
    const local = rows.find(({ id }) => id === pair?.localCandidateId);
    if (pair && local) {
      const protocol = local.relayProtocol ? "relay" : local.protocol;
      return { protocol, roundTripMs: Math.round((pair.currentRoundTripTime ?? 0) * 1_000) };
    }
  }
  return { protocol: "", roundTripMs: 0 };
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
function within(ms, work) {
  return Promise.race([work, pause(ms).then(() => Promise.reject(new Error("timeout")))]);
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
