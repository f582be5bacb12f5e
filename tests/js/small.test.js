import assert from "node:assert/strict";
import { test } from "node:test";

import { AvatarEvents } from "../../sessions/static/sessions/avatar-events.js";
import { backoff, countdown, offsetOf, secondsUntil, span } from "../../sessions/static/sessions/clock.js";
import { Memory } from "../../sessions/static/sessions/memory.js";
import { encodingWish } from "../../sessions/static/sessions/quality-choice.js";
import { FrameRate } from "../../sessions/static/sessions/picture-watch.js";

const bytes = (text) => new TextEncoder().encode(text);
const read = (text) => new AvatarEvents().read(bytes(text));

test("the documented packets are understood, accents included", () => {
  const packet = '{"type":"avatar_talking_message","task_id":"t-1","message":"¿Qué tal, Inés?"}';
  assert.deepEqual(read(packet), [{ type: "avatar_talking_message", taskId: "t-1", message: "¿Qué tal, Inés?", durationMs: 0 }]);
  assert.equal(read('{"type":"avatar_stop_talking","task_id":"t-1","duration_ms":1840}')[0].durationMs, 1840);
});

test("what is no event is nothing, and wrong kinds of values do no harm", () => {
  for (const packet of ["", "null", "[]", '"hola"', "{", '{"type":7}', '{"type":"toString"}', '{"type":"session.status"}']) {
    assert.deepEqual(read(packet), [], packet);
  }
  assert.deepEqual(new AvatarEvents().read(new Uint8Array([0xff, 0xfe])), []);
  const [odd] = read('{"type":"user_start","task_id":{"a":1},"message":["x"],"duration_ms":"9"}');
  assert.deepEqual(odd, { type: "user_start", taskId: "", message: "", durationMs: 0 });
});

test("time left follows the portal's clock, not this one", () => {
  const offset = offsetOf("2026-01-01T00:01:00Z", Date.parse("2026-01-01T00:00:00Z"));
  assert.equal(offset, 60_000);
  assert.equal(secondsUntil("2026-01-01T00:01:42Z", Date.parse("2026-01-01T00:00:00Z"), offset), 42);
  assert.equal(secondsUntil("2025-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:00Z"), offset), 0);
  assert.equal(secondsUntil("", 0, offsetOf("nonsense", 0)), 0);
});

test("countdowns and spans are written as people write them", () => {
  assert.deepEqual([42, 761, 3723, 0].map(countdown), ["0:42", "12:41", "1:02:03", "0:00"]);
  assert.deepEqual([25, 372, 6480].map(span), ["25 s", "6 min 12 s", "1 h 48 min"]);
});

test("each wait may be twice as long as the last, up to a bound, and never none", () => {
  const wait = (attempt, random) => backoff(attempt, { first: 500, most: 4_000, random: () => random });
  assert.deepEqual([0, 1, 2, 3, 9].map((attempt) => wait(attempt, 1)), [500, 1_000, 2_000, 4_000, 4_000]);
  assert.equal(wait(0, 0), 250);
});

test("a place is remembered for its own page only, and a forbidden storage is no fault", () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  const place = { sessionId: "s1", url: "ws://room", token: "t", name: "", unsent: [] };
  const memory = new Memory(storage, "lucia");
  memory.keep(place);
  assert.deepEqual(memory.recall(), place);
  assert.equal(new Memory(storage, "daniel").recall(), null);
  memory.keep({ ...place, name: "ours" });
  assert.deepEqual(memory.recall(), { ...place, name: "ours", token: "" });
  memory.forget();
  assert.equal(memory.recall(), null);
  const refuse = () => {
    throw new Error("forbidden");
  };
  const forbidden = new Memory({ getItem: refuse, setItem: refuse, removeItem: refuse }, "lucia");
  forbidden.keep(place);
  forbidden.forget();
  assert.equal(forbidden.recall(), null);
});

test("how the picture ran counts only what could be seen, and begins anew with each conversation", () => {
  const rate = new FrameRate();
  const looks = [[0, 0, true], [25, 1_000, true], [40, 2_000, false], [90, 3_000, true], [140, 5_000, true], [900, 60_000, true]];
  for (const [total, at, isSeen] of looks) rate.add(Number(total), Number(at), isSeen === true);
  assert.deepEqual(rate.take(), { fps: 25, seconds: 3 });
  assert.equal(rate.take(), null);
});

test("a browser without H.264 asks for what it plays, every other asks for nothing (complaint 23)", () => {
  const playing = (...names) => ({ getCapabilities: () => ({ codecs: names.map((name) => ({ mimeType: `video/${name}` })) }) });
  assert.deepEqual(encodingWish(playing("VP8", "VP9")), { encoding: "VP8" });
  for (const receiver of [playing("VP8", "H264"), playing("AV1"), undefined]) assert.deepEqual(encodingWish(receiver), {});
});
