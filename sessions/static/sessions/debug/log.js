/**
 * A log of the page's events by the portal's clock. It contains no access tokens and nothing that was said, as copies of
 * it end up in reports.
 *
 * @typedef {{ at: string, ms: number, from: string, what: string, data: Record<string, unknown> }} Entry
 */

const ENTRIES_KEPT = 500;
const SECRET = new Set(["token", "url", "payload"]);
const SPEECH = new Set(["text", "message"]);

export class DebugLog {
  /** @param {() => number} now  the portal's clock, milliseconds since 1970 */
  constructor(now) {
    this.now = now;
    /** @type {Entry[]} */
    this.entries = [];
    this.startedAt = 0;
  }

  /**
   * @param {string} from  browser, portal or LiveKit
   * @param {string} what
   * @param {Record<string, unknown>} [data]
   */
  add(from, what, data = {}) {
    const at = this.now();
    if (what === "session.start") this.startedAt = at;
    const ms = this.startedAt ? Math.round(at - this.startedAt) : 0;
    this.entries.push({ at: new Date(at).toISOString(), ms, from, what, data: harmless(data) });
    if (this.entries.length > ENTRIES_KEPT) this.entries.shift();
  }
}

/**
 * @param {Record<string, unknown>} data
 * @returns {Record<string, unknown>}
 */
function harmless(data) {
  /** @type {Record<string, unknown>} */
  const kept = {};
  for (const [key, value] of Object.entries(data)) {
    if (key === "type" || SECRET.has(key)) continue;
    if (SPEECH.has(key)) kept.characters = String(value).length;
    else if (key === "data" && typeof value === "object" && value) Object.assign(kept, harmless({ ...value }));
    else if (["string", "number", "boolean"].includes(typeof value)) kept[key] = value;
  }
  return kept;
}
