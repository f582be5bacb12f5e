import assert from "node:assert/strict";
import { test } from "node:test";

import { AvatarEvents } from "../../../sessions/static/sessions/room/avatar-events.js";

const bytes = (text) => new TextEncoder().encode(text);
const read = (text) => new AvatarEvents().read(bytes(text));

test("documented packets are decoded, accents included", () => {
  const packet = '{"type":"avatar_talking_message","task_id":"t-1","message":"¿Qué tal, Inés?"}';
  assert.deepEqual(read(packet), [
    { type: "avatar_talking_message", taskId: "t-1", message: "¿Qué tal, Inés?", durationMs: 0 },
  ]);
  assert.equal(read('{"type":"avatar_stop_talking","task_id":"t-1","duration_ms":1840}')[0].durationMs, 1840);
});

test("unknown packets are ignored, and values of the wrong type do no harm", () => {
  for (const packet of [
    "",
    "null",
    "[]",
    '"hola"',
    "{",
    '{"type":7}',
    '{"type":"toString"}',
    '{"type":"session.status"}',
  ]) {
    assert.deepEqual(read(packet), [], packet);
  }
  assert.deepEqual(new AvatarEvents().read(new Uint8Array([0xff, 0xfe])), []);
  const [odd] = read('{"type":"user_start","task_id":{"a":1},"message":["x"],"duration_ms":"9"}');
  assert.deepEqual(odd, { type: "user_start", taskId: "", message: "", durationMs: 0 });
});

test("a line with characters that the portal cannot store is cleaned, so that the record gets the rest", () => {
  const [line] = read('{"type":"avatar_end_message","task_id":"t","message":"Ho\\u0000la\\ud83d"}');
  assert.equal(line.message, "Hola");
  const [long] = read(JSON.stringify({ type: "avatar_end_message", message: "😀".repeat(10_001) }));
  assert.equal(long.message, "😀".repeat(10_000));
});
