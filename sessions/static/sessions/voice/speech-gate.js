/**
 * Passes speech and blocks everything else. A word has begun before it is recognised as speech, so the latest sound is
 * delayed and passed when the gate opens. While the gate is open, playing slightly faster makes up for the delay.
 */

import { PitchDetector } from "./pitch-detector.js";

/** Delay in seconds: the beginning of a word may have no pitch for this long, as in "six". */
const KEPT_S = 0.25;
/** A pitch this clear, for this many hundredths of a second, is a voice. */
const CLEAR = 0.7;
const LASTING = 6;
/** The gate stays open for word endings without pitch, and for pauses within a sentence. */
const STILL_CLEAR = 0.5;
const HOLD_S = 0.6;
/** Maximum speed while catching up. */
const CATCH_UP = 1.1;
const FADE_S = 0.005;

export class SpeechGate {
  /** @param {number} sampleRate */
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.pitchDetector = new PitchDetector(sampleRate);
    this.kept = new Float32Array(Math.ceil(KEPT_S * sampleRate) + 2);
    this.written = 0;
    /** Delay of the output, in samples. */
    this.lag = KEPT_S * sampleRate;
    this.gain = 0;
    this.isOpen = false;
    this.lasting = 0;
    this.quiet = 0; // samples since a voice was last recognised
  }

  /**
   * @param {Float32Array} input  mono, from -1 to 1
   * @param {Float32Array} output  of the same length
   */
  process(input, output) {
    const fade = 1 / (FADE_S * this.sampleRate);
    for (let index = 0; index < input.length; index += 1) {
      const sample = input[index] ?? 0;
      this.kept[this.written % this.kept.length] = sample;
      this.written += 1;
      this.watch(sample);
      this.lag = this.isOpen ? Math.max(0, this.lag + 1 - CATCH_UP) : Math.min(KEPT_S * this.sampleRate, this.lag + 1);
      this.gain = Math.min(1, Math.max(0, this.gain + (this.isOpen ? fade : -fade)));
      output[index] = this.gain && this.gain * this.behind();
    }
  }

  /** @param {number} sample */
  watch(sample) {
    this.quiet += 1;
    const clarity = this.pitchDetector.add(sample);
    if (clarity === null) return;
    this.lasting = clarity >= CLEAR ? this.lasting + 1 : 0;
    if (this.lasting >= LASTING || (this.isOpen && clarity >= STILL_CLEAR)) this.quiet = 0;
    this.isOpen = this.quiet === 0 || (this.isOpen && this.quiet < HOLD_S * this.sampleRate);
  }

  /** The sample `lag` ago, interpolated. */
  behind() {
    const at = this.written - 1 - this.lag;
    const before = Math.floor(at);
    const [a, b] = [this.at(before), this.at(Math.min(before + 1, this.written - 1))];
    return a + (b - a) * (at - before);
  }

  /** @param {number} index */
  at(index) {
    return index < 0 ? 0 : (this.kept[index % this.kept.length] ?? 0);
  }
}
