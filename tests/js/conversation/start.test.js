import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Conversation } from "../../../sessions/static/sessions/conversation/conversation.js";
import { face } from "../../../sessions/static/sessions/conversation/state.js";
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
const now = () => face(conversation.state);

test("whoever waits in line sees the place move up, and starts without another press (complaint 4)", () => {
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

test("whoever the avatar service has no place for after all waits in line, and begins when the turn comes", () => {
  conversation.start(0);
  status("creating");
  tell("queue.place", { place: 1, waiting: 1 });
  assert.deepEqual([now(), conversation.state.sessionId], ["queue", ""]);
  status("ended", { reason: "provider_refused" }); // told to another tab's group, and late
  assert.equal(now(), "queue");
  tell("session.status", { session_id: "s2", status: "creating", now: "1970-01-01T00:00:00Z" });
  assert.deepEqual([now(), conversation.state.sessionId], ["connecting", "s2"]);
});

test("cancelling while the avatar service finds no place leads back to the beginning (complaint 21)", () => {
  conversation.start(0);
  status("creating");
  conversation.stop();
  tell("queue.left");
  assert.deepEqual([now(), conversation.state.sessionId], ["ready", ""]);
});

test("a place in line is given up with one press, and a turn that comes just then is ended", () => {
  conversation.start(0);
  tell("queue.place", { place: 1, waiting: 1 });
  conversation.stop();
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "queue.leave" }]);
  status("creating");
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "session.stop" }]);
});

test("cancelling before the place in line is known leaves the line (complaint 21)", () => {
  conversation.start(0);
  conversation.stop();
  tell("queue.place", { place: 2, waiting: 2 });
  assert.deepEqual([now(), sent.at(-1)], ["ready", { type: "queue.leave" }]);
});

test("a line that broke off is joined again with the same wishes, and a refusal there is told", () => {
  conversation.start(0, { quality: "low" });
  tell("queue.place", { place: 2, waiting: 2 });
  conversation.onSocketDrop();
  conversation.onSocketOpen();
  assert.deepEqual(sent.at(-1), { type: "session.start", quality: "low" });
  tell("error", { code: "queue_full", words: "Full" });
  assert.deepEqual([now(), conversation.state.cause.words], ["failed", "Full"]);
});

test("a conversation elsewhere can be brought here: it is closed there first, and that is said (complaint 20)", () => {
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

test("waiting for the conversation elsewhere to close can be given up, and a close that takes too long is told", () => {
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

test("going on with what was said keeps the lines, another conversation does not", () => {
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

test("a tab whose conversation was taken over leaves the room, says so, and can bring it back", () => {
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

test("a place in line is told in words, with what the wait may be", () => {
  const phrases = { next: "next", place: "number {n}", soon: "soon", minutes: "about {n} minutes", elsewhere: "" };
  const turn = (position, expectedSeconds) => describeQueue({ position, waiting: 9, expectedSeconds }, phrases);
  assert.deepEqual([turn(1, null), turn(1, 59), turn(3, 190)], ["next", "next, soon", "number 3, about 4 minutes"]);
});

test("what a running session cannot change is had from a new one, which goes on at once and keeps the lines", () => {
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

test("where no session runs there is nothing to go on with", () => {
  conversation.restart(0, { quality: "low" });
  assert.deepEqual([sent, now()], [[], "ready"]);
});

test("requirement 63: the way into one session's room is never tried for another", () => {
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
