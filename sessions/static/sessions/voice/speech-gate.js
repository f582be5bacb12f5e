/**
 * Lets somebody's speech through, and nothing while nobody speaks. A word has begun before it is known to be one, so
 * what was heard last is kept back and goes out as the gate opens; what that takes is made up for while one speaks, by
 * going out a little faster.
 */

import { PitchDetector } from "./pitch-detector.js";

/** Seconds kept back: how long the beginning of a word may be without a pitch, as in "six". */
const KEPT_S = 0.25;
/** A pitch as clear as this, for so many hundredths of a second, is a voice. */
const CLEAR = 0.7;
const LASTING = 6;
/** After the last of it the gate stays open: for the end of a word that has none, and for pauses in a sentence. */
const STILL_CLEAR = 0.5;
const HOLD_S = 0.6;
/** Times as fast, at most, as it was said. */
const HURRY = 1.1;
const FADE_S = 0.005;

export class SpeechGate {
  /** @param {number} sampleRate */
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.pitchDetector = new PitchDetector(sampleRate);
    this.kept = new Float32Array(Math.ceil(KEPT_S * sampleRate) + 2);
    this.written = 0;
    /** How far what goes out is behind what comes in, in samples. */
    this.lag = KEPT_S * sampleRate;
    this.gain = 0;
    this.isOpen = false;
    this.lasting = 0;
    this.quiet = 0; // samples since the last of a voice
  }

  /**
   * @param {Float32Array} input  mono, from -1 to 1
   * @param {Float32Array} output  as long
   */
  process(input, output) {
    const fade = 1 / (FADE_S * this.sampleRate);
    for (let place = 0; place < input.length; place += 1) {
      const sample = input[place] ?? 0;
      this.kept[this.written % this.kept.length] = sample;
      this.written += 1;
      this.watch(sample);
      this.lag = this.isOpen ? Math.max(0, this.lag + 1 - HURRY) : Math.min(KEPT_S * this.sampleRate, this.lag + 1);
      this.gain = Math.min(1, Math.max(0, this.gain + (this.isOpen ? fade : -fade)));
      output[place] = this.gain && this.gain * this.behind();
    }
  }

  /** @param {number} sample */
  watch(sample) {
    this.quiet += 1;
    const clarity = this.pitchDetector.hear(sample);
    if (clarity === null) return;
    this.lasting = clarity >= CLEAR ? this.lasting + 1 : 0;
    if (this.lasting >= LASTING || (this.isOpen && clarity >= STILL_CLEAR)) this.quiet = 0;
    this.isOpen = this.quiet === 0 || (this.isOpen && this.quiet < HOLD_S * this.sampleRate);
  }

  /** The sound as it was `lag` ago, between two samples if need be. */
  behind() {
    const at = this.written - 1 - this.lag;
    const before = Math.floor(at);
    const [a, b] = [this.at(before), this.at(Math.min(before + 1, this.written - 1))];
    return a + (b - a) * (at - before);
  }

  /** @param {number} place */
  at(place) {
    return place < 0 ? 0 : (this.kept[place % this.kept.length] ?? 0);
  }
}
