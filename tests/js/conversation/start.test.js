import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Conversation } from "../../../sessions/static/sessions/conversation/conversation.js";
import { screenOf } from "../../../sessions/static/sessions/conversation/state.js";
import { OUTSIDE } from "../../../sessions/static/sessions/recovery/browser-facts.js";
import { describeQueue } from "../../../sessions/static/sessions/views/queue.js";

let sent, joined, conversation;

beforeEach(() => {
  [sent, joined] = [[], []];
  conversation = new Conversation({
    savedSession: { recall: () => null, keep: () => {}, forget: () => {} },
    onChange: () => {},
    newRef: () => "r1",
    clock: () => 0,
  });
  const send = (message) => sent.push(message);
  conversation.open(
    { isOpen: true, open: () => {}, send, sendFirst: send },
    { join: async (url) => joined.push(url), leave: () => {}, facts: () => OUTSIDE },
  );
});

const tell = (type, more = {}) => conversation.onMessage({ type, ...more });
const status = (value, more = {}) =>
  tell("session.status", { session_id: "s1", status: value, now: "1970-01-01T00:00:00Z", ...more });
const now = () => screenOf(conversation.state);

test("a queued user sees the position advance and starts automatically (complaint 4)", () => {
  conversation.start(0, { quality: "low" });
  assert.deepEqual(sent, [{ type: "session.start", quality: "low" }]);
  tell("queue.place", { place: 3, waiting: 4, expected_wait_s: 240 });
  assert.deepEqual([now(), conversation.state.queue], ["queue", { position: 3, waiting: 4, expectedSeconds: 240 }]);
  tell("queue.place", { place: 1, waiting: 2, expected_wait_s: null });
  assert.equal(conversation.state.queue.position, 1);
  status("creating");
  assert.equal(now(), "connecting");
  tell("session.room", { url: "ws://room", token: "secret" });
  assert.deepEqual(joined, ["ws://room"]);
});

test("a session refused for lack of a slot waits in the queue and then starts", () => {
  conversation.start(0);
  status("creating");
  tell("queue.place", { place: 1, waiting: 1 });
  assert.deepEqual([now(), conversation.state.sessionId], ["queue", ""]);
  status("ended", { reason: "provider_refused", is_failure: true }); // told to another tab's group, and late
  assert.equal(now(), "queue");
  tell("session.status", { session_id: "s2", status: "creating", now: "1970-01-01T00:00:00Z" });
  assert.deepEqual([now(), conversation.state.sessionId], ["connecting", "s2"]);
});

test("a start that needs consent returns to ready and says so, and one with consent names the notice", () => {
  conversation.start(0);
  tell("error", { code: "consent_needed", words: "Read the notice", notice: "f00d" });
  assert.deepEqual([now(), conversation.state.isConsentNeeded], ["ready", true]);
  conversation.start(0, { accepts: "f00d" });
  assert.deepEqual(
    [sent.at(-1), conversation.state.isConsentNeeded],
    [{ type: "session.start", accepts: "f00d" }, false],
  );
});

test("cancelling while the provider has no slot returns to ready (complaint 21)", () => {
  conversation.start(0);
  status("creating");
  conversation.stop();
  tell("queue.left");
  assert.deepEqual([now(), conversation.state.sessionId], ["ready", ""]);
});

test("leaving the queue takes one press, and a slot assigned just then is released", () => {
  conversation.start(0);
  tell("queue.place", { place: 1, waiting: 1 });
  conversation.stop();
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "queue.leave" }]);
  status("creating");
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "session.stop" }]);
});

test("cancelling before the queue position is known leaves the queue (complaint 21)", () => {
  conversation.start(0);
  conversation.stop();
  tell("queue.place", { place: 2, waiting: 2 });
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "queue.leave" }]);
});

test("after a dropped socket the queue is joined again with the same options", () => {
  conversation.start(0, { quality: "low" });
  tell("queue.place", { place: 2, waiting: 2 });
  conversation.onSocketDrop();
  conversation.onSocketOpen();
  assert.deepEqual(sent.at(-1), { type: "session.start", quality: "low" });
  tell("error", { code: "queue_full", words: "Full" });
  assert.deepEqual([now(), conversation.state.cause.words], ["failed", "Full"]);
});

test("a conversation elsewhere can be continued here once it is ended there (complaint 20)", () => {
  conversation.start(0);
  tell("error", {
    code: "session_running",
    words: "Elsewhere",
    session: { persona: "Lucía", started_at: "2026-01-01T10:24:00Z" },
  });
  assert.equal(now(), "take-over");
  conversation.start(0, { take_over: true });
  assert.deepEqual(sent.at(-1), { type: "session.start", take_over: true });
  status("requested", { session_id: null, waits_for: "release" });
  assert.deepEqual([now(), conversation.state.isReleasing, conversation.state.sessionId], ["connecting", true, ""]);
  status("creating");
  assert.equal(conversation.state.isReleasing, false);
});

