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
    this.isCutOff = false;
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

  get waiting() {
    return this.items.filter(({ delivery }) => delivery === "waiting");
  }

  /** Take what has to leave now, in order; it counts as on its way from now on. */
  take() {
    const again = this.isCutOff ? "sending" : "waiting";
    const leaving = this.items.filter(({ delivery }) => delivery === "waiting" || delivery === again);
    for (const item of leaving) item.delivery = "sending";
    this.isCutOff = false;
    return leaving;
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
   * Once more, and last: what was written meanwhile is not overtaken twice. Under a new mark: the portal
   * answers the old one with what became of it.
   *
   * @param {string} ref
   * @returns {Item | undefined}
   */
  retry(ref) {
    const item = this.find(ref);
    if (item?.delivery !== "failed") return undefined;
    Object.assign(item, { ref: this.newRef(), delivery: "waiting", why: "" });
    this.items = [...this.items.filter((other) => other !== item), item];
    return item;
  }

  /**
   * After a reload: what was on its way may have arrived, which the portal knows by its mark.
   *
   * @param {Item[]} items
   */
  restore(items) {
    this.items = items;
    this.cutOff();
  }

  /** The socket broke: what has no answer leaves once more. The portal knows by its mark what it has already. */
  cutOff() {
    this.isCutOff = true;
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
