/**
 * What this tab needs to return to its session after a reload. Kept in the tab's session storage until the session ends.
 *
 * @typedef {object} Saved
 * @property {string} sessionId
 * @property {string} url
 * @property {string} token
 * @property {string} name  of the room, if the portal has rooms of its own
 * @property {import("./outbox.js").Item[]} unsent  texts that the portal has not confirmed
 */

const KEY = "session";

export class SavedSession {
  /**
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} storage
   * @param {string} scope  keeps the sessions of different personas apart
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
      return null; // storage is forbidden, or its value broken
    }
  }

  /** @param {Saved} saved */
  keep(saved) {
    // The portal issues new tokens for its own rooms, and this one expires in minutes.
    const kept = saved.name ? { ...saved, token: "" } : saved;
    try {
      this.storage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // Without storage, a reload ends the session.
    }
  }

  forget() {
    try {
      this.storage.removeItem(this.key);
    } catch {
      // Nothing was saved.
    }
  }
}
