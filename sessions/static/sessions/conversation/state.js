/**
 * The state of one page's conversation, as a pure reducer. Only `Conversation` holds it; views render it.
 *
 * @typedef {"ready" | "queue" | "take-over" | "connecting" | "live" | "taken-over" | "ended" | "failed"} Phase
 * @typedef {Phase | "tap" | "ending" | "recovering" | "sound" | "text"} Screen
 * @typedef {{ why: "idle" | "duration_limit" | "quota" | "spend_cap", at: string }} Warning
 * @typedef {{ code: string, words: string }} Cause  without `words` the page has a text of its own for the code
 * @typedef {{ position: number, waiting: number, expectedSeconds: number | null }} Queue  position 1 is next
 * @typedef {{ id: string, slug: string, persona: string, startedAt: string }} Elsewhere
 * @typedef {{ url: string, token: string, name: string }} RoomAccess  without a token the portal is asked for a new one
 * @typedef {object} StartOptions  fields of `session.start`
 * @property {string} [quality]
 * @property {string} [encoding]
 * @property {string} [continues]  ID of the session that the new one continues
 * @property {string} [because]
 * @property {boolean} [take_over]
 * @property {string} [accepts]  fingerprint of the notice that the user accepts
 *
 * @typedef {object} Session  as the portal reported it last
 * @property {string} id
 * @property {string} status
 * @property {string} reason
 * @property {boolean} isFailure  the end is shown as a failure
 * @property {string} words
 * @property {string} createdAt
 * @property {string} endsAt
 * @property {string} endedAt
 *
 * @typedef {object} ViewState  starts afresh with every session
 * @property {Phase} phase
 * @property {number} step  while connecting: 0 session, 1 room, 2 video
 * @property {boolean} isCancelled
 * @property {boolean} isBlocked  the browser plays only after a tap
 * @property {boolean} isPictureHeld  the browser blocks the video too: phones that save power block muted video
 * @property {boolean} hasPicture
 * @property {boolean} isTalking  the avatar
 * @property {boolean} isUserTalking
 * @property {Warning | null} warning
 * @property {Session | null} session
 * @property {Cause | null} cause
 * @property {Queue | null} queue
 * @property {Elsewhere | null} elsewhere  the user's conversation in another tab or device, while it prevents this one
 * @property {boolean} isConsentNeeded  the portal refused to start without acceptance of the present notice
 * @property {boolean} isReleasing  the conversation elsewhere is being ended first
 * @property {{ until: string } | null} observed  staff watch the session; `until` is empty if that has no time limit
 * @property {import("../recovery/ladder.js").Step} recoveryStep
 * @property {string} verdict  code of the reason why there is no video
 * @property {string} providerStatus  of the session; empty until the provider was asked
 * @property {boolean} isReconnecting  LiveKit is restoring the connection
 *
 * @typedef {object} TabState  outlives sessions
 * @property {string} sessionId  of the session this tab takes part in; empty once it is over, unlike `session.id`
 * @property {string} tab  the portal's ID of this tab
 * @property {string} leavingId  a session that must end before another may start
 * @property {string} formerId  the session before this one; its late messages are ignored
 * @property {RoomAccess | null} access  to the session's room
 * @property {StartOptions} startOptions  of the last start
 * @property {number} pressedAt  when Start was pressed, on the page's own time line
 * @property {number} clockOffset  how far the portal's clock is ahead of the page's, in milliseconds
 * @property {string} connection  quality to show: good, poor, lost, reconnecting, or empty
 * @property {string} problem  the portal's last error message for the user
 * @property {number} socketDrops  since the socket was last open
 * @property {boolean} isJoined  the portal has confirmed the session since the socket opened
 *
 * @typedef {ViewState & TabState} ConversationState
 * @typedef {{ type: string, [key: string]: any }} StateEvent
 */

import { offsetOf } from "../lib/clock.js";
import { isRecovering } from "../recovery/ladder.js";

/** @type {ViewState} */
const IDLE = Object.freeze({
  phase: "ready",
  step: 0,
  isCancelled: false,
  isBlocked: false,
  isPictureHeld: false,
  hasPicture: false,
  isTalking: false,
  isUserTalking: false,
  warning: null,
  session: null,
  cause: null,
  queue: null,
  elsewhere: null,
  isConsentNeeded: false,
  isReleasing: false,
  observed: null,
  recoveryStep: "off",
  verdict: "",
  providerStatus: "",
  isReconnecting: false,
});

/** @type {ConversationState} */
export const READY = Object.freeze({
  ...IDLE,
  sessionId: "",
  tab: "",
  leavingId: "",
  formerId: "",
  access: null,
  startOptions: {},
  pressedAt: 0,
  clockOffset: 0,
  connection: "",
  problem: "",
  socketDrops: 0,
  isJoined: true,
});

