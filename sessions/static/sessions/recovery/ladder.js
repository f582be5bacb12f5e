/**
 * The recovery ladder, as a pure state machine. Each step has a time limit, and a moving video leads back to the first
 * step at any time.
 *
 *   picture → (reconnect → resubscribe →) rejoin → renew → sound → text → out
 *
 * @typedef {"off" | "picture" | "reconnect" | "resubscribe" | "rejoin" | "renew" | "sound" | "text" | "out"} Step
 * @typedef {object} Ladder
 * @property {Step} step
 * @property {number} since  when this step began, or its time limit was last suspended
 * @property {number} seenAt  when the video last moved; 0 if it never did in this room
 * @property {number} steadyAt  since when the video has been moving
 * @property {number} absentAt  since when no other participant is in the room; 0 while one is
 * @property {boolean} wasAway  LiveKit has reconnected, and the video has not moved since
 * @property {boolean} hasRoom  while renewing: the new room is known
 * @property {boolean} isSettled  the user chose to go on without video
 * @property {number} rejoins  since the video was last steady
 * @property {number} renewals  in this conversation; each is a session that costs credits
 *
 * @typedef {object} Observed
 * @property {boolean} [isHidden]
 * @property {boolean} [isBlocked]
 * @property {boolean} [isEarly]  the provider has not opened the session yet
 * @property {boolean} [isReconnecting]
 * @property {boolean} [hasAvatar]
 * @property {boolean} [hasSound]
 * @property {import("./diagnosis.js").Facts["refusal"]} [refusal]
 * @typedef {"begin" | "end" | "frame" | "tick" | "refused" | "expired" | "settle" | "again"} EventType
 * @typedef {{ type: EventType, at: number } & Observed} LadderEvent
 */

/** Time limits in milliseconds. */
export const LIMITS_MS = {
  first: 5_000, // until the first frame, once the room is known
  frozen: 3_000, // without a new frame
  retry: 5_000, // for a step to restore the video
  away: 15_000, // for LiveKit to reconnect by itself
  renew: 20_000, // for the portal to name the new room
  fresh: 8_000, // until the first frame of a new session, whose avatar has yet to join
  absent: 5_000, // without another participant, when no video is expected
  steady: 60_000, // of moving video until it counts as recovered
};
export const MAX_REJOINS = 3;
export const MAX_RENEWALS = 2;

/** @type {Ladder} */
export const OFF = Object.freeze({
  step: "off",
  since: 0,
  seenAt: 0,
  steadyAt: 0,
  absentAt: 0,
  wasAway: false,
  hasRoom: false,
  isSettled: false,
  rejoins: 0,
  renewals: 0,
});

/** @typedef {(ladder: Ladder, event: LadderEvent) => Ladder} Reducer */

/** @type {Record<EventType, Reducer>} */
const REDUCERS = {
  // A room was named: a new session's, or the same one's again.
  begin: (ladder, { at }) => {
    if (isOver(ladder)) return { ...OFF, step: "picture", since: at };
    return { ...ladder, since: at, seenAt: 0, absentAt: 0, hasRoom: true };
  },
  end: () => OFF,
  frame: (ladder, { at }) => {
    if (isOver(ladder) || ladder.isSettled) return ladder;
    if (ladder.step === "renew" && !ladder.hasRoom) return ladder; // a frame of the room that is being left
    const isSteady = ladder.step === "picture" && ladder.seenAt > 0;
    const steadyAt = isSteady ? ladder.steadyAt : at;
    const rejoins = at - steadyAt >= LIMITS_MS.steady ? 0 : ladder.rejoins;
    return { ...ladder, step: "picture", seenAt: at, steadyAt, rejoins, absentAt: 0, wasAway: false };
  },
  tick: (ladder, event) => {
    if (isOver(ladder)) return ladder;
    const wasAway = ladder.wasAway || event.isReconnecting === true;
    const absentAt = event.hasAvatar ? 0 : ladder.absentAt || event.at;
    return TICKS[ladder.step]({ ...ladder, wasAway, absentAt }, event);
  },
  // The current step cannot succeed: the room refuses this page or is gone, or no new session was created.
  refused: (ladder, event) => {
    if (isOver(ladder)) return ladder;
    return ladder.step === "renew" ? settle(ladder, event) : renew(ladder, event);
  },
  // The provider's time limit is not a failure, so this renewal is not counted.
  expired: (ladder, { at }) => (isOver(ladder) ? ladder : { ...ladder, step: "renew", since: at, hasRoom: false }),
  settle: (ladder, event) => (isOver(ladder) ? ladder : { ...settle(ladder, event), isSettled: true }),
  // The user asks for another attempt, which is made even if the maximum is reached.
  again: (ladder, { at }) => {
    if (isOver(ladder)) return ladder;
    const renewals = Math.min(ladder.renewals, MAX_RENEWALS - 1);
    return { ...ladder, step: "rejoin", since: at, isSettled: false, rejoins: 1, renewals };
  },
};

