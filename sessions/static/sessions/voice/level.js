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
  /** @param {number} longest  milliseconds */
  constructor(longest) {
    this.longest = longest;
    this.still = 0;
    /** @type {number | null} */
    this.before = null;
  }

  begin() {
    this.still = 0;
    this.before = null;
  }

  /**
   * @param {number} level
   * @param {boolean} isMeant  whether sound is expected
   * @param {number} now
   * @returns {boolean} whether it has been silent for too long
   */
  isTooLong(level, isMeant, now) {
    if (level > 0) this.still = 0;
    else if (isMeant && this.before !== null) this.still += now - this.before;
    this.before = isMeant ? now : null;
    return this.still >= this.longest;
  }
}
