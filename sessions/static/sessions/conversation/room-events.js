/** What each event of the room changes in the conversation, and what of it is reported to the portal. */

import { isOpen } from "./state.js";

/** The end of a line and the end of its sound arrive in no documented order. */
const END_MAY_FOLLOW_MS = 300;

/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @type {Record<string, (conversation: Conversation, event: any) => void>} */
const HANDLERS = {
  // The connection
  room_joined: (conversation, event) => {
    conversation.report("room_connected");
    conversation.reportCheck();
    conversation.dispatch(event);
    conversation.flush();
  },
  room_reconnecting: (conversation, event) => {
    conversation.report("room_reconnecting");
    conversation.dispatch(event);
  },
  room_reconnected: (conversation, event) => {
    conversation.report("room_reconnected");
    conversation.dispatch(event);
    conversation.flush();
  },
  connection_state: (conversation, { state }) => conversation.report("connection_state", { state }),
  quality: (conversation, event) => {
    const before = conversation.state.connection;
    conversation.dispatch(event);
    const { connection } = conversation.state;
    if (connection && connection !== before) conversation.report("connection_quality", { quality: connection });
  },
  way: (conversation, { local, remote, protocol, roundTripMs }) =>
    conversation.report("way", { local, remote, protocol, round_trip_ms: roundTripMs }),
  room_disconnected: (conversation, { reason }) => conversation.report("room_disconnected", { reason }),
  room_lost: (conversation, { code, reason }) => {
    if (code === "room_refused") conversation.report("room_disconnected", { reason });
    if (code === "room_closed") conversation.recovery.closed();
    else if (code === "room_refused") conversation.recovery.refused();
    else movedElsewhere(conversation, code);
  },
  session_stopped: (conversation, { message }) => conversation.report("session_stopped", { reason: message }),

  // Video and audio
  track_published: (conversation, { kind }) => conversation.report("track_published", { kind }),
  track_subscribed: (conversation, { kind, identity }) => conversation.report("track_subscribed", { kind, identity }),
  track_unsubscribed: (conversation, { kind }) => conversation.report("track_unsubscribed", { kind }),
  first_frame: (conversation, event) => {
    const { width, height, shownAt } = event;
    const ms = Math.round(shownAt - conversation.state.pressedAt);
    conversation.report("first_frame", { width, height, ms });
    conversation.dispatch(event);
    conversation.flush();
  },
  playback_blocked: (conversation, event) => {
    if (!conversation.state.isBlocked) conversation.report("playback_blocked");
    conversation.dispatch(event); // audio and video are reported one after the other
  },
  playback_started: (conversation, event) => {
    if (conversation.state.isBlocked) conversation.report("playback_started");
    conversation.dispatch(event);
  },

  // What the avatar says
  avatar_start_talking: (conversation, { taskId }) => {
    conversation.report("avatar_start_talking", { task_id: taskId });
    conversation.firstSound.talking(true, performance.now());
    conversation.muting.end();
    conversation.captions.begin(taskId, conversation.clock());
    conversation.dispatch({ type: "user_talking", isTalking: false });
    conversation.dispatch({ type: "avatar_talking", isTalking: true });
  },
  avatar_talking_message: (conversation, { taskId, message }) => {
    conversation.transcript.spoken(taskId, message, conversation.now());
    conversation.captions.add(taskId, message, conversation.clock());
  },
  avatar_end_message: (conversation, { taskId, message }) => {
    const { transcript } = conversation;
    // Some providers send the whole line at its end, and no fragment before.
    if (message && !transcript.ofAvatar(taskId)) transcript.spoken(taskId, message, conversation.now());
    conversation.reportLine(transcript.finished(taskId, message));
  },
  avatar_stop_talking: (conversation, { taskId, durationMs }) => {
    conversation.report("avatar_stop_talking", { task_id: taskId, duration_ms: durationMs });
    conversation.firstSound.talking(false, performance.now());
    conversation.muting.confirmed();
    conversation.captions.end(taskId);
    conversation.dispatch({ type: "avatar_talking", isTalking: false });
    setTimeout(() => conversation.endLine(taskId), END_MAY_FOLLOW_MS);
  },

  // What the user says
  user_start: (conversation, { taskId }) => {
    conversation.dispatch({ type: "user_talking", isTalking: true });
    conversation.report("user_start", { task_id: taskId });
  },
  user_stop: (conversation, { taskId }) => {
    conversation.dispatch({ type: "user_talking", isTalking: false });
    conversation.report("user_stop", { task_id: taskId });
    conversation.firstSound.speechEnded(performance.now());
  },
  user_talking_message: (conversation, { taskId, message }) => conversation.heardUser.add(taskId, message),
  user_end_message: (conversation, { taskId, message }) => {
    const line = conversation.heardUser.end(taskId, message);
    if (line) conversation.report("user_end_message", { task_id: taskId, message: line });
  },
};

/**
 * @param {Conversation} conversation
 * @param {{ type: string, [key: string]: any }} event
 */
export function handleRoomEvent(conversation, event) {
  if (Object.hasOwn(HANDLERS, event.type)) HANDLERS[event.type]?.(conversation, event);
}

/**
 * The conversation continues in another tab.
 *
 * @param {Conversation} conversation
 * @param {string} code
 */
function movedElsewhere(conversation, code) {
  if (!isOpen(conversation.state) || conversation.state.session?.status === "stopping") return;
  conversation.dispatch({ type: "room_lost", code });
  conversation.leave();
}
