import assert from "node:assert/strict";
import { test } from "node:test";

import { isOver, READY, reduce, screenOf, takesTasks } from "../../../sessions/static/sessions/conversation/state.js";

/** @param {...object} happenings */
const after = (...happenings) => happenings.reduce(reduce, READY);
const status = (value, more = {}) => ({ type: "session.status", session_id: "s1", status: value, ...more });
const LIVE = [
  { type: "start" },
  status("creating"),
  status("connecting"),
  { type: "room_joined" },
  { type: "first_frame" },
  status("live"),
];

test("starting advances in steps until the video", () => {
  const steps = LIVE.slice(0, 4).map((_, count) => after(...LIVE.slice(0, count + 1)).step);
  assert.deepEqual(steps, [0, 0, 1, 2]);
  assert.equal(screenOf(after(...LIVE)), "live");
});

test("the first frame shows the video, texts wait for the portal", () => {
  const seen = after(...LIVE.slice(0, 5));
  assert.equal(screenOf(seen), "live");
  assert.equal(takesTasks(seen), false);
  assert.equal(takesTasks(after(...LIVE)), true);
});

test("a browser that blocks playback asks for a tap", () => {
  const blocked = after(...LIVE, { type: "playback_blocked" });
  assert.equal(screenOf(blocked), "tap");
  assert.equal(screenOf(reduce(blocked, { type: "playback_started" })), "live");
});

test("video blocked in low power mode is told from blocked audio (complaint 9)", () => {
  const sound = after(...LIVE, { type: "playback_blocked", isPictureHeld: false });
  assert.equal(sound.isPictureHeld, false);
  assert.equal(reduce(sound, { type: "playback_blocked", isPictureHeld: true }).isPictureHeld, true);
});

test("a warning stays until the user reacts; writing answers the idle warning only", () => {
  const warned = (why) => after(...LIVE, { type: "session.ending", why, at: "2026-01-01T00:00:00Z", seconds: 60 });
  assert.equal(screenOf(warned("idle")), "ending");
  assert.equal(screenOf(reduce(warned("idle"), { type: "session.staying" })), "live");
  assert.equal(screenOf(reduce(warned("idle"), { type: "task.sent" })), "live");
  assert.equal(screenOf(reduce(warned("duration_limit"), { type: "task.sent" })), "ending");
});

test("an end that the portal calls a failure is shown as one with its text, any other as ended", () => {
  assert.equal(screenOf(after(...LIVE, status("stopping", { reason: "user_stopped" }))), "ended");
  const cut = after(...LIVE, status("ended", { reason: "provider_ended", is_failure: true, words: "Cut off" }));
  assert.equal(screenOf(cut), "failed");
  assert.deepEqual(cut.cause, { code: "provider_ended", words: "Cut off" });
  assert.equal(isOver(cut), true);
  assert.equal(screenOf(after(...LIVE, status("ended", { reason: "provider_ended", is_failure: false }))), "ended");
});

test("a session that ends while connecting shows its end", () => {
  const ended = status("ended", { reason: "staff_stopped", words: "The team ended it" });
  assert.equal(screenOf(after({ type: "start" }, status("creating"), ended)), "ended");
});

test("a frame after cancelling changes nothing (complaint 21)", () => {
  const late = after(...LIVE.slice(0, 4), { type: "cancel" }, { type: "first_frame" }, status("stopping"));
  assert.equal(screenOf(late), "connecting");
  assert.equal(screenOf(reduce(late, status("ended", { reason: "user_stopped" }))), "ready");
});

test("cancelling returns to ready once the session has ended", () => {
  const cancelled = after({ type: "start" }, status("creating"), { type: "cancel" }, status("stopping"));
  assert.equal(screenOf(cancelled), "connecting");
  assert.equal(screenOf(reduce(cancelled, status("ended", { reason: "user_stopped" }))), "ready");
});

test("a refused start is a failure, a later refusal is not", () => {
  const refusal = { type: "error", code: "provider_limit", words: "Full" };
  assert.equal(screenOf(after({ type: "start" }, refusal)), "failed");
  assert.equal(screenOf(after(...LIVE, refusal)), "live");
  assert.equal(screenOf(after(refusal)), "ready");
  assert.equal(screenOf(after({ type: "start" }, { type: "cancel" }, refusal)), "ready");
});

test("a lost room fails an open session and does not change one that is over", () => {
  assert.equal(screenOf(after(...LIVE, { type: "room_lost", code: "room_closed" })), "failed");
  const over = after(...LIVE, status("ended", { reason: "idle" }));
  assert.equal(reduce(over, { type: "room_lost", code: "room_closed" }), over);
});

test("a reconnecting room shows as such until it is back, and texts wait meanwhile", () => {
  const away = after(...LIVE, { type: "quality", quality: "excellent" }, { type: "room_reconnecting" });
  assert.deepEqual([away.connection, takesTasks(away)], ["reconnecting", false]);
  const back = reduce(away, { type: "room_reconnected" });
  assert.deepEqual([back.connection, takesTasks(back)], ["", true]);
});

test("unknown events change nothing", () => {
  const live = after(...LIVE);
  assert.equal(reduce(live, { type: "something.new" }), live);
  assert.equal(reduce(live, { type: "toString" }), live);
});

test("the observer is shown until they leave, and not in the next session", () => {
  const watched = after(...LIVE, { type: "session.observed", is_observed: true, until: "" });
  assert.deepEqual(watched.observed, { until: "" });
  assert.equal(reduce(watched, { type: "session.observed", is_observed: false, until: "" }).observed, null);
  assert.deepEqual(reduce(watched, status("live")).observed, { until: "" });
  assert.equal(reduce(watched, { ...status("creating"), session_id: "s2" }).observed, null);
});
