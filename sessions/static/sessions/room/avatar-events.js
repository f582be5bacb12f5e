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

import { AgentEvents, TOPIC } from "./agent-events.js";

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

/** Reads one room's packets, in whichever dialect they come. */
export class AvatarEvents {
  constructor() {
    this.agent = new AgentEvents();
  }

  /**
   * @param {Uint8Array} payload
   * @param {string} [topic]
   * @returns {AvatarEvent[]} none for anything that is not an event we know
   */
  read(payload, topic = "") {
    const data = parse(payload);
    if (typeof data !== "object" || data === null) return [];
    return topic === TOPIC ? this.agent.read(agentEvent(data)) : avatarEvent(data);
  }
}

/**
 * @param {object} data
 * @returns {AvatarEvent[]}
 */
function avatarEvent(data) {
  const { type, task_id: taskId, message, duration_ms: durationMs } = /** @type {Record<string, unknown>} */ (data);
  if (typeof type !== "string" || !KINDS.has(type)) return [];
  const ms = typeof durationMs === "number" && Number.isFinite(durationMs) ? durationMs : 0;
  return [{ type, taskId: text(taskId, LONGEST_ID), message: text(message, LONGEST_MESSAGE), durationMs: ms }];
}

/** @param {object} data */
function agentEvent(data) {
  const fields = /** @type {Record<string, unknown>} */ (data);
  return {
    type: text(fields.event_type, LONGEST_ID),
    id: text(fields.event_id, LONGEST_ID),
    source: text(fields.source_event_id, LONGEST_ID),
    text: text(fields.text ?? fields.stop_reason ?? fields.end_reason, LONGEST_MESSAGE),
  };
}

/**
 * @param {unknown} value
 * @param {number} longest
 */
function text(value, longest) {
  return typeof value === "string" ? value.slice(0, longest) : "";
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
