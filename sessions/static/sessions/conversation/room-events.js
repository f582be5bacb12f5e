/** What follows from each event of the room: what the page shows, and what is reported to the portal. */

import { isOpen } from "./state.js";

/** In which order a line's end and the end of its sound arrive is not documented. */
const END_MAY_FOLLOW_MS = 300;

/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @type {Record<string, (it: Conversation, event: any) => void>} */
const EVENTS = {
  room_joined: (it, event) => {
    it.report("room_connected");
    attachCheck(it);
    it.dispatch(event);
    it.flush();
  },
  room_reconnecting: (it, event) => {
    it.quality = "reconnecting";
    it.report("room_reconnecting");
    it.dispatch(event);
  },
  room_reconnected: (it, event) => {
    it.quality = "";
    it.report("room_reconnected");
    it.dispatch(event);
    it.flush();
  },
  connection_state: (it, { state }) => it.report("connection_state", { state }),
  track_published: (it, { kind }) => it.report("track_published", { kind }),
  track_unsubscribed: (it, { kind }) => it.report("track_unsubscribed", { kind }),
  room_disconnected: (it, { reason }) => it.report("room_disconnected", { reason }),
  room_lost: (it, { code, reason }) => {
    if (code === "room_refused") it.report("room_disconnected", { reason });
    if (code === "room_closed") it.recovery.closed();
    else if (code === "room_refused") it.recovery.refused();
    else elsewhere(it, code);
  },
  quality: (it, { quality }) => {
    const known = quality === "excellent" ? "good" : quality === "unknown" ? "" : quality;
    if (known && known !== it.quality) it.report("connection_quality", { quality: known });
    it.quality = known;
  },
  track_subscribed: (it, { kind, identity }) => it.report("track_subscribed", { kind, identity }),
  first_frame: (it, event) => {
    const { width, height, shownAt } = event;
    it.report("first_frame", { width, height, ms: Math.round(shownAt - it.startedAt) });
    it.dispatch(event);
    it.flush();
  },
  way: (it, { local, remote, protocol, roundTripMs }) =>
    it.report("way", { local, remote, protocol, round_trip_ms: roundTripMs }),
  playback_blocked: (it, event) => {
    if (!it.state.isBlocked) it.report("playback_blocked");
    it.dispatch(event); // sound and picture are told of one after the other
  },
  playback_started: (it, event) => {
    if (it.state.isBlocked) it.report("playback_started");
    it.dispatch(event);
  },
  avatar_start_talking: (it, { taskId }) => {
    it.report("avatar_start_talking", { task_id: taskId });
    it.muting.end();
    it.heardUser.isOn = false;
    it.captions.begin(taskId, it.clock());
    it.dispatch({ type: "talking", isTalking: true });
  },
  avatar_talking_message: (it, { taskId, message }) => {
    it.transcript.spoken(taskId, message, it.now());
    it.captions.add(taskId, message, it.clock());
  },
  avatar_end_message: (it, { taskId, message }) => finish(it, taskId, message),
  avatar_stop_talking: (it, { taskId, durationMs }) => {
    it.report("avatar_stop_talking", { task_id: taskId, duration_ms: durationMs });
    it.dispatch({ type: "talking", isTalking: false });
    it.muting.confirmed();
    it.captions.end(taskId);
    setTimeout(() => cutOff(it, taskId), END_MAY_FOLLOW_MS);
  },
  session_stopped: (it, { message }) => it.report("session_stopped", { reason: message }),
  user_start: (it, { taskId }) => {
    it.heardUser.isOn = true;
    it.report("user_start", { task_id: taskId });
  },
  user_stop: (it, { taskId }) => {
    it.heardUser.isOn = false;
    it.report("user_stop", { task_id: taskId });
  },
  user_talking_message: (it, { taskId, message }) => it.heardUser.add(taskId, message),
  user_end_message: (it, { taskId, message }) => {
    const line = it.heardUser.end(taskId, message);
    if (line) it.report("user_end_message", { task_id: taskId, message: line });
  },
};

/**
 * What was found when this device was checked goes into the record, once a session.
 *
 * @param {Conversation} it
 */
function attachCheck(it) {
  const report = it.checkedFor === it.sessionId ? null : it.lastCheck();
  it.checkedFor = it.sessionId;
  if (report) it.report("check", report);
}

/**
 * The conversation goes on in another tab.
 *
 * @param {Conversation} it
 * @param {string} code
 */
function elsewhere(it, code) {
  if (!isOpen(it.state) || it.state.session?.status === "stopping") return;
  it.dispatch({ type: "room_lost", code });
  it.leave();
}

/**
 * @param {Conversation} it
 * @param {{ type: string, [key: string]: any }} event
 */
export function handleRoomEvent(it, event) {
  if (Object.hasOwn(EVENTS, event.type)) EVENTS[event.type]?.(it, event);
}

/**
 * @param {Conversation} it
 * @param {string} taskId
 * @param {string} message
 */
function finish(it, taskId, message) {
  // Some providers repeat the whole line at its end, and say no piece of it before.
  if (message && !it.transcript.ofAvatar(taskId)) it.transcript.spoken(taskId, message, it.now());
  report(it, it.transcript.finished(taskId, message));
}

/**
 * Nothing more comes of what is being said: its sound ended before its words, or the room is left.
 *
 * @param {Conversation} it
 * @param {string} [taskId]  all lines without one
 */
export function cutOff(it, taskId) {
  for (const { taskId: id } of it.transcript.lines.filter(({ stage }) => stage === "talking")) {
    if (taskId !== undefined && id !== taskId) continue;
    it.transcript.interrupted(id);
    report(it, it.transcript.finished(id, ""));
  }
  if (taskId === undefined) {
    it.captions.clear();
    it.muting.end();
  }
  it.onChange();
}

/**
 * @param {Conversation} it
 * @param {import("./transcript.js").Line | undefined} line
 */
function report(it, line) {
  if (line)
    it.report("avatar_end_message", { task_id: line.taskId, message: line.text, interrupted: line.isInterrupted });
}
