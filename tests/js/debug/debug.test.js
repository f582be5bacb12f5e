import assert from "node:assert/strict";
import { test } from "node:test";

import { DebugLog } from "../../../sessions/static/sessions/debug/log.js";
import { factsOf } from "../../../sessions/static/sessions/debug/stats.js";

test("all entries use one clock, counted from Start (requirement 64)", () => {
  let now = Date.parse("2026-01-01T00:00:00Z");
  const log = new DebugLog(() => now);
  log.add("browser", "session.start");
  now += 250;
  log.add("LiveKit", "TrackSubscribed", { kind: "video" });
  const { at, ms, from, what, data } = log.entries.at(-1);
  assert.deepEqual(
    [at, ms, from, what, data],
    ["2026-01-01T00:00:00.250Z", 250, "LiveKit", "TrackSubscribed", { kind: "video" }],
  );
});

test("neither tokens nor speech can be copied from the panel", () => {
  const log = new DebugLog(() => 0);
  log.add("portal", "session.room", { type: "session.room", url: "wss://rooms", token: "secret" });
  log.add("browser", "task.send", { type: "task.send", ref: "r1", text: "Hola" });
  log.add("browser", "avatar_end_message", { kind: "avatar_end_message", data: { task_id: "t1", message: "Buenas" } });
  log.add("portal", "room.publish", { topic: "agent-control", payload: '{"text":"Hola"}' });
  const copied = JSON.stringify(log.entries);
  for (const word of ["secret", "wss://", "Hola", "Buenas"]) assert.ok(!copied.includes(word), word);
  assert.deepEqual(log.entries[2].data, { kind: "avatar_end_message", task_id: "t1", characters: 6 });
});

test("the log is bounded", () => {
  const log = new DebugLog(() => 0);
  for (let n = 0; n < 2_000; n += 1) log.add("room", "talking", { n });
  assert.equal(log.entries.length, 500);
  assert.equal(log.entries.at(-1).data.n, 1_999);
});

test("the statistics show where video is lost (requirement 70)", () => {
  const facts = factsOf([
    {
      id: "v",
      type: "inbound-rtp",
      kind: "video",
      frameWidth: 1280,
      frameHeight: 720,
      framesPerSecond: 25,
      framesDecoded: 90,
      codecId: "c",
    },
    { id: "a", type: "inbound-rtp", kind: "audio", jitter: 0.0041, packetsLost: 2 },
    { id: "c", type: "codec", mimeType: "video/H264" },
    {
      id: "p",
      type: "candidate-pair",
      nominated: true,
      state: "succeeded",
      localCandidateId: "l",
      remoteCandidateId: "r",
      currentRoundTripTime: 0.042,
    },
    { id: "l", type: "local-candidate", candidateType: "relay", protocol: "udp", relayProtocol: "tls" },
    { id: "r", type: "remote-candidate", candidateType: "host" },
  ]);
  assert.equal(facts.picture, "1280×720");
  assert.deepEqual(
    [facts.video_codec, facts.way, facts.protocol, facts.round_trip_ms],
    ["video/H264", "relay → host", "tls", 42],
  );
  assert.deepEqual([facts.audio_jitter_ms, facts.audio_lost], [4, 2]);
  assert.deepEqual(factsOf([]), {});
});
