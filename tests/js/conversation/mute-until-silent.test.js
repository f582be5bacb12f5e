import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { MuteUntilSilent } from "../../../sessions/static/sessions/conversation/mute-until-silent.js";

/** @type {boolean[]} */
let told;
/** @type {MuteUntilSilent} */
let muting;
beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  told = [];
  muting = new MuteUntilSilent((isSilent) => told.push(isSilent));
});

// Complaint 12.
test("silence begins with the click and outlasts the sound that is still on its way", () => {
  muting.begin();
  assert.deepEqual(told, [true]);
  muting.confirmed();
  assert.deepEqual(told, [true]);
  mock.timers.tick(500);
  assert.deepEqual(told, [true, false]);
});

test("what is said next is heard from its first word", () => {
  muting.begin();
  muting.end();
  assert.deepEqual(told, [true, false]);
  mock.timers.tick(10_000);
  assert.deepEqual(told, [true, false]);
});

test("a confirmation that never comes does not silence the avatar for good", () => {
  muting.begin();
  mock.timers.tick(5_000);
  assert.deepEqual(told, [true, false]);
});

test("who was not interrupted is not touched", () => {
  muting.confirmed();
  muting.end();
  mock.timers.tick(5_000);
  assert.deepEqual(told, []);
});
