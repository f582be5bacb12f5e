/**
 * Judges what each check found: ok, a warning, or a failure. Pure; the page has the texts.
 *
 * @typedef {"ok" | "warn" | "bad" | "skipped"} Mark
 * @typedef {{ mark: Mark, code: string, value?: number }} Finding
 */

export const CHECKS = /** @type {const} */ (["secure", "browser", "microphone", "speakers", "udp", "tcp", "turn"]);
/** @typedef {typeof CHECKS[number]} Check */

const QUIET = 2; // of five bars
const SLOW_MS = 300;

/** @param {boolean} isSecure @returns {Finding} */
export function judgeOrigin(isSecure) {
  return isSecure ? { mark: "ok", code: "fine" } : { mark: "bad", code: "insecure" };
}

/** @param {{ hasWebRTC: boolean, codecs: string[] }} found @returns {Finding} */
export function judgeBrowser({ hasWebRTC, codecs }) {
  if (!hasWebRTC) return { mark: "bad", code: "no_webrtc" };
  return codecs.includes("video/h264") ? { mark: "ok", code: "fine" } : { mark: "warn", code: "no_h264" };
}

/** @param {{ trouble: string, loudest: number | null }} found @returns {Finding} */
export function judgeMicrophone({ trouble, loudest }) {
  if (trouble) return { mark: "warn", code: trouble }; // the user can still write
  if (loudest === null) return { mark: "warn", code: "unmeasured" };
  if (loudest === 0) return { mark: "warn", code: "silent" };
  return loudest <= QUIET ? { mark: "warn", code: "quiet" } : { mark: "ok", code: "fine" };
}

/** @param {boolean} wasHeard @returns {Finding} */
export function judgeSpeakers(wasHeard) {
  return wasHeard ? { mark: "ok", code: "fine" } : { mark: "warn", code: "unheard" };
}

/**
 * @typedef {object} Found  how well a room of the portal's LiveKit server can be reached
 * @property {boolean} isThere  there is a LiveKit server to check
 * @property {string} refusal  empty if the server answered
 * @property {import("../room/ice-route.js").IceRoute | null} way  the route that WebRTC chose, if it found one
 * @property {boolean} hasTcp  the connection works over TCP alone
 * @property {boolean} offersTurn
 * @property {"" | "udp" | "tls"} turn  how the room was reached through the relay alone
 * @property {boolean} turnAnswers  the relay answers, whether or not it reaches the room
 * @property {string} server  its version and region
 */

/** @param {Found} found @returns {Record<"udp" | "tcp" | "turn", Finding>} */
export function judgeRoute(found) {
  /** @type {Finding} */
  const skipped = { mark: "skipped", code: "later" };
  if (!found.isThere) return { udp: skipped, tcp: skipped, turn: skipped };
  if (found.refusal) return { udp: { mark: "bad", code: "unreachable" }, tcp: skipped, turn: skipped };
  /** @type {Finding} */
  const blocked = found.way ? { mark: "warn", code: "blocked" } : { mark: "bad", code: "closed" };
  return {
    udp: found.way?.protocol === "udp" && found.way.local !== "relay" ? judgeDelay(found.way.roundTripMs) : blocked,
    tcp: found.hasTcp ? { mark: "ok", code: "fine" } : blocked,
    turn: judgeRelay(found, blocked),
  };
}

/** @param {number} value @returns {Finding} */
function judgeDelay(value) {
  return value > SLOW_MS ? { mark: "warn", code: "slow", value } : { mark: "ok", code: "fine", value };
}

/** @param {Found} found @param {Finding} blocked @returns {Finding} */
function judgeRelay({ way, offersTurn, turn, turnAnswers }, blocked) {
  if (!offersTurn) return way ? { mark: "skipped", code: "none" } : { mark: "bad", code: "missing" };
  if (turn) return { mark: "ok", code: turn === "tls" ? "fine" : "by_udp" };
  return turnAnswers ? { mark: blocked.mark, code: "astray" } : blocked;
}

/**
 * One line to compare networks by: candidate types, protocol, round trip, server version and region.
 *
 * @param {Found} found
 */
export function routeSummary({ way, server }) {
  if (!way) return "";
  const taken = [`${way.local} → ${way.remote}`, way.protocol.toUpperCase(), `${way.roundTripMs} ms`];
  return [...taken, server && `LiveKit ${server}`].filter(Boolean).join(" · ");
}

/**
 * @param {Partial<Record<Check, Finding>>} findings
 * @returns {{ verdict: "fine" | "warnings" | "no", counts: Record<Mark, number> }}
 */
export function summary(findings) {
  const counts = { ok: 0, warn: 0, bad: 0, skipped: 0 };
  for (const { mark } of Object.values(findings)) counts[mark] += 1;
  const isImpossible = findings.browser?.mark === "bad" || findings.udp?.mark === "bad";
  return { verdict: isImpossible ? "no" : counts.warn + counts.bad ? "warnings" : "fine", counts };
}

/**
 * The report for the record of the next conversation.
 *
 * @param {Partial<Record<Check, Finding>>} findings
 * @param {import("../room/ice-route.js").IceRoute | null} way
 * @param {number} at
 */
export function asReport(findings, way, at) {
  const flat = Object.entries(findings).map(([check, { mark, code }]) => [check, `${mark} ${code}`]);
  return {
    ...Object.fromEntries(flat),
    local: way?.local ?? "",
    remote: way?.remote ?? "",
    protocol: way?.protocol ?? "",
    round_trip_ms: way?.roundTripMs ?? null,
    checked_at: new Date(at).toISOString(),
  };
}
