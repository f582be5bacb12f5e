/** The part of the room's state that tells where the recovery stands; see state.js. */

/** @typedef {import("../conversation/state.js").RoomState} RoomState */

/** @type {Pick<RoomState, "rung" | "verdict" | "provider" | "isAway">} */
export const WELL = { rung: "off", verdict: "", provider: "", isAway: false };

/** @type {Record<string, (state: RoomState, it: import("../conversation/state.js").Happening) => RoomState>} */
export const WITHOUT = {
  room_reconnecting: (state) => ({ ...state, isAway: true }),
  room_reconnected: (state) => ({ ...state, isAway: false }),
  ladder: (state, { step, code = "" }) => withRung(state, step, code),
  verdict: (state, { code }) => ({ ...state, verdict: code }),
  provider: (state, { status }) => ({ ...state, provider: status }),
};

/**
 * Whoever goes on without a picture is there, too.
 *
 * @param {RoomState} state
 * @param {import("./ladder.js").Step} rung
 * @param {string} verdict
 * @returns {RoomState}
 */
function withRung(state, rung, verdict) {
  const isWithout = rung === "sound" || rung === "text";
  const phase = state.phase === "connecting" && isWithout ? "live" : state.phase;
  const isBack = rung === "picture" && state.rung !== "off" && phase === "live";
  const hasPicture = isBack || (state.hasPicture && !isWithout);
  return { ...state, rung, verdict, phase, hasPicture, provider: isBack ? "" : state.provider };
}
