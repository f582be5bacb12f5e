/** When a session that the provider is about to end is replaced by a new one: in a pause, or when it cannot wait. */

/** Milliseconds before the end. */
export const FROM = 15_000;
export const LATEST = 5_000;

export class Renewal {
  constructor() {
    /** The portal's clock; 0 while no end is near, or where the conversation may not go on. */
    this.at = 0;
    this.isBegun = false;
  }

  /**
   * @param {number} now  the portal's clock
   * @param {boolean} isTalking  the avatar is
   */
  isDue(now, isTalking) {
    const left = this.at - now;
    return this.at > 0 && !this.isBegun && left <= (isTalking ? LATEST : FROM);
  }

  /**
   * A new session takes over before the provider's limit ends this one.
   *
   * @param {import("./recovery.js").Recovery} recovery
   * @param {import("./ladder.js").Step} before
   */
  begin(recovery, before) {
    this.isBegun = true;
    recovery.it.report("ladder", { step: "renew", from: before, because: "duration_limit" });
    recovery.it.dispatch({ type: "ladder", step: "renew", code: "" });
    recovery.renew("duration_limit");
  }

  /**
   * Whether the end came before the new session was asked for; then it is asked for now.
   *
   * @param {import("./recovery.js").Recovery} recovery
   * @param {string} status
   * @param {string} [reason]
   */
  answers(recovery, status, reason) {
    if (!this.at || this.isBegun || reason !== "duration_limit") return false;
    if (status === "ended") recovery.happen("expired");
    return true;
  }
}
