import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { beforeEach, mock, test } from "node:test";

import { AvatarRoom } from "../../../sessions/static/sessions/room/room.js";

let calls, listeners, answers, heard, attached, video, room;
const audio = {};

class Room {
  canPlaybackAudio = true;
  remoteParticipants = new Map();
  canPlaybackVideo = true;
  engine = { negotiate: async () => calls.push("offer") };
  on(event, listener) {
    listeners[event] = listener;
    calls.push("on");
    return this;
  }
  async connect() {
    calls.push("connect");
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    if (!answer) throw new Error("not there yet");
  }
  async disconnect() {
    calls.push("disconnect");
  }
}

class ConnectionError extends Error {
  constructor(reason, status) {
    super("could not establish signal connection");
    Object.assign(this, { reason, status });
  }
}

const EVENTS = [
  "TrackSubscribed",
  "TrackUnsubscribed",
  "TrackPublished",
  "ConnectionStateChanged",
  "DataReceived",
  "Reconnecting",
  "Reconnected",
  "Disconnected",
  "ConnectionQualityChanged",
];
const OUTCOMES = ["AudioPlaybackFailed", "AudioPlaybackStarted", "VideoPlaybackFailed", "VideoPlaybackStarted"];
const REASONS = { UNKNOWN_REASON: 0, CLIENT_INITIATED: 1, DUPLICATE_IDENTITY: 2, ROOM_DELETED: 5, JOIN_FAILURE: 7 };
const LiveKit = {
  Room,
  RoomEvent: Object.fromEntries(EVENTS.map((name) => [name, name])),
  DisconnectReason: {
    ...REASONS,
    ...Object.fromEntries(Object.entries(REASONS).map(([name, value]) => [value, name])),
  },
  ConnectionError,
  ConnectionErrorReason: { NotAllowed: 0 },
  Track: { Kind: { Video: "video", Audio: "audio" } },
  TrackEvent: Object.fromEntries(OUTCOMES.map((name) => [name, name])),
};

/** @returns {EventEmitter} a track that was subscribed to */
function arrive(kind) {
  const track = Object.assign(new EventEmitter(), { kind, attach: (element) => attached.push([kind, element]) });
  listeners.TrackSubscribed(track, {}, { identity: "heygen" });
  return track;
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [calls, listeners, answers, heard, attached] = [[], {}, [], [], []];
  video = { requestVideoFrameCallback: (shown) => (video.show = () => shown(12, { width: 4, height: 3 })) };
  room = new AvatarRoom({ LiveKit, video, audio, onEvent: ({ type, code }) => heard.push(code ?? type) });
});

/** Let promises settle and waiting tries come due. */
async function pass(seconds) {
  for (let step = 0; step < seconds * 4; step += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(250);
  }
}

test("listeners are registered before the room is joined", async () => {
  answers = [true];
  await room.join("ws://room", "t");
  assert.equal(calls.lastIndexOf("on") < calls.indexOf("connect"), true);
  assert.deepEqual(heard, ["room_joined"]);
});

test("a room that does not exist yet is tried again without a fixed wait (requirement 62)", async () => {
  answers = [false, false, true];
  void room.join("ws://room", "t");
  await pass(5);
  assert.deepEqual(heard, ["room_joined"]);
});

test("joining a room that never exists is given up in bounded time", async () => {
  void room.join("ws://room", "t");
  await pass(20);
  assert.deepEqual(heard, ["room_refused"]);
  assert.equal(calls.filter((call) => call === "connect").length, 6);
});

test("a token that LiveKit refuses is tried twice and reported (requirement 57)", async () => {
  answers = [new ConnectionError(0, 401), new ConnectionError(0, 401), true];
  void room.join("ws://room", "t");
  await pass(5);
  assert.deepEqual(heard, ["room_refused"]);
  assert.equal(room.facts().refusal, "token");
});

test("tracks published before the join are reported too (requirement 69)", async () => {
  answers = [true];
  room.livekitRoom.remoteParticipants.set("avatar", { trackPublications: new Map([["v", { kind: "video" }]]) });
  await room.join("ws://room", "t");
  assert.deepEqual(heard, ["room_joined", "track_published"]);
});

test("only tracks that are not subscribed yet are negotiated", async () => {
  answers = [true];
  room.livekitRoom.remoteParticipants.set("avatar", {
    trackPublications: new Map([["v", { kind: "video", isSubscribed: true }]]),
  });
  await room.join("ws://room", "t");
  assert.equal(calls.includes("offer"), false);
  listeners.TrackPublished({ kind: "audio" });
  assert.equal(calls.at(-1), "offer");
});

test("joining again does not reset the time without an answer", async () => {
  let now = 1_000;
  const clock = mock.method(performance, "now", () => now);
  room.livekitRoom.connect = () => new Promise(() => {});
  for (const at of [1_000, 6_000]) {
    now = at;
    void room.join("ws://room", "t");
    await pass(0.25);
  }
  assert.equal(room.facts().joiningFor, 5_000);
  room.leave();
  assert.equal(room.facts().joiningFor, 0);
  clock.mock.restore();
});

test("a later join makes an earlier one's outcome irrelevant", async () => {
  const outcomes = [];
  room.livekitRoom.connect = () => new Promise((resolve) => outcomes.push(resolve));
  void room.join("ws://first", "t");
  await pass(0.25);
  void room.join("ws://second", "t");
  await pass(0.25);
  outcomes[0]();
  await pass(0.25);
  assert.deepEqual([heard, room.isIn], [[], false]);
  outcomes[1]();
  await pass(0.25);
  assert.deepEqual([heard, room.isIn], [["room_joined"], true]);
});

