/**
 * What each check of the device found, judged: fine, worth a look, or in the way. Pure; the words come with the page.
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

/** @param {{ trouble: string, loudest: number }} found @returns {Finding} */
export function judgeMicrophone({ trouble, loudest }) {
  if (trouble) return { mark: "warn", code: trouble }; // one can write
  if (loudest === 0) return { mark: "warn", code: "silent" };
  return loudest <= QUIET ? { mark: "warn", code: "quiet" } : { mark: "ok", code: "fine" };
}

/** @param {boolean} wasHeard @returns {Finding} */
export function judgeSpeakers(wasHeard) {
  return wasHeard ? { mark: "ok", code: "fine" } : { mark: "warn", code: "unheard" };
}

/**
 * @typedef {object} Way  how far one got into a room of the portal's LiveKit
 * @property {boolean} isThere  there is a LiveKit server that can be tried beforehand
 * @property {string} refusal  empty when the room was entered
 * @property {string} protocol  of the connection that came about: udp or tcp
 * @property {number} roundTripMs
 * @property {boolean} hasTcp  it held by TCP alone
 * @property {boolean} offersTurn
 * @property {boolean} hasTurn  it came about by the relay alone
 */

/** @param {Way} way @returns {Record<"udp" | "tcp" | "turn", Finding>} */
export function judgeWay({ isThere, refusal, protocol, roundTripMs, hasTcp, offersTurn, hasTurn }) {
  /** @type {Finding} */
  const skipped = { mark: "skipped", code: "later" };
  if (!isThere) return { udp: skipped, tcp: skipped, turn: skipped };
  if (refusal) return { udp: { mark: "bad", code: "unreachable" }, tcp: skipped, turn: skipped };
  const code = roundTripMs > SLOW_MS ? "slow" : "fine";
  return {
    udp: protocol === "udp" ? { mark: code === "fine" ? "ok" : "warn", code, value: roundTripMs } : { mark: "warn", code: "blocked" },
    tcp: hasTcp || protocol === "tcp" ? { mark: "ok", code: "fine" } : { mark: "warn", code: "blocked" },
    turn: !offersTurn ? { mark: "skipped", code: "none" } : hasTurn ? { mark: "ok", code: "fine" } : { mark: "warn", code: "blocked" },
  };
}

/**
 * @param {Partial<Record<Check, Finding>>} findings
 * @returns {{ verdict: "fine" | "look" | "no", counts: Record<Mark, number> }}
 */
export function summary(findings) {
  const counts = { ok: 0, warn: 0, bad: 0, skipped: 0 };
  for (const { mark } of Object.values(findings)) counts[mark] += 1;
  const isImpossible = findings.browser?.mark === "bad" || findings.udp?.mark === "bad";
  return { verdict: isImpossible ? "no" : counts.warn + counts.bad ? "look" : "fine", counts };
}

/**
 * As it is reported with the next conversation: flat and small.
 *
 * @param {Partial<Record<Check, Finding>>} findings
 * @param {number} at
 */
export function asReport(findings, at) {
  const flat = Object.entries(findings).map(([check, { mark, code }]) => [check, `${mark} ${code}`]);
  return { ...Object.fromEntries(flat), round_trip_ms: findings.udp?.value ?? null, checked_at: new Date(at).toISOString() };
}
