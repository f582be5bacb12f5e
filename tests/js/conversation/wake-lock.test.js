import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ScreenWakeLock } from "../../../sessions/static/sessions/conversation/wake-lock.js";

let held, page, lock, answer;

beforeEach(() => {
  held = [];
  answer = async () => {
    const sentinel = { released: false, release: async () => (sentinel.released = true) };
    held.push(sentinel);
    return sentinel;
  };
  page = { visibilityState: "visible", addEventListener: (_type, listener) => (page.listener = listener) };
  lock = new ScreenWakeLock({ request: (kind) => answer(kind) }, page);
});

const settled = () => new Promise((resolve) => setImmediate(resolve));
const isOn = () => held.some(({ released }) => !released);
async function show(visibilityState) {
  page.visibilityState = visibilityState;
  if (visibilityState === "hidden") for (const sentinel of held) sentinel.released = true; // as browsers do
  page.listener();
  await settled();
}

test("the screen stays on during a conversation and no longer", async () => {
  lock.keep(false);
  await settled();
  assert.equal(isOn(), false);
  lock.keep(true);
  lock.keep(true);
  await settled();
  assert.deepEqual([isOn(), held.length], [true, 1]);
  lock.keep(false);
  await settled();
  assert.equal(isOn(), false);
});

test("a page that is visible again keeps the screen on again", async () => {
  lock.keep(true);
  await settled();
  await show("hidden");
  assert.equal(isOn(), false);
  await show("visible");
  assert.equal(isOn(), true);
});

test("a conversation that starts in a hidden page keeps the screen on once it is visible", async () => {
  await show("hidden");
  lock.keep(true);
  await settled();
  assert.equal(held.length, 0);
  await show("visible");
  assert.equal(isOn(), true);
});

test("a conversation that ends while the browser answers releases the screen", async () => {
  lock.keep(true);
  lock.keep(false);
  await settled();
  assert.equal(isOn(), false);
});

test("browsers that refuse or lack the lock change nothing", async () => {
  answer = async () => {
    throw new DOMException("low battery", "NotAllowedError");
  };
  lock.keep(true);
  await settled();
  await show("visible");
  const without = new ScreenWakeLock(undefined, page);
  without.keep(true);
  without.keep(false);
  await settled();
});
