/**
 * What the person wrote and the portal has not confirmed yet. Lines wait while nobody would take them,
 * leave in the order they were written, and stay until the portal says what became of them.
 *
 * @typedef {"waiting" | "sending" | "failed"} Delivery
 * @typedef {object} Item
 * @property {string} ref
 * @property {"talk" | "repeat"} kind
 * @property {string} text
 * @property {Delivery} delivery
 * @property {string} why  in words, when it failed
 */

export class Outbox {
  /** @param {() => string} newRef */
  constructor(newRef) {
    this.newRef = newRef;
    /** @type {Item[]} */
    this.items = [];
  }

  /**
   * @param {"talk" | "repeat"} kind
   * @param {string} text
   * @returns {Item}
   */
  add(kind, text) {
    const item = { ref: this.newRef(), kind, text, delivery: /** @type {Delivery} */ ("waiting"), why: "" };
    this.items.push(item);
    return item;
  }

  /** Take what waits, in order; it counts as on its way from now on. */
  take() {
    const waiting = this.items.filter((item) => item.delivery === "waiting");
    for (const item of waiting) item.delivery = "sending";
    return waiting;
  }

  /**
   * The portal has taken it: no longer ours to worry about.
   *
   * @param {string} ref
   * @returns {Item | undefined}
   */
  sent(ref) {
    const item = this.find(ref);
    this.items = this.items.filter((other) => other !== item);
    return item;
  }

  /**
   * @param {string} ref
   * @param {string} why
   * @returns {Item | undefined}
   */
  failed(ref, why) {
    const item = this.find(ref);
    if (item) Object.assign(item, { delivery: "failed", why });
    return item;
  }

  /**
   * Once more, and last: what was written meanwhile is not overtaken twice.
   *
   * @param {string} ref
   * @returns {Item | undefined}
   */
  retry(ref) {
    const item = this.find(ref);
    if (item?.delivery !== "failed") return undefined;
    Object.assign(item, { delivery: "waiting", why: "" });
    this.items = [...this.items.filter((other) => other !== item), item];
    return item;
  }

  /** Whatever was on its way when the session ended will not arrive; what waited goes on waiting. */
  sessionEnded() {
    const lost = this.items.filter((item) => item.delivery === "sending");
    for (const item of lost) item.delivery = "failed";
    return lost;
  }

  /** @param {string} ref */
  find(ref) {
    return this.items.find((item) => item.ref === ref);
  }
}
