/**
 * The other dialect of the room: events of an agent, under a topic of their own. They are brought into the words of
 * avatar-events.js, so that nothing behind it can tell which one was spoken.
 *
 * Here a line's text comes before its sound, and its end is the end of the sound. Which line an event belongs to
 * is said by `source_event_id` where the line was ordered; answers to speech have none, and go by their order.
 */

/** @typedef {import("./avatar-events.js").AvatarEvent} AvatarEvent */
/** @typedef {{ type: string, id: string, source: string, text: string }} AgentEvent */
/** @typedef {{ id: string, text: string, isWhole: boolean, isHeard: boolean }} Line */

export const TOPIC = "agent-response";
const MOST_LINES = 20;

export class AgentEvents {
  constructor() {
    /** @type {Line[]} */
    this.lines = []; // begun, and not over
    /** @type {string[]} */
    this.over = [];
    this.turn = { id: "", text: "" }; // what the person is saying
    this.isSpeaking = false; // the person
  }

  /**
   * @param {AgentEvent} event
   * @returns {AvatarEvent[]}
   */
  read(event) {
    // One page of the documentation writes underscores where all else has dots.
    const type = event.type
      .replace("transcription_chunk", "transcription.chunk")
      .replace("session_stopped", "session.stopped");
    if (!Object.hasOwn(READERS, type) || this.over.includes(event.source)) return [];
    return READERS[type]?.(this, event) ?? [];
  }

  /**
   * The line that an event belongs to.
   *
   * @param {AgentEvent} event
   * @param {(line: Line) => boolean} isNext  among lines without a name
   */
  lineOf({ id, source }, isNext) {
    const found = this.lines.find((line) => (source ? line.id === source : isNext(line)));
    if (found) return found;
    const line = { id: source || id, text: "", isWhole: false, isHeard: false };
    this.lines = [...this.lines, line].slice(-MOST_LINES);
    return line;
  }

  /** @param {Line} line */
  end(line) {
    this.lines = this.lines.filter((other) => other !== line);
    this.over = [...this.over, line.id].slice(-MOST_LINES);
  }

  /**
   * Only what is new of a phrase that is repeated as it grows.
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

/** @type {Record<string, (it: AgentEvents, event: AgentEvent) => AvatarEvent[]>} */
const READERS = {
  "avatar.transcription.chunk": (it, event) => {
    const line = it.lineOf(event, ({ isWhole }) => !isWhole);
    line.text += event.text;
    return [said("avatar_talking_message", line.id, event.text)];
  },
  "avatar.transcription": (it, event) => {
    const line = it.lineOf(event, ({ isWhole }) => !isWhole);
    const rest = it.grown(line, event.text);
    line.isWhole = true;
    return rest ? [said("avatar_talking_message", line.id, rest)] : [];
  },
  "avatar.speak_started": (it, event) => {
    const line = it.lineOf(event, ({ isHeard }) => !isHeard);
    line.isHeard = true;
    return [said("avatar_start_talking", line.id)];
  },
  "avatar.speak_ended": (it, event) => {
    const line = it.lineOf(event, ({ isHeard }) => isHeard);
    it.end(line);
    const stopped = said("avatar_stop_talking", line.id);
    // Cut off by somebody who speaks: the words did not come to their end.
    return it.isSpeaking || !line.isWhole ? [stopped] : [said("avatar_end_message", line.id, line.text), stopped];
  },
  "user.speak_started": (it, { id }) => {
    it.isSpeaking = true;
    it.turn = { id, text: "" };
    return [said("user_start", id)];
  },
  "user.speak_ended": (it) => {
    it.isSpeaking = false;
    return [said("user_stop", it.turn.id)];
  },
  "user.transcription.chunk": (it, { id, text }) => {
    it.turn.id ||= id;
    const rest = it.grown(it.turn, text);
    return rest ? [said("user_talking_message", it.turn.id, rest)] : [];
  },
  "user.transcription": (it, { id, text }) => {
    const heard = said("user_end_message", it.turn.id || id, text);
    it.turn = { id: "", text: "" };
    return [heard];
  },
  "user.push_to_talk_start_failed": () => [said("push_to_talk_failed", "")],
  "user.push_to_talk_stop_failed": () => [said("push_to_talk_failed", "")],
  "session.stopped": (_it, { text }) => [said("session_stopped", "", text)],
};

/**
 * @param {string} type
 * @param {string} taskId
 * @param {string} [message]
 * @returns {AvatarEvent}
 */
function said(type, taskId, message = "") {
  return { type, taskId, message, durationMs: 0 };
}