test("waiting for the conversation elsewhere can be cancelled, and its failure is shown", () => {
  const waitForRelease = () => {
    conversation.start(0, { take_over: true });
    status("requested", { session_id: null, waits_for: "release" });
  };
  waitForRelease();
  conversation.stop();
  assert.deepEqual(sent.at(-1), { type: "session.stop" });
  tell("queue.left");
  assert.equal(now(), "ready");
  waitForRelease();
  tell("error", { code: "not_released", words: "Not yet" });
  assert.deepEqual([now(), conversation.state.cause.code], ["failed", "not_released"]);
});

test("continuing a conversation keeps its lines, a new one does not", () => {
  const line = {
    utterance_id: "u1",
    who: "avatar",
    by: "voice",
    text: "Hola",
    at: "2026-01-01T00:00:00Z",
    provider_task_id: "t1",
  };
  for (const [wishes, lines] of [
    [{ continues: "s1" }, 1],
    [{}, 0],
  ]) {
    conversation.start(0);
    status("live", { session_id: "s1" });
    tell("utterance", line);
    status("ended", { session_id: "s1", reason: "user_stopped" });
    conversation.start(0, wishes);
    assert.equal(conversation.transcript.lines.length, lines);
    conversation.formerId = "";
  }
});

test("a tab whose conversation was taken over leaves the room and can take it back", () => {
  conversation.start(0);
  status("connecting");
  conversation.onRoomEvent({ type: "first_frame", shownAt: 1, width: 1, height: 1 });
  status("live");
  status("stopping", { reason: "taken_over" });
  assert.equal(now(), "taken-over");
  conversation.start(0, { take_over: true, continues: "s1" });
  assert.deepEqual([now(), sent.at(-1)], ["connecting", { type: "session.start", take_over: true, continues: "s1" }]);
  status("ended", { reason: "taken_over" }); // the old one's end, told late
  assert.equal(now(), "connecting");
});

test("the queue position is described with the expected wait", () => {
  const phrases = { next: "next", place: "number {n}", soon: "soon", minutes: "about {n} minutes", elsewhere: "" };
  const turn = (position, expectedSeconds) => describeQueue({ position, waiting: 9, expectedSeconds }, phrases);
  assert.deepEqual([turn(1, null), turn(1, 59), turn(3, 190)], ["next", "next, soon", "number 3, about 4 minutes"]);
});

test("restarting continues in a new session with other options and keeps the lines", () => {
  conversation.start(0);
  status("live", { session_id: "s1" });
  tell("utterance", {
    utterance_id: "u1",
    who: "avatar",
    by: "voice",
    text: "Hola",
    at: "2026-01-01T00:00:00Z",
    provider_task_id: "t1",
  });
  conversation.restart(0, { quality: "low" });
  assert.deepEqual(sent.at(-1), { type: "session.start", quality: "low", continues: "s1", because: "user_stopped" });
  status("requested", { session_id: null, waits_for: "release", continues: "s1" });
  assert.deepEqual([now(), conversation.state.isReleasing], ["connecting", true]);
  status("ended", { session_id: "s1", reason: "user_stopped" }); // late news of the one before
  status("live", { session_id: "s2" });
  assert.deepEqual([conversation.state.sessionId, conversation.transcript.lines.length], ["s2", 1]);
});

test("without a session there is nothing to restart", () => {
  conversation.restart(0, { quality: "low" });
  assert.deepEqual([sent, now()], [[], "ready"]);
});

test("access to one session's room is never used for another (requirement 63)", () => {
  for (const [session, url] of [
    ["s1", "ws://one"],
    ["s2", "ws://two"],
  ]) {
    conversation.start(0);
    status("creating", { session_id: session });
    assert.equal(conversation.state.access, null);
    tell("session.room", { url, token: `token of ${session}` });
    assert.equal(conversation.state.access.token, `token of ${session}`);
    status("ended", { session_id: session, reason: "user_stopped" });
  }
  assert.deepEqual(joined, ["ws://one", "ws://two"]);
});

test("the portal learns at once that the page is hidden while it connects", () => {
  let isUnseen = false;
  const reports = [];
  const hidden = new Conversation({
    savedSession: { recall: () => null, keep: () => {}, forget: () => {} },
    onChange: () => {},
    newRef: () => "r1",
    clock: () => 0,
    isUnseen: () => isUnseen,
  });
  const send = ({ type, kind, data }) => type === "event.report" && reports.push([kind, data]);
  hidden.open(
    { isOpen: true, open: () => {}, send, sendFirst: send },
    { join: async () => {}, leave: () => {}, facts: () => OUTSIDE },
  );
  hidden.start(0);
  hidden.onMessage({ type: "session.status", session_id: "s1", status: "creating", now: "1970-01-01T00:00:00Z" });
  hidden.tick();
  assert.deepEqual(reports, []);
  isUnseen = true;
  hidden.tick();
  isUnseen = false;
  hidden.tick();
  assert.deepEqual(reports, [
    ["waiting", { because: "hidden" }],
    ["waiting_over", {}],
  ]);
});
