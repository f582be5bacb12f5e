/** Keeps the screen on during a conversation. Browsers release the lock of a hidden page, so it is requested again. */

export class ScreenWakeLock {
  #wakeLock;
  #document;
  #isWanted = false;
  #isAsking = false;
  /** @type {WakeLockSentinel | null} */
  #sentinel = null;

  /**
   * @param {WakeLock | undefined} wakeLock  undefined in browsers and on insecure pages without it
   * @param {Pick<Document, "visibilityState" | "addEventListener">} page
   */
  constructor(wakeLock, page) {
    this.#wakeLock = wakeLock;
    this.#document = page;
    page.addEventListener("visibilitychange", () => void this.#apply());
  }

  /** @param {boolean} isWanted  whether a conversation is running */
  keep(isWanted) {
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    void this.#apply();
  }

  async #apply() {
    if (!this.#isWanted) {
      const held = this.#sentinel;
      this.#sentinel = null;
      await held?.release();
      return;
    }
    const isHeld = this.#sentinel !== null && !this.#sentinel.released;
    if (isHeld || this.#isAsking || this.#document.visibilityState !== "visible") return;
    this.#isAsking = true;
    try {
      this.#sentinel = (await this.#wakeLock?.request("screen")) ?? null;
    } catch {
      // Refused, for example with a low battery: the screen goes off as usual.
    }
    this.#isAsking = false;
    if (!this.#isWanted) await this.#apply(); // the conversation ended meanwhile
  }
}
