import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Conversation } from "../../../sessions/static/sessions/conversation/conversation.js";
import { screenOf } from "../../../sessions/static/sessions/conversation/state.js";
import { FINE, OUTSIDE } from "../../../sessions/static/sessions/recovery/browser-facts.js";
import { TICK_MS } from "../../../sessions/static/sessions/recovery/recovery.js";

const THERE = { ...OUTSIDE, isIn: true, hasAvatar: true, hasSound: true, hasVideo: true };
let sent, did, room, seen, now, conversation;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [sent, did, seen, now] = [[], [], FINE, 0];
  room = {
    facts: () => room.now,
    join: async (_url, token) => did.push(`join ${token}`),
    resubscribe: () => did.push("resubscribe"),
    leave: () => {},
  };
  room.now = THERE;
  const savedSession = { recall: () => null, keep: () => {}, forget: () => {} };
  conversation = new Conversation({
    savedSession,
    onChange: () => {},
    newRef: () => "r",
    readBrowser: () => seen,
    clock: () => 0,
    monotonicClock: () => now,
  });
  conversation.open({ isOpen: true, open: () => {}, send: (message) => sent.push(message) }, room);
  conversation.start(0);
  hear("session.status", { session_id: "s1", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "one" });
  conversation.onRoomEvent({ type: "room_joined" });
});

const hear = (type, more) => conversation.onMessage({ type, now: "1970-01-01T00:00:00Z", ...more });
const reported = (kind) => sent.filter((message) => message.kind === kind).map(({ data }) => data);

function pass(ms) {
  for (const end = now + ms; now < end; conversation.recovery.tick()) now += TICK_MS;
}

function goLive() {
  conversation.onRoomEvent({ type: "first_frame", shownAt: 1, width: 4, height: 3 });
  hear("session.status", { session_id: "s1", status: "live" });
  seen = { ...FINE, hasMoved: true };
  pass(1_000);
  seen = FINE;
}

test("each recovery step is shown and recorded: rejoin, new session, sound only", () => {
  pass(5_000);
  assert.equal(screenOf(conversation.state), "recovering");
  assert.deepEqual(sent.at(-1), { type: "room.rejoin" });
  hear("error", { code: "rejoin_refused" });
  assert.deepEqual(did, ["join one", "join one"]);
  pass(5_000);
  assert.deepEqual(sent.at(-1), { type: "session.start", continues: "s1", because: "no_picture" });
  hear("session.status", { session_id: "s1", status: "ended", reason: "no_picture", is_failure: true });
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  assert.equal(did.at(-1), "join two");
  pass(8_000);
  assert.equal(screenOf(conversation.state), "sound");
  assert.deepEqual(
    reported("ladder").map(({ step }) => step),
    ["rejoin", "renew", "sound"],
  );
  assert.equal(reported("verdict")[0].code, "no_picture");
  hear("session.status", { session_id: "s1", status: "ended", reason: "no_picture", is_failure: true });
  assert.equal(conversation.state.sessionId, "s2");
});

test("a restored video ends the recovery, and texts written meanwhile are sent once", () => {
  goLive();
  pass(3_000);
  assert.deepEqual(reported("frozen"), [{}]);
  conversation.say("talk", "uno");
  assert.equal(
    sent.some(({ type }) => type === "task.send"),
    false,
  );
  seen = { ...FINE, hasMoved: true };
  pass(TICK_MS);
  assert.equal(screenOf(conversation.state), "live");
  assert.deepEqual(
    sent.filter(({ type }) => type === "task.send").map(({ text }) => text),
    ["uno"],
  );
});

test("a session that the provider ended continues in a new one with its lines (complaints 6 and 7)", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  hear("session.status", { session_id: "s1", status: "stopping", reason: "provider_ended", is_failure: true });
  hear("session.status", {
    session_id: "s1",
    status: "ended",
    reason: "provider_ended",
    is_failure: true,
    words: "Cut off",
  });
  assert.deepEqual(sent.at(-1), { type: "session.start", continues: "s1", because: "no_picture" });
  assert.equal(screenOf(conversation.state), "recovering");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
});

