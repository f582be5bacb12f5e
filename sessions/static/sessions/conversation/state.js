import { isRecovering } from "../recovery/ladder.js";
import { WELL, WITHOUT } from "../recovery/without-picture.js";

/**
 * The states of the room, as a pure reducer: what is, and what happened, give what is next.
 *
 * @typedef {"ready" | "queue" | "take-over" | "connecting" | "live" | "taken-over" | "ended" | "failed"} Phase
 * @typedef {Phase | "tap" | "ending" | "recovering" | "sound" | "text"} Face
 * @typedef {{ why: "idle" | "duration_limit" | "quota" | "spend_cap", at: string }} Warning
 * @typedef {{ code: string, words: string }} Cause  `words` may be empty: then the page has its own for the code
 * @typedef {{ place: number, waiting: number, expectedS: number | null }} Turn  1 is next
 * @typedef {{ id: string, slug: string, persona: string, startedAt: string }} Other  the person's conversation that runs elsewhere
 * @typedef {object} Session  what the portal said last about the session
 * @property {string} id
 * @property {string} status
 * @property {string} reason
 * @property {string} words
 * @property {string} createdAt
 * @property {string} endsAt
 * @property {string} endedAt
 *
 * @typedef {object} RoomState
 * @property {Phase} phase
 * @property {number} step  while connecting: 0 session, 1 room, 2 picture
 * @property {boolean} isCancelled
 * @property {boolean} isBlocked  the browser wants a tap before it plays
 * @property {boolean} isPictureHeld  not the sound alone: a phone that saves power holds muted pictures back as well
 * @property {boolean} hasPicture
 * @property {boolean} isTalking
 * @property {Warning | null} warning
 * @property {Session | null} session
 * @property {Cause | null} cause
 * @property {Turn | null} turn  while in line
 * @property {Other | null} other  while it stands in the way
 * @property {boolean} isReleasing  the conversation elsewhere is being closed first
 * @property {import("../recovery/ladder.js").Step} rung  where the recovery stands
 * @property {string} verdict  why there is no picture, as a code
 * @property {string} provider  what the avatar service says of the session
 * @property {boolean} isAway  LiveKit is reconnecting
 * @property {{ until: string } | null} observed  one of the team watches; `until` is empty, or when that ends by itself
 *
 * @typedef {{ type: string, [key: string]: any }} Happening
 */

/** @type {RoomState} */
export const READY = Object.freeze({
  phase: "ready",
  step: 0,
  isCancelled: false,
  isBlocked: false,
  isPictureHeld: false,
  hasPicture: false,
  isTalking: false,
  warning: null,
  session: null,
  cause: null,
  turn: null,
  other: null,
  isReleasing: false,
  observed: null,
  ...WELL,
});

/** Ends that the person should be able to understand as a fault, not as a goodbye. */
const FAULTS = new Set([
  "no_picture",
  "provider_ended",
  "provider_refused",
  "provider_unreachable",
  "orphan_found",
  "quota",
  "spend_cap",
]);

/** @type {Record<string, (state: RoomState, it: Happening) => RoomState>} */
const REDUCERS = {
  start: () => ({ ...READY, phase: "connecting" }),
  rejoin: () => ({ ...READY, phase: "connecting", step: 1 }),
  forget: () => READY,
  cancel: (state) => (state.phase === "connecting" ? { ...state, isCancelled: true } : state),
  turned_away: (state) => ({ ...state, session: null }),
  room_joined: (state) => ({ ...state, isAway: false, step: state.phase === "connecting" ? 2 : state.step }),
  ...WITHOUT,
  first_frame: (state) => (isOpen(state) && !state.isCancelled ? { ...state, phase: "live", hasPicture: true } : state),
  playback_blocked: (state, { isPictureHeld = false }) => ({ ...state, isBlocked: true, isPictureHeld }),
  playback_started: (state) => ({ ...state, isBlocked: false }),
  talking: (state, { isTalking }) => ({ ...state, isTalking }),
  "session.ending": (state, { why, at }) => (isOpen(state) ? { ...state, warning: { why, at } } : state),
  "session.observed": (state, { is_observed: isObserved, until = "" }) => ({
    ...state,
    observed: isObserved ? { until } : null,
  }),
  "session.staying": (state) => ({ ...state, warning: null }),
  // Whoever writes is there.
  "task.sent": (state) => (state.warning?.why === "idle" ? { ...state, warning: null } : state),
  "session.status": (state, message) => {
    if (message.waits_for !== "release") return withSession(state, sessionOf(message));
    return isWaiting(state)
      ? { ...READY, phase: "connecting", isReleasing: true, isCancelled: state.isCancelled }
      : state;
  },
  "queue.place": (state, { place, waiting, expected_wait_s: expectedS = null }) =>
    isWaiting(state) ? { ...READY, phase: "queue", turn: { place, waiting, expectedS } } : state,
  // A refusal while nothing runs yet means that nothing will; later ones belong to one task.
  error: (state, { code, words, session }) => {
    if (!isWaiting(state)) return state;
    if (state.isCancelled) return READY;
    if (code !== "session_running" || !session) return failed(state, { code, words });
    const { session_id: id, slug, persona, started_at: startedAt } = session;
    return { ...READY, phase: "take-over", other: { id, slug, persona, startedAt } };
  },
  room_lost: (state, { code }) => (isOpen(state) ? failed(state, { code, words: "" }) : state),
};

