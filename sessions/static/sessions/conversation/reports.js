/**
 * What happened in this page, reported to the portal for its record. Until the first frame, reports wait so that they
 * do not delay it; they are sent right after it, or after HOLD_MS. Each carries its own time, so the record keeps the order.
 */

const HOLD_MS = 2_000;
const REPORTS_KEPT = 200;

/** @typedef {{ type: string, [key: string]: unknown }} Message */
/** @typedef {{ kind: string, data: Record<string, unknown>, at: number }} Report */

export class Reports {
  #send;
  #clock;
  /** @type {Message[]} */
  #held = [];
  /** @type {Report[]} */
  #recent = [];

  /**
   * @param {(message: Message) => void} send
   * @param {() => number} [clock]  its time goes with each report, so that the portal can correct for this clock
   */
  constructor(send, clock = Date.now) {
    this.#send = send;
    this.#clock = clock;
  }

  /** The newest reports of this conversation. */
  get recent() {
    return this.#recent;
  }

  /** Begin a new conversation. */
  begin() {
    this.#recent = [];
  }

  /**
   * @param {string} kind
   * @param {Record<string, unknown>} data
   * @param {number} at
   * @param {boolean} mayWait
   */
  add(kind, data, at, mayWait) {
    this.#recent = [...this.#recent, { kind, data, at }].slice(-REPORTS_KEPT);
    this.#held.push({ type: "event.report", kind, data, at });
    if (!mayWait) this.flush();
    else if (this.#held.length === 1) setTimeout(() => this.flush(), HOLD_MS);
  }

  /**
   * Send a report before those that are held: the portal stores one after the other, and the avatar greets after this.
   *
   * @param {string} kind
   * @param {Record<string, unknown>} data
   * @param {number} at
   */
  addFirst(kind, data, at) {
    const held = this.#held.splice(0);
    this.add(kind, data, at, false);
    this.#held.unshift(...held);
    this.flush();
  }

  flush() {
    for (const message of this.#held.splice(0)) this.#send({ ...message, sent: this.#clock() });
  }
}
