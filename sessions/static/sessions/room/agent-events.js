/**
 * LiveAvatar's data packets, translated into the events of avatar-events.js.
 *
 * A line's text arrives before its sound, and the line ends with its sound. Lines that were requested carry a
 * `source_event_id`; answers to speech have none and are matched by their order.
 */

/** @typedef {import("./avatar-events.js").AvatarEvent} AvatarEvent */
/** @typedef {{ type: string, id: string, source: string, text: string }} AgentEvent */
/** @typedef {{ id: string, text: string, isWhole: boolean, isHeard: boolean }} Line */

export const TOPIC = "agent-response";
const LINES_KEPT = 20;

export class AgentEvents {
  constructor() {
    /** @type {Line[]} */
    this.lines = []; // unfinished
    /** @type {string[]} */
    this.over = [];
    this.utterance = { id: "", text: "" }; // what the user is saying
    this.isSpeaking = false; // the user
  }

  /**
   * @param {AgentEvent} event
   * @returns {AvatarEvent[]}
   */
  read(event) {
    // LiveAvatar's documentation has both underscores and dots.
    const type = event.type
      .replace("transcription_chunk", "transcription.chunk")
      .replace("session_stopped", "session.stopped");
    if (!Object.hasOwn(READERS, type) || this.over.includes(event.source)) return [];
    return READERS[type]?.(this, event) ?? [];
  }

  /**
   * Find or add the line that an event belongs to.
   *
   * @param {AgentEvent} event
   * @param {(line: Line) => boolean} isNext  matches lines without an ID
   */
  lineOf({ id, source }, isNext) {
    const found = this.lines.find((line) => (source ? line.id === source : isNext(line)));
    if (found) return found;
    const line = { id: source || id, text: "", isWhole: false, isHeard: false };
    this.lines = [...this.lines, line].slice(-LINES_KEPT);
    return line;
  }

  /** @param {Line} line */
  end(line) {
    this.lines = this.lines.filter((other) => other !== line);
    this.over = [...this.over, line.id].slice(-LINES_KEPT);
  }

  /**
   * Return what is new in a phrase that is repeated as it grows.
   *
   * @param {{ text: string }} known
   * @param {string} whole
   */
  grown(known, whole) {
    const rest = whole.startsWith(known.text) ? whole.slice(known.text.length) : known.text ? "" : whole;
    known.text = whole;
    return rest;
  }
}

/** @type {Record<string, (events: AgentEvents, event: AgentEvent) => AvatarEvent[]>} */
const READERS = {
  "avatar.transcription.chunk": (events, event) => {
    const line = events.lineOf(event, ({ isWhole }) => !isWhole);
    line.text += event.text;
    return [eventOf("avatar_talking_message", line.id, event.text)];
  },
  "avatar.transcription": (events, event) => {
    const line = events.lineOf(event, ({ isWhole }) => !isWhole);
    const rest = events.grown(line, event.text);
    line.isWhole = true;
    return rest ? [eventOf("avatar_talking_message", line.id, rest)] : [];
  },
  "avatar.speak_started": (events, event) => {
    const line = events.lineOf(event, ({ isHeard }) => !isHeard);
    line.isHeard = true;
    return [eventOf("avatar_start_talking", line.id)];
  },
  "avatar.speak_ended": (events, event) => {
    const line = events.lineOf(event, ({ isHeard }) => isHeard);
    events.end(line);
    const stopped = eventOf("avatar_stop_talking", line.id);
    // The user interrupted: the line was not spoken to its end.
    return events.isSpeaking || !line.isWhole
      ? [stopped]
      : [eventOf("avatar_end_message", line.id, line.text), stopped];
  },
  "user.speak_started": (events, { id }) => {
    events.isSpeaking = true;
    events.utterance = { id, text: "" };
    return [eventOf("user_start", id)];
  },
  "user.speak_ended": (events) => {
    events.isSpeaking = false;
    return [eventOf("user_stop", events.utterance.id)];
  },
  "user.transcription.chunk": (events, { id, text }) => {
    events.utterance.id ||= id;
    const rest = events.grown(events.utterance, text);
    return rest ? [eventOf("user_talking_message", events.utterance.id, rest)] : [];
  },
  "user.transcription": (events, { id, text }) => {
    const heard = eventOf("user_end_message", events.utterance.id || id, text);
    events.utterance = { id: "", text: "" };
    return [heard];
  },
  "user.push_to_talk_start_failed": () => [eventOf("push_to_talk_failed", "")],
  "user.push_to_talk_stop_failed": () => [eventOf("push_to_talk_failed", "")],
  "session.stopped": (_events, { text }) => [eventOf("session_stopped", "", text)],
};

/**
 * @param {string} type
 * @param {string} taskId
 * @param {string} [message]
 * @returns {AvatarEvent}
 */
function eventOf(type, taskId, message = "") {
  return { type, taskId, message, durationMs: 0 };
}
