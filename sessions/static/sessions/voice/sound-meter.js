/** Measures the level of a stream several times a second. */

import { levelOf } from "./level.js";

const EVERY_MS = 80;

export class SoundMeter {
  #onLevel;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {(level: number, now: number) => void} onLevel */
  constructor(onLevel) {
    this.#onLevel = onLevel;
    /** @type {MediaStream | null} */
    this.stream = null;
  }

  /** Measure again after an interruption, such as a phone call, in which the browser stopped the context. */
  async resume() {
    if (this.#context && this.#context.state !== "running") await this.#context.resume().catch(() => {});
  }

  /** @param {MediaStream | null} stream  null to stop */
  listen(stream) {
    clearInterval(this.#timer);
    void this.#context?.close();
    this.#context = null;
    this.stream = stream;
    if (!stream) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 2048;
    const samples = new Float32Array(analyser.fftSize);
    context.createMediaStreamSource(stream).connect(analyser);
    this.#context = context;
    this.#timer = setInterval(() => {
      // Without a user gesture the browser measures nothing, which is not silence.
      if (context.state !== "running") return;
      analyser.getFloatTimeDomainData(samples);
      this.#onLevel(levelOf(samples), performance.now());
    }, EVERY_MS);
  }
}
