/** The last device check, kept in the browser for the record of the next conversation. */

const KEY = "check";
const FRESH_MS = 24 * 3_600_000;

/** @param {Record<string, unknown>} report  with `checked_at` */
export function keepCheck(report) {
  try {
    localStorage.setItem(KEY, JSON.stringify(report));
  } catch {
    // Without storage, the next conversation's record has no check.
  }
}

/**
 * @param {number} now
 * @returns {Record<string, unknown> | null}
 */
export function recallCheck(now) {
  try {
    const report = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return report && now - Date.parse(report.checked_at) < FRESH_MS ? report : null;
  } catch {
    return null;
  }
}
