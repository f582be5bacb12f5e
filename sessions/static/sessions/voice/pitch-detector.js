/** Whether somebody's voice is in a sound: it has a pitch, which claps, clicks, taps and rustling have not. */

/** Samples a second that a pitch needs; more are averaged down to about as many. */
const RATE = 8_000;
const WINDOW_S = 0.035;
const HOP_S = 0.01;
/** The pitch of people who talk. */
const LOWEST_HZ = 75;
const HIGHEST_HZ = 400;
/** Fainter than this (-50 dB) nothing is somebody at the microphone. */
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
    this.fresh = 0; // samples at the window's end that have not been looked at
    this.sum = 0;
    this.summed = 0;
  }

  /**
   * @param {number} sample  from -1 to 1
   * @returns {number | null} once in HOP_S how clear the pitch of the last WINDOW_S is, 0 to 1; null in between
   */
  hear(sample) {
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

  /** How much the sound is like itself one period later, at the period where it is so most. */
  clarity() {
    const { window, shortest, longest } = this;
    const mean = window.reduce((sum, value) => sum + value, 0) / window.length;
    const sound = window.map((value) => value - mean);
    if (energy(sound, 0, sound.length) / sound.length < FAINTEST) return 0;
    let best = 0;
    for (let lag = shortest; lag <= longest; lag += 1) {
      const length = sound.length - lag;
      let likeness = 0;
      for (let place = 0; place < length; place += 1) likeness += (sound[place] ?? 0) * (sound[place + lag] ?? 0);
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
  for (let place = from; place < from + length; place += 1) sum += (sound[place] ?? 0) ** 2;
  return sum;
}
