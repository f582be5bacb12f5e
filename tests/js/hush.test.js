import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Hush } from "../../sessions/static/sessions/hush.js";

/** @type {boolean[]} */
let told;
/** @type {Hush} */
let hush;
beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  told = [];
  hush = new Hush((isSilent) => told.push(isSilent));
});

// Complaint 12.
test("silence begins with the click and outlasts the sound that is still on its way", () => {
  hush.begin();
  assert.deepEqual(told, [true]);
  hush.confirmed();
  assert.deepEqual(told, [true]);
  mock.timers.tick(500);
  assert.deepEqual(told, [true, false]);
});

test("what is said next is heard from its first word", () => {
  hush.begin();
  hush.end();
  assert.deepEqual(told, [true, false]);
  mock.timers.tick(10_000);
  assert.deepEqual(told, [true, false]);
});

test("a confirmation that never comes does not silence the avatar for good", () => {
  hush.begin();
  mock.timers.tick(5_000);
  assert.deepEqual(told, [true, false]);
});

test("who was not interrupted is not touched", () => {
  hush.confirmed();
  hush.end();
  mock.timers.tick(5_000);
  assert.deepEqual(told, []);
});
