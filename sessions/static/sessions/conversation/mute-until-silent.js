/**
 * Mutes the avatar from the click on Interrupt until the provider confirms that it is silent. Speech that it sent
 * before is still arriving, and the user does not want to hear it.
 */

/** Sound arrives later than the message that it has ended. */
const LATE_SOUND_MS = 400;
/** The confirmation may be lost, and an avatar that stays mute is worse than a few unwanted words. */
const LONGEST_MUTE_MS = 4_000;

export class MuteUntilSilent {
  #mute;
  #isOn = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(isMuted: boolean) => void} mute */
  constructor(mute) {
    this.#mute = mute;
  }

  begin() {
    this.#isOn = true;
    this.#mute(true);
    this.#endIn(LONGEST_MUTE_MS);
  }

  /** The provider has stopped speaking. */
  confirmed() {
    if (this.#isOn) this.#endIn(LATE_SOUND_MS);
  }

  /** Unmute now: the avatar says something else, or the interruption failed. */
  end() {
    if (!this.#isOn) return;
    clearTimeout(this.#timer);
    this.#isOn = false;
    this.#mute(false);
  }

  /** @param {number} ms */
  #endIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(), ms);
  }
}