const starts = () => sent.filter(({ type }) => type === "session.start").slice(1);
const endsIn = (ms) => hear("session.ending", { why: "duration_limit", at: new Date(ms).toISOString(), goes_on: true });

test("before the provider's limit a new session takes over with all lines (complaint 7)", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  endsIn(60_000);
  pass(TICK_MS);
  assert.deepEqual([screenOf(conversation.state), starts()], ["live", []]);
  endsIn(14_000);
  conversation.dispatch({ type: "avatar_talking", isTalking: true });
  pass(TICK_MS);
  assert.deepEqual(starts(), []); // it may finish
  conversation.dispatch({ type: "avatar_talking", isTalking: false });
  pass(TICK_MS);
  assert.deepEqual(starts(), [{ type: "session.start", continues: "s1", because: "duration_limit" }]);
  assert.deepEqual(reported("ladder"), [{ step: "renew", from: "picture", because: "duration_limit" }]);
  assert.deepEqual([reported("verdict"), reported("frozen")], [[], []]);
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  seen = { ...FINE, hasMoved: true };
  pass(TICK_MS);
  assert.equal(conversation.recovery.ladder.renewals, 0);
  assert.equal(screenOf(conversation.state), "live");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
  assert.equal(starts().length, 1);
});

test("an avatar that keeps talking does not delay the replacement too long", () => {
  goLive();
  conversation.dispatch({ type: "avatar_talking", isTalking: true });
  endsIn(4_000);
  pass(TICK_MS);
  assert.equal(starts().length, 1);
});

test("a session that ends before its replacement is continued once", () => {
  goLive();
  endsIn(60_000);
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  assert.deepEqual(starts(), [{ type: "session.start", continues: "s1", because: "duration_limit" }]);
  hear("error", { code: "time_is_up", words: "Time is up" });
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  assert.equal(screenOf(conversation.state), "ended");
});

test("when no step is left, the cause is shown and the session ended", () => {
  room.now = OUTSIDE;
  conversation.onRoomEvent({ type: "room_lost", code: "room_refused", reason: 7 });
  hear("error", { code: "provider_limit", words: "Full" });
  assert.equal(screenOf(conversation.state), "failed");
  assert.equal(reported("verdict").at(-1).is_final, true);
  assert.equal(conversation.state.cause.code, reported("verdict").at(-1).code);
});

test("the provider's status refines the verdict (requirement 71)", () => {
  room.now = { ...THERE, hasAvatar: false, hasVideo: false, hasSound: false, room: "another" };
  pass(5_000);
  assert.equal(conversation.state.verdict, "early");
  hear("provider.status", { status: "missing", is_other_room: false });
  pass(TICK_MS);
  assert.equal(conversation.state.verdict, "provider_not_live");
  assert.equal(conversation.state.providerStatus, "missing");
});

test("ending the session ends the recovery", () => {
  pass(5_000);
  conversation.stop();
  pass(60_000);
  assert.deepEqual(
    reported("ladder").map(({ step }) => step),
    ["rejoin"],
  );
  assert.deepEqual(sent.at(-1), { type: "session.stop" });
});

test("a renewal that must queue shows the queue and keeps the lines", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  hear("session.status", { session_id: "s1", status: "ended", reason: "provider_ended", is_failure: true });
  assert.equal(screenOf(conversation.state), "recovering");
  hear("queue.place", { place: 2, waiting: 3, expected_wait_s: 60 });
  assert.deepEqual([screenOf(conversation.state), conversation.state.queue.position], ["queue", 2]);
  assert.equal(conversation.state.startOptions.continues, "s1");
  pass(60_000); // no step of the ladder is due meanwhile
  hear("session.status", { session_id: "s1", status: "ended", reason: "provider_ended", is_failure: true });
  assert.equal(screenOf(conversation.state), "queue");
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  assert.equal(screenOf(conversation.state), "connecting");
  assert.deepEqual(did.at(-1), "join two");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
  assert.equal(sent.filter(({ type }) => type === "session.start").length, 2);
});
