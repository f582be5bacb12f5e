/** Detects the pitch of a voice in a sound. Claps, clicks, taps and rustling have none. */

/** Samples per second needed to find a pitch; higher rates are averaged down. */
const RATE = 8_000;
const WINDOW_S = 0.035;
const HOP_S = 0.01;
/** Range of speaking voices. */
const LOWEST_HZ = 75;
const HIGHEST_HZ = 400;
/** Mean power (-50 dB) below which a sound is too quiet to be speech at the microphone. */
const FAINTEST = 1e-5;

export class PitchDetector {
  /** @param {number} sampleRate */
  constructor(sampleRate) {
    this.step = Math.max(1, Math.round(sampleRate / RATE));
    const rate = sampleRate / this.step;
    this.shortest = Math.floor(rate / HIGHEST_HZ);
    this.longest = Math.ceil(rate / LOWEST_HZ);
    this.hop = Math.round(rate * HOP_S);
    this.window = new Float32Array(Math.round(rate * WINDOW_S));
    this.fresh = 0; // new samples at the end of the window
    this.sum = 0;
    this.summed = 0;
  }

  /**
   * @param {number} sample  from -1 to 1
   * @returns {number | null} every HOP_S the clarity of the pitch in the last WINDOW_S, from 0 to 1; otherwise null
   */
  add(sample) {
    this.sum += sample;
    this.summed += 1;
    if (this.summed < this.step) return null;
    this.window[this.window.length - this.hop + this.fresh] = this.sum / this.step;
    this.sum = this.summed = 0;
    this.fresh += 1;
    if (this.fresh < this.hop) return null;
    const clarity = this.clarity();
    this.window.copyWithin(0, this.hop);
    this.fresh = 0;
    return clarity;
  }

  /** The highest autocorrelation of the sound over all periods in the range. */
  clarity() {
    const { window, shortest, longest } = this;
    const mean = window.reduce((sum, value) => sum + value, 0) / window.length;
    const sound = window.map((value) => value - mean);
    if (energy(sound, 0, sound.length) / sound.length < FAINTEST) return 0;
    let best = 0;
    for (let lag = shortest; lag <= longest; lag += 1) {
      const length = sound.length - lag;
      let likeness = 0;
      for (let index = 0; index < length; index += 1) likeness += (sound[index] ?? 0) * (sound[index + lag] ?? 0);
      if (likeness > 0)
        best = Math.max(best, likeness / Math.sqrt(energy(sound, 0, length) * energy(sound, lag, length)));
    }
    return best;
  }
}

/**
 * @param {Float32Array} sound
 * @param {number} from
 * @param {number} length
 */
function energy(sound, from, length) {
  let sum = 0;
  for (let index = from; index < from + length; index += 1) sum += (sound[index] ?? 0) ** 2;
  return sum;
}
