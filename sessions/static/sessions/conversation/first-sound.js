/**
 * How long the user waits until the avatar is heard: for its greeting, and for each answer. Measured on the sound itself,
 * and reported once each as `first_sound`. Nothing is reported where the sound could belong to something else.
 */

/** A greeting that was not heard so long after Start does not come. */
const GREETING_MS = 30_000;
const ANSWER_MS = 30_000;
/** The last sound of a line arrives later than the message about its end. */
const ENDING_MS = 500;

/** @typedef {"start" | "typed" | "spoken"} Awaited */

export class FirstSound {
  #report;
  #onWatch;
  /** @type {{ after: Awaited, since: number } | null} */
  #awaited = null;
  #isTalking = false;
  #talkedUntil = -Infinity;
  /** @type {number | null} */
  #voiceAt = null;

  /**
   * All times are milliseconds on the page's own time line.
   *
   * @param {(data: { after: Awaited, ms: number }) => void} report
   * @param {(isWatched: boolean) => void} onWatch  whether the avatar's sound is to be watched now
   */
  constructor(report, onWatch) {
    this.#report = report;
    this.#onWatch = onWatch;
  }

  /** A conversation begins. @param {number} pressedAt */
  begin(pressedAt) {
    this.#isTalking = false;
    this.#talkedUntil = -Infinity;
    this.#voiceAt = null;
    this.#await("start", pressedAt);
  }

  /** The user sent a text. @param {number} at */
  textSent(at) {
    this.#asked("typed", at, at);
  }

  /** The user's microphone, which is being sent, has sound. @param {number} at */
  voiceSent(at) {
    this.#voiceAt = at;
  }

  /** The provider has noticed the end of the user's speech. @param {number} at */
  speechEnded(at) {
    if (this.#voiceAt !== null) this.#asked("spoken", this.#voiceAt, at);
    this.#voiceAt = null;
  }

  /**
   * @param {boolean} isTalking  according to the provider
   * @param {number} at
   */
  talking(isTalking, at) {
    if (this.#isTalking && !isTalking) this.#talkedUntil = at;
    this.#isTalking = isTalking;
  }

  /** The avatar is heard. @param {number} at */
  heard(at) {
    const awaited = this.#awaited;
    if (!awaited) return;
    this.forget();
    const ms = Math.round(at - awaited.since);
    if (ms >= 0 && ms <= (awaited.after === "start" ? GREETING_MS : ANSWER_MS))
      this.#report({ after: awaited.after, ms });
  }

  /** The next sound is not to be measured. */
  forget() {
    if (this.#awaited) this.#onWatch(false);
    this.#awaited = null;
  }

  /**
   * @param {Awaited} after
   * @param {number} since
   * @param {number} at
   */
  #asked(after, since, at) {
    // Whatever is heard next could be the end of this line, or the greeting.
    const isMixed = this.#isTalking || at - this.#talkedUntil < ENDING_MS || this.#awaited?.after === "start";
    this.forget();
    if (!isMixed) this.#await(after, since);
  }

  /**
   * @param {Awaited} after
   * @param {number} since
   */
  #await(after, since) {
    this.#awaited = { after, since };
    this.#onWatch(true);
  }
}
