/**
 * The recovery ladder, as a pure state machine: what is, and what was noticed when, give what is tried next.
 * Each step is bounded; a picture that moves leads back to the ground at any time.
 *
 *   picture → (reconnect → resubscribe →) rejoin → renew → sound → text → out
 *
 * @typedef {"off" | "picture" | "reconnect" | "resubscribe" | "rejoin" | "renew" | "sound" | "text" | "out"} Step
 * @typedef {object} Ladder
 * @property {Step} step
 * @property {number} since  when this step began, or was last put off
 * @property {number} seenAt  when the picture last moved; 0 before it ever did in this room
 * @property {number} steadyAt  since when the picture has been moving
 * @property {number} absentAt  since when nobody else is in the room; 0 while somebody is
 * @property {boolean} wasAway  LiveKit had to reconnect, and no picture has moved since
 * @property {boolean} hasRoom  while renewing: the new room is known
 * @property {boolean} isSettled  the person chose to go on without a picture
 * @property {number} rejoins  since the picture was last steady
 * @property {number} renewals  in this conversation: each is a session that costs
 *
 * @typedef {object} Noticed  what a look at the room finds
 * @property {boolean} [isHidden]
 * @property {boolean} [isBlocked]
 * @property {boolean} [isEarly]  the provider has not opened the session yet
 * @property {boolean} [isReconnecting]
 * @property {boolean} [hasAvatar]
 * @property {boolean} [hasSound]
 * @property {import("./diagnosis.js").Facts["refusal"]} [refusal]
 * @typedef {{ type: "begin" | "end" | "frame" | "tick" | "refused" | "expired" | "settle" | "again", at: number } & Noticed} Happening
 */

/** Milliseconds. */
export const PATIENCE = {
  first: 5_000, // from the room's address to the first picture
  frozen: 3_000, // without a new picture
  retry: 5_000, // for a step to bring one
  away: 15_000, // for LiveKit to reconnect by itself
  renew: 20_000, // for the portal to name the new room
  fresh: 8_000, // for a new session's first picture: its avatar has to walk in
  absent: 5_000, // with nobody else in the room, once there is no picture to wait for
  steady: 60_000, // until a picture counts as recovered for good
};
export const MOST = { rejoins: 3, renewals: 2 };

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

/** @type {Record<Happening["type"], (ladder: Ladder, it: Happening) => Ladder>} */
const REACTIONS = {
  // A room has been named: a new session's, or the same one's again.
  begin: (ladder, { at }) => {
    if (ladder.step === "off" || ladder.step === "out") return { ...OFF, step: "picture", since: at };
    return { ...ladder, since: at, seenAt: 0, absentAt: 0, hasRoom: true };
  },
  end: () => OFF,
  frame: (ladder, { at }) => {
    if (isOver(ladder) || ladder.isSettled) return ladder;
    if (ladder.step === "renew" && !ladder.hasRoom) return ladder; // of the room that is being left
    const isSteady = ladder.step === "picture" && ladder.seenAt > 0;
    const steadyAt = isSteady ? ladder.steadyAt : at;
    const rejoins = at - steadyAt >= PATIENCE.steady ? 0 : ladder.rejoins;
    return { ...ladder, step: "picture", seenAt: at, steadyAt, rejoins, absentAt: 0, wasAway: false };
  },
  tick: (ladder, it) => {
    if (isOver(ladder)) return ladder;
    const wasAway = ladder.wasAway || it.isReconnecting === true;
    const absentAt = it.hasAvatar ? 0 : ladder.absentAt || it.at;
    return WAITING[ladder.step]({ ...ladder, wasAway, absentAt }, it);
  },
  // The way that was being tried is closed: the room lets nobody in, or is gone, or no new session came about.
  refused: (ladder, it) => {
    if (isOver(ladder)) return ladder;
    return ladder.step === "renew" ? settle(ladder, it) : renew(ladder, it);
  },
  // The provider's own limit: no fault, and no try that counts.
  expired: (ladder, { at }) => (isOver(ladder) ? ladder : { ...ladder, step: "renew", since: at, hasRoom: false }),
  settle: (ladder, it) => (isOver(ladder) ? ladder : { ...settle(ladder, it), isSettled: true }),
  // Asked for by the person: tried even where the bounds are used up.
  again: (ladder, { at }) => {
    if (isOver(ladder)) return ladder;
    const renewals = Math.min(ladder.renewals, MOST.renewals - 1);
    return { ...ladder, step: "rejoin", since: at, isSettled: false, rejoins: 1, renewals };
  },
};