test("leaving cancels a join in progress", async () => {
  answers = [false, true];
  void room.join("ws://room", "t");
  await pass(0.25);
  room.leave();
  await pass(5);
  assert.deepEqual(heard, []);
});

test("a broken connection is joined again, a closed room is not", async () => {
  answers = [true, true];
  await room.join("ws://room", "t");
  listeners.Disconnected(REASONS.UNKNOWN_REASON);
  await pass(1);
  assert.deepEqual(heard.splice(0), ["room_joined", "room_disconnected", "room_joined"]);
  listeners.Disconnected(REASONS.ROOM_DELETED);
  await pass(1);
  assert.deepEqual(heard, ["room_disconnected", "room_closed"]);
});

test("a page that is being left does not join again", async () => {
  answers = [true, true];
  await room.join("ws://room", "t");
  listeners.Disconnected(REASONS.CLIENT_INITIATED);
  await pass(1);
  assert.deepEqual(heard, ["room_joined"]);
});

test("the first frame is reported when it is shown, not when its track arrives", async () => {
  answers = [true];
  await room.join("ws://room", "t");
  arrive("video");
  assert.deepEqual(heard, ["room_joined", "track_subscribed"]);
  video.show();
  assert.equal(heard.at(-1), "first_frame");
});

test("a room joined early reports nothing until Start and is not joined twice", async () => {
  answers = [true];
  await room.joinEarly("ws://room", "t", "n");
  assert.deepEqual(heard, []);
  await room.join("ws://room", "t2", "n");
  assert.deepEqual(heard, ["room_joined"]);
  assert.equal(calls.filter((call) => call === "connect").length, 1);
});

test("Start during an early join reports the join when it completes", async () => {
  answers = [true];
  const waiting = room.joinEarly("ws://room", "t", "n");
  await room.join("ws://room", "t2", "n");
  await waiting;
  assert.deepEqual(heard, ["room_joined"]);
});

test("an early room that closes is no failure: the next join uses another", async () => {
  answers = [true, true];
  await room.joinEarly("ws://room", "t", "n");
  listeners.Disconnected(REASONS.ROOM_DELETED);
  await room.join("ws://room", "t2", "other");
  assert.deepEqual(heard, ["room_joined"]);
});

test("joining another room leaves the early one", async () => {
  answers = [true, true];
  await room.joinEarly("ws://room", "t", "n");
  calls.length = 0;
  await room.join("ws://room", "t2", "other");
  assert.deepEqual(calls, ["disconnect", "connect"]);
  assert.deepEqual(heard, ["room_joined"]);
});

test("audio that starts slowly asks for no tap, blocked audio does", async () => {
  answers = [true];
  await room.join("ws://room", "t");
  room.livekitRoom.canPlaybackAudio = false; // LiveKit's own view until the first track plays
  const [video, audio] = [arrive("video"), arrive("audio")];
  video.emit("VideoPlaybackStarted");
  assert.ok(!heard.some((type) => type.startsWith("playback")));
  audio.emit("AudioPlaybackFailed");
  assert.equal(heard.at(-1), "playback_blocked");
  room.livekitRoom.canPlaybackAudio = true;
  audio.emit("AudioPlaybackStarted");
  assert.equal(heard.at(-1), "playback_started");
});

test("a frame of a room that was left is not reported as the first frame", async () => {
  answers = [true];
  await room.join("ws://room", "t");
  arrive("video");
  room.leave();
  video.show();
  assert.ok(!heard.includes("first_frame"));
});

test("the page hears each change of the connection's state (requirement 64)", () => {
  const states = [];
  new AvatarRoom({ LiveKit, video, audio, onEvent: ({ type, state }) => states.push([type, state]) });
  for (const state of ["connecting", "connected", "disconnected"]) listeners.ConnectionStateChanged(state);
  assert.deepEqual(states, [
    ["connection_state", "connecting"],
    ["connection_state", "connected"],
    ["connection_state", "disconnected"],
  ]);
});

test("a data packet that cannot be sent is rejected, in the room and outside it", async () => {
  Room.prototype.localParticipant = { publishData: async () => {} }; // LiveKit would wait for a connection
  await assert.rejects(room.publish("agent-control", "{}"));
  answers = [true];
  await room.join("ws://room", "t");
  const sent = [];
  Room.prototype.localParticipant = { publishData: async (payload, options) => sent.push([payload.length, options]) };
  await room.publish("agent-control", "{}");
  assert.deepEqual(sent, [[2, { reliable: true, topic: "agent-control" }]]);
  Room.prototype.localParticipant = {
    publishData: async () => {
      throw new Error("no connection");
    },
  };
  await assert.rejects(room.publish("agent-control", "{}"));
  delete Room.prototype.localParticipant;
});

test("both tracks are attached to their elements when they arrive (requirement 34)", async () => {
  answers = [true];
  await room.join("ws://room", "t");
  arrive("audio");
  arrive("video");
  assert.deepEqual(attached, [
    ["audio", audio],
    ["video", video],
  ]);
});

test("tracks that arrive in a hidden tab are attached, and seen once the tab is (requirement 61)", async (context) => {
  context.after(() => Reflect.deleteProperty(globalThis, "document"));
  Reflect.set(globalThis, "document", { hidden: true, visibilityState: "hidden" });
  answers = [true];
  await room.join("ws://room", "t");
  arrive("video");
  assert.deepEqual(attached, [["video", video]]);
  assert.ok(!heard.includes("first_frame"));
  video.show(); // browsers render no frame of a hidden tab
  assert.ok(heard.includes("first_frame"));
});
