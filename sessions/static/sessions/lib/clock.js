/** The portal's clock, and formats of durations and times. */

/**
 * How far the portal's clock is ahead of this one, in milliseconds.
 *
 * @param {string} portalNow  ISO 8601
 * @param {number} now  this clock, milliseconds since 1970
 */
export function offsetOf(portalNow, now) {
  const there = Date.parse(portalNow);
  return Number.isNaN(there) ? 0 : there - now;
}

/**
 * Whole seconds until a moment; never below zero.
 *
 * @param {string} moment  ISO 8601
 * @param {number} now  by the same clock, milliseconds since 1970
 */
export function secondsUntil(moment, now) {
  const left = Date.parse(moment) - now;
  return Number.isNaN(left) ? 0 : Math.max(0, Math.ceil(left / 1000));
}

/**
 * A countdown: 12:41, 0:42, 1:02:03.
 *
 * @param {number} seconds
 */
export function countdown(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
}

/**
 * A duration in a form that all languages share: 6 min 12 s.
 *
 * @param {number} seconds
 */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

/**
 * The time of day in 24 hours, as the pages from the server show it.
 *
 * @param {string} moment  ISO 8601
 * @param {string} language
 */
export function timeOfDay(moment, language) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime())
    ? ""
    : date.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/**
 * Delay before an attempt: doubles each time up to a maximum, with jitter so that many pages do not retry together.
 *
 * @param {number} attempt  0 for the first
 * @param {{ first: number, most: number, random?: () => number }} bounds  milliseconds
 */
export function backoff(attempt, { first, most, random = Math.random }) {
  const longest = Math.min(most, first * 2 ** attempt);
  return longest / 2 + (longest / 2) * random();
}
