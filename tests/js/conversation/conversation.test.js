import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Conversation } from "../../../sessions/static/sessions/conversation/conversation.js";
import { screenOf } from "../../../sessions/static/sessions/conversation/state.js";
import { OUTSIDE } from "../../../sessions/static/sessions/recovery/browser-facts.js";

let sent, joined, waiting, left, hushed, kept, publishTrouble, socket, conversation;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [sent, joined, waiting, left, hushed, kept, publishTrouble] = [[], [], [], 0, [], null, null];
  socket = {
    isOpen: true,
    open: () => {},
    send: (message) => sent.push(message),
    sendFirst: (message) => sent.push(message),
  };
  conversation = make();
});

function make() {
  let refs = 0;
  const made = new Conversation({
    savedSession: { recall: () => kept, keep: (place) => (kept = place), forget: () => (kept = null) },
    onChange: () => {},
    newRef: () => {
      refs += 1;
      return `r${refs}`;
    },
    clock: () => 0,
  });
  made.open(socket, {
    join: async (...place) => joined.push(place),
    joinEarly: async (...place) => waiting.push(place),
    leave: () => (left += 1),
    facts: () => OUTSIDE,
    mute: (is) => hushed.push(is),
    publish: async (topic, payload) => {
      if (publishTrouble) throw publishTrouble;
      sent.push({ type: "published", topic, payload });
    },
  });
  return made;
}

const types = () => sent.map(({ type, kind }) => (type === "event.report" ? kind : type));
const status = (value, more = {}) =>
  conversation.onMessage({
    type: "session.status",
    session_id: "s1",
    status: value,
    now: "1970-01-01T00:00:00Z",
    ...more,
  });

function goLive() {
  conversation.start(100);
  status("creating");
  conversation.onMessage({ type: "session.room", url: "ws://room", token: "secret" });
  status("connecting");
  conversation.onRoomEvent({ type: "room_joined" });
  conversation.onRoomEvent({ type: "first_frame", shownAt: 450.4, width: 1280, height: 720 });
  status("live");
}

test("the room is joined when it is named, and the first frame is timed from the click", () => {
  goLive();
  assert.deepEqual(joined, [["ws://room", "secret", ""]]);
  assert.deepEqual(types(), ["session.start", "first_frame", "room_connected"]);
  assert.deepEqual(sent[1].data, { width: 1280, height: 720, ms: 350 });
});

test("the page links to older lines that were left out, until the next conversation", () => {
  goLive();
  conversation.onMessage({ type: "transcript.left_out", url: "/conversations/s1/" });
  assert.equal(conversation.transcript.fullUrl, "/conversations/s1/");
  conversation.transcript.clear();
  assert.equal(conversation.transcript.fullUrl, "");
});

test("cancelling before the session has an ID stops it when it has one", () => {
  conversation.start(0);
  conversation.stop();
  assert.deepEqual(types(), ["session.start"]);
  status("creating");
  assert.deepEqual(types(), ["session.start", "session.stop"]);
  status("stopping", { reason: "user_stopped" });
  status("ended", { reason: "user_stopped" });
  assert.equal(screenOf(conversation.state), "ready");
});

test("texts typed while connecting are sent once, in order, when the session is live", () => {
  conversation.start(0);
  conversation.say("talk", "uno");
  conversation.say("repeat", "dos");
  assert.deepEqual(types(), ["session.start"]);
  goLive();
  status("live");
  const tasks = sent.filter(({ type }) => type === "task.send");
  assert.deepEqual(
    tasks.map(({ kind, text }) => [kind, text]),
    [
      ["talk", "uno"],
      ["repeat", "dos"],
    ],
  );
});

test("texts typed while the socket is closed are sent when it opens", () => {
  goLive();
  socket.isOpen = false;
  conversation.onSocketDrop();
  conversation.say("talk", "uno");
  socket.isOpen = true;
  conversation.onSocketOpen();
  status("live");
  assert.deepEqual(types().slice(-2), ["session.join", "task.send"]);
});