/** What each step does as time passes. @type {Record<Step, Reducer>} */
const TICKS = {
  off: (ladder) => ladder,
  out: (ladder) => ladder,
  picture: (ladder, event) => {
    // Joining a closed room would open an empty one, and the portal is about to say why it was closed.
    if (isSuspended(event) || event.refusal === "closed") {
      return { ...ladder, since: event.at, seenAt: ladder.seenAt && event.at };
    }
    const limit = ladder.seenAt ? LIMITS_MS.frozen : LIMITS_MS.first;
    if (event.at - (ladder.seenAt || ladder.since) < limit) return ladder;
    if (event.isReconnecting) return { ...ladder, step: "reconnect", since: event.at };
    if (ladder.wasAway && ladder.seenAt) return { ...ladder, step: "resubscribe", since: event.at };
    return rejoin(ladder, event);
  },
  reconnect: (ladder, event) => {
    if (!event.isReconnecting) return { ...ladder, step: "resubscribe", since: event.at };
    return after(LIMITS_MS.away, ladder, event, rejoin);
  },
  resubscribe: (ladder, event) => after(LIMITS_MS.frozen, ladder, event, rejoin),
  rejoin: (ladder, event) => after(LIMITS_MS.retry, ladder, event, renew),
  renew: (ladder, event) => after(ladder.hasRoom ? LIMITS_MS.fresh : LIMITS_MS.renew, ladder, event, settle),
  sound: (ladder, event) => (event.hasSound ? ladder : withoutVideo(ladder, event)),
  text: (ladder, event) => (event.hasSound && !ladder.isSettled ? settle(ladder, event) : withoutVideo(ladder, event)),
};

/**
 * @param {Ladder} ladder
 * @param {LadderEvent} event
 * @returns {Ladder}
 */
export function climb(ladder, event) {
  return REDUCERS[event.type](ladder, event);
}

/**
 * Whether the step tries to restore the video.
 *
 * @param {Step} step
 */
export function isRecovering(step) {
  return ["reconnect", "resubscribe", "rejoin", "renew"].includes(step);
}

/** @param {Ladder} ladder */
export function mayRenew(ladder) {
  return ladder.renewals < MAX_RENEWALS;
}

/** @param {Ladder} ladder */
function isOver({ step }) {
  return step === "off" || step === "out";
}

/**
 * Whether no frame can be expected: the page is hidden, waits for a tap, or the session has not started.
 *
 * @param {LadderEvent} event
 */
function isSuspended({ isHidden, isBlocked, isEarly }) {
  return Boolean(isHidden || isBlocked || isEarly);
}

/**
 * @param {number} limit  milliseconds
 * @param {Ladder} ladder
 * @param {LadderEvent} event
 * @param {Reducer} next
 */
function after(limit, ladder, event, next) {
  if (isSuspended(event)) return { ...ladder, since: event.at };
  return event.at - ladder.since < limit ? ladder : next(ladder, event);
}

/** @type {Reducer} */
function rejoin(ladder, event) {
  if (ladder.rejoins >= MAX_REJOINS) return renew(ladder, event);
  return { ...ladder, step: "rejoin", since: event.at, rejoins: ladder.rejoins + 1 };
}

/** @type {Reducer} */
function renew(ladder, event) {
  if (!mayRenew(ladder)) return settle(ladder, event);
  return { ...ladder, step: "renew", since: event.at, hasRoom: false, rejoins: 0, renewals: ladder.renewals + 1 };
}

/** Take the best of what is left. @type {Reducer} */
function settle(ladder, event) {
  const step = event.hasSound ? "sound" : event.hasAvatar ? "text" : "out";
  return { ...ladder, step, since: event.at };
}

/** The avatar's words arrive through the room, so it must be there even without video. @type {Reducer} */
function withoutVideo(ladder, event) {
  if (event.hasAvatar || event.isReconnecting) {
    return ladder.step === "sound" && event.hasAvatar ? settle(ladder, event) : ladder;
  }
  return event.at - ladder.absentAt < LIMITS_MS.absent ? ladder : renew(ladder, event);
}