/**
 * @param {RoomState} state
 * @param {Happening} happening
 * @returns {RoomState} the same object when nothing changed
 */
export function next(state, happening) {
  const reduce = Object.hasOwn(REDUCERS, happening.type) ? REDUCERS[happening.type] : undefined;
  return reduce ? reduce(state, happening) : state;
}

/**
 * What the page shows: a tap and a warning are faces of an open session, not phases of their own.
 *
 * @param {RoomState} state
 * @returns {Face}
 */
export function face(state) {
  if (isOpen(state) && state.isBlocked && (state.hasPicture || state.step === 2)) return "tap";
  if (isOpen(state) && !state.isCancelled && isRecovering(state.rung)) return "recovering";
  if (state.phase === "live" && state.warning) return "ending";
  if (state.phase === "live" && (state.rung === "sound" || state.rung === "text")) return state.rung;
  return state.phase;
}

/**
 * Whether Start was pressed and the portal has not given us a session yet.
 *
 * @param {RoomState} state
 */
export function isWaiting({ phase, session }) {
  return phase === "queue" || (phase === "connecting" && !session);
}

/** @param {RoomState} state */
export function isOpen(state) {
  return state.phase === "connecting" || state.phase === "live";
}

/**
 * Whether a task would be taken now: the picture stands here, and the portal knows it.
 *
 * @param {RoomState} state
 */
export function takesTasks(state) {
  const isThere = !state.isAway && !isRecovering(state.rung); // else what is answered meanwhile would not be heard
  return isThere && state.phase === "live" && state.session?.status === "live";
}

/**
 * Whether the session may be forgotten: it is over at the portal, too.
 *
 * @param {RoomState} state
 */
export function isOver(state) {
  return state.session?.status === "ended";
}

/**
 * @param {RoomState} state
 * @param {Session} session
 * @returns {RoomState}
 */
function withSession(state, session) {
  // From the line it goes on as if Start had been pressed now.
  if (state.phase === "queue") state = { ...READY, phase: "connecting" };
  // Who watched the session before this one has not been let into this one's room.
  const observed = state.session && state.session.id !== session.id ? null : state.observed;
  const changed = { ...state, session, observed, isReleasing: false };
  if (!isOpen(state)) return changed;
  const isFault = session.status === "ended" && FAULTS.has(session.reason);
  if (isFault) return failed(changed, { code: session.reason, words: session.words });
  if (session.status === "ended" && state.isCancelled) return READY;
  if (state.phase === "connecting" && session.status === "stopping") return changed;
  if (session.status === "stopping" && FAULTS.has(session.reason)) return changed;
  const over = session.reason === "taken_over" ? "taken-over" : "ended";
  if (session.status === "stopping" || session.status === "ended") return { ...changed, phase: over, warning: null };
  if (session.status === "connecting") return { ...changed, step: Math.max(state.step, 1) };
  return changed;
}

/**
 * @param {RoomState} state
 * @param {Cause} cause
 * @returns {RoomState}
 */
function failed(state, cause) {
  return { ...state, phase: "failed", cause, warning: null, isBlocked: false };
}

/**
 * @param {Happening} message
 * @returns {Session}
 */
function sessionOf(message) {
  return {
    id: message.session_id,
    status: message.status,
    reason: message.reason ?? "",
    words: message.words ?? "",
    createdAt: message.created_at ?? "",
    endsAt: message.conversation_ends_at ?? "",
    endedAt: message.ended_at ?? "",
  };
}
