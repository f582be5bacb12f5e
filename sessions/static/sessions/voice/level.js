/** The level of a sound in five steps, and whether a microphone that is in use stays silent. */

const LOUDEST = 5;
/** A quiet room is at about -60 dB, a voice near the microphone at -30 to -15 dB. */
const FAINTEST_DB = -58;
const STEP_DB = 8;

/**
 * @param {ArrayLike<number>} samples  from -1 to 1
 * @returns {number} 0 for silence, up to LOUDEST
 */
export function levelOf(samples) {
  let sum = 0;
  for (let index = 0; index < samples.length; index += 1) sum += (samples[index] ?? 0) ** 2;
  const decibels = 10 * Math.log10(sum / Math.max(1, samples.length));
  return Math.min(LOUDEST, Math.max(0, Math.ceil((decibels - FAINTEST_DB) / STEP_DB)));
}

/** Measures how long a microphone in use has been silent. */
export class SilenceTimer {
  #longest;
  #silentMs = 0;
  /** @type {number | null} */
  #measuredAt = null;

  /** @param {number} longest  milliseconds */
  constructor(longest) {
    this.#longest = longest;
  }

  begin() {
    this.#silentMs = 0;
    this.#measuredAt = null;
  }

  /**
   * @param {number} level
   * @param {boolean} isExpected  whether sound is expected
   * @param {number} now
   * @returns {boolean} whether it has been silent for too long
   */
  isTooLong(level, isExpected, now) {
    if (level > 0) this.#silentMs = 0;
    else if (isExpected && this.#measuredAt !== null) this.#silentMs += now - this.#measuredAt;
    this.#measuredAt = isExpected ? now : null;
    return this.#silentMs >= this.#longest;
  }
}
