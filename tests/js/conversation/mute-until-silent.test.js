import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { MuteUntilSilent } from "../../../sessions/static/sessions/conversation/mute-until-silent.js";

/** @type {boolean[]} */
let calls;
/** @type {MuteUntilSilent} */
let muting;
beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  calls = [];
  muting = new MuteUntilSilent((isSilent) => calls.push(isSilent));
});

// Complaint 12.
test("muting begins with the click and outlasts late sound", () => {
  muting.begin();
  assert.deepEqual(calls, [true]);
  muting.confirmed();
  assert.deepEqual(calls, [true]);
  mock.timers.tick(500);
  assert.deepEqual(calls, [true, false]);
});

test("the next line is audible from its first word", () => {
  muting.begin();
  muting.end();
  assert.deepEqual(calls, [true, false]);
  mock.timers.tick(10_000);
  assert.deepEqual(calls, [true, false]);
});

test("a lost confirmation does not mute the avatar for good", () => {
  muting.begin();
  mock.timers.tick(5_000);
  assert.deepEqual(calls, [true, false]);
});

test("an avatar that was not interrupted is not muted", () => {
  muting.confirmed();
  muting.end();
  mock.timers.tick(5_000);
  assert.deepEqual(calls, []);
});
