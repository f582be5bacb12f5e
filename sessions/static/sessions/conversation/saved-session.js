/**
 * What this tab needs to come back to its session after a reload. It lives as long as the tab,
 * and is forgotten when the session is over.
 *
 * @typedef {object} Saved
 * @property {string} sessionId
 * @property {string} url
 * @property {string} token
 * @property {string} name  of a room of the portal's own
 * @property {import("./outbox.js").Item[]} unsent  what was written and not confirmed
 */

const KEY = "session";

export class SavedSession {
  /**
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} storage
   * @param {string} scope  one persona's page does not come back to another's session
   */
  constructor(storage, scope) {
    this.storage = storage;
    this.key = `${KEY}:${scope}`;
  }

  /** @returns {Saved | null} */
  recall() {
    try {
      const {
        sessionId,
        url,
        token,
        name = "",
        unsent = [],
      } = JSON.parse(this.storage.getItem(this.key) ?? "null") ?? {};
      return sessionId && url && (token || name) ? { sessionId, url, token, name, unsent } : null;
    } catch {
      return null; // forbidden or broken: there is nothing to come back to
    }
  }

  /** @param {Saved} saved */
  keep(saved) {
    // Into its own room the portal lets the page again; a token that lives for minutes is not worth keeping.
    const kept = saved.name ? { ...saved, token: "" } : saved;
    try {
      this.storage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // Without storage a reload ends the session; nothing else does.
    }
  }

  forget() {
    try {
      this.storage.removeItem(this.key);
    } catch {
      // nothing was kept
    }
  }
}
