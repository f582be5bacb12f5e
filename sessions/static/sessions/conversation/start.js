/**
 * The way to a session and out of it: Start with its options, the line, Cancel, End.
 *
 * @typedef {{ quality?: string, encoding?: string, continues?: string, because?: string, take_over?: boolean }} StartOptions
 */

import { isOpen, isOver } from "./state.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */

/**
 * Have the room made before Start is pressed, where the portal has rooms of its own.
 *
 * @param {Conversation} it
 */
export function prepare(it) {
  if (!it.sessionId && !isOpen(it.state) && !it.room?.hasEarlyRoom && it.socket?.isOpen)
    it.socket.send({ type: "room.prepare" });
}

/**
 * @param {Conversation} it
 * @param {number} pressedAt
 * @param {StartOptions} options
 */
export function begin(it, pressedAt, options) {
  it.startedAt = pressedAt;
  it.startOptions = options;
  it.formerId = it.state.session?.id ?? "";
  it.leavingId = it.state.session && mustBeOver(it.state, options) ? it.state.session.id : "";
  // Before anything is drawn: the portal works meanwhile.
  if (!it.leavingId) ask(it);
  if (!it.formerId || options.continues !== it.formerId) it.transcript.clear();
  it.quality = it.trouble = "";
  it.reports.told = [];
  it.dispatch({ type: "start" });
}

/**
 * Whether the session has to be over before another is asked for; one that is continued the portal ends by itself.
 *
 * @param {import("./state.js").RoomState} state
 * @param {StartOptions} options
 */
function mustBeOver(state, { continues }) {
  return !isOver(state) && state.phase !== "taken-over" && continues !== state.session?.id;
}

/**
 * The same conversation in a new session, for what a running one cannot change.
 *
 * @param {Conversation} it
 * @param {number} pressedAt
 * @param {StartOptions} options
 */
export function goOn(it, pressedAt, options) {
  const { sessionId } = it;
  if (!sessionId) return;
  it.leave(true);
  begin(it, pressedAt, { ...options, continues: sessionId, because: "user_stopped" });
}

/**
 * After a reload: this tab knows its session and its room.
 *
 * @param {Conversation} it
 * @param {import("./saved-session.js").Place} place
 */
export function comeBack(it, { sessionId, url, token, name, unsent }) {
  it.sessionId = sessionId;
  it.outbox.restore(unsent);
  for (const item of unsent) it.transcript.written(item, it.now());
  it.place = { url, token, name };
  it.dispatch({ type: "rejoin" });
  if (token) it.enter(it.place);
}

/** @param {Conversation} it */
export function ask(it) {
  it.socket?.send({ type: "session.start", ...it.startOptions });
}

/** @param {Conversation} it */
export function cancelOrStop(it) {
  if (it.state.phase === "queue") return leaveQueue(it);
  it.dispatch({ type: "cancel" });
  // Without a name there is nothing to stop yet: the first status brings both.
  if (it.state.session || it.state.isReleasing) it.socket?.send({ type: "session.stop" });
}

/** @param {Conversation} it */
export function leaveQueue(it) {
  it.socket?.send({ type: "queue.leave" });
  it.dispatch({ type: "forget" });
}