test("texts without an answer are sent again after a reconnect, in order, with their references", () => {
  goLive();
  for (const text of ["uno", "dos", "tres"]) conversation.say("talk", text);
  conversation.onMessage({ type: "task.sent", ref: "r1", status: "sent", at: "" });
  conversation.onSocketDrop();
  sent = [];
  conversation.onSocketOpen();
  conversation.say("talk", "cuatro");
  assert.deepEqual(types(), ["session.join"], "not before the portal has said where the session is");
  status("live");
  assert.deepEqual(
    sent.slice(1).map(({ ref, text }) => [ref, text]),
    [
      ["r2", "dos"],
      ["r3", "tres"],
      ["r4", "cuatro"],
    ],
  );
  status("live");
  assert.equal(sent.length, 4);
});

test("a text whose session ended meanwhile is not sent in the next one", () => {
  goLive();
  conversation.say("talk", "uno");
  conversation.onSocketDrop();
  conversation.onSocketOpen();
  status("ended", { reason: "idle" });
  assert.equal(conversation.transcript.lines.at(-1).stage, "failed");
});

test("retrying a failed text uses a new reference and keeps its position", () => {
  goLive();
  conversation.say("talk", "uno");
  conversation.onMessage({ type: "error", ref: "r1", code: "not_live", words: "No" });
  conversation.retry("r1");
  assert.deepEqual(
    sent.filter(({ type }) => type === "task.send").map(({ ref }) => ref),
    ["r1", "r2"],
  );
  assert.deepEqual(
    conversation.transcript.lines.map(({ stage, ref }) => [stage, ref]),
    [["sending", "r2"]],
  );
});

test("a stored text is not shown as said before the provider has it", () => {
  goLive();
  conversation.say("talk", "uno");
  conversation.onMessage({
    type: "utterance",
    utterance_id: 1,
    who: "user",
    by: "text",
    kind: "talk",
    text: "uno",
    at: "",
  });
  assert.deepEqual(
    conversation.transcript.lines.map(({ stage }) => stage),
    ["sending"],
  );
});

test("an interruption mutes the page at once, and a refused one unmutes it", () => {
  // Complaint 12.
  goLive();
  conversation.interrupt();
  assert.deepEqual([hushed, sent.at(-1).type], [[true], "task.interrupt"]);
  conversation.onMessage({ type: "error", code: "provider_silent", words: "No" });
  assert.deepEqual(hushed, [true, false]);
});

