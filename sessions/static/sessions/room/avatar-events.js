/**
 * Events on the room's data channel. Any participant may send anything there, so this module validates what arrives.
 *
 * @typedef {object} AvatarEvent
 * @property {string} type
 * @property {string} taskId  empty if the provider names none
 * @property {string} message
 * @property {number} durationMs
 */

import { shortened, storable } from "../lib/characters.js";
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

const MAX_MESSAGE_CHARACTERS = 10_000;
const MAX_ID_CHARACTERS = 200;
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads the packets of one room, in either provider's format. */
export class AvatarEvents {
  constructor() {
    this.agent = new AgentEvents();
  }

  /**
   * @param {Uint8Array} payload
   * @param {string} [topic]
   * @returns {AvatarEvent[]} empty for anything but a known event
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
  return [
    { type, taskId: text(taskId, MAX_ID_CHARACTERS), message: text(message, MAX_MESSAGE_CHARACTERS), durationMs: ms },
  ];
}

/** @param {object} data */
function agentEvent(data) {
  const fields = /** @type {Record<string, unknown>} */ (data);
  return {
    type: text(fields.event_type, MAX_ID_CHARACTERS),
    id: text(fields.event_id, MAX_ID_CHARACTERS),
    source: text(fields.source_event_id, MAX_ID_CHARACTERS),
    text: text(fields.text ?? fields.stop_reason ?? fields.end_reason, MAX_MESSAGE_CHARACTERS),
  };
}

/**
 * @param {unknown} value
 * @param {number} longest
 */
function text(value, longest) {
  return typeof value === "string" ? shortened(storable(value), longest) : "";
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
