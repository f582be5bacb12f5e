/**
 * What the avatar says on the room's data channel. Anybody in the room may send anything there,
 * so all that arrives is doubted here, and nowhere else.
 *
 * @typedef {object} AvatarEvent
 * @property {string} type
 * @property {string} taskId  empty where the provider gives none
 * @property {string} message
 * @property {number} durationMs
 */

const KINDS = new Set([
  "avatar_start_talking",
  "avatar_talking_message",
  "avatar_end_message",
  "avatar_stop_talking",
  "user_start",
  "user_stop",
  "user_talking_message",
  "user_end_message",
]);

const LONGEST_MESSAGE = 10_000;
const LONGEST_ID = 200;
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * @param {Uint8Array} payload
 * @returns {AvatarEvent | null} null for anything that is not an event we know
 */
export function decodeAvatarEvent(payload) {
  const data = parse(payload);
  if (typeof data !== "object" || data === null) return null;
  const { type, task_id: taskId, message, duration_ms: durationMs } = /** @type {Record<string, unknown>} */ (data);
  if (typeof type !== "string" || !KINDS.has(type)) return null;
  return {
    type,
    taskId: typeof taskId === "string" ? taskId.slice(0, LONGEST_ID) : "",
    message: typeof message === "string" ? message.slice(0, LONGEST_MESSAGE) : "",
    durationMs: typeof durationMs === "number" && Number.isFinite(durationMs) ? durationMs : 0,
  };
}

/**
 * @param {Uint8Array} payload
 * @returns {unknown}
 */
function parse(payload) {
  try {
    return JSON.parse(decoder.decode(payload));
  } catch {
    return null;
  }
}
