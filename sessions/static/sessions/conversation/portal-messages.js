/** What each message of the portal changes in the conversation. docs/websocket-protocol.md describes the messages. */

import { isOpen, isWaiting } from "./state.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @type {Record<string, (conversation: Conversation, message: any) => void>} */
const HANDLERS = {
  "session.status": (conversation, message) => {
    conversation.dispatch({ type: "clock", now: message.now, at: conversation.clock() });
    const { leavingId, formerId, phase, session } = conversation.state;
    if (message.waits_for) return conversation.dispatch(message); // there is no session yet
    if (message.session_id === leavingId) return onFormerStatus(conversation, message);
    if (message.session_id === formerId) return;
    if (phase === "ready") return stopUnwanted(conversation, message);
    if (conversation.recovery.answers(message)) return;
    conversation.dispatch(message);
    if (!session && conversation.state.isCancelled) conversation.stop();
    if (message.status === "ended" || !isOpen(conversation.state)) conversation.leave();
    conversation.flush();
  },
  "session.room": (conversation, { url, token, name = "", waits = false }) => {
    const { isCancelled, access } = conversation.state;
    if (isCancelled) return;
    if (waits) {
      if (!access) void conversation.room?.joinEarly(url, token, name);
      return;
    }
    conversation.enter({ url, token, name });
    conversation.save();
  },
  "queue.place": (conversation, message) => {
    backToQueue(conversation);
    queueRenewal(conversation);
    if (conversation.state.isCancelled) conversation.leaveQueue();
    else conversation.dispatch(message);
  },
  "queue.left": (conversation) => {
    backToQueue(conversation);
    if (isWaiting(conversation.state)) conversation.dispatch({ type: "forget" });
  },
  "session.ending": (conversation, message) => {
    if (message.goes_on) conversation.recovery.expectEnd(Date.parse(message.at));
    else conversation.dispatch(message);
  },
  "session.staying": (conversation, message) => conversation.dispatch(message),
  "session.observed": (conversation, message) => conversation.dispatch(message),
  "provider.status": (conversation, message) => conversation.recovery.providerStatus(message),
  "room.publish": async (conversation, { id, topic, payload }) => {
    const isSent = await conversation.room?.publish(topic, payload).then(
      () => true,
      () => false,
    );
    conversation.send({ type: "room.published", id, is_sent: isSent === true });
  },
  "task.sent": (conversation, message) => {
    const { ref, provider_task_id: taskId = "", at } = message;
    if (message.status === "failed") return taskFailed(conversation, message);
    conversation.dispatch(message);
    conversation.outbox.sent(ref);
    conversation.save();
    conversation.transcript.sent({ ref, taskId: taskId ?? "", at: Date.parse(at) });
  },
  "answer.sentence": (conversation, { ref, text, provider_task_id: taskId, sources }) =>
    conversation.transcript.sentence(taskId, ref, sources, text),
  "answer.ended": (conversation, { ref, words = "" }) => conversation.transcript.unanswered(ref, words),
  "transcript.left_out": (conversation, { url }) => conversation.transcript.olderLinesOmitted(url),
  utterance: (conversation, message) => {
    conversation.transcript.stored({
      utteranceId: String(message.utterance_id),
      who: message.who,
      by: message.by,
      isRead: message.kind === "repeat",
      text: message.text,
      at: Date.parse(message.at),
      isInterrupted: message.is_interrupted,
      isReported: message.is_reported === true,
      isDelivered: message.is_delivered !== false,
      taskId: message.provider_task_id ?? "",
      ...(message.answer_to ? { answerTo: message.answer_to, sources: message.sources } : {}),
    });
  },
  error: (conversation, message) => {
    if (message.ref) return taskFailed(conversation, message);
    if (message.about === "event.report") return; // the record says that it is incomplete; the user need not know
    const isJoining = conversation.state.sessionId !== "" && !conversation.state.session;
    // The socket closes, and the next one is opened when the portal allows it.
    const isTurnedAway = message.about === "connect" || (isJoining && message.code === "too_many_requests");
    if (isTurnedAway) return conversation.dispatch({ type: "socket_refused", words: message.words });
    conversation.muting.end(); // the interruption may have been refused
    if (conversation.recovery.isAnsweredBy(message)) return;
    if (!isJoining) return conversation.dispatch(message);
    if (message.code !== "not_found") return; // the portal is unwell and closes the socket; the page joins again
    conversation.leave();
    conversation.dispatch({ type: "forget" });
  },
};

/**
 * @param {Conversation} conversation
 * @param {any} message
 */
export function handleMessage(conversation, message) {
  if (Object.hasOwn(HANDLERS, message.type)) HANDLERS[message.type]?.(conversation, message);
}

/**
 * @param {Conversation} conversation
 * @param {{ ref: string, words?: string }} message
 */
function taskFailed(conversation, { ref, words = "" }) {
  const item = conversation.outbox.failed(ref, words);
  if (item) conversation.transcript.written(item, conversation.now());
  conversation.save();
}

/**
 * The provider refused the session that was being created for lack of a slot. It is over, and the user waits.
 *
 * @param {Conversation} conversation
 */
function backToQueue(conversation) {
  if (conversation.state.session?.status !== "creating") return;
  conversation.dispatch({ type: "turned_away" });
  conversation.forgetSaved();
}

/**
 * Users in the queue go before a recovery whose cause the portal did not see: the session is over, and the user waits.
 *
 * @param {Conversation} conversation
 */
function queueRenewal(conversation) {
  const { sessionId } = conversation.state;
  if (!conversation.recovery.awaitsSession || !sessionId) return;
  conversation.leave(true);
  conversation.dispatch({ type: "requeue", sessionId });
}

/**
 * A slot was assigned just when the user left the queue.
 *
 * @param {Conversation} conversation
 * @param {{ status: string }} message
 */
function stopUnwanted(conversation, { status }) {
  if (status !== "stopping" && status !== "ended") conversation.send({ type: "session.stop" });
}

/**
 * Once the previous session has ended, request the new one.
 *
 * @param {Conversation} conversation
 * @param {{ status: string }} message
 */
function onFormerStatus(conversation, { status }) {
  if (status !== "ended") return;
  conversation.dispatch({ type: "former_ended" });
  conversation.requestSession();
}
