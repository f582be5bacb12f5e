/**
 * Texts that the user wrote and the portal has not confirmed. They wait while the session takes none, are sent in the
 * order in which they were written, and stay until the portal answers.
 *
 * @typedef {"waiting" | "sending" | "failed"} Delivery
 * @typedef {object} Item
 * @property {string} ref
 * @property {"talk" | "repeat"} kind
 * @property {string} text
 * @property {Delivery} delivery
 * @property {string} why  text for the user if it failed
 */

export class Outbox {
  #newRef;
  #isCutOff = false;

  /** @param {() => string} newRef */
  constructor(newRef) {
    this.#newRef = newRef;
    /** @type {Item[]} */
    this.items = [];
  }

  /**
   * @param {"talk" | "repeat"} kind
   * @param {string} text
   * @returns {Item}
   */
  add(kind, text) {
    const item = { ref: this.#newRef(), kind, text, delivery: /** @type {Delivery} */ ("waiting"), why: "" };
    this.items.push(item);
    return item;
  }

  get waiting() {
    return this.items.filter(({ delivery }) => delivery === "waiting");
  }

  /** Take the texts to send now, in order, and mark them as sending. */
  take() {
    const alsoTake = this.#isCutOff ? "sending" : "waiting";
    const leaving = this.items.filter(({ delivery }) => delivery === "waiting" || delivery === alsoTake);
    for (const item of leaving) item.delivery = "sending";
    this.#isCutOff = false;
    return leaving;
  }

  /**
   * The portal has accepted a text: forget it.
   *
   * @param {string} ref
   * @returns {Item | undefined}
   */
  sent(ref) {
    const item = this.#find(ref);
    this.items = this.items.filter((other) => other !== item);
    return item;
  }

  /**
   * @param {string} ref
   * @param {string} why
   * @returns {Item | undefined}
   */
  failed(ref, why) {
    const item = this.#find(ref);
    if (item) Object.assign(item, { delivery: "failed", why });
    return item;
  }

  /**
   * Send a failed text again, after all others. It gets a new reference, as the portal answers a known one with its
   * first outcome.
   *
   * @param {string} ref
   * @returns {Item | undefined}
   */
  retry(ref) {
    const item = this.#find(ref);
    if (item?.delivery !== "failed") return undefined;
    Object.assign(item, { ref: this.#newRef(), delivery: "waiting", why: "" });
    this.items = [...this.items.filter((other) => other !== item), item];
    return item;
  }

  /**
   * Restore the texts after a reload. Those being sent may have arrived; the portal recognises them by reference.
   *
   * @param {Item[]} items
   */
  restore(items) {
    this.items = items;
    this.cutOff();
  }

  /** The socket closed: send again what has no answer. The portal recognises by reference what it has already. */
  cutOff() {
    this.#isCutOff = true;
  }

  /** The session ended: fail the texts that were being sent, keep those that wait. */
  sessionEnded() {
    const lost = this.items.filter((item) => item.delivery === "sending");
    for (const item of lost) item.delivery = "failed";
    return lost;
  }

  /** @param {string} ref */
  #find(ref) {
    return this.items.find((item) => item.ref === ref);
  }
}
