/** Tries out what a conversation needs of the browser, the microphone and the loudspeaker. */

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
 * Listen for some seconds; the microphone is let go of afterwards.
 *
 * @param {string} wanted  a device's ID; empty for the browser's own choice
 * @param {(level: number) => void} onLevel
 */
export async function probeMicrophone(wanted, onLevel) {
  const microphone = new Microphone(navigator.mediaDevices, () => {});
  const opened = await microphone.open(wanted);
  if (opened !== "open" || !microphone.stream) return { trouble: opened, loudest: 0, choices: [], deviceId: "" };
  /** @type {number | null} */
  let loudest = null; // a Firefox without a loudspeaker measures nothing
  const meter = new SoundMeter((level) => {
    loudest = Math.max(loudest ?? 0, level);
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

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
