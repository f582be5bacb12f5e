import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { AvatarEvents } from "../../../sessions/static/sessions/room/avatar-events.js";

let events;

beforeEach(() => (events = new AvatarEvents()));

/** What the page makes of one packet: kinds, the line and the words. */
function hear(event_type, fields = {}) {
  const packet = new TextEncoder().encode(JSON.stringify({ event_type, event_id: "e-1", ...fields }));
  return events
    .read(packet, "agent-response")
    .map(({ type, taskId, message }) => [type, taskId, message].filter(Boolean).join(" "));
}

test("a repeated text arrives at once and ends with its sound", () => {
  const of = { source_event_id: "t-1" };
  assert.deepEqual(hear("avatar.transcription", { ...of, text: "Hola, ¿qué tal?" }), [
    "avatar_talking_message t-1 Hola, ¿qué tal?",
  ]);
  assert.deepEqual(hear("avatar.speak_started", of), ["avatar_start_talking t-1"]);
  assert.deepEqual(hear("avatar.speak_ended", of), [
    "avatar_end_message t-1 Hola, ¿qué tal?",
    "avatar_stop_talking t-1",
  ]);
  assert.deepEqual(
    hear("avatar.transcription", { ...of, text: "once more" }),
    [],
    "a line that is over does not begin again",
  );
});

test("fragments add up, and the whole text adds only what is missing", () => {
  const of = { source_event_id: "t-1" };
  hear("avatar.transcription.chunk", { ...of, text: "Abrimos " });
  hear("avatar.transcription_chunk", { ...of, text: "a las" });
  assert.deepEqual(hear("avatar.transcription", { ...of, text: "Abrimos a las nueve." }), [
    "avatar_talking_message t-1  nueve.",
  ]);
  assert.deepEqual(hear("avatar.transcription", { ...of, text: "Abrimos a las nueve." }), []);
});

test("answers to speech without an ID are matched by their order", () => {
  hear("avatar.transcription.chunk", { event_id: "a", text: "Uno." });
  hear("avatar.transcription", { event_id: "b", text: "Uno." });
  assert.deepEqual(hear("avatar.transcription.chunk", { event_id: "c", text: "Dos." }), [
    "avatar_talking_message c Dos.",
  ]);
  assert.deepEqual(hear("avatar.speak_started", { event_id: "d" }), ["avatar_start_talking a"]);
  assert.deepEqual(hear("avatar.speak_ended", { event_id: "e" }), [
    "avatar_end_message a Uno.",
    "avatar_stop_talking a",
  ]);
  assert.deepEqual(hear("avatar.speak_started", { event_id: "f" }), ["avatar_start_talking c"]);
});

test("an answer that the user interrupts, or that is incomplete, does not end normally", () => {
  hear("avatar.transcription", { source_event_id: "t-1", text: "Un texto largo." });
  hear("avatar.speak_started", { source_event_id: "t-1" });
  assert.deepEqual(hear("user.speak_started", { event_id: "u-1" }), ["user_start u-1"]);
  assert.deepEqual(hear("avatar.speak_ended", { source_event_id: "t-1" }), ["avatar_stop_talking t-1"]);
  hear("user.speak_ended");
  hear("avatar.transcription.chunk", { source_event_id: "t-2", text: "Un" });
  assert.deepEqual(hear("avatar.speak_ended", { source_event_id: "t-2" }), ["avatar_stop_talking t-2"]);
});

test("a growing user phrase is reported once and keeps its ID", () => {
  hear("user.speak_started", { event_id: "u-1" });
  assert.deepEqual(hear("user.transcription.chunk", { event_id: "x", text: "Buenos" }), [
    "user_talking_message u-1 Buenos",
  ]);
  assert.deepEqual(hear("user.transcription.chunk", { event_id: "y", text: "Buenos días" }), [
    "user_talking_message u-1  días",
  ]);
  assert.deepEqual(hear("user.speak_ended", { event_id: "z" }), ["user_stop u-1"]);
  assert.deepEqual(hear("user.transcription", { event_id: "w", text: "Buenos días." }), [
    "user_end_message u-1 Buenos días.",
  ]);
  assert.deepEqual(hear("user.transcription", { event_id: "v", text: "Adiós." }), ["user_end_message v Adiós."]);
});

test("a push-to-talk press that the provider refused is reported", () => {
  for (const verb of ["start", "stop"])
    assert.deepEqual(hear(`user.push_to_talk_${verb}_failed`), ["push_to_talk_failed"]);
  for (const done of ["started", "stopped"]) assert.deepEqual(hear(`user.push_to_talk_${done}`), []);
});

test("the end of the session is reported with its reason in both spellings", () => {
  assert.deepEqual(hear("session.stopped", { end_reason: "IDLE_TIMEOUT" }), ["session_stopped IDLE_TIMEOUT"]);
  assert.deepEqual(hear("session_stopped", { stop_reason: "NO_CREDITS" }), ["session_stopped NO_CREDITS"]);
});

test("other topics, unknown events and values of the wrong type do no harm", () => {
  const packet = new TextEncoder().encode('{"event_type":"avatar.speak_started","event_id":"e"}');
  assert.deepEqual(events.read(packet, "agent-control"), []);
  for (const type of ["session.updated", "toString", "constructor", ""]) assert.deepEqual(hear(type), []);
  assert.deepEqual(hear("avatar.transcription", { text: { a: 1 }, event_id: ["x"], source_event_id: 7 }), []);
  assert.deepEqual(hear("user.speak_started", { event_id: null }), ["user_start"]);
});

test("lines that never end do not accumulate", () => {
  for (let number = 0; number < 500; number += 1)
    hear("avatar.transcription", { source_event_id: `t-${number}`, text: "…" });
  assert.ok(events.agent.lines.length <= 20);
});
