/**
 * The page's connection to the avatar's room, as a pure reducer. Only `AvatarRoom` holds and changes this state.
 *
 * @typedef {{ type: string, [key: string]: any }} RoomEvent
 *
 * @typedef {object} ConnectionState
 * @property {number} visit  counts joins and leaves; results of an earlier visit are ignored
 * @property {{ url: string, token: string } | null} access  to the room joined last
 * @property {boolean} isIn
 * @property {boolean} isReconnecting  LiveKit is restoring the connection
 * @property {number} joiningSince  when the first unanswered attempt began; 0 while in, and before the first attempt
 * @property {import("../recovery/diagnosis.js").Facts["refusal"]} refusal  of the last attempt
 * @property {string} quality  LiveKit's connection quality
 * @property {boolean} isMuted
 * @property {{ name: string, events: RoomEvent[] } | null} early  a room joined before Start: its name, and its
 *   events until `join` asks for it
 */

/** @type {ConnectionState} */
export const OUT = Object.freeze({
  visit: 0,
  access: null,
  isIn: false,
  isReconnecting: false,
  joiningSince: 0,
  refusal: "",
  quality: "",
  isMuted: false,
  early: null,
});

/** @type {Record<string, (state: ConnectionState, event: RoomEvent) => ConnectionState>} */
const REDUCERS = {
  join: (state, { url, token, at }) => {
    // Joining again does not answer the attempt before: the wait counts from the first one.
    const isUnanswered = state.joiningSince > 0 && ["", "network"].includes(state.refusal);
    const joiningSince = isUnanswered ? state.joiningSince : at;
    return { ...outside(state), visit: state.visit + 1, access: { url, token }, joiningSince, refusal: "" };
  },
  joined: (state) => ({ ...state, isIn: true, joiningSince: 0 }),
  refused: (state, { refusal }) => ({ ...state, refusal }),
  leave: (state) => ({ ...outside(state), visit: state.visit + 1, joiningSince: 0, early: null }),
  disconnected: (state) => outside(state),
  closed: (state) => ({ ...state, refusal: "closed" }),
  reconnecting: (state) => ({ ...state, isReconnecting: true }),
  reconnected: (state) => ({ ...state, isReconnecting: false }),
  quality: (state, { quality }) => ({ ...state, quality }),
  mute: (state, { isMuted }) => ({ ...state, isMuted }),
  join_early: (state, { name }) => ({ ...state, early: { name, events: [] } }),
  early_event: (state, { event }) => {
    if (!state.early) return state;
    const events = event.type === "room_disconnected" ? [] : [...state.early.events, event];
    return { ...state, early: { ...state.early, events } };
  },
  release_early: (state) => ({ ...state, early: null }),
};

/**
 * @param {ConnectionState} state
 * @param {RoomEvent} event
 */
export function reduce(state, event) {
  const reducer = REDUCERS[event.type];
  if (!reducer) throw new Error(`unknown connection event ${event.type}`);
  return reducer(state, event);
}

/**
 * @param {ConnectionState} state
 * @returns {ConnectionState}
 */
function outside(state) {
  return { ...state, isIn: false, isReconnecting: false };
}