test("the portal learns whether what it wants published was published", async () => {
  goLive();
  const order = { type: "room.publish", topic: "agent-control", payload: "{}" };
  conversation.onMessage({ ...order, id: 1 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sent.slice(-2), [
    { type: "published", topic: "agent-control", payload: "{}" },
    { type: "room.published", id: 1, is_sent: true },
  ]);
  publishTrouble = new Error("no connection");
  conversation.onMessage({ ...order, id: 2 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sent.at(-1), { type: "room.published", id: 2, is_sent: false });
});

test("a refused text shows its reason", () => {
  goLive();
  conversation.say("talk", "uno");
  conversation.onMessage({
    type: "task.sent",
    ref: "r1",
    status: "failed",
    code: "provider_refused",
    words: "No",
    at: "",
  });
  const { stage, why } = conversation.transcript.lines.at(-1);
  assert.deepEqual([stage, why], ["failed", "No"]);
  assert.equal(screenOf(conversation.state), "live");
});

test("what the avatar says is shown in fragments and reported whole", () => {
  goLive();
  for (const message of ["Buenas ", "tardes."])
    conversation.onRoomEvent({ type: "avatar_talking_message", taskId: "t1", message });
  assert.equal(conversation.captions.caption.next, "Buenas tardes.");
  conversation.onRoomEvent({ type: "avatar_end_message", taskId: "t1", message: "" });
  assert.deepEqual(sent.at(-1).data, { task_id: "t1", message: "Buenas tardes.", interrupted: false });
});

test("a line whose sound ends before its words is reported as interrupted", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_talking_message", taskId: "t1", message: "Buenas " });
  conversation.onRoomEvent({ type: "avatar_stop_talking", taskId: "t1", durationMs: 300 });
  mock.timers.tick(300);
  assert.deepEqual(sent.at(-1).data, { task_id: "t1", message: "Buenas", interrupted: true });
});

test("a line in progress when the session ends is not lost", () => {
  goLive();
  conversation.onRoomEvent({ type: "avatar_talking_message", taskId: "t1", message: "Buenas " });
  status("stopping", { reason: "duration_limit" });
  assert.equal(types().at(-1), "avatar_end_message");
  assert.equal(sent.at(-1).data.interrupted, true);
});

test("a reload returns to the session without waiting for the socket", () => {
  kept = { sessionId: "s1", url: "ws://room", token: "secret", name: "", unsent: [] };
  conversation = make();
  assert.deepEqual(joined, [["ws://room", "secret", ""]]);
  conversation.onSocketOpen();
  assert.deepEqual(sent, [{ type: "session.join", session_id: "s1" }]);
  conversation.onRoomEvent({ type: "first_frame", shownAt: 1, width: 1, height: 1 });
  status("live");
  assert.equal(screenOf(conversation.state), "live");
});

test("a reload loses no text: those waiting and being sent arrive once (requirement 75)", () => {
  goLive();
  conversation.say("talk", "uno");
  conversation.say("talk", "dos");
  conversation.onMessage({ type: "task.sent", ref: "r1", status: "sent", at: "" });
  conversation.onRoomEvent({ type: "room_reconnecting" });
  conversation.say("repeat", "tres");
  kept = JSON.parse(JSON.stringify(kept));
  sent = [];
  conversation = make();
  assert.deepEqual(
    conversation.transcript.lines.map(({ text, stage }) => [text, stage]),
    [
      ["dos", "sending"],
      ["tres", "waiting"],
    ],
  );
  conversation.onSocketOpen();
  conversation.onRoomEvent({ type: "first_frame", shownAt: 1, width: 1, height: 1 });
  status("live");
  const tasks = sent.filter(({ type }) => type === "task.send");
  assert.deepEqual(
    tasks.map(({ ref, text }) => [ref, text]),
    [
      ["r2", "dos"],
      ["r3", "tres"],
    ],
  );
  conversation.onMessage({ type: "task.sent", ref: "r2", status: "sent", at: "" });
  conversation.onMessage({ type: "task.sent", ref: "r3", status: "sent", at: "" });
  assert.deepEqual(kept.unsent, []);
});

test("a page restored from the browser's cache joins its session again", () => {
  goLive();
  conversation.onShownAgain();
  assert.deepEqual(sent.at(-1), { type: "session.join", session_id: "s1" });
});

test("returning to a session that is gone leads to the start", () => {
  kept = { sessionId: "s1", url: "ws://room", token: "secret", unsent: [] };
  conversation = make();
  conversation.onMessage({ type: "error", code: "not_found", words: "No" });
  assert.equal(screenOf(conversation.state), "ready");
  assert.equal(kept, null);
});

test("a page whose socket broke before it received a room asks for one", () => {
  conversation.start(0);
  status("creating");
  conversation.onSocketDrop();
  conversation.onSocketOpen();
  assert.deepEqual(sent.at(-1), { type: "session.join", session_id: "s1", room: true });
});

test("returning to a session while the portal is unwell leaves the page in it", () => {
  kept = { sessionId: "s1", url: "ws://room", token: "secret", unsent: [] };
  conversation = make();
  conversation.onMessage({ type: "error", code: "storage_away", words: "Later" });
  assert.notEqual(kept, null);
  conversation.onSocketOpen();
  assert.deepEqual(sent.at(-1), { type: "session.join", session_id: "s1" });
});

test("a room joined before Start reports nothing and is used by Start", () => {
  conversation.prepare();
  conversation.onMessage({ type: "session.room", url: "ws://ours", token: "t1", name: "n", waits: true });
  assert.deepEqual(waiting, [["ws://ours", "t1", "n"]]);
  assert.equal(screenOf(conversation.state), "ready");
  conversation.start(0);
  conversation.onMessage({ type: "session.room", url: "ws://ours", token: "t2", name: "n", waits: false });
  assert.deepEqual(joined, [["ws://ours", "t2", "n"]]);
  conversation.prepare();
  assert.deepEqual(types(), ["room.prepare", "session.start"]);
});

test("after a reload, the page asks for new access to the portal's own room", () => {
  kept = { sessionId: "s1", url: "ws://ours", token: "", name: "n", unsent: [] };
  conversation = make();
  conversation.onSocketOpen();
  assert.deepEqual(sent, [{ type: "session.join", session_id: "s1", room: true }]);
  assert.deepEqual(joined, []);
  conversation.onMessage({ type: "session.room", url: "ws://ours", token: "t2", name: "n", waits: false });
  assert.deepEqual(joined, [["ws://ours", "t2", "n"]]);
  sent.length = 0;
  conversation.onSocketOpen();
  assert.deepEqual(sent, [{ type: "session.join", session_id: "s1" }]);
});

test("after the end, nothing is saved and the room is left", () => {
  goLive();
  assert.deepEqual(kept, { sessionId: "s1", url: "ws://room", token: "secret", name: "", unsent: [] });
  status("stopping", { reason: "idle" });
  status("ended", { reason: "idle" });
  assert.equal(kept, null);
  assert.ok(left > 0);
  assert.equal(conversation.state.sessionId, "");
});

test("a room that refuses the page leads to a new session, then to the end; starting again waits for it", () => {
  goLive();
  conversation.onRoomEvent({ type: "room_lost", code: "room_refused", reason: 7 });
  assert.deepEqual(sent.at(-1), { type: "session.start", continues: "s1", because: "no_picture" });
  assert.equal(screenOf(conversation.state), "recovering");
  conversation.onMessage({ type: "error", code: "provider_limit", words: "Full" });
  assert.equal(screenOf(conversation.state), "failed");
  assert.equal(sent.at(-1).data.is_final, true);
  conversation.start(0);
  assert.equal(types().at(-1), "verdict");
  status("ended", { reason: "no_picture", is_failure: true });
  assert.equal(types().at(-1), "session.start");
});

test("a room that closes with its session is no failure", () => {
  goLive();
  conversation.onRoomEvent({ type: "room_lost", code: "room_closed", reason: 5 });
  status("stopping", { reason: "staff_stopped", words: "The team ended it" });
  mock.timers.tick(3_000);
  assert.equal(screenOf(conversation.state), "ended");
});

test("a room that closes unexpectedly leads to a new session after a moment", () => {
  goLive();
  conversation.onRoomEvent({ type: "room_lost", code: "room_closed", reason: 5 });
  assert.equal(screenOf(conversation.state), "live");
  mock.timers.tick(3_000);
  assert.equal(screenOf(conversation.state), "recovering");
  assert.equal(types().at(-1), "session.start");
});

test("a conversation that continues in another tab is not stopped", () => {
  goLive();
  conversation.onRoomEvent({ type: "room_lost", code: "room_elsewhere", reason: 2 });
  assert.equal(screenOf(conversation.state), "failed");
  assert.ok(!types().includes("session.stop"));
});

for (const [code, cause] of [
  [4401, "signed_out"],
  [4403, "access_ended"],
  [4428, "second_factor_needed"],
]) {
  test(`a socket closed with ${code} shows the reason and leaves the room`, () => {
    goLive();
    assert.ok(conversation.onAccessLost(code));
    assert.equal(screenOf(conversation.state), "failed");
    assert.equal(conversation.state.cause.code, cause);
    assert.equal(left, 1);
  });
}

test("a page without a session shows no reason for lost access", () => {
  assert.ok(!conversation.onAccessLost(4401));
  assert.equal(screenOf(conversation.state), "ready");
});

test("a waiting user reads why access was lost", () => {
  conversation.start(0);
  conversation.onMessage({ type: "error", code: "access_ended", words: "No longer yours" });
  assert.ok(conversation.onAccessLost(4403));
  assert.equal(conversation.state.cause.words, "No longer yours");
});

test("refused reports are not shown, refused requests are", () => {
  goLive();
  conversation.onMessage({ type: "error", code: "too_many_requests", about: "event.report", words: "Wait" });
  assert.equal(conversation.state.problem, "");
  conversation.onMessage({ type: "error", code: "too_many_requests", about: "task.interrupt", words: "Wait" });
  assert.equal(conversation.state.problem, "Wait");
});

test("a page whose socket is refused shows why, and its start waits for the next socket", () => {
  conversation.start(0);
  conversation.onSocketOpen();
  conversation.onMessage({ type: "error", code: "too_many_requests", about: "connect", words: "In 30 seconds" });
  conversation.onSocketDrop();
  assert.equal(conversation.state.problem, "In 30 seconds");
  assert.equal(conversation.state.phase, "connecting");
  conversation.onSocketOpen();
  assert.equal(conversation.state.problem, "");
});
