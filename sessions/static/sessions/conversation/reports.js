/**
 * What happened here, told to the portal, which keeps it for auditors. Before the first frame it has better to do:
 * what happens until then is told together with it, or a little later if no frame comes.
 */

const HOLD_MS = 2_000;
const MOST_KEPT = 200;

/** @typedef {{ type: string, [key: string]: unknown }} Message */

export class Reports {
  /**
   * @param {(message: Message) => void} send
   * @param {() => number} [clock]  tells the portal when a report left: so it learns how far this clock is off
   */
  constructor(send, clock = Date.now) {
    this.send = send;
    this.clock = clock;
    /** @type {Message[]} */
    this.held = [];
    /** @type {{ kind: string, data: Record<string, unknown>, at: number }[]} */
    this.told = []; // in this conversation, the newest of it
  }

  /**
   * @param {string} kind
   * @param {Record<string, unknown>} data
   * @param {number} at
   * @param {boolean} mayWait
   */
  add(kind, data, at, mayWait) {
    this.told = [...this.told, { kind, data, at }].slice(-MOST_KEPT);
    this.held.push({ type: "event.report", kind, data, at });
    if (!mayWait) this.flush();
    else if (this.held.length === 1) setTimeout(() => this.flush(), HOLD_MS);
  }

  flush() {
    for (const message of this.held.splice(0)) this.send({ ...message, sent: this.clock() });
  }
}
