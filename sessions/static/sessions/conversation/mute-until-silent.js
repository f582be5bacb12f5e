/**
 * Silence in the browser from the click on Interrupt until the provider has fallen silent, too: what it said before it
 * heard of the click is still on its way, and nobody wants to hear it.
 */

/** Sound arrives later than the message that it has ended. */
const LATE_SOUND_MS = 400;
/** The message may be lost; a voice that stays silent for good would be worse than a word too many. */
const LONGEST_MS = 4_000;

export class MuteUntilSilent {
  /** @param {(isSilent: boolean) => void} silence */
  constructor(silence) {
    this.silence = silence;
    this.isOn = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  begin() {
    this.isOn = true;
    this.silence(true);
    this.endIn(LONGEST_MS);
  }

  /** The provider confirms that it says no more. */
  confirmed() {
    if (this.isOn) this.endIn(LATE_SOUND_MS);
  }

  /** Something else is being said, or nothing will come of the interruption. */
  end() {
    if (!this.isOn) return;
    clearTimeout(this.timer);
    this.isOn = false;
    this.silence(false);
  }

  /** @param {number} ms */
  endIn(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.end(), ms);
  }
}
