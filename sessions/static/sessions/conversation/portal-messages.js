/** What follows from each message of the portal; docs/websocket-protocol.md has them all. */

import { offsetOf } from "../lib/clock.js";
import { ask, leaveQueue } from "./start.js";
import { isOpen, isWaiting } from "./state.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @type {Record<string, (it: Conversation, message: any) => void>} */
const MESSAGES = {
  "session.status": (it, message) => {
    it.offset = offsetOf(message.now, it.clock());
    if (message.waits_for) return it.dispatch(message); // there is no session yet
    if (message.session_id === it.leavingId) return leavingEnded(it, message);
    if (message.session_id === it.formerId) return;
    if (it.state.phase === "ready") return unwanted(it, message);
    if (it.recovery.answers(message)) return;
    it.sessionId = message.session_id;
    it.tab = message.tab ?? "";
    it.isBack = true;
    const isFirst = !it.state.session;
    it.dispatch(message);
    if (isFirst && it.state.isCancelled) it.stop();
    if (message.status === "ended" || !isOpen(it.state)) it.leave();
    it.flush();
  },
  "session.room": (it, { url, token, name = "", waits = false }) => {
    if (it.state.isCancelled) return;
    if (waits) return void (it.place || it.room?.joinEarly(url, token, name));
    it.enter({ url, token, name });
    it.remember();
  },
  "queue.place": (it, message) => {
    turnedAway(it);
    waitsToRenew(it);
    if (it.state.isCancelled) leaveQueue(it);
    else it.dispatch(message);
  },
  "queue.left": (it) => {
    turnedAway(it);
    if (isWaiting(it.state)) it.dispatch({ type: "forget" });
  },
  "session.ending": (it, message) => {
    if (message.goes_on) it.recovery.renewal.at = Date.parse(message.at);
    else it.dispatch(message);
  },
  "session.staying": (it, message) => it.dispatch(message),
  "session.observed": (it, message) => it.dispatch(message),
  "provider.status": (it, message) => it.recovery.providerSays(message),
  "room.publish": (it, { topic, payload }) => it.room?.publish(topic, payload),
  "task.sent": (it, message) => {
    if (message.status === "failed") return refused(it, message);
    it.dispatch(message);
    it.outbox.sent(message.ref);
    it.remember();
    it.transcript.sent({ ref: message.ref, taskId: message.provider_task_id ?? "", at: Date.parse(message.at) });
  },
  "transcript.left_out": (it, { url }) => {
    it.transcript.wholeAt = url;
  },
  utterance: (it, message) => {
    it.transcript.stored({
      utteranceId: String(message.utterance_id),
      who: message.who,
      by: message.by,
      isRead: message.kind === "repeat",
      text: message.text,
      at: Date.parse(message.at),
      isInterrupted: message.is_interrupted,
      isReported: message.is_reported === true,
      taskId: message.provider_task_id ?? "",
    });
  },
  error: (it, message) => {
    if (message.ref) return refused(it, message);
    if (message.about === "event.report") return; // the record lacks it and says so; the person need not know
    it.muting.end(); // it may have been the interruption that was refused
    if (it.recovery.isAnsweredBy(message)) return;
    const isGone = it.sessionId !== "" && !it.state.session;
    if (isGone) {
      it.leave();
      return it.dispatch({ type: "forget" });
    }
    const before = it.state.phase;
    it.dispatch(message);
    // Where the refusal has a card of its own, the bar need not say it again.
    if (it.state.phase === before && it.state.phase !== "ready") it.trouble = message.words ?? "";
  },
};

/**
 * @param {Conversation} it
 * @param {any} message
 */
export function handleMessage(it, message) {
  if (Object.hasOwn(MESSAGES, message.type)) MESSAGES[message.type]?.(it, message);
}

/**
 * @param {Conversation} it
 * @param {{ ref: string, words?: string }} message
 */
function refused(it, { ref, words = "" }) {
  const item = it.outbox.failed(ref, words);
  if (item) it.transcript.written(item, it.now());
  it.remember();
}

/**
 * The avatar service had no place for the session that was being created: it is over, and the person waits.
 *
 * @param {Conversation} it
 */
function turnedAway(it) {
  if (it.state.session?.status !== "creating") return;
  it.formerId = it.sessionId;
  it.sessionId = "";
  it.memory.forget();
  it.dispatch({ type: "turned_away" });
}

/**
 * Others wait, and are served before a renewal whose cause the portal did not see: the session is over, the person waits.
 *
 * @param {Conversation} it
 */
function waitsToRenew(it) {
  const { step, hasRoom } = it.recovery.ladder;
  if (step !== "renew" || hasRoom || !it.sessionId) return;
  it.formerId = it.sessionId;
  it.startOptions = { ...it.startOptions, continues: it.sessionId };
  it.leave(true);
  it.dispatch({ type: "start" });
}

/**
 * The turn came just when the person left the line.
 *
 * @param {Conversation} it
 * @param {{ status: string }} message
 */
function unwanted(it, { status }) {
  if (status !== "stopping" && status !== "ended") it.socket?.send({ type: "session.stop" });
}

/**
 * The session before this one: once it is over, the new one may begin.
 *
 * @param {Conversation} it
 * @param {{ status: string }} message
 */
function leavingEnded(it, { status }) {
  if (status !== "ended") return;
  it.leavingId = "";
  ask(it);
}