/** LiveKit's connection qualities, and what is shown. @type {Record<string, string>} */
const QUALITIES = { excellent: "good", unknown: "" };

/** @type {Record<string, (state: ConversationState, event: StateEvent) => ConversationState>} */
const REDUCERS = {
  // Starting and leaving
  start: (state, { at = 0, options = {} }) => {
    const formerId = state.session?.id ?? "";
    const leavingId = mustEndFirst(state, options) ? formerId : "";
    const problem = state.socketDrops ? state.problem : ""; // why the socket is closed
    const tab = { pressedAt: at, startOptions: options, formerId, leavingId, connection: "", problem };
    return fresh({ ...state, ...tab }, { phase: "connecting" });
  },
  rejoin: (state, { sessionId, access }) => fresh({ ...state, sessionId, access }, { phase: "connecting", step: 1 }),
  // The session is over, and its continuation waits in the queue.
  requeue: (state, { sessionId }) =>
    fresh(
      { ...state, formerId: sessionId, startOptions: { ...state.startOptions, continues: sessionId } },
      { phase: "connecting" },
    ),
  forget: (state) => fresh(state, {}),
  cancel: (state) => (state.phase === "connecting" ? { ...state, isCancelled: true } : state),
  left: (state) => ({ ...state, sessionId: "", access: null }),
  former_ended: (state) => ({ ...state, leavingId: "" }),
  turned_away: (state) => ({ ...state, session: null, formerId: state.sessionId, sessionId: "" }),

  // The socket
  socket_opened: (state) => ({ ...state, socketDrops: 0, problem: "", isJoined: !state.sessionId }),
  socket_refused: (state, { words = "" }) => ({ ...state, problem: words }),
  socket_dropped: (state) => ({ ...state, socketDrops: state.socketDrops + 1 }),
  clock: (state, { now, at }) => ({ ...state, clockOffset: offsetOf(now, at) }),

  // The room
  room_named: (state, { access }) => ({ ...state, access }),
  room_joined: (state) => ({ ...state, isReconnecting: false, step: state.phase === "connecting" ? 2 : state.step }),
  room_reconnecting: (state) => ({ ...state, isReconnecting: true, connection: "reconnecting" }),
  room_reconnected: (state) => ({ ...state, isReconnecting: false, connection: "" }),
  room_lost: (state, { code }) => (isOpen(state) ? failed(state, { code, words: "" }) : state),
  quality: (state, { quality }) => ({ ...state, connection: QUALITIES[quality] ?? quality }),
  first_frame: (state) => (isOpen(state) && !state.isCancelled ? { ...state, phase: "live", hasPicture: true } : state),
  playback_blocked: (state, { isPictureHeld = false }) => ({ ...state, isBlocked: true, isPictureHeld }),
  playback_started: (state) => ({ ...state, isBlocked: false }),
  avatar_talking: (state, { isTalking }) => ({ ...state, isTalking }),
  user_talking: (state, { isTalking }) => ({ ...state, isUserTalking: isTalking }),

  // Recovery
  ladder: (state, { step, code = "" }) => withRecoveryStep(state, step, code),
  verdict: (state, { code }) => ({ ...state, verdict: code }),
  provider: (state, { status }) => ({ ...state, providerStatus: status }),

  // The portal's messages
  "session.ending": (state, { why, at }) => (isOpen(state) ? { ...state, warning: { why, at } } : state),
  "session.observed": (state, { is_observed: isObserved, until = "" }) => ({
    ...state,
    observed: isObserved ? { until } : null,
  }),
  "session.staying": (state) => ({ ...state, warning: null }),
  // Sending a text shows that the user is there.
  "task.sent": (state) => (state.warning?.why === "idle" ? { ...state, warning: null } : state),
  "session.status": (state, message) => {
    if (message.waits_for !== "release") {
      const joined = { ...state, sessionId: message.session_id, tab: message.tab ?? "", isJoined: true };
      return withSession(joined, sessionOf(message));
    }
    if (!isWaiting(state)) return state;
    return fresh(state, { phase: "connecting", isReleasing: true, isCancelled: state.isCancelled });
  },
  "queue.place": (state, { place: position, waiting, expected_wait_s: expectedSeconds = null }) =>
    isWaiting(state) ? fresh(state, { phase: "queue", queue: { position, waiting, expectedSeconds } }) : state,
  // A refused start means that there will be no session; a later refusal concerns one request.
  error: (state, { code, words = "", session }) => {
    if (!isWaiting(state)) return state.phase === "ready" ? state : { ...state, problem: words };
    if (state.isCancelled) return fresh(state, {});
    if (code === "consent_needed") return fresh(state, { isConsentNeeded: true });
    if (code !== "session_running" || !session) return failed(state, { code, words });
    const { session_id: id, slug, persona, started_at: startedAt } = session;
    return fresh(state, { phase: "take-over", elsewhere: { id, slug, persona, startedAt } });
  },
};

