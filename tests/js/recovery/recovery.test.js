import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Conversation } from "../../../sessions/static/sessions/conversation/conversation.js";
import { face } from "../../../sessions/static/sessions/conversation/state.js";
import { FINE, OUTSIDE } from "../../../sessions/static/sessions/recovery/browser-facts.js";
import { LOOK_MS } from "../../../sessions/static/sessions/recovery/recovery.js";

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
  for (const end = now + ms; now < end; conversation.recovery.tick()) now += LOOK_MS;
}

function goLive() {
  conversation.onRoomEvent({ type: "first_frame", shownAt: 1, width: 4, height: 3 });
  hear("session.status", { session_id: "s1", status: "live" });
  seen = { ...FINE, hasMoved: true };
  pass(1_000);
  seen = FINE;
}

test("the whole way is shown, said and recorded: rejoin, a new session, sound", () => {
  pass(5_000);
  assert.equal(face(conversation.state), "recovering");
  assert.deepEqual(sent.at(-1), { type: "room.rejoin" });
  hear("error", { code: "rejoin_refused" });
  assert.deepEqual(did, ["join one", "join one"]);
  pass(5_000);
  assert.deepEqual(sent.at(-1), { type: "session.start", continues: "s1", because: "no_picture" });
  hear("session.status", { session_id: "s1", status: "ended", reason: "no_picture" });
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  assert.equal(did.at(-1), "join two");
  pass(8_000);
  assert.equal(face(conversation.state), "sound");
  assert.deepEqual(
    reported("ladder").map(({ step }) => step),
    ["rejoin", "renew", "sound"],
  );
  assert.equal(reported("verdict")[0].code, "no_picture");
  hear("session.status", { session_id: "s1", status: "ended", reason: "no_picture" });
  assert.equal(conversation.state.sessionId, "s2");
});

test("a picture that comes back ends it, and what was written meanwhile leaves once", () => {
  goLive();
  pass(3_000);
  assert.deepEqual(reported("frozen"), [{}]);
  conversation.say("talk", "uno");
  assert.equal(
    sent.some(({ type }) => type === "task.send"),
    false,
  );
  seen = { ...FINE, hasMoved: true };
  pass(LOOK_MS);
  assert.equal(face(conversation.state), "live");
  assert.deepEqual(
    sent.filter(({ type }) => type === "task.send").map(({ text }) => text),
    ["uno"],
  );
});

test("complaints 6 and 7: a session that the provider ended goes on in a new one, and its lines stay", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  hear("session.status", { session_id: "s1", status: "stopping", reason: "provider_ended" });
  hear("session.status", { session_id: "s1", status: "ended", reason: "provider_ended", words: "Cut off" });
  assert.deepEqual(sent.at(-1), { type: "session.start", continues: "s1", because: "no_picture" });
  assert.equal(face(conversation.state), "recovering");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
});

const starts = () => sent.filter(({ type }) => type === "session.start").slice(1);
const endsIn = (ms) => hear("session.ending", { why: "duration_limit", at: new Date(ms).toISOString(), goes_on: true });

test("complaint 7: before the provider's limit a new session takes over, with all that was said", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  endsIn(60_000);
  pass(LOOK_MS);
  assert.deepEqual([face(conversation.state), starts()], ["live", []]);
  endsIn(14_000);
  conversation.dispatch({ type: "avatar_talking", isTalking: true });
  pass(LOOK_MS);
  assert.deepEqual(starts(), []); // it may finish
  conversation.dispatch({ type: "avatar_talking", isTalking: false });
  pass(LOOK_MS);
  assert.deepEqual(starts(), [{ type: "session.start", continues: "s1", because: "duration_limit" }]);
  assert.deepEqual(reported("ladder"), [{ step: "renew", from: "picture", because: "duration_limit" }]);
  assert.deepEqual([reported("verdict"), reported("frozen")], [[], []]);
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  seen = { ...FINE, hasMoved: true };
  pass(LOOK_MS);
  assert.equal(conversation.recovery.ladder.renewals, 0);
  assert.equal(face(conversation.state), "live");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
  assert.equal(starts().length, 1);
});

test("an avatar that goes on talking is not waited for until it is cut off", () => {
  goLive();
  conversation.dispatch({ type: "avatar_talking", isTalking: true });
  endsIn(4_000);
  pass(LOOK_MS);
  assert.equal(starts().length, 1);
});

test("an end that was quicker goes on all the same, but is not tried twice", () => {
  goLive();
  endsIn(60_000);
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  assert.deepEqual(starts(), [{ type: "session.start", continues: "s1", because: "duration_limit" }]);
  hear("error", { code: "time_is_up", words: "Time is up" });
  hear("session.status", { session_id: "s1", status: "ended", reason: "duration_limit" });
  assert.equal(face(conversation.state), "ended");
});

test("when nothing is left, the cause is shown and the session is ended for it", () => {
  room.now = OUTSIDE;
  conversation.onRoomEvent({ type: "room_lost", code: "room_refused", reason: 7 });
  hear("error", { code: "provider_limit", words: "Full" });
  assert.equal(face(conversation.state), "failed");
  assert.equal(reported("verdict").at(-1).is_final, true);
  assert.equal(conversation.state.cause.code, reported("verdict").at(-1).code);
});

test("requirement 71: what the provider says sharpens the verdict", () => {
  room.now = { ...THERE, hasAvatar: false, hasVideo: false, hasSound: false, room: "another" };
  pass(5_000);
  assert.equal(conversation.state.verdict, "early");
  hear("provider.status", { status: "missing", is_other_room: false });
  pass(LOOK_MS);
  assert.equal(conversation.state.verdict, "provider_not_live");
  assert.equal(conversation.state.providerStatus, "missing");
});

test("cancelling while the picture is fetched back ends the tries", () => {
  pass(5_000);
  conversation.stop();
  pass(60_000);
  assert.deepEqual(
    reported("ladder").map(({ step }) => step),
    ["rejoin"],
  );
  assert.deepEqual(sent.at(-1), { type: "session.stop" });
});

test("a renewal that has to wait in the queue shows the queue, and goes on from there with what was said", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t", message: "Hola." });
  hear("session.status", { session_id: "s1", status: "ended", reason: "provider_ended" });
  assert.equal(face(conversation.state), "recovering");
  hear("queue.place", { place: 2, waiting: 3, expected_wait_s: 60 });
  assert.deepEqual([face(conversation.state), conversation.state.queue.position], ["queue", 2]);
  assert.equal(conversation.state.startOptions.continues, "s1");
  pass(60_000); // no step of the ladder is due meanwhile
  hear("session.status", { session_id: "s1", status: "ended", reason: "provider_ended" });
  assert.equal(face(conversation.state), "queue");
  hear("session.status", { session_id: "s2", status: "connecting" });
  hear("session.room", { url: "ws://room", token: "two" });
  assert.equal(face(conversation.state), "connecting");
  assert.deepEqual(did.at(-1), "join two");
  assert.deepEqual(
    conversation.transcript.lines.map(({ text }) => text),
    ["Hola."],
  );
  assert.equal(sent.filter(({ type }) => type === "session.start").length, 2);
});
