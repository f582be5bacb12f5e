/** Probes browser, microphone and speakers. */

import { Microphone } from "../voice/microphone.js";
import { SoundMeter } from "../voice/sound-meter.js";

const LISTEN_MS = 4_000;
const TONE_MS = 900;

export function probeBrowser() {
  const hasWebRTC = typeof RTCPeerConnection === "function";
  const codecs = hasWebRTC ? (RTCRtpReceiver.getCapabilities("video")?.codecs ?? []) : [];
  return { hasWebRTC, codecs: codecs.map(({ mimeType }) => mimeType.toLowerCase()) };
}

/**
 * Measure the microphone's level for a few seconds, then close it.
 *
 * @param {string} deviceId  empty for the browser's default
 * @param {(level: number) => void} onLevel
 */
export async function probeMicrophone(deviceId, onLevel) {
  const microphone = new Microphone(navigator.mediaDevices, () => {});
  const opened = await microphone.open(deviceId);
  if (opened !== "open" || !microphone.stream) return { trouble: opened, loudest: 0, choices: [], deviceId: "" };
  /** @type {number | null} */
  let loudest = null; // Firefox measures nothing without an audio output
  const meter = new SoundMeter((level) => {
    loudest = Math.max(loudest ?? 0, level);
    onLevel(level);
  });
  meter.listen(microphone.stream);
  const [choices] = await Promise.all([microphone.choices(), pause(LISTEN_MS)]);
  const usedId = microphone.deviceId;
  meter.listen(null);
  microphone.close();
  return { trouble: "", loudest, choices, deviceId: usedId };
}

/** Play two soft notes. */
export async function playTone() {
  const context = new AudioContext();
  const volume = new GainNode(context, { gain: 0.15 });
  volume.connect(context.destination);
  for (const [index, frequency] of [523, 659].entries()) {
    const note = new OscillatorNode(context, { frequency });
    note.connect(volume);
    note.start(context.currentTime + index * 0.4);
    note.stop(context.currentTime + index * 0.4 + 0.35);
  }
  await pause(TONE_MS);
  await context.close();
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