/**
 * @param {ConversationState} state
 * @param {StateEvent} event
 * @returns {ConversationState} the same object if nothing changed
 */
export function reduce(state, event) {
  const reducer = Object.hasOwn(REDUCERS, event.type) ? REDUCERS[event.type] : undefined;
  return reducer ? reducer(state, event) : state;
}

/**
 * What the page shows. A tap and a warning are screens of an open session, not phases.
 *
 * @param {ConversationState} state
 * @returns {Screen}
 */
export function screenOf(state) {
  const { phase, recoveryStep } = state;
  if (isOpen(state) && state.isBlocked && (state.hasPicture || state.step === 2)) return "tap";
  if (isOpen(state) && !state.isCancelled && isRecovering(recoveryStep)) return "recovering";
  if (phase === "live" && state.warning) return "ending";
  if (phase === "live" && (recoveryStep === "sound" || recoveryStep === "text")) return recoveryStep;
  return phase;
}

/**
 * Whether a start was requested and the portal has not named a session yet.
 *
 * @param {ConversationState} state
 */
export function isWaiting({ phase, session }) {
  return phase === "queue" || (phase === "connecting" && !session);
}

/** @param {ConversationState} state */
export function isOpen(state) {
  return state.phase === "connecting" || state.phase === "live";
}

/**
 * Whether texts may be sent: the user sees the avatar, and the portal knows it.
 *
 * @param {ConversationState} state
 */
export function takesTasks(state) {
  const isConnected = !state.isReconnecting && !isRecovering(state.recoveryStep); // else the answer would be missed
  return isConnected && state.phase === "live" && state.session?.status === "live";
}

/**
 * Whether the portal has confirmed the session's end.
 *
 * @param {ConversationState} state
 */
export function isOver(state) {
  return state.session?.status === "ended";
}

/**
 * Whether the current session must end before another is requested. The portal itself ends one that is continued.
 *
 * @param {ConversationState} state
 * @param {StartOptions} options
 */
function mustEndFirst(state, { continues }) {
  if (!state.session) return false;
  return !isOver(state) && state.phase !== "taken-over" && continues !== state.session.id;
}

/**
 * Reset what belongs to one session.
 *
 * @param {ConversationState} state
 * @param {Partial<ViewState>} changes
 * @returns {ConversationState}
 */
function fresh(state, changes) {
  return { ...state, ...IDLE, ...changes };
}

/**
 * @param {ConversationState} state
 * @param {Session} session
 * @returns {ConversationState}
 */
function withSession(state, session) {
  const before = state.phase === "queue" ? fresh(state, { phase: "connecting" }) : state;
  // An observer of the previous session has no access to this one's room.
  const observed = before.session && before.session.id !== session.id ? null : before.observed;
  const changed = { ...before, session, observed, isReleasing: false };
  if (!isOpen(before)) return changed;
  if (session.status === "ended") {
    if (session.isFailure) return failed(changed, { code: session.reason, words: session.words });
    if (before.isCancelled) return fresh(changed, {});
  }
  // Wait for the end: it tells whether this is a cancelled start or a failure.
  if (session.status === "stopping" && (before.phase === "connecting" || session.isFailure)) return changed;
  if (session.status === "stopping" || session.status === "ended") {
    return { ...changed, phase: session.reason === "taken_over" ? "taken-over" : "ended", warning: null };
  }
  if (session.status === "connecting") return { ...changed, step: Math.max(before.step, 1) };
  return changed;
}

/**
 * Going on without video counts as live too.
 *
 * @param {ConversationState} state
 * @param {import("../recovery/ladder.js").Step} recoveryStep
 * @param {string} verdict
 * @returns {ConversationState}
 */
function withRecoveryStep(state, recoveryStep, verdict) {
  const isWithoutVideo = recoveryStep === "sound" || recoveryStep === "text";
  const phase = state.phase === "connecting" && isWithoutVideo ? "live" : state.phase;
  const isRestored = recoveryStep === "picture" && state.recoveryStep !== "off" && phase === "live";
  const hasPicture = isRestored || (state.hasPicture && !isWithoutVideo);
  const providerStatus = isRestored ? "" : state.providerStatus;
  return { ...state, recoveryStep, verdict, phase, hasPicture, providerStatus };
}

/**
 * @param {ConversationState} state
 * @param {Cause} cause
 * @returns {ConversationState}
 */
function failed(state, cause) {
  return { ...state, phase: "failed", cause, warning: null, isBlocked: false };
}

/**
 * @param {StateEvent} message
 * @returns {Session}
 */
function sessionOf(message) {
  return {
    id: message.session_id,
    status: message.status,
    reason: message.reason ?? "",
    isFailure: message.is_failure ?? false,
    words: message.words ?? "",
    createdAt: message.created_at ?? "",
    endsAt: message.conversation_ends_at ?? "",
    endedAt: message.ended_at ?? "",
  };
}
