/**
 * Whether the video waits for the user: no frame can appear in a hidden page, or until a tap. While a session connects,
 * it is reported to the portal, which would otherwise take a missing first frame for a failure.
 *
 * @typedef {"hidden" | "playback_blocked" | ""} Reason  empty: nothing prevents a frame
 */

export class Waiting {
  #sessionId = "";
  /** @type {Reason} */
  #reported = "";

  /**
   * @param {Pick<import("./state.js").ConversationState, "phase" | "sessionId" | "isBlocked">} state
   * @param {boolean} isUnseen  the page or the video in it is hidden
   * @returns {Reason | null}  what to report; null if the portal knows it already
   */
  next({ phase, sessionId, isBlocked }, isUnseen) {
    if (sessionId !== this.#sessionId) this.#reported = "";
    this.#sessionId = sessionId;
    if (!sessionId || phase !== "connecting") return null;
    const reason = isBlocked ? "playback_blocked" : isUnseen ? "hidden" : "";
    if (reason === this.#reported) return null;
    this.#reported = reason;
    return reason;
  }
}