/** What each step does when time passes. @type {Record<Step, (ladder: Ladder, it: Happening) => Ladder>} */
const WAITING = {
  off: (ladder) => ladder,
  out: (ladder) => ladder,
  picture: (ladder, it) => {
    // To enter a room that was closed would open an empty one: why it was closed is about to be told.
    if (isPutOff(it) || it.refusal === "closed") return { ...ladder, since: it.at, seenAt: ladder.seenAt && it.at };
    const limit = ladder.seenAt ? PATIENCE.frozen : PATIENCE.first;
    if (it.at - (ladder.seenAt || ladder.since) < limit) return ladder;
    if (it.isReconnecting) return { ...ladder, step: "reconnect", since: it.at };
    if (ladder.wasAway && ladder.seenAt) return { ...ladder, step: "resubscribe", since: it.at };
    return rejoin(ladder, it);
  },
  reconnect: (ladder, it) => {
    if (!it.isReconnecting) return { ...ladder, step: "resubscribe", since: it.at };
    return after(PATIENCE.away, ladder, it, rejoin);
  },
  resubscribe: (ladder, it) => after(PATIENCE.frozen, ladder, it, rejoin),
  rejoin: (ladder, it) => after(PATIENCE.retry, ladder, it, renew),
  renew: (ladder, it) => after(ladder.hasRoom ? PATIENCE.fresh : PATIENCE.renew, ladder, it, settle),
  sound: (ladder, it) => (it.hasSound ? ladder : goOn(ladder, it)),
  text: (ladder, it) => (it.hasSound && !ladder.isSettled ? settle(ladder, it) : goOn(ladder, it)),
};

/**
 * @param {Ladder} ladder
 * @param {Happening} happening
 * @returns {Ladder}
 */
export function climb(ladder, happening) {
  return REACTIONS[happening.type](ladder, happening);
}

/**
 * Whether something is being tried to get the picture back.
 *
 * @param {Step} step
 */
export function isRecovering(step) {
  return ["reconnect", "resubscribe", "rejoin", "renew"].includes(step);
}

/** @param {Ladder} ladder */
export function mayRenew(ladder) {
  return ladder.renewals < MOST.renewals;
}

/** @param {Ladder} ladder */
function isOver({ step }) {
  return step === "off" || step === "out";
}

/** Nothing is drawn where nobody looks, nothing played before the tap, nothing sent before the start: that is no fault. @param {Happening} it */
function isPutOff({ isHidden, isBlocked, isEarly }) {
  return Boolean(isHidden || isBlocked || isEarly);
}

/**
 * @param {number} limit
 * @param {Ladder} ladder
 * @param {Happening} it
 * @param {(ladder: Ladder, it: Happening) => Ladder} up
 */
function after(limit, ladder, it, up) {
  if (isPutOff(it)) return { ...ladder, since: it.at };
  return it.at - ladder.since < limit ? ladder : up(ladder, it);
}

/** @param {Ladder} ladder @param {Happening} it @returns {Ladder} */
function rejoin(ladder, it) {
  if (ladder.rejoins >= MOST.rejoins) return renew(ladder, it);
  return { ...ladder, step: "rejoin", since: it.at, rejoins: ladder.rejoins + 1 };
}

/** @param {Ladder} ladder @param {Happening} it @returns {Ladder} */
function renew(ladder, it) {
  if (!mayRenew(ladder)) return settle(ladder, it);
  return { ...ladder, step: "renew", since: it.at, hasRoom: false, rejoins: 0, renewals: ladder.renewals + 1 };
}

/** The best that is left. @param {Ladder} ladder @param {Happening} it @returns {Ladder} */
function settle(ladder, it) {
  const step = it.hasSound ? "sound" : it.hasAvatar ? "text" : "out";
  return { ...ladder, step, since: it.at };
}

/** Without a picture: what the avatar says comes by the room, so it has to be there. @param {Ladder} ladder @param {Happening} it */
function goOn(ladder, it) {
  if (it.hasAvatar || it.isReconnecting) return ladder.step === "sound" && it.hasAvatar ? settle(ladder, it) : ladder;
  return it.at - ladder.absentAt < PATIENCE.absent ? ladder : renew(ladder, it);
}
